//! `spec.backup` and `spec.restore`: what becomes PaperclipBackup and PaperclipRestore objects.

use super::rules::{BACKUP_OF_SECRETS, PROOF_OF_ENCRYPTED};
use crate::crd::{
    LocalRef, SecretKeyRef, Word, empty, or_empty,
    schema::{ASCII, DURATION, NO_CONTROL, NO_PARENT, rule, set},
    shared::{BackupEncryption, BackupPart, BackupRetention, BackupVerification},
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_with::skip_serializing_none;

/// Backups of the Instance.
#[skip_serializing_none]
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(transform = rule(BACKUP_OF_SECRETS), transform = rule(PROOF_OF_ENCRYPTED))]
pub struct Backup {
    /// When to take backups: five-field cron, or `@daily` and the like. Default: none. A destination without a
    /// schedule serves backups that you or an update ask for.
    #[schemars(length(max = 256))]
    pub schedule: Option<String>,
    /// Days to keep backups, at least 1. Default 30. `retention` wins.
    #[schemars(range(min = 1))]
    pub retention_days: Option<i32>,
    /// Where backups go. Default: the bucket of objectStorage, folder `backups/<name>`.
    pub s3: Option<Box<BackupS3>>,
    /// IANA name of the time zone of the schedules. Default `UTC`.
    #[schemars(length(max = 64))]
    pub time_zone: Option<String>,
    /// Start each backup up to so much later, by chance. Default `0s`.
    #[schemars(length(max = 64), regex(pattern = DURATION))]
    pub jitter: Option<String>,
    /// Take a backup as soon as the schedule is first seen. Default false.
    pub immediate: Option<bool>,
    /// What a backup holds. Default `[Database, Spec]`, and `Files` with a data volume. `Secrets` needs encryption.
    #[serde(default, skip_serializing_if = "empty", deserialize_with = "or_empty")]
    #[schemars(length(max = 5), transform = set)]
    pub include: Vec<Word<BackupPart>>,
    /// Encrypt backups with age. Default: not encrypted.
    pub encryption: Option<BackupEncryption>,
    /// How many backups are kept. Default: by `retentionDays`.
    pub retention: Option<BackupRetention>,
    /// Prove regularly that backups can be restored. Default: off.
    pub verification: Option<BackupVerification>,
    /// The server's own dumps on the data volume.
    pub app_native: Option<BackupAppNative>,
}

/// A folder in a bucket that speaks the S3 protocol.
#[skip_serializing_none]
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("required" = ["bucket"]))]
pub struct BackupS3 {
    /// Name of the bucket; it must exist.
    #[serde(default, skip_serializing_if = "empty", deserialize_with = "or_empty")]
    #[schemars(length(min = 3, max = 63), transform = rule(ASCII))]
    pub bucket: String,
    /// Folder in the bucket, without `..`. Default `backups/<name>`.
    #[schemars(length(max = 512), regex(pattern = NO_PARENT), transform = rule(NO_CONTROL))]
    pub path: Option<String>,
    /// Region of the bucket.
    #[schemars(length(max = 64))]
    pub region: Option<String>,
    /// Address of the service if it is not AWS, `https://host[:port]`.
    #[schemars(length(max = 2048), transform = rule(ASCII))]
    pub endpoint: Option<String>,
    /// Secret with `AWS_ACCESS_KEY_ID` and `AWS_SECRET_ACCESS_KEY` (or `S3_ACCESS_KEY_ID`, `S3_SECRET_ACCESS_KEY`).
    /// Default: that of objectStorage, else the pod's own identity.
    pub credentials_secret_ref: Option<LocalRef>,
    /// Bucket name in the path instead of the host name. Default true with an endpoint, else false.
    pub force_path_style: Option<bool>,
    /// Certificate authority of the service, PEM.
    pub ca_secret_ref: Option<SecretKeyRef>,
}

/// The server's own dumps on the data volume.
#[skip_serializing_none]
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct BackupAppNative {
    /// Default: the server's own rule (on), but off while scheduled backups are set up. They fill the data volume.
    pub enabled: Option<bool>,
    /// Minutes between two dumps. Default: the server's own, 60.
    #[schemars(range(min = 1))]
    pub interval_minutes: Option<i32>,
    /// Days to keep dumps; the server knows 3, 7 and 14. Default: the server's own, 7.
    #[schemars(range(min = 1))]
    pub retention_days: Option<i32>,
}

/// Options of `restoreFrom`.
#[skip_serializing_none]
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Restore {
    /// Where the backup is, if not in the bucket of `backup`.
    pub s3: Option<Box<BackupS3>>,
    /// What to bring back. Default: what the backup holds.
    #[serde(default, skip_serializing_if = "empty", deserialize_with = "or_empty")]
    #[schemars(length(max = 5), transform = set)]
    pub include: Vec<Word<BackupPart>>,
    /// Private key for an encrypted backup. Default: that of `backup.encryption`.
    pub identity_secret_ref: Option<SecretKeyRef>,
    /// Take a backup of what is there first. Default true.
    pub safety_backup: Option<bool>,
    /// Start no agents after the restore, until this is false. For a copy of an installation that still runs.
    /// Default false.
    pub pause_agents: Option<bool>,
}
