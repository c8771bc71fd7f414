//! What a test works with: a cluster, a namespace, an operator. Everything is ended and removed when it is dropped, also when the
//! test failed or the whole test program was killed. A tier that cannot start makes its tests fail; nothing is ever skipped.

mod audit;
mod http;
mod namespace;
mod operator;
mod published;
mod rights;
mod wait;

use std::path::{Path, PathBuf};
use std::process::Output;
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use kube::Client;
use tokio::net::UnixStream;
use tokio::process::Command;
use tokio::sync::OnceCell;

use crate::binaries::{Binaries, Group};
use crate::cache::Cache;
use crate::cluster::control::{Request, ask};
use crate::cluster::host::{self, Lifeline, Options};
use crate::cluster::{self, Layout, State, Tier};
use crate::images;
use crate::system::{output_with_input, say};

pub use audit::{AuditEvent, AuditMark};
pub use http::{Answer, send};
pub use namespace::Namespace;
pub use operator::{Operator, OperatorOptions};
pub use published::published;
pub use wait::{until, wait_for};

/// One running cluster.
#[derive(Debug)]
pub struct Cluster {
    state: State,
    layout: Layout,
    cache: Cache,
    /// While this is held the cluster runs. None: somebody else's cluster.
    lifeline: Option<Lifeline>,
    definitions: OnceCell<()>,
    operator_image: OnceCell<()>,
}

static API: OnceCell<Cluster> = OnceCell::const_new();
static NODE: OnceCell<Cluster> = OnceCell::const_new();

impl Cluster {
    /// The API tier, shared by all tests of this program: pods are marked ready, nothing runs.
    pub async fn api() -> Result<&'static Self> {
        API.get_or_try_init(|| Self::shared(Tier::Api)).await
    }

    /// The node tier, shared by all tests of this program: containers really run.
    pub async fn node() -> Result<&'static Self> {
        NODE.get_or_try_init(|| Self::shared(Tier::Node)).await
    }

    async fn shared(tier: Tier) -> Result<Self> {
        if let Some(dir) = std::env::var_os("PAPERCLIP_E2E_CLUSTER").filter(|dir| !dir.is_empty()) {
            let cluster = Self::attach(&workspace().join(PathBuf::from(dir)))?;
            if cluster.state.tier == tier {
                return Ok(cluster);
            }
        }
        Self::start(tier).await
    }

    /// A cluster for one test alone: for tests that stop parts of it, or whose operator watches all namespaces.
    pub async fn start(tier: Tier) -> Result<Self> {
        static STARTED: std::sync::atomic::AtomicU32 = std::sync::atomic::AtomicU32::new(0);
        let number = STARTED.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        let folder = std::env::temp_dir().join("paperclip-e2e");
        forget_old_logs(&folder);
        let name = if tier == Tier::Api { "api" } else { "node" };
        let dir = folder.join(format!("{name}-{}-{number}", std::process::id()));
        let cache = Cache::open()?;
        let options = Options {
            tier,
            audit: true,
            fsync: false,
        };
        let (state, lifeline) = host::up(&cache, &dir, &options)
            .await
            .with_context(|| format!("the {name} tier cannot start"))?;
        say(&format!(
            "the {name} tier runs; logs are in {}",
            dir.join("log").display()
        ));
        let layout = Layout::of(&cache, &dir)?;
        Ok(Self::new(state, layout, cache, Some(lifeline)))
    }

    /// A cluster that was started by `paperclip-e2e cluster up` in this folder.
    pub fn attach(dir: &Path) -> Result<Self> {
        let cache = Cache::open()?;
        ensure!(dir.is_dir(), "there is no folder {}", dir.display());
        let layout = Layout::of(&cache, dir)?;
        let state = layout.load().filter(|state| state.process.is_alive());
        let state = state.with_context(|| format!("no cluster runs in {}", dir.display()))?;
        Ok(Self::new(state, layout, cache, None))
    }

    fn new(state: State, layout: Layout, cache: Cache, lifeline: Option<Lifeline>) -> Self {
        Self {
            state,
            layout,
            cache,
            lifeline,
            definitions: OnceCell::new(),
            operator_image: OnceCell::new(),
        }
    }

    /// An administrator's client. One for each test: a client lives in the runtime that made it.
    pub async fn client(&self) -> Result<Client> {
        cluster::client(&self.layout.kubeconfig()).await
    }

    /// An administrator's kubeconfig, valid on the host.
    pub fn kubeconfig(&self) -> PathBuf {
        self.layout.kubeconfig()
    }

    /// Distinguishes it from other clusters on this machine.
    pub fn id(&self) -> &str {
        &self.layout.id
    }

    /// Which programs run.
    pub fn tier(&self) -> Tier {
        self.state.tier
    }

    /// The kubectl that was built with the cluster.
    pub fn kubectl_program(&self) -> &Path {
        &self.state.kubectl
    }

    /// It ends with this program.
    pub fn is_own(&self) -> bool {
        self.lifeline.is_some()
    }

    /// Runs kubectl as administrator; failure is in the result.
    pub async fn kubectl_output(&self, arguments: &[&str], input: Option<&str>) -> Result<Output> {
        let mut command = Command::new(&self.state.kubectl);
        command
            .arg("--kubeconfig")
            .arg(self.kubeconfig())
            .args(arguments);
        output_with_input(
            &mut command,
            input.map(str::as_bytes),
            Duration::from_secs(120),
        )
        .await
    }

    /// Runs kubectl as administrator, gives what it printed; failure is an error.
    pub async fn kubectl(&self, arguments: &[&str]) -> Result<String> {
        self.kubectl_with_input(arguments, None).await
    }

    /// Applies manifests; those without a namespace go into the given one.
    pub async fn apply_yaml(&self, namespace: &str, manifests: &str) -> Result<String> {
        self.kubectl_with_input(
            &["apply", "--namespace", namespace, "-f", "-"],
            Some(manifests),
        )
        .await
    }

    /// Runs kubectl as administrator with something on its standard input; failure is an error.
    pub async fn kubectl_with(&self, arguments: &[&str], input: &str) -> Result<String> {
        self.kubectl_with_input(arguments, Some(input)).await
    }

    async fn kubectl_with_input(&self, arguments: &[&str], input: Option<&str>) -> Result<String> {
        let output = self.kubectl_output(arguments, input).await?;
        if !output.status.success() {
            bail!(
                "kubectl {}: {}",
                arguments.join(" "),
                String::from_utf8_lossy(&output.stderr).trim()
            );
        }
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }

    /// Installs the custom resource definitions from `deploy/crds`, once.
    pub async fn install_definitions(&self) -> Result<()> {
        let install = async || {
            let folder = workspace().join("deploy/crds");
            let folder = folder.to_string_lossy();
            self.kubectl(&["apply", "--server-side", "--force-conflicts", "-f", &folder])
                .await?;
            self.kubectl(&[
                "wait",
                "--for=condition=Established",
                "--timeout=60s",
                "-f",
                &folder,
            ])
            .await
            .map(drop)
        };
        self.definitions.get_or_try_init(install).await.map(drop)
    }

    /// Builds the operator's image and puts it into the node's store, once.
    pub async fn load_operator_image(&self) -> Result<()> {
        let load = async || {
            let programs = images::operator::programs("quick").await?;
            let image = images::operator::build(&self.cache, &programs).await?;
            host::import(&self.cache, &self.layout.dir, &image).await
        };
        self.operator_image.get_or_try_init(load).await.map(drop)
    }

    /// Runs a program of one of the cluster's groups inside the cluster's namespaces until the answer is dropped.
    pub async fn daemon(
        &self,
        group: Group,
        program: &str,
        arguments: &[&str],
    ) -> Result<tokio::process::Child> {
        let program = Binaries::ensure(&self.cache, &[group])
            .await?
            .program(program)?;
        let log = std::fs::File::create(self.layout.logs().join(format!(
            "{}.log",
            program.file_name().unwrap_or_default().to_string_lossy()
        )))?;
        let inside = host::inside(&self.state);
        let mut command = Command::new("setpriv");
        command
            .args(["--pdeathsig", "KILL", "--"])
            .arg(inside.get_program())
            .args(inside.get_args())
            .arg(&program)
            .args(arguments)
            .stdin(std::process::Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .kill_on_drop(true);
        Ok(command.spawn()?)
    }

    /// Connects with an address inside the cluster, `host:port`. On the node tier names of Services are known.
    pub async fn connect(&self, address: &str) -> Result<UnixStream> {
        ask(&self.state.process, &Request::Connect(address.to_owned())).await
    }

    /// Sends KILL, TERM, STOP or CONT to one of the cluster's own programs, as `kube-apiserver` or `etcd`.
    pub async fn signal(&self, program: &str, signal: &str) -> Result<()> {
        let request = Request::Signal {
            program: program.to_owned(),
            signal: signal.to_owned(),
        };
        ask(&self.state.process, &request).await.map(drop)
    }

    /// Starts one of the cluster's own programs again that was killed.
    pub async fn restart(&self, program: &str) -> Result<()> {
        ask(&self.state.process, &Request::Restart(program.to_owned()))
            .await
            .map(drop)
    }
}

/// The folder of the workspace.
pub fn workspace() -> PathBuf {
    let e2e = Path::new(env!("CARGO_MANIFEST_DIR"));
    e2e.parent().unwrap_or(e2e).to_owned()
}

/// Removes the logs of clusters that ended more than a day ago.
fn forget_old_logs(folder: &Path) {
    let day = Duration::from_secs(24 * 3600);
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        let age = entry
            .metadata()
            .and_then(|metadata| metadata.modified())
            .ok()
            .and_then(|time| time.elapsed().ok());
        if age.is_some_and(|age| age > day) {
            let _ = std::fs::remove_dir_all(entry.path());
        }
    }
}

/// A name that nobody else uses: tests run at the same time, and in clusters that live on.
fn unique(name: &str) -> String {
    static COUNT: std::sync::atomic::AtomicU32 = std::sync::atomic::AtomicU32::new(0);
    let count = COUNT.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
    let now = std::time::SystemTime::UNIX_EPOCH
        .elapsed()
        .unwrap_or_default()
        .as_nanos();
    let key = crate::cache::key([
        now.to_string(),
        std::process::id().to_string(),
        count.to_string(),
    ]);
    format!("{name}-{}", &key[..6])
}
