//! A Job of the agent and who it may talk to: built together, written in this order, and the way through taken away when it has ended.

use super::job::{self, Task};
use super::policy::{self, Ways};
use crate::controllers::Caches;
use crate::shared::apply::{Applier, ApplyError};
use crate::shared::cache::{Key, Seen};
use crate::shared::names::labels;
use crate::shared::views::Job;
use crate::shared::wish::{Kind, Malformed, Wish};
use k8s_openapi::api::networking::v1::NetworkPolicy;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, OwnerReference};
use std::sync::Arc;

/// Whose work it is.
#[derive(Debug)]
pub struct Owner<'a> {
    /// Namespace.
    pub namespace: &'a str,
    /// Its object.
    pub reference: &'a OwnerReference,
    /// DNS domain of the cluster.
    pub domain: &'a str,
    /// Restrict connections of the Job.
    pub policy: bool,
}

/// What is made.
#[derive(Debug)]
pub struct Work {
    /// Who may talk to whom.
    pub policy: Option<Wish>,
    /// The Job.
    pub job: Wish,
}

impl Owner<'_> {
    /// Metadata of an object of this name.
    pub fn metadata(&self, name: &str, task: &Task<'_>) -> ObjectMeta {
        ObjectMeta {
            name: Some(name.to_owned()),
            namespace: Some(self.namespace.to_owned()),
            labels: Some(labels(task.installation, task.component)),
            owner_references: Some(vec![self.reference.clone()]),
            ..ObjectMeta::default()
        }
    }

    /// The work, with the policy under a name of its own.
    ///
    /// # Errors
    /// [`Malformed`], which is a fault of ours.
    pub fn work(&self, job: ObjectMeta, policy: &str, task: &Task<'_>) -> Result<Work, Malformed> {
        let ways = Ways {
            namespace: self.namespace,
            installation: task.installation,
            component: task.component,
            destination: task.destination,
            engine: task.source.engine,
            domain: self.domain,
        };
        Ok(Work {
            policy: self
                .policy
                .then(|| policy::build(self.metadata(policy, task), &ways))
                .transpose()?,
            job: job::build(job, task)?,
        })
    }
}

impl Work {
    /// Writes it: first who may talk to whom.
    ///
    /// # Errors
    /// See [`ApplyError`].
    pub async fn begin(
        &self,
        applier: &Applier<'_>,
        caches: &Caches,
    ) -> Result<Arc<Seen<Job>>, ApplyError> {
        if let Some(policy) = &self.policy {
            applier.ensure(&caches.network_policies, policy).await?;
        }
        let applied = applier.ensure(&caches.jobs, &self.job).await?;
        Ok(applied.seen)
    }
}

/// Takes the way through of an ended Job away.
///
/// # Errors
/// See [`ApplyError`].
pub async fn close(
    applier: &Applier<'_>,
    caches: &Caches,
    policy: &Key,
    owner: &str,
) -> Result<(), ApplyError> {
    let kind = Kind::of::<NetworkPolicy>();
    applier
        .remove(&caches.network_policies, &kind, policy, owner)
        .await
        .map(drop)
}
