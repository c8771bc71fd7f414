//! What a PaperclipRestore refers to: everything of ours comes from the caches. Secrets are looked for by name before the Job is begun, and
//! only to say which one is missing; nothing of them is kept.

use super::{build, phase, validate};
use crate::controllers::Caches;
use crate::controllers::archive::server;
use crate::crd::instance::InstanceSpec;
use crate::crd::{Instance, PaperclipBackup, PaperclipDatabase, PaperclipRestore};
use crate::shared::agent;
use crate::shared::api::{ApiError, ApiServer};
use crate::shared::cache::{Key, Seen};
use crate::shared::guarded::Guarded;
use crate::shared::names::Names;
use crate::shared::views::{Job, Pod};
use crate::shared::wish::Kind;
use k8s_openapi::api::core::v1::Secret;
use std::sync::Arc;

/// What was found.
#[derive(Debug, Default)]
pub struct Found {
    /// The Instance that is restored into.
    pub instance: Option<Arc<Seen<Guarded<Instance>>>>,
    /// Its spec, with the admin's values in its gaps.
    pub spec: Option<InstanceSpec>,
    /// The claim of its data volume is there, if the operator makes it.
    pub claim: bool,
    /// Its database.
    pub database: Option<Arc<Seen<Guarded<PaperclipDatabase>>>>,
    /// The backup that is named.
    pub backup: Option<Arc<Seen<Guarded<PaperclipBackup>>>>,
    /// The Instance that this was taken of.
    pub backup_of: Option<Arc<Seen<Guarded<Instance>>>>,
    /// The backup of what is there.
    pub safety: Option<Arc<Seen<Guarded<PaperclipBackup>>>>,
    /// The Job of this restore.
    pub job: Option<Arc<Seen<Job>>>,
    /// Its pods.
    pub pods: Vec<Arc<Seen<Pod>>>,
    /// Pods of the server.
    pub server: Vec<Arc<Seen<Pod>>>,
    /// Something wants a server to run.
    pub server_is_wanted: bool,
    /// What else works on the data: name and kind.
    pub others: Vec<String>,
    /// The volume of the database was there before the Instance.
    pub kept_data: bool,
    /// Names of the Secrets that were looked for and do not exist.
    pub missing: Vec<String>,
}

/// Out of an object that can be decoded.
pub fn decoded<K>(seen: Option<&Arc<Seen<Guarded<K>>>>) -> Option<&K> {
    match &seen?.view {
        Guarded::Ok(object) => Some(object),
        Guarded::Undecodable { .. } => None,
    }
}

impl Found {
    /// The Instance, decoded.
    pub fn instance(&self) -> Option<&Instance> {
        decoded(self.instance.as_ref())
    }

    /// The database, decoded.
    pub fn database(&self) -> Option<&PaperclipDatabase> {
        decoded(self.database.as_ref())
    }
}

/// Reads.
///
/// # Errors
/// See [`ApiError`]. That something is not there is no error.
pub async fn read(
    api: &ApiServer,
    caches: &Caches,
    domain: &str,
    key: &Key,
    object: &PaperclipRestore,
) -> Result<Found, ApiError> {
    let named = |name: &str| Key::new(&key.namespace, name);
    let uid = object.metadata.uid.as_deref().unwrap_or_default();
    let name = phase::target(object);
    let ours = |job: &Arc<Seen<Job>>| job.controller.as_ref().is_some_and(|c| *c.uid == *uid);
    let job = caches
        .jobs
        .get(&named(&agent::job_name(&key.name, uid)))
        .filter(ours);
    let reference = object
        .spec
        .from
        .as_ref()
        .and_then(|f| f.backup_ref.as_ref());
    let backup = reference.and_then(|r| caches.backups.get(&named(&r.name)));
    let of = decoded(backup.as_ref()).and_then(|b| b.spec.instance_ref.as_ref());
    let (server, server_is_wanted) = server::of(caches, &named(name));
    let instance = caches.instances.get(&named(name));
    let mut found = Found {
        claim: caches.claims.get(&named(&Names::of(name).data())).is_some(),
        spec: None,
        backup_of: of.and_then(|r| caches.instances.get(&named(&r.name))),
        database: caches.databases.get(&named(name)),
        safety: caches
            .backups
            .get(&named(&build::safety_name(&key.name, uid))),
        pods: job
            .as_ref()
            .map(|job| caches.pods.controlled_by(&job.uid))
            .unwrap_or_default(),
        others: others(caches, key, uid, object),
        kept_data: kept_data(caches, instance.as_ref(), &named(name)),
        instance,
        backup,
        job,
        server,
        server_is_wanted,
        missing: vec![],
    };
    found.spec = found
        .instance()
        .map(|instance| server::spec(caches, domain, instance));
    if found.job.is_none() && !phase::is_active(object) {
        for name in validate::secrets(object, &found) {
            let kind = Kind::of::<Secret>();
            if api.get(&kind, &key.namespace, &name).await?.is_none() {
                found.missing.push(name);
            }
        }
    }
    Ok(found)
}

/// Another restore that has begun, or that was there first; a backup that is being taken.
fn others(caches: &Caches, key: &Key, uid: &str, object: &PaperclipRestore) -> Vec<String> {
    let target = phase::target(object);
    let age = |o: &PaperclipRestore| {
        let meta = &o.metadata;
        (
            meta.creation_timestamp.as_ref().map(|t| t.0),
            meta.name.clone(),
        )
    };
    let restores = caches.restores.all().into_iter().filter_map(|seen| {
        let other = decoded(Some(&seen))?;
        let same = seen.key.namespace == key.namespace && phase::target(other) == target;
        let first =
            phase::is_active(other) && (!phase::is_active(object) || age(other) < age(object));
        (same && *seen.uid != *uid && !seen.deleting && first)
            .then(|| format!("PaperclipRestore \"{}\"", seen.key.name))
    });
    let backups = caches.backups.all().into_iter().filter_map(|seen| {
        let other = decoded(Some(&seen))?;
        let of = other.spec.instance_ref.as_ref().map(|r| r.name.as_str());
        let same = seen.key.namespace == key.namespace && of == Some(target);
        let mine = seen.controller.as_ref().is_some_and(|c| *c.uid == *uid);
        let status = other.status.as_ref();
        let runs = status
            .and_then(|s| s.phase.as_ref())
            .is_some_and(|p| *p == crate::crd::backup::BackupPhase::Running);
        (same && runs && !mine).then(|| format!("PaperclipBackup \"{}\"", seen.key.name))
    });
    restores.chain(backups).collect()
}

/// Data of an Instance that was deleted are still there.
fn kept_data(caches: &Caches, instance: Option<&Arc<Seen<Guarded<Instance>>>>, main: &Key) -> bool {
    let made = instance
        .and_then(|i| i.view.meta().creation_timestamp.as_ref())
        .map(|t| t.0.strftime("%Y-%m-%dT%H:%M:%SZ").to_string());
    let claim = Key::new(&main.namespace, &Names::of(&main.name).database_data());
    let claim = caches.claims.get(&claim);
    made.zip(claim)
        .is_some_and(|(made, claim)| *claim.view.metadata.creation_timestamp < *made)
}
