//! The PaperclipBackup controller against a real API server: one Job per backup, and no success without the agent's word. Nothing runs on
//! this tier, so every backup ends without one. Whether a backup is one is seen on the node tier.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::Result;
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::Secret;
use k8s_openapi::api::networking::v1::NetworkPolicy;
use kube::api::{ApiResource, DynamicObject, ListParams, Patch, PatchParams, PostParams};
use kube::{Api, Client, ResourceExt as _};
use paperclip_e2e::harness::{Cluster, Namespace, Operator, OperatorOptions, until, wait_for};
use serde_json::{Value, json};

const SECOND: Duration = Duration::from_secs(1);

struct Test<'a> {
    client: Client,
    namespace: Namespace<'a>,
    operator: Operator<'a>,
}

impl Test<'_> {
    async fn start(name: &str) -> Result<Test<'static>> {
        let cluster = Cluster::api().await?;
        let namespace = cluster.namespace(name).await?;
        let operator = cluster
            .operator(OperatorOptions::for_namespace(&namespace.name))
            .await?;
        Ok(Test {
            client: cluster.client().await?,
            namespace,
            operator,
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

    fn backups(&self) -> Api<DynamicObject> {
        self.kind("PaperclipBackup", "paperclipbackups")
    }

    fn jobs(&self) -> Api<Job> {
        Api::namespaced(self.client.clone(), &self.namespace.name)
    }

    /// As a person does it, with a name made up by the server.
    async fn create(&self, spec: Value) -> Result<String> {
        let object = json!({"apiVersion": "paperclip.inc/v1alpha1", "kind": "PaperclipBackup",
            "metadata": {"generateName": "before-upgrade-"}, "spec": spec});
        let made = self
            .backups()
            .create(&PostParams::default(), &serde_json::from_value(object)?)
            .await?;
        Ok(made.name_any())
    }

    async fn until(&self, name: &str, kind: &str, expected: &str) -> Result<DynamicObject> {
        let what = format!("has {kind}={expected}");
        until(&self.backups(), name, &what, 60 * SECOND, |object| {
            condition(object, kind) == expected
        })
        .await
    }

    async fn jobs_of(&self, name: &str) -> Result<Vec<Job>> {
        let all = self.jobs().list(&ListParams::default()).await?;
        let owned = |job: &Job| {
            job.owner_references()
                .iter()
                .any(|owner| owner.kind == "PaperclipBackup" && owner.name == name)
        };
        Ok(all.into_iter().filter(owned).collect())
    }

    /// An Instance `shop` with a bucket, and keys to it.
    async fn shop(&self) -> Result<()> {
        let secrets: Api<Secret> = Api::namespaced(self.client.clone(), &self.namespace.name);
        let keys = Secret {
            metadata: kube::api::ObjectMeta {
                name: Some("s3".to_owned()),
                ..kube::api::ObjectMeta::default()
            },
            string_data: Some(BTreeMap::from([
                ("AWS_ACCESS_KEY_ID".to_owned(), "id".to_owned()),
                ("AWS_SECRET_ACCESS_KEY".to_owned(), "secret".to_owned()),
            ])),
            ..Secret::default()
        };
        secrets.create(&PostParams::default(), &keys).await?;
        let instance = json!({"apiVersion": "paperclip.inc/v1alpha1", "kind": "Instance", "metadata": {"name": "shop"},
        "spec": {
            "image": {"repository": "ghcr.io/paperclipai/paperclip", "tag": "2026.916.1"},
            "objectStorage": {"provider": "minio", "bucket": "uploads", "endpoint": "http://minio:9000", "credentialsSecretRef": {"name": "s3"}},
        }});
        self.kind("Instance", "instances")
            .create(&PostParams::default(), &serde_json::from_value(instance)?)
            .await?;
        Ok(())
    }
}

/// `Status/Reason` of a condition, empty if it is absent.
fn condition(object: &DynamicObject, kind: &str) -> String {
    let conditions = object.data["status"]["conditions"].as_array();
    let found = conditions
        .into_iter()
        .flatten()
        .find(|condition| condition["type"] == kind);
    found.map_or_else(String::new, |condition| {
        let text = |name: &str| condition[name].as_str().unwrap_or_default().to_owned();
        format!("{}/{}", text("status"), text("reason"))
    })
}

#[tokio::test]
async fn a_job_that_ends_without_the_agents_word_is_no_backup() -> Result<()> {
    let mut test = Test::start("backup-word").await?;
    test.shop().await?;
    let name = test
        .create(json!({"instanceRef": {"name": "shop"}}))
        .await?;

    // The node of this tier ends every Job well, and says nothing.
    let ended = test.until(&name, "Failed", "True/NoResult").await?;
    assert_eq!(ended.data["status"]["phase"], "Failed");
    assert_eq!(condition(&ended, "Ready"), "False/NoResult");
    assert_eq!(condition(&ended, "BackupDurable"), "False/NotProven");
    assert!(ended.data["status"]["artifact"].is_null());

    let jobs = test.jobs_of(&name).await?;
    assert_eq!(jobs.len(), 1);
    let pod = jobs[0]
        .spec
        .as_ref()
        .and_then(|spec| spec.template.spec.as_ref());
    let agent = pod.and_then(|pod| pod.containers.first());
    assert_eq!(
        agent.and_then(|agent| agent.image.as_deref()),
        Some("postgres:17-alpine")
    );
    let policies: Api<NetworkPolicy> = Api::namespaced(test.client.clone(), &test.namespace.name);
    assert!(
        policies.get_opt(&name).await?.is_none(),
        "an ended backup needs no way through"
    );

    // Its end is final: without its Job, and with another operator.
    test.namespace
        .kubectl(&["delete", "job", &jobs[0].name_any(), "--wait=true"])
        .await?;
    test.operator.kill9().await?;
    test.operator.start().await?;
    tokio::time::sleep(5 * SECOND).await;
    assert!(test.jobs_of(&name).await?.is_empty(), "it began again");
    let after = test.backups().get(&name).await?;
    assert_eq!(after.data["status"], ended.data["status"]);
    Ok(())
}

#[tokio::test]
async fn a_backup_waits_for_what_it_needs_and_begins_by_itself() -> Result<()> {
    let test = Test::start("backup-waits").await?;
    let name = test
        .create(json!({"instanceRef": {"name": "shop"}}))
        .await?;
    let refused = test
        .until(&name, "Accepted", "False/InstanceNotFound")
        .await?;
    assert_eq!(refused.data["status"]["phase"], "Pending");
    assert_eq!(condition(&refused, "Stalled"), "True/InstanceNotFound");
    assert!(test.jobs_of(&name).await?.is_empty());

    test.shop().await?;
    test.until(&name, "Failed", "True/NoResult").await?;
    assert_eq!(test.jobs_of(&name).await?.len(), 1);
    Ok(())
}

#[tokio::test]
async fn what_cannot_be_taken_out_of_the_bucket_stays_and_holds_nobody() -> Result<()> {
    let test = Test::start("backup-kept").await?;
    test.shop().await?;
    let name = test
        .create(json!({"instanceRef": {"name": "shop"}, "deletionPolicy": "Delete"}))
        .await?;
    let ended = test.until(&name, "Failed", "True/NoResult").await?;
    assert_eq!(ended.finalizers(), ["paperclip.inc/finalizer"]);
    // Somebody else's word, so that there is something to be taken away.
    let artifact = json!({"location": "s3://uploads/backups/shop/x/", "sha256": "f".repeat(64)});
    let patch = json!({"status": {"phase": "Complete", "artifact": artifact}});
    test.backups()
        .patch_status(&name, &PatchParams::default(), &Patch::Merge(patch))
        .await?;

    // The Job that is made ends without a word on this tier: the object goes all the same, and says what stays.
    test.namespace
        .kubectl(&["delete", "pcb", &name, "--timeout=60s"])
        .await?;
    let events = [
        "get",
        "events",
        "-o",
        "jsonpath={.items[?(@.reason=='ArtifactKept')].message}",
    ];
    wait_for("the event", 30 * SECOND, async || {
        let text = test.namespace.kubectl(&events).await?;
        Ok(text
            .contains("s3://uploads/backups/shop/x/ stays in the bucket")
            .then_some(()))
    })
    .await?;

    // Whoever changes their mind is let go at once.
    let name = test
        .create(json!({"instanceRef": {"name": "shop"}, "deletionPolicy": "Delete"}))
        .await?;
    test.until(&name, "Failed", "True/NoResult").await?;
    let patch = json!({"spec": {"deletionPolicy": "Retain"}});
    test.backups()
        .patch(&name, &PatchParams::default(), &Patch::Merge(patch))
        .await?;
    let free = |object: &DynamicObject| object.finalizers().is_empty();
    until(
        &test.backups(),
        &name,
        "is held by nobody",
        30 * SECOND,
        free,
    )
    .await
    .map(drop)
}

#[tokio::test]
async fn what_is_missing_is_named_and_no_pod_is_made_for_it() -> Result<()> {
    let test = Test::start("backup-missing").await?;
    test.shop().await?;
    let storage = json!({"s3": {"bucket": "another", "credentialsSecretRef": {"name": "absent"}}});
    let name = test
        .create(json!({"instanceRef": {"name": "shop"}, "storage": storage}))
        .await?;
    let refused = test
        .until(&name, "Accepted", "False/SecretNotFound")
        .await?;
    let text = refused.data["status"].to_string();
    assert!(text.contains("absent"), "{text}");
    let files = test
        .create(json!({"instanceRef": {"name": "shop"}, "include": ["Database", "Objects"]}))
        .await?;
    test.until(&files, "Accepted", "False/NotImplemented")
        .await?;
    assert!(test.jobs_of(&name).await?.is_empty());
    assert!(test.jobs_of(&files).await?.is_empty());
    Ok(())
}

#[tokio::test]
async fn a_policy_makes_backups_that_are_objects_of_their_own() -> Result<()> {
    let mut test = Test::start("backup-policy").await?;
    test.shop().await?;
    let policy = |name: &str, schedule: &str| {
        json!({"apiVersion": "paperclip.inc/v1alpha1", "kind": "PaperclipBackup", "metadata": {"name": name},
            "spec": {"instanceRef": {"name": "shop"}, "schedule": schedule, "immediate": true}})
    };
    // Its time comes in half a day, whenever the test runs.
    let hour = (k8s_openapi::jiff::Timestamp::now().as_second() / 3600 + 12) % 24;
    for object in [
        policy("nightly", &format!("17 {hour} * * *")),
        policy("wrong", "0 17 2 * * *"),
    ] {
        let object = serde_json::from_value(object)?;
        test.backups()
            .create(&PostParams::default(), &object)
            .await?;
    }
    let wrong = test
        .until("wrong", "Ready", "False/InvalidSchedule")
        .await?;
    assert!(wrong.data["status"].to_string().contains("has 6 fields"));

    // Nothing runs on this tier, so the first backup fails; and the policy says so.
    let seen = test
        .until("nightly", "Ready", "False/LastRunFailed")
        .await?;
    let status = &seen.data["status"];
    assert!(status["nextScheduleTime"].is_string(), "{status}");
    assert_eq!(status["missedRuns"], 0);
    let first = status["lastFailed"]["name"].as_str().unwrap_or_default();
    assert!(first.starts_with("nightly-2"), "{status}");
    let one = test.backups().get(first).await?;
    assert_eq!(one.data["spec"]["reason"], "Scheduled");
    assert!(one.data["spec"]["schedule"].is_null());
    assert_eq!(test.jobs_of(first).await?.len(), 1);

    // Another operator begins nothing that was begun.
    test.operator.kill9().await?;
    test.operator.start().await?;
    tokio::time::sleep(5 * SECOND).await;
    let all = test.backups().list(&ListParams::default()).await?;
    assert_eq!(all.items.len(), 3, "nightly, wrong, and one of nightly's");
    Ok(())
}

#[tokio::test]
async fn an_instance_with_a_schedule_has_a_policy_and_says_how_it_is() -> Result<()> {
    let test = Test::start("backup-instance").await?;
    test.shop().await?;
    let instances = test.kind("Instance", "instances");
    let schedule = |value: Value| {
        let spec = json!({"spec": {"backup": {"schedule": value}}});
        Patch::Merge(spec)
    };
    let parameters = PatchParams::default();
    instances
        .patch("shop", &parameters, &schedule(json!("17 2 * * *")))
        .await?;
    let well = |object: &DynamicObject| condition(object, "BackupReady") == "True/Scheduled";
    until(&instances, "shop", "says BackupReady", 60 * SECOND, well).await?;
    let policy = test.backups().get("shop").await?;
    assert_eq!(policy.data["spec"]["schedule"], "17 2 * * *");

    instances
        .patch("shop", &parameters, &schedule(json!("61 2 * * *")))
        .await?;
    let wrong =
        |object: &DynamicObject| condition(object, "BackupReady") == "False/InvalidSchedule";
    until(&instances, "shop", "says what is wrong", 60 * SECOND, wrong).await?;

    // Turned off: the policy goes, and so does what is said of it.
    instances
        .patch("shop", &parameters, &schedule(Value::Null))
        .await?;
    let silent = |object: &DynamicObject| condition(object, "BackupReady").is_empty();
    until(&instances, "shop", "says nothing", 60 * SECOND, silent).await?;
    wait_for("the policy to go", 60 * SECOND, async || {
        Ok(test
            .backups()
            .get_opt("shop")
            .await?
            .is_none()
            .then_some(()))
    })
    .await
}
