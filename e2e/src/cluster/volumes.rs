//! Plays a storage driver for the class `standard`: binds claims to `local` volumes (kubelet applies fsGroup to those, which it
//! does not do for host paths), grows them, removes what was released. Never touches a volume that it did not make, and honours
//! a volume's reclaim policy.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, Result};
use futures::{Stream, StreamExt as _};
use k8s_openapi::api::core::v1::{PersistentVolume, PersistentVolumeClaim};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use kube::api::{DeleteParams, Patch, PatchParams, PostParams};
use kube::runtime::{WatchStreamExt as _, watcher};
use kube::{Api, Client, ResourceExt as _};
use serde_json::json;

use crate::cache::remove_tree;
use crate::system::say;

/// Name of the driver in the storage class.
pub const PROVISIONER: &str = "paperclip-e2e/local";
const PROVISIONED_BY: &str = "pv.kubernetes.io/provisioned-by";

/// Serves claims until the process ends. Failures are told and tried again with the next event or listing.
pub async fn run(client: Client, folder: PathBuf) {
    let claims = events(Api::<PersistentVolumeClaim>::all(client.clone())).for_each_concurrent(
        16,
        |claim| {
            let (client, folder) = (client.clone(), folder.clone());
            async move { tell(&claim.name_any(), serve(&client, &folder, &claim).await) }
        },
    );
    let volumes =
        events(Api::<PersistentVolume>::all(client.clone())).for_each_concurrent(16, |volume| {
            let (client, folder) = (client.clone(), folder.clone());
            async move { tell(&volume.name_any(), reclaim(&client, &folder, &volume).await) }
        });
    futures::join!(claims, volumes);
}

fn events<K>(api: Api<K>) -> impl Stream<Item = K>
where
    K: kube::Resource + Clone + std::fmt::Debug + Send + for<'a> serde::Deserialize<'a> + 'static,
{
    watcher(api, watcher::Config::default())
        .default_backoff()
        .applied_objects()
        .filter_map(async |event| event.ok())
}

fn tell(name: &str, result: Result<()>) {
    if let Err(error) = result {
        say(&format!("volume of {name}: {error:#}"));
    }
}

async fn serve(client: &Client, folder: &Path, claim: &PersistentVolumeClaim) -> Result<()> {
    let (spec, status) = (
        claim.spec.clone().unwrap_or_default(),
        claim.status.clone().unwrap_or_default(),
    );
    if spec.storage_class_name.as_deref() != Some("standard")
        || claim.metadata.deletion_timestamp.is_some()
    {
        return Ok(());
    }
    let size = |list: Option<std::collections::BTreeMap<String, Quantity>>| {
        list.and_then(|mut list| list.remove("storage"))
    };
    let wanted = size(spec.resources.and_then(|resources| resources.requests))
        .context("a claim without a size")?;
    match status.phase.as_deref() {
        Some("Bound") if size(status.capacity) != Some(wanted.clone()) => {
            grow(
                client,
                claim,
                spec.volume_name.as_deref().context("bound to nothing")?,
                &wanted,
            )
            .await
        }
        Some("Pending") if spec.volume_name.is_none() => {
            provision(client, folder, claim, &wanted).await
        }
        _ => Ok(()),
    }
}

async fn provision(
    client: &Client,
    folder: &Path,
    claim: &PersistentVolumeClaim,
    size: &Quantity,
) -> Result<()> {
    let name = format!("pvc-{}", claim.uid().context("a claim has a uid")?);
    let path = folder.join(&name);
    std::fs::create_dir_all(&path)?;
    let volume: PersistentVolume = serde_json::from_value(json!({
        "metadata": {"name": name, "annotations": {PROVISIONED_BY: PROVISIONER}},
        "spec": {
            "capacity": {"storage": size},
            "accessModes": claim.spec.as_ref().and_then(|spec| spec.access_modes.clone()),
            "claimRef": {
                "apiVersion": "v1", "kind": "PersistentVolumeClaim",
                "namespace": claim.namespace(), "name": claim.name_any(), "uid": claim.uid(),
            },
            "local": {"path": path},
            "nodeAffinity": {"required": {"nodeSelectorTerms": [{"matchExpressions": [
                {"key": "kubernetes.io/hostname", "operator": "In", "values": ["n1"]},
            ]}]}},
            "persistentVolumeReclaimPolicy": "Delete",
            "storageClassName": "standard",
        },
    }))?;
    match Api::all(client.clone())
        .create(&PostParams::default(), &volume)
        .await
    {
        Err(kube::Error::Api(error)) if error.code == 409 => Ok(()), // made at an earlier event of the same claim
        result => result.map(drop).context("cannot create the volume"),
    }
}

async fn grow(
    client: &Client,
    claim: &PersistentVolumeClaim,
    volume: &str,
    size: &Quantity,
) -> Result<()> {
    let api: Api<PersistentVolume> = Api::all(client.clone());
    let ours = api
        .get(volume)
        .await?
        .annotations()
        .get(PROVISIONED_BY)
        .is_some_and(|by| by == PROVISIONER);
    if !ours {
        return Ok(());
    }
    let params = PatchParams::default();
    api.patch(
        volume,
        &params,
        &Patch::Merge(json!({"spec": {"capacity": {"storage": size}}})),
    )
    .await?;
    let claims: Api<PersistentVolumeClaim> =
        Api::namespaced(client.clone(), &claim.namespace().unwrap_or_default());
    let capacity = json!({"status": {"capacity": {"storage": size}}});
    claims
        .patch_status(&claim.name_any(), &params, &Patch::Merge(capacity))
        .await?;
    Ok(())
}

async fn reclaim(client: &Client, folder: &Path, volume: &PersistentVolume) -> Result<()> {
    let ours = volume
        .annotations()
        .get(PROVISIONED_BY)
        .is_some_and(|by| by == PROVISIONER);
    let released = volume
        .status
        .as_ref()
        .and_then(|status| status.phase.as_deref())
        == Some("Released");
    let policy = volume
        .spec
        .as_ref()
        .and_then(|spec| spec.persistent_volume_reclaim_policy.as_deref());
    if !ours
        || !released
        || policy != Some("Delete")
        || volume.metadata.deletion_timestamp.is_some()
    {
        return Ok(());
    }
    let name = volume.name_any();
    match Api::<PersistentVolume>::all(client.clone())
        .delete(&name, &DeleteParams::default())
        .await
    {
        Err(kube::Error::Api(error)) if error.code == 404 => {}
        result => drop(result?),
    }
    // Give kubelet a moment to let go of the folder.
    tokio::time::sleep(Duration::from_millis(500)).await;
    remove_tree(&folder.join(&name))
}
