//! What the earlier operator made and nobody of us looks after. It is named, and goes with the Instance or by a person's hand; what took its
//! backups goes as soon as we have one.

use crate::controllers::Caches;
use crate::controllers::instance::observed::Observed;
use crate::controllers::instance::validate::names::Identity;
use crate::crd::Instance;
use crate::crd::instance::AdoptedStatus;
use crate::shared::api::{ApiError, ApiServer};
use crate::shared::apply::{Applier, ApplyError};
use crate::shared::cache::Key;
use crate::shared::views::JobState;
use crate::shared::wish::Kind;
use futures::future::try_join_all;
use k8s_openapi::api::batch::v1::{CronJob, Job};
use k8s_openapi::api::rbac::v1::{Role, RoleBinding};

/// `Kind/name` of what is there. What we may not ask for is not told.
///
/// # Errors
/// If the API server gives no answer.
pub async fn named(api: &ApiServer, id: &Identity<'_>) -> Result<Vec<String>, ApiError> {
    let all = [
        (Kind::of::<CronJob>(), id.names.database_backup()),
        (Kind::of::<Role>(), id.names.sandbox()),
        (Kind::of::<RoleBinding>(), id.names.sandbox()),
    ];
    let found = try_join_all(all.iter().map(|(kind, name)| async move {
        let live = match api.get(kind, id.namespace, name).await {
            Err(error) if error.code() == Some(403) => None,
            other => other?,
        };
        let owners = live
            .as_ref()
            .and_then(|l| l["metadata"]["ownerReferences"].as_array());
        let theirs = owners.into_iter().flatten().any(|r| r["uid"] == *id.uid);
        Ok::<_, ApiError>(theirs.then(|| format!("{}/{name}", kind.kind)))
    }))
    .await?;
    Ok(found.into_iter().flatten().collect())
}

/// Name in the record of the CronJob that took the earlier operator's backups.
fn backups(id: &Identity<'_>) -> String {
    format!("CronJob/{}", id.names.database_backup())
}

/// Removes the CronJob that took the earlier operator's backups, once a backup of ours is complete: from then on there would be two of each.
/// Says what is gone. Without the right to do it nothing happens: it stays on record.
///
/// # Errors
/// If the API server gives no answer.
pub async fn retire_backups(
    api: &ApiServer,
    record: &AdoptedStatus,
    observed: &Observed,
    id: &Identity<'_>,
) -> Result<Option<String>, ApiError> {
    let name = backups(id);
    let has_own = observed
        .backup_status()
        .is_some_and(|status| status.last_successful.is_some());
    if !has_own || !record.left.contains(&name) {
        return Ok(None);
    }
    let (kind, object) = (Kind::of::<CronJob>(), id.names.database_backup());
    let live = match api.get(&kind, id.namespace, &object).await {
        Err(error) if error.code() == Some(403) => return Ok(None),
        other => other?,
    };
    let Some(live) = live else {
        return Ok(Some(name));
    };
    let owners = live["metadata"]["ownerReferences"].as_array();
    let theirs = owners.into_iter().flatten().any(|r| r["uid"] == *id.uid);
    let uid = live["metadata"]["uid"].as_str().unwrap_or_default();
    if !theirs {
        return Ok(Some(name));
    }
    match api
        .delete(&kind, id.namespace, &object, uid, "Background")
        .await
    {
        Ok(()) => Ok(Some(name)),
        Err(error) if error.code() == Some(403) => Ok(None),
        Err(error) => Err(error),
    }
}

/// The cluster-wide roles of the earlier operator, if the spec ever made it make any: no right of ours reaches them. The text has the
/// command that removes them.
pub fn cluster_roles(instance: &Instance, id: &Identity<'_>) -> Option<String> {
    let adapters = instance.spec.adapters.as_ref()?;
    let sandbox = adapters
        .cloud_sandbox
        .as_ref()
        .is_some_and(|s| s.enabled == Some(true));
    let execution = adapters.execution.is_some();
    let (namespace, name) = (id.namespace, id.name);
    let names: Vec<String> = [(sandbox, "sandbox"), (execution, "execution")]
        .into_iter()
        .filter(|(asked, _)| *asked)
        .map(|(_, suffix)| format!("{namespace}-{name}-{suffix}"))
        .collect();
    (!names.is_empty()).then(|| {
        let names = names.join(" ");
        format!(
            "the earlier operator may have left ClusterRoles and ClusterRoleBindings that the operator has no right to remove: kubectl delete clusterrole,clusterrolebinding {names}"
        )
    })
}

/// Removes the earlier operator's Job for the first admin once it has ended: its name is wanted for ours.
///
/// # Errors
/// See [`ApplyError`].
pub async fn remove_bootstrap(
    applier: &Applier<'_>,
    caches: &Caches,
    id: &Identity<'_>,
) -> Result<(), ApplyError> {
    let key = Key::new(id.namespace, &id.names.bootstrap());
    let ended = caches
        .jobs
        .get(&key)
        .is_some_and(|job| job.owned.is_none() && job.view.state() != JobState::Running);
    if ended {
        applier
            .remove(&caches.jobs, &Kind::of::<Job>(), &key, id.uid)
            .await?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cluster_roles_are_named_with_the_command_if_the_spec_made_any() {
        let id = Identity::new("clip", "prod", "u", "cluster.local");
        let said = |spec: &str| {
            let object = format!("{{metadata: {{name: clip}}, spec: {spec}}}");
            cluster_roles(&serde_saphyr::from_str(&object).unwrap(), &id)
        };
        assert_eq!(said("{}"), None);
        assert_eq!(said("{adapters: {cloudSandbox: {enabled: false}}}"), None);
        let text = said("{adapters: {cloudSandbox: {enabled: true}}}").unwrap();
        assert!(
            text.ends_with("kubectl delete clusterrole,clusterrolebinding prod-clip-sandbox"),
            "{text}"
        );
    }
}
