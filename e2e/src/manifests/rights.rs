//! Rules for the operator's rights, checked over rendered manifests: what it may never be given, and that each right says what it is
//! for. Knows nothing of what the code uses; that is compared on a cluster, by the audit log.

use std::fmt::Write as _;

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;

use super::{NAMESPACE, RELEASE, documents};

/// A rule of a role, with the comment above it.
#[derive(Debug)]
pub struct Rule {
    /// `ClusterRole x` or `Role ns/x`.
    pub role: String,
    /// Groups, as in the manifest.
    pub groups: Vec<String>,
    /// Resources, with their subresources.
    pub resources: Vec<String>,
    /// Only these objects; all if empty.
    pub names: Vec<String>,
    /// What may be done.
    pub verbs: Vec<String>,
    /// What for.
    pub why: String,
}

const WRITES: [&str; 5] = ["create", "update", "patch", "delete", "deletecollection"];

/// What never stands in a role of the operator: resource (exactly, or with `/` at the end all below it), verbs, and why not.
const NEVER: &[(&str, &[&str], &str)] = &[
    ("pods/exec", &[], "a way into every pod"),
    ("pods/attach", &[], "a way into every pod"),
    ("pods/portforward", &[], "a way into every pod"),
    ("pods/ephemeralcontainers", &[], "a way into every pod"),
    ("serviceaccounts/token", &[], "a way to every account"),
    ("nodes", &[], "nodes are not the operator's"),
    ("nodes/", &[], "nodes are not the operator's"),
    ("namespaces", &WRITES, "namespaces are made by people"),
    ("roles", &WRITES, "no right to hand out rights"),
    ("rolebindings", &WRITES, "no right to hand out rights"),
    ("clusterroles", &WRITES, "no right to hand out rights"),
    (
        "clusterrolebindings",
        &WRITES,
        "no right to hand out rights",
    ),
    (
        "customresourcedefinitions",
        &WRITES,
        "definitions are installed by people",
    ),
    (
        "secrets",
        &["list", "watch", "delete", "deletecollection"],
        "Secrets are read by name, and outlive everything",
    ),
    (
        "persistentvolumeclaims",
        &["delete", "deletecollection"],
        "data outlives everything",
    ),
];

/// What is wrong with the roles and bindings of a manifest; empty if nothing is.
pub fn problems(text: &str) -> Result<Vec<String>> {
    let mut problems = Vec::new();
    for rule in rules(text)? {
        let mut say = |what: String| problems.push(format!("{}: {what}", rule.role));
        let all = rule
            .groups
            .iter()
            .chain(&rule.resources)
            .chain(&rule.names)
            .chain(&rule.verbs);
        if let Some(wild) = all.clone().find(|word| word.contains('*')) {
            say(format!("wildcard {wild} in {:?}", rule.resources));
        }
        for verb in ["escalate", "bind", "impersonate"] {
            if rule.verbs.iter().any(|v| v == verb) {
                say(format!("{verb} on {:?}", rule.resources));
            }
        }
        for (resource, verbs, why) in NEVER {
            let hit =
                |r: &String| r == resource || (resource.ends_with('/') && r.starts_with(resource));
            for found in rule.resources.iter().filter(|r| hit(r)) {
                let bad: Vec<_> = rule
                    .verbs
                    .iter()
                    .filter(|verb| verbs.is_empty() || verbs.contains(&verb.as_str()))
                    .cloned()
                    .collect();
                if !bad.is_empty() {
                    say(format!("{} on {found}: {why}", bad.join(", ")));
                }
            }
        }
        if rule.why.is_empty() {
            say(format!("no comment says what {:?} is for", rule.resources));
        }
    }
    problems.extend(bindings(text)?);
    Ok(problems)
}

/// Every binding gives a role of the same manifest to the operator's account, and to nobody else.
fn bindings(text: &str) -> Result<Vec<String>> {
    let all = documents(text)?;
    let mut problems = Vec::new();
    let name = |object: &Value| {
        object["metadata"]["name"]
            .as_str()
            .unwrap_or_default()
            .to_owned()
    };
    for binding in all.iter().filter(|object| {
        object["kind"]
            .as_str()
            .is_some_and(|kind| kind.ends_with("RoleBinding"))
    }) {
        let reference = &binding["roleRef"];
        if !all.iter().any(|role| {
            role["kind"] == reference["kind"] && role["metadata"]["name"] == reference["name"]
        }) {
            problems.push(format!(
                "{}: binds {reference}, which is not here",
                name(binding)
            ));
        }
        let subjects = binding["subjects"].as_array().cloned().unwrap_or_default();
        let ours = |subject: &Value| {
            subject["kind"] == "ServiceAccount"
                && subject["name"] == RELEASE
                && subject["namespace"] == NAMESPACE
        };
        if subjects.len() != 1 || !subjects.iter().all(ours) {
            problems.push(format!("{}: binds to {subjects:?}", name(binding)));
        }
    }
    Ok(problems)
}

/// All rules of the roles that are bound, with the comments above them.
pub fn rules(text: &str) -> Result<Vec<Rule>> {
    let mut all = Vec::new();
    for document in text.split("\n---") {
        let Some(object) = documents(document)?.pop() else {
            continue;
        };
        let kind = object["kind"].as_str().unwrap_or_default();
        // Aggregated roles are the users' rights, not the operator's.
        if !["Role", "ClusterRole"].contains(&kind)
            || object["metadata"]["labels"]
                .as_object()
                .is_some_and(|labels| labels.keys().any(|key| key.contains("/aggregate-to-")))
        {
            continue;
        }
        let name = object["metadata"]["name"].as_str().unwrap_or_default();
        let role = match object["metadata"]["namespace"].as_str() {
            Some(namespace) => format!("{kind} {namespace}/{name}"),
            None => format!("{kind} {name}"),
        };
        let found = object["rules"]
            .as_array()
            .with_context(|| format!("{role} has no rules"))?;
        let comments = comments(document);
        ensure!(
            comments.len() == found.len(),
            "{role}: a rule does not begin with apiGroups"
        );
        for (rule, why) in found.iter().zip(comments) {
            let list = |key: &str| -> Vec<String> {
                let words = rule[key].as_array().into_iter().flatten();
                words
                    .filter_map(|word| word.as_str().map(str::to_owned))
                    .collect()
            };
            ensure!(
                rule.get("nonResourceURLs").is_none(),
                "{role}: nonResourceURLs"
            );
            all.push(Rule {
                role: role.clone(),
                groups: list("apiGroups"),
                resources: list("resources"),
                names: list("resourceNames"),
                verbs: list("verbs"),
                why,
            });
        }
    }
    Ok(all)
}

/// For each rule the comment lines directly above it.
fn comments(document: &str) -> Vec<String> {
    let mut all = Vec::new();
    let mut comment = Vec::new();
    for line in document.lines().map(str::trim_start) {
        if let Some(text) = line.strip_prefix("# ") {
            comment.push(text.trim());
        } else {
            if line.starts_with("- apiGroups:") {
                all.push(comment.join(" "));
            }
            comment.clear();
        }
    }
    all
}

/// The rules as a table for the documentation.
pub fn table(text: &str) -> Result<String> {
    let mut table = String::new();
    let mut role = String::new();
    for rule in rules(text)? {
        if rule.role != role {
            if !role.is_empty() {
                table.push('\n');
            }
            role.clone_from(&rule.role);
            let (kind, name) = role.split_once(' ').unwrap_or_default();
            write!(
                table,
                "### {kind} `{name}`\n\n| what | may be | why |\n|---|---|---|\n"
            )?;
        }
        let group = rule.groups.join(", ");
        let mut what: Vec<_> = rule
            .resources
            .iter()
            .map(|resource| full_name(&group, resource))
            .collect();
        if !rule.names.is_empty() {
            what.push(format!("only `{}`", rule.names.join("`, `")));
        }
        writeln!(
            table,
            "| {} | {} | {} |",
            what.join(", "),
            rule.verbs.join(", "),
            rule.why.replace('|', "\\|")
        )?;
    }
    Ok(table)
}

/// A resource as kubectl takes it, in code font.
fn full_name(group: &str, resource: &str) -> String {
    match (group, resource.split_once('/')) {
        ("", _) => format!("`{resource}`"),
        (group, Some((whole, part))) => format!("`{whole}.{group}/{part}`"),
        (group, None) => format!("`{resource}.{group}`"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn role(rule: &str) -> String {
        format!("---\nkind: ClusterRole\nmetadata:\n  name: x\nrules:\n{rule}")
    }

    #[test]
    fn what_the_operator_must_never_get_is_found() {
        for (rule, problem) in [
            ("resources: [pods]\n    verbs: ['*']", "wildcard"),
            ("resources: ['*']\n    verbs: [get]", "wildcard"),
            (
                "resources: [clusterroles]\n    verbs: [escalate]",
                "escalate",
            ),
            ("resources: [roles]\n    verbs: [bind]", "bind"),
            (
                "resources: [users]\n    verbs: [impersonate]",
                "impersonate",
            ),
            ("resources: [pods/exec]\n    verbs: [create]", "pods/exec"),
            ("resources: [pods/attach]\n    verbs: [get]", "pods/attach"),
            ("resources: [nodes]\n    verbs: [get]", "nodes"),
            ("resources: [nodes/proxy]\n    verbs: [get]", "nodes/proxy"),
            (
                "resources: [namespaces]\n    verbs: [get, create]",
                "create on namespaces",
            ),
            (
                "resources: [namespaces]\n    verbs: [delete]",
                "delete on namespaces",
            ),
            (
                "resources: [rolebindings]\n    verbs: [create]",
                "rolebindings",
            ),
            (
                "resources: [secrets]\n    verbs: [get, list]",
                "list on secrets",
            ),
            (
                "resources: [secrets]\n    verbs: [watch]",
                "watch on secrets",
            ),
            (
                "resources: [pods, secrets]\n    verbs: [delete]",
                "delete on secrets",
            ),
            (
                "resources: [persistentvolumeclaims]\n    verbs: [delete]",
                "delete on persistentvolumeclaims",
            ),
        ] {
            let text = role(&format!("  # Why.\n  - apiGroups: [\"\"]\n    {rule}\n"));
            let found = problems(&text).unwrap();
            assert!(
                found.iter().any(|found| found.contains(problem)),
                "{rule}: {found:?}"
            );
        }
    }

    #[test]
    fn a_right_without_a_reason_is_found() {
        let good =
            "  # Why.\n  - apiGroups: [apps]\n    resources: [deployments]\n    verbs: [get]\n";
        assert_eq!(problems(&role(good)).unwrap(), Vec::<String>::new());
        let bad =
            format!("{good}  - apiGroups: [batch]\n    resources: [jobs]\n    verbs: [get]\n");
        let found = problems(&role(&bad)).unwrap();
        assert!(found.len() == 1 && found[0].contains("jobs"), "{found:?}");
    }

    #[test]
    fn a_binding_for_somebody_else_is_found() {
        let binding = |subject: &str| {
            format!(
                "{}---\nkind: ClusterRoleBinding\nmetadata:\n  name: b\nroleRef: {{kind: ClusterRole, name: x}}\nsubjects: [{subject}]\n",
                role(
                    "  # Why.\n  - apiGroups: [apps]\n    resources: [deployments]\n    verbs: [get]\n"
                )
            )
        };
        let ours = format!("{{kind: ServiceAccount, name: {RELEASE}, namespace: {NAMESPACE}}}");
        assert_eq!(problems(&binding(&ours)).unwrap(), Vec::<String>::new());
        for other in [
            "{kind: Group, name: 'system:authenticated'}".to_owned(),
            format!("{ours}, {{kind: User, name: x}}"),
        ] {
            assert_eq!(problems(&binding(&other)).unwrap().len(), 1, "{other}");
        }
    }
}
