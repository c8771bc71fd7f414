//! Keeps the Secret with OAuth clients in step with the user's. A list that cannot be read leaves the last good one as it is. Must never
//! write over a Secret of somebody else.

use super::build::connections::{Clients, build, clients};
use super::found::{Data, Found, Look};
use super::keys::Keys;
use super::retained::{self, RetainedError};
use super::validate::Validated;
use crate::crd::instance::InstanceStatus;
use crate::shared::api::ApiServer;
use crate::shared::names::manager;
use crate::shared::wish::Kind;
use k8s_openapi::api::core::v1::Secret;
use serde_json::{Value, json};

/// The last status says that the Secret is there.
pub fn is_known(status: Option<&InstanceStatus>, name: &str) -> bool {
    let managed = status.and_then(|s| s.managed_resources.as_ref());
    managed.is_some_and(|m| m.secrets.iter().any(|s| s == name))
}

/// Writes what differs, and adds the Secret to what was found. Only after a look.
///
/// # Errors
/// See [`RetainedError`].
pub async fn ensure(
    api: &ApiServer,
    v: &Validated<'_>,
    status: Option<&InstanceStatus>,
    found: &mut Found,
    keys: &mut Keys,
) -> Result<(), RetainedError> {
    let name = v.id.names.connections();
    let live = found.secret(&name).cloned();
    let wanted = match v.connections {
        Some(source) => found
            .secret(source.secret)
            .and_then(|data| data.get(source.key))
            .and_then(clients),
        // We have no right to delete Secrets: it is emptied, and goes with the Instance.
        None if is_known(status, &name) => Some(Clients::default()),
        None => return Ok(()),
    };
    let data = match (wanted, live) {
        (Some(wanted), live) if live.as_ref() != Some(&stored(&wanted)) => {
            write(api, v, &name, &wanted, live.as_ref()).await?;
            stored(&wanted)
        }
        (_, Some(live)) => live,
        (_, None) => return Ok(()),
    };
    found.secrets.insert(name.clone(), Look::There(data));
    if v.connections.is_some()
        && let Some(names) = &mut keys.names
    {
        names.insert(name);
    }
    Ok(())
}

fn stored(clients: &Clients) -> Data {
    let pairs = clients.variables.iter();
    pairs
        .map(|(k, v)| (k.clone(), v.clone().into_bytes()))
        .collect()
}

async fn write(
    api: &ApiServer,
    v: &Validated<'_>,
    name: &str,
    wanted: &Clients,
    live: Option<&Data>,
) -> Result<(), RetainedError> {
    let kind = Kind::of::<Secret>();
    let malformed = |e: serde_json::Error| RetainedError::Malformed(e.to_string());
    let body = serde_json::to_value(build(&v.id, wanted)).map_err(malformed)?;
    let Some(live) = live else {
        // A name that is taken by somebody else is a conflict, and told as such.
        return match api
            .create(&kind, v.id.namespace, manager::INSTANCE, &body)
            .await
        {
            Ok(_) => Ok(()),
            Err(error) if error.is_conflict() => Err(RetainedError::NotOurs {
                kind: "Secret".into(),
                name: name.into(),
            }),
            Err(error) => Err(error.into()),
        };
    };
    let Some(object) = api.get(&kind, v.id.namespace, name).await? else {
        return Err(RetainedError::Terminating {
            kind: "Secret".into(),
            name: name.into(),
        });
    };
    retained::check(&kind, name, &object, &v.id)?;
    let mut patch = json!({"data": body["data"]});
    for gone in live.names().filter(|n| !wanted.variables.contains_key(*n)) {
        patch["data"][gone] = Value::Null;
    }
    retained::patched(api, &kind, name, &v.id, &object, patch).await?;
    Ok(())
}
