//! Many Instances at once, then at rest, then seen by an operator that has just started.

use std::collections::HashSet;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use futures::{StreamExt as _, TryStreamExt as _, stream};
use kube::api::{Api, DynamicObject, ListParams, PostParams};
use kube::runtime::{WatchStreamExt as _, watcher};
use kube::{Client, ResourceExt as _};
use serde_json::Value;

use super::single::{instance, resource};
use super::{Figure, Plan, calibrate, process, writes};
use crate::harness::{Cluster, Operator};

const PLACES: usize = 16;

/// Waits until `count` Instances are Running, by a watch.
pub async fn all_running(
    instances: &Api<DynamicObject>,
    count: usize,
    bound: Duration,
) -> Result<()> {
    let mut running = HashSet::new();
    let wait = async {
        let mut events = std::pin::pin!(
            watcher(instances.clone(), watcher::Config::default())
                .default_backoff()
                .applied_objects()
        );
        while let Some(event) = events.next().await {
            let Ok(object) = event else { continue };
            if object.data["status"]["phase"] == "Running" {
                running.insert(object.name_any());
                if running.len() >= count {
                    return Ok(());
                }
            }
        }
        bail!("the watch ended")
    };
    match tokio::time::timeout(bound, wait).await {
        Ok(result) => result,
        Err(_) => bail!(
            "{} of {count} are Running after {} s",
            running.len(),
            bound.as_secs()
        ),
    }
}

/// See the module.
pub async fn run(
    cluster: &Cluster,
    operator: &mut Operator<'_>,
    client: &Client,
    plan: &Plan,
) -> Result<Vec<Figure>> {
    let count = plan.fleet;
    let namespace = cluster.namespace("bench-fleet").await?;
    let instances: Api<DynamicObject> = Api::namespaced_with(
        client.clone(),
        &namespace.name,
        &resource("paperclip.inc", "v1alpha1", "Instance"),
    );
    let mut figures = vec![];

    // All at once.
    let (mark, cpu) = (cluster.audit_mark()?, process::cpu(operator)?);
    let start = Instant::now();
    let (namespace_name, api) = (&namespace.name, &instances);
    stream::iter(0..count)
        .map(|i| async move {
            api.create(
                &PostParams::default(),
                &instance(namespace_name, &format!("fleet-{i:05}"))?,
            )
            .await?;
            Ok::<_, anyhow::Error>(())
        })
        .buffer_unordered(PLACES)
        .try_collect::<()>()
        .await?;
    all_running(&instances, count, Duration::from_secs(900)).await?;
    let took = start.elapsed();
    tokio::time::sleep(Duration::from_secs(10)).await;
    let cpu = process::cpu(operator)?.saturating_sub(cpu);
    let (written, events) = writes(&cluster.audit_since(mark)?, &operator.username());
    #[allow(clippy::cast_precision_loss)]
    let each = written as f64 / count as f64;
    figures.push(Figure::new(
        format!("{count} Instances at once, until all are Running"),
        format!("{:.1} s; operator CPU {:.1} s; {each:.1} writes per Instance, and {events} events in all", took.as_secs_f64(), cpu.as_secs_f64()),
    ));
    figures.push(Figure::new(
        format!("resident memory, {count} Instances"),
        process::memory(operator)?,
    ));

    // At rest.
    tokio::time::sleep(Duration::from_secs(20)).await;
    let (mark, cpu) = (cluster.audit_mark()?, process::cpu(operator)?);
    tokio::time::sleep(plan.rest).await;
    let audit = cluster.audit_since(mark)?;
    let (written, events) = writes(&audit, &operator.username());
    let reads = audit
        .iter()
        .filter(|e| {
            e.username() == operator.username() && matches!(e.verb.as_str(), "get" | "list")
        })
        .count();
    figures.push(Figure::new(
        format!("{count} Instances at rest, {} s", plan.rest.as_secs()),
        format!(
            "{written} writes, {events} events, {reads} reads, CPU {} ms",
            process::cpu(operator)?.saturating_sub(cpu).as_millis()
        ),
    ));

    // Cold start.
    operator.kill9().await?;
    let mark = cluster.audit_mark()?;
    let (start, ready) = process::spawn_until_ready(operator).await?;
    let done = passes_done(operator, 2 * count, start).await?;
    tokio::time::sleep(Duration::from_secs(10)).await;
    let audit = cluster.audit_since(mark)?;
    let (written, events) = writes(&audit, &operator.username());
    let calls = audit
        .iter()
        .filter(|e| e.username() == operator.username() && e.object_ref.resource != "leases")
        .count();
    figures.push(Figure::new(
        format!("cold start with {count} Instances"),
        format!("ready after {} ms, every object looked at after {} ms; {written} writes, {events} events, {calls} calls", ready.as_millis(), done.as_millis()),
    ));
    figures.push(Figure::new(
        format!("resident memory after a cold start with {count} Instances"),
        process::memory(operator)?,
    ));

    // The yardstick: the same objects, written by a client that has nothing to think about, with no operator about.
    let templates = templates(client, &namespace.name, "fleet-00000").await?;
    operator.stop().await?;
    let raw = cluster.namespace("bench-raw").await?;
    let templates: Vec<_> = templates
        .into_iter()
        .map(|(path, body)| {
            let text = body.to_string().replace(&namespace.name, &raw.name);
            Ok((
                path.replace(&namespace.name, &raw.name),
                serde_json::from_str(&text)?,
            ))
        })
        .collect::<Result<_>>()?;
    let names: Vec<String> = (0..count).map(|i| format!("fleet-{i:05}")).collect();
    let written = calibrate::replay(client, &templates, "fleet-00000", &names, PLACES).await?;
    figures.push(Figure::new(
        format!("yardstick: the same {} objects for {count} Instances, written by a bare client, {PLACES} at once", templates.len()),
        format!("{:.1} s; the operator took {:.2} times as long", written.as_secs_f64(), took.as_secs_f64() / written.as_secs_f64()),
    ));
    Ok(figures)
}

/// Time from `start` until the operator has made `count` passes.
async fn passes_done(operator: &Operator<'_>, count: usize, start: Instant) -> Result<Duration> {
    loop {
        let text = operator.metrics().await?;
        let passes: f64 = text
            .lines()
            .filter(|l| l.starts_with("controller_runtime_reconcile_total{"))
            .filter_map(|l| l.rsplit(' ').next()?.parse::<f64>().ok())
            .sum();
        #[allow(clippy::cast_precision_loss)]
        if passes >= count as f64 {
            return Ok(start.elapsed());
        }
        if start.elapsed() > Duration::from_secs(120) {
            bail!("{passes} passes after 120 s");
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// What one Instance became, ready to be created elsewhere.
async fn templates(
    client: &Client,
    namespace: &str,
    name: &str,
) -> Result<Vec<calibrate::Template>> {
    let kinds = [
        ("paperclip.inc", "v1alpha1", "Instance"),
        ("paperclip.inc", "v1alpha1", "PaperclipDatabase"),
        ("", "v1", "Secret"),
        ("", "v1", "PersistentVolumeClaim"),
        ("", "v1", "ServiceAccount"),
        ("", "v1", "Service"),
        ("networking.k8s.io", "v1", "NetworkPolicy"),
        ("apps", "v1", "StatefulSet"),
        ("batch", "v1", "Job"),
    ];
    let mut templates = vec![];
    for (group, version, kind) in kinds {
        let resource = resource(group, version, kind);
        let api: Api<DynamicObject> = Api::namespaced_with(client.clone(), namespace, &resource);
        let list = api
            .list(&ListParams::default())
            .await
            .with_context(|| format!("list of {kind}"))?;
        for object in list
            .items
            .into_iter()
            .filter(|o| o.name_any().starts_with(name))
        {
            let mut body = serde_json::to_value(&object)?;
            clean(&mut body);
            body["apiVersion"] = resource.api_version.clone().into();
            body["kind"] = kind.into();
            let root = if group.is_empty() {
                "/api/v1".to_owned()
            } else {
                format!("/apis/{group}/{version}")
            };
            templates.push((
                format!("{root}/namespaces/{namespace}/{}", resource.plural),
                body,
            ));
        }
    }
    Ok(templates)
}

/// Takes out what the API server fills in or would refuse.
fn clean(object: &mut Value) {
    if let Some(map) = object.as_object_mut() {
        map.remove("status");
    }
    if let Some(meta) = object["metadata"].as_object_mut() {
        for key in [
            "uid",
            "resourceVersion",
            "creationTimestamp",
            "managedFields",
            "generation",
            "ownerReferences",
            "finalizers",
        ] {
            meta.remove(key);
        }
        if let Some(annotations) = meta.get_mut("annotations").and_then(Value::as_object_mut) {
            annotations.retain(|key, _| key.starts_with("paperclip.inc/"));
        }
    }
    if let Some(spec) = object["spec"].as_object_mut() {
        for key in ["clusterIP", "clusterIPs", "volumeName"] {
            spec.remove(key);
        }
        if spec.contains_key("podFailurePolicy") || spec.contains_key("backoffLimit") {
            spec.remove("selector");
            spec.remove("manualSelector");
            if let Some(labels) = spec
                .get_mut("template")
                .and_then(|t| t["metadata"]["labels"].as_object_mut())
            {
                labels
                    .retain(|key, _| !key.contains("controller-uid") && !key.contains("job-name"));
            }
        }
    }
}
