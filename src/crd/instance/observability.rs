//! `spec.observability`: metrics, logs, traces.

use crate::crd::{
    SecretKeyRef, Word, empty, or_empty,
    schema::{ASCII, DURATION, rule},
    word::words,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_with::skip_serializing_none;
use std::collections::BTreeMap;

words! {
    /// How much is logged.
    LogLevel {
        /// Everything.
        Debug = "debug",
        /// The usual.
        Info = "info",
        /// What may be wrong.
        Warn = "warn",
        /// What is wrong.
        Error = "error",
    }
    /// How telemetry is sent.
    OtlpProtocol {
        /// gRPC.
        Grpc = "grpc",
        /// HTTP with protobuf.
        HttpProtobuf = "http/protobuf",
    }
}

/// Metrics, logs, traces.
#[skip_serializing_none]
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Observability {
    /// Metrics, alerts and dashboards of this Instance.
    pub metrics: Option<Box<ObservabilityMetrics>>,
    /// Logs of the server.
    pub logging: Option<ObservabilityLogging>,
    /// Telemetry of the server, for images that have the OpenTelemetry packages.
    pub otlp: Option<ObservabilityOtlp>,
    /// Error reports.
    pub sentry: Option<ObservabilitySentry>,
}

/// Metrics, alerts and dashboards.
#[skip_serializing_none]
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ObservabilityMetrics {
    /// The operator exports figures of this Instance: runs, queues, cost. Default false.
    pub enabled: Option<bool>,
    /// Let Prometheus collect them.
    pub service_monitor: Option<ObservabilityMetricsServiceMonitor>,
    /// Alerts.
    pub prometheus_rule: Option<ObservabilityMetricsPrometheusRule>,
    /// Dashboards.
    pub grafana_dashboard: Option<ObservabilityMetricsGrafanaDashboard>,
}

/// A ServiceMonitor for this Instance's figures at the operator.
#[skip_serializing_none]
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ObservabilityMetricsServiceMonitor {
    /// Make it. Default false; needs `metrics.enabled`.
    pub enabled: Option<bool>,
    /// Time between two scrapes. Default `30s`.
    #[schemars(length(max = 64), regex(pattern = DURATION))]
    pub interval: Option<String>,
}

/// A PrometheusRule with alerts.
#[skip_serializing_none]
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ObservabilityMetricsPrometheusRule {
    /// Make it. Default false.
    pub enabled: Option<bool>,
    /// Labels, so that your Prometheus selects it.
    #[serde(default, skip_serializing_if = "empty", deserialize_with = "or_empty")]
    pub labels: BTreeMap<String, String>,
    /// Start of the runbook links in alerts; the name of the alert follows.
    #[serde(rename = "runbookBaseURL")]
    #[schemars(length(max = 2048), transform = rule(ASCII))]
    pub runbook_base_url: Option<String>,
}

/// ConfigMaps with dashboards.
#[skip_serializing_none]
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ObservabilityMetricsGrafanaDashboard {
    /// Make them. Default false.
    pub enabled: Option<bool>,
    /// Labels, so that your Grafana finds them. Default `grafana_dashboard: "1"`.
    #[serde(default, skip_serializing_if = "empty", deserialize_with = "or_empty")]
    pub labels: BTreeMap<String, String>,
    /// Folder in Grafana. Default `Paperclip`.
    #[schemars(length(max = 128))]
    pub folder: Option<String>,
}

/// Logs of the server.
#[skip_serializing_none]
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ObservabilityLogging {
    /// Default `info`.
    pub level: Option<Word<LogLevel>>,
}

/// Telemetry of the server.
#[skip_serializing_none]
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ObservabilityOtlp {
    /// Address of the collector, `http://collector:4317`. Default: nothing is sent.
    #[schemars(length(max = 2048), transform = rule(ASCII))]
    pub endpoint: Option<String>,
    /// Default `grpc`.
    pub protocol: Option<Word<OtlpProtocol>>,
}

/// Error reports.
#[skip_serializing_none]
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ObservabilitySentry {
    /// Secret with the DSN.
    pub dsn_secret_ref: Option<SecretKeyRef>,
}
