//! A filled image store. Unpacking the server's image takes most of a minute, so it is done once: a containerd of its own fills a
//! store in the cache folder, and each cluster starts with a copy of the store's two small databases, hard links to its blobs and
//! symbolic links to its unpacked layers. The filled store itself is never written again.

use std::fs::{self, File};
use std::io::BufWriter;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};

use super::oci;
use crate::cache::{self, Cache};
use crate::cluster::host::own_program;
use crate::cluster::real_node::{CONTAINERD_SOCKET, containerd_config};
use crate::system::{run, say};

const BLOBS: &str = "io.containerd.content.v1.content/blobs/sha256";
const DATABASE: &str = "io.containerd.metadata.v1.bolt/meta.db";
const LAYERS_DATABASE: &str = "io.containerd.snapshotter.v1.overlayfs/metadata.db";
const LAYERS: &str = "io.containerd.snapshotter.v1.overlayfs/snapshots";

/// Gives a store with these images in it.
pub async fn filled(cache: &Cache, images: &[PathBuf]) -> Result<PathBuf> {
    let names = images
        .iter()
        .map(|image| image.as_os_str().as_encoded_bytes());
    let make = async |folder: &Path| {
        say("unpacking the images (only once)");
        let mut command = tokio::process::Command::new("unshare");
        command.args([
            "--mount",
            "--net",
            "--pid",
            "--ipc",
            "--fork",
            "--kill-child=SIGKILL",
            "--mount-proc",
            "--propagation",
            "private",
            "--",
        ]);
        command
            .arg(own_program()?)
            .arg("fill-store")
            .arg(folder)
            .args(images);
        run(&mut command, Duration::from_secs(1800)).await.map(drop)
    };
    cache.entry("store", &cache::key(names), make).await
}

/// Fills a store. Runs in namespaces of its own, as their first process.
pub fn fill(folder: &Path, images: &[PathBuf]) -> Result<()> {
    let status = Command::new("mount")
        .args(["-t", "tmpfs", "tmpfs", "/run"])
        .status()?;
    ensure!(status.success(), "cannot mount a file system in memory");
    let config = Path::new("/run/containerd.toml");
    fs::write(config, containerd_config(folder, None))?;
    let log = File::create("/run/containerd.log")?;
    let mut containerd = Command::new("containerd")
        .arg("--config")
        .arg(config)
        .stdin(Stdio::null())
        .stdout(log.try_clone()?)
        .stderr(log)
        .spawn()?;
    let result = import_all(images);
    // Ended in order, so that its databases are closed.
    let pid = i32::try_from(containerd.id())
        .ok()
        .and_then(rustix::process::Pid::from_raw)
        .context("a process has an id")?;
    rustix::process::kill_process(pid, rustix::process::Signal::TERM)?;
    wait(&mut containerd, Duration::from_secs(30))?;
    result.with_context(|| {
        crate::system::last_lines(
            &fs::read_to_string("/run/containerd.log").unwrap_or_default(),
            10,
        )
    })
}

fn import_all(images: &[PathBuf]) -> Result<()> {
    let end = Instant::now() + Duration::from_secs(60);
    while !ctr(&["version"])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()?
        .success()
    {
        ensure!(Instant::now() < end, "containerd does not answer");
        std::thread::sleep(Duration::from_millis(100));
    }
    images.iter().try_for_each(|image| import(image))
}

/// Imports an image into the containerd that this process can see.
pub fn import(image: &Path) -> Result<()> {
    let mut child = ctr(&["images", "import", "-"])
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()?;
    let packed = match child.stdin.take() {
        Some(input) => oci::pack(image, BufWriter::with_capacity(1 << 20, input)),
        None => bail!("ctr has no input"),
    };
    let output = child.wait_with_output()?;
    ensure!(
        output.status.success(),
        "cannot import {}: {}",
        image.display(),
        String::from_utf8_lossy(&output.stderr).trim()
    );
    packed
}

fn ctr(arguments: &[&str]) -> Command {
    let mut command = Command::new("ctr");
    command
        .args(["--address", CONTAINERD_SOCKET, "--namespace", "k8s.io"])
        .args(arguments);
    command
}

fn wait(child: &mut Child, limit: Duration) -> Result<()> {
    let end = Instant::now() + limit;
    while child.try_wait()?.is_none() {
        ensure!(Instant::now() < end, "containerd did not end");
        std::thread::sleep(Duration::from_millis(50));
    }
    Ok(())
}

/// Makes a new store in `target` that has all images of the filled one.
pub fn share(filled: &Path, target: &Path) -> Result<()> {
    for database in [DATABASE, LAYERS_DATABASE] {
        let copy = target.join(database);
        fs::create_dir_all(copy.parent().context("a path with a folder")?)?;
        fs::copy(filled.join(database), copy)?;
    }
    fs::create_dir_all(target.join(BLOBS))?;
    for entry in fs::read_dir(filled.join(BLOBS))? {
        let entry = entry?;
        fs::hard_link(entry.path(), target.join(BLOBS).join(entry.file_name()))?;
    }
    fs::create_dir_all(target.join(LAYERS))?;
    for entry in fs::read_dir(filled.join(LAYERS))? {
        let entry = entry?;
        std::os::unix::fs::symlink(entry.path(), target.join(LAYERS).join(entry.file_name()))?;
    }
    Ok(())
}
