//! The program that holds a pod's namespaces: it does nothing, takes in orphans, and ends when told.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, Result};
use tokio::process::Command;

use super::layer::LayerBuilder;
use super::oci::{self, Config};
use crate::system::{find_program, run_with_input};

/// C, because the program must be static and small, and must handle signals.
pub const SOURCE: &str = include_str!("../../images/pause.c");

/// Builds the image in the folder `image`.
pub async fn build(image: &Path) -> Result<()> {
    let compiler = find_program("cc").context("a C compiler (cc) is needed")?;
    let program = image.join("pause");
    let mut command = Command::new(compiler);
    command
        .args(["-Os", "-static", "-s", "-x", "c", "-o"])
        .arg(&program)
        .arg("-");
    run_with_input(
        &mut command,
        Some(SOURCE.as_bytes()),
        Duration::from_secs(60),
    )
    .await?;
    let mut layer = LayerBuilder::create(&oci::blobs(image))?;
    layer.file(&program, "pause", 0o755)?;
    let layer = layer.finish()?;
    std::fs::remove_file(&program)?;
    let config = Config {
        entrypoint: vec!["/pause"],
        user: "65535:65535",
        ..Config::default()
    };
    oci::write(image, &[super::PAUSE], &[layer], &config)
}
