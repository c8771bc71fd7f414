//! The end of a database. What it owns goes by owner references; volume and credentials have none, so they stay, and a new database of the
//! same name takes them up. Only with `deletionPolicy: Delete` they get an owner reference, now and not earlier, so that no foreground
//! deletion of an owner takes data before it is their turn.

use super::super::Caches;
use super::dereference::{Known, secret, sibling};
use crate::crd::database::DatabaseEngine;
use crate::crd::shared::DeletionPolicy;
use crate::crd::{PaperclipDatabase, text};
use crate::shared::api::{ApiError, ApiServer};
use crate::shared::cache::Key;
use crate::shared::names::{API_VERSION, Names, manager};
use crate::shared::wish::Kind;
use k8s_openapi::api::core::v1::{PersistentVolumeClaim, Secret};
use serde_json::{Value, json};

/// Data go with the object. Read from the spec as it is: an object that is refused can be deleted all the same.
pub fn takes_data(object: &PaperclipDatabase) -> bool {
    let spec = &object.spec;
    let outside = spec
        .engine
        .as_ref()
        .is_some_and(|e| *e == DatabaseEngine::External);
    let asked = spec
        .deletion_policy
        .as_ref()
        .is_some_and(|p| *p == DeletionPolicy::Delete);
    asked && !outside
}

/// Gives volume and Secrets to the object, so that they go with it. What is not ours stays.
///
/// # Errors
/// See [`ApiError`].
pub async fn hand_over_data(
    api: &ApiServer,
    caches: &Caches,
    key: &Key,
    object: &PaperclipDatabase,
) -> Result<(), ApiError> {
    let names = Names::of(&key.name);
    let owner = json!([{
        "apiVersion": API_VERSION, "kind": "PaperclipDatabase", "name": &*key.name,
        "uid": object.metadata.uid.as_deref().unwrap_or_default(),
    }]);
    let patch = |uid: &str| json!({"metadata": {"uid": uid, "ownerReferences": owner}});
    let of_user = object
        .spec
        .storage
        .as_ref()
        .is_some_and(|s| text(s.existing_claim.as_ref()).is_some());
    let claim = caches
        .claims
        .get(&sibling(key, &names.database_data()))
        .filter(|seen| !of_user && seen.controller.is_none() && seen.instance == key.name);
    if let Some(claim) = claim {
        let kind = Kind::of::<PersistentVolumeClaim>();
        give(api, &kind, key, &claim.key.name, &patch(&claim.uid)).await?;
    }
    for name in [names.database_credentials(), names.database_app()] {
        if let Known::Present(found) = secret(api, key, &name).await?
            && found.ours
            && found.controller.is_none()
        {
            let kind = Kind::of::<Secret>();
            give(api, &kind, key, &name, &patch(&found.uid)).await?;
        }
    }
    Ok(())
}

async fn give(
    api: &ApiServer,
    kind: &Kind,
    key: &Key,
    name: &str,
    patch: &Value,
) -> Result<(), ApiError> {
    match api
        .merge_patch(kind, &key.namespace, name, manager::DATABASE, patch)
        .await
    {
        // Gone, or replaced by another one, which is not ours to give.
        Err(error) if error.is_not_found() || error.is_conflict() => Ok(()),
        other => other.map(|_| ()),
    }
}
