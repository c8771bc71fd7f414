//! The pod template of the server, and the parts that its Jobs share with it. Pure.

use super::service::PORT;
use super::{Setting, env, probes, serve, tailscale};
use crate::controllers::instance::validate::Validated;
use crate::controllers::instance::validate::pod::{DATA, HOME, TMP};
use crate::controllers::instance::validate::storage::Volume as Files;
use crate::shared::agent::{self, empty_dir, mount, read_only};
use crate::shared::names::{self, ANNOTATION_CONFIG_HASH, Component, LABEL_APP};
use k8s_openapi::api::core::v1::{
    ConfigMapVolumeSource, Container, ContainerPort, Lifecycle, LifecycleHandler,
    LocalObjectReference, PersistentVolumeClaimVolumeSource, PodSpec, PodTemplateSpec, SleepAction,
    TopologySpreadConstraint, Volume, VolumeMount,
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{LabelSelector, ObjectMeta};
use std::collections::BTreeMap;

/// Which version of this file made a template.
pub const TEMPLATE_REVISION: &str = "1";
/// Name of the server's container.
pub const SERVER: &str = "paperclip";
const BRANDING: &str = "paperclip-branding";

/// Where the database's URL is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Connection {
    /// Name of the Secret.
    pub secret: String,
    /// Key of the URL.
    pub key: String,
    /// A pooler that keeps no prepared statements is in between.
    pub pooled: bool,
}

/// Borrowed text as an owned map.
pub fn text_map(map: &BTreeMap<&str, &str>) -> BTreeMap<String, String> {
    map.iter()
        .map(|(k, v)| ((*k).to_owned(), (*v).to_owned()))
        .collect()
}

/// The server's pods.
pub fn template(
    v: &Validated<'_>,
    s: &Setting<'_>,
    agent_image: &str,
    config_hash: Option<&str>,
) -> PodTemplateSpec {
    let mut labels = names::labels(v.id.name, Component::Server);
    labels.insert(LABEL_APP.0.into(), LABEL_APP.1.into());
    let mut annotations = text_map(&v.pod.annotations);
    annotations
        .entry("kubectl.kubernetes.io/default-container".into())
        .or_insert_with(|| SERVER.into());
    if let Some(hash) = config_hash {
        annotations.insert(ANNOTATION_CONFIG_HASH.into(), hash.into());
    }
    let mut volumes = vec![data_volume(v)];
    volumes.extend(tmp_volume(v));
    let command = serve::command(v);
    let mut init = vec![];
    if command.is_some() {
        let (copy, volume) = agent::copied_from(agent_image, v.image.pull_policy);
        init.push(copy);
        volumes.push(volume);
    }
    volumes.extend(v.branding.map(branding));
    let tailnet = s.tailscale(v);
    if tailnet.is_some() {
        volumes.extend(tailscale::volumes(v));
    }
    volumes.extend(v.pod.volumes.iter().cloned());
    init.extend(v.pod.init.iter().cloned());
    let mut containers = vec![server(v, s, command)];
    containers.extend(tailnet.map(|t| tailscale::container(t, v.image.pull_policy)));
    containers.extend(v.pod.sidecars.iter().cloned());
    PodTemplateSpec {
        metadata: Some(ObjectMeta {
            labels: Some(labels),
            annotations: Some(annotations),
            ..ObjectMeta::default()
        }),
        spec: Some(PodSpec {
            init_containers: (!init.is_empty()).then_some(init),
            containers,
            volumes: Some(volumes),
            share_process_namespace: v.pod.share_processes.then_some(true),
            termination_grace_period_seconds: Some(v.pod.grace),
            topology_spread_constraints: (!v.pod.spread.is_empty()).then(|| spread(v)),
            ..common(v)
        }),
    }
}

/// What all pods of an Instance have.
pub fn common(v: &Validated<'_>) -> PodSpec {
    PodSpec {
        service_account_name: Some(v.account.name.clone().into_owned()),
        automount_service_account_token: Some(false),
        // Else a Service called paperclip would put its own variables into the server's environment.
        enable_service_links: Some(false),
        security_context: Some(v.pod.security.clone()),
        image_pull_secrets: (!v.image.pull_secrets.is_empty()).then(|| {
            v.image
                .pull_secrets
                .iter()
                .map(|name| LocalObjectReference {
                    name: (*name).to_owned(),
                })
                .collect()
        }),
        node_selector: (!v.pod.node_selector.is_empty()).then(|| v.pod.node_selector.clone()),
        tolerations: (!v.pod.tolerations.is_empty()).then(|| v.pod.tolerations.to_vec()),
        affinity: v.pod.affinity.cloned(),
        priority_class_name: v.pod.priority_class.map(str::to_owned),
        ..PodSpec::default()
    }
}

fn server(v: &Validated<'_>, s: &Setting<'_>, command: Option<Vec<String>>) -> Container {
    let mut mounts = vec![mount(DATA, HOME)];
    mounts.extend(tmp_mount(v));
    mounts.extend(command.is_some().then(agent::mounted));
    mounts.extend(
        v.branding
            .map(|_| read_only(mount(BRANDING, "/etc/paperclip/branding"))),
    );
    mounts.extend(v.pod.mounts.iter().cloned());
    Container {
        name: SERVER.into(),
        image: Some(v.image.reference.clone()),
        image_pull_policy: Some(v.image.pull_policy.into()),
        command,
        ports: Some(vec![ContainerPort {
            name: Some(PORT.into()),
            container_port: v.network.listen.into(),
            protocol: Some("TCP".into()),
            ..ContainerPort::default()
        }]),
        env: Some(env::server(v, s.connection, s.ipv6)),
        env_from: Some(env::from(v)).filter(|from| !from.is_empty()),
        resources: Some(v.pod.resources.clone()),
        security_context: Some(v.pod.container_security.clone()),
        volume_mounts: Some(mounts),
        startup_probe: Some(probes::build(v.probes.startup)),
        readiness_probe: Some(probes::build(v.probes.readiness)),
        liveness_probe: Some(probes::build(v.probes.liveness)),
        lifecycle: v.pod.drain.map(|seconds| Lifecycle {
            pre_stop: Some(LifecycleHandler {
                sleep: Some(SleepAction { seconds }),
                ..LifecycleHandler::default()
            }),
            ..Lifecycle::default()
        }),
        ..Container::default()
    }
}

fn branding(config_map: &str) -> Volume {
    Volume {
        name: BRANDING.into(),
        config_map: Some(ConfigMapVolumeSource {
            name: config_map.into(),
            ..ConfigMapVolumeSource::default()
        }),
        ..Volume::default()
    }
}

/// The server's files.
pub fn data_volume(v: &Validated<'_>) -> Volume {
    let claim = match &v.volume {
        Files::Pod => return empty_dir(DATA, None),
        Files::Existing(name) => (*name).to_owned(),
        Files::Claim(claim) => claim.name.clone(),
    };
    Volume {
        name: DATA.into(),
        persistent_volume_claim: Some(PersistentVolumeClaimVolumeSource {
            claim_name: claim,
            read_only: None,
        }),
        ..Volume::default()
    }
}

/// Scratch space, unless the user brings it.
pub fn tmp_volume(v: &Validated<'_>) -> Option<Volume> {
    let theirs = v.pod.volumes.iter().any(|volume| volume.name == TMP);
    (tmp_mount(v).is_some() && !theirs).then(|| empty_dir(TMP, None))
}

/// The mount of the scratch space.
pub fn tmp_mount(v: &Validated<'_>) -> Option<VolumeMount> {
    let theirs = v
        .pod
        .mounts
        .iter()
        .any(|m| m.mount_path.trim_end_matches('/') == "/tmp");
    (!theirs).then(|| mount(TMP, "/tmp"))
}

/// Constraints without a selector mean the server's pods: without one they would do nothing.
fn spread(v: &Validated<'_>) -> Vec<TopologySpreadConstraint> {
    v.pod
        .spread
        .iter()
        .cloned()
        .map(|mut constraint| {
            constraint
                .label_selector
                .get_or_insert_with(|| LabelSelector {
                    match_labels: Some(names::selector(v.id.name, Component::Server)),
                    ..LabelSelector::default()
                });
            constraint
        })
        .collect()
}
