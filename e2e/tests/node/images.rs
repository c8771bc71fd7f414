//! The images are what the operator takes them for, before the operator comes into play: PostgreSQL initialises itself and answers,
//! the real server becomes healthy on it, all under Pod Security `restricted`.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use http::Request;
use http_body_util::Full;
use k8s_openapi::api::core::v1::Pod;
use kube::Api;
use paperclip_e2e::harness::{Cluster, until, wait_for};

const MINUTE: Duration = Duration::from_secs(60);

fn is_ready(pod: &Pod) -> bool {
    let conditions = pod
        .status
        .as_ref()
        .and_then(|status| status.conditions.as_ref());
    conditions.is_some_and(|list| {
        list.iter()
            .any(|condition| condition.type_ == "Ready" && condition.status == "True")
    })
}

#[tokio::test]
async fn the_server_becomes_healthy_on_postgres() -> Result<()> {
    let cluster = Cluster::node().await?;
    let namespace = cluster.namespace("images").await?;
    namespace.apply(include_str!("database.yaml")).await?;
    let pods: Api<Pod> = Api::namespaced(cluster.client().await?, &namespace.name);
    until(&pods, "db", "is ready", 2 * MINUTE, is_ready).await?;

    // What the operator and its agent rely on in the database's image.
    let sql = "select version(); create extension pg_trgm; create extension fuzzystrmatch; show data_checksums";
    let answer = namespace
        .kubectl(&[
            "exec",
            "db",
            "--",
            "psql",
            "-h",
            "127.0.0.1",
            "-U",
            "paperclip",
            "-d",
            "postgres",
            "-tAc",
            sql,
        ])
        .await?;
    assert!(
        answer.contains("PostgreSQL 17.") && answer.ends_with("on\n"),
        "{answer}"
    );
    let identity = namespace.kubectl(&["exec", "db", "--", "id"]).await?;
    assert!(
        identity.starts_with("uid=70(postgres) gid=70(postgres)"),
        "{identity}"
    );

    namespace.apply(include_str!("server.yaml")).await?;
    until(&pods, "server", "is ready", 5 * MINUTE, is_ready).await?;
    let address = format!("server.{}.svc.cluster.local:3100", namespace.name);
    // The pod is ready; kube-proxy hears of it a moment later, and the server first tidies up.
    wait_for(
        "the server to be healthy through its Service",
        MINUTE,
        async || {
            let request = Request::get("/api/health").header("Host", "localhost");
            let health = cluster
                .http(&address, request.body(Full::default())?)
                .await?;
            ensure!(
                health.status == 200 && health.json()?["status"] == "ok",
                "{} {}",
                health.status,
                health.text()
            );
            Ok(Some(()))
        },
    )
    .await?;

    let log = namespace.kubectl(&["logs", "server"]).await?;
    assert!(!log.is_empty(), "the server's log can be read");
    Ok(())
}

#[tokio::test]
async fn a_pod_reaches_a_service_by_its_short_name_and_its_own_service() -> Result<()> {
    let cluster = Cluster::node().await?;
    let namespace = cluster.namespace("network").await?;
    namespace.apply(include_str!("network.yaml")).await?;
    let pods: Api<Pod> = Api::namespaced(cluster.client().await?, &namespace.name);
    until(&pods, "web", "is ready", 2 * MINUTE, is_ready).await?;
    until(&pods, "client", "is ready", 2 * MINUTE, is_ready).await?;
    for from in ["client", "web"] {
        let script = "fetch('http://web:8080/').then(r => r.text()).then(t => console.log(t), e => console.log(e))";
        let answer = namespace
            .kubectl(&["exec", from, "--", "node", "-e", script])
            .await?;
        assert_eq!(answer.trim(), "hello", "from {from}");
    }
    namespace
        .kubectl(&["delete", "pod", "web", "--wait=true", "--timeout=60s"])
        .await
        .context("a pod ends")?;
    Ok(())
}
