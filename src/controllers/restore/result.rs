//! What the agent said at its end, and what it means for a restore. Pure.

use crate::crd::restore::RestoredArtifact;
use crate::crd::shared::BackupPart;
use crate::shared::conditions::quote;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
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

/// Why a restore failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cause {
    /// Reason of the condition `Failed`.
    pub reason: &'static str,
    /// Step.
    pub step: String,
    /// For people.
    pub message: String,
}

impl Cause {
    /// With a reason of ours.
    pub fn of(reason: &'static str, step: &str, message: &str) -> Self {
        Self {
            reason,
            step: step.to_owned(),
            message: message.to_owned(),
        }
    }

    /// The agent said nothing.
    pub fn no_result(message: &str) -> Self {
        Self::of("RestoreFailed", "", message)
    }
}

impl Said {
    /// The last word of several pods.
    pub fn last<'a>(messages: impl Iterator<Item = &'a str>) -> Option<Self> {
        messages
            .filter_map(|text| serde_json::from_str::<Self>(text).ok())
            .filter(|said| said.task == "restore")
            .max_by(|a, b| a.finished_at.cmp(&b.finished_at))
    }

    /// Everything was brought back.
    pub fn is_done(&self) -> bool {
        self.outcome == "done" && self.facts.contains_key("location")
    }

    /// What was brought back.
    pub fn restored(&self) -> RestoredArtifact {
        let text = |name: &str| self.facts.get(name)?.as_str().map(quote);
        RestoredArtifact {
            location: text("location"),
            parts: vec![BackupPart::Database.into()],
            time: text("time").and_then(|time| Some(Time(time.parse().ok()?))),
            bytes: self.facts.get("bytes").and_then(Value::as_i64),
            app_version: text("appVersion"),
        }
    }

    /// Why it failed.
    pub fn cause(&self) -> Cause {
        let reason = match &*self.code {
            "NotFound" | "BucketNotFound" => "NotFound",
            "Corrupt" | "ArtifactMissing" => "Corrupt",
            "ForeignBackup" => "ForeignBackup",
            "KeyMissing" => "KeyMissing",
            "DestinationUnreachable" | "AccessDenied" | "ClockSkew" => "DestinationUnreachable",
            "TLSFailed" if self.step == "storage" => "DestinationUnreachable",
            _ => "RestoreFailed",
        };
        let remedy = match reason {
            "ForeignBackup" => "; set confirm to restore it all the same",
            "KeyMissing" if self.message.contains("master key") => {
                "; put the key of that time into the Secret that spec.secrets.masterKeySecretRef of the Instance names"
            }
            "KeyMissing" => "; name the private key in identitySecretRef",
            _ => "",
        };
        Cause {
            reason,
            step: quote(&self.step),
            message: format!(
                "{} in step {}: \"{}\"{remedy}; the database is as it was",
                quote(&self.code),
                quote(&self.step),
                quote(&self.message)
            ),
        }
    }
}
