//! Given this PaperclipDatabase and these objects, what is validated, built and reported.

mod build;
mod outside;
mod status;
mod validate;

use super::build::{Desired, SecretPlan, desired};
use super::dereference::{Found, FoundClaim, Known};
use super::login::StoredSecret;
use super::problem::Problem;
use super::validate::{Input, Validated, Verdict, validate as run};
use crate::crd::PaperclipDatabase;
use crate::shared::cache::{Seen, View};
use crate::shared::names::{Component, labels};
use crate::shared::options::Options;
use crate::shared::views::{Claim, Workload};
use clap::Parser;
use serde_json::{Value, json};
use std::sync::Arc;

pub const MINIMAL: &str = include_str!("fixtures/minimal.yaml");
pub const FULL: &str = include_str!("fixtures/full.yaml");

#[derive(Parser)]
struct Cli {
    #[command(flatten)]
    options: Options,
}

pub fn options() -> Options {
    Cli::try_parse_from(["x", "--agent-image", "operator:1"])
        .unwrap()
        .options
}

pub fn database(yaml: &str) -> PaperclipDatabase {
    serde_saphyr::from_str(yaml).unwrap()
}

/// The smallest database with this spec.
pub fn with_spec(yaml: &str) -> PaperclipDatabase {
    database(&MINIMAL.replace("spec: {}", &format!("spec: {yaml}")))
}

/// A new cluster: nothing is there.
pub fn nothing() -> Found {
    Found {
        credentials: Known::Absent,
        app: Known::Absent,
        external: Known::Vouched,
        claim: Known::Absent,
        stateful_set: None,
    }
}

pub fn claim(storage: &str, phase: &str, created: &str) -> FoundClaim {
    FoundClaim {
        view: Claim::read(json!({
            "metadata": {"creationTimestamp": created},
            "spec": {"storageClassName": "fast", "resources": {"requests": {"storage": storage}}},
            "status": {"phase": phase, "capacity": {"storage": storage}},
        })),
        deleting: false,
    }
}

pub fn secret(data: &Value) -> StoredSecret {
    let labels = labels("shop", Component::Database);
    let object =
        json!({"metadata": {"uid": "s", "resourceVersion": "5", "labels": labels}, "data": data});
    StoredSecret::read(object, "shop")
}

pub fn stateful_set(object: Value) -> Arc<Seen<Workload>> {
    Arc::new(Seen::read(object, &[]))
}

pub fn verdict(object: &PaperclipDatabase, found: &Found) -> Verdict {
    run(&Input {
        object,
        found,
        options: &options(),
        password: Some("fresh".to_owned()),
    })
}

pub fn accepted(object: &PaperclipDatabase, found: &Found) -> Box<Validated> {
    match verdict(object, found) {
        Verdict::Accepted(validated) => validated,
        Verdict::Refused(problems) => panic!("refused: {problems:?}"),
    }
}

pub fn refused(object: &PaperclipDatabase) -> Vec<Problem> {
    match verdict(object, &nothing()) {
        Verdict::Refused(problems) => problems,
        Verdict::Accepted(_) => panic!("accepted"),
    }
}

pub fn built(object: &PaperclipDatabase, found: &Found) -> Desired {
    desired(&accepted(object, found), None).unwrap()
}

/// `path: text` of each problem.
pub fn lines(problems: &[Problem]) -> Vec<String> {
    problems
        .iter()
        .map(|p| format!("{} {}: {}", p.reason.as_str(), p.path, p.text))
        .collect()
}

pub fn created(plan: &SecretPlan) -> Option<&Value> {
    match plan {
        SecretPlan::Create { body, .. } => Some(&body.body),
        _ => None,
    }
}
