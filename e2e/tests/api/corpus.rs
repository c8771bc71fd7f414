//! Many Instances of every kind in one namespace: each comes to rest, and ten more looks at each of them change nothing at all.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use futures::future::{join_all, try_join_all};
use kube::api::{DynamicObject, Patch, PatchParams};
use kube::{Api, ResourceExt};
use paperclip_e2e::harness::{AuditEvent, AuditMark, Cluster, wait_for};
use serde_json::{Value, json};

use crate::given::Given;

const CORPUS: &str = include_str!("corpus.yaml");
/// The examples of the repository and those of the earlier operator's documentation, as its API server stored them.
const EXAMPLES: &[&str] = &[
    include_str!("../../../deploy/samples/production.yaml"),
    include_str!("../../../tests/fixtures/earlier-operator-embedded.yaml"),
    include_str!("../../../tests/fixtures/earlier-operator-production.yaml"),
    include_str!("../../../tests/fixtures/earlier-operator-quickstart.yaml"),
];
const REFERENCES: &str = include_str!("corpus-references.yaml");
const PASSES: usize = 10;
/// Nothing was written for so long: it rests. Details of a status lag two seconds behind.
const QUIET: Duration = Duration::from_secs(8);
const LONG: Duration = Duration::from_secs(180);

/// Kinds of what an Instance becomes, and of what that becomes.
const KINDS: &str = "statefulset,deployment,service,serviceaccount,networkpolicy,ingress,poddisruptionbudget,horizontalpodautoscaler,\
     persistentvolumeclaim,configmap,secret,job,paperclipdatabase,paperclipbackup";

fn corpus() -> Result<BTreeMap<String, Value>> {
    let mut all: BTreeMap<String, Value> = serde_saphyr::from_str(CORPUS)?;
    for (i, text) in EXAMPLES.iter().enumerate() {
        let documents: Vec<Value> = serde_saphyr::from_multiple(text)?;
        let instance = documents.iter().find(|d| d["kind"] == "Instance");
        let spec = instance.context("an Instance")?["spec"].clone();
        all.insert(format!("example-{i}"), spec);
    }
    ensure!(all.len() >= 40, "only {}", all.len());
    Ok(all)
}

fn writes(given: &Given<'_>, mark: AuditMark) -> Result<Vec<AuditEvent>> {
    let user = given.operator.username();
    let mut all = given.cluster.audit_since(mark)?;
    // What the API server refuses is tried again, and changes nothing.
    all.retain(|e| {
        e.username() == user && e.is_write() && e.code() != 422 && e.object_ref.resource != "leases"
    });
    Ok(all)
}

async fn rest(given: &Given<'_>) -> Result<()> {
    let (end, mut since) = (Instant::now() + LONG, Instant::now());
    let mut mark = given.cluster.audit_mark()?;
    loop {
        let all = writes(given, mark)?;
        if let Some(last) = all.last() {
            let o = &last.object_ref;
            if Instant::now() > end {
                bail!("it goes on: {} {} {}", last.verb, o.resource, o.name);
            }
            (mark, since) = (given.cluster.audit_mark()?, Instant::now());
        } else if since.elapsed() > QUIET {
            return Ok(());
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}

/// Version of each object, by kind and name.
async fn versions(given: &Given<'_>) -> Result<BTreeMap<String, String>> {
    let text = given
        .namespace
        .kubectl(&["get", KINDS, "-o", "json"])
        .await?;
    let list: Value = serde_json::from_str(&text)?;
    let word = |v: &Value| v.as_str().unwrap_or_default().to_owned();
    let objects = list["items"].as_array().context("a list")?.iter();
    Ok(objects
        .map(|o| {
            let meta = &o["metadata"];
            let name = format!("{} {}", word(&o["kind"]), word(&meta["name"]));
            (name, word(&meta["resourceVersion"]))
        })
        .collect())
}

/// Fields of the status that are not what they were.
fn difference(before: &Value, after: &mut Value) -> String {
    let mut text = String::new();
    for (field, was) in before.as_object().into_iter().flatten() {
        let is = after[field].take();
        if is != *was {
            text = format!("{text}\n{field} was {was}\n  and is {is}");
        }
    }
    text
}

async fn touch(api: &Api<DynamicObject>, name: &str, number: usize) -> Result<()> {
    let label = json!({"metadata": {"labels": {"touched": number.to_string()}}});
    api.patch(name, &PatchParams::default(), &Patch::Merge(label))
        .await?;
    Ok(())
}

#[tokio::test]
async fn ten_more_looks_at_every_instance_change_nothing() -> Result<()> {
    let cluster = Cluster::api().await?;
    let given = Given::here(cluster, "corpus").await?;
    given.namespace.apply(REFERENCES).await?;
    let corpus = corpus()?;
    let made = join_all(corpus.iter().map(async |(name, spec)| {
        let made = given.create(name, spec.clone()).await;
        made.err().map(|error| format!("{name}: {error}"))
    }));
    let refused: Vec<String> = made.await.into_iter().flatten().collect();
    ensure!(refused.is_empty(), "{refused:#?}");
    rest(&given).await?;
    // Autoscalers look now and then: until they have, they say that there is no server.
    wait_for("the autoscalers to look", LONG, async || {
        let all = given
            .instances()
            .list(&kube::api::ListParams::default())
            .await?;
        let blind =
            |i: &DynamicObject| i.data["status"].to_string().contains("scaling is disabled");
        Ok((!all.iter().any(blind)).then_some(()))
    })
    .await?;
    rest(&given).await?;

    // Each has an opinion about its present spec.
    let mut opinions = BTreeMap::new();
    for name in corpus.keys() {
        let instance = given.instances().get(name).await?;
        let status = instance.data["status"].clone();
        opinions.insert(name, status.clone());
        ensure!(
            status["observedGeneration"].as_i64() == instance.metadata.generation
                && status["summary"].is_string(),
            "{name}: {status:#}"
        );
    }

    let (before, mark) = (versions(&given).await?, cluster.audit_mark()?);
    let databases = given.objects(
        "paperclip.inc/v1alpha1",
        "PaperclipDatabase",
        "paperclipdatabases",
    );
    let children: Vec<String> = databases
        .list(&kube::api::ListParams::default())
        .await?
        .iter()
        .map(ResourceExt::name_any)
        .collect();
    let instances = given.instances();
    for number in 0..PASSES {
        let own = corpus.keys().map(|name| touch(&instances, name, number));
        // A label of a user on the child wakes both of them.
        let theirs = children.iter().map(|name| touch(&databases, name, number));
        try_join_all(own).await?;
        try_join_all(theirs).await?;
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
    rest(&given).await?;
    let mut others = String::new();
    for (name, before) in opinions {
        let mut after = given.instances().get(name).await?.data["status"].take();
        if after != before {
            others = format!("{others}\n{name}{}", difference(&before, &mut after));
        }
    }
    ensure!(others.is_empty(), "another opinion: {others}");
    let written: Vec<String> = writes(&given, mark)?
        .iter()
        .map(|e| format!("{} {} {}", e.verb, e.object_ref.resource, e.object_ref.name))
        .collect();
    ensure!(written.is_empty(), "at rest it writes: {written:#?}");
    let mut after = versions(&given).await?;
    let changed: Vec<_> = before
        .iter()
        .filter(|(name, _)| !name.starts_with("PaperclipDatabase "))
        .filter(|(name, version)| after.remove(*name).as_ref() != Some(*version))
        .map(|(name, _)| name)
        .collect();
    ensure!(changed.is_empty(), "changed: {changed:?}");
    Ok(())
}
