//! What was observed, as phase and conditions. Pure: the time is an argument.
//!
//! `Complete` and `BackupDurable` are the agent's word, never that of a Job that ended well.

use super::apply::Applied;
use super::result::{self, Reached};
use super::validate::Verdict;
use crate::crd::backup::{BackupFailure, BackupPhase, BackupVerified, PaperclipBackupStatus};
use crate::crd::shared::VerificationLevel;
use crate::crd::{PaperclipBackup, Word};
use crate::shared::cache::Seen;
use crate::shared::conditions::{Fact, Truth, find, limit, list, merge, quote};
use crate::shared::names::ANNOTATION_RECONCILE_REQUESTED;
use crate::shared::said::{Cause, Said, may_come};
use crate::shared::views::{JobState, Pod};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use std::sync::Arc;
use std::time::Duration;

/// A wait that lasts longer needs a person.
const PATIENCE: Duration = Duration::from_secs(300);
/// How often something is looked for whose appearance nobody tells us.
const LOOK_AGAIN: Duration = Duration::from_secs(15);
/// How often something is looked for that is about to happen.
const LOOK_SOON: Duration = Duration::from_secs(3);
/// How often a pod that has not ended is looked at, for what keeps it from working.
const LOOK_AT_POD: Duration = Duration::from_secs(5);

/// What a pass knows at its end.
pub struct Observed<'a> {
    /// As it was read at the start.
    pub object: &'a PaperclipBackup,
    /// What came of its spec.
    pub verdict: &'a Verdict,
    /// What came of the objects.
    pub applied: &'a Applied,
    /// The pods of the Job.
    pub pods: &'a [Arc<Seen<Pod>>],
    /// Now.
    pub now: &'a Time,
}

/// Where the backup stands.
enum Stand {
    /// Not begun, and a person has to do something.
    Refused(&'static str, String),
    /// Not begun, and it will be.
    Waiting(&'static str, String),
    /// The Job works.
    Running(String),
    /// In the bucket.
    Complete(Box<Said>),
    /// Not in the bucket.
    Failed(Cause, Option<Box<Said>>),
}

/// The phase is final.
pub fn is_end(phase: Option<&Word<BackupPhase>>) -> bool {
    phase.is_some_and(|p| *p == BackupPhase::Complete || *p == BackupPhase::Failed)
}

/// The backup has ended, and nothing begins it again.
pub fn has_ended(object: &PaperclipBackup) -> bool {
    is_end(object.status.as_ref().and_then(|s| s.phase.as_ref()))
}

/// Its Job was made, wherever it is now.
pub fn has_begun(object: &PaperclipBackup) -> bool {
    let status = object.status.as_ref();
    status.is_some_and(|s| s.start_time.is_some() || is_end(s.phase.as_ref()))
}

/// The status, and when to look again without a cause.
pub fn of(seen: &Observed<'_>) -> (PaperclipBackupStatus, Option<Duration>) {
    let before = seen.object.status.clone().unwrap_or_default();
    let generation = seen.object.metadata.generation.unwrap_or_default();
    let mut status = PaperclipBackupStatus {
        observed_generation: seen.object.metadata.generation,
        last_handled_reconcile_at: requested(seen.object)
            .or(before.last_handled_reconcile_at.clone()),
        ..before.clone()
    };
    if is_end(before.phase.as_ref()) {
        for condition in &mut status.conditions {
            condition.observed_generation = Some(generation);
        }
        return (status, None);
    }
    let (stand, again) = stand(seen, &before);
    let facts = facts(seen, &stand, &before);
    status.conditions = merge(&before.conditions, facts, generation, seen.now);
    match stand {
        Stand::Refused(..) | Stand::Waiting(..) => status.phase = Some(BackupPhase::Pending.into()),
        Stand::Running(_) => {
            status.phase = Some(BackupPhase::Running.into());
            status.start_time.get_or_insert_with(|| seen.now.clone());
        }
        Stand::Complete(said) => {
            status.phase = Some(BackupPhase::Complete.into());
            status.start_time.get_or_insert_with(|| seen.now.clone());
            status.completion_time = Some(seen.now.clone());
            status.artifact = result::artifact(&said).map(|artifact| {
                let app_version = app_version(seen.verdict);
                Box::new(crate::crd::backup::BackupArtifact {
                    app_version,
                    ..artifact
                })
            });
            status.verified = Some(BackupVerified {
                level: Some(VerificationLevel::Checksum.into()),
                time: Some(seen.now.clone()),
            });
            status.failure = None;
        }
        Stand::Failed(cause, _) => {
            status.phase = Some(BackupPhase::Failed.into());
            status.start_time.get_or_insert_with(|| seen.now.clone());
            status.completion_time = Some(seen.now.clone());
            status.failure = Some(BackupFailure {
                step: (!cause.step.is_empty()).then_some(cause.step),
                message: Some(limit(&cause.message, 1024)),
            });
        }
    }
    (status, again)
}

fn app_version(verdict: &Verdict) -> Option<String> {
    match verdict {
        Verdict::Accepted(v) => v.about["appVersion"].as_str().map(ToOwned::to_owned),
        _ => None,
    }
}

fn stand(seen: &Observed<'_>, before: &PaperclipBackupStatus) -> (Stand, Option<Duration>) {
    let Some(job) = &seen.applied.job else {
        if before.start_time.is_some() {
            let cause = no_result("the Job is gone, and left no result");
            return (Stand::Failed(cause, None), None);
        }
        let stand = not_begun(seen);
        let again = if matches!(stand, Stand::Refused(..)) {
            LOOK_AGAIN
        } else {
            LOOK_SOON
        };
        return (stand, Some(again));
    };
    let said = Said::last("backup", seen.pods);
    match (job.view.state(), said) {
        (JobState::Running, _) => (Stand::Running(at_work(seen)), Some(LOOK_AT_POD)),
        (JobState::Complete, Some(said)) if result::is_done(&said) => {
            (Stand::Complete(Box::new(said)), None)
        }
        (_, None) if may_come(&job.view, seen.now.0) => (
            Stand::Running("the Job has ended; its result is read".to_owned()),
            Some(Duration::from_secs(1)),
        ),
        (JobState::Complete, _) => {
            let cause =
                no_result("the Job ended, and its agent did not say that the backup was read back");
            (Stand::Failed(cause, None), None)
        }
        (JobState::Failed(why), said) => (failed(seen, &why, said), None),
    }
}

fn failed(seen: &Observed<'_>, why: &str, said: Option<Said>) -> Stand {
    let late = why.starts_with("DeadlineExceeded");
    let mut cause = match &said {
        Some(said) => result::cause(said),
        None => no_result(&format!(
            "no result of the agent; {}",
            ended_because(seen, why)
        )),
    };
    if late {
        cause.reason = "DeadlineExceeded";
        cause.message = format!("spec.activeDeadline is over; {}", cause.message);
    }
    Stand::Failed(cause, said.map(Box::new))
}

/// What the cluster says about pods without a word.
fn ended_because(seen: &Observed<'_>, why: &str) -> String {
    let trouble = seen.pods.iter().find_map(|p| p.view.trouble.as_ref());
    match trouble {
        Some(trouble) => format!("{}: \"{}\"", trouble.reason, trouble.message),
        None => format!("the Job: \"{}\"", quote(why)),
    }
}

fn no_result(message: &str) -> Cause {
    Cause {
        reason: "NoResult",
        step: String::new(),
        message: message.to_owned(),
    }
}

fn not_begun(seen: &Observed<'_>) -> Stand {
    if !seen.applied.not_ours.is_empty() {
        return Stand::Refused("NotOurs", list(&seen.applied.not_ours));
    }
    if !seen.applied.waiting.is_empty() {
        return Stand::Waiting("Progressing", list(&seen.applied.waiting));
    }
    match seen.verdict {
        Verdict::Refused(reason, text) => Stand::Refused(reason, text.clone()),
        Verdict::Waiting(reason, text) => Stand::Waiting(reason, text.clone()),
        Verdict::Accepted(_) => Stand::Waiting("Progressing", "the Job is not made yet".to_owned()),
    }
}

fn at_work(seen: &Observed<'_>) -> String {
    let trouble = seen
        .pods
        .iter()
        .find_map(|p| Some((&p.key.name, p.view.trouble.as_ref()?)));
    match trouble {
        Some((pod, trouble)) => {
            format!("pod \"{pod}\": {}: \"{}\"", trouble.reason, trouble.message)
        }
        None => "the backup is being taken".to_owned(),
    }
}

fn facts(seen: &Observed<'_>, stand: &Stand, before: &PaperclipBackupStatus) -> Vec<Fact> {
    let mut facts = vec![ready(stand), accepted(seen, stand)];
    match stand {
        Stand::Complete(said) => {
            let location = result::artifact(said).and_then(|a| a.location);
            let location = location.unwrap_or_default();
            facts.push(Fact::new("Complete", Truth::True, "Complete", &location));
            facts.push(Fact::new(
                "BackupDurable",
                Truth::True,
                "ReadBack",
                "size and SHA-256 of every part were read back, then the manifest was written",
            ));
        }
        Stand::Failed(cause, _) => {
            facts.push(Fact::new(
                "Failed",
                Truth::True,
                cause.reason,
                &cause.message,
            ));
            facts.push(Fact::new(
                "BackupDurable",
                Truth::False,
                "NotProven",
                "there is no manifest, so this is no backup",
            ));
        }
        Stand::Running(text) => {
            facts.push(Fact::new("Reconciling", Truth::True, "Progressing", text));
        }
        Stand::Waiting(reason, text) => {
            let since = find(&before.conditions, "Reconciling")
                .map_or(seen.now, |c| &c.last_transition_time);
            let stalled = find(&before.conditions, "Stalled").is_some_and(|c| c.reason == *reason);
            let waited = Duration::try_from(seen.now.0.duration_since(since.0)).unwrap_or_default();
            let kind = if stalled || waited >= PATIENCE {
                "Stalled"
            } else {
                "Reconciling"
            };
            facts.push(Fact::new(kind, Truth::True, *reason, text));
        }
        Stand::Refused(..) => {}
    }
    let stuck = match stand {
        Stand::Refused(reason, text) => Some((*reason, text)),
        Stand::Failed(cause, _) => Some((cause.reason, &cause.message)),
        _ => None,
    };
    facts.extend(stuck.map(|(reason, text)| Fact::new("Stalled", Truth::True, reason, text)));
    let said = match stand {
        Stand::Complete(said) => Some(&**said),
        Stand::Failed(_, said) => said.as_deref(),
        _ => None,
    };
    facts.extend(said.and_then(result::reached).map(|reached| match reached {
        Reached::Yes => Fact::new(
            "StorageReachable",
            Truth::True,
            "Reachable",
            "the bucket answered",
        ),
        Reached::No(reason, text) => Fact::new(
            "StorageReachable",
            Truth::False,
            reason,
            format!("\"{text}\""),
        ),
    }));
    facts
}

fn ready(stand: &Stand) -> Fact {
    match stand {
        Stand::Refused(reason, text) => Fact::new("Ready", Truth::False, *reason, text),
        Stand::Waiting(_, text) | Stand::Running(text) => {
            Fact::new("Ready", Truth::Unknown, "Progressing", text)
        }
        Stand::Complete(_) => Fact::new(
            "Ready",
            Truth::True,
            "Complete",
            "the backup is in the bucket and was read back",
        ),
        Stand::Failed(cause, _) => Fact::new("Ready", Truth::False, cause.reason, &cause.message),
    }
}

fn accepted(seen: &Observed<'_>, stand: &Stand) -> Fact {
    if let Stand::Refused(reason, text) = stand {
        return Fact::new("Accepted", Truth::False, *reason, text);
    }
    match seen.verdict {
        Verdict::Accepted(v) if !v.notes.is_empty() => {
            Fact::new("Accepted", Truth::False, "NotImplemented", list(&v.notes))
        }
        _ => Fact::new("Accepted", Truth::True, "Accepted", "it can be done"),
    }
}

/// The annotation that asks for a pass.
pub fn requested(object: &PaperclipBackup) -> Option<String> {
    let annotations = object.metadata.annotations.as_ref()?;
    let value = annotations.get(ANNOTATION_RECONCILE_REQUESTED)?;
    Some(value.chars().take(64).collect())
}
