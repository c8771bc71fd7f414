//! An image as the OCI image layout describes it: a folder with blobs and an index, and the archive made from it that
//! `ctr images import`, `docker load` and `podman load` read.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use super::layer::Blob;
use crate::cache::hex;

/// How containers of the image start.
#[derive(Debug, Default)]
pub struct Config {
    /// Program that always runs.
    pub entrypoint: Vec<&'static str>,
    /// Its arguments, or the program if there is no entrypoint.
    pub command: Vec<&'static str>,
    /// Environment, `NAME=value`.
    pub environment: Vec<String>,
    /// User and group; empty is root.
    pub user: &'static str,
    /// Working directory.
    pub folder: &'static str,
    /// Ports that it listens on, as `3100/tcp`.
    pub ports: Vec<&'static str>,
}

/// The folder for blobs in an image's folder.
pub fn blobs(image: &Path) -> PathBuf {
    image.join("blobs/sha256")
}

/// Completes an image whose layers are in [`blobs`]: writes configuration, manifest and index. All `names` are full references.
pub fn write(image: &Path, names: &[&str], layers: &[Blob], config: &Config) -> Result<()> {
    let document = json!({
        "architecture": "amd64",
        "os": "linux",
        "config": {
            "Entrypoint": config.entrypoint, "Cmd": config.command, "Env": config.environment, "User": config.user,
            "WorkingDir": if config.folder.is_empty() { "/" } else { config.folder },
            "ExposedPorts": config.ports.iter().map(|port| ((*port).to_owned(), json!({}))).collect::<serde_json::Map<_, _>>(),
        },
        "rootfs": {"type": "layers", "diff_ids": layers.iter().map(|layer| format!("sha256:{}", layer.digest)).collect::<Vec<_>>()},
        "history": layers.iter().map(|_| json!({"created_by": "paperclip-e2e images"})).collect::<Vec<_>>(),
    });
    let config = add(image, &document)?;
    let manifest = json!({
        "schemaVersion": 2,
        "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "config": descriptor("application/vnd.oci.image.config.v1+json", &config),
        "layers": layers.iter().map(|layer| descriptor("application/vnd.oci.image.layer.v1.tar", layer)).collect::<Vec<_>>(),
    });
    let manifest = add(image, &manifest)?;
    let entries = names.iter().map(|name| {
        let mut entry = descriptor("application/vnd.oci.image.manifest.v1+json", &manifest);
        let tag = name.rsplit(':').next().unwrap_or("latest");
        entry["annotations"] =
            json!({"io.containerd.image.name": name, "org.opencontainers.image.ref.name": tag});
        entry["platform"] = json!({"architecture": "amd64", "os": "linux"});
        entry
    });
    let index = json!({"schemaVersion": 2, "mediaType": "application/vnd.oci.image.index.v1+json", "manifests": entries.collect::<Vec<_>>()});
    fs::write(image.join("index.json"), serde_json::to_vec_pretty(&index)?)?;
    fs::write(
        image.join("oci-layout"),
        br#"{"imageLayoutVersion":"1.0.0"}"#,
    )?;
    Ok(())
}

/// Writes the image as one archive.
pub fn pack(image: &Path, out: impl Write) -> Result<()> {
    let mut archive = tar::Builder::new(out);
    for name in ["oci-layout", "index.json"] {
        archive.append_path_with_name(image.join(name), name)?;
    }
    let mut names: Vec<_> = fs::read_dir(blobs(image))?
        .map(|entry| entry.map(|entry| entry.file_name()))
        .collect::<std::io::Result<_>>()?;
    names.sort();
    for name in names {
        archive.append_path_with_name(
            blobs(image).join(&name),
            Path::new("blobs/sha256").join(&name),
        )?;
    }
    archive
        .into_inner()?
        .flush()
        .context("cannot write the archive")
}

/// Bytes of all blobs: what a registry would send, uncompressed.
pub fn size(image: &Path) -> Result<u64> {
    let mut sum = 0;
    for entry in fs::read_dir(blobs(image))? {
        sum += entry?.metadata()?.len();
    }
    Ok(sum)
}

fn add(image: &Path, document: &Value) -> Result<Blob> {
    let bytes = serde_json::to_vec(document)?;
    let blob = Blob {
        digest: hex(&Sha256::digest(&bytes)),
        size: u64::try_from(bytes.len())?,
    };
    fs::create_dir_all(blobs(image))?;
    fs::write(blobs(image).join(&blob.digest), bytes)?;
    Ok(blob)
}

fn descriptor(kind: &str, blob: &Blob) -> Value {
    json!({"mediaType": kind, "digest": format!("sha256:{}", blob.digest), "size": blob.size})
}
