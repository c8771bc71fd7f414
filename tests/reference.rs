//! The page of all fields, made from the definitions.
//!
//! After a change of the types run `UPDATE_GENERATED=1 cargo test --test reference` and commit what it wrote.

#![allow(clippy::unwrap_used)] // a test fails by panicking

mod generated;

use paperclip_operator::crd;
use serde_json::Value;
use std::fmt::Write as _;

const INTRODUCTION: &str = "# Reference

Every field of every kind, as `kubectl explain` shows it. The API group is `paperclip.inc/v1alpha1`. This page is made from the
definitions; `tests/reference.rs` keeps it in step.

Nothing has to be set unless it is marked *required*. An empty value (`\"\"`, `[]`, `{}`, `null`) counts as not set, but for words out of a
list `null` is refused. Defaults are not stored in the object, except `spec.availability.replicas` of an Instance: what is not set
follows the defaults of the cluster's administrator (`PaperclipClusterDefaults`), then those of this page.

Durations are written as `90s`, `30m`, `48h`; quantities as `500m`, `2Gi`; schedules as five-field cron or `@daily` and the like. A
reference, `{name}`, or `{name, key}` for one key, is always in the same namespace, and to a Secret unless the text says otherwise.
Types in *italics* are those of Kubernetes.
";

/// Kubernetes' own types, by the name of the field.
fn embedded(name: &str) -> &'static str {
    match name {
        "affinity" => "*Affinity*",
        "conditions" => "list of *Condition*",
        "containerSecurityContext" => "*SecurityContext*",
        "env" | "serverEnv" => "list of *EnvVar*",
        "envFrom" => "list of *EnvFromSource*",
        "extraEgress" => "list of *NetworkPolicyEgressRule*",
        "extraVolumeMounts" => "list of *VolumeMount*",
        "extraVolumes" => "list of *Volume*",
        "podSecurityContext" => "*PodSecurityContext*",
        "resourceTiers" => "map of *ResourceRequirements*",
        "resources" => "*ResourceRequirements*",
        "sidecars" | "initContainers" => "list of *Container*",
        "tolerations" => "list of *Toleration*",
        "topologySpreadConstraints" => "list of *TopologySpreadConstraint*",
        other => panic!("which type of Kubernetes is {other}?"),
    }
}

/// One of Kubernetes' own types: its structure is there, its text is not.
fn is_embedded(schema: &Value) -> bool {
    let inner = [&schema["items"], &schema["additionalProperties"], schema];
    inner
        .iter()
        .filter_map(|schema| schema["properties"].as_object())
        .any(|properties| {
            properties
                .values()
                .all(|property| property.get("description").is_none())
        })
}

/// References are known by what they hold; a row for each of their fields would say the same thirty times.
fn reference(schema: &Value) -> Option<&'static str> {
    let properties = schema["properties"].as_object()?;
    let named = schema["x-kubernetes-map-type"] == "atomic" && properties.contains_key("name");
    match (named, properties.len(), properties.contains_key("key")) {
        (true, 2, true) => Some("`{name, key}`"),
        (true, 1, _) => Some("`{name}`"),
        _ => None,
    }
}

fn type_of(name: &str, schema: &Value) -> String {
    if let Some(reference) = reference(schema) {
        return reference.to_owned();
    }
    if is_embedded(schema) {
        return embedded(name).to_owned();
    }
    if let Some(words) = schema["enum"].as_array() {
        let words: Vec<String> = words
            .iter()
            .map(|word| format!("`{}`", word.as_str().unwrap()))
            .collect();
        return words.join(", ");
    }
    if schema["x-kubernetes-int-or-string"] == Value::Bool(true) {
        return if name.ends_with("vailable") {
            "number or percentage"
        } else {
            "quantity"
        }
        .to_owned();
    }
    match (
        schema["type"].as_str().unwrap_or_default(),
        schema["format"].as_str(),
    ) {
        ("string", Some("date-time")) => "time".to_owned(),
        ("string", _) => "string".to_owned(),
        ("array", _) => format!("list of {}", type_of(name, &schema["items"])),
        ("object", _) if schema["additionalProperties"].is_object() => {
            format!("map of {}", type_of(name, &schema["additionalProperties"]))
        }
        (other, _) => other.to_owned(),
    }
}

/// Splits a text into what the field means and its default.
fn meaning_and_default(text: &str) -> (String, String) {
    let (mut meaning, mut default) = (Vec::new(), String::new());
    for sentence in text.split(". ") {
        let sentence = sentence.trim_end_matches('.');
        match sentence.strip_prefix("Default") {
            Some(rest) => rest.trim_start_matches([':', ' ']).clone_into(&mut default),
            None => meaning.push(sentence),
        }
    }
    let meaning = if meaning.is_empty() {
        String::new()
    } else {
        format!("{}.", meaning.join(". "))
    };
    (meaning, default)
}

fn rows(schema: &Value, path: &str, out: &mut String) {
    let required = &schema["required"];
    for (name, property) in schema["properties"].as_object().into_iter().flatten() {
        let path = if path.is_empty() {
            name.clone()
        } else {
            format!("{path}.{name}")
        };
        let (mut meaning, default) = meaning_and_default(property["description"].as_str().unwrap());
        if required
            .as_array()
            .into_iter()
            .flatten()
            .any(|required| required == name)
        {
            meaning = format!("*required* {meaning}");
        }
        let cells = [
            format!("`{path}`"),
            type_of(name, property),
            default,
            meaning,
        ];
        let cells = cells.map(|cell| cell.replace('|', "\\|"));
        writeln!(out, "| {} |", cells.join(" | ").replace("|  |", "| |")).unwrap();
        if !is_embedded(property) && reference(property).is_none() {
            rows(property, &path, out);
            rows(&property["items"], &format!("{path}[]"), out);
        }
    }
}

fn table(schema: &Value, path: &str, out: &mut String) {
    out.push_str("| field | type | default | meaning |\n|---|---|---|---|\n");
    rows(schema, path, out);
    out.push('\n');
}

fn page() -> String {
    let mut page = INTRODUCTION.to_owned();
    for definition in crd::all() {
        let definition = serde_json::to_value(definition).unwrap();
        let names = &definition["spec"]["names"];
        let schema = &definition["spec"]["versions"][0]["schema"]["openAPIV3Schema"];
        let (spec, status) = (
            &schema["properties"]["spec"],
            &schema["properties"]["status"],
        );
        let scope = if definition["spec"]["scope"] == "Cluster" {
            "one for the cluster"
        } else {
            "in a namespace"
        };
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        writeln!(page, "\n## {}\n", text(&names["kind"])).unwrap();
        writeln!(
            page,
            "{} Short name `{}`, {scope}.\n",
            text(&schema["description"]),
            text(&names["shortNames"][0])
        )
        .unwrap();
        page.push_str("### spec\n\n");
        table(spec, "", &mut page);
        page.push_str("### status\n\n");
        table(status, "", &mut page);
    }
    format!("{}\n", page.trim_end())
}

#[test]
fn the_reference_is_up_to_date() {
    generated::same_as_file("docs/reference.md", &page());
}

#[test]
fn defaults_are_found_in_the_text() {
    let (meaning, default) =
        meaning_and_default("Days to keep backups, at least 1. Default 30. `retention` wins.");
    assert_eq!(
        (meaning.as_str(), default.as_str()),
        ("Days to keep backups, at least 1. `retention` wins.", "30")
    );
}
