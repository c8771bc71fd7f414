//! [`Validated`] to objects: the backup of what is there, the Job and who may talk to whom. Pure.

use super::validate::Validated;
use crate::controllers::archive::job::{self, Task, WithFiles};
use crate::controllers::archive::work::Work;
use crate::crd::backup::{BackupReason, PaperclipBackupSpec};
use crate::crd::{LocalRef, PaperclipBackup};
use crate::shared::agent;
use crate::shared::names::{Component, labels};
use crate::shared::wish::{Malformed, Wish};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use serde_json::json;
use std::time::Duration;

/// Longest duration of the Job.
const DEADLINE: Duration = Duration::from_secs(24 * 3600);

/// What is made in one step.
#[derive(Debug)]
pub enum Desired {
    /// The backup of what is there.
    Safety(Wish),
    /// The Job, and who it may talk to.
    Restore(Work),
}

/// Name of the backup of what is there: another restore of the same name has another one.
pub fn safety_name(restore: &str, uid: &str) -> String {
    agent::job_name(&format!("before-{restore}"), uid)
}

/// The backup of what is there. Where it goes it finds out itself, from the Instance.
///
/// # Errors
/// [`Malformed`], which is a fault of ours.
pub fn safety_backup(v: &Validated) -> Result<Wish, Malformed> {
    let spec = PaperclipBackupSpec {
        instance_ref: Some(LocalRef {
            name: v.instance.clone(),
        }),
        encryption: v.safety.as_ref().and_then(|s| s.encryption.clone()),
        reason: Some(BackupReason::PreRestore.into()),
        ..PaperclipBackupSpec::default()
    };
    let mut backup = PaperclipBackup::new(&safety_name(&v.name, &v.uid), spec);
    backup.metadata = ObjectMeta {
        name: backup.metadata.name,
        namespace: Some(v.namespace.clone()),
        labels: Some(labels(&v.instance, Component::Backup)),
        owner_references: Some(vec![v.owner.clone()]),
        ..ObjectMeta::default()
    };
    Wish::of(&backup)
}

/// The Job.
///
/// # Errors
/// [`Malformed`], which is a fault of ours.
pub fn restore(v: &Validated) -> Result<Desired, Malformed> {
    let name = agent::job_name(&v.name, &v.uid);
    let resources = job::default_resources();
    let task = Task {
        installation: &v.instance,
        component: Component::Restore,
        command: "restore",
        destination: &v.storage,
        source: &v.source,
        user: None,
        identity: v.identity.as_ref(),
        files: v.files.as_ref().map(|files| WithFiles {
            files,
            writes: true,
            beside: false,
        }),
        keys: &[],
        variables: variables(v),
        resources: &resources,
        deadline: DEADLINE,
        agent_image: &v.agent_image,
    };
    let owner = v.owner();
    let meta = owner.metadata(&name, &task);
    Ok(Desired::Restore(owner.work(meta, &name, &task)?))
}

fn variables(v: &Validated) -> Vec<(&'static str, String)> {
    let mut all = vec![];
    if let Some(path) = &v.path {
        all.push(("PAPERCLIP_AGENT_RESTORE_FROM", path.clone()));
    }
    if let Some(sum) = &v.sha256 {
        all.push(("PAPERCLIP_AGENT_RESTORE_SHA256", sum.clone()));
    }
    if !v.confirmed {
        let of = json!({"namespace": v.namespace, "name": v.instance});
        all.push(("PAPERCLIP_AGENT_RESTORE_OF", of.to_string()));
    }
    if !v.include.is_empty() {
        all.push(("PAPERCLIP_AGENT_RESTORE_INCLUDE", v.include.join(" ")));
    }
    if v.takes_keys {
        all.push(("PAPERCLIP_AGENT_RESTORE_KEYS", "true".to_owned()));
    }
    if let Some(fingerprint) = &v.master_key {
        all.push((
            "PAPERCLIP_AGENT_MASTER_KEY_FINGERPRINT",
            fingerprint.clone(),
        ));
    }
    all
}
