//! The PaperclipBackup controller: one pass in five steps.
//!
//! A one-shot is one Job: it is begun once, and its end is final. Must never call a backup complete without the agent's own word that it
//! was read back, never begin one again, and never show a key.

mod apply;
mod build;
mod dereference;
mod policy;
mod removal;
mod report;
mod result;
mod status;
#[cfg(test)]
mod tests;
mod validate;
mod verify;

use super::Caches;
use crate::crd::PaperclipBackup;
use crate::shared::backoff::Failures;
use crate::shared::cache::Seen;
use crate::shared::context::Context;
use crate::shared::controller::{Again, Failure, Reconcile};
use crate::shared::guarded::Guarded;
use crate::shared::names::{ANNOTATION_TRACEPARENT, is_hands_off, manager};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use k8s_openapi::jiff::Timestamp;
use std::sync::Arc;
use tracing::{Instrument, info_span};
use validate::{Input, Verdict, validate};

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

type Object = Seen<Guarded<PaperclipBackup>>;

impl Reconcile for Controller {
    type View = Guarded<PaperclipBackup>;
    const NAME: &'static str = "backup";

    async fn reconcile(&self, seen: Arc<Object>) -> Result<Again, Failure> {
        let result = match &seen.view {
            Guarded::Undecodable { error, .. } => self.reporter(&seen).undecodable(error).await,
            // Job and policy go with their owner.
            Guarded::Ok(object) if seen.deleting => self.remove(&seen, object).await,
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
    async fn pass(&self, seen: &Object, object: &PaperclipBackup) -> Result<Again, Failure> {
        let (key, context) = (&seen.key, &*self.context);
        let domain = &context.options.cluster_domain;
        let found = dereference::read(&context.api, &self.caches, domain, key, object)
            .instrument(info_span!("dereference"))
            .await
            .map_err(|e| Failure::new("dereference", e.reason(), &e))?;

        if !is_hands_off(&object.metadata) {
            self.hold(seen, object, removal::is_wanted(object)).await?;
        }
        if policy::is_one(object) {
            return self.policy(seen, object, &found).await;
        }

        let verdict = info_span!("validate").in_scope(|| {
            validate(&Input {
                object,
                found: &found,
                options: &context.options,
            })
        });

        let writer = apply::Writer {
            applier: context.applier(manager::BACKUP),
            caches: &self.caches,
            key,
            uid: &seen.uid,
        };
        let applied = match &verdict {
            Verdict::Accepted(validated)
                if !is_hands_off(&object.metadata) && !status::has_ended(object) =>
            {
                let desired = info_span!("build")
                    .in_scope(|| build::work(validated))
                    .map_err(|e| Failure::new("build", "InternalError", &e))?;
                let begun = status::has_begun(object) || found.job.is_some();
                writer
                    .run(desired, begun)
                    .instrument(info_span!("apply"))
                    .await
            }
            _ => apply::Applied {
                job: found.job.clone(),
                ..apply::Applied::default()
            },
        };
        if let Some(error) = applied.failed.first() {
            return Err(Failure::new("apply", error.reason(), error));
        }

        let (mut status, mut again) = status::of(&status::Observed {
            object,
            verdict: &verdict,
            applied: &applied,
            pods: &found.pods,
            now: &Time(Timestamp::now()),
        });
        let ended = status::is_end(status.phase.as_ref());
        let proof = self
            .verify(seen, object, &found, &verdict, &mut status)
            .await?;
        again = again.or(proof);
        self.report(seen, object, &found, status).await?;
        if ended {
            // Nobody is to be let in or out for a pod that is gone.
            writer
                .tidy()
                .await
                .map_err(|e| Failure::new("apply", e.reason(), &e))?;
        }
        Ok(again.map_or(Again::Someday, Again::After))
    }
}
