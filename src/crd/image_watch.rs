//! `PaperclipImageWatch`: which build of an image should run. It decides; the Instance acts.

use super::{
    PullSecret, Word, empty, or_empty,
    schema::{DURATION, NO_CONTROL, Rule, atomic_list, embedded, list_map, rule},
    shared::{Approval, ImagePolicy, ImageVerify, MaintenanceWindow, Rollout},
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use kube::CustomResource;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_with::skip_serializing_none;

/// On `policy`.
const ONE_POLICY: Rule = Rule::new(
    "!(has(self.digest) && has(self.semver))",
    "policy takes only one of digest and semver",
);

/// An image to follow.
#[skip_serializing_none]
#[derive(CustomResource, Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[kube(
    group = "paperclip.inc",
    version = "v1alpha1",
    kind = "PaperclipImageWatch",
    plural = "paperclipimagewatches",
    singular = "paperclipimagewatch",
    shortname = "pciw",
    category = "paperclip",
    namespaced,
    status = "PaperclipImageWatchStatus",
    derive = "PartialEq",
    derive = "Default",
    doc = "Follows an image in its registry and decides which build should run.",
    printcolumn(name = "Repository", type_ = "string", json_path = ".spec.repository"),
    printcolumn(
        name = "Selected",
        type_ = "string",
        json_path = ".status.selected.tag"
    ),
    printcolumn(
        name = "Candidate",
        type_ = "string",
        json_path = ".status.candidate.tag"
    ),
    printcolumn(
        name = "Ready",
        type_ = "string",
        json_path = r#".status.conditions[?(@.type=="Ready")].status"#
    ),
    printcolumn(name = "Checked", type_ = "date", json_path = ".status.lastCheckTime"),
    printcolumn(
        name = "Age",
        type_ = "date",
        json_path = ".metadata.creationTimestamp"
    ),
    printcolumn(
        name = "Digest",
        type_ = "string",
        json_path = ".status.selected.digest",
        priority = 1
    )
)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("required" = ["repository"]))]
pub struct PaperclipImageWatchSpec {
    /// Registry and repository.
    #[serde(default, skip_serializing_if = "empty", deserialize_with = "or_empty")]
    #[schemars(length(min = 1, max = 255), transform = rule(NO_CONTROL))]
    pub repository: String,
    /// Tag whose digest is followed; with a range of versions where to start. Default `latest`.
    #[schemars(regex(pattern = r"^([A-Za-z0-9_][A-Za-z0-9._-]{0,127})?$"))]
    pub tag: Option<String>,
    /// Time between two looks at the registry, at least `1m`. Default `5m`.
    #[schemars(length(max = 64), regex(pattern = DURATION))]
    pub interval: Option<String>,
    /// Which build is chosen. Default: the digest of the tag.
    #[schemars(transform = rule(ONE_POLICY))]
    pub policy: Option<ImagePolicy>,
    /// A build must have been visible for so long before it is taken. Default `0s`.
    #[schemars(length(max = 64), regex(pattern = DURATION))]
    pub minimum_release_age: Option<String>,
    /// Secrets for the registry. Each is tried where it fits.
    #[serde(default, skip_serializing_if = "empty", deserialize_with = "or_empty")]
    #[schemars(length(max = 16), transform = list_map(&["name"]))]
    pub image_pull_secrets: Vec<PullSecret>,
    /// Service account whose pull Secrets are used too.
    #[schemars(length(max = 253))]
    pub service_account_name: Option<String>,
    /// Take signed builds only. Default: unsigned ones too.
    pub verify: Option<ImageVerify>,
    /// `Manual` waits for the annotation `paperclip.inc/approved-digest`. Default `Automatic`.
    pub approval: Option<Word<Approval>>,
    /// When a new build may be selected. Default: always.
    #[serde(default, skip_serializing_if = "empty", deserialize_with = "or_empty")]
    #[schemars(length(max = 16), transform = atomic_list)]
    pub maintenance_windows: Vec<MaintenanceWindow>,
    /// Do not ask the registry. Default false.
    pub suspend: Option<bool>,
    /// How a new build reaches the server; the Instance does it.
    pub rollout: Option<Rollout>,
}

/// What was observed of an image.
#[skip_serializing_none]
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct PaperclipImageWatchStatus {
    /// Generation of the spec that this status is about.
    pub observed_generation: Option<i64>,
    /// What is true of the parts.
    #[serde(default, skip_serializing_if = "empty", deserialize_with = "or_empty")]
    #[schemars(schema_with = "embedded::<Vec<Condition>>", length(max = 20), transform = list_map(&["type"]))]
    pub conditions: Vec<Condition>,
    /// The build that should run.
    pub selected: Option<SelectedImage>,
    /// The build that comes next, and why it waits.
    pub candidate: Option<CandidateImage>,
    /// The build that ran before.
    pub previous: Option<SelectedImage>,
    /// Builds that did not become healthy, by digest.
    #[serde(default, skip_serializing_if = "empty", deserialize_with = "or_empty")]
    #[schemars(length(max = 16))]
    pub rejected: Vec<String>,
    /// When the registry was last asked.
    pub last_check_time: Option<Time>,
    /// What went wrong then.
    #[schemars(length(max = 1024))]
    pub last_error: Option<String>,
    /// The annotation `paperclip.inc/reconcile-requested-at` that was last obeyed.
    #[schemars(length(max = 64))]
    pub last_handled_reconcile_at: Option<String>,
}

/// A build that was selected.
#[skip_serializing_none]
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct SelectedImage {
    /// Its tag.
    pub tag: Option<String>,
    /// Its digest.
    pub digest: Option<String>,
    /// When it was selected.
    pub time: Option<Time>,
}

/// A build that may be selected.
#[skip_serializing_none]
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct CandidateImage {
    /// Its tag.
    pub tag: Option<String>,
    /// Its digest.
    pub digest: Option<String>,
    /// When it was first seen.
    pub first_seen: Option<Time>,
    /// Why it waits.
    #[schemars(length(max = 1024))]
    pub blocked_by: Option<String>,
}
