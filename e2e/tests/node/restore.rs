//! What was backed up comes back: into the same installation, and into one that has nothing but the bucket and the key. Real server, real
//! PostgreSQL, object storage of somebody else's making.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use paperclip_e2e::harness::{Cluster, wait_for};
use paperclip_e2e::system::say;
use serde_json::{Value, json};

use crate::board::Board;
use crate::bucket::Bucket;
use crate::installation::{Installation, MINUTE, NAME};

const MASTER_KEY: &str = "my-paperclip-secrets-master-key";

/// With an admin, and a place for backups.
fn manifest(bucket: &Bucket, spec: &str) -> String {
    let (keys, endpoint) = (Bucket::keys(), bucket.endpoint());
    format!(
        "
{keys}
---
apiVersion: v1
kind: Secret
metadata: {{name: admin}}
stringData: {{password: correct horse}}
---
apiVersion: paperclip.inc/v1alpha1
kind: Instance
metadata: {{name: my-paperclip}}
spec:
  image: {{tag: 2026.916.1}}
  auth:
    adminUser: {{email: ada@example.com, name: Ada, passwordSecretRef: {{name: admin, key: password}}}}
  availability: {{serverDrain: {{enabled: false}}}}
  backup: {{s3: {{bucket: backups, endpoint: '{endpoint}', credentialsSecretRef: {{name: s3}}}}}}
{spec}"
    )
}

pub async fn get(installed: &Installation<'_>, what: &[&str], path: &str) -> Result<String> {
    let path = format!("jsonpath={{{path}}}");
    let all: Vec<&str> = ["get"]
        .into_iter()
        .chain(what.iter().copied())
        .chain(["-o", &path])
        .collect();
    installed.namespace.kubectl(&all).await
}

async fn patch(installed: &Installation<'_>, spec: Value) -> Result<()> {
    let patch = json!({"spec": spec}).to_string();
    let arguments = ["patch", "instance", NAME, "--type=merge", "-p", &patch];
    installed.namespace.kubectl(&arguments).await.map(drop)
}

const INSTANCE: [&str; 2] = ["instance", NAME];

#[tokio::test]
async fn what_was_backed_up_comes_back_here_and_elsewhere() -> Result<()> {
    let cluster = Cluster::node().await?;
    let bucket = Bucket::start(cluster).await?;
    let installed = Installation::applied(cluster, "restore", &manifest(&bucket, "")).await?;
    installed.until_running().await?;
    installed.until_healthy().await?;
    let board = Board::new(&installed, "correct horse").await?;
    let company = board
        .ask(
            &installed,
            "POST",
            "/api/companies",
            Some(json!({"name": "Kept"})),
        )
        .await?;
    let company = company["id"].as_str().context("no company")?.to_owned();
    let secret = json!({"name": "old", "value": "open sesame"});
    let path = format!("/api/companies/{company}/secrets");
    let secret = board.ask(&installed, "POST", &path, Some(secret)).await?;
    let secret = secret["id"].as_str().context("no secret")?.to_owned();

    // A backup that names nothing but the Instance.
    let since = Instant::now();
    let backup = "{apiVersion: paperclip.inc/v1alpha1, kind: PaperclipBackup, metadata: {name: kept}, spec: {instanceRef: {name: my-paperclip}}}";
    installed.namespace.apply(backup).await?;
    wait_for("the backup", 2 * MINUTE, async || {
        let phase = get(&installed, &["pcb", "kept"], ".status.phase").await?;
        ensure!(
            phase != "Failed",
            "{}",
            get(&installed, &["pcb", "kept"], ".status").await?
        );
        Ok((phase == "Complete").then_some(()))
    })
    .await?;
    say(&format!(
        "from create to Complete: {:.1} s",
        since.elapsed().as_secs_f64()
    ));
    board
        .ask(
            &installed,
            "POST",
            "/api/companies",
            Some(json!({"name": "Later"})),
        )
        .await?;
    let uid = installed.server_uid().await?;

    // It comes back, and what was there meanwhile is saved.
    let since = Instant::now();
    patch(&installed, json!({"restoreFrom": "kept"})).await?;
    wait_for("the restore", 5 * MINUTE, async || {
        let result = get(&installed, &INSTANCE, ".status.restore.result").await?;
        ensure!(
            result != "Failed",
            "{}",
            get(&installed, &INSTANCE, ".status.restore").await?
        );
        Ok((result == "Succeeded").then_some(()))
    })
    .await?;
    say(&format!(
        "from restoreFrom to Complete: {:.1} s",
        since.elapsed().as_secs_f64()
    ));
    assert_eq!(
        get(&installed, &INSTANCE, ".spec.restoreFrom").await?,
        "",
        "it is cleared"
    );
    assert_eq!(
        get(&installed, &INSTANCE, ".status.restore.source").await?,
        "kept"
    );
    installed.until_running().await?;
    installed.until_healthy().await?;
    let again = installed.server_uid().await?;
    assert_ne!(again, uid);
    assert_eq!(
        board.companies(&installed).await?,
        ["Kept"],
        "the key of the API is in the database too"
    );
    assert_eq!(
        board.secret_in_a_run(&installed, &company, &secret).await?,
        "open sesame"
    );
    let flag = [
        "exec",
        "my-paperclip-0",
        "-c",
        "paperclip",
        "--",
        "printenv",
    ];
    let environment = installed.namespace.kubectl(&flag).await?;
    assert!(
        !environment.contains("RESTORE_IN_PROGRESS"),
        "agents are still not woken"
    );
    let restores = get(&installed, &["pcr"], ".items[*].status.safetyBackup").await?;
    let saved = get(&installed, &["pcb", restores.trim()], ".status.phase").await?;
    assert_eq!(saved, "Complete");

    // Somebody's tool puts the value back: nothing happens.
    patch(&installed, json!({"restoreFrom": "kept"})).await?;
    tokio::time::sleep(Duration::from_secs(10)).await;
    assert_eq!(installed.server_uid().await?, again);
    assert_eq!(
        get(&installed, &["pcr"], ".items[*].metadata.name")
            .await?
            .split_whitespace()
            .count(),
        1
    );
    assert_eq!(
        get(&installed, &INSTANCE, ".status.phase").await?,
        "Running"
    );

    // It is proven, by bringing it back into a database that is thrown away.
    let proof = json!({"spec": {"verification": {"level": "Restore"}}}).to_string();
    installed
        .namespace
        .kubectl(&["patch", "pcb", "kept", "--type=merge", "-p", &proof])
        .await?;
    wait_for("the proof", 2 * MINUTE, async || {
        let path = ".status.conditions[?(@.type=='Verified')].reason";
        let reason = get(&installed, &["pcb", "kept"], path).await?;
        ensure!(
            reason != "VerificationFailed",
            "{}",
            get(&installed, &["pcb", "kept"], ".status").await?
        );
        Ok((reason == "Verified").then_some(()))
    })
    .await?;
    assert_eq!(
        get(&installed, &["pcb", "kept"], ".status.verified.level").await?,
        "Restore"
    );

    // Elsewhere there is nothing but the bucket. Without the key it is refused before a server starts.
    let location = get(&installed, &["pcb", "kept"], ".status.artifact.location").await?;
    let key = get(&installed, &["secret", MASTER_KEY], ".data.master-key").await?;
    let from = format!("  restoreFrom: '{location}'\n");
    let there = Installation::applied(cluster, "elsewhere", &manifest(&bucket, &from)).await?;
    let refused = ".status.conditions[?(@.type=='RestoreComplete')].reason";
    wait_for("the refusal", 5 * MINUTE, async || {
        let reason = get(&there, &INSTANCE, refused).await?;
        Ok((reason == "KeyMissing").then_some(()))
    })
    .await?;
    assert_eq!(get(&there, &INSTANCE, ".status.phase").await?, "Failed");
    assert_eq!(
        get(
            &there,
            &["pods"],
            ".items[?(@.metadata.labels.app=='paperclip-server')].metadata.name"
        )
        .await?,
        ""
    );

    // With the key everything is as it was.
    let key = json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "saved-key"}, "data": {"master-key": key}});
    there.namespace.apply(&key.to_string()).await?;
    patch(
        &there,
        json!({"secrets": {"masterKeySecretRef": {"name": "saved-key", "key": "master-key"}}}),
    )
    .await?;
    let look = "paperclip.inc/reconcile-requested-at=now";
    there
        .namespace
        .kubectl(&["annotate", "instance", NAME, look])
        .await?;
    there.until_running().await?;
    there.until_healthy().await?;
    assert_eq!(get(&there, &INSTANCE, ".spec.restoreFrom").await?, "");
    let login = json!({"email": "ada@example.com", "password": "correct horse"});
    let answer = there
        .request("POST", "/api/auth/sign-in/email", Some(login))
        .await?;
    assert_eq!(answer.status, 200, "{}", answer.text());
    assert_eq!(board.companies(&there).await?, ["Kept"]);
    assert_eq!(
        board.secret_in_a_run(&there, &company, &secret).await?,
        "open sesame"
    );

    // Whoever deletes it gets a last backup, which stays.
    there
        .namespace
        .kubectl(&["delete", "instance", NAME, "--wait=true", "--timeout=5m"])
        .await?;
    let last = get(&there, &["pcb"], ".items[0].spec.reason").await?;
    assert_eq!(last, "FinalSnapshot");
    let phase = get(&there, &["pcb"], ".items[0].status.phase").await?;
    assert_eq!(phase, "Complete");
    Ok(())
}
