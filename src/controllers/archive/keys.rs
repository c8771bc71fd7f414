//! The keys of an installation as a Job of the agent sees them: files that the kubelet mounts. The operator does not read them. Pure.

use crate::controllers::instance::build::secrets::Generated;
use crate::controllers::instance::validate::findings::Findings;
use crate::controllers::instance::validate::keys;
use crate::controllers::instance::validate::names::Identity;
use crate::crd::instance::InstanceSpec;
use crate::shared::names::{Component, labels};
use k8s_openapi::api::core::v1::{
    KeyToPath, ProjectedVolumeSource, SecretProjection, VolumeProjection,
};
use serde_json::{Value, json};

/// The keys of one purpose.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Role {
    /// Which.
    pub of: Generated,
    /// Name of the Secret.
    pub secret: String,
    /// Keys in it.
    pub keys: Vec<String>,
    /// The operator makes this Secret.
    pub ours: bool,
}

/// The word for it in a backup.
pub const fn word(of: Generated) -> &'static str {
    match of {
        Generated::Master => "master",
        Generated::Session => "session",
        Generated::App => "app",
        Generated::Admin => "admin",
    }
}

/// Of an Instance. Its first admin's password is among them, but nobody needs it any more.
pub fn of(spec: &InstanceSpec, id: &Identity<'_>) -> Vec<Role> {
    let keys = keys::keys(spec, id, &[], &mut Findings::default());
    let given = |of, reference: &keys::KeyRef<'_>, ours| Role {
        of,
        secret: reference.name.clone().into_owned(),
        keys: vec![reference.key.clone().into_owned()],
        ours,
    };
    let made = |of: Generated| Role {
        of,
        secret: of.name(id),
        keys: of.keys().iter().map(|key| (*key).to_owned()).collect(),
        ours: true,
    };
    vec![
        given(Generated::Master, &keys.master, keys.make_master),
        given(Generated::Session, &keys.session, keys.make_session),
        made(Generated::App),
        made(Generated::Admin),
    ]
}

/// As they are mounted: a folder for each role.
pub fn volume(roles: &[Role]) -> ProjectedVolumeSource {
    let sources = roles.iter().map(|role| {
        let items = role.keys.iter().map(|key| KeyToPath {
            key: key.clone(),
            path: format!("{}/{key}", word(role.of)),
            ..KeyToPath::default()
        });
        VolumeProjection {
            secret: Some(SecretProjection {
                name: role.secret.clone(),
                items: Some(items.collect()),
                optional: None,
            }),
            ..VolumeProjection::default()
        }
    });
    ProjectedVolumeSource {
        sources: Some(sources.collect()),
        ..ProjectedVolumeSource::default()
    }
}

/// What the agent is told of them.
pub fn told(roles: &[Role], installation: &str) -> String {
    let all: Vec<Value> = roles
        .iter()
        .map(|role| {
            json!({
                "role": word(role.of),
                "metadata": {"name": role.secret, "labels": labels(installation, Component::Server)},
            })
        })
        .collect();
    Value::Array(all).to_string()
}
