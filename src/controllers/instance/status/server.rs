//! The conditions of what runs the server: one, or two while one kind of workload takes over from the other. Pure.

use super::Scene;
use super::parts::{PROGRESS, Part};
use crate::controllers::instance::applied::{Cure, Part as Object};
use crate::controllers::instance::workload::{Switch, WorkloadKind};
use crate::shared::cache::Seen;
use crate::shared::views::{Trouble, Workload};
use std::time::Duration;

/// How long a fault of a pod may last before a person must act.
pub fn patience(trouble: &Trouble) -> Duration {
    // A reference that is none does not become one.
    let hopeless = trouble.reason == "ImagePullFailed"
        && ["parse image", "invalid reference"]
            .iter()
            .any(|t| trouble.message.contains(t));
    if hopeless { Duration::ZERO } else { PROGRESS }
}

/// The server as its pods are.
pub fn parts(scene: &Scene<'_>) -> Vec<Part> {
    let all = &scene.observed.workloads;
    let current = current(scene, all.kind);
    if scene.applied.switch == Switch::Prepare {
        return vec![current, successor(all.kind)];
    }
    vec![current]
}

/// What is to take over, until it can.
fn successor(from: WorkloadKind) -> Part {
    let to = from.other();
    Part::stalls(
        to.ready(),
        to.not_ready(),
        format!(
            "{} takes over from {} as soon as all its replicas are ready",
            to.name(),
            from.name()
        ),
        PROGRESS,
    )
}

fn current(scene: &Scene<'_>, kind: WorkloadKind) -> Part {
    let (condition, named) = (kind.ready(), kind.name());
    if let Some(problem) = scene.applied.problem(Object::Workload) {
        match problem.cure {
            Cure::Person => {
                return Part::stalls(condition, &problem.reason, &problem.message, Duration::ZERO);
            }
            Cure::Time => return Part::waits(condition, &problem.reason, &problem.message),
            Cure::Retry if scene.failing.is_some() => {
                return Part::waits(condition, "ReconcileError", &problem.message);
            }
            Cure::Retry => {}
        }
    }
    let Some(workload) = scene.observed.workload() else {
        return Part::unknown(
            condition,
            "Progressing",
            format!("{named} \"{}\" is not there yet", scene.name()),
        );
    };
    let (name, status) = (&workload.key.name, &workload.view.status);
    let wanted = scene.observed.wanted_replicas();
    if scene.suspended() && wanted == 0 {
        return if status.replicas == 0 && scene.observed.pods.is_empty() {
            let text = format!("{named} \"{name}\" has no pods, as asked");
            Part::well(condition, kind.suspended(), text)
        } else {
            let text = format!("{named} \"{name}\": pods are still ending");
            Part::waits(condition, kind.suspending(), text)
        };
    }
    if wanted == 0 {
        let wait = scene
            .plan
            .and_then(|p| p.wait.as_ref())
            .map_or_else(|| "is about to start".to_owned(), |w| w.text(scene.name()));
        return Part::waits(condition, kind.not_ready(), format!("the server {wait}"));
    }
    if scene.applied.switch == Switch::Finish {
        let old = kind.other().name();
        return Part::stalls(
            condition,
            "RolloutInProgress",
            format!("{named} \"{name}\" has taken over; pods of the {old} are still ending"),
            PROGRESS,
        );
    }
    if workload.view.is_complete(wanted) {
        return Part::well(
            condition,
            condition,
            format!("{wanted} of {wanted} replicas ready at the wanted revision"),
        );
    }
    if let Some((pod, trouble)) = scene
        .observed
        .pods
        .iter()
        .filter(|p| !p.deleting)
        .find_map(|p| p.view.trouble.as_ref().map(|t| (p, t)))
    {
        return Part::stalls(
            condition,
            trouble.reason,
            format!("pod \"{}\": \"{}\"", pod.key.name, trouble.message),
            patience(trouble),
        );
    }
    // No numbers that go up and down: equal facts give equal text.
    let reason = if is_rolling(scene) {
        "RolloutInProgress"
    } else {
        kind.not_ready()
    };
    Part::stalls(
        condition,
        reason,
        format!("{named} \"{name}\": not every replica is ready at the wanted revision"),
        PROGRESS,
    )
}

/// The pods are on the way to another revision, number or kind; a pod that was lost at rest is no rollout.
pub fn is_rolling(scene: &Scene<'_>) -> bool {
    let switching = matches!(scene.applied.switch, Switch::Prepare | Switch::Finish);
    let rolls = |w: &Seen<Workload>| {
        let (s, pods) = (&w.view.status, w.view.spec.replicas.unwrap_or(0));
        s.observed_generation < w.view.metadata.generation
            || s.replicas > pods
            || match scene.observed.workloads.kind {
                WorkloadKind::StatefulSet => s.current_revision != s.update_revision,
                WorkloadKind::Deployment => s.updated_replicas < s.replicas,
            }
    };
    switching || scene.observed.workload().is_some_and(rolls)
}
