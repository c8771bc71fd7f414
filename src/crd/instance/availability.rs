//! `spec.availability`: how many server pods, where, and what may disturb them.

use super::rules::{ONE_DISRUPTION_BOUND, REPLICA_RANGE};
use crate::crd::{
    empty, or_empty,
    schema::{atomic_list, embedded, list_map, number_or_percent, rule, stored_default},
};
use k8s_openapi::{
    api::core::v1::{Affinity, Toleration, TopologySpreadConstraint},
    apimachinery::pkg::util::intstr::IntOrString,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;
use serde_with::skip_serializing_none;
use std::collections::BTreeMap;

/// Replicas and placement.
#[skip_serializing_none]
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Availability {
    /// Number of server pods, at least 1; to stop the server set `suspended`. Ignored while autoScaling is on. More
    /// than one wants an external or managed database, a `ReadWriteMany` volume and objectStorage.
    #[schemars(range(min = 1), transform = stored_default(json!(1)))]
    pub replicas: Option<i32>,
    /// Protects server pods when nodes are drained.
    pub pod_disruption_budget: Option<AvailabilityPodDisruptionBudget>,
    /// Changes the number of server pods by load.
    pub auto_scaling: Option<AvailabilityAutoScaling>,
    /// Labels that nodes must have; for the database and Jobs too.
    #[serde(default, skip_serializing_if = "empty", deserialize_with = "or_empty")]
    pub node_selector: BTreeMap<String, String>,
    /// Taints that pods bear; for the database and Jobs too.
    #[serde(default, skip_serializing_if = "empty", deserialize_with = "or_empty")]
    #[schemars(schema_with = "embedded::<Vec<Toleration>>", length(max = 64), transform = atomic_list)]
    pub tolerations: Vec<Toleration>,
    /// Affinity of server pods.
    #[serde(default)]
    #[schemars(schema_with = "embedded::<Affinity>")]
    pub affinity: Option<Box<Affinity>>,
    /// Spreading of server pods. An entry without a labelSelector means the server pods.
    #[serde(default, skip_serializing_if = "empty", deserialize_with = "or_empty")]
    #[schemars(
        schema_with = "embedded::<Vec<TopologySpreadConstraint>>",
        length(max = 16),
        transform = list_map(&["topologyKey", "whenUnsatisfiable"])
    )]
    pub topology_spread_constraints: Vec<TopologySpreadConstraint>,
    /// PriorityClass of server pods.
    #[schemars(length(max = 253))]
    pub priority_class_name: Option<String>,
    /// Seconds that a server pod gets to end; an idle one needs 2. Default 1800.
    #[schemars(range(min = 0, max = 86400))]
    pub termination_grace_period_seconds: Option<i64>,
    /// Pause before a server pod is told to end, so that no new request reaches it.
    pub server_drain: Option<AvailabilityServerDrain>,
}

/// A PodDisruptionBudget for server pods.
#[skip_serializing_none]
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(transform = rule(ONE_DISRUPTION_BOUND))]
pub struct AvailabilityPodDisruptionBudget {
    /// Make it. Default false.
    pub enabled: Option<bool>,
    /// Pods that must stay, a number or a percentage.
    #[schemars(transform = number_or_percent)]
    pub min_available: Option<IntOrString>,
    /// Pods that may go, a number or a percentage. Default 1, if minAvailable is not set either.
    #[schemars(transform = number_or_percent)]
    pub max_unavailable: Option<IntOrString>,
}

/// A HorizontalPodAutoscaler for server pods.
#[skip_serializing_none]
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(transform = rule(REPLICA_RANGE))]
pub struct AvailabilityAutoScaling {
    /// Make it. Default false.
    pub enabled: Option<bool>,
    /// Default 1.
    #[schemars(range(min = 1))]
    pub min_replicas: Option<i32>,
    /// Default 3.
    #[schemars(range(min = 1))]
    pub max_replicas: Option<i32>,
    /// Wanted CPU use in percent of the request. Default 80.
    #[serde(rename = "targetCPUUtilizationPercentage")]
    #[schemars(range(min = 1, max = 1000))]
    pub target_cpu_utilization_percentage: Option<i32>,
    /// Wanted memory use in percent of the request. Default: memory is not looked at.
    #[schemars(range(min = 1, max = 100))]
    pub target_memory_utilization_percentage: Option<i32>,
}

/// Pause before a server pod is told to end.
#[skip_serializing_none]
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct AvailabilityServerDrain {
    /// Default true.
    pub enabled: Option<bool>,
    /// Seconds, less than the grace period. Default 15; 0 means none.
    #[schemars(range(min = 0))]
    pub timeout_seconds: Option<i64>,
}
