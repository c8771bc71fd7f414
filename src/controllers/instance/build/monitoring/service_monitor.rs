//! The ServiceMonitor of an Instance: Prometheus asks the operator for the figures of this Instance alone. Never a pod of the server, which
//! would answer with the pages of its user interface. Pure.

use super::super::owned;
use crate::controllers::instance::validate::Validated;
use crate::shared::foreign::SERVICE_MONITOR;
use crate::shared::names::{self, Component};
use crate::shared::wish::{Malformed, Wish};
use serde_json::json;

/// Port of the operator's metrics Service.
const PORT: &str = "metrics";

/// `operator`: namespace of the operator and its metrics Service.
///
/// # Errors
/// See [`Wish::of_kind`].
pub fn build(v: &Validated<'_>, interval: &str, operator: &str) -> Result<Wish, Malformed> {
    let metadata = owned(&v.id, v.id.names.main(), Component::Server);
    let spec = json!({
        "namespaceSelector": {"matchNames": [operator]},
        "selector": {"matchLabels": {names::LABEL_NAME: names::MANAGED_BY}},
        "endpoints": [{
            "port": PORT, "interval": interval,
            "params": {"namespace": [v.id.namespace], "instance": [v.id.name]},
            // `namespace` and `instance` name the Instance; without this Prometheus would put the operator's own there.
            "honorLabels": true,
        }],
    });
    Wish::of_kind(&SERVICE_MONITOR, &metadata, &spec)
}
