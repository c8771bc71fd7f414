//! Who asked the API server for what. Metadata only; read from the log that the API server writes before it answers.

use std::fs::File;
use std::io::{BufRead as _, BufReader, Seek as _, SeekFrom};

use anyhow::{Context as _, Result};
use k8s_openapi::jiff::Timestamp;
use serde::Deserialize;

use super::Cluster;

/// A place in the log and the time: what comes in later is counted from here. The place alone would not do: who watches may see a change before
/// the line about it is written.
#[derive(Debug, Clone, Copy)]
pub struct AuditMark {
    place: u64,
    time: Timestamp,
}

/// One finished request.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct AuditEvent {
    /// get, list, watch, create, update, patch, delete, deletecollection.
    pub verb: String,
    /// Path and query.
    #[serde(rename = "requestURI")]
    pub request_uri: String,
    /// What the client calls itself.
    #[serde(default)]
    pub user_agent: String,
    user: User,
    /// What was asked for.
    #[serde(default)]
    pub object_ref: ObjectRef,
    response_status: Option<Status>,
    /// When the request came in.
    pub request_received_timestamp: String,
}

#[derive(Debug, Clone, Deserialize)]
struct User {
    #[serde(default)]
    username: String,
}

#[derive(Debug, Clone, Deserialize)]
struct Status {
    code: Option<u16>,
}

/// What a request was about.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct ObjectRef {
    /// Plural name of the kind.
    pub resource: String,
    /// As `status`.
    pub subresource: String,
    /// Of a namespaced object.
    pub namespace: String,
    /// Of one object.
    pub name: String,
    /// Group of the kind; empty for the core.
    pub api_group: String,
}

impl AuditEvent {
    /// The account, as `system:serviceaccount:<namespace>:<name>`.
    pub fn username(&self) -> &str {
        &self.user.username
    }

    /// Status of the answer.
    pub fn code(&self) -> u16 {
        self.response_status
            .as_ref()
            .and_then(|status| status.code)
            .unwrap_or_default()
    }

    /// It changes something, or tries to.
    pub fn is_write(&self) -> bool {
        matches!(
            self.verb.as_str(),
            "create" | "update" | "patch" | "delete" | "deletecollection"
        )
    }
}

impl Cluster {
    /// The end of the log now.
    pub fn audit_mark(&self) -> Result<AuditMark> {
        let metadata = std::fs::metadata(self.layout.audit_log())
            .context("this cluster has no audit log (start it with --audit)")?;
        Ok(AuditMark {
            place: metadata.len(),
            time: Timestamp::now(),
        })
    }

    /// Finished requests that came in after the mark.
    pub fn audit_since(&self, mark: AuditMark) -> Result<Vec<AuditEvent>> {
        let mut file = File::open(self.layout.audit_log())
            .context("this cluster has no audit log (start it with --audit)")?;
        file.seek(SeekFrom::Start(mark.place))?;
        let mut events = Vec::new();
        for line in BufReader::new(file).lines() {
            // The last line may be half written.
            let Ok(event) = serde_json::from_str::<AuditEvent>(&line?) else {
                continue;
            };
            let received = event.request_received_timestamp.parse::<Timestamp>();
            if received.is_ok_and(|received| received >= mark.time) {
                events.push(event);
            }
        }
        Ok(events)
    }
}
