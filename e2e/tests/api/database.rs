//! The PaperclipDatabase controller against a real API server: what it makes, what it leaves alone, what it says. Whether PostgreSQL
//! really runs is seen on the node tier.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use k8s_openapi::api::apps::v1::StatefulSet;
use k8s_openapi::api::core::v1::{PersistentVolumeClaim, Secret, Service};
use k8s_openapi::api::events::v1::Event;
use k8s_openapi::api::networking::v1::NetworkPolicy;
use kube::api::{
    ApiResource, DeleteParams, DynamicObject, ListParams, Patch, PatchParams, PostParams,
};
use kube::{Api, Client, ResourceExt as _};
use paperclip_e2e::harness::{
    AuditEvent, Cluster, Namespace, Operator, OperatorOptions, until, wait_for,
};
use serde_json::{Value, json};

const SECOND: Duration = Duration::from_secs(1);

/// A namespace with an operator of its own.
struct Test<'a> {
    cluster: &'a Cluster,
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
            cluster,
            client: cluster.client().await?,
            namespace,
            operator,
        })
    }

    fn databases(&self) -> Api<DynamicObject> {
        let kind = ApiResource {
            group: "paperclip.inc".to_owned(),
            version: "v1alpha1".to_owned(),
            api_version: "paperclip.inc/v1alpha1".to_owned(),
            kind: "PaperclipDatabase".to_owned(),
            plural: "paperclipdatabases".to_owned(),
        };
        Api::namespaced_with(self.client.clone(), &self.namespace.name, &kind)
    }

    fn secrets(&self) -> Api<Secret> {
        Api::namespaced(self.client.clone(), &self.namespace.name)
    }

    fn claims(&self) -> Api<PersistentVolumeClaim> {
        Api::namespaced(self.client.clone(), &self.namespace.name)
    }

    fn stateful_sets(&self) -> Api<StatefulSet> {
        Api::namespaced(self.client.clone(), &self.namespace.name)
    }

    /// Creates the database `shop`.
    async fn create(&self, spec: Value) -> Result<()> {
        let object = json!({"apiVersion": "paperclip.inc/v1alpha1", "kind": "PaperclipDatabase",
            "metadata": {"name": "shop"}, "spec": spec});
        let object = serde_json::from_value(object)?;
        self.databases()
            .create(&PostParams::default(), &object)
            .await?;
        Ok(())
    }

    async fn patch(&self, patch: Value) -> Result<()> {
        self.databases()
            .patch("shop", &PatchParams::default(), &Patch::Merge(patch))
            .await?;
        Ok(())
    }

    /// Waits until the condition of `shop` is `status/reason`, for the present generation.
    async fn until(&self, kind: &str, expected: &str) -> Result<DynamicObject> {
        let what = format!("has {kind}={expected}");
        until(&self.databases(), "shop", &what, 60 * SECOND, |object| {
            condition(object, kind) == expected
                && object.data["status"]["observedGeneration"].as_i64()
                    == object.metadata.generation
        })
        .await
    }

    async fn until_ready(&self) -> Result<DynamicObject> {
        self.until("Ready", "True/DatabaseProvisioned").await
    }

    /// Passes over `shop` that have ended so far.
    async fn passes(&self) -> Result<u64> {
        let text = self.operator.metrics().await?;
        let lines = text.lines().filter(|line| {
            line.starts_with("controller_runtime_reconcile_total{controller=\"database\"")
        });
        Ok(lines
            .filter_map(|line| line.rsplit_once(' ')?.1.parse::<u64>().ok())
            .sum())
    }

    /// Makes the operator look at `shop`, and waits until it did.
    async fn touch(&self, number: u64) -> Result<()> {
        let before = self.passes().await?;
        self.patch(json!({"metadata": {"labels": {"touched": number.to_string()}}}))
            .await?;
        wait_for("a pass", 10 * SECOND, async || {
            Ok((self.passes().await? > before).then_some(()))
        })
        .await
    }

    /// What the operator did in the namespace, watches and leases aside.
    async fn calls(&self, since: paperclip_e2e::harness::AuditMark) -> Result<Vec<AuditEvent>> {
        // The log is written before the answer, but read while it is written.
        tokio::time::sleep(SECOND / 2).await;
        let user = self.operator.username();
        let mut events = self.cluster.audit_since(since)?;
        events.retain(|e| {
            e.username() == user
                && e.object_ref.namespace == self.namespace.name
                && e.verb != "watch"
                && e.object_ref.resource != "leases"
        });
        Ok(events)
    }

    async fn password(&self) -> Result<String> {
        let secret = self.secrets().get("shop-db-credentials").await?;
        text(&secret, "password")
    }

    /// The events of `shop`, by reason.
    async fn events(&self) -> Result<BTreeMap<String, String>> {
        let api: Api<Event> = Api::namespaced(self.client.clone(), &self.namespace.name);
        let events = api.list(&ListParams::default()).await?;
        let ours = events.items.into_iter().filter(|e| {
            e.regarding.as_ref().and_then(|r| r.kind.as_deref()) == Some("PaperclipDatabase")
        });
        Ok(ours
            .map(|e| (e.reason.unwrap_or_default(), e.note.unwrap_or_default()))
            .collect())
    }

    async fn until_event(&self, reason: &str) -> Result<String> {
        wait_for(&format!("the event {reason}"), 20 * SECOND, async || {
            Ok(self.events().await?.remove(reason))
        })
        .await
    }
}

/// `status/reason` of a condition.
fn condition(object: &DynamicObject, kind: &str) -> String {
    let conditions = object.data["status"]["conditions"].as_array();
    let found = conditions.into_iter().flatten().find(|c| c["type"] == kind);
    found.map_or_else(
        || "absent".to_owned(),
        |c| {
            let word = |key: &str| c[key].as_str().unwrap_or_default().to_owned();
            format!("{}/{}", word("status"), word("reason"))
        },
    )
}

fn text(secret: &Secret, key: &str) -> Result<String> {
    let data = secret.data.as_ref().and_then(|data| data.get(key));
    let bytes = data.with_context(|| format!("no key {key}"))?;
    Ok(String::from_utf8(bytes.0.clone())?)
}

/// A line per call that a failed test can be understood by.
fn told(calls: &[AuditEvent]) -> Vec<String> {
    let line = |e: &AuditEvent| {
        let o = &e.object_ref;
        format!(
            "{} {} {} {} {}",
            e.verb,
            o.resource,
            o.subresource,
            o.name,
            e.code()
        )
    };
    calls.iter().map(line).collect()
}

#[tokio::test]
async fn each_object_of_a_new_database_is_written_once_and_nothing_is_read() -> Result<()> {
    let test = Test::start("db-new").await?;
    let mark = test.cluster.audit_mark()?;
    test.create(json!({})).await?;
    let object = test.until_ready().await?;
    let calls = test.calls(mark).await?;
    let told = told(&calls);
    assert!(calls.iter().all(AuditEvent::is_write), "{told:#?}");
    // How many states the status passes through depends on how fast the pod comes up.
    let (status, objects): (Vec<_>, Vec<_>) = told
        .iter()
        .partition(|call| call.contains("paperclipdatabases status"));
    assert_eq!(objects.len(), 7, "{told:#?}");
    assert!(status.len() <= 4, "{told:#?}");

    assert_eq!(condition(&object, "Stalled"), "absent");
    assert_eq!(condition(&object, "Reconciling"), "absent");
    let status = &object.data["status"];
    assert_eq!(status["version"], 17);
    assert_eq!(
        status["connectionSecretRef"],
        json!({"name": "shop-db-app", "key": "DATABASE_URL"})
    );
    assert_eq!(
        status["storage"],
        json!({"requested": "10Gi", "capacity": "10Gi"})
    );
    assert_eq!(status["serverVersion"], Value::Null, "nobody saw it");

    let (password, url) = (
        test.password().await?,
        text(&test.secrets().get("shop-db-app").await?, "DATABASE_URL")?,
    );
    assert_eq!(password.len(), 32);
    let host = format!("shop-db.{}.svc.cluster.local", test.namespace.name);
    assert_eq!(
        url,
        format!("postgres://paperclip:{password}@{host}:5432/paperclip?sslmode=disable")
    );
    // No password leaves the Secrets.
    let shown = format!("{}{}", test.operator.log(), serde_json::to_string(&object)?);
    assert!(!shown.contains(&password));
    assert_eq!(test.events().await?, BTreeMap::new());
    Ok(())
}

#[tokio::test]
async fn passes_over_a_healthy_database_call_nothing_also_after_a_restart() -> Result<()> {
    let mut test = Test::start("db-rest").await?;
    test.create(json!({
        "resources": {"requests": {"cpu": "1000m", "memory": "1024Mi"}, "limits": {"memory": "2048Mi"}},
        "storage": {"size": "1024Mi"}, "parameters": {"work_mem": "8MB"}, "nodeSelector": {"a": "b"},
        "tolerations": [{"key": "x", "operator": "Exists", "effect": "NoSchedule"}],
        "imagePullSecrets": [{"name": "pull"}],
        "affinity": {"podAntiAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": [
            {"weight": 1, "podAffinityTerm": {"topologyKey": "zone", "labelSelector": {"matchLabels": {"a": "b"}}}}]}},
    }))
    .await?;
    // The played node has no such label: what counts is what the API server stored.
    test.until("CredentialsSynced", "True/Synced").await?;
    wait_for("the StatefulSet to be counted", 20 * SECOND, async || {
        let found = test.stateful_sets().get_opt("shop-db").await?;
        Ok(found.filter(|s| s.status.as_ref().is_some_and(|s| s.replicas == 1)))
    })
    .await?;
    tokio::time::sleep(SECOND).await;
    let mark = test.cluster.audit_mark()?;
    for number in 0..10 {
        test.touch(number).await?;
    }
    test.operator.restart().await?;
    test.touch(11).await?;
    let calls = test.calls(mark).await?;
    // A start lists, which is a watch on an API server of today.
    let others: Vec<_> = calls.into_iter().filter(|e| e.verb != "list").collect();
    assert_eq!(told(&others), Vec::<String>::new());
    Ok(())
}

#[tokio::test]
async fn a_pass_that_was_asked_for_is_echoed_and_looks_at_the_secrets() -> Result<()> {
    let test = Test::start("db-asked").await?;
    test.create(json!({})).await?;
    test.until_ready().await?;
    // Details of the status may follow.
    tokio::time::sleep(3 * SECOND).await;
    let mark = test.cluster.audit_mark()?;
    test.patch(
        json!({"metadata": {"annotations": {"paperclip.inc/reconcile-requested-at": "one"}}}),
    )
    .await?;
    until(&test.databases(), "shop", "echoes", 10 * SECOND, |o| {
        o.data["status"]["lastHandledReconcileAt"] == "one"
    })
    .await?;
    let mut calls = told(&test.calls(mark).await?);
    calls.sort();
    assert_eq!(
        calls,
        [
            "get secrets  shop-db-app 200",
            "get secrets  shop-db-credentials 200",
            "patch paperclipdatabases status shop 200",
        ]
    );
    Ok(())
}

#[tokio::test]
async fn what_others_change_or_delete_is_put_back() -> Result<()> {
    let test = Test::start("db-drift").await?;
    test.create(json!({})).await?;
    test.until_ready().await?;
    let name = &test.namespace.name;
    let services: Api<Service> = Api::namespaced(test.client.clone(), name);
    let policies: Api<NetworkPolicy> = Api::namespaced(test.client.clone(), name);
    let hijack = json!({"spec": {"selector": {"app.kubernetes.io/component": "server"}}});
    services
        .patch("shop-db", &PatchParams::default(), &Patch::Merge(hijack))
        .await?;
    policies.delete("shop-db", &DeleteParams::default()).await?;
    let scale = json!({"spec": {"replicas": 2}});
    test.stateful_sets()
        .patch("shop-db", &PatchParams::default(), &Patch::Merge(scale))
        .await?;
    wait_for("all to be as it was", 10 * SECOND, async || {
        let selector = services.get("shop-db").await?.spec.and_then(|s| s.selector);
        let component = selector.and_then(|mut s| s.remove("app.kubernetes.io/component"));
        let replicas = test.stateful_sets().get("shop-db").await?.spec.replicas;
        let policy = policies.get_opt("shop-db").await?;
        let well =
            component.as_deref() == Some("database") && replicas == Some(1) && policy.is_some();
        Ok(well.then_some(()))
    })
    .await?;
    test.until_event("DriftRepaired").await?;
    test.until_ready().await?;

    // A label that somebody adds is his, and stays.
    let label = json!({"metadata": {"labels": {"theirs": "x"}}});
    services
        .patch("shop-db", &PatchParams::default(), &Patch::Merge(label))
        .await?;
    test.touch(1).await?;
    assert_eq!(services.get("shop-db").await?.labels()["theirs"], "x");
    Ok(())
}

#[tokio::test]
async fn a_deleted_database_leaves_its_data_and_the_next_one_takes_them_up() -> Result<()> {
    let test = Test::start("db-again").await?;
    test.create(json!({})).await?;
    test.until_ready().await?;
    let password = test.password().await?;
    let volume = test.claims().get("shop-db-data").await?.uid();
    // The age of objects counts in seconds.
    tokio::time::sleep(SECOND + SECOND / 10).await;
    test.databases()
        .delete("shop", &DeleteParams::default())
        .await?;
    wait_for("what it owned to go", 30 * SECOND, async || {
        Ok(test
            .stateful_sets()
            .get_opt("shop-db")
            .await?
            .is_none()
            .then_some(()))
    })
    .await?;
    assert_eq!(test.claims().get("shop-db-data").await?.uid(), volume);
    assert_eq!(test.password().await?, password);

    test.create(json!({})).await?;
    test.until_ready().await?;
    assert_eq!(
        test.password().await?,
        password,
        "data that know a password keep it"
    );
    assert_eq!(test.claims().get("shop-db-data").await?.uid(), volume);
    let note = test.until_event("Adopted").await?;
    assert!(note.contains("shop-db-data"), "{note}");
    Ok(())
}

#[tokio::test]
async fn a_database_made_again_at_once_waits_for_the_objects_of_the_first() -> Result<()> {
    let test = Test::start("db-twice").await?;
    test.create(json!({})).await?;
    test.until_ready().await?;
    let password = test.password().await?;
    test.databases()
        .delete("shop", &DeleteParams::default())
        .await?;
    test.create(json!({})).await?;
    let object = test.until_ready().await?;
    let set = test.stateful_sets().get("shop-db").await?;
    assert_eq!(Some(&set.owner_references()[0].uid), object.uid().as_ref());
    assert_eq!(test.password().await?, password);
    Ok(())
}

#[tokio::test]
async fn with_deletion_policy_delete_the_data_go_too() -> Result<()> {
    let test = Test::start("db-delete").await?;
    test.create(json!({"deletionPolicy": "Delete"})).await?;
    let object = test.until_ready().await?;
    assert_eq!(object.finalizers(), ["paperclip.inc/finalizer"]);
    let owners = |claim: &PersistentVolumeClaim| claim.owner_references().len();
    assert_eq!(
        owners(&test.claims().get("shop-db-data").await?),
        0,
        "not before its time"
    );
    test.databases()
        .delete("shop", &DeleteParams::default())
        .await?;
    wait_for("everything to go", 60 * SECOND, async || {
        let gone = test.claims().get_opt("shop-db-data").await?.is_none()
            && test
                .secrets()
                .get_opt("shop-db-credentials")
                .await?
                .is_none()
            && test.secrets().get_opt("shop-db-app").await?.is_none()
            && test.databases().get_opt("shop").await?.is_none();
        Ok(gone.then_some(()))
    })
    .await
}

#[tokio::test]
async fn a_lost_password_is_put_back_from_the_other_secret_or_asked_for() -> Result<()> {
    let test = Test::start("db-lost").await?;
    test.create(json!({})).await?;
    test.until_ready().await?;
    let kept = test.secrets().get("shop-db-credentials").await?;
    let password = text(&kept, "password")?;
    let ask = async |word: &str| {
        test.patch(
            json!({"metadata": {"annotations": {"paperclip.inc/reconcile-requested-at": word}}}),
        )
        .await
    };
    let delete = async |name: &str| test.secrets().delete(name, &DeleteParams::default()).await;

    delete("shop-db-credentials").await?;
    ask("one").await?;
    wait_for("the Secret to be put back", 10 * SECOND, async || {
        Ok(test.secrets().get_opt("shop-db-credentials").await?)
    })
    .await?;
    assert_eq!(test.password().await?, password);

    delete("shop-db-credentials").await?;
    delete("shop-db-app").await?;
    ask("two").await?;
    let object = test.until("CredentialsSynced", "False/SecretLost").await?;
    assert_eq!(condition(&object, "Stalled"), "True/SecretLost");
    assert_eq!(condition(&object, "Ready"), "False/SecretLost");
    test.until_event("SecretLost").await?;
    ask("three").await?;
    tokio::time::sleep(2 * SECOND).await;
    assert!(
        test.secrets()
            .get_opt("shop-db-credentials")
            .await?
            .is_none(),
        "never a new password"
    );
    let set = test.stateful_sets().get("shop-db").await?;
    assert_eq!(set.spec.replicas, Some(1), "what runs goes on");

    // A person puts it back; nothing else is needed.
    let mut again = kept;
    (again.metadata.resource_version, again.metadata.uid) = (None, None);
    test.secrets()
        .create(&PostParams::default(), &again)
        .await?;
    test.until_ready().await?;
    let url = text(&test.secrets().get("shop-db-app").await?, "DATABASE_URL")?;
    ensure!(
        url.contains(&password),
        "the Secret of the application follows"
    );
    Ok(())
}

#[tokio::test]
async fn an_edited_password_reaches_the_secret_of_the_application() -> Result<()> {
    let test = Test::start("db-edit").await?;
    test.create(json!({})).await?;
    test.until_ready().await?;
    let edit = json!({"stringData": {"password": "p@ss/word"}});
    test.secrets()
        .patch(
            "shop-db-credentials",
            &PatchParams::default(),
            &Patch::Merge(edit),
        )
        .await?;
    test.patch(
        json!({"metadata": {"annotations": {"paperclip.inc/reconcile-requested-at": "now"}}}),
    )
    .await?;
    wait_for("the URL to follow", 10 * SECOND, async || {
        let app = text(&test.secrets().get("shop-db-app").await?, "DATABASE_URL")?;
        let uri = text(&test.secrets().get("shop-db-credentials").await?, "uri")?;
        let both = [app, uri]
            .iter()
            .all(|url| url.contains("paperclip:p%40ss%2Fword@"));
        Ok(both.then_some(()))
    })
    .await?;
    assert_eq!(test.password().await?, "p@ss/word");
    Ok(())
}

#[tokio::test]
async fn a_refused_parameter_changes_nothing_until_it_is_corrected() -> Result<()> {
    let test = Test::start("db-params").await?;
    test.create(json!({})).await?;
    test.until_ready().await?;
    let before = test.stateful_sets().get("shop-db").await?.spec;
    test.patch(json!({"spec": {"parameters": {"fsync": "off", "work_mem": "banana"}}}))
        .await?;
    let object = test.until("Accepted", "False/ParameterRefused").await?;
    assert_eq!(condition(&object, "Ready"), "False/ParameterRefused");
    assert_eq!(condition(&object, "Stalled"), "True/ParameterRefused");
    let shown = serde_json::to_string(&object.data["status"]["conditions"])?;
    assert!(shown.contains("spec.parameters.fsync") && shown.contains("spec.parameters.work_mem"));
    assert_eq!(test.stateful_sets().get("shop-db").await?.spec, before);

    test.patch(json!({"spec": {"parameters": {"fsync": null, "work_mem": "8MB"}}}))
        .await?;
    let object = test.until_ready().await?;
    assert_eq!(condition(&object, "Accepted"), "True/Accepted");
    Ok(())
}

#[tokio::test]
async fn an_object_of_somebody_else_is_never_taken_and_its_going_heals() -> Result<()> {
    let test = Test::start("db-foreign").await?;
    test.namespace
        .apply("apiVersion: v1\nkind: Service\nmetadata: {name: shop-db, labels: {app.kubernetes.io/managed-by: Helm}}\nspec: {ports: [{port: 1}]}")
        .await?;
    test.create(json!({})).await?;
    let object = test.until("Accepted", "False/NotOurs").await?;
    assert_eq!(condition(&object, "Stalled"), "True/NotOurs");
    let shown = serde_json::to_string(&object.data["status"]["conditions"])?;
    assert!(
        shown.contains("Service") && shown.contains("Helm"),
        "{shown}"
    );
    let services: Api<Service> = Api::namespaced(test.client.clone(), &test.namespace.name);
    let spec = services.get("shop-db").await?.spec.context("a spec")?;
    assert_eq!(spec.ports.context("ports")?[0].port, 1);
    services.delete("shop-db", &DeleteParams::default()).await?;
    test.until_ready().await?;
    Ok(())
}

#[tokio::test]
async fn a_volume_grows_and_a_suspended_database_has_no_pod() -> Result<()> {
    let test = Test::start("db-change").await?;
    test.create(json!({"storage": {"size": "1Gi"}})).await?;
    test.until_ready().await?;
    test.patch(json!({"spec": {"storage": {"size": "2Gi"}}}))
        .await?;
    until(&test.databases(), "shop", "has 2Gi", 30 * SECOND, |o| {
        o.data["status"]["storage"] == json!({"requested": "2Gi", "capacity": "2Gi"})
            && condition(o, "StorageHealthy") == "True/Healthy"
    })
    .await?;
    test.until_event("StorageExpanded").await?;

    test.patch(json!({"spec": {"suspend": true}})).await?;
    test.until("Ready", "False/Suspended").await?;
    wait_for("the pod to go", 30 * SECOND, async || {
        let status = test.stateful_sets().get("shop-db").await?.status;
        Ok(status.filter(|s| s.replicas == 0).map(drop))
    })
    .await?;
    let object = test.until("Reconciling", "absent").await?;
    assert_eq!(condition(&object, "Ready"), "False/Suspended");
    test.patch(json!({"spec": {"suspend": false}})).await?;
    test.until_ready().await?;
    Ok(())
}

#[tokio::test]
async fn what_is_not_built_is_named_and_the_rest_runs() -> Result<()> {
    let test = Test::start("db-unbuilt").await?;
    test.create(json!({"tls": {"mode": "Require"}, "upgrade": {"to": 18}}))
        .await?;
    let object = test.until_ready().await?;
    assert_eq!(condition(&object, "Accepted"), "False/NotImplemented");
    let shown = serde_json::to_string(&object.data["status"]["conditions"])?;
    assert!(
        shown.contains("spec.tls.mode") && shown.contains("spec.upgrade.to"),
        "{shown}"
    );
    assert_eq!(condition(&object, "Stalled"), "absent");
    Ok(())
}

#[tokio::test]
async fn of_cloudnativepg_nothing_is_made() -> Result<()> {
    let test = Test::start("db-cnpg").await?;
    let mark = test.cluster.audit_mark()?;
    test.create(json!({"engine": "CloudNativePG"})).await?;
    let object = test.until("Ready", "False/NotImplemented").await?;
    assert_eq!(condition(&object, "Stalled"), "True/NotImplemented");
    let writes: Vec<_> = test
        .calls(mark)
        .await?
        .into_iter()
        .filter(AuditEvent::is_write)
        .collect();
    let others = writes
        .iter()
        .any(|e| !["paperclipdatabases", "events"].contains(&&*e.object_ref.resource));
    assert!(!others, "{:#?}", told(&writes));
    Ok(())
}

#[tokio::test]
async fn an_external_database_is_passed_on_and_asked() -> Result<()> {
    let test = Test::start("db-external").await?;
    test.create(
        json!({"engine": "External", "external": {"urlSecretRef": {"name": "mine", "key": "url"}}}),
    )
    .await?;
    let object = test
        .until("CredentialsSynced", "False/SecretNotFound")
        .await?;
    assert_eq!(object.data["status"]["connectionSecretRef"], Value::Null);
    test.namespace
        .apply("apiVersion: v1\nkind: Secret\nmetadata: {name: mine}\nstringData: {url: 'postgres://u:hunter2@db.example.com/x'}")
        .await?;
    let object = test.until("Ready", "True/DatabaseProvisioned").await?;
    let status = &object.data["status"];
    assert_eq!(
        status["connectionSecretRef"],
        json!({"name": "mine", "key": "url"})
    );
    assert_eq!(condition(&object, "Reachable"), "True/Reachable");
    // Of a Job that only ended nothing else is known.
    assert_eq!(status["serverVersion"], Value::Null);
    assert_eq!(status["check"]["transactionPooler"], Value::Null);
    let mark = test.cluster.audit_mark()?;
    tokio::time::sleep(3 * SECOND).await;
    let calls = test.calls(mark).await?;
    assert!(calls.is_empty(), "{:#?}", told(&calls));
    assert_eq!(
        test.stateful_sets()
            .list(&ListParams::default())
            .await?
            .items
            .len(),
        0
    );

    let literal = json!({"spec": {"external": {"urlSecretRef": null, "url": "postgres://u:hunter2@db.example.com/y"}}});
    test.patch(literal).await?;
    let object = until(
        &test.databases(),
        "shop",
        "uses a Secret of its own",
        20 * SECOND,
        |o| o.data["status"]["connectionSecretRef"]["name"] == "shop-db-app",
    )
    .await?;
    let url = text(&test.secrets().get("shop-db-app").await?, "DATABASE_URL")?;
    assert_eq!(url, "postgres://u:hunter2@db.example.com/y");
    let shown = format!("{}{}", test.operator.log(), object.data["status"]);
    assert!(!shown.contains("hunter2"));
    Ok(())
}

#[tokio::test]
async fn a_claim_that_is_deleted_is_told_and_never_replaced_by_an_empty_one() -> Result<()> {
    let test = Test::start("db-claim").await?;
    test.create(json!({})).await?;
    test.until_ready().await?;
    test.claims()
        .delete("shop-db-data", &DeleteParams::default())
        .await?;
    let object = test.until("StorageHealthy", "False/ClaimLost").await?;
    assert_eq!(condition(&object, "Stalled"), "True/ClaimLost");
    test.until_event("ClaimLost").await?;
    // Protected by the pod that uses it; when that is gone, so is the claim.
    test.namespace
        .kubectl(&["delete", "pod", "shop-db-0", "--wait=false"])
        .await?;
    tokio::time::sleep(3 * SECOND).await;
    let fresh = test.claims().get_opt("shop-db-data").await?;
    ensure!(
        fresh.is_none_or(|claim| claim.metadata.deletion_timestamp.is_some()),
        "an empty claim was made"
    );
    Ok(())
}
