//! `PaperclipClusterDefaults`: what an admin sets for all Instances that say nothing themselves. Never written into
//! an Instance.

use super::{
    Word, empty,
    instance::{DatabaseMode, Image, Observability, ServiceType},
    or_empty,
    schema::{atomic_list, embedded, list_map},
    shared::Storage,
};
use k8s_openapi::{
    api::core::v1::{EnvVar, PodSecurityContext, SecurityContext},
    apimachinery::pkg::apis::meta::v1::Condition,
};
use kube::CustomResource;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_with::skip_serializing_none;

/// Defaults for all Instances of the cluster.
#[skip_serializing_none]
#[derive(CustomResource, Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[kube(
    group = "paperclip.inc",
    version = "v1alpha1",
    kind = "PaperclipClusterDefaults",
    plural = "paperclipclusterdefaults",
    singular = "paperclipclusterdefaults",
    shortname = "pccd",
    category = "paperclip",
    status = "PaperclipClusterDefaultsStatus",
    derive = "PartialEq",
    derive = "Default",
    doc = "Defaults for all Instances of the cluster. Only the object named `cluster` counts.",
    printcolumn(
        name = "Ready",
        type_ = "string",
        json_path = r#".status.conditions[?(@.type=="Ready")].status"#
    ),
    printcolumn(
        name = "Age",
        type_ = "date",
        json_path = ".metadata.creationTimestamp"
    )
)]
#[serde(rename_all = "camelCase")]
pub struct PaperclipClusterDefaultsSpec {
    /// The server's image. Tag and digest count only for Instances that have neither.
    pub image: Option<Box<Image>>,
    /// StorageClass of new volumes.
    #[schemars(length(max = 253))]
    pub storage_class: Option<String>,
    /// Database mode of Instances that have no database yet.
    pub database_mode: Option<Word<DatabaseMode>>,
    /// Metrics, logs, traces.
    pub observability: Option<Box<Observability>>,
    /// Service.
    pub networking: Option<DefaultsNetworking>,
    /// Environment variables of all servers. One of the same name in the Instance replaces it.
    #[serde(default, skip_serializing_if = "empty", deserialize_with = "or_empty")]
    #[schemars(schema_with = "embedded::<Vec<EnvVar>>", length(max = 256), transform = atomic_list)]
    pub env: Vec<EnvVar>,
    /// Backups.
    pub backup: Option<DefaultsBackup>,
    /// Rights and isolation of the pods.
    pub security: Option<Box<DefaultsSecurity>>,
}

/// Service of all Instances.
#[skip_serializing_none]
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct DefaultsNetworking {
    /// The Service of the server.
    pub service: Option<DefaultsNetworkingService>,
}

/// Service of all Instances.
#[skip_serializing_none]
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct DefaultsNetworkingService {
    /// How the Service is published.
    #[serde(rename = "type")]
    pub type_: Option<Word<ServiceType>>,
}

/// Backups of all Instances.
#[skip_serializing_none]
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct DefaultsBackup {
    /// Destination of Instances that have none. Namespace and name follow the prefix. The Secret with the credentials
    /// must exist in the Instance's namespace.
    pub storage: Option<Storage>,
}

/// Rights and isolation of the pods of all Instances.
#[skip_serializing_none]
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct DefaultsSecurity {
    /// Security context of the server's pods.
    #[serde(default)]
    #[schemars(schema_with = "embedded::<PodSecurityContext>")]
    pub pod_security_context: Option<Box<PodSecurityContext>>,
    /// Security context of the operator's containers.
    #[serde(default)]
    #[schemars(schema_with = "embedded::<SecurityContext>")]
    pub container_security_context: Option<Box<SecurityContext>>,
    /// NetworkPolicy of the server.
    pub network_policy: Option<DefaultsSecurityNetworkPolicy>,
}

/// NetworkPolicy of the servers of all Instances.
#[skip_serializing_none]
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct DefaultsSecurityNetworkPolicy {
    /// Restrict the servers' connections.
    pub enabled: Option<bool>,
}

/// What was observed of the defaults.
#[skip_serializing_none]
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct PaperclipClusterDefaultsStatus {
    /// Generation of the spec that this status is about.
    pub observed_generation: Option<i64>,
    /// What is true of the parts.
    #[serde(default, skip_serializing_if = "empty", deserialize_with = "or_empty")]
    #[schemars(schema_with = "embedded::<Vec<Condition>>", length(max = 20), transform = list_map(&["type"]))]
    pub conditions: Vec<Condition>,
    /// The annotation `paperclip.inc/reconcile-requested-at` that was last obeyed.
    #[schemars(length(max = 64))]
    pub last_handled_reconcile_at: Option<String>,
}
