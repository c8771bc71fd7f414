//! Which kind of workload runs the server, and how many pods it has: one kind takes over from the other while pods serve all the time, and
//! a number that somebody else decides about is left alone. Pods are played: they are ready at once.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::{Result, ensure};
use k8s_openapi::api::core::v1::Pod;
use kube::Api;
use kube::api::ListParams;
use paperclip_e2e::harness::{Cluster, wait_for};
use serde_json::{Value, json};

use crate::given::{Given, SOON, condition, message};

fn stateless(workload: &str) -> Value {
    json!({"image": {"tag": "2026.916.1"}, "database": {"mode": "managed"}, "workload": workload,
        "storage": {"persistence": {"enabled": false}}, "availability": {"replicas": 2}})
}

/// Looks at the server's pods again and again, and says how few of them were ready at the same time.
async fn fewest_ready(pods: Api<Pod>, stop: Arc<AtomicBool>) -> Result<usize> {
    let ours = ListParams::default().labels("app.kubernetes.io/component=server");
    let mut fewest = usize::MAX;
    while !stop.load(Ordering::Relaxed) {
        let ready = pods
            .list(&ours)
            .await?
            .items
            .iter()
            .filter(|p| is_ready(p))
            .count();
        fewest = fewest.min(ready);
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    Ok(fewest)
}

fn is_ready(pod: &Pod) -> bool {
    let conditions = pod
        .status
        .iter()
        .flat_map(|s| s.conditions.iter().flatten());
    let mut ready = conditions.filter(|c| c.type_ == "Ready" && c.status == "True");
    pod.metadata.deletion_timestamp.is_none() && ready.next().is_some()
}

#[tokio::test]
async fn one_kind_takes_over_from_the_other_while_pods_serve_and_back() -> Result<()> {
    let cluster = Cluster::api().await?;
    let given = Given::here(cluster, "kinds").await?;
    let sets = given.objects("apps/v1", "StatefulSet", "statefulsets");
    let deployments = given.objects("apps/v1", "Deployment", "deployments");
    let pods: Api<Pod> = Api::namespaced(given.client.clone(), &given.namespace.name);

    given.create("clip", stateless("StatefulSet")).await?;
    given
        .until("clip", "Ready", "True/AllResourcesReady")
        .await?;

    for (to, from, condition_of, gone, made, gate) in [
        (
            "Deployment",
            "StatefulSet",
            "DeploymentReady",
            &sets,
            &deployments,
            "--gate=hold",
        ),
        (
            "StatefulSet",
            "Deployment",
            "StatefulSetReady",
            &deployments,
            &sets,
            "--gate=ordinal",
        ),
    ] {
        let stop = Arc::new(AtomicBool::new(false));
        let watched = tokio::spawn(fewest_ready(pods.clone(), stop.clone()));
        given.change("clip", json!({"workload": to})).await?;
        given.is_gone(gone, "clip").await?;
        let ready = format!("True/{condition_of}");
        let instance = given.until("clip", condition_of, &ready).await?;
        stop.store(true, Ordering::Relaxed);
        let fewest = watched.await??;
        ensure!(
            fewest >= 2,
            "only {fewest} pods were ready for a moment on the way to {to}"
        );

        let instance = match condition(&instance, "Ready").as_str() {
            "True/AllResourcesReady" => instance,
            _ => {
                given
                    .until("clip", "Ready", "True/AllResourcesReady")
                    .await?
            }
        };
        assert_eq!(condition(&instance, &format!("{from}Ready")), "absent");
        assert_eq!(
            condition(&instance, "WorkloadProfileValid"),
            "True/WorkloadProfileValid"
        );
        let workload = made.get("clip").await?;
        let command = &workload.data["spec"]["template"]["spec"]["containers"][0]["command"];
        assert_eq!(command[2], gate);
        assert_eq!(workload.data["spec"]["replicas"], 2);
        let managed = &instance.data["status"]["managedResources"];
        let (is, was) = if to == "Deployment" {
            (&managed["deployment"], &managed["statefulSet"])
        } else {
            (&managed["statefulSet"], &managed["deployment"])
        };
        assert_eq!((is, was), (&json!("clip"), &Value::Null));
    }
    let told = given.event("clip", "WorkloadKindMigrated").await?;
    ensure!(told.contains("has taken over from"), "{told}");
    given.is_at_rest("clip").await
}

#[tokio::test]
async fn a_server_that_must_keep_files_stays_a_statefulset_and_says_why() -> Result<()> {
    let cluster = Cluster::api().await?;
    let given = Given::here(cluster, "kept").await?;
    let spec = json!({"image": {"tag": "2026.916.1"}, "database": {"mode": "managed"}, "workload": "Deployment"});
    given.create("clip", spec).await?;
    let instance = given
        .until("clip", "Ready", "True/AllResourcesReady")
        .await?;
    let kind = "WorkloadProfileValid";
    assert_eq!(
        condition(&instance, kind),
        "False/PersistenceRequiresStatefulSet"
    );
    assert_eq!(
        message(&instance, kind),
        "workload Deployment needs persistence off; StatefulSet is used"
    );
    assert_eq!(
        condition(&instance, "StatefulSetReady"),
        "True/StatefulSetReady"
    );
    Ok(())
}

#[tokio::test]
async fn a_number_of_pods_that_the_load_decides_about_is_left_alone() -> Result<()> {
    let cluster = Cluster::api().await?;
    let given = Given::here(cluster, "load").await?;
    let scalers = given.objects(
        "autoscaling/v2",
        "HorizontalPodAutoscaler",
        "horizontalpodautoscalers",
    );
    let sets = given.objects("apps/v1", "StatefulSet", "statefulsets");
    let mut spec = stateless("StatefulSet");
    spec["availability"] =
        json!({"autoScaling": {"enabled": true, "minReplicas": 2, "maxReplicas": 5}});
    spec["resources"] = json!({"requests": {"cpu": "100m", "memory": "256Mi"}});
    given.create("clip", spec).await?;
    given
        .until("clip", "StatefulSetReady", "True/StatefulSetReady")
        .await?;
    let scaler = given.exists(&scalers, "clip").await?;
    let target =
        |scaler: &kube::api::DynamicObject| scaler.data["spec"]["scaleTargetRef"]["kind"].clone();
    assert_eq!(target(&scaler), "StatefulSet");

    // As the autoscaler does it.
    let arguments = ["scale", "statefulset", "clip", "--replicas=4"];
    given.namespace.kubectl(&arguments).await?;
    wait_for("four pods to be counted", SOON, async || {
        let instance = given.instances().get("clip").await?;
        Ok((instance.data["status"]["replicas"] == 4).then_some(()))
    })
    .await?;
    given
        .until("clip", "StatefulSetReady", "True/StatefulSetReady")
        .await?;
    given.is_at_rest("clip").await?;
    assert_eq!(sets.get("clip").await?.data["spec"]["replicas"], 4);

    // A change of the pods keeps the number.
    given
        .change("clip", json!({"heartbeat": {"intervalMS": 40000}}))
        .await?;
    given
        .until("clip", "StatefulSetReady", "True/StatefulSetReady")
        .await?;
    assert_eq!(sets.get("clip").await?.data["spec"]["replicas"], 4);

    // Another kind begins with it too, and the load is measured there from then on.
    given
        .change("clip", json!({"workload": "Deployment"}))
        .await?;
    given.is_gone(&sets, "clip").await?;
    let deployments = given.objects("apps/v1", "Deployment", "deployments");
    assert_eq!(deployments.get("clip").await?.data["spec"]["replicas"], 4);
    wait_for("the autoscaler to follow", SOON, async || {
        let scaler = scalers.get("clip").await?;
        Ok((target(&scaler) == "Deployment").then_some(()))
    })
    .await
}
