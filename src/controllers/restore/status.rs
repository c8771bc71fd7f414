//! Where a restore stands, as phase and conditions. Pure: the time is an argument.

use super::build::safety_name;
use super::phase;
use super::result::restored;
use super::stage::Stage;
use super::validate::Verdict;
use crate::crd::PaperclipRestore;
use crate::crd::backup::BackupFailure;
use crate::crd::restore::{PaperclipRestoreStatus, RestorePhase};
use crate::shared::conditions::{Fact, Truth, limit, merge};
use crate::shared::names::ANNOTATION_RECONCILE_REQUESTED;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use std::time::Duration;

/// How often something is looked for whose appearance nobody tells us.
const LOOK_AGAIN: Duration = Duration::from_secs(15);
/// How often what is waited for is looked for.
const LOOK_FOR_OTHERS: Duration = Duration::from_secs(5);
/// How often something is looked for that is about to happen. It costs no call.
const LOOK_SOON: Duration = Duration::from_secs(1);

/// The status, and when to look again without a cause.
pub fn of(
    object: &PaperclipRestore,
    verdict: &Verdict,
    stage: &Stage<'_>,
    now: &Time,
) -> (PaperclipRestoreStatus, Option<Duration>) {
    let before = object.status.clone().unwrap_or_default();
    let at = phase::of(object);
    let mut status = PaperclipRestoreStatus {
        observed_generation: object.metadata.generation,
        last_handled_reconcile_at: requested(object).or(before.last_handled_reconcile_at.clone()),
        ..before.clone()
    };
    let saved = matches!(verdict, Verdict::Accepted(v) if v.safety.is_some());
    let (phase, again) = match stage {
        Stage::Refused(..) => (RestorePhase::Pending, Some(LOOK_AGAIN)),
        // Nothing is under way yet, and each look asks for Secrets.
        Stage::Waiting(..) if at == RestorePhase::Pending => (at, Some(LOOK_FOR_OTHERS)),
        Stage::Waiting(..) => (at, Some(LOOK_SOON)),
        Stage::Quiescing(_) => (RestorePhase::Quiescing, Some(LOOK_SOON)),
        Stage::BeginSafetyBackup(_) | Stage::SafetyBackup(_) => {
            (RestorePhase::SafetyBackup, Some(LOOK_SOON))
        }
        Stage::BeginRestore(_) | Stage::Restoring(_) | Stage::TakeKeys(_) => {
            (RestorePhase::RestoringDatabase, Some(LOOK_SOON))
        }
        Stage::Checking(said, _) => {
            status.restored = said
                .as_ref()
                .map(|s| Box::new(restored(s)))
                .or(status.restored);
            (RestorePhase::Checking, Some(LOOK_SOON))
        }
        Stage::Complete(said) => {
            status.restored = said
                .as_ref()
                .map(|s| Box::new(restored(s)))
                .or(status.restored);
            (RestorePhase::Complete, None)
        }
        Stage::Failed(cause) => {
            status.failure = Some(BackupFailure {
                step: (!cause.step.is_empty()).then(|| cause.step.clone()),
                message: Some(limit(&cause.message, 1024)),
            });
            (RestorePhase::Failed, None)
        }
    };
    if phase != RestorePhase::Pending {
        status.start_time.get_or_insert_with(|| now.clone());
    }
    if matches!(phase, RestorePhase::Complete | RestorePhase::Failed) {
        status.completion_time = Some(now.clone());
    }
    if saved && phase == RestorePhase::SafetyBackup {
        let meta = &object.metadata;
        let (name, uid) = (meta.name.as_deref(), meta.uid.as_deref());
        status.safety_backup = name.zip(uid).map(|(name, uid)| safety_name(name, uid));
    }
    status.phase = Some(phase.into());
    let facts = facts(stage, phase, status.safety_backup.as_deref());
    let generation = object.metadata.generation.unwrap_or_default();
    status.conditions = merge(&before.conditions, facts, generation, now);
    (status, again)
}

fn facts(stage: &Stage<'_>, phase: RestorePhase, safety: Option<&str>) -> Vec<Fact> {
    let accepted = || Fact::new("Accepted", Truth::True, "Accepted", "it can be done");
    let on_its_way = |reason: &str, text: &str| {
        vec![
            Fact::new("Ready", Truth::Unknown, "Progressing", text),
            Fact::new("Reconciling", Truth::True, reason, text),
            accepted(),
        ]
    };
    match stage {
        Stage::Refused(reason, text) => ["Ready", "Accepted"]
            .map(|kind| Fact::new(kind, Truth::False, *reason, text))
            .into_iter()
            .chain([Fact::new("Stalled", Truth::True, *reason, text)])
            .collect(),
        Stage::Waiting(reason, text) if phase == RestorePhase::Pending => vec![
            Fact::new("Ready", Truth::Unknown, "Progressing", text),
            Fact::new("Accepted", Truth::Unknown, *reason, text),
            Fact::new("Reconciling", Truth::True, *reason, text),
        ],
        Stage::Waiting(reason, text) => on_its_way(reason, text),
        Stage::Quiescing(text) => on_its_way("Quiescing", text),
        Stage::BeginSafetyBackup(_) => on_its_way("SafetyBackup", "what is there is being saved"),
        Stage::SafetyBackup(text) => on_its_way("SafetyBackup", text),
        Stage::BeginRestore(_) => on_its_way("Restoring", "the data are being replaced"),
        Stage::Restoring(text) => on_its_way("Restoring", text),
        Stage::TakeKeys(_) => on_its_way("Restoring", "the keys are being brought back"),
        Stage::Checking(_, text) => on_its_way("Checking", text),
        Stage::Complete(_) => {
            let text = "everything was brought back";
            vec![
                Fact::new("Ready", Truth::True, "Complete", text),
                accepted(),
                Fact::new("Complete", Truth::True, "Complete", text),
            ]
        }
        Stage::Failed(cause) => {
            let back = safety.map_or_else(String::new, |name| {
                format!("; what was there before is in PaperclipBackup \"{name}\"")
            });
            let text = format!("{}{back}", cause.message);
            vec![
                Fact::new("Ready", Truth::False, cause.reason, &text),
                accepted(),
                Fact::new("Failed", Truth::True, cause.reason, &text),
                Fact::new("Stalled", Truth::True, cause.reason, &text),
            ]
        }
    }
}

/// The annotation that asks for a pass.
fn requested(object: &PaperclipRestore) -> Option<String> {
    let annotations = object.metadata.annotations.as_ref()?;
    let value = annotations.get(ANNOTATION_RECONCILE_REQUESTED)?;
    Some(value.chars().take(64).collect())
}
