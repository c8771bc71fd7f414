//! The Job of a backup: the agent, copied into an image that has `pg_dump` of the database's own version. Keys come as files, the URL as a
//! variable out of its Secret; nothing of them stands in the Job. Pure.

use super::{job_name, owned};
use crate::controllers::backup::validate::Validated;
use crate::shared::agent::{self, empty_dir, mount, read_only, restricted, runtime_default};
use crate::shared::names::{Component, labels};
use crate::shared::wish::{Malformed, Wish};
use k8s_openapi::api::batch::v1::{Job, JobSpec};
use k8s_openapi::api::core::v1::{
    Container, EnvVar, EnvVarSource, KeyToPath, PodSecurityContext, PodSpec, PodTemplateSpec,
    SecretKeySelector, SecretVolumeSource, Volume,
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

/// A user that no image has files of; nothing is written but below `/tmp`.
const USER: i64 = 65532;
const KEYS: &str = "/etc/paperclip/s3";
const AUTHORITY: &str = "/etc/paperclip/s3-ca";
/// Time to take away what was sent, when the pod has to go.
const GRACE_SECONDS: i64 = 60;

pub fn build(v: &Validated) -> Result<Wish, Malformed> {
    Wish::of(&Job {
        metadata: owned(v, job_name(&v.name, &v.uid)),
        spec: Some(JobSpec {
            backoff_limit: Some(agent::RETRIES),
            active_deadline_seconds: Some(i64::try_from(v.deadline.as_secs()).unwrap_or(i64::MAX)),
            pod_failure_policy: Some(agent::failure_policy()),
            template: PodTemplateSpec {
                metadata: Some(ObjectMeta {
                    labels: Some(labels(&v.installation, Component::Backup)),
                    ..ObjectMeta::default()
                }),
                spec: Some(pod(v)),
            },
            ..JobSpec::default()
        }),
        status: None,
    })
}

fn pod(v: &Validated) -> PodSpec {
    let (copy, agent_volume) = agent::copied_from(&v.agent_image, "IfNotPresent");
    let mut volumes = vec![agent_volume, empty_dir("tmp", None)];
    let mut mounts = vec![agent::mounted(), mount("tmp", "/tmp")];
    let mut files = |name: &str, source: SecretVolumeSource, path: &str| {
        volumes.push(Volume {
            name: name.into(),
            secret: Some(source),
            ..Volume::default()
        });
        mounts.push(read_only(mount(name, path)));
    };
    let secret = |name: &str| SecretVolumeSource {
        secret_name: Some(name.to_owned()),
        default_mode: Some(0o440),
        ..SecretVolumeSource::default()
    };
    if let Some(name) = &v.destination.credentials {
        files("s3-keys", secret(name), KEYS);
    }
    if let Some(ca) = &v.destination.ca {
        let source = SecretVolumeSource {
            items: Some(vec![KeyToPath {
                key: ca.key.clone(),
                path: "ca.crt".into(),
                ..KeyToPath::default()
            }]),
            ..secret(&ca.name)
        };
        files("s3-ca", source, AUTHORITY);
    }
    PodSpec {
        service_account_name: v.destination.account.clone(),
        automount_service_account_token: Some(false),
        enable_service_links: Some(false),
        restart_policy: Some("Never".into()),
        termination_grace_period_seconds: Some(GRACE_SECONDS),
        security_context: Some(PodSecurityContext {
            run_as_non_root: Some(true),
            run_as_user: Some(USER),
            run_as_group: Some(USER),
            fs_group: Some(USER),
            seccomp_profile: Some(runtime_default()),
            ..PodSecurityContext::default()
        }),
        init_containers: Some(vec![copy]),
        containers: vec![Container {
            name: agent::CONTAINER.into(),
            image: Some(v.source.image.clone()),
            command: Some(agent::command("backup")),
            env: Some(variables(v)),
            resources: Some(v.resources.clone()),
            security_context: Some(restricted()),
            volume_mounts: Some(mounts),
            ..Container::default()
        }],
        volumes: Some(volumes),
        image_pull_secrets: (!v.source.pull_secrets.is_empty())
            .then(|| v.source.pull_secrets.clone()),
        node_selector: (!v.source.node_selector.is_empty()).then(|| v.source.node_selector.clone()),
        tolerations: (!v.source.tolerations.is_empty()).then(|| v.source.tolerations.clone()),
        priority_class_name: v.source.priority_class.clone(),
        ..PodSpec::default()
    }
}

fn variables(v: &Validated) -> Vec<EnvVar> {
    let mut all = vec![EnvVar {
        name: "DATABASE_URL".into(),
        value: None,
        value_from: Some(EnvVarSource {
            secret_key_ref: Some(SecretKeySelector {
                name: v.source.url.name.clone(),
                key: v.source.url.key.clone(),
                optional: None,
            }),
            ..EnvVarSource::default()
        }),
    }];
    let mut set = |name: &str, value: Option<String>| {
        all.extend(value.map(|value| EnvVar {
            name: name.to_owned(),
            // The kubelet would replace `$(NAME)` in it.
            value: Some(value.replace("$(", "$$(")),
            value_from: None,
        }));
    };
    let d = &v.destination;
    set("PAPERCLIP_AGENT_S3_BUCKET", Some(d.bucket.clone()));
    set("PAPERCLIP_AGENT_S3_PREFIX", Some(d.prefix.clone()));
    set("PAPERCLIP_AGENT_S3_REGION", d.region.clone());
    set("PAPERCLIP_AGENT_S3_ENDPOINT", d.endpoint.clone());
    set(
        "PAPERCLIP_AGENT_S3_FORCE_PATH_STYLE",
        Some(d.path_style.to_string()),
    );
    set(
        "PAPERCLIP_AGENT_S3_CREDENTIALS_DIR",
        d.credentials.as_ref().map(|_| KEYS.to_owned()),
    );
    set(
        "PAPERCLIP_AGENT_S3_CA_FILE",
        d.ca.as_ref().map(|_| format!("{AUTHORITY}/ca.crt")),
    );
    set(
        "PAPERCLIP_AGENT_AGE_RECIPIENTS",
        (!v.recipients.is_empty()).then(|| v.recipients.join(" ")),
    );
    set("PAPERCLIP_AGENT_SPEC", v.spec.clone());
    set("PAPERCLIP_AGENT_ABOUT", Some(v.about.to_string()));
    all
}
