//! `spec.observability.metrics`: what Prometheus and Grafana get to see of an Instance. Pure.

use super::findings::Findings;
use super::forms;
use super::not_implemented::{bootstrap_is_off, has_admin};
use crate::crd::instance::{DeploymentMode, InstanceSpec};
use crate::crd::{SecretKeyRef, text};
use crate::shared::conditions::quote;
use crate::shared::names;
use std::borrow::Cow;
use std::collections::BTreeMap;

/// Where the pages about alerts are, if nobody says.
const RUNBOOKS: &str = "https://paperclip.inc/docs/operators/paperclip/runbooks";
/// What Grafana's sidecar looks for by default.
const DASHBOARD_LABEL: (&str, &str) = ("grafana_dashboard", "1");

/// What Prometheus and Grafana get to see.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Monitoring<'a> {
    /// Time between two scrapes of the operator's figures of this Instance.
    pub interval: Option<&'a str>,
    /// Alerts.
    pub alerts: Option<Alerts<'a>>,
    /// Dashboards.
    pub dashboards: Option<Dashboards<'a>>,
    /// The operator's key for the server.
    pub key: OperatorKey<'a>,
}

/// The operator's key for the server.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OperatorKey<'a> {
    /// None is needed, or none can be had.
    #[default]
    None,
    /// The user's.
    Given(&'a SecretKeyRef),
    /// Ours, made with the first admin's password.
    Made,
}

/// Alerts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Alerts<'a> {
    /// Labels of the object.
    pub labels: BTreeMap<&'a str, &'a str>,
    /// Start of the links to the pages; the name of the alert follows.
    pub runbooks: Cow<'a, str>,
}

/// Dashboards.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Dashboards<'a> {
    /// Labels of the objects.
    pub labels: BTreeMap<&'a str, &'a str>,
    /// Folder in Grafana.
    pub folder: &'a str,
}

impl Monitoring<'_> {
    /// Something is to be made.
    pub const fn is_wanted(&self) -> bool {
        self.interval.is_some() || self.alerts.is_some() || self.dashboards.is_some()
    }
}

/// Where the operator's key for the server is.
fn token(spec: &InstanceSpec) -> Option<&SecretKeyRef> {
    let reference = spec.auth.as_ref()?.operator_token_secret_ref.as_ref()?;
    (!reference.name.is_empty()).then_some(reference)
}

/// The server needs no key.
fn is_trusted(spec: &InstanceSpec) -> bool {
    let mode = spec.deployment.as_ref().and_then(|d| d.mode.as_ref());
    mode.is_some_and(|m| *m == DeploymentMode::LocalTrusted)
}

/// Reads the section.
pub fn monitoring<'a>(spec: &'a InstanceSpec, out: &mut Findings) -> Monitoring<'a> {
    const PATH: &str = "observability.metrics";
    let section = spec
        .observability
        .as_ref()
        .and_then(|o| o.metrics.as_deref());
    let on = section.is_some_and(|s| s.enabled == Some(true));
    let key = match token(spec) {
        Some(key) if on => OperatorKey::Given(key),
        Some(key) => {
            out.warn(
                "auth.operatorTokenSecretRef",
                format!(
                    "key \"{}\" of Secret \"{}\" is used for observability.metrics alone, which is off",
                    quote(&key.key),
                    quote(&key.name)
                ),
            );
            OperatorKey::None
        }
        None if !on || is_trusted(spec) => OperatorKey::None,
        None if has_admin(spec) && !bootstrap_is_off(spec) => OperatorKey::Made,
        None => {
            out.warn(
                "observability.metrics.enabled",
                "without auth.adminUser or auth.operatorTokenSecretRef the server tells its health alone, not runs, queue and cost",
            );
            OperatorKey::None
        }
    };
    let Some(section) = section else {
        return Monitoring::default();
    };
    let monitor = section.service_monitor.as_ref();
    let rule = section.prometheus_rule.as_ref();
    let dashboard = section.grafana_dashboard.as_ref();
    let mut switched_on = |name: &str, enabled: Option<bool>| {
        if enabled == Some(true) && !on {
            out.overridden(
                &format!("{PATH}.{name}"),
                "needs observability.metrics.enabled",
            );
        }
        on && enabled == Some(true)
    };
    let monitor = monitor.filter(|m| switched_on("serviceMonitor", m.enabled));
    let rule = rule.filter(|r| switched_on("prometheusRule", r.enabled));
    let dashboard = dashboard.filter(|d| switched_on("grafanaDashboard", d.enabled));
    Monitoring {
        key,
        interval: monitor.map(|m| text(m.interval.as_ref()).unwrap_or("30s")),
        alerts: rule.map(|r| {
            let base = text(r.runbook_base_url.as_ref());
            if let Some(Err(why)) = base.map(forms::http_url) {
                out.invalid(&format!("{PATH}.prometheusRule.runbookBaseURL"), why);
            }
            let base = base.unwrap_or(RUNBOOKS).trim_end_matches('/');
            Alerts {
                labels: labels(&format!("{PATH}.prometheusRule.labels"), &r.labels, out),
                runbooks: Cow::Borrowed(base),
            }
        }),
        dashboards: dashboard.map(|d| {
            let mut all = labels(&format!("{PATH}.grafanaDashboard.labels"), &d.labels, out);
            if d.labels.is_empty() {
                all.insert(DASHBOARD_LABEL.0, DASHBOARD_LABEL.1);
            }
            Dashboards {
                labels: all,
                folder: text(d.folder.as_ref()).unwrap_or("Paperclip"),
            }
        }),
    }
}

/// The user's labels without those that say whose an object is.
fn labels<'a>(
    path: &str,
    map: &'a BTreeMap<String, String>,
    out: &mut Findings,
) -> BTreeMap<&'a str, &'a str> {
    const OURS: [&str; 4] = [
        names::LABEL_NAME,
        names::LABEL_INSTANCE,
        names::LABEL_MANAGED_BY,
        names::LABEL_COMPONENT,
    ];
    let (ours, theirs): (Vec<_>, Vec<_>) = map
        .iter()
        .map(|(k, v)| (k.as_str(), v.as_str()))
        .partition(|(k, _)| OURS.contains(k));
    if !ours.is_empty() {
        let names: Vec<String> = ours.iter().map(|(k, _)| format!("\"{k}\"")).collect();
        let names = crate::shared::conditions::list(&names);
        out.overridden(path, format!("these labels are the operator's: {names}"));
    }
    theirs.into_iter().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(yaml: &str) -> (bool, Vec<String>) {
        let yaml = format!("observability: {{metrics: {yaml}}}");
        let spec: InstanceSpec = serde_saphyr::from_str(&yaml).unwrap();
        let mut out = Findings::default();
        let wanted = monitoring(&spec, &mut out).is_wanted();
        let said = out.iter();
        (
            wanted,
            said.map(|f| format!("{} {}", f.class.reason(), f.path))
                .collect(),
        )
    }

    #[test]
    fn nothing_is_made_while_the_main_switch_is_off_and_that_is_said() {
        let (wanted, said) = read(
            "{serviceMonitor: {enabled: true}, prometheusRule: {enabled: true}, grafanaDashboard: {enabled: true}}",
        );
        assert!(!wanted);
        assert_eq!(
            said,
            [
                "Overridden spec.observability.metrics.serviceMonitor",
                "Overridden spec.observability.metrics.prometheusRule",
                "Overridden spec.observability.metrics.grafanaDashboard",
            ]
        );
        assert_eq!(read("{enabled: false}"), (false, vec![]));
    }

    #[test]
    fn without_a_key_it_is_said_what_the_server_does_not_tell() {
        let (wanted, said) = read("{enabled: true}");
        assert!(!wanted);
        assert_eq!(
            said,
            ["AcceptedWithWarnings spec.observability.metrics.enabled"]
        );
    }

    #[test]
    fn labels_that_say_whose_it_is_stay_ours_and_the_link_must_be_one() {
        let (wanted, said) = read(
            "{enabled: true, prometheusRule: {enabled: true, runbookBaseURL: 'x', labels: {a: b, app.kubernetes.io/instance: c}}}",
        );
        assert!(wanted);
        assert_eq!(
            said[1..],
            [
                "InvalidSpec spec.observability.metrics.prometheusRule.runbookBaseURL",
                "Overridden spec.observability.metrics.prometheusRule.labels",
            ]
        );
    }
}
