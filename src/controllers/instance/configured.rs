//! The hash of what the server's pods are configured with: computed when there was a look, known otherwise, and never guessed. A wrong one
//! would restart every server.

use super::build::config_hash::config_hash;
use super::build::env;
use super::build::pod::Connection;
use super::build::tailscale;
use super::found::Found;
use super::memory::Remembered;
use super::observed::Observed;
use super::validate::Validated;
use super::validate::keys::HASH_KEY;
use crate::crd::Instance;
use crate::shared::conditions::find;
use k8s_openapi::api::core::v1::{ConfigMapEnvSource, EnvFromSource};

/// The hash, if it is known without a look: from an earlier pass of this process, or because the last status says that the pods that run
/// are those of this spec.
pub fn known(instance: &Instance, observed: &Observed, remembered: &Remembered) -> Option<String> {
    let generation = instance.metadata.generation.unwrap_or_default();
    if let Some((of, hash)) = &remembered.config_hash
        && *of == generation
    {
        return Some(hash.clone());
    }
    let status = instance.status.as_ref()?;
    let is_true = |kind: &str| find(&status.conditions, kind).is_some_and(|c| c.status == "True");
    let migrated = find(&status.conditions, "Migrated").is_none_or(|c| c.status == "True");
    (status.observed_generation == Some(generation) && is_true("StatefulSetReady") && migrated)
        .then(|| observed.config_hash().map(str::to_owned))
        .flatten()
}

/// The hash out of what was found.
pub fn compute(
    v: &Validated<'_>,
    connection: &Connection,
    ipv6: bool,
    found: &Found,
) -> Option<String> {
    let key = found.secret(&v.keys.app)?.get(HASH_KEY)?;
    let mut env = env::server(v, connection, ipv6);
    env.extend(v.tailscale.iter().flat_map(tailscale::env));
    let mut from = env::from(v);
    // Not passed on as variables, but read by the server at its start.
    from.extend(v.branding.map(|name| EnvFromSource {
        config_map_ref: Some(ConfigMapEnvSource {
            name: name.into(),
            optional: None,
        }),
        ..EnvFromSource::default()
    }));
    config_hash(key, &env, &from, found)
}

/// How the database is reached; its URL is in the usual place until the child says so.
pub fn connection(v: &Validated<'_>, observed: &Observed) -> Connection {
    let child = observed.child();
    let pooled = child.is_some_and(|c| c.is_pooled());
    let said = child.and_then(|c| c.connection());
    let (secret, key) = said.map_or_else(
        || (v.id.names.database_app(), "DATABASE_URL".to_owned()),
        |(secret, key)| (secret.to_owned(), key.to_owned()),
    );
    Connection {
        secret,
        key,
        pooled,
    }
}
