//! The generated keys. They are created once and never applied over: a key that exists is never written again. Pure; the random bytes
//! come in.

use super::kept;
use crate::controllers::instance::operator_key::TOKEN_KEY;
use crate::controllers::instance::validate::admin::{EMAIL_KEY, PASSWORD_KEY};
use crate::controllers::instance::validate::keys::{APP_KEYS, HASH_KEY, MASTER_KEY, SESSION_KEY};
use crate::controllers::instance::validate::names::Identity;
use crate::crd::SecretText;
use crate::shared::names::{ANNOTATION_APPLIED_HASH, Component};
use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::Secret;
use serde_json::{Value, json};

/// Which Secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Generated {
    /// Encrypts stored secrets.
    Master,
    /// Signs sessions.
    Session,
    /// Signing keys, and the key of the config hash.
    App,
    /// The first admin's e-mail address and password.
    Admin,
}

impl Generated {
    /// Its name.
    pub fn name(self, id: &Identity<'_>) -> String {
        match self {
            Self::Master => id.names.master_key(),
            Self::Session => id.names.auth(),
            Self::App => id.names.app_keys(),
            Self::Admin => id.names.admin(),
        }
    }
    /// The keys that it must hold.
    pub const fn keys(self) -> &'static [&'static str] {
        match self {
            Self::Master => &[MASTER_KEY],
            Self::Session => &[SESSION_KEY],
            Self::App => &[APP_KEYS[0], APP_KEYS[1], APP_KEYS[2], HASH_KEY],
            Self::Admin => &[EMAIL_KEY, PASSWORD_KEY],
        }
    }
}

/// A Secret with these keys, each with the next of `values`.
pub fn build(
    which: Generated,
    id: &Identity<'_>,
    keys: &[&str],
    values: impl IntoIterator<Item = String>,
) -> Secret {
    Secret {
        metadata: kept(id, &which.name(id), Component::Server),
        data: Some(
            keys.iter()
                .map(|k| (*k).to_owned())
                .zip(values.into_iter().map(|r| ByteString(r.into_bytes())))
                .collect(),
        ),
        type_: Some("Opaque".into()),
        ..Secret::default()
    }
}

/// Secret `N-operator-token`, as it is sent. `of`: the data that know the key.
pub fn operator_token(id: &Identity<'_>, of: &str, token: &SecretText) -> Value {
    let mut metadata = kept(id, &id.names.operator_token(), Component::Server);
    metadata.annotations = Some([(ANNOTATION_APPLIED_HASH.to_owned(), of.to_owned())].into());
    json!({
        "apiVersion": "v1", "kind": "Secret", "metadata": metadata, "type": "Opaque",
        "stringData": {TOKEN_KEY: token.reveal()},
    })
}
