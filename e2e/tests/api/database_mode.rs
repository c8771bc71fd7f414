//! `database.mode` changes while there are data: the database is replaced, and no data go.

use anyhow::{Result, ensure};
use kube::api::{DynamicObject, PostParams};
use paperclip_e2e::harness::{Cluster, wait_for};
use serde_json::{Value, json};

use crate::given::{Given, SOON};

const DATA: [(&str, &str); 3] = [
    ("persistentvolumeclaims", "shop-db-data"),
    ("secrets", "shop-db-credentials"),
    ("secrets", "shop-db-app"),
];

/// Uids of what holds data. None of it goes with another object, or is going.
async fn data(given: &Given<'_>) -> Result<Vec<String>> {
    let mut uids = vec![];
    for (plural, name) in DATA {
        let kind = if plural == "secrets" {
            "Secret"
        } else {
            "PersistentVolumeClaim"
        };
        let object = given.objects("v1", kind, plural).get(name).await?;
        let meta = &object.metadata;
        ensure!(
            meta.deletion_timestamp.is_none() && meta.owner_references.is_none(),
            "{name} goes: {meta:?}"
        );
        uids.push(meta.uid.clone().unwrap_or_default());
    }
    Ok(uids)
}

/// Waits until the server runs with a database of this engine; `None`: with one in its pod.
async fn serves_with(given: &Given<'_>, engine: Option<&str>) -> Result<()> {
    let children = given.objects(
        "paperclip.inc/v1alpha1",
        "PaperclipDatabase",
        "paperclipdatabases",
    );
    wait_for(&format!("to serve with {engine:?}"), SOON, async || {
        let child = children.get_opt("shop").await?;
        let has = |c: &DynamicObject| c.data["spec"]["engine"].as_str().map(str::to_owned);
        let object = given.instances().get("shop").await?;
        ensure!(
            object.data["status"]["phase"] == "Running"
                && object.data["status"]["observedGeneration"].as_i64()
                    == object.metadata.generation
                && child.is_some() == engine.is_some()
                && child.as_ref().and_then(has).as_deref() == engine,
            "{} {:?}",
            object.data["status"]["summary"],
            child.map(|c| c.data)
        );
        Ok(Some(()))
    })
    .await
}

async fn goes_to(given: &Given<'_>, database: Value, engine: Option<&str>) -> Result<()> {
    given.change("shop", json!({"database": database})).await?;
    serves_with(given, engine).await
}

#[tokio::test]
async fn a_change_of_mode_keeps_the_data_although_the_instance_takes_them_with_it() -> Result<()> {
    let cluster = Cluster::api().await?;
    let given = Given::here(cluster, "modes").await?;
    let secret = json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "mine"},
        "stringData": {"url": "postgres://u:p@db.example.com:5432/paperclip?sslmode=require"}});
    given
        .objects("v1", "Secret", "secrets")
        .create(&PostParams::default(), &serde_json::from_value(secret)?)
        .await?;
    given
        .create("shop", json!({"deletionPolicy": "Delete"}))
        .await?;
    serves_with(&given, Some("Managed")).await?;
    let before = data(&given).await?;

    let external =
        json!({"mode": "external", "externalURLSecretRef": {"name": "mine", "key": "url"}});
    goes_to(&given, external, Some("External")).await?;
    assert_eq!(data(&given).await?, before);
    assert_eq!(
        given.event("shop", "DatabaseModeChanged").await?,
        "the server goes from a managed database to an external database: no data are moved, and those of before are kept"
    );

    let managed = json!({"mode": "managed", "externalURLSecretRef": null});
    goes_to(&given, managed, Some("Managed")).await?;
    assert_eq!(data(&given).await?, before);

    goes_to(&given, json!({"mode": "embedded"}), None).await?;
    assert_eq!(data(&given).await?, before);
    goes_to(&given, json!({"mode": "managed"}), Some("Managed")).await?;
    assert_eq!(data(&given).await?, before);
    given.is_at_rest("shop").await?;

    // That is about the end of the Instance, and holds then.
    given
        .instances()
        .delete("shop", &kube::api::DeleteParams::default())
        .await?;
    let claims = given.objects("v1", "PersistentVolumeClaim", "persistentvolumeclaims");
    given.is_gone(&claims, "shop-db-data").await
}
