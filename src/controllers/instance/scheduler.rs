//! Which of several server pods wakes agents: it is marked, so that people find it and a Deployment that shrinks takes it last. Of a
//! StatefulSet it is the first pod; of a Deployment only the pods know, and their agents are asked now and then. Marks are patched on live
//! pods and never on a template, which would replace them. Must never fail a pass: what nobody answers is not known.

use super::memory::Remembered;
use super::observed::Observed;
use super::server_api::get;
use super::validate::Validated;
use super::workload::WorkloadKind;
use super::{Controller, Pass};
use crate::shared::cache::Seen;
use crate::shared::names::manager;
use crate::shared::views::Pod;
use crate::shared::wish::Kind;
use futures::future::join_all;
use hyper::StatusCode;
use k8s_openapi::api::core;
use serde_json::{Value, json};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Where the agent of a server pod says whether its server wakes agents.
pub const STATUS_PORT: u16 = 3102;
/// Says what a pod does: `scheduler` or `web`.
const ROLE: &str = "paperclip.inc/role";
/// A Deployment that shrinks takes pods with low costs first (KEP-2255).
const COST: &str = "controller.kubernetes.io/pod-deletion-cost";
const DEAR: &str = "10000";
/// How often the pods of a Deployment are asked: while one is known to wake agents, and while none is.
const EVERY: Duration = Duration::from_secs(10);
const SOONER: Duration = Duration::from_secs(5);
/// How long they are waited for.
const PATIENCE: Duration = Duration::from_secs(1);

/// What the pods said when they were last asked.
#[derive(Clone, Debug, Default)]
pub struct Answers {
    /// Names of those that were asked.
    pods: Vec<Arc<str>>,
    at: Option<Instant>,
    /// The one that wakes agents.
    leader: Option<Arc<str>>,
}

impl Answers {
    /// How long they hold.
    pub const fn hold_for(&self) -> Duration {
        if self.leader.is_some() { EVERY } else { SOONER }
    }

    /// The pod that said so, if it is still ready.
    pub fn leader(&self, observed: &Observed) -> Option<&str> {
        let leader = self.leader.as_deref()?;
        observed
            .serving()
            .any(|p| *p.key.name == *leader)
            .then_some(leader)
    }
}

/// Somebody has to be asked: of a StatefulSet the first pod alone may wake agents.
pub fn must_be_asked(v: &Validated<'_>, observed: &Observed) -> bool {
    v.scale.gated && observed.workloads.kind == WorkloadKind::Deployment && observed.serves()
}

/// The pod that wakes agents; `None`: nobody knows, or nobody does.
pub fn leader<'a>(
    v: &Validated<'_>,
    observed: &'a Observed,
    answers: &'a Answers,
) -> Option<&'a str> {
    if !v.scale.gated {
        return None;
    }
    match observed.workloads.kind {
        WorkloadKind::Deployment => answers.leader(observed),
        // The others never ask for the right.
        WorkloadKind::StatefulSet => {
            let first = format!("{}-0", v.id.name);
            observed
                .serving()
                .find(|p| *p.key.name == *first)
                .map(|p| &*p.key.name)
        }
    }
}

/// What has to change on a pod; `None`: nothing.
fn mark(pod: &Seen<Pod>, leads: bool, kind: WorkloadKind) -> Option<Value> {
    let role = if leads { "scheduler" } else { "web" };
    let dear = leads && kind == WorkloadKind::Deployment;
    let mut metadata = json!({"uid": &*pod.uid});
    let mut changes = false;
    if pod.view.role.as_deref() != Some(role) {
        metadata["labels"] = json!({ROLE: role});
        changes = true;
    }
    let cost = pod.view.deletion_cost.as_deref();
    // A cost that somebody else has set is theirs.
    if dear && cost.is_none() {
        metadata["annotations"] = json!({COST: DEAR});
        changes = true;
    } else if !dear && cost == Some(DEAR) {
        metadata["annotations"] = json!({COST: null});
        changes = true;
    }
    changes.then(|| json!({"metadata": metadata}))
}

impl Controller {
    /// Asks if it is time to, and marks the pods.
    pub(super) async fn mark_pods(
        &self,
        pass: &Pass<'_>,
        v: &Validated<'_>,
        remembered: &mut Remembered,
    ) {
        let observed = self.observe(pass);
        if !v.scale.gated {
            remembered.answers = Answers::default();
            return;
        }
        if must_be_asked(v, &observed) {
            ask(&observed, &mut remembered.answers).await;
        }
        let Some(leader) = leader(v, &observed, &remembered.answers) else {
            return;
        };
        let kind = Kind::of::<core::v1::Pod>();
        let api = &self.context.api;
        for pod in observed.pods.iter().filter(|p| !p.deleting) {
            let leads = *pod.key.name == *leader;
            let Some(patch) = mark(pod, leads, observed.workloads.kind) else {
                continue;
            };
            let (namespace, name) = (&pod.key.namespace, &pod.key.name);
            match api
                .merge_patch(&kind, namespace, name, manager::INSTANCE, &patch)
                .await
            {
                Ok(stored) => {
                    self.caches.pods.wrote_as_owner(stored);
                }
                // It is gone, or another one has its name.
                Err(error) if error.is_not_found() || error.is_conflict() => {}
                Err(error) => {
                    tracing::warn!(pod = %pod.key, %error, "the pod is not marked");
                }
            }
        }
    }
}

/// Asks all that serve, at the same time, unless they were asked a moment ago.
async fn ask(observed: &Observed, answers: &mut Answers) {
    let mut pods: Vec<Arc<str>> = observed.serving().map(|p| p.key.name.clone()).collect();
    pods.sort();
    let recent = |at: Instant| at.elapsed() < answers.hold_for();
    if answers.at.is_some_and(recent) && pods == answers.pods {
        return;
    }
    let said = join_all(observed.serving().map(async |pod| {
        let wakes = wakes_agents(&pod.view).await == Some(true);
        wakes.then(|| pod.key.name.clone())
    }))
    .await;
    let mut leaders = said.into_iter().flatten();
    *answers = Answers {
        pods,
        at: Some(Instant::now()),
        // While one takes over from another both may say so for a moment.
        leader: match (leaders.next(), leaders.next()) {
            (Some(leader), None) => Some(leader),
            _ => None,
        },
    };
}

/// What the agent of this pod says; `None`: nothing that can be relied upon.
async fn wakes_agents(pod: &Pod) -> Option<bool> {
    let address: IpAddr = pod.address.as_deref()?.parse().ok()?;
    wakes_agents_at(SocketAddr::new(address, STATUS_PORT)).await
}

async fn wakes_agents_at(address: SocketAddr) -> Option<bool> {
    let said = get(address, "/status", None, PATIENCE).await;
    let (status, said) = said
        .inspect_err(|error| tracing::debug!(%address, error, "the agent gives no answer"))
        .ok()?;
    said["scheduler"]
        .as_bool()
        .filter(|_| status == StatusCode::OK)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::shared::cache::Seen;

    fn pod(metadata: &Value) -> Seen<Pod> {
        let mut object = json!({"metadata": {"name": "a", "namespace": "b", "uid": "u"}});
        for (key, value) in metadata.as_object().into_iter().flatten() {
            object["metadata"][key] = value.clone();
        }
        Seen::read(object, &[])
    }

    #[test]
    fn the_pod_that_wakes_agents_is_marked_and_is_dear_to_its_deployment() {
        let fresh = pod(&json!({}));
        assert_eq!(
            mark(&fresh, true, WorkloadKind::Deployment),
            Some(
                json!({"metadata": {"uid": "u", "labels": {ROLE: "scheduler"}, "annotations": {COST: "10000"}}})
            )
        );
        assert_eq!(
            mark(&fresh, true, WorkloadKind::StatefulSet),
            Some(json!({"metadata": {"uid": "u", "labels": {ROLE: "scheduler"}}}))
        );
    }

    #[test]
    fn a_pod_that_does_not_any_more_loses_its_marks_once() {
        let led = pod(&json!({"labels": {ROLE: "scheduler"}, "annotations": {COST: "10000"}}));
        assert_eq!(mark(&led, true, WorkloadKind::Deployment), None);
        assert_eq!(
            mark(&led, false, WorkloadKind::Deployment),
            Some(
                json!({"metadata": {"uid": "u", "labels": {ROLE: "web"}, "annotations": {COST: null}}})
            )
        );
        let web = pod(&json!({"labels": {ROLE: "web"}}));
        assert_eq!(mark(&web, false, WorkloadKind::Deployment), None);
    }

    #[test]
    fn a_cost_that_somebody_has_set_is_left_alone() {
        let theirs = pod(&json!({"labels": {ROLE: "web"}, "annotations": {COST: "-5"}}));
        assert_eq!(mark(&theirs, false, WorkloadKind::Deployment), None);
        let led = pod(&json!({"labels": {ROLE: "scheduler"}, "annotations": {COST: "-5"}}));
        assert_eq!(mark(&led, true, WorkloadKind::Deployment), None);
    }

    #[tokio::test]
    async fn an_agent_that_answers_nonsense_or_nothing_is_no_leader() {
        use super::super::server_api::tests::{http, served};
        let said = async |answer: String| {
            let address = served(move |_| answer.clone()).await;
            wakes_agents_at(address).await
        };
        assert_eq!(
            said(http("200 OK", r#"{"scheduler":true}"#)).await,
            Some(true)
        );
        assert_eq!(
            said(http("200 OK", r#"{"scheduler":false}"#)).await,
            Some(false)
        );
        assert_eq!(said(http("200 OK", "{}")).await, None);
        assert_eq!(
            said(http("404 Not Found", r#"{"scheduler":true}"#)).await,
            None
        );
        assert_eq!(said(String::new()).await, None);
    }
}
