//! A Job of the agent that works with a database and a bucket, in an image that has PostgreSQL's programs of the database's own version.
//! Keys come as files, the URL as a variable out of its Secret; nothing of them stands in the Job. Pure.

use super::destination::Destination;
use super::files::{FOLDER, Files};
use super::keys::{self, Role};
use super::source::Source;
use crate::crd::SecretKeyRef;
use crate::shared::agent::{self, empty_dir, mount, read_only, restricted, runtime_default};
use crate::shared::names::{Component, labels};
use crate::shared::wish::{Malformed, Wish};
use k8s_openapi::api::batch::v1::{Job, JobSpec};
use k8s_openapi::api::core::v1::{
    Container, EnvVar, EnvVarSource, KeyToPath, PersistentVolumeClaimVolumeSource,
    PodSecurityContext, PodSpec, PodTemplateSpec, ProjectedVolumeSource, ResourceRequirements,
    SecretKeySelector, SecretVolumeSource, SecurityContext, Toleration, Volume,
};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use std::collections::BTreeMap;
use std::time::Duration;

/// A user that no image has files of; nothing is written but below `/tmp`.
const USER: i64 = 65532;
const KEYS: &str = "/etc/paperclip/s3";
const AUTHORITY: &str = "/etc/paperclip/s3-ca";
/// Time to take away what was sent, when the pod has to go.
const GRACE_SECONDS: i64 = 60;

const IDENTITY: &str = "/etc/paperclip/age";
const APP_KEYS: &str = "/etc/paperclip/keys";

/// The server's files in a Job.
#[derive(Clone, Copy, Debug)]
pub struct WithFiles<'a> {
    /// Where they are.
    pub files: &'a Files,
    /// They are written.
    pub writes: bool,
    /// A server has them too: the pod runs on its node.
    pub beside: bool,
}

/// What is to be done.
#[derive(Debug)]
pub struct Task<'a> {
    /// Value of the instance label.
    pub installation: &'a str,
    /// Value of the component label.
    pub component: Component,
    /// Command of the agent.
    pub command: &'static str,
    /// The bucket.
    pub destination: &'a Destination,
    /// The database.
    pub source: &'a Source,
    /// Whom the pod runs as, if it matters.
    pub user: Option<i64>,
    /// Private key that opens backups.
    pub identity: Option<&'a SecretKeyRef>,
    /// The server's files. The pod then runs as the server's user.
    pub files: Option<WithFiles<'a>>,
    /// The installation's keys.
    pub keys: &'a [Role],
    /// Further variables of the agent.
    pub variables: Vec<(&'static str, String)>,
    /// CPU and memory.
    pub resources: &'a ResourceRequirements,
    /// Longest duration.
    pub deadline: Duration,
    /// Image that the agent is copied from.
    pub agent_image: &'a str,
}

/// CPU and memory, unless the spec says otherwise.
pub fn default_resources() -> ResourceRequirements {
    ResourceRequirements {
        requests: Some(
            [("cpu", "50m"), ("memory", "64Mi")]
                .map(|(k, q)| (k.to_owned(), Quantity(q.into())))
                .into(),
        ),
        limits: None,
        claims: None,
    }
}

/// Builds it.
///
/// # Errors
/// [`Malformed`], which is a fault of ours.
pub fn build(metadata: ObjectMeta, task: &Task<'_>) -> Result<Wish, Malformed> {
    Wish::of(&Job {
        metadata,
        spec: Some(JobSpec {
            backoff_limit: Some(agent::RETRIES),
            active_deadline_seconds: Some(
                i64::try_from(task.deadline.as_secs()).unwrap_or(i64::MAX),
            ),
            pod_failure_policy: Some(agent::failure_policy()),
            template: PodTemplateSpec {
                metadata: Some(ObjectMeta {
                    labels: Some(labels(task.installation, task.component)),
                    ..ObjectMeta::default()
                }),
                spec: Some(pod(task)),
            },
            ..JobSpec::default()
        }),
        status: None,
    })
}

fn pod(task: &Task<'_>) -> PodSpec {
    let (mut copy, agent_volume) = agent::copied_from(task.agent_image, "IfNotPresent");
    let confined = SecurityContext {
        run_as_non_root: Some(!task.files.is_some_and(|with| with.files.are_roots())),
        ..restricted()
    };
    copy.security_context = Some(confined.clone());
    let mut volumes = vec![agent_volume, empty_dir("tmp", None)];
    let mut mounts = vec![agent::mounted(), mount("tmp", "/tmp")];
    let security = security(task);
    // Without a group of the volumes nobody but the kubelet could read them.
    let mode = if security.fs_group.is_some() {
        0o440
    } else {
        0o444
    };
    if let Some(with) = &task.files {
        volumes.push(Volume {
            name: "files".into(),
            persistent_volume_claim: Some(PersistentVolumeClaimVolumeSource {
                claim_name: with.files.claim.clone(),
                read_only: None,
            }),
            ..Volume::default()
        });
        let mounted = mount("files", FOLDER);
        mounts.push(if with.writes {
            mounted
        } else {
            read_only(mounted)
        });
    }
    if !task.keys.is_empty() {
        volumes.push(Volume {
            name: "app-keys".into(),
            projected: Some(ProjectedVolumeSource {
                default_mode: Some(mode),
                ..keys::volume(task.keys)
            }),
            ..Volume::default()
        });
        mounts.push(read_only(mount("app-keys", APP_KEYS)));
    }
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
        default_mode: Some(mode),
        ..SecretVolumeSource::default()
    };
    if let Some(name) = &task.destination.credentials {
        files("s3-keys", secret(name), KEYS);
    }
    let one_key = |reference: &SecretKeyRef, path: &str| SecretVolumeSource {
        items: Some(vec![KeyToPath {
            key: reference.key.clone(),
            path: path.to_owned(),
            ..KeyToPath::default()
        }]),
        ..secret(&reference.name)
    };
    if let Some(ca) = &task.destination.ca {
        files("s3-ca", one_key(ca, "ca.crt"), AUTHORITY);
    }
    if let Some(identity) = task.identity {
        files("age-identity", one_key(identity, "identity"), IDENTITY);
    }
    let (node_selector, tolerations) = nodes(task);
    PodSpec {
        service_account_name: task.destination.account.clone(),
        automount_service_account_token: Some(false),
        enable_service_links: Some(false),
        restart_policy: Some("Never".into()),
        termination_grace_period_seconds: Some(GRACE_SECONDS),
        security_context: Some(security),
        affinity: task
            .files
            .filter(|with| with.beside)
            .and_then(|with| with.files.affinity(task.installation)),
        init_containers: Some(vec![copy]),
        containers: vec![Container {
            name: agent::CONTAINER.into(),
            image: Some(task.source.image.clone()),
            command: Some(agent::command(task.command)),
            env: Some(variables(task)),
            resources: Some(task.resources.clone()),
            security_context: Some(confined),
            volume_mounts: Some(mounts),
            ..Container::default()
        }],
        volumes: Some(volumes),
        image_pull_secrets: (!task.source.pull_secrets.is_empty())
            .then(|| task.source.pull_secrets.clone()),
        node_selector: (!node_selector.is_empty()).then(|| node_selector.clone()),
        tolerations: (!tolerations.is_empty()).then(|| tolerations.to_vec()),
        priority_class_name: task.source.priority_class.clone(),
        ..PodSpec::default()
    }
}

/// Whom the pod runs as: with the server's files as the server, so that it can read all of them, and what it writes belongs to the server.
fn security(task: &Task<'_>) -> PodSecurityContext {
    if let Some(with) = &task.files {
        return with.files.security.clone();
    }
    let user = Some(task.user.unwrap_or(USER));
    PodSecurityContext {
        run_as_non_root: Some(true),
        run_as_user: user,
        run_as_group: user,
        fs_group: user,
        seccomp_profile: Some(runtime_default()),
        ..PodSecurityContext::default()
    }
}

/// Where the pod may run: with the server's files where the server may.
fn nodes<'a>(task: &Task<'a>) -> (&'a BTreeMap<String, String>, &'a [Toleration]) {
    match task.files {
        Some(with) => (&with.files.node_selector, &with.files.tolerations),
        None => (&task.source.node_selector, &task.source.tolerations),
    }
}

fn variables(task: &Task<'_>) -> Vec<EnvVar> {
    let mut all = vec![EnvVar {
        name: "DATABASE_URL".into(),
        value: None,
        value_from: Some(EnvVarSource {
            secret_key_ref: Some(SecretKeySelector {
                name: task.source.url.name.clone(),
                key: task.source.url.key.clone(),
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
    let d = &task.destination;
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
        "PAPERCLIP_AGENT_AGE_IDENTITY_FILE",
        task.identity.map(|_| format!("{IDENTITY}/identity")),
    );
    set(
        "PAPERCLIP_AGENT_FILES_DIR",
        task.files.map(|_| FOLDER.to_owned()),
    );
    set(
        "PAPERCLIP_AGENT_KEYS",
        (!task.keys.is_empty()).then(|| keys::told(task.keys, task.installation)),
    );
    for (name, value) in &task.variables {
        set(name, Some(value.clone()));
    }
    all
}
