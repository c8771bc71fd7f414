//! Helm, built from its published module like the programs of the local cluster: what users have, not an imitation.

use std::path::{Path, PathBuf};
use std::process::Output;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use tokio::process::Command;

use super::{NAMESPACE, RELEASE};
use crate::binaries::{Binaries, Group};
use crate::cache::Cache;
use crate::system::output_with_input;

/// The oldest version that the charts promise to work with; without it Helm assumes one of its own.
const KUBERNETES: &str = "1.30.0";
const LIMIT: Duration = Duration::from_secs(120);

/// The program, and the charts of this tree.
#[derive(Debug)]
pub struct Helm {
    program: PathBuf,
    root: PathBuf,
}

impl Helm {
    /// Builds the program if it is not in the cache. Without it nothing can be said about the charts: an error, never a skip.
    pub async fn ensure(cache: &Cache, root: &Path) -> Result<Self> {
        let binaries = Binaries::ensure(cache, &[Group::Helm])
            .await
            .context("Helm is needed to render the charts, and cannot be built")?;
        Ok(Self {
            program: binaries.program("helm")?,
            root: root.to_owned(),
        })
    }

    /// Renders the operator's chart under the names of `deploy/`.
    pub async fn template(&self, arguments: &[&str]) -> Result<String> {
        let output = self.template_output(arguments).await?;
        if !output.status.success() {
            bail!(
                "helm template {}: {}",
                arguments.join(" "),
                String::from_utf8_lossy(&output.stderr).trim()
            );
        }
        Ok(String::from_utf8(output.stdout)?)
    }

    /// As [`Helm::template`]; failure is in the result.
    pub async fn template_output(&self, arguments: &[&str]) -> Result<Output> {
        let chart = self.chart("paperclip-operator");
        let fixed = [
            "template",
            RELEASE,
            &chart,
            "--namespace",
            NAMESPACE,
            "--kube-version",
            KUBERNETES,
        ];
        let all: Vec<_> = fixed.iter().chain(arguments).copied().collect();
        self.output(&all, &[]).await
    }

    /// Runs Helm; failure is an error.
    pub async fn run(&self, arguments: &[&str], environment: &[(&str, &Path)]) -> Result<String> {
        let output = self.output(arguments, environment).await?;
        if !output.status.success() {
            bail!(
                "helm {}: {}",
                arguments.join(" "),
                String::from_utf8_lossy(&output.stderr).trim()
            );
        }
        Ok(String::from_utf8(output.stdout)?)
    }

    /// Path of a chart of this tree.
    pub fn chart(&self, name: &str) -> String {
        self.root
            .join("charts")
            .join(name)
            .to_string_lossy()
            .into_owned()
    }

    async fn output(&self, arguments: &[&str], environment: &[(&str, &Path)]) -> Result<Output> {
        let mut command = Command::new(&self.program);
        command
            .args(arguments)
            .current_dir(&self.root)
            .envs(environment.iter().copied());
        output_with_input(&mut command, None, LIMIT).await
    }
}
