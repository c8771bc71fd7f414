//! Objects for Prometheus and Grafana. All figures of an Instance come from the operator: the server has no metrics. Pure.

pub mod dashboards;
pub mod prometheus_rule;
pub mod service_monitor;

use super::owned;
use crate::controllers::instance::validate::Validated;
use crate::shared::names::Component;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use std::collections::BTreeMap;

/// Metadata with the user's labels beside ours.
fn labelled(v: &Validated<'_>, name: &str, labels: &BTreeMap<&str, &str>) -> ObjectMeta {
    let mut metadata = owned(&v.id, name, Component::Server);
    let ours = metadata.labels.get_or_insert_default();
    for (key, value) in labels {
        ours.entry((*key).to_owned())
            .or_insert_with(|| (*value).to_owned());
    }
    metadata
}

/// An expression with the labels of this Instance in the place of `@`. Both names are DNS labels: nothing in them needs quoting.
fn of_instance(v: &Validated<'_>, expression: &str) -> String {
    let labels = format!(
        "namespace=\"{}\",instance=\"{}\"",
        v.id.namespace, v.id.name
    );
    expression
        .replace("@NS", v.id.namespace)
        .replace("@N", v.id.name)
        .replace('@', &labels)
}
