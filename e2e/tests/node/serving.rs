//! How the server is run where its own entrypoint is not enough.

use std::time::Duration;

use anyhow::{Result, ensure};
use paperclip_e2e::harness::{Cluster, wait_for};

use crate::installation::{Installation, NAME};

/// Everybody who reaches the server is its admin; it accepts connections from loopback only.
const LOCAL_TRUSTED: &str = "
apiVersion: paperclip.inc/v1alpha1
kind: Instance
metadata: {name: my-paperclip}
spec:
  image: {tag: 2026.916.1}
  deployment: {mode: local_trusted}
  availability: {serverDrain: {enabled: false}}
";

#[tokio::test]
async fn a_server_for_trusted_people_is_reached_through_its_service() -> Result<()> {
    let cluster = Cluster::node().await?;
    let installed = Installation::applied(cluster, "trusted", LOCAL_TRUSTED).await?;
    installed.until_running().await?;
    let service = format!("{NAME}.{}.svc.cluster.local:3100", installed.namespace.name);

    // By the Service's own name: the server knows it, so it answers 200 and not 403.
    let health = cluster.http_get(&service, "/api/health").await?;
    assert_eq!(health.status, 200, "{}", health.text());
    let said = health.json()?;
    assert_eq!(said["deploymentMode"], "local_trusted", "{said}");

    // It really is the mode that it says: nobody has to sign in.
    let companies = cluster.http_get(&service, "/api/companies").await?;
    assert_eq!(companies.status, 200, "{}", companies.text());

    // The server ends in good time and another comes, although somebody is in between.
    let uid = installed.server_uid().await?;
    installed
        .namespace
        .kubectl(&["delete", "pod", "my-paperclip-0", "--wait=false"])
        .await?;
    let again = async || {
        ensure!(installed.server_uid().await? != uid, "the old pod is there");
        let health = cluster.http_get(&service, "/api/health").await?;
        ensure!(health.status == 200, "{}", health.text());
        Ok(Some(()))
    };
    wait_for("another server", Duration::from_secs(180), again).await?;
    assert!(
        installed
            .pod_lives()
            .await?
            .iter()
            .all(|(_, restarts)| *restarts == 0),
        "no container was started again"
    );
    Ok(())
}
