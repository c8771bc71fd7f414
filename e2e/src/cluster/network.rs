//! What the cluster's private namespaces look like from inside: addresses, name resolution, kernel settings, control groups. All of
//! it is invisible to the host and goes with the namespaces. Never changes a setting of the host.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, Result};
use tokio::process::Command;

use super::layout::{Layout, Tier};
use crate::system::run;

/// The node's address. Inside the network namespace only, so every cluster has the same.
pub const NODE_ADDRESS: &str = "10.199.0.1";
/// Addresses of pods.
pub const POD_RANGE: &str = "10.85.0.0/16";
/// Addresses of Services.
pub const SERVICE_RANGE: &str = "10.96.0.0/16";
/// Address of the Service `kubernetes`.
pub const SERVICE_API: &str = "10.96.0.1";
/// Address of the Service that answers names.
pub const SERVICE_DNS: &str = "10.96.0.10";

const LIMIT: Duration = Duration::from_secs(30);

/// kubelet sets these. It finds them set, in files mounted over the real ones, and so leaves the host's alone.
const KERNEL_SETTINGS: [(&str, &str); 6] = [
    ("vm/overcommit_memory", "1"),
    ("vm/panic_on_oom", "0"),
    ("kernel/panic", "10"),
    ("kernel/panic_on_oops", "1"),
    ("kernel/keys/root_maxkeys", "1000000"),
    ("kernel/keys/root_maxbytes", "25000000"),
];

/// Sets up the namespaces that this process is in.
pub async fn prepare(layout: &Layout, tier: Tier) -> Result<()> {
    mount(&["--make-rshared", "/"]).await?;
    // Programs that keep state below /run (containerd's sockets, the lock of iptables, network namespaces of pods) keep it here.
    mount(&["-t", "tmpfs", "-o", "mode=755", "tmpfs", "/run"]).await?;
    addresses().await?;
    if tier == Tier::Node {
        for folder in ["/var/log", "/var/lib/kubelet"] {
            fs::create_dir_all(folder)?;
            mount(&["-t", "tmpfs", "-o", "mode=755", "tmpfs", folder]).await?;
        }
        fs::create_dir_all("/run/lock")?;
        fs::write("/proc/sys/net/ipv4/ip_forward", "1")
            .context("cannot turn forwarding on in the network namespace")?;
        kernel_settings().await?;
        name_server().await?;
        create_control_groups(&layout.control_group())?;
    }
    Ok(())
}

async fn mount(arguments: &[&str]) -> Result<()> {
    run(Command::new("mount").args(arguments), LIMIT)
        .await
        .map(drop)
}

/// A pair of connected interfaces, both ends inside, gives an address that is not loopback.
async fn addresses() -> Result<()> {
    let address = format!("{NODE_ADDRESS}/24");
    let commands: [&[&str]; 6] = [
        &["link", "set", "lo", "up"],
        &[
            "link", "add", "eth0", "type", "veth", "peer", "name", "eth0p",
        ],
        &["address", "add", &address, "dev", "eth0"],
        &["link", "set", "eth0", "up"],
        &["link", "set", "eth0p", "up"],
        &["route", "add", "default", "dev", "eth0"],
    ];
    for arguments in commands {
        run(Command::new("ip").args(arguments), LIMIT).await?;
    }
    Ok(())
}

async fn kernel_settings() -> Result<()> {
    for (name, value) in KERNEL_SETTINGS {
        let real = format!("/proc/sys/{name}");
        if Path::new(&real).exists() {
            let played = PathBuf::from("/run/sysctl").join(name);
            fs::create_dir_all(played.parent().context("a path with a folder")?)?;
            fs::write(&played, format!("{value}\n"))?;
            mount(&["--bind", &played.to_string_lossy(), &real]).await?;
        }
    }
    Ok(())
}

/// Programs in these namespaces ask the cluster's own name server.
async fn name_server() -> Result<()> {
    fs::write("/run/resolv.conf", format!("nameserver {NODE_ADDRESS}\n"))?;
    let target = fs::read_link("/etc/resolv.conf").map_or_else(
        |_| PathBuf::from("/etc/resolv.conf"),
        |link| Path::new("/etc").join(link),
    );
    if !target.exists() {
        // A link into /run, which is new and empty here.
        fs::create_dir_all(target.parent().context("a path with a folder")?)?;
        fs::write(&target, "")?;
    }
    mount(&["--bind", "/run/resolv.conf", "/etc/resolv.conf"]).await
}

/// Where file systems of a type are mounted.
fn mounted(kind: &str) -> Vec<PathBuf> {
    let mounts = fs::read_to_string("/proc/self/mounts").unwrap_or_default();
    let fields = mounts
        .lines()
        .map(|line| line.split(' ').collect::<Vec<_>>());
    let wanted = fields.filter(|fields| fields.get(2) == Some(&kind));
    wanted
        .filter_map(|fields| fields.get(1).map(PathBuf::from))
        .collect()
}

/// Hierarchies of control groups that kubelet uses: one for each controller of version 1, else the one of version 2.
fn hierarchies() -> Vec<PathBuf> {
    let version_1 = mounted("cgroup");
    if version_1.is_empty() {
        mounted("cgroup2")
    } else {
        version_1
    }
}

/// Makes the group below which kubelet makes those of its pods, so that several kubelets do not tidy away each other's.
fn create_control_groups(name: &str) -> Result<()> {
    for hierarchy in hierarchies() {
        let group = hierarchy.join(name);
        fs::create_dir_all(&group)
            .with_context(|| format!("cannot make the control group {}", group.display()))?;
        // A new group of this controller has no processor and no memory node, and so can hold no process.
        for file in ["cpuset.cpus", "cpuset.mems"] {
            if let (Ok(value), true) = (
                fs::read_to_string(hierarchy.join(file)),
                group.join(file).exists(),
            ) {
                fs::write(group.join(file), value)?;
            }
        }
    }
    Ok(())
}

/// Removes the control groups of a cluster that has ended. What still holds a process stays.
pub fn remove_control_groups(name: &str) {
    // Beside version 1 there may be a version 2 without controllers, in which the runtime makes groups too.
    for hierarchy in [mounted("cgroup"), mounted("cgroup2")].concat() {
        remove_group(&hierarchy.join(name));
    }
}

fn remove_group(group: &Path) {
    for entry in fs::read_dir(group).into_iter().flatten().flatten() {
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            remove_group(&entry.path());
        }
    }
    let _ = fs::remove_dir(group);
}
