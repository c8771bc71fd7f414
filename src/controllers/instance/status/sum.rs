//! The conditions that sum the parts up: `Ready`, `Reconciling`, `Stalled`, `Suspended`. `Reconciling` and `Stalled` are never both there.
//! Pure.

use super::parts::Part;
use super::{Class, Elapsed, Scene, server};
use crate::controllers::instance::final_backup;
use crate::shared::conditions::{Fact, Truth, find, list};
use std::time::Duration;

/// The sum.
pub struct Sum {
    facts: Vec<Fact>,
    /// Status of `Ready`.
    pub ready: Truth,
    /// Message of `Stalled`, if a person must act.
    pub stalled: Option<String>,
    /// Message of `Reconciling`, if something is waited for.
    pub waiting: Option<String>,
    /// A wait becomes a stall after this time.
    pub stalls_in: Option<Duration>,
}

impl Sum {
    /// All conditions, in the order in which people read them.
    pub fn conditions(self, parts: Vec<Part>) -> Vec<Fact> {
        self.facts
            .into_iter()
            .chain(parts.into_iter().map(|p| p.fact))
            .collect()
    }
}

/// Sums the parts up.
pub fn sum(scene: &Scene<'_>, parts: &[Part], elapsed: &Elapsed) -> Sum {
    let (stalled, stalls_in) = stall(scene, parts, elapsed);
    let stalled = if scene.terminating() {
        final_backup::held(scene.instance, &scene.observed.final_backups)
            .map(|why| Fact::new("Stalled", Truth::True, "FinalBackupFailed", why))
    } else {
        stalled
    };
    let ready = ready(scene, parts, stalled.is_some());
    let waiting = stalled
        .is_none()
        .then(|| reconciling(scene, parts))
        .flatten();
    let mut sum = Sum {
        ready: ready.truth,
        stalled: stalled.as_ref().map(|f| f.message.clone()),
        waiting: waiting.as_ref().map(|f| f.message.clone()),
        stalls_in,
        facts: vec![ready],
    };
    sum.facts.extend(waiting);
    sum.facts.extend(stalled);
    if scene.suspended() {
        sum.facts.push(Fact::new(
            "Suspended",
            Truth::True,
            "Suspended",
            "server stopped by spec.suspended; data kept",
        ));
    }
    sum
}

/// The first part that asks for a person, and when the next one will.
fn stall(scene: &Scene<'_>, parts: &[Part], elapsed: &Elapsed) -> (Option<Fact>, Option<Duration>) {
    let before = scene
        .before()
        .and_then(|s| find(&s.conditions, "Stalled"))
        .map(|c| c.reason.as_str());
    let (mut stalled, mut next): (Option<Fact>, Option<Duration>) = (None, None);
    for part in parts.iter().filter(|p| p.fact.truth != Truth::True) {
        let Some(patience) = part.patience else {
            continue;
        };
        let key = (part.fact.kind, part.fact.reason.clone());
        let waited = elapsed.get(&key).copied().unwrap_or_default();
        // A process that has just started does not know since when; the last status does.
        if waited >= patience || before == Some(part.fact.reason.as_str()) {
            stalled.get_or_insert_with(|| {
                Fact::new(
                    "Stalled",
                    Truth::True,
                    part.fact.reason.clone(),
                    part.fact.message.clone(),
                )
            });
        } else {
            let left = patience.saturating_sub(waited);
            next = Some(next.map_or(left, |n| n.min(left)));
        }
    }
    (stalled, next)
}

fn ready(scene: &Scene<'_>, parts: &[Part], stalled: bool) -> Fact {
    let no = |reason: &str, message: String| Fact::new("Ready", Truth::False, reason, message);
    if scene.terminating() {
        return no("Terminating", "the Instance is being deleted".into());
    }
    if scene.suspended() {
        return no("Suspended", "server stopped by spec.suspended".into());
    }
    if let Some(failing) = &scene.failing {
        return no("ReconcileError", failing.message.clone());
    }
    let required = parts.iter().filter(|p| p.class == Class::Required).count();
    let lacking: Vec<&Part> = parts.iter().filter(|p| p.lacks()).collect();
    if lacking.is_empty() {
        return Fact::new(
            "Ready",
            Truth::True,
            "AllResourcesReady",
            format!("all {required} parts are ready"),
        );
    }
    let names: Vec<String> = lacking
        .iter()
        .map(|p| format!("{} ({})", p.fact.kind, p.fact.reason))
        .collect();
    let message = format!(
        "{} of {required} not ready: {}",
        lacking.len(),
        list(&names)
    );
    // The old revision serves while the new one is on its way.
    let on_its_way = |p: &&Part| {
        p.fact.truth == Truth::Unknown
            || matches!(
                &*p.fact.reason,
                "RolloutInProgress" | "MigrationRunning" | "WaitingForDatabase"
            )
    };
    let rolling = scene.observed.serves() && !stalled && lacking.iter().all(on_its_way);
    if rolling {
        return Fact::new("Ready", Truth::Unknown, "Progressing", message);
    }
    no("ResourcesNotReady", message)
}

/// What comes by itself, if something does.
fn reconciling(scene: &Scene<'_>, parts: &[Part]) -> Option<Fact> {
    let yes = |reason: &str, message: String| {
        Some(Fact::new("Reconciling", Truth::True, reason, message))
    };
    if scene.terminating() {
        return yes(
            "Deleting",
            "what belongs to the Instance is being removed".into(),
        );
    }
    if let Some(failing) = &scene.failing {
        return yes("Retrying", failing.message.clone());
    }
    if scene.suspended() {
        let ending = parts
            .iter()
            .find(|p| p.fact.kind == "StatefulSetReady" && p.fact.truth != Truth::True);
        return ending.and_then(|p| yes("Suspending", p.fact.message.clone()));
    }
    let waits =
        |p: &&Part| p.lacks() || (p.class == Class::Degrades && p.fact.truth == Truth::False);
    let first = parts.iter().find(waits)?;
    let fact = &first.fact;
    let name = scene.name();
    match fact.kind {
        "ReferencesResolved" => yes("WaitingForReference", fact.message.clone()),
        "DatabaseReady" => yes(
            "WaitingForChild",
            format!("waiting for PaperclipDatabase \"{name}\": {}", fact.reason),
        ),
        "Migrated" => yes("Migrating", fact.message.clone()),
        "Bootstrapped" => yes("Bootstrapping", fact.message.clone()),
        "StatefulSetReady" if server::is_rolling(scene) => {
            yes("RolloutInProgress", fact.message.clone())
        }
        _ => yes("Progressing", fact.message.clone()),
    }
}
