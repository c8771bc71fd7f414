//! What a PaperclipDatabase refers to. Objects that are watched come from the caches; Secrets and claims of users are read only when the
//! status does not vouch for them, so that databases at rest cost no call, also at a start of the operator.

use super::super::Caches;
use super::login::StoredSecret;
use crate::crd::database::DatabaseEngine;
use crate::crd::{PaperclipDatabase, text, word};
use crate::shared::api::{ApiError, ApiServer};
use crate::shared::cache::{Key, Seen, View as _};
use crate::shared::names::Names;
use crate::shared::views::{Claim, Workload};
use crate::shared::wish::Kind;
use k8s_openapi::api::core::v1::{PersistentVolumeClaim, Secret};
use std::sync::Arc;

/// Something that may not have been read.
#[derive(Clone, Debug)]
pub enum Known<T> {
    /// Not read: it was in order when the status was written.
    Vouched,
    /// It is not there.
    Absent,
    /// It is there.
    Present(T),
}

/// A claim that is there.
#[derive(Clone, Debug, Default)]
pub struct FoundClaim {
    /// What was read of it.
    pub view: Claim,
    /// Being deleted.
    pub deleting: bool,
}

/// What was found.
#[derive(Debug)]
pub struct Found {
    /// `N-db-credentials`.
    pub credentials: Known<StoredSecret>,
    /// `N-db-app`.
    pub app: Known<StoredSecret>,
    /// The user's Secret with the URL of an external database.
    pub external: Known<StoredSecret>,
    /// The claim with the data.
    pub claim: Known<FoundClaim>,
    /// `N-db`.
    pub stateful_set: Option<Arc<Seen<Workload>>>,
}

/// Reading failed.
#[derive(Debug, thiserror::Error)]
pub enum DereferenceError {
    /// The API server, see there.
    #[error(transparent)]
    Api(#[from] ApiError),
}

impl DereferenceError {
    /// PascalCase.
    pub fn reason(&self) -> &str {
        match self {
            Self::Api(e) => e.reason(),
        }
    }
}

/// Reads. `look`: the status does not vouch for what is not watched.
///
/// # Errors
/// See [`DereferenceError`]. That something is not there is no error.
pub async fn read(
    api: &ApiServer,
    caches: &Caches,
    key: &Key,
    object: &PaperclipDatabase,
    look: bool,
) -> Result<Found, DereferenceError> {
    let names = Names::of(&key.name);
    let engine = word(object.spec.engine.as_ref()).ok().flatten();
    let stateful_set = caches.stateful_sets.get(&sibling(key, &names.database()));
    let nothing = || Found {
        credentials: Known::Vouched,
        app: Known::Vouched,
        external: Known::Vouched,
        claim: Known::Vouched,
        stateful_set: stateful_set.clone(),
    };
    match engine.unwrap_or(DatabaseEngine::Managed) {
        DatabaseEngine::CloudNativePg => Ok(nothing()),
        DatabaseEngine::External => {
            let reference = object
                .spec
                .external
                .as_ref()
                .and_then(|e| e.url_secret_ref.as_ref());
            let mut found = nothing();
            match reference {
                _ if !look => {}
                Some(reference) => {
                    found.external = secret(api, key, &reference.name).await?;
                }
                None => found.app = secret(api, key, &names.database_app()).await?,
            }
            Ok(found)
        }
        DatabaseEngine::Managed => {
            let mut found = nothing();
            found.claim = claim(api, caches, key, object, look).await?;
            if look {
                let new = object
                    .status
                    .as_ref()
                    .is_none_or(|s| s.connection_secret_ref.is_none() && s.version.is_none());
                (found.credentials, found.app) = if new && matches!(found.claim, Known::Absent) {
                    // They are created, not applied: if they exist after all, that is noticed then.
                    (Known::Absent, Known::Absent)
                } else {
                    let (credentials, app) = (names.database_credentials(), names.database_app());
                    futures::try_join!(secret(api, key, &credentials), secret(api, key, &app))?
                };
            }
            Ok(found)
        }
    }
}

/// An object of this name in the same namespace.
pub fn sibling(key: &Key, name: &str) -> Key {
    Key {
        namespace: key.namespace.clone(),
        name: name.into(),
    }
}

async fn claim(
    api: &ApiServer,
    caches: &Caches,
    key: &Key,
    object: &PaperclipDatabase,
    look: bool,
) -> Result<Known<FoundClaim>, ApiError> {
    let storage = object.spec.storage.as_deref();
    if let Some(name) = storage.and_then(|s| text(s.existing_claim.as_ref())) {
        return if look {
            live_claim(api, key, name).await
        } else {
            Ok(Known::Vouched)
        };
    }
    let name = Names::of(&key.name).database_data();
    if let Some(seen) = caches.claims.get(&sibling(key, &name)) {
        return Ok(Known::Present(FoundClaim {
            view: seen.view.clone(),
            deleting: seen.deleting,
        }));
    }
    // It may only have lost the label that we watch by. Rare, and too important to guess.
    if object.status.as_ref().is_some_and(|s| s.version.is_some()) {
        return live_claim(api, key, &name).await;
    }
    Ok(Known::Absent)
}

async fn live_claim(api: &ApiServer, key: &Key, name: &str) -> Result<Known<FoundClaim>, ApiError> {
    let kind = Kind::of::<PersistentVolumeClaim>();
    Ok(match api.get(&kind, &key.namespace, name).await? {
        None => Known::Absent,
        Some(object) => Known::Present(FoundClaim {
            deleting: object["metadata"]["deletionTimestamp"].is_string(),
            view: Claim::read(object),
        }),
    })
}

/// Reads a Secret of the namespace.
///
/// # Errors
/// All but "not found".
pub async fn secret(
    api: &ApiServer,
    key: &Key,
    name: &str,
) -> Result<Known<StoredSecret>, ApiError> {
    let kind = Kind::of::<Secret>();
    Ok(api
        .get(&kind, &key.namespace, name)
        .await?
        .map_or(Known::Absent, |object| {
            Known::Present(StoredSecret::read(object, &key.name))
        }))
}
