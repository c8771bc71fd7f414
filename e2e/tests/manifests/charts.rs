//! The charts, rendered by Helm itself, and the files of `deploy/` that are made of them.
//!
//! After a change of the charts run `UPDATE_GENERATED=1 cargo test -p paperclip-e2e --test manifests deploy_holds` and commit what it wrote.

use std::fs;

use anyhow::{Context as _, Result, ensure};
use paperclip_e2e::cache::Cache;
use paperclip_e2e::harness::workspace;
use paperclip_e2e::manifests::{self, Generated, Helm, documents, rights};
use serde_json::{Value, json};

async fn helm() -> Result<Helm> {
    Helm::ensure(&Cache::open()?, &workspace()).await
}

async fn rendered(values: &[&str]) -> Result<Vec<Value>> {
    // The definitions are half a megabyte, and matter to one test only.
    let without = if values.iter().any(|value| value.starts_with("crds.")) {
        &[][..]
    } else {
        &["crds.install=false"]
    };
    let arguments: Vec<_> = without
        .iter()
        .chain(values)
        .flat_map(|value| ["--set", value])
        .collect();
    documents(&helm().await?.template(&arguments).await?)
}

fn of_kind<'a>(all: &'a [Value], kind: &str) -> Vec<&'a Value> {
    all.iter().filter(|object| object["kind"] == kind).collect()
}

fn deployment(all: &[Value]) -> Result<&Value> {
    of_kind(all, "Deployment")
        .pop()
        .context("no Deployment is rendered")
}

/// Compares with a file of the tree, or writes it when told to.
fn same_as_file(file: &Generated) -> Result<()> {
    let path = workspace().join(&file.path);
    if std::env::var_os("UPDATE_GENERATED").is_some() {
        fs::create_dir_all(path.parent().context("a file lies in a folder")?)?;
        return Ok(fs::write(&path, &file.text)?);
    }
    ensure!(
        fs::read_to_string(&path).ok().as_ref() == Some(&file.text),
        "{} differs from the charts; run: UPDATE_GENERATED=1 cargo test -p paperclip-e2e --test manifests deploy_holds",
        file.path.display()
    );
    Ok(())
}

#[tokio::test]
async fn deploy_holds_what_the_charts_render() -> Result<()> {
    for file in manifests::definitions(&workspace())? {
        same_as_file(&file)?;
    }
    for file in manifests::rendered(&workspace(), &helm().await?).await? {
        same_as_file(&file)?;
    }
    Ok(())
}

#[tokio::test]
async fn the_charts_pass_helms_own_checks() -> Result<()> {
    let helm = helm().await?;
    for chart in ["paperclip-operator", "paperclip-operator-crds"] {
        helm.run(&["lint", "--strict", &helm.chart(chart)], &[])
            .await?;
    }
    Ok(())
}

#[tokio::test]
async fn values_that_would_do_nothing_are_refused() -> Result<()> {
    let helm = helm().await?;
    for (value, message) in [
        ("metrics.secure=true", "does not serve metrics over TLS yet"),
        (
            "replicaCount=2,leaderElection.enabled=false",
            "needs leaderElection.enabled",
        ),
        (
            "metrics.enabled=false,metrics.serviceMonitor.enabled=true",
            "needs metrics.enabled",
        ),
        ("otlp.endpoint=https://collector:4317", "without TLS"),
        (
            "serviceAccount.create=false",
            "serviceAccount.name is needed",
        ),
        ("watchNamespaces={Prod}", "/watchNamespaces/0"),
        ("replicas=2", "'replicas' not allowed"),
        ("image.registry=x", "'registry' not allowed"),
        ("crds.enabled=true", "'enabled' not allowed"),
        ("concurrency=0", "/concurrency"),
        ("image.digest=abc", "/image/digest"),
    ] {
        let output = helm.template_output(&["--set", value]).await?;
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(
            !output.status.success() && said.contains(message),
            "{value}: {said}"
        );
    }
    Ok(())
}

#[tokio::test]
async fn names_of_values_that_the_go_operator_had_are_known() -> Result<()> {
    rendered(&[
        "replicaCount=1",
        "image.repository=r,image.pullPolicy=Always,image.tag=t",
        "imagePullSecrets[0].name=s",
        "serviceAccount.create=true,serviceAccount.annotations.a=b,serviceAccount.name=n",
        "resources.limits.cpu=1",
        "livenessProbe.periodSeconds=1,readinessProbe.periodSeconds=1",
        "nodeSelector.a=b,tolerations[0].operator=Exists",
        "leaderElection.enabled=true",
        "metrics.enabled=true,metrics.secure=false,metrics.serviceMonitor.enabled=true,metrics.serviceMonitor.interval=10s",
        "networkPolicy.enabled=true",
        "crds.install=true,crds.keep=true",
    ])
    .await
    .map(drop)
}

/// What belongs to no namespace cannot be granted in one.
const OF_NO_NAMESPACE: &[&str] = &[
    "ingressclasses",
    "customresourcedefinitions",
    "paperclipclusterdefaults",
    "paperclipclusterdefaults/status",
];

#[tokio::test]
async fn an_operator_for_some_namespaces_has_the_same_rights_there_and_none_elsewhere() -> Result<()>
{
    let everywhere = rendered(&[]).await?;
    let some = rendered(&["watchNamespaces={one,two}"]).await?;
    assert_eq!(of_kind(&some, "ClusterRole"), Vec::<&Value>::new());
    assert_eq!(of_kind(&some, "ClusterRoleBinding"), Vec::<&Value>::new());

    let own = |all: &[Value]| {
        let roles = of_kind(all, "ClusterRole").into_iter().cloned();
        roles
            .filter(|role| role["metadata"]["name"] == manifests::RELEASE)
            .map(|role| role["rules"].clone())
            .next()
    };
    let mut rules = own(&everywhere).context("no ClusterRole of the operator")?;
    if let Some(all) = rules.as_array_mut() {
        all.retain(|rule| {
            !OF_NO_NAMESPACE
                .iter()
                .any(|r| rule["resources"] == json!([r]))
        });
    }
    for namespace in ["one", "two"] {
        let here: Vec<_> = of_kind(&some, "Role")
            .into_iter()
            .filter(|role| role["metadata"]["namespace"] == namespace)
            .collect();
        assert!(here.len() == 1 && here[0]["rules"] == rules, "{here:?}");
        let bound = of_kind(&some, "RoleBinding")
            .into_iter()
            .filter(|binding| binding["metadata"]["namespace"] == namespace)
            .count();
        assert_eq!(bound, 1);
    }
    let arguments = deployment(&some)?["spec"]["template"]["spec"]["containers"][0]["args"].clone();
    assert!(
        arguments
            .as_array()
            .is_some_and(|all| all.contains(&json!("--watch-namespaces=one,two"))),
        "{arguments}"
    );
    Ok(())
}

#[tokio::test]
async fn no_choice_of_values_grants_what_must_never_be() -> Result<()> {
    let helm = helm().await?;
    for values in [
        "leaderElection.enabled=true",
        "rbac.features.gateway=false,rbac.features.monitoring=false",
        "watchNamespaces={one,two}",
        "replicaCount=3,metrics.serviceMonitor.enabled=true,networkPolicy.enabled=true,otlp.endpoint=http://c:4317",
    ] {
        let without = ["--set", "crds.install=false", "--set", values];
        let text = helm.template(&without).await?;
        assert!(rights::rules(&text)?.len() > 10, "{values}");
        assert_eq!(rights::problems(&text)?, Vec::<String>::new(), "{values}");
    }
    Ok(())
}

#[tokio::test]
async fn more_than_one_replica_is_kept_apart_and_not_drained_at_once() -> Result<()> {
    let one = rendered(&[]).await?;
    assert_eq!(of_kind(&one, "PodDisruptionBudget").len(), 0);
    let two = rendered(&["replicaCount=2"]).await?;
    let budget = of_kind(&two, "PodDisruptionBudget");
    assert!(
        budget.len() == 1 && budget[0]["spec"]["maxUnavailable"] == 1,
        "{budget:?}"
    );
    let pod = &deployment(&two)?["spec"]["template"];
    let term = &pod["spec"]["affinity"]["podAntiAffinity"]["preferredDuringSchedulingIgnoredDuringExecution"]
        [0]["podAffinityTerm"];
    assert_eq!(
        term["labelSelector"]["matchLabels"],
        pod["metadata"]["labels"]
    );
    assert_eq!(
        budget[0]["spec"]["selector"]["matchLabels"],
        pod["metadata"]["labels"]
    );
    Ok(())
}

#[tokio::test]
async fn without_a_lease_two_operators_never_overlap() -> Result<()> {
    let all = rendered(&["leaderElection.enabled=false"]).await?;
    assert_eq!(deployment(&all)?["spec"]["strategy"]["type"], "Recreate");
    assert!(
        !of_kind(&all, "Role")
            .iter()
            .any(|role| { role["rules"].to_string().contains("leases") })
    );
    Ok(())
}

#[tokio::test]
async fn the_agent_is_of_the_same_image_as_the_operator() -> Result<()> {
    let digest = format!("sha256:{}", "a".repeat(64));
    for (value, wanted) in [
        (
            "image.tag=1.2.3".to_owned(),
            "example.org/x:1.2.3".to_owned(),
        ),
        (
            format!("image.tag=1.2.3,image.digest={digest}"),
            format!("example.org/x@{digest}"),
        ),
    ] {
        let all = rendered(&["image.repository=example.org/x", &value]).await?;
        let container = &deployment(&all)?["spec"]["template"]["spec"]["containers"][0];
        assert_eq!(container["image"], *wanted);
        assert!(
            container["args"]
                .as_array()
                .is_some_and(|all| all.contains(&json!(format!("--agent-image={wanted}")))),
            "{}",
            container["args"]
        );
    }
    Ok(())
}

#[tokio::test]
async fn the_operators_network_policy_lets_out_what_it_talks_to() -> Result<()> {
    let all = rendered(&[
        "networkPolicy.enabled=true",
        "networkPolicy.apiServerPorts={6443}",
        "otlp.endpoint=http://collector.tracing:14317",
    ])
    .await?;
    let policy = of_kind(&all, "NetworkPolicy");
    let egress = policy[0]["spec"]["egress"].to_string();
    for port in ["\"port\":53", "\"port\":6443", "\"port\":14317"] {
        assert!(egress.contains(port), "{egress}");
    }
    assert!(
        !egress.contains("\"port\":443,") && !egress.contains("\"port\":443}"),
        "{egress}"
    );
    Ok(())
}

#[tokio::test]
async fn definitions_outlive_the_release_unless_asked_otherwise() -> Result<()> {
    for (value, kept) in [
        ("crds.keep=true", json!("keep")),
        ("crds.keep=false", Value::Null),
    ] {
        let all = rendered(&[value]).await?;
        let definitions = of_kind(&all, "CustomResourceDefinition");
        assert_eq!(definitions.len(), 7);
        for definition in definitions {
            assert_eq!(
                definition["metadata"]["annotations"]["helm.sh/resource-policy"], kept,
                "{}",
                definition["metadata"]["name"]
            );
        }
    }
    let without = rendered(&["crds.install=false"]).await?;
    assert_eq!(of_kind(&without, "CustomResourceDefinition").len(), 0);
    Ok(())
}
