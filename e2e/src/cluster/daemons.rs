//! The long-running programs of one cluster: started with a log file each, looked after, signalled by name. None is ever started
//! again by itself: a control plane that heals behind a test's back would hide what the test looks for.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use tokio::process::{Child, Command};
use tokio::sync::Mutex;

use crate::system::last_lines;

struct Daemon {
    program: PathBuf,
    arguments: Vec<String>,
    child: Child,
}

/// All programs of the cluster, by name.
pub struct Daemons {
    logs: PathBuf,
    running: Mutex<BTreeMap<String, Daemon>>,
}

impl Daemons {
    /// None yet; logs will go to this folder.
    pub fn new(logs: &Path) -> Self {
        Self {
            logs: logs.to_owned(),
            running: Mutex::new(BTreeMap::new()),
        }
    }

    /// Starts a program, known by the name of its file from then on.
    pub async fn start(&self, program: &Path, arguments: Vec<String>) -> Result<()> {
        let name = program
            .file_name()
            .context("a program has a name")?
            .to_string_lossy()
            .into_owned();
        let child = self.spawn(&name, program, &arguments)?;
        self.running.lock().await.insert(
            name,
            Daemon {
                program: program.to_owned(),
                arguments,
                child,
            },
        );
        Ok(())
    }

    fn spawn(&self, name: &str, program: &Path, arguments: &[String]) -> Result<Child> {
        let log = File::options()
            .create(true)
            .append(true)
            .open(self.logs.join(format!("{name}.log")))?;
        let mut command = Command::new(program);
        command
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log);
        command
            .spawn()
            .with_context(|| format!("cannot start {}", program.display()))
    }

    /// Starts a program again that was killed, with the same arguments.
    pub async fn restart(&self, name: &str) -> Result<()> {
        let mut running = self.running.lock().await;
        let daemon = running
            .get_mut(name)
            .with_context(|| format!("there is no program {name} in this cluster"))?;
        if daemon.child.try_wait()?.is_none() {
            bail!("{name} still runs");
        }
        daemon.child = self.spawn(name, &daemon.program, &daemon.arguments)?;
        Ok(())
    }

    /// Sends a signal to a program and, for `KILL`, waits for its end.
    pub async fn signal(&self, name: &str, signal: &str) -> Result<()> {
        let signal_number = match signal {
            "KILL" => rustix::process::Signal::KILL,
            "TERM" => rustix::process::Signal::TERM,
            "STOP" => rustix::process::Signal::STOP,
            "CONT" => rustix::process::Signal::CONT,
            other => bail!("the signal {other} is not one of KILL, TERM, STOP, CONT"),
        };
        let mut running = self.running.lock().await;
        let daemon = running
            .get_mut(name)
            .with_context(|| format!("there is no program {name} in this cluster"))?;
        let pid = daemon
            .child
            .id()
            .and_then(|pid| i32::try_from(pid).ok())
            .and_then(rustix::process::Pid::from_raw);
        rustix::process::kill_process(
            pid.with_context(|| format!("{name} does not run"))?,
            signal_number,
        )?;
        if signal == "KILL" {
            tokio::time::timeout(Duration::from_secs(10), daemon.child.wait())
                .await
                .context("a killed program did not end")??;
        }
        Ok(())
    }

    /// An error if one of the programs has ended, with the end of its log.
    pub async fn all_run(&self) -> Result<()> {
        for (name, daemon) in self.running.lock().await.iter_mut() {
            if let Some(status) = daemon.child.try_wait()? {
                let log =
                    fs::read_to_string(self.logs.join(format!("{name}.log"))).unwrap_or_default();
                bail!("{name} ended with {status}:\n{}", last_lines(&log, 15));
            }
        }
        Ok(())
    }

    /// Tries until it succeeds; gives up when the time is over, or one of the programs has ended.
    pub async fn wait_for<T>(
        &self,
        what: &str,
        limit: Duration,
        mut attempt: impl AsyncFnMut() -> Result<T>,
    ) -> Result<T> {
        let end = Instant::now() + limit;
        loop {
            self.all_run().await?;
            let error = match tokio::time::timeout(Duration::from_secs(10), attempt()).await {
                Ok(Ok(value)) => return Ok(value),
                Ok(Err(error)) => error,
                Err(_) => anyhow::anyhow!("no answer within 10 s"),
            };
            if Instant::now() > end {
                return Err(error.context(format!(
                    "{what} did not become ready within {} s",
                    limit.as_secs()
                )));
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
}
