//! Writes what differs from the caches: independent objects at the same time, each tried even if another fails. What is no longer wanted is
//! removed if it is ours.

use super::adoption::rollout;
use super::build::{Desired, Workload, claim::Claim};
use super::gates::{Plan, State};
use super::observed::Observed;
use super::retained::{self, RetainedError};
use super::validate::Validated;
use crate::controllers::Caches;
use crate::shared::apply::{Applier, ApplyError, Outcome};
use crate::shared::cache::{Cache, Key, View};
use crate::shared::foreign::{HTTP_ROUTE, PROMETHEUS_RULE, SERVICE_MONITOR};
use crate::shared::names::Component;
use crate::shared::quantity::Amount;
use crate::shared::serving::Optional;
use crate::shared::views::JobState;
use crate::shared::wish::{Kind, Wish};
use k8s_openapi::api::autoscaling::v2::HorizontalPodAutoscaler;
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::{ConfigMap, PersistentVolumeClaim, ServiceAccount};
use k8s_openapi::api::networking::v1::{Ingress, NetworkPolicy};
use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use serde_json::json;

/// An object of the Instance, as its conditions and metrics call it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Part {
    /// ServiceAccount.
    Account,
    /// Service.
    Service,
    /// Ingress.
    Ingress,
    /// HTTPRoute.
    HttpRoute,
    /// ServiceMonitor.
    ServiceMonitor,
    /// PrometheusRule.
    PrometheusRule,
    /// ConfigMap with the operator's dashboard.
    DashboardOperator,
    /// ConfigMap with the Instance's dashboard.
    DashboardInstance,
    /// ConfigMap of the tailnet.
    Tailscale,
    /// HorizontalPodAutoscaler.
    Autoscaler,
    /// PodDisruptionBudget.
    Budget,
    /// StatefulSet.
    Workload,
    /// NetworkPolicy of the server.
    Policy,
    /// NetworkPolicy of Jobs.
    JobsPolicy,
    /// Claim of the data volume.
    Claim,
    /// PaperclipDatabase.
    Database,
    /// PaperclipBackup.
    Backup,
    /// Job of the migration.
    Migration,
    /// Job of the first admin.
    Bootstrap,
}

impl Part {
    /// Kind in lower case.
    pub const fn resource(self) -> &'static str {
        match self {
            Self::Account => "serviceaccount",
            Self::Service => "service",
            Self::Ingress => "ingress",
            Self::HttpRoute => "httproute",
            Self::ServiceMonitor => "servicemonitor",
            Self::PrometheusRule => "prometheusrule",
            Self::DashboardOperator | Self::DashboardInstance | Self::Tailscale => "configmap",
            Self::Autoscaler => "horizontalpodautoscaler",
            Self::Budget => "poddisruptionbudget",
            Self::Workload => "statefulset",
            Self::Policy | Self::JobsPolicy => "networkpolicy",
            Self::Claim => "persistentvolumeclaim",
            Self::Database => "paperclipdatabase",
            Self::Backup => "paperclipbackup",
            Self::Migration | Self::Bootstrap => "job",
        }
    }
}

impl Part {
    /// Holds what no rule of ours looks at: the API server judges it.
    const fn is_partly_the_users(self) -> bool {
        matches!(
            self,
            Self::Workload
                | Self::Ingress
                | Self::HttpRoute
                | Self::ServiceMonitor
                | Self::PrometheusRule
                | Self::DashboardOperator
                | Self::DashboardInstance
        )
    }
}

/// Why a part is not what it should be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// PascalCase.
    pub reason: String,
    /// For people.
    pub message: String,
    /// Who can cure it.
    pub cure: Cure,
}

/// Who can cure a problem.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cure {
    /// A person: the name is taken, or the API server refuses what the spec asks for.
    Person,
    /// It passes by itself.
    Time,
    /// Another try.
    Retry,
}

/// What happened to the parts.
#[derive(Debug, Default)]
pub struct Applied {
    /// The spec was applied; otherwise what runs goes on as it is.
    pub tried: bool,
    /// What was done, for parts that are as wished now.
    pub done: Vec<(Part, Outcome)>,
    /// What could not be done.
    pub problems: Vec<(Part, Problem)>,
}

impl Applied {
    /// What is wrong with a part.
    pub fn problem(&self, part: Part) -> Option<&Problem> {
        self.problems
            .iter()
            .find(|(p, _)| *p == part)
            .map(|(_, problem)| problem)
    }
    /// A problem that another try may cure.
    pub fn retry(&self) -> Option<&(Part, Problem)> {
        self.problems.iter().find(|(_, p)| p.cure == Cure::Retry)
    }
    /// A problem of this kind is there.
    pub fn has(&self, cure: Cure) -> bool {
        self.problems.iter().any(|(_, p)| p.cure == cure)
    }
    /// An outcome.
    pub fn outcome(&self, part: Part) -> Option<Outcome> {
        self.done.iter().find(|(p, _)| *p == part).map(|(_, o)| *o)
    }
}

impl Problem {
    /// Of an error.
    pub fn of(part: Part, error: &ApplyError) -> Self {
        let cure = match error {
            ApplyError::NotOurs { .. } => Cure::Person,
            ApplyError::Terminating { .. } => Cure::Time,
            // The API server has looked at what the spec's own pod parts ask for, and says no.
            ApplyError::Api(e) if e.code() == Some(422) && part.is_partly_the_users() => {
                Cure::Person
            }
            _ => Cure::Retry,
        };
        Self {
            reason: error.reason().to_owned(),
            message: error.to_string(),
            cure,
        }
    }
    fn of_claim(error: &RetainedError) -> Self {
        let cure = match error {
            RetainedError::NotOurs { .. } => Cure::Person,
            RetainedError::Terminating { .. } => Cure::Time,
            // The class of the volume does not let it grow.
            RetainedError::Api(e) if matches!(e.code(), Some(403 | 422)) => Cure::Person,
            _ => Cure::Retry,
        };
        Self {
            reason: error.reason().to_owned(),
            message: error.to_string(),
            cure,
        }
    }
}

/// Writes.
pub async fn apply(
    applier: &Applier<'_>,
    caches: &Caches,
    v: &Validated<'_>,
    observed: &Observed,
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
        backup,
        migration,
        bootstrap,
    } = desired;
    let key = |name: &str| Key::new(v.id.namespace, name);
    let uid = v.id.uid;
    let keeps_account = account.is_some()
        || observed.pods.iter().any(|p| !p.deleting)
        || observed.wanted_replicas() > 0;
    let results = futures::join!(
        async {
            let kind = Kind::of::<ServiceAccount>();
            match &account {
                // An account that exists already is used as it is.
                Some(wish) => match ensure(applier, &caches.service_accounts, wish).await {
                    Err(ApplyError::NotOurs { .. }) if *v.account.name != *v.id.name => Ok(None),
                    other => other,
                },
                None if keeps_account => Ok(None),
                None => {
                    remove(
                        applier,
                        &caches.service_accounts,
                        &kind,
                        &key(v.id.name),
                        uid,
                    )
                    .await
                }
            }
        },
        ensure(applier, &caches.services, &service),
        wanted_or_gone::<Ingress, _>(
            applier,
            &caches.ingresses,
            ingress.as_ref(),
            key(v.id.names.main()),
            uid
        ),
        if_served(
            applier,
            &caches.http_routes,
            &HTTP_ROUTE,
            http_route.as_ref(),
            key(v.id.names.main()),
            uid
        ),
        async {
            let main = key(v.id.names.main());
            futures::join!(
                if_served(
                    applier,
                    &caches.service_monitors,
                    &SERVICE_MONITOR,
                    service_monitor.as_ref(),
                    main,
                    uid
                ),
                if_served(
                    applier,
                    &caches.prometheus_rules,
                    &PROMETHEUS_RULE,
                    prometheus_rule.as_ref(),
                    key(&v.id.names.alerts()),
                    uid
                ),
                wanted_or_gone::<ConfigMap, _>(
                    applier,
                    &caches.config_maps,
                    dashboard_operator.as_ref(),
                    key(&v.id.names.dashboard_operator()),
                    uid
                ),
                wanted_or_gone::<ConfigMap, _>(
                    applier,
                    &caches.config_maps,
                    dashboard_instance.as_ref(),
                    key(&v.id.names.dashboard_instance()),
                    uid
                ),
                wanted_or_gone::<ConfigMap, _>(
                    applier,
                    &caches.config_maps,
                    tailscale.as_ref(),
                    key(&v.id.names.tailscale()),
                    uid
                ),
                wanted_or_gone::<HorizontalPodAutoscaler, _>(
                    applier,
                    &caches.autoscalers,
                    autoscaler.as_ref(),
                    key(v.id.names.main()),
                    uid
                ),
            )
        },
        wanted_or_gone::<PodDisruptionBudget, _>(
            applier,
            &caches.budgets,
            budget.as_ref(),
            key(v.id.names.main()),
            uid
        ),
        async {
            match &workload {
                Some(workload) => {
                    put_workload(applier, &caches.stateful_sets, observed, workload).await
                }
                None => Ok(None),
            }
        },
        wanted_or_gone::<NetworkPolicy, _>(
            applier,
            &caches.network_policies,
            policy.as_ref(),
            key(v.id.names.main()),
            uid
        ),
        wanted_or_gone::<NetworkPolicy, _>(
            applier,
            &caches.network_policies,
            jobs_policy.as_ref(),
            key(&v.id.names.jobs()),
            uid
        ),
        volume(applier, caches, v, claim.as_ref()),
        wanted_or_gone::<crate::crd::PaperclipDatabase, _>(
            applier,
            &caches.databases,
            database.as_ref(),
            key(v.id.names.main()),
            uid
        ),
        wanted_or_gone::<crate::crd::PaperclipBackup, _>(
            applier,
            &caches.backups,
            backup.as_ref(),
            key(v.id.names.main()),
            uid
        ),
        async {
            match &migration {
                Some(wish) => ensure(applier, &caches.jobs, wish).await,
                None => Ok(None),
            }
        },
        async {
            match &bootstrap {
                Some(wish) => ensure(applier, &caches.jobs, wish).await,
                None => Ok(None),
            }
        },
    );
    let mut all = Applied {
        tried: true,
        ..Applied::default()
    };
    let (
        account,
        service,
        ingress,
        http_route,
        monitoring,
        budget,
        workload,
        policy,
        jobs_policy,
        claim,
        database,
        backup,
        migration,
        bootstrap,
    ) = results;
    match claim {
        Ok(outcome) => all.done.extend(outcome.map(|o| (Part::Claim, o))),
        Err(error) => all.problems.push((Part::Claim, Problem::of_claim(&error))),
    }
    for (part, result) in [
        (Part::Account, account),
        (Part::Service, service),
        (Part::Ingress, ingress),
        (Part::HttpRoute, http_route),
        (Part::Tailscale, monitoring.4),
        (Part::Autoscaler, monitoring.5),
        (Part::Budget, budget),
        (Part::ServiceMonitor, monitoring.0),
        (Part::PrometheusRule, monitoring.1),
        (Part::DashboardOperator, monitoring.2),
        (Part::DashboardInstance, monitoring.3),
        (Part::Workload, workload),
        (Part::Policy, policy),
        (Part::JobsPolicy, jobs_policy),
        (Part::Database, database),
        (Part::Backup, backup),
        (Part::Migration, migration),
        (Part::Bootstrap, bootstrap),
    ] {
        match result {
            Ok(outcome) => all.done.extend(outcome.map(|o| (part, o))),
            Err(error) => all.problems.push((part, Problem::of(part, &error))),
        }
    }
    all
}

type Done = Result<Option<Outcome>, ApplyError>;

async fn ensure<V: View>(applier: &Applier<'_>, cache: &Cache<V>, wish: &Wish) -> Done {
    Ok(Some(applier.ensure(cache, wish).await?.outcome))
}

/// One that is as the earlier operator left it is replaced as a whole, so that nothing of it stays in the pods.
async fn put_workload<V: View>(
    applier: &Applier<'_>,
    cache: &Cache<V>,
    observed: &Observed,
    workload: &Workload,
) -> Done {
    if observed.workload.as_deref().is_some_and(rollout::is_found) {
        let replaced = applier.replace_found(cache, &workload.wanted).await?;
        return Ok(Some(replaced.outcome));
    }
    ensure(applier, cache, as_it_runs(cache, workload)).await
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

async fn remove<V: View>(
    applier: &Applier<'_>,
    cache: &Cache<V>,
    kind: &Kind,
    key: &Key,
    uid: &str,
) -> Done {
    applier.remove(cache, kind, key, uid).await?;
    Ok(None)
}

async fn wanted_or_gone<K, V: View>(
    applier: &Applier<'_>,
    cache: &Cache<V>,
    wish: Option<&Wish>,
    key: Key,
    uid: &str,
) -> Done
where
    K: kube::Resource<DynamicType = ()>,
    K::Scope: crate::shared::wish::Scoped,
{
    match wish {
        Some(wish) => ensure(applier, cache, wish).await,
        None => remove(applier, cache, &Kind::of::<K>(), &key, uid).await,
    }
}

/// Of a kind that need not be there: while it is not, there is nothing to make and nothing to remove.
async fn if_served<V: View>(
    applier: &Applier<'_>,
    optional: &Optional<V>,
    kind: &Kind,
    wish: Option<&Wish>,
    key: Key,
    uid: &str,
) -> Done {
    match wish {
        _ if !optional.is_served() => Ok(None),
        Some(wish) => ensure(applier, &optional.cache, wish).await,
        None => remove(applier, &optional.cache, kind, &key, uid).await,
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

/// Removes migrations whose turn is over: the newest beside the current one stays as a record. A failed current one goes if a new try was
/// asked for.
///
/// # Errors
/// See [`ApplyError`].
pub async fn prune_jobs(
    applier: &Applier<'_>,
    caches: &Caches,
    observed: &Observed,
    uid: &str,
    plan: &Plan,
    asked: bool,
) -> Result<(), ApplyError> {
    let Some(current) = &plan.migration else {
        return Ok(());
    };
    let mut others: Vec<_> = observed
        .jobs
        .iter()
        .filter(|j| *j.key.name != *current.job)
        .collect();
    others.sort_by_key(|j| std::cmp::Reverse(j.version));
    let mut gone: Vec<&Key> = others.into_iter().skip(1).map(|j| &j.key).collect();
    if asked && matches!(current.state, State::Failed(_)) {
        gone.extend(observed.job(&current.job).map(|j| &j.key));
    }
    let kind = Kind::of::<Job>();
    for key in gone {
        applier.remove(&caches.jobs, &kind, key, uid).await?;
    }
    Ok(())
}

/// Removes the Job of the first admin where it must make room: it is about other data, nobody is wanted any more, or it failed and a new
/// try makes sense. `stamp`: of the try that would be made now, if known.
///
/// # Errors
/// See [`ApplyError`].
pub async fn prune_bootstrap(
    applier: &Applier<'_>,
    caches: &Caches,
    observed: &Observed,
    uid: &str,
    plan: &Plan,
    stamp: Option<&str>,
    asked: bool,
) -> Result<(), ApplyError> {
    let Some(job) = &observed.bootstrap else {
        return Ok(());
    };
    let made_for = job.view.metadata.annotations.applied_hash.as_deref();
    let gone = match &plan.bootstrap {
        None => super::observed::job_state(job) == JobState::Running,
        Some(State::Failed(_)) => asked || (stamp.is_some() && stamp != made_for),
        Some(State::Waiting) => true,
        Some(State::Due | State::Running | State::Complete) => false,
    };
    if gone {
        let kind = Kind::of::<Job>();
        applier.remove(&caches.jobs, &kind, &job.key, uid).await?;
    }
    Ok(())
}
