//! The server's Ingress: every host leads to the Service. Spelled out as the API server stores it, because these lists change hands as a
//! whole. Pure.

use super::{owned, pod};
use crate::controllers::instance::validate::Validated;
use crate::controllers::instance::validate::routes::Ingress as Wanted;
use crate::shared::names::Component;
use k8s_openapi::api::networking::v1::{
    HTTPIngressPath, HTTPIngressRuleValue, Ingress, IngressBackend, IngressRule,
    IngressServiceBackend, IngressSpec, IngressTLS, ServiceBackendPort,
};

/// With the user's annotations and no others.
pub fn build(v: &Validated<'_>, wanted: &Wanted<'_>) -> Ingress {
    let mut metadata = owned(&v.id, v.id.names.main(), Component::Server);
    if !wanted.annotations.is_empty() {
        metadata.annotations = Some(pod::text_map(&wanted.annotations));
    }
    let path = || HTTPIngressPath {
        path: Some("/".into()),
        path_type: "Prefix".into(),
        backend: IngressBackend {
            service: Some(IngressServiceBackend {
                name: v.id.names.main().into(),
                port: Some(ServiceBackendPort {
                    number: Some(v.network.port.into()),
                    name: None,
                }),
            }),
            resource: None,
        },
    };
    let rule = |host: &String| IngressRule {
        host: Some(host.clone()),
        http: Some(HTTPIngressRuleValue {
            paths: vec![path()],
        }),
    };
    let tls: Vec<_> = wanted
        .tls
        .iter()
        .map(|t| IngressTLS {
            hosts: (!t.hosts.is_empty()).then(|| t.hosts.clone()),
            secret_name: Some(t.secret_name.clone()),
        })
        .collect();
    Ingress {
        metadata,
        spec: Some(IngressSpec {
            ingress_class_name: wanted.class.map(str::to_owned),
            rules: Some(wanted.hosts.iter().map(rule).collect()),
            tls: (!tls.is_empty()).then_some(tls),
            default_backend: None,
        }),
        status: None,
    }
}
