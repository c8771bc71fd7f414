//! The API tier itself behaves as the tests rely on it.

use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, Result};
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::{Namespace, PersistentVolume, PersistentVolumeClaim};
use kube::Api;
use paperclip_e2e::cluster::Tier;
use paperclip_e2e::harness::{Cluster, until, wait_for};

const SECOND: Duration = Duration::from_secs(1);

const POD: &str = r#"
      securityContext: {runAsNonRoot: true, runAsUser: 1000, seccompProfile: {type: RuntimeDefault}}
      containers:
      - name: "on" # a name that YAML takes for a boolean, where it is not quoted
        image: example.invalid/nothing:1
        securityContext: {allowPrivilegeEscalation: false, capabilities: {drop: [ALL]}}
"#;

#[tokio::test]
async fn pods_become_ready_and_jobs_complete() -> Result<()> {
    let cluster = Cluster::api().await?;
    let namespace = cluster.namespace("played").await?;
    namespace
        .apply(&format!(
            "apiVersion: apps/v1\nkind: Deployment\nmetadata: {{name: web}}\nspec:\n  replicas: 2\n  selector: {{matchLabels: {{app: web}}}}\n  \
             template:\n    metadata: {{labels: {{app: web}}}}\n    spec:{POD}"
        ))
        .await?;
    namespace
        .apply(&format!(
            "apiVersion: batch/v1\nkind: Job\nmetadata: {{name: task}}\nspec:\n  template:\n    spec:\n      restartPolicy: Never{POD}"
        ))
        .await?;

    let client = cluster.client().await?;
    let ready =
        |web: &Deployment| web.status.as_ref().and_then(|status| status.ready_replicas) == Some(2);
    until(
        &Api::namespaced(client.clone(), &namespace.name),
        "web",
        "has two ready pods",
        30 * SECOND,
        ready,
    )
    .await?;
    let complete = |task: &Job| task.status.as_ref().and_then(|status| status.succeeded) == Some(1);
    until(
        &Api::namespaced(client, &namespace.name),
        "task",
        "is complete",
        30 * SECOND,
        complete,
    )
    .await?;
    Ok(())
}

#[tokio::test]
async fn a_claim_is_bound_grown_and_its_volume_removed() -> Result<()> {
    let cluster = Cluster::api().await?;
    let namespace = cluster.namespace("volumes").await?;
    namespace
        .apply(
            "apiVersion: v1\nkind: PersistentVolumeClaim\nmetadata: {name: data}\n\
             spec: {accessModes: [ReadWriteOnce], resources: {requests: {storage: 1Gi}}}",
        )
        .await?;
    let client = cluster.client().await?;
    let claims: Api<PersistentVolumeClaim> = Api::namespaced(client.clone(), &namespace.name);
    let has = |size: &'static str| {
        move |claim: &PersistentVolumeClaim| {
            let status = claim.status.as_ref();
            let capacity =
                status.and_then(|status| status.capacity.as_ref()?.get("storage").cloned());
            status.and_then(|status| status.phase.as_deref()) == Some("Bound")
                && capacity.is_some_and(|is| is.0 == size)
        }
    };
    let claim = until(&claims, "data", "is bound", 30 * SECOND, has("1Gi")).await?;
    let volume = claim
        .spec
        .and_then(|spec| spec.volume_name)
        .context("bound to a volume")?;

    namespace
        .kubectl(&[
            "patch",
            "pvc",
            "data",
            "-p",
            r#"{"spec":{"resources":{"requests":{"storage":"2Gi"}}}}"#,
        ])
        .await?;
    until(&claims, "data", "is grown", 30 * SECOND, has("2Gi")).await?;

    namespace.kubectl(&["delete", "pvc", "data"]).await?;
    let volumes: Api<PersistentVolume> = Api::all(client);
    let gone = async || Ok(volumes.get_opt(&volume).await?.is_none().then_some(()));
    wait_for("the volume to be removed", 30 * SECOND, gone).await
}

#[tokio::test]
async fn a_pod_that_is_not_restricted_is_refused() -> Result<()> {
    let cluster = Cluster::api().await?;
    let namespace = cluster.namespace("strict").await?;
    let refused = namespace
        .kubectl(&["run", "loose", "--image=example.invalid/nothing:1"])
        .await;
    let message = format!(
        "{:#}",
        refused
            .err()
            .context("a pod without a security context was admitted")?
    );
    assert!(
        message.contains("violates PodSecurity \"restricted"),
        "{message}"
    );
    Ok(())
}

#[tokio::test]
async fn a_namespace_goes_when_its_test_has_ended() -> Result<()> {
    let cluster = Cluster::api().await?;
    let name = cluster.namespace("short").await?.name.clone();
    let namespaces: Api<Namespace> = Api::all(cluster.client().await?);
    let gone = async || Ok(namespaces.get_opt(&name).await?.is_none().then_some(()));
    wait_for("the namespace to be gone", 60 * SECOND, gone).await
}

#[tokio::test]
async fn every_write_is_in_the_audit_log_with_its_user_agent() -> Result<()> {
    let cluster = Cluster::api().await?;
    let mark = cluster.audit_mark()?;
    let namespace = cluster.namespace("audited").await?;
    namespace.kubectl(&["create", "configmap", "seen"]).await?;
    let events = cluster.audit_since(mark)?;
    let of_test = events
        .iter()
        .filter(|event| event.object_ref.namespace == namespace.name && event.is_write());
    let configmaps: Vec<_> = of_test
        .filter(|event| event.object_ref.name == "seen")
        .collect();
    assert_eq!(configmaps.len(), 1);
    assert_eq!(
        (
            configmaps[0].verb.as_str(),
            configmaps[0].code(),
            configmaps[0].username()
        ),
        ("create", 201, "admin")
    );
    assert!(
        configmaps[0].user_agent.starts_with("kubectl/"),
        "{}",
        configmaps[0].user_agent
    );
    Ok(())
}

#[tokio::test]
async fn two_clusters_run_beside_each_other_and_leave_nothing() -> Result<()> {
    let shared = Cluster::api().await?;
    let own = Cluster::start(Tier::Api).await?;
    own.kubectl(&["create", "namespace", "only-here"]).await?;
    let other = shared
        .kubectl_output(&["get", "namespace", "only-here"], None)
        .await?;
    assert!(!other.status.success(), "the clusters are not apart");

    let kubeconfig = own.kubeconfig();
    let id = own.id().to_owned();
    drop(own);
    let process_table = async || {
        let processes = Command::new("ps").args(["-eo", "args"]).output()?;
        let left = String::from_utf8_lossy(&processes.stdout)
            .lines()
            .filter(|line| line.contains(&id))
            .count();
        Ok((left == 0 && !kubeconfig.exists()).then_some(()))
    };
    wait_for("the dropped cluster to be gone", 30 * SECOND, process_table).await
}

#[tokio::test]
async fn a_part_of_the_control_plane_can_be_killed_and_started_again() -> Result<()> {
    let cluster = Cluster::start(Tier::Api).await?;
    cluster.signal("kube-apiserver", "KILL").await?;
    assert!(
        !cluster
            .kubectl_output(&["get", "--raw", "/readyz", "--request-timeout=3s"], None)
            .await?
            .status
            .success()
    );
    cluster.restart("kube-apiserver").await?;
    let answers = async || {
        Ok(cluster
            .kubectl(&["get", "--raw", "/readyz", "--request-timeout=3s"])
            .await
            .ok())
    };
    wait_for("the API server to answer again", 60 * SECOND, answers).await?;
    Ok(())
}
