//! Fields that are accepted and not built yet. They are said, never ignored: `Accepted=False/NotImplemented` with the path. Whoever builds
//! one takes it out of this table; a test walks the schema, so that no field is in neither list. Pure.

use super::problem::{Problem, Reason};
use crate::crd::database::PaperclipDatabaseSpec;
use crate::crd::shared::TlsMode;
use crate::crd::{Word, text};

type Set = fn(&PaperclipDatabaseSpec) -> bool;

/// Path below `spec`, and whether a spec asks for it.
const UNBUILT: &[(&str, Set)] = &[
    ("storage.autoGrow", |s| {
        s.storage.as_ref().is_some_and(|s| s.auto_grow.is_some())
    }),
    ("credentials.rotation.interval", |s| {
        s.credentials
            .as_ref()
            .and_then(|c| c.rotation.as_ref())
            .is_some_and(|r| text(r.interval.as_ref()).is_some())
    }),
    ("tls.mode", |s| {
        s.tls
            .as_ref()
            .and_then(|t| t.mode.as_ref())
            .is_some_and(|mode| *mode != TlsMode::Disabled && !is_empty(mode))
    }),
    ("upgrade.to", |s| {
        s.upgrade.as_ref().is_some_and(|u| u.to.is_some())
    }),
    ("upgrade.method", |s| {
        s.upgrade
            .as_ref()
            .and_then(|u| u.method.as_ref())
            .is_some_and(|m| !is_empty(m))
    }),
    ("upgrade.keepPreviousFor", |s| {
        s.upgrade
            .as_ref()
            .is_some_and(|u| text(u.keep_previous_for.as_ref()).is_some())
    }),
    ("cluster.instances", |s| {
        s.cluster.as_ref().is_some_and(|c| c.instances.is_some())
    }),
];

fn is_empty<E>(word: &Word<E>) -> bool {
    matches!(word, Word::Unknown(text) if text.is_empty())
}

/// What a spec asks for that is not built yet.
pub fn asked(spec: &PaperclipDatabaseSpec) -> Vec<Problem> {
    UNBUILT
        .iter()
        .filter(|(_, set)| set(spec))
        .map(|(path, _)| {
            Problem::new(
                Reason::NotImplemented,
                format!("spec.{path}"),
                "not built yet, has no effect",
            )
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::crd::PaperclipDatabase;
    use kube::CustomResourceExt;
    use serde_json::Value;

    /// What is built. An embedded Kubernetes type is one entry.
    const BUILT: &[&str] = &[
        "engine",
        "version",
        "image",
        "storage.size",
        "storage.storageClassName",
        "storage.existingClaim",
        "resources",
        "nodeSelector",
        "tolerations",
        "affinity",
        "priorityClassName",
        "imagePullSecrets",
        "parameters",
        "external.urlSecretRef",
        "external.url",
        "suspend",
        "deletionPolicy",
    ];

    fn leaves(schema: &Value, path: &str, out: &mut Vec<String>) {
        match schema["properties"].as_object() {
            Some(properties) if !properties.is_empty() => {
                for (name, below) in properties {
                    leaves(below, &format!("{path}.{name}"), out);
                }
            }
            _ => out.push(path.trim_start_matches('.').to_owned()),
        }
    }

    #[test]
    fn every_field_is_built_or_said_not_to_be() {
        let crd = serde_json::to_value(PaperclipDatabase::crd()).unwrap();
        let spec = &crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"];
        let mut found = vec![];
        leaves(spec, "", &mut found);
        assert!(found.len() > 20, "{found:?}");
        let covers = |entry: &str, leaf: &str| {
            leaf == entry || leaf.strip_prefix(entry).is_some_and(|r| r.starts_with('.'))
        };
        let listed: Vec<&str> = BUILT
            .iter()
            .copied()
            .chain(UNBUILT.iter().map(|(path, _)| *path))
            .collect();
        for leaf in &found {
            let by = listed.iter().filter(|entry| covers(entry, leaf)).count();
            assert_eq!(by, 1, "spec.{leaf} is in {by} lists");
        }
        for entry in listed {
            assert!(
                found.iter().any(|leaf| covers(entry, leaf)),
                "no spec.{entry}"
            );
        }
    }

    #[test]
    fn each_unbuilt_field_is_named_when_it_is_set() {
        let spec: PaperclipDatabaseSpec = serde_json::from_str(
            r#"{"storage": {"autoGrow": {}}, "credentials": {"rotation": {"interval": "24h"}}, "tls": {"mode": "Require"},
                "upgrade": {"to": 18, "method": "Copy", "keepPreviousFor": "1h"}, "cluster": {"instances": 3}}"#,
        )
        .unwrap();
        let paths: Vec<String> = asked(&spec).into_iter().map(|p| p.path).collect();
        let listed: Vec<String> = UNBUILT.iter().map(|(p, _)| format!("spec.{p}")).collect();
        assert_eq!(paths, listed);
    }

    #[test]
    fn what_asks_for_nothing_is_not_named() {
        let spec: PaperclipDatabaseSpec = serde_json::from_str(
            r#"{"tls": {"mode": "Disabled"}, "credentials": {"rotation": {}}, "upgrade": {"method": ""}, "cluster": {}}"#,
        )
        .unwrap();
        assert_eq!(asked(&spec), vec![]);
    }
}
