//! The host's side of a cluster: builds what it needs, starts it in namespaces of its own, ends it, tidies up after one that was
//! killed. Ends only processes that it can prove to be the cluster's.

use std::fs::{self, File};
use std::net::{Ipv4Addr, TcpListener};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};

use super::control::{self, Report, Request};
use super::init::Plan;
use super::layout::{self, Layout, Process, State, Tier};
use super::{network, pki};
use crate::binaries::{Binaries, Group};
use crate::cache::{Cache, remove_tree};
use crate::images;
use crate::system::{self, Package, last_lines, require_root, say};

const PACKAGES: [Package; 1] = [Package {
    name: "iproute2",
    provides: "ip",
}];
const NODE_PACKAGES: [Package; 4] = [
    Package {
        name: "containerd",
        provides: "containerd",
    },
    Package {
        name: "runc",
        provides: "runc",
    },
    Package {
        name: "containernetworking-plugins",
        provides: "/usr/lib/cni/ptp",
    },
    Package {
        name: "iptables",
        provides: "iptables",
    },
];

/// What kind of cluster.
#[derive(Debug, Clone)]
pub struct Options {
    /// Which programs.
    pub tier: Tier,
    /// Log every request to the API server, with its user agent.
    pub audit: bool,
    /// Let etcd wait for the disk, as a real one does.
    pub fsync: bool,
}

/// A started cluster that ends when this is dropped, or when this process ends, however it ends.
#[derive(Debug)]
pub struct Lifeline(UnixStream);

impl Lifeline {
    /// Lets the cluster live on.
    pub fn detach(mut self) -> Result<()> {
        use std::io::Write as _;
        self.0
            .write_all(b"detach\n")
            .context("the cluster ended meanwhile")
    }
}

/// Installs the packages of a tier that are missing.
pub async fn ensure_packages(tier: Tier) -> Result<()> {
    system::ensure_packages(&PACKAGES).await?;
    if tier == Tier::Node {
        system::ensure_packages(&NODE_PACKAGES).await?;
    }
    Ok(())
}

/// Starts a cluster in the folder `dir` and waits until it is usable.
pub async fn up(cache: &Cache, dir: &Path, options: &Options) -> Result<(State, Lifeline)> {
    require_root()?;
    ensure_packages(options.tier).await?;
    let mut groups = vec![Group::Kubernetes, Group::Etcd];
    let mut image_store = None;
    if options.tier == Tier::Node {
        image_store = Some(images::store(cache).await?);
        groups.push(Group::CoreDns);
    } else {
        groups.push(Group::Kwok);
    }
    let binaries = Binaries::ensure(cache, &groups).await?;
    let layout = Layout::of(cache, dir)?;

    let starting = cache.lock("clusters").await?;
    remove_dead(cache)?;
    if let Some(state) = layout.load() {
        bail!(
            "a cluster of the {:?} tier runs already in {}; end it first",
            state.tier,
            layout.dir.display()
        );
    }
    remove_tree(&layout.logs())?;
    fs::create_dir_all(layout.logs())?;
    fs::create_dir_all(layout.run.join("volumes"))?;
    let names = [
        "etcd",
        "kube-apiserver",
        "kube-controller-manager",
        "kube-scheduler",
        "kwok",
        "coredns",
        "kubelet",
        "kube-proxy",
    ];
    let programs = names
        .iter()
        .filter_map(|name| Some(((*name).to_owned(), binaries.program(name).ok()?)))
        .collect();
    let plan = Plan {
        layout: layout.clone(),
        tier: options.tier,
        audit: options.audit,
        fsync: options.fsync,
        programs,
        image_store,
    };
    plan.save()?;

    let listener = listen(&layout)?;
    let port = listener.local_addr()?.port();
    let (ours, theirs) = UnixStream::pair()?;
    let log = File::create(layout.logs().join("cluster.log"))?;
    let process = spawn(&layout, listener, theirs, log)?;
    let state = State {
        tier: options.tier,
        process,
        port,
        dir: layout.dir.clone(),
        kubectl: binaries.program("kubectl")?,
    };
    layout.save(&state)?;
    drop(starting);

    let waiting = ours.try_clone()?;
    waiting.set_nonblocking(true)?;
    let report = control::last_report(tokio::net::UnixStream::from_std(waiting)?);
    let report = tokio::time::timeout(Duration::from_secs(600), report)
        .await
        .context("the cluster did not come up within 10 minutes")?;
    match report {
        Ok(Report::Ready) => {}
        Ok(Report::Failed(reason)) => bail!("the cluster did not come up: {reason}"),
        Err(error) => {
            let log = fs::read_to_string(layout.logs().join("cluster.log")).unwrap_or_default();
            return Err(error.context(format!(
                "the cluster did not come up: {}",
                last_lines(&log, 15)
            )));
        }
    }
    // The certificates are there only now.
    pki::write_private(
        &layout.kubeconfig(),
        &pki::kubeconfig(&layout.pki(), "admin", &format!("https://127.0.0.1:{port}"))?,
    )?;
    Ok((state, Lifeline(ours)))
}

/// Ends the cluster of a folder. Says whether there was one.
pub async fn down(cache: &Cache, dir: &Path) -> Result<bool> {
    require_root()?;
    if !dir.exists() && !cache.path("run", "").exists() {
        return Ok(false);
    }
    let layout = Layout::of(cache, dir)?;
    let found = match layout.load() {
        Some(state) => {
            stop(&state.process).await?;
            true
        }
        None => false,
    };
    remove_remains(&layout);
    remove_tree(&layout.dir)?;
    Ok(found)
}

/// Ends a cluster's processes: by asking, else by force.
async fn stop(process: &Process) -> Result<()> {
    if process.is_alive()
        && control::ask(process, &Request::Stop).await.is_ok()
        && ended(process).await
    {
        return Ok(());
    }
    process.kill();
    ensure!(
        ended(process).await,
        "the cluster's process {} does not end",
        process.pid
    );
    Ok(())
}

async fn ended(process: &Process) -> bool {
    for _ in 0..300 {
        if !process.is_alive() {
            return true;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    false
}

/// Starts the first process of the cluster in new namespaces. `unshare` stays as its parent and takes it along if it is killed.
fn spawn(
    layout: &Layout,
    listener: TcpListener,
    control: UnixStream,
    log: File,
) -> Result<Process> {
    let mut command = Command::new("unshare");
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
        .arg("cluster-init")
        .arg(&layout.run)
        .current_dir("/");
    // An interrupt at the terminal is for the one who started it, who then ends the cluster in order.
    command.process_group(0);
    command
        .stdin(Stdio::from(OwnedFd::from(listener)))
        .stdout(Stdio::from(OwnedFd::from(control)))
        .stderr(log);
    let mut child = command.spawn().context("cannot start `unshare`")?;
    let process = Process::now(child.id())?;
    // Takes the child's end off the process table; the thread ends with it.
    std::thread::spawn(move || child.wait());
    Ok(process)
}

/// The program `paperclip-e2e`: this one, or the one that was built beside this test.
pub fn own_program() -> Result<PathBuf> {
    let current = std::env::current_exe()?;
    if current
        .file_stem()
        .is_some_and(|name| name == "paperclip-e2e")
    {
        return Ok(current);
    }
    let beside = current
        .parent()
        .and_then(Path::parent)
        .context("a test program has a folder")?
        .join("paperclip-e2e");
    ensure!(
        beside.is_file(),
        "{} is not there; build it with `cargo build -p paperclip-e2e`",
        beside.display()
    );
    Ok(beside)
}

/// A listener on the loopback: the port is the same each time for the same folder, unless somebody has taken it.
fn listen(layout: &Layout) -> Result<TcpListener> {
    let number = u16::from_str_radix(&layout.id[..4], 16)? % 10_000;
    TcpListener::bind((Ipv4Addr::LOCALHOST, 20_000 + number))
        .or_else(|_| TcpListener::bind((Ipv4Addr::LOCALHOST, 0)))
        .context("cannot listen on the loopback address")
}

/// Removes what clusters left behind whose process was killed.
fn remove_dead(cache: &Cache) -> Result<()> {
    for entry in fs::read_dir(cache.path("run", "")).into_iter().flatten() {
        let run = entry?.path();
        let state = layout::load(&run);
        if state.as_ref().is_some_and(|state| state.process.is_alive()) {
            continue;
        }
        let id = run
            .file_name()
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned();
        say(&format!(
            "removing what a cluster left behind that did not end in order ({id})"
        ));
        let dir = state.map_or_else(|| run.clone(), |state| state.dir);
        remove_remains(&Layout { id, dir, run });
    }
    Ok(())
}

/// Removes mounts, control groups and data of a cluster whose processes have ended. Best effort: what cannot be removed now is
/// tried again at the next start.
pub fn remove_remains(layout: &Layout) {
    let mounts = fs::read_to_string("/proc/self/mounts").unwrap_or_default();
    let below: Vec<_> = mounts
        .lines()
        .filter_map(|line| line.split(' ').nth(1))
        .filter(|path| Path::new(path).starts_with(&layout.run))
        .collect();
    for path in below.iter().rev() {
        let _ = Command::new("umount").args(["--lazy", path]).status();
    }
    network::remove_control_groups(&layout.control_group());
    // It leads nowhere now, and what stays in the folder for people are logs.
    let _ = fs::remove_file(layout.kubeconfig());
    if let Err(error) = remove_tree(&layout.run) {
        say(&format!("{error:#}"));
    }
}

/// Puts an image into a running cluster's store.
pub async fn import(cache: &Cache, dir: &Path, image: &Path) -> Result<()> {
    let layout = Layout::of(cache, dir)?;
    let state = layout
        .load()
        .with_context(|| format!("no cluster runs in {}", dir.display()))?;
    ensure!(
        state.tier == Tier::Node,
        "only a cluster with a real node has images"
    );
    let mut command = tokio::process::Command::from(inside(&state));
    command.arg(own_program()?).arg("import-image").arg(image);
    system::run(&mut command, Duration::from_secs(600))
        .await
        .map(drop)
}

/// A command that runs what follows in the cluster's network and mount namespaces.
pub fn inside(state: &State) -> Command {
    let mut command = Command::new("nsenter");
    command
        .arg(format!("--target={}", state.process.pid))
        .args(["--net", "--mount", "--"]);
    command
}
