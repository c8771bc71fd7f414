//! New definitions over old objects.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use kube::ResourceExt;
use kube::api::{DeleteParams, ListParams, Patch, PatchParams, PostParams};
use paperclip_e2e::cluster::Tier;
use paperclip_e2e::harness::{Cluster, wait_for, workspace};
use serde_json::{Value, json};

use super::{dry_run, inputs, object, objects, says};

/// A definition that lets everything pass, as an early one may have been.
fn without_rules(definition: &str) -> Result<String> {
    let mut definition: Value = serde_json::from_str(definition)?;
    let anything = json!({"type": "object", "x-kubernetes-preserve-unknown-fields": true});
    definition["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"] = anything;
    definition["metadata"] = json!({"name": definition["metadata"]["name"]});
    if let Some(object) = definition.as_object_mut() {
        object.remove("status");
    }
    Ok(definition.to_string())
}

/// Rules come with an update of the definitions. Whoever has broken one before must be able to go on: else the operator could neither
/// report on his object nor let it go. Needs a cluster of its own, because it replaces a definition.
#[tokio::test]
async fn an_object_that_breaks_every_rule_can_still_be_changed_and_deleted() -> Result<()> {
    let cluster = Cluster::start(Tier::Api).await?;
    // Like a user, not by server-side apply: kubectl keeps the whole definition in an annotation.
    let folder = workspace().join("deploy/crds");
    let folder = folder.to_string_lossy();
    cluster.kubectl(&["apply", "-f", &folder]).await?;
    let established = [
        "wait",
        "--for=condition=Established",
        "--timeout=60s",
        "-f",
        &folder,
    ];
    cluster.kubectl(&established).await?;

    let definition = cluster
        .kubectl(&["get", "crd", "instances.paperclip.inc", "-o", "json"])
        .await?;
    cluster
        .apply_yaml("default", &without_rules(&definition)?)
        .await?;
    let api = objects(&cluster.client().await?, "default", "Instance");
    let broken = object("Instance", "broken", &inputs::broken()?);
    wait_for("the rules to go", Duration::from_secs(30), async || {
        Ok(api.create(&PostParams::default(), &broken).await.ok())
    })
    .await?;
    cluster.kubectl(&["apply", "-f", &folder]).await?;
    wait_for(
        "the rules to come back",
        Duration::from_secs(30),
        async || {
            Ok(api
                .create(&dry_run(), &object("Instance", "probe", &inputs::broken()?))
                .await
                .err())
        },
    )
    .await?;

    let change = async |what: &str, patch: Value| {
        let patch = Patch::Merge(patch);
        let changed = api.patch("broken", &PatchParams::default(), &patch).await;
        changed.with_context(|| format!("cannot change {what}"))
    };
    change(
        "the finalizers",
        json!({"metadata": {"finalizers": ["paperclip.inc/finalizer"]}}),
    )
    .await?;
    change(
        "an annotation",
        json!({"metadata": {"annotations": {"paperclip.inc/reconcile": "disabled"}}}),
    )
    .await?;
    change("another field", json!({"spec": {"suspended": true}})).await?;
    change(
        "another section",
        json!({"spec": {"privacy": {"telemetry": true}}}),
    )
    .await?;
    let status = Patch::Merge(json!({"status": {"phase": "Failed", "observedGeneration": 1}}));
    api.patch_status("broken", &PatchParams::default(), &status)
        .await
        .context("cannot write the status")?;
    // What is repaired stays repaired.
    change(
        "what is wrong",
        json!({"spec": {"tailscale": {"enabled": false}}}),
    )
    .await?;
    let again = Patch::Merge(json!({"spec": {"tailscale": {"enabled": true}}}));
    let answer = api.patch("broken", &PatchParams::default(), &again).await;
    says(
        answer,
        "spec.tailscale",
        "tailscale.authKey is required when tailscale.enabled is true",
    )?;
    api.delete("broken", &DeleteParams::default()).await?;
    change(
        "the finalizers at the end",
        json!({"metadata": {"finalizers": null}}),
    )
    .await?;
    let left = api.list(&ListParams::default()).await?;
    ensure!(
        left.items.is_empty(),
        "{:?} is left",
        left.items
            .iter()
            .map(ResourceExt::name_any)
            .collect::<Vec<_>>()
    );
    Ok(())
}
