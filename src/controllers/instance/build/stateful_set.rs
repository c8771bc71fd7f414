//! The server's StatefulSet. Selector, service name and pod management cannot be changed in the cluster, so they never change here. Pure.

use super::{Setting, owned, pod};
use crate::controllers::instance::validate::Validated;
use crate::shared::names::{self, Component};
use k8s_openapi::api::apps::v1::{StatefulSet, StatefulSetSpec, StatefulSetUpdateStrategy};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;

/// So many pods.
pub fn build(
    v: &Validated<'_>,
    s: &Setting<'_>,
    agent_image: &str,
    replicas: i32,
    config_hash: Option<&str>,
) -> StatefulSet {
    StatefulSet {
        metadata: owned(&v.id, v.id.names.main(), Component::Server),
        spec: StatefulSetSpec {
            replicas: Some(replicas),
            service_name: Some(v.id.names.main().into()),
            selector: LabelSelector {
                match_labels: Some(names::selector(v.id.name, Component::Server)),
                ..LabelSelector::default()
            },
            // In order, a revision that does not start would block its own repair.
            pod_management_policy: Some(s.pod_management.unwrap_or("Parallel").into()),
            update_strategy: Some(StatefulSetUpdateStrategy {
                type_: Some("RollingUpdate".into()),
                rolling_update: None,
            }),
            revision_history_limit: Some(10),
            template: pod::template(v, s, agent_image, config_hash),
            ..StatefulSetSpec::default()
        },
        status: None,
    }
}
