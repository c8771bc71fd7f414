//! One Instance at a time: how many writes it costs, and how long it takes until all its objects exist.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use futures::StreamExt as _;
use kube::api::{Api, ApiResource, DynamicObject, GroupVersionKind, PostParams};
use kube::runtime::{WatchStreamExt as _, watcher};
use kube::{Client, ResourceExt as _};
use serde_json::json;
use tokio::sync::mpsc;

use super::{Figure, calibrate, percentiles, writes};
use crate::harness::{Cluster, Operator};

/// Kinds whose objects appear at once. The migration Job waits for the database, so it is not among them.
const KINDS: &[(&str, &str, &str)] = &[
    ("", "v1", "Service"),
    ("", "v1", "ServiceAccount"),
    ("", "v1", "PersistentVolumeClaim"),
    ("", "v1", "Secret"),
    ("apps", "v1", "StatefulSet"),
    ("networking.k8s.io", "v1", "NetworkPolicy"),
    ("paperclip.inc", "v1alpha1", "PaperclipDatabase"),
];

/// An Instance that asks for nothing.
pub fn instance(namespace: &str, name: &str) -> Result<DynamicObject> {
    Ok(serde_json::from_value(json!({
        "apiVersion": "paperclip.inc/v1alpha1", "kind": "Instance",
        "metadata": {"name": name, "namespace": namespace}, "spec": {"image": {"tag": "2026.916.1"}},
    }))?)
}

/// How to reach a kind.
pub fn resource(group: &str, version: &str, kind: &str) -> ApiResource {
    let plural = match kind {
        "NetworkPolicy" => "networkpolicies".to_owned(),
        other => format!("{}s", other.to_lowercase()),
    };
    ApiResource::from_gvk_with_plural(&GroupVersionKind::gvk(group, version, kind), &plural)
}

/// Creates `count` Instances, one after the other.
pub async fn run(
    cluster: &Cluster,
    operator: &Operator<'_>,
    client: &Client,
    count: usize,
) -> Result<Vec<Figure>> {
    let namespace = cluster.namespace("bench-single").await?;
    let instances: Api<DynamicObject> = Api::namespaced_with(
        client.clone(),
        &namespace.name,
        &resource("paperclip.inc", "v1alpha1", "Instance"),
    );
    let mut seen = observe(client, &namespace.name);

    // The first one tells which objects there are.
    let mark = cluster.audit_mark()?;
    instances
        .create(&PostParams::default(), &instance(&namespace.name, "first")?)
        .await?;
    super::fleet::all_running(&instances, 1, Duration::from_secs(120)).await?;
    tokio::time::sleep(Duration::from_secs(5)).await;
    let audit = cluster.audit_since(mark)?;
    let (written, events) = writes(&audit, &operator.username());
    let mut by_kind: BTreeMap<String, usize> = BTreeMap::new();
    for e in audit
        .iter()
        .filter(|e| e.username() == operator.username() && e.is_write() && e.code() < 300)
    {
        let sub = if e.object_ref.subresource.is_empty() {
            String::new()
        } else {
            format!("/{}", e.object_ref.subresource)
        };
        *by_kind
            .entry(format!("{}{sub}", e.object_ref.resource))
            .or_default() += 1;
    }
    let detail: Vec<String> = by_kind
        .iter()
        .map(|(kind, n)| format!("{n} {kind}"))
        .collect();
    let mut wanted: BTreeSet<String> = BTreeSet::new();
    while let Ok((object, _)) = seen.try_recv() {
        if object.contains("/first") {
            wanted.insert(object);
        }
    }
    let mut times = vec![];
    for i in 0..count {
        let name = format!("single-{i}");
        let mut waiting: BTreeSet<String> = wanted
            .iter()
            .map(|o| o.replace("/first", &format!("/{name}")))
            .collect();
        let start = Instant::now();
        instances
            .create(&PostParams::default(), &instance(&namespace.name, &name)?)
            .await?;
        let mut last = start;
        while !waiting.is_empty() {
            match tokio::time::timeout(Duration::from_secs(30), seen.recv()).await {
                Ok(Some((object, at))) => {
                    if waiting.remove(&object) {
                        last = at;
                    }
                }
                _ => bail!("never seen: {waiting:?}"),
            }
        }
        times.push(last - start);
        // The next one finds a quiet cluster.
        tokio::time::sleep(Duration::from_millis(700)).await;
    }
    let (p50, p99) = percentiles(times);
    Ok(vec![
        Figure::new(
            "writes for one create, until Running",
            format!("{written}, and {events} events ({})", detail.join(", ")),
        ),
        Figure::new(
            format!(
                "create of one Instance to all its {} objects ({count} times, one by one)",
                wanted.len()
            ),
            format!(
                "p50 {:.1} ms, p99 {:.1} ms",
                calibrate::millis(p50),
                calibrate::millis(p99)
            ),
        ),
    ])
}

/// Sends `Kind/name` and the moment for each object that appears.
fn observe(client: &Client, namespace: &str) -> mpsc::UnboundedReceiver<(String, Instant)> {
    let (sender, receiver) = mpsc::unbounded_channel();
    for (group, version, kind) in KINDS {
        let api: Api<DynamicObject> =
            Api::namespaced_with(client.clone(), namespace, &resource(group, version, kind));
        let sender = sender.clone();
        tokio::spawn(async move {
            let mut events = std::pin::pin!(
                watcher(api, watcher::Config::default())
                    .default_backoff()
                    .applied_objects()
            );
            while let Some(event) = events.next().await {
                if let Ok(object) = event
                    && sender
                        .send((format!("{kind}/{}", object.name_any()), Instant::now()))
                        .is_err()
                {
                    return;
                }
            }
        });
    }
    receiver
}
