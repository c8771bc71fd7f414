//! The HorizontalPodAutoscaler of the server. Spelled out as the API server stores it, because its lists change hands as a whole. Pure.

use super::owned;
use crate::controllers::instance::validate::Validated;
use crate::controllers::instance::validate::scaling::Scaling;
use crate::controllers::instance::workload::WorkloadKind;
use crate::shared::names::Component;
use k8s_openapi::api::autoscaling::v2::{
    CrossVersionObjectReference, HorizontalPodAutoscaler, HorizontalPodAutoscalerSpec, MetricSpec,
    MetricTarget, ResourceMetricSource,
};

/// Of the workload of this kind.
pub fn build(
    v: &Validated<'_>,
    scaling: &Scaling,
    workload: WorkloadKind,
) -> HorizontalPodAutoscaler {
    let metric = |name: &str, percent: i32| MetricSpec {
        type_: "Resource".into(),
        resource: Some(ResourceMetricSource {
            name: name.into(),
            target: MetricTarget {
                type_: "Utilization".into(),
                average_utilization: Some(percent),
                ..MetricTarget::default()
            },
        }),
        ..MetricSpec::default()
    };
    let mut metrics = vec![metric("cpu", scaling.cpu)];
    metrics.extend(scaling.memory.map(|percent| metric("memory", percent)));
    HorizontalPodAutoscaler {
        metadata: owned(&v.id, v.id.names.main(), Component::Server),
        spec: HorizontalPodAutoscalerSpec {
            scale_target_ref: CrossVersionObjectReference {
                api_version: Some("apps/v1".into()),
                kind: workload.name().into(),
                name: v.id.names.main().into(),
            },
            min_replicas: Some(scaling.min),
            max_replicas: scaling.max,
            metrics: Some(metrics),
            behavior: None,
        },
        status: None,
    }
}
