//! Events, out of the status that was stored and the one that is to be: so a restart of the operator repeats none. Pure.

use crate::controllers::database::apply::Applied;
use crate::crd::database::PaperclipDatabaseStatus;
use crate::shared::conditions::{find, list};
use crate::shared::events::Severity;
use crate::shared::quantity::Amount;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;

/// Something that people may want to know.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Happening {
    /// How serious.
    pub severity: Severity,
    /// PascalCase.
    pub reason: String,
    /// For people.
    pub text: String,
}

/// Conditions whose reasons are events when they turn False.
const TOLD: [&str; 4] = ["Accepted", "CredentialsSynced", "StorageHealthy", "Ready"];
/// Reasons of `Ready` that come and go in a healthy life, or that another condition tells.
const NOT_TOLD: [&str; 5] = [
    "Initializing",
    "PodNotReady",
    "Suspended",
    "Resizing",
    "Terminating",
];

/// What changed. `adopted`: data of an earlier database were taken up.
pub fn happenings(
    before: &PaperclipDatabaseStatus,
    after: &PaperclipDatabaseStatus,
    applied: &Applied,
    adopted: Option<&str>,
) -> Vec<Happening> {
    let mut out = vec![];
    let mut tell = |severity, reason: &str, text: &str| {
        let told = out.iter().any(|h: &Happening| h.reason == reason);
        if !told {
            out.push(Happening {
                severity,
                reason: reason.to_owned(),
                text: text.to_owned(),
            });
        }
    };
    if before.observed_generation.is_none()
        && let Some(name) = adopted
    {
        tell(
            Severity::Normal,
            "Adopted",
            &format!("PVC \"{name}\" of an earlier database is taken up"),
        );
    }
    if !applied.repaired.is_empty() {
        let names = list(&applied.repaired);
        tell(
            Severity::Normal,
            "DriftRepaired",
            &format!("put back what others had changed or removed: {names}"),
        );
    }
    for kind in TOLD {
        let Some(now) = find(&after.conditions, kind).filter(|c| c.status == "False") else {
            continue;
        };
        let was = find(&before.conditions, kind);
        let new = was
            .is_none_or(|was: &Condition| (&was.status, &was.reason) != (&now.status, &now.reason));
        if new && !NOT_TOLD.contains(&&*now.reason) {
            tell(Severity::Warning, &now.reason, &now.message);
        }
    }
    let failing = |s: &PaperclipDatabaseStatus| {
        find(&s.conditions, "Ready").is_some_and(|c| c.reason == "ReconcileError")
    };
    if failing(before) && !failing(after) {
        tell(Severity::Normal, "Recovered", "passes succeed again");
    }
    let capacity = |s: &PaperclipDatabaseStatus| {
        let text = &s.storage.as_ref()?.capacity.as_ref()?.0;
        Amount::parse(text).ok()
    };
    if let (Some(was), Some(is)) = (capacity(before), capacity(after))
        && is > was
    {
        tell(
            Severity::Normal,
            "StorageExpanded",
            &format!("the volume grew from {was} to {is}"),
        );
    }
    out
}
