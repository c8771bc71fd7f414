//! `PaperclipDatabase`: the PostgreSQL of an Instance, or one that stands alone.

use super::{
    PullSecret, SecretKeyRef, SecretText, Word, empty, or_empty,
    schema::{NO_CONTROL, Rule, atomic_list, embedded, list_map, quantity, rule},
    shared::{AutoGrow, CredentialRotation, DatabaseTls, DatabaseUpgrade, DeletionPolicy},
    word::words,
};
use k8s_openapi::{
    api::core::v1::{Affinity, ResourceRequirements, Toleration},
    apimachinery::pkg::{
        api::resource::Quantity,
        apis::meta::v1::{Condition, Time},
    },
};
use kube::CustomResource;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_with::skip_serializing_none;
use std::collections::BTreeMap;

words! {
    /// Who runs PostgreSQL.
    DatabaseEngine {
        /// One pod of ours.
        Managed = "Managed",
        /// The CloudNativePG operator.
        CloudNativePg = "CloudNativePG",
        /// Somebody else.
        External = "External",
    }
}

/// On `storage.size`, against the old value.
pub const SIZE: Rule =
    Rule::shrinks("'storage.size cannot shrink from ' + string(oldSelf) + ' to ' + string(self)");

/// On `storage.storageClassName`, against the old value.
pub const STORAGE_CLASS: Rule = Rule::immutable("storage.storageClassName is immutable");

/// On `storage.autoGrow`.
pub const AUTO_GROW_MAX_SIZE: Rule = Rule::new(
    "has(self.maxSize) && string(self.maxSize) != ''",
    "storage.autoGrow.maxSize is required",
);

/// On the spec.
pub const EXTERNAL_NEEDS_URL: Rule = Rule::new(
    "!(has(self.engine) && self.engine == 'External') || (has(self.external) \
     && (has(self.external.urlSecretRef) != (has(self.external.url) && self.external.url != '')))",
    "set exactly one of external.urlSecretRef, external.url",
);

/// On the object, against the old one: the data belong to the engine that status names.
pub const ENGINE: Rule = Rule::new(
    "!has(oldSelf.status) || !has(oldSelf.status.engine) \
     || (has(self.spec.engine) ? self.spec.engine : 'Managed') \
     == (has(oldSelf.spec.engine) ? oldSelf.spec.engine : 'Managed')",
    "engine is immutable",
);

/// A PostgreSQL database for the server.
#[skip_serializing_none]
#[derive(CustomResource, Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[kube(
    group = "paperclip.inc",
    version = "v1alpha1",
    kind = "PaperclipDatabase",
    plural = "paperclipdatabases",
    singular = "paperclipdatabase",
    shortname = "pcdb",
    category = "paperclip",
    namespaced,
    status = "PaperclipDatabaseStatus",
    derive = "PartialEq",
    derive = "Default",
    doc = "A PostgreSQL database for a Paperclip server.",
    validation = ENGINE.of_object(".spec.engine"),
    printcolumn(name = "Engine", type_ = "string", json_path = ".status.engine"),
    printcolumn(
        name = "Ready",
        type_ = "string",
        json_path = r#".status.conditions[?(@.type=="Ready")].status"#
    ),
    printcolumn(
        name = "Reason",
        type_ = "string",
        json_path = r#".status.conditions[?(@.type=="Ready")].reason"#
    ),
    printcolumn(
        name = "Version",
        type_ = "string",
        json_path = ".status.serverVersion"
    ),
    printcolumn(
        name = "Size",
        type_ = "string",
        json_path = ".status.storage.capacity"
    ),
    printcolumn(
        name = "Age",
        type_ = "date",
        json_path = ".metadata.creationTimestamp"
    ),
    printcolumn(
        name = "Used",
        type_ = "integer",
        json_path = ".status.storage.usedPercent",
        description = "Percent of the volume",
        priority = 1
    )
)]
#[serde(rename_all = "camelCase")]
#[schemars(transform = rule(EXTERNAL_NEEDS_URL))]
pub struct PaperclipDatabaseSpec {
    /// `Managed`: one PostgreSQL pod. `CloudNativePG`: a cluster of that operator. `External`: only checked. Default
    /// `Managed`. Cannot be changed once the database was ready.
    pub engine: Option<Word<DatabaseEngine>>,
    /// Major version of PostgreSQL. Default 17, or what the existing data are. Data of another version are refused
    /// until `upgrade.to` names it.
    #[schemars(range(min = 15, max = 18))]
    pub version: Option<i32>,
    /// Image with PostgreSQL of that major version. Default `postgres:17-alpine`.
    #[schemars(length(max = 512))]
    pub image: Option<String>,
    /// The volume.
    pub storage: Option<Box<DatabaseStorage>>,
    /// CPU and memory of PostgreSQL. Default: requests 250m and 256Mi, limits 1 and 1Gi.
    #[serde(default)]
    #[schemars(schema_with = "embedded::<ResourceRequirements>")]
    pub resources: Option<Box<ResourceRequirements>>,
    /// Labels that nodes must have.
    #[serde(default, skip_serializing_if = "empty", deserialize_with = "or_empty")]
    pub node_selector: BTreeMap<String, String>,
    /// Taints that the pod bears.
    #[serde(default, skip_serializing_if = "empty", deserialize_with = "or_empty")]
    #[schemars(schema_with = "embedded::<Vec<Toleration>>", length(max = 64), transform = atomic_list)]
    pub tolerations: Vec<Toleration>,
    /// Affinity of the pod.
    #[serde(default)]
    #[schemars(schema_with = "embedded::<Affinity>")]
    pub affinity: Option<Box<Affinity>>,
    /// PriorityClass of the pod.
    #[schemars(length(max = 253))]
    pub priority_class_name: Option<String>,
    /// Secrets for the registry.
    #[serde(default, skip_serializing_if = "empty", deserialize_with = "or_empty")]
    #[schemars(length(max = 16), transform = list_map(&["name"]))]
    pub image_pull_secrets: Vec<PullSecret>,
    /// PostgreSQL settings, name to value. Names outside the supported list are refused and reported.
    #[serde(default, skip_serializing_if = "empty", deserialize_with = "or_empty")]
    #[schemars(extend("maxProperties" = 64))]
    pub parameters: BTreeMap<String, String>,
    /// The application's credentials.
    pub credentials: Option<DatabaseCredentials>,
    /// Encryption of connections.
    pub tls: Option<DatabaseTls>,
    /// Where an external database is.
    pub external: Option<DatabaseExternal>,
    /// Options of CloudNativePG.
    pub cluster: Option<DatabaseCluster>,
    /// Upgrade to another major version.
    pub upgrade: Option<DatabaseUpgrade>,
    /// Stop PostgreSQL and keep everything. Default false.
    pub suspend: Option<bool>,
    /// What happens to volume and credentials when the object is deleted. Default `Retain`.
    pub deletion_policy: Option<Word<DeletionPolicy>>,
}

/// The volume of a database.
#[skip_serializing_none]
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct DatabaseStorage {
    /// Size of the volume. It can grow, never shrink. Default `10Gi`.
    #[schemars(transform = quantity, transform = rule(SIZE))]
    pub size: Option<Quantity>,
    /// StorageClass of the volume. Default: the cluster's default class. Cannot be changed.
    #[schemars(length(max = 253), transform = rule(STORAGE_CLASS))]
    pub storage_class_name: Option<String>,
    /// Use this claim instead of making one.
    #[schemars(length(max = 253))]
    pub existing_claim: Option<String>,
    /// Grow the volume before it is full. Off by default; a full volume is always rescued.
    #[schemars(transform = rule(AUTO_GROW_MAX_SIZE))]
    pub auto_grow: Option<AutoGrow>,
}

/// The application's credentials.
#[skip_serializing_none]
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct DatabaseCredentials {
    /// Regular change of the password. Off by default.
    pub rotation: Option<CredentialRotation>,
}

/// Where an external database is: exactly one of the two.
#[skip_serializing_none]
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct DatabaseExternal {
    /// Secret with the connection URL.
    pub url_secret_ref: Option<SecretKeyRef>,
    /// Connection URL in clear text.
    #[schemars(length(max = 2048), transform = rule(NO_CONTROL))]
    pub url: Option<SecretText>,
}

/// Options of CloudNativePG.
#[skip_serializing_none]
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct DatabaseCluster {
    /// Number of PostgreSQL instances. Default 3.
    #[schemars(range(min = 1, max = 9))]
    pub instances: Option<i32>,
}

/// What was observed of a database.
#[skip_serializing_none]
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct PaperclipDatabaseStatus {
    /// Generation of the spec that this status is about.
    pub observed_generation: Option<i64>,
    /// What is true of the parts.
    #[serde(default, skip_serializing_if = "empty", deserialize_with = "or_empty")]
    #[schemars(schema_with = "embedded::<Vec<Condition>>", length(max = 20), transform = list_map(&["type"]))]
    pub conditions: Vec<Condition>,
    /// The engine that the data belong to. Frozen once the database was ready.
    pub engine: Option<Word<DatabaseEngine>>,
    /// Major version of the data.
    pub version: Option<i32>,
    /// Version that the server reports.
    pub server_version: Option<String>,
    /// PostgreSQL's own identifier of the data.
    pub system_identifier: Option<String>,
    /// Secret and key with the connection URL for the application.
    pub connection_secret_ref: Option<SecretKeyRef>,
    /// The volume.
    pub storage: Option<DatabaseStorageStatus>,
    /// Size of the database in bytes.
    pub database_bytes: Option<i64>,
    /// How a database of somebody else was asked.
    pub check: Option<DatabaseCheckStatus>,
    /// Changes of the password.
    pub rotation: Option<DatabaseRotationStatus>,
    /// The last major upgrade.
    pub upgrade: Option<DatabaseUpgradeStatus>,
    /// The annotation `paperclip.inc/reconcile-requested-at` that was last obeyed.
    #[schemars(length(max = 64))]
    pub last_handled_reconcile_at: Option<String>,
}

/// How a database of somebody else was asked.
#[skip_serializing_none]
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct DatabaseCheckStatus {
    /// Mark of the URL that was tried: where it stands and in which version.
    #[schemars(length(max = 128))]
    pub of: Option<String>,
    /// The Job that asked last.
    pub job: Option<String>,
    /// When it ended.
    pub last_time: Option<Time>,
    /// When the next one is made.
    pub next_time: Option<Time>,
    /// Failures in a row.
    pub failures: Option<i32>,
    /// Between the server and the database is a pooler in transaction mode.
    pub transaction_pooler: Option<bool>,
}

/// What was observed of the volume.
#[skip_serializing_none]
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct DatabaseStorageStatus {
    /// Size that the claim asks for.
    pub requested: Option<Quantity>,
    /// Size that the volume has.
    pub capacity: Option<Quantity>,
    /// Used share in percent, in steps of 5.
    pub used_percent: Option<i32>,
}

/// Changes of the password.
#[skip_serializing_none]
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct DatabaseRotationStatus {
    /// The last one.
    pub last_time: Option<Time>,
    /// The next one.
    pub next_time: Option<Time>,
}

/// A major upgrade.
#[skip_serializing_none]
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct DatabaseUpgradeStatus {
    /// Step that it is in.
    pub phase: Option<String>,
    /// Version before.
    pub from: Option<i32>,
    /// Version after.
    pub to: Option<i32>,
    /// When it began.
    pub start_time: Option<Time>,
    /// When it ended.
    pub completion_time: Option<Time>,
    /// Claim with the data of the version before.
    pub previous_claim: Option<String>,
    /// When that claim is removed.
    pub previous_expires: Option<Time>,
    /// What there is to say about it.
    #[schemars(length(max = 1024))]
    pub message: Option<String>,
}
