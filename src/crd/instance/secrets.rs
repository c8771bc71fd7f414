//! `spec.secrets`: where the application keeps the secrets of its users.

use super::rules::AWS_NEEDS_OPTIONS;
use crate::crd::{
    SecretKeyRef, Word, empty, or_empty,
    schema::{ASCII, rule},
    word::words,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_with::skip_serializing_none;

words! {
    /// Where the application keeps secrets.
    SecretsProvider {
        /// In the database, encrypted with the master key.
        LocalEncrypted = "local_encrypted",
        /// In AWS Secrets Manager.
        AwsSecretsManager = "aws_secrets_manager",
    }
}

/// Secrets of the application's users.
#[skip_serializing_none]
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(transform = rule(AWS_NEEDS_OPTIONS))]
pub struct Secrets {
    /// `local_encrypted`: in the database, encrypted with the master key. `aws_secrets_manager`: in AWS.
    /// Default `local_encrypted`.
    pub provider: Option<Word<SecretsProvider>>,
    /// Options of AWS Secrets Manager. Credentials come from the pod's identity.
    pub aws: Option<SecretsAws>,
    /// The master key: 64 hex digits, base64 of 32 bytes, or 32 characters. Default: generated into the Secret
    /// `<name>-secrets-master-key`, and kept when the Instance is deleted. Without it stored secrets cannot be read.
    pub master_key_secret_ref: Option<SecretKeyRef>,
    /// Refuse secrets in clear text. Default: the server's own rule, which is true when people sign in.
    pub strict_mode: Option<bool>,
}

/// AWS Secrets Manager.
#[skip_serializing_none]
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("required" = ["region", "kmsKeyID", "deploymentID"]))]
pub struct SecretsAws {
    /// Region.
    #[serde(default, skip_serializing_if = "empty", deserialize_with = "or_empty")]
    #[schemars(length(min = 1, max = 64))]
    pub region: String,
    /// Id or ARN of the KMS key.
    #[serde(rename = "kmsKeyID")]
    #[serde(default, skip_serializing_if = "empty", deserialize_with = "or_empty")]
    #[schemars(length(min = 1, max = 2048))]
    pub kms_key_id: String,
    /// Name of this installation among others in the account.
    #[serde(rename = "deploymentID")]
    #[serde(default, skip_serializing_if = "empty", deserialize_with = "or_empty")]
    #[schemars(length(min = 1, max = 256))]
    pub deployment_id: String,
    /// Start of the names of the secrets. Default `paperclip`.
    #[schemars(length(max = 256))]
    pub prefix: Option<String>,
    /// Tag that tells environments apart.
    #[schemars(length(max = 256))]
    pub environment: Option<String>,
    /// Address of the service, if it is not the public one.
    #[schemars(length(max = 2048), transform = rule(ASCII))]
    pub endpoint: Option<String>,
    /// Days in which a deleted secret can be brought back, 7 to 30. Default 30.
    pub delete_recovery_days: Option<i32>,
}
