//! The operator under test: a child process, with its own service account's rights, that can be stopped, killed and started again.

use std::fs::{self, File};
use std::path::PathBuf;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use tokio::process::{Child, Command};
use tokio::sync::OnceCell;

use super::{Cluster, rights, unique, wait_for};
use crate::cluster::host;
use crate::images::operator::{self, Programs};
use crate::system::{last_lines, say};

/// How to run it.
#[derive(Debug, Clone, Default)]
pub struct OperatorOptions {
    /// Namespace of its account and its Lease; must exist.
    pub home: String,
    /// Namespaces to watch; all if empty. Two operators must not watch the same namespace.
    pub namespaces: Vec<String>,
    /// Further arguments, after `run`.
    pub arguments: Vec<String>,
    /// Further environment.
    pub environment: Vec<(String, String)>,
    /// How it is compiled: a cargo profile, `quick` if empty.
    pub profile: &'static str,
}

impl OperatorOptions {
    /// For one namespace, where its account is too.
    pub fn for_namespace(name: &str) -> Self {
        Self {
            home: name.to_owned(),
            namespaces: vec![name.to_owned()],
            ..Self::default()
        }
    }
}

/// The running operator. It is killed when this is dropped.
pub struct Operator<'a> {
    cluster: &'a Cluster,
    options: OperatorOptions,
    folder: PathBuf,
    /// A loopback address of its own, so that many can run beside each other on the same ports.
    address: String,
    child: Option<Child>,
}

impl Cluster {
    /// Starts the operator and waits until it says that it is ready.
    pub async fn operator(&self, options: OperatorOptions) -> Result<Operator<'_>> {
        let mut operator = self.operator_not_started(options).await?;
        operator.start().await?;
        Ok(operator)
    }

    /// Builds the operator and gives it its account, and does not start it.
    pub async fn operator_not_started(&self, options: OperatorOptions) -> Result<Operator<'_>> {
        self.install_definitions().await?;
        let kubeconfig = rights::grant(self, &options.home, &options.namespaces).await?;
        let folder = self
            .layout
            .logs()
            .join(unique(&format!("operator-{}", options.home)));
        fs::create_dir_all(&folder)?;
        crate::cluster::write_private(&folder.join("kubeconfig"), &kubeconfig)?;
        program(options.profile).await?;
        Ok(Operator {
            cluster: self,
            options,
            address: own_address(&folder.to_string_lossy()),
            folder,
            child: None,
        })
    }
}

/// An address out of 127.0.0.0/8 that depends on the text.
fn own_address(text: &str) -> String {
    let key = crate::cache::key([text]);
    let number = |at: usize| u8::from_str_radix(&key[at..at + 2], 16).unwrap_or(7);
    format!(
        "127.{}.{}.{}",
        number(0).clamp(1, 254),
        number(2),
        number(4).clamp(1, 254)
    )
}

/// The programs, built once per profile for this test program.
async fn program(profile: &str) -> Result<&'static Programs> {
    static QUICK: OnceCell<Programs> = OnceCell::const_new();
    static RELEASE: OnceCell<Programs> = OnceCell::const_new();
    let (built, profile) = match profile {
        "release" => (&RELEASE, "release"),
        _ => (&QUICK, "quick"),
    };
    built.get_or_try_init(|| operator::programs(profile)).await
}

impl Operator<'_> {
    /// Starts it; it must not run.
    pub async fn start(&mut self) -> Result<()> {
        self.spawn().await?;
        let result = wait_for(
            "the operator to become ready",
            Duration::from_secs(60),
            async || {
                self.must_run()?;
                let answer = self
                    .cluster
                    .http_get(&format!("{}:8081", self.address), "/readyz")
                    .await?;
                ensure!(
                    answer.status.is_success(),
                    "/readyz says {}: {}",
                    answer.status,
                    answer.text()
                );
                Ok(Some(()))
            },
        );
        let result = result.await;
        result.with_context(|| self.log_end())
    }

    /// Starts it and does not wait for anything.
    pub async fn spawn(&mut self) -> Result<()> {
        ensure!(self.child.is_none(), "the operator runs already");
        let log = File::options()
            .create(true)
            .append(true)
            .open(self.log_file())?;
        // The kernel kills it when this thread ends, so it cannot outlive a test program that was killed.
        let mut command = Command::new("setpriv");
        let inside = host::inside(&self.cluster.state);
        command
            .args(["--pdeathsig", "KILL", "--"])
            .arg(inside.get_program())
            .args(inside.get_args());
        command
            .arg(&program(self.options.profile).await?.operator)
            .arg("run");
        command.args([
            format!("--metrics-addr={}:8080", self.address),
            format!("--health-addr={}:8081", self.address),
        ]);
        command.arg(format!("--agent-image={}", operator::NAME));
        if !self.options.namespaces.is_empty() {
            command.arg(format!(
                "--watch-namespaces={}",
                self.options.namespaces.join(",")
            ));
        }
        command
            .args(&self.options.arguments)
            .env("KUBECONFIG", self.folder.join("kubeconfig"));
        command
            .env("POD_NAMESPACE", &self.options.home)
            .envs(self.options.environment.iter().cloned());
        command
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .kill_on_drop(true);
        self.child = Some(command.spawn().context("cannot start the operator")?);
        Ok(())
    }

    fn must_run(&mut self) -> Result<()> {
        match self
            .child
            .as_mut()
            .context("the operator was stopped")?
            .try_wait()?
        {
            Some(status) => bail!("the operator ended with {status}"),
            None => Ok(()),
        }
    }

    /// `/readyz` says yes.
    pub async fn is_ready(&self) -> bool {
        let answer = self
            .cluster
            .http_get(&format!("{}:8081", self.address), "/readyz")
            .await;
        answer.is_ok_and(|answer| answer.status.is_success())
    }

    /// Process id on this machine, for measurements.
    pub fn pid(&self) -> Option<u32> {
        self.child.as_ref().and_then(Child::id)
    }

    /// SIGKILL: no chance to say good-bye.
    pub async fn kill9(&mut self) -> Result<()> {
        let mut child = self.child.take().context("the operator does not run")?;
        child.start_kill()?;
        tokio::time::timeout(Duration::from_secs(10), child.wait())
            .await
            .context("the killed operator did not end")??;
        Ok(())
    }

    /// SIGTERM, and waits for its end.
    pub async fn stop(&mut self) -> Result<ExitStatus> {
        let mut child = self.child.take().context("the operator does not run")?;
        let pid = child
            .id()
            .and_then(|pid| i32::try_from(pid).ok())
            .and_then(rustix::process::Pid::from_raw);
        rustix::process::kill_process(
            pid.context("the operator has ended")?,
            rustix::process::Signal::TERM,
        )?;
        let status = tokio::time::timeout(Duration::from_secs(30), child.wait()).await;
        Ok(status.context("the operator did not end within 30 s of SIGTERM")??)
    }

    /// Stops it in order and starts it again.
    pub async fn restart(&mut self) -> Result<()> {
        self.stop().await?;
        self.start().await
    }

    /// What `/metrics` says.
    pub async fn metrics(&self) -> Result<String> {
        self.metrics_of("").await
    }

    /// What `/metrics` says to this query, as `?instance=x`.
    pub async fn metrics_of(&self, query: &str) -> Result<String> {
        let answer = self
            .cluster
            .http_get(
                &format!("{}:8080", self.address),
                &format!("/metrics{query}"),
            )
            .await?;
        ensure!(
            answer.status.is_success(),
            "/metrics says {}",
            answer.status
        );
        Ok(answer.text())
    }

    /// Everything it logged so far.
    pub fn log(&self) -> String {
        fs::read_to_string(self.log_file()).unwrap_or_default()
    }

    /// Its account, as the audit log names it.
    pub fn username(&self) -> String {
        format!(
            "system:serviceaccount:{}:{}",
            self.options.home,
            rights::ACCOUNT
        )
    }

    fn log_file(&self) -> PathBuf {
        self.folder.join("operator.log")
    }

    fn log_end(&self) -> String {
        format!(
            "the end of {}:\n{}",
            self.log_file().display(),
            last_lines(&self.log(), 20)
        )
    }
}

impl Drop for Operator<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            say(&self.log_end());
        }
        let _ = fs::remove_file(self.folder.join("kubeconfig"));
    }
}
