//! The PodDisruptionBudget of the server's pods. Pure.

use super::owned;
use crate::controllers::instance::validate::Validated;
use crate::controllers::instance::validate::disruption::{Bound, Budget};
use crate::shared::names::{self, Component};
use k8s_openapi::api::policy::v1::{PodDisruptionBudget, PodDisruptionBudgetSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;

/// A pod that is not ready may always be taken away: it serves nobody, and would keep its node from being drained.
pub fn build(v: &Validated<'_>, budget: &Budget) -> PodDisruptionBudget {
    let (min_available, max_unavailable) = match budget.bound.clone() {
        Bound::MinAvailable(pods) => (Some(pods), None),
        Bound::MaxUnavailable(pods) => (None, Some(pods)),
    };
    PodDisruptionBudget {
        metadata: owned(&v.id, v.id.names.main(), Component::Server),
        spec: Some(PodDisruptionBudgetSpec {
            min_available,
            max_unavailable,
            selector: Some(LabelSelector {
                match_labels: Some(names::selector(v.id.name, Component::Server)),
                ..LabelSelector::default()
            }),
            unhealthy_pod_eviction_policy: Some("AlwaysAllow".into()),
        }),
        status: None,
    }
}
