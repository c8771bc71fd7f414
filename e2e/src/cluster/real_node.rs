//! The node of the node tier: containerd, kubelet, kube-proxy and a name server. Pods really run. They reach each other and
//! Services, and nothing outside the cluster.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, Result};
use k8s_openapi::api::core::v1::Service;
use k8s_openapi::api::discovery::v1::EndpointSlice;
use kube::{Api, Client};
use serde_json::json;
use tokio::process::Command;

use super::control_plane::{apply, flags};
use super::daemons::Daemons;
use super::init::Plan;
use super::network::{NODE_ADDRESS, POD_RANGE, SERVICE_DNS};
use super::played_node::wait_until_ready;
use crate::images::store;
use crate::system::{find_program, run};

/// containerd's socket, inside.
pub const CONTAINERD_SOCKET: &str = "/run/containerd/containerd.sock";

/// Starts it and waits until the node is ready.
pub async fn start(plan: &Plan, daemons: &Daemons, client: &Client) -> Result<()> {
    let containerd = start_containerd(plan, daemons);
    let names = start_name_server(plan, daemons, client);
    tokio::try_join!(containerd, names)?;
    start_kubelet(plan, daemons).await?;
    start_kube_proxy(plan, daemons).await?;
    wait_until_ready(daemons, client).await
}

async fn start_containerd(plan: &Plan, daemons: &Daemons) -> Result<()> {
    let root = plan.layout.run.join("containerd");
    let filled = plan
        .image_store
        .clone()
        .context("no filled image store was given")?;
    let target = root.clone();
    tokio::task::spawn_blocking(move || store::share(&filled, &target)).await??;
    let network = plan.layout.run.join("cni");
    fs::create_dir_all(&network)?;
    // Point-to-point links, not a bridge: everything between pods is routed, so Services work without kernel modules for bridges.
    let list = json!({"cniVersion": "0.4.0", "name": "local", "plugins": [
        {"type": "ptp", "ipMasq": false, "ipam": {
            "type": "host-local", "dataDir": "/run/cni", "ranges": [[{"subnet": POD_RANGE}]], "routes": [{"dst": "0.0.0.0/0"}],
        }},
        {"type": "portmap", "capabilities": {"portMappings": true}},
    ]});
    fs::write(
        network.join("10-local.conflist"),
        serde_json::to_vec_pretty(&list)?,
    )?;
    let config = plan.layout.run.join("containerd.toml");
    fs::write(&config, containerd_config(&root, Some(&network)))?;
    let arguments = flags(&[("config", &config.to_string_lossy())]);
    daemons
        .start(&system_program("containerd")?, arguments)
        .await?;
    let answers = async || ctr(&["version"]).await;
    daemons
        .wait_for("containerd", Duration::from_secs(60), answers)
        .await?;
    Ok(())
}

/// containerd's configuration; without a network it can only hold images.
pub fn containerd_config(root: &Path, network: Option<&Path>) -> String {
    let network = network.map_or(String::new(), |folder| {
        format!("  [plugins.\"io.containerd.grpc.v1.cri\".cni]\n    bin_dir = \"/usr/lib/cni\"\n    conf_dir = \"{}\"\n", folder.display())
    });
    format!(
        r#"version = 2
root = "{}"
state = "/run/containerd/state"
[grpc]
  address = "{CONTAINERD_SOCKET}"
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "{}"
  restrict_oom_score_adj = true
{network}"#,
        root.display(),
        crate::images::PAUSE,
    )
}

/// Runs `ctr` in the namespace that kubelet uses. Must run inside the cluster's mount namespace.
pub async fn ctr(arguments: &[&str]) -> Result<String> {
    let mut command = Command::new(system_program("ctr")?);
    command
        .args(["--address", CONTAINERD_SOCKET, "--namespace", "k8s.io"])
        .args(arguments);
    run(&mut command, Duration::from_secs(600)).await
}

async fn start_name_server(plan: &Plan, daemons: &Daemons, client: &Client) -> Result<()> {
    let service: Service = serde_json::from_value(json!({
        "metadata": {"name": "kube-dns", "namespace": "kube-system"},
        "spec": {"clusterIP": SERVICE_DNS, "ports": [
            {"name": "dns", "port": 53, "protocol": "UDP"}, {"name": "dns-tcp", "port": 53, "protocol": "TCP"},
        ]},
    }))?;
    let slice: EndpointSlice = serde_json::from_value(json!({
        "metadata": {"name": "kube-dns", "namespace": "kube-system", "labels": {"kubernetes.io/service-name": "kube-dns"}},
        "addressType": "IPv4",
        "ports": [{"name": "dns", "port": 53, "protocol": "UDP"}, {"name": "dns-tcp", "port": 53, "protocol": "TCP"}],
        "endpoints": [{"addresses": [NODE_ADDRESS], "conditions": {"ready": true}}],
    }))?;
    apply(
        &Api::namespaced(client.clone(), "kube-system"),
        "kube-dns",
        &service,
    )
    .await?;
    apply(
        &Api::namespaced(client.clone(), "kube-system"),
        "kube-dns",
        &slice,
    )
    .await?;
    let config = plan.layout.run.join("Corefile");
    let text = format!(
        ".:53 {{\n  bind {NODE_ADDRESS}\n  errors\n  kubernetes cluster.local in-addr.arpa {{\n    kubeconfig {}\n    pods insecure\n    ttl 1\n  }}\n}}\n",
        plan.layout.pki().join("admin.kubeconfig").display()
    );
    fs::write(&config, text)?;
    daemons
        .start(
            plan.program("coredns")?,
            vec!["-conf".to_owned(), config.to_string_lossy().into_owned()],
        )
        .await
}

async fn start_kubelet(plan: &Plan, daemons: &Daemons) -> Result<()> {
    let run_dir = &plan.layout.run;
    let pki = plan.layout.pki();
    let resolv_conf = run_dir.join("resolv.conf");
    fs::write(&resolv_conf, format!("nameserver {NODE_ADDRESS}\n"))?;
    let config = run_dir.join("kubelet.json");
    let settings = json!({
        "apiVersion": "kubelet.config.k8s.io/v1beta1", "kind": "KubeletConfiguration",
        "failCgroupV1": false,
        "cgroupDriver": "cgroupfs",
        "cgroupRoot": format!("/{}", plan.layout.control_group()),
        "containerRuntimeEndpoint": format!("unix://{CONTAINERD_SOCKET}"),
        "authentication": {
            "anonymous": {"enabled": false}, "webhook": {"enabled": true}, "x509": {"clientCAFile": pki.join("ca.crt")},
        },
        "authorization": {"mode": "Webhook"},
        "failSwapOn": false,
        "resolvConf": resolv_conf,
        "clusterDNS": [SERVICE_DNS],
        "clusterDomain": "cluster.local",
        "evictionHard": {"memory.available": "100Mi", "nodefs.available": "1%", "imagefs.available": "1%", "nodefs.inodesFree": "1%"},
        // Images are put here by hand, and could not be had again.
        "imageGCHighThresholdPercent": 100,
        "imageGCLowThresholdPercent": 99,
        "podLogsDir": run_dir.join("pod-logs"),
        "volumePluginDir": run_dir.join("volume-plugins"),
        "syncFrequency": "10s",
        "serializeImagePulls": false,
    });
    fs::write(&config, serde_json::to_vec_pretty(&settings)?)?;
    let arguments = flags(&[
        ("config", &config.to_string_lossy()),
        ("kubeconfig", &pki.join("node.kubeconfig").to_string_lossy()),
        ("hostname-override", "n1"),
        ("node-ip", NODE_ADDRESS),
        ("root-dir", &run_dir.join("kubelet").to_string_lossy()),
        ("cert-dir", &run_dir.join("kubelet-pki").to_string_lossy()),
    ]);
    daemons.start(plan.program("kubelet")?, arguments).await
}

async fn start_kube_proxy(plan: &Plan, daemons: &Daemons) -> Result<()> {
    let config = plan.layout.run.join("kube-proxy.json");
    let settings = json!({
        "apiVersion": "kubeproxy.config.k8s.io/v1alpha1", "kind": "KubeProxyConfiguration",
        "mode": "iptables",
        "clusterCIDR": POD_RANGE,
        "hostnameOverride": "n1",
        "clientConnection": {"kubeconfig": plan.layout.pki().join("admin.kubeconfig")},
        "conntrack": {"maxPerCore": 0, "min": 0},
        "iptables": {"minSyncPeriod": "100ms"},
    });
    fs::write(&config, serde_json::to_vec_pretty(&settings)?)?;
    daemons
        .start(
            plan.program("kube-proxy")?,
            flags(&[("config", &config.to_string_lossy())]),
        )
        .await
}

fn system_program(name: &str) -> Result<PathBuf> {
    find_program(name).with_context(|| format!("{name} is not installed"))
}
