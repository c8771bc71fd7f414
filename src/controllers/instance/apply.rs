//! Writes what differs from the caches: independent objects at the same time, each tried even if another fails. What is no longer wanted is
//! removed if it is ours.

use super::adoption::rollout;
use super::applied::{Applied, Part, Problem};
use super::build::{Desired, Workload, claim::Claim};
use super::database_mode::{self, Step};
use super::observed::Observed;
use super::retained::{self, RetainedError};
use super::validate::Validated;
use super::workload::Switch;
use crate::controllers::Caches;
use crate::crd::PaperclipBackup;
use crate::shared::apply::{Applier, ApplyError, Outcome};
use crate::shared::cache::{Cache, Key, View};
use crate::shared::foreign::{HTTP_ROUTE, PROMETHEUS_RULE, SERVICE_MONITOR};
use crate::shared::names::Component;
use crate::shared::quantity::Amount;
use crate::shared::serving::Optional;
use crate::shared::wish::{Kind, Scoped, Wish};
use futures::future::{BoxFuture, join_all};
use k8s_openapi::api::autoscaling::v2::HorizontalPodAutoscaler;
use k8s_openapi::api::core::v1::{ConfigMap, PersistentVolumeClaim};
use k8s_openapi::api::networking::v1::{Ingress, NetworkPolicy};
use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use serde_json::json;

/// Writes.
pub async fn apply(
    applier: &Applier<'_>,
    caches: &Caches,
    v: &Validated<'_>,
    observed: &Observed,
    step: &Step,
    desired: Desired,
) -> Applied {
    let Desired {
        account,
        service,
        ingress,
        http_route,
        tailscale,
        autoscaler,
        budget,
        service_monitor,
        prometheus_rule,
        dashboard_operator,
        dashboard_instance,
        workload,
        policy,
        jobs_policy,
        claim,
        database,
        next_database,
        backup,
        restore,
        migration,
        bootstrap,
    } = desired;
    let to = Writing {
        applier,
        namespace: v.id.namespace,
        uid: v.id.uid,
    };
    let names = &v.id.names;
    let main = names.main();
    let c = caches;
    let parts: Vec<(Part, BoxFuture<'_, Done>)> = vec![
        (
            Part::Account,
            Box::pin(async {
                match &account {
                    // An account that exists already is used as it is.
                    Some(wish) => match ensure(applier, &c.service_accounts, wish).await {
                        Err(ApplyError::NotOurs { .. }) if *v.account.name != *v.id.name => {
                            Ok(None)
                        }
                        other => other,
                    },
                    None => Ok(None),
                }
            }),
        ),
        (
            Part::Service,
            Box::pin(ensure(applier, &c.services, &service)),
        ),
        (
            Part::Ingress,
            to.put::<Ingress, _>(&c.ingresses, ingress.as_ref(), main),
        ),
        (
            Part::HttpRoute,
            to.put_if_served(&c.http_routes, &HTTP_ROUTE, http_route.as_ref(), main),
        ),
        (
            Part::Tailscale,
            to.put::<ConfigMap, _>(&c.config_maps, tailscale.as_ref(), &names.tailscale()),
        ),
        (
            Part::Autoscaler,
            to.put::<HorizontalPodAutoscaler, _>(&c.autoscalers, autoscaler.as_ref(), main),
        ),
        (
            Part::Budget,
            to.put::<PodDisruptionBudget, _>(&c.budgets, budget.as_ref(), main),
        ),
        (
            Part::ServiceMonitor,
            to.put_if_served(
                &c.service_monitors,
                &SERVICE_MONITOR,
                service_monitor.as_ref(),
                main,
            ),
        ),
        (
            Part::PrometheusRule,
            to.put_if_served(
                &c.prometheus_rules,
                &PROMETHEUS_RULE,
                prometheus_rule.as_ref(),
                &names.alerts(),
            ),
        ),
        (
            Part::DashboardOperator,
            to.put::<ConfigMap, _>(
                &c.config_maps,
                dashboard_operator.as_ref(),
                &names.dashboard_operator(),
            ),
        ),
        (
            Part::DashboardInstance,
            to.put::<ConfigMap, _>(
                &c.config_maps,
                dashboard_instance.as_ref(),
                &names.dashboard_instance(),
            ),
        ),
        (
            Part::Workload,
            Box::pin(async {
                match &workload {
                    Some(workload) => {
                        put_workload(applier, v.workload.cache(c), v, observed, workload).await
                    }
                    None => Ok(None),
                }
            }),
        ),
        (
            Part::Policy,
            to.put::<NetworkPolicy, _>(&c.network_policies, policy.as_ref(), main),
        ),
        (
            Part::JobsPolicy,
            to.put::<NetworkPolicy, _>(&c.network_policies, jobs_policy.as_ref(), &names.jobs()),
        ),
        (
            Part::Database,
            Box::pin(database_mode::put(
                applier,
                &c.databases,
                v,
                step,
                database.as_ref(),
                next_database.as_ref(),
            )),
        ),
        (
            Part::Backup,
            to.put::<PaperclipBackup, _>(&c.backups, backup.as_ref(), main),
        ),
        (Part::Restore, to.make(&c.restores, restore.as_ref())),
        (Part::Migration, to.make(&c.jobs, migration.as_ref())),
        (Part::Bootstrap, to.make(&c.jobs, bootstrap.as_ref())),
    ];
    let parts = join_all(
        parts
            .into_iter()
            .map(async |(part, work)| (part, work.await)),
    );
    let (claim, parts) = futures::join!(volume(applier, caches, v, claim.as_ref()), parts);
    let mut all = Applied {
        tried: true,
        ..Applied::default()
    };
    match claim {
        Ok(outcome) => all.done.extend(outcome.map(|o| (Part::Claim, o))),
        Err(error) => all.problems.push((Part::Claim, Problem::of_claim(&error))),
    }
    for (part, result) in parts {
        match result {
            Ok(outcome) => all.done.extend(outcome.map(|o| (part, o))),
            Err(error) => all.problems.push((part, Problem::of(part, &error))),
        }
    }
    all
}

/// What became of a part; `None`: there is nothing to make.
pub type Done = Result<Option<Outcome>, ApplyError>;

async fn ensure<V: View>(applier: &Applier<'_>, cache: &Cache<V>, wish: &Wish) -> Done {
    Ok(Some(applier.ensure(cache, wish).await?.outcome))
}

/// One that is as the earlier operator left it is replaced as a whole, so that nothing of it stays in the pods.
async fn put_workload<V: View>(
    applier: &Applier<'_>,
    cache: &Cache<V>,
    v: &Validated<'_>,
    observed: &Observed,
    workload: &Workload,
) -> Done {
    let found = observed.workload().is_some_and(rollout::is_found);
    if found && observed.workloads.kind == v.workload {
        let replaced = applier.replace_found(cache, &workload.wanted).await?;
        return Ok(Some(replaced.outcome));
    }
    ensure(applier, cache, as_it_runs(cache, workload)).await
}

/// Removes the workload that another kind has taken over from, or that could not take over. Its pods end before it does.
///
/// # Errors
/// See [`ApplyError`].
pub async fn end_switch(
    applier: &Applier<'_>,
    caches: &Caches,
    v: &Validated<'_>,
    observed: &Observed,
    switch: Switch,
) -> Result<(), ApplyError> {
    let kind = match switch {
        Switch::Finish => v.workload.other(),
        Switch::GiveUp => v.workload,
        Switch::None | Switch::Prepare | Switch::GivenUp => return Ok(()),
    };
    if let Some(gone) = observed.workloads.of_kind(kind) {
        applier
            .remove_after_its_own(kind.cache(caches), &kind.kind(), &gone.key, v.id.uid)
            .await?;
    }
    Ok(())
}

/// The wish that the object answers already, if only the agent's image tells the two apart.
fn as_it_runs<'w, V: View>(cache: &Cache<V>, workload: &'w Workload) -> &'w Wish {
    let in_use = workload.in_use.as_ref().filter(|in_use| {
        cache
            .get(&in_use.key)
            .is_some_and(|seen| seen.owned == Some(in_use.hash))
    });
    in_use.unwrap_or(&workload.wanted)
}

/// Where the objects are written.
#[derive(Clone, Copy)]
struct Writing<'a> {
    applier: &'a Applier<'a>,
    namespace: &'a str,
    uid: &'a str,
}

impl<'a> Writing<'a> {
    fn key(&self, name: &str) -> Key {
        Key::new(self.namespace, name)
    }

    /// Made or put right if it is wanted, and removed if it is not.
    fn put<K, V: View>(
        self,
        cache: &'a Cache<V>,
        wish: Option<&'a Wish>,
        name: &str,
    ) -> BoxFuture<'a, Done>
    where
        K: kube::Resource<DynamicType = ()>,
        K::Scope: Scoped,
    {
        let key = self.key(name);
        Box::pin(async move {
            match wish {
                Some(wish) => ensure(self.applier, cache, wish).await,
                None => self.gone(cache, &Kind::of::<K>(), &key).await,
            }
        })
    }

    /// Of a kind that need not be there: while it is not, there is nothing to make and nothing to remove.
    fn put_if_served<V: View>(
        self,
        optional: &'a Optional<V>,
        kind: &'a Kind,
        wish: Option<&'a Wish>,
        name: &str,
    ) -> BoxFuture<'a, Done> {
        let key = self.key(name);
        Box::pin(async move {
            match wish {
                _ if !optional.is_served() => Ok(None),
                Some(wish) => ensure(self.applier, &optional.cache, wish).await,
                None => self.gone(&optional.cache, kind, &key).await,
            }
        })
    }

    /// Made if it is wanted, and otherwise left alone.
    fn make<V: View>(self, cache: &'a Cache<V>, wish: Option<&'a Wish>) -> BoxFuture<'a, Done> {
        Box::pin(async move {
            match wish {
                Some(wish) => ensure(self.applier, cache, wish).await,
                None => Ok(None),
            }
        })
    }

    async fn gone<V: View>(self, cache: &Cache<V>, kind: &Kind, key: &Key) -> Done {
        self.applier.remove(cache, kind, key, self.uid).await?;
        Ok(None)
    }
}

/// The data volume: made once, taken up if it is there, grown if it is too small, and otherwise left alone.
async fn volume(
    applier: &Applier<'_>,
    caches: &Caches,
    v: &Validated<'_>,
    claim: Option<&Claim>,
) -> Result<Option<Outcome>, RetainedError> {
    let Some(claim) = claim else { return Ok(None) };
    let kind = Kind::of::<PersistentVolumeClaim>();
    let (api, name) = (applier.api, &*claim.key.name);
    let Some(seen) = caches.claims.get(&claim.key) else {
        let body = serde_json::to_value(&claim.body)
            .map_err(|e| RetainedError::Malformed(e.to_string()))?;
        match api
            .create(&kind, v.id.namespace, applier.manager, &body)
            .await
        {
            Ok(stored) => {
                caches.claims.wrote_as_owner(stored);
                return Ok(Some(Outcome::Created));
            }
            Err(error) if error.is_conflict() => {}
            Err(error) => return Err(error.into()),
        }
        return adopt(applier, caches, v, &kind, name).await;
    };
    if seen.deleting {
        return Err(RetainedError::Terminating {
            kind: kind.kind.to_string(),
            name: name.to_owned(),
        });
    }
    if let Some(owner) = &seen.controller {
        if *owner.uid != *v.id.uid {
            return Err(RetainedError::NotOurs {
                kind: kind.kind.to_string(),
                name: name.to_owned(),
            });
        }
        return adopt(applier, caches, v, &kind, name).await;
    }
    let asked = Amount::parse(&seen.view.spec.resources.requests.storage);
    if asked.is_ok_and(|asked| asked >= claim.size) {
        return Ok(Some(Outcome::Unchanged));
    }
    let patch = json!({"spec": {"resources": {"requests": {"storage": claim.size.to_string()}}}});
    let stored = api
        .merge_patch(&kind, v.id.namespace, name, applier.manager, &patch)
        .await?;
    caches.claims.wrote_as_owner(stored);
    Ok(Some(Outcome::Patched))
}

/// Takes up a claim that the cache does not hold, or that an Instance still owns.
async fn adopt(
    applier: &Applier<'_>,
    caches: &Caches,
    v: &Validated<'_>,
    kind: &Kind,
    name: &str,
) -> Result<Option<Outcome>, RetainedError> {
    let Some(live) = applier.api.get(kind, v.id.namespace, name).await? else {
        return Err(RetainedError::Terminating {
            kind: kind.kind.to_string(),
            name: name.to_owned(),
        });
    };
    retained::check(kind, name, &live, &v.id)?;
    let marks = retained::marks(&live, &v.id, Component::Server);
    if marks.as_object().is_none_or(serde_json::Map::is_empty) {
        // The cache lags: its own event brings the object.
        caches.claims.wrote_as_owner(live);
        return Ok(Some(Outcome::Unchanged));
    }
    let stored = retained::patched(applier.api, kind, name, &v.id, &live, marks).await?;
    caches.claims.wrote_as_owner(stored);
    Ok(Some(Outcome::Repaired))
}
