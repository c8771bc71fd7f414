//! Who may talk to the server and its Jobs, and whom they may talk to. What is not listed is denied, in both directions. Ports are those
//! of pods. Everything is spelled out as the API server stores it, because these lists change hands as a whole. Pure.

use super::{Setting, owned};
use crate::controllers::instance::found::Target;
use crate::controllers::instance::scheduler::STATUS_PORT;
use crate::controllers::instance::validate::Validated;
use crate::controllers::instance::validate::database::{Database, External};
use crate::shared::endpoint::Endpoint;
use crate::shared::names::{self, Component};
use k8s_openapi::api::networking::v1::{
    IPBlock, NetworkPolicy, NetworkPolicyEgressRule, NetworkPolicyIngressRule, NetworkPolicyPeer,
    NetworkPolicyPort, NetworkPolicySpec,
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{LabelSelector, LabelSelectorRequirement};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;

const POSTGRES: u16 = 5432;
const NAMESPACE_LABEL: &str = "kubernetes.io/metadata.name";

/// Of the server's pods; `None`: connections are not restricted.
pub fn server(v: &Validated<'_>, s: &Setting<'_>) -> Option<NetworkPolicy> {
    let policy = v.network.policy.as_ref()?;
    let listen = || Some(vec![tcp(v.network.listen)]);
    let mut ingress = vec![from(vec![pods_here()], listen())];
    if let Some(namespace) = s.operator_namespace {
        let operator = NetworkPolicyPeer {
            namespace_selector: Some(labelled([(NAMESPACE_LABEL, namespace)])),
            pod_selector: Some(labelled([(names::LABEL_NAME, names::MANAGED_BY)])),
            ip_block: None,
        };
        let mut ports = vec![tcp(v.network.listen)];
        ports.extend(v.scale.gated.then(|| tcp(STATUS_PORT)));
        ingress.push(from(vec![operator], Some(ports)));
    }
    if !policy.from.is_empty() {
        ingress.push(from(blocks(&policy.from), listen()));
    }
    if s.is_published(v) {
        ingress.push(NetworkPolicyIngressRule {
            from: None,
            ports: listen(),
        });
    }
    let mut egress = vec![dns(), anywhere(443)];
    egress.extend(database(v));
    let endpoints = [
        v.bucket.and_then(|b| b.endpoint),
        v.keys.aws.and_then(|a| a.endpoint),
        v.environment.otlp.map(|o| o.endpoint),
    ];
    for url in endpoints.into_iter().flatten() {
        if let Some(endpoint) = Endpoint::of(url, 443) {
            egress.extend(towards(v, &endpoint));
        }
    }
    if s.tailscale(v).is_some() {
        egress.push(NetworkPolicyEgressRule {
            to: None,
            ports: Some(vec![protocol("UDP", 3478), protocol("UDP", 41641)]),
        });
    }
    if !policy.to.is_empty() {
        egress.push(NetworkPolicyEgressRule {
            to: Some(blocks(&policy.to)),
            ports: None,
        });
    }
    egress.extend(policy.extra.iter().map(spelled_out));
    egress.dedup();
    Some(build(
        v,
        v.id.names.main(),
        Component::Server,
        labelled_owned(names::selector(v.id.name, Component::Server)),
        ingress,
        egress,
    ))
}

/// Of the pods of migrations and of the first admin: nobody may talk to them, and they talk to the database alone.
pub fn jobs(v: &Validated<'_>) -> Option<NetworkPolicy> {
    v.network.policy.as_ref()?;
    let mut egress = vec![dns()];
    egress.extend(database(v));
    let selector = LabelSelector {
        match_labels: Some(
            [
                (names::LABEL_NAME.to_owned(), "paperclip".to_owned()),
                (names::LABEL_INSTANCE.to_owned(), v.id.name.to_owned()),
            ]
            .into(),
        ),
        match_expressions: Some(vec![LabelSelectorRequirement {
            key: names::LABEL_COMPONENT.into(),
            operator: "In".into(),
            values: Some(vec![
                Component::Migration.as_str().into(),
                Component::Bootstrap.as_str().into(),
            ]),
        }]),
    };
    Some(build(
        v,
        &v.id.names.jobs(),
        Component::Migration,
        selector,
        vec![],
        egress,
    ))
}

fn build(
    v: &Validated<'_>,
    name: &str,
    component: Component,
    selector: LabelSelector,
    ingress: Vec<NetworkPolicyIngressRule>,
    egress: Vec<NetworkPolicyEgressRule>,
) -> NetworkPolicy {
    NetworkPolicy {
        metadata: owned(&v.id, name, component),
        spec: Some(NetworkPolicySpec {
            pod_selector: Some(selector),
            policy_types: Some(vec!["Ingress".into(), "Egress".into()]),
            ingress: (!ingress.is_empty()).then_some(ingress),
            egress: Some(egress),
        }),
    }
}

/// The way to the database.
fn database(v: &Validated<'_>) -> Vec<NetworkPolicyEgressRule> {
    match v.database {
        Database::Embedded => vec![],
        Database::Managed { options, .. } => {
            let cluster = options
                .and_then(|o| o.engine.as_ref())
                .is_some_and(|e| *e == crate::crd::shared::ManagedEngine::CloudNativePg);
            let pods = if cluster {
                labelled([("cnpg.io/cluster", v.id.names.main())])
            } else {
                labelled_owned(names::selector(v.id.name, Component::Database))
            };
            vec![to(
                vec![NetworkPolicyPeer {
                    pod_selector: Some(pods),
                    ..NetworkPolicyPeer::default()
                }],
                Some(vec![tcp(POSTGRES)]),
            )]
        }
        Database::External(external) => {
            let endpoint = match external {
                External::Secret(_) => v.learned.database.clone(),
                External::Literal(url) => Endpoint::of(url.reveal(), POSTGRES),
            };
            endpoint.map(|e| towards(v, &e)).unwrap_or_default()
        }
    }
}

/// The way to where a URL leads.
fn towards(v: &Validated<'_>, endpoint: &Endpoint) -> Vec<NetworkPolicyEgressRule> {
    if endpoint.is_loopback() {
        return vec![];
    }
    if let Ok(address) = endpoint.host.parse::<std::net::IpAddr>() {
        let bits = if address.is_ipv4() { 32 } else { 128 };
        return vec![to(
            blocks(&[format!("{address}/{bits}")]),
            Some(vec![tcp(endpoint.port)]),
        )];
    }
    let Some((namespace, name)) = endpoint.service(v.id.namespace, v.id.domain) else {
        // The rule for 443 is there already.
        return if endpoint.port == 443 {
            vec![]
        } else {
            vec![anywhere(endpoint.port)]
        };
    };
    // Policies are checked before or after the Service's port was translated: both numbers must pass.
    let key = (namespace.to_owned(), name.to_owned(), endpoint.port);
    let ports = match v.learned.targets.get(&key) {
        Some(Target::Named) => None,
        Some(Target::Port(port)) if *port != endpoint.port => {
            Some(vec![tcp(endpoint.port), tcp(*port)])
        }
        _ => Some(vec![tcp(endpoint.port)]),
    };
    let pods = if namespace == v.id.namespace {
        pods_here()
    } else {
        NetworkPolicyPeer {
            namespace_selector: Some(labelled([(NAMESPACE_LABEL, namespace)])),
            ..NetworkPolicyPeer::default()
        }
    };
    vec![to(vec![pods], ports)]
}

fn tcp(port: u16) -> NetworkPolicyPort {
    protocol("TCP", port)
}

fn protocol(protocol: &str, port: u16) -> NetworkPolicyPort {
    NetworkPolicyPort {
        port: Some(IntOrString::Int(port.into())),
        protocol: Some(protocol.into()),
        end_port: None,
    }
}

fn dns() -> NetworkPolicyEgressRule {
    NetworkPolicyEgressRule {
        to: None,
        ports: Some(vec![protocol("UDP", 53), protocol("TCP", 53)]),
    }
}

fn anywhere(port: u16) -> NetworkPolicyEgressRule {
    NetworkPolicyEgressRule {
        to: None,
        ports: Some(vec![tcp(port)]),
    }
}

fn from(
    peers: Vec<NetworkPolicyPeer>,
    ports: Option<Vec<NetworkPolicyPort>>,
) -> NetworkPolicyIngressRule {
    NetworkPolicyIngressRule {
        from: Some(peers),
        ports,
    }
}

fn to(
    peers: Vec<NetworkPolicyPeer>,
    ports: Option<Vec<NetworkPolicyPort>>,
) -> NetworkPolicyEgressRule {
    NetworkPolicyEgressRule {
        to: Some(peers),
        ports,
    }
}

fn pods_here() -> NetworkPolicyPeer {
    NetworkPolicyPeer {
        pod_selector: Some(LabelSelector::default()),
        ..NetworkPolicyPeer::default()
    }
}

fn blocks(networks: &[String]) -> Vec<NetworkPolicyPeer> {
    networks
        .iter()
        .map(|cidr| NetworkPolicyPeer {
            ip_block: Some(IPBlock {
                cidr: cidr.clone(),
                except: None,
            }),
            ..NetworkPolicyPeer::default()
        })
        .collect()
}

fn labelled<const N: usize>(labels: [(&str, &str); N]) -> LabelSelector {
    labelled_owned(
        labels
            .map(|(k, v)| (k.to_owned(), v.to_owned()))
            .into_iter()
            .collect(),
    )
}

fn labelled_owned(labels: names::Labels) -> LabelSelector {
    LabelSelector {
        match_labels: Some(labels),
        ..LabelSelector::default()
    }
}

/// The user's rule with the protocol that the API server would fill in.
fn spelled_out(rule: &NetworkPolicyEgressRule) -> NetworkPolicyEgressRule {
    let mut rule = rule.clone();
    for port in rule.ports.iter_mut().flatten() {
        port.protocol.get_or_insert_with(|| "TCP".into());
    }
    rule
}
