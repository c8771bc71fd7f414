//! A backup from `kubectl create` to the bucket: a real PostgreSQL, the agent in its own image, object storage of somebody else's making.
//! The service runs beside the pods, in the cluster's network.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use kube::Api;
use kube::api::{ApiResource, DynamicObject};
use paperclip_e2e::binaries::Group;
use paperclip_e2e::harness::{Cluster, Namespace, OperatorOptions, until};
use serde_json::Value;

const MINUTE: Duration = Duration::from_secs(60);
const KEY_ID: &str = "test-key-id";
const SECRET: &str = "test-secret-that-is-long";
/// The node's address, which pods can reach.
const NODE: &str = "10.199.0.1";
const PORT: u16 = 17070;

const DATABASE: &str = "
apiVersion: paperclip.inc/v1alpha1
kind: PaperclipDatabase
metadata: {name: shop}
spec:
  storage: {size: 1Gi}
  resources: {requests: {cpu: 50m, memory: 128Mi}}
";

/// Object storage in a folder of this machine; the folder goes with it.
struct Bucket {
    folder: PathBuf,
    _service: tokio::process::Child,
}

impl Bucket {
    async fn start(cluster: &Cluster) -> Result<Self> {
        let folder =
            std::env::temp_dir().join(format!("paperclip-e2e-bucket-{}", std::process::id()));
        std::fs::create_dir_all(folder.join("data/backups"))?;
        let data = folder.join("data").to_string_lossy().into_owned();
        let address = format!("{NODE}:{PORT}");
        let arguments = [
            "--access",
            KEY_ID,
            "--secret",
            SECRET,
            "--port",
            &address,
            "posix",
            // It would link files by a /proc that is not its own.
            "--disableotmp",
            &data,
        ];
        let service = cluster.daemon(Group::S3, "versitygw", &arguments).await?;
        Ok(Self {
            folder,
            _service: service,
        })
    }

    /// Names of all objects, and the content of those that end with `suffix`.
    fn objects(&self, suffix: &str) -> Result<Vec<(String, Vec<u8>)>> {
        let bucket = self.folder.join("data/backups");
        let (mut found, mut folders) = (vec![], vec![bucket.clone()]);
        while let Some(folder) = folders.pop() {
            for entry in std::fs::read_dir(&folder)? {
                let path = entry?.path();
                let name = path.strip_prefix(&bucket)?.to_string_lossy().into_owned();
                if name.starts_with(".sgwtmp") {
                    continue;
                }
                if path.is_dir() {
                    folders.push(path);
                } else {
                    let wanted = name.ends_with(suffix);
                    let content = if wanted {
                        std::fs::read(&path)?
                    } else {
                        vec![]
                    };
                    found.push((name, content));
                }
            }
        }
        Ok(found)
    }
}

impl Drop for Bucket {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

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

fn backup(name: &str, bucket: &str) -> String {
    format!(
        "
apiVersion: paperclip.inc/v1alpha1
kind: PaperclipBackup
metadata: {{name: {name}}}
spec:
  databaseRef: {{name: shop}}
  storage:
    s3: {{bucket: {bucket}, endpoint: 'http://{NODE}:{PORT}', credentialsSecretRef: {{name: s3}}}}
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
    let keys = format!(
        "{{apiVersion: v1, kind: Secret, metadata: {{name: s3}}, stringData: {{AWS_ACCESS_KEY_ID: {KEY_ID}, AWS_SECRET_ACCESS_KEY: {SECRET}}}}}"
    );
    namespace.apply(&keys).await?;
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
    namespace.apply(&backup("now", "backups")).await?;
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

    // Another that cannot work says why, and harms nothing.
    namespace
        .apply(&backup("elsewhere", "no-such-bucket"))
        .await?;
    let failed = |object: &DynamicObject| has(object, "Failed", "UploadFailed");
    let failed = until(&backups, "elsewhere", "is Failed", 3 * MINUTE, failed).await?;
    let text = failed.data["status"].to_string();
    ensure!(
        text.contains("BucketNotFound") && text.contains("no-such-bucket"),
        "{text}"
    );
    ensure!(!text.contains(SECRET), "a key is shown");
    ensure!(
        bucket.objects("")?.len() == 2,
        "the first backup was touched"
    );
    Ok(())
}
