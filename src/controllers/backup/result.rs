//! What the agent said at its end, and what it means for a backup. Pure.

use crate::crd::backup::BackupArtifact;
use crate::shared::conditions::quote;
use serde::Deserialize;
use serde_json::{Map, Value};

/// The agent's word.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Said {
    task: String,
    outcome: String,
    step: String,
    code: String,
    message: String,
    finished_at: String,
    facts: Map<String, Value>,
}

/// Why a backup failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cause {
    /// Reason of the condition `Failed`.
    pub reason: &'static str,
    /// Step of the agent.
    pub step: String,
    /// For people.
    pub message: String,
}

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

impl Said {
    /// The last word of several pods.
    pub fn last<'a>(messages: impl Iterator<Item = &'a str>) -> Option<Self> {
        messages
            .filter_map(|text| serde_json::from_str::<Self>(text).ok())
            .filter(|said| said.task == "backup")
            .max_by(|a, b| a.finished_at.cmp(&b.finished_at))
    }

    /// It is in the bucket, and was read back.
    pub fn is_done(&self) -> bool {
        self.outcome == "done" && self.artifact().is_some()
    }

    /// What is in the bucket; `None` unless the agent named it with its checksum.
    pub fn artifact(&self) -> Option<BackupArtifact> {
        let text = |name: &str| self.facts.get(name)?.as_str().map(quote);
        let number = |name: &str| self.facts.get(name)?.as_i64();
        Some(BackupArtifact {
            location: Some(text("location")?),
            bytes: Some(number("bytes")?),
            sha256: Some(text("sha256").filter(|sum| sum.len() == 64)?),
            database_bytes: number("databaseBytes"),
            app_version: None,
            server_version: text("serverVersion"),
            migrations: number("migrations").and_then(|n| i32::try_from(n).ok()),
        })
    }

    /// Why it failed.
    pub fn cause(&self) -> Cause {
        let of_source = matches!(&*self.step, "input" | "connect");
        let reason = match &*self.code {
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
            step: quote(&self.step),
            message: format!(
                "{} in step {}: \"{}\"",
                quote(&self.code),
                quote(&self.step),
                quote(&self.message)
            ),
        }
    }

    /// Whether the storage answered.
    pub fn reached(&self) -> Option<Reached> {
        let of_storage = OF_STORAGE.into_iter().find(|code| *code == self.code);
        match of_storage {
            Some(reason) if !(reason == "TLSFailed" && self.step == "connect") => {
                Some(Reached::No(reason, quote(&self.message)))
            }
            _ if self.outcome == "done" || STORAGE_ANSWERED.contains(&&*self.step) => {
                Some(Reached::Yes)
            }
            _ => None,
        }
    }
}
