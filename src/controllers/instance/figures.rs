//! Metrics of single Instances. Left out if the operator is told to.

use super::Controller;
use super::applied::{Applied, Cure};
use super::memory::Remembered;
use crate::crd::instance::{InstanceStatus, Phase};
use crate::crd::{Word, Words};
use crate::shared::cache::Key;
use crate::shared::conditions::find;
use crate::shared::controller::{Again, Failure};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use std::time::Duration;

impl Controller {
    /// Figures of a pass.
    pub(super) fn measure(&self, key: &Key, took: Duration, result: &Result<Again, Failure>) {
        let metrics = &self.context.metrics;
        if !self.context.options.metrics_per_instance {
            return;
        }
        let outcome = if result.is_ok() { "success" } else { "error" };
        let labels: [&str; 2] = [&key.name, &key.namespace];
        metrics
            .instance_reconciles
            .with_label_values(&[labels[0], labels[1], outcome])
            .inc();
        metrics
            .instance_reconcile_time
            .with_label_values(&labels)
            .observe(took.as_secs_f64());
    }

    /// Objects that could not be written.
    pub(super) fn count_failures(&self, key: &Key, applied: &Applied) {
        if !self.context.options.metrics_per_instance {
            return;
        }
        for (part, problem) in &applied.problems {
            if problem.cure != Cure::Time {
                self.context
                    .metrics
                    .creation_failures
                    .with_label_values(&[&*key.name, &*key.namespace, part.resource()])
                    .inc();
            }
        }
    }

    /// Figures of backups; none of what nobody asks for.
    fn gauge_backups(&self, key: &Key, status: &InstanceStatus) {
        let metrics = &self.context.metrics;
        let labels: [&str; 2] = [&key.name, &key.namespace];
        let is = |kind: &str| {
            let condition = find(&status.conditions, kind);
            condition.map(|c| i64::from(c.status == "True"))
        };
        let backup = status.backup.as_ref();
        let seconds = |time: Option<&Time>| time.map(|t| t.0.as_second());
        let success = backup.and_then(|b| b.last_successful.as_ref());
        for (gauge, value) in [
            (&metrics.backup_ready, is("BackupReady")),
            (
                &metrics.backup_last_success,
                seconds(success.and_then(|s| s.time.as_ref())),
            ),
            (&metrics.backup_proven, is("RestoreVerified")),
            (
                &metrics.backup_last_verified,
                seconds(backup.and_then(|b| b.last_verified_time.as_ref())),
            ),
        ] {
            match value {
                Some(value) => gauge.with_label_values(&labels).set(value),
                None => {
                    let _ = gauge.remove_label_values(&labels);
                }
            }
        }
    }

    /// Figures of the status.
    pub(super) fn gauge(
        &self,
        key: &Key,
        status: &InstanceStatus,
        remembered: Option<&mut Remembered>,
    ) {
        if !self.context.options.metrics_per_instance {
            return;
        }
        let metrics = &self.context.metrics;
        let (name, namespace) = (&*key.name, &*key.namespace);
        let phase = status.phase.as_ref().map(Word::as_str);
        for (word, _) in Phase::ALL {
            metrics
                .instance_phase
                .with_label_values(&[name, namespace, word])
                .set(i64::from(phase == Some(word)));
        }
        let ready = find(&status.conditions, "Ready").map(|c| c.status.as_str());
        let serving = status.scheduler_leader.is_some() || status.running_image.is_some();
        let counts = ready == Some("True") || (ready == Some("Unknown") && serving);
        metrics
            .instance_ready
            .with_label_values(&[name, namespace])
            .set(i64::from(counts));
        self.gauge_backups(key, status);
        let Some(remembered) = remembered else { return };
        let info = (
            status.running_version.clone().unwrap_or_default(),
            status.running_image.clone().unwrap_or_default(),
        );
        if let Some((version, image)) = remembered.info.replace(info.clone())
            && (&version, &image) != (&info.0, &info.1)
        {
            let _ = metrics
                .instance_info
                .remove_label_values(&[name, namespace, &version, &image]);
        }
        metrics
            .instance_info
            .with_label_values(&[name, namespace, &info.0, &info.1])
            .set(1);
    }
}
