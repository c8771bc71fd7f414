//! The quick start of the documentation, for real: the published server, a real PostgreSQL, and the operator with an installation's
//! rights. What must hold after a pod, the operator or the Instance itself has gone.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt as _;
use paperclip_e2e::harness::{Cluster, until, wait_for};
use serde_json::json;

use crate::installation::{Installation, MINUTE, NAME, QUICK_START, SERVER_POD, is_ready};

#[tokio::test]
async fn people_sign_up_and_their_data_outlive_pods_and_the_operator() -> Result<()> {
    let cluster = Cluster::node().await?;
    let mut installed = Installation::running(cluster, "quickstart").await?;
    installed.until_healthy().await?;

    // Sign-up and sign-in work, and the row is in the managed PostgreSQL.
    let person = json!({"name": "Ada", "email": "ada@example.com", "password": "correct horse"});
    let answer = installed
        .request("POST", "/api/auth/sign-up/email", Some(person))
        .await?;
    assert_eq!(answer.status, 200, "sign-up: {}", answer.text());
    installed.sign_in().await?;
    let sql = "select name from \"user\" where email = 'ada@example.com'";
    let script = format!(
        "psql \"$(cat /etc/paperclip/db-credentials/uri)\" -tAc \"{}\"",
        sql.replace('"', "\\\"")
    );
    let row = installed
        .namespace
        .kubectl(&[
            "exec",
            "my-paperclip-db-0",
            "-c",
            "postgres",
            "--",
            "sh",
            "-c",
            &script,
        ])
        .await?;
    assert_eq!(row.trim(), "Ada");
    let write = [
        "exec",
        SERVER_POD,
        "-c",
        "paperclip",
        "--",
        "sh",
        "-c",
        "echo kept > /paperclip/written-before",
    ];
    installed.namespace.kubectl(&write).await?;

    // The server's pod is deleted: another comes, with the same data.
    let pods = installed.pods().await?;
    let first = pods.get(SERVER_POD).await?.uid();
    installed
        .namespace
        .kubectl(&["delete", "pod", SERVER_POD, "--wait=false"])
        .await?;
    let replaced = |pod: &Pod| pod.uid() != first && is_ready(pod);
    until(
        &pods,
        SERVER_POD,
        "is replaced and ready",
        5 * MINUTE,
        replaced,
    )
    .await?;
    installed.until_running().await?;
    installed.until_healthy().await?;
    installed.sign_in().await?;
    let read = [
        "exec",
        SERVER_POD,
        "-c",
        "paperclip",
        "--",
        "cat",
        "/paperclip/written-before",
    ];
    assert_eq!(installed.namespace.kubectl(&read).await?.trim(), "kept");

    // The operator is killed and comes back: it changes nothing.
    wait_for(
        "the operator to have nothing left to do",
        2 * MINUTE,
        async || {
            let mark = cluster.audit_mark()?;
            tokio::time::sleep(Duration::from_secs(5)).await;
            let events = cluster.audit_since(mark)?;
            let user = installed.operator.username();
            Ok((!events
                .iter()
                .any(|event| event.username() == user && event.is_write()))
            .then_some(()))
        },
    )
    .await?;
    let lives = installed.pod_lives().await?;
    let mark = cluster.audit_mark()?;
    installed.operator.kill9().await?;
    installed.operator.start().await?;
    tokio::time::sleep(Duration::from_secs(10)).await;
    let events = cluster.audit_since(mark)?;
    let own: Vec<_> = events
        .iter()
        .filter(|event| event.username() == installed.operator.username())
        .collect();
    assert!(!own.is_empty(), "it looked at the cluster");
    let writes: Vec<_> = own.iter().filter(|event| event.is_write()).collect();
    assert!(writes.is_empty(), "{writes:#?}");
    assert_eq!(
        installed.pod_lives().await?,
        lives,
        "no pod was started again"
    );
    Ok(())
}

#[tokio::test]
async fn a_deleted_instance_leaves_its_data_and_a_new_one_takes_them_up() -> Result<()> {
    let cluster = Cluster::node().await?;
    let installed = Installation::running(cluster, "again").await?;
    installed.until_healthy().await?;
    let person = json!({"name": "Ada", "email": "ada@example.com", "password": "correct horse"});
    let answer = installed
        .request("POST", "/api/auth/sign-up/email", Some(person))
        .await?;
    assert_eq!(answer.status, 200, "sign-up: {}", answer.text());

    let namespace = &installed.namespace;
    namespace
        .kubectl(&["delete", "instance", NAME, "--wait=true", "--timeout=180s"])
        .await?;
    let gone = async || {
        let left = namespace
            .kubectl(&[
                "get",
                "statefulsets,services,jobs,networkpolicies,paperclipdatabases,pods",
                "-o",
                "name",
            ])
            .await?;
        ensure!(left.trim().is_empty(), "still there: {left}");
        Ok(Some(()))
    };
    wait_for("what the Instance owned to go", 3 * MINUTE, gone).await?;
    let kept = namespace
        .kubectl(&["get", "pvc,secrets", "-o", "name"])
        .await?;
    for name in [
        "my-paperclip-data",
        "my-paperclip-db-data",
        "my-paperclip-secrets-master-key",
        "my-paperclip-db-credentials",
    ] {
        assert!(
            kept.contains(name),
            "{name} is not among what was kept:\n{kept}"
        );
    }

    namespace.apply(QUICK_START).await?;
    installed.until_running().await?;
    installed.until_healthy().await?;
    installed
        .sign_in()
        .await
        .context("who signed up before can still sign in")?;
    Ok(())
}
