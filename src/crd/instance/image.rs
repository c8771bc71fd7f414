//! `spec.image`: which build of the server runs, and how it is kept up to date.

use super::rules::ONE_IMAGE_POLICY;
use crate::crd::{
    PullSecret, Word, empty, or_empty,
    schema::{DURATION, NO_CONTROL, list_map, rule},
    shared::{Approval, ImagePolicy, ImageVerify, Rollout},
    word::words,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_with::skip_serializing_none;

words! {
    /// When the kubelet pulls an image.
    PullPolicy {
        /// Before each start.
        Always = "Always",
        /// Never.
        Never = "Never",
        /// If the node does not have it.
        IfNotPresent = "IfNotPresent",
    }
}

/// The server's image.
#[skip_serializing_none]
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Image {
    /// Registry and repository. Default `ghcr.io/paperclipai/paperclip`.
    #[schemars(length(max = 255), transform = rule(NO_CONTROL))]
    pub repository: Option<String>,
    /// Tag, for example `2026.916.1`. Default `latest`, which moves: pin a version, a digest, or use autoUpdate.
    #[schemars(regex(pattern = r"^([A-Za-z0-9_][A-Za-z0-9._-]{0,127})?$"))]
    pub tag: Option<String>,
    /// Digest (`sha256:…`). Wins over the tag and switches autoUpdate off.
    #[schemars(length(max = 255))]
    pub digest: Option<String>,
    /// When the image is pulled. Default `IfNotPresent`.
    pub pull_policy: Option<Word<PullPolicy>>,
    /// Secrets for the registry, used by all pods of the Instance and by autoUpdate.
    #[serde(default, skip_serializing_if = "empty", deserialize_with = "or_empty")]
    #[schemars(length(max = 16), transform = list_map(&["name"]))]
    pub pull_secrets: Vec<PullSecret>,
    /// Follow new builds.
    pub auto_update: Option<Box<ImageAutoUpdate>>,
}

/// Automatic updates of the server's image.
#[skip_serializing_none]
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ImageAutoUpdate {
    /// Ask the registry for new builds, and run the chosen one pinned by its digest. Default false.
    pub enabled: Option<bool>,
    /// Time between two looks at the registry, at least `1m`. Default `5m`.
    #[schemars(length(max = 64), regex(pattern = DURATION))]
    pub interval: Option<String>,
    /// Which build is chosen. Default: the digest of the configured tag.
    #[schemars(transform = rule(ONE_IMAGE_POLICY))]
    pub policy: Option<ImagePolicy>,
    /// A build must have been visible for so long before it is taken. Default `0s`.
    #[schemars(length(max = 64), regex(pattern = DURATION))]
    pub minimum_release_age: Option<String>,
    /// Take signed builds only. Default: unsigned ones too.
    pub verify: Option<ImageVerify>,
    /// `Manual` waits until the annotation `paperclip.inc/approved-digest` names the build. Default `Automatic`.
    pub approval: Option<Word<Approval>>,
    /// Backup, drain, watch and way back around an update.
    pub rollout: Option<Rollout>,
}
