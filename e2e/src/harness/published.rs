//! Files out of published Go modules: definitions of kinds that others make, so that tests meet the real ones.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;
use tokio::process::Command;

use crate::system::{find_program, output_with_input};

/// The text of a file of a module, as it was published; checksums are verified as always.
pub async fn published(module: &str, version: &str, file: &str) -> Result<String> {
    let go = find_program("go")
        .context("Go is needed to fetch a module, and there is no `go` on PATH")?;
    let mut command = Command::new(go);
    command
        .current_dir(std::env::temp_dir())
        .args(["mod", "download", "-json"])
        .arg(format!("{module}@{version}"));
    let output = output_with_input(&mut command, None, Duration::from_secs(300)).await?;
    let answer: Value = serde_json::from_slice(&output.stdout)
        .with_context(|| format!("go mod download {module}@{version} gave no JSON"))?;
    ensure!(
        output.status.success(),
        "go mod download {module}@{version}: {}",
        answer["Error"]
    );
    let folder = answer["Dir"].as_str().context("it names no folder")?;
    let file = Path::new(folder).join(file);
    std::fs::read_to_string(&file).with_context(|| format!("cannot read {}", file.display()))
}
