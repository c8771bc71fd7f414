//! An installation of the earlier operator with live data, taken over: the real server and a real PostgreSQL started from the objects that
//! it left, then our operator. What people had is still there, before and after each of the two pods is replaced.

use anyhow::{Context as _, Result, bail, ensure};
use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt as _;
use paperclip_e2e::harness::{Cluster, OperatorOptions, until, wait_for};
use serde_json::{Value, json};

use super::installation::{Installation, MINUTE, NAME, SERVER_POD, is_ready};

const RECORDING: &str = include_str!("../api/adoption/quickstart.yaml");
const DATABASE_POD: &str = "my-paperclip-db-0";

/// What the official image's entrypoint does, which ours has not: the application's role is the superuser, and the only one.
const OFFICIAL: &str = r#"set -e
if [ ! -s "$PGDATA/PG_VERSION" ]; then
  mkdir -p "$PGDATA" && chmod 0700 "$PGDATA"
  printf '%s\n' "$POSTGRES_PASSWORD" > /tmp/password
  initdb --username="$POSTGRES_USER" --pwfile=/tmp/password --auth-local=trust --auth-host=scram-sha-256 $POSTGRES_INITDB_ARGS
  rm /tmp/password
  echo 'host all all all scram-sha-256' >> "$PGDATA/pg_hba.conf"
  pg_ctl -w -o "-c listen_addresses=''" start
  createdb -U "$POSTGRES_USER" "$POSTGRES_DB"
  pg_ctl -w -m fast stop
fi
exec postgres -c listen_addresses='*'
"#;

/// The recording, as far as this cluster can run it: other images, and no container that needs a privilege.
fn objects(uid: &str, namespace: &str) -> Result<Vec<Value>> {
    // The server finds its database by the name of the namespace, too.
    let text = RECORDING.replace(".quickstart.svc.", &format!(".{namespace}.svc."));
    let mut all: Vec<Value> = serde_saphyr::from_multiple(&text)?;
    for object in &mut all {
        let kind = object["kind"].as_str().unwrap_or_default().to_owned();
        for field in ["namespace", "uid"] {
            remove(&mut object["metadata"], field);
        }
        remove(object, "status");
        if kind == "Instance" {
            object["spec"]["image"]["repository"] = json!("ghcr.io/paperclipai/paperclip");
            continue;
        }
        object["metadata"]["ownerReferences"][0]["uid"] = json!(uid);
        match kind.as_str() {
            "Service" => {
                remove(&mut object["spec"], "clusterIP");
                remove(&mut object["spec"], "clusterIPs");
            }
            "PersistentVolumeClaim" => {
                remove(&mut object["spec"], "volumeName");
                remove(&mut object["metadata"], "annotations");
            }
            "StatefulSet" => can_run(&mut object["spec"]["template"]["spec"]),
            _ => {}
        }
    }
    Ok(all)
}

fn can_run(pod: &mut Value) {
    remove(pod, "initContainers");
    let container = &mut pod["containers"][0];
    if container["name"] == "postgres" {
        container["command"] = json!(["/bin/sh", "-c", OFFICIAL]);
        return;
    }
    container["image"] = json!("ghcr.io/paperclipai/paperclip:2026.916.1");
    // These are for files that the published package does not have, and for a collector that is not here.
    if let Some(variables) = container["env"].as_array_mut() {
        variables.retain(|v| {
            let name = v["name"].as_str().unwrap_or_default();
            name != "NODE_OPTIONS" && !name.starts_with("OTEL_")
        });
    }
    pod["containers"][0]["securityContext"]["seccompProfile"] = json!({"type": "RuntimeDefault"});
}

fn remove(object: &mut Value, field: &str) {
    if let Some(map) = object.as_object_mut() {
        map.remove(field);
    }
}

async fn create(installed: &Installation<'_>, object: &Value) -> Result<Value> {
    let namespace = &installed.namespace.name;
    let arguments = [
        "create",
        "-n",
        namespace,
        "--field-manager=manager",
        "--validate=ignore",
        "-o",
        "json",
        "-f",
        "-",
    ];
    let cluster = installed.cluster;
    let made = cluster
        .kubectl_output(&arguments, Some(&object.to_string()))
        .await?;
    if !made.status.success() {
        bail!(
            "{}: {}",
            object["kind"],
            String::from_utf8_lossy(&made.stderr)
        );
    }
    Ok(serde_json::from_slice(&made.stdout)?)
}

async fn until_replaced(installed: &Installation<'_>, name: &str, old: &str) -> Result<Pod> {
    let replaced = |pod: &Pod| pod.uid().as_deref() != Some(old) && is_ready(pod);
    let pods = installed.pods().await?;
    until(&pods, name, "is replaced and ready", 6 * MINUTE, replaced).await
}

async fn file(installed: &Installation<'_>) -> Result<String> {
    let read = [
        "exec",
        SERVER_POD,
        "-c",
        "paperclip",
        "--",
        "cat",
        "/paperclip/written-before",
    ];
    installed.namespace.kubectl(&read).await
}

#[tokio::test]
async fn live_data_of_the_earlier_operator_outlive_the_take_over_and_both_new_pods() -> Result<()> {
    let cluster = Cluster::node().await?;
    cluster.load_operator_image().await?;
    let namespace = cluster.namespace("adopted").await?;
    let options = OperatorOptions::for_namespace(&namespace.name);
    let operator = cluster.operator_not_started(options).await?;
    let mut installed = Installation {
        cluster,
        operator,
        namespace,
    };
    let secret = json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "paperclip-auth"},
        "stringData": {"BETTER_AUTH_SECRET": "0123456789abcdef0123456789abcdef"}});
    let keys = json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "paperclip-api-keys"},
        "stringData": {"ANTHROPIC_API_KEY": "none", "OPENAI_API_KEY": "none"}});
    for object in [secret, keys] {
        installed.namespace.apply(&object.to_string()).await?;
    }
    let instance = create(&installed, &objects("", &installed.namespace.name)?[0]).await?;
    let uid = instance["metadata"]["uid"].as_str().context("no uid")?;
    for object in &objects(uid, &installed.namespace.name)?[1..] {
        create(&installed, object).await?;
    }

    // People work with it.
    let pods = installed.pods().await?;
    let server = until(&pods, SERVER_POD, "is ready", 6 * MINUTE, is_ready).await?;
    let database = until(&pods, DATABASE_POD, "is ready", 6 * MINUTE, is_ready).await?;
    let (server, database) = (
        server.uid().context("no uid")?,
        database.uid().context("no uid")?,
    );
    installed.until_healthy().await?;
    let person = json!({"name": "Ada", "email": "ada@example.com", "password": "correct horse"});
    let answer = installed
        .request("POST", "/api/auth/sign-up/email", Some(person))
        .await?;
    assert_eq!(answer.status, 200, "sign-up: {}", answer.text());
    let write = [
        "exec",
        SERVER_POD,
        "-c",
        "paperclip",
        "--",
        "sh",
        "-c",
        "echo kept > /paperclip/written-before",
    ];
    installed.namespace.kubectl(&write).await?;

    // Taken over: the pods live on.
    let lives = installed.pod_lives().await?;
    installed.operator.start().await?;
    let instances = installed.instances().await?;
    let pending = |i: &kube::api::DynamicObject| {
        let status = &i.data["status"];
        status["phase"] == "Running" && status["adopted"]["pending"].is_array()
    };
    until(&instances, NAME, "is taken over", 3 * MINUTE, pending).await?;
    assert_eq!(installed.pod_lives().await?, lives);
    installed.sign_in().await?;

    // The server's one roll-out.
    let now = ["annotate", "instance", NAME, "paperclip.inc/adopt=now"];
    installed.namespace.kubectl(&now).await?;
    let pod = until_replaced(&installed, SERVER_POD, &server).await?;
    let rooted = pod
        .spec
        .as_ref()
        .and_then(|s| s.containers[0].security_context.clone());
    ensure!(rooted.and_then(|c| c.read_only_root_filesystem) == Some(true));
    installed.until_running().await?;
    installed.until_healthy().await?;
    installed.sign_in().await?;
    assert_eq!(file(&installed).await?.trim(), "kept");
    let same = pods.get(DATABASE_POD).await?.uid();
    assert_eq!(
        same.as_deref(),
        Some(&*database),
        "the database was not touched"
    );

    // The database's, when a change of it is asked for.
    let patch = json!({"spec": {"database": {"managed": {"resources": {"requests": {"cpu": "50m", "memory": "128Mi"},
        "limits": {"memory": "512Mi"}}}}}});
    let change = [
        "patch",
        "instance",
        NAME,
        "--type=merge",
        "-p",
        &patch.to_string(),
    ];
    installed.namespace.kubectl(&change).await?;
    until_replaced(&installed, DATABASE_POD, &database).await?;
    installed.until_running().await?;
    installed.until_healthy().await?;
    wait_for(
        "a sign-in after the database's restart",
        2 * MINUTE,
        async || installed.sign_in().await.map(Some),
    )
    .await?;

    // The end of the Instance is not the end of the data.
    let delete = ["delete", "instance", NAME, "--wait=true", "--timeout=180s"];
    installed.namespace.kubectl(&delete).await?;
    let kept = installed
        .namespace
        .kubectl(&["get", "pvc,secrets", "-o", "name"])
        .await?;
    for name in [
        "my-paperclip-data",
        "my-paperclip-db-data",
        "my-paperclip-secrets-master-key",
        "my-paperclip-db-credentials",
    ] {
        ensure!(
            kept.contains(name),
            "{name} is not among what was kept:\n{kept}"
        );
    }
    Ok(())
}
