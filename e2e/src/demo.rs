//! `make demo`: from nothing to a running installation. Does what the documentation tells a person to do, with the same manifests,
//! and believes only what it sees: the Instance says `Running`, and the server answers through its Service.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use http::Request;
use http_body_util::Full;
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::net::TcpStream;
use tokio::process::Command;

use crate::cache::Cache;
use crate::cluster::{self, Options, Tier, host};
use crate::harness::{Cluster, send, wait_for, workspace};
use crate::images::operator;
use crate::system::{run, run_with_input, say};

/// Where the sample goes. Pod Security `restricted` is enforced there.
const NAMESPACE: &str = "paperclip-demo";
/// The sample's name.
const INSTANCE: &str = "my-paperclip";
const OPERATOR_NAMESPACE: &str = "paperclip-system";
const OPERATOR: &str = "deployment/paperclip-operator";

const LIMIT: Duration = Duration::from_secs(900);

/// kubectl for the cluster of the demo.
struct Kubectl {
    program: PathBuf,
    kubeconfig: Option<PathBuf>,
}

impl Kubectl {
    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(&self.program);
        if let Some(kubeconfig) = &self.kubeconfig {
            command.arg("--kubeconfig").arg(kubeconfig);
        }
        command.args(arguments);
        command
    }

    async fn run(&self, arguments: &[&str]) -> Result<String> {
        run(&mut self.command(arguments), Duration::from_secs(330)).await
    }

    async fn apply(&self, manifests: &str) -> Result<String> {
        let mut command = self.command(&["apply", "-f", "-"]);
        run_with_input(
            &mut command,
            Some(manifests.as_bytes()),
            Duration::from_secs(60),
        )
        .await
    }
}

/// Runs the demo on a local cluster, which it starts in `dir` if none runs there, and leaves it running.
pub async fn on_local_cluster(cache: &Cache, dir: &Path) -> Result<()> {
    let cluster = if let Ok(cluster) = Cluster::attach(dir) {
        ensure!(
            cluster.tier() == Tier::Node,
            "the cluster in {} has no real node; end it first: make cluster-down",
            dir.display()
        );
        say(&format!("using the cluster that runs in {}", dir.display()));
        cluster
    } else {
        say(
            "starting a local cluster (the first time this takes a quarter of an hour: everything is built from source)",
        );
        let options = Options {
            tier: Tier::Node,
            audit: false,
            fsync: false,
        };
        let (_, lifeline) = cluster::up(cache, dir, &options).await?;
        lifeline.detach()?;
        Cluster::attach(dir)?
    };
    let programs = operator::programs("quick").await?;
    let image = operator::build(cache, &programs).await?;
    host::import(cache, dir, &image).await?;

    let kubectl = Kubectl {
        program: cluster.kubectl_program().to_owned(),
        kubeconfig: Some(cluster.kubeconfig()),
    };
    install(&kubectl).await?;
    create_sample(&kubectl).await?;

    let service = format!("{INSTANCE}.{NAMESPACE}.svc.cluster.local:3100");
    let health = wait_for(
        "the server to be healthy through its Service",
        Duration::from_secs(120),
        async || {
            let request = Request::get("/api/health")
                .header("Host", "localhost")
                .body(Full::default())?;
            let health = cluster.http(&service, request).await?;
            ensure!(
                health.status == 200 && health.json()?["status"] == "ok",
                "{} {}",
                health.status,
                health.text()
            );
            Ok(Some(health.text()))
        },
    );
    say(&format!(
        "GET http://{service}/api/health: 200 {}",
        health.await?
    ));
    let place = cluster.kubeconfig();
    how_to_go_on(
        &format!("export KUBECONFIG={}", place.display()),
        &kubectl.program,
    );
    say("remove everything:  make cluster-down");
    Ok(())
}

/// Runs the demo on the cluster of the current kubeconfig, with the published image.
pub async fn on_current_cluster() -> Result<()> {
    let program =
        crate::system::find_program("kubectl").context("USE_CLUSTER needs kubectl on PATH")?;
    let kubectl = Kubectl {
        program,
        kubeconfig: None,
    };
    let server = kubectl
        .run(&[
            "config",
            "view",
            "--minify",
            "-o",
            "jsonpath={.clusters[0].cluster.server}",
        ])
        .await?;
    say(&format!("using the cluster at {server}"));
    install(&kubectl).await?;
    create_sample(&kubectl).await?;
    let health = wait_for(
        "the server to be healthy",
        Duration::from_secs(120),
        async || Ok(Some(health_by_port_forward(&kubectl).await?)),
    );
    say(&format!(
        "GET /api/health through service/{INSTANCE}: 200 {}",
        health.await?
    ));
    how_to_go_on("", &kubectl.program);
    say(&format!(
        "remove it:          kubectl delete namespace {NAMESPACE}"
    ));
    Ok(())
}

/// Asks the server for its health as a person does who follows the advice at the end.
async fn health_by_port_forward(kubectl: &Kubectl) -> Result<String> {
    let mut command = kubectl.command(&[
        "-n",
        NAMESPACE,
        "port-forward",
        &format!("service/{INSTANCE}"),
        ":3100",
    ]);
    command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .kill_on_drop(true);
    let mut forward = command.spawn().context("cannot start kubectl")?;
    let mut lines = BufReader::new(forward.stdout.take().context("kubectl has no output")?).lines();
    let line = lines
        .next_line()
        .await?
        .context("kubectl port-forward ended")?;
    let port = line
        .split_whitespace()
        .find_map(|word| word.strip_prefix("127.0.0.1:"));
    let address = format!(
        "127.0.0.1:{}",
        port.with_context(|| format!("no port in: {line}"))?
    );
    let stream = TcpStream::connect(&address).await?;
    let request = Request::get("/api/health")
        .header("Host", "localhost")
        .body(Full::default())?;
    let health = send(TokioIo::new(stream), request).await?;
    ensure!(
        health.status == 200 && health.json()?["status"] == "ok",
        "{} {}",
        health.status,
        health.text()
    );
    Ok(health.text())
}

/// Installs definitions, rights and the operator, as the documentation says.
async fn install(kubectl: &Kubectl) -> Result<()> {
    say("installing the custom resource definitions and the operator");
    let path = |name: &str| {
        workspace()
            .join("deploy")
            .join(name)
            .to_string_lossy()
            .into_owned()
    };
    kubectl
        .run(&[
            "apply",
            "--server-side",
            "--force-conflicts",
            "-f",
            &path("crds"),
        ])
        .await?;
    kubectl
        .run(&[
            "wait",
            "--for=condition=Established",
            "--timeout=60s",
            "-f",
            &path("crds"),
        ])
        .await?;
    let existed = kubectl
        .run(&["-n", OPERATOR_NAMESPACE, "get", OPERATOR])
        .await
        .is_ok();
    kubectl
        .run(&[
            "apply",
            "--server-side",
            "--force-conflicts",
            "-f",
            &path("install.yaml"),
        ])
        .await?;
    if existed {
        // The image has the same name as before, but perhaps not the same content.
        kubectl
            .run(&["-n", OPERATOR_NAMESPACE, "rollout", "restart", OPERATOR])
            .await?;
    }
    let rolled_out = kubectl
        .run(&[
            "-n",
            OPERATOR_NAMESPACE,
            "rollout",
            "status",
            OPERATOR,
            "--timeout=300s",
        ])
        .await;
    if let Err(error) = rolled_out {
        let pods = kubectl
            .run(&["-n", OPERATOR_NAMESPACE, "describe", "pods"])
            .await
            .unwrap_or_default();
        return Err(error.context(format!("the operator does not run:\n{pods}")));
    }
    Ok(())
}

/// Applies the documented quick start and waits until it runs, telling what changes.
async fn create_sample(kubectl: &Kubectl) -> Result<()> {
    kubectl
        .apply(&format!(
            "apiVersion: v1\nkind: Namespace\nmetadata:\n  name: {NAMESPACE}\n  labels: {{pod-security.kubernetes.io/enforce: restricted}}\n"
        ))
        .await?;
    let sample = workspace().join("deploy/samples/quickstart.yaml");
    kubectl
        .run(&["-n", NAMESPACE, "apply", "-f", &sample.to_string_lossy()])
        .await?;
    say(&format!(
        "applied deploy/samples/quickstart.yaml in the namespace {NAMESPACE}"
    ));

    let start = Instant::now();
    let mut told = String::new();
    loop {
        let text = kubectl
            .run(&[
                "-n",
                NAMESPACE,
                "get",
                "instances.paperclip.inc",
                INSTANCE,
                "-o",
                "json",
            ])
            .await?;
        let status = &serde_json::from_str::<Value>(&text)?["status"];
        let now = progress(status);
        if now != told {
            say(&format!("{:>4} s  {now}", start.elapsed().as_secs()));
            told = now;
        }
        if status["phase"] == "Running" {
            return Ok(());
        }
        if start.elapsed() > LIMIT {
            let seen = kubectl
                .run(&["-n", NAMESPACE, "get", "all,events"])
                .await
                .unwrap_or_default();
            bail!(
                "the Instance is not Running after {} s:\n{seen}",
                LIMIT.as_secs()
            );
        }
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
}

/// Phase and why it is not ready, in one line.
fn progress(status: &Value) -> String {
    let phase = status["phase"].as_str().unwrap_or("not seen yet");
    let conditions = status["conditions"].as_array().cloned().unwrap_or_default();
    let open = conditions
        .iter()
        .find(|condition| condition["type"] == "Ready" && condition["status"] != "True");
    match open.and_then(|condition| condition["message"].as_str()) {
        Some(message) => format!("{phase}: {message}"),
        None => phase.to_owned(),
    }
}

fn how_to_go_on(environment: &str, kubectl: &Path) {
    let lines = [
        String::new(),
        "The Instance is Running.".to_owned(),
        environment.to_owned(),
        format!(
            "look at it:         {} -n {NAMESPACE} get paperclip",
            kubectl.display()
        ),
        format!(
            "reach the server:   {} -n {NAMESPACE} port-forward service/{INSTANCE} 3100",
            kubectl.display()
        ),
        "                    then http://localhost:3100 (health: http://localhost:3100/api/health)"
            .to_owned(),
    ];
    say(&lines
        .into_iter()
        .filter(|line| !line.is_empty())
        .collect::<Vec<_>>()
        .join("\n"));
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn progress_names_the_phase_and_why_it_is_not_ready() {
        assert_eq!(progress(&Value::Null), "not seen yet");
        let status = json!({"phase": "Provisioning", "conditions": [
            {"type": "Ready", "status": "False", "reason": "DatabaseNotReady", "message": "PostgreSQL starts"},
        ]});
        assert_eq!(progress(&status), "Provisioning: PostgreSQL starts");
        assert_eq!(progress(&json!({"phase": "Running"})), "Running");
    }
}
