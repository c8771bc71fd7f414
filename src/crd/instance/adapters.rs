//! `spec.adapters`: how agents run, and with which keys.

use crate::crd::{
    LocalRef, SecretKeyRef, Word, empty, or_empty,
    schema::{QUANTITY, atomic_list, embedded, list_map, set},
    word::words,
};
use k8s_openapi::api::core::v1::ResourceRequirements;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_with::skip_serializing_none;
use std::collections::BTreeMap;

words! {
    /// Where agents run.
    ExecutionMode {
        /// In pods of their own.
        Kubernetes = "kubernetes",
        /// Wherever the adapter likes, by default in the server's pod.
        Any = "any",
    }
    /// What an agent's pod is made of.
    ExecutionBackend {
        /// A Job.
        Job = "job",
        /// A Sandbox of `agents.x-k8s.io`.
        SandboxCr = "sandbox-cr",
    }
    /// What enforces the rules for outgoing connections.
    EgressMode {
        /// NetworkPolicy.
        Standard = "standard",
        /// Cilium's policies, which know names.
        Cilium = "cilium",
    }
    /// Where agents may connect to.
    EgressPolicy {
        /// To listed addresses.
        Allowlist = "allowlist",
        /// To the internet.
        OpenInternet = "open-internet",
    }
}

/// How agents run.
#[skip_serializing_none]
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Adapters {
    /// Secret with API keys for agents, such as `ANTHROPIC_API_KEY`. Each key becomes an environment variable of the
    /// server.
    pub api_keys_secret_ref: Option<LocalRef>,
    /// Sandboxes of E2B.
    pub e2b: Option<AdaptersE2b>,
    /// Run agents in pods of their own.
    pub cloud_sandbox: Option<Box<AdaptersCloudSandbox>>,
    /// Where agents run, and what they may do there.
    pub execution: Option<Box<AdaptersExecution>>,
    /// What the server knows about the adapters.
    #[serde(default, skip_serializing_if = "empty", deserialize_with = "or_empty")]
    #[schemars(length(max = 64), transform = list_map(&["adapterType"]))]
    pub registry: Vec<AdaptersRegistryEntry>,
}

/// Sandboxes of E2B.
#[skip_serializing_none]
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("required" = ["apiKeySecretRef"]))]
pub struct AdaptersE2b {
    /// API key of E2B.
    pub api_key_secret_ref: Option<SecretKeyRef>,
}

/// Pods for agents.
#[skip_serializing_none]
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct AdaptersCloudSandbox {
    /// Run agents in pods of their own. Default false. The image needs the kubernetes provider plugin.
    pub enabled: Option<bool>,
    /// Image of agents whose adapter names none. Default `ghcr.io/paperclipinc/agent-multi:latest`.
    #[schemars(length(max = 512))]
    pub default_image: Option<String>,
    /// Namespace of the sandboxes. Default: the Instance's. Another one must carry the label
    /// `paperclip.inc/sandbox-of=<namespace>.<name>`.
    #[schemars(
        length(max = 63),
        regex(pattern = r"^([a-z0-9]([-a-z0-9]*[a-z0-9])?)?$")
    )]
    pub namespace: Option<String>,
    /// Minutes after which an idle sandbox is removed. Default 30.
    #[schemars(range(min = 1))]
    pub idle_timeout_min: Option<i32>,
    /// CPU and memory of an agent.
    #[serde(default)]
    #[schemars(schema_with = "embedded::<ResourceRequirements>")]
    pub resources: Option<Box<ResourceRequirements>>,
    /// Volumes of agents.
    pub persistence: Option<AdaptersCloudSandboxPersistence>,
    /// One namespace for each company. Default false.
    pub multi_namespace: Option<bool>,
    /// Proxy for model APIs beside the server.
    pub inference_proxy: Option<AdaptersCloudSandboxInferenceProxy>,
    /// CPU and memory by tier name.
    #[serde(default, skip_serializing_if = "empty", deserialize_with = "or_empty")]
    #[schemars(extend("maxProperties" = 16), schema_with = "embedded::<BTreeMap<String, ResourceRequirements>>")]
    pub resource_tiers: BTreeMap<String, ResourceRequirements>,
}

/// Volumes of agents.
#[skip_serializing_none]
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct AdaptersCloudSandboxPersistence {
    /// Keep workspaces in volume claims. Default false.
    pub enabled: Option<bool>,
    /// StorageClass of the claims. Default: the cluster's default class.
    #[schemars(length(max = 253))]
    pub storage_class: Option<String>,
    /// Size of each claim. Default `10Gi`.
    #[schemars(length(max = 32), regex(pattern = QUANTITY))]
    pub size: Option<String>,
}

/// Proxy for model APIs.
#[skip_serializing_none]
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct AdaptersCloudSandboxInferenceProxy {
    /// Run the proxy beside the server. Default false.
    pub enabled: Option<bool>,
    /// Image of the proxy; required when enabled.
    #[schemars(length(max = 512))]
    pub image: Option<String>,
    /// Port of the proxy. Default 8090.
    #[schemars(range(min = 1, max = 65535))]
    pub port: Option<i32>,
}

/// Where agents run.
#[skip_serializing_none]
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct AdaptersExecution {
    /// `kubernetes`: in pods of their own. `any`: the adapter decides. Default `any`.
    pub mode: Option<Word<ExecutionMode>>,
    /// Options of mode `kubernetes`.
    pub kubernetes: Option<Box<AdaptersExecutionKubernetes>>,
}

/// Agents in pods of their own.
#[skip_serializing_none]
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct AdaptersExecutionKubernetes {
    /// `job`: a Job for each run. `sandbox-cr`: a Sandbox of `agents.x-k8s.io`, which must be installed.
    /// Default `job`.
    pub backend: Option<Word<ExecutionBackend>>,
    /// RuntimeClass of the pods, for example `gvisor`.
    #[schemars(length(max = 253))]
    pub runtime_class_name: Option<String>,
    /// `standard`: rules by NetworkPolicy. `cilium`: rules by Cilium, needed for names.
    pub egress_mode: Option<Word<EgressMode>>,
    /// `allowlist`: only to listed addresses. `open-internet`: to any public address. Default `allowlist`.
    pub egress_policy: Option<Word<EgressPolicy>>,
    /// Names that agents may connect to; needs egressMode `cilium`.
    #[serde(rename = "egressAllowFQDNs")]
    #[serde(default, skip_serializing_if = "empty", deserialize_with = "or_empty")]
    #[schemars(length(max = 128), inner(length(max = 253)), transform = set)]
    pub egress_allow_fqdns: Vec<String>,
    /// Networks that agents may connect to.
    #[serde(rename = "egressAllowCIDRs")]
    #[serde(default, skip_serializing_if = "empty", deserialize_with = "or_empty")]
    #[schemars(length(max = 128), inner(length(max = 64)), transform = set)]
    pub egress_allow_cidrs: Vec<String>,
    /// Start of the names of tenant namespaces. Default `paperclip-`.
    #[schemars(length(max = 30), regex(pattern = r"^([a-z0-9][-a-z0-9]*)?$"))]
    pub namespace_prefix: Option<String>,
    /// Limits for a tenant as a whole.
    pub per_tenant_quota: Option<TenantQuota>,
    /// Limits for each container of a tenant.
    pub per_tenant_limit_range: Option<TenantLimitRange>,
}

/// Limits for a tenant as a whole.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("required" = ["pods", "requestsCpu", "requestsMemory", "limitsCpu", "limitsMemory"]))]
pub struct TenantQuota {
    /// Number of pods.
    #[serde(default, skip_serializing_if = "empty", deserialize_with = "or_empty")]
    #[schemars(length(min = 1, max = 32))]
    pub pods: String,
    /// Sum of CPU requests.
    #[serde(default, skip_serializing_if = "empty", deserialize_with = "or_empty")]
    #[schemars(length(min = 1, max = 32))]
    pub requests_cpu: String,
    /// Sum of memory requests.
    #[serde(default, skip_serializing_if = "empty", deserialize_with = "or_empty")]
    #[schemars(length(min = 1, max = 32))]
    pub requests_memory: String,
    /// Sum of CPU limits.
    #[serde(default, skip_serializing_if = "empty", deserialize_with = "or_empty")]
    #[schemars(length(min = 1, max = 32))]
    pub limits_cpu: String,
    /// Sum of memory limits.
    #[serde(default, skip_serializing_if = "empty", deserialize_with = "or_empty")]
    #[schemars(length(min = 1, max = 32))]
    pub limits_memory: String,
}

/// Limits for each container of a tenant. Requests are at most the defaults, and those at most the maxima.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("required" = [
    "defaultCpu", "defaultMemory", "defaultRequestCpu", "defaultRequestMemory", "maxCpu", "maxMemory"
]))]
pub struct TenantLimitRange {
    /// CPU limit of a container that has none.
    #[serde(default, skip_serializing_if = "empty", deserialize_with = "or_empty")]
    #[schemars(length(min = 1, max = 32))]
    pub default_cpu: String,
    /// Memory limit of a container that has none.
    #[serde(default, skip_serializing_if = "empty", deserialize_with = "or_empty")]
    #[schemars(length(min = 1, max = 32))]
    pub default_memory: String,
    /// CPU request of a container that has none.
    #[serde(default, skip_serializing_if = "empty", deserialize_with = "or_empty")]
    #[schemars(length(min = 1, max = 32))]
    pub default_request_cpu: String,
    /// Memory request of a container that has none.
    #[serde(default, skip_serializing_if = "empty", deserialize_with = "or_empty")]
    #[schemars(length(min = 1, max = 32))]
    pub default_request_memory: String,
    /// Highest CPU limit of a container.
    #[serde(default, skip_serializing_if = "empty", deserialize_with = "or_empty")]
    #[schemars(length(min = 1, max = 32))]
    pub max_cpu: String,
    /// Highest memory limit of a container.
    #[serde(default, skip_serializing_if = "empty", deserialize_with = "or_empty")]
    #[schemars(length(min = 1, max = 32))]
    pub max_memory: String,
}

/// What the server knows about one adapter.
#[skip_serializing_none]
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("required" = ["adapterType"]))]
pub struct AdaptersRegistryEntry {
    /// Type of the adapter, for example `claude_local`.
    #[serde(default, skip_serializing_if = "empty", deserialize_with = "or_empty")]
    #[schemars(length(min = 1, max = 64))]
    pub adapter_type: String,
    /// Offer the adapter. Default: the server's own rule.
    pub enabled: Option<bool>,
    /// Image of its agents.
    #[schemars(length(max = 512))]
    pub runtime_image: Option<String>,
    /// Names of variables that its agents get from the API keys.
    #[serde(default, skip_serializing_if = "empty", deserialize_with = "or_empty")]
    #[schemars(length(max = 64), inner(length(max = 256)), transform = atomic_list)]
    pub env_keys: Vec<String>,
    /// Names that its agents may connect to.
    #[serde(default, skip_serializing_if = "empty", deserialize_with = "or_empty")]
    #[schemars(length(max = 64), inner(length(max = 253)), transform = atomic_list)]
    pub allow_fqdns: Vec<String>,
    /// Command that tells whether the adapter works.
    #[serde(default, skip_serializing_if = "empty", deserialize_with = "or_empty")]
    #[schemars(length(max = 64), inner(length(max = 4096)), transform = atomic_list)]
    pub probe_command: Vec<String>,
    /// Variables of its agents, in clear text: no secrets here.
    #[serde(default, skip_serializing_if = "empty", deserialize_with = "or_empty")]
    #[schemars(extend("maxProperties" = 64))]
    pub default_env: BTreeMap<String, String>,
}
