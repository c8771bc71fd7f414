//! Kinds of others that a cluster may have: their names, and what we read of them. We have no types for them, so what we write is spelled
//! out as their API servers store it.

use super::views::Projection;
use super::wish::Kind;
use serde::Deserialize;

/// A route of the Gateway API.
pub static HTTP_ROUTE: Kind =
    Kind::named("gateway.networking.k8s.io", "v1", "HTTPRoute", "httproutes");

/// What Prometheus collects, of the Prometheus operator.
pub static SERVICE_MONITOR: Kind = Kind::named(
    "monitoring.coreos.com",
    "v1",
    "ServiceMonitor",
    "servicemonitors",
);
/// Alerts, of the Prometheus operator.
pub static PROMETHEUS_RULE: Kind = Kind::named(
    "monitoring.coreos.com",
    "v1",
    "PrometheusRule",
    "prometheusrules",
);

/// An HTTPRoute.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct HttpRoute {
    /// For its generation.
    pub metadata: super::views::Generation,
    /// What the Gateways say.
    pub status: HttpRouteStatus,
}
impl Projection for HttpRoute {}

/// What the Gateways say of an HTTPRoute.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct HttpRouteStatus {
    /// One for each Gateway and each controller that feels responsible.
    pub parents: Vec<HttpRouteParent>,
}

/// What one Gateway says.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct HttpRouteParent {
    /// Which.
    pub parent_ref: ParentRef,
    /// What.
    pub conditions: Vec<ParentCondition>,
}

/// Which Gateway.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct ParentRef {
    /// Name.
    pub name: Box<str>,
    /// Namespace; the route's, if absent.
    pub namespace: Option<Box<str>>,
    /// Listener; all, if absent.
    pub section_name: Option<Box<str>>,
}

/// A condition, without its times.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct ParentCondition {
    /// `Accepted`, `ResolvedRefs`, …
    #[serde(rename = "type")]
    pub kind: Box<str>,
    /// `True`, …
    pub status: Box<str>,
    /// Why.
    pub reason: Box<str>,
    /// Which generation it is about.
    pub observed_generation: i64,
}

impl HttpRouteParent {
    /// A condition, if it is about this generation.
    pub fn condition(&self, kind: &str, generation: i64) -> Option<&ParentCondition> {
        let found = self.conditions.iter().find(|c| &*c.kind == kind);
        found.filter(|c| c.observed_generation >= generation)
    }
}
