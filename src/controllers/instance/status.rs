//! Out of what a pass saw: the status of an Instance. Pure: the time and how long something has been so come in as arguments. Must never
//! say True of what was only written and not seen, and must say the same of the same facts, or the object would be written at rest.

mod bootstrap;
mod events;
mod facts;
mod migration;
mod objects;
mod parts;
mod phase;
mod restore;
mod scale;
mod server;
mod storage;
mod sum;

pub use events::{advice, announcements};
pub use parts::{Class, Part};

use super::adoption::rollout::is_found;
use super::applied::Applied;
use super::build::pod::TEMPLATE_REVISION;
use super::exposure::Exposure;
use super::gates::Plan;
use super::keys::Keys;
use super::observed::Observed;
use super::scheduler::Answers;
use super::validate::Verdict;
use crate::crd::instance::{AdoptedStatus, EffectiveDefault, Instance, InstanceStatus};
use crate::shared::conditions::{Truth, find, limit, merge};
use crate::shared::names::{self, Component, Names};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use std::collections::HashMap;
use std::time::Duration;

/// A transient fault is told of after so long.
pub const PATIENCE_WITH_FAULTS: Duration = Duration::from_secs(30);

/// What a pass saw and did.
pub struct Scene<'a> {
    /// The object.
    pub instance: &'a Instance,
    /// What validation said.
    pub verdict: &'a Verdict<'a>,
    /// What was decided; `None`: the spec was not applied.
    pub plan: Option<&'a Plan>,
    /// Which ways from outside are open; `None`: nobody decided.
    pub exposure: Option<&'a Exposure>,
    /// There is a Service in front of the operator's figures.
    pub scraped: bool,
    /// What was written.
    pub applied: &'a Applied,
    /// The caches after that.
    pub observed: &'a Observed,
    /// The generated keys.
    pub keys: &'a Keys,
    /// The account and the claim that are not ours.
    pub outside: Outside,
    /// `paperclip.inc/reconcile: disabled`.
    pub hands_off: bool,
    /// What of the spec came from the admin.
    pub effective: &'a [EffectiveDefault],
    /// Taken over from the earlier operator.
    pub adopted: Option<AdoptedStatus>,
    /// What the pods said about who wakes agents.
    pub answers: &'a Answers,
    /// The annotation that asked for this pass.
    pub requested: Option<String>,
    /// What has failed for so long that it is told.
    pub failing: Option<Failing>,
    /// Now.
    pub now: Time,
}

/// What has failed for so long that it is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failing {
    /// The step, the object and the words of the API server.
    pub message: String,
}

/// Objects of the user that pods need; `None`: nobody looked.
#[derive(Clone, Debug, Default)]
pub struct Outside {
    /// The account exists.
    pub account: Option<bool>,
    /// The IngressClass exists.
    pub ingress_class: Option<bool>,
    /// The claim: its phase, empty if it does not exist.
    pub claim: Option<String>,
}

impl Scene<'_> {
    fn before(&self) -> Option<&InstanceStatus> {
        self.instance.status.as_ref()
    }
    fn generation(&self) -> i64 {
        self.instance.metadata.generation.unwrap_or_default()
    }
    fn name(&self) -> &str {
        self.instance.metadata.name.as_deref().unwrap_or_default()
    }
    fn names(&self) -> Names {
        Names::of(self.name())
    }
    fn suspended(&self) -> bool {
        self.instance.spec.suspended == Some(true)
    }
    fn terminating(&self) -> bool {
        self.instance.metadata.deletion_timestamp.is_some()
    }
    fn was_ready(&self) -> bool {
        self.before().is_some_and(|s| s.first_ready_time.is_some())
    }
}

/// How long each condition has had its reason in this process.
pub type Elapsed = HashMap<(&'static str, String), Duration>;

/// The conditions of the parts. They come first, so that it can be found out how long each has been so.
pub fn parts(scene: &Scene<'_>) -> Vec<Part> {
    parts::all(scene)
}

/// The status, and after how long a wait becomes a stall.
pub fn status(
    scene: &Scene<'_>,
    parts: Vec<Part>,
    elapsed: &Elapsed,
) -> (InstanceStatus, Option<Duration>) {
    let before = scene.before().cloned().unwrap_or_default();
    let sum = sum::sum(scene, &parts, elapsed);
    let first_ready_time = before
        .first_ready_time
        .clone()
        .or_else(|| (sum.ready == Truth::True).then(|| scene.now.clone()));
    let phase = phase::phase(scene, &parts, &sum, elapsed);
    let summary = phase::summary(scene, phase, &parts, &sum);
    let stalls_in = sum.stalls_in;
    let conditions = merge(
        &before.conditions,
        sum.conditions(parts),
        scene.generation(),
        &scene.now,
    );
    let status = InstanceStatus {
        phase: Some(phase.into()),
        observed_generation: Some(scene.generation()),
        conditions,
        summary: Some(limit(&summary, 256)),
        endpoint: facts::endpoint(scene),
        running_image: facts::running_image(scene),
        first_ready_time,
        replicas: Some(facts::replicas(scene)),
        selector: Some(selector(scene.name())),
        scheduler_leader: facts::leader(scene),
        managed_resources: Some(Box::new(facts::managed(scene))),
        children: facts::children(scene),
        migration: facts::migration(scene).map(Box::new),
        master_key: scene
            .keys
            .master
            .clone()
            .map(Box::new)
            .or(before.master_key),
        template_revision: scene
            .observed
            .workload()
            .is_some_and(|w| !is_found(w))
            .then(|| TEMPLATE_REVISION.to_owned()),
        adopted: scene.adopted.clone().map(Box::new),
        last_handled_reconcile_at: scene.requested.clone().or(before.last_handled_reconcile_at),
        // What is known only from results: kept until something newer is known.
        running_version: before.running_version,
        backup: facts::backup(scene).map(Box::new),
        restore: restore::summary(scene).map(Box::new),
        auto_update: None,
        bootstrap: facts::bootstrap(scene).map(Box::new),
        drain: None,
        plugins: before.plugins,
        effective_defaults: if scene.terminating() {
            before.effective_defaults
        } else {
            scene.effective.to_vec()
        },
        deletion: scene
            .terminating()
            .then(|| Box::new(facts::deletion(scene))),
    };
    (status, stalls_in)
}

/// Whether the change is one that somebody waits for; all else is a detail.
pub fn matters(before: Option<&InstanceStatus>, after: &InstanceStatus) -> bool {
    /// What somebody waits for.
    const WAITED_FOR: [&str; 5] = [
        "Ready",
        "Stalled",
        "Suspended",
        "ConfigAccepted",
        "ReferencesResolved",
    ];
    let Some(before) = before else { return true };
    let said = |s: &InstanceStatus| {
        WAITED_FOR.map(|kind| {
            let c = find(&s.conditions, kind)?;
            // While it is not ready, the reason says how far it is: a detail.
            let reason = (kind != "Ready").then(|| c.reason.clone());
            Some((c.status.clone(), reason, c.observed_generation))
        })
    };
    let admin = |s: &InstanceStatus| s.bootstrap.as_ref().map(|b| b.state.clone());
    let secrets = |s: &InstanceStatus| s.managed_resources.as_ref().map(|m| m.secrets.clone());
    before.phase != after.phase
        || before.observed_generation != after.observed_generation
        || before.restore != after.restore
        || before.last_handled_reconcile_at != after.last_handled_reconcile_at
        || before.master_key != after.master_key
        || before.adopted != after.adopted
        || before.effective_defaults != after.effective_defaults
        || admin(before) != admin(after)
        || secrets(before) != secrets(after)
        || said(before) != said(after)
}

fn selector(name: &str) -> String {
    names::selector(name, Component::Server)
        .into_iter()
        .map(|(k, v)| format!("{k}={v}"))
        .collect::<Vec<_>>()
        .join(",")
}

#[cfg(test)]
mod tests;
