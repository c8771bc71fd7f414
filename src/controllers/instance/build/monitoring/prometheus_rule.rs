//! The alerts of an Instance: one table. Each has a page in `docs/alerts` that says what to do. Only figures that somebody exports are
//! asked for: the operator's, kube-state-metrics' and the kubelet's. Pure.

use super::{labelled, of_instance};
use crate::controllers::instance::validate::Validated;
use crate::controllers::instance::validate::monitoring::Alerts;
use crate::shared::foreign::PROMETHEUS_RULE;
use crate::shared::wish::{Malformed, Wish};
use serde_json::{Value, json};

/// An alert.
pub struct Alert {
    /// Its name, and that of its page.
    pub name: &'static str,
    /// When it fires. `@` stands for the labels of the Instance, `@N` and `@NS` for its name and namespace.
    pub expression: &'static str,
    /// How long it must hold.
    pub lasting: &'static str,
    /// `critical`: somebody must act now.
    pub severity: &'static str,
    /// One sentence.
    pub summary: &'static str,
}

/// Pods of a StatefulSet or Deployment of this name, and not those of an Instance whose name begins with it.
macro_rules! pods {
    () => {
        "namespace=\"@NS\",pod=~\"@N-([0-9]+|[bcdfghjklmnpqrstvwxz2456789]{6,10}-[bcdfghjklmnpqrstvwxz2456789]{5})\",container=\"paperclip\""
    };
}

/// The table. The operator's series may come through several scrapes, so each is summed up.
pub const ALERTS: &[Alert] = &[
    Alert {
        name: "PaperclipReconcileErrors",
        expression: "max by (namespace, instance) (increase(paperclip_reconcile_total{@,result=\"error\"}[15m])) > 3",
        lasting: "10m",
        severity: "warning",
        summary: "The operator fails again and again to bring Instance @NS/@N about",
    },
    Alert {
        name: "PaperclipInstanceNotReady",
        expression: "max by (namespace, instance) (paperclip_instance_ready{@}) == 0 unless on (namespace, instance) max by (namespace, instance) (paperclip_instance_phase{@,phase=~\"Suspended|Terminating\"}) == 1",
        lasting: "10m",
        severity: "critical",
        summary: "Instance @NS/@N has not been ready for 10 minutes",
    },
    Alert {
        name: "PaperclipInstanceDegraded",
        expression: "max by (namespace, instance, phase) (paperclip_instance_phase{@,phase=~\"Degraded|Failed\"}) == 1",
        lasting: "5m",
        severity: "critical",
        summary: "Instance @NS/@N is {{ $labels.phase }}",
    },
    Alert {
        name: "PaperclipSlowReconciliation",
        expression: "histogram_quantile(0.99, sum by (namespace, instance, le) (rate(paperclip_reconcile_duration_seconds_bucket{@}[10m]))) > 5",
        lasting: "10m",
        severity: "warning",
        summary: "The slowest passes over Instance @NS/@N take more than 5 seconds",
    },
    Alert {
        name: "PaperclipPodCrashLooping",
        expression: concat!(
            "max by (namespace, pod) (increase(kube_pod_container_status_restarts_total{",
            pods!(),
            "}[15m])) > 2"
        ),
        lasting: "1m",
        severity: "critical",
        summary: "The server of Instance @NS/@N was restarted more than twice in 15 minutes",
    },
    Alert {
        name: "PaperclipPodOOMKilled",
        expression: concat!(
            "max by (namespace, pod) (kube_pod_container_status_last_terminated_reason{",
            pods!(),
            ",reason=\"OOMKilled\"}) == 1 and on (namespace, pod) max by (namespace, pod) (increase(kube_pod_container_status_restarts_total{",
            pods!(),
            "}[1h])) > 0"
        ),
        lasting: "1m",
        severity: "warning",
        summary: "The server of Instance @NS/@N ran out of memory within the last hour",
    },
    Alert {
        name: "PaperclipPVCNearlyFull",
        expression: "max by (namespace, persistentvolumeclaim) (kubelet_volume_stats_used_bytes{namespace=\"@NS\",persistentvolumeclaim=\"@N-data\"} / kubelet_volume_stats_capacity_bytes{namespace=\"@NS\",persistentvolumeclaim=\"@N-data\"}) > 0.8",
        lasting: "5m",
        severity: "warning",
        summary: "The data volume of Instance @NS/@N is more than 80 % full",
    },
    Alert {
        name: "PaperclipDatabaseVolumeFilling",
        expression: "max by (namespace, persistentvolumeclaim) (kubelet_volume_stats_used_bytes{namespace=\"@NS\",persistentvolumeclaim=\"@N-db-data\"} / kubelet_volume_stats_capacity_bytes{namespace=\"@NS\",persistentvolumeclaim=\"@N-db-data\"}) > 0.8",
        lasting: "5m",
        severity: "critical",
        summary: "The database volume of Instance @NS/@N is more than 80 % full",
    },
    Alert {
        name: "PaperclipBackupFailing",
        expression: "max by (namespace, instance) (paperclip_backup_ready{@}) == 0",
        lasting: "1h",
        severity: "critical",
        summary: "Backups of Instance @NS/@N by its schedule have failed or stopped for an hour",
    },
    Alert {
        name: "PaperclipBackupNotVerified",
        expression: "max by (namespace, instance) (paperclip_backup_verified{@}) == 0",
        lasting: "1h",
        severity: "warning",
        summary: "The newest backup of Instance @NS/@N that was tried could not be brought back, or none was tried for too long",
    },
];

/// With the user's labels, so that the right Prometheus selects it.
///
/// # Errors
/// See [`Wish::of_kind`].
pub fn build(v: &Validated<'_>, alerts: &Alerts<'_>) -> Result<Wish, Malformed> {
    let rules: Vec<Value> = ALERTS
        .iter()
        .map(|alert| {
            json!({
                "alert": alert.name,
                "expr": of_instance(v, alert.expression),
                "for": alert.lasting,
                "labels": {"severity": alert.severity},
                "annotations": {
                    "summary": of_instance(v, alert.summary),
                    "runbook_url": format!("{}/{}", alerts.runbooks, alert.name),
                },
            })
        })
        .collect();
    let spec = json!({"groups": [{"name": "paperclip-operator", "rules": rules}]});
    let metadata = labelled(v, &v.id.names.alerts(), &alerts.labels);
    Wish::of_kind(&PROMETHEUS_RULE, &metadata, &spec)
}
