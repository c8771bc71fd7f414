//! Writes what is missing: first who may talk to whom, then the Job, once. Must never make a second Job for one backup.

use super::super::Caches;
use crate::controllers::archive::work::{self, Work};
use crate::shared::apply::{Applier, ApplyError};
use crate::shared::cache::{Key, Seen};
use crate::shared::views::Job;
use std::sync::Arc;

/// What was done, and what is there now.
#[derive(Debug, Default)]
pub struct Applied {
    /// The Job.
    pub job: Option<Arc<Seen<Job>>>,
    /// Names that somebody else's objects have.
    pub not_ours: Vec<String>,
    /// Objects that are still being deleted.
    pub waiting: Vec<String>,
    /// What failed for another reason.
    pub failed: Vec<ApplyError>,
}

/// Where things are written.
pub struct Writer<'a> {
    /// Writes objects of ours.
    pub applier: Applier<'a>,
    /// What is known.
    pub caches: &'a Caches,
    /// The backup.
    pub key: &'a Key,
    /// Its uid.
    pub uid: &'a str,
}

impl Writer<'_> {
    /// Writes. `begun`: there is a Job, or was one.
    pub async fn run(&self, work: Work, begun: bool) -> Applied {
        let Work { policy, job } = work;
        let mut done = Applied::default();
        if let Some(policy) = &policy {
            let ensured = self
                .applier
                .ensure(&self.caches.network_policies, policy)
                .await;
            if let Err(error) = ensured {
                done.sort(error);
                return done;
            }
        }
        done.job = self.caches.jobs.get(&job.key).filter(|found| {
            found
                .controller
                .as_ref()
                .is_some_and(|c| *c.uid == *self.uid)
        });
        if begun || done.job.is_some() {
            return done;
        }
        match self.applier.ensure(&self.caches.jobs, &job).await {
            Ok(applied) => done.job = Some(applied.seen),
            Err(error) => done.sort(error),
        }
        done
    }

    /// Takes away what an ended backup does not need.
    ///
    /// # Errors
    /// See [`ApplyError`].
    pub async fn tidy(&self) -> Result<(), ApplyError> {
        work::close(&self.applier, self.caches, self.key, self.uid).await
    }
}

impl Applied {
    fn sort(&mut self, error: ApplyError) {
        match &error {
            ApplyError::Terminating { .. } => self.waiting.push(error.to_string()),
            ApplyError::NotOurs { .. } => self.not_ours.push(error.to_string()),
            _ => self.failed.push(error),
        }
    }
}
