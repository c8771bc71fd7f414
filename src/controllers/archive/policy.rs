//! NetworkPolicy of the pods that work with a database and a bucket: names, those two, and nobody may come in. Pure.

use super::destination::Destination;
use crate::crd::Instance;
use crate::crd::database::DatabaseEngine;
use crate::shared::endpoint::Endpoint;
use crate::shared::names::{Component, selector};
use crate::shared::wish::{Malformed, Wish};
use k8s_openapi::api::networking::v1::{
    IPBlock, NetworkPolicy, NetworkPolicyEgressRule, NetworkPolicyPeer, NetworkPolicyPort,
    NetworkPolicySpec,
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{LabelSelector, ObjectMeta};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;

const POSTGRES: u16 = 5432;
const NAMESPACE_LABEL: &str = "kubernetes.io/metadata.name";

/// Whose pods, and where they go.
#[derive(Debug)]
pub struct Ways<'a> {
    /// Their namespace.
    pub namespace: &'a str,
    /// Value of the instance label.
    pub installation: &'a str,
    /// Value of the component label.
    pub component: Component,
    /// The bucket.
    pub destination: &'a Destination,
    /// Who runs the database.
    pub engine: DatabaseEngine,
    /// DNS domain of the cluster.
    pub domain: &'a str,
}

/// Whether connections of an Instance's pods are restricted, which they are unless it says otherwise.
pub fn is_wanted(instance: Option<&Instance>) -> bool {
    instance
        .and_then(|i| i.spec.security.as_ref()?.network_policy.as_ref()?.enabled)
        .unwrap_or(true)
}

/// Builds it.
///
/// # Errors
/// [`Malformed`], which is a fault of ours.
pub fn build(metadata: ObjectMeta, v: &Ways<'_>) -> Result<Wish, Malformed> {
    let mut egress = vec![rule(None, Some(vec![port("UDP", 53), port("TCP", 53)]))];
    egress.push(database(v));
    // The bucket's, or that of whoever gives out keys.
    egress.push(rule(None, Some(vec![port("TCP", 443)])));
    let endpoint = v.destination.endpoint.as_deref();
    egress.extend(
        endpoint
            .and_then(|url| Endpoint::of(url, 443))
            .and_then(|endpoint| bucket(v, &endpoint)),
    );
    Wish::of(&NetworkPolicy {
        metadata,
        spec: Some(NetworkPolicySpec {
            pod_selector: Some(LabelSelector {
                match_labels: Some(selector(v.installation, v.component)),
                match_expressions: None,
            }),
            policy_types: Some(vec!["Ingress".into(), "Egress".into()]),
            ingress: None,
            egress: Some(egress),
        }),
    })
}

fn database(v: &Ways<'_>) -> NetworkPolicyEgressRule {
    let pods = |labels| NetworkPolicyPeer {
        pod_selector: Some(LabelSelector {
            match_labels: Some(labels),
            match_expressions: None,
        }),
        ..NetworkPolicyPeer::default()
    };
    let postgres = Some(vec![port("TCP", POSTGRES)]);
    match v.engine {
        DatabaseEngine::Managed => rule(
            Some(vec![pods(selector(v.installation, Component::Database))]),
            postgres,
        ),
        DatabaseEngine::CloudNativePg => rule(
            Some(vec![pods(
                [("cnpg.io/cluster".to_owned(), v.installation.to_owned())].into(),
            )]),
            postgres,
        ),
        // Its address stands in a Secret that this step does not see, perhaps with another port.
        DatabaseEngine::External => rule(None, None),
    }
}

/// The way to an endpoint that the rule for 443 does not open.
fn bucket(v: &Ways<'_>, endpoint: &Endpoint) -> Option<NetworkPolicyEgressRule> {
    let ports = || Some(vec![port("TCP", endpoint.port)]);
    if let Ok(address) = endpoint.host.parse::<std::net::IpAddr>() {
        let bits = if address.is_ipv4() { 32 } else { 128 };
        let block = NetworkPolicyPeer {
            ip_block: Some(IPBlock {
                cidr: format!("{address}/{bits}"),
                except: None,
            }),
            ..NetworkPolicyPeer::default()
        };
        return Some(rule(Some(vec![block]), ports()));
    }
    let Some((namespace, _)) = endpoint.service(v.namespace, v.domain) else {
        return (endpoint.port != 443).then(|| rule(None, ports()));
    };
    // Policies see the pod's own port, which the Service may translate: every port of that namespace's pods.
    let pods = NetworkPolicyPeer {
        namespace_selector: (namespace != v.namespace).then(|| LabelSelector {
            match_labels: Some([(NAMESPACE_LABEL.to_owned(), namespace.to_owned())].into()),
            match_expressions: None,
        }),
        pod_selector: (namespace == v.namespace).then(LabelSelector::default),
        ip_block: None,
    };
    Some(rule(Some(vec![pods]), None))
}

fn rule(
    to: Option<Vec<NetworkPolicyPeer>>,
    ports: Option<Vec<NetworkPolicyPort>>,
) -> NetworkPolicyEgressRule {
    NetworkPolicyEgressRule { to, ports }
}

fn port(protocol: &str, number: u16) -> NetworkPolicyPort {
    NetworkPolicyPort {
        port: Some(IntOrString::Int(i32::from(number))),
        protocol: Some(protocol.to_owned()),
        end_port: None,
    }
}
