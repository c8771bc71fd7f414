//! Writes what is missing: first who may talk to whom, then the Job, once. Must never make a second Job for one restore.

use super::build::Desired;
use crate::controllers::Caches;
use crate::controllers::archive::work;
use crate::shared::agent;
use crate::shared::apply::{Applier, ApplyError};
use crate::shared::cache::Key;

/// Where things are written.
pub struct Writer<'a> {
    /// Writes objects of ours.
    pub applier: Applier<'a>,
    /// What is known.
    pub caches: &'a Caches,
    /// The restore.
    pub key: &'a Key,
    /// Its uid.
    pub uid: &'a str,
}

impl Writer<'_> {
    /// Writes. Says what is in the way, if somebody has to take it away.
    ///
    /// # Errors
    /// See [`ApplyError`].
    pub async fn run(&self, desired: Desired) -> Result<Option<String>, ApplyError> {
        let written = match desired {
            Desired::Safety(backup) => self
                .applier
                .ensure(&self.caches.backups, &backup)
                .await
                .map(drop),
            Desired::Restore(work) => work.begin(&self.applier, self.caches).await.map(drop),
        };
        match written {
            Ok(()) => Ok(None),
            Err(error @ (ApplyError::NotOurs { .. } | ApplyError::Terminating { .. })) => {
                Ok(Some(error.to_string()))
            }
            Err(error) => Err(error),
        }
    }

    /// Takes away what an ended restore does not need.
    ///
    /// # Errors
    /// See [`ApplyError`].
    pub async fn tidy(&self) -> Result<(), ApplyError> {
        let key = Key::new(
            &self.key.namespace,
            &agent::job_name(&self.key.name, self.uid),
        );
        work::close(&self.applier, self.caches, &key, self.uid).await
    }
}
