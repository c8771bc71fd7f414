//! What a user sees who writes something wrong: each case with its message, and the page that lists them all.
//!
//! What the API server refuses is proven against a real one by the tests of the API tier, which read the same two files as this page.
//! After a new case run `UPDATE_GENERATED=1 cargo test --test wrong_input`, read what it wrote, and commit it.

#![allow(clippy::unwrap_used)] // a test fails by panicking

#[path = "../generated/mod.rs"]
mod generated;

use paperclip_operator::controllers::instance::found::{Found, Learned};
use paperclip_operator::controllers::instance::validate::{Input, validate};
use paperclip_operator::crd::Instance;
use serde::Deserialize;
use serde_json::{Value, json};
use std::fmt::Write as _;

const REFUSED: &str = include_str!("../../e2e/tests/api/admission/refused.yaml");
const CHANGES: &str = include_str!("../../e2e/tests/api/admission/changes.yaml");
const CONDITIONS: &str = include_str!("conditions.yaml");

fn instance_kind() -> String {
    "Instance".into()
}

#[derive(Deserialize)]
struct Refused {
    #[serde(default = "instance_kind")]
    kind: String,
    spec: Value,
    field: String,
    says: String,
}

#[derive(Deserialize)]
struct Change {
    #[serde(default = "instance_kind")]
    kind: String,
    before: Value,
    refused: Value,
    field: String,
    says: String,
}

#[derive(Deserialize)]
struct Told {
    spec: Value,
}

/// What the condition says of a spec: `status`, `reason`, `message`.
fn told(spec: &Value) -> (String, String, String) {
    let instance: Instance = serde_json::from_value(json!({
        "apiVersion": "paperclip.inc/v1alpha1", "kind": "Instance",
        "metadata": {"name": "my-paperclip", "namespace": "prod", "uid": "u", "generation": 1}, "spec": spec,
    }))
    .unwrap();
    let learned = Learned::default();
    let input = Input {
        instance: &instance,
        adopted: None,
        learned: &learned,
        domain: "cluster.local",
    };
    let verdict = validate(input, &Found::default());
    let fact = verdict.findings.condition();
    (fact.truth.as_str().to_owned(), fact.reason, fact.message)
}

/// YAML in one line, as a person would write it.
fn one_line(value: &Value) -> String {
    match value {
        Value::Object(map) => {
            let inner: Vec<String> = map
                .iter()
                .map(|(k, v)| format!("{k}: {}", one_line(v)))
                .collect();
            format!("{{{}}}", inner.join(", "))
        }
        Value::Array(list) => {
            let inner: Vec<String> = list.iter().map(one_line).collect();
            format!("[{}]", inner.join(", "))
        }
        other => other.to_string(),
    }
}

fn cell(text: &str) -> String {
    text.replace('|', "\\|").replace('\n', " ")
}

/// A rule's text is whole; of the schema's own messages only a part is promised.
fn words(says: &str) -> String {
    says.strip_prefix('~').map_or_else(
        || format!("`{}`", cell(says)),
        |part| format!("… `{}` …", cell(part)),
    )
}

fn page() -> String {
    let refused: Vec<Refused> = serde_saphyr::from_str(REFUSED).unwrap();
    let changes: Vec<Change> = serde_saphyr::from_str(CHANGES).unwrap();
    let conditions: Vec<Told> = serde_saphyr::from_str(CONDITIONS).unwrap();
    assert!(
        refused.len() + changes.len() + conditions.len() >= 60,
        "too few cases"
    );
    let mut page = String::from(
        "# Wrong input

What you see when a manifest says something that cannot be. This page is made from the tests: every row is one.

## Refused when it is created

Nothing is stored. The answer names the field.

| kind | spec | field | message |
|---|---|---|---|
",
    );
    for case in &refused {
        let (spec, says) = (cell(&one_line(&case.spec)), words(&case.says));
        writeln!(
            page,
            "| {} | `{spec}` | `{}` | {says} |",
            case.kind, case.field
        )
        .unwrap();
    }
    page.push_str("\n## Refused when it is changed\n\n| kind | before | change | field | message |\n|---|---|---|---|---|\n");
    for case in &changes {
        let (before, change) = (
            cell(&one_line(&case.before)),
            cell(&one_line(&case.refused)),
        );
        let says = words(&case.says);
        writeln!(
            page,
            "| {} | `{before}` | `{change}` | `{}` | {says} |",
            case.kind, case.field
        )
        .unwrap();
    }
    page.push_str(
        "
## Stored, and told in the condition ConfigAccepted of an Instance

`InvalidSpec`: nothing of the change is applied, what runs goes on as it is. The other reasons: everything else is applied. Never does
`UnsupportedByVersion`, `Overridden`, `Clamped` or a warning keep an Instance from being `Ready`.

| spec | status | reason | message |
|---|---|---|---|
",
    );
    for case in &conditions {
        let (status, reason, message) = told(&case.spec);
        let (spec, message) = (cell(&one_line(&case.spec)), cell(&message));
        writeln!(page, "| `{spec}` | {status} | {reason} | `{message}` |").unwrap();
    }
    page
}

#[test]
fn the_page_lists_every_case_with_what_is_said_today() {
    generated::same_as_file("docs/wrong-input.md", &page());
}

#[test]
fn every_case_is_told_and_names_the_field() {
    let conditions: Vec<Told> = serde_saphyr::from_str(CONDITIONS).unwrap();
    for case in conditions {
        let (_, reason, message) = told(&case.spec);
        assert_ne!(reason, "Accepted", "{}", case.spec);
        assert!(
            message.starts_with("spec"),
            "{message} has no path, for {}",
            case.spec
        );
    }
}
