//! The PaperclipDatabase controller: one pass in five steps.
//!
//! It runs PostgreSQL for one installation, or stands for a database that somebody else runs. Must never make a password for data that
//! know another one, never an empty volume in place of a lost one, and never show a password.

mod apply;
mod build;
mod check;
mod delete;
mod dereference;
mod found;
mod login;
mod looks;
mod parameters;
mod problem;
mod report;
mod status;
#[cfg(test)]
mod tests;
mod unbuilt;
pub mod validate;

use super::Caches;
use crate::crd::database::DatabaseEngine;
use crate::crd::{PaperclipDatabase, word};
use crate::shared::apply::Applier;
use crate::shared::backoff::Failures;
use crate::shared::cache::Seen;
use crate::shared::context::Context;
use crate::shared::controller::{Again, Failure, Reconcile};
use crate::shared::guarded::Guarded;
use crate::shared::names::{ANNOTATION_TRACEPARENT, Names, is_hands_off, manager};
use crate::shared::wish::Kind;
use crate::shared::{finalizer, random};
use apply::{Applied, Writer};
use dereference::{Found, Known, sibling};
use found::Asked;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use k8s_openapi::jiff::Timestamp;
use std::sync::Arc;
use std::time::Instant;
use tracing::{Instrument, info_span};
use validate::{Engine, Input, Verdict, validate};

/// See the module.
pub struct Controller {
    context: Arc<Context>,
    caches: Arc<Caches>,
    failures: Arc<Failures>,
    looks: looks::Looks,
}

impl Controller {
    /// Works with what it is given.
    pub fn new(context: Arc<Context>, caches: Arc<Caches>, failures: Arc<Failures>) -> Self {
        Self {
            context,
            caches,
            failures,
            looks: looks::Looks::default(),
        }
    }
}

type Object = Seen<Guarded<PaperclipDatabase>>;

impl Reconcile for Controller {
    type View = Guarded<PaperclipDatabase>;
    const NAME: &'static str = "database";

    async fn reconcile(&self, seen: Arc<Object>) -> Result<Again, Failure> {
        let result = match &seen.view {
            Guarded::Undecodable { error, .. } => self.reporter(&seen).undecodable(error).await,
            Guarded::Ok(object) if seen.deleting => self.end(&seen, object).await,
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
    async fn pass(&self, seen: &Object, object: &PaperclipDatabase) -> Result<Again, Failure> {
        let (key, context) = (&seen.key, &*self.context);
        self.hold(seen, delete::takes_data(object)).await?;

        let started = Instant::now();
        let now = Timestamp::now();
        let outside = word(object.spec.engine.as_ref()) == Ok(Some(DatabaseEngine::External));
        let look = looks::needed(object)
            || self.looks.due(key, started)
            || (outside && check::needs_look(object, now));
        let found = dereference::read(&context.api, &self.caches, key, object, look)
            .instrument(info_span!("dereference", look))
            .await
            .map_err(|e| Failure::new("dereference", e.reason(), &e))?;

        let verdict = info_span!("validate").in_scope(|| {
            validate(&Input {
                object,
                found: &found,
                options: &context.options,
                password: password_if_needed(&found),
            })
        });

        let checks = self.checks(seen);
        let asked = match &verdict {
            Verdict::Accepted(validated) => match &validated.engine {
                Engine::External(outside) => Some(check::decide(&check::Input {
                    object,
                    external: &outside.external,
                    found: &found,
                    jobs: &checks,
                    now,
                })),
                Engine::Managed(_) => None,
            },
            Verdict::Refused(_) => None,
        };
        let applied = match &verdict {
            Verdict::Accepted(validated) if !is_hands_off(&object.metadata) => {
                let desired = info_span!("build")
                    .in_scope(|| {
                        build::desired(validated, asked.as_ref().and_then(|a| a.due.as_ref()))
                    })
                    .map_err(|e| Failure::new("build", "InternalError", &e))?;
                let writer = Writer {
                    applier: Applier {
                        predecessor: seen.controller.as_ref().map(|c| &*c.uid),
                        ..context.applier(manager::DATABASE)
                    },
                    caches: &self.caches,
                    key,
                    uid: &seen.uid,
                    settled: settled(object),
                    asked: Asked::of(object),
                    stale_checks: match &asked {
                        Some(asked) => asked.stale.clone(),
                        None => checks.iter().map(|(job, _)| job.key.clone()).collect(),
                    },
                };
                let span = info_span!("apply");
                writer.run(desired, &found.app).instrument(span).await
            }
            _ => Applied::observed(&self.caches, key),
        };
        if let Some(error) = applied.failed.first() {
            return Err(Failure::new("apply", error.reason(), error));
        }
        if look {
            self.looks.looked(key, started);
            let (databases, exists) = (&self.caches.databases, |k: &_| {
                self.caches.databases.get(k).is_some()
            });
            self.looks.tidy(databases.len(), exists);
        }

        let pod = format!("{}-0", Names::of(&key.name).database());
        let pod = self.caches.pods.get(&sibling(key, &pod));
        let blocked = applied.stateful_set.as_ref().zip(pod.as_ref());
        let blocked = blocked.filter(|(set, pod)| set.view.is_blocked_by(pod));
        if let Some((_, pod)) = blocked.filter(|_| !is_hands_off(&object.metadata)) {
            context
                .api
                .take_away(pod)
                .await
                .map_err(|e| Failure::new("apply", e.reason(), &e))?;
        }
        let existing_claim = match &found.claim {
            Known::Present(claim) => Some(claim),
            Known::Absent | Known::Vouched => None,
        };
        let (status, again) = status::of(&status::Observed {
            object,
            verdict: &verdict,
            applied: &applied,
            existing_claim,
            pod: pod.as_ref().map(|p| &p.view),
            check: asked.as_ref(),
            now: &Time(now),
        });
        self.report(seen, object, status, &applied, taken_up(object, &found))
            .await?;
        Ok(again.map_or(Again::Someday, Again::After))
    }

    /// The Jobs that ask a database of somebody else, each with its pods.
    fn checks(&self, seen: &Object) -> Vec<check::JobWithPods> {
        let jobs = self.caches.jobs.controlled_by(&seen.uid).into_iter();
        jobs.filter(|job| check::is_check(job))
            .map(|job| {
                let pods = self.caches.pods.controlled_by(&job.uid);
                (job, pods)
            })
            .collect()
    }

    /// The object is being deleted. What it owns goes by itself.
    async fn end(&self, seen: &Object, object: &PaperclipDatabase) -> Result<Again, Failure> {
        if !finalizer::is_on(&object.metadata) {
            self.report_end(seen, object).await?;
            return Ok(Again::Someday);
        }
        if delete::takes_data(object) {
            delete::hand_over_data(&self.context.api, &self.caches, &seen.key, object)
                .await
                .map_err(|e| Failure::new("delete", e.reason(), &e))?;
        }
        self.hold(seen, false).await?;
        Ok(Again::Someday)
    }

    /// Makes the deletion wait for us, or no longer.
    async fn hold(&self, seen: &Object, wanted: bool) -> Result<(), Failure> {
        let Some(patch) = finalizer::patch(seen.view.meta(), wanted) else {
            return Ok(());
        };
        let (kind, key) = (Kind::of::<PaperclipDatabase>(), &seen.key);
        let patched = self
            .context
            .api
            .json_patch(&kind, &key.namespace, &key.name, manager::DATABASE, &patch)
            .await;
        match patched {
            Ok(object) if !seen.deleting => {
                self.caches.databases.wrote_as_itself(object);
                Ok(())
            }
            Ok(_) => Ok(()),
            Err(error) if error.is_not_found() => Ok(()),
            Err(error) => Err(Failure::new("finalizer", error.reason(), &error)),
        }
    }
}

/// It was ready with this spec.
fn settled(object: &PaperclipDatabase) -> bool {
    object
        .status
        .as_ref()
        .is_some_and(|s| s.observed_generation == object.metadata.generation && s.version.is_some())
}

/// A fresh password if there may be none: the pure steps draw no random bytes.
fn password_if_needed(found: &Found) -> Option<String> {
    matches!(found.credentials, Known::Absent)
        .then(random::letters_and_digits::<32>)?
        .ok()
}

/// Name of the claim, if it is older than the object.
fn taken_up(object: &PaperclipDatabase, found: &Found) -> Option<String> {
    let Known::Present(claim) = &found.claim else {
        return None;
    };
    let name = Names::of(object.metadata.name.as_deref()?).database_data();
    validate::is_older(claim, object).then_some(name)
}
