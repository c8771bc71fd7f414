//! What the agent said at its end, and what it means for a backup. Pure.

use crate::crd::backup::BackupArtifact;
use crate::shared::conditions::quote;
use crate::shared::said::{Cause, Said};

/// What is known of the storage.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reached {
    /// It answered.
    Yes,
    /// It did not, or refused: reason and message.
    No(&'static str, String),
}

/// Codes that are about the storage, as its condition shows them.
const OF_STORAGE: [&str; 5] = [
    "BucketNotFound",
    "AccessDenied",
    "DestinationUnreachable",
    "TLSFailed",
    "ClockSkew",
];
/// Steps after the first question to the storage.
const STORAGE_ANSWERED: [&str; 4] = ["connect", "dump", "readback", "manifest"];

/// It is in the bucket, and was read back.
pub fn is_done(said: &Said) -> bool {
    said.is_done() && artifact(said).is_some()
}

/// What is in the bucket; `None` unless the agent named it with its checksum.
pub fn artifact(said: &Said) -> Option<BackupArtifact> {
    Some(BackupArtifact {
        location: Some(said.text("location")?),
        bytes: Some(said.number("bytes")?),
        sha256: Some(said.text("sha256").filter(|sum| sum.len() == 64)?),
        database_bytes: said.number("databaseBytes"),
        app_version: None,
        server_version: said.text("serverVersion"),
        migrations: said
            .number("migrations")
            .and_then(|n| i32::try_from(n).ok()),
    })
}

/// Why it failed.
pub fn cause(said: &Said) -> Cause {
    let of_source = matches!(&*said.step, "input" | "connect");
    let reason = match &*said.code {
        "ReadBackMismatch" => "ReadBackMismatch",
        "Terminated" => "Cancelled",
        "DumpFailed" | "QueryFailed" | "ClientNotFound" | "InvalidRecipient" => "DumpFailed",
        "InvalidStorage" | "StorageFailed" | "ArtifactMissing" | "NoFolder" => "UploadFailed",
        "TLSFailed" if of_source => "SourceUnavailable",
        code if OF_STORAGE.contains(&code) => "UploadFailed",
        _ if of_source => "SourceUnavailable",
        _ => "DumpFailed",
    };
    Cause {
        reason,
        step: quote(&said.step),
        message: said.why(),
    }
}

/// Whether the storage answered.
pub fn reached(said: &Said) -> Option<Reached> {
    let of_storage = OF_STORAGE.into_iter().find(|code| *code == said.code);
    match of_storage {
        Some(reason) if !(reason == "TLSFailed" && said.step == "connect") => {
            Some(Reached::No(reason, quote(&said.message)))
        }
        _ if said.is_done() || STORAGE_ANSWERED.contains(&&*said.step) => Some(Reached::Yes),
        _ => None,
    }
}
