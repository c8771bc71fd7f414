//! The condition `StorageHealthy` and the amounts beside it. Pure.

use super::{Finding, Need, Observed};
use crate::controllers::database::dereference::FoundClaim;
use crate::controllers::database::validate::{Engine, Managed, Validated, Volume};
use crate::crd::database::{DatabaseStorageStatus, PaperclipDatabaseStatus};
use crate::shared::conditions::{Truth, find};
use crate::shared::quantity::Amount;
use crate::shared::views::Claim;
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;

pub fn of(
    seen: &Observed<'_>,
    validated: Option<&Validated>,
    before: &PaperclipDatabaseStatus,
) -> Option<Finding> {
    let managed = match &validated?.engine {
        Engine::Managed(managed) => managed,
        Engine::External(_) => return None,
    };
    let name = managed.volume.claim();
    match &managed.volume {
        Volume::Lost { message, .. } => {
            return Some(Finding::new(
                Truth::False,
                "ClaimLost",
                message,
                Need::Person,
            ));
        }
        Volume::Existing {
            missing: Some(message),
            ..
        } => {
            return Some(Finding::new(
                Truth::False,
                "ClaimPending",
                message,
                Need::Time,
            ));
        }
        Volume::Own { .. } | Volume::Existing { .. } => {}
    }
    if let Some(refused) = &seen.applied.expansion_refused {
        return Some(Finding::new(
            Truth::False,
            "ExpansionNotSupported",
            format!("PVC \"{name}\" cannot grow: \"{refused}\""),
            Need::Person,
        ));
    }
    let Some(claim) = claim(seen) else {
        // A claim of the user that was not read now: what was found before still counts.
        let kept = find(&before.conditions, "StorageHealthy").filter(|c| c.status == "True");
        return Some(kept.map_or_else(
            || unknown(name),
            |c| Finding::good(&c.reason, c.message.clone()),
        ));
    };
    Some(judge(claim, name, started(seen, managed, before)))
}

fn unknown(name: &str) -> Finding {
    Finding::new(
        Truth::Unknown,
        "Progressing",
        format!("PVC \"{name}\" is not in use yet"),
        Need::Wait,
    )
}

/// PostgreSQL works on the volume, or did. Before that the volume is not judged: so the condition is written once, not at each step of
/// the start.
fn started(seen: &Observed<'_>, managed: &Managed, before: &PaperclipDatabaseStatus) -> bool {
    let ready = seen
        .applied
        .stateful_set
        .as_ref()
        .is_some_and(|w| !managed.suspended && w.view.is_complete(1));
    ready
        || find(&before.conditions, "StorageHealthy").is_some_and(|c| c.status == "True")
        || before.version.is_some()
}

fn judge(claim: &Claim, name: &str, started: bool) -> Finding {
    let (wanted, there) = (
        &claim.spec.resources.requests.storage,
        &claim.status.capacity.storage,
    );
    match &*claim.status.phase {
        "Lost" => Finding::new(
            Truth::False,
            "ClaimLost",
            format!("the volume of PVC \"{name}\" is gone; restore it or the data"),
            Need::Person,
        ),
        "Bound" if !started => unknown(name),
        "Bound" => {
            let less =
                matches!((Amount::parse(wanted), Amount::parse(there)), (Ok(w), Ok(t)) if t < w);
            if less {
                let message = format!("PVC \"{name}\": {there} bound, {wanted} wanted");
                Finding::new(Truth::False, "Resizing", message, Need::Wait)
            } else {
                Finding::good("Healthy", format!("PVC \"{name}\": {there} bound"))
            }
        }
        _ => Finding::new(
            Truth::Unknown,
            "Progressing",
            format!("PVC \"{name}\" is not in use yet"),
            Need::Time,
        ),
    }
}

fn claim<'a>(seen: &'a Observed<'_>) -> Option<&'a Claim> {
    let own = seen.applied.claim.as_ref().map(|c| &c.view);
    own.or_else(|| seen.existing_claim.map(|FoundClaim { view, .. }| view))
}

/// What is asked for and what is there.
pub fn amounts(
    seen: &Observed<'_>,
    before: Option<DatabaseStorageStatus>,
) -> Option<DatabaseStorageStatus> {
    let Some(claim) = claim(seen) else {
        return before;
    };
    let amount = |text: &str| (!text.is_empty()).then(|| Quantity(text.to_owned()));
    // The capacity is told together with the judgement, see `started`.
    let bound = &*claim.status.phase == "Bound";
    let known = before.as_ref().and_then(|b| b.capacity.clone());
    let told = bound
        && (known.is_some()
            || seen
                .applied
                .stateful_set
                .as_ref()
                .is_some_and(|w| w.view.is_complete(1)));
    Some(DatabaseStorageStatus {
        requested: amount(&claim.spec.resources.requests.storage),
        capacity: if told {
            amount(&claim.status.capacity.storage)
        } else {
            known
        },
        used_percent: None,
    })
}
