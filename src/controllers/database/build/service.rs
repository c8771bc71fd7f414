//! Service `N-db`: the address of PostgreSQL.

use super::owned;
use crate::controllers::database::login::PORT;
use crate::controllers::database::validate::Validated;
use crate::shared::names::{Component, selector};
use crate::shared::wish::{Malformed, Wish};
use k8s_openapi::api::core::v1::{Service, ServicePort, ServiceSpec};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;

pub fn build(validated: &Validated) -> Result<Wish, Malformed> {
    Wish::of(&Service {
        metadata: owned(validated, validated.names.database()),
        spec: Some(ServiceSpec {
            selector: Some(selector(validated.names.main(), Component::Database)),
            ports: Some(vec![ServicePort {
                name: Some("postgres".to_owned()),
                port: i32::from(PORT),
                target_port: Some(IntOrString::Int(i32::from(PORT))),
                protocol: Some("TCP".to_owned()),
                ..ServicePort::default()
            }]),
            ..ServiceSpec::default()
        }),
        ..Service::default()
    })
}
