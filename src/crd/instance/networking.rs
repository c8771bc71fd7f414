//! `spec.networking`: Service and routes.

use super::rules::{ROUTE_NEEDS_PARENT, TRUSTED_PROXY};
use crate::crd::{
    Word, empty, or_empty,
    schema::{ASCII, atomic_list, each, rule, set},
    word::words,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_with::skip_serializing_none;
use std::collections::BTreeMap;

words! {
    /// How the Service is published.
    ServiceType {
        /// Inside the cluster.
        ClusterIp = "ClusterIP",
        /// By a load balancer.
        LoadBalancer = "LoadBalancer",
        /// On a port of each node.
        NodePort = "NodePort",
    }
    /// When routes are opened.
    ExposurePolicy {
        /// At once.
        Immediate = "Immediate",
        /// When the first admin exists.
        AfterBootstrap = "AfterBootstrap",
    }
}

/// Service and routes.
#[skip_serializing_none]
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Networking {
    /// The Service of the server.
    pub service: Option<Box<NetworkingService>>,
    /// An Ingress to the server.
    pub ingress: Option<Box<NetworkingIngress>>,
    /// An HTTPRoute of the Gateway API to the server.
    pub http_route: Option<Box<NetworkingHttpRoute>>,
    /// `AfterBootstrap` opens routes when the first admin exists, so that nobody else can claim the installation.
    /// Default: `AfterBootstrap` if an admin is configured, else `Immediate`.
    pub exposure_policy: Option<Word<ExposurePolicy>>,
    /// Addresses and networks of the proxies whose forwarded client addresses the server believes. Default: none.
    #[serde(default, skip_serializing_if = "empty", deserialize_with = "or_empty")]
    #[schemars(
        length(max = 64),
        inner(length(max = 64)),
        transform = each(TRUSTED_PROXY),
        transform = set
    )]
    pub trusted_proxies: Vec<String>,
}

/// The Service of the server.
#[skip_serializing_none]
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct NetworkingService {
    /// Default `ClusterIP`.
    #[serde(rename = "type")]
    pub type_: Option<Word<ServiceType>>,
    /// Port of the Service. Default 3100. The server listens on it too if it is 1024 or higher.
    #[schemars(range(min = 1, max = 65535))]
    pub port: Option<i32>,
    /// Annotations of the Service.
    #[serde(default, skip_serializing_if = "empty", deserialize_with = "or_empty")]
    pub annotations: BTreeMap<String, String>,
}

/// An Ingress to the server.
#[skip_serializing_none]
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct NetworkingIngress {
    /// Make the Ingress. Default false.
    pub enabled: Option<bool>,
    /// IngressClass. Default: the cluster's default class.
    #[schemars(length(max = 253))]
    pub ingress_class_name: Option<String>,
    /// Host names. Default: the host of `deployment.publicURL`.
    #[serde(default, skip_serializing_if = "empty", deserialize_with = "or_empty")]
    #[schemars(length(max = 64), inner(length(max = 253)), transform = each(ASCII), transform = atomic_list)]
    pub hosts: Vec<String>,
    /// Certificates.
    #[serde(default, skip_serializing_if = "empty", deserialize_with = "or_empty")]
    #[schemars(length(max = 64), transform = atomic_list)]
    pub tls: Vec<NetworkingIngressTls>,
    /// Annotations of the Ingress. None are added by the operator.
    #[serde(default, skip_serializing_if = "empty", deserialize_with = "or_empty")]
    pub annotations: BTreeMap<String, String>,
}

/// A certificate of the Ingress.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("required" = ["hosts", "secretName"]))]
pub struct NetworkingIngressTls {
    /// Host names that it is for.
    #[serde(default, skip_serializing_if = "empty", deserialize_with = "or_empty")]
    #[schemars(length(max = 64), inner(length(max = 253)), transform = each(ASCII), transform = atomic_list)]
    pub hosts: Vec<String>,
    /// Secret of type `kubernetes.io/tls`.
    #[serde(default, skip_serializing_if = "empty", deserialize_with = "or_empty")]
    #[schemars(length(min = 1, max = 253))]
    pub secret_name: String,
}

/// An HTTPRoute to the server.
#[skip_serializing_none]
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(transform = rule(ROUTE_NEEDS_PARENT))]
pub struct NetworkingHttpRoute {
    /// Make the HTTPRoute. Default false.
    pub enabled: Option<bool>,
    /// Gateways to attach to. Required when enabled.
    #[serde(default, skip_serializing_if = "empty", deserialize_with = "or_empty")]
    #[schemars(length(max = 16), transform = atomic_list)]
    pub parent_refs: Vec<NetworkingHttpRouteParentRef>,
    /// Host names. Default: those of the Gateway.
    #[serde(default, skip_serializing_if = "empty", deserialize_with = "or_empty")]
    #[schemars(length(max = 64), inner(length(max = 253)), transform = each(ASCII), transform = atomic_list)]
    pub hostnames: Vec<String>,
    /// Annotations of the HTTPRoute.
    #[serde(default, skip_serializing_if = "empty", deserialize_with = "or_empty")]
    pub annotations: BTreeMap<String, String>,
}

/// A Gateway to attach to.
#[skip_serializing_none]
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("required" = ["name"]))]
pub struct NetworkingHttpRouteParentRef {
    /// Name of the Gateway.
    #[serde(default, skip_serializing_if = "empty", deserialize_with = "or_empty")]
    #[schemars(length(min = 1, max = 253))]
    pub name: String,
    /// Namespace of the Gateway. Default: the Instance's. The Gateway decides whom it lets attach.
    #[schemars(length(max = 63))]
    pub namespace: Option<String>,
    /// Listener of the Gateway. Default: all that fit.
    #[schemars(length(max = 253))]
    pub section_name: Option<String>,
}
