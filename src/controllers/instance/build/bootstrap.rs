//! The Job that makes the first admin, before anybody can reach the server. The agent starts a server of its own in it, on loopback. Only
//! for an embedded database it sees the data volume, which nobody else uses then. Pure.

use super::{Setting, env, job, pod};
use crate::controllers::instance::validate::Validated;
use crate::controllers::instance::validate::admin::{Admin, PASSWORD_KEY};
use crate::shared::agent::{mount, read_only};
use crate::shared::names::{ANNOTATION_APPLIED_HASH, Component};
use hmac::{Hmac, Mac};
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::{EnvVar, KeyToPath, SecretVolumeSource, Volume, VolumeMount};
use sha2::Sha256;

const VOLUME: &str = "paperclip-admin";
const FOLDER: &str = "/etc/paperclip/admin";

/// What tells one try from another: the data, and who is to be made. Keyed, so that nobody can guess a weak password from it.
pub fn stamp(key: &[u8], database_uid: &str, admin: &Admin<'_>, password: &[u8]) -> Option<String> {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).ok()?;
    for part in [admin.email.as_bytes(), admin.name.as_bytes(), password] {
        mac.update(&(part.len() as u64).to_be_bytes());
        mac.update(part);
    }
    let mut hex = crate::shared::random::hex(&mac.finalize().into_bytes());
    hex.truncate(16);
    Some(format!("{}.{hex}", of_data(database_uid)))
}

/// The part of a stamp that tells which data it is about.
pub fn of_data(database_uid: &str) -> String {
    super::migration::hash("", database_uid, None)
}

/// The Job, with this stamp.
pub fn build(v: &Validated<'_>, s: &Setting<'_>, admin: &Admin<'_>, stamp: &str) -> Job {
    let text = |name: &str, value: &str| EnvVar {
        name: name.into(),
        // Text is text: Kubernetes must not expand it.
        value: Some(value.replace("$(", "$$(")),
        value_from: None,
    };
    let mut env = env::bootstrap(&env::server(v, s.connection, s.ipv6));
    env.push(text("PAPERCLIP_AGENT_ADMIN_EMAIL", admin.email));
    env.push(text("PAPERCLIP_AGENT_ADMIN_NAME", admin.name));
    let name = v.id.names.bootstrap();
    let task = job::Task {
        name: &name,
        component: Component::Bootstrap,
        command: "bootstrap",
        env,
        requests: ["250m", "512Mi"],
        deadline: 600,
        home: (!v.database.has_child()).then(|| pod::data_volume(v)),
        own: Some(password(admin)),
    };
    let mut job = job::build(v, s, task);
    job.metadata.annotations = Some([(ANNOTATION_APPLIED_HASH.into(), stamp.into())].into());
    job
}

/// As a file: it reaches the agent byte for byte.
fn password(admin: &Admin<'_>) -> (Volume, VolumeMount) {
    let volume = Volume {
        name: VOLUME.into(),
        secret: Some(SecretVolumeSource {
            secret_name: Some(admin.password.name.clone().into_owned()),
            items: Some(vec![KeyToPath {
                key: admin.password.key.clone().into_owned(),
                path: PASSWORD_KEY.into(),
                ..KeyToPath::default()
            }]),
            default_mode: Some(0o440),
            ..SecretVolumeSource::default()
        }),
        ..Volume::default()
    };
    let mount = read_only(mount(VOLUME, FOLDER));
    (volume, mount)
}
