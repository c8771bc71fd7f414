//! What is kept of each kind of child object: only what some step reads.

use super::cache::View;
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

/// Metadata that status is compared with.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct Generation {
    /// Version of the spec.
    pub generation: i64,
}

/// The part of a workload's spec that is read back.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct WorkloadSpec {
    /// Wanted pods.
    pub replicas: Option<i32>,
    /// The pod template.
    pub template: Template,
}

/// The part of a pod template that is read back.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct Template {
    /// Its metadata.
    pub metadata: TemplateMeta,
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
    /// What became of it.
    pub status: JobStatus,
}
impl Projection for Job {}

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
    /// What is asked for.
    pub spec: ClaimSpec,
    /// What is there.
    pub status: ClaimStatus,
}
impl Projection for Claim {}

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

/// The part of a Service's spec that is read back.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct ServiceSpec {
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

/// A pod of ours, boiled down: pods are many, and what matters of one fits into a line.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Pod {
    /// Passes its readiness probe.
    pub ready: bool,
    /// `Pending`, `Running`, `Succeeded`, `Failed`.
    pub phase: Box<str>,
    /// What keeps it from working, if something does.
    pub trouble: Option<Trouble>,
    /// Image of the main container by digest, once it runs.
    pub image: Option<Box<str>>,
    /// Termination message of the agent, if the pod ended with one.
    pub result: Option<Box<str>>,
}

/// Why a pod does not work.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trouble {
    /// Reason of a condition.
    pub reason: &'static str,
    /// In the kubelet's or scheduler's words, cut.
    pub message: Box<str>,
}

impl View for Pod {
    fn read(object: Value) -> Self {
        let status = &object["status"];
        let list = |key: &str| {
            status[key]
                .as_array()
                .map(Vec::as_slice)
                .unwrap_or_default()
                .to_vec()
        };
        let condition = |kind: &str| list("conditions").into_iter().find(|c| c["type"] == kind);
        let containers: Vec<Value> = list("initContainerStatuses")
            .into_iter()
            .chain(list("containerStatuses"))
            .collect();
        let unscheduled = condition("PodScheduled")
            .filter(|c| c["status"] == "False")
            .map(|c| Trouble::new("Unschedulable", &c["message"]));
        let main = list("containerStatuses")
            .into_iter()
            .next()
            .unwrap_or_default();
        Self {
            ready: condition("Ready").is_some_and(|c| c["status"] == "True"),
            phase: status["phase"].as_str().unwrap_or_default().into(),
            trouble: containers
                .iter()
                .find_map(Trouble::of_container)
                .or(unscheduled),
            image: main["imageID"]
                .as_str()
                .filter(|i| !i.is_empty())
                .map(Into::into),
            result: main["state"]["terminated"]["message"]
                .as_str()
                .map(Into::into),
        }
    }
    fn matters_to_owner(&self, before: &Self) -> bool {
        self != before
    }
}

impl Trouble {
    fn new(reason: &'static str, message: &Value) -> Self {
        Self {
            reason,
            message: super::conditions::quote(message.as_str().unwrap_or_default()).into(),
        }
    }

    fn of_container(status: &Value) -> Option<Self> {
        let (waiting, last) = (
            &status["state"]["waiting"],
            &status["lastState"]["terminated"],
        );
        match waiting["reason"].as_str()? {
            "ImagePullBackOff" | "ErrImagePull" | "InvalidImageName" | "ErrImageNeverPull" => {
                Some(Self::new("ImagePullFailed", &waiting["message"]))
            }
            "CreateContainerConfigError" | "CreateContainerError" => {
                Some(Self::new("ContainerConfigError", &waiting["message"]))
            }
            "CrashLoopBackOff" if last["reason"] == "OOMKilled" => Some(Self::new(
                "OutOfMemory",
                &Value::from("the container used more memory than its limit"),
            )),
            "CrashLoopBackOff" => {
                let code = last["exitCode"].as_i64().unwrap_or_default();
                let said = last["message"].as_str().unwrap_or_default();
                Some(Self::new(
                    "CrashLooping",
                    &Value::from(format!(
                        "container \"{}\" ended with exit code {code} {said}",
                        status["name"].as_str().unwrap_or("?")
                    )),
                ))
            }
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_pod_that_cannot_pull_its_image_says_so() {
        let pod = Pod::read(json!({"status": {"phase": "Pending", "containerStatuses": [
            {"name": "a", "state": {"waiting": {"reason": "ImagePullBackOff", "message": "Back-off pulling image"}}}]}}));
        assert_eq!(pod.trouble.map(|t| t.reason), Some("ImagePullFailed"));
        assert!(!pod.ready);
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
