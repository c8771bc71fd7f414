//! What a PaperclipBackup refers to: Instance, database, Job and its pods come from the caches. Secrets are looked for by name before the Job
//! is begun, and only to say which one is missing; nothing of them is kept.

use super::super::Caches;
use super::status;
use crate::controllers::archive::server;
use crate::crd::instance::InstanceSpec;
use crate::crd::{Instance, PaperclipBackup, PaperclipDatabase};
use crate::shared::agent;
use crate::shared::api::{ApiError, ApiServer};
use crate::shared::cache::{Key, Seen};
use crate::shared::guarded::Guarded;
use crate::shared::names::Names;
use crate::shared::views::{Job, Pod};
use crate::shared::wish::Kind;
use k8s_openapi::api::core::v1::Secret;
use std::collections::BTreeMap;
use std::sync::Arc;

/// What was found.
#[derive(Debug, Default)]
pub struct Found {
    /// The Instance that is backed up.
    pub instance: Option<Arc<Seen<Guarded<Instance>>>>,
    /// Its spec, with the admin's values in its gaps.
    pub spec: Option<InstanceSpec>,
    /// The claim of its data volume is there, if the operator makes it.
    pub claim: bool,
    /// It has server pods, and a node for them.
    pub server_runs: bool,
    /// Its database, or the one that is named.
    pub database: Option<Arc<Seen<Guarded<PaperclipDatabase>>>>,
    /// The Job of this backup.
    pub job: Option<Arc<Seen<Job>>>,
    /// Its pods.
    pub pods: Vec<Arc<Seen<Pod>>>,
    /// Names of the keys of each Secret that was looked for; `None`: it does not exist.
    pub secrets: BTreeMap<String, Option<Vec<String>>>,
}

impl Found {
    /// The Instance, decoded.
    pub fn instance(&self) -> Option<&Instance> {
        match &self.instance.as_ref()?.view {
            Guarded::Ok(instance) => Some(instance),
            Guarded::Undecodable { .. } => None,
        }
    }

    /// The database, decoded.
    pub fn database(&self) -> Option<&PaperclipDatabase> {
        match &self.database.as_ref()?.view {
            Guarded::Ok(database) => Some(database),
            Guarded::Undecodable { .. } => None,
        }
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
    object: &PaperclipBackup,
) -> Result<Found, ApiError> {
    let named = |name: &str| Key {
        namespace: key.namespace.clone(),
        name: name.into(),
    };
    let spec = &object.spec;
    let instance = spec.instance_ref.as_ref().map(|r| named(&r.name));
    let database = spec
        .database_ref
        .as_ref()
        .or(spec.instance_ref.as_ref())
        .map(|r| named(&r.name));
    let uid = object.metadata.uid.as_deref().unwrap_or_default();
    let job = caches
        .jobs
        .get(&named(&agent::job_name(&key.name, uid)))
        .filter(|job| job.controller.as_ref().is_some_and(|c| *c.uid == *uid));
    let mut found = Found {
        claim: instance.as_ref().is_some_and(|key| {
            let data = Names::of(&key.name).data();
            caches.claims.get(&named(&data)).is_some()
        }),
        server_runs: instance
            .as_ref()
            .is_some_and(|key| server::has_volume(&server::of(caches, key).0)),
        spec: None,
        instance: instance.and_then(|key| caches.instances.get(&key)),
        database: database.and_then(|key| caches.databases.get(&key)),
        pods: job
            .as_ref()
            .map(|job| caches.pods.controlled_by(&job.uid))
            .unwrap_or_default(),
        job,
        secrets: BTreeMap::new(),
    };
    found.spec = found
        .instance()
        .map(|instance| server::spec(caches, domain, instance));
    if found.job.is_none() && !status::has_ended(object) {
        for name in super::validate::secrets(object, &found) {
            let stored = api
                .get(&Kind::of::<Secret>(), &key.namespace, &name)
                .await?;
            let keys = stored.map(|secret| {
                let data = secret["data"].as_object();
                data.map(|data| data.keys().cloned().collect())
                    .unwrap_or_default()
            });
            found.secrets.insert(name, keys);
        }
    }
    Ok(found)
}
