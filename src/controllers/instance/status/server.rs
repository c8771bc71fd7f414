//! The condition of the server's StatefulSet. Pure.

use super::Scene;
use super::parts::{PROGRESS, Part};
use crate::controllers::instance::apply::{Cure, Part as Object};
use crate::shared::views::Trouble;
use std::time::Duration;

const KIND: &str = "StatefulSetReady";

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
pub fn part(scene: &Scene<'_>) -> Part {
    if let Some(problem) = scene.applied.problem(Object::Workload) {
        match problem.cure {
            Cure::Person => {
                return Part::stalls(KIND, &problem.reason, &problem.message, Duration::ZERO);
            }
            Cure::Time => return Part::waits(KIND, &problem.reason, &problem.message),
            Cure::Retry if scene.failing.is_some() => {
                return Part::waits(KIND, "ReconcileError", &problem.message);
            }
            Cure::Retry => {}
        }
    }
    let Some(workload) = &scene.observed.workload else {
        return Part::unknown(
            KIND,
            "Progressing",
            format!("StatefulSet \"{}\" is not there yet", scene.name()),
        );
    };
    let (name, status) = (&workload.key.name, &workload.view.status);
    let wanted = scene.observed.wanted_replicas();
    if scene.suspended() && wanted == 0 {
        return if status.replicas == 0 && scene.observed.pods.is_empty() {
            Part::well(
                KIND,
                "StatefulSetSuspended",
                format!("StatefulSet \"{name}\" has no pods, as asked"),
            )
        } else {
            Part::waits(
                KIND,
                "StatefulSetSuspending",
                format!("StatefulSet \"{name}\": pods are still ending"),
            )
        };
    }
    if wanted == 0 {
        let wait = scene
            .plan
            .and_then(|p| p.wait.as_ref())
            .map_or_else(|| "is about to start".to_owned(), |w| w.text(scene.name()));
        return Part::waits(KIND, "StatefulSetNotReady", format!("the server {wait}"));
    }
    if workload.view.is_complete(wanted) {
        return Part::well(
            KIND,
            "StatefulSetReady",
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
            KIND,
            trouble.reason,
            format!("pod \"{}\": \"{}\"", pod.key.name, trouble.message),
            patience(trouble),
        );
    }
    // No numbers that go up and down: equal facts give equal text.
    let reason = if is_rolling(scene) {
        "RolloutInProgress"
    } else {
        "StatefulSetNotReady"
    };
    Part::stalls(
        KIND,
        reason,
        format!("StatefulSet \"{name}\": not every replica is ready at the wanted revision"),
        PROGRESS,
    )
}

/// The pods are on the way to another revision or number; a pod that was lost at rest is no rollout.
pub fn is_rolling(scene: &Scene<'_>) -> bool {
    scene.observed.workload.as_ref().is_some_and(|w| {
        let s = &w.view.status;
        s.observed_generation < w.view.metadata.generation
            || s.current_revision != s.update_revision
            || s.replicas > w.view.spec.replicas.unwrap_or(0)
    })
}
