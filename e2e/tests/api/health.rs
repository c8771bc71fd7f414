//! What tools conclude from a status that know nothing of us (`kubectl wait`, Flux, Argo CD, Helm), at every moment of an Instance's life, against what is
//! really there. The rules are those of kstatus, which Flux and Helm use, and which Argo CD's own come down to for conditions.

use std::sync::{Arc, Mutex};

use anyhow::{Context as _, Result, ensure};
use futures::{StreamExt as _, TryStreamExt as _};
use kube::api::{DeleteParams, DynamicObject, PostParams, WatchEvent, WatchParams};
use paperclip_e2e::harness::{Cluster, wait_for};
use serde_json::{Value, json};

use crate::given::{Given, SOON};

/// The conclusion of kstatus.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Conclusion {
    InProgress,
    Failed,
    Current,
    Terminating,
}

fn conclude(object: &DynamicObject) -> Conclusion {
    let is = |kind: &str, status: &str| {
        let conditions = object.data["status"]["conditions"].as_array();
        let mut all = conditions.into_iter().flatten();
        all.any(|c| c["type"] == kind && c["status"] == status)
    };
    let observed = object.data["status"]["observedGeneration"].as_i64();
    if object.metadata.deletion_timestamp.is_some() {
        Conclusion::Terminating
    } else if observed != object.metadata.generation || is("Reconciling", "True") {
        Conclusion::InProgress
    } else if is("Stalled", "True") {
        Conclusion::Failed
    } else if is("Ready", "True") {
        Conclusion::Current
    } else {
        Conclusion::InProgress
    }
}

/// What `kubectl wait --for=condition=Ready` concludes.
fn is_awaited(object: &DynamicObject) -> bool {
    let conditions = object.data["status"]["conditions"].as_array();
    conditions.into_iter().flatten().any(|c| {
        c["type"] == "Ready"
            && c["status"] == "True"
            && c["observedGeneration"].as_i64() >= object.metadata.generation
    })
}

/// What stands against the conclusion that this spec is in force.
async fn against(given: &Given<'_>, object: &DynamicObject) -> Result<Option<String>> {
    let sets = given.objects("apps/v1", "StatefulSet", "statefulsets");
    let Some(set) = sets.get_opt("shop").await? else {
        return Ok(Some("no StatefulSet".to_owned()));
    };
    let (spec, status) = (&set.data["spec"], &set.data["status"]);
    let wanted = object.data["spec"]["availability"]["replicas"]
        .as_i64()
        .unwrap_or(1);
    let cpu = |at: &Value| at["resources"]["requests"]["cpu"].clone();
    let server = &spec["template"]["spec"]["containers"][0];
    let asked = cpu(&object.data["spec"]);
    let all = [
        ("its number", spec["replicas"].as_i64() == Some(wanted)),
        ("its template", asked.is_null() || cpu(server) == asked),
        (
            "its generation",
            status["observedGeneration"].as_i64() == set.metadata.generation,
        ),
        (
            "ready pods",
            status["readyReplicas"].as_i64() == Some(wanted),
        ),
        (
            "new pods",
            status["updatedReplicas"].as_i64() == Some(wanted),
        ),
    ];
    let wrong: Vec<&str> = all
        .iter()
        .filter(|(_, well)| !well)
        .map(|(what, _)| *what)
        .collect();
    Ok((!wrong.is_empty()).then(|| format!("{wrong:?}: {spec} {status}")))
}

/// What was concluded until now, and what was wrong about it.
#[derive(Default)]
struct Seen {
    conclusions: Vec<(Option<i64>, Conclusion)>,
    wrong: Vec<String>,
}

/// Follows the Instance `shop`, and judges every state that anybody could see.
async fn follow(given: &Given<'_>, seen: &Mutex<Seen>) -> Result<()> {
    let instances = given.instances();
    let parameters = WatchParams::default().fields("metadata.name=shop");
    let mut events = instances.watch(&parameters, "0").await?.boxed();
    while let Some(event) = events.try_next().await? {
        let (WatchEvent::Added(object) | WatchEvent::Modified(object)) = event else {
            continue;
        };
        let conclusion = conclude(&object);
        let mut wrong = None;
        if conclusion == Conclusion::Current {
            wrong = against(given, &object).await?;
        }
        // A test that has changed it meanwhile has changed what is there, too.
        let now = instances.get_opt("shop").await?;
        let same = now.is_some_and(|n| n.metadata.generation == object.metadata.generation);
        let mut seen = seen.lock().map_err(|_| anyhow::anyhow!("poisoned"))?;
        if is_awaited(&object) != (conclusion == Conclusion::Current)
            && conclusion != Conclusion::Terminating
        {
            seen.wrong.push(format!(
                "{conclusion:?}, and kubectl says otherwise: {}",
                object.data["status"]
            ));
        }
        seen.wrong.extend(
            wrong
                .filter(|_| same)
                .map(|w| format!("Current, but for {w}")),
        );
        seen.conclusions
            .push((object.metadata.generation, conclusion));
    }
    Ok(())
}

/// Waits for this conclusion about the present spec.
async fn until(given: &Given<'_>, name: &str, wanted: Conclusion) -> Result<()> {
    wait_for(&format!("{name} to be {wanted:?}"), SOON, async || {
        let object = given.instances().get(name).await?;
        let found = conclude(&object);
        ensure!(
            found == wanted,
            "{found:?}: {}",
            object.data["status"]["summary"]
        );
        Ok(Some(()))
    })
    .await
}

#[tokio::test]
async fn what_tools_conclude_is_true_at_every_moment() -> Result<()> {
    let cluster = Cluster::api().await?;
    let given = Given::here(cluster, "health").await?;
    let seen = Arc::new(Mutex::new(Seen::default()));
    let life = async {
        let spec =
            json!({"image": {"tag": "1.0.0"}, "storage": {"persistence": {"enabled": false}}});
        given.create("shop", spec).await?;
        until(&given, "shop", Conclusion::Current).await?;

        let requests = |cpu: &str| json!({"resources": {"requests": {"cpu": cpu}}});
        given.change("shop", requests("150m")).await?;
        until(&given, "shop", Conclusion::Current).await?;
        given
            .change("shop", json!({"availability": {"replicas": 2}}))
            .await?;
        until(&given, "shop", Conclusion::Current).await?;

        // What it refers to is missing: it goes on as it was, and nobody is told that the new spec is in force.
        let missing = json!({"auth": {"secretRef": {"name": "mine", "key": "k"}}, "resources": {"requests": {"cpu": "160m"}}});
        given.change("shop", missing).await?;
        given
            .until("shop", "ReferencesResolved", "False/SecretNotFound")
            .await?;
        until(&given, "shop", Conclusion::InProgress).await?;
        given.change("shop", json!({"auth": null})).await?;
        until(&given, "shop", Conclusion::Current).await?;

        // A pod goes.
        let pods = given.objects("v1", "Pod", "pods");
        let uid = pods.get("shop-1").await?.metadata.uid;
        pods.delete("shop-1", &DeleteParams::default()).await?;
        wait_for("another pod", SOON, async || {
            let pod = pods.get_opt("shop-1").await?;
            Ok(pod.is_some_and(|p| p.metadata.uid != uid).then_some(()))
        })
        .await?;
        until(&given, "shop", Conclusion::Current).await?;

        // A name that is taken needs a person.
        let service = json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": "taken"}, "spec": {"ports": [{"port": 1}]}});
        let services = given.objects("v1", "Service", "services");
        services
            .create(&PostParams::default(), &serde_json::from_value(service)?)
            .await?;
        given
            .create("taken", json!({"image": {"tag": "1.0.0"}}))
            .await?;
        until(&given, "taken", Conclusion::Failed).await?;

        given
            .instances()
            .delete("shop", &DeleteParams::default())
            .await?;
        given.is_gone(&given.instances(), "shop").await?;
        anyhow::Ok(())
    };
    tokio::select! {
        done = life => done?,
        ended = follow(&given, &seen) => { ended?; anyhow::bail!("the watch ended") }
    }
    let seen = seen.lock().map_err(|_| anyhow::anyhow!("poisoned"))?;
    ensure!(seen.wrong.is_empty(), "{:#?}", seen.wrong);
    let first = seen.conclusions.first().context("nothing was seen")?;
    assert_eq!(first.1, Conclusion::InProgress);
    for generation in 1..=5 {
        let of: Vec<Conclusion> = seen
            .conclusions
            .iter()
            .filter(|(g, _)| *g == Some(generation))
            .map(|(_, c)| *c)
            .collect();
        assert_eq!(
            of.first(),
            Some(&Conclusion::InProgress),
            "of generation {generation}: {of:?}"
        );
        // The spec whose Secret was missing never was in force.
        assert_eq!(
            of.contains(&Conclusion::Current),
            generation != 4,
            "of generation {generation}: {of:?}"
        );
    }
    Ok(())
}
