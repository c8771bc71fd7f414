//! NetworkPolicy `N-db`: the parts of this installation may connect, nobody else; PostgreSQL itself goes nowhere.

use super::owned;
use crate::controllers::database::login::PORT;
use crate::controllers::database::validate::Validated;
use crate::shared::names::{
    Component, LABEL_COMPONENT, LABEL_INSTANCE, LABEL_NAME, Labels, selector,
};
use crate::shared::wish::{Malformed, Wish};
use k8s_openapi::api::networking::v1::{
    NetworkPolicy, NetworkPolicyIngressRule, NetworkPolicyPeer, NetworkPolicyPort,
    NetworkPolicySpec,
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{LabelSelector, LabelSelectorRequirement};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;

const CLIENTS: [Component; 5] = [
    Component::Server,
    Component::Backup,
    Component::Restore,
    Component::Migration,
    Component::Bootstrap,
];

pub fn build(validated: &Validated) -> Result<Wish, Malformed> {
    let instance = validated.names.main();
    let clients = LabelSelector {
        match_labels: Some(Labels::from([
            (LABEL_NAME.to_owned(), "paperclip".to_owned()),
            (LABEL_INSTANCE.to_owned(), instance.to_owned()),
        ])),
        match_expressions: Some(vec![LabelSelectorRequirement {
            key: LABEL_COMPONENT.to_owned(),
            operator: "In".to_owned(),
            values: Some(CLIENTS.map(|c| c.as_str().to_owned()).to_vec()),
        }]),
    };
    Wish::of(&NetworkPolicy {
        metadata: owned(validated, validated.names.database()),
        spec: Some(NetworkPolicySpec {
            pod_selector: Some(LabelSelector {
                match_labels: Some(selector(instance, Component::Database)),
                match_expressions: None,
            }),
            policy_types: Some(vec!["Ingress".to_owned(), "Egress".to_owned()]),
            ingress: Some(vec![NetworkPolicyIngressRule {
                from: Some(vec![NetworkPolicyPeer {
                    pod_selector: Some(clients),
                    ..NetworkPolicyPeer::default()
                }]),
                ports: Some(vec![NetworkPolicyPort {
                    port: Some(IntOrString::Int(i32::from(PORT))),
                    protocol: Some("TCP".to_owned()),
                    end_port: None,
                }]),
            }]),
            egress: None,
        }),
    })
}
