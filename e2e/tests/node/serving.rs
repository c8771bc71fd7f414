//! How the server is run where its own entrypoint is not enough.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use anyhow::{Result, ensure};
use paperclip_e2e::harness::{Cluster, wait_for};
use serde_json::{Value, json};

use crate::installation::{Installation, NAME, TRUSTED};

/// It ends at once, and tells its figures.
const AT_ONCE: &str = "  availability: {serverDrain: {enabled: false}}
  observability: {metrics: {enabled: true}}
";

#[tokio::test]
async fn a_server_for_trusted_people_is_reached_through_its_service() -> Result<()> {
    let cluster = Cluster::node().await?;
    let installed =
        Installation::applied(cluster, "trusted", &format!("{TRUSTED}{AT_ONCE}")).await?;
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

    // It tells its figures to the operator, and needs no key for that.
    let figures = of_app(&installed).await?;
    for (name, value) in [
        ("up", 1.0),
        ("healthy", 1.0),
        ("access", 1.0),
        ("active_runs", 0.0),
        ("spent_month_cents", 0.0),
    ] {
        assert_eq!(figures.get(name), Some(&value), "{name} of {figures:?}");
    }

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

/// What the operator says that the server says: value of `paperclip_app_<name>`, of one pod.
async fn of_app(installed: &Installation<'_>) -> Result<BTreeMap<String, f64>> {
    let query = format!("?namespace={}&instance={NAME}", installed.namespace.name);
    let text = installed.operator.metrics_of(&query).await?;
    let lines = text
        .lines()
        .filter_map(|line| line.strip_prefix("paperclip_app_"));
    Ok(lines
        .filter_map(|line| {
            let (name, rest) = line.split_once('{')?;
            let (_, value) = rest.rsplit_once(' ')?;
            Some((name.to_owned(), value.parse().ok()?))
        })
        .collect())
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

/// Runs, queue and cost are told with a key, which the operator gets by itself, and not without; the server is not touched by that.
async fn figures_with_and_without_a_key(installed: &Installation<'_>) -> Result<()> {
    let uid = installed.server_uid().await?;
    assert!(
        of_app(installed).await?.is_empty(),
        "nobody has asked for figures"
    );
    let change = async |spec: Value| {
        let spec = json!({"spec": spec}).to_string();
        let patch = ["patch", "instance", NAME, "--type=merge", "-p", &spec];
        installed.namespace.kubectl(&patch).await
    };
    let all = [
        "access",
        "active_runs",
        "draining",
        "healthy",
        "pending_wakes",
        "scheduled_agents",
        "scheduler_lag_seconds",
        "spent_month_cents",
        "up",
    ];
    let told = async |names: &[&str], access: f64| {
        wait_for(&format!("{names:?}"), Duration::from_secs(60), async || {
            let figures = of_app(installed).await?;
            let found: Vec<&str> = figures.keys().map(String::as_str).collect();
            ensure!(
                found == names && figures.get("access") == Some(&access),
                "{figures:?}"
            );
            Ok(Some(()))
        })
        .await
    };
    change(json!({"observability": {"metrics": {"enabled": true}}})).await?;
    told(&all, 1.0).await?;
    let key = installed
        .sql("select name, expires_at is null, revoked_at is null from board_api_keys")
        .await?;
    assert_eq!(
        key.trim(),
        format!("operator of {}/{NAME}|t|t", installed.namespace.name)
    );

    let named =
        |name: &str| json!({"auth": {"operatorTokenSecretRef": {"name": name, "key": "token"}}});
    change(named("not-there")).await?;
    told(&["access", "healthy", "up"], 0.0).await?;
    change(named("my-paperclip-operator-token")).await?;
    told(&all, 1.0).await?;

    installed.until_running().await?;
    assert_eq!(installed.server_uid().await?, uid);
    let secret = [
        "get",
        "secret",
        "my-paperclip-operator-token",
        "-o",
        "jsonpath={.data.token}",
    ];
    let stored = installed.namespace.kubectl(&secret).await?;
    ensure!(stored.len() > 20, "no key is stored");
    assert!(!installed.operator.log().contains("pcp_board_"));
    Ok(())
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
    figures_with_and_without_a_key(&installed).await?;
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
