//! Builds the programs of the local cluster from published Go modules. Each group is a folder with a `go.mod` of ours that names
//! its programs by `tool` directives, so that each group's versions are solved alone. Never turns checksum verification off.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use tokio::process::Command;

use crate::cache::{self, Cache};
use crate::system::{find_program, run, say};

/// A group of programs that are built together, out of one Go module.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Group {
    /// API server, controller manager, scheduler, kubelet, kube-proxy and kubectl.
    Kubernetes,
    /// The store behind the API server.
    Etcd,
    /// Plays a node.
    Kwok,
    /// Answers names of Services in pods.
    CoreDns,
    /// A trace back end.
    Jaeger,
    /// Renders and installs the charts.
    Helm,
    /// Object storage, by two makers.
    S3,
}

impl Group {
    fn folder(self) -> &'static str {
        match self {
            Self::Kubernetes => "kube",
            Self::Etcd => "etcd",
            Self::Kwok => "kwok",
            Self::CoreDns => "coredns",
            Self::Jaeger => "jaeger",
            Self::Helm => "helm",
            Self::S3 => "s3",
        }
    }

    /// Programs in the group: the name that `go build` gives them (the last element of the import path), and ours.
    fn programs(self) -> &'static [(&'static str, &'static str)] {
        match self {
            Self::Kubernetes => &[
                ("kube-apiserver", "kube-apiserver"),
                ("kube-controller-manager", "kube-controller-manager"),
                ("kube-scheduler", "kube-scheduler"),
                ("kubelet", "kubelet"),
                ("kube-proxy", "kube-proxy"),
                ("kubectl", "kubectl"),
            ],
            Self::Etcd => &[("server", "etcd")],
            Self::Kwok => &[("kwok", "kwok")],
            Self::CoreDns => &[("coredns", "coredns")],
            Self::Jaeger => &[("all-in-one", "jaeger")],
            Self::Helm => &[("helm", "helm")],
            Self::S3 => &[("versitygw", "versitygw"), ("gofakes3", "gofakes3")],
        }
    }
}

/// Folders with the built programs.
#[derive(Debug, Clone)]
pub struct Binaries {
    folders: Vec<PathBuf>,
}

impl Binaries {
    /// Builds those groups that are not in the cache yet.
    pub async fn ensure(cache: &Cache, groups: &[Group]) -> Result<Self> {
        let mut folders = Vec::new();
        for group in groups {
            folders.push(build(cache, *group).await?);
        }
        Ok(Self { folders })
    }

    /// Path of a program; it must belong to one of the groups.
    pub fn program(&self, name: &str) -> Result<PathBuf> {
        let found = self
            .folders
            .iter()
            .map(|folder| folder.join(name))
            .find(|file| file.is_file());
        found.with_context(|| format!("{name} was not built"))
    }
}

async fn build(cache: &Cache, group: Group) -> Result<PathBuf> {
    let module = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("modules")
        .join(group.folder());
    let go_mod = std::fs::read_to_string(module.join("go.mod"))?;
    let go_sum = std::fs::read(module.join("go.sum"))?;
    let flags = linker_flags(group, &go_mod)?;
    let key = cache::key([go_mod.as_bytes(), &go_sum, flags.as_bytes()]);
    let make = async |folder: &Path| {
        let go = find_program("go")
            .context("Go is needed to build the local cluster, and there is no `go` on PATH")?;
        say(&format!(
            "building {} (only once; Kubernetes takes minutes)",
            group.folder()
        ));
        let mut command = Command::new(go);
        command
            .current_dir(&module)
            .env("CGO_ENABLED", "0")
            .env("GOFLAGS", "-mod=readonly");
        command
            .args(["build", "-trimpath", "-ldflags", &flags, "-o"])
            .arg(format!("{}/", folder.display()))
            .arg("tool");
        run(&mut command, Duration::from_secs(3600)).await?;
        for (built, wanted) in group.programs() {
            ensure!(
                folder.join(built).is_file(),
                "`go build` of {} made no {built}",
                group.folder()
            );
            std::fs::rename(folder.join(built), folder.join(wanted))?;
        }
        Ok(())
    };
    cache
        .entry("bin", &format!("{}-{key}", group.folder()), make)
        .await
}

/// Kubernetes learns its own version from the linker; without it the API server says v0.0.0.
fn linker_flags(group: Group, go_mod: &str) -> Result<String> {
    use std::fmt::Write as _;

    let mut flags = "-s -w".to_owned();
    if group == Group::Kubernetes {
        let version = module_version(go_mod, "k8s.io/kubernetes")
            .context("go.mod does not name a version of k8s.io/kubernetes")?;
        let mut numbers = version.trim_start_matches('v').split('.');
        let (major, minor) = (
            numbers.next().unwrap_or_default(),
            numbers.next().unwrap_or_default(),
        );
        for (name, value) in [
            ("gitVersion", version),
            ("gitMajor", major),
            ("gitMinor", minor),
            ("gitTreeState", "clean"),
        ] {
            write!(flags, " -X k8s.io/component-base/version.{name}={value}")?;
        }
    }
    Ok(flags)
}

fn module_version<'a>(go_mod: &'a str, module: &str) -> Option<&'a str> {
    go_mod.lines().find_map(|line| {
        let mut words = line
            .split_whitespace()
            .skip_while(|word| *word == "require");
        (words.next()? == module)
            .then(|| words.next())
            .flatten()
            .filter(|version| version.starts_with('v'))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_version_of_a_module_is_found_in_a_list_and_alone() {
        let list = "require (\n\tk8s.io/kubectl v0.36.3 // indirect\n\tk8s.io/kubernetes v1.36.3 // indirect\n)\n";
        assert_eq!(module_version(list, "k8s.io/kubernetes"), Some("v1.36.3"));
        assert_eq!(
            module_version("require k8s.io/kubernetes v1.35.0", "k8s.io/kubernetes"),
            Some("v1.35.0")
        );
        assert_eq!(
            module_version("tool k8s.io/kubernetes/cmd/kubelet", "k8s.io/kubernetes"),
            None
        );
    }

    #[test]
    fn kubernetes_is_told_its_version() -> Result<()> {
        let flags = linker_flags(Group::Kubernetes, "require k8s.io/kubernetes v1.36.3")?;
        assert!(
            flags.contains("gitVersion=v1.36.3") && flags.contains("gitMinor=36"),
            "{flags}"
        );
        Ok(())
    }
}
