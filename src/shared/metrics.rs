//! Every metric of the operator, under the names that controller-runtime uses for the machinery, so that existing dashboards work, and
//! `paperclip_*` for what is ours. Must never have a label without a bound: object names only in the documented per-Instance series.

use prometheus::{
    CounterVec, Gauge, GaugeVec, HistogramOpts, HistogramVec, IntCounterVec, IntGauge, IntGaugeVec,
    Opts, Registry, TextEncoder,
};
use std::sync::Arc;
use std::time::Duration;

/// The registry and the series in it.
pub struct Metrics {
    registry: Registry,
    names: Vec<String>,
    /// `controller_runtime_reconcile_total{controller,result}`.
    pub reconciles: IntCounterVec,
    /// `controller_runtime_reconcile_errors_total{controller}`.
    pub reconcile_errors: IntCounterVec,
    /// `controller_runtime_reconcile_panics_total{controller}`.
    pub reconcile_panics: IntCounterVec,
    /// `controller_runtime_reconcile_timeouts_total{controller}`.
    pub reconcile_timeouts: IntCounterVec,
    /// `controller_runtime_reconcile_time_seconds{controller}`.
    pub reconcile_time: HistogramVec,
    /// `controller_runtime_max_concurrent_reconciles{controller}`.
    pub max_concurrent: IntGaugeVec,
    /// `controller_runtime_active_workers{controller}`.
    pub active_workers: IntGaugeVec,
    queue_depth: IntGaugeVec,
    queue_adds: IntCounterVec,
    queue_wait: HistogramVec,
    /// `workqueue_retries_total{name}`.
    pub queue_retries: IntCounterVec,
    /// `rest_client_requests_total{code,method,host}`.
    pub requests: IntCounterVec,
    /// `rest_client_request_duration_seconds{verb}`.
    pub request_time: HistogramVec,
    /// `leader_election_master_status{name}`.
    pub leader: IntGaugeVec,
    /// `paperclip_api_writes_total{kind,verb}`.
    pub writes: IntCounterVec,
    /// `paperclip_informer_synced{kind}`.
    pub informer_synced: IntGaugeVec,
    /// `paperclip_informer_objects{kind}`.
    pub informer_objects: IntGaugeVec,
    /// `paperclip_informer_restarts_total{kind}`.
    pub informer_restarts: IntCounterVec,
    /// `paperclip_informer_last_event_timestamp_seconds{kind}`.
    pub informer_last_event: GaugeVec,
    /// `paperclip_crd_missing{crd}`.
    pub crd_missing: IntGaugeVec,
    /// `paperclip_events_dropped_total`.
    pub events_dropped: IntCounterVec,
    /// `paperclip_reconcile_total{instance,namespace,result}`.
    pub instance_reconciles: CounterVec,
    /// `paperclip_reconcile_duration_seconds{instance,namespace}`.
    pub instance_reconcile_time: HistogramVec,
    /// `paperclip_instance_phase{instance,namespace,phase}`.
    pub instance_phase: IntGaugeVec,
    /// `paperclip_instance_info{instance,namespace,version,image}`.
    pub instance_info: IntGaugeVec,
    /// `paperclip_instance_ready{instance,namespace}`.
    pub instance_ready: IntGaugeVec,
    /// `paperclip_backup_ready{instance,namespace}`.
    pub backup_ready: IntGaugeVec,
    /// `paperclip_backup_last_success_timestamp_seconds{instance,namespace}`.
    pub backup_last_success: IntGaugeVec,
    /// `paperclip_backup_verified{instance,namespace}`.
    pub backup_proven: IntGaugeVec,
    /// `paperclip_backup_last_verified_timestamp_seconds{instance,namespace}`.
    pub backup_last_verified: IntGaugeVec,
    /// `paperclip_managed_instances`.
    pub managed_instances: IntGauge,
    /// `paperclip_resource_creation_failures_total{instance,namespace,resource}`.
    pub creation_failures: IntCounterVec,
    process_start: Gauge,
    process_memory: Gauge,
    process_cpu: Gauge,
}

const PROCESS_MEMORY: &str = "process_resident_memory_bytes";
const PROCESS_CPU: &str = "process_cpu_seconds_total";

const SECONDS: &[f64] = &[
    0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0,
];

impl Metrics {
    /// A registry with everything registered.
    ///
    /// # Errors
    /// If two metrics have one name: a fault of ours, found by any test.
    pub fn new() -> Result<Arc<Self>, prometheus::Error> {
        let registry = Registry::new();
        let names = std::cell::RefCell::new(Vec::new());
        let register = |metric: Box<dyn prometheus::core::Collector>| {
            let described = metric.desc().into_iter().map(|d| d.fq_name.clone());
            names.borrow_mut().extend(described);
            registry.register(metric)
        };
        let counters =
            |name: &str, help: &str, labels: &[&str]| -> Result<IntCounterVec, prometheus::Error> {
                let metric = IntCounterVec::new(Opts::new(name, help), labels)?;
                register(Box::new(metric.clone()))?;
                Ok(metric)
            };
        let gauges =
            |name: &str, help: &str, labels: &[&str]| -> Result<IntGaugeVec, prometheus::Error> {
                let metric = IntGaugeVec::new(Opts::new(name, help), labels)?;
                register(Box::new(metric.clone()))?;
                Ok(metric)
            };
        let histograms =
            |name: &str, help: &str, labels: &[&str]| -> Result<HistogramVec, prometheus::Error> {
                let metric = HistogramVec::new(
                    HistogramOpts::new(name, help).buckets(SECONDS.to_vec()),
                    labels,
                )?;
                register(Box::new(metric.clone()))?;
                Ok(metric)
            };
        let gauge = |name: &str, help: &str| -> Result<Gauge, prometheus::Error> {
            let metric = Gauge::new(name, help)?;
            register(Box::new(metric.clone()))?;
            Ok(metric)
        };
        let managed_instances = IntGauge::new(
            "paperclip_managed_instances",
            "Instances that the operator manages",
        )?;
        register(Box::new(managed_instances.clone()))?;
        let instance_reconciles = CounterVec::new(
            Opts::new(
                "paperclip_reconcile_total",
                "Reconciles of an Instance by result",
            ),
            &["instance", "namespace", "result"],
        )?;
        register(Box::new(instance_reconciles.clone()))?;
        let informer_last_event = GaugeVec::new(
            Opts::new(
                "paperclip_informer_last_event_timestamp_seconds",
                "When the watch of a kind last delivered something",
            ),
            &["kind"],
        )?;
        register(Box::new(informer_last_event.clone()))?;
        let metrics = Self {
            reconciles: counters(
                "controller_runtime_reconcile_total",
                "Reconciles by result",
                &["controller", "result"],
            )?,
            reconcile_errors: counters(
                "controller_runtime_reconcile_errors_total",
                "Failed reconciles",
                &["controller"],
            )?,
            reconcile_panics: counters(
                "controller_runtime_reconcile_panics_total",
                "Reconciles that panicked",
                &["controller"],
            )?,
            reconcile_timeouts: counters(
                "controller_runtime_reconcile_timeouts_total",
                "Reconciles that took too long",
                &["controller"],
            )?,
            reconcile_time: histograms(
                "controller_runtime_reconcile_time_seconds",
                "Duration of reconciles",
                &["controller"],
            )?,
            max_concurrent: gauges(
                "controller_runtime_max_concurrent_reconciles",
                "Reconciles allowed at once",
                &["controller"],
            )?,
            active_workers: gauges(
                "controller_runtime_active_workers",
                "Reconciles that run",
                &["controller"],
            )?,
            queue_depth: gauges("workqueue_depth", "Objects that wait", &["name"])?,
            queue_adds: counters(
                "workqueue_adds_total",
                "Objects that were queued",
                &["name"],
            )?,
            queue_wait: histograms(
                "workqueue_queue_duration_seconds",
                "Time in the queue",
                &["name"],
            )?,
            queue_retries: counters(
                "workqueue_retries_total",
                "Objects queued again after a failure",
                &["name"],
            )?,
            requests: counters(
                "rest_client_requests_total",
                "Requests to the API server",
                &["code", "method", "host"],
            )?,
            request_time: histograms(
                "rest_client_request_duration_seconds",
                "Duration of requests to the API server",
                &["verb"],
            )?,
            leader: gauges(
                "leader_election_master_status",
                "1 while this process leads",
                &["name"],
            )?,
            writes: counters(
                "paperclip_api_writes_total",
                "Writes to the API server",
                &["kind", "verb"],
            )?,
            informer_synced: gauges(
                "paperclip_informer_synced",
                "1 once a kind was listed completely",
                &["kind"],
            )?,
            informer_objects: gauges(
                "paperclip_informer_objects",
                "Objects known of a kind",
                &["kind"],
            )?,
            informer_restarts: counters(
                "paperclip_informer_restarts_total",
                "Watches that had to be started again after a fault",
                &["kind"],
            )?,
            informer_last_event,
            crd_missing: gauges(
                "paperclip_crd_missing",
                "1 while an optional kind cannot be used",
                &["crd"],
            )?,
            events_dropped: counters(
                "paperclip_events_dropped_total",
                "Events that were not written",
                &["reason"],
            )?,
            instance_reconciles,
            instance_reconcile_time: histograms(
                "paperclip_reconcile_duration_seconds",
                "Duration of an Instance's reconciles",
                &["instance", "namespace"],
            )?,
            instance_phase: gauges(
                "paperclip_instance_phase",
                "1 for the phase that an Instance is in",
                &["instance", "namespace", "phase"],
            )?,
            instance_info: gauges(
                "paperclip_instance_info",
                "Version and image of an Instance",
                &["instance", "namespace", "version", "image"],
            )?,
            instance_ready: gauges(
                "paperclip_instance_ready",
                "1 while an Instance is ready",
                &["instance", "namespace"],
            )?,
            backup_ready: gauges(
                "paperclip_backup_ready",
                "1 while backups of an Instance by its schedule succeed",
                &["instance", "namespace"],
            )?,
            backup_last_success: gauges(
                "paperclip_backup_last_success_timestamp_seconds",
                "When the newest complete backup of an Instance by its schedule was taken",
                &["instance", "namespace"],
            )?,
            backup_proven: gauges(
                "paperclip_backup_verified",
                "1 while the newest proof of an Instance's backups is good and not too old",
                &["instance", "namespace"],
            )?,
            backup_last_verified: gauges(
                "paperclip_backup_last_verified_timestamp_seconds",
                "When a backup of an Instance was last proven by restoring it",
                &["instance", "namespace"],
            )?,
            managed_instances,
            creation_failures: counters(
                "paperclip_resource_creation_failures_total",
                "Objects of an Instance that could not be written",
                &["instance", "namespace", "resource"],
            )?,
            process_start: gauge("process_start_time_seconds", "Start of the process")?,
            process_memory: gauge(PROCESS_MEMORY, "Resident memory")?,
            process_cpu: gauge(PROCESS_CPU, "User and system CPU time")?,
            names: names.take(),
            registry,
        };
        #[allow(clippy::cast_precision_loss)] // seconds since 1970 fit
        metrics
            .process_start
            .set(jiff::Timestamp::now().as_second() as f64);
        Ok(Arc::new(metrics))
    }

    /// The names of all metrics.
    pub fn names(&self) -> Vec<String> {
        self.names.clone()
    }

    /// The series of one Instance in Prometheus' text format; all of its namespace's, or all of its name's, if only one is given.
    ///
    /// # Errors
    /// If a series cannot be written.
    pub fn text_of(
        &self,
        namespace: Option<&str>,
        instance: Option<&str>,
    ) -> Result<String, prometheus::Error> {
        let mut families = self.registry.gather();
        for family in &mut families {
            let of_it = |metric: &prometheus::proto::Metric| {
                let has = |name: &str, wanted: Option<&str>| {
                    wanted.is_none_or(|wanted| {
                        let mut labels = metric.get_label().iter();
                        labels.any(|l| l.name() == name && l.value() == wanted)
                    })
                };
                has("namespace", namespace) && has("instance", instance)
            };
            let kept: Vec<_> = family
                .get_metric()
                .iter()
                .filter(|m| of_it(m))
                .cloned()
                .collect();
            family.set_metric(kept);
        }
        families.retain(|f| !f.get_metric().is_empty());
        TextEncoder::new().encode_to_string(&families)
    }

    /// All series in Prometheus' text format.
    ///
    /// # Errors
    /// If a series cannot be written.
    pub fn text(&self) -> Result<String, prometheus::Error> {
        let unread = self.read_process();
        let mut families = self.registry.gather();
        // A figure that nobody could read is absent, not nothing.
        families.retain(|f| !unread.contains(&f.name()));
        TextEncoder::new().encode_to_string(&families)
    }

    /// Kernel's figures of this process, if `/proc` has them; names of those that it has not.
    fn read_process(&self) -> Vec<&'static str> {
        let mut unread = vec![PROCESS_MEMORY, PROCESS_CPU];
        if let Ok(statm) = std::fs::read_to_string("/proc/self/statm")
            && let Some(pages) = statm.split(' ').nth(1).and_then(|p| p.parse::<f64>().ok())
        {
            self.process_memory.set(pages * 4096.0);
            unread.retain(|name| *name != PROCESS_MEMORY);
        }
        if let Ok(stat) = std::fs::read_to_string("/proc/self/stat")
            && let Some((_, rest)) = stat.rsplit_once(") ")
        {
            let ticks: f64 = rest
                .split(' ')
                .skip(11)
                .take(2)
                .filter_map(|t| t.parse::<f64>().ok())
                .sum();
            self.process_cpu.set(ticks / 100.0);
            unread.retain(|name| *name != PROCESS_CPU);
        }
        unread
    }

    /// The queue of controller `name`.
    pub fn queue(self: &Arc<Self>, name: &'static str) -> WorkQueue {
        WorkQueue {
            metrics: self.clone(),
            name,
        }
    }

    /// Removes the series of an Instance that is gone.
    pub fn forget_instance(&self, namespace: &str, name: &str) {
        for result in ["success", "error"] {
            let _ = self
                .instance_reconciles
                .remove_label_values(&[name, namespace, result]);
        }
        let _ = self
            .instance_reconcile_time
            .remove_label_values(&[name, namespace]);
        let _ = self.instance_ready.remove_label_values(&[name, namespace]);
        for gauge in [
            &self.backup_ready,
            &self.backup_last_success,
            &self.backup_proven,
            &self.backup_last_verified,
        ] {
            let _ = gauge.remove_label_values(&[name, namespace]);
        }
        let gone = |family: &str| {
            self.registry
                .gather()
                .into_iter()
                .filter(|f| f.name() == family)
                .flat_map(|f| f.get_metric().to_vec())
                .map(|m| {
                    m.get_label()
                        .iter()
                        .map(|l| (l.name().to_owned(), l.value().to_owned()))
                        .collect::<std::collections::HashMap<_, _>>()
                })
                .filter(|l| {
                    l.get("instance").map(String::as_str) == Some(name)
                        && l.get("namespace").map(String::as_str) == Some(namespace)
                })
                .collect::<Vec<_>>()
        };
        let value = |labels: &std::collections::HashMap<String, String>, key: &str| {
            labels.get(key).cloned().unwrap_or_default()
        };
        for l in gone("paperclip_instance_phase") {
            let _ =
                self.instance_phase
                    .remove_label_values(&[name, namespace, &value(&l, "phase")]);
        }
        for l in gone("paperclip_instance_info") {
            let _ = self.instance_info.remove_label_values(&[
                name,
                namespace,
                &value(&l, "version"),
                &value(&l, "image"),
            ]);
        }
        for l in gone("paperclip_resource_creation_failures_total") {
            let _ = self.creation_failures.remove_label_values(&[
                name,
                namespace,
                &value(&l, "resource"),
            ]);
        }
    }
}

/// The queue metrics of one controller.
#[derive(Clone)]
pub struct WorkQueue {
    metrics: Arc<Metrics>,
    name: &'static str,
}

impl WorkQueue {
    /// One more waits; `depth` wait now.
    pub fn added(&self, depth: usize) {
        self.metrics
            .queue_adds
            .with_label_values(&[self.name])
            .inc();
        self.depth(depth);
    }
    /// `depth` wait now.
    pub fn depth(&self, depth: usize) {
        self.metrics
            .queue_depth
            .with_label_values(&[self.name])
            .set(i64::try_from(depth).unwrap_or(i64::MAX));
    }
    /// One was taken out after `waited`.
    pub fn taken(&self, waited: Duration) {
        self.metrics
            .queue_wait
            .with_label_values(&[self.name])
            .observe(waited.as_secs_f64());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn series_of_a_deleted_instance_disappear_and_others_stay() -> Result<(), prometheus::Error> {
        let m = Metrics::new()?;
        for name in ["a", "b"] {
            m.instance_ready.with_label_values(&[name, "ns"]).set(1);
            m.instance_phase
                .with_label_values(&[name, "ns", "Running"])
                .set(1);
            m.instance_info
                .with_label_values(&[name, "ns", "1", "i"])
                .set(1);
            m.creation_failures
                .with_label_values(&[name, "ns", "service"])
                .inc();
        }
        m.forget_instance("ns", "a");
        let text = m.text()?;
        assert!(!text.contains("instance=\"a\""), "{text}");
        assert_eq!(text.matches("instance=\"b\"").count(), 4);
        Ok(())
    }
}
