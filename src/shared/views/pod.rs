//! What is kept of a pod: pods are many, so what matters of one fits into a line.

use crate::shared::cache::View;
use serde_json::Value;

/// A pod of ours, boiled down.
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
    /// Revision of the workload that it was made from, if the workload names its revisions.
    pub revision: Box<str>,
    /// Its address.
    pub address: Option<Box<str>>,
    /// Whether it wakes agents: what we have marked it with.
    pub role: Option<Box<str>>,
    /// What it costs to delete it.
    pub deletion_cost: Option<Box<str>>,
    /// The container that joins a tailnet, if there is one.
    pub tailscale: Option<Sidecar>,
    /// Termination message of the main container, if it ended with one; after a restart the one before.
    pub result: Option<Box<str>>,
}

/// A container beside the server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sidecar {
    /// It runs.
    pub ready: bool,
    /// What keeps it from working: its own last words, if it left any.
    pub trouble: Option<Box<str>>,
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
        let text = |value: &Value| value.as_str().map(Box::from);
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
            tailscale: containers
                .iter()
                .find(|c| c["name"] == "tailscale")
                .map(|c| Sidecar {
                    ready: c["ready"] == true,
                    trouble: Trouble::of_container(c).map(|t| t.message),
                }),
            image: main["imageID"]
                .as_str()
                .filter(|i| !i.is_empty())
                .map(Into::into),
            address: text(&status["podIP"]),
            role: text(&object["metadata"]["labels"]["paperclip.inc/role"]),
            deletion_cost: text(
                &object["metadata"]["annotations"]["controller.kubernetes.io/pod-deletion-cost"],
            ),
            revision: object["metadata"]["labels"]["controller-revision-hash"]
                .as_str()
                .unwrap_or_default()
                .into(),
            result: main["state"]["terminated"]["message"]
                .as_str()
                .or_else(|| main["lastState"]["terminated"]["message"].as_str())
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
            message: crate::shared::conditions::quote(message.as_str().unwrap_or_default()).into(),
        }
    }

    fn of_container(status: &Value) -> Option<Self> {
        let (waiting, last) = (
            &status["state"]["waiting"],
            &status["lastState"]["terminated"],
        );
        match waiting["reason"].as_str() {
            Some(
                "ImagePullBackOff" | "ErrImagePull" | "InvalidImageName" | "ErrImageNeverPull",
            ) => Some(Self::new("ImagePullFailed", &waiting["message"])),
            Some("CreateContainerConfigError" | "CreateContainerError") => {
                Some(Self::new("ContainerConfigError", &waiting["message"]))
            }
            // Also while it has just been started again: else the fact would come and go with each try.
            Some("CrashLoopBackOff") => Some(Self::of_end(status, last)),
            None if status["ready"] == false
                && status["state"]["running"].is_object()
                && last["exitCode"].as_i64().is_some_and(|code| code != 0) =>
            {
                Some(Self::of_end(status, last))
            }
            _ => None,
        }
    }

    /// How a container ended, if possible in the words of the agent.
    fn of_end(status: &Value, last: &Value) -> Self {
        if last["reason"] == "OOMKilled" {
            return Self::new(
                "OutOfMemory",
                &Value::from("the container used more memory than its limit"),
            );
        }
        let code = last["exitCode"].as_i64().unwrap_or_default();
        let raw = last["message"].as_str().unwrap_or_default();
        let said = match serde_json::from_str::<Value>(raw) {
            Ok(result) if result["code"].is_string() => format!(
                "{}: {}",
                result["code"].as_str().unwrap_or_default(),
                result["message"].as_str().unwrap_or_default()
            ),
            _ => raw.to_owned(),
        };
        Self::new(
            "CrashLooping",
            &Value::from(format!(
                "container \"{}\" ended with exit code {code} {said}",
                status["name"].as_str().unwrap_or("?")
            )),
        )
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
    fn a_container_that_was_started_again_after_a_fault_still_says_so() {
        let pod = |state: Value| {
            Pod::read(
                json!({"status": {"phase": "Running", "containerStatuses": [{"name": "a", "ready": false, "state": state, "lastState":
                {"terminated": {"exitCode": 3, "message": "{\"v\":1,\"code\":\"VersionMismatch\",\"message\":\"data is 16\"}"}}}]}}),
            )
        };
        let (waits, runs) = (
            pod(json!({"waiting": {"reason": "CrashLoopBackOff", "message": "back-off 10s"}})),
            pod(json!({"running": {}})),
        );
        assert_eq!(waits.trouble, runs.trouble);
        let trouble = waits.trouble.unwrap();
        assert_eq!(
            (trouble.reason, &*trouble.message),
            (
                "CrashLooping",
                "container \"a\" ended with exit code 3 VersionMismatch: data is 16"
            )
        );
        assert!(waits.result.unwrap().contains("VersionMismatch"));
    }
}
