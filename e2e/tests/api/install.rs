//! Both ways to install, against a real API server: Helm and kubectl. Pods are admitted by Pod Security `restricted`; they do not run
//! here (the node is played), so what the operator does then is not the matter of these tests.

use std::path::Path;

use anyhow::{Context as _, Result, ensure};
use paperclip_e2e::cache::Cache;
use paperclip_e2e::cluster::Tier;
use paperclip_e2e::harness::{Cluster, workspace};
use paperclip_e2e::manifests::{Helm, NAMESPACE, RELEASE};

const ALL_ON: &str =
    "replicaCount=2,networkPolicy.enabled=true,otlp.endpoint=http://collector.tracing:4317";

/// A cluster of its own: definitions and ClusterRoles are for the whole cluster.
async fn cluster() -> Result<Cluster> {
    Cluster::start(Tier::Api).await
}

async fn restricted_namespace(cluster: &Cluster, name: &str) -> Result<()> {
    cluster.kubectl(&["create", "namespace", name]).await?;
    cluster
        .kubectl(&[
            "label",
            "namespace",
            name,
            "pod-security.kubernetes.io/enforce=restricted",
        ])
        .await
        .map(drop)
}

async fn rolled_out(cluster: &Cluster, namespace: &str) -> Result<()> {
    let deployment = format!("deployment/{RELEASE}");
    cluster
        .kubectl(&[
            "-n",
            namespace,
            "rollout",
            "status",
            &deployment,
            "--timeout=60s",
        ])
        .await
        .map(drop)
}

async fn can(cluster: &Cluster, namespace: &str, verb: &str, resource: &str) -> Result<bool> {
    let account = format!("--as=system:serviceaccount:{NAMESPACE}:{RELEASE}");
    let output = cluster
        .kubectl_output(
            &["auth", "can-i", verb, resource, "-n", namespace, &account],
            None,
        )
        .await?;
    match String::from_utf8_lossy(&output.stdout).trim() {
        "yes" => Ok(true),
        "no" => Ok(false),
        other => anyhow::bail!("{other} {}", String::from_utf8_lossy(&output.stderr)),
    }
}

#[tokio::test]
async fn helm_installs_upgrades_and_uninstalls_and_keeps_the_definitions() -> Result<()> {
    let cluster = cluster().await?;
    let helm = Helm::ensure(&Cache::open()?, &workspace()).await?;
    let kubeconfig = cluster.kubeconfig();
    let home = tempfile()?;
    let environment: [(&str, &Path); 2] = [("KUBECONFIG", &kubeconfig), ("HELM_CACHE_HOME", &home)];
    let chart = helm.chart("paperclip-operator");
    restricted_namespace(&cluster, NAMESPACE).await?;

    let to = ["--namespace", NAMESPACE, "--wait", "--timeout", "90s"];
    let install = [&["install", RELEASE, &chart][..], &to].concat();
    helm.run(&install, &environment).await?;
    rolled_out(&cluster, NAMESPACE).await?;

    let upgrade = [&["upgrade", RELEASE, &chart, "--set", ALL_ON][..], &to].concat();
    helm.run(&upgrade, &environment).await?;
    rolled_out(&cluster, NAMESPACE).await?;

    helm.run(
        &["uninstall", RELEASE, "--namespace", NAMESPACE, "--wait"],
        &environment,
    )
    .await?;
    let left = cluster
        .kubectl(&["get", "customresourcedefinitions", "-o", "name"])
        .await?;
    ensure!(left.contains("instances.paperclip.inc"), "{left}");

    // What was kept is taken up again.
    helm.run(&install, &environment).await?;
    rolled_out(&cluster, NAMESPACE).await
}

#[tokio::test]
async fn helm_installs_for_some_namespaces() -> Result<()> {
    let cluster = cluster().await?;
    let helm = Helm::ensure(&Cache::open()?, &workspace()).await?;
    let kubeconfig = cluster.kubeconfig();
    let chart = helm.chart("paperclip-operator");
    for name in [NAMESPACE, "one", "two"] {
        restricted_namespace(&cluster, name).await?;
    }
    let arguments = [
        "install",
        RELEASE,
        &chart,
        "--namespace",
        NAMESPACE,
        "--wait",
        "--timeout",
        "90s",
        "--set",
        "watchNamespaces={one,two}",
    ];
    helm.run(&arguments, &[("KUBECONFIG", &kubeconfig)]).await?;
    rolled_out(&cluster, NAMESPACE).await?;
    for namespace in ["one", "two"] {
        ensure!(can(&cluster, namespace, "list", "instances.paperclip.inc").await?);
        ensure!(can(&cluster, namespace, "get", "secrets").await?);
        ensure!(!can(&cluster, namespace, "list", "secrets").await?);
    }
    ensure!(!can(&cluster, "default", "get", "secrets").await?);
    ensure!(!can(&cluster, "default", "list", "instances.paperclip.inc").await?);
    Ok(())
}

#[tokio::test]
async fn plain_kubectl_installs_and_users_get_their_rights() -> Result<()> {
    let cluster = cluster().await?;
    let file = workspace().join("deploy/install.yaml");
    let file = file.to_string_lossy();
    // Client-side apply: each definition must fit into the annotation that it writes. Twice: the second changes nothing.
    cluster.kubectl(&["apply", "-f", &file]).await?;
    let again = cluster.kubectl(&["apply", "-f", &file]).await?;
    let changed: Vec<_> = again
        .lines()
        .filter(|line| !line.ends_with("unchanged"))
        .collect();
    ensure!(changed.is_empty(), "{changed:?}");
    rolled_out(&cluster, NAMESPACE).await?;

    ensure!(can(&cluster, "default", "create", "statefulsets.apps").await?);
    ensure!(!can(&cluster, "default", "list", "secrets").await?);
    ensure!(!can(&cluster, "default", "delete", "persistentvolumeclaims").await?);
    for (role, verb, allowed) in [
        ("view", "get", "yes"),
        ("view", "create", "no"),
        ("edit", "create", "yes"),
    ] {
        let user = format!("user-{role}");
        let binding = [
            "-n",
            "default",
            "create",
            "rolebinding",
            &user,
            "--clusterrole",
            role,
            "--user",
            &user,
        ];
        let _ = cluster.kubectl_output(&binding, None).await?;
        let user = format!("--as={user}");
        let question = [
            "auth",
            "can-i",
            verb,
            "instances.paperclip.inc",
            "-n",
            "default",
            &user,
        ];
        // The controller manager adds the rules to the built-in roles a moment later.
        paperclip_e2e::harness::wait_for(
            &format!("{role} to may {verb}: {allowed}"),
            std::time::Duration::from_secs(30),
            async || {
                let output = cluster.kubectl_output(&question, None).await?;
                Ok((String::from_utf8_lossy(&output.stdout).trim() == allowed).then_some(()))
            },
        )
        .await?;
    }
    Ok(())
}

#[tokio::test]
async fn kustomize_builds_the_same_objects() -> Result<()> {
    let cluster = Cluster::api().await?;
    let built = cluster
        .kubectl(&["kustomize", &workspace().join("deploy").to_string_lossy()])
        .await?;
    let stored = std::fs::read_to_string(workspace().join("deploy/install.yaml"))?;
    let names = |text: &str| -> Result<Vec<String>> {
        let all = paperclip_e2e::manifests::documents(text)?;
        let mut names: Vec<_> = all
            .iter()
            .map(|object| format!("{} {}", object["kind"], object["metadata"]["name"]))
            .collect();
        names.sort();
        Ok(names)
    };
    assert_eq!(names(&built)?, names(&stored)?);
    Ok(())
}

/// A folder for what Helm keeps, so that the machine's own settings have no say.
fn tempfile() -> Result<std::path::PathBuf> {
    let folder = std::env::temp_dir().join(format!("paperclip-e2e-helm-{}", std::process::id()));
    std::fs::create_dir_all(&folder).context("cannot make a folder for Helm")?;
    Ok(folder)
}
