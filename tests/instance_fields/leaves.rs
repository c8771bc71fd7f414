//! The fields of a schema, a value for each, and how to put it where it belongs. Shared by the test of what is built and the test on a
//! real API server.

#![allow(clippy::unwrap_used)] // tables of tests

use super::beside::BESIDE;
use super::schema_walk::{Node, at, every_node};
use serde_json::{Value, json};
use std::collections::BTreeSet;

/// The leaves of `spec` as paths below it. What Kubernetes' own types hold is one leaf: they are passed on as a whole.
pub fn leaves(schema: &Value) -> Vec<String> {
    let mut all: Vec<String> = vec![];
    every_node(schema, &mut |path, _: Node| {
        if let Some(path) = path.strip_prefix(".spec.") {
            let node = at(schema, &format!(".spec.{path}"));
            let below = |v: &Value| v["properties"].is_object() && is_documented(v);
            let list = &node["items"];
            if !below(node) && !below(list) {
                let suffix = if list.is_object() { "[]" } else { "" };
                all.push(format!("{path}{suffix}"));
            }
        }
    });
    // Below an embedded type nothing is ours.
    let tops: BTreeSet<String> = all.iter().cloned().collect();
    all.retain(|path| {
        let parents = path.match_indices(['.', '[', '{']).map(|(i, _)| &path[..i]);
        !parents
            .into_iter()
            .any(|p| tops.contains(p) || tops.contains(&format!("{p}[]")))
    });
    all
}

/// Our own types carry descriptions.
fn is_documented(schema: &Value) -> bool {
    schema["properties"]
        .as_object()
        .into_iter()
        .flatten()
        .any(|(_, p)| p["description"].is_string())
}

/// A value that is not the default, as far as the schema can tell.
pub fn sample(schema: &Value) -> Value {
    if let Some(words) = schema["enum"].as_array() {
        // Empty and null count as absent.
        let last = words.iter().rfind(|w| !w.is_null() && **w != "");
        return last.cloned().unwrap_or_default();
    }
    if schema["x-kubernetes-int-or-string"] == true {
        return json!(3);
    }
    match schema["type"].as_str() {
        Some("boolean") => json!(true),
        Some("integer") => json!(17),
        Some("string") => json!("x7"),
        Some("array") => json!([sample(&schema["items"])]),
        _ if schema["additionalProperties"].is_object() => {
            json!({"k": sample(&schema["additionalProperties"])})
        }
        _ => {
            let required: Vec<&str> = schema["required"]
                .as_array()
                .into_iter()
                .flatten()
                .filter_map(Value::as_str)
                .collect();
            let map = schema["properties"].as_object();
            let mut out = serde_json::Map::new();
            for (name, property) in map.into_iter().flatten() {
                if required.contains(&name.as_str()) {
                    out.insert(name.clone(), sample(property));
                }
            }
            // An empty object may be nothing: one more field, of a simple kind.
            if out.is_empty()
                && let Some((name, property)) = map
                    .into_iter()
                    .flatten()
                    .find(|(_, p)| p["type"] == "string" || p["type"] == "boolean")
            {
                out.insert(name.clone(), sample(property));
            }
            Value::Object(out)
        }
    }
}

/// Puts a value at a path, into lists at their first entry.
pub fn put(target: &mut Value, path: &str, value: Value) {
    let (first, rest) = match path.find(['.', '[']) {
        Some(i) => (&path[..i], &path[i..]),
        None => (path, ""),
    };
    if !target.is_object() {
        *target = json!({});
    }
    let slot = &mut target[first];
    if let Some(rest) = rest.strip_prefix("[]") {
        if !slot.is_array() {
            *slot = json!([{}]);
        }
        match rest.strip_prefix('.') {
            Some(rest) => put(&mut slot[0], rest, value),
            None => *slot = json!([value]),
        }
    } else if let Some(rest) = rest.strip_prefix('.') {
        put(slot, rest, value);
    } else {
        *slot = value;
    }
}

/// The longest entry of a table of fields that fits a path: the path itself, or a section that it is in.
pub fn beside(path: &str) -> (Value, Option<Value>) {
    let longest = |exact: bool| {
        BESIDE
            .iter()
            .filter(|(p, ..)| {
                if exact {
                    *p == path
                } else {
                    p.ends_with('.') && path.starts_with(p)
                }
            })
            .max_by_key(|(p, ..)| p.len())
    };
    let yaml = |text: &str| serde_saphyr::from_str::<Value>(text).unwrap();
    let Some((_, beside, value)) = longest(true).or_else(|| longest(false)) else {
        return (json!({}), None);
    };
    (yaml(beside), (!value.is_empty()).then(|| yaml(value)))
}

/// Values to try, in turn: all words of a list, both truths, and else one.
#[allow(dead_code)] // the test of what is built tries one
pub fn values(schema: &Value) -> Vec<Value> {
    if let Some(words) = schema["enum"].as_array() {
        let words = words.iter().filter(|w| !w.is_null() && **w != "");
        return words.cloned().collect();
    }
    if schema["type"] == "boolean" {
        return vec![json!(true), json!(false)];
    }
    vec![sample(schema)]
}
