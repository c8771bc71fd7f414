//! What is true of a policy: its times, and what its backups say of themselves. Pure.

use super::plan::Plan;
use super::proof::{self, Proofs};
use super::retention::Rules;
use crate::controllers::backup::status::requested;
use crate::controllers::backup::validate::Verdict;
use crate::crd::PaperclipBackup;
use crate::crd::backup::{BackupPhase, PaperclipBackupStatus, RecoveryPoints};
use crate::crd::shared::NamedTime;
use crate::shared::conditions::{Fact, Truth, find, list, merge};
use crate::shared::events::Severity;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};

/// What a pass knows at its end.
pub struct Observed<'a> {
    /// As it was read at the start.
    pub object: &'a PaperclipBackup,
    /// How many are kept; `None`: all.
    pub rules: Option<&'a Rules>,
    /// When proofs are made; `None`: none are.
    pub proofs: Option<&'a Proofs>,
    /// The times can be used, or why not.
    pub times: Result<(), &'a str>,
    /// Whether its backups could be taken.
    pub verdict: &'a Verdict,
    /// What was done; `None`: nothing may be done.
    pub plan: Option<&'a Plan>,
    /// Its backups.
    pub children: &'a [&'a PaperclipBackup],
    /// Now.
    pub now: &'a Time,
}

/// The status.
pub fn of(seen: &Observed<'_>) -> PaperclipBackupStatus {
    let before = seen.object.status.clone().unwrap_or_default();
    let generation = seen.object.metadata.generation;
    let newest = |phase| newest(seen.children, phase);
    let (good, bad) = (newest(BackupPhase::Complete), newest(BackupPhase::Failed));
    let time = Time;
    let missed = seen.plan.map_or(0, |plan| plan.missed);
    let missed = before
        .missed_runs
        .unwrap_or_default()
        .saturating_add(i32::try_from(missed).unwrap_or(i32::MAX));
    let facts = facts(seen, good.as_ref(), bad.as_ref());
    PaperclipBackupStatus {
        observed_generation: generation,
        conditions: merge(
            &before.conditions,
            facts,
            generation.unwrap_or_default(),
            seen.now,
        ),
        last_schedule_time: seen
            .plan
            .and_then(|plan| plan.handled)
            .map(time)
            .or(before.last_schedule_time),
        next_schedule_time: seen.plan.and_then(|plan| plan.next).map(time),
        last_verified: proof::last(seen.children).or(before.last_verified),
        last_successful: good.or(before.last_successful),
        last_failed: bad.or(before.last_failed),
        missed_runs: Some(missed),
        recovery_points: recovery_points(seen.children),
        next_prune: next_prune(seen),
        last_handled_reconcile_at: requested(seen.object).or(before.last_handled_reconcile_at),
        ..PaperclipBackupStatus::default()
    }
}

/// What changed, out of the status that was stored and the one that is to be.
pub fn happening(
    before: Option<&PaperclipBackupStatus>,
    after: &PaperclipBackupStatus,
) -> Option<(Severity, &'static str, String)> {
    let missed = |s: &PaperclipBackupStatus| s.missed_runs.unwrap_or_default();
    let more = missed(after) - before.map_or(0, missed);
    (more > 0).then(|| {
        let text = format!("{more} times of the schedule passed without a backup");
        (Severity::Warning, "BackupMissed", text)
    })
}

fn ended(child: &PaperclipBackup, phase: BackupPhase) -> Option<&Time> {
    let status = child.status.as_ref()?;
    let is = status.phase.as_ref().is_some_and(|p| *p == phase);
    status.completion_time.as_ref().filter(|_| is)
}

/// The backup that ended last failed.
pub fn last_failed(children: &[&PaperclipBackup]) -> bool {
    let at = |phase| newest(children, phase).and_then(|n| n.time).map(|t| t.0);
    at(BackupPhase::Failed) > at(BackupPhase::Complete)
}

/// What goes when the next backup is there, or now.
fn next_prune(seen: &Observed<'_>) -> Vec<String> {
    const SHOWN: usize = 16;
    let Some(rules) = seen.rules else {
        return vec![];
    };
    let next = seen.plan.and_then(|plan| plan.next).unwrap_or(seen.now.0);
    let names = rules.removable_after(seen.children, next);
    names
        .into_iter()
        .take(SHOWN)
        .map(ToOwned::to_owned)
        .collect()
}

fn newest(children: &[&PaperclipBackup], phase: BackupPhase) -> Option<NamedTime> {
    let all = children
        .iter()
        .filter_map(|child| Some((ended(child, phase)?, child)));
    let (time, child) = all.max_by_key(|(time, _)| time.0)?;
    Some(NamedTime {
        name: child.metadata.name.clone(),
        time: Some(time.clone()),
    })
}

fn recovery_points(children: &[&PaperclipBackup]) -> Option<RecoveryPoints> {
    let good: Vec<(&Time, i64)> = children
        .iter()
        .filter_map(|child| {
            let time = ended(child, BackupPhase::Complete)?;
            let artifact = child.status.as_ref()?.artifact.as_ref()?;
            Some((time, artifact.bytes.unwrap_or_default()))
        })
        .collect();
    let oldest = good.iter().map(|(time, _)| *time).min_by_key(|t| t.0)?;
    let newest = good.iter().map(|(time, _)| *time).max_by_key(|t| t.0)?;
    Some(RecoveryPoints {
        count: i32::try_from(good.len()).ok(),
        oldest: Some(oldest.clone()),
        newest: Some(newest.clone()),
        total_bytes: Some(good.iter().map(|(_, bytes)| bytes).sum()),
    })
}

fn facts(seen: &Observed<'_>, good: Option<&NamedTime>, bad: Option<&NamedTime>) -> Vec<Fact> {
    let refused = match (&seen.times, seen.verdict) {
        (Err(why), _) => Some(("InvalidSchedule", (*why).to_owned())),
        (_, Verdict::Refused(reason, why)) => Some((*reason, why.clone())),
        _ => None,
    };
    if let Some((reason, why)) = refused {
        return ["Ready", "Accepted"]
            .map(|kind| Fact::new(kind, Truth::False, reason, &why))
            .into_iter()
            .chain([Fact::new("Stalled", Truth::True, reason, &why)])
            .collect();
    }
    let mut facts = vec![];
    if let Verdict::Waiting(reason, why) = seen.verdict {
        facts.push(Fact::new("Ready", Truth::Unknown, "Progressing", why));
        facts.push(Fact::new("Reconciling", Truth::True, *reason, why));
    } else if seen.object.spec.suspend == Some(true) {
        let text = "spec.suspend: no backup is begun by the schedule";
        facts.push(Fact::new("Ready", Truth::False, "Suspended", text));
    } else {
        facts.push(last_run(good, bad));
    }
    facts.push(match seen.verdict {
        Verdict::Accepted(v) if !v.notes.is_empty() => {
            Fact::new("Accepted", Truth::False, "NotImplemented", list(&v.notes))
        }
        _ => Fact::new("Accepted", Truth::True, "Accepted", "it can be done"),
    });
    facts.extend(reached(seen.children));
    facts.extend(seen.proofs.map(|p| p.fact(seen.children, seen.now.0)));
    facts
}

fn last_run(good: Option<&NamedTime>, bad: Option<&NamedTime>) -> Fact {
    let at = |named: Option<&NamedTime>| named.and_then(|n| n.time.as_ref()).map(|t| t.0);
    match (at(bad), bad.and_then(|b| b.name.as_ref())) {
        (Some(failed), Some(name)) if at(good).is_none_or(|good| good < failed) => Fact::new(
            "Ready",
            Truth::False,
            "LastRunFailed",
            format!("PaperclipBackup \"{name}\" failed; see its status"),
        ),
        _ => Fact::new(
            "Ready",
            Truth::True,
            "Scheduled",
            "backups are taken by the schedule",
        ),
    }
}

/// What the newest backup that asked the storage says of it.
fn reached(children: &[&PaperclipBackup]) -> Option<Fact> {
    let told = |child: &&&PaperclipBackup| -> Option<(Time, Condition)> {
        let status = child.status.as_ref()?;
        let condition = find(&status.conditions, "StorageReachable")?;
        Some((status.completion_time.clone()?, condition.clone()))
    };
    let all = children.iter().filter_map(|child| told(&child));
    let (_, condition) = all.max_by_key(|(time, _)| time.0)?;
    let truth = if condition.status == "True" {
        Truth::True
    } else {
        Truth::False
    };
    Some(Fact::new(
        "StorageReachable",
        truth,
        &condition.reason,
        &condition.message,
    ))
}
