//! A database of somebody else, asked from inside the cluster: a real PostgreSQL, and nearly a dozen URLs that do not lead there.

use std::collections::BTreeMap;

use anyhow::{Context as _, Result, ensure};
use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::Secret;
use kube::Api;
use kube::api::{DynamicObject, Patch, PatchParams};
use paperclip_e2e::harness::{Cluster, Namespace, OperatorOptions, until, wait_for};
use serde_json::json;

use crate::installation::{ELSEWHERE, MINUTE, databases, says};

/// Roles that cannot do what the application needs.
const ROLES: &str = "CREATE ROLE guest LOGIN PASSWORD 'hunter2'; CREATE ROLE busy LOGIN PASSWORD 'hunter2' CONNECTION LIMIT 0; \
     CREATE ROLE reader LOGIN PASSWORD 'hunter2'; ALTER ROLE reader SET default_transaction_read_only = on; \
     GRANT CREATE ON DATABASE paperclip TO reader;";

/// An external PaperclipDatabase with its URL in a Secret of the same name.
async fn outside(namespace: &Namespace<'_>, name: &str, url: &str) -> Result<()> {
    let secret = json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name}, "stringData": {"url": url}});
    namespace.apply(&secret.to_string()).await?;
    let database = json!({"apiVersion": "paperclip.inc/v1alpha1", "kind": "PaperclipDatabase", "metadata": {"name": name},
        "spec": {"engine": "External", "external": {"urlSecretRef": {"name": name, "key": "url"}}}});
    namespace.apply(&database.to_string()).await?;
    Ok(())
}

#[tokio::test]
async fn a_database_of_somebody_else_is_asked_and_each_wrong_url_has_its_own_reason() -> Result<()>
{
    let cluster = Cluster::node().await?;
    cluster.load_operator_image().await?;
    let namespace = cluster.namespace("outside").await?;
    let operator = cluster
        .operator(OperatorOptions::for_namespace(&namespace.name))
        .await?;
    namespace.apply(ELSEWHERE).await?;
    let all = databases(cluster, &namespace.name).await?;
    let is_ready = |d: &DynamicObject| says(d, "Ready") == "True/DatabaseProvisioned";
    until(&all, "elsewhere", "is ready", 5 * MINUTE, is_ready).await?;
    let psql = [
        "psql",
        "-U",
        "postgres",
        "-d",
        "paperclip",
        "-v",
        "ON_ERROR_STOP=1",
        "-tAc",
    ];
    let exec = ["exec", "elsewhere-db-0", "-c", "postgres", "--"];
    let ask = async |sql: &str| {
        let all: Vec<&str> = exec.into_iter().chain(psql).chain([sql]).collect();
        namespace.kubectl(&all).await
    };
    ask(ROLES).await?;

    let secrets: Api<Secret> = Api::namespaced(cluster.client().await?, &namespace.name);
    let secret = secrets.get("elsewhere-db-app").await?;
    let good = secret.data.and_then(|d| d.get("DATABASE_URL").cloned());
    let good = String::from_utf8(good.context("a URL")?.0)?;
    let base = good.split('?').next().unwrap_or(&good).to_owned();
    let (login, place) = base
        .trim_start_matches("postgres://")
        .trim_start_matches("postgresql://")
        .split_once('@')
        .context("a login")?;
    let (address, _) = place.split_once('/').context("a name")?;
    let (host, _) = address.split_once(':').unwrap_or((address, ""));
    let as_role = |role: &str| format!("postgres://{role}:hunter2@{place}");
    let wrong = BTreeMap::from([
        (
            "name",
            (
                "DNSFailed",
                format!("postgres://{login}@no-such-host.example.invalid/paperclip"),
            ),
        ),
        (
            "port",
            (
                "Refused",
                format!("postgres://{login}@{host}:5433/paperclip"),
            ),
        ),
        ("plain", ("TLSFailed", format!("{base}?sslmode=require"))),
        ("password", ("AuthenticationFailed", as_role("paperclip"))),
        (
            "database",
            (
                "DatabaseNotFound",
                format!("postgres://{login}@{address}/nowhere"),
            ),
        ),
        ("guest", ("InsufficientRights", as_role("guest"))),
        ("busy", ("TooManyConnections", as_role("busy"))),
        ("reader", ("ReadOnly", as_role("reader"))),
        ("user", ("InvalidValue", format!("postgres://{place}"))),
    ]);
    for (name, (_, url)) in &wrong {
        outside(&namespace, name, url).await?;
    }
    outside(&namespace, "right", &good).await?;

    for (name, (reason, _)) in &wrong {
        let wanted = format!("False/{reason}");
        let told = |d: &DynamicObject| says(d, "Ready") == wanted && says(d, "Reachable") == wanted;
        let database = until(&all, name, &format!("says {reason}"), 3 * MINUTE, told).await?;
        let text = database.data["status"].to_string();
        ensure!(!text.contains("hunter2") && !text.contains(login), "{text}");
    }
    let right = until(&all, "right", "is ready", 2 * MINUTE, is_ready).await?;
    let status = &right.data["status"];
    assert!(
        status["serverVersion"]
            .as_str()
            .is_some_and(|v| v.starts_with("17.")),
        "{status}"
    );
    assert!(
        status["databaseBytes"]
            .as_i64()
            .is_some_and(|b| b > 1 << 20),
        "{status}"
    );
    assert_eq!(status["check"]["transactionPooler"], false, "{status}");

    // A Secret that is put right is noticed, and nobody has to ask.
    let patch = json!({"data": {"url": ByteString(good.clone().into_bytes())}});
    secrets
        .patch("password", &PatchParams::default(), &Patch::Merge(patch))
        .await?;
    until(&all, "password", "is ready", 2 * MINUTE, is_ready).await?;
    // So is a right that is granted.
    ask("GRANT CREATE ON DATABASE paperclip TO guest").await?;
    let look = [
        "annotate",
        "paperclipdatabase",
        "guest",
        "paperclip.inc/reconcile-requested-at=now",
    ];
    namespace.kubectl(&look).await?;
    until(&all, "guest", "is ready", 2 * MINUTE, is_ready).await?;
    wait_for("one Job for each to be left", MINUTE, async || {
        let jobs = namespace
            .kubectl(&[
                "get",
                "jobs",
                "-o",
                "name",
                "-l",
                "app.kubernetes.io/component=check",
            ])
            .await?;
        ensure!(jobs.lines().count() <= wrong.len() + 1, "{jobs}");
        Ok(Some(()))
    })
    .await?;
    ensure!(!operator.log().contains("hunter2"));
    Ok(())
}
