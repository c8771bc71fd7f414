//! The Job that brings the database's schema to what the image's release wants: one per image and database. The agent works in it, beside
//! the release's own program. It never sees the data volume. Pure.

use super::{Setting, env, owned, pod};
use crate::controllers::instance::validate::Validated;
use crate::controllers::instance::validate::pod::HOME;
use crate::shared::names::{self, Component};
use k8s_openapi::api::batch::v1::{
    Job, JobSpec, PodFailurePolicy, PodFailurePolicyOnExitCodesRequirement,
    PodFailurePolicyOnPodConditionsPattern, PodFailurePolicyRule,
};
use k8s_openapi::api::core::v1::{Container, PodSpec, PodTemplateSpec, ResourceRequirements};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use sha2::{Digest, Sha256};

/// Tries after the first.
pub const RETRIES: i32 = 3;
/// Emptied with the pod.
const HOME_VOLUME: &str = "paperclip-home";

/// What tells one migration from another: the image, the database, and a restore that was handled. Never a Secret or a variable.
pub fn hash(image: &str, database_uid: &str, restored: Option<&str>) -> String {
    let mut sha = Sha256::new();
    for part in [image, database_uid, restored.unwrap_or_default()] {
        sha.update((part.len() as u64).to_be_bytes());
        sha.update(part.as_bytes());
    }
    let mut hex = crate::shared::random::hex(&sha.finalize());
    hex.truncate(10);
    hex
}

/// The Job called `name`.
pub fn build(v: &Validated<'_>, s: &Setting<'_>, name: &str) -> Job {
    Job {
        metadata: owned(&v.id, name, Component::Migration),
        spec: Some(JobSpec {
            backoff_limit: Some(RETRIES),
            active_deadline_seconds: Some(3600),
            pod_failure_policy: Some(failures()),
            template: PodTemplateSpec {
                metadata: Some(ObjectMeta {
                    labels: Some(names::labels(v.id.name, Component::Migration)),
                    ..ObjectMeta::default()
                }),
                spec: Some(pod_spec(v, s)),
            },
            ..JobSpec::default()
        }),
        status: None,
    }
}

/// A pod that the cluster takes away does not count as a try; wrong input and a refusal do not get better by trying again.
fn failures() -> PodFailurePolicy {
    PodFailurePolicy {
        rules: vec![
            PodFailurePolicyRule {
                action: "Ignore".into(),
                on_pod_conditions: Some(vec![PodFailurePolicyOnPodConditionsPattern {
                    type_: "DisruptionTarget".into(),
                    status: Some("True".into()),
                }]),
                ..PodFailurePolicyRule::default()
            },
            PodFailurePolicyRule {
                action: "FailJob".into(),
                on_exit_codes: Some(PodFailurePolicyOnExitCodesRequirement {
                    container_name: Some("agent".into()),
                    operator: "In".into(),
                    values: vec![2, 3],
                }),
                ..PodFailurePolicyRule::default()
            },
        ],
    }
}

fn pod_spec(v: &Validated<'_>, s: &Setting<'_>) -> PodSpec {
    let (copy, agent_volume) = pod::agent_copy(s.agent_image, v.image.pull_policy);
    let mut mounts = vec![pod::agent_mount(), pod::mount(HOME_VOLUME, HOME)];
    mounts.extend(pod::tmp_mount(v));
    mounts.extend(v.pod.mounts.iter().filter(|m| !below_home(m)).cloned());
    let mut volumes = vec![agent_volume, pod::empty_dir(HOME_VOLUME, None)];
    volumes.extend(pod::tmp_volume(v));
    volumes.extend(v.pod.volumes.iter().cloned());
    let mut init = vec![copy];
    if v.learned
        .database
        .as_ref()
        .is_some_and(super::super::found::Endpoint::is_loopback)
    {
        init.extend(v.pod.sidecars.iter().cloned().map(|mut sidecar| {
            sidecar.restart_policy = Some("Always".into());
            sidecar.volume_mounts = sidecar
                .volume_mounts
                .map(|m| m.into_iter().filter(|m| !below_home(m)).collect());
            sidecar
        }));
    }
    PodSpec {
        init_containers: Some(init),
        containers: vec![Container {
            name: "agent".into(),
            image: Some(v.image.reference.clone()),
            image_pull_policy: Some(v.image.pull_policy.into()),
            command: Some(pod::agent_command("migrate")),
            env: Some(env::migration(&env::server(v, s.connection, s.ipv6))),
            resources: Some(ResourceRequirements {
                requests: Some(
                    [("cpu", "100m"), ("memory", "256Mi")]
                        .map(|(k, q)| (k.to_owned(), Quantity(q.into())))
                        .into(),
                ),
                limits: Some([("memory".to_owned(), Quantity("1Gi".into()))].into()),
                claims: None,
            }),
            security_context: Some(v.pod.container_security.clone()),
            volume_mounts: Some(mounts),
            ..Container::default()
        }],
        volumes: Some(volumes),
        restart_policy: Some("Never".into()),
        ..pod::common(v)
    }
}

/// The data volume, or something in it: a Job has none.
fn below_home(mount: &k8s_openapi::api::core::v1::VolumeMount) -> bool {
    mount.name == crate::controllers::instance::validate::pod::DATA
}
