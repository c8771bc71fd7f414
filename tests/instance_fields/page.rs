//! The page that says of each field of an Instance what it does: found by setting it, not by claiming it.

use super::beside::WITHOUT_EFFECT;
use super::leaves::leaves;
use super::{Effect, both, reported_as_a_whole};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

const INTRODUCTION: &str = "# What each field of an Instance does

This page is made by setting every field in turn and looking at what becomes of it. *Variables* are those of the server's container that
appear, go, or change; *objects* those that change in any other way. What the application does not read, and what this version of the
operator does not do yet, says so: the same words stand in the condition `ConfigAccepted` of an Instance that sets it.

A test looks for each variable of this page in the application's published package.

| field | variables | objects | told |
|---|---|---|---|
";

/// Variables of the server, by name.
fn variables(effect: &Effect) -> BTreeMap<String, Value> {
    let mut all = BTreeMap::new();
    for object in effect.objects.values() {
        let containers = object["spec"]["template"]["spec"]["containers"].as_array();
        let server = containers
            .into_iter()
            .flatten()
            .filter(|c| c["name"] == "paperclip");
        for entry in server.flat_map(|c| c["env"].as_array().into_iter().flatten()) {
            let name = entry["name"].as_str().unwrap_or_default().to_owned();
            all.insert(name, entry.clone());
        }
    }
    all
}

/// An object without the server's variables.
fn rest(object: Option<&Value>) -> Value {
    let mut object = object.cloned().unwrap_or_default();
    let containers = object["spec"]["template"]["spec"]["containers"].as_array_mut();
    for container in containers.into_iter().flatten() {
        if container["name"] == "paperclip"
            && let Some(map) = container.as_object_mut()
        {
            map.remove("env");
        }
    }
    object
}

fn row(schema: &Value, path: &str) -> String {
    let code = |text: &str| format!("`{text}`");
    if let Some((_, why)) = WITHOUT_EFFECT.iter().find(|(p, _)| *p == path) {
        return format!("| `{path}` | | | {why} |");
    }
    if let Some(whole) = reported_as_a_whole(path) {
        return format!("| `{path}` | | | with `{whole}` |");
    }
    let (before, after, _) = both(schema, path).unwrap_or_else(|why| panic!("{path}: {why}"));
    let (old, new) = (variables(&before), variables(&after));
    let names: BTreeSet<&String> = old.keys().chain(new.keys()).collect();
    let changed: Vec<String> = names
        .into_iter()
        .filter(|name| old.get(*name) != new.get(*name))
        .map(|name| code(name))
        .collect();
    let keys: BTreeSet<&String> = before.objects.keys().chain(after.objects.keys()).collect();
    let mut objects: BTreeSet<String> = keys
        .into_iter()
        .filter(|key| rest(before.objects.get(*key)) != rest(after.objects.get(*key)))
        .map(|key| key.split('/').next().unwrap_or_default().to_owned())
        .collect();
    if before.beside != after.beside && objects.is_empty() && changed.is_empty() {
        objects.insert("PersistentVolumeClaim, or what is waited for".to_owned());
    }
    let full = format!("spec.{path}");
    let is_about = |finding: &str| {
        full.strip_prefix(finding)
            .is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '[', '{']))
    };
    let told: Vec<String> = after
        .told
        .iter()
        .filter(|finding| !before.told.contains(finding) || is_about(&finding.0))
        .map(|(_, reason, text)| format!("{reason}: {}", text.replace('|', "\\|")))
        .collect();
    let objects: Vec<String> = objects.into_iter().collect();
    format!(
        "| `{path}` | {} | {} | {} |",
        changed.join(" "),
        objects.join(", "),
        told.join("; ")
    )
}

/// The whole page.
pub fn page(schema: &Value) -> String {
    let mut page = String::from(INTRODUCTION);
    for path in leaves(schema) {
        writeln!(page, "{}", row(schema, &path)).unwrap();
    }
    page
}
