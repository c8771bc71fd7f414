//! Which kind of workload runs the server, and how one kind takes over from the other: beside it, and only when all its pods are ready.
//! Pure. Must never stop pods that serve before others do.

use super::observed::Observed;
use super::validate::{storage, wants_stateful_set};
use crate::controllers::Caches;
use crate::crd::instance::InstanceSpec;
use crate::shared::cache::{Cache, Seen};
use crate::shared::views::Workload;
use crate::shared::wish::Kind;
use k8s_openapi::api::apps::v1::{Deployment, StatefulSet};
use k8s_openapi::jiff::{SignedDuration, Timestamp};
use std::sync::Arc;

/// A kind that must take over is given up if its pods are not ready after this time.
const GIVEN: SignedDuration = SignedDuration::from_mins(10);

/// Kind of the workload that runs the server.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum WorkloadKind {
    /// Pods with names and files of their own.
    #[default]
    StatefulSet,
    /// Pods that keep nothing.
    Deployment,
}

impl WorkloadKind {
    /// Both.
    pub const ALL: [Self; 2] = [Self::StatefulSet, Self::Deployment];

    /// The one that the spec comes to: files that must be kept need a StatefulSet.
    pub fn of(spec: &InstanceSpec) -> Self {
        if wants_stateful_set(spec) || !storage::keeps_nothing(spec) {
            Self::StatefulSet
        } else {
            Self::Deployment
        }
    }

    /// The other one.
    #[must_use]
    pub const fn other(self) -> Self {
        match self {
            Self::StatefulSet => Self::Deployment,
            Self::Deployment => Self::StatefulSet,
        }
    }

    /// As Kubernetes calls it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::StatefulSet => "StatefulSet",
            Self::Deployment => "Deployment",
        }
    }

    /// The condition about it, which is also the reason for its being True.
    pub const fn ready(self) -> &'static str {
        match self {
            Self::StatefulSet => "StatefulSetReady",
            Self::Deployment => "DeploymentReady",
        }
    }

    /// Reason: it is not ready.
    pub const fn not_ready(self) -> &'static str {
        match self {
            Self::StatefulSet => "StatefulSetNotReady",
            Self::Deployment => "DeploymentNotReady",
        }
    }

    /// Reason: it has no pods, as asked.
    pub const fn suspended(self) -> &'static str {
        match self {
            Self::StatefulSet => "StatefulSetSuspended",
            Self::Deployment => "DeploymentSuspended",
        }
    }

    /// Reason: its pods are ending, as asked.
    pub const fn suspending(self) -> &'static str {
        match self {
            Self::StatefulSet => "StatefulSetSuspending",
            Self::Deployment => "DeploymentSuspending",
        }
    }

    /// As the API server knows it.
    pub fn kind(self) -> Kind {
        match self {
            Self::StatefulSet => Kind::of::<StatefulSet>(),
            Self::Deployment => Kind::of::<Deployment>(),
        }
    }

    /// What is known of objects of this kind.
    pub fn cache(self, caches: &Caches) -> &Cache<Workload> {
        match self {
            Self::StatefulSet => &caches.stateful_sets,
            Self::Deployment => &caches.deployments,
        }
    }
}

/// The workloads of an Instance: one at rest, two while one kind takes over from the other.
#[derive(Clone, Debug, Default)]
pub struct Workloads {
    /// Kind of the one that counts.
    pub kind: WorkloadKind,
    /// The one that counts: its pods serve, or are to.
    pub current: Option<Arc<Seen<Workload>>>,
    /// The other one: what is to take over, or what has been taken over from.
    pub beside: Option<Arc<Seen<Workload>>>,
}

impl Workloads {
    /// Of what is there. `wanted` counts as soon as it can take over.
    pub fn of(
        wanted: WorkloadKind,
        stateful_set: Option<Arc<Seen<Workload>>>,
        deployment: Option<Arc<Seen<Workload>>>,
    ) -> Self {
        let (one, other) = match wanted {
            WorkloadKind::StatefulSet => (stateful_set, deployment),
            WorkloadKind::Deployment => (deployment, stateful_set),
        };
        let counts = match (&one, &other) {
            (Some(one), Some(other)) => takes_over(one, other),
            (None, Some(_)) => false,
            (_, None) => true,
        };
        if counts {
            Self {
                kind: wanted,
                current: one,
                beside: other,
            }
        } else {
            Self {
                kind: wanted.other(),
                current: other,
                beside: one,
            }
        }
    }

    /// The one of this kind.
    pub fn of_kind(&self, kind: WorkloadKind) -> Option<&Arc<Seen<Workload>>> {
        if self.kind == kind {
            self.current.as_ref()
        } else {
            self.beside.as_ref()
        }
    }
}

/// It can do all that the other one does.
fn takes_over(one: &Seen<Workload>, other: &Seen<Workload>) -> bool {
    let pods = |w: &Seen<Workload>| w.view.spec.replicas.unwrap_or(0);
    let complete = one.view.is_complete(pods(one));
    !one.deleting && (other.deleting || complete && (pods(one) > 0 || pods(other) == 0))
}

/// What is done about two kinds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Switch {
    /// There is one kind, and it is the wanted one.
    #[default]
    None,
    /// The wanted kind is made beside the one that serves.
    Prepare,
    /// The wanted kind did not become ready in time: it is removed.
    GiveUp,
    /// It was given up before, for this generation of the spec.
    GivenUp,
    /// The wanted kind serves: the other one is removed.
    Finish,
}

/// Decides. `given_up`: generation of the spec for which the switch failed.
pub fn switch(
    wanted: WorkloadKind,
    observed: &Observed,
    generation: i64,
    given_up: Option<i64>,
    now: Timestamp,
) -> Switch {
    let all = &observed.workloads;
    match (&all.current, &all.beside) {
        (Some(_), Some(_)) if all.kind == wanted => Switch::Finish,
        (Some(_), beside) if all.kind != wanted => {
            let made = beside.as_ref().and_then(|b| b.view.made());
            let late = made.is_some_and(|made| now.duration_since(made) > GIVEN);
            match (late, given_up == Some(generation)) {
                (_, true) if beside.is_none() => Switch::GivenUp,
                (true, _) | (_, true) => Switch::GiveUp,
                (false, false) => Switch::Prepare,
            }
        }
        _ => Switch::None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn made(pods: i32, ready: i32, at: &str) -> Arc<Seen<Workload>> {
        Arc::new(Seen::read(
            json!({
                "metadata": {"name": "clip", "namespace": "prod", "uid": "u", "creationTimestamp": at, "generation": 1},
                "spec": {"replicas": pods},
                "status": {"observedGeneration": 1, "replicas": ready, "readyReplicas": ready,
                    "availableReplicas": ready, "updatedReplicas": ready}
            }),
            &[],
        ))
    }

    fn decide(workloads: Workloads, given_up: Option<i64>) -> Switch {
        let observed = Observed {
            workloads,
            ..Observed::default()
        };
        let now = "2026-01-01T00:20:00Z".parse().unwrap();
        switch(WorkloadKind::Deployment, &observed, 7, given_up, now)
    }

    const OLD: &str = "2026-01-01T00:00:00Z";
    const NEW: &str = "2026-01-01T00:15:00Z";

    fn both(deployment: Arc<Seen<Workload>>) -> Workloads {
        Workloads::of(
            WorkloadKind::Deployment,
            Some(made(2, 2, OLD)),
            Some(deployment),
        )
    }

    #[test]
    fn the_old_kind_counts_until_every_pod_of_the_new_one_is_ready() {
        let all = both(made(2, 1, NEW));
        assert_eq!(all.kind, WorkloadKind::StatefulSet);
        assert_eq!(decide(all, None), Switch::Prepare);
        let all = both(made(2, 2, NEW));
        assert_eq!(all.kind, WorkloadKind::Deployment);
        assert_eq!(decide(all, None), Switch::Finish);
    }

    #[test]
    fn a_new_kind_without_pods_takes_nothing_over() {
        let all = both(made(0, 0, NEW));
        assert_eq!(all.kind, WorkloadKind::StatefulSet);
    }

    #[test]
    fn what_is_not_ready_in_time_is_given_up_until_the_spec_changes() {
        assert_eq!(decide(both(made(2, 1, OLD)), None), Switch::GiveUp);
        let alone = || Workloads::of(WorkloadKind::Deployment, Some(made(2, 2, OLD)), None);
        assert_eq!(decide(alone(), Some(7)), Switch::GivenUp);
        assert_eq!(decide(alone(), Some(6)), Switch::Prepare);
    }

    #[test]
    fn one_kind_that_is_the_wanted_one_needs_nothing() {
        let all = Workloads::of(WorkloadKind::Deployment, None, Some(made(2, 0, OLD)));
        assert_eq!(decide(all, None), Switch::None);
        assert_eq!(decide(Workloads::default(), None), Switch::None);
    }
}
