//! Removes what has had its turn: Jobs that must make room, because a Job cannot be changed and one of its name cannot be made twice,
//! restores that nobody asks for any more, and accounts that no pod runs as any more.

use super::applied::{Applied, Part};
use super::gates::{Plan, State};
use super::observed::{self, Observed};
use super::restore;
use super::validate::Validated;
use crate::controllers::Caches;
use crate::controllers::restore::phase;
use crate::crd::PaperclipRestore;
use crate::crd::restore::RestorePhase;
use crate::shared::apply::{Applier, ApplyError, Outcome};
use crate::shared::cache::Key;
use crate::shared::guarded::Guarded;
use crate::shared::views::JobState;
use crate::shared::wish::Kind;
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::ServiceAccount;

/// Removes migrations whose turn is over: the newest beside the current one stays as a record. A failed current one goes if a new try was
/// asked for.
///
/// # Errors
/// See [`ApplyError`].
pub async fn migrations(
    applier: &Applier<'_>,
    caches: &Caches,
    observed: &Observed,
    uid: &str,
    plan: &Plan,
    asked: bool,
) -> Result<(), ApplyError> {
    let Some(current) = &plan.migration else {
        return Ok(());
    };
    let mut others: Vec<_> = observed
        .jobs
        .iter()
        .filter(|j| *j.key.name != *current.job)
        .collect();
    others.sort_by_key(|j| std::cmp::Reverse(j.version));
    let mut gone: Vec<&Key> = others.into_iter().skip(1).map(|j| &j.key).collect();
    if asked && matches!(current.state, State::Failed(_)) {
        gone.extend(observed.job(&current.job).map(|j| &j.key));
    }
    let kind = Kind::of::<Job>();
    for key in gone {
        applier.remove(&caches.jobs, &kind, key, uid).await?;
    }
    Ok(())
}

/// Removes restores that `restoreFrom` asked for, does not ask for any more, and that have touched nothing, or failed. One that works is
/// left to its end. A failed one that is still asked for goes if a new try was asked for.
///
/// # Errors
/// See [`ApplyError`].
pub async fn restores(
    applier: &Applier<'_>,
    caches: &Caches,
    observed: &Observed,
    v: &Validated<'_>,
    asked: bool,
) -> Result<(), ApplyError> {
    let wanted = v
        .restore
        .as_ref()
        .map(|r| restore::name(v.id.name, r.value));
    let kind = Kind::of::<PaperclipRestore>();
    for seen in &observed.restores {
        let Guarded::Ok(restore) = &seen.view else {
            continue;
        };
        let owner = seen.controller.as_ref().map(|c| &*c.uid);
        let is_wanted = wanted.as_deref() == Some(&*seen.key.name);
        let gone = match phase::of(restore) {
            RestorePhase::Pending => !is_wanted,
            RestorePhase::Failed => !is_wanted || asked,
            _ => false,
        };
        if owner == Some(v.id.uid) && gone {
            applier
                .remove(&caches.restores, &kind, &seen.key, v.id.uid)
                .await?;
        }
    }
    Ok(())
}

/// Removes the Job of the first admin where it must make room: it is about other data, nobody is wanted any more, or it failed and a new
/// try makes sense. `stamp`: of the try that would be made now, if known.
///
/// # Errors
/// See [`ApplyError`].
pub async fn bootstrap(
    applier: &Applier<'_>,
    caches: &Caches,
    observed: &Observed,
    uid: &str,
    plan: &Plan,
    stamp: Option<&str>,
    asked: bool,
) -> Result<(), ApplyError> {
    let Some(job) = &observed.bootstrap else {
        return Ok(());
    };
    let made_for = job.view.metadata.annotations.applied_hash.as_deref();
    let gone = match &plan.bootstrap {
        None => observed::job_state(job) == JobState::Running,
        Some(State::Failed(_)) => asked || (stamp.is_some() && stamp != made_for),
        Some(State::Waiting) => true,
        Some(State::Due | State::Running | State::Complete) => false,
    };
    if gone {
        let kind = Kind::of::<Job>();
        applier.remove(&caches.jobs, &kind, &job.key, uid).await?;
    }
    Ok(())
}

/// Removes accounts of ours that are not wanted, once every pod is of the workload as it is wanted now.
///
/// # Errors
/// See [`ApplyError`].
pub async fn accounts(
    applier: &Applier<'_>,
    caches: &Caches,
    v: &Validated<'_>,
    observed: &Observed,
    applied: &Applied,
) -> Result<(), ApplyError> {
    let all = &observed.workloads;
    let rolled_out = applied.outcome(Part::Workload) == Some(Outcome::Unchanged)
        && all.beside.is_none()
        && observed
            .workload()
            .is_some_and(|w| w.view.is_complete(observed.wanted_replicas()));
    if !rolled_out {
        return Ok(());
    }
    let kind = Kind::of::<ServiceAccount>();
    for account in caches.service_accounts.controlled_by(v.id.uid) {
        if v.account.make && *account.key.name == *v.account.name {
            continue;
        }
        applier
            .remove(&caches.service_accounts, &kind, &account.key, v.id.uid)
            .await?;
    }
    Ok(())
}
