//! A server goes from its managed database to an external one and back, with the real server and PostgreSQL.

use anyhow::{Context as _, Result, ensure};
use k8s_openapi::api::core::v1::Secret;
use kube::Api;
use kube::api::{DynamicObject, Patch, PatchParams};
use paperclip_e2e::harness::{Cluster, until, wait_for};
use serde_json::{Value, json};

use crate::installation::{ELSEWHERE, Installation, MINUTE, NAME, TRUSTED, databases, says};

/// Names of the companies that the server knows, once it answers.
async fn companies(installed: &Installation<'_>) -> Result<Vec<String>> {
    wait_for("the server to list companies", 2 * MINUTE, async || {
        let answer = installed.request("GET", "/api/companies", None).await?;
        ensure!(answer.status == 200, "{} {}", answer.status, answer.text());
        let list = answer.json()?;
        let list = list.as_array().context("a list")?;
        let names = list.iter().filter_map(|c| c["name"].as_str());
        Ok(Some(names.map(str::to_owned).collect()))
    })
    .await
}

async fn found(installed: &Installation<'_>, company: &str) -> Result<()> {
    let body = json!({"name": company});
    let answer = installed
        .request("POST", "/api/companies", Some(body))
        .await?;
    ensure!(
        answer.status.is_success(),
        "{} {}",
        answer.status,
        answer.text()
    );
    Ok(())
}

async fn asks_for(installed: &Installation<'_>, database: Value) -> Result<()> {
    let patch = json!({"spec": {"database": database}}).to_string();
    installed
        .namespace
        .kubectl(&["patch", "instance", NAME, "--type=merge", "-p", &patch])
        .await?;
    Ok(())
}

#[tokio::test]
async fn each_database_keeps_what_is_in_it_while_the_server_goes_from_one_to_the_other()
-> Result<()> {
    let cluster = Cluster::node().await?;
    let installed = Installation::applied(cluster, "modes", TRUSTED).await?;
    installed.namespace.apply(ELSEWHERE).await?;
    installed.until_running().await?;
    found(&installed, "Here").await?;

    // The first URL leads nowhere: the server stays where it is, and says why.
    let wrong = json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "elsewhere"},
        "stringData": {"url": "postgres://paperclip:hunter2@elsewhere-db:5433/paperclip"}});
    installed.namespace.apply(&wrong.to_string()).await?;
    let uid = installed.server_uid().await?;
    let external =
        json!({"mode": "external", "externalURLSecretRef": {"name": "elsewhere", "key": "url"}});
    asks_for(&installed, external).await?;
    let refused = |instance: &DynamicObject| says(instance, "DatabaseReady") == "False/Refused";
    let instances = installed.instances().await?;
    until(&instances, NAME, "says why it stays", 2 * MINUTE, refused).await?;
    assert_eq!(companies(&installed).await?, ["Here"]);
    assert_eq!(installed.server_uid().await?, uid);

    let secrets: Api<Secret> = Api::namespaced(cluster.client().await?, &installed.namespace.name);
    let there = secrets.get("elsewhere-db-app").await?;
    let url = there.data.and_then(|d| d.get("DATABASE_URL").cloned());
    let right = json!({"data": {"url": url.context("a URL")?}});
    secrets
        .patch("elsewhere", &PatchParams::default(), &Patch::Merge(right))
        .await?;
    installed.until_running().await?;
    assert_eq!(companies(&installed).await?, Vec::<String>::new());
    found(&installed, "There").await?;
    let instance = instances.get(NAME).await?;
    assert_eq!(says(&instance, "DatabaseReady"), "True/DatabaseProvisioned");
    let children = databases(cluster, &installed.namespace.name).await?;
    assert!(children.get_opt("my-paperclip-next").await?.is_none());

    let managed = json!({"mode": "managed", "externalURLSecretRef": null});
    asks_for(&installed, managed).await?;
    installed.until_running().await?;
    assert_eq!(companies(&installed).await?, ["Here"]);
    Ok(())
}
