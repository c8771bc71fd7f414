//! What is kept of each kind of child object: only what some step reads.

mod pod;

pub use pod::{Pod, Sidecar, Trouble};

use super::cache::{Seen, View};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use k8s_openapi::jiff::Timestamp;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

/// A view that is decoded from the whole object; what cannot be decoded counts as absent, because a status that we cannot read is one
/// that was not observed.
pub trait Projection: DeserializeOwned + Default + PartialEq + Send + Sync + 'static {}

impl<P: Projection> View for P {
    fn read(object: Value) -> Self {
        serde_json::from_value(object).unwrap_or_default()
    }
    fn matters_to_owner(&self, before: &Self) -> bool {
        self != before
    }
}

/// Nothing: that the object exists is all that is read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct Bare {}
impl Projection for Bare {}

/// A StatefulSet or Deployment.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct Workload {
    /// What is asked for.
    pub spec: WorkloadSpec,
    /// What is there.
    pub status: WorkloadStatus,
    /// For its generation.
    pub metadata: Generation,
}
impl Projection for Workload {}

/// Metadata that status is compared with, and what we noted.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Generation {
    /// Version of the spec.
    pub generation: i64,
    /// When it was made.
    pub creation_timestamp: Option<Time>,
    /// Ours among them.
    pub annotations: WorkloadAnnotations,
}

/// Annotations of ours on a workload.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct WorkloadAnnotations {
    /// Its pods are as the earlier operator left them: what was asked for when they were found.
    #[serde(rename = "paperclip.inc/found-with")]
    pub found_with: Option<Box<str>>,
}

/// The part of a workload's spec that is read back.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct WorkloadSpec {
    /// Wanted pods.
    pub replicas: Option<i32>,
    /// StatefulSet: how pods are made; it cannot be changed.
    pub pod_management_policy: Option<Box<str>>,
    /// StatefulSet: how pods are replaced.
    pub update_strategy: UpdateStrategy,
    /// The pod template.
    pub template: Template,
}

/// How pods are replaced.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct UpdateStrategy {
    /// In turns.
    pub rolling_update: RollingUpdate,
}

/// Replacing pods in turns.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct RollingUpdate {
    /// StatefulSet: pods below this number are not replaced.
    pub partition: i32,
}

/// The part of a pod template that is read back.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct Template {
    /// Its metadata.
    pub metadata: TemplateMeta,
    /// Its containers.
    pub spec: TemplateSpec,
}

/// The part of a pod template's spec that is read back.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct TemplateSpec {
    /// Containers that run first.
    #[serde(deserialize_with = "agent_image_of")]
    pub init_containers: Option<Box<str>>,
}

impl Template {
    /// Image that the agent is copied from, if a container does that.
    pub fn agent_image(&self) -> Option<&str> {
        self.spec.init_containers.as_deref()
    }
}

/// Of a list of containers, the image of the one that copies the agent: the rest is not kept.
fn agent_image_of<'de, D: serde::Deserializer<'de>>(list: D) -> Result<Option<Box<str>>, D::Error> {
    #[derive(Deserialize)]
    #[serde(default)]
    struct Container {
        name: Box<str>,
        image: Box<str>,
    }
    impl Default for Container {
        fn default() -> Self {
            Self {
                name: "".into(),
                image: "".into(),
            }
        }
    }
    let containers = Option::<Vec<Container>>::deserialize(list)?.unwrap_or_default();
    Ok(containers
        .into_iter()
        .find(|c| &*c.name == super::names::AGENT_COPY)
        .map(|c| c.image))
}

/// The part of a pod template's metadata that is read back.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct TemplateMeta {
    /// Ours among them.
    pub annotations: OurAnnotations,
}

/// Annotations of ours on a pod template.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct OurAnnotations {
    /// Keyed hash of what the pod is configured with.
    #[serde(rename = "paperclip.inc/config-hash")]
    pub config_hash: Option<Box<str>>,
}

/// Status of a StatefulSet or Deployment.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct WorkloadStatus {
    /// Generation that the numbers are about.
    pub observed_generation: i64,
    /// Pods that exist.
    pub replicas: i32,
    /// Pods of the wanted revision.
    pub updated_replicas: i32,
    /// Ready pods.
    pub ready_replicas: i32,
    /// Available pods.
    pub available_replicas: i32,
    /// StatefulSet: revision that serves.
    pub current_revision: Option<Box<str>>,
    /// StatefulSet: revision that is wanted.
    pub update_revision: Option<Box<str>>,
}

impl Workload {
    /// When it was made.
    pub fn made(&self) -> Option<Timestamp> {
        Some(self.metadata.creation_timestamp.as_ref()?.0)
    }

    /// This pod keeps a StatefulSet that makes its pods in order from its own repair: it waits for the pod to become ready before it
    /// replaces it, also if it never will. How pods are made cannot be changed, so such a StatefulSet of somebody else stays so.
    pub fn is_blocked_by(&self, pod: &Seen<Pod>) -> bool {
        let ordered = self.spec.pod_management_policy.as_deref() == Some("OrderedReady");
        let all = self.spec.update_strategy.rolling_update.partition == 0;
        let known = self.status.observed_generation >= self.metadata.generation;
        let (old, wanted) = (&pod.view.revision, self.status.update_revision.as_deref());
        ordered
            && all
            && known
            && wanted.is_some_and(|wanted| !old.is_empty() && **old != *wanted)
            && !pod.deleting
            && !pod.view.ready
    }

    /// All `wanted` pods are there, of the wanted revision, ready and available, and the numbers are about the current spec.
    pub fn is_complete(&self, wanted: i32) -> bool {
        let s = &self.status;
        s.observed_generation >= self.metadata.generation
            && s.replicas == wanted
            && s.ready_replicas == wanted
            && s.available_replicas == wanted
            && (wanted == 0
                || s.updated_replicas == wanted
                || (s.updated_replicas == 0 && s.current_revision == s.update_revision))
    }
}

/// A Job.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct Job {
    /// What it was made for.
    pub metadata: JobMeta,
    /// What became of it.
    pub status: JobStatus,
}
impl Projection for Job {}

/// The part of a Job's metadata that is read back.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct JobMeta {
    /// Ours among them.
    pub annotations: JobAnnotations,
}

/// Annotations of ours on a Job.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct JobAnnotations {
    /// What it was made for.
    #[serde(rename = "paperclip.inc/applied-hash")]
    pub applied_hash: Option<Box<str>>,
}

/// Status of a Job.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct JobStatus {
    /// Its conditions.
    pub conditions: Vec<JobCondition>,
    /// Pods that run.
    pub active: i32,
    /// Tries that failed.
    pub failed: i32,
}

/// A condition of a Job.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct JobCondition {
    /// `Complete`, `Failed`, …
    #[serde(rename = "type")]
    pub kind: Box<str>,
    /// `True`, …
    pub status: Box<str>,
    /// Why.
    pub reason: Box<str>,
    /// For people.
    pub message: Box<str>,
    /// Since when.
    #[serde(rename = "lastTransitionTime")]
    pub since: Option<Box<str>>,
}

/// How a Job stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum JobState {
    /// It works, or has not begun.
    Running,
    /// It ended well.
    Complete,
    /// It ended badly: reason and message of Kubernetes.
    Failed(String),
}

impl Job {
    /// When it ended, if it has.
    pub fn ended(&self) -> Option<Timestamp> {
        let end = self
            .status
            .conditions
            .iter()
            .find(|c| matches!(&*c.kind, "Complete" | "Failed") && &*c.status == "True")?;
        end.since.as_deref()?.parse().ok()
    }

    /// How it stands.
    pub fn state(&self) -> JobState {
        let is = |kind: &str| {
            self.status
                .conditions
                .iter()
                .find(|c| &*c.kind == kind && &*c.status == "True")
        };
        if is("Complete").is_some() {
            JobState::Complete
        } else if let Some(failed) = is("Failed") {
            JobState::Failed(format!("{}: {}", failed.reason, failed.message))
        } else {
            JobState::Running
        }
    }
}

/// A PersistentVolumeClaim.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct Claim {
    /// For its age.
    pub metadata: Created,
    /// What is asked for.
    pub spec: ClaimSpec,
    /// What is there.
    pub status: ClaimStatus,
}
impl Projection for Claim {}

/// When an object was made.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Created {
    /// RFC 3339, in UTC and to the second, so that such texts are in order of time.
    pub creation_timestamp: Box<str>,
}

/// The part of a claim's spec that is read back.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct ClaimSpec {
    /// Class, as the API server filled it in.
    pub storage_class_name: Option<Box<str>>,
    /// Requests.
    pub resources: ClaimRequests,
}

/// Requests of a claim.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct ClaimRequests {
    /// Storage.
    pub requests: Storage,
}

/// Status of a claim.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct ClaimStatus {
    /// `Pending`, `Bound`, `Lost`.
    pub phase: Box<str>,
    /// What was given.
    pub capacity: Storage,
}

/// An amount of storage.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct Storage {
    /// As a Quantity.
    pub storage: Box<str>,
}

/// A Service.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct Service {
    /// What the API server filled in.
    pub spec: ServiceSpec,
    /// Addresses of a load balancer.
    pub status: ServiceStatus,
}
impl Projection for Service {}

/// An Ingress.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct Ingress {
    /// Addresses that were published for it.
    pub status: ServiceStatus,
}
impl Projection for Ingress {}

/// A HorizontalPodAutoscaler.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct Autoscaler {
    /// What it says of itself.
    pub status: AutoscalerStatus,
}
impl Projection for Autoscaler {}

/// Status of a HorizontalPodAutoscaler.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct AutoscalerStatus {
    /// `AbleToScale`, `ScalingActive`, …
    pub conditions: Vec<JobCondition>,
}

impl Autoscaler {
    /// A condition that is False: its message.
    pub fn lacks(&self, kind: &str) -> Option<&str> {
        let mut all = self.status.conditions.iter();
        all.find(|c| &*c.kind == kind && &*c.status == "False")
            .map(|c| &*c.message)
    }
}

/// The part of a Service's spec that is read back.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct ServiceSpec {
    /// `ClusterIP`, `LoadBalancer`, …
    #[serde(rename = "type")]
    pub kind: Box<str>,
    /// `IPv4`, `IPv6`.
    pub ip_families: Vec<Box<str>>,
}

/// Status of a Service.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct ServiceStatus {
    /// Of the load balancer.
    pub load_balancer: LoadBalancer,
}

/// Status of a load balancer.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct LoadBalancer {
    /// Its addresses.
    pub ingress: Vec<Value>,
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn of_the_init_containers_only_the_image_of_the_agent_is_kept() {
        let workload = <Workload as View>::read(
            json!({"spec": {"template": {"spec": {"initContainers": [{"name": "x", "image": "y"}, {"name": "agent-copy", "image": "operator:1"}]}}}}),
        );
        assert_eq!(workload.spec.template.agent_image(), Some("operator:1"));
        assert_eq!(Workload::default().spec.template.agent_image(), None);
    }

    #[test]
    fn a_job_is_failed_only_by_its_condition() {
        let job = |conditions: Value| {
            <Job as View>::read(json!({"status": {"failed": 2, "conditions": conditions}})).state()
        };
        assert_eq!(job(json!([])), JobState::Running);
        assert_eq!(
            job(
                json!([{"type": "Failed", "status": "True", "reason": "BackoffLimitExceeded", "message": "m"}])
            ),
            JobState::Failed("BackoffLimitExceeded: m".into())
        );
        assert_eq!(
            job(json!([{"type": "Complete", "status": "True"}])),
            JobState::Complete
        );
    }

    #[test]
    fn a_workload_is_complete_only_for_its_current_generation() {
        let mut w: Workload = <Workload as View>::read(
            json!({"metadata": {"generation": 2}, "spec": {"replicas": 1}, "status": {
            "observedGeneration": 2, "replicas": 1, "readyReplicas": 1, "availableReplicas": 1, "updatedReplicas": 1}}),
        );
        assert!(w.is_complete(1));
        assert!(!w.is_complete(2));
        w.metadata.generation = 3;
        assert!(!w.is_complete(1));
    }

    #[test]
    fn a_status_that_cannot_be_read_counts_as_not_observed() {
        assert_eq!(
            <Workload as View>::read(json!({"status": "broken"})),
            Workload::default()
        );
    }
}
