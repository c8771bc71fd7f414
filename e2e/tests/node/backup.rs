//! A backup from `kubectl create` to the bucket: a real PostgreSQL, the agent in its own image, object storage of somebody else's making.
//! The service runs beside the pods, in the cluster's network.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use kube::Api;
use kube::api::{ApiResource, DynamicObject};
use paperclip_e2e::harness::{Cluster, Namespace, OperatorOptions, until, wait_for};
use serde_json::Value;

use crate::bucket::{Bucket, SECRET};

const MINUTE: Duration = Duration::from_secs(60);

const DATABASE: &str = "
apiVersion: paperclip.inc/v1alpha1
kind: PaperclipDatabase
metadata: {name: shop}
spec:
  storage: {size: 1Gi}
  resources: {requests: {cpu: 50m, memory: 128Mi}}
";

fn kind(name: &str, plural: &str) -> ApiResource {
    ApiResource {
        group: "paperclip.inc".to_owned(),
        version: "v1alpha1".to_owned(),
        api_version: "paperclip.inc/v1alpha1".to_owned(),
        kind: name.to_owned(),
        plural: plural.to_owned(),
    }
}

fn has(object: &DynamicObject, kind: &str, reason: &str) -> bool {
    let conditions = object.data["status"]["conditions"].as_array();
    conditions
        .into_iter()
        .flatten()
        .any(|c| c["type"] == kind && c["status"] == "True" && c["reason"] == reason)
}

fn backup(name: &str, service: &Bucket, bucket: &str) -> String {
    let endpoint = service.endpoint();
    format!(
        "
apiVersion: paperclip.inc/v1alpha1
kind: PaperclipBackup
metadata: {{name: {name}}}
spec:
  databaseRef: {{name: shop}}
  storage:
    s3: {{bucket: {bucket}, endpoint: '{endpoint}', credentialsSecretRef: {{name: s3}}}}
"
    )
}

async fn sql(namespace: &Namespace<'_>, text: &str) -> Result<String> {
    let script = format!(
        "psql \"$(cat /etc/paperclip/db-credentials/uri)\" -v ON_ERROR_STOP=1 -tAc \"{text}\""
    );
    let arguments = [
        "exec",
        "shop-db-0",
        "-c",
        "postgres",
        "--",
        "sh",
        "-c",
        &script,
    ];
    namespace.kubectl(&arguments).await
}

#[tokio::test]
async fn a_backup_is_complete_when_it_is_in_the_bucket_and_was_read_back() -> Result<()> {
    let cluster = Cluster::node().await?;
    cluster.load_operator_image().await?;
    let bucket = Bucket::start(cluster).await?;
    let namespace = cluster.namespace("backup").await?;
    let _operator = cluster
        .operator(OperatorOptions::for_namespace(&namespace.name))
        .await?;
    namespace.apply(&Bucket::keys()).await?;
    namespace.apply(DATABASE).await?;
    let client = cluster.client().await?;
    let databases: Api<DynamicObject> = Api::namespaced_with(
        client.clone(),
        &namespace.name,
        &kind("PaperclipDatabase", "paperclipdatabases"),
    );
    let ready = |object: &DynamicObject| has(object, "Ready", "DatabaseProvisioned");
    until(&databases, "shop", "is Ready", 5 * MINUTE, ready).await?;
    sql(
        &namespace,
        "create table companies as select g from generate_series(1, 100) g",
    )
    .await?;

    let backups: Api<DynamicObject> = Api::namespaced_with(
        client,
        &namespace.name,
        &kind("PaperclipBackup", "paperclipbackups"),
    );
    let since = Instant::now();
    namespace.apply(&backup("now", &bucket, "backups")).await?;
    let complete = |object: &DynamicObject| {
        has(object, "Complete", "Complete") || has(object, "Stalled", "NoResult")
    };
    let done = until(&backups, "now", "is Complete", 3 * MINUTE, complete).await?;
    let took = since.elapsed();
    let status = &done.data["status"];
    ensure!(status["phase"] == "Complete", "{status}");
    ensure!(has(&done, "BackupDurable", "ReadBack"), "{status}");
    ensure!(took < MINUTE, "a small database took {took:?}");

    // What the status says is what is in the bucket.
    let objects = bucket.objects("manifest.json")?;
    let names: Vec<&str> = objects.iter().map(|(name, _)| name.as_str()).collect();
    ensure!(objects.len() == 2, "{names:?}");
    let manifest = objects
        .iter()
        .find(|(name, _)| name.ends_with("manifest.json"));
    let (name, manifest) = manifest.context("no manifest")?;
    let folder = name.trim_end_matches("manifest.json");
    ensure!(
        status["artifact"]["location"] == format!("s3://backups/{folder}"),
        "{status}"
    );
    ensure!(folder.starts_with("backups/shop/"), "{folder}");
    let manifest: Value = serde_json::from_slice(manifest)?;
    let rows = manifest["database"]["tables"]
        .as_array()
        .context("no tables")?;
    ensure!(
        rows.iter()
            .any(|t| t["table"] == "public.companies" && t["rows"] == 100),
        "{rows:?}"
    );
    ensure!(manifest["backup"]["name"] == "now", "{manifest}");

    // One that says so goes from the bucket with its object, and no other does.
    let with = backup("brief", &bucket, "backups") + "  deletionPolicy: Delete\n";
    namespace.apply(&with).await?;
    let brief = until(&backups, "brief", "is Complete", 3 * MINUTE, complete).await?;
    let location = brief.data["status"]["artifact"]["location"].clone();
    let location = location
        .as_str()
        .context(brief.data["status"].to_string())?;
    let location = location.replace("s3://backups/", "");
    let below = |place: &str| {
        let all = bucket.objects("")?;
        Ok::<_, anyhow::Error>(
            all.iter()
                .filter(|(name, _)| name.starts_with(place))
                .count(),
        )
    };
    ensure!(below(&location)? == 2, "{location}");
    namespace
        .kubectl(&["delete", "pcb", "brief", "--timeout=2m"])
        .await?;
    ensure!(below(&location)? == 0, "it is still in the bucket");
    ensure!(below(folder)? == 2, "another was touched");

    prune(&namespace, &backups, &bucket).await?;

    // Another that cannot work says why, and harms nothing.
    namespace
        .apply(&backup("elsewhere", &bucket, "no-such-bucket"))
        .await?;
    let failed = |object: &DynamicObject| has(object, "Failed", "UploadFailed");
    let failed = until(&backups, "elsewhere", "is Failed", 3 * MINUTE, failed).await?;
    let text = failed.data["status"].to_string();
    ensure!(
        text.contains("BucketNotFound") && text.contains("no-such-bucket"),
        "{text}"
    );
    ensure!(!text.contains(SECRET), "a key is shown");
    let objects = bucket.objects("")?;
    ensure!(
        objects.iter().any(|(name, _)| name.starts_with(folder)),
        "the first backup was touched"
    );
    Ok(())
}

/// A policy proves each of its backups, keeps what its rules want, and takes the rest away: objects and what is in the bucket.
async fn prune(
    namespace: &Namespace<'_>,
    backups: &Api<DynamicObject>,
    bucket: &Bucket,
) -> Result<()> {
    let endpoint = bucket.endpoint();
    let policy = format!(
        "
apiVersion: paperclip.inc/v1alpha1
kind: PaperclipBackup
metadata: {{name: each-minute}}
spec:
  databaseRef: {{name: shop}}
  schedule: '* * * * *'
  immediate: true
  retention: {{keepLast: 1}}
  verification: {{level: Restore}}
  storage:
    s3: {{bucket: backups, prefix: minutes, endpoint: '{endpoint}', credentialsSecretRef: {{name: s3}}}}
"
    );
    namespace.apply(&policy).await?;
    let first =
        |object: &DynamicObject| object.data["status"]["lastSuccessful"]["name"].is_string();
    let seen = until(
        backups,
        "each-minute",
        "has a first backup",
        2 * MINUTE,
        first,
    )
    .await?;
    let name = seen.data["status"]["lastSuccessful"]["name"].clone();
    let name = name.as_str().unwrap_or_default();
    let old = backups.get(name).await?;
    let proven = |object: &DynamicObject| has(object, "Verified", "Verified");
    let seen = until(backups, "each-minute", "is proven", 2 * MINUTE, proven).await?;
    ensure!(
        seen.data["status"]["lastVerified"]["name"].is_string(),
        "{}",
        seen.data["status"]
    );
    let location = old.data["status"]["artifact"]["location"].clone();
    let folder = location
        .as_str()
        .unwrap_or_default()
        .replace("s3://backups/", "");
    ensure!(folder.starts_with("minutes/"), "{folder}");
    wait_for("the first backup to go", 4 * MINUTE, async || {
        Ok(backups.get_opt(name).await?.is_none().then_some(()))
    })
    .await?;
    let objects = bucket.objects("")?;
    let left: Vec<_> = objects.iter().map(|(name, _)| name).collect();
    ensure!(
        !left.iter().any(|name| name.starts_with(&folder)),
        "{folder}: {left:?}"
    );
    ensure!(
        left.iter().any(|name| name.starts_with("minutes/")),
        "{left:?}"
    );
    namespace
        .kubectl(&["delete", "pcb", "each-minute", "--wait=false"])
        .await?;
    Ok(())
}
