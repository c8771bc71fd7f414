//! What is true of several server pods, and which of them wakes agents. Pure.

use super::Scene;
use super::parts::{Class, Part};
use crate::controllers::instance::validate::Validated;
use crate::controllers::instance::validate::storage::Volume;
use crate::controllers::instance::workload::WorkloadKind;

/// The conditions; none with one pod.
pub fn parts(scene: &Scene<'_>) -> Vec<Part> {
    let Some(v) = scene.verdict.validated.as_ref() else {
        return vec![];
    };
    if !v.scale.asked_many {
        return vec![];
    }
    [preconditions(v), gating(v)]
        .into_iter()
        .map(|part| part.class(Class::Informs))
        .collect()
}

fn preconditions(v: &Validated<'_>) -> Part {
    const KIND: &str = "MultiReplicaPreconditions";
    let mut lacking = vec![];
    if !v.database.has_child() {
        lacking.push("a database of its own (database.mode is embedded, one replica is used)");
    }
    if v.bucket.is_none() {
        lacking.push("objectStorage");
    }
    if let Volume::Claim(claim) = &v.volume
        && !claim.modes.contains(&"ReadWriteMany")
    {
        lacking.push("a shared volume (accessModes has no ReadWriteMany)");
    }
    if lacking.is_empty() {
        return Part::well(
            KIND,
            "PreconditionsMet",
            "database, uploads and files are shared by all replicas",
        );
    }
    Part::waits(
        KIND,
        "PreconditionsNotMet",
        format!("not met: {}", lacking.join(", ")),
    )
}

fn gating(v: &Validated<'_>) -> Part {
    const KIND: &str = "SchedulerGatingValid";
    let (used, message) = match v.workload {
        WorkloadKind::StatefulSet => ("ordinal gating is used", "the first pod alone wakes agents"),
        WorkloadKind::Deployment => (
            "the pod that holds a lock in the database wakes agents",
            "only the pod that holds a lock in the database wakes agents",
        ),
    };
    if v.scale.gated && v.scale.lease {
        return Part::waits(
            KIND,
            "LeaseNotInVersion",
            format!("lease: no published release has scheduler leases; {used}"),
        );
    }
    if v.scale.unordered {
        return Part::waits(
            KIND,
            "OrdinalGatingRequiresStatefulSet",
            format!("ordinal: pods of a Deployment have no numbers; {used}"),
        );
    }
    let message = if v.scale.gated {
        message
    } else {
        "no pod wakes agents: heartbeat.enabled is false"
    };
    Part::well(KIND, KIND, message)
}
