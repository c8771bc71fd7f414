//! Restores and last backups against a real API server: who is stopped when, what is refused, and what a deletion waits for. Nothing runs on
//! this tier, so no Job says that it did anything; that something comes back is seen on the node tier.

use std::time::Duration;

use anyhow::{Result, ensure};
use k8s_openapi::api::apps::v1::StatefulSet;
use k8s_openapi::api::batch::v1::Job;
use kube::api::{ApiResource, DynamicObject, ListParams, Patch, PatchParams, PostParams};
use kube::{Api, Client, ResourceExt as _};
use paperclip_e2e::harness::{Cluster, Namespace, Operator, OperatorOptions, until, wait_for};
use serde_json::{Value, json};

const SECOND: Duration = Duration::from_secs(1);

struct Test<'a> {
    client: Client,
    namespace: Namespace<'a>,
    _operator: Operator<'a>,
}

impl Test<'_> {
    async fn start(name: &str) -> Result<Test<'static>> {
        let cluster = Cluster::api().await?;
        let namespace = cluster.namespace(name).await?;
        let operator = cluster
            .operator(OperatorOptions::for_namespace(&namespace.name))
            .await?;
        let keys = "{apiVersion: v1, kind: Secret, metadata: {name: s3}, stringData: {AWS_ACCESS_KEY_ID: i, AWS_SECRET_ACCESS_KEY: s}}";
        namespace.apply(keys).await?;
        Ok(Test {
            client: cluster.client().await?,
            namespace,
            _operator: operator,
        })
    }

    fn kind(&self, kind: &str, plural: &str) -> Api<DynamicObject> {
        let kind = ApiResource {
            group: "paperclip.inc".to_owned(),
            version: "v1alpha1".to_owned(),
            api_version: "paperclip.inc/v1alpha1".to_owned(),
            kind: kind.to_owned(),
            plural: plural.to_owned(),
        };
        Api::namespaced_with(self.client.clone(), &self.namespace.name, &kind)
    }

    fn instances(&self) -> Api<DynamicObject> {
        self.kind("Instance", "instances")
    }

    fn backups(&self) -> Api<DynamicObject> {
        self.kind("PaperclipBackup", "paperclipbackups")
    }

    fn restores(&self) -> Api<DynamicObject> {
        self.kind("PaperclipRestore", "papercliprestores")
    }

    /// An Instance `shop` with a place for backups.
    async fn shop(&self, more: Value) -> Result<()> {
        let mut spec = json!({
            "image": {"tag": "2026.916.1"},
            "backup": {"s3": {"bucket": "safe", "endpoint": "http://minio:9000", "credentialsSecretRef": {"name": "s3"}}},
        });
        if let (Some(all), Some(more)) = (spec.as_object_mut(), more.as_object()) {
            all.extend(more.clone());
        }
        let instance = json!({"apiVersion": "paperclip.inc/v1alpha1", "kind": "Instance", "metadata": {"name": "shop"}, "spec": spec});
        self.instances()
            .create(&PostParams::default(), &serde_json::from_value(instance)?)
            .await?;
        Ok(())
    }

    async fn until_phase(&self, phase: &str) -> Result<DynamicObject> {
        let what = format!("is {phase}");
        until(&self.instances(), "shop", &what, 60 * SECOND, |object| {
            object.data["status"]["phase"] == phase
        })
        .await
    }

    async fn create(
        &self,
        api: Api<DynamicObject>,
        kind: &str,
        name: &str,
        spec: Value,
    ) -> Result<DynamicObject> {
        let object = json!({"apiVersion": "paperclip.inc/v1alpha1", "kind": kind, "metadata": {"name": name}, "spec": spec});
        Ok(api
            .create(&PostParams::default(), &serde_json::from_value(object)?)
            .await?)
    }

    async fn replicas(&self) -> Result<Option<i32>> {
        let sets: Api<StatefulSet> = Api::namespaced(self.client.clone(), &self.namespace.name);
        let set = sets.get_opt("shop").await?;
        Ok(set.and_then(|set| set.spec.replicas))
    }

    async fn merge(&self, patch: Value) -> Result<()> {
        self.instances()
            .patch("shop", &PatchParams::default(), &Patch::Merge(patch))
            .await?;
        Ok(())
    }
}

/// `Status/Reason` of a condition, empty if it is absent.
fn condition(object: &DynamicObject, kind: &str) -> String {
    let conditions = object.data["status"]["conditions"].as_array();
    let mut all = conditions.into_iter().flatten();
    all.find(|c| c["type"] == kind)
        .map_or_else(String::new, |c| {
            let text = |name: &str| c[name].as_str().unwrap_or_default();
            format!("{}/{}", text("status"), text("reason"))
        })
}

#[tokio::test]
async fn data_are_not_replaced_by_mistake_and_a_failed_restore_gives_the_server_back() -> Result<()>
{
    let test = Test::start("restore-user").await?;
    test.shop(json!({})).await?;
    test.until_phase("Running").await?;
    let from = json!({"storage": {"s3": {"bucket": "other", "credentialsSecretRef": {"name": "s3"}}}, "latest": true});
    let spec = json!({"instanceRef": {"name": "shop"}, "from": from});
    test.create(
        test.restores(),
        "PaperclipRestore",
        "careless",
        spec.clone(),
    )
    .await?;
    let refused = until(
        &test.restores(),
        "careless",
        "is refused",
        30 * SECOND,
        |object| condition(object, "Accepted") == "False/ConfirmationMissing",
    )
    .await?;
    ensure!(
        refused.data["status"].to_string().contains("set confirm"),
        "{}",
        refused.data["status"]
    );
    ensure!(test.replicas().await? == Some(1), "the server was touched");

    let mut meant = spec;
    meant["confirm"] = "shop".into();
    meant["safetyBackup"] = false.into();
    test.create(test.restores(), "PaperclipRestore", "meant", meant)
        .await?;
    test.until_phase("Restoring").await?;
    // The Job begins only when no server is wanted any more; here it ends without a word.
    let jobs: Api<Job> = Api::namespaced(test.client.clone(), &test.namespace.name);
    let labelled = ListParams::default().labels("app.kubernetes.io/component=restore");
    wait_for("the Job", 60 * SECOND, async || {
        let made = !jobs.list(&labelled).await?.items.is_empty();
        if made {
            let ended = test.restores().get("meant").await?.data["status"]["phase"] == "Failed";
            let replicas = test.replicas().await?;
            ensure!(
                ended || replicas == Some(0),
                "{replicas:?} servers beside the Job"
            );
        }
        Ok(made.then_some(()))
    })
    .await?;
    let failed = until(
        &test.restores(),
        "meant",
        "has failed",
        60 * SECOND,
        |object| condition(object, "Failed") == "True/RestoreFailed",
    )
    .await?;
    ensure!(
        failed.data["status"]["phase"] == "Failed",
        "{}",
        failed.data["status"]
    );
    // The server is there again, and its Instance says what happened.
    let degraded = until(
        &test.instances(),
        "shop",
        "serves, and says what happened",
        60 * SECOND,
        |object| {
            condition(object, "Ready") == "True/AllResourcesReady"
                && object.data["status"]["phase"] == "Degraded"
        },
    )
    .await?;
    ensure!(
        condition(&degraded, "RestoreComplete") == "False/RestoreFailed",
        "{}",
        degraded.data["status"]
    );
    ensure!(
        degraded.data["status"]["restore"]["result"] == "Failed",
        "{}",
        degraded.data["status"]
    );
    ensure!(jobs.list(&labelled).await?.items.len() == 1, "a second Job");
    Ok(())
}

#[tokio::test]
async fn a_new_instance_does_not_start_empty_when_something_is_to_come_back() -> Result<()> {
    let test = Test::start("restore-from").await?;
    test.shop(json!({"restoreFrom": "2026-11-22"})).await?;
    let failed = test.until_phase("Failed").await?;
    ensure!(
        condition(&failed, "RestoreComplete") == "False/RestoreFailed",
        "{}",
        failed.data["status"]
    );
    ensure!(
        test.replicas().await?.unwrap_or(0) == 0,
        "a server has started"
    );
    let jobs: Api<Job> = Api::namespaced(test.client.clone(), &test.namespace.name);
    let jobs = jobs.list(&ListParams::default()).await?;
    ensure!(
        !jobs.iter().any(|job| job.name_any().contains("migrate")),
        "an empty database was migrated"
    );
    let restores = test.restores().list(&ListParams::default()).await?;
    let [restore] = restores.items.as_slice() else {
        anyhow::bail!("{} restores", restores.items.len());
    };
    ensure!(
        restore.data["spec"]["from"]["path"] == "2026-11-22",
        "{}",
        restore.data["spec"]
    );
    ensure!(
        restore.data["spec"]["confirm"] == "shop",
        "{}",
        restore.data["spec"]
    );

    // Nobody wants it any more: an empty one may start, and nothing of the restore is left.
    test.merge(json!({"spec": {"restoreFrom": null}})).await?;
    test.until_phase("Running").await?;
    wait_for("the restore to go", 30 * SECOND, async || {
        let left = test.restores().list(&ListParams::default()).await?;
        Ok(left.items.is_empty().then_some(()))
    })
    .await?;
    let silent = until(
        &test.instances(),
        "shop",
        "says nothing of a restore",
        30 * SECOND,
        |object| condition(object, "RestoreComplete").is_empty(),
    )
    .await?;
    ensure!(
        silent.data["status"]["phase"] == "Running",
        "{}",
        silent.data["status"]
    );
    Ok(())
}

#[tokio::test]
async fn a_deletion_waits_for_a_last_backup_until_a_person_gives_it_up() -> Result<()> {
    let test = Test::start("final-backup").await?;
    test.shop(json!({"deletionPolicy": "Delete"})).await?;
    test.until_phase("Running").await?;
    test.instances()
        .delete("shop", &kube::api::DeleteParams::default())
        .await?;
    let going = until(
        &test.instances(),
        "shop",
        "takes a last backup",
        60 * SECOND,
        |object| object.data["status"]["deletion"]["step"] == "FinalBackup",
    )
    .await?;
    ensure!(test.replicas().await? == Some(0), "the server still writes");
    let name = going.data["status"]["deletion"]["finalBackup"]
        .as_str()
        .unwrap_or_default()
        .to_owned();
    let backup = test.backups().get(&name).await?;
    ensure!(
        backup.data["spec"]["reason"] == "FinalSnapshot",
        "{}",
        backup.data["spec"]
    );
    ensure!(
        backup.owner_references().is_empty(),
        "the record would go with the Instance"
    );
    // It fails here, and the data are to go: so the deletion is held.
    until(
        &test.backups(),
        &name,
        "has failed",
        60 * SECOND,
        |object| object.data["status"]["phase"] == "Failed",
    )
    .await?;
    tokio::time::sleep(5 * SECOND).await;
    ensure!(
        test.instances().get_opt("shop").await?.is_some(),
        "it is gone without a copy"
    );

    test.merge(json!({"metadata": {"annotations": {"paperclip.inc/skip-final-backup": "true"}}}))
        .await?;
    wait_for("the Instance to go", 60 * SECOND, async || {
        Ok(test
            .instances()
            .get_opt("shop")
            .await?
            .is_none()
            .then_some(()))
    })
    .await?;
    ensure!(
        test.backups().get_opt(&name).await?.is_some(),
        "the record is gone"
    );
    Ok(())
}

#[tokio::test]
async fn what_nobody_needs_is_listed_beforehand_and_no_object_goes_without_the_agents_word()
-> Result<()> {
    let test = Test::start("retention").await?;
    test.shop(json!({})).await?;
    test.until_phase("Running").await?;
    let hour = (k8s_openapi::jiff::Timestamp::now().as_second() / 3600 + 12) % 24;
    let spec = json!({"instanceRef": {"name": "shop"}, "schedule": format!("17 {hour} * * *"), "retention": {"keepLast": 2}});
    let policy = test
        .create(test.backups(), "PaperclipBackup", "nightly", spec)
        .await?;
    let owner = json!([{"apiVersion": "paperclip.inc/v1alpha1", "kind": "PaperclipBackup", "name": "nightly",
        "uid": policy.uid(), "controller": true, "blockOwnerDeletion": true}]);
    let hands = |off: Value| {
        Patch::Merge(json!({"metadata": {"annotations": {"paperclip.inc/reconcile": off}}}))
    };
    let parameters = PatchParams::default();
    test.backups()
        .patch("nightly", &parameters, &hands(json!("disabled")))
        .await?;
    // As if they had been taken: what stands in their status is the agent's word.
    for day in 1..=4 {
        let name = format!("nightly-{day}");
        let object = json!({"apiVersion": "paperclip.inc/v1alpha1", "kind": "PaperclipBackup",
            "metadata": {"name": name, "ownerReferences": owner, "annotations": {"paperclip.inc/reconcile": "disabled"}},
            "spec": {"instanceRef": {"name": "shop"}, "reason": "Scheduled"}});
        test.backups()
            .create(&PostParams::default(), &serde_json::from_value(object)?)
            .await?;
        // What the operator says of it first.
        until(
            &test.backups(),
            &name,
            "is looked at",
            30 * SECOND,
            |object| object.data["status"]["phase"].is_string(),
        )
        .await?;
        let status = json!({"status": {"phase": "Complete", "completionTime": format!("2026-11-0{day}T02:00:00Z"),
            "artifact": {"location": format!("s3://safe/backups/shop/2026-11-0{day}T02:00:00Z/"), "sha256": "f".repeat(64), "bytes": 1}}});
        test.backups()
            .patch_status(&name, &PatchParams::default(), &Patch::Merge(status))
            .await?;
    }
    let seen = until(
        &test.backups(),
        "nightly",
        "lists what goes",
        60 * SECOND,
        |object| {
            object.data["status"]["nextPrune"] == json!(["nightly-1", "nightly-2", "nightly-3"])
        },
    )
    .await?;
    ensure!(
        seen.data["status"]["recoveryPoints"]["count"] == 4,
        "{}",
        seen.data["status"]
    );
    let jobs: Api<Job> = Api::namespaced(test.client.clone(), &test.namespace.name);
    let prunes = |jobs: &[Job]| {
        jobs.iter()
            .any(|job| job.name_any().starts_with("nightly-prune-"))
    };
    ensure!(
        !prunes(&jobs.list(&ListParams::default()).await?.items),
        "it is disabled"
    );
    test.backups()
        .patch("nightly", &parameters, &hands(Value::Null))
        .await?;
    let list = wait_for("the Job", 60 * SECOND, async || {
        let all = jobs.list(&ListParams::default()).await?;
        let found = all
            .iter()
            .find(|job| job.name_any().starts_with("nightly-prune-"));
        Ok(found.and_then(|job| {
            let pod = job.spec.as_ref()?.template.spec.as_ref()?;
            let env = pod.containers.first()?.env.clone()?;
            env.into_iter()
                .find(|e| e.name == "PAPERCLIP_AGENT_PRUNE")?
                .value
        }))
    })
    .await?;
    let list: Value = serde_json::from_str(&list)?;
    ensure!(list.as_array().map(Vec::len) == Some(2), "{list}");
    ensure!(
        list[0]["location"] == "s3://safe/backups/shop/2026-11-01T02:00:00Z/",
        "{list}"
    );
    tokio::time::sleep(15 * SECOND).await;
    let left = test.backups().list(&ListParams::default()).await?;
    ensure!(
        left.items.len() == 5,
        "an object went without the agent's word"
    );
    Ok(())
}
