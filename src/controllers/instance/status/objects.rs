//! The conditions of the objects that an Instance may ask for. One whose feature is switched off has no condition; while the spec cannot
//! be applied, what exists is told as it is. Pure.

use super::Scene;
use super::parts::{Class, Part, REFERENCE, absent, refused};
use crate::controllers::instance::applied::Part as Object;
use crate::controllers::instance::exposure::{Exposure, Way};
use crate::crd::instance::NetworkingHttpRouteParentRef;
use crate::crd::text;
use crate::shared::cache::Seen;
use crate::shared::conditions::{find, list, quote};
use crate::shared::foreign::{HTTP_ROUTE, HttpRoute, PROMETHEUS_RULE, SERVICE_MONITOR};
use crate::shared::serving::Answer;
use crate::shared::wish::Kind;
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

/// An optional kind cannot be used: nobody installed it, we may not look, or nobody has said yet.
fn not_served(kind: &'static str, what: &Kind, answer: Option<Answer>) -> Option<Part> {
    let version = what.api_version();
    match answer {
        Some(Answer::Served) => None,
        Some(Answer::Missing) => Some(Part::stalls(
            kind,
            "CRDMissing",
            format!(
                "{} ({version}) is not served by this cluster; created when it is",
                what.kind
            ),
            Duration::ZERO,
        )),
        Some(Answer::Forbidden) => Some(Part::unknown(
            kind,
            "Forbidden",
            format!(
                "grant the operator get, list and watch on {}",
                what.definition()
            ),
        )),
        None => Some(Part::unknown(
            kind,
            "Progressing",
            format!("it is being found out whether {} can be used", what.kind),
        )),
    }
}

/// The HTTPRoute: every Gateway that it is attached to accepts it and finds the Service.
pub fn http_route(scene: &Scene<'_>) -> Option<Part> {
    const KIND: &str = "HTTPRouteReady";
    let v = scene.verdict.validated.as_ref();
    let wanted = v.and_then(|v| v.routes.http_route.as_ref());
    let seen = scene.observed.http_route.as_ref();
    if v.is_some() && wanted.is_none() || seen.is_none() && wanted.is_none() {
        return None;
    }
    let problem = closed(scene, KIND, |e| e.http_route.as_ref())
        .or_else(|| not_served(KIND, &HTTP_ROUTE, scene.observed.http_routes))
        .or_else(|| refused(scene, KIND, Object::HttpRoute));
    if problem.is_some() {
        return problem;
    }
    let Some(seen) = seen else {
        return Some(absent(KIND, "HTTPRoute", scene.name()));
    };
    let Some(wanted) = wanted else {
        return Some(Part::well(KIND, "HTTPRouteProvisioned", "it is there"));
    };
    let lacking = wanted.parents.iter().find_map(|parent| lacks(seen, parent));
    Some(lacking.unwrap_or_else(|| {
        let names: Vec<String> = wanted.parents.iter().map(|p| gateway(seen, p)).collect();
        Part::well(
            KIND,
            "HTTPRouteProvisioned",
            format!("accepted by {}", list(&names)),
        )
    }))
}

/// A Gateway as it is told.
fn gateway(route: &Seen<HttpRoute>, parent: &NetworkingHttpRouteParentRef) -> String {
    let namespace = text(parent.namespace.as_ref()).unwrap_or(&route.key.namespace);
    let listener = text(parent.section_name.as_ref());
    let listener = listener.map(|l| format!(", listener \"{}\"", quote(l)));
    format!(
        "Gateway \"{}/{}\"{}",
        quote(namespace),
        quote(&parent.name),
        listener.unwrap_or_default()
    )
}

/// What one Gateway has against the route.
fn lacks(route: &Seen<HttpRoute>, parent: &NetworkingHttpRouteParentRef) -> Option<Part> {
    const KIND: &str = "HTTPRouteReady";
    let own = &*route.key.namespace;
    let namespace = text(parent.namespace.as_ref()).unwrap_or(own);
    let answers = route.view.status.parents.iter().filter(|p| {
        let r = &p.parent_ref;
        *r.name == *parent.name
            && r.namespace.as_deref().unwrap_or(own) == namespace
            && r.section_name.as_deref() == text(parent.section_name.as_ref())
    });
    let name = gateway(route, parent);
    let generation = route.view.metadata.generation;
    // Several controllers may answer for one Gateway: one that is content will do.
    let mut worst = None;
    for answer in answers {
        let of = |kind: &str| answer.condition(kind, generation);
        let no = |kind: &str| of(kind).filter(|c| &*c.status == "False");
        if let Some(c) = no("Accepted") {
            let message = format!("{name}: {}", quote(&c.reason));
            worst = Some(Part::stalls(KIND, "NotAccepted", message, Duration::ZERO));
        } else if let Some(c) = no("ResolvedRefs") {
            let message = format!("{name}: {}", quote(&c.reason));
            worst = Some(Part::stalls(
                KIND,
                "BackendNotResolved",
                message,
                Duration::ZERO,
            ));
        } else if of("Accepted").is_some_and(|c| &*c.status == "True") {
            return None;
        }
    }
    Some(worst.unwrap_or_else(|| {
        Part::waits(
            KIND,
            "ParentPending",
            format!("{name} has not answered yet"),
        )
    }))
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

/// The objects for Prometheus and Grafana. They say nothing about whether the Instance works.
pub fn monitoring(scene: &Scene<'_>) -> Option<Part> {
    const KIND: &str = "MonitoringReady";
    let o = scene.observed;
    let v = scene.verdict.validated.as_ref();
    let wanted = v.map(|v| &v.monitoring);
    let exists = o.service_monitor.is_some()
        || o.prometheus_rule.is_some()
        || o.dashboard_operator.is_some()
        || o.dashboard_instance.is_some();
    if wanted.map_or(!exists, |m| !m.is_wanted()) {
        return None;
    }
    let (monitor, alerts, dashboards) = wanted.map_or((false, false, false), |m| {
        (
            m.interval.is_some(),
            m.alerts.is_some(),
            m.dashboards.is_some(),
        )
    });
    let problem = if monitor && !scene.scraped {
        let why =
            "no Service leads to the operator's figures: install the operator with metrics.enabled";
        Some(Part::waits(KIND, "NothingToScrape", why))
    } else {
        monitor
            .then(|| not_served(KIND, &SERVICE_MONITOR, o.service_monitors))
            .flatten()
    };
    let objects = [
        Object::ServiceMonitor,
        Object::PrometheusRule,
        Object::DashboardOperator,
        Object::DashboardInstance,
    ];
    let names = scene.names();
    let lacking = || {
        [
            (
                monitor && o.service_monitor.is_none(),
                "ServiceMonitor",
                names.main().to_owned(),
            ),
            (
                alerts && o.prometheus_rule.is_none(),
                "PrometheusRule",
                names.alerts(),
            ),
            (
                dashboards && o.dashboard_operator.is_none(),
                "ConfigMap",
                names.dashboard_operator(),
            ),
            (
                dashboards && o.dashboard_instance.is_none(),
                "ConfigMap",
                names.dashboard_instance(),
            ),
        ]
        .into_iter()
        .find(|(lacks, ..)| *lacks)
        .map(|(_, kind, name)| absent(KIND, kind, &name))
    };
    let problem = problem
        .or_else(|| {
            alerts
                .then(|| not_served(KIND, &PROMETHEUS_RULE, o.prometheus_rules))
                .flatten()
        })
        .or_else(|| {
            objects
                .into_iter()
                .find_map(|object| refused(scene, KIND, object))
        })
        .or_else(lacking);
    let part = problem.unwrap_or_else(|| {
        let made: Vec<String> = [
            (o.service_monitor.is_some(), "ServiceMonitor"),
            (o.prometheus_rule.is_some(), "PrometheusRule"),
            (o.dashboard_instance.is_some(), "dashboards"),
        ]
        .into_iter()
        .filter(|(there, _)| *there)
        .map(|(_, what)| what.to_owned())
        .collect();
        Part::well(
            KIND,
            "MonitoringProvisioned",
            format!("there: {}", made.join(", ")),
        )
    });
    // A cluster without Prometheus asks for nobody.
    Some(Part {
        patience: None,
        ..part.class(Class::Informs)
    })
}

/// The container that joins the tailnet: it runs in every pod of the server.
pub fn tailscale(scene: &Scene<'_>) -> Option<Part> {
    const KIND: &str = "TailscaleReady";
    let v = scene.verdict.validated.as_ref();
    let wanted = v.is_some_and(|v| v.tailscale.is_some());
    let seen = scene.observed.tailscale.as_ref();
    if !wanted && (v.is_some() || seen.is_none()) {
        return None;
    }
    let problem = closed(scene, KIND, |e| e.tailnet.as_ref())
        .or_else(|| refused(scene, KIND, Object::Tailscale));
    if problem.is_some() {
        return problem;
    }
    if seen.is_none() {
        return Some(absent(KIND, "ConfigMap", &scene.names().tailscale()));
    }
    let waits = |why: String| Part::waits(KIND, "SidecarNotReady", why);
    let pods: Vec<_> = scene.observed.pods.iter().filter(|p| !p.deleting).collect();
    if pods.is_empty() {
        return Some(waits("no pod of the server is there".into()));
    }
    for pod in pods {
        let name = &pod.key.name;
        let Some(sidecar) = &pod.view.tailscale else {
            return Some(waits(format!(
                "pod \"{name}\" has no container \"tailscale\" yet"
            )));
        };
        let Some(trouble) = sidecar.trouble.as_deref() else {
            if sidecar.ready {
                continue;
            }
            return Some(waits(format!(
                "container \"tailscale\" of pod \"{name}\" does not run yet"
            )));
        };
        let why = format!(
            "container \"tailscale\" of pod \"{name}\": \"{}\"",
            quote(trouble)
        );
        let low = trouble.to_lowercase();
        let key_refused = ["invalid key", "api key", "auth key", "authkey", "not valid"]
            .iter()
            .any(|words| low.contains(words));
        return Some(if key_refused {
            Part::stalls(KIND, "AuthKeyRejected", why, Duration::ZERO)
        } else {
            waits(why)
        });
    }
    Some(Part::well(
        KIND,
        "TailscaleProvisioned",
        "container \"tailscale\" runs in every pod; whether the tailnet lets it in is told by its log",
    ))
}

/// The HorizontalPodAutoscaler: it may scale, and knows what to scale by.
pub fn autoscaler(scene: &Scene<'_>) -> Option<Part> {
    const KIND: &str = "HPAReady";
    let v = scene.verdict.validated.as_ref();
    let wanted = v.and_then(|v| v.scaling);
    let seen = scene.observed.autoscaler.as_ref();
    if wanted.is_none() && (v.is_some() || seen.is_none()) {
        return None;
    }
    if wanted.is_some_and(|s| s.blocked) {
        let why = "database.mode embedded: the data are in the pod, so there is one";
        return Some(Part::waits(KIND, "ScalingBlocked", why));
    }
    if let Some(part) = refused(scene, KIND, Object::Autoscaler) {
        return Some(part);
    }
    let Some(seen) = seen else {
        return Some(absent(KIND, "HorizontalPodAutoscaler", scene.name()));
    };
    let name = &seen.key.name;
    let told = |why: &str| format!("HPA \"{name}\": \"{}\"", quote(why));
    Some(if let Some(why) = seen.view.lacks("AbleToScale") {
        Part::waits(KIND, "ScalingBlocked", told(why))
    } else if let Some(why) = seen.view.lacks("ScalingActive") {
        Part::waits(KIND, "MetricsUnavailable", told(why)).class(Class::Degrades)
    } else {
        let range = wanted.map(|s| format!(", {} to {} pods", s.min, s.max));
        let message = format!("HPA \"{name}\" is there{}", range.unwrap_or_default());
        Part::well(KIND, "HPAProvisioned", message)
    })
}
