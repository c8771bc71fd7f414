//! Given this backup, this Instance and this Job, what is made and what is said.

mod build;
mod files;
mod status;

use super::apply::Applied;
use super::dereference::Found;
use super::validate::{Input, Validated, Verdict, validate};
use crate::crd::PaperclipBackup;
use crate::shared::cache::{Seen, View};
use crate::shared::options::Options;
use clap::Parser;
use serde_json::{Value, json};
use std::sync::Arc;

#[derive(Parser)]
struct Cli {
    #[command(flatten)]
    options: Options,
}

fn options() -> Options {
    Cli::try_parse_from(["x", "--agent-image", "operator:1"])
        .unwrap()
        .options
}

/// All that a person needs to write.
pub fn ad_hoc() -> PaperclipBackup {
    with_spec(&json!({"instanceRef": {"name": "shop"}}))
}

pub fn with_spec(spec: &Value) -> PaperclipBackup {
    let object = json!({
        "apiVersion": "paperclip.inc/v1alpha1", "kind": "PaperclipBackup",
        "metadata": {"name": "before-upgrade-x7k2p", "namespace": "prod", "uid": "u-1", "generation": 1},
        "spec": spec,
    });
    serde_json::from_value(object).unwrap()
}

pub fn object<V: View>(value: Value) -> Arc<Seen<V>> {
    Arc::new(Seen::read(value, &[]))
}

/// An Instance with this spec, whose managed database has told its URL.
pub fn found(spec: &Value) -> Found {
    Found {
        spec: serde_json::from_value(spec.clone()).ok(),
        claim: true,
        instance: Some(object(json!({
            "apiVersion": "paperclip.inc/v1alpha1", "kind": "Instance",
            "metadata": {"name": "shop", "namespace": "prod", "uid": "i-1",
                "annotations": {"kubectl.kubernetes.io/last-applied-configuration": "long", "team": "a"}},
            "spec": spec, "status": {"runningVersion": "2026.916.1"},
        }))),
        database: Some(object(json!({
            "apiVersion": "paperclip.inc/v1alpha1", "kind": "PaperclipDatabase",
            "metadata": {"name": "shop", "namespace": "prod", "uid": "d-1"}, "spec": {"version": 16},
            "status": {"connectionSecretRef": {"name": "shop-db-app", "key": "DATABASE_URL"}},
        }))),
        ..Found::default()
    }
}

/// An Instance that says where backups go.
pub fn with_bucket() -> Found {
    found(&json!({"backup": {"s3": {
        "bucket": "safe", "path": "/copies/shop/", "endpoint": "http://10.0.0.9:9000", "credentialsSecretRef": {"name": "s3"},
    }}}))
}

pub fn verdict(backup: &PaperclipBackup, found: &Found) -> Verdict {
    validate(&Input {
        object: backup,
        found,
        options: &options(),
    })
}

pub fn accepted(backup: &PaperclipBackup, found: &Found) -> Box<Validated> {
    match verdict(backup, found) {
        Verdict::Accepted(validated) => validated,
        other => panic!("{other:?}"),
    }
}

pub fn refused(backup: &PaperclipBackup, found: &Found) -> (&'static str, String) {
    match verdict(backup, found) {
        Verdict::Refused(reason, text) => (reason, text),
        other => panic!("{other:?}"),
    }
}

/// The Job with these conditions.
pub fn job(conditions: &Value) -> Applied {
    Applied {
        job: Some(object(json!({
            "metadata": {"name": "j", "namespace": "prod", "uid": "j-1"}, "status": {"conditions": conditions},
        }))),
        ..Applied::default()
    }
}
