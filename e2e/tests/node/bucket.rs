//! Object storage of somebody else's making, beside the pods, in the cluster's network.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU16, Ordering};

use anyhow::Result;
use paperclip_e2e::binaries::Group;
use paperclip_e2e::harness::Cluster;

const KEY_ID: &str = "test-key-id";
pub const SECRET: &str = "test-secret-that-is-long";
/// The node's address, which pods can reach.
const NODE: &str = "10.199.0.1";
/// Of the first; the next ones follow.
const PORT: u16 = 17070;

static NUMBER: AtomicU16 = AtomicU16::new(0);

/// Object storage in a folder of this machine; the folder goes with the last service on it.
pub struct Bucket {
    folder: Arc<Folder>,
    port: u16,
    _service: tokio::process::Child,
}

struct Folder(PathBuf);

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

impl Bucket {
    pub async fn start(cluster: &Cluster) -> Result<Self> {
        // One for each test: they run at the same time.
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let name = format!("paperclip-e2e-bucket-{}-{number}", std::process::id());
        let folder = Arc::new(Folder(std::env::temp_dir().join(name)));
        std::fs::create_dir_all(folder.0.join("data/backups"))?;
        Self::serve(cluster, folder, PORT + number).await
    }

    /// The same objects, for the pods of another cluster.
    pub async fn also_in(&self, cluster: &Cluster) -> Result<Self> {
        Self::serve(cluster, self.folder.clone(), self.port).await
    }

    async fn serve(cluster: &Cluster, folder: Arc<Folder>, port: u16) -> Result<Self> {
        let data = folder.0.join("data").to_string_lossy().into_owned();
        let address = format!("{NODE}:{port}");
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
            port,
            _service: service,
        })
    }

    /// Where pods reach it.
    pub fn endpoint(&self) -> String {
        format!("http://{NODE}:{}", self.port)
    }

    /// A Secret `s3` with the keys.
    pub fn keys() -> String {
        format!(
            "{{apiVersion: v1, kind: Secret, metadata: {{name: s3}}, stringData: {{AWS_ACCESS_KEY_ID: {KEY_ID}, AWS_SECRET_ACCESS_KEY: {SECRET}}}}}"
        )
    }

    /// Names of all objects, and the content of those that end with `suffix`.
    pub fn objects(&self, suffix: &str) -> Result<Vec<(String, Vec<u8>)>> {
        let bucket = self.folder.0.join("data/backups");
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
