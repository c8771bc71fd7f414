//! `spec.storage` and `spec.objectStorage`: the data volume, and the bucket for uploads.

use super::rules::{
    ENDPOINT_OF_OTHERS, PERSISTENCE_ACCESS_MODES, PERSISTENCE_SIZE, PERSISTENCE_STORAGE_CLASS,
};
use crate::crd::{
    LocalRef, Word, empty, or_empty,
    schema::{ASCII, NO_CONTROL, NO_PARENT, atomic_list, quantity, rule},
    word::words,
};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_with::skip_serializing_none;

words! {
    /// How a volume can be mounted.
    AccessMode {
        /// By one node.
        ReadWriteOnce = "ReadWriteOnce",
        /// By many nodes, for reading.
        ReadOnlyMany = "ReadOnlyMany",
        /// By many nodes.
        ReadWriteMany = "ReadWriteMany",
        /// By one pod.
        ReadWriteOncePod = "ReadWriteOncePod",
    }
    /// What speaks S3.
    ObjectStorageProvider {
        /// AWS, or another service.
        S3 = "s3",
        /// MinIO.
        Minio = "minio",
        /// Cloudflare R2.
        R2 = "r2",
    }
}

/// Storage of the server.
#[skip_serializing_none]
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Storage {
    /// The data volume, mounted at `/paperclip`.
    pub persistence: Option<Box<StoragePersistence>>,
}

/// The data volume.
#[skip_serializing_none]
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct StoragePersistence {
    /// Keep files in a volume claim. `false`: they go with the pod. Default true.
    pub enabled: Option<bool>,
    /// Size of the claim. It can grow, never shrink. Default `5Gi`.
    #[schemars(transform = quantity, transform = rule(PERSISTENCE_SIZE))]
    pub size: Option<Quantity>,
    /// StorageClass of the claim. Default: the cluster's default class. Cannot be changed.
    #[schemars(length(max = 253), transform = rule(PERSISTENCE_STORAGE_CLASS))]
    pub storage_class: Option<String>,
    /// Access modes of the claim. Default `[ReadWriteOnce]`; more than one replica wants `ReadWriteMany`. Cannot be
    /// changed.
    #[serde(default, skip_serializing_if = "empty", deserialize_with = "or_empty")]
    #[schemars(length(max = 4), transform = rule(PERSISTENCE_ACCESS_MODES), transform = atomic_list)]
    pub access_modes: Vec<Word<AccessMode>>,
    /// Use this claim instead of making one. It is never resized and never deleted.
    #[schemars(length(max = 253))]
    pub existing_claim: Option<String>,
}

/// The bucket for uploads. Without it uploads are on the data volume.
#[skip_serializing_none]
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("required" = ["provider", "bucket"]), transform = rule(ENDPOINT_OF_OTHERS))]
pub struct ObjectStorage {
    /// `s3`, `minio` or `r2`; the last two need an endpoint.
    pub provider: Option<Word<ObjectStorageProvider>>,
    /// Name of the bucket; it must exist.
    #[serde(default, skip_serializing_if = "empty", deserialize_with = "or_empty")]
    #[schemars(length(min = 3, max = 63), transform = rule(ASCII))]
    pub bucket: String,
    /// Region of the bucket. Default `auto` for r2.
    #[schemars(length(max = 64))]
    pub region: Option<String>,
    /// Address of the service if it is not AWS, `https://host[:port]`.
    #[schemars(length(max = 2048), transform = rule(ASCII))]
    pub endpoint: Option<String>,
    /// Folder in the bucket. A change hides the uploads that are there.
    #[schemars(length(max = 512), regex(pattern = NO_PARENT), transform = rule(NO_CONTROL))]
    pub prefix: Option<String>,
    /// Bucket name in the path instead of the host name. Default true for minio, else false.
    pub force_path_style: Option<bool>,
    /// Secret with `AWS_ACCESS_KEY_ID` and `AWS_SECRET_ACCESS_KEY` (or `S3_ACCESS_KEY_ID`, `S3_SECRET_ACCESS_KEY`).
    /// Absent: the pod's own identity (for example IRSA).
    pub credentials_secret_ref: Option<LocalRef>,
}
