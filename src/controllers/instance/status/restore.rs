//! The condition of what `restoreFrom` asks for, and of restores that somebody else asked for. Pure.

use super::Scene;
use super::parts::{Class, Part, refused};
use crate::controllers::instance::applied::Part as Object;
use crate::controllers::instance::restore::Restores;
use crate::controllers::restore::phase;
use crate::crd::instance::RestoreSummary;
use crate::crd::restore::RestorePhase;
use crate::shared::conditions::find;
use std::time::Duration;

const KIND: &str = "RestoreComplete";

/// `None`: nothing was ever brought back, nor asked for.
pub fn part(scene: &Scene<'_>) -> Option<Part> {
    let restores = Restores::of(scene.instance, scene.observed);
    // Without data there is nothing to serve instead. While the server is tried, the restore waits for it, and not it for the restore.
    let class = if restores.is_checking() {
        Class::Informs
    } else if restores.is_first() && restores.is_wanted() {
        Class::Required
    } else {
        Class::Degrades
    };
    let Some(restore) = restores.current() else {
        if !restores.is_wanted() {
            return last(scene);
        }
        return Some(not_asked(scene).class(class));
    };
    if !restores.is_active() && restores.is_wanted() && !restores.is_asked() {
        return Some(not_asked(scene).class(class));
    }
    let name = restore.metadata.name.as_deref().unwrap_or_default();
    let conditions = restore.status.as_ref().map(|s| s.conditions.as_slice());
    let said = |kind: &str| find(conditions.unwrap_or_default(), kind);
    let text = |words: &str| format!("PaperclipRestore \"{name}\": {words}");
    let message = |kind: &str| said(kind).map_or("", |c| c.message.as_str());
    let stalled = said("Stalled").map(|c| c.reason.clone());
    Some(
        match phase::of(restore) {
            RestorePhase::Complete => Part::well(KIND, KIND, text(message("Complete"))),
            RestorePhase::Failed => {
                let reason = said("Failed").map_or("RestoreFailed", |c| c.reason.as_str());
                Part::stalls(KIND, reason, text(message("Failed")), Duration::ZERO)
            }
            RestorePhase::Pending if stalled.is_some() => {
                let reason = stalled.unwrap_or_default();
                Part::stalls(KIND, &reason, text(message("Stalled")), Duration::ZERO)
            }
            RestorePhase::Pending => {
                let reason = said("Reconciling").map_or("Restoring", |c| c.reason.as_str());
                Part::waits(KIND, reason, text(message("Reconciling")))
            }
            _ => Part::waits(KIND, "Restoring", text(message("Reconciling"))),
        }
        .class(class),
    )
}

fn not_asked(scene: &Scene<'_>) -> Part {
    if let Some(problem) = refused(scene, KIND, Object::Restore) {
        return problem;
    }
    let v = scene.verdict.validated.as_ref();
    let asked = v.and_then(|v| v.restore.as_ref());
    if asked.is_some_and(|a| a.storage.is_none()) {
        return Part::stalls(
            KIND,
            "NotFound",
            "spec.restoreFrom: nobody says where backups are, and no PaperclipBackup is called so; set restore.s3, backup.s3 or objectStorage",
            Duration::ZERO,
        );
    }
    Part::waits(KIND, "Restoring", "the restore is about to be asked for")
}

/// Its object is gone; the status remembers how it ended.
fn last(scene: &Scene<'_>) -> Option<Part> {
    let last = scene.before()?.restore.as_ref()?;
    let well = last.result.as_ref()?.known().ok()? == crate::crd::instance::Outcome::Succeeded;
    let words = last.message.clone().unwrap_or_default();
    well.then(|| Part::well(KIND, KIND, words).class(Class::Degrades))
}

/// What the status keeps.
pub fn summary(scene: &Scene<'_>) -> Option<RestoreSummary> {
    let before = scene.before().and_then(|s| s.restore.as_deref());
    Restores::of(scene.instance, scene.observed).summary(before)
}
