//! `spec.security`: rights of the pods, and who may talk to whom.

use crate::crd::{
    empty, or_empty,
    schema::{atomic_list, embedded, set},
};
use k8s_openapi::api::{
    core::v1::{PodSecurityContext, SecurityContext},
    networking::v1::NetworkPolicyEgressRule,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_with::skip_serializing_none;
use std::collections::BTreeMap;

/// A network of either family. Parsed again where it is used.
const CIDR: &str = r"^[0-9a-fA-F.:]+/[0-9]{1,3}$";

/// Rights and isolation of the pods.
#[skip_serializing_none]
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Security {
    /// Security context of the server's pods. Replaces the default as a whole: user and group 1000, not root, seccomp
    /// RuntimeDefault.
    #[serde(default)]
    #[schemars(schema_with = "embedded::<PodSecurityContext>")]
    pub pod_security_context: Option<Box<PodSecurityContext>>,
    /// Security context of the operator's containers in these pods. Replaces the default as a whole: no privilege
    /// escalation, no capabilities, read-only root file system.
    #[serde(default)]
    #[schemars(schema_with = "embedded::<SecurityContext>")]
    pub container_security_context: Option<Box<SecurityContext>>,
    /// Kept for old manifests. Volumes are labelled by the container runtime; set `podSecurityContext.seLinuxOptions`
    /// for a level.
    pub se_linux_relabel: Option<bool>,
    /// Who may talk to the server, and whom it may talk to.
    pub network_policy: Option<Box<SecurityNetworkPolicy>>,
    /// Service account of the pods.
    pub rbac: Option<Box<SecurityRbac>>,
}

/// NetworkPolicy of the server.
#[skip_serializing_none]
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct SecurityNetworkPolicy {
    /// Restrict the server's connections. In: from the same namespace, and from anywhere if there is a route. Out:
    /// DNS, port 443, and the services named in this Instance. Default true.
    pub enabled: Option<bool>,
    /// Networks that may also connect to the server.
    #[serde(rename = "allowIngressCIDRs")]
    #[serde(default, skip_serializing_if = "empty", deserialize_with = "or_empty")]
    #[schemars(length(max = 64), inner(length(max = 64), regex(pattern = CIDR)), transform = set)]
    pub allow_ingress_cidrs: Vec<String>,
    /// Networks that the server may also connect to, on all ports.
    #[serde(rename = "allowEgressCIDRs")]
    #[serde(default, skip_serializing_if = "empty", deserialize_with = "or_empty")]
    #[schemars(length(max = 64), inner(length(max = 64), regex(pattern = CIDR)), transform = set)]
    pub allow_egress_cidrs: Vec<String>,
    /// Further rules for outgoing connections, as in a NetworkPolicy.
    #[serde(default, skip_serializing_if = "empty", deserialize_with = "or_empty")]
    #[schemars(
        schema_with = "embedded::<Vec<NetworkPolicyEgressRule>>",
        length(max = 64),
        transform = atomic_list
    )]
    pub extra_egress: Vec<NetworkPolicyEgressRule>,
}

/// Service account of the pods.
#[skip_serializing_none]
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct SecurityRbac {
    /// Make a service account and the rights that sandboxes need. Default true.
    pub create: Option<bool>,
    /// Annotations of the service account, for example for IRSA or workload identity.
    #[serde(default, skip_serializing_if = "empty", deserialize_with = "or_empty")]
    pub service_account_annotations: BTreeMap<String, String>,
    /// Name of the service account. Default: the Instance's name, or `default` with `create: false`. One that exists
    /// already is used as it is.
    #[schemars(length(max = 253))]
    pub service_account_name: Option<String>,
}
