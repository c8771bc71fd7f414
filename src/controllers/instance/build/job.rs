//! What the Jobs of an Instance have in common: the agent, in the server's image, beside the release's own programs. Pure.

use super::{Setting, owned, pod};
use crate::controllers::instance::validate::Validated;
use crate::controllers::instance::validate::pod::{DATA, HOME};
use crate::shared::agent::{self, empty_dir, mount};
use crate::shared::endpoint::Endpoint;
use crate::shared::names::{self, Component};
use k8s_openapi::api::batch::v1::{Job, JobSpec};
use k8s_openapi::api::core::v1::{
    Container, EnvVar, PodSpec, PodTemplateSpec, ResourceRequirements, Volume, VolumeMount,
};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

/// Emptied with the pod.
const HOME_VOLUME: &str = "paperclip-home";

/// What tells one Job from another.
pub struct Task<'a> {
    /// Name of the Job.
    pub name: &'a str,
    /// What its pods are.
    pub component: Component,
    /// Command of the agent.
    pub command: &'static str,
    /// Environment of the agent.
    pub env: Vec<EnvVar>,
    /// Requests of CPU and memory.
    pub requests: [&'static str; 2],
    /// Seconds for all tries.
    pub deadline: i64,
    /// Where the server's files are, if they must be there.
    pub home: Option<Volume>,
    /// A volume of its own, and where it is.
    pub own: Option<(Volume, VolumeMount)>,
}

/// The Job.
pub fn build(v: &Validated<'_>, s: &Setting<'_>, task: Task<'_>) -> Job {
    let (name, component, deadline) = (task.name, task.component, task.deadline);
    Job {
        metadata: owned(&v.id, name, component),
        spec: Some(JobSpec {
            backoff_limit: Some(agent::RETRIES),
            active_deadline_seconds: Some(deadline),
            pod_failure_policy: Some(agent::failure_policy()),
            template: PodTemplateSpec {
                metadata: Some(ObjectMeta {
                    labels: Some(names::labels(v.id.name, component)),
                    ..ObjectMeta::default()
                }),
                spec: Some(pod_spec(v, s, task)),
            },
            ..JobSpec::default()
        }),
        status: None,
    }
}

fn pod_spec(v: &Validated<'_>, s: &Setting<'_>, task: Task<'_>) -> PodSpec {
    let (copy, agent_volume) = agent::copied_from(s.agent_image, v.image.pull_policy);
    let home = task.home.unwrap_or_else(|| empty_dir(HOME_VOLUME, None));
    let mut mounts = vec![agent::mounted(), mount(&home.name, HOME)];
    mounts.extend(pod::tmp_mount(v));
    let mut volumes = vec![agent_volume, home];
    volumes.extend(pod::tmp_volume(v));
    if let Some((volume, mount)) = task.own {
        volumes.push(volume);
        mounts.push(mount);
    }
    mounts.extend(v.pod.mounts.iter().filter(|m| !below_home(m)).cloned());
    volumes.extend(v.pod.volumes.iter().cloned());
    let mut init = vec![copy];
    if v.learned
        .database
        .as_ref()
        .is_some_and(Endpoint::is_loopback)
    {
        init.extend(v.pod.sidecars.iter().cloned().map(|mut sidecar| {
            sidecar.restart_policy = Some("Always".into());
            sidecar.volume_mounts = sidecar
                .volume_mounts
                .map(|m| m.into_iter().filter(|m| !below_home(m)).collect());
            sidecar
        }));
    }
    let [cpu, memory] = task.requests;
    PodSpec {
        init_containers: Some(init),
        containers: vec![Container {
            name: agent::CONTAINER.into(),
            image: Some(v.image.reference.clone()),
            image_pull_policy: Some(v.image.pull_policy.into()),
            command: Some(agent::command(task.command)),
            env: Some(task.env),
            resources: Some(ResourceRequirements {
                requests: Some(
                    [("cpu", cpu), ("memory", memory)]
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

/// The data volume, or something in it: a mount of the user's for the server alone.
fn below_home(mount: &VolumeMount) -> bool {
    mount.name == DATA
}
