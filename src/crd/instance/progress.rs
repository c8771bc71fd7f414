//! Parts of an Instance's status: what is under way, and what was done.

use crate::crd::{Word, empty, or_empty, word::words};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_with::skip_serializing_none;

words! {
    /// How something that ended went.
    Outcome {
        /// Well.
        Succeeded = "Succeeded",
        /// Not well.
        Failed = "Failed",
    }
    /// How far the making of the first admin is.
    BootstrapState {
        /// Nobody asked for it.
        NotRequested = "NotRequested",
        /// It has not begun.
        Waiting = "Waiting",
        /// Its Job runs.
        Running = "Running",
        /// An admin exists. Final.
        Complete = "Complete",
        /// The Job failed for good.
        Failed = "Failed",
    }
    /// How far the migration of the database is.
    MigrationState {
        /// It has not begun.
        Waiting = "Waiting",
        /// Its Job runs.
        Running = "Running",
        /// The schema is up to date.
        Complete = "Complete",
        /// The Job failed for good.
        Failed = "Failed",
    }
    /// How the last drain ended.
    DrainResult {
        /// No agent was running any more.
        Quiescent = "Quiescent",
        /// Agents were still running.
        TimedOut = "TimedOut",
        /// The server could not be asked.
        NotSupported = "NotSupported",
        /// Not wanted.
        Skipped = "Skipped",
    }
}

/// Backups of an Instance.
#[skip_serializing_none]
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct BackupSummary {
    /// When the last backup ended, whoever asked for it.
    pub last_backup_time: Option<Time>,
    /// How it ended.
    pub last_backup_result: Option<Word<Outcome>>,
    /// The newest complete backup.
    pub last_successful: Option<LastSuccessfulBackup>,
    /// When a backup was last proven.
    pub last_verified_time: Option<Time>,
    /// When the next scheduled backup begins.
    pub next_schedule_time: Option<Time>,
    /// Name of the backup that runs.
    pub running: Option<String>,
    /// Scheduled backups that could not run.
    pub missed_runs: Option<i32>,
}

/// The newest complete backup.
#[skip_serializing_none]
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct LastSuccessfulBackup {
    /// Name of the PaperclipBackup.
    pub name: Option<String>,
    /// When it ended.
    pub time: Option<Time>,
    /// Where it is.
    pub location: Option<String>,
    /// How large it is.
    pub bytes: Option<i64>,
}

/// The last restore.
#[skip_serializing_none]
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct RestoreSummary {
    /// When it ended.
    pub completion_time: Option<Time>,
    /// How it ended.
    pub result: Option<Word<Outcome>>,
    /// The value of `spec.restoreFrom` that was handled. The same value again does nothing.
    pub source: Option<String>,
    /// Name of the PaperclipRestore.
    pub name: Option<String>,
    /// Its uid: what tells the data after it from those before.
    #[schemars(length(max = 64))]
    pub uid: Option<String>,
    /// What there is to say about it.
    #[schemars(length(max = 1024))]
    pub message: Option<String>,
}

/// Automatic updates.
#[skip_serializing_none]
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct AutoUpdateStatus {
    /// When the registry was last asked.
    pub last_check_time: Option<Time>,
    /// What went wrong then.
    #[schemars(length(max = 1024))]
    pub last_error: Option<String>,
    /// The digest that the server is pinned to.
    pub resolved_digest: Option<String>,
    /// When the last automatic update ended.
    pub last_update_time: Option<Time>,
    /// What comes next.
    pub candidate: Option<String>,
    /// Why it waits.
    #[schemars(length(max = 1024))]
    pub blocked_by: Option<String>,
    /// Builds that did not become healthy.
    #[serde(default, skip_serializing_if = "empty", deserialize_with = "or_empty")]
    #[schemars(length(max = 5))]
    pub rejected: Vec<String>,
}

/// Making of the first admin.
#[skip_serializing_none]
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct BootstrapStatus {
    /// How far it is. `Complete` is final.
    pub state: Option<Word<BootstrapState>>,
    /// When it was complete.
    pub completion_time: Option<Time>,
    /// Name of the Job.
    pub job: Option<String>,
    /// What there is to say about it.
    #[schemars(length(max = 1024))]
    pub message: Option<String>,
    /// Uid of the PaperclipDatabase whose data have the admin; other data need one of their own.
    #[schemars(length(max = 64))]
    pub database: Option<String>,
}

/// Migration of the database.
#[skip_serializing_none]
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct MigrationStatus {
    /// How far it is.
    pub state: Option<Word<MigrationState>>,
    /// Name of the Job.
    pub job: Option<String>,
    /// Image whose migrations these are.
    pub image: Option<String>,
    /// Migrations that are in the database.
    pub applied: Option<i32>,
    /// Migrations that are not.
    pub pending: Option<i32>,
}

/// Waiting for running agents.
#[skip_serializing_none]
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct DrainStatus {
    /// A server pod is being drained.
    pub active: Option<bool>,
    /// Why.
    pub reason: Option<String>,
    /// Which one.
    pub pod: Option<String>,
    /// Since when.
    pub start_time: Option<Time>,
    /// When the wait ends in any case.
    pub deadline: Option<Time>,
    /// Agents that still run.
    pub active_runs: Option<i32>,
    /// How the last drain ended.
    pub last_result: Option<Word<DrainResult>>,
}

/// Which master key the data belong to.
#[skip_serializing_none]
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct MasterKeyStatus {
    /// Name of the Secret.
    pub secret_name: Option<String>,
    /// First 12 hex digits of the key's SHA-256.
    pub fingerprint: Option<String>,
}

/// A plugin that was installed because of this Instance.
#[skip_serializing_none]
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("required" = ["name"]))]
pub struct PluginStatus {
    /// Name of the npm package.
    #[serde(default, skip_serializing_if = "empty", deserialize_with = "or_empty")]
    pub name: String,
    /// Installed version.
    pub version: Option<String>,
    /// Its id in the application.
    pub id: Option<String>,
    /// What the application says about it.
    pub status: Option<String>,
}

/// What was found when an Instance of the earlier operator was taken over.
#[skip_serializing_none]
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct AdoptedStatus {
    /// The finalizer that it carried.
    pub from: Option<String>,
    /// When it was taken over.
    pub time: Option<Time>,
    /// Stored values that had no effect then and are read as absent until they change.
    #[serde(default, skip_serializing_if = "empty", deserialize_with = "or_empty")]
    #[schemars(length(max = 16))]
    pub ignored: Vec<String>,
    /// What the one roll-out of the server will change; empty when it has begun.
    #[serde(default, skip_serializing_if = "empty", deserialize_with = "or_empty")]
    #[schemars(length(max = 16))]
    pub pending: Vec<String>,
    /// Objects that are left as they are, as `Kind/name`: nobody looks after them any more.
    #[serde(default, skip_serializing_if = "empty", deserialize_with = "or_empty")]
    #[schemars(length(max = 16))]
    pub left: Vec<String>,
}

/// A value that came from PaperclipClusterDefaults.
#[skip_serializing_none]
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("required" = ["path"]))]
pub struct EffectiveDefault {
    /// Path in the spec.
    #[serde(default, skip_serializing_if = "empty", deserialize_with = "or_empty")]
    pub path: String,
    /// The value as JSON; for a variable its name only.
    #[schemars(length(max = 1024))]
    pub value: Option<String>,
}

/// Steps of the deletion.
#[skip_serializing_none]
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct DeletionStatus {
    /// The present step.
    pub step: Option<String>,
    /// When it began.
    pub start_time: Option<Time>,
    /// The last backup.
    pub final_backup: Option<String>,
}
