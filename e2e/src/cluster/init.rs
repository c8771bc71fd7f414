//! The inside of a cluster. Two processes of ours run in its namespaces: the first of the process namespace, which only waits for
//! orphans, and the supervisor, which starts everything and answers requests. When the first one ends, the kernel ends all
//! others, so a cluster cannot leave processes, mounts or interfaces behind, however it ends.
//!
//! Handed over by the host: on file descriptor 0 a listener on its loopback, on 1 a connection to who asked for the cluster.
//! While that one has not said `detach`, the end of the connection is the end of the cluster.

use std::collections::BTreeMap;
use std::fs;
use std::os::fd::{AsFd as _, OwnedFd};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result};
use rustix::process::{Pid, Signal, WaitOptions};
use serde::{Deserialize, Serialize};
use tokio::io::AsyncReadExt as _;
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::Notify;

use super::control::{Answer, Report, Request, SOCKET, read_line, write_line};
use super::daemons::Daemons;
use super::layout::{Layout, Tier, start_time};
use super::{control_plane, forward, network, played_node, real_node, volumes};
use crate::system::say;

/// What the supervisor is to start. Written by the host into the run folder.
#[derive(Debug, Serialize, Deserialize)]
pub struct Plan {
    /// The cluster's folders.
    pub layout: Layout,
    /// Which programs.
    pub tier: Tier,
    /// Log every request to the API server.
    pub audit: bool,
    /// Let etcd wait for the disk.
    pub fsync: bool,
    /// Paths of the programs by name.
    pub programs: BTreeMap<String, PathBuf>,
    /// A filled image store, for a real node.
    pub image_store: Option<PathBuf>,
}

impl Plan {
    /// Path of a program.
    pub fn program(&self, name: &str) -> Result<&Path> {
        self.programs
            .get(name)
            .map(PathBuf::as_path)
            .with_context(|| format!("{name} is not among the programs of this cluster"))
    }

    fn file(run: &Path) -> PathBuf {
        run.join("plan.json")
    }

    /// Puts the plan where the supervisor reads it.
    pub fn save(&self) -> Result<()> {
        Ok(fs::write(
            Self::file(&self.layout.run),
            serde_json::to_vec_pretty(self)?,
        )?)
    }
}

/// First process of the namespace: starts the supervisor, then waits for every process that loses its parent.
pub fn first_process(run: &Path) -> Result<ExitCode> {
    let supervisor = Command::new(std::env::current_exe()?)
        .arg("cluster-supervise")
        .arg(run)
        .spawn()?;
    loop {
        match rustix::process::wait(WaitOptions::empty()) {
            Ok(Some((pid, status)))
                if u32::try_from(pid.as_raw_nonzero().get()) == Ok(supervisor.id()) =>
            {
                let success = status.exit_status() == Some(0);
                return Ok(if success {
                    ExitCode::SUCCESS
                } else {
                    ExitCode::FAILURE
                });
            }
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error).context("cannot wait for the supervisor"),
        }
    }
}

/// The supervisor: brings the cluster up, serves requests, ends it.
pub async fn supervise(run: &Path) -> Result<()> {
    let listener = std::io::stdin().as_fd().try_clone_to_owned()?;
    let asker =
        std::os::unix::net::UnixStream::from(std::io::stdout().as_fd().try_clone_to_owned()?);
    asker.set_nonblocking(true)?;
    let mut asker = UnixStream::from_std(asker)?;
    let plan: Plan =
        serde_json::from_slice(&fs::read(Plan::file(run)).context("there is no plan")?)?;
    let daemons = Arc::new(Daemons::new(&plan.layout.logs()));

    match bring_up(&plan, &daemons, listener).await {
        Ok(requests) => {
            if write_line(&mut asker, &Report::Ready).await.is_ok() {
                serve(requests, &daemons, asker).await?;
            }
        }
        Err(error) => {
            say(&format!("{error:#}"));
            let _ = write_line(&mut asker, &Report::Failed(format!("{error:#}"))).await;
        }
    }
    take_down(&plan.layout).await;
    Ok(())
}

async fn bring_up(plan: &Plan, daemons: &Arc<Daemons>, listener: OwnedFd) -> Result<UnixListener> {
    network::prepare(&plan.layout, plan.tier).await?;
    let requests = UnixListener::bind(SOCKET).context("cannot listen for requests")?;
    let client = control_plane::start(plan, daemons).await?;
    tokio::spawn(async move {
        if let Err(error) = forward::forward(listener, "127.0.0.1:6443").await {
            say(&format!("the way in from the host is closed: {error:#}"));
        }
    });
    tokio::spawn(volumes::run(
        client.clone(),
        plan.layout.run.join("volumes"),
    ));
    match plan.tier {
        Tier::Api => played_node::start(plan, daemons, &client).await?,
        Tier::Node => real_node::start(plan, daemons, &client).await?,
    }
    Ok(requests)
}

/// Answers requests until one is `stop`, or the one who asked for the cluster is gone.
async fn serve(requests: UnixListener, daemons: &Arc<Daemons>, asker: UnixStream) -> Result<()> {
    let stop = Arc::new(Notify::new());
    tokio::spawn(watch_asker(asker, Arc::clone(&stop)));
    tokio::spawn(watch_programs(Arc::clone(daemons)));
    loop {
        tokio::select! {
            () = stop.notified() => return Ok(()),
            connection = requests.accept() => {
                let (stream, _) = connection?;
                let (daemons, stop) = (Arc::clone(daemons), Arc::clone(&stop));
                tokio::spawn(async move {
                    if let Err(error) = answer(stream, &daemons, &stop).await {
                        say(&format!("request: {error:#}"));
                    }
                });
            }
        }
    }
}

async fn answer(mut stream: UnixStream, daemons: &Daemons, stop: &Notify) -> Result<()> {
    let request: Request = read_line(&mut stream).await?;
    let result = match request {
        Request::Connect(target) => match forward::connect(&target).await {
            Ok(inner) => {
                write_line(&mut stream, &Answer::Done).await?;
                forward::join(stream, inner).await;
                return Ok(());
            }
            Err(error) => Err(error),
        },
        Request::Signal { program, signal } => daemons.signal(&program, &signal).await,
        Request::Restart(program) => daemons.restart(&program).await,
        Request::Stop => {
            stop.notify_one();
            Ok(())
        }
    };
    let answer = result.map_or_else(
        |error| Answer::Failed(format!("{error:#}")),
        |()| Answer::Done,
    );
    write_line(&mut stream, &answer).await
}

/// The word `detach`, then the end: the cluster lives on. The end without it: the one who asked is gone.
async fn watch_asker(mut asker: UnixStream, stop: Arc<Notify>) {
    let mut text = Vec::new();
    let _ = asker.read_to_end(&mut text).await;
    if text != b"detach\n" {
        stop.notify_one();
    }
}

/// Says once in the log that a program has ended.
async fn watch_programs(daemons: Arc<Daemons>) {
    let mut told = false;
    loop {
        tokio::time::sleep(Duration::from_secs(1)).await;
        match daemons.all_run().await {
            Ok(()) => told = false,
            Err(error) if !told => {
                say(&format!("{error:#}"));
                told = true;
            }
            Err(_) => {}
        }
    }
}

/// Ends every other process of the namespace, then removes what is on the disk; logs and `dir` itself stay for the host.
async fn take_down(layout: &Layout) {
    // Process 1 ignores this signal, and this process is not meant by it: all others are.
    let _ = rustix::process::kill_process_group(Pid::INIT, Signal::KILL);
    for _ in 0..100 {
        if others() == 0 {
            break;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    super::host::remove_remains(layout);
}

/// Running processes beside the first one and this one.
fn others() -> usize {
    let own = std::process::id();
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    let ids = entries.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    ids.filter(|id| *id != 1 && *id != own && start_time(*id).is_some())
        .count()
}
