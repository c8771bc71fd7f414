//! What `validate` has to say about a spec: all findings at once, each with its path, worst first. Pure.

use crate::shared::conditions::{Fact, Truth, clean, list, quote};

/// Kind of a finding, the worst first. The first three stop the change; what runs goes on as it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Class {
    /// A rule is broken.
    InvalidSpec,
    /// A derived name would be too long.
    NameTooLong,
    /// Another Instance has it already.
    Conflict,
    /// Legal, and this operator does not do it yet.
    NotImplemented,
    /// Legal, and no code of the application reads it.
    UnsupportedByVersion,
    /// Another field or object decides.
    Overridden,
    /// Corrected into its range.
    Clamped,
    /// An old spelling.
    Deprecated,
    /// Risky, but done as asked.
    Warning,
}

impl Class {
    /// The condition's reason.
    pub const fn reason(self) -> &'static str {
        match self {
            Self::InvalidSpec => "InvalidSpec",
            Self::NameTooLong => "NameTooLong",
            Self::Conflict => "Conflict",
            Self::NotImplemented => "NotImplemented",
            Self::UnsupportedByVersion => "UnsupportedByVersion",
            Self::Overridden => "Overridden",
            Self::Clamped => "Clamped",
            Self::Deprecated => "Deprecated",
            Self::Warning => "AcceptedWithWarnings",
        }
    }
    /// Nothing is applied while there is one.
    pub const fn blocks(self) -> bool {
        matches!(self, Self::InvalidSpec | Self::NameTooLong | Self::Conflict)
    }
}

/// One thing to say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// How bad.
    pub class: Class,
    /// JSON path, from `spec` or `metadata` on.
    pub path: String,
    /// What was found, and what to do.
    pub text: String,
    /// Reason of the event that tells it too; `None`: the condition is enough.
    pub event: Option<&'static str>,
}

impl Finding {
    /// As the condition says it.
    pub fn line(&self) -> String {
        format!("{}: {}", self.path, self.text)
    }
}

/// All findings of one pass.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Findings(Vec<Finding>);

impl Findings {
    /// Adds one. `path` is below `spec` unless it starts with `metadata`; empty: all of `spec`.
    pub fn add(&mut self, class: Class, path: &str, text: impl Into<String>) {
        self.push(class, None, path, &text.into());
    }
    fn push(&mut self, class: Class, event: Option<&'static str>, path: &str, text: &str) {
        let path = match path {
            "" => "spec".to_owned(),
            path if path.starts_with("metadata") => path.to_owned(),
            path => format!("spec.{path}"),
        };
        self.0.push(Finding {
            class,
            path,
            text: clean(text),
            event,
        });
    }
    /// A broken rule.
    pub fn invalid(&mut self, path: &str, text: impl Into<String>) {
        self.add(Class::InvalidSpec, path, text);
    }
    /// A risk.
    pub fn warn(&mut self, path: &str, text: impl Into<String>) {
        self.add(Class::Warning, path, text);
    }
    /// A risk that somebody is to hear of who does not look at conditions: an event tells it, once per value.
    pub fn advise(&mut self, event: &'static str, path: &str, text: impl Into<String>) {
        self.push(Class::Warning, Some(event), path, &text.into());
    }
    /// A field that loses.
    pub fn overridden(&mut self, path: &str, text: impl Into<String>) {
        self.add(Class::Overridden, path, text);
    }
    /// A field that loses or wins where that is a risk, told by an event as well.
    pub fn overridden_with(&mut self, event: &'static str, path: &str, text: impl Into<String>) {
        self.push(Class::Overridden, Some(event), path, &text.into());
    }
    /// A value that was corrected.
    pub fn clamped(&mut self, path: &str, text: impl Into<String>) {
        self.add(Class::Clamped, path, text);
    }
    /// A word that is none of those of the schema.
    pub fn unknown_word<E: crate::crd::Words>(&mut self, path: &str, found: &str) {
        self.invalid(
            path,
            format!("\"{}\" is not one of {}", quote(found), E::listed()),
        );
    }

    /// Reads an optional word; an unknown one is a finding and counts as absent only for the rest of this pass, which is not applied.
    pub fn word<E: crate::crd::Words>(
        &mut self,
        path: &str,
        field: Option<&crate::crd::Word<E>>,
    ) -> Option<E> {
        match crate::crd::word(field) {
            Ok(value) => value,
            Err(text) => {
                self.unknown_word::<E>(path, text);
                None
            }
        }
    }

    /// True if the spec may not be applied.
    pub fn blocking(&self) -> bool {
        self.0.iter().any(|f| f.class.blocks())
    }

    /// All of one class.
    pub fn of(&self, class: Class) -> impl Iterator<Item = &Finding> {
        self.0.iter().filter(move |f| f.class == class)
    }

    /// All.
    pub fn iter(&self) -> impl Iterator<Item = &Finding> {
        self.0.iter()
    }

    /// The condition `ConfigAccepted`.
    pub fn condition(&self) -> Fact {
        let mut sorted: Vec<&Finding> = self.0.iter().collect();
        sorted.sort_by_key(|f| f.class);
        let Some(worst) = sorted.first().map(|f| f.class) else {
            return Fact::new(
                "ConfigAccepted",
                Truth::True,
                "Accepted",
                "every field is accepted and used",
            );
        };
        let message = list(&sorted.iter().map(|f| f.line()).collect::<Vec<_>>());
        let truth = if worst == Class::Warning {
            Truth::True
        } else {
            Truth::False
        };
        Fact::new("ConfigAccepted", truth, worst.reason(), message)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_worst_finding_gives_the_reason_and_all_paths_are_named() {
        let mut findings = Findings::default();
        findings.warn("image.tag", "floats");
        findings.add(Class::UnsupportedByVersion, "auth.google", "not read");
        findings.invalid("deployment.mode", "no");
        let fact = findings.condition();
        assert_eq!((fact.truth, &*fact.reason), (Truth::False, "InvalidSpec"));
        assert_eq!(
            fact.message,
            "spec.deployment.mode: no; spec.auth.google: not read; spec.image.tag: floats"
        );
        assert!(findings.blocking());
    }

    #[test]
    fn a_warning_alone_is_accepted() {
        let mut findings = Findings::default();
        findings.warn("image", "latest");
        assert_eq!(findings.condition().truth, Truth::True);
        assert_eq!(findings.condition().reason, "AcceptedWithWarnings");
        assert!(!findings.blocking());
        assert_eq!(Findings::default().condition().reason, "Accepted");
    }
}
