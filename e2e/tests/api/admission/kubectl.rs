//! What a person sees with kubectl.

use anyhow::{Context as _, Result, ensure};
use paperclip_e2e::harness::Cluster;
use serde_json::{Value, json};

use super::KINDS;

#[tokio::test]
async fn fields_that_nobody_knows_are_named_or_dropped() -> Result<()> {
    let cluster = Cluster::api().await?;
    cluster.install_definitions().await?;
    let namespace = cluster.namespace("unknown").await?;
    let manifest = "apiVersion: paperclip.inc/v1alpha1\nkind: Instance\nmetadata: {name: old}\n\
                    spec: {redis: {mode: managed}, auth: {secretRef: {name: a, key: b, namespace: other}}}";
    let arguments = [
        "--namespace",
        &namespace.name,
        "create",
        "--dry-run=server",
        "-o",
        "json",
        "-f",
        "-",
    ];
    let strict = cluster.kubectl_output(&arguments, Some(manifest)).await?;
    let told = String::from_utf8_lossy(&strict.stderr).into_owned();
    ensure!(!strict.status.success(), "accepted");
    ensure!(told.contains(r#"unknown field "spec.redis""#), "{told}");
    ensure!(
        told.contains(r#"unknown field "spec.auth.secretRef.namespace""#),
        "{told}"
    );
    let arguments = [&arguments[..], &["--validate=ignore"]].concat();
    let lenient = cluster.kubectl_output(&arguments, Some(manifest)).await?;
    let stored: Value = serde_json::from_slice(&lenient.stdout)?;
    ensure!(stored["spec"]["redis"].is_null(), "{stored}");
    ensure!(
        stored["spec"]["auth"]["secretRef"] == json!({"name": "a", "key": "b"}),
        "{stored}"
    );
    Ok(())
}

#[tokio::test]
async fn kubectl_scales_explains_and_lists() -> Result<()> {
    let cluster = Cluster::api().await?;
    cluster.install_definitions().await?;
    let namespace = cluster.namespace("kubectl").await?;
    namespace
        .apply(
            "apiVersion: paperclip.inc/v1alpha1\nkind: Instance\nmetadata: {name: small}\nspec: {}",
        )
        .await?;
    namespace
        .kubectl(&["scale", "instance/small", "--replicas=3"])
        .await?;
    let replicas = namespace
        .kubectl(&[
            "get",
            "pci",
            "small",
            "-o",
            "jsonpath={.spec.availability.replicas}",
        ])
        .await?;
    ensure!(replicas == "3", "{replicas}");
    let refused = namespace
        .kubectl(&["scale", "instance/small", "--replicas=0"])
        .await;
    let told = format!("{:#}", refused.err().context("scaled to none")?);
    ensure!(
        told.contains("should be greater than or equal to 1"),
        "{told}"
    );

    let columns = namespace.kubectl(&["get", "pci"]).await?;
    let header: Vec<&str> = columns
        .lines()
        .next()
        .unwrap_or_default()
        .split_whitespace()
        .collect();
    ensure!(
        header == ["NAME", "PHASE", "READY", "VERSION", "ENDPOINT", "AGE"],
        "{header:?}"
    );
    let wide = namespace.kubectl(&["get", "pci", "-o", "wide"]).await?;
    ensure!(
        wide.contains("SUMMARY") && wide.contains("BACKUP"),
        "{wide}"
    );
    let all = namespace.kubectl(&["get", "paperclip"]).await?;
    ensure!(all.contains("instance.paperclip.inc/small"), "{all}");

    let text = cluster
        .kubectl(&["explain", "instance.spec.database"])
        .await?;
    for part in [
        "mode\t<string>",
        "enum: managed, external, embedded",
        "externalURLSecretRef\t<Object>",
        "Default `managed`",
        "managed\t<Object>",
    ] {
        ensure!(text.contains(part), "no {part:?} in:\n{text}");
    }
    for (_, plural) in KINDS {
        let text = cluster
            .kubectl(&["explain", "--recursive", &format!("{plural}.spec")])
            .await?;
        ensure!(text.contains("FIELDS:"), "{text}");
    }
    Ok(())
}
