//! The node of the API tier: kwok marks pods ready and Jobs' pods succeeded. Nothing runs, and nothing is ever said that only a
//! running container could tell.

use std::fs;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use k8s_openapi::api::core::v1::Node;
use kube::{Api, Client};
use serde_json::json;

use super::control_plane::{apply, flags};
use super::daemons::Daemons;
use super::init::Plan;
use super::network::POD_RANGE;

/// What the played node does, in kwok's own words.
const STAGES: &str = include_str!("../../assets/kwok.yaml");

/// Starts it and waits until the node is ready.
pub async fn start(plan: &Plan, daemons: &Daemons, client: &Client) -> Result<()> {
    let stages = plan.layout.run.join("kwok.yaml");
    fs::write(&stages, STAGES)?;
    let arguments = flags(&[
        (
            "kubeconfig",
            &plan.layout.pki().join("admin.kubeconfig").to_string_lossy(),
        ),
        ("config", &stages.to_string_lossy()),
        ("manage-all-nodes", "true"),
        ("node-lease-duration-seconds", "40"),
        ("cidr", POD_RANGE),
    ]);
    daemons.start(plan.program("kwok")?, arguments).await?;
    let size = json!({"cpu": "1000", "memory": "4000Gi", "pods": "100000"});
    let node: Node = serde_json::from_value(json!({
        "metadata": {"name": "n1", "labels": {"kubernetes.io/hostname": "n1", "kubernetes.io/os": "linux", "kubernetes.io/arch": "amd64"}},
        "status": {"allocatable": size, "capacity": size},
    }))?;
    apply(&Api::all(client.clone()), "n1", &node).await?;
    wait_until_ready(daemons, client).await
}

/// Waits until the only node says that it is ready, and pods may be bound to it.
pub async fn wait_until_ready(daemons: &Daemons, client: &Client) -> Result<()> {
    let nodes: Api<Node> = Api::all(client.clone());
    let ready = async || {
        let node = nodes.get("n1").await?;
        let taints = node.spec.and_then(|spec| spec.taints).unwrap_or_default();
        ensure!(taints.is_empty(), "the node still has taints");
        let status = node.status.context("the node has no status yet")?;
        let conditions = status.conditions.unwrap_or_default();
        let condition = conditions
            .iter()
            .find(|condition| condition.type_ == "Ready")
            .context("the node has no Ready condition yet")?;
        ensure!(
            condition.status == "True",
            "the node is not ready: {}",
            condition.message.as_deref().unwrap_or("no message")
        );
        Ok(())
    };
    daemons
        .wait_for("the node", Duration::from_secs(180), ready)
        .await
}
