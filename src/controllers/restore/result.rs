//! What the agent said at its end, and what it means for a restore. Pure.

use crate::crd::Word;
use crate::crd::restore::RestoredArtifact;
use crate::crd::shared::BackupPart;
use crate::shared::conditions::quote;
use crate::shared::said::{Cause, Said};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

/// With a reason of ours.
pub fn failed(reason: &'static str, step: &str, message: &str) -> Cause {
    Cause {
        reason,
        step: step.to_owned(),
        message: message.to_owned(),
    }
}

/// The agent said nothing.
pub fn no_result(message: &str) -> Cause {
    failed("RestoreFailed", "", message)
}

/// Everything was brought back.
pub fn is_done(said: &Said) -> bool {
    said.is_done() && said.text("location").is_some()
}

/// What was brought back.
pub fn restored(said: &Said) -> RestoredArtifact {
    RestoredArtifact {
        location: said.text("location"),
        parts: parts(said),
        time: said
            .text("time")
            .and_then(|time| Some(Time(time.parse().ok()?))),
        bytes: said.number("bytes"),
        app_version: said.text("appVersion"),
    }
}

fn parts(said: &Said) -> Vec<Word<BackupPart>> {
    let with = |fact: bool, part: BackupPart| fact.then(|| part.into());
    [
        Some(BackupPart::Database.into()),
        with(said.number("files").is_some(), BackupPart::Files),
        with(said.whole("keys").is_some(), BackupPart::Secrets),
    ]
    .into_iter()
    .flatten()
    .collect()
}

/// Why it failed.
pub fn cause(said: &Said) -> Cause {
    let reason = match &*said.code {
        "NotFound" | "BucketNotFound" => "NotFound",
        "Corrupt" | "ArtifactMissing" => "Corrupt",
        "ForeignBackup" => "ForeignBackup",
        "KeyMissing" => "KeyMissing",
        "DestinationUnreachable" | "AccessDenied" | "ClockSkew" => "DestinationUnreachable",
        "TLSFailed" if said.step == "storage" => "DestinationUnreachable",
        _ => "RestoreFailed",
    };
    let remedy = match reason {
        "ForeignBackup" => "; set confirm to restore it all the same",
        "KeyMissing" if said.message.contains("master key") => {
            "; put the key of that time into the Secret that spec.secrets.masterKeySecretRef of the Instance names"
        }
        "KeyMissing" => "; name the private key in identitySecretRef",
        _ => "",
    };
    Cause {
        reason,
        step: quote(&said.step),
        message: format!("{}{remedy}; {}", said.why(), left(said)),
    }
}

/// What the failure left behind. Who lost the connection does not know what became of the last word.
fn left(said: &Said) -> &'static str {
    match (&*said.step, &*said.outcome) {
        ("check", _) => "the data were replaced",
        ("place", _) => {
            "the database was replaced, and the files are as they were: bring the same backup back once more"
        }
        ("restore", "failed") => "its transaction was not committed, or all of it was",
        _ => "the data are as they were",
    }
}
