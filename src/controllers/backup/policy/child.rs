//! The one-shot of one time: named for it, so that it is made once. Pure.

use crate::crd::PaperclipBackup;
use crate::crd::backup::{BackupReason, PaperclipBackupSpec};
use crate::crd::shared::BackupVerification;
use crate::shared::names::{API_VERSION, Component, labels};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, OwnerReference};
use k8s_openapi::jiff::Timestamp;

/// Builds it. `proven`: it is to be brought back once it is complete.
pub fn build(policy: &PaperclipBackup, tick: Timestamp, proven: bool) -> PaperclipBackup {
    let (spec, meta) = (&policy.spec, &policy.metadata);
    let name = meta.name.clone().unwrap_or_default();
    let installation = spec
        .instance_ref
        .as_ref()
        .or(spec.database_ref.as_ref())
        .map_or("", |r| r.name.as_str());
    let level = spec.verification.as_ref().filter(|_| proven);
    let proof = level.map(|v| BackupVerification {
        level: v.level.clone(),
        ..BackupVerification::default()
    });
    let mut one = PaperclipBackup::new(
        &format!("{name}-{}", tick.strftime("%Y%m%dt%H%M%Sz")),
        PaperclipBackupSpec {
            schedule: None,
            time_zone: None,
            jitter: None,
            suspend: None,
            immediate: None,
            starting_deadline: None,
            retention: None,
            verification: proof,
            reason: Some(BackupReason::Scheduled.into()),
            ..spec.clone()
        },
    );
    one.metadata = ObjectMeta {
        name: one.metadata.name,
        namespace: meta.namespace.clone(),
        labels: Some(labels(installation, Component::Backup)),
        owner_references: Some(vec![OwnerReference {
            api_version: API_VERSION.to_owned(),
            kind: "PaperclipBackup".to_owned(),
            name,
            uid: meta.uid.clone().unwrap_or_default(),
            controller: Some(true),
            block_owner_deletion: Some(true),
        }]),
        ..ObjectMeta::default()
    };
    one
}
