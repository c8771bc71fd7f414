//! An Instance from its creation to its end, against a real API server. Pods are played: they are ready at once, Jobs complete.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use paperclip_e2e::harness::{
    AuditEvent, AuditMark, Cluster, Namespace, Operator, OperatorOptions, wait_for,
};
use serde_json::Value;

const SECOND: Duration = Duration::from_secs(1);
/// Long enough for a loaded machine; how long something takes is asserted where it matters.
const LONG: Duration = Duration::from_secs(60);

const QUICK_START: &str = "
apiVersion: paperclip.inc/v1alpha1
kind: Instance
metadata: {name: clip}
spec:
  image: {tag: 2026.916.1}
  database: {mode: managed}
";

/// An Instance "clip" with this spec.
fn manifest(spec: &str) -> String {
    format!(
        "apiVersion: paperclip.inc/v1alpha1\nkind: Instance\nmetadata: {{name: clip}}\nspec: {spec}\n"
    )
}

/// A namespace with an operator for it.
struct Scene<'a> {
    operator: Operator<'a>,
    namespace: Namespace<'a>,
    cluster: &'a Cluster,
}

impl<'a> Scene<'a> {
    async fn new(name: &str) -> Result<Scene<'a>> {
        let cluster = Cluster::api().await?;
        let namespace = cluster.namespace(name).await?;
        let operator = cluster
            .operator(OperatorOptions::for_namespace(&namespace.name))
            .await?;
        Ok(Scene {
            operator,
            namespace,
            cluster,
        })
    }

    async fn get(&self, kind: &str, name: &str) -> Result<Value> {
        let text = self
            .namespace
            .kubectl(&["get", kind, name, "-o", "json"])
            .await?;
        Ok(serde_json::from_str(&text)?)
    }

    async fn instance(&self) -> Result<Value> {
        self.get("instance", "clip").await
    }

    async fn until(&self, what: &str, holds: impl Fn(&Value) -> bool) -> Result<Value> {
        let attempt = async || {
            let instance = self.instance().await?;
            ensure!(
                holds(&instance),
                "{}: {}",
                instance["status"]["phase"],
                instance["status"]["summary"]
            );
            Ok(Some(instance))
        };
        wait_for(what, LONG, attempt).await
    }

    async fn running(&self) -> Result<Value> {
        self.until("Running", |i| {
            i["status"]["phase"] == "Running"
                && i["status"]["observedGeneration"] == i["metadata"]["generation"]
        })
        .await
    }

    /// Waits until nothing was written for a while: details of a status may follow.
    async fn settled(&self) -> Result<()> {
        let quiet = 2 * SECOND;
        let mut mark = self.cluster.audit_mark()?;
        let mut since = Instant::now();
        wait_for("rest", LONG, async || {
            if self.writes(mark)?.is_empty() {
                return Ok((since.elapsed() > quiet).then_some(()));
            }
            mark = self.cluster.audit_mark()?;
            since = Instant::now();
            Ok(None)
        })
        .await
    }

    fn calls(&self, mark: AuditMark) -> Result<Vec<AuditEvent>> {
        let me = self.operator.username();
        let mut all = self.cluster.audit_since(mark)?;
        all.retain(|e| e.username() == me);
        Ok(all)
    }

    /// Writes of the operator after the mark, as `verb resource/name`.
    fn writes(&self, mark: AuditMark) -> Result<Vec<String>> {
        let calls = self.calls(mark)?;
        let writes = calls.iter().filter(|e| e.is_write());
        Ok(writes
            .map(|e| {
                let o = &e.object_ref;
                let sub = if o.subresource.is_empty() {
                    String::new()
                } else {
                    format!("/{}", o.subresource)
                };
                format!("{} {}{sub}/{}", e.verb, o.resource, o.name)
            })
            .collect())
    }

    /// Resource versions of everything that the operator makes, by kind and name; the Instances themselves aside.
    async fn versions(&self) -> Result<BTreeMap<String, String>> {
        const KINDS: &str = "statefulset,service,serviceaccount,networkpolicy,persistentvolumeclaim,secret,job,paperclipdatabase";
        let text = self
            .namespace
            .kubectl(&["get", KINDS, "-o", "json"])
            .await?;
        let list: Value = serde_json::from_str(&text)?;
        let items = list["items"].as_array().context("a list")?;
        let text = |v: &Value| v.as_str().unwrap_or_default().to_owned();
        Ok(items
            .iter()
            .map(|o| {
                let name = format!("{}/{}", text(&o["kind"]), text(&o["metadata"]["name"]));
                (name, text(&o["metadata"]["resourceVersion"]))
            })
            .collect())
    }
}

fn condition<'v>(instance: &'v Value, kind: &str) -> &'v Value {
    instance["status"]["conditions"]
        .as_array()
        .into_iter()
        .flatten()
        .find(|c| c["type"] == kind)
        .unwrap_or(&Value::Null)
}

fn reason(instance: &Value, kind: &str) -> String {
    let condition = condition(instance, kind);
    format!(
        "{}/{}",
        condition["status"].as_str().unwrap_or("-"),
        condition["reason"].as_str().unwrap_or("-")
    )
}

#[tokio::test]
async fn the_quick_start_reaches_running_and_rests() -> Result<()> {
    let scene = Scene::new("quick").await?;
    let mark = scene.cluster.audit_mark()?;
    scene.namespace.apply(QUICK_START).await?;
    let instance = scene.running().await?;

    let status = &instance["status"];
    assert_eq!(reason(&instance, "Ready"), "True/AllResourcesReady");
    assert_eq!(reason(&instance, "ConfigAccepted"), "True/Accepted");
    assert_eq!(reason(&instance, "Migrated"), "True/SchemaUpToDate");
    assert_eq!(condition(&instance, "Reconciling"), &Value::Null);
    assert_eq!(condition(&instance, "Stalled"), &Value::Null);
    let endpoint = format!(
        "http://clip.{}.svc.cluster.local:3100",
        scene.namespace.name
    );
    assert_eq!(status["endpoint"], *endpoint);
    assert!(status["firstReadyTime"].is_string());
    // What only a result can tell is absent, not invented.
    assert_eq!(status["runningVersion"], Value::Null);
    assert_eq!(status["migration"]["applied"], Value::Null);

    scene.settled().await?;
    let writes = scene.writes(mark)?;
    let statuses = writes
        .iter()
        .filter(|w| *w == "patch instances/status/clip")
        .count();
    ensure!(statuses <= 8, "{statuses} status writes: {writes:#?}");
    let doubled: Vec<_> = writes
        .iter()
        .filter(|w| !w.contains("/status/") && !w.contains("events/"))
        .filter(|w| writes.iter().filter(|o| o == w).count() > 1)
        .collect();
    // The StatefulSets are made before they may run, and scaled once.
    ensure!(
        doubled.iter().all(|w| w.contains("statefulsets/")),
        "{doubled:#?}"
    );
    ensure!(
        scene
            .operator
            .log()
            .lines()
            .all(|l| !l.contains("reconcile failed")),
        "a pass failed"
    );
    Ok(())
}

#[tokio::test]
async fn drift_is_repaired_at_once_and_nothing_else_is_written() -> Result<()> {
    let scene = Scene::new("drift").await?;
    scene.namespace.apply(QUICK_START).await?;
    scene.running().await?;
    scene.settled().await?;
    let before = scene.versions().await?;
    let mark = scene.cluster.audit_mark()?;

    let port = r#"[{"op":"replace","path":"/spec/ports/0/port","value":99}]"#;
    for change in [
        &[
            "label",
            "service",
            "clip",
            "app.kubernetes.io/component=x",
            "--overwrite",
        ][..],
        &["patch", "service", "clip", "--type=json", "-p", port],
        &["scale", "statefulset", "clip", "--replicas=3"],
        &["delete", "networkpolicy", "clip-jobs", "--wait=false"],
        &["delete", "serviceaccount", "clip"],
        &[
            "label",
            "networkpolicy",
            "clip",
            "app.kubernetes.io/managed-by-",
        ],
    ] {
        scene.namespace.kubectl(change).await?;
        let changed = Instant::now();
        let whole = async || {
            let service = scene.get("service", "clip").await?;
            ensure!(service["spec"]["ports"][0]["port"] == 3100, "the port");
            ensure!(
                service["spec"]["ports"].as_array().map(Vec::len) == Some(1),
                "the ports"
            );
            let label = &service["metadata"]["labels"]["app.kubernetes.io/component"];
            ensure!(*label == "server", "the label");
            let replicas = &scene.get("statefulset", "clip").await?["spec"]["replicas"];
            ensure!(*replicas == 1, "the replicas");
            scene.get("networkpolicy", "clip-jobs").await?;
            scene.get("serviceaccount", "clip").await?;
            let policy = scene.get("networkpolicy", "clip").await?;
            let label = &policy["metadata"]["labels"]["app.kubernetes.io/managed-by"];
            ensure!(
                *label == "paperclip-operator",
                "the label that is listed by"
            );
            Ok(Some(()))
        };
        wait_for("the repair", LONG, whole).await?;
        let took = changed.elapsed();
        ensure!(took < 5 * SECOND, "{change:?} was repaired after {took:?}");
    }
    // A change beside our fields is nobody's business.
    scene
        .namespace
        .kubectl(&["label", "service", "clip", "mine=1"])
        .await?;
    scene.running().await?;
    scene.settled().await?;

    let mut after = scene.versions().await?;
    let touched = [
        "Service/clip",
        "StatefulSet/clip",
        "NetworkPolicy/clip-jobs",
        "NetworkPolicy/clip",
        "ServiceAccount/clip",
    ];
    let untouched: BTreeMap<_, _> = before
        .iter()
        .filter(|(k, _)| !touched.contains(&k.as_str()))
        .collect();
    after.retain(|k, _| !touched.contains(&k.as_str()));
    assert_eq!(untouched, after.iter().collect());
    let service = scene.get("service", "clip").await?;
    assert_eq!(service["metadata"]["labels"]["mine"], "1");
    let writes = scene.writes(mark)?;
    let other: Vec<_> = writes
        .iter()
        .filter(|w| {
            ![
                "services/clip",
                "statefulsets/clip",
                "networkpolicies/clip",
                "serviceaccounts/clip",
                "instances/status/clip",
                "events/",
            ]
            .iter()
            .any(|t| w.contains(t))
        })
        .collect();
    ensure!(other.is_empty(), "{other:#?}");
    Ok(())
}

#[tokio::test]
async fn requests_for_a_pass_change_nothing() -> Result<()> {
    let scene = Scene::new("requests").await?;
    scene.namespace.apply(QUICK_START).await?;
    scene.running().await?;
    scene.settled().await?;
    let before = scene.versions().await?;
    for request in 1..=10 {
        let annotation = format!("paperclip.inc/reconcile-requested-at=try-{request}");
        scene
            .namespace
            .kubectl(&["annotate", "instance", "clip", "--overwrite", &annotation])
            .await?;
        let handled = format!("try-{request}");
        scene
            .until("the request to be handled", |i| {
                i["status"]["lastHandledReconcileAt"] == *handled
            })
            .await?;
    }
    scene.settled().await?;
    assert_eq!(before, scene.versions().await?);
    Ok(())
}

#[tokio::test]
async fn a_restart_of_the_operator_costs_no_call() -> Result<()> {
    let mut scene = Scene::new("restart").await?;
    // Spellings that the API server stores in another form.
    scene
        .namespace
        .apply(&manifest(
            "{image: {tag: 2026.916.1}, resources: {requests: {cpu: 1000m, memory: 1024Mi}}, env: [{name: EMPTY, value: ''}, {name: NODE, valueFrom: {fieldRef: {fieldPath: spec.nodeName}}}], security: {networkPolicy: {allowEgressCIDRs: ['10.1.2.3/8'], extraEgress: [{ports: [{port: 99}]}]}}}",
        ))
        .await?;
    scene.running().await?;
    scene.settled().await?;
    let before = scene.versions().await?;
    let mark = scene.cluster.audit_mark()?;
    scene.operator.kill9().await?;
    scene.operator.start().await?;
    tokio::time::sleep(3 * SECOND).await;
    let calls: Vec<String> = scene
        .calls(mark)?
        .iter()
        .filter(|e| !matches!(e.verb.as_str(), "list" | "watch"))
        .map(|e| format!("{} {}", e.verb, e.request_uri))
        .collect();
    ensure!(calls.is_empty(), "{calls:#?}");
    assert_eq!(before, scene.versions().await?);
    Ok(())
}

#[tokio::test]
async fn data_outlive_the_instance_and_are_taken_up_again() -> Result<()> {
    let scene = Scene::new("again").await?;
    scene.namespace.apply(QUICK_START).await?;
    scene.running().await?;
    let data = [
        ("pvc", "clip-data"),
        ("pvc", "clip-db-data"),
        ("secret", "clip-secrets-master-key"),
        ("secret", "clip-auth"),
        ("secret", "clip-app-keys"),
        ("secret", "clip-db-credentials"),
    ];
    let mut before = vec![];
    for (kind, name) in data {
        before.push(scene.get(kind, name).await?);
    }
    scene
        .namespace
        .kubectl(&["delete", "instance", "clip", "--timeout=30s"])
        .await?;
    let gone = async || {
        let left = scene
            .namespace
            .kubectl(&[
                "get",
                "statefulset,service,networkpolicy,job,paperclipdatabase,pod",
                "-o",
                "name",
            ])
            .await?;
        ensure!(left.trim().is_empty(), "{left}");
        Ok(Some(()))
    };
    wait_for("what was owned to go", LONG, gone).await?;
    for ((kind, name), before) in data.iter().zip(&before) {
        let now = scene.get(kind, name).await?;
        assert_eq!(now["metadata"]["uid"], before["metadata"]["uid"], "{name}");
        assert_eq!(now["metadata"]["deletionTimestamp"], Value::Null, "{name}");
    }

    scene.namespace.apply(QUICK_START).await?;
    scene.running().await?;
    for ((kind, name), before) in data.iter().zip(&before) {
        let now = scene.get(kind, name).await?;
        assert_eq!(now["metadata"]["uid"], before["metadata"]["uid"], "{name}");
        assert_eq!(now["data"], before["data"], "{name}");
    }
    let events = scene
        .namespace
        .kubectl(&["get", "events", "-o", "jsonpath={.items[*].reason}"])
        .await?;
    ensure!(events.contains("Adopted"), "{events}");
    Ok(())
}

#[tokio::test]
async fn data_go_with_the_instance_if_that_was_asked_for() -> Result<()> {
    let scene = Scene::new("delete").await?;
    scene
        .namespace
        .apply(&manifest(
            "{image: {tag: 2026.916.1}, deletionPolicy: Delete}",
        ))
        .await?;
    scene.running().await?;
    let claim = scene.get("pvc", "clip-data").await?;
    assert_eq!(claim["metadata"]["ownerReferences"], Value::Null);
    scene
        .namespace
        .kubectl(&["delete", "instance", "clip", "--timeout=30s"])
        .await?;
    let gone = async || {
        let left = scene
            .namespace
            .kubectl(&["get", "pvc,secret,statefulset", "-o", "name"])
            .await?;
        // The operator's own account has Secrets here too.
        let left: Vec<&str> = left.lines().filter(|l| l.contains("/clip")).collect();
        ensure!(left.is_empty(), "{left:?}");
        Ok(Some(()))
    };
    wait_for("data to go", LONG, gone).await
}

#[tokio::test]
async fn a_taken_name_is_told_and_the_object_is_left_alone() -> Result<()> {
    let scene = Scene::new("taken").await?;
    scene
        .namespace
        .kubectl(&["create", "service", "clusterip", "clip", "--tcp=80:80"])
        .await?;
    let before = scene.get("service", "clip").await?;
    scene.namespace.apply(QUICK_START).await?;
    let instance = scene
        .until("the taken name to be told", |i| {
            reason(i, "ServiceReady") == "False/NotOurs"
        })
        .await?;
    assert_eq!(reason(&instance, "Stalled"), "True/NotOurs");
    let message = condition(&instance, "ServiceReady")["message"]
        .as_str()
        .unwrap_or_default();
    ensure!(message.contains("Service \"clip\""), "{message}");
    // What does not depend on it is made.
    scene.get("statefulset", "clip").await?;
    let after = scene.get("service", "clip").await?;
    assert_eq!(
        after["metadata"]["resourceVersion"],
        before["metadata"]["resourceVersion"]
    );
    scene
        .namespace
        .kubectl(&["delete", "service", "clip"])
        .await?;
    scene.running().await?;
    Ok(())
}

#[tokio::test]
async fn a_missing_secret_is_named_and_heals_when_it_comes() -> Result<()> {
    let scene = Scene::new("missing").await?;
    scene
        .namespace
        .apply(&manifest(
            "{image: {tag: 2026.916.1}, auth: {secretRef: {name: my-session, key: s}}}",
        ))
        .await?;
    let instance = scene
        .until("the Secret to be named", |i| {
            reason(i, "ReferencesResolved") == "False/SecretNotFound"
        })
        .await?;
    let message = condition(&instance, "ReferencesResolved")["message"]
        .as_str()
        .unwrap_or_default();
    assert_eq!(
        message,
        "spec.auth.secretRef: Secret \"my-session\" not found"
    );
    assert_eq!(reason(&instance, "Reconciling"), "True/WaitingForReference");
    assert_eq!(
        scene.get("statefulset", "clip").await?["spec"]["replicas"],
        0
    );

    scene
        .namespace
        .kubectl(&[
            "create",
            "secret",
            "generic",
            "my-session",
            "--from-literal=s=too-short",
        ])
        .await?;
    scene
        .until("the value to be judged", |i| {
            reason(i, "ReferencesResolved") == "False/InvalidValue"
        })
        .await?;
    let long = "--from-literal=s=long-enough-to-sign-all-sessions-with-it";
    scene
        .namespace
        .kubectl(&["delete", "secret", "my-session"])
        .await?;
    scene
        .namespace
        .kubectl(&["create", "secret", "generic", "my-session", long])
        .await?;
    let healed = Instant::now();
    scene
        .until("the reference to hold", |i| {
            reason(i, "ReferencesResolved") == "True/Resolved"
        })
        .await?;
    let took = healed.elapsed();
    ensure!(took < 6 * SECOND, "it took {took:?}");
    scene.running().await?;
    Ok(())
}

#[tokio::test]
async fn a_changed_secret_restarts_the_pods_once() -> Result<()> {
    let scene = Scene::new("rotated").await?;
    let secret = |text: &str| {
        format!(
            "apiVersion: v1\nkind: Secret\nmetadata: {{name: keys}}\nstringData: {{A: {text}, UNUSED: x}}\n"
        )
    };
    scene.namespace.apply(&secret("one")).await?;
    scene
        .namespace
        .apply(&manifest("{image: {tag: 2026.916.1}, env: [{name: A, valueFrom: {secretKeyRef: {name: keys, key: A}}}]}"))
        .await?;
    scene.running().await?;
    scene.settled().await?;
    let hash = async || -> Result<String> {
        let workload = scene.get("statefulset", "clip").await?;
        let all = &workload["spec"]["template"]["metadata"]["annotations"];
        Ok(all["paperclip.inc/config-hash"]
            .as_str()
            .unwrap_or_default()
            .to_owned())
    };
    let ask = async |value: &str| -> Result<()> {
        let annotation = format!("paperclip.inc/reconcile-requested-at={value}");
        scene
            .namespace
            .kubectl(&["annotate", "instance", "clip", "--overwrite", &annotation])
            .await?;
        let value = value.to_owned();
        scene
            .until("the request to be handled", |i| {
                i["status"]["lastHandledReconcileAt"] == *value
            })
            .await?;
        Ok(())
    };
    let first = hash().await?;
    assert_eq!(first.len(), 64);

    // A touched label changes no value.
    scene
        .namespace
        .kubectl(&["label", "secret", "keys", "touched=1"])
        .await?;
    ask("one").await?;
    assert_eq!(hash().await?, first);

    scene.namespace.apply(&secret("two")).await?;
    ask("two").await?;
    let second = hash().await?;
    assert_ne!(second, first);
    scene.running().await?;

    // While it is gone, what runs goes on.
    scene
        .namespace
        .kubectl(&["delete", "secret", "keys"])
        .await?;
    ask("three").await?;
    let instance = scene.instance().await?;
    assert_eq!(
        reason(&instance, "ReferencesResolved"),
        "False/SecretNotFound"
    );
    let workload = scene.get("statefulset", "clip").await?;
    assert_eq!(workload["spec"]["replicas"], 1);
    assert_eq!(hash().await?, second);
    Ok(())
}

#[tokio::test]
async fn a_suspended_instance_keeps_all_but_the_servers_pods() -> Result<()> {
    let scene = Scene::new("suspend").await?;
    scene.namespace.apply(QUICK_START).await?;
    scene.running().await?;
    let patch = |on: bool| format!(r#"{{"spec":{{"suspended":{on}}}}}"#);
    let suspend = async |on: bool| {
        scene
            .namespace
            .kubectl(&[
                "patch",
                "instance",
                "clip",
                "--type=merge",
                "-p",
                &patch(on),
            ])
            .await
    };
    suspend(true).await?;
    let instance = scene
        .until("Suspended", |i| i["status"]["phase"] == "Suspended")
        .await?;
    assert_eq!(reason(&instance, "Ready"), "False/Suspended");
    assert_eq!(reason(&instance, "Suspended"), "True/Suspended");
    assert_eq!(
        reason(&instance, "StatefulSetReady"),
        "True/StatefulSetSuspended"
    );
    assert_eq!(condition(&instance, "Reconciling"), &Value::Null);
    assert_eq!(instance["status"]["replicas"], 0);
    assert_eq!(
        scene.get("statefulset", "clip-db").await?["spec"]["replicas"],
        1
    );
    scene.get("service", "clip").await?;
    suspend(false).await?;
    scene.running().await?;
    Ok(())
}

#[tokio::test]
async fn a_new_image_is_migrated_to_before_the_server_is_replaced() -> Result<()> {
    let scene = Scene::new("upgrade").await?;
    scene.namespace.apply(QUICK_START).await?;
    let before = scene.running().await?;
    scene.settled().await?;
    let mark = scene.cluster.audit_mark()?;
    let patch = r#"{"spec":{"image":{"tag":"2026.920.0"}}}"#;
    scene
        .namespace
        .kubectl(&["patch", "instance", "clip", "--type=merge", "-p", patch])
        .await?;
    let image = "ghcr.io/paperclipai/paperclip:2026.920.0";
    let after = scene
        .until("the new image", |i| {
            i["status"]["migration"]["image"] == *image && i["status"]["phase"] == "Running"
        })
        .await?;
    assert_ne!(
        after["status"]["migration"]["job"],
        before["status"]["migration"]["job"]
    );
    let workload = scene.get("statefulset", "clip").await?;
    assert_eq!(
        workload["spec"]["template"]["spec"]["containers"][0]["image"],
        *image
    );
    let writes = scene.writes(mark)?;
    let at = |part: &str| {
        writes
            .iter()
            .position(|w| w.contains(part))
            .with_context(|| format!("{part} in {writes:#?}"))
    };
    ensure!(
        at("jobs/clip-migrate")? < at("statefulsets/clip")?,
        "{writes:#?}"
    );
    assert_eq!(
        after["status"]["firstReadyTime"],
        before["status"]["firstReadyTime"]
    );
    Ok(())
}

#[tokio::test]
async fn what_is_not_built_is_named_and_the_rest_runs() -> Result<()> {
    let scene = Scene::new("unbuilt").await?;
    scene
        .namespace
        .apply(&manifest("{image: {tag: 2026.916.1}, plugins: [{name: '@a/b'}], auth: {google: {credentialsSecretRef: {name: g}}}}"))
        .await?;
    let instance = scene.running().await?;
    assert_eq!(reason(&instance, "ConfigAccepted"), "False/NotImplemented");
    let message = condition(&instance, "ConfigAccepted")["message"]
        .as_str()
        .unwrap_or_default();
    for path in ["spec.plugins", "spec.auth.google"] {
        ensure!(message.contains(path), "{path} is not in: {message}");
    }
    assert_eq!(reason(&instance, "Ready"), "True/AllResourcesReady");
    Ok(())
}

#[tokio::test]
async fn a_server_that_would_start_with_other_data_is_not_started() -> Result<()> {
    let scene = Scene::new("restored").await?;
    scene
        .namespace
        .apply(&manifest(
            "{image: {tag: 2026.916.1}, restoreFrom: snapshot}",
        ))
        .await?;
    let instance = scene
        .until("Failed", |i| i["status"]["phase"] == "Failed")
        .await?;
    assert_eq!(reason(&instance, "Stalled"), "True/NotFound");
    assert_eq!(
        scene.get("statefulset", "clip").await?["spec"]["replicas"],
        0
    );
    Ok(())
}

#[tokio::test]
async fn hands_off_means_hands_off() -> Result<()> {
    let scene = Scene::new("hands-off").await?;
    scene.namespace.apply(QUICK_START).await?;
    scene.running().await?;
    scene
        .namespace
        .kubectl(&[
            "annotate",
            "instance",
            "clip",
            "paperclip.inc/reconcile=disabled",
        ])
        .await?;
    scene.settled().await?;
    let mark = scene.cluster.audit_mark()?;
    scene
        .namespace
        .kubectl(&[
            "label",
            "service",
            "clip",
            "app.kubernetes.io/component=x",
            "--overwrite",
        ])
        .await?;
    scene
        .namespace
        .kubectl(&["scale", "statefulset", "clip", "--replicas=0"])
        .await?;
    scene
        .until("the truth", |i| reason(i, "Ready").starts_with("False"))
        .await?;
    let label =
        &scene.get("service", "clip").await?["metadata"]["labels"]["app.kubernetes.io/component"];
    assert_eq!(*label, "x");
    let writes = scene.writes(mark)?;
    ensure!(
        writes
            .iter()
            .all(|w| w.contains("instances/status") || w.contains("events")),
        "{writes:#?}"
    );
    scene
        .namespace
        .kubectl(&["annotate", "instance", "clip", "paperclip.inc/reconcile-"])
        .await?;
    scene.running().await?;
    Ok(())
}

#[tokio::test]
async fn an_embedded_database_needs_no_child_and_no_migration() -> Result<()> {
    let scene = Scene::new("embedded").await?;
    scene
        .namespace
        .apply(&manifest(
            "{image: {tag: 2026.916.1}, database: {mode: embedded}}",
        ))
        .await?;
    let instance = scene.running().await?;
    assert_eq!(condition(&instance, "DatabaseReady"), &Value::Null);
    assert_eq!(condition(&instance, "Migrated"), &Value::Null);
    let left = scene
        .namespace
        .kubectl(&["get", "paperclipdatabase,job", "-o", "name"])
        .await?;
    assert_eq!(left.trim(), "");
    Ok(())
}

#[tokio::test]
async fn a_master_key_is_never_made_twice_for_the_same_data() -> Result<()> {
    let scene = Scene::new("lost-key").await?;
    scene.namespace.apply(QUICK_START).await?;
    scene.running().await?;
    let key = scene.get("secret", "clip-secrets-master-key").await?;
    scene
        .namespace
        .kubectl(&["delete", "secret", "clip-secrets-master-key"])
        .await?;
    scene
        .namespace
        .kubectl(&[
            "annotate",
            "instance",
            "clip",
            "paperclip.inc/reconcile-requested-at=1",
        ])
        .await?;
    let instance = scene
        .until("the loss to be told", |i| {
            reason(i, "ReferencesResolved") == "False/MasterKeyMissing"
        })
        .await?;
    assert_eq!(reason(&instance, "Stalled"), "True/MasterKeyMissing");
    let missing = scene
        .namespace
        .kubectl(&["get", "secret", "clip-secrets-master-key"])
        .await;
    ensure!(missing.is_err(), "a new key was made");
    assert_eq!(
        scene.get("statefulset", "clip").await?["spec"]["replicas"],
        1
    );

    let mut back = key.clone();
    back["metadata"] =
        serde_json::json!({"name": "clip-secrets-master-key", "labels": key["metadata"]["labels"]});
    scene.namespace.apply(&back.to_string()).await?;
    scene.running().await?;
    Ok(())
}
