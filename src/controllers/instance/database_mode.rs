//! `database.mode` changes while data exist: the PaperclipDatabase is replaced by one of the other engine, or goes without one. Volume and
//! Secrets stay, whatever `deletionPolicy` says, for that is about the end of the Instance; back in the old mode they are taken up again. No
//! data are moved. Must never let go of a PaperclipDatabase that would take its data along.

use super::apply::Done;
use super::observed::Observed;
use super::validate::Validated;
use super::validate::database::Database;
use crate::crd::database::DatabaseEngine;
use crate::crd::instance::InstanceStatus;
use crate::crd::shared::DeletionPolicy;
use crate::crd::{PaperclipDatabase, word};
use crate::shared::apply::{Applier, ApplyError};
use crate::shared::cache::{Cache, Key, Seen};
use crate::shared::guarded::Guarded;
use crate::shared::wish::{Kind, Wish};
use serde_json::json;

/// The engine of what is wanted; `None`: the database is in the server's pod.
fn wanted(v: &Validated<'_>) -> Option<DatabaseEngine> {
    match v.database {
        Database::Embedded => None,
        Database::External(_) => Some(DatabaseEngine::External),
        Database::Managed { options, .. } => Some(if super::build::database::is_cluster(options) {
            DatabaseEngine::CloudNativePg
        } else {
            DatabaseEngine::Managed
        }),
    }
}

/// The engine of what is there; `None`: a newer operator made it.
fn engine(database: &PaperclipDatabase) -> Option<DatabaseEngine> {
    match word(database.spec.engine.as_ref()) {
        Ok(engine) => Some(engine.unwrap_or(DatabaseEngine::Managed)),
        Err(_) => None,
    }
}

const fn called(engine: Option<DatabaseEngine>) -> &'static str {
    match engine {
        None => "the embedded database",
        Some(DatabaseEngine::External) => "an external database",
        Some(DatabaseEngine::Managed) => "a managed database",
        Some(DatabaseEngine::CloudNativePg) => "a CloudNativePG cluster",
    }
}

/// Tells that the server goes to another database, in the pass that begins it.
pub fn moves(
    v: &Validated<'_>,
    before: &Observed,
    status: Option<&InstanceStatus>,
) -> Option<String> {
    let wanted = wanted(v);
    let found = match &before.database {
        Some(seen) if seen.deleting || !is_of(seen, v.id.uid) => return None,
        Some(seen) => match &seen.view {
            Guarded::Ok(database) => Some(engine(database)?),
            Guarded::Undecodable { .. } => return None,
        },
        // Nothing there: it was embedded if the Instance has served without one, and else it is only being made.
        None => {
            let status = status.filter(|s| s.first_ready_time.is_some())?;
            if status
                .children
                .iter()
                .any(|c| c.kind == "PaperclipDatabase")
            {
                return None;
            }
            None
        }
    };
    (found != wanted).then(|| {
        format!(
            "the server goes from {} to {}: no data are moved, and those of before are kept",
            called(found),
            called(wanted)
        )
    })
}

fn is_of(seen: &Seen<Guarded<PaperclipDatabase>>, uid: &str) -> bool {
    seen.controller.as_ref().is_some_and(|c| *c.uid == *uid)
}

/// The PaperclipDatabase becomes what is wanted, is replaced, or goes.
///
/// # Errors
/// See [`ApplyError`].
pub async fn put(
    applier: &Applier<'_>,
    cache: &Cache<Guarded<PaperclipDatabase>>,
    v: &Validated<'_>,
    wish: Option<&Wish>,
) -> Done {
    let key = Key::new(v.id.namespace, v.id.names.main());
    let there = cache.get(&key).filter(|seen| is_of(seen, v.id.uid));
    let stays = there.as_ref().is_none_or(|seen| match &seen.view {
        Guarded::Ok(database) => engine(database).is_none_or(|e| Some(e) == wanted(v)),
        Guarded::Undecodable { .. } => wish.is_some(),
    });
    match (wish, there) {
        // The one of before has not ended yet.
        (Some(_), Some(seen)) if !stays && seen.deleting => Ok(None),
        (Some(wish), _) if stays => Ok(Some(applier.ensure(cache, wish).await?.outcome)),
        (_, Some(seen)) => let_go(applier, cache, &seen, v.id.uid).await,
        (_, None) => Ok(None),
    }
}

async fn let_go(
    applier: &Applier<'_>,
    cache: &Cache<Guarded<PaperclipDatabase>>,
    seen: &Seen<Guarded<PaperclipDatabase>>,
    owner: &str,
) -> Done {
    let kind = Kind::of::<PaperclipDatabase>();
    let takes_data = match &seen.view {
        Guarded::Ok(database) => {
            let policy = database.spec.deletion_policy.as_ref();
            policy.is_some_and(|p| *p == DeletionPolicy::Delete)
        }
        // Nobody knows what its end would take along.
        Guarded::Undecodable { .. } => {
            return Err(ApplyError::Changed {
                kind: kind.kind.to_string(),
                name: seen.key.name.to_string(),
            });
        }
    };
    if takes_data && !seen.deleting {
        let retain = json!({
            "metadata": {"uid": &*seen.uid},
            "spec": {"deletionPolicy": DeletionPolicy::Retain.to_string()},
        });
        let (namespace, name) = (&seen.key.namespace, &seen.key.name);
        let stored = applier
            .api
            .merge_patch(&kind, namespace, name, applier.manager, &retain)
            .await?;
        cache.wrote_as_owner(stored);
    }
    applier.remove(cache, &kind, &seen.key, owner).await?;
    Ok(None)
}
