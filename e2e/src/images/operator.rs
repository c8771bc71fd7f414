//! The operator's own image: two static programs, certificates, an account without rights, on an empty base. The list of files is
//! that of the `Dockerfile`.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use tokio::process::Command;

use super::layer::LayerBuilder;
use super::oci::{self, Config};
use crate::cache::{self, Cache};
use crate::system::{Package, ensure_packages, find_program, run, say};

/// The name under which the image is known in a local cluster.
pub const NAME: &str = "localhost/paperclip-operator:dev";
/// The name that the manifests in `deploy` use: they work in a local cluster as they are.
pub const PUBLISHED_NAME: &str = concat!(
    "ghcr.io/paperclipinc/paperclip-operator:",
    env!("CARGO_PKG_VERSION")
);

const TARGET: &str = "x86_64-unknown-linux-gnu";
const CERTIFICATES: &str = "/etc/ssl/certs/ca-certificates.crt";

/// The static programs.
#[derive(Debug, Clone)]
pub struct Programs {
    /// `paperclip-operator`.
    pub operator: PathBuf,
    /// `paperclip-agent`.
    pub agent: PathBuf,
}

/// Builds the programs with cargo, in the given profile or the one that `PAPERCLIP_E2E_PROFILE` names.
pub async fn programs(profile: &str) -> Result<Programs> {
    let profile = std::env::var("PAPERCLIP_E2E_PROFILE")
        .ok()
        .filter(|name| !name.is_empty())
        .unwrap_or_else(|| profile.to_owned());
    let root = Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .context("the workspace has a folder")?;
    let cargo = std::env::var_os("CARGO")
        .map(PathBuf::from)
        .or_else(|| find_program("cargo"))
        .context("cargo is not on PATH")?;
    say(&format!("building the operator and its agent ({profile})"));
    let mut command = Command::new(cargo);
    command
        .current_dir(root)
        .env("RUSTFLAGS", "-C target-feature=+crt-static")
        .env_remove("CARGO_ENCODED_RUSTFLAGS");
    command.args([
        "build",
        "--locked",
        "--profile",
        &profile,
        "--target",
        TARGET,
        "-p",
        "paperclip-operator",
        "-p",
        "paperclip-agent",
    ]);
    command.arg("--message-format=json-render-diagnostics");
    let messages = run(&mut command, Duration::from_secs(3600)).await?;
    let program = |name: &str| -> Result<PathBuf> {
        let artifacts = messages
            .lines()
            .filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok());
        let mut found = artifacts
            .filter(|message| message["target"]["name"] == name)
            .filter_map(|message| message["executable"].as_str().map(PathBuf::from));
        found
            .next()
            .with_context(|| format!("cargo built no program {name}"))
    };
    Ok(Programs {
        operator: program("paperclip-operator")?,
        agent: program("paperclip-agent")?,
    })
}

/// Builds the image; the same programs give the same image.
pub async fn build(cache: &Cache, programs: &Programs) -> Result<PathBuf> {
    ensure_packages(&[Package {
        name: "ca-certificates",
        provides: CERTIFICATES,
    }])
    .await?;
    let contents = [
        include_bytes!("operator.rs").to_vec(),
        fs::read(&programs.operator)?,
        fs::read(&programs.agent)?,
        fs::read(CERTIFICATES)?,
    ];
    let name = format!("operator-{}", cache::key(contents));
    let image = cache
        .entry("images", &name, async |image| write(image, programs))
        .await?;
    cache.forget_old("images", "operator-", &image)?;
    Ok(image)
}

fn write(image: &Path, programs: &Programs) -> Result<()> {
    let mut layer = LayerBuilder::create(&oci::blobs(image))?;
    for folder in [
        "etc",
        "etc/ssl",
        "etc/ssl/certs",
        "usr",
        "usr/local",
        "usr/local/bin",
    ] {
        layer.directory(folder, 0o755, 0)?;
    }
    layer
        .bytes(
            "etc/passwd",
            0o644,
            b"nonroot:x:65532:65532:nonroot:/:/sbin/nologin\n",
        )?
        .bytes("etc/group", 0o644, b"nonroot:x:65532:\n")?
        .file(
            Path::new(CERTIFICATES),
            "etc/ssl/certs/ca-certificates.crt",
            0o644,
        )?
        .file(
            &programs.operator,
            "usr/local/bin/paperclip-operator",
            0o755,
        )?
        .file(&programs.agent, "usr/local/bin/paperclip-agent", 0o755)?;
    let layer = layer.finish()?;
    ensure!(layer.size > 0, "an empty layer");
    let config = Config {
        entrypoint: vec!["/usr/local/bin/paperclip-operator"],
        command: vec!["run"],
        environment: vec!["PATH=/usr/local/bin".to_owned()],
        user: "65532:65532",
        ..Config::default()
    };
    oci::write(image, &[NAME, PUBLISHED_NAME], &[layer], &config)
}
