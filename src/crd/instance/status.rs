//! `status` of an Instance: what was observed, never what was wished.

use crate::crd::{
    Word, empty, or_empty,
    schema::{embedded, list_map},
    word::words,
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_with::skip_serializing_none;

words! {
    /// The one-word answer to "how is it?".
    Phase {
        /// Seen, nothing applied yet.
        Pending = "Pending",
        /// Being set up for the first time.
        Provisioning = "Provisioning",
        /// All is well.
        Running = "Running",
        /// A change is being rolled out.
        Updating = "Updating",
        /// Serving, but something is wrong.
        Degraded = "Degraded",
        /// A backup is being taken.
        BackingUp = "BackingUp",
        /// A backup is being brought back.
        Restoring = "Restoring",
        /// Stopped as wished.
        Suspended = "Suspended",
        /// Not serving, and a person must act.
        Failed = "Failed",
        /// Being deleted.
        Terminating = "Terminating",
    }
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
    /// Value of a condition.
    ConditionStatus {
        /// Yes.
        True = "True",
        /// No.
        False = "False",
        /// Not known.
        Unknown = "Unknown",
    }
}

/// What was observed of an Instance.
#[skip_serializing_none]
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct InstanceStatus {
    /// State in one word. By precedence: the first that applies of Terminating, Restoring, Failed, Suspended,
    /// Updating, Degraded, BackingUp, Running, Provisioning, Pending.
    pub phase: Option<Word<Phase>>,
    /// Generation of the spec that this status is about.
    pub observed_generation: Option<i64>,
    /// What is true of the parts. `Ready` is the sum; `Stalled` asks for a person.
    #[serde(default, skip_serializing_if = "empty", deserialize_with = "or_empty")]
    #[schemars(schema_with = "embedded::<Vec<Condition>>", length(max = 40), transform = list_map(&["type"]))]
    pub conditions: Vec<Condition>,
    /// State, cause, and what happens next and by whom, in one sentence.
    #[schemars(length(max = 256))]
    pub summary: Option<String>,
    /// Address of the server.
    pub endpoint: Option<String>,
    /// Version that answers.
    pub running_version: Option<String>,
    /// Image of the ready pods, by digest.
    pub running_image: Option<String>,
    /// When it was ready for the first time.
    pub first_ready_time: Option<Time>,
    /// Server pods that exist.
    pub replicas: Option<i32>,
    /// Label selector of the server pods.
    pub selector: Option<String>,
    /// Pod that wakes agents.
    pub scheduler_leader: Option<String>,
    /// Names of objects that exist and belong to this Instance.
    pub managed_resources: Option<Box<ManagedResources>>,
    /// Child resources and how they are.
    #[serde(default, skip_serializing_if = "empty", deserialize_with = "or_empty")]
    #[schemars(length(max = 16), transform = list_map(&["kind", "name"]))]
    pub children: Vec<ChildStatus>,
    /// Backups of this Instance.
    pub backup: Option<Box<BackupSummary>>,
    /// The last restore.
    pub restore: Option<Box<RestoreSummary>>,
    /// Automatic updates.
    pub auto_update: Option<Box<AutoUpdateStatus>>,
    /// Making of the first admin.
    pub bootstrap: Option<Box<BootstrapStatus>>,
    /// Migration of the database.
    pub migration: Option<Box<MigrationStatus>>,
    /// Waiting for running agents.
    pub drain: Option<Box<DrainStatus>>,
    /// Which master key the data belong to.
    pub master_key: Option<Box<MasterKeyStatus>>,
    /// Plugins that were installed because of this Instance.
    #[serde(default, skip_serializing_if = "empty", deserialize_with = "or_empty")]
    #[schemars(length(max = 32), transform = list_map(&["name"]))]
    pub plugins: Vec<PluginStatus>,
    /// Which revision of the pod template runs. An update of the operator alone does not change it.
    pub template_revision: Option<String>,
    /// Set if this Instance was taken over from the earlier operator.
    pub adopted: Option<Box<AdoptedStatus>>,
    /// Values that came from PaperclipClusterDefaults.
    #[serde(default, skip_serializing_if = "empty", deserialize_with = "or_empty")]
    #[schemars(length(max = 64), transform = list_map(&["path"]))]
    pub effective_defaults: Vec<EffectiveDefault>,
    /// Steps of the deletion.
    pub deletion: Option<Box<DeletionStatus>>,
    /// The annotation `paperclip.inc/reconcile-requested-at` that was last obeyed.
    #[schemars(length(max = 64))]
    pub last_handled_reconcile_at: Option<String>,
}

/// Names of objects that exist and belong to the Instance.
#[skip_serializing_none]
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ManagedResources {
    /// StatefulSet of the server.
    pub stateful_set: Option<String>,
    /// Deployment of the server.
    pub deployment: Option<String>,
    /// Service of the server.
    pub service: Option<String>,
    /// ConfigMap of the server.
    pub config_map: Option<String>,
    /// Claim of the data volume.
    pub persistent_volume_claim: Option<String>,
    /// Ingress.
    pub ingress: Option<String>,
    /// HTTPRoute.
    pub http_route: Option<String>,
    /// ServiceAccount.
    pub service_account: Option<String>,
    /// NetworkPolicy of the server.
    pub network_policy: Option<String>,
    /// StatefulSet of the database.
    pub database_stateful_set: Option<String>,
    /// Service of the database.
    pub database_service: Option<String>,
    /// Claim of the database.
    #[serde(rename = "databasePVC")]
    pub database_pvc: Option<String>,
    /// PrometheusRule.
    pub prometheus_rule: Option<String>,
    /// ConfigMap with the operator's dashboard.
    pub grafana_dashboard_operator: Option<String>,
    /// ConfigMap with the Instance's dashboard.
    pub grafana_dashboard_instance: Option<String>,
    /// HorizontalPodAutoscaler.
    pub horizontal_pod_autoscaler: Option<String>,
    /// PodDisruptionBudget.
    pub pod_disruption_budget: Option<String>,
    /// ServiceMonitor.
    pub service_monitor: Option<String>,
    /// Job that makes the first admin.
    pub bootstrap_job: Option<String>,
    /// Job that migrates the database.
    pub migration_job: Option<String>,
    /// Generated Secrets.
    #[serde(default, skip_serializing_if = "empty", deserialize_with = "or_empty")]
    #[schemars(length(max = 16))]
    pub secrets: Vec<String>,
}

/// A child resource and how it is.
#[skip_serializing_none]
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("required" = ["kind", "name"]))]
pub struct ChildStatus {
    /// Kind of the child.
    #[serde(default, skip_serializing_if = "empty", deserialize_with = "or_empty")]
    pub kind: String,
    /// Name of the child.
    #[serde(default, skip_serializing_if = "empty", deserialize_with = "or_empty")]
    pub name: String,
    /// Its condition `Ready`; `Unknown` while that is about an older spec.
    pub ready: Option<Word<ConditionStatus>>,
    /// Reason of that condition.
    pub reason: Option<String>,
    /// Message of that condition.
    #[schemars(length(max = 1024))]
    pub message: Option<String>,
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
