//! `PaperclipSandboxPool`: pods for agents.

use super::{
    PullSecret, Word, empty,
    instance::{
        AdaptersCloudSandboxInferenceProxy, AdaptersCloudSandboxPersistence, TenantLimitRange,
        TenantQuota,
    },
    or_empty,
    schema::{DURATION, atomic_list, embedded, list_map, set},
    word::words,
};
use k8s_openapi::{
    api::core::v1::{EnvVar, ResourceRequirements, Toleration},
    apimachinery::pkg::apis::meta::v1::{Condition, Time},
};
use kube::CustomResource;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_with::skip_serializing_none;
use std::collections::BTreeMap;

words! {
    /// What an agent's pod is made of.
    SandboxBackend {
        /// A Job.
        Job = "Job",
        /// A Sandbox of `agents.x-k8s.io`.
        AgentSandbox = "AgentSandbox",
    }
    /// What enforces the rules for outgoing connections.
    SandboxEgressMode {
        /// NetworkPolicy.
        Standard = "Standard",
        /// Cilium's policies, which know names.
        Cilium = "Cilium",
    }
    /// Where agents may connect to.
    SandboxEgressPolicy {
        /// To listed addresses.
        Allowlist = "Allowlist",
        /// To the internet.
        OpenInternet = "OpenInternet",
    }
    /// Whether left-over objects are removed.
    CleanupMode {
        /// They are removed.
        Enforce = "Enforce",
        /// They are only counted.
        DryRun = "DryRun",
    }
}

/// Pods for agents.
#[skip_serializing_none]
#[derive(CustomResource, Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[kube(
    group = "paperclip.inc",
    version = "v1alpha1",
    kind = "PaperclipSandboxPool",
    plural = "paperclipsandboxpools",
    singular = "paperclipsandboxpool",
    shortname = "pcsp",
    category = "paperclip",
    namespaced,
    status = "PaperclipSandboxPoolStatus",
    derive = "PartialEq",
    derive = "Default",
    doc = "Pods for the agents of a Paperclip installation: rights, limits, isolation, clean-up.",
    printcolumn(name = "Backend", type_ = "string", json_path = ".spec.backend"),
    printcolumn(
        name = "Ready",
        type_ = "string",
        json_path = r#".status.conditions[?(@.type=="Ready")].status"#
    ),
    printcolumn(name = "Tenants", type_ = "integer", json_path = ".status.tenants"),
    printcolumn(name = "Active", type_ = "integer", json_path = ".status.active"),
    printcolumn(
        name = "Age",
        type_ = "date",
        json_path = ".metadata.creationTimestamp"
    )
)]
#[serde(rename_all = "camelCase")]
pub struct PaperclipSandboxPoolSpec {
    /// `Job`: a Job for each run. `AgentSandbox`: a Sandbox of `agents.x-k8s.io`, which must be installed.
    /// Default `Job`.
    pub backend: Option<Word<SandboxBackend>>,
    /// Namespace of the sandboxes. Default: that of the pool. Another one must carry the label
    /// `paperclip.inc/sandbox-of=<namespace>.<name>`.
    #[schemars(
        length(max = 63),
        regex(pattern = r"^([a-z0-9]([-a-z0-9]*[a-z0-9])?)?$")
    )]
    pub namespace: Option<String>,
    /// Start of the names of tenant namespaces. Default `paperclip-`.
    #[schemars(length(max = 30), regex(pattern = r"^([a-z0-9][-a-z0-9]*)?$"))]
    pub namespace_prefix: Option<String>,
    /// One namespace for each company. Default false.
    pub multi_namespace: Option<bool>,
    /// Image of agents whose adapter names none.
    #[schemars(length(max = 512))]
    pub image: Option<String>,
    /// Secrets for the registry.
    #[serde(default, skip_serializing_if = "empty", deserialize_with = "or_empty")]
    #[schemars(length(max = 16), transform = list_map(&["name"]))]
    pub image_pull_secrets: Vec<PullSecret>,
    /// CPU and memory of an agent that asks for none.
    #[serde(default)]
    #[schemars(schema_with = "embedded::<ResourceRequirements>")]
    pub resources: Option<Box<ResourceRequirements>>,
    /// CPU and memory by tier name.
    #[serde(default, skip_serializing_if = "empty", deserialize_with = "or_empty")]
    #[schemars(schema_with = "embedded::<BTreeMap<String, ResourceRequirements>>", extend("maxProperties" = 16))]
    pub resource_tiers: BTreeMap<String, ResourceRequirements>,
    /// Labels that nodes must have.
    #[serde(default, skip_serializing_if = "empty", deserialize_with = "or_empty")]
    pub node_selector: BTreeMap<String, String>,
    /// Taints that pods bear.
    #[serde(default, skip_serializing_if = "empty", deserialize_with = "or_empty")]
    #[schemars(schema_with = "embedded::<Vec<Toleration>>", length(max = 64), transform = atomic_list)]
    pub tolerations: Vec<Toleration>,
    /// Volumes of agents.
    pub persistence: Option<AdaptersCloudSandboxPersistence>,
    /// Time after which an idle sandbox is removed. Default `30m`.
    #[schemars(length(max = 64), regex(pattern = DURATION))]
    pub idle_timeout: Option<String>,
    /// RuntimeClass of the pods, for example `gvisor`.
    #[schemars(length(max = 253))]
    pub runtime_class_name: Option<String>,
    /// Where agents may connect to.
    pub egress: Option<Box<SandboxEgress>>,
    /// Limits for a tenant as a whole.
    pub quota: Option<Box<TenantQuota>>,
    /// Limits for each container of a tenant.
    pub limit_range: Option<Box<TenantLimitRange>>,
    /// Keep room free on nodes, so that agents start at once. Off by default.
    pub headroom: Option<SandboxHeadroom>,
    /// Pull the image to nodes before it is needed. Off by default.
    pub pre_pull: Option<SandboxPrePull>,
    /// Removal of what ended runs left behind.
    pub cleanup: Option<SandboxCleanup>,
    /// Proxy for model APIs beside the server.
    pub inference_proxy: Option<AdaptersCloudSandboxInferenceProxy>,
}

/// Where agents may connect to.
#[skip_serializing_none]
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct SandboxEgress {
    /// `Standard`: rules by NetworkPolicy. `Cilium`: rules by Cilium, needed for names. Default `Standard`.
    pub mode: Option<Word<SandboxEgressMode>>,
    /// `Allowlist`: only to listed addresses. `OpenInternet`: to any public address. Default `Allowlist`.
    pub policy: Option<Word<SandboxEgressPolicy>>,
    /// Networks that agents may connect to.
    #[serde(rename = "allowCIDRs")]
    #[serde(default, skip_serializing_if = "empty", deserialize_with = "or_empty")]
    #[schemars(length(max = 128), inner(length(max = 64)), transform = set)]
    pub allow_cidrs: Vec<String>,
    /// Names that agents may connect to; needs mode `Cilium`.
    #[serde(rename = "allowFQDNs")]
    #[serde(default, skip_serializing_if = "empty", deserialize_with = "or_empty")]
    #[schemars(length(max = 128), inner(length(max = 253)), transform = set)]
    pub allow_fqdns: Vec<String>,
}

/// Room that is kept free by pods that do nothing and give way.
#[skip_serializing_none]
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct SandboxHeadroom {
    /// For how many agents. Default 0.
    #[schemars(range(min = 0, max = 100))]
    pub replicas: Option<i32>,
    /// PriorityClass of these pods; its value must be below that of agents.
    #[schemars(length(max = 253))]
    pub priority_class_name: Option<String>,
}

/// Pulling of images before they are needed.
#[skip_serializing_none]
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct SandboxPrePull {
    /// Default false.
    pub enabled: Option<bool>,
}

/// Removal of what ended runs left behind.
#[skip_serializing_none]
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct SandboxCleanup {
    /// Age at which an object without a run counts as left over. Default `2h`.
    #[schemars(length(max = 64), regex(pattern = DURATION))]
    pub orphan_after: Option<String>,
    /// `Enforce`: remove. `DryRun`: only count. Default `Enforce`.
    pub mode: Option<Word<CleanupMode>>,
}

/// What was observed of a pool.
#[skip_serializing_none]
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct PaperclipSandboxPoolStatus {
    /// Generation of the spec that this status is about.
    pub observed_generation: Option<i64>,
    /// What is true of the parts.
    #[serde(default, skip_serializing_if = "empty", deserialize_with = "or_empty")]
    #[schemars(schema_with = "embedded::<Vec<Condition>>", length(max = 20), transform = list_map(&["type"]))]
    pub conditions: Vec<Condition>,
    /// Environment variables that the server needs for this pool.
    #[serde(default, skip_serializing_if = "empty", deserialize_with = "or_empty")]
    #[schemars(schema_with = "embedded::<Vec<EnvVar>>", length(max = 64), transform = atomic_list)]
    pub server_env: Vec<EnvVar>,
    /// Tenant namespaces.
    pub tenants: Option<i32>,
    /// Sandboxes that run.
    pub active: Option<i32>,
    /// Left-over objects that were removed.
    pub orphans_removed: Option<i64>,
    /// When they were last looked for.
    pub last_cleanup_time: Option<Time>,
    /// The annotation `paperclip.inc/reconcile-requested-at` that was last obeyed.
    #[schemars(length(max = 64))]
    pub last_handled_reconcile_at: Option<String>,
}
