//! What Prometheus and Grafana get: this Instance only, and no figure that nobody exports.

use super::*;
use crate::controllers::instance::build::monitoring::dashboards::{INSTANCE, OPERATOR};
use crate::controllers::instance::build::monitoring::prometheus_rule::ALERTS;
use crate::shared::metrics::Metrics;
use std::collections::BTreeSet;

const ON: &str = "observability: {metrics: {enabled: true, \
    serviceMonitor: {enabled: true, interval: 15s}, \
    prometheusRule: {enabled: true, labels: {release: prometheus}, runbookBaseURL: 'https://runbooks.test/x/'}, \
    grafanaDashboard: {enabled: true, folder: Ops}}}";

#[test]
fn the_operator_is_asked_for_this_instance_alone() {
    let monitor = given(ON).built().service_monitor.unwrap().body;
    assert_eq!(monitor["metadata"]["name"], "clip");
    assert_eq!(
        monitor["spec"],
        json!({
            "namespaceSelector": {"matchNames": ["operators"]},
            "selector": {"matchLabels": {"app.kubernetes.io/name": "paperclip-operator"}},
            "endpoints": [{"port": "metrics", "interval": "15s", "honorLabels": true,
                "params": {"namespace": ["prod"], "instance": ["clip"]}}],
        })
    );
    let off = given("observability: {metrics: {enabled: true}}").built();
    assert!(off.service_monitor.is_none() && off.prometheus_rule.is_none());
    assert!(off.dashboard_instance.is_none() && off.dashboard_operator.is_none());
}

#[test]
fn alerts_are_about_this_instance_and_lead_to_a_page() {
    let rule = given(ON).built().prometheus_rule.unwrap().body;
    assert_eq!(rule["metadata"]["name"], "clip-alerts");
    assert_eq!(rule["metadata"]["labels"]["release"], "prometheus");
    assert_eq!(
        rule["metadata"]["labels"]["app.kubernetes.io/instance"],
        "clip"
    );
    let group = &rule["spec"]["groups"][0];
    assert_eq!(group["name"], "paperclip-operator");
    let rules = group["rules"].as_array().unwrap();
    assert_eq!(rules.len(), ALERTS.len());
    for r in rules {
        let (expr, name) = (r["expr"].as_str().unwrap(), r["alert"].as_str().unwrap());
        assert!(!expr.contains('@'), "{expr}");
        assert!(expr.contains("namespace=\"prod\""), "{expr}");
        assert!(
            expr.contains("instance=\"clip\"") || expr.contains("\"clip-"),
            "{expr}"
        );
        let page = format!("https://runbooks.test/x/{name}");
        assert_eq!(r["annotations"]["runbook_url"], page.as_str());
    }
}

#[test]
fn every_alert_has_a_page_and_every_page_an_alert() {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/alerts");
    let pages: BTreeSet<String> = std::fs::read_dir(folder)
        .unwrap()
        .map(|e| e.unwrap().file_name().into_string().unwrap())
        .collect();
    let alerts: BTreeSet<String> = ALERTS.iter().map(|a| format!("{}.md", a.name)).collect();
    assert_eq!(pages, alerts);
}

#[test]
fn every_figure_that_is_asked_for_is_one_that_somebody_exports() {
    // Of kube-state-metrics and the kubelet.
    const FOREIGN: &[&str] = &[
        "kube_pod_container_status_restarts_total",
        "kube_pod_container_status_last_terminated_reason",
        "kubelet_volume_stats_used_bytes",
        "kubelet_volume_stats_capacity_bytes",
    ];
    let ours = Metrics::new().unwrap().names();
    let panels = OPERATOR.iter().chain(INSTANCE);
    let lines = panels.flat_map(|p| p.lines.iter().map(|(expression, _)| *expression));
    let mut asked = 0;
    for expression in lines.chain(ALERTS.iter().map(|a| a.expression)) {
        let word = |c: char| c.is_ascii_alphanumeric() || c == '_';
        for name in expression.split(|c| !word(c)) {
            let is_figure = [
                "paperclip_",
                "controller_",
                "workqueue_",
                "rest_",
                "leader_",
                "process_",
                "kube_",
                "kubelet_",
            ]
            .iter()
            .any(|prefix| name.starts_with(prefix));
            if !is_figure {
                continue;
            }
            asked += 1;
            let base = name.strip_suffix("_bucket").unwrap_or(name);
            assert!(
                ours.iter().any(|o| o == base) || FOREIGN.contains(&name),
                "nobody exports {name}, in {expression}"
            );
        }
    }
    assert!(asked > 25, "only {asked} names were found");
}

#[test]
fn dashboards_of_two_instances_do_not_overwrite_each_other() {
    let built = given(ON).built();
    let read = |wish: Option<Wish>, name: &str| -> Value {
        let body = wish.unwrap().body;
        assert_eq!(body["metadata"]["name"], name);
        assert_eq!(body["metadata"]["labels"]["grafana_dashboard"], "1");
        assert_eq!(body["metadata"]["annotations"]["grafana_folder"], "Ops");
        serde_json::from_str(body["data"][format!("{name}.json")].as_str().unwrap()).unwrap()
    };
    let instance = read(built.dashboard_instance, "clip-dashboard-instance");
    let operator = read(built.dashboard_operator, "clip-dashboard-operator");
    assert_ne!(instance["uid"], operator["uid"]);
    assert!(instance["uid"].as_str().unwrap().len() <= 40);
    let text = instance["panels"].to_string();
    assert!(text.contains("namespace=\\\"prod\\\",instance=\\\"clip\\\"") && !text.contains('@'));
}
