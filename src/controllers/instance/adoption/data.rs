//! First of all: what must outlive the Instance is taken out of the garbage collector's reach. The earlier operator gave claims and keys
//! an owner reference, so they would go with the Instance. Must never touch their content, and nothing that does not name this Instance
//! as its owner.

use crate::controllers::Caches;
use crate::controllers::instance::retained::{self, RetainedError};
use crate::controllers::instance::validate::names::Identity;
use crate::crd::Instance;
use crate::shared::api::ApiServer;
use crate::shared::cache::{Cache, Key, View};
use crate::shared::names::{Component, GO_FINALIZER};
use crate::shared::wish::Kind;
use futures::future::try_join_all;
use k8s_openapi::api::core::v1::{PersistentVolumeClaim, Secret};

/// Something may still have an owner: the Instance has the earlier operator's finalizer, or a claim or the Service is as that operator
/// left it. Costs no call.
pub fn may_be_owned(instance: &Instance, caches: &Caches, id: &Identity<'_>) -> bool {
    let finalizers = instance.metadata.finalizers.iter().flatten();
    let key = |name: &str| Key::new(id.namespace, name);
    finalizers.into_iter().any(|f| f == GO_FINALIZER)
        || owns(&caches.claims, &key(&id.names.data()), id)
        || owns(&caches.claims, &key(&id.names.database_data()), id)
        || is_unapplied(&caches.services, &key(id.names.main()), id)
}

/// Objects that were made for this Instance, but not by us.
pub fn earlier_objects(caches: &Caches, id: &Identity<'_>) -> bool {
    let key = Key::new(id.namespace, id.names.main());
    is_unapplied(&caches.services, &key, id)
        || is_unapplied(&caches.stateful_sets, &key, id)
        || is_unapplied(&caches.deployments, &key, id)
}

fn owns<V: View>(cache: &Cache<V>, key: &Key, id: &Identity<'_>) -> bool {
    let seen = cache.get(key);
    seen.is_some_and(|s| s.controller.as_ref().is_some_and(|c| *c.uid == *id.uid))
}

fn is_unapplied<V: View>(cache: &Cache<V>, key: &Key, id: &Identity<'_>) -> bool {
    owns(cache, key, id) && cache.get(key).is_some_and(|s| s.owned.is_none())
}

/// Takes owner references to the Instance off, puts labels on, and says what was changed.
///
/// # Errors
/// See [`RetainedError`]; what was done so far is done, and the rest is done by the next try.
pub async fn release(
    api: &ApiServer,
    caches: &Caches,
    id: &Identity<'_>,
) -> Result<Vec<String>, RetainedError> {
    let claims = Kind::of::<PersistentVolumeClaim>();
    let secrets = Kind::of::<Secret>();
    let (claims, secrets) = (&claims, &secrets);
    let all = [
        (claims, id.names.database_data(), Component::Database),
        (claims, id.names.data(), Component::Server),
        (
            secrets,
            id.names.database_credentials(),
            Component::Database,
        ),
        (secrets, id.names.master_key(), Component::Server),
    ];
    let done = try_join_all(all.into_iter().map(|(kind, name, component)| async move {
        let Some(live) = api.get(kind, id.namespace, &name).await? else {
            return Ok(None);
        };
        let owners = live["metadata"]["ownerReferences"].as_array();
        if !owners.into_iter().flatten().any(|r| r["uid"] == *id.uid) {
            return Ok(None);
        }
        let marks = retained::marks(&live, id, component);
        let stored = retained::patched(api, kind, &name, id, &live, marks).await?;
        if kind == claims {
            caches.claims.wrote_as_owner(stored);
        }
        Ok::<_, RetainedError>(Some(name))
    }))
    .await?;
    Ok(done.into_iter().flatten().collect())
}
