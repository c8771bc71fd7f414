//! What is true of several server pods, and which of them wakes agents. Pure.

use super::Scene;
use super::parts::{Class, Part};
use crate::controllers::instance::validate::Validated;
use crate::controllers::instance::validate::storage::Volume;

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
    if v.scale.gated && v.scale.lease {
        return Part::waits(
            KIND,
            "LeaseNotInVersion",
            "lease: no published release has scheduler leases; ordinal gating is used",
        );
    }
    let message = if v.scale.gated {
        "the first pod alone wakes agents"
    } else {
        "at most one pod wakes agents"
    };
    Part::well(KIND, KIND, message)
}
