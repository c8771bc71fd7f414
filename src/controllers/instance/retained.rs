//! Objects that outlive the Instance: generated keys and the data volume. They are created by POST, so that nothing is ever written over,
//! and taken up if they are there already. Must never delete one, and never touch the content of a key that exists.

use super::build::secrets::{self, Generated};
use super::found::Data;
use super::validate::admin::{EMAIL_KEY, PASSWORD_KEY};
use super::validate::names::Identity;
use crate::shared::api::{ApiError, ApiServer};
use crate::shared::names::{self, LABEL_INSTANCE, LABEL_NAME, manager};
use crate::shared::random;
use crate::shared::wish::Kind;
use k8s_openapi::api::core::v1::Secret;
use serde_json::{Value, json};

/// Why one of these objects cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum RetainedError {
    /// The API server, see there.
    #[error(transparent)]
    Api(#[from] ApiError),
    /// The name is taken by something that is not ours.
    #[error(
        "{kind} \"{name}\" exists and is not part of this Instance; rename the Instance or remove that object"
    )]
    NotOurs {
        /// Its kind.
        kind: String,
        /// Its name.
        name: String,
    },
    /// It is still being deleted.
    #[error("{kind} \"{name}\" is still being deleted")]
    Terminating {
        /// Its kind.
        kind: String,
        /// Its name.
        name: String,
    },
    /// The system has no random bytes.
    #[error("no random bytes: {0}")]
    Random(String),
    /// A fault of ours.
    #[error("{0}")]
    Malformed(String),
}

impl RetainedError {
    /// PascalCase, for conditions and metrics.
    pub fn reason(&self) -> &str {
        match self {
            Self::Api(error) => error.reason(),
            Self::NotOurs { .. } => "NotOurs",
            Self::Terminating { .. } => "Terminating",
            Self::Random(_) | Self::Malformed(_) => "InternalError",
        }
    }
}

/// What became of a generated Secret.
#[derive(Debug, PartialEq, Eq)]
pub enum Kept {
    /// It was made now.
    Created(Data),
    /// It was there, and carries marks of a deleted Instance or of the earlier operator.
    Adopted(Data),
    /// It was there.
    Found(Data),
    /// It is not there and must not be made.
    Missing,
}

/// Whether a generated Secret may be there, and whether it may be made.
#[derive(Clone, Copy, Debug)]
pub struct Terms<'a> {
    /// The first admin's address, for the Secret that holds it.
    pub email: &'a str,
    /// The status says that it exists: it is read, not created.
    pub known: bool,
    /// It may be made if it is missing.
    pub may_make: bool,
}

/// Makes sure that a generated Secret is there.
///
/// # Errors
/// See [`RetainedError`].
pub async fn secret(
    api: &ApiServer,
    which: Generated,
    id: &Identity<'_>,
    terms: Terms<'_>,
) -> Result<Kept, RetainedError> {
    let kind = Kind::of::<Secret>();
    let name = which.name(id);
    if !terms.known && terms.may_make {
        match create_secret(api, &kind, which, id, terms.email).await {
            Ok(stored) => return Ok(Kept::Created(Data::of_secret(&stored))),
            Err(RetainedError::Api(error)) if error.is_conflict() => {}
            Err(error) => return Err(error),
        }
    }
    let Some(live) = api.get(&kind, id.namespace, &name).await? else {
        if !terms.may_make {
            return Ok(Kept::Missing);
        }
        let stored = create_secret(api, &kind, which, id, terms.email).await?;
        return Ok(Kept::Created(Data::of_secret(&stored)));
    };
    check(&kind, &name, &live, id)?;
    let data = Data::of_secret(&live);
    let missing: Vec<&str> = which
        .keys()
        .iter()
        .copied()
        .filter(|k| data.get(k).is_none_or(<[u8]>::is_empty))
        .collect();
    if which == Generated::Master && !missing.is_empty() {
        return Ok(Kept::Missing);
    }
    let mut patch = marks(&live, id, names::Component::Server);
    if !missing.is_empty() {
        let fresh = secrets::build(which, id, &missing, values(&missing, terms.email)?);
        let fresh =
            serde_json::to_value(fresh).map_err(|e| RetainedError::Malformed(e.to_string()))?;
        patch["data"] = fresh["data"].clone();
    }
    if patch.as_object().is_none_or(serde_json::Map::is_empty) {
        return Ok(Kept::Found(data));
    }
    let stored = patched(api, &kind, &name, id, &live, patch).await?;
    Ok(Kept::Adopted(Data::of_secret(&stored)))
}

async fn create_secret(
    api: &ApiServer,
    kind: &Kind,
    which: Generated,
    id: &Identity<'_>,
    email: &str,
) -> Result<Value, RetainedError> {
    let keys = which.keys();
    let secret = secrets::build(which, id, keys, values(keys, email)?);
    let body = serde_json::to_value(secret).map_err(|e| RetainedError::Malformed(e.to_string()))?;
    Ok(api
        .create(kind, id.namespace, manager::INSTANCE, &body)
        .await?)
}

/// What the keys hold: random bytes, a password that people can type, the address beside it.
fn values(keys: &[&str], email: &str) -> Result<Vec<String>, RetainedError> {
    keys.iter()
        .map(|key| match *key {
            EMAIL_KEY => Ok(email.to_owned()),
            PASSWORD_KEY => random::letters_and_digits::<24>(),
            _ => random::hex64(),
        })
        .map(|value| value.map_err(|e| RetainedError::Random(e.to_string())))
        .collect()
}

/// An object of the wanted name may be used if it is part of an installation of this name and nobody else controls it.
///
/// # Errors
/// If it may not.
pub fn check(
    kind: &Kind,
    name: &str,
    live: &Value,
    id: &Identity<'_>,
) -> Result<(), RetainedError> {
    let meta = &live["metadata"];
    let (kind, name) = (kind.kind.to_string(), name.to_owned());
    if meta["deletionTimestamp"].is_string() {
        return Err(RetainedError::Terminating { kind, name });
    }
    let foreign = meta["ownerReferences"]
        .as_array()
        .into_iter()
        .flatten()
        .any(|r| r["controller"] == true && r["uid"] != *id.uid);
    let labels = &meta["labels"];
    if foreign || labels[LABEL_NAME] != "paperclip" || labels[LABEL_INSTANCE] != *id.name {
        return Err(RetainedError::NotOurs { kind, name });
    }
    Ok(())
}

/// The merge patch that makes an object look like ours: our labels on, owner references to the Instance off. Empty if it does already.
pub fn marks(live: &Value, id: &Identity<'_>, component: names::Component) -> Value {
    let meta = &live["metadata"];
    let mut patch = json!({});
    for (label, value) in names::labels(id.name, component) {
        if meta["labels"][&label] != *value {
            patch["metadata"]["labels"][&label] = json!(value);
        }
    }
    let owners: Vec<&Value> = meta["ownerReferences"]
        .as_array()
        .into_iter()
        .flatten()
        .collect();
    let others: Vec<&Value> = owners
        .iter()
        .copied()
        .filter(|r| r["uid"] != *id.uid)
        .collect();
    if others.len() != owners.len() {
        patch["metadata"]["ownerReferences"] = json!(others);
    }
    patch
}

/// Sends a merge patch that fails if the object changed meanwhile.
///
/// # Errors
/// See [`ApiError`].
pub async fn patched(
    api: &ApiServer,
    kind: &Kind,
    name: &str,
    id: &Identity<'_>,
    live: &Value,
    mut patch: Value,
) -> Result<Value, ApiError> {
    patch["metadata"]["resourceVersion"] = live["metadata"]["resourceVersion"].clone();
    api.merge_patch(kind, id.namespace, name, manager::INSTANCE, &patch)
        .await
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id() -> Identity<'static> {
        Identity::new("clip", "prod", "uid-1", "cluster.local")
    }

    fn labels() -> Value {
        json!(names::labels("clip", names::Component::Server))
    }

    #[test]
    fn data_of_a_deleted_instance_of_the_name_is_taken_up_and_others_are_not() {
        let kind = Kind::of::<Secret>();
        let may = |meta: Value| check(&kind, "n", &json!({"metadata": meta}), &id()).is_ok();
        let owner = |uid| json!([{"uid": uid, "controller": true}]);
        assert!(may(json!({"labels": labels()})));
        assert!(may(
            json!({"labels": labels(), "ownerReferences": owner("uid-1")})
        ));
        assert!(!may(
            json!({"labels": labels(), "ownerReferences": owner("uid-0")})
        ));
        assert!(!may(json!({})));
        assert!(!may(
            json!({"labels": names::labels("clop", names::Component::Server)})
        ));
        assert!(!may(
            json!({"labels": labels(), "deletionTimestamp": "2026-01-01T00:00:00Z"})
        ));
    }

    #[test]
    fn an_owner_reference_to_the_instance_is_taken_off_and_no_other() {
        let foreign = json!({"uid": "x", "kind": "ConfigMap"});
        let live = json!({"metadata": {"labels": labels(), "ownerReferences": [{"uid": "uid-1", "controller": true}, foreign]}});
        assert_eq!(
            marks(&live, &id(), names::Component::Server),
            json!({"metadata": {"ownerReferences": [foreign]}})
        );
    }

    #[test]
    fn an_object_that_looks_like_ours_is_left_alone() {
        assert_eq!(
            marks(
                &json!({"metadata": {"labels": labels()}}),
                &id(),
                names::Component::Server
            ),
            json!({})
        );
    }

    #[test]
    fn a_missing_label_is_put_on() {
        let mut labels = labels();
        labels[names::LABEL_COMPONENT] = Value::Null;
        assert_eq!(
            marks(
                &json!({"metadata": {"labels": labels}}),
                &id(),
                names::Component::Server
            ),
            json!({"metadata": {"labels": {"app.kubernetes.io/component": "server"}}})
        );
    }
}
