//! Two dashboards for Grafana, each in a ConfigMap: how the operator works, and how this Instance is. Their uids carry a hash of the
//! Instance, so that two installations do not overwrite each other's. Pure.

use super::{labelled, of_instance};
use crate::controllers::instance::validate::Validated;
use crate::controllers::instance::validate::monitoring::Dashboards;
use k8s_openapi::api::core::v1::ConfigMap;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

/// One panel: title, Grafana's name of the unit, and the lines in it with their legends.
pub struct Panel {
    title: &'static str,
    unit: &'static str,
    /// Expressions; `@` stands for the labels of the Instance.
    pub lines: &'static [(&'static str, &'static str)],
}

/// How the operator works.
pub const OPERATOR: &[Panel] = &[
    Panel {
        title: "Instances",
        unit: "short",
        lines: &[("max(paperclip_managed_instances)", "managed")],
    },
    Panel {
        title: "Instances by phase",
        unit: "short",
        lines: &[(
            "sum by (phase) (max by (namespace, instance, phase) (paperclip_instance_phase))",
            "{{phase}}",
        )],
    },
    Panel {
        title: "Passes by result",
        unit: "ops",
        lines: &[(
            "sum by (controller, result) (rate(controller_runtime_reconcile_total[5m]))",
            "{{controller}} {{result}}",
        )],
    },
    Panel {
        title: "Duration of passes",
        unit: "s",
        lines: &[
            (
                "histogram_quantile(0.5, sum by (le) (rate(controller_runtime_reconcile_time_seconds_bucket[5m])))",
                "half",
            ),
            (
                "histogram_quantile(0.99, sum by (le) (rate(controller_runtime_reconcile_time_seconds_bucket[5m])))",
                "99 %",
            ),
        ],
    },
    Panel {
        title: "Objects that wait",
        unit: "short",
        lines: &[("max by (name) (workqueue_depth)", "{{name}}")],
    },
    Panel {
        title: "Panics and passes that took too long",
        unit: "short",
        lines: &[
            (
                "sum by (controller) (increase(controller_runtime_reconcile_panics_total[1h]))",
                "panics, {{controller}}",
            ),
            (
                "sum by (controller) (increase(controller_runtime_reconcile_timeouts_total[1h]))",
                "too long, {{controller}}",
            ),
        ],
    },
    Panel {
        title: "Requests to the API server",
        unit: "reqps",
        lines: &[(
            "sum by (method, code) (rate(rest_client_requests_total[5m]))",
            "{{method}} {{code}}",
        )],
    },
    Panel {
        title: "Writes by kind",
        unit: "ops",
        lines: &[(
            "sum by (kind, verb) (rate(paperclip_api_writes_total[5m]))",
            "{{verb}} {{kind}}",
        )],
    },
    Panel {
        title: "Watches started again",
        unit: "short",
        lines: &[(
            "sum by (kind) (increase(paperclip_informer_restarts_total[1h]))",
            "{{kind}}",
        )],
    },
    Panel {
        title: "Optional kinds that cannot be used",
        unit: "short",
        lines: &[("max by (crd) (paperclip_crd_missing)", "{{crd}}")],
    },
    Panel {
        title: "Memory",
        unit: "bytes",
        lines: &[(
            "process_resident_memory_bytes * on (job, instance) group_left () (leader_election_master_status == 1)",
            "leader",
        )],
    },
];

/// How this Instance is.
pub const INSTANCE: &[Panel] = &[
    Panel {
        title: "Ready",
        unit: "short",
        lines: &[("max(paperclip_instance_ready{@})", "ready")],
    },
    Panel {
        title: "Phase",
        unit: "short",
        lines: &[(
            "max by (phase) (paperclip_instance_phase{@}) == 1",
            "{{phase}}",
        )],
    },
    Panel {
        title: "Version",
        unit: "short",
        lines: &[(
            "max by (version, image) (paperclip_instance_info{@})",
            "{{version}} {{image}}",
        )],
    },
    Panel {
        title: "Passes by result",
        unit: "ops",
        lines: &[(
            "max by (result) (rate(paperclip_reconcile_total{@}[5m]))",
            "{{result}}",
        )],
    },
    Panel {
        title: "Duration of passes, 99 %",
        unit: "s",
        lines: &[(
            "histogram_quantile(0.99, sum by (le) (rate(paperclip_reconcile_duration_seconds_bucket{@}[10m])))",
            "99 %",
        )],
    },
    Panel {
        title: "Objects that could not be written",
        unit: "short",
        lines: &[(
            "max by (resource) (increase(paperclip_resource_creation_failures_total{@}[1h]))",
            "{{resource}}",
        )],
    },
    Panel {
        title: "Volumes",
        unit: "percentunit",
        lines: &[(
            "max by (persistentvolumeclaim) (kubelet_volume_stats_used_bytes{namespace=\"@NS\",persistentvolumeclaim=~\"@N-(data|db-data)\"} / kubelet_volume_stats_capacity_bytes{namespace=\"@NS\",persistentvolumeclaim=~\"@N-(data|db-data)\"})",
            "{{persistentvolumeclaim}}",
        )],
    },
];

/// The ConfigMap with the operator's dashboard.
pub fn operator(v: &Validated<'_>, wanted: &Dashboards<'_>) -> ConfigMap {
    let title = "Paperclip operator".to_owned();
    let name = v.id.names.dashboard_operator();
    config_map(v, wanted, &name, "paperclip-op-", &title, OPERATOR)
}

/// The ConfigMap with the Instance's dashboard.
pub fn instance(v: &Validated<'_>, wanted: &Dashboards<'_>) -> ConfigMap {
    let title = format!("Paperclip {}/{}", v.id.namespace, v.id.name);
    let name = v.id.names.dashboard_instance();
    config_map(v, wanted, &name, "paperclip-in-", &title, INSTANCE)
}

fn config_map(
    v: &Validated<'_>,
    wanted: &Dashboards<'_>,
    name: &str,
    prefix: &str,
    title: &str,
    panels: &[Panel],
) -> ConfigMap {
    let mut metadata = labelled(v, name, &wanted.labels);
    metadata.annotations = Some([("grafana_folder".to_owned(), wanted.folder.to_owned())].into());
    let whose = format!("{}/{}", v.id.namespace, v.id.name);
    let hash = crate::shared::random::hex(&Sha256::digest(whose.as_bytes())[..6]);
    let dashboard = json!({
        "uid": format!("{prefix}{hash}"), "title": title, "tags": ["paperclip"], "schemaVersion": 39, "editable": false,
        "timezone": "browser", "refresh": "30s", "time": {"from": "now-6h", "to": "now"},
        "templating": {"list": [{"type": "datasource", "name": "source", "label": "Source", "query": "prometheus"}]},
        "panels": panels.iter().enumerate().map(|(n, p)| panel(v, n, p)).collect::<Vec<_>>(),
    });
    ConfigMap {
        metadata,
        data: Some([(format!("{name}.json"), dashboard.to_string())].into()),
        ..ConfigMap::default()
    }
}

/// Two beside each other.
fn panel(v: &Validated<'_>, number: usize, panel: &Panel) -> Value {
    let source = json!({"type": "prometheus", "uid": "${source}"});
    let targets: Vec<Value> = panel
        .lines
        .iter()
        .zip('A'..='Z')
        .map(|((expression, legend), letter)| {
            json!({"refId": letter.to_string(), "datasource": source, "expr": of_instance(v, expression), "legendFormat": legend})
        })
        .collect();
    json!({
        "id": number + 1, "type": "timeseries", "title": panel.title, "datasource": source, "targets": targets,
        "gridPos": {"x": (number % 2) * 12, "y": (number / 2) * 8, "w": 12, "h": 8},
        "fieldConfig": {"defaults": {"unit": panel.unit, "min": 0}, "overrides": []},
    })
}
