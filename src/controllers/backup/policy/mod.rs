//! A PaperclipBackup with a schedule: the policy that makes one-shots, each an object with its own status. The clock is the operator's, so it
//! also runs while an Instance is suspended. Must never begin two at once, and never count a backup that an object does not prove.

mod child;
mod plan;
mod proof;
pub mod prune;
mod retention;
mod status;
#[cfg(test)]
mod tests;

use super::dereference::Found;
use super::validate::{Input, Verdict, validate};
use super::{Controller, Object};
use crate::crd::backup::BackupPhase;
use crate::crd::{PaperclipBackup, text};
use crate::shared::cache::Seen;
use crate::shared::controller::{Again, Failure};
use crate::shared::duration;
use crate::shared::guarded::Guarded;
use crate::shared::names::{is_hands_off, manager};
use crate::shared::schedule::{self, Schedule};
use crate::shared::wish::{Kind, Wish};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use k8s_openapi::jiff::Timestamp;
use k8s_openapi::jiff::tz::TimeZone;
use proof::Proofs;
use std::sync::Arc;
use std::time::Duration;

/// How late a missed backup may still begin, unless the spec says otherwise.
const STARTING_DEADLINE: Duration = Duration::from_secs(3600);
/// How often something is looked for that no backup can do without.
const LOOK_AGAIN: Duration = Duration::from_secs(15);
/// The clock of the machine may be set; so it is looked at from time to time.
const LOOK_AT_CLOCK: Duration = Duration::from_secs(3600);

/// When backups are taken.
#[derive(Debug)]
pub struct Times {
    schedule: Schedule,
    zone: TimeZone,
    jitter: Duration,
    deadline: Duration,
}

/// The object is a policy.
pub fn is_one(object: &PaperclipBackup) -> bool {
    text(object.spec.schedule.as_ref()).is_some()
}

/// Reads the times of a policy, or says what is wrong with them.
fn times(object: &PaperclipBackup) -> Result<Times, String> {
    let spec = &object.spec;
    let schedule = Schedule::parse(text(spec.schedule.as_ref()).unwrap_or_default())
        .map_err(|why| format!("spec.schedule: {why}"))?;
    let name = text(spec.time_zone.as_ref()).unwrap_or("UTC");
    let zone = schedule::zone(name).ok_or_else(|| {
        let name = crate::shared::conditions::quote(name);
        format!("spec.timeZone: \"{name}\" is not an IANA zone")
    })?;
    let read = |field: Option<&String>, path: &str, default: Duration| match text(field) {
        None => Ok(default),
        Some(text) => duration::parse(text)
            .ok_or_else(|| format!("spec.{path}: must be a duration such as 10m")),
    };
    Ok(Times {
        schedule,
        zone,
        jitter: read(spec.jitter.as_ref(), "jitter", Duration::ZERO)?,
        deadline: read(
            spec.starting_deadline.as_ref(),
            "startingDeadline",
            STARTING_DEADLINE,
        )?,
    })
}

impl Controller {
    /// One pass over a policy.
    pub(super) async fn policy(
        &self,
        seen: &Object,
        object: &PaperclipBackup,
        found: &Found,
    ) -> Result<Again, Failure> {
        let context = &*self.context;
        let now = Timestamp::now();
        let children: Vec<Arc<Seen<Guarded<PaperclipBackup>>>> =
            self.caches.backups.controlled_by(&seen.uid);
        let children: Vec<&PaperclipBackup> = children
            .iter()
            .filter_map(|child| match &child.view {
                Guarded::Ok(backup) if !child.deleting => Some(&**backup),
                _ => None,
            })
            .collect();
        let times = times(object);
        let mut verdict = judge(object, found, &context.options);
        let usable = matches!(verdict, Verdict::Accepted(_)) && !is_hands_off(&object.metadata);
        let plan = times.as_ref().ok().map(|times| {
            plan::of(&plan::Input {
                times,
                object,
                now,
                running: children.iter().any(|child| runs(child)),
            })
        });
        let zone = times.as_ref().ok().map(|times| times.zone.clone());
        let proofs = zone.clone().and_then(|zone| {
            let read = Proofs::read(object, zone);
            read.map_err(|why| verdict = Verdict::Refused("InvalidSpec", why))
                .ok()
                .flatten()
        });
        let asked = object.spec.retention.as_ref().zip(zone);
        let rules = asked.and_then(|(asked, zone)| {
            let read = retention::Rules::read(asked, zone);
            read.map_err(|why| verdict = Verdict::Refused("InvalidSpec", why))
                .ok()
        });
        let begun = plan.as_ref().filter(|_| usable).and_then(|plan| plan.start);
        if let Some(tick) = begun {
            let proven = proofs.as_ref().is_some_and(Proofs::of_each);
            let wish = Wish::of(&child::build(object, tick, proven))
                .map_err(|e| Failure::new("build", "InternalError", &e))?;
            context
                .applier(manager::BACKUP)
                .ensure(&self.caches.backups, &wish)
                .await
                .map_err(|e| Failure::new("apply", e.reason(), &e))?;
        }
        let pruned = match &verdict {
            Verdict::Accepted(validated) if usable => {
                let pruning = prune::Pruning {
                    seen,
                    validated,
                    rules: rules.as_ref(),
                    children: &children,
                    troubled: begun.is_some()
                        || children.iter().any(|child| runs(child))
                        || status::last_failed(&children),
                    now,
                };
                self.prune(&pruning).await?
            }
            _ => None,
        };
        let status = status::of(&status::Observed {
            object,
            rules: rules.as_ref(),
            proofs: proofs.as_ref(),
            times: times.as_ref().map(|_| ()).map_err(String::as_str),
            verdict: &verdict,
            plan: plan.as_ref().filter(|_| usable),
            children: &children,
            now: &Time(now),
        });
        let reporter = self.reporter(seen);
        reporter.write(object.status.as_ref(), &status).await?;
        if let Some((severity, reason, text)) = status::happening(object.status.as_ref(), &status) {
            reporter.tell(severity, reason, &text);
        }
        let wake = match &verdict {
            Verdict::Accepted(_) => plan.map_or(LOOK_AT_CLOCK, |plan| plan.wake),
            _ => LOOK_AGAIN,
        };
        if usable && let Some(name) = proofs.as_ref().and_then(|p| p.due(&children, now)) {
            self.ask_for_proof(seen, object, name).await?;
        }
        let proof = proofs.as_ref().and_then(|p| p.wake(now));
        let wake = proof.map_or(wake, |soon| soon.min(wake));
        let wake = pruned.map_or(wake, |soon| soon.min(wake));
        Ok(Again::After(wake.min(LOOK_AT_CLOCK)))
    }
}

impl Controller {
    /// The newest backup is to be proven.
    async fn ask_for_proof(
        &self,
        seen: &Object,
        object: &PaperclipBackup,
        name: &str,
    ) -> Result<(), Failure> {
        let level = object
            .spec
            .verification
            .as_ref()
            .and_then(|v| v.level.clone());
        let patch = serde_json::json!({"spec": {"verification": {"level": level}}});
        let (kind, api) = (Kind::of::<PaperclipBackup>(), &self.context.api);
        let sent = api
            .merge_patch(&kind, &seen.key.namespace, name, manager::BACKUP, &patch)
            .await;
        match sent {
            Ok(stored) => {
                self.caches.backups.applied(stored);
                Ok(())
            }
            Err(error) if error.is_not_found() => Ok(()),
            Err(error) => Err(Failure::new("apply", error.reason(), &error)),
        }
    }
}

/// Whether each of its backups could be taken now.
fn judge(
    object: &PaperclipBackup,
    found: &Found,
    options: &crate::shared::options::Options,
) -> Verdict {
    let mut one = object.clone();
    one.spec.schedule = None;
    validate(&Input {
        object: &one,
        found,
        options,
    })
}

fn runs(child: &PaperclipBackup) -> bool {
    let phase = child.status.as_ref().and_then(|s| s.phase.as_ref());
    !phase.is_some_and(|p| *p == BackupPhase::Complete || *p == BackupPhase::Failed)
}
