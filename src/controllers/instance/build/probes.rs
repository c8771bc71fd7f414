//! The probes of the server container. Pure.

use super::service::PORT;
use crate::controllers::instance::validate::probes::Probe as Wanted;
use k8s_openapi::api::core::v1::{HTTPGetAction, HTTPHeader, Probe, TCPSocketAction};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;

/// One probe. By HTTP with a host name that the server knows in every mode: it answers 403 to any other.
pub fn build(wanted: Wanted) -> Probe {
    let port = IntOrString::String(PORT.into());
    let (http_get, tcp_socket) = if wanted.http {
        let get = HTTPGetAction {
            path: Some("/api/health".into()),
            port,
            http_headers: Some(vec![HTTPHeader {
                name: "Host".into(),
                value: "localhost".into(),
            }]),
            ..HTTPGetAction::default()
        };
        (Some(get), None)
    } else {
        (None, Some(TCPSocketAction { host: None, port }))
    };
    Probe {
        http_get,
        tcp_socket,
        // A delay of none is what the API server stores as nothing.
        initial_delay_seconds: (wanted.delay > 0).then_some(wanted.delay),
        period_seconds: Some(wanted.period),
        timeout_seconds: Some(wanted.timeout),
        failure_threshold: Some(wanted.failures),
        success_threshold: Some(wanted.successes),
        ..Probe::default()
    }
}
