//! Parts that an Instance hands to a child resource unchanged, so that both kinds say the same about them.

use super::{
    LocalRef, SecretKeyRef, Word, empty, or_empty,
    schema::{ASCII, DURATION, NO_CONTROL, NO_PARENT, atomic, quantity, rule, set},
    word::words,
};
use k8s_openapi::apimachinery::pkg::{api::resource::Quantity, apis::meta::v1::Time};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_with::skip_serializing_none;

words! {
    /// Which engine runs a database.
    ManagedEngine {
        /// One PostgreSQL pod of ours.
        Managed = "Managed",
        /// A `Cluster` of the CloudNativePG operator.
        CloudNativePg = "CloudNativePG",
    }
    /// How clients must encrypt connections to the database.
    TlsMode {
        /// Encrypted, whoever answers.
        Require = "Require",
        /// Encrypted, and the certificate is checked.
        VerifyFull = "VerifyFull",
        /// Plain text.
        Disabled = "Disabled",
    }
    /// How the data reach a new major version of PostgreSQL.
    UpgradeMethod {
        /// A new server is filled by a copy.
        Copy = "Copy",
        /// Dump, then restore.
        DumpRestore = "DumpRestore",
    }
    /// A part of a backup.
    BackupPart {
        /// Dump of the database.
        Database = "Database",
        /// The Instance and what it refers to, without secrets.
        Spec = "Spec",
        /// Files of the data volume.
        Files = "Files",
        /// Keys and passwords, encrypted only.
        Secrets = "Secrets",
        /// Uploads in the object storage.
        Objects = "Objects",
    }
    /// How far a backup is proven.
    VerificationLevel {
        /// Read back, checksums compared.
        Checksum = "Checksum",
        /// Restored into a throw-away database.
        Restore = "Restore",
        /// Restored, and the server started on it.
        Boot = "Boot",
    }
    /// What happens to data when the object is deleted.
    DeletionPolicy {
        /// Data stay.
        Retain = "Retain",
        /// Data go with the object.
        Delete = "Delete",
    }
    /// Who lets a new image in.
    Approval {
        /// Nobody has to.
        Automatic = "Automatic",
        /// A person, by an annotation.
        Manual = "Manual",
    }
    /// Whether an update takes a backup first.
    RolloutBackup {
        /// No update without a complete backup.
        Required = "Required",
        /// A backup if there is a destination.
        IfConfigured = "IfConfigured",
        /// None.
        None = "None",
    }
    /// What happens after an update that does not become healthy.
    RolloutFailure {
        /// Back to the image before.
        Rollback = "Rollback",
        /// Stay and wait for a person.
        Pause = "Pause",
    }
}

/// Grow the volume before it is full.
#[skip_serializing_none]
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct AutoGrow {
    /// Grow when this share of the volume is used, in percent. Default 80.
    #[schemars(range(min = 50, max = 95))]
    pub threshold_percent: Option<i32>,
    /// How much to add: a percentage of the present size (`20%`) or a quantity (`10Gi`). Default `20%`.
    #[schemars(regex(pattern = r"^([1-9][0-9]{0,2}%|[0-9]+(\.[0-9]+)?([KMGTPE]i|[kMGTPE])?)?$"))]
    pub step: Option<String>,
    /// Never grow beyond this size. Required.
    #[schemars(transform = quantity)]
    pub max_size: Option<Quantity>,
}

/// Encryption of database connections.
#[skip_serializing_none]
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct DatabaseTls {
    /// Default `Require` for a new database, `Disabled` for one that was taken over.
    pub mode: Option<Word<TlsMode>>,
}

/// Regular change of the application's database password.
#[skip_serializing_none]
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct CredentialRotation {
    /// Time between two changes, at least `24h`. Absent: no rotation.
    #[schemars(length(max = 64), regex(pattern = DURATION))]
    pub interval: Option<String>,
}

/// A wanted major upgrade of PostgreSQL.
#[skip_serializing_none]
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct DatabaseUpgrade {
    /// The major version to upgrade to; it must be higher than the present one.
    #[schemars(range(min = 16, max = 18))]
    pub to: Option<i32>,
    /// Default `Copy`.
    pub method: Option<Word<UpgradeMethod>>,
    /// How long the data of the old version are kept. Default `72h`.
    #[schemars(length(max = 64), regex(pattern = DURATION))]
    pub keep_previous_for: Option<String>,
}

/// A place for backups.
#[skip_serializing_none]
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Storage {
    /// A bucket that speaks the S3 protocol.
    pub s3: Option<S3Storage>,
}

/// A folder in a bucket that speaks the S3 protocol.
#[skip_serializing_none]
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("required" = ["bucket"]))]
pub struct S3Storage {
    /// Name of the bucket; it must exist.
    #[serde(default, skip_serializing_if = "empty", deserialize_with = "or_empty")]
    #[schemars(length(min = 3, max = 63), transform = rule(ASCII))]
    pub bucket: String,
    /// Folder in the bucket, without `..`.
    #[schemars(length(max = 512), regex(pattern = NO_PARENT), transform = rule(NO_CONTROL))]
    pub prefix: Option<String>,
    /// Region of the bucket.
    #[schemars(length(max = 64))]
    pub region: Option<String>,
    /// Address of the service if it is not AWS, `https://host[:port]`.
    #[schemars(length(max = 2048), transform = rule(ASCII))]
    pub endpoint: Option<String>,
    /// Bucket name in the path instead of the host name. Default true with an endpoint, else false.
    pub force_path_style: Option<bool>,
    /// Certificate authority of the service, PEM.
    pub ca_secret_ref: Option<SecretKeyRef>,
    /// Secret with `AWS_ACCESS_KEY_ID` and `AWS_SECRET_ACCESS_KEY` (or `S3_ACCESS_KEY_ID`, `S3_SECRET_ACCESS_KEY`).
    /// Absent: the Job's own identity (for example IRSA).
    pub credentials_secret_ref: Option<LocalRef>,
    /// Service account that the Jobs run as, for clouds that give rights to it.
    #[schemars(length(max = 253))]
    pub service_account_name: Option<String>,
}

/// Encryption of backups with age.
#[skip_serializing_none]
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("required" = ["recipients"]))]
pub struct BackupEncryption {
    /// Public keys (`age1…`). Each of them can decrypt the backup.
    #[serde(default, skip_serializing_if = "empty", deserialize_with = "or_empty")]
    #[schemars(length(min = 1, max = 8), inner(length(min = 1, max = 512)), transform = set)]
    pub recipients: Vec<String>,
    /// Private key (`AGE-SECRET-KEY-1…`). Only needed to restore, and to prove backups by restoring them.
    pub identity_secret_ref: Option<SecretKeyRef>,
}

/// How many backups are kept. A backup stays if one of the rules wants it; the newest complete one and the newest
/// proven one always stay.
#[skip_serializing_none]
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("minProperties" = 1))]
pub struct BackupRetention {
    /// Keep the newest so many.
    #[schemars(range(min = 0))]
    pub keep_last: Option<i32>,
    /// Keep the newest of each of the last so many days that have one.
    #[schemars(range(min = 0))]
    pub keep_daily: Option<i32>,
    /// Keep the newest of each of the last so many weeks that have one.
    #[schemars(range(min = 0))]
    pub keep_weekly: Option<i32>,
    /// Keep the newest of each of the last so many months that have one.
    #[schemars(range(min = 0))]
    pub keep_monthly: Option<i32>,
    /// Keep all that are younger than this (`720h`).
    #[schemars(length(max = 64), regex(pattern = DURATION))]
    pub max_age: Option<String>,
}

/// Regular proof that backups can be restored.
#[skip_serializing_none]
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct BackupVerification {
    /// When to prove the newest backup: five-field cron. Only in a policy with a schedule.
    #[schemars(length(max = 256))]
    pub schedule: Option<String>,
    /// How far to go. Default `Checksum`.
    pub level: Option<Word<VerificationLevel>>,
    /// `Verified` becomes False when the newest proof is older than this.
    #[schemars(length(max = 64), regex(pattern = DURATION))]
    pub max_age: Option<String>,
}

/// A time in which restarts may begin.
#[skip_serializing_none]
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("required" = ["schedule", "duration"]))]
pub struct MaintenanceWindow {
    /// When the window opens: five-field cron.
    #[serde(default, skip_serializing_if = "empty", deserialize_with = "or_empty")]
    #[schemars(length(min = 1, max = 256))]
    pub schedule: String,
    /// How long it stays open, at least `5m`.
    #[serde(default, skip_serializing_if = "empty", deserialize_with = "or_empty")]
    #[schemars(length(min = 1, max = 64), regex(pattern = DURATION))]
    pub duration: String,
    /// IANA name of the time zone of the schedule. Default `UTC`.
    #[schemars(length(max = 64))]
    pub time_zone: Option<String>,
}

/// Which image is chosen: `digest` or `semver`.
#[skip_serializing_none]
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(transform = atomic)]
pub struct ImagePolicy {
    /// Follow the digest of the configured tag. This is the default.
    pub digest: Option<ImagePolicyDigest>,
    /// Choose the highest version in a range.
    pub semver: Option<ImagePolicySemver>,
    /// Consider only tags that match this regular expression.
    #[schemars(length(max = 256))]
    pub filter_tags: Option<String>,
    /// Consider pre-releases too. Default false.
    pub include_prereleases: Option<bool>,
}

/// Follow one tag. Has no options.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ImagePolicyDigest {}

/// Follow a range of versions.
#[skip_serializing_none]
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("required" = ["range"]))]
pub struct ImagePolicySemver {
    /// The range, for example `>=2026.900.0 <2027.0.0`. Calendar versions count as semantic versions.
    #[serde(default, skip_serializing_if = "empty", deserialize_with = "or_empty")]
    #[schemars(length(min = 1, max = 256))]
    pub range: String,
}

/// Signatures that an image must have.
#[skip_serializing_none]
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ImageVerify {
    /// A signature made by cosign.
    pub cosign: Option<ImageVerifyCosign>,
}

/// A cosign signature by a key.
#[skip_serializing_none]
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("required" = ["keySecretRef"]))]
pub struct ImageVerifyCosign {
    /// The public key, PEM.
    pub key_secret_ref: Option<SecretKeyRef>,
}

/// How a new image reaches the server.
#[skip_serializing_none]
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Rollout {
    /// Backup before the update. Default `IfConfigured`.
    pub backup: Option<Word<RolloutBackup>>,
    /// Wait for running agents.
    pub drain: Option<RolloutDrain>,
    /// Watch the new version.
    pub analysis: Option<RolloutAnalysis>,
    /// What to do if the new version does not become or stay healthy. Default `Rollback`.
    pub on_failure: Option<Word<RolloutFailure>>,
}

/// Waiting for running agents before an update.
#[skip_serializing_none]
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct RolloutDrain {
    /// Longest wait. Default: `lifecycle.drain.maxWait` of the Instance.
    #[schemars(length(max = 64), regex(pattern = DURATION))]
    pub max_wait: Option<String>,
}

/// Watching the new version.
#[skip_serializing_none]
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct RolloutAnalysis {
    /// How long it must stay healthy before the update counts as done. Default `10m`.
    #[schemars(length(max = 64), regex(pattern = DURATION))]
    pub window: Option<String>,
}

/// A one-shot object and when it ended.
#[skip_serializing_none]
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct NamedTime {
    /// Name of the object.
    pub name: Option<String>,
    /// When it ended.
    pub time: Option<Time>,
}
