//! `deletionPolicy: Delete`: with the object goes what is in the bucket. A finalizer holds the object until the agent said that its backup is
//! gone. Must never remove a backup that is not the very one of this object, and never hold an object (or its namespace) for what cannot be
//! done any more: then the backup stays, and an event says so.

use super::dereference::Found;
use super::policy::prune::{self, Item};
use super::status;
use super::validate::{Input, Verdict, validate};
use super::{Controller, Object};
use crate::crd::PaperclipBackup;
use crate::crd::shared::DeletionPolicy;
use crate::shared::agent;
use crate::shared::api::ApiError;
use crate::shared::apply::ApplyError;
use crate::shared::cache::Key;
use crate::shared::controller::{Again, Failure};
use crate::shared::events::Severity;
use crate::shared::finalizer;
use crate::shared::names::{is_hands_off, manager};
use crate::shared::said::{Said, may_come};
use crate::shared::views::JobState;
use crate::shared::wish::Kind;
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::jiff::Timestamp;
use std::time::Duration;

const LOOK: Duration = Duration::from_secs(2);

/// What is in the bucket goes with the object. A policy has nothing there itself.
pub fn is_wanted(object: &PaperclipBackup) -> bool {
    let asked = object.spec.deletion_policy.as_ref();
    asked.is_some_and(|p| *p == DeletionPolicy::Delete) && !super::policy::is_one(object)
}

impl Controller {
    /// Puts the finalizer on before there is anything to remove, or takes it off.
    pub(super) async fn hold(
        &self,
        seen: &Object,
        object: &PaperclipBackup,
        wanted: bool,
    ) -> Result<(), Failure> {
        let Some(patch) = finalizer::patch(&object.metadata, wanted) else {
            return Ok(());
        };
        let (kind, key) = (Kind::of::<PaperclipBackup>(), &seen.key);
        let patched = self
            .context
            .api
            .json_patch(&kind, &key.namespace, &key.name, manager::BACKUP, &patch)
            .await;
        match patched {
            Ok(stored) => {
                self.caches.backups.wrote_as_itself(stored);
                Ok(())
            }
            Err(error) if error.is_not_found() => Ok(()),
            Err(error) => Err(Failure::new("finalizer", error.reason(), &error)),
        }
    }

    /// An object that is being deleted.
    pub(super) async fn remove(
        &self,
        seen: &Object,
        object: &PaperclipBackup,
    ) -> Result<Again, Failure> {
        if !finalizer::is_on(&object.metadata) {
            return Ok(Again::Someday);
        }
        if is_hands_off(&object.metadata) || !is_wanted(object) {
            self.hold(seen, object, false).await?;
            return Ok(Again::Someday);
        }
        let context = &*self.context;
        let domain = &context.options.cluster_domain;
        let found = super::dereference::read(&context.api, &self.caches, domain, &seen.key, object)
            .await
            .map_err(|e| Failure::new("dereference", e.reason(), &e))?;
        if !status::has_ended(object) && found.job.is_some() {
            return self.end(seen, &found).await;
        }
        let artifact = object.status.as_ref().and_then(|s| s.artifact.as_ref());
        let item = artifact.and_then(|a| Item::of(a));
        let Some(item) = item else {
            self.hold(seen, object, false).await?;
            return Ok(Again::Someday);
        };
        let verdict = validate(&Input {
            object,
            found: &found,
            options: &context.options,
        });
        let v = match verdict {
            Verdict::Accepted(v) => v,
            Verdict::Waiting(_, why) | Verdict::Refused(_, why) => {
                return self.keep(seen, object, &item, &why).await;
            }
        };
        let name = agent::job_name(&format!("{}-delete", v.name), &v.uid);
        let key = Key::new(&seen.key.namespace, &name);
        let Some(job) = self.caches.jobs.get(&key) else {
            let work = prune::removal(&v, &name, std::slice::from_ref(&item), None)
                .map_err(|e| Failure::new("build", "InternalError", &e))?;
            let applier = context.applier(manager::BACKUP);
            return match work.begin(&applier, &self.caches).await {
                Ok(_) => Ok(Again::After(LOOK)),
                Err(error) if is_forbidden(&error) => {
                    self.keep(seen, object, &item, &error.to_string()).await
                }
                Err(error) => Err(Failure::new("apply", error.reason(), &error)),
            };
        };
        let said = Said::last("prune", &self.caches.pods.controlled_by(&job.uid));
        match (job.view.state(), said) {
            (JobState::Running, _) => Ok(Again::After(LOOK)),
            (_, None) if may_come(&job.view, Timestamp::now()) => Ok(Again::After(LOOK)),
            (JobState::Complete, Some(said)) if said.is_done() => {
                let text = format!("removed from the bucket: {}", item.location);
                self.reporter(seen).tell(Severity::Normal, "Pruned", &text);
                self.hold(seen, object, false).await?;
                Ok(Again::Someday)
            }
            (state, said) => {
                let why = said.map_or_else(|| format!("{state:?}"), |said| said.why());
                self.keep(seen, object, &item, &why).await
            }
        }
    }

    /// Ends a backup that is being taken; the agent takes away what it had sent.
    async fn end(&self, seen: &Object, found: &Found) -> Result<Again, Failure> {
        if let Some(job) = &found.job {
            let applier = self.context.applier(manager::BACKUP);
            applier
                .remove_after_its_own(&self.caches.jobs, &Kind::of::<Job>(), &job.key, &seen.uid)
                .await
                .map_err(|e| Failure::new("apply", e.reason(), &e))?;
        }
        Ok(Again::After(LOOK))
    }

    /// The object goes, what is in the bucket stays.
    async fn keep(
        &self,
        seen: &Object,
        object: &PaperclipBackup,
        item: &Item,
        why: &str,
    ) -> Result<Again, Failure> {
        let text = format!("{} stays in the bucket: {why}", item.location);
        self.reporter(seen)
            .tell(Severity::Warning, "ArtifactKept", &text);
        self.hold(seen, object, false).await?;
        Ok(Again::Someday)
    }
}

/// The namespace is being deleted, or nobody may make Jobs there: neither gets better by waiting.
fn is_forbidden(error: &ApplyError) -> bool {
    matches!(error, ApplyError::Api(error) if ApiError::code(error) == Some(403))
}
