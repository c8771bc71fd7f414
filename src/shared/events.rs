//! Kubernetes events, written beside the passes: a pass never waits for one and never fails by one. Callers send an event only when a
//! fact changed. At most ten per object and minute; the rest is counted.

use super::api::ApiServer;
use super::cache::Seen;
use super::metrics::Metrics;
use super::wish::{Kind, Scoped};
use serde_json::json;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::mpsc;

/// How serious it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Severity {
    /// For the record.
    Normal,
    /// Somebody may have to act.
    Warning,
}

/// The object that an event is about.
#[derive(Clone, Debug)]
pub struct Regarding {
    /// Its kind.
    pub kind: Kind,
    /// Namespace.
    pub namespace: String,
    /// Name.
    pub name: String,
    /// Uid.
    pub uid: String,
}

impl Regarding {
    /// An object as it was seen.
    pub fn of<K, V>(seen: &Seen<V>) -> Self
    where
        K: kube::Resource<DynamicType = ()>,
        K::Scope: Scoped,
    {
        Self {
            kind: Kind::of::<K>(),
            namespace: seen.key.namespace.to_string(),
            name: seen.key.name.to_string(),
            uid: seen.uid.to_string(),
        }
    }
}

/// An event that waits to be written.
#[derive(Debug)]
struct Note {
    regarding: Regarding,
    severity: Severity,
    reason: String,
    text: String,
    trace: Option<String>,
}

/// Where events are handed in.
#[derive(Clone)]
pub struct Events {
    queue: mpsc::Sender<Note>,
    metrics: Arc<Metrics>,
}

const PER_MINUTE: usize = 10;

impl Events {
    /// A queue and the task that writes what is in it; the task ends when the last [`Events`] is dropped.
    pub fn new(
        api: Arc<ApiServer>,
        metrics: Arc<Metrics>,
        reporter: String,
    ) -> (Self, impl Future<Output = ()> + Send) {
        let (queue, waiting) = mpsc::channel(512);
        (
            Self {
                queue,
                metrics: metrics.clone(),
            },
            write(api, metrics, reporter, waiting),
        )
    }

    /// Hands in an event. Dropped and counted if too many wait.
    pub fn send(&self, regarding: &Regarding, severity: Severity, reason: &str, text: &str) {
        let note = Note {
            regarding: regarding.clone(),
            severity,
            reason: reason.to_owned(),
            text: super::conditions::limit(&super::conditions::clean(text), 1000),
            trace: super::telemetry::traceparent(),
        };
        if self.queue.try_send(note).is_err() {
            self.metrics
                .events_dropped
                .with_label_values(&["queue"])
                .inc();
        }
    }
}

async fn write(
    api: Arc<ApiServer>,
    metrics: Arc<Metrics>,
    reporter: String,
    mut waiting: mpsc::Receiver<Note>,
) {
    let kind = Kind::of::<k8s_openapi::api::events::v1::Event>();
    let mut recent: HashMap<String, (Instant, usize)> = HashMap::new();
    while let Some(note) = waiting.recv().await {
        let about = &note.regarding;
        recent.retain(|_, (since, _)| since.elapsed() < Duration::from_secs(60));
        let count = &mut recent
            .entry(about.uid.clone())
            .or_insert((Instant::now(), 0))
            .1;
        *count += 1;
        if *count > PER_MINUTE {
            metrics.events_dropped.with_label_values(&["rate"]).inc();
            continue;
        }
        let Ok(suffix) = super::random::bytes::<5>() else {
            continue;
        };
        let namespace = if about.namespace.is_empty() {
            "default"
        } else {
            &about.namespace
        };
        // An object's name may be 253 characters long, and so may the event's.
        let stem: String = about.name.chars().take(240).collect();
        let body = json!({
            "apiVersion": "events.k8s.io/v1", "kind": "Event",
            "metadata": {
                "name": format!("{stem}.{}", super::random::hex(&suffix)), "namespace": namespace,
                "annotations": note.trace.map_or_else(|| json!({}), |t| json!({super::names::ANNOTATION_TRACEPARENT: t})),
            },
            "regarding": {"apiVersion": about.kind.api_version(), "kind": about.kind.kind, "namespace": about.namespace, "name": about.name, "uid": about.uid},
            "type": match note.severity { Severity::Normal => "Normal", Severity::Warning => "Warning" },
            "reason": note.reason, "note": note.text, "action": "Reconcile",
            "reportingController": "paperclip.inc/operator", "reportingInstance": reporter,
            "eventTime": jiff::Timestamp::now().strftime("%Y-%m-%dT%H:%M:%S.%6fZ").to_string(),
        });
        if let Err(error) = api
            .create(&kind, namespace, "paperclip-operator", &body)
            .await
        {
            metrics.events_dropped.with_label_values(&["error"]).inc();
            tracing::debug!(%error, reason = note.reason, "event not written");
        }
    }
}
