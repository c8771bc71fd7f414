//! Role and password of the application, and the connection URL made of them. Pure. Must never show a password: not in `Debug`, not in an
//! error.

use crate::crd::SecretText;
use k8s_openapi::api::core::v1::Secret;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};
use serde_json::Value;
use std::borrow::Cow;
use std::collections::BTreeMap;
use url::Url;

/// Name of the role and of the database.
pub const ROLE: &str = "paperclip";
/// Port of PostgreSQL.
pub const PORT: u16 = 5432;
/// What is escaped in a login within a URL: all but letters, digits and four harmless signs.
const RESERVED: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'_')
    .remove(b'.')
    .remove(b'~');
/// Keys of `N-db-credentials`.
pub mod credentials_key {
    /// Name of the role.
    pub const USERNAME: &str = "username";
    /// Its password.
    pub const PASSWORD: &str = "password";
    /// Connection URL, for people and other programs.
    pub const URI: &str = "uri";
}
/// Keys of `N-db-app`, named as the application's environment variables.
pub mod app_key {
    /// Connection URL.
    pub const URL: &str = "DATABASE_URL";
    /// Connection URL for migrations.
    pub const MIGRATION_URL: &str = "DATABASE_MIGRATION_URL";
}

/// A Secret as it was read.
#[derive(Clone, Default)]
pub struct StoredSecret {
    data: BTreeMap<String, Vec<u8>>,
    /// Uid.
    pub uid: String,
    /// Version that was read.
    pub version: String,
    /// Carries the labels of this installation.
    pub ours: bool,
    /// Controlling owner, `Kind "name"`, and its uid.
    pub controller: Option<(String, String)>,
    /// Any owner at all with this uid.
    pub owners: Vec<String>,
    /// What its label says that made it.
    pub made_by: Option<String>,
}

impl StoredSecret {
    /// Reads it; `instance` is the name that its label must have. What cannot be decoded counts as absent.
    pub fn read(object: Value, instance: &str) -> Self {
        use crate::shared::names::{LABEL_INSTANCE, LABEL_MANAGED_BY, LABEL_NAME};
        let label = |key: &str| {
            object["metadata"]["labels"][key]
                .as_str()
                .map(ToOwned::to_owned)
        };
        let ours = label(LABEL_NAME).as_deref() == Some("paperclip")
            && label(LABEL_INSTANCE).as_deref() == Some(instance);
        let made_by = label(LABEL_MANAGED_BY);
        let secret: Secret = serde_json::from_value(object).unwrap_or_default();
        let owners = secret.metadata.owner_references.unwrap_or_default();
        Self {
            data: secret
                .data
                .unwrap_or_default()
                .into_iter()
                .map(|(key, value)| (key, value.0))
                .collect(),
            uid: secret.metadata.uid.unwrap_or_default(),
            version: secret.metadata.resource_version.unwrap_or_default(),
            ours,
            controller: owners
                .iter()
                .find(|o| o.controller == Some(true))
                .map(|o| (format!("{} \"{}\"", o.kind, o.name), o.uid.clone())),
            owners: owners.into_iter().map(|o| o.uid).collect(),
            made_by,
        }
    }

    /// The value of a key, if it is there and not empty.
    pub fn get(&self, key: &str) -> Option<&[u8]> {
        self.data
            .get(key)
            .map(Vec::as_slice)
            .filter(|v| !v.is_empty())
    }

    /// The value of a key as text.
    pub fn text(&self, key: &str) -> Option<&str> {
        std::str::from_utf8(self.get(key)?).ok()
    }

    /// Holds everything that `wanted` does: its keys with their values, and its owners.
    pub fn holds(&self, wanted: &Self) -> bool {
        wanted
            .data
            .iter()
            .all(|(key, value)| self.data.get(key) == Some(value))
            && wanted.owners.iter().all(|uid| self.owners.contains(uid))
    }

    /// The keys, for messages.
    pub fn keys(&self) -> Vec<&str> {
        self.data.keys().map(String::as_str).collect()
    }
}

impl std::fmt::Debug for StoredSecret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("StoredSecret")
            .field("keys", &self.keys())
            .finish_non_exhaustive()
    }
}

/// Role and password.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Login {
    /// Name of the role.
    pub username: String,
    /// Its password.
    pub password: SecretText,
}

impl Login {
    /// The usual role with this password.
    pub fn new(password: String) -> Self {
        Self {
            username: ROLE.to_owned(),
            password: password.into(),
        }
    }

    /// From `N-db-credentials`: a password is needed, and it must be text, because it stands in a URL.
    pub fn of_credentials(secret: &StoredSecret) -> Option<Self> {
        Some(Self {
            username: secret
                .text(credentials_key::USERNAME)
                .unwrap_or(ROLE)
                .to_owned(),
            password: secret.text(credentials_key::PASSWORD)?.to_owned().into(),
        })
    }

    /// From `N-db-app`, whose URL holds them too.
    pub fn of_app(secret: &StoredSecret) -> Option<Self> {
        let url = Url::parse(secret.text(app_key::URL)?).ok()?;
        let decode = |text: &str| {
            percent_decode_str(text)
                .decode_utf8()
                .ok()
                .map(Cow::into_owned)
        };
        let (username, password) = (decode(url.username())?, decode(url.password()?)?);
        (!username.is_empty() && !password.is_empty()).then(|| Self {
            username,
            password: password.into(),
        })
    }

    /// The connection URL for the database at `host`.
    pub fn url(&self, host: &str) -> SecretText {
        let encode = |text| utf8_percent_encode(text, RESERVED);
        let (username, password) = (encode(&self.username), encode(self.password.reveal()));
        format!("postgres://{username}:{password}@{host}:{PORT}/{ROLE}?sslmode=disable").into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::shared::names::{Component, labels};
    use k8s_openapi::ByteString;
    use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

    fn secret(data: &[(&str, &str)]) -> StoredSecret {
        let secret = Secret {
            metadata: ObjectMeta {
                labels: Some(labels("n", Component::Database)),
                ..ObjectMeta::default()
            },
            data: Some(
                data.iter()
                    .map(|(k, v)| ((*k).to_owned(), ByteString((*v).into())))
                    .collect(),
            ),
            ..Secret::default()
        };
        StoredSecret::read(serde_json::to_value(secret).unwrap(), "n")
    }

    #[test]
    fn a_password_survives_the_way_into_a_url_and_back() {
        for password in ["abcDEF123", "p@ss:w/ord?#% &ü+", "%41"] {
            let login = Login::new(password.to_owned());
            let url = login.url("n-db.ns.svc.cluster.local");
            let again = Login::of_app(&secret(&[(app_key::URL, url.reveal())]));
            assert_eq!(again.as_ref(), Some(&login), "{password}");
        }
    }

    #[test]
    fn the_url_is_what_the_application_reads() {
        assert_eq!(
            Login::new("pw".into())
                .url("n-db.ns.svc.cluster.local")
                .reveal(),
            "postgres://paperclip:pw@n-db.ns.svc.cluster.local:5432/paperclip?sslmode=disable"
        );
    }

    #[test]
    fn credentials_without_a_password_are_none() {
        assert_eq!(Login::of_credentials(&secret(&[("username", "x")])), None);
        assert_eq!(Login::of_credentials(&secret(&[("password", "")])), None);
        let found = Login::of_credentials(&secret(&[("password", "x")])).unwrap();
        assert_eq!(found.username, ROLE);
    }

    #[test]
    fn nothing_shows_a_password() {
        let secret = secret(&[("password", "hunter2")]);
        let login = Login::of_credentials(&secret).unwrap();
        let shown = format!("{secret:?} {login:?} {:?}", login.url("h"));
        assert!(!shown.contains("hunter2"), "{shown}");
        assert!(secret.ours);
    }
}
