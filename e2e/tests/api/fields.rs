//! Every field of an Instance on a real API server: what is set has an effect in the objects or is told in a condition, and what is taken
//! back leaves the objects as they were.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use futures::{StreamExt as _, stream};
use http::Request;
use kube::api::{Api, ApiResource, DeleteParams, DynamicObject, ListParams, PostParams};
use kube::core::GroupVersionKind;
use kube::{Client, ResourceExt as _};
use paperclip_e2e::cluster::Tier;
use paperclip_e2e::harness::{Cluster, OperatorOptions, wait_for, workspace};
use serde_json::{Value, json};

use crate::monitoring;
use beside::WITHOUT_EFFECT;
use leaves::{beside, leaves, put, values};
use schema_walk::at;

#[path = "../../../tests/instance_fields/beside.rs"]
mod beside;
#[path = "../../../tests/instance_fields/leaves.rs"]
mod leaves;
#[allow(dead_code)] // shared with other tests
#[path = "../../../tests/schema_walk/mod.rs"]
mod schema_walk;

const LONG: Duration = Duration::from_secs(120);
/// Objects of a ready Instance that are the same after so long have come to rest.
const QUIET: Duration = Duration::from_millis(1500);
/// An Instance that is still the same after so long, and not ready, waits for something that does not come.
const PATIENT: Duration = Duration::from_secs(8);
/// Instances that are tried at the same time.
const PLACES: usize = 12;

/// Fields that the API server does not let go back, or does not let change at all; that is told by its answer.
const ONE_WAY: &[&str] = &[
    "database.managed.engine",
    "database.managed.storageSize",
    "storage.persistence.size",
    "storage.persistence.accessModes[]",
];

/// Conditions that say what became of a field.
const TELLING: &[&str] = &["ConfigAccepted", "ReferencesResolved", "MonitoringReady"];

/// Fields of what is made once, so that a later change is refused, in words.
const TOLD_AS_WRONG: &[&str] = &["storage.persistence.storageClass"];
/// Fields of a Job, which is a record.
const RECORDED: &[&str] = &["auth.adminUser.name"];

/// Kinds of what an Instance becomes. Keys are kept by design, Jobs as a record, so they are not among them.
const KINDS: &[(&str, &str, &str, &str)] = &[
    ("", "v1", "Service", "services"),
    ("", "v1", "ServiceAccount", "serviceaccounts"),
    ("", "v1", "ConfigMap", "configmaps"),
    ("apps", "v1", "StatefulSet", "statefulsets"),
    ("apps", "v1", "Deployment", "deployments"),
    ("", "v1", "PersistentVolumeClaim", "persistentvolumeclaims"),
    (
        "monitoring.coreos.com",
        "v1",
        "PrometheusRule",
        "prometheusrules",
    ),
    (
        "monitoring.coreos.com",
        "v1",
        "ServiceMonitor",
        "servicemonitors",
    ),
    (
        "autoscaling",
        "v2",
        "HorizontalPodAutoscaler",
        "horizontalpodautoscalers",
    ),
    (
        "policy",
        "v1",
        "PodDisruptionBudget",
        "poddisruptionbudgets",
    ),
    (
        "networking.k8s.io",
        "v1",
        "NetworkPolicy",
        "networkpolicies",
    ),
    ("networking.k8s.io", "v1", "Ingress", "ingresses"),
    (
        "paperclip.inc",
        "v1alpha1",
        "PaperclipDatabase",
        "paperclipdatabases",
    ),
    (
        "paperclip.inc",
        "v1alpha1",
        "PaperclipBackup",
        "paperclipbackups",
    ),
    (
        "paperclip.inc",
        "v1alpha1",
        "PaperclipImageWatch",
        "paperclipimagewatches",
    ),
];

fn resource((group, version, kind, plural): (&str, &str, &str, &str)) -> ApiResource {
    ApiResource::from_gvk_with_plural(&GroupVersionKind::gvk(group, version, kind), plural)
}

/// What a restore is asked for with: one value is asked for once, so that neither a change of it nor taking it back leads anywhere. That each
/// reaches the PaperclipRestore is tested where objects are built; what becomes of it, in `restore`.
fn is_asked_once(path: &str) -> bool {
    path == "restoreFrom" || (path.starts_with("restore.") && path != "restore.pauseAgents")
}

/// What an Instance has led to: objects, and what its conditions say of the spec.
#[derive(Clone, Debug, PartialEq)]
struct Effect {
    objects: BTreeMap<String, Value>,
    told: Value,
}

struct Bench {
    client: Client,
    namespace: String,
}

impl Bench {
    fn instances(&self) -> Api<DynamicObject> {
        let kind = resource(("paperclip.inc", "v1alpha1", "Instance", "instances"));
        Api::namespaced_with(self.client.clone(), &self.namespace, &kind)
    }

    /// What it has led to.
    async fn look(&self, instance: &DynamicObject) -> Result<Effect> {
        let name = instance.name_any();
        let told = conditions(instance)
            .filter(|c| TELLING.iter().any(|kind| c["type"] == *kind))
            .map(|c| json!([c["type"], c["status"], c["reason"], c["message"]]))
            .collect();
        let mut objects = BTreeMap::new();
        for kind in KINDS {
            let resource = resource(*kind);
            let api: Api<DynamicObject> =
                Api::namespaced_with(self.client.clone(), &self.namespace, &resource);
            let labelled =
                ListParams::default().labels(&format!("app.kubernetes.io/instance={name}"));
            for object in api.list(&labelled).await?.items {
                objects.insert(
                    format!("{}/{}", kind.2, object.name_any()),
                    content(&object),
                );
            }
        }
        Ok(Effect { objects, told })
    }

    /// What it is when nothing changes any more. Looked at as a whole only when the Instance itself does not change any more.
    async fn rest(&self, name: &str) -> Result<Effect> {
        let (mut version, mut since) = (None, Instant::now());
        let mut last = None;
        wait_for(&format!("{name} to come to rest"), LONG, async || {
            tokio::time::sleep(QUIET / 4).await;
            let now = self.instances().get(name).await?;
            if version != now.resource_version() {
                (version, since, last) = (now.resource_version(), Instant::now(), None);
            }
            let enough = if is_ready(&now) { QUIET } else { PATIENT };
            if since.elapsed() < enough || !is_current(&now) {
                return Ok(None);
            }
            let effect = self.look(&now).await?;
            if last.as_ref() == Some(&effect) {
                return Ok(Some(effect));
            }
            last = Some(effect);
            Ok(None)
        })
        .await
    }

    /// Gives it this spec; `Some`: the API server refuses, with this message.
    async fn set(&self, name: &str, spec: &Value) -> Result<Option<String>> {
        let patch = json!([{"op": "replace", "path": "/spec", "value": spec}]);
        let (group, namespace) = ("apis/paperclip.inc/v1alpha1", &self.namespace);
        let request = Request::patch(format!("/{group}/namespaces/{namespace}/instances/{name}"))
            .header("content-type", "application/json-patch+json")
            .body(serde_json::to_vec(&patch)?)?;
        let sent = self.client.request::<Value>(request).await;
        match sent {
            Ok(_) => Ok(None),
            Err(kube::Error::Api(status)) if status.code == 422 => Ok(Some(status.message)),
            Err(other) => Err(other.into()),
        }
    }

    /// Tries one field.
    async fn try_field(&self, schema: &Value, index: usize, path: &str) -> Result<()> {
        let name = format!("f{index}");
        let (mut spec, own) = beside(path);
        // What follows the image of the day would differ from run to run.
        if spec["image"]["tag"].is_null() {
            put(&mut spec, "image.tag", json!("2026.916.1"));
        }
        let mut instance = DynamicObject::new(
            &name,
            &resource(("paperclip.inc", "v1alpha1", "Instance", "instances")),
        );
        instance.data = json!({"spec": spec});
        self.instances()
            .create(&PostParams::default(), &instance)
            .await?;
        let before = self.rest(&name).await.context("before")?;
        if is_told_as_a_whole(&before, path) {
            return self.instances_gone(&name).await;
        }
        let mut has_effect = false;
        for value in own.map_or_else(|| values(at(schema, &format!(".spec.{path}"))), |v| vec![v]) {
            let mut with = spec.clone();
            put(&mut with, path, value.clone());
            if with == spec {
                continue;
            }
            if let Some(refused) = self.set(&name, &with).await? {
                ensure!(ONE_WAY.contains(&path), "{value} is refused: {refused}");
                has_effect = true;
                continue;
            }
            let after = self.rest(&name).await.context("changed")?;
            ensure!(
                TOLD_AS_WRONG.contains(&path) || !after.told.to_string().contains("InvalidSpec"),
                "{value}: {}",
                after.told
            );
            has_effect |= after != before;
            if let Some(refused) = self.set(&name, &spec).await? {
                ensure!(ONE_WAY.contains(&path), "no way back: {refused}");
                continue;
            }
            let back = self.rest(&name).await.context("back")?;
            if back != before && !ONE_WAY.contains(&path) {
                bail!(
                    "after {value} was taken back: {}",
                    difference(&before, &back)
                );
            }
        }
        ensure!(
            has_effect
                || RECORDED.contains(&path)
                || WITHOUT_EFFECT.iter().any(|(p, _)| *p == path),
            "nothing happens, and nothing is told"
        );
        self.instances_gone(&name).await
    }

    /// Makes room for the next one.
    async fn instances_gone(&self, name: &str) -> Result<()> {
        self.instances()
            .delete(name, &DeleteParams::default())
            .await?;
        Ok(())
    }
}

fn conditions(instance: &DynamicObject) -> impl Iterator<Item = &Value> {
    let all = instance.data["status"]["conditions"].as_array();
    all.into_iter().flatten()
}

fn is_ready(instance: &DynamicObject) -> bool {
    conditions(instance).any(|c| c["type"] == "Ready" && c["status"] == "True")
}

/// Its status is about its present spec.
fn is_current(instance: &DynamicObject) -> bool {
    let observed = instance.data["status"]["observedGeneration"].as_i64();
    observed == instance.metadata.generation
}

/// A section that is not built, or not read, is told once.
fn is_told_as_a_whole(before: &Effect, path: &str) -> bool {
    let told = before.told.to_string();
    let ends = path.match_indices(['.', '[', '{']).map(|(i, _)| &path[..i]);
    ends.into_iter()
        .any(|whole| told.contains(&format!("spec.{whole}: ")))
}

/// What of an object is ours: no versions, no times, nothing that the cluster fills in anew.
fn content(object: &DynamicObject) -> Value {
    let mut data = object.data.clone();
    if let Some(map) = data.as_object_mut() {
        map.remove("status");
    }
    for key in ["clusterIP", "clusterIPs", "healthCheckNodePort"] {
        if let Some(map) = data["spec"].as_object_mut() {
            map.remove(key);
        }
    }
    for port in data["spec"]["ports"].as_array_mut().into_iter().flatten() {
        if let Some(map) = port.as_object_mut() {
            map.remove("nodePort");
        }
    }
    let mut annotations = object.annotations().clone();
    annotations
        .retain(|key, _| key != "paperclip.inc/traceparent" && key != "paperclip.inc/applied-hash");
    json!({"labels": object.labels(), "annotations": annotations, "data": data})
}

fn difference(before: &Effect, after: &Effect) -> String {
    let mut text = String::new();
    for key in before.objects.keys().chain(after.objects.keys()) {
        let (a, b) = (before.objects.get(key), after.objects.get(key));
        if a != b {
            let show = |v: Option<&Value>| v.map_or_else(|| "absent".to_owned(), Value::to_string);
            text = format!("{text}\n{key}\n  was {}\n  is  {}", show(a), show(b));
        }
    }
    if before.told != after.told {
        text = format!("{text}\ntold\n  was {}\n  is  {}", before.told, after.told);
    }
    text
}

fn schema() -> Result<Value> {
    let file = workspace().join(Path::new("deploy/crds/instances.yaml"));
    let text = std::fs::read_to_string(&file).with_context(|| file.display().to_string())?;
    let definition: Value = serde_saphyr::from_str(&text)?;
    Ok(definition["spec"]["versions"][0]["schema"]["openAPIV3Schema"].clone())
}

#[tokio::test]
async fn every_field_has_its_effect_and_goes_back() -> Result<()> {
    // Kinds that not every cluster has are there.
    let cluster = Cluster::start(Tier::Api).await?;
    cluster.install_definitions().await?;
    monitoring::install_definitions(&cluster).await?;
    let namespace = cluster.namespace("fields").await?;
    let mut options = OperatorOptions::for_namespace(&namespace.name);
    options.arguments = vec!["--metrics-service=paperclip-operator-metrics".to_owned()];
    let _operator = cluster.operator(options).await?;
    let schema = schema()?;
    let mut leaves = leaves(&schema);
    leaves.retain(|path| !is_asked_once(path));
    ensure!(leaves.len() > 150, "only {} fields", leaves.len());
    let bench = Bench {
        client: cluster.client().await?,
        namespace: namespace.name.clone(),
    };
    let complaints: Vec<String> = stream::iter(leaves.iter().enumerate())
        .map(|(i, path)| {
            let (bench, schema) = (&bench, &schema);
            async move {
                let tried = bench.try_field(schema, i, path).await;
                tried.err().map(|e| format!("spec.{path}: {e:#}"))
            }
        })
        .buffer_unordered(PLACES)
        .filter_map(async |complaint| complaint)
        .collect()
        .await;
    ensure!(
        complaints.is_empty(),
        "{} of {} fields:\n{}",
        complaints.len(),
        leaves.len(),
        complaints.join("\n")
    );
    Ok(())
}
