//! The server's HTTPRoute: everything leads to the Service, and no request has a limit of time, because WebSockets stay open. Spelled out
//! as the API server stores it, defaults too, because its lists change hands as a whole. Pure.

use super::{owned, pod};
use crate::controllers::instance::validate::Validated;
use crate::controllers::instance::validate::routes::HttpRoute as Wanted;
use crate::shared::foreign::HTTP_ROUTE;
use crate::shared::names::Component;
use crate::shared::wish::{Malformed, Wish};
use serde_json::{Value, json};

/// With the user's annotations and no others.
///
/// # Errors
/// See [`Wish::of_kind`].
pub fn build(v: &Validated<'_>, wanted: &Wanted<'_>) -> Result<Wish, Malformed> {
    let mut metadata = owned(&v.id, v.id.names.main(), Component::Server);
    if !wanted.annotations.is_empty() {
        metadata.annotations = Some(pod::text_map(&wanted.annotations));
    }
    let parents: Vec<Value> = wanted
        .parents
        .iter()
        .map(|p| {
            json!({
                "group": HTTP_ROUTE.group, "kind": "Gateway", "name": p.name,
                "namespace": crate::crd::text(p.namespace.as_ref()),
                "sectionName": crate::crd::text(p.section_name.as_ref()),
            })
        })
        .collect();
    let spec = json!({
        "parentRefs": parents,
        "hostnames": wanted.hosts,
        "rules": [{
            "matches": [{"path": {"type": "PathPrefix", "value": "/"}}],
            "backendRefs": [{"group": "", "kind": "Service", "name": v.id.names.main(), "port": v.network.port, "weight": 1}],
        }],
    });
    Wish::of_kind(&HTTP_ROUTE, &metadata, &spec)
}
