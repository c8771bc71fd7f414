//! No field of an Instance is ignored: for each leaf of the schema, an Instance that sets it differs from one that does not, in what is
//! built or in what is said about it. A field that is neither built nor reported fails here.
#![allow(clippy::unwrap_used)]

mod beside;
#[allow(dead_code)] // shared with other tests
#[path = "../schema_walk/mod.rs"]
mod schema_walk;

use beside::BESIDE;
use kube::CustomResourceExt;
use paperclip_operator::controllers::instance::build::pod::Connection;
use paperclip_operator::controllers::instance::build::{Server, Setting, build};
use paperclip_operator::controllers::instance::exposure::Exposure;
use paperclip_operator::controllers::instance::found::{Found, Learned};
use paperclip_operator::controllers::instance::validate::{Input, not_implemented, validate};
use paperclip_operator::crd::Instance;
use schema_walk::{Node, at, every_node};
use serde_json::{Value, json};
use std::collections::BTreeSet;

/// Fields below one that is reported as a whole: what is told is the parent's path.
fn reported_as_a_whole(path: &str) -> bool {
    const ALSO: &[&str] = &["auth.google", "auth.apple"];
    not_implemented::FIELDS
        .iter()
        .map(|f| f.path)
        .chain(ALSO.iter().copied())
        .any(|whole| {
            path.strip_prefix(whole)
                .is_some_and(|rest| rest.starts_with(['.', '[', '{']))
        })
}

/// Fields that have no effect by design, with the reason.
const WITHOUT_EFFECT: &[(&str, &str)] = &[
    (
        "security.seLinuxRelabel",
        "kept for old manifests: volumes are labelled by the container runtime either way",
    ),
    (
        "deployment.platformAdmin.email",
        "reported with its section, and a variable for forks",
    ),
    ("auth.adminUser.email", "reported with its section"),
    (
        "probes.liveness.successThreshold",
        "Kubernetes allows nothing but the default",
    ),
    (
        "probes.startup.successThreshold",
        "Kubernetes allows nothing but the default",
    ),
];

fn schema() -> Value {
    let crd = serde_json::to_value(Instance::crd()).unwrap();
    crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"].clone()
}

/// The leaves of `spec` as paths below it. What Kubernetes' own types hold is one leaf: they are passed on as a whole.
fn leaves(schema: &Value) -> Vec<String> {
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
fn sample(schema: &Value) -> Value {
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
fn put(target: &mut Value, path: &str, value: Value) {
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

/// What begins the effect of a spec that is not applied.
const INVALID: &str = "invalid";

/// Everything that an Instance with this spec leads to.
fn effect(spec: &Value) -> String {
    let instance: Instance = serde_json::from_value(
        json!({"metadata": {"name": "clip", "namespace": "prod", "uid": "u"}, "spec": spec}),
    )
    .unwrap_or_else(|e| panic!("{e}: {spec}"));
    let learned = Learned::default();
    let input = Input {
        instance: &instance,
        adopted: None,
        learned: &learned,
        domain: "cluster.test",
    };
    let verdict = validate(input, &Found::default());
    let said: Vec<String> = verdict
        .findings
        .iter()
        .map(|f| format!("{} {} {}", f.class.reason(), f.path, f.text))
        .collect();
    let Some(v) = verdict.validated else {
        return format!("{INVALID}: {spec}: {said:?}");
    };
    let connection = Connection {
        secret: "s".into(),
        key: "k".into(),
    };
    let setting = Setting {
        agent_image: "agent",
        agent_image_in_use: None,
        operator_namespace: None,
        connection: &connection,
        ipv6: false,
        server: Server::Run {
            replicas: i32::from(!v.suspended),
            config_hash: None,
        },
        exposure: &Exposure::open(&v),
        migrate: Some("m"),
        bootstrap: Some("b"),
        hold_service: false,
        pod_management: None,
    };
    let desired = build(&v, &setting).unwrap_or_else(|e| panic!("{e}"));
    format!(
        "{said:?} {:?} {desired:?} {} {:?}",
        verdict.references,
        v.hold.is_some(),
        instance.spec.suspended
    )
}

/// What is wrong with a leaf, if something is.
fn complaint(schema: &Value, path: &str) -> Option<String> {
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
    let entry = longest(true).or_else(|| longest(false));
    let yaml = |text: &str| serde_saphyr::from_str::<Value>(text).unwrap();
    let beside = entry.map_or_else(|| json!({}), |(_, beside, _)| yaml(beside));
    let own = entry.filter(|(_, _, value)| !value.is_empty());
    let value = own.map_or_else(
        || sample(at(schema, &format!(".spec.{path}"))),
        |(_, _, value)| yaml(value),
    );
    let mut with = beside.clone();
    put(&mut with, path, value);
    let after = effect(&with);
    // That a wrong value is refused does not show that a right one is used.
    if after.starts_with(INVALID) {
        return Some(format!("{path}: the sample is {after}"));
    }
    (after == effect(&beside)).then(|| format!("{path}: set to {with}, and nothing happens"))
}

#[test]
fn every_field_has_an_effect_or_is_reported() {
    let schema = schema();
    let leaves = leaves(&schema);
    assert!(
        leaves.len() > 150,
        "only {} leaves: {leaves:?}",
        leaves.len()
    );
    let complaints: Vec<String> = leaves
        .iter()
        .filter(|path| !WITHOUT_EFFECT.iter().any(|(p, _)| p == path))
        .filter(|path| !reported_as_a_whole(path))
        .filter_map(|path| complaint(&schema, path))
        .collect();
    assert!(complaints.is_empty(), "{complaints:#?}");
}

#[test]
fn every_entry_of_the_table_of_what_is_missing_is_a_field_and_can_be_reported() {
    let schema = schema();
    for field in not_implemented::FIELDS {
        let node = at(&schema, &format!(".spec.{}", field.path));
        assert!(node.is_object(), "{} is no field", field.path);
    }
}

#[test]
fn an_instance_that_says_nothing_is_told_nothing_but_that_its_image_floats() {
    let said = effect(&json!({}));
    assert!(
        said.starts_with("[\"AcceptedWithWarnings spec.image"),
        "{said}"
    );
    assert!(!said.contains("NotImplemented"));
}
