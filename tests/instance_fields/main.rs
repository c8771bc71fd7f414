//! No field of an Instance is ignored: for each leaf of the schema, an Instance that sets it differs from one that does not, in what is
//! built or in what is said about it. A field that is neither built nor reported fails here.
#![allow(clippy::unwrap_used)]

mod beside;
#[path = "../generated/mod.rs"]
mod generated;
mod leaves;
mod page;
#[allow(dead_code)] // shared with other tests
#[path = "../schema_walk/mod.rs"]
mod schema_walk;

use beside::WITHOUT_EFFECT;
use kube::CustomResourceExt;
use leaves::{beside, leaves, put, sample};
use paperclip_operator::controllers::instance::build::pod::Connection;
use paperclip_operator::controllers::instance::build::{Server, Setting, build};
use paperclip_operator::controllers::instance::exposure::Exposure;
use paperclip_operator::controllers::instance::found::{Found, Learned};
use paperclip_operator::controllers::instance::validate::{Input, not_implemented, validate};
use paperclip_operator::crd::Instance;
use schema_walk::at;
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// Fields below one that is reported as a whole: what is told is the parent's path.
fn reported_as_a_whole(path: &str) -> Option<&'static str> {
    const ALSO: &[&str] = &["auth.google", "auth.apple"];
    not_implemented::FIELDS
        .iter()
        .map(|f| f.path)
        .chain(ALSO.iter().copied())
        .find(|whole| {
            path.strip_prefix(whole)
                .is_some_and(|rest| rest.starts_with(['.', '[', '{']))
        })
}

fn schema() -> Value {
    let crd = serde_json::to_value(Instance::crd()).unwrap();
    crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"].clone()
}

/// Everything that an Instance with a spec leads to.
#[derive(PartialEq)]
struct Effect {
    /// Reason and whole text of what is told, by path.
    told: Vec<(String, String, String)>,
    /// Objects by kind and name.
    objects: BTreeMap<String, Value>,
    /// The rest: references, the claim, what holds the server back.
    beside: String,
}

fn effect(spec: &Value) -> Result<Effect, String> {
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
    let told: Vec<_> = verdict
        .findings
        .iter()
        .map(|f| (f.path.clone(), f.class.reason().to_owned(), f.text.clone()))
        .collect();
    let Some(v) = verdict.validated else {
        return Err(format!("invalid: {spec}: {told:?}"));
    };
    let connection = Connection {
        secret: "s".into(),
        key: "k".into(),
        pooled: false,
    };
    let setting = Setting {
        agent_image: "agent",
        agent_image_in_use: None,
        operator_namespace: Some("operators"),
        connection: &connection,
        ipv6: false,
        server: Server::Run {
            replicas: i32::from(!v.suspended),
            config_hash: None,
        },
        scaled: v.workload,
        scraped: true,
        replicas_read_at: None,
        exposure: &Exposure::open(&v),
        migrate: Some("m"),
        bootstrap: Some("b"),
        restore: Some(false),
        next_database: None,
        hold_service: false,
        pod_management: None,
    };
    let desired = build(&v, &setting).unwrap_or_else(|e| panic!("{e}"));
    let objects = desired
        .wishes()
        .into_iter()
        .map(|w| {
            let name = w.body["metadata"]["name"].as_str().unwrap_or_default();
            (format!("{}/{name}", w.kind.kind), w.body.clone())
        })
        .collect();
    let beside = format!(
        "{:?} {:?} {:?}",
        verdict.references, desired.claim, instance.spec.suspended
    );
    Ok(Effect {
        told,
        objects,
        beside,
    })
}

/// A leaf that is not set, and one that is.
fn both(schema: &Value, path: &str) -> Result<(Effect, Effect, Value), String> {
    let (beside, own) = beside(path);
    let value = own.unwrap_or_else(|| sample(at(schema, &format!(".spec.{path}"))));
    let mut with = beside.clone();
    put(&mut with, path, value);
    // That a wrong value is refused does not show that a right one is used.
    Ok((effect(&beside)?, effect(&with)?, with))
}

/// What is wrong with a leaf, if something is.
fn complaint(schema: &Value, path: &str) -> Option<String> {
    match both(schema, path) {
        Err(why) => Some(format!("{path}: the sample is {why}")),
        Ok((before, after, with)) => {
            (before == after).then(|| format!("{path}: set to {with}, and nothing happens"))
        }
    }
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
        .filter(|path| reported_as_a_whole(path).is_none())
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
    let told = effect(&json!({})).unwrap_or_else(|e| panic!("{e}")).told;
    let brief: Vec<_> = told.iter().map(|(p, r, _)| (&**p, &**r)).collect();
    assert_eq!(brief, [("spec.image", "AcceptedWithWarnings")]);
}

#[test]
fn the_page_says_of_each_field_what_it_does() {
    generated::same_as_file("docs/fields.md", &page::page(&schema()));
}
