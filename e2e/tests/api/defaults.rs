//! An admin's defaults on a real API server: what Instances get, when, and what is never touched.

use anyhow::Result;
use kube::Api;
use kube::api::{ApiResource, DynamicObject, Patch, PatchParams, PostParams};
use paperclip_e2e::cluster::Tier;
use paperclip_e2e::harness::{Cluster, until, wait_for};
use serde_json::{Value, json};

use crate::given::{Given, SOON, condition};

fn defaults(given: &Given<'_>) -> Api<DynamicObject> {
    let kind = ApiResource {
        group: "paperclip.inc".to_owned(),
        version: "v1alpha1".to_owned(),
        api_version: "paperclip.inc/v1alpha1".to_owned(),
        kind: "PaperclipClusterDefaults".to_owned(),
        plural: "paperclipclusterdefaults".to_owned(),
    };
    Api::all_with(given.client.clone(), &kind)
}

async fn create(given: &Given<'_>, name: &str, spec: Value) -> Result<()> {
    let object = json!({"apiVersion": "paperclip.inc/v1alpha1", "kind": "PaperclipClusterDefaults",
        "metadata": {"name": name}, "spec": spec});
    let object = serde_json::from_value(object)?;
    defaults(given)
        .create(&PostParams::default(), &object)
        .await?;
    Ok(())
}

async fn until_ready(given: &Given<'_>, name: &str, expected: &str) -> Result<DynamicObject> {
    let what = format!("has Ready={expected}");
    until(&defaults(given), name, &what, SOON, |object| {
        condition(object, "Ready") == expected
    })
    .await
}

/// Paths that came from the admin.
fn given_to(object: &DynamicObject) -> Vec<String> {
    let all = object.data["status"]["effectiveDefaults"].as_array();
    let paths = all.into_iter().flatten().filter_map(|d| d["path"].as_str());
    paths.map(str::to_owned).collect()
}

#[tokio::test]
async fn an_admin_fills_gaps_and_a_change_reaches_every_instance() -> Result<()> {
    let cluster = Cluster::start(Tier::Api).await?;
    let mut given = Given::everywhere(&cluster, "defaults").await?;
    let sets = given.objects("apps/v1", "StatefulSet", "statefulsets");
    create(&given, "other", json!({"image": {"tag": "9"}})).await?;
    until_ready(&given, "other", "False/InvalidName").await?;
    create(
        &given,
        "cluster",
        json!({"image": {"repository": "mirror.example.com/p", "tag": "7"}, "env": [{"name": "HTTPS_PROXY", "value": "http://proxy"}]}),
    )
    .await?;
    until_ready(&given, "cluster", "True/Singleton").await?;
    given.create("silent", json!({})).await?;
    given.create("own", json!({"image": {"tag": "8"}})).await?;
    for name in ["silent", "own"] {
        given.until(name, "Ready", "True/AllResourcesReady").await?;
    }
    let image = async |name: &str| -> Result<Value> {
        let set = sets.get(name).await?;
        Ok(set.data["spec"]["template"]["spec"]["containers"][0]["image"].clone())
    };
    assert_eq!(image("silent").await?, "mirror.example.com/p:7");
    assert_eq!(image("own").await?, "mirror.example.com/p:8");
    let silent = given.instances().get("silent").await?;
    assert_eq!(
        given_to(&silent),
        ["image.repository", "image.tag", "env[HTTPS_PROXY]"].map(str::to_owned)
    );
    assert!(
        silent.data["spec"]["image"].is_null(),
        "nothing is written into an Instance"
    );
    given.is_at_rest("silent").await?;
    given.operator.restart().await?;
    given.is_at_rest("silent").await?;

    let change = json!({"spec": {"image": {"tag": "10"}}});
    defaults(&given)
        .patch("cluster", &PatchParams::default(), &Patch::Merge(change))
        .await?;
    wait_for("the new image", SOON, async || {
        Ok((image("silent").await? == "mirror.example.com/p:10").then_some(()))
    })
    .await?;
    assert_eq!(image("own").await?, "mirror.example.com/p:8");

    // A database that is there stays what it is.
    let change = json!({"spec": {"databaseMode": "embedded", "storageClass": "other"}});
    defaults(&given)
        .patch("cluster", &PatchParams::default(), &Patch::Merge(change))
        .await?;
    given.create("late", json!({})).await?;
    let late = wait_for("the late one's defaults", SOON, async || {
        let object = given.instances().get("late").await?;
        Ok(given_to(&object)
            .contains(&"database.mode".to_owned())
            .then_some(object))
    })
    .await?;
    assert!(given_to(&late).contains(&"storage.persistence.storageClass".to_owned()));
    let silent = given.instances().get("silent").await?;
    assert!(
        !given_to(&silent)
            .iter()
            .any(|p| p.contains("storageClass") || p == "database.mode")
    );
    let databases = given.objects(
        "paperclip.inc/v1alpha1",
        "PaperclipDatabase",
        "paperclipdatabases",
    );
    assert!(databases.get_opt("silent").await?.is_some());

    defaults(&given)
        .delete("cluster", &kube::api::DeleteParams::default())
        .await?;
    wait_for("the defaults to go", SOON, async || {
        let object = given.instances().get("silent").await?;
        Ok(given_to(&object).is_empty().then_some(()))
    })
    .await?;
    wait_for("the own image's registry", SOON, async || {
        Ok((image("own").await? == "ghcr.io/paperclipai/paperclip:8").then_some(()))
    })
    .await?;
    Ok(())
}
