//! A server goes from its managed database to an external one and back, with the real server and PostgreSQL.

use anyhow::{Context as _, Result, ensure};
use paperclip_e2e::harness::{Cluster, wait_for};
use serde_json::{Value, json};

use crate::installation::{Installation, MINUTE, NAME};

const TRUSTED: &str = "
apiVersion: paperclip.inc/v1alpha1
kind: Instance
metadata: {name: my-paperclip}
spec:
  image: {tag: 2026.916.1}
  deployment: {mode: local_trusted}
  storage: {persistence: {enabled: false}}
";

/// Somebody else's database, as far as the Instance knows.
const ELSEWHERE: &str = "
apiVersion: paperclip.inc/v1alpha1
kind: PaperclipDatabase
metadata: {name: elsewhere}
spec:
  storage: {size: 1Gi}
  resources: {requests: {cpu: 50m, memory: 128Mi}}
";

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

async fn goes_to(installed: &Installation<'_>, database: Value) -> Result<()> {
    let patch = json!({"spec": {"database": database}}).to_string();
    installed
        .namespace
        .kubectl(&["patch", "instance", NAME, "--type=merge", "-p", &patch])
        .await?;
    installed.until_running().await
}

#[tokio::test]
async fn each_database_keeps_what_is_in_it_while_the_server_goes_from_one_to_the_other()
-> Result<()> {
    let cluster = Cluster::node().await?;
    let installed = Installation::applied(cluster, "modes", TRUSTED).await?;
    installed.namespace.apply(ELSEWHERE).await?;
    installed.until_running().await?;
    found(&installed, "Here").await?;

    let external = json!({"mode": "external",
        "externalURLSecretRef": {"name": "elsewhere-db-app", "key": "DATABASE_URL"}});
    goes_to(&installed, external).await?;
    assert_eq!(companies(&installed).await?, Vec::<String>::new());
    found(&installed, "There").await?;
    let instance = installed.instances().await?.get(NAME).await?;
    let conditions = instance.data["status"]["conditions"].as_array();
    let database = conditions
        .into_iter()
        .flatten()
        .find(|c| c["type"] == "DatabaseReady");
    assert_eq!(
        database.context("a condition")?["reason"],
        "MigrationConnected"
    );

    let managed = json!({"mode": "managed", "externalURLSecretRef": null});
    goes_to(&installed, managed).await?;
    assert_eq!(companies(&installed).await?, ["Here"]);
    Ok(())
}
