//! StatefulSet `N-db`: one pod with PostgreSQL.

use super::{owned, pod};
use crate::controllers::database::validate::{Managed, Validated};
use crate::shared::names::{Component, labels, selector};
use crate::shared::wish::{Malformed, Wish};
use k8s_openapi::api::apps::v1::{StatefulSet, StatefulSetSpec};
use k8s_openapi::api::core::v1::PodTemplateSpec;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{LabelSelector, ObjectMeta};

pub fn build(
    validated: &Validated,
    managed: &Managed,
    agent_image: &str,
) -> Result<Wish, Malformed> {
    let instance = validated.names.main();
    Wish::of(&StatefulSet {
        metadata: owned(validated, validated.names.database()),
        spec: StatefulSetSpec {
            replicas: Some(i32::from(!managed.suspended)),
            service_name: Some(validated.names.database()),
            selector: LabelSelector {
                match_labels: Some(selector(instance, Component::Database)),
                match_expressions: None,
            },
            // In order, a revision that does not start would block its own repair.
            pod_management_policy: Some(
                managed
                    .pod_management
                    .clone()
                    .unwrap_or_else(|| "Parallel".to_owned()),
            ),
            template: PodTemplateSpec {
                metadata: Some(ObjectMeta {
                    labels: Some(labels(instance, Component::Database)),
                    ..ObjectMeta::default()
                }),
                spec: Some(pod::build(validated, managed, agent_image)),
            },
            ..StatefulSetSpec::default()
        },
        ..StatefulSet::default()
    })
}
