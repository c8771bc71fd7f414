//! `PaperclipRestore`: one restore into an Instance, with its own history.

use super::{
    LocalRef, SecretKeyRef, Word, empty, or_empty,
    schema::{NO_CONTROL, NO_PARENT, Rule, embedded, list_map, rule, set},
    shared::{BackupPart, Storage},
    word::words,
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use kube::CustomResource;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_with::skip_serializing_none;

words! {
    /// How far a restore is.
    RestorePhase {
        /// It has not begun.
        Pending = "Pending",
        /// The server is being stopped.
        Quiescing = "Quiescing",
        /// What is there is being saved.
        SafetyBackup = "SafetyBackup",
        /// The database is being replaced.
        RestoringDatabase = "RestoringDatabase",
        /// The files are being replaced.
        RestoringFiles = "RestoringFiles",
        /// The server is being tried.
        Checking = "Checking",
        /// Done.
        Complete = "Complete",
        /// Not done; what was there can be used.
        Failed = "Failed",
    }
}

/// On `from`.
pub const ONE_SOURCE: Rule = Rule::new(
    "has(self.backupRef) != has(self.storage) && (has(self.storage) \
     ? (has(self.path) && self.path != '') != (has(self.latest) && self.latest) \
     : !(has(self.path) && self.path != '') && !(has(self.latest) && self.latest))",
    "set exactly one of backupRef, storage with path, storage with latest",
);

/// On `instanceRef`, against the old value.
pub const INSTANCE_REF: Rule = Rule::new("self.name == oldSelf.name", "instanceRef is immutable");

/// A restore. It is done once.
#[skip_serializing_none]
#[derive(CustomResource, Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[kube(
    group = "paperclip.inc",
    version = "v1alpha1",
    kind = "PaperclipRestore",
    plural = "papercliprestores",
    singular = "papercliprestore",
    shortname = "pcr",
    category = "paperclip",
    namespaced,
    status = "PaperclipRestoreStatus",
    derive = "PartialEq",
    derive = "Default",
    doc = "One restore into a Paperclip installation.",
    printcolumn(
        name = "Instance",
        type_ = "string",
        json_path = ".spec.instanceRef.name"
    ),
    printcolumn(name = "Phase", type_ = "string", json_path = ".status.phase"),
    printcolumn(
        name = "From",
        type_ = "string",
        json_path = ".status.restored.location"
    ),
    printcolumn(
        name = "Age",
        type_ = "date",
        json_path = ".metadata.creationTimestamp"
    ),
    printcolumn(
        name = "Message",
        type_ = "string",
        json_path = r#".status.conditions[?(@.type=="Ready")].message"#,
        priority = 1
    )
)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("required" = ["instanceRef", "from"]))]
pub struct PaperclipRestoreSpec {
    /// The Instance to restore into, in the same namespace. It may be created later.
    #[schemars(transform = rule(INSTANCE_REF))]
    pub instance_ref: Option<LocalRef>,
    /// The backup: `backupRef`, or `storage` with `path` or `latest`.
    #[schemars(transform = rule(ONE_SOURCE))]
    pub from: Option<Box<RestoreSource>>,
    /// What to bring back. Default: what the backup holds.
    #[serde(default, skip_serializing_if = "empty", deserialize_with = "or_empty")]
    #[schemars(length(max = 5), transform = set)]
    pub include: Vec<Word<BackupPart>>,
    /// Private key for an encrypted backup.
    pub identity_secret_ref: Option<SecretKeyRef>,
    /// Take a backup of what is there first. Default true.
    pub safety_backup: Option<bool>,
    /// Name of the Instance, as a confirmation that its data may be replaced. Needed if it holds any.
    #[schemars(length(max = 253))]
    pub confirm: Option<String>,
}

/// Where the backup is.
#[skip_serializing_none]
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct RestoreSource {
    /// A PaperclipBackup in the same namespace.
    pub backup_ref: Option<LocalRef>,
    /// A bucket.
    pub storage: Option<Storage>,
    /// Folder, manifest or dump in that bucket.
    #[schemars(length(max = 1024), regex(pattern = NO_PARENT), transform = rule(NO_CONTROL))]
    pub path: Option<String>,
    /// The newest complete backup below the prefix.
    pub latest: Option<bool>,
}

/// What was observed of a restore.
#[skip_serializing_none]
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct PaperclipRestoreStatus {
    /// Generation of the spec that this status is about.
    pub observed_generation: Option<i64>,
    /// What is true of the parts.
    #[serde(default, skip_serializing_if = "empty", deserialize_with = "or_empty")]
    #[schemars(schema_with = "embedded::<Vec<Condition>>", length(max = 20), transform = list_map(&["type"]))]
    pub conditions: Vec<Condition>,
    /// How far it is.
    pub phase: Option<Word<RestorePhase>>,
    /// When it began.
    pub start_time: Option<Time>,
    /// When it ended.
    pub completion_time: Option<Time>,
    /// What was brought back.
    pub restored: Option<Box<RestoredArtifact>>,
    /// PaperclipBackup with what was there before.
    pub safety_backup: Option<String>,
    /// Step that failed, and what happened.
    pub failure: Option<super::backup::BackupFailure>,
    /// The annotation `paperclip.inc/reconcile-requested-at` that was last obeyed.
    #[schemars(length(max = 64))]
    pub last_handled_reconcile_at: Option<String>,
}

/// What was brought back.
#[skip_serializing_none]
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct RestoredArtifact {
    /// Where it was.
    pub location: Option<String>,
    /// Its parts.
    #[serde(default, skip_serializing_if = "empty", deserialize_with = "or_empty")]
    #[schemars(length(max = 5))]
    pub parts: Vec<Word<BackupPart>>,
    /// When the backup was taken.
    pub time: Option<Time>,
    /// Bytes read.
    pub bytes: Option<i64>,
    /// Version of the application that wrote the data.
    pub app_version: Option<String>,
}
