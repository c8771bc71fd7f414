//! Objects of the earlier operator are taken over in place: no data are lost, no pod is restarted unasked, nothing of theirs stays behind,
//! and the Instance can be deleted. They are put into a real API server as they were recorded from one.

mod estate;

use std::time::Duration;

use anyhow::{Result, ensure};
use estate::{
    EMBEDDED, Estate, LONG, PRODUCTION, QUICKSTART, SECOND, condition, controller, managers, names,
    text,
};
use paperclip_e2e::harness::wait_for;
use serde_json::{Value, json};

#[tokio::test]
async fn the_quick_start_is_taken_over_without_a_restart_and_rolled_out_once_when_asked()
-> Result<()> {
    let estate = Estate::left(QUICKSTART).await?;
    estate.until_pods_ready().await?;
    let pods = estate.pods().await?;
    let template = estate.get("statefulset", "my-paperclip").await?["spec"]["template"].clone();
    let postgres = estate.get("statefulset", "my-paperclip-db").await?;

    let operator = estate.operator().await?;
    let instance = estate.until_running().await?;
    estate.settled(&operator).await?;

    // Data first of all; then the finalizer.
    estate.data_are_safe(QUICKSTART).await?;
    assert_eq!(instance["metadata"]["finalizers"], Value::Null);
    let adopted = &instance["status"]["adopted"];
    assert_eq!(adopted["from"], "paperclip.ai/finalizer");

    // No pod was touched, and people are told what comes.
    assert_eq!(estate.pods().await?, pods);
    let server = estate.get("statefulset", "my-paperclip").await?;
    assert_eq!(server["spec"]["template"], template);
    ensure!(
        adopted["pending"][0] == "init containers go: selinux-relabel, onboard",
        "{adopted:#}"
    );
    let summary = text(&instance["status"]["summary"]);
    ensure!(summary.contains("one roll-out is pending"), "{summary}");
    let told = estate.events().await?;
    let pending = told
        .iter()
        .filter(|(reason, _)| reason == "AdoptionRolloutPending");
    assert_eq!(pending.count(), 1, "{told:#?}");
    assert_eq!(condition(&instance, "Migrated"), "none");

    // The database's objects belong to the PaperclipDatabase, its pod is as it was.
    let database = estate.get("paperclipdatabase", "my-paperclip").await?;
    assert_eq!(
        controller(&database),
        ("Instance".into(), estate.uid.clone())
    );
    let heir = (
        "PaperclipDatabase".to_owned(),
        text(&database["metadata"]["uid"]),
    );
    for kind in ["statefulset", "service", "networkpolicy"] {
        let object = estate.get(kind, "my-paperclip-db").await?;
        assert_eq!(controller(&object), heir, "{kind}");
        assert_eq!(
            object["metadata"]["ownerReferences"]
                .as_array()
                .map(Vec::len),
            Some(1)
        );
    }
    let now = estate.get("statefulset", "my-paperclip-db").await?;
    assert_eq!(now["spec"], postgres["spec"]);
    assert_eq!(
        now["status"]["currentRevision"],
        postgres["status"]["currentRevision"]
    );

    // Nothing of the earlier operator's stays in what was applied.
    let service = estate.get("service", "my-paperclip").await?;
    assert_eq!(managers(&service), ["Apply paperclip-instance"]);
    assert_eq!(service["spec"]["ports"][0]["targetPort"], "http");
    assert_eq!(
        service["metadata"]["labels"]["app.kubernetes.io/component"],
        "server"
    );
    // Traffic: whoever could reach the server still can.
    let policy = estate.get("networkpolicy", "my-paperclip").await?;
    let open = json!({"ports": [{"port": 3100, "protocol": "TCP"}]});
    let ingress = policy["spec"]["ingress"]
        .as_array()
        .cloned()
        .unwrap_or_default();
    ensure!(ingress.contains(&open), "{ingress:#?}");

    estate.ten_forced_passes().await?;

    // Asked for: one roll-out, after which nothing is left of the old pods.
    let now = "paperclip.inc/adopt=now";
    estate
        .namespace
        .kubectl(&["annotate", "instance", "my-paperclip", now])
        .await?;
    wait_for("the roll-out", LONG, async || {
        let server = estate.get("statefulset", "my-paperclip").await?;
        let template = &server["spec"]["template"];
        ensure!(
            template["spec"]["initContainers"].is_null(),
            "{}",
            server["status"]
        );
        ensure!(server["status"]["updatedReplicas"] == 1 && server["status"]["readyReplicas"] == 1);
        ensure!(server["status"]["currentRevision"] == server["status"]["updateRevision"]);
        Ok(Some(()))
    })
    .await?;
    let instance = estate.until_running().await?;
    estate.settled(&operator).await?;
    let server = estate.get("statefulset", "my-paperclip").await?;
    assert_eq!(managers(&server), ["Apply paperclip-instance"]);
    assert_eq!(server["metadata"]["annotations"], Value::Null);
    let container = &server["spec"]["template"]["spec"]["containers"][0];
    let variables = names(&container["env"]);
    for gone in ["NODE_OPTIONS", "DB_PASSWORD", "OTEL_SERVICE_NAME"] {
        ensure!(
            !variables.contains(&gone.to_owned()),
            "{gone} is still there"
        );
    }
    let annotations = &server["spec"]["template"]["metadata"]["annotations"];
    assert_eq!(annotations["prometheus.io/scrape"], Value::Null);
    for kept in ["serviceName", "podManagementPolicy", "selector"] {
        ensure!(!server["spec"][kept].is_null(), "{kept}");
    }
    assert_eq!(server["spec"]["podManagementPolicy"], "OrderedReady");
    assert_eq!(instance["status"]["adopted"]["pending"], Value::Null);
    assert_eq!(condition(&instance, "Migrated"), "True/SchemaUpToDate");
    let policy = estate.get("networkpolicy", "my-paperclip").await?;
    let ingress = policy["spec"]["ingress"]
        .as_array()
        .cloned()
        .unwrap_or_default();
    ensure!(!ingress.contains(&open), "{ingress:#?}");
    // The database's pod lives on.
    let after = estate.pods().await?;
    let database = |all: &[String]| {
        all.iter()
            .find(|p| p.starts_with("my-paperclip-db-0"))
            .cloned()
    };
    assert_eq!(database(&after), database(&pods));
    let told = estate.events().await?;
    ensure!(
        told.iter()
            .any(|(reason, text)| reason == "AdoptionRolloutStarted"
                && text.contains("paperclip.inc/adopt")),
        "{told:#?}"
    );
    estate.ten_forced_passes().await?;

    estate.delete().await?;
    estate.data_are_safe(QUICKSTART).await
}

#[tokio::test]
async fn the_roll_out_begins_with_a_spec_change_that_asks_for_other_pods_and_with_no_other()
-> Result<()> {
    let estate = Estate::left(QUICKSTART).await?;
    estate.until_pods_ready().await?;
    let pods = estate.pods().await?;
    let operator = estate.operator().await?;
    estate.until_running().await?;
    estate.settled(&operator).await?;

    // The volume grows, the pods stay.
    let patch = |spec: Value| json!({"spec": spec}).to_string();
    let change = async |spec: Value| {
        let arguments = [
            "patch",
            "instance",
            "my-paperclip",
            "--type=merge",
            "-p",
            &patch(spec),
        ];
        estate.namespace.kubectl(&arguments).await
    };
    change(json!({"storage": {"persistence": {"size": "6Gi"}}})).await?;
    estate.until_running().await?;
    estate.settled(&operator).await?;
    let claim = estate
        .get("persistentvolumeclaim", "my-paperclip-data")
        .await?;
    assert_eq!(claim["spec"]["resources"]["requests"]["storage"], "6Gi");
    assert_eq!(estate.pods().await?, pods);

    // A variable is for the server's pods alone.
    change(json!({"env": [{"name": "TZ", "value": "UTC"}]})).await?;
    wait_for("the new pod", LONG, async || {
        let server = estate.get("pod", "my-paperclip-0").await?;
        let variables = names(&server["spec"]["containers"][0]["env"]);
        ensure!(variables.contains(&"TZ".to_owned()), "{variables:?}");
        Ok(Some(()))
    })
    .await?;
    estate.until_running().await?;
    estate.settled(&operator).await?;
    let database = |all: &[String]| {
        all.iter()
            .find(|p| p.starts_with("my-paperclip-db-0"))
            .cloned()
    };
    assert_eq!(database(&estate.pods().await?), database(&pods));

    // And the database's when a change of it is asked for: same volume, same account.
    change(json!({"database": {"managed": {"resources": {"limits": {"memory": "2Gi"}}}}})).await?;
    wait_for("the database's new pod", LONG, async || {
        let pod = estate.get("pod", "my-paperclip-db-0").await?;
        let init = names(&pod["spec"]["initContainers"]);
        ensure!(init == ["agent-copy"], "{init:?}");
        Ok(Some(()))
    })
    .await?;
    estate.until_running().await?;
    estate.settled(&operator).await?;
    let set = estate.get("statefulset", "my-paperclip-db").await?;
    assert_eq!(managers(&set), ["Apply paperclip-database"]);
    assert_eq!(set["metadata"]["annotations"], Value::Null);
    let pod = &set["spec"]["template"]["spec"];
    assert_eq!(pod["volumes"][0]["name"], "pgdata");
    assert_eq!(
        pod["volumes"][0]["persistentVolumeClaim"]["claimName"],
        "my-paperclip-db-data"
    );
    assert_eq!(pod["securityContext"]["runAsUser"], 70);
    let container = &pod["containers"][0];
    let data = container["env"]
        .as_array()
        .into_iter()
        .flatten()
        .find(|e| e["name"] == "PGDATA");
    assert_eq!(
        data.map(|e| &e["value"]),
        Some(&json!("/var/lib/postgresql/data/pgdata"))
    );
    assert_eq!(container["lifecycle"], Value::Null);
    assert_eq!(container["livenessProbe"], Value::Null);
    estate.ten_forced_passes().await?;
    Ok(())
}

#[tokio::test]
async fn a_server_that_is_down_is_replaced_at_once_and_that_is_told() -> Result<()> {
    let estate = Estate::left_with(EMBEDDED, |object| {
        if object["kind"] == "StatefulSet" {
            // No node has this: the pod stays pending.
            object["spec"]["template"]["spec"]["nodeSelector"] = json!({"nowhere": "yes"});
        }
        true
    })
    .await?;
    let operator = estate.operator().await?;
    let instance = estate.until_running().await?;
    estate.settled(&operator).await?;
    let server = estate.get("statefulset", "small").await?;
    assert_eq!(
        server["spec"]["template"]["spec"]["nodeSelector"],
        Value::Null
    );
    assert_eq!(instance["status"]["adopted"]["pending"], Value::Null);
    let told = estate.events().await?;
    ensure!(
        told.iter()
            .any(|(reason, text)| reason == "AdoptionRolloutStarted"
                && text.contains("no pod was ready")),
        "{told:#?}"
    );
    estate.data_are_safe(EMBEDDED).await?;
    estate.ten_forced_passes().await?;
    estate.delete().await?;
    estate.data_are_safe(EMBEDDED).await
}

#[tokio::test]
async fn an_embedded_database_stays_where_it_is() -> Result<()> {
    let estate = Estate::left(EMBEDDED).await?;
    estate.until_pods_ready().await?;
    let pods = estate.pods().await?;
    let operator = estate.operator().await?;
    estate.until_running().await?;
    estate.settled(&operator).await?;
    assert_eq!(estate.pods().await?, pods);
    estate.data_are_safe(EMBEDDED).await?;
    estate.ten_forced_passes().await?;

    // Suspended: it is stopped, which replaces its template; the volume is the same when it comes back.
    for (suspended, replicas) in [(true, 0), (false, 1)] {
        let patch = json!({"spec": {"suspended": suspended}}).to_string();
        let arguments = ["patch", "instance", "small", "--type=merge", "-p", &patch];
        estate.namespace.kubectl(&arguments).await?;
        wait_for("the number of pods", LONG, async || {
            let server = estate.get("statefulset", "small").await?;
            ensure!(
                server["spec"]["replicas"] == replicas,
                "{}",
                server["spec"]["replicas"]
            );
            ensure!(server["spec"]["template"]["spec"]["initContainers"].is_null());
            Ok(Some(()))
        })
        .await?;
    }
    estate.until_running().await?;
    let server = estate.get("statefulset", "small").await?;
    let volumes = &server["spec"]["template"]["spec"]["volumes"];
    assert_eq!(
        volumes[0]["persistentVolumeClaim"]["claimName"],
        "small-data"
    );
    estate.data_are_safe(EMBEDDED).await
}

#[tokio::test]
async fn the_production_example_is_taken_over_and_what_stays_is_named() -> Result<()> {
    let estate = Estate::left(PRODUCTION).await?;
    let operator = estate.operator().await?;
    let instance = estate
        .until("it was looked at", |i| {
            i["status"]["adopted"].is_object()
                && condition(i, "ReferencesResolved") == "True/Resolved"
                && condition(i, "ServiceReady").starts_with("True")
        })
        .await?;
    // Ours alone: it has a place for backups, so it does not go without a last one.
    assert_eq!(
        instance["metadata"]["finalizers"],
        json!(["paperclip.inc/finalizer"])
    );
    assert_eq!(
        instance["status"]["adopted"]["left"],
        json!(["CronJob/paperclip-prod-db-backup"])
    );
    estate.data_are_safe(PRODUCTION).await?;
    // The Job for the first admin has ended, and its name is free.
    wait_for("the Job of the earlier operator to go", LONG, async || {
        let jobs = estate.list("job").await?;
        ensure!(
            !jobs
                .iter()
                .any(|j| j["metadata"]["name"] == "paperclip-prod-bootstrap")
        );
        Ok(Some(()))
    })
    .await?;
    // Backups go on until there are others.
    let backup = estate.get("cronjob", "paperclip-prod-db-backup").await?;
    assert_eq!(backup["spec"]["suspend"], false);
    let service = estate.get("service", "paperclip-prod").await?;
    assert_eq!(managers(&service), ["Apply paperclip-instance"]);
    let account = estate.get("serviceaccount", "paperclip-prod").await?;
    assert_eq!(
        account["metadata"]["annotations"]["eks.amazonaws.com/role-arn"],
        "arn:aws:iam::123456789012:role/paperclip"
    );
    estate.settled(&operator).await?;
    estate.ten_forced_passes().await?;
    // The first one of ours is complete: the other goes, and is on record no more.
    complete_backup(&estate, "paperclip-prod").await?;
    estate
        .until("nothing of it is left", |i| {
            i["status"]["adopted"]["left"]
                .as_array()
                .is_none_or(Vec::is_empty)
        })
        .await?;
    assert!(
        estate
            .get("cronjob", "paperclip-prod-db-backup")
            .await
            .is_err()
    );
    let word = "paperclip.inc/skip-final-backup=true";
    let arguments = ["annotate", "instance", "paperclip-prod", word];
    estate.namespace.kubectl(&arguments).await?;
    estate.delete().await?;
    estate.data_are_safe(PRODUCTION).await
}

/// As if the policy of this name had taken a backup: what stands in its status is the agent's word.
async fn complete_backup(estate: &Estate<'_>, policy: &str) -> Result<()> {
    let uid = estate.get("pcb", policy).await?["metadata"]["uid"].clone();
    let object = json!({"apiVersion": "paperclip.inc/v1alpha1", "kind": "PaperclipBackup",
        "metadata": {"name": "first", "annotations": {"paperclip.inc/reconcile": "disabled"},
            "ownerReferences": [{"apiVersion": "paperclip.inc/v1alpha1", "kind": "PaperclipBackup", "name": policy,
                "uid": uid, "controller": true, "blockOwnerDeletion": true}]},
        "spec": {"instanceRef": {"name": policy}, "reason": "Scheduled"}});
    estate.namespace.apply(&object.to_string()).await?;
    // What the operator says of it first.
    wait_for("the backup to be looked at", LONG, async || {
        let phase = estate.get("pcb", "first").await?["status"]["phase"].clone();
        Ok(phase.is_string().then_some(()))
    })
    .await?;
    let status = json!({"status": {"phase": "Complete", "completionTime": "2026-11-01T02:00:00Z",
        "artifact": {"location": "s3://safe/x/2026-11-01T02:00:00Z/", "sha256": "f".repeat(64), "bytes": 1}}});
    let status = status.to_string();
    let arguments = [
        "patch",
        "pcb",
        "first",
        "--subresource=status",
        "--type=merge",
        "-p",
        &status,
    ];
    estate.namespace.kubectl(&arguments).await.map(drop)
}

#[tokio::test]
async fn an_instance_that_is_deleted_before_anybody_took_it_over_keeps_its_data() -> Result<()> {
    let estate = Estate::left(QUICKSTART).await?;
    let arguments = ["delete", "instance", "my-paperclip", "--wait=false"];
    estate.namespace.kubectl(&arguments).await?;
    let _operator = estate.operator().await?;
    estate.delete_again().await?;
    estate.data_are_safe(QUICKSTART).await
}

impl Estate<'_> {
    /// It is being deleted already.
    async fn delete_again(&self) -> Result<()> {
        wait_for("the end of the Instance", LONG, async || {
            let left = self.list("instance,statefulset,service").await?;
            ensure!(left.is_empty(), "{} are left", left.len());
            Ok(Some(()))
        })
        .await
    }
}

#[tokio::test]
async fn objects_are_known_by_their_owner_also_without_the_finalizer() -> Result<()> {
    let estate = Estate::left_with(QUICKSTART, |object| {
        if object["kind"] == "Instance" {
            object["metadata"]["finalizers"] = json!([]);
        }
        true
    })
    .await?;
    estate.until_pods_ready().await?;
    let pods = estate.pods().await?;
    let operator = estate.operator().await?;
    let instance = estate.until_running().await?;
    estate.settled(&operator).await?;
    assert_eq!(instance["status"]["adopted"]["from"], "objects");
    assert_eq!(estate.pods().await?, pods);
    estate.data_are_safe(QUICKSTART).await
}

#[tokio::test]
async fn what_is_missing_is_made_and_what_is_foreign_is_left_alone() -> Result<()> {
    let estate = Estate::left_with(QUICKSTART, |object| {
        let (kind, name) = (text(&object["kind"]), text(&object["metadata"]["name"]));
        // The API server of somebody else's Service.
        if kind == "Service" && name == "my-paperclip-db" {
            object["metadata"]["ownerReferences"] = json!([]);
            object["metadata"]["labels"] = json!({"app": "mine"});
        }
        !(kind == "ServiceAccount" || kind == "NetworkPolicy")
    })
    .await?;
    let operator = estate.operator().await?;
    let database = wait_for("the clash to be told", LONG, async || {
        let database = estate.get("paperclipdatabase", "my-paperclip").await?;
        ensure!(
            condition(&database, "Ready") == "False/NotOurs",
            "{:#}",
            database["status"]
        );
        Ok(Some(database))
    })
    .await?;
    ensure!(condition(&database, "Stalled").starts_with("True"));
    let foreign = estate.get("service", "my-paperclip-db").await?;
    assert_eq!(foreign["metadata"]["labels"], json!({"app": "mine"}));
    assert_eq!(foreign["metadata"]["ownerReferences"], Value::Null);
    for (kind, name) in [
        ("serviceaccount", "my-paperclip"),
        ("networkpolicy", "my-paperclip"),
        ("networkpolicy", "my-paperclip-db"),
    ] {
        estate.get(kind, name).await?;
    }
    estate.data_are_safe(QUICKSTART).await?;

    // The person takes it away: then it is made, and all is well.
    estate
        .namespace
        .kubectl(&["delete", "service", "my-paperclip-db"])
        .await?;
    estate.until_running().await?;
    estate.settled(&operator).await?;
    estate.ten_forced_passes().await
}

#[tokio::test]
async fn a_lost_master_key_is_told_and_no_other_is_made() -> Result<()> {
    let estate = Estate::left_with(QUICKSTART, |object| {
        object["metadata"]["name"] != "my-paperclip-secrets-master-key"
    })
    .await?;
    estate.until_pods_ready().await?;
    let pods = estate.pods().await?;
    let _operator = estate.operator().await?;
    estate
        .until("the loss is told", |i| {
            condition(i, "ReferencesResolved") == "False/MasterKeyMissing"
        })
        .await?;
    tokio::time::sleep(3 * SECOND).await;
    let secrets = estate.list("secret").await?;
    ensure!(
        !secrets
            .iter()
            .any(|s| s["metadata"]["name"] == "my-paperclip-secrets-master-key")
    );
    assert_eq!(estate.pods().await?, pods);
    Ok(())
}

/// The operator is killed after its first, second, … write. Whatever was done by then: nothing that must outlive the Instance goes with it,
/// no pod is restarted, and the next one brings it to its end.
#[tokio::test]
async fn an_operator_that_is_killed_at_any_moment_of_the_first_pass_loses_nothing() -> Result<()> {
    for kill_after in [1, 2, 4, 5, 6, 8, 12] {
        let estate = Estate::left(QUICKSTART).await?;
        estate.until_pods_ready().await?;
        let pods = estate.pods().await?;
        let mark = estate.cluster.audit_mark()?;
        let mut operator = estate.operator_not_started().await?;
        operator.spawn().await?;
        let told = async || {
            let writes = estate.writes(&operator, mark)?;
            Ok((writes.len() >= kill_after).then_some(()))
        };
        wait_closely(told).await?;
        operator.kill9().await?;

        // The earlier operator's finalizer is on for as long as something may go with the Instance.
        let instance = estate.instance().await?;
        if instance["metadata"]["finalizers"].is_null() {
            estate.data_are_safe(QUICKSTART).await?;
            assert_eq!(
                instance["status"]["adopted"]["from"],
                "paperclip.ai/finalizer"
            );
        }
        assert_eq!(
            estate.pods().await?,
            pods,
            "killed after {kill_after} writes"
        );
        operator.start().await?;
        estate.until_running().await?;
        estate.settled(&operator).await?;
        assert_eq!(
            estate.pods().await?,
            pods,
            "killed after {kill_after} writes"
        );
        estate.data_are_safe(QUICKSTART).await?;
        let database = estate.get("paperclipdatabase", "my-paperclip").await?;
        let heir = (
            "PaperclipDatabase".to_owned(),
            text(&database["metadata"]["uid"]),
        );
        let set = estate.get("statefulset", "my-paperclip-db").await?;
        assert_eq!(controller(&set), heir);
    }
    Ok(())
}

/// Like `wait_for`, without its pauses.
async fn wait_closely(mut attempt: impl AsyncFnMut() -> Result<Option<()>>) -> Result<()> {
    let end = std::time::Instant::now() + LONG;
    while attempt().await?.is_none() {
        ensure!(
            std::time::Instant::now() < end,
            "the operator wrote too little"
        );
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    Ok(())
}
