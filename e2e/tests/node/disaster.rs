//! Another cluster, which has nothing but the bucket and one private key. Everything comes back from these two alone.

use age::secrecy::ExposeSecret as _;
use age::x25519::Identity;
use anyhow::{Context as _, Result, ensure};
use paperclip_e2e::cluster::Tier;
use paperclip_e2e::harness::{Cluster, wait_for};
use serde_json::json;

use crate::board::Board;
use crate::bucket::Bucket;
use crate::installation::{Installation, MINUTE, NAME};
use crate::restore::get;

const INSTANCE: [&str; 2] = ["instance", NAME];
const SECRETS: [&str; 4] = [
    "my-paperclip-secrets-master-key",
    "my-paperclip-auth",
    "my-paperclip-app-keys",
    "my-paperclip-admin",
];

/// What a person keeps in a repository, and the private key that is kept elsewhere.
fn manifest(bucket: &Bucket, identity: &Identity, more: &str) -> String {
    let (keys, endpoint) = (Bucket::keys(), bucket.endpoint());
    let (public, private) = (identity.to_public(), identity.to_string());
    let private = private.expose_secret();
    format!(
        "
{keys}
---
apiVersion: v1
kind: Secret
metadata: {{name: age}}
stringData: {{identity: {private}}}
---
apiVersion: paperclip.inc/v1alpha1
kind: Instance
metadata: {{name: my-paperclip}}
spec:
  image: {{tag: 2026.916.1}}
  auth:
    adminUser: {{email: ada@example.com, name: Ada}}
  availability: {{serverDrain: {{enabled: false}}}}
  backup:
    s3: {{bucket: backups, endpoint: '{endpoint}', credentialsSecretRef: {{name: s3}}}}
    include: [Database, Spec, Files, Secrets]
    encryption: {{recipients: [{public}], identitySecretRef: {{name: age, key: identity}}}}
{more}"
    )
}

/// A picture of one pixel, which is no text.
const PICTURE: &[u8] =
    b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\0\0\x01\0\0\0\x01\x08\x06\0\0\0\x1f\x15\xc4\x89";

#[tokio::test]
async fn another_cluster_takes_over_from_the_bucket_and_one_key() -> Result<()> {
    let cluster = Cluster::node().await?;
    let bucket = Bucket::start(cluster).await?;
    let identity = Identity::generate();
    let lost = Installation::applied(cluster, "lost", &manifest(&bucket, &identity, "")).await?;
    lost.until_running().await?;
    lost.until_healthy().await?;
    let password = secret(&lost, "my-paperclip-admin", "password").await?;
    let board = Board::new(&lost, &password).await?;
    let company = json!({"name": "Kept"});
    let company = board
        .ask(&lost, "POST", "/api/companies", Some(company))
        .await?;
    let company = company["id"].as_str().context("no company")?.to_owned();
    let stored = json!({"name": "old", "value": "open sesame"});
    let path = format!("/api/companies/{company}/secrets");
    let stored = board.ask(&lost, "POST", &path, Some(stored)).await?;
    let stored = stored["id"].as_str().context("no secret")?.to_owned();
    let agent = board.reader(&lost, &company, &stored).await?;
    let instructions = format!("/api/agents/{agent}/instructions-bundle/file");
    let text = json!({"path": "AGENTS.md", "content": "Be kind."});
    board.ask(&lost, "PUT", &instructions, Some(text)).await?;
    let picture = board.upload(&lost, &company, PICTURE).await?;

    // A backup that names nothing but the Instance holds what the Instance's backups hold.
    let backup = "{apiVersion: paperclip.inc/v1alpha1, kind: PaperclipBackup, metadata: {name: all}, spec: {instanceRef: {name: my-paperclip}}}";
    lost.namespace.apply(backup).await?;
    wait_for("the backup", 2 * MINUTE, async || {
        let phase = get(&lost, &["pcb", "all"], ".status.phase").await?;
        let status = get(&lost, &["pcb", "all"], ".status").await?;
        ensure!(phase != "Failed", "{status}");
        Ok((phase == "Complete").then_some(()))
    })
    .await?;
    let names: Vec<String> = bucket
        .objects("manifest.json")?
        .into_iter()
        .map(|(name, _)| name)
        .collect();
    for part in [
        "database.dump.age",
        "files.tar.zst.age",
        "secrets.age",
        "spec.yaml",
        "manifest.json",
    ] {
        assert!(
            names.iter().any(|name| name.ends_with(&format!("/{part}"))),
            "{part}: {names:?}"
        );
    }
    assert_eq!(lost.server_restarts().await?, 0);
    let mut keys = vec![];
    for name in SECRETS {
        keys.push(get(&lost, &["secret", name], ".data").await?);
    }

    // Another control plane and another node: neither volumes nor keys.
    let other = Cluster::start(Tier::Node).await?;
    let there = bucket.also_in(&other).await?;
    let from = "  restoreFrom: latest\n";
    let manifest = manifest(&there, &identity, from);
    let found = Installation::applied(&other, "found", &manifest).await?;
    wait_for("the restore", 5 * MINUTE, async || {
        let result = get(&found, &INSTANCE, ".status.restore.result").await?;
        let status = get(&found, &INSTANCE, ".status.restore").await?;
        ensure!(result != "Failed", "{status}");
        Ok((result == "Succeeded").then_some(()))
    })
    .await?;
    let parts = get(&found, &["pcr"], ".items[0].status.restored.parts").await?;
    assert_eq!(parts, r#"["Database","Files","Secrets"]"#);
    found.until_running().await?;
    found.until_healthy().await?;
    for (name, data) in SECRETS.iter().zip(&keys) {
        assert!(
            get(&found, &["secret", name], ".data").await? == *data,
            "{name} is another one"
        );
    }
    // The old password, the key of the API, a stored secret, an upload, and the instructions of an agent.
    let again = Board::new(&found, &password).await?;
    assert_eq!(again.companies(&found).await?, ["Kept"]);
    assert_eq!(board.companies(&found).await?, ["Kept"]);
    assert_eq!(board.run(&found, &agent).await?, "open sesame");
    assert_eq!(board.content(&found, &picture).await?, PICTURE);
    let read = format!("{instructions}?path=AGENTS.md");
    let read = board.ask(&found, "GET", &read, None).await?;
    assert_eq!(read["content"], "Be kind.");

    // No key stands anywhere but in its Secret.
    let master = secret(&found, SECRETS[0], "master-key").await?;
    let shown = found
        .namespace
        .kubectl(&["get", "pods,jobs,pcr,pci,pcb,events", "-o", "yaml"])
        .await?;
    assert!(!shown.contains(&master) && !shown.contains(&password));
    let encoded = get(&found, &["secret", SECRETS[0]], ".data.master-key").await?;
    assert!(!shown.contains(&encoded));

    // At rest it stays as it is: the value is cleared, and nothing is made anew.
    assert_eq!(get(&found, &INSTANCE, ".spec.restoreFrom").await?, "");
    Ok(())
}

async fn secret(installed: &Installation<'_>, name: &str, key: &str) -> Result<String> {
    let template = format!("go-template={{{{index .data \"{key}\" | base64decode}}}}");
    let get = ["get", "secret", name, "-o", &template];
    installed.namespace.kubectl(&get).await
}
