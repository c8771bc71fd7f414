//! What happens to a running server: its configuration changes, a Secret that it reads changes, its database goes away for minutes.

use std::time::Duration;

use anyhow::{Result, ensure};
use paperclip_e2e::harness::{Cluster, wait_for};
use serde_json::{Value, json};

use crate::installation::{Installation, MINUTE, NAME, SERVER_POD};

const KEYED: &str = "
apiVersion: v1
kind: Secret
metadata: {name: keys}
stringData: {ANTHROPIC_API_KEY: first}
---
apiVersion: paperclip.inc/v1alpha1
kind: Instance
metadata: {name: my-paperclip}
spec:
  image: {tag: 2026.916.1}
  adapters: {apiKeysSecretRef: {name: keys}}
  availability: {serverDrain: {enabled: false}}
";

async fn patch(installed: &Installation<'_>, spec: Value) -> Result<()> {
    let patch = json!({"spec": spec}).to_string();
    let arguments = ["patch", "instance", NAME, "--type=merge", "-p", &patch];
    installed.namespace.kubectl(&arguments).await.map(drop)
}

/// Waits until the server runs in another pod than this one, and gives that pod.
async fn replaced(installed: &Installation<'_>, uid: Option<String>) -> Result<Option<String>> {
    wait_for("another server pod", 4 * MINUTE, async || {
        let now = installed.server_uid().await?;
        ensure!(now != uid, "the old pod is there");
        Ok(Some(()))
    })
    .await?;
    installed.until_running().await?;
    installed.until_healthy().await?;
    installed.server_uid().await
}

/// `Status/Reason` of a condition of the Instance.
async fn condition(installed: &Installation<'_>, kind: &str) -> Result<String> {
    let path = format!("jsonpath={{.status.conditions[?(@.type=='{kind}')].status}}");
    installed
        .namespace
        .kubectl(&["get", "instance", NAME, "-o", &path])
        .await
}

#[tokio::test]
async fn changes_reach_the_server_once_and_it_survives_its_database() -> Result<()> {
    let cluster = Cluster::node().await?;
    let installed = Installation::applied(cluster, "changes", KEYED).await?;
    installed.until_running().await?;
    let namespace = &installed.namespace;
    let service = format!("{NAME}.{}.svc.cluster.local:3100", namespace.name);
    let first = installed.server_uid().await?;

    // Open to the public, under the name that people use.
    let public =
        json!({"deployment": {"exposure": "public", "publicURL": format!("http://{service}")}});
    patch(&installed, public).await?;
    let second = replaced(&installed, first).await?;
    let health = cluster.http_get(&service, "/api/health").await?;
    assert_eq!(health.status, 200, "{}", health.text());
    assert_eq!(health.json()?["deploymentExposure"], "public");

    // A Secret gets other content: the server is given it, once.
    let secret = json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "keys"},
        "stringData": {"ANTHROPIC_API_KEY": "second"}});
    namespace.apply(&secret.to_string()).await?;
    // Nobody watches Secrets: a look is asked for, which comes by itself within five minutes.
    let look = "paperclip.inc/reconcile-requested-at=now";
    namespace
        .kubectl(&["annotate", "instance", NAME, look])
        .await?;
    let third = replaced(&installed, second).await?;
    let variable = [
        "exec",
        SERVER_POD,
        "-c",
        "paperclip",
        "--",
        "printenv",
        "ANTHROPIC_API_KEY",
    ];
    assert_eq!(namespace.kubectl(&variable).await?.trim(), "second");
    // It is touched, and says the same.
    namespace
        .kubectl(&["annotate", "secret", "keys", "touched=yes"])
        .await?;
    let look = "paperclip.inc/reconcile-requested-at=later";
    namespace
        .kubectl(&["annotate", "instance", NAME, "--overwrite", look])
        .await?;
    let handled = [
        "get",
        "instance",
        NAME,
        "-o",
        "jsonpath={.status.lastHandledReconcileAt}",
    ];
    wait_for("the look to be taken", MINUTE, async || {
        Ok((namespace.kubectl(&handled).await? == "later").then_some(()))
    })
    .await?;
    tokio::time::sleep(Duration::from_secs(10)).await;
    assert_eq!(installed.server_uid().await?, third);

    // The database is away for three minutes: the server is unready, and is not started again.
    let off = "paperclip.inc/reconcile=disabled";
    namespace
        .kubectl(&["annotate", "paperclipdatabase", NAME, off])
        .await?;
    let lives = installed.server_restarts().await?;
    namespace
        .kubectl(&["scale", "statefulset", "my-paperclip-db", "--replicas=0"])
        .await?;
    wait_for("the Instance to be unready", 2 * MINUTE, async || {
        Ok((condition(&installed, "Ready").await? == "False").then_some(()))
    })
    .await?;
    let end = tokio::time::Instant::now() + 3 * MINUTE;
    while tokio::time::Instant::now() < end {
        ensure!(
            installed.server_uid().await? == third,
            "the server's pod was replaced"
        );
        ensure!(
            condition(&installed, "Ready").await? == "False",
            "it claims to be ready"
        );
        tokio::time::sleep(Duration::from_secs(5)).await;
    }
    assert_eq!(installed.server_restarts().await?, lives);
    let on = "paperclip.inc/reconcile-";
    namespace
        .kubectl(&["annotate", "paperclipdatabase", NAME, on])
        .await?;
    installed.until_running().await?;
    installed.until_healthy().await?;
    assert_eq!(installed.server_uid().await?, third);
    assert_eq!(installed.server_restarts().await?, lives);
    Ok(())
}
