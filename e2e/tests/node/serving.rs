//! How the server is run where its own entrypoint is not enough.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use anyhow::{Result, ensure};
use paperclip_e2e::harness::{Cluster, wait_for};
use serde_json::json;

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

/// The admin is the only one who may have an account.
const ADMIN: &str = "
apiVersion: v1
kind: Secret
metadata: {name: admin}
stringData: {password: 'pa\"ss $(x) \\ ö'}
---
apiVersion: paperclip.inc/v1alpha1
kind: Instance
metadata: {name: my-paperclip}
spec:
  image: {tag: 2026.916.1}
  auth:
    disableSignUp: true
    adminUser: {email: ada@example.com, name: Ada, passwordSecretRef: {name: admin, key: password}}
  availability: {serverDrain: {enabled: false}}
";

/// What a second client does all the time: it wants to be the first.
async fn hammer(installed: &Installation<'_>, tries: &AtomicUsize) -> Vec<String> {
    let mut accepted = vec![];
    let stranger = json!({"name": "Eve", "email": "eve@example.com", "password": "correct horse"});
    loop {
        for (path, body) in [
            ("/api/auth/sign-up/email", stranger.clone()),
            ("/api/bootstrap/claim", json!({})),
        ] {
            if let Ok(answer) = installed.request("POST", path, Some(body)).await {
                tries.fetch_add(1, Ordering::Relaxed);
                if answer.status.is_success() {
                    accepted.push(format!("{path}: {}", answer.text()));
                }
            }
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
        if tries.load(Ordering::Relaxed) >= ENOUGH {
            return accepted;
        }
    }
}

/// So many answers of a server that is open.
const ENOUGH: usize = 20;

#[tokio::test]
async fn the_first_admin_is_there_before_anybody_can_come() -> Result<()> {
    let cluster = Cluster::node().await?;
    let installed = Installation::applied(cluster, "admin", ADMIN).await?;
    let tries = AtomicUsize::new(0);
    let (accepted, running) = tokio::join!(hammer(&installed, &tries), installed.until_running());
    running?;
    assert!(accepted.is_empty(), "{accepted:?}");

    // The one account is Ada's, with her password as it is in the Secret, and she is the admin.
    let login = json!({"email": "ada@example.com", "password": "pa\"ss $(x) \\ ö"});
    let answer = installed
        .request("POST", "/api/auth/sign-in/email", Some(login))
        .await?;
    assert_eq!(answer.status, 200, "{}", answer.text());
    let health = installed
        .request("GET", "/api/health", None)
        .await?
        .json()?;
    assert_eq!(health["bootstrapStatus"], "ready", "{health}");
    let rows = installed
        .sql("select u.email, r.role from \\\"user\\\" u left join instance_user_roles r on r.user_id = u.id")
        .await?;
    assert_eq!(rows.trim(), "ada@example.com|instance_admin");

    // The record stays when the Job is gone, and no second one comes.
    let namespace = &installed.namespace;
    namespace
        .kubectl(&["delete", "job", "my-paperclip-bootstrap"])
        .await?;
    namespace
        .kubectl(&[
            "annotate",
            "instance",
            NAME,
            "paperclip.inc/reconcile-requested-at=now",
        ])
        .await?;
    let handled = "jsonpath={.status.lastHandledReconcileAt}";
    let echoed = async || {
        let text = namespace
            .kubectl(&["get", "instance", NAME, "-o", handled])
            .await?;
        Ok((text == "now").then_some(()))
    };
    wait_for("the request to be handled", Duration::from_secs(60), echoed).await?;
    let state = namespace
        .kubectl(&[
            "get",
            "instance",
            NAME,
            "-o",
            "jsonpath={.status.bootstrap.state}",
        ])
        .await?;
    assert_eq!(state, "Complete");
    let jobs = namespace.kubectl(&["get", "jobs", "-o", "name"]).await?;
    assert!(!jobs.contains("bootstrap"), "{jobs}");
    Ok(())
}
