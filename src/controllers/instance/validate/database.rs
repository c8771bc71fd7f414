//! `spec.database`. What maps one to one to the PaperclipDatabase is judged by its controller; here is only what decides whether there is
//! one, and what no admission rule of the child would let pass. Pure.

use super::findings::Findings;
use super::forms;
use crate::crd::instance::{Database as Spec, DatabaseManaged, DatabaseMode, InstanceSpec};
use crate::crd::shared::ManagedEngine;
use crate::crd::{SecretKeyRef, SecretText};
use crate::shared::quantity::Amount;

/// Where the database is.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Database<'a> {
    /// In the server's pod.
    Embedded,
    /// A child of ours runs it.
    Managed {
        /// Options; `None`: none.
        options: Option<&'a DatabaseManaged>,
        /// The stored size is a zero that the earlier operator wrote for "not set".
        ignore_size: bool,
    },
    /// A child of ours checks it.
    External(External<'a>),
}

/// Where an external database is.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum External<'a> {
    /// A Secret has the URL.
    Secret(&'a SecretKeyRef),
    /// It stands in the spec.
    Literal(&'a SecretText),
}

impl Database<'_> {
    /// There is a child resource.
    pub const fn has_child(&self) -> bool {
        !matches!(self, Self::Embedded)
    }
}

/// Reads the section. `adopted`: the earlier operator wrote defaults into this object.
pub fn database<'a>(spec: &'a InstanceSpec, adopted: bool, out: &mut Findings) -> Database<'a> {
    let section: Option<&Spec> = spec.database.as_deref();
    let mode = out
        .word("database.mode", section.and_then(|s| s.mode.as_ref()))
        .unwrap_or(DatabaseMode::Managed);
    let secret = section
        .and_then(|s| s.external_url_secret_ref.as_ref())
        .filter(|r| !r.name.is_empty());
    let literal = section
        .and_then(|s| s.external_url.as_ref())
        .filter(|u| !u.reveal().is_empty());
    if mode != DatabaseMode::External {
        for (path, set) in [
            ("database.externalURL", literal.is_some()),
            ("database.externalURLSecretRef", secret.is_some()),
        ] {
            if set {
                out.overridden(path, format!("ignored, database.mode is {mode}"));
            }
        }
    }
    match mode {
        DatabaseMode::Embedded => Database::Embedded,
        DatabaseMode::Managed => managed(section.and_then(|s| s.managed.as_deref()), adopted, out),
        DatabaseMode::External => external(secret, literal, out),
    }
}

fn managed<'a>(
    options: Option<&'a DatabaseManaged>,
    adopted: bool,
    out: &mut Findings,
) -> Database<'a> {
    let mut ignore_size = false;
    if let Some(options) = options {
        let engine = out.word("database.managed.engine", options.engine.as_ref());
        if let Some(tls) = &options.tls {
            out.word("database.managed.tls.mode", tls.mode.as_ref());
        }
        if let Some(upgrade) = &options.upgrade {
            out.word("database.managed.upgrade.method", upgrade.method.as_ref());
        }
        if options.instances.is_some() && engine != Some(ManagedEngine::CloudNativePg) {
            out.overridden(
                "database.managed.instances",
                "ignored, only engine CloudNativePG has several",
            );
        }
        if let Some(size) = &options.storage_size {
            let amount = Amount::parse(&size.0);
            ignore_size = adopted && amount == Ok(Amount::of_bytes(0));
            if !ignore_size && !amount.is_ok_and(Amount::is_positive) {
                out.invalid(
                    "database.managed.storageSize",
                    format!("\"{}\" must be greater than 0", size.0),
                );
            }
        }
    }
    Database::Managed {
        options,
        ignore_size,
    }
}

fn external<'a>(
    secret: Option<&'a SecretKeyRef>,
    literal: Option<&'a SecretText>,
    out: &mut Findings,
) -> Database<'a> {
    match (secret, literal) {
        (Some(secret), literal) => {
            if literal.is_some() {
                out.overridden(
                    "database.externalURL",
                    "ignored, externalURLSecretRef is set",
                );
            }
            Database::External(External::Secret(secret))
        }
        (None, Some(url)) => {
            match forms::database_url(url.reveal()) {
                Err(text) => out.invalid("database.externalURL", text),
                Ok(parsed) if parsed.password().is_some() => out.warn(
                    "database.externalURL",
                    "stored in clear text; use externalURLSecretRef",
                ),
                Ok(_) => {}
            }
            Database::External(External::Literal(url))
        }
        (None, None) => {
            out.invalid(
                "database",
                "database.externalURL or database.externalURLSecretRef is required when database.mode is external",
            );
            Database::Embedded
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(yaml: &str, adopted: bool) -> Vec<String> {
        let spec: InstanceSpec = serde_saphyr::from_str(yaml).unwrap();
        let mut out = Findings::default();
        database(&spec, adopted, &mut out);
        out.iter()
            .map(|f| format!("{} {}: {}", f.class.reason(), f.path, f.text))
            .collect()
    }

    #[test]
    fn an_external_database_needs_a_url_and_the_secret_wins() {
        assert!(said("database: {mode: external}", false)[0].contains("is required when"));
        let both = "database: {mode: external, externalURL: 'postgres://h/d', externalURLSecretRef: {name: a, key: b}}";
        assert_eq!(
            said(both, false),
            ["Overridden spec.database.externalURL: ignored, externalURLSecretRef is set"]
        );
    }

    #[test]
    fn a_password_in_clear_text_is_warned_of_and_never_repeated() {
        let all = said(
            "database: {mode: external, externalURL: 'postgres://u:hunter2@h/d'}",
            false,
        );
        assert_eq!(
            all,
            [
                "AcceptedWithWarnings spec.database.externalURL: stored in clear text; use externalURLSecretRef"
            ]
        );
        let wrong = said(
            "database: {mode: external, externalURL: 'mysql://u:hunter2@h/d'}",
            false,
        );
        assert!(wrong[0].starts_with("InvalidSpec") && !wrong[0].contains("hunter2"));
    }

    #[test]
    fn a_size_of_zero_is_invalid_unless_the_earlier_operator_wrote_it() {
        let yaml = "database: {managed: {storageSize: '0'}}";
        assert!(said(yaml, false)[0].contains("must be greater than 0"));
        assert!(said(yaml, true).is_empty());
    }

    #[test]
    fn urls_are_reported_when_the_mode_does_not_use_them() {
        assert_eq!(
            said("database: {externalURL: 'postgres://h/d'}", false),
            ["Overridden spec.database.externalURL: ignored, database.mode is managed"]
        );
    }
}
