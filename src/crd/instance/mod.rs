//! `Instance`: a whole Paperclip installation.
//!
//! Files by section of `spec`. What a section's fields mean is in their documentation, which `kubectl explain` shows.

mod adapters;
mod auth;
mod availability;
mod backup;
mod database;
mod deployment;
mod extensions;
mod image;
mod lifecycle;
mod networking;
mod observability;
mod probes;
mod progress;
pub mod rules;
mod secrets;
mod security;
mod status;
mod storage;
mod tailscale;

pub use adapters::*;
pub use auth::*;
pub use availability::*;
pub use backup::*;
pub use database::*;
pub use deployment::*;
pub use extensions::*;
pub use image::*;
pub use lifecycle::*;
pub use networking::*;
pub use observability::*;
pub use probes::*;
pub use progress::*;
pub use secrets::*;
pub use security::*;
pub use status::*;
pub use storage::*;
pub use tailscale::*;

use self::rules::{
    EMBEDDED_IS_PRIVATE, FUNNEL_NEEDS_SIGN_IN, RESERVED_CONTAINER, RESERVED_VOLUME,
    ROUTES_NEED_SIGN_IN,
};
use super::{
    Word, empty, or_empty,
    schema::{
        NO_CONTROL, NO_PARENT, atomic_list, each, embedded, lenient_rule, list_map, rule,
        stored_default,
    },
    shared::DeletionPolicy,
};
use k8s_openapi::api::core::v1::{
    Container, EnvFromSource, EnvVar, ResourceRequirements, Volume, VolumeMount,
};
use kube::CustomResource;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;
use serde_with::skip_serializing_none;
use std::collections::BTreeMap;

/// A Paperclip installation: server, database, routes, backups. `spec: {}` runs one with sensible defaults.
#[skip_serializing_none]
#[derive(CustomResource, Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[kube(
    group = "paperclip.inc",
    version = "v1alpha1",
    kind = "Instance",
    plural = "instances",
    singular = "instance",
    shortname = "pci",
    category = "paperclip",
    namespaced,
    status = "InstanceStatus",
    derive = "PartialEq",
    derive = "Default",
    doc = "A Paperclip installation: server, database, routes, backups.",
    scale(
        spec_replicas_path = ".spec.availability.replicas",
        status_replicas_path = ".status.replicas",
        label_selector_path = ".status.selector"
    ),
    printcolumn(name = "Phase", type_ = "string", json_path = ".status.phase"),
    printcolumn(
        name = "Ready",
        type_ = "string",
        json_path = r#".status.conditions[?(@.type=="Ready")].status"#
    ),
    printcolumn(
        name = "Version",
        type_ = "string",
        json_path = ".status.runningVersion"
    ),
    printcolumn(name = "Endpoint", type_ = "string", json_path = ".status.endpoint"),
    printcolumn(
        name = "Age",
        type_ = "date",
        json_path = ".metadata.creationTimestamp"
    ),
    printcolumn(
        name = "Summary",
        type_ = "string",
        json_path = ".status.summary",
        priority = 1
    ),
    printcolumn(
        name = "Backup",
        type_ = "date",
        json_path = ".status.backup.lastSuccessful.time",
        priority = 1
    )
)]
#[serde(rename_all = "camelCase")]
#[schemars(
    transform = lenient_rule(EMBEDDED_IS_PRIVATE),
    transform = lenient_rule(ROUTES_NEED_SIGN_IN),
    transform = lenient_rule(FUNNEL_NEEDS_SIGN_IN)
)]
pub struct InstanceSpec {
    /// The server's image.
    pub image: Option<Box<Image>>,
    /// How the server is reached, and whether people sign in.
    pub deployment: Option<Box<Deployment>>,
    /// The database.
    pub database: Option<Box<Database>>,
    /// Sign-in, and the first admin.
    pub auth: Option<Box<Auth>>,
    /// Where the application keeps the secrets of its users.
    pub secrets: Option<Box<Secrets>>,
    /// The data volume.
    pub storage: Option<Box<Storage>>,
    /// The bucket for uploads. Without it uploads are on the data volume.
    pub object_storage: Option<Box<ObjectStorage>>,
    /// Look of the application.
    pub branding: Option<Box<Branding>>,
    /// The scheduler that wakes agents.
    pub heartbeat: Option<Box<Heartbeat>>,
    /// How agents run, and with which keys.
    pub adapters: Option<Box<Adapters>>,
    /// OAuth clients for connections to other services.
    pub connections: Option<Box<Connections>>,
    /// Plugins to install into the application.
    #[serde(default, skip_serializing_if = "empty", deserialize_with = "or_empty")]
    #[schemars(length(max = 32), transform = list_map(&["name"]))]
    pub plugins: Vec<Plugin>,
    /// Changes that agents may ask for.
    pub self_configure: Option<Box<SelfConfigure>>,
    /// Environment variables of the server. One of the same name as the operator's replaces it.
    #[serde(default, skip_serializing_if = "empty", deserialize_with = "or_empty")]
    #[schemars(schema_with = "embedded::<Vec<EnvVar>>", length(max = 256), transform = atomic_list)]
    pub env: Vec<EnvVar>,
    /// Secrets and ConfigMaps whose keys become environment variables of the server.
    #[serde(default, skip_serializing_if = "empty", deserialize_with = "or_empty")]
    #[schemars(schema_with = "embedded::<Vec<EnvFromSource>>", length(max = 32), transform = atomic_list)]
    pub env_from: Vec<EnvFromSource>,
    /// CPU and memory of the server; agents that run in its pod count too. Default: requests 100m and 512Mi.
    #[serde(default)]
    #[schemars(schema_with = "embedded::<ResourceRequirements>")]
    pub resources: Option<Box<ResourceRequirements>>,
    /// Rights and isolation of the pods.
    pub security: Option<Box<Security>>,
    /// Service and routes.
    pub networking: Option<Box<Networking>>,
    /// Metrics, logs, traces.
    pub observability: Option<Box<Observability>>,
    /// Replicas and placement.
    #[schemars(transform = stored_default(json!({})))]
    pub availability: Option<Box<Availability>>,
    /// What the server pods are made by. `auto`: a Deployment if nothing is kept in the pod. Default `StatefulSet`.
    pub workload: Option<Word<Workload>>,
    /// Probes of the server.
    pub probes: Option<Box<Probes>>,
    /// How the server stops, and when restarts may happen.
    pub lifecycle: Option<Box<Lifecycle>>,
    /// Stop the server and keep everything else; backups go on. Default false.
    pub suspended: Option<bool>,
    /// `Retain`: volumes and keys stay when the Instance is deleted, and a new one of the same name takes them up.
    /// `Delete`: they go too. Backups in a bucket always stay. Default `Retain`.
    pub deletion_policy: Option<Word<DeletionPolicy>>,
    /// What the server may send out unasked.
    pub privacy: Option<Box<Privacy>>,
    /// One process namespace for all containers of a server pod, so that left-over agent processes are cleared away.
    /// Default true.
    pub share_process_namespace: Option<bool>,
    /// Backups.
    pub backup: Option<Box<Backup>>,
    /// Restore from this backup: a path in the bucket, or the name of a PaperclipBackup. Done once for each value;
    /// what is there is replaced. Removed when it is done.
    #[schemars(length(max = 1024), regex(pattern = NO_PARENT), transform = rule(NO_CONTROL))]
    pub restore_from: Option<String>,
    /// Options of restoreFrom.
    pub restore: Option<Box<Restore>>,
    /// The server in a tailnet.
    pub tailscale: Option<Box<Tailscale>>,
    /// Further containers of the server's pod.
    #[serde(default, skip_serializing_if = "empty", deserialize_with = "or_empty")]
    #[schemars(schema_with = "embedded::<Vec<Container>>", transform = each(RESERVED_CONTAINER), length(max = 16), transform = list_map(&["name"]))]
    pub sidecars: Vec<Container>,
    /// Further init containers of the server's pod, run after the operator's.
    #[serde(default, skip_serializing_if = "empty", deserialize_with = "or_empty")]
    #[schemars(schema_with = "embedded::<Vec<Container>>", transform = each(RESERVED_CONTAINER), length(max = 16), transform = list_map(&["name"]))]
    pub init_containers: Vec<Container>,
    /// Further volumes of the server's pod. The data volume is called `paperclip-data`.
    #[serde(default, skip_serializing_if = "empty", deserialize_with = "or_empty")]
    #[schemars(schema_with = "embedded::<Vec<Volume>>", transform = each(RESERVED_VOLUME), length(max = 32), transform = list_map(&["name"]))]
    pub extra_volumes: Vec<Volume>,
    /// Further mounts of the server container.
    #[serde(default, skip_serializing_if = "empty", deserialize_with = "or_empty")]
    #[schemars(schema_with = "embedded::<Vec<VolumeMount>>", length(max = 64), transform = list_map(&["mountPath"]))]
    pub extra_volume_mounts: Vec<VolumeMount>,
    /// Annotations of the server's pods. A change restarts them.
    #[serde(default, skip_serializing_if = "empty", deserialize_with = "or_empty")]
    #[schemars(extend("maxProperties" = 64))]
    pub pod_annotations: BTreeMap<String, String>,
}
