//! The PaperclipRestore controller: one pass in five steps.
//!
//! A restore is done once, and its end is final. The server is stopped by the Instance controller, which sees the phase and answers with
//! its own; nothing is touched before that answer. Must never begin while somebody else writes to the database, never begin a second Job,
//! and never call a restore complete before the server has started on what was brought back.

mod apply;
mod build;
mod dereference;
mod keys;
pub mod phase;
mod report;
mod result;
mod stage;
mod status;
#[cfg(test)]
mod tests;
mod validate;

use super::Caches;
use crate::crd::PaperclipRestore;
use crate::shared::backoff::Failures;
use crate::shared::cache::Seen;
use crate::shared::context::Context;
use crate::shared::controller::{Again, Failure, Reconcile};
use crate::shared::guarded::Guarded;
use crate::shared::names::{ANNOTATION_TRACEPARENT, is_hands_off, manager};
use dereference::Found;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use k8s_openapi::jiff::Timestamp;
use stage::Stage;
use std::sync::Arc;
use tracing::{Instrument, info_span};
use validate::{Input, validate};

/// See the module.
pub struct Controller {
    context: Arc<Context>,
    caches: Arc<Caches>,
    failures: Arc<Failures>,
}

impl Controller {
    /// Works with what it is given.
    pub fn new(context: Arc<Context>, caches: Arc<Caches>, failures: Arc<Failures>) -> Self {
        Self {
            context,
            caches,
            failures,
        }
    }
}

type Object = Seen<Guarded<PaperclipRestore>>;

impl Reconcile for Controller {
    type View = Guarded<PaperclipRestore>;
    const NAME: &'static str = "restore";

    async fn reconcile(&self, seen: Arc<Object>) -> Result<Again, Failure> {
        let result = match &seen.view {
            Guarded::Undecodable { error, .. } => self.reporter(&seen).undecodable(error).await,
            // The Job goes with its owner, and its transaction with the Job.
            Guarded::Ok(_) if seen.deleting => Ok(Again::Someday),
            Guarded::Ok(object) => self.pass(&seen, object).await,
        };
        if let (Err(failure), Guarded::Ok(object)) = (&result, &seen.view) {
            let streak = self.failures.streak(&seen.key);
            self.reporter(&seen)
                .failing(object.status.as_ref(), streak, failure)
                .await;
        }
        result
    }

    fn traceparent(seen: &Object) -> Option<String> {
        let annotations = seen.view.meta().annotations.as_ref()?;
        annotations.get(ANNOTATION_TRACEPARENT).cloned()
    }
}

impl Controller {
    async fn pass(&self, seen: &Object, object: &PaperclipRestore) -> Result<Again, Failure> {
        if phase::has_ended(object) {
            return Ok(Again::Someday);
        }
        let (key, context) = (&seen.key, &*self.context);
        let domain = &context.options.cluster_domain;
        let found = dereference::read(&context.api, &self.caches, domain, key, object)
            .instrument(info_span!("dereference"))
            .await
            .map_err(|e| Failure::new("dereference", e.reason(), &e))?;
        let verdict = info_span!("validate").in_scope(|| {
            validate(&Input {
                object,
                found: &found,
                options: &context.options,
            })
        });
        let stage = stage::of(object, &found, &verdict, Timestamp::now());
        let stage = if is_hands_off(&object.metadata) {
            stage.begins_nothing(phase::of(object))
        } else {
            self.act(seen, object, &found, stage).await?
        };
        let (status, again) = status::of(object, &verdict, &stage, &Time(Timestamp::now()));
        self.report(seen, object, &found, status).await?;
        if let Stage::Complete(_) | Stage::Failed(_) = stage {
            // Nobody is to be let in or out for a pod that is gone.
            self.writer(seen)
                .tidy()
                .await
                .map_err(|e| Failure::new("apply", e.reason(), &e))?;
        }
        Ok(again.map_or(Again::Someday, Again::After))
    }

    /// Does what the stage asks for.
    async fn act<'v>(
        &self,
        seen: &Object,
        object: &PaperclipRestore,
        found: &Found,
        stage: Stage<'v>,
    ) -> Result<Stage<'v>, Failure> {
        if let Stage::TakeKeys(said) = stage {
            let taken = self.take_keys(seen, object, found, &said).await?;
            return Ok(match taken {
                Ok(()) => Stage::Checking(Some(said), "the server is about to start".into()),
                Err(cause) => Stage::Failed(cause),
            });
        }
        let built = match &stage {
            Stage::BeginSafetyBackup(v) => build::safety_backup(v).map(build::Desired::Safety),
            Stage::BeginRestore(v) => build::restore(v),
            _ => return Ok(stage),
        };
        let desired = built.map_err(|e| Failure::new("build", "InternalError", &e))?;
        let blocked = self
            .writer(seen)
            .run(desired)
            .instrument(info_span!("apply"))
            .await
            .map_err(|e| Failure::new("apply", e.reason(), &e))?;
        Ok(match blocked {
            Some(words) => Stage::Waiting("NotOurs", words),
            None => stage,
        })
    }

    fn writer<'a>(&'a self, seen: &'a Object) -> apply::Writer<'a> {
        apply::Writer {
            applier: self.context.applier(manager::RESTORE),
            caches: &self.caches,
            key: &seen.key,
            uid: &seen.uid,
        }
    }
}
