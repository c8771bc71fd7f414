//! Where a cluster keeps things, and which process it is. `dir` (`.cluster`) is what a person looks into: kubeconfig and logs.
//! `run`, in the cache folder, holds the data: etcd, volumes, containers. It is found by a hash of `dir`, so that a cluster can be
//! ended after somebody removed its `dir`. A process is only ours if process id, start time and boot are those that were noted.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use serde::{Deserialize, Serialize};

use crate::cache::{self, Cache};

/// Which programs run: what is claimed in a test must be seen on the tier that can show it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Tier {
    /// A control plane whose node is played: pods turn ready, and nothing runs.
    Api,
    /// A control plane with a real kubelet: containers really run.
    Node,
}

/// The folders of one cluster.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Layout {
    /// Distinguishes clusters on this machine: names of control groups, run folder.
    pub id: String,
    /// For people: kubeconfig, logs.
    pub dir: PathBuf,
    /// For programs: data. Removed with the cluster.
    pub run: PathBuf,
}

impl Layout {
    /// The layout of the cluster whose folder is `dir`. The folder is made if it is not there.
    pub fn of(cache: &Cache, dir: &Path) -> Result<Self> {
        fs::create_dir_all(dir).with_context(|| format!("cannot make {}", dir.display()))?;
        let dir = dir.canonicalize()?;
        let id = cache::key([dir.as_os_str().as_encoded_bytes()])[..8].to_owned();
        let run = cache.path("run", &id);
        Ok(Self { id, dir, run })
    }

    /// For clients on the host.
    pub fn kubeconfig(&self) -> PathBuf {
        self.dir.join("kubeconfig")
    }

    /// Logs of the cluster's programs.
    pub fn logs(&self) -> PathBuf {
        self.dir.join("log")
    }

    /// Every request to the API server, if that was asked for.
    pub fn audit_log(&self) -> PathBuf {
        self.logs().join("audit.log")
    }

    /// Certificates, keys, and the kubeconfigs that are valid inside the cluster's network namespace.
    pub fn pki(&self) -> PathBuf {
        self.run.join("pki")
    }

    /// Control groups of the cluster's pods, below each hierarchy.
    pub fn control_group(&self) -> String {
        format!("paperclip-{}", self.id)
    }

    fn state_file(&self) -> PathBuf {
        self.run.join("cluster.json")
    }

    /// Notes which process holds the cluster.
    pub fn save(&self, state: &State) -> Result<()> {
        fs::write(self.state_file(), serde_json::to_vec_pretty(state)?)
            .context("cannot note the cluster's process")
    }

    /// What was noted, if the cluster was ever started and not removed.
    pub fn load(&self) -> Option<State> {
        load(&self.run)
    }
}

/// What was noted in a run folder.
pub fn load(run: &Path) -> Option<State> {
    serde_json::from_slice(&fs::read(run.join("cluster.json")).ok()?).ok()
}

/// The running cluster, as noted in its run folder.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct State {
    /// Which programs run.
    pub tier: Tier,
    /// The process that holds all namespaces.
    pub process: Process,
    /// Port on the host's loopback that leads to the API server.
    pub port: u16,
    /// Folder for people.
    pub dir: PathBuf,
    /// Folder with `kubectl`.
    pub kubectl: PathBuf,
}

/// A process that cannot be mistaken for a later one with the same id.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Process {
    /// Process id on the host.
    pub pid: u32,
    start: u64,
    boot: String,
}

impl Process {
    /// The process that has this id now.
    pub fn now(pid: u32) -> Result<Self> {
        let start = start_time(pid).with_context(|| format!("there is no process {pid}"))?;
        Ok(Self {
            pid,
            start,
            boot: boot_id(),
        })
    }

    /// It still runs: same id, same start, same boot, and it is not a zombie.
    pub fn is_alive(&self) -> bool {
        self.boot == boot_id() && start_time(self.pid) == Some(self.start)
    }

    /// Ends it at once, if it is still the same.
    pub fn kill(&self) {
        let pid = i32::try_from(self.pid)
            .ok()
            .and_then(rustix::process::Pid::from_raw);
        if let (true, Some(pid)) = (self.is_alive(), pid) {
            // It may have ended in between: that is what we want.
            let _ = rustix::process::kill_process(pid, rustix::process::Signal::KILL);
        }
    }
}

/// Ticks from boot to the start of a process; `None` if there is none, or only its zombie.
pub fn start_time(pid: u32) -> Option<u64> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name, in brackets, may hold anything; fields are counted after it.
    let mut fields = stat[stat.rfind(')')? + 1..].split_whitespace();
    if fields.next()? == "Z" {
        None
    } else {
        fields.nth(18)?.parse().ok()
    }
}

fn boot_id() -> String {
    fs::read_to_string("/proc/sys/kernel/random/boot_id")
        .unwrap_or_default()
        .trim()
        .to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_is_alive_and_another_start_of_its_id_is_not() -> Result<()> {
        let mut process = Process::now(std::process::id())?;
        assert!(process.is_alive());
        process.start += 1;
        assert!(!process.is_alive());
        Ok(())
    }

    #[test]
    fn a_zombie_is_not_alive() -> Result<()> {
        let mut child = std::process::Command::new("sleep").arg("60").spawn()?;
        let process = Process::now(child.id())?;
        assert!(process.is_alive());
        process.kill();
        for _ in 0..100 {
            if !process.is_alive() {
                break;
            }
            std::thread::sleep(std::time::Duration::from_millis(20));
        }
        assert!(!process.is_alive(), "killed, not yet waited for");
        child.wait()?;
        Ok(())
    }
}
