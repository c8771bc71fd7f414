//! A managed database with a real PostgreSQL: what `Ready` means, and what outlives a pod and the object itself.

use anyhow::{Context as _, Result, ensure};
use k8s_openapi::api::core::v1::{Pod, Secret};
use kube::api::DynamicObject;
use kube::{Api, ResourceExt as _};
use paperclip_e2e::harness::{Cluster, Namespace, OperatorOptions, until, wait_for};

use crate::installation::{MINUTE, databases};

const DATABASE: &str = "
apiVersion: paperclip.inc/v1alpha1
kind: PaperclipDatabase
metadata: {name: real}
spec:
  storage: {size: 1Gi}
  resources: {requests: {cpu: 50m, memory: 128Mi}}
";

fn is_ready(database: &DynamicObject) -> bool {
    let conditions = database.data["status"]["conditions"]
        .as_array()
        .cloned()
        .unwrap_or_default();
    let generation = database.metadata.generation;
    conditions.iter().any(|condition| {
        condition["type"] == "Ready"
            && condition["status"] == "True"
            && condition["observedGeneration"].as_i64() == generation
    })
}

/// A query as the application's own role, through the Service, with the URL that the application gets.
async fn query(cluster: &Cluster, namespace: &Namespace<'_>, sql: &str) -> Result<String> {
    let secrets: Api<Secret> = Api::namespaced(cluster.client().await?, &namespace.name);
    let secret = secrets.get("real-db-app").await?;
    let url = secret
        .data
        .as_ref()
        .and_then(|data| data.get("DATABASE_URL"))
        .context("the Secret has no DATABASE_URL")?;
    let url = String::from_utf8(url.0.clone())?;
    namespace
        .kubectl(&[
            "exec",
            "real-db-0",
            "-c",
            "postgres",
            "--",
            "psql",
            "-tA",
            "-v",
            "ON_ERROR_STOP=1",
            "-d",
            &url,
            "-c",
            sql,
        ])
        .await
}

#[tokio::test]
async fn ready_means_that_the_application_can_use_it() -> Result<()> {
    let cluster = Cluster::node().await?;
    cluster.load_operator_image().await?;
    let namespace = cluster.namespace("database").await?;
    let _operator = cluster
        .operator(OperatorOptions::for_namespace(&namespace.name))
        .await?;
    namespace.apply(DATABASE).await?;
    let api = databases(cluster, &namespace.name).await?;
    until(&api, "real", "is Ready", 5 * MINUTE, is_ready).await?;

    // No waiting from here on: it said that it is ready.
    assert_eq!(
        query(
            cluster,
            &namespace,
            "select current_user, current_database()"
        )
        .await?
        .trim(),
        "paperclip|paperclip"
    );
    assert!(
        query(cluster, &namespace, "show server_version")
            .await?
            .starts_with("17.")
    );
    assert_eq!(
        query(cluster, &namespace, "show data_checksums")
            .await?
            .trim(),
        "on"
    );
    let extensions = query(
        cluster,
        &namespace,
        "select extname from pg_extension order by 1",
    )
    .await?;
    assert!(
        extensions.contains("fuzzystrmatch") && extensions.contains("pg_trgm"),
        "{extensions}"
    );
    assert_eq!(
        query(
            cluster,
            &namespace,
            "select rolsuper from pg_roles where rolname = current_user"
        )
        .await?
        .trim(),
        "f"
    );
    query(
        cluster,
        &namespace,
        "create schema plugin; create table plugin.t (a int)",
    )
    .await
    .context("it may make schemas")?;
    Ok(())
}

#[tokio::test]
async fn data_outlives_the_pod_and_the_object() -> Result<()> {
    let cluster = Cluster::node().await?;
    cluster.load_operator_image().await?;
    let namespace = cluster.namespace("outlives").await?;
    let _operator = cluster
        .operator(OperatorOptions::for_namespace(&namespace.name))
        .await?;
    namespace.apply(DATABASE).await?;
    let api = databases(cluster, &namespace.name).await?;
    until(&api, "real", "is Ready", 5 * MINUTE, is_ready).await?;
    query(
        cluster,
        &namespace,
        "create table kept (word text); insert into kept values ('before')",
    )
    .await?;

    let pods: Api<Pod> = Api::namespaced(cluster.client().await?, &namespace.name);
    let first = pods.get("real-db-0").await?.uid();
    namespace
        .kubectl(&[
            "delete",
            "pod",
            "real-db-0",
            "--wait=true",
            "--timeout=120s",
        ])
        .await?;
    let is_new = |pod: &Pod| pod.uid() != first;
    until(&pods, "real-db-0", "is made again", MINUTE, is_new).await?;
    let answers = async || {
        Ok(Some(
            query(cluster, &namespace, "select word from kept").await?,
        ))
    };
    assert_eq!(
        wait_for(
            "the database after its pod was deleted",
            2 * MINUTE,
            answers
        )
        .await?
        .trim(),
        "before"
    );

    namespace
        .kubectl(&[
            "delete",
            "paperclipdatabase",
            "real",
            "--wait=true",
            "--timeout=120s",
        ])
        .await?;
    let gone = async || Ok(pods.get_opt("real-db-0").await?.is_none().then_some(()));
    wait_for("the pod to go with the object", 2 * MINUTE, gone).await?;
    namespace
        .kubectl(&["get", "pvc/real-db-data", "secret/real-db-credentials"])
        .await
        .context("data and credentials stay")?;

    namespace.apply(DATABASE).await?;
    until(&api, "real", "is Ready again", 5 * MINUTE, is_ready).await?;
    assert_eq!(
        query(cluster, &namespace, "select word from kept")
            .await?
            .trim(),
        "before"
    );
    let claim = namespace
        .kubectl(&[
            "get",
            "pvc",
            "real-db-data",
            "-o",
            "jsonpath={.metadata.ownerReferences}",
        ])
        .await?;
    ensure!(claim.is_empty(), "the claim must have no owner: {claim}");
    Ok(())
}
