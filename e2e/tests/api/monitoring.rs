//! What Prometheus and Grafana get, on a real API server with the Prometheus operator's real definitions.

use anyhow::{Context as _, Result};
use kube::Api;
use kube::api::DynamicObject;
use paperclip_e2e::cluster::Tier;
use paperclip_e2e::harness::{Cluster, published, wait_for};
use serde_json::{Value, json};

use crate::given::{Given, SOON, condition};

fn all_on() -> Value {
    json!({"observability": {"metrics": {"enabled": true, "serviceMonitor": {"enabled": true},
        "prometheusRule": {"enabled": true, "labels": {"release": "prometheus"}},
        "grafanaDashboard": {"enabled": true}}}})
}

fn of_kind(given: &Given<'_>, kind: &str) -> Api<DynamicObject> {
    let plural = format!("{}s", kind.to_lowercase());
    given.objects("monitoring.coreos.com/v1", kind, &plural)
}

/// The Prometheus operator's definitions.
pub async fn install_definitions(cluster: &Cluster) -> Result<()> {
    for kind in ["servicemonitors", "prometheusrules"] {
        let file = format!("example/prometheus-operator-crd/monitoring.coreos.com_{kind}.yaml");
        let module = "github.com/prometheus-operator/prometheus-operator";
        let definition = published(module, "v0.85.0", &file).await?;
        cluster
            .kubectl_with(&["create", "-f", "-"], &definition)
            .await?;
    }
    Ok(())
}

#[tokio::test]
async fn monitoring_comes_with_its_definitions_and_goes_with_its_switch() -> Result<()> {
    let cluster = Cluster::start(Tier::Api).await?;
    let arguments = ["--metrics-service=paperclip-operator-metrics"];
    let given = Given::everywhere_with(&cluster, "monitoring", &arguments).await?;
    given.create("shop", all_on()).await?;
    let object = given
        .until("shop", "MonitoringReady", "False/CRDMissing")
        .await?;
    assert_eq!(condition(&object, "Stalled"), "absent");
    // Dashboards need no definition, and the Instance works.
    let maps = given.objects("v1", "ConfigMap", "configmaps");
    given.exists(&maps, "shop-dashboard-operator").await?;
    let map = given.exists(&maps, "shop-dashboard-instance").await?;
    let text = map.data["data"]["shop-dashboard-instance.json"].as_str();
    let dashboard: Value = serde_json::from_str(text.context("no dashboard")?)?;
    assert!(dashboard["panels"].as_array().is_some_and(|p| p.len() > 5));
    given
        .until("shop", "Ready", "True/AllResourcesReady")
        .await?;

    install_definitions(&cluster).await?;
    given
        .until("shop", "MonitoringReady", "True/MonitoringProvisioned")
        .await?;
    let rule = of_kind(&given, "PrometheusRule").get("shop-alerts").await?;
    let rules = rule.data["spec"]["groups"][0]["rules"].as_array();
    assert!(rules.is_some_and(|r| r.len() >= 8), "{rules:?}");
    let monitor = of_kind(&given, "ServiceMonitor").get("shop").await?;
    assert_eq!(
        monitor.data["spec"]["endpoints"][0]["params"],
        json!({"namespace": [given.namespace.name], "instance": ["shop"]})
    );
    given.is_at_rest("shop").await?;

    // What Prometheus gets when it asks like that.
    let query = format!("?namespace={}&instance=shop", given.namespace.name);
    let text = given.operator.metrics_of(&query).await?;
    let series: Vec<&str> = text.lines().filter(|l| !l.starts_with('#')).collect();
    assert!(
        series
            .iter()
            .any(|l| l.starts_with("paperclip_instance_ready{"))
    );
    let own = format!("instance=\"shop\",namespace=\"{}\"", given.namespace.name);
    assert!(series.iter().all(|l| l.contains(&own)), "{series:#?}");

    let off = json!({"observability": {"metrics": {"enabled": false}}});
    given.change("shop", off).await?;
    given.until("shop", "MonitoringReady", "absent").await?;
    given
        .is_gone(&of_kind(&given, "PrometheusRule"), "shop-alerts")
        .await?;
    given
        .is_gone(&of_kind(&given, "ServiceMonitor"), "shop")
        .await?;
    given.is_gone(&maps, "shop-dashboard-operator").await?;
    given.is_gone(&maps, "shop-dashboard-instance").await?;
    given.event("shop", "MonitoringRemoved").await?;
    Ok(())
}

#[tokio::test]
async fn without_a_service_in_front_of_the_figures_there_is_nothing_to_scrape() -> Result<()> {
    let cluster = Cluster::api().await?;
    let given = Given::here(cluster, "unscraped").await?;
    given.create("shop", all_on()).await?;
    given
        .until("shop", "MonitoringReady", "False/NothingToScrape")
        .await?;
    wait_for("the Instance to be ready", SOON, async || {
        let object = given.instances().get("shop").await?;
        Ok((condition(&object, "Ready") == "True/AllResourcesReady").then_some(()))
    })
    .await
}
