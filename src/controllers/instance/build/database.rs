//! The PaperclipDatabase of an Instance. What the Instance leaves open stays open: its controller knows the defaults. Pure.

use super::owned;
use crate::controllers::instance::validate::Validated;
use crate::controllers::instance::validate::database::{Database, External};
use crate::crd::database::{
    DatabaseCluster, DatabaseCredentials, DatabaseEngine, DatabaseExternal, DatabaseStorage,
    PaperclipDatabaseSpec,
};
use crate::crd::instance::DatabaseManaged;
use crate::crd::shared::{DeletionPolicy, ManagedEngine};
use crate::crd::{PaperclipDatabase, PullSecret, Word};
use crate::shared::names::Component;

/// `None`: the database is in the server's pod.
pub fn build(v: &Validated<'_>) -> Option<PaperclipDatabase> {
    build_as(v, v.database, v.id.names.main())
}

/// The one that is asked while the server stays with another one.
pub fn build_next(v: &Validated<'_>, next: Database<'_>) -> Option<PaperclipDatabase> {
    build_as(v, next, &v.id.names.next_database())
}

fn build_as(v: &Validated<'_>, database: Database<'_>, name: &str) -> Option<PaperclipDatabase> {
    let mut spec = match database {
        Database::Embedded => return None,
        Database::Managed {
            options,
            ignore_size,
        } => managed(options, ignore_size),
        Database::External(external) => PaperclipDatabaseSpec {
            engine: Some(DatabaseEngine::External.into()),
            external: Some(match external {
                External::Secret(reference) => DatabaseExternal {
                    url_secret_ref: Some(reference.clone()),
                    url: None,
                },
                External::Literal(url) => DatabaseExternal {
                    url_secret_ref: None,
                    url: Some(url.clone()),
                },
            }),
            ..PaperclipDatabaseSpec::default()
        },
    };
    if !matches!(database, Database::External(_)) {
        spec.node_selector = v.pod.node_selector.clone();
        spec.tolerations = v.pod.tolerations.to_vec();
        spec.image_pull_secrets = v
            .image
            .pull_secrets
            .iter()
            .map(|name| PullSecret {
                name: (*name).to_owned(),
            })
            .collect();
    }
    if v.delete_data {
        spec.deletion_policy = Some(DeletionPolicy::Delete.into());
    }
    let mut child = PaperclipDatabase::new(name, spec);
    child.metadata = owned(&v.id, name, Component::Database);
    Some(child)
}

/// CloudNativePG is to run it.
pub fn is_cluster(options: Option<&DatabaseManaged>) -> bool {
    options
        .and_then(|o| o.engine.as_ref())
        .is_some_and(|e| *e == ManagedEngine::CloudNativePg)
}

fn managed(options: Option<&DatabaseManaged>, ignore_size: bool) -> PaperclipDatabaseSpec {
    let Some(o) = options else {
        return PaperclipDatabaseSpec {
            engine: Some(DatabaseEngine::Managed.into()),
            ..PaperclipDatabaseSpec::default()
        };
    };
    let cluster = is_cluster(Some(o));
    let storage = DatabaseStorage {
        size: o
            .storage_size
            .as_ref()
            .filter(|_| !ignore_size)
            .map(crate::shared::quantity::canonical),
        storage_class_name: filled(o.storage_class.as_ref()),
        existing_claim: filled(o.existing_claim.as_ref()),
        auto_grow: o.auto_grow.clone(),
    };
    let resources = o
        .resources
        .clone()
        .filter(|r| r.requests.is_some() || r.limits.is_some());
    PaperclipDatabaseSpec {
        engine: Some(Word::Known(if cluster {
            DatabaseEngine::CloudNativePg
        } else {
            DatabaseEngine::Managed
        })),
        version: o.version,
        image: filled(o.image.as_ref()),
        storage: (storage != DatabaseStorage::default()).then(|| Box::new(storage)),
        resources,
        parameters: o.parameters.clone(),
        credentials: o.rotation.clone().map(|rotation| DatabaseCredentials {
            rotation: Some(rotation),
        }),
        tls: o.tls.clone(),
        cluster: o
            .instances
            .filter(|_| cluster)
            .map(|n| DatabaseCluster { instances: Some(n) }),
        upgrade: o.upgrade.clone(),
        ..PaperclipDatabaseSpec::default()
    }
}

fn filled(text: Option<&String>) -> Option<String> {
    crate::crd::text(text).map(str::to_owned)
}
