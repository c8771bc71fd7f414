//! What the phase of a restore means for others. Pure.

use crate::crd::PaperclipRestore;
use crate::crd::restore::RestorePhase;

/// As the status says it.
pub fn of(object: &PaperclipRestore) -> RestorePhase {
    object
        .status
        .as_ref()
        .and_then(|s| s.phase.as_ref()?.known().ok())
        .unwrap_or(RestorePhase::Pending)
}

/// It is over, one way or the other.
pub fn has_ended(object: &PaperclipRestore) -> bool {
    matches!(of(object), RestorePhase::Complete | RestorePhase::Failed)
}

/// It has begun and is not over.
pub fn is_active(object: &PaperclipRestore) -> bool {
    !matches!(
        of(object),
        RestorePhase::Pending | RestorePhase::Complete | RestorePhase::Failed
    )
}

/// The data belong to the restore: no server may run.
pub fn stops_server(object: &PaperclipRestore) -> bool {
    is_active(object) && of(object) != RestorePhase::Checking
}

/// Name of the Instance.
pub fn target(object: &PaperclipRestore) -> &str {
    object.spec.instance_ref.as_ref().map_or("", |r| &r.name)
}
