//! The one-word answer and the one-sentence answer. Pure.

use super::parts::{PROGRESS, Part};
use super::sum::Sum;
use super::{Class, Elapsed, Scene, server};
use crate::controllers::instance::gates::State;
use crate::controllers::instance::restore::Restores;
use crate::controllers::instance::workload::WorkloadKind;
use crate::crd::instance::Phase;
use crate::shared::conditions::Truth;

/// The first that holds.
pub fn phase(scene: &Scene<'_>, parts: &[Part], sum: &Sum, elapsed: &Elapsed) -> Phase {
    if scene.terminating() {
        return Phase::Terminating;
    }
    if Restores::of(scene.instance, scene.observed).is_active() {
        return Phase::Restoring;
    }
    if sum.stalled.is_some() && !scene.observed.serves() && !scene.suspended() {
        return Phase::Failed;
    }
    let stopped = parts
        .iter()
        .any(|p| p.fact.reason == scene.observed.workloads.kind.suspended());
    if scene.suspended() && stopped {
        return Phase::Suspended;
    }
    let was_ready = scene.was_ready();
    if was_ready && sum.stalled.is_none() && updating(scene, parts, elapsed) {
        return Phase::Updating;
    }
    let troubled = parts
        .iter()
        .any(|p| p.lacks() || (p.class == Class::Degrades && p.fact.truth == Truth::False));
    // Also in the pass that finds it ready for the first time: the next one would say so anyway.
    let serves = was_ready || sum.ready == Truth::True;
    if serves && (troubled || scene.failing.is_some()) {
        return Phase::Degraded;
    }
    if sum.ready == Truth::True && scene.observed.backing_up.is_some() {
        return Phase::BackingUp;
    }
    if sum.ready == Truth::True {
        return Phase::Running;
    }
    if something_exists(scene) {
        Phase::Provisioning
    } else {
        Phase::Pending
    }
}

/// A change is on its way, and has not taken too long. Once begun it lasts until every replica is ready.
fn updating(scene: &Scene<'_>, parts: &[Part], elapsed: &Elapsed) -> bool {
    let migrating = scene.plan.is_some_and(|p| {
        p.migration
            .as_ref()
            .is_some_and(|m| matches!(m.state, State::Due | State::Running))
    });
    let is_servers = |p: &&Part| {
        WorkloadKind::ALL
            .iter()
            .any(|kind| p.fact.kind == kind.ready())
    };
    let mut servers = parts.iter().filter(is_servers);
    let Some(server) = servers.find(|p| p.fact.truth != Truth::True) else {
        return migrating;
    };
    let before = scene.before().and_then(|s| s.phase.as_ref()?.known().ok());
    let begun = matches!(before, Some(Phase::Updating | Phase::Suspended));
    let key = (server.fact.kind, server.fact.reason.clone());
    let in_time = elapsed.get(&key).is_none_or(|waited| *waited < PROGRESS);
    migrating || (in_time && (begun || scene.suspended() || server::is_rolling(scene)))
}

fn something_exists(scene: &Scene<'_>) -> bool {
    let o = scene.observed;
    o.workload().is_some()
        || o.service.is_some()
        || o.claim.is_some()
        || o.database.is_some()
        || scene.keys.names.as_ref().is_some_and(|n| !n.is_empty())
}

/// State, cause, and what happens next.
pub fn summary(scene: &Scene<'_>, phase: Phase, parts: &[Part], sum: &Sum) -> String {
    if scene.hands_off {
        return format!(
            "{phase}; the operator changes nothing: annotation paperclip.inc/reconcile is disabled"
        );
    }
    if let Some(why) = sum.stalled.as_ref().or(sum.waiting.as_ref()) {
        return format!("{phase}: {why}");
    }
    match phase {
        Phase::Running => {
            let version = scene
                .before()
                .and_then(|s| s.running_version.as_deref())
                .or_else(|| scene.verdict.validated.as_ref()?.image.tag);
            let known = version.map_or_else(String::new, |v| format!(" {v}"));
            let inert = parts
                .iter()
                .find(|p| p.fact.kind == "ConfigAccepted" && p.fact.truth == Truth::False);
            if let Some(pending) = pending(scene) {
                return format!("Running{known}; {pending}");
            }
            inert.map_or_else(
                || format!("Running{known}"),
                |p| format!("Running{known}; {}: {}", p.fact.reason, p.fact.message),
            )
        }
        Phase::Suspended => {
            "Suspended: server stopped, data kept; set spec.suspended to false to start it".into()
        }
        other => other.to_string(),
    }
}

/// The one roll-out of an Instance that was taken over.
fn pending(scene: &Scene<'_>) -> Option<String> {
    let changes = &scene.adopted.as_ref()?.pending;
    (!changes.is_empty()).then(|| {
        format!(
            "one roll-out is pending (annotation paperclip.inc/adopt: now begins it): {}",
            changes.join("; ")
        )
    })
}
