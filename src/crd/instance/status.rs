//! `status` of an Instance: what was observed, never what was wished. What is under way, and what was done, is in
//! `progress`.

use super::{
    AdoptedStatus, AutoUpdateStatus, BackupSummary, BootstrapStatus, DeletionStatus, DrainStatus,
    EffectiveDefault, MasterKeyStatus, MigrationStatus, PluginStatus, RestoreSummary,
};
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
