//! The conditions of the objects that an Instance may ask for. One whose feature is switched off has no condition; while the spec cannot
//! be applied, what exists is told as it is. Pure.

use super::Scene;
use super::parts::{Part, REFERENCE, absent, refused};
use crate::controllers::instance::apply::Part as Object;
use crate::controllers::instance::exposure::{Exposure, Way};
use crate::shared::conditions::{find, list, quote};
use serde_json::Value;
use std::time::Duration;

/// What keeps a way from outside closed.
fn closed(
    scene: &Scene<'_>,
    kind: &'static str,
    of: fn(&Exposure) -> Option<&Way>,
) -> Option<Part> {
    match of(scene.exposure?)? {
        Way::Open => None,
        Way::Bootstrap => Some(Part::waits(
            kind,
            "WaitingForBootstrap",
            "opened when the first admin exists; see spec.networking.exposurePolicy",
        )),
        Way::Conflict(why) => Some(Part::stalls(kind, "HostConflict", why, Duration::ZERO)),
    }
}

/// Host names that belong to another Instance: the path of the route, and whose they are. The rest of the spec is applied.
pub fn taken_hosts<'a>(scene: &Scene<'a>) -> Vec<(&'static str, &'a str)> {
    let ways = scene.exposure.into_iter().flat_map(|e| {
        [
            ("networking.ingress", e.ingress.as_ref()),
            ("networking.httpRoute", e.http_route.as_ref()),
        ]
    });
    ways.filter_map(|(path, way)| match way? {
        Way::Conflict(why) => Some((path, why.as_str())),
        _ => None,
    })
    .collect()
}

/// The Ingress.
pub fn ingress(scene: &Scene<'_>) -> Option<Part> {
    const KIND: &str = "IngressReady";
    let v = scene.verdict.validated.as_ref();
    let wanted = v.and_then(|v| v.routes.ingress.as_ref());
    let seen = scene.observed.ingress.as_ref();
    if v.is_some() && wanted.is_none() || seen.is_none() && wanted.is_none() {
        return None;
    }
    let problem = closed(scene, KIND, |e| e.ingress.as_ref())
        .or_else(|| refused(scene, KIND, Object::Ingress));
    if problem.is_some() {
        return problem;
    }
    let Some(seen) = seen else {
        return Some(absent(KIND, "Ingress", scene.name()));
    };
    if let Some(class) = wanted.and_then(|w| w.class)
        && lacks_class(scene, KIND)
    {
        return Some(Part::stalls(
            KIND,
            "IngressClassNotFound",
            format!(
                "spec.networking.ingress.ingressClassName: IngressClass \"{}\" not found",
                quote(class)
            ),
            REFERENCE,
        ));
    }
    let told = |value: &Value| {
        let text = value["hostname"].as_str().or(value["ip"].as_str());
        text.map(quote)
    };
    let addresses: Vec<String> = seen
        .view
        .status
        .load_balancer
        .ingress
        .iter()
        .filter_map(told)
        .collect();
    let address = if addresses.is_empty() {
        "none published yet".to_owned()
    } else {
        list(&addresses)
    };
    let hosts = wanted.map(|w| format!("hosts: {}; ", list(&w.hosts)));
    Some(Part::well(
        KIND,
        "IngressProvisioned",
        format!("{}address: {address}", hosts.unwrap_or_default()),
    ))
}

/// The class was looked for and not found; what was seen last stands while nobody looks.
fn lacks_class(scene: &Scene<'_>, kind: &str) -> bool {
    let last = || {
        let conditions = &scene.before()?.conditions;
        find(conditions, kind).map(|c| c.reason == "IngressClassNotFound")
    };
    scene
        .outside
        .ingress_class
        .map_or_else(|| last().unwrap_or(false), |there| !there)
}

/// The PodDisruptionBudget.
pub fn budget(scene: &Scene<'_>) -> Option<Part> {
    const KIND: &str = "PDBReady";
    let v = scene.verdict.validated.as_ref();
    let wanted = v.and_then(|v| v.budget.as_ref());
    let seen = scene.observed.budget.as_ref();
    if v.is_some() && wanted.is_none() || seen.is_none() && wanted.is_none() {
        return None;
    }
    if let Some(part) = refused(scene, KIND, Object::Budget) {
        return Some(part);
    }
    let Some(seen) = seen else {
        return Some(absent(KIND, "PodDisruptionBudget", scene.name()));
    };
    let name = &seen.key.name;
    let message = match wanted.and_then(|w| w.blocks.as_ref()) {
        Some(why) => format!("PDB \"{name}\": {why}"),
        None => format!("PDB \"{name}\" is there"),
    };
    Some(Part::well(KIND, "PDBProvisioned", message))
}
