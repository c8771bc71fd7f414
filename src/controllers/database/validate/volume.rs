//! The volume that the data are on. Pure.

use super::super::dereference::{Found, FoundClaim, Known};
use super::super::problem::{Problem, Reason};
use super::Problems;
use crate::crd::database::PaperclipDatabaseStatus;
use crate::crd::{PaperclipDatabase, text};
use crate::shared::conditions::quote;
use crate::shared::names::Names;
use crate::shared::quantity::Amount;

const DEFAULT_BYTES: i128 = 10 << 30;

/// Where the data are.
#[derive(Clone, Debug, PartialEq)]
pub enum Volume {
    /// A claim of ours.
    Own {
        /// Its name.
        claim: String,
        /// What it asks for.
        size: Amount,
        /// Its class, if the spec names one.
        class: Option<String>,
        /// There was none yet.
        fresh: bool,
    },
    /// A claim of the user.
    Existing {
        /// Its name.
        claim: String,
        /// Why it cannot be used.
        missing: Option<String>,
    },
    /// The data had a volume and it is gone.
    Lost {
        /// Its name.
        claim: String,
        /// For people.
        message: String,
    },
}

impl Volume {
    /// Name of the claim.
    pub fn claim(&self) -> &str {
        match self {
            Self::Own { claim, .. } | Self::Existing { claim, .. } | Self::Lost { claim, .. } => {
                claim
            }
        }
    }

    /// Size that settings are chosen for.
    pub fn bytes(&self) -> i128 {
        match self {
            Self::Own { size, .. } => size.units(),
            Self::Existing { .. } | Self::Lost { .. } => DEFAULT_BYTES,
        }
    }
}

/// Reads `spec.storage` against the claim that is there.
pub fn of(
    object: &PaperclipDatabase,
    status: &PaperclipDatabaseStatus,
    found: &Found,
    problems: &mut Problems,
) -> Volume {
    let storage = object.spec.storage.as_deref();
    let size = wanted_size(object, problems);
    if let Some(name) = storage.and_then(|s| text(s.existing_claim.as_ref())) {
        return existing(name, found);
    }
    let claim = Names::of(object.metadata.name.as_deref().unwrap_or_default()).database_data();
    let class = storage
        .and_then(|s| text(s.storage_class_name.as_ref()))
        .map(ToOwned::to_owned);
    let there = match &found.claim {
        Known::Present(there) => there,
        Known::Vouched | Known::Absent => {
            if status.version.is_some() {
                let message = format!(
                    "PVC \"{claim}\" with the data is gone; no empty one is made in its place: restore it, or delete this \
                     PaperclipDatabase and its Secrets to begin anew"
                );
                return Volume::Lost { claim, message };
            }
            return Volume::Own {
                claim,
                size,
                class,
                fresh: true,
            };
        }
    };
    if there.deleting {
        let message =
            format!("PVC \"{claim}\" was deleted and goes when its pod ends; back up the data now");
        return Volume::Lost { claim, message };
    }
    if let (Some(wanted), Some(is)) = (&class, &there.view.spec.storage_class_name)
        && **is != **wanted
    {
        problems.push(Problem::invalid(
            "spec.storage.storageClassName",
            format!(
                "\"{}\", but PVC \"{claim}\" has class \"{is}\"; the class of a volume cannot change",
                quote(wanted)
            ),
        ));
    }
    Volume::Own {
        size: size_for(size, &claim, there, problems),
        claim,
        class,
        fresh: false,
    }
}

fn wanted_size(object: &PaperclipDatabase, problems: &mut Problems) -> Amount {
    let given = object
        .spec
        .storage
        .as_ref()
        .and_then(|s| s.size.as_ref())
        .filter(|q| !q.0.is_empty());
    let Some(given) = given else {
        return Amount::of_bytes(DEFAULT_BYTES);
    };
    let text = match Amount::parse(&given.0) {
        Ok(size) if size.is_positive() => return size,
        Ok(_) => "must be greater than 0".to_owned(),
        Err(error) => format!("\"{}\" is {error}", quote(&given.0)),
    };
    problems.push(Problem::invalid("spec.storage.size", text));
    Amount::of_bytes(DEFAULT_BYTES)
}

/// What the claim may be asked for: it never shrinks, and it grows only once it is bound.
fn size_for(wanted: Amount, claim: &str, there: &FoundClaim, problems: &mut Problems) -> Amount {
    let Ok(present) = Amount::parse(&there.view.spec.resources.requests.storage) else {
        return wanted;
    };
    if wanted < present {
        problems.push(Problem::new(
            Reason::Clamped,
            "spec.storage.size",
            format!(
                "{wanted} raised to {present}, the size of PVC \"{claim}\"; a volume cannot shrink"
            ),
        ));
        return present;
    }
    if &*there.view.status.phase == "Bound" {
        wanted
    } else {
        present
    }
}

fn existing(name: &str, found: &Found) -> Volume {
    let claim = name.to_owned();
    let missing = match &found.claim {
        Known::Absent => Some(format!(
            "spec.storage.existingClaim: PVC \"{}\" not found",
            quote(name)
        )),
        Known::Present(there) if there.deleting => Some(format!(
            "spec.storage.existingClaim: PVC \"{}\" is being deleted",
            quote(name)
        )),
        Known::Vouched | Known::Present(_) => None,
    };
    Volume::Existing { claim, missing }
}
