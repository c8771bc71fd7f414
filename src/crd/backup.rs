//! `PaperclipBackup`: one backup, or with a schedule the policy that makes backups.

use super::{
    LocalRef, Word, empty, or_empty,
    schema::{DURATION, Rule, embedded, list_map, rule, set},
    shared::{
        BackupEncryption, BackupPart, BackupRetention, BackupVerification, DeletionPolicy,
        NamedTime, Storage, VerificationLevel,
    },
    word::words,
};
use k8s_openapi::{
    api::core::v1::ResourceRequirements,
    apimachinery::pkg::apis::meta::v1::{Condition, Time},
};
use kube::CustomResource;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_with::skip_serializing_none;

words! {
    /// Why a backup was taken.
    BackupReason {
        /// Somebody asked for it.
        Manual = "Manual",
        /// Its time had come.
        Scheduled = "Scheduled",
        /// Before a new image.
        PreUpgrade = "PreUpgrade",
        /// Before a restore replaces the data.
        PreRestore = "PreRestore",
        /// Before the Instance goes.
        FinalSnapshot = "FinalSnapshot",
    }
    /// How far a backup is.
    BackupPhase {
        /// It has not begun.
        Pending = "Pending",
        /// Its Job runs.
        Running = "Running",
        /// It is in the bucket.
        Complete = "Complete",
        /// It is not.
        Failed = "Failed",
    }
}

/// On the spec.
pub const ONE_SUBJECT: Rule = Rule::new(
    "has(self.instanceRef) != has(self.databaseRef)",
    "set exactly one of instanceRef, databaseRef",
);

/// On the spec, against the old one.
pub const INSTANCE_REF: Rule = Rule::new(
    "(has(self.instanceRef) ? self.instanceRef.name : '') == (has(oldSelf.instanceRef) ? oldSelf.instanceRef.name : '')",
    "instanceRef is immutable",
);

/// On the spec, against the old one.
pub const DATABASE_REF: Rule = Rule::new(
    "(has(self.databaseRef) ? self.databaseRef.name : '') == (has(oldSelf.databaseRef) ? oldSelf.databaseRef.name : '')",
    "databaseRef is immutable",
);

/// On the spec, against the old one: a backup that was taken cannot become a policy.
pub const SCHEDULE_STAYS: Rule = Rule::new(
    "(has(self.schedule) && self.schedule != '') == (has(oldSelf.schedule) && oldSelf.schedule != '')",
    "schedule cannot be added or removed",
);

/// On the spec.
pub const BACKUP_OF_SECRETS: Rule = Rule::new(
    "!(has(self.include) && 'Secrets' in self.include) || has(self.encryption)",
    "include Secrets needs encryption",
);

/// On the spec.
pub const PROOF_OF_ENCRYPTED: Rule = Rule::new(
    "!(has(self.verification) && has(self.verification.level) && self.verification.level in ['Restore', 'Boot'] \
     && has(self.encryption) && !has(self.encryption.identitySecretRef))",
    "verification of encrypted backups needs encryption.identitySecretRef",
);

/// A backup. Without a schedule it is taken now, once; with one it is a policy that makes backups.
#[skip_serializing_none]
#[derive(CustomResource, Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[kube(
    group = "paperclip.inc",
    version = "v1alpha1",
    kind = "PaperclipBackup",
    plural = "paperclipbackups",
    singular = "paperclipbackup",
    shortname = "pcb",
    category = "paperclip",
    namespaced,
    status = "PaperclipBackupStatus",
    derive = "PartialEq",
    derive = "Default",
    doc = "A backup of a Paperclip installation, or with a schedule the policy that makes backups.",
    printcolumn(
        name = "Instance",
        type_ = "string",
        json_path = ".spec.instanceRef.name"
    ),
    printcolumn(name = "Schedule", type_ = "string", json_path = ".spec.schedule"),
    printcolumn(name = "Phase", type_ = "string", json_path = ".status.phase"),
    printcolumn(
        name = "Ready",
        type_ = "string",
        json_path = r#".status.conditions[?(@.type=="Ready")].status"#
    ),
    printcolumn(
        name = "Last",
        type_ = "date",
        json_path = ".status.lastSuccessful.time"
    ),
    printcolumn(
        name = "Age",
        type_ = "date",
        json_path = ".metadata.creationTimestamp"
    ),
    printcolumn(
        name = "Location",
        type_ = "string",
        json_path = ".status.artifact.location",
        priority = 1
    ),
    printcolumn(
        name = "Bytes",
        type_ = "integer",
        json_path = ".status.artifact.bytes",
        priority = 1
    )
)]
#[serde(rename_all = "camelCase")]
#[schemars(
    transform = rule(ONE_SUBJECT),
    transform = rule(INSTANCE_REF),
    transform = rule(DATABASE_REF),
    transform = rule(SCHEDULE_STAYS),
    transform = rule(BACKUP_OF_SECRETS),
    transform = rule(PROOF_OF_ENCRYPTED)
)]
pub struct PaperclipBackupSpec {
    /// The Instance to back up, in the same namespace. Cannot be changed.
    pub instance_ref: Option<LocalRef>,
    /// The PaperclipDatabase to back up, for one without an Instance. Cannot be changed.
    pub database_ref: Option<LocalRef>,
    /// Where the backup goes. Default: the destination of the Instance.
    pub storage: Option<Storage>,
    /// What the backup holds. Default: what `backup.include` of the Instance says, else `[Database, Spec]`, and `Files` if the server has a
    /// volume. `Secrets` needs encryption.
    #[serde(default, skip_serializing_if = "empty", deserialize_with = "or_empty")]
    #[schemars(length(max = 5), transform = set)]
    pub include: Vec<Word<BackupPart>>,
    /// Encrypt the backup with age. Default: as `backup.encryption` of the Instance says.
    pub encryption: Option<BackupEncryption>,
    /// When to take backups: five-field cron, or `@daily` and the like. Absent: once, now.
    #[schemars(length(max = 256))]
    pub schedule: Option<String>,
    /// IANA name of the time zone of the schedules. Default `UTC`.
    #[schemars(length(max = 64))]
    pub time_zone: Option<String>,
    /// Start each backup up to so much later, by chance. Default `0s`.
    #[schemars(length(max = 64), regex(pattern = DURATION))]
    pub jitter: Option<String>,
    /// Begin no backup by the schedule. Default false.
    pub suspend: Option<bool>,
    /// Take a backup as soon as the schedule is first seen. Default false.
    pub immediate: Option<bool>,
    /// How late a missed backup may still begin. Default `1h`.
    #[schemars(length(max = 64), regex(pattern = DURATION))]
    pub starting_deadline: Option<String>,
    /// How many backups of this schedule are kept. Default: all.
    pub retention: Option<BackupRetention>,
    /// Prove that the backup can be restored. Default: off.
    pub verification: Option<BackupVerification>,
    /// What happens to the files in the bucket when this object is deleted. Default `Retain`.
    pub deletion_policy: Option<Word<DeletionPolicy>>,
    /// CPU and memory of the Job. Default: requests 50m and 64Mi.
    #[serde(default)]
    #[schemars(schema_with = "embedded::<ResourceRequirements>")]
    pub resources: Option<Box<ResourceRequirements>>,
    /// Longest duration of a backup. Default `6h`.
    #[schemars(length(max = 64), regex(pattern = DURATION))]
    pub active_deadline: Option<String>,
    /// Why the backup is taken. Default `Manual`.
    pub reason: Option<Word<BackupReason>>,
}

/// What was observed of a backup or of a schedule.
#[skip_serializing_none]
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct PaperclipBackupStatus {
    /// Generation of the spec that this status is about.
    pub observed_generation: Option<i64>,
    /// What is true of the parts.
    #[serde(default, skip_serializing_if = "empty", deserialize_with = "or_empty")]
    #[schemars(schema_with = "embedded::<Vec<Condition>>", length(max = 20), transform = list_map(&["type"]))]
    pub conditions: Vec<Condition>,
    /// How far this one backup is.
    pub phase: Option<Word<BackupPhase>>,
    /// When it began.
    pub start_time: Option<Time>,
    /// When it ended.
    pub completion_time: Option<Time>,
    /// How much is done.
    pub progress: Option<BackupProgress>,
    /// What is in the bucket.
    pub artifact: Option<Box<BackupArtifact>>,
    /// How far it is proven.
    pub verified: Option<BackupVerified>,
    /// Why it failed.
    pub failure: Option<BackupFailure>,
    /// Schedule: when the last backup began.
    pub last_schedule_time: Option<Time>,
    /// Schedule: when the next one begins.
    pub next_schedule_time: Option<Time>,
    /// Schedule: the newest complete one.
    pub last_successful: Option<NamedTime>,
    /// Schedule: the newest failed one.
    pub last_failed: Option<NamedTime>,
    /// Schedule: the newest proven one.
    pub last_verified: Option<NamedTime>,
    /// Schedule: backups that could not run.
    pub missed_runs: Option<i32>,
    /// Schedule: what there is to restore from.
    pub recovery_points: Option<RecoveryPoints>,
    /// Schedule: what the next clean-up removes.
    #[serde(default, skip_serializing_if = "empty", deserialize_with = "or_empty")]
    #[schemars(length(max = 16))]
    pub next_prune: Vec<String>,
    /// The annotation `paperclip.inc/reconcile-requested-at` that was last obeyed.
    #[schemars(length(max = 64))]
    pub last_handled_reconcile_at: Option<String>,
}

/// How much of a backup is done.
#[skip_serializing_none]
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct BackupProgress {
    /// Bytes sent.
    pub bytes: Option<i64>,
}

/// What is in the bucket.
#[skip_serializing_none]
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct BackupArtifact {
    /// Its folder, as a URL.
    pub location: Option<String>,
    /// Sum of its files.
    pub bytes: Option<i64>,
    /// SHA-256 of its manifest, which holds those of the parts.
    pub sha256: Option<String>,
    /// Size of the database that it holds.
    pub database_bytes: Option<i64>,
    /// Version of the application that wrote the data.
    pub app_version: Option<String>,
    /// Version of PostgreSQL.
    pub server_version: Option<String>,
    /// Migrations that the data have.
    pub migrations: Option<i32>,
}

/// How far a backup is proven.
#[skip_serializing_none]
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct BackupVerified {
    /// How far.
    pub level: Option<Word<VerificationLevel>>,
    /// When.
    pub time: Option<Time>,
}

/// Why a backup failed.
#[skip_serializing_none]
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct BackupFailure {
    /// Step that failed.
    pub step: Option<String>,
    /// What happened.
    #[schemars(length(max = 1024))]
    pub message: Option<String>,
}

/// What there is to restore from.
#[skip_serializing_none]
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct RecoveryPoints {
    /// How many complete backups.
    pub count: Option<i32>,
    /// Time of the oldest.
    pub oldest: Option<Time>,
    /// Time of the newest.
    pub newest: Option<Time>,
    /// Sum of their sizes.
    pub total_bytes: Option<i64>,
}
