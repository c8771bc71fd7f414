//! The server's Deployment: for servers that keep nothing in their pods. Its selector cannot be changed in the cluster, so it never
//! changes here. Pure.

use super::{Setting, owned, pod};
use crate::controllers::instance::validate::Validated;
use crate::shared::names::{self, Component};
use k8s_openapi::api::apps::v1::{
    Deployment, DeploymentSpec, DeploymentStrategy, RollingUpdateDeployment,
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;

/// So many pods. A new one is ready before an old one goes.
pub fn build(
    v: &Validated<'_>,
    s: &Setting<'_>,
    agent_image: &str,
    replicas: i32,
    config_hash: Option<&str>,
) -> Deployment {
    Deployment {
        metadata: owned(&v.id, v.id.names.main(), Component::Server),
        spec: DeploymentSpec {
            replicas: Some(replicas),
            selector: LabelSelector {
                match_labels: Some(names::selector(v.id.name, Component::Server)),
                ..LabelSelector::default()
            },
            strategy: Some(DeploymentStrategy {
                type_: Some("RollingUpdate".into()),
                rolling_update: Some(RollingUpdateDeployment {
                    max_surge: Some(IntOrString::Int(1)),
                    max_unavailable: Some(IntOrString::Int(0)),
                }),
            }),
            revision_history_limit: Some(10),
            progress_deadline_seconds: Some(600),
            template: pod::template(v, s, agent_image, config_hash),
            ..DeploymentSpec::default()
        },
        status: None,
    }
}
