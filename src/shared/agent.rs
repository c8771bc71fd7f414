//! How pods come to have the agent, and what all of them have in common that work with it. Pure. The agent is copied out of the operator's
//! own image, so that it works in any image, and runs as Pod Security `restricted` admits it.

use super::names::AGENT_COPY;
use super::random::hex;
use k8s_openapi::api::batch::v1::{
    PodFailurePolicy, PodFailurePolicyOnExitCodesRequirement,
    PodFailurePolicyOnPodConditionsPattern, PodFailurePolicyRule,
};
use k8s_openapi::api::core::v1::{
    Capabilities, Container, EmptyDirVolumeSource, ResourceRequirements, SeccompProfile,
    SecurityContext, Volume, VolumeMount,
};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use sha2::{Digest, Sha256};

/// Where the agent is in pods that have it.
pub const AGENT: &str = "/paperclip-agent/paperclip-agent";
/// Name of the container of a Job that is the agent.
pub const CONTAINER: &str = "agent";
/// A Job's name becomes a label of its pods, with room for the ending of theirs.
const LONGEST: usize = 52;
/// Tries of a Job after the first, for what may get better.
pub const RETRIES: i32 = 3;

const FOLDER: &str = "/paperclip-agent";
const VOLUME: &str = "paperclip-agent";
/// Where it is in its own image.
const SOURCE: &str = "/usr/local/bin/paperclip-agent";
/// Exit codes after which another try makes no sense: wrong input, and a refusal.
const FINAL: [i32; 2] = [2, 3];

/// What a pod needs to have the agent: an init container that copies it, and the volume that it is copied to.
pub fn copied_from(image: &str, pull_policy: &str) -> (Container, Volume) {
    let container = Container {
        name: AGENT_COPY.into(),
        image: Some(image.into()),
        image_pull_policy: Some(pull_policy.into()),
        command: Some([SOURCE, "copy", AGENT].map(str::to_owned).into()),
        resources: Some(ResourceRequirements {
            requests: Some(
                [("cpu", "10m"), ("memory", "16Mi")]
                    .map(|(k, q)| (k.to_owned(), Quantity(q.into())))
                    .into(),
            ),
            limits: Some([("memory".to_owned(), Quantity("64Mi".into()))].into()),
            claims: None,
        }),
        security_context: Some(restricted()),
        volume_mounts: Some(vec![mount(VOLUME, FOLDER)]),
        ..Container::default()
    };
    (container, empty_dir(VOLUME, Some("64Mi")))
}

/// Name of a Job of the agent for one object, or for whatever `seed` stands for: another seed has another Job.
pub fn job_name(object: &str, seed: &str) -> String {
    let mut hash = hex(&Sha256::digest(seed));
    hash.truncate(10);
    let room = LONGEST - hash.len() - 1;
    let short: String = object.chars().take(room).collect();
    format!("{}-{hash}", short.trim_end_matches(['-', '.']))
}

/// The mount of the agent.
pub fn mounted() -> VolumeMount {
    read_only(mount(VOLUME, FOLDER))
}

/// A command of the agent in its own image, which holds nothing else.
pub fn command_there(name: &str) -> Vec<String> {
    vec![SOURCE.into(), name.into()]
}

/// A command of the agent.
pub fn command(name: &str) -> Vec<String> {
    vec![AGENT.into(), name.into()]
}

/// Which ends of a Job's pod are final: a pod that the cluster takes away does not count as a try; wrong input and a refusal do not get
/// better by trying again.
pub fn failure_policy() -> PodFailurePolicy {
    let taken_away = PodFailurePolicyOnPodConditionsPattern {
        type_: "DisruptionTarget".into(),
        status: Some("True".into()),
    };
    let refused = PodFailurePolicyOnExitCodesRequirement {
        container_name: Some(CONTAINER.into()),
        operator: "In".into(),
        values: FINAL.into(),
    };
    PodFailurePolicy {
        rules: vec![
            PodFailurePolicyRule {
                action: "Ignore".into(),
                on_pod_conditions: Some(vec![taken_away]),
                ..PodFailurePolicyRule::default()
            },
            PodFailurePolicyRule {
                action: "FailJob".into(),
                on_exit_codes: Some(refused),
                ..PodFailurePolicyRule::default()
            },
        ],
    }
}

/// What Pod Security `restricted` asks for, and a root file system that nobody writes to.
pub fn restricted() -> SecurityContext {
    SecurityContext {
        allow_privilege_escalation: Some(false),
        capabilities: Some(Capabilities {
            drop: Some(vec!["ALL".into()]),
            add: None,
        }),
        read_only_root_filesystem: Some(true),
        run_as_non_root: Some(true),
        seccomp_profile: Some(runtime_default()),
        ..SecurityContext::default()
    }
}

/// The container runtime's own filter of system calls.
pub fn runtime_default() -> SeccompProfile {
    SeccompProfile {
        type_: "RuntimeDefault".into(),
        localhost_profile: None,
    }
}

/// A volume that lives as long as the pod.
pub fn empty_dir(name: &str, limit: Option<&str>) -> Volume {
    Volume {
        name: name.into(),
        empty_dir: Some(EmptyDirVolumeSource {
            size_limit: limit.map(|l| Quantity(l.into())),
            ..EmptyDirVolumeSource::default()
        }),
        ..Volume::default()
    }
}

/// A mount.
pub fn mount(volume: &str, path: &str) -> VolumeMount {
    VolumeMount {
        name: volume.into(),
        mount_path: path.into(),
        ..VolumeMount::default()
    }
}

/// A mount that nobody writes to.
pub fn read_only(mount: VolumeMount) -> VolumeMount {
    VolumeMount {
        read_only: Some(true),
        ..mount
    }
}
