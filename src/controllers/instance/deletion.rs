//! What happens when an Instance is deleted. Owned objects go by garbage collection; data stay, unless `deletionPolicy: Delete` was asked
//! for: then they get an owner now, and not before, so that nothing takes them while they are still needed. Only metadata and the last
//! status are needed, so an Instance with a broken spec can go too.

use super::build::data_owner;
use super::build::secrets::Generated;
use super::retained;
use super::validate::names::Identity;
use crate::crd::Instance;
use crate::crd::instance::InstanceSpec;
use crate::crd::shared::DeletionPolicy;
use crate::shared::api::{ApiError, ApiServer};
use crate::shared::names::manager;
use crate::shared::wish::Kind;
use k8s_openapi::api::core::v1::{PersistentVolumeClaim, Secret};
use serde_json::json;

/// Data go with the Instance.
pub fn deletes_data(spec: &InstanceSpec) -> bool {
    spec.deletion_policy
        .as_ref()
        .is_some_and(|p| *p == DeletionPolicy::Delete)
}

/// There is a place for a last backup, so a person expects one before anything goes.
pub fn wants_final_backup(spec: &InstanceSpec) -> bool {
    spec.object_storage.is_some() || spec.backup.as_ref().is_some_and(|b| b.s3.is_some())
}

/// Gives the data of an Instance that is being deleted an owner, so that the garbage collector takes them with it.
///
/// # Errors
/// See [`ApiError`].
pub async fn hand_over_data(
    api: &ApiServer,
    instance: &Instance,
    id: &Identity<'_>,
) -> Result<(), ApiError> {
    let listed = instance
        .status
        .as_ref()
        .and_then(|s| s.managed_resources.as_ref());
    let claims = Kind::of::<PersistentVolumeClaim>();
    let secrets = Kind::of::<Secret>();
    let mut all = vec![];
    if listed.is_some_and(|m| m.persistent_volume_claim.is_some()) {
        all.push((&claims, id.names.data()));
    }
    for which in [Generated::Master, Generated::Session, Generated::App] {
        let name = which.name(id);
        if listed.is_some_and(|m| m.secrets.contains(&name)) {
            all.push((&secrets, name));
        }
    }
    let token = id.names.operator_token();
    if listed.is_some_and(|m| m.secrets.contains(&token)) {
        all.push((&secrets, token));
    }
    for (kind, name) in all {
        let Some(live) = api.get(kind, id.namespace, &name).await? else {
            continue;
        };
        let has_owner = live["metadata"]["ownerReferences"]
            .as_array()
            .is_some_and(|o| !o.is_empty());
        if has_owner || retained::check(kind, &name, &live, id).is_err() {
            continue;
        }
        let patch = json!({"metadata": {
            "resourceVersion": live["metadata"]["resourceVersion"], "ownerReferences": [data_owner(id)],
        }});
        api.merge_patch(kind, id.namespace, &name, manager::INSTANCE, &patch)
            .await?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn goes(yaml: &str) -> bool {
        deletes_data(&serde_saphyr::from_str(yaml).unwrap())
    }

    #[test]
    fn data_stay_unless_asked_for() {
        assert!(!goes("{}"));
        assert!(!goes("deletionPolicy: Retain"));
        assert!(goes("deletionPolicy: Delete"));
    }
}
