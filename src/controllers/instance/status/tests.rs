//! Given what was seen, the Instance says ...

use super::*;
use crate::controllers::instance::applied::{Cure, Part as Object, Problem};
use crate::controllers::instance::found::{Found, Learned};
use crate::controllers::instance::gates;
use crate::controllers::instance::validate::references::Broken;
use crate::controllers::instance::validate::{Input, validate};
use crate::controllers::instance::workload::Workloads;
use crate::shared::cache::{Seen, View};
use crate::shared::conditions::find;
use serde_json::{Value, json};
use std::sync::Arc;

/// A moment, told in seconds.
pub fn at(second: i64) -> Time {
    Time(jiff::Timestamp::from_second(second).unwrap())
}

/// What is there; a healthy Instance "clip" to begin with.
pub struct World {
    spec: String,
    before: Option<InstanceStatus>,
    deleting: bool,
    observed: Observed,
    exposure: Option<Exposure>,
    scraped: bool,
    applied: Applied,
    keys: Keys,
    broken: Option<Vec<Broken>>,
    answers: Answers,
    outside: Outside,
    failing: Option<Failing>,
    elapsed: Vec<(&'static str, &'static str, u64)>,
    now: Time,
}

#[allow(clippy::unnecessary_wraps)] // the fields of `Observed` are such
fn seen<V: View>(object: Value) -> Option<Arc<Seen<V>>> {
    Some(Arc::new(Seen::read(object, &[])))
}

fn meta(name: &str, owner: Option<(&str, &str)>) -> Value {
    let owners: Vec<Value> = owner
        .map(|(name, uid)| json!({"kind": "X", "name": name, "uid": uid, "controller": true}))
        .into_iter()
        .collect();
    json!({"name": name, "namespace": "prod", "uid": format!("uid-of-{name}"), "resourceVersion": "7", "generation": 2,
           "labels": {"app.kubernetes.io/managed-by": "paperclip-operator", "app.kubernetes.io/instance": "clip"},
           "ownerReferences": owners})
}

const OWNER: Option<(&str, &str)> = Some(("clip", "uid-of-clip"));

fn child(ready: &str, reason: &str, generation: i64) -> Value {
    json!({"metadata": meta("clip", OWNER), "spec": {}, "status": {
        "connectionSecretRef": {"name": "clip-db-app", "key": "DATABASE_URL"},
        "conditions": [{"type": "Ready", "status": ready, "reason": reason, "message": "the child's words",
            "observedGeneration": generation, "lastTransitionTime": "2026-01-01T00:00:00Z"}]}})
}

fn stateful_set(replicas: i32, ready: i32, revisions: [&str; 2]) -> Value {
    json!({"metadata": meta("clip", OWNER), "spec": {"replicas": replicas}, "status": {
        "observedGeneration": 2, "replicas": replicas, "readyReplicas": ready, "availableReplicas": ready,
        "updatedReplicas": ready, "currentRevision": revisions[0], "updateRevision": revisions[1]}})
}

fn pod(ready: bool, container: &Value) -> Value {
    let ready = if ready { "True" } else { "False" };
    json!({"metadata": meta("clip-0", Some(("clip", "uid-of-clip"))), "status": {
        "phase": "Running", "conditions": [{"type": "Ready", "status": ready}], "containerStatuses": [container]}})
}

fn claim(phase: &str, capacity: &str) -> Value {
    json!({"metadata": meta("clip-data", None), "spec": {"resources": {"requests": {"storage": "5Gi"}}},
           "status": {"phase": phase, "capacity": {"storage": capacity}}})
}

fn job(name: &str, conditions: &Value) -> Value {
    json!({"metadata": meta(name, OWNER), "status": {"conditions": conditions}})
}

impl World {
    /// All is well, and was before.
    pub fn healthy() -> Self {
        let mut world = Self {
            spec: "{image: {tag: '7'}}".into(),
            before: None,
            deleting: false,
            observed: Observed {
                database: seen(child("True", "DatabaseProvisioned", 2)),
                workloads: Workloads {
                    current: seen(stateful_set(1, 1, ["a", "a"])),
                    ..Workloads::default()
                },
                service: seen(json!({"metadata": meta("clip", OWNER)})),
                account: seen(json!({"metadata": meta("clip", OWNER)})),
                policy: seen(json!({"metadata": meta("clip", OWNER)})),
                jobs_policy: seen(json!({"metadata": meta("clip-jobs", OWNER)})),
                claim: seen(claim("Bound", "5Gi")),
                pods: seen(pod(
                    true,
                    &json!({"name": "paperclip", "imageID": "docker-pullable://r/p@sha256:ab"}),
                ))
                .into_iter()
                .collect(),
                ..Observed::default()
            },
            exposure: None,
            scraped: true,
            applied: Applied {
                tried: true,
                ..Applied::default()
            },
            keys: Keys::default(),
            broken: Some(vec![]),
            outside: Outside::default(),
            answers: Answers::default(),
            failing: None,
            elapsed: vec![],
            now: at(1000),
        };
        let name = world.job_name();
        let done = json!([{"type": "Complete", "status": "True"}]);
        world.observed.jobs = seen(job(&name, &done)).into_iter().collect();
        world
    }

    /// The same, after it was ready once.
    pub fn settled() -> Self {
        let mut world = Self::healthy();
        world.before = Some(world.status());
        world.now = at(2000);
        world
    }

    fn instance(&self) -> Instance {
        let yaml = format!(
            "{{metadata: {{name: clip, namespace: prod, uid: uid-of-clip, generation: 4}}, spec: {}}}",
            self.spec
        );
        let mut instance: Instance = serde_saphyr::from_str(&yaml).unwrap();
        instance.status.clone_from(&self.before);
        if self.deleting {
            instance.metadata.deletion_timestamp = Some(at(1500));
        }
        instance
    }

    fn job_name(&self) -> String {
        self.look(|scene| {
            let plan = scene.plan.unwrap();
            plan.migration.as_ref().unwrap().job.clone()
        })
    }

    fn look<T>(&self, with: impl FnOnce(&Scene<'_>) -> T) -> T {
        let (instance, learned) = (self.instance(), Learned::default());
        let input = Input {
            instance: &instance,
            adopted: None,
            learned: &learned,
            domain: "cluster.test",
        };
        let mut verdict = validate(input, &Found::default());
        verdict.broken.clone_from(&self.broken);
        let broken = verdict.is_broken();
        let plan = verdict
            .validated
            .as_ref()
            .map(|v| gates::plan(v, &self.observed, &instance, broken));
        let open = verdict.validated.as_ref().map(Exposure::open);
        let exposure = self.exposure.clone().or(open).unwrap_or_default();
        with(&Scene {
            instance: &instance,
            verdict: &verdict,
            plan: plan.as_ref(),
            exposure: Some(&exposure),
            scraped: self.scraped,
            applied: &self.applied,
            observed: &self.observed,
            keys: &self.keys,
            outside: self.outside.clone(),
            hands_off: false,
            effective: &[],
            adopted: None,
            answers: &self.answers,
            requested: None,
            failing: self.failing.clone(),
            now: self.now.clone(),
        })
    }

    /// What it says.
    pub fn status(&self) -> InstanceStatus {
        self.look(|scene| {
            let elapsed: Elapsed = self
                .elapsed
                .iter()
                .map(|(kind, reason, s)| ((*kind, (*reason).to_owned()), Duration::from_secs(*s)))
                .collect();
            status(scene, parts(scene), &elapsed).0
        })
    }
}

/// `True/Reason` of a condition; `-` if it is absent.
fn says(status: &InstanceStatus, kind: &str) -> String {
    find(&status.conditions, kind).map_or("-".into(), |c| format!("{}/{}", c.status, c.reason))
}

fn message(status: &InstanceStatus, kind: &str) -> String {
    find(&status.conditions, kind).map_or(String::new(), |c| c.message.clone())
}

fn phase_of(status: &InstanceStatus) -> &str {
    status.phase.as_ref().map_or("", |p| p.as_str())
}

mod admin;
mod announced;
mod conditions;
mod objects;
mod phases;
