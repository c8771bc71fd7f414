//! The condition of the data volume. Pure.

use super::Scene;
use super::parts::{Class, PROGRESS, Part, REFERENCE, absent, refused, remembered};
use crate::controllers::instance::applied::{Cure, Part as Object};
use crate::controllers::instance::validate::storage::Volume;
use crate::shared::cache::Seen;
use crate::shared::quantity::Amount;
use crate::shared::views::Claim;
use std::time::Duration;

/// The claim as it is; `None`: there is none.
pub fn part(scene: &Scene<'_>) -> Option<Part> {
    const KIND: &str = "StorageReady";
    let wanted = match scene.verdict.validated.as_ref().map(|v| &v.volume) {
        Some(Volume::Pod) => return None,
        Some(Volume::Existing(name)) => return Some(existing(scene, name)),
        Some(Volume::Claim(claim)) => Some(claim),
        // What runs goes on, and is told as it is.
        None => None,
    };
    if let Some(problem) = scene.applied.problem(Object::Claim)
        && problem.cure == Cure::Person
        && problem.reason != "NotOurs"
    {
        return Some(
            Part::stalls(
                KIND,
                "ExpansionNotSupported",
                &problem.message,
                Duration::ZERO,
            )
            .class(Class::Degrades),
        );
    }
    if let Some(part) = refused(scene, KIND, Object::Claim) {
        return Some(part);
    }
    let name = scene.names().data();
    let Some(claim) = &scene.observed.claim else {
        return wanted.map(|_| absent(KIND, "PersistentVolumeClaim", &name));
    };
    let capacity = &claim.view.status.capacity.storage;
    Some(match &*claim.view.status.phase {
        "Bound" => match wanted.filter(|w| smaller(claim, w.size)) {
            Some(wanted) => Part::waits(
                KIND,
                "Resizing",
                format!("PVC \"{name}\": {capacity} bound, {} wanted", wanted.size),
            )
            .class(Class::Degrades),
            None => Part::well(
                KIND,
                "StorageReady",
                format!("PVC \"{name}\": {capacity} bound"),
            ),
        },
        "Lost" => Part::stalls(
            KIND,
            "ClaimLost",
            format!("PVC \"{name}\": its volume is gone; put it back or restore a backup"),
            Duration::ZERO,
        ),
        // A class may wait for the first pod, so without one this tells nothing.
        _ if scene.observed.pods.is_empty() => Part::waits(
            KIND,
            "ClaimPending",
            format!("PVC \"{name}\": not bound yet, it may wait for the first pod"),
        ),
        _ => pending(KIND, &name),
    })
}

fn pending(kind: &'static str, name: &str) -> Part {
    Part::stalls(
        kind,
        "ClaimPending",
        format!("PVC \"{name}\": not bound; look at its events and its StorageClass"),
        PROGRESS,
    )
}

/// A claim of the user: nobody watches it, so what was seen last stands while nobody looks.
fn existing(scene: &Scene<'_>, name: &str) -> Part {
    const KIND: &str = "StorageReady";
    match scene.outside.claim.as_deref() {
        Some("Bound") => Part::well(KIND, "StorageReady", format!("PVC \"{name}\": bound")),
        Some("Lost") => Part::stalls(
            KIND,
            "ClaimLost",
            format!("PVC \"{name}\": its volume is gone"),
            Duration::ZERO,
        ),
        Some("") => Part::stalls(
            KIND,
            "ClaimPending",
            format!("spec.storage.persistence.existingClaim: PVC \"{name}\" not found"),
            REFERENCE,
        ),
        Some(_) => pending(KIND, name),
        None => remembered(scene, KIND),
    }
}

fn smaller(claim: &Seen<Claim>, wanted: Amount) -> bool {
    Amount::parse(&claim.view.status.capacity.storage).is_ok_and(|have| have < wanted)
}

/// The data volume that is there has another class than the one that is asked for: it keeps its own.
pub fn other_class(scene: &Scene<'_>) -> Option<String> {
    let Volume::Claim(wanted) = &scene.verdict.validated.as_ref()?.volume else {
        return None;
    };
    let claim = scene.observed.claim.as_ref()?;
    let class = claim.view.spec.storage_class_name.as_deref()?;
    wanted.class.filter(|wanted| *wanted != class)?;
    Some(format!(
        "claim \"{}\" has class \"{class}\"",
        claim.key.name
    ))
}
