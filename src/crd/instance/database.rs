//! `spec.database`: where the data are.

use super::rules::{
    AUTO_GROW_MAX_SIZE, DATABASE_ENGINE, DATABASE_SIZE, DATABASE_STORAGE_CLASS, EXTERNAL_NEEDS_URL,
};
use crate::crd::{
    SecretKeyRef, SecretText, Word, empty, or_empty,
    schema::{NO_CONTROL, embedded, quantity, rule},
    shared::{AutoGrow, CredentialRotation, DatabaseTls, DatabaseUpgrade, ManagedEngine},
    word::words,
};
use k8s_openapi::{
    api::core::v1::ResourceRequirements, apimachinery::pkg::api::resource::Quantity,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_with::skip_serializing_none;
use std::collections::BTreeMap;

words! {
    /// Where the database is.
    DatabaseMode {
        /// We run one.
        Managed = "managed",
        /// Somebody else runs it.
        External = "external",
        /// Inside the server's pod.
        Embedded = "embedded",
    }
}

/// The database of the server.
#[skip_serializing_none]
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(transform = rule(EXTERNAL_NEEDS_URL))]
pub struct Database {
    /// `managed`: the operator runs PostgreSQL. `external`: you do. `embedded`: the server runs its own on the data
    /// volume, for one replica. Default `managed`. A later change moves no data; changed back, the old data are there
    /// again.
    pub mode: Option<Word<DatabaseMode>>,
    /// Connection URL of an external database, `postgres://…`. It stands here in clear text: prefer
    /// externalURLSecretRef.
    #[serde(rename = "externalURL")]
    #[schemars(length(max = 2048), transform = rule(NO_CONTROL))]
    pub external_url: Option<SecretText>,
    /// Secret with the connection URL of an external database. Wins over externalURL. The role needs the right to
    /// create extensions.
    #[serde(rename = "externalURLSecretRef")]
    pub external_url_secret_ref: Option<SecretKeyRef>,
    /// Options of the database that the operator runs.
    pub managed: Option<Box<DatabaseManaged>>,
}

/// The database that the operator runs.
#[skip_serializing_none]
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(transform = rule(DATABASE_ENGINE))]
pub struct DatabaseManaged {
    /// Image with PostgreSQL. Default `postgres:17-alpine`, or `postgres:<version>-alpine`.
    #[schemars(length(max = 512))]
    pub image: Option<String>,
    /// Size of the volume. It can grow, never shrink. Default `10Gi`.
    #[schemars(transform = quantity, transform = rule(DATABASE_SIZE))]
    pub storage_size: Option<Quantity>,
    /// StorageClass of the volume. Default: the cluster's default class. Cannot be changed.
    #[schemars(length(max = 253), transform = rule(DATABASE_STORAGE_CLASS))]
    pub storage_class: Option<String>,
    /// Use this claim instead of making one.
    #[schemars(length(max = 253))]
    pub existing_claim: Option<String>,
    /// CPU and memory of PostgreSQL. Default: requests 250m and 256Mi, limits 1 and 1Gi.
    #[serde(default)]
    #[schemars(schema_with = "embedded::<ResourceRequirements>")]
    pub resources: Option<Box<ResourceRequirements>>,
    /// `Managed`: one PostgreSQL pod. `CloudNativePG`: a highly available cluster of that operator, which must be
    /// installed. Default `Managed`. Cannot be changed.
    pub engine: Option<Word<ManagedEngine>>,
    /// Number of PostgreSQL instances, for CloudNativePG. Default 3.
    #[schemars(range(min = 1, max = 9))]
    pub instances: Option<i32>,
    /// Major version of PostgreSQL. Default 17, or what the existing data are.
    #[schemars(range(min = 15, max = 18))]
    pub version: Option<i32>,
    /// Grow the volume before it is full. Off by default; a full volume is always rescued.
    #[schemars(transform = rule(AUTO_GROW_MAX_SIZE))]
    pub auto_grow: Option<AutoGrow>,
    /// Encryption of the server's connections to the database.
    pub tls: Option<DatabaseTls>,
    /// Regular change of the database password. Off by default.
    pub rotation: Option<CredentialRotation>,
    /// PostgreSQL settings, name to value. Names outside the supported list are refused and reported.
    #[serde(default, skip_serializing_if = "empty", deserialize_with = "or_empty")]
    #[schemars(extend("maxProperties" = 64))]
    pub parameters: BTreeMap<String, String>,
    /// Upgrade to another major version.
    pub upgrade: Option<DatabaseUpgrade>,
}
