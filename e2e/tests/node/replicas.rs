//! Several servers on one database: one of them wakes agents, whichever kind of workload runs them, and also while its pods are replaced.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use http::Request;
use http_body_util::Full;
use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt as _;
use kube::api::ListParams;
use paperclip_e2e::harness::{Cluster, wait_for};
use serde_json::{Value, json};
use tokio::time::timeout;

use crate::installation::{Installation, MINUTE, NAME, TRUSTED, is_ready};

/// Two servers, and agents that are woken soon.
const TWO: &str = "  heartbeat: {intervalMS: 10000}
  availability: {replicas: 2}
";

/// Seconds between two runs of the agent.
const EVERY: u32 = 20;

/// Ready pods of the server, by name, and whether they say that they wake agents.
async fn servers(installed: &Installation<'_>) -> Result<Vec<(String, bool)>> {
    let ours = ListParams::default().labels("app.kubernetes.io/component=server");
    let pods = installed.pods().await?.list(&ours).await?;
    let serves = |p: &&Pod| p.metadata.deletion_timestamp.is_none() && is_ready(p);
    let mut found = vec![];
    for pod in pods.iter().filter(serves) {
        let address = pod.status.as_ref().and_then(|s| s.pod_ip.as_deref());
        let address = format!("{}:3102", address.context("an address")?);
        let said = installed.cluster.http_get(&address, "/status").await?;
        ensure!(said.status == 200, "{}", said.status);
        found.push((pod.name_any(), said.json()?["scheduler"] == true));
    }
    Ok(found)
}

/// How many servers answer at this moment.
async fn answering(installed: &Installation<'_>) -> Result<usize> {
    let ours = ListParams::default().labels("app.kubernetes.io/component=server");
    let pods = installed.pods().await?.list(&ours).await?;
    let addresses = pods
        .iter()
        .filter_map(|p| p.status.as_ref()?.pod_ip.as_deref());
    let mut all = 0;
    for address in addresses {
        let health = Request::get("/api/health").header("Host", "localhost:3100");
        let address = format!("{address}:3100");
        let answer = installed
            .cluster
            .http(&address, health.body(Full::default())?);
        let answer = timeout(Duration::from_secs(2), answer).await;
        all += usize::from(matches!(answer, Ok(Ok(answer)) if answer.status == 200));
    }
    Ok(all)
}

/// Waits until two servers are ready and one of them wakes agents; gives its name.
async fn one_of_two(installed: &Installation<'_>, what: &str) -> Result<String> {
    wait_for(what, 4 * MINUTE, async || {
        let all = servers(installed).await?;
        let (chosen, others): (Vec<_>, Vec<_>) = all.into_iter().partition(|(_, wakes)| *wakes);
        ensure!(chosen.len() <= 1, "several wake agents: {chosen:?}");
        Ok((chosen.len() == 1 && others.len() == 1).then(|| chosen[0].0.clone()))
    })
    .await
}

/// Waits until status and marks name this pod and no other.
async fn is_named(installed: &Installation<'_>, leader: &str, cost: Option<&str>) -> Result<()> {
    let what = format!("{leader} to be named");
    wait_for(&what, MINUTE, async || {
        let instance = installed.instances().await?.get(NAME).await?;
        let said = &instance.data["status"]["schedulerLeader"];
        ensure!(*said == leader, "the status says {said}");
        let ours = ListParams::default().labels("app.kubernetes.io/component=server");
        for pod in &installed.pods().await?.list(&ours).await? {
            let gone = pod.metadata.deletion_timestamp.is_some();
            if gone || !is_ready(pod) {
                continue;
            }
            let leads = pod.name_any() == leader;
            let role = pod.labels().get("paperclip.inc/role").map(String::as_str);
            let is = pod
                .annotations()
                .get("controller.kubernetes.io/pod-deletion-cost");
            let expected = if leads { "scheduler" } else { "web" };
            ensure!(
                role == Some(expected) && is.map(String::as_str) == cost.filter(|_| leads),
                "{}: {role:?} {is:?}",
                pod.name_any()
            );
        }
        Ok(Some(()))
    })
    .await
}

async fn post(installed: &Installation<'_>, path: &str, body: Value) -> Result<Value> {
    let answer = installed.request("POST", path, Some(body)).await?;
    ensure!(
        answer.status.is_success(),
        "{path}: {} {}",
        answer.status,
        answer.text()
    );
    answer.json()
}

#[tokio::test]
async fn of_two_servers_one_wakes_agents_and_no_run_is_made_twice() -> Result<()> {
    let cluster = Cluster::node().await?;
    let installed = Installation::applied(cluster, "two", &format!("{TRUSTED}{TWO}")).await?;
    installed.until_running().await?;
    let namespace = &installed.namespace;
    assert_eq!(
        one_of_two(&installed, "a first one").await?,
        "my-paperclip-0"
    );

    is_named(&installed, "my-paperclip-0", None).await?;

    // An agent that a timer wakes.
    let company = post(&installed, "/api/companies", json!({"name": "Test"})).await?;
    let company = company["id"].as_str().context("a company")?;
    let agent = json!({"name": "clock", "adapterType": "process", "adapterConfig": {"command": "true"},
        "runtimeConfig": {"heartbeat": {"enabled": true, "intervalSec": EVERY}}});
    post(
        &installed,
        &format!("/api/companies/{company}/agents"),
        agent,
    )
    .await?;
    let runs = async |at_least: i64| {
        wait_for("the agent to be woken", 4 * MINUTE, async || {
            let count: i64 = installed
                .sql("select count(*) from heartbeat_runs")
                .await?
                .trim()
                .parse()?;
            ensure!(count >= at_least, "{count} of {at_least} runs");
            Ok(Some(count))
        })
        .await
    };
    let before = runs(2).await?;

    // The pod that wakes it is replaced.
    let uid = installed.server_uid().await?;
    namespace
        .kubectl(&["delete", "pod", "my-paperclip-0", "--wait=false"])
        .await?;
    wait_for("the old pod to go", 2 * MINUTE, async || {
        ensure!(installed.server_uid().await? != uid);
        Ok(Some(()))
    })
    .await?;
    assert_eq!(
        one_of_two(&installed, "the new pod to wake agents").await?,
        "my-paperclip-0"
    );
    let before = runs(before + 1).await?;

    // Another kind of workload takes over. Servers answer all the time; only the one that gets the right to wake agents is started again.
    let patch = json!({"spec": {"workload": "Deployment"}}).to_string();
    namespace
        .kubectl(&["patch", "instance", NAME, "--type=merge", "-p", &patch])
        .await?;
    let mut unanswered = 0;
    wait_for("the StatefulSet to go", 6 * MINUTE, async || {
        if answering(&installed).await? == 0 {
            unanswered += 1;
        }
        let left = [
            "get",
            "statefulset",
            NAME,
            "--ignore-not-found",
            "-o",
            "name",
        ];
        let left = namespace.kubectl(&left).await?;
        Ok(left.trim().is_empty().then_some(()))
    })
    .await?;
    assert_eq!(unanswered, 0, "moments at which no server answered");
    let holder = one_of_two(&installed, "a pod of the Deployment to wake agents").await?;
    is_named(&installed, &holder, Some("10000")).await?;
    let before = runs(before + 1).await?;

    // The one that holds the lock dies without a word: another takes it.
    namespace
        .kubectl(&["delete", "pod", &holder, "--grace-period=0", "--force"])
        .await?;
    let next = one_of_two(&installed, "another pod to wake agents").await?;
    assert_ne!(next, holder);
    is_named(&installed, &next, Some("10000")).await?;
    runs(before + 1).await?;

    // Whatever happened, no tick of the timer made two runs.
    let close = format!(
        "select count(*) from (select created_at - lag(created_at) over (partition by agent_id order by created_at) as pause \
         from heartbeat_runs) as r where pause < interval '{} seconds'",
        EVERY / 2
    );
    assert_eq!(installed.sql(&close).await?.trim(), "0");
    tokio::time::sleep(Duration::from_secs(1)).await;
    installed.until_running().await
}
