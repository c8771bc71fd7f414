//! The server's Service. Pure.

use super::owned;
use crate::controllers::instance::validate::Validated;
use crate::crd::Words;
use crate::crd::instance::ServiceType;
use crate::shared::names::{self, Component};
use k8s_openapi::api::core::v1::{Service, ServicePort, ServiceSpec};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;

/// Name of the port, in the Service and in the pod.
pub const PORT: &str = "http";

/// `hold`: nobody outside of the cluster may come, until there is an admin. Leads to the port's name in the pod, so that it follows wherever the server listens.
pub fn build(v: &Validated<'_>, hold: bool) -> Service {
    let mut metadata = owned(&v.id, v.id.names.main(), Component::Server);
    if !v.network.annotations.is_empty() {
        metadata.annotations = Some(super::pod::text_map(&v.network.annotations));
    }
    Service {
        metadata,
        spec: Some(ServiceSpec {
            type_: Some(if hold {
                ServiceType::ClusterIp.as_str().into()
            } else {
                v.network.service_type.into()
            }),
            selector: Some(names::selector(v.id.name, Component::Server)),
            // Live events are told by the process that they happened in.
            session_affinity: Some(if v.scale.many { "ClientIP" } else { "None" }.into()),
            ports: Some(vec![ServicePort {
                name: Some(PORT.into()),
                port: v.network.port.into(),
                target_port: Some(IntOrString::String(PORT.into())),
                // Spelled out: the port's key in the cluster is number and protocol.
                protocol: Some("TCP".into()),
                ..ServicePort::default()
            }]),
            ..ServiceSpec::default()
        }),
        status: None,
    }
}
