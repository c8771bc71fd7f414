//! Secrets `N-db-credentials` (generated once, never applied over) and `N-db-app` (derived, what the server mounts).

use super::{kept, owned};
use crate::controllers::database::login::{Login, StoredSecret, app_key, credentials_key};
use crate::controllers::database::validate::{Credentials, Managed, Validated};
use crate::crd::SecretText;
use crate::shared::names::MANAGED_BY;
use crate::shared::wish::{Malformed, Wish};
use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::Secret;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use serde_json::{Map, Value, json};

/// What is done about the Secrets.
#[derive(Default)]
pub enum SecretPlan {
    /// Nothing.
    #[default]
    Untouched,
    /// `N-db-credentials` is created; if it turns out to exist, what it says counts.
    Create {
        /// Its content.
        body: Box<Wish>,
        /// What it says.
        login: Login,
        /// Follows from the login that counts in the end.
        app: AppSecret,
    },
    /// `N-db-credentials` exists.
    Follow {
        /// Keys that it lacks, as a merge patch.
        missing: Option<Value>,
        /// What it says.
        login: Login,
        /// Follows from that.
        app: AppSecret,
    },
    /// `N-db-app` alone.
    App(Box<Wish>),
}

/// `N-db-app` of a database of ours, but for the login.
#[derive(Clone, Debug)]
pub struct AppSecret {
    metadata: ObjectMeta,
    host: String,
}

impl AppSecret {
    /// With this login.
    ///
    /// # Errors
    /// [`Malformed`].
    pub fn wish(&self, login: &Login) -> Result<Wish, Malformed> {
        app(self.metadata.clone(), &login.url(&self.host))
    }
}

/// What is done about the Secrets of a database of ours.
pub fn plan(validated: &Validated, managed: &Managed) -> Result<SecretPlan, Malformed> {
    let follows = AppSecret {
        metadata: kept(validated, validated.names.database_app()),
        host: managed.host.clone(),
    };
    Ok(match &managed.credentials {
        Credentials::Vouched | Credentials::Lost(_) | Credentials::NoRandomness => {
            SecretPlan::Untouched
        }
        Credentials::Make(login) | Credentials::PutBack(login) => SecretPlan::Create {
            body: Box::new(credentials(validated, managed, login)?),
            login: login.clone(),
            app: follows,
        },
        Credentials::Stored { login, secret } => SecretPlan::Follow {
            missing: missing(secret, login, &managed.host),
            login: login.clone(),
            app: follows,
        },
    })
}

/// `N-db-app` of an external database whose URL is in the spec: derived from nothing else, so it goes with the object.
pub fn app_of_url(validated: &Validated, url: &SecretText) -> Result<Wish, Malformed> {
    app(owned(validated, validated.names.database_app()), url)
}

fn credentials(validated: &Validated, managed: &Managed, login: &Login) -> Result<Wish, Malformed> {
    let data = [
        (credentials_key::USERNAME, login.username.as_str()),
        (credentials_key::PASSWORD, login.password.reveal()),
        (credentials_key::URI, login.url(&managed.host).reveal()),
    ]
    .map(|(key, value)| (key.to_owned(), ByteString(value.as_bytes().to_vec())));
    Wish::of(&Secret {
        metadata: kept(validated, validated.names.database_credentials()),
        data: Some(data.into()),
        type_: Some("Opaque".to_owned()),
        ..Secret::default()
    })
}

fn app(metadata: ObjectMeta, url: &SecretText) -> Result<Wish, Malformed> {
    let value = ByteString(url.reveal().as_bytes().to_vec());
    let data = [app_key::URL, app_key::MIGRATION_URL].map(|key| (key.to_owned(), value.clone()));
    Wish::of(&Secret {
        metadata,
        data: Some(data.into()),
        type_: Some("Opaque".to_owned()),
        ..Secret::default()
    })
}

/// What a Secret of ours lacks: the Go operator stored a password only, and the URL follows when somebody edits the password. A Secret
/// that somebody else keeps is left alone.
fn missing(secret: &StoredSecret, login: &Login, host: &str) -> Option<Value> {
    if !secret.ours || secret.made_by.as_deref() != Some(MANAGED_BY) {
        return None;
    }
    let uri = login.url(host);
    let mut data = Map::new();
    if secret.get(credentials_key::USERNAME).is_none() {
        data.insert(credentials_key::USERNAME.into(), json!(login.username));
    }
    if secret.text(credentials_key::URI) != Some(uri.reveal()) {
        data.insert(credentials_key::URI.into(), json!(uri.reveal()));
    }
    // `stringData` is merged over `data` by the API server.
    (!data.is_empty())
        .then(|| json!({"metadata": {"uid": secret.uid, "resourceVersion": secret.version}, "stringData": data}))
}
