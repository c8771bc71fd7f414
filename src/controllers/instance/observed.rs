//! What the caches hold of one Instance at one moment. Only objects that belong to it: one of the same name with another owner is not
//! among them.

use super::final_backup;
use super::workload::{WorkloadKind, Workloads};
use crate::controllers::Caches;
use crate::controllers::restore::phase;
use crate::crd::backup::{BackupPhase, PaperclipBackupStatus};
use crate::crd::database::{DatabaseEngine, PaperclipDatabaseStatus};
use crate::crd::{PaperclipBackup, PaperclipDatabase, PaperclipRestore};
use crate::shared::cache::{Cache, Key, Seen, View};
use crate::shared::conditions::find;
use crate::shared::foreign::HttpRoute;
use crate::shared::guarded::Guarded;
use crate::shared::names::{Component, Names};
use crate::shared::serving::Answer;
use crate::shared::views::{
    Autoscaler, Bare, Claim, Ingress, Job, JobState, Pod, Service, Workload,
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use std::sync::Arc;

/// See the module.
#[derive(Debug, Default)]
pub struct Observed {
    /// The child.
    pub database: Option<Arc<Seen<Guarded<PaperclipDatabase>>>>,
    /// The database that is asked before the server goes there.
    pub next_database: Option<Arc<Seen<Guarded<PaperclipDatabase>>>>,
    /// Its backups by a schedule.
    pub backup: Option<Arc<Seen<Guarded<PaperclipBackup>>>>,
    /// Restores into this Instance, whoever asked for them.
    pub restores: Vec<Arc<Seen<Guarded<PaperclipRestore>>>>,
    /// Last backups of an Instance that is being deleted.
    pub final_backups: Vec<final_backup::Try>,
    /// Name of the one of them that is being taken.
    pub backing_up: Option<String>,
    /// What runs the server.
    pub workloads: Workloads,
    /// Its Service.
    pub service: Option<Arc<Seen<Service>>>,
    /// The way to it from outside.
    pub ingress: Option<Arc<Seen<Ingress>>>,
    /// The way to it through a Gateway.
    pub http_route: Option<Arc<Seen<HttpRoute>>>,
    /// Whether such ways can be made here; `None`: nobody has said.
    pub http_routes: Option<Answer>,
    /// How many of its pods may be taken away at once.
    pub budget: Option<Arc<Seen<Bare>>>,
    /// What Prometheus collects.
    pub service_monitor: Option<Arc<Seen<Bare>>>,
    /// Whether that can be made here; `None`: nobody has said.
    pub service_monitors: Option<Answer>,
    /// Alerts.
    pub prometheus_rule: Option<Arc<Seen<Bare>>>,
    /// Whether they can be made here; `None`: nobody has said.
    pub prometheus_rules: Option<Answer>,
    /// Dashboard of the operator.
    pub dashboard_operator: Option<Arc<Seen<Bare>>>,
    /// Dashboard of the Instance.
    pub dashboard_instance: Option<Arc<Seen<Bare>>>,
    /// What is served in the tailnet.
    pub tailscale: Option<Arc<Seen<Bare>>>,
    /// What changes the number of pods.
    pub autoscaler: Option<Arc<Seen<Autoscaler>>>,
    /// The account, if it is ours.
    pub account: Option<Arc<Seen<Bare>>>,
    /// The server's policy.
    pub policy: Option<Arc<Seen<Bare>>>,
    /// The Jobs' policy.
    pub jobs_policy: Option<Arc<Seen<Bare>>>,
    /// `N-data`, whoever owns it.
    pub claim: Option<Arc<Seen<Claim>>>,
    /// Migrations.
    pub jobs: Vec<Arc<Seen<Job>>>,
    /// The making of the first admin.
    pub bootstrap: Option<Arc<Seen<Job>>>,
    /// Its pods.
    pub bootstrap_pods: Vec<Arc<Seen<Pod>>>,
    /// Pods of the server.
    pub pods: Vec<Arc<Seen<Pod>>>,
    /// Pods of migrations.
    pub job_pods: Vec<Arc<Seen<Pod>>>,
    /// The database's StatefulSet, if there is one.
    pub database_workload: bool,
    /// The database's Service, if there is one.
    pub database_service: bool,
    /// The database's claim, if there is one, whoever owns it.
    pub database_claim: Option<Arc<Seen<Claim>>>,
}

impl Observed {
    /// Looks into the caches. `kind` is the workload's that is wanted, `account` the name of the account that we would make.
    pub fn of(
        caches: &Caches,
        namespace: &str,
        name: &str,
        uid: &str,
        kind: WorkloadKind,
        account: &str,
    ) -> Self {
        let names = Names::of(name);
        let key = |name: &str| Key::new(namespace, name);
        let main = key(names.main());
        let stateful_set = ours(&caches.stateful_sets, &main, uid);
        let deployment = ours(&caches.deployments, &main, uid);
        let mut pods = match &stateful_set {
            Some(set) => caches.pods.controlled_by(&set.uid),
            None => vec![],
        };
        if deployment.is_some() {
            let all = caches.pods.in_replica_sets(namespace, name).into_iter();
            pods.extend(all.filter(|p| p.component == Some(Component::Server)));
        }
        let jobs: Vec<_> = caches
            .jobs
            .controlled_by(uid)
            .into_iter()
            .filter(|j| j.component == Some(Component::Migration))
            .collect();
        let bootstrap = ours(&caches.jobs, &key(&names.bootstrap()), uid);
        let database = ours(&caches.databases, &main, uid);
        let backup = ours(&caches.backups, &main, uid);
        let backing_up = backup.as_ref().and_then(|b| running(caches, &b.uid));
        let child = database.as_ref().map(|d| d.uid.clone());
        let child = child.as_deref().unwrap_or_default();
        Self {
            service: ours(&caches.services, &main, uid),
            ingress: ours(&caches.ingresses, &main, uid),
            http_route: ours(&caches.http_routes.cache, &main, uid),
            http_routes: caches.http_routes.serving.now(),
            service_monitor: ours(&caches.service_monitors.cache, &main, uid),
            service_monitors: caches.service_monitors.serving.now(),
            prometheus_rule: ours(&caches.prometheus_rules.cache, &key(&names.alerts()), uid),
            prometheus_rules: caches.prometheus_rules.serving.now(),
            dashboard_operator: ours(&caches.config_maps, &key(&names.dashboard_operator()), uid),
            dashboard_instance: ours(&caches.config_maps, &key(&names.dashboard_instance()), uid),
            tailscale: ours(&caches.config_maps, &key(&names.tailscale()), uid),
            autoscaler: ours(&caches.autoscalers, &main, uid),
            budget: ours(&caches.budgets, &main, uid),
            account: ours(&caches.service_accounts, &key(account), uid),
            policy: ours(&caches.network_policies, &main, uid),
            jobs_policy: ours(&caches.network_policies, &key(&names.jobs()), uid),
            claim: caches.claims.get(&key(&names.data())),
            pods,
            job_pods: jobs
                .iter()
                .flat_map(|j| caches.pods.controlled_by(&j.uid))
                .collect(),
            bootstrap_pods: bootstrap
                .as_ref()
                .map(|j| caches.pods.controlled_by(&j.uid))
                .unwrap_or_default(),
            bootstrap,
            database_workload: ours(&caches.stateful_sets, &key(&names.database()), child)
                .is_some(),
            database_service: ours(&caches.services, &key(&names.database()), child).is_some(),
            database_claim: caches.claims.get(&key(&names.database_data())),
            workloads: Workloads::of(kind, stateful_set, deployment),
            jobs,
            restores: restores(caches, &main),
            final_backups: final_backups(caches, &main),
            next_database: ours(&caches.databases, &key(&names.next_database()), uid),
            database,
            backup,
            backing_up,
        }
    }

    /// The child as it was decoded.
    pub fn child(&self) -> Option<Child<'_>> {
        self.database.as_deref().map(Child::of)
    }

    /// The one that is asked before the server goes there.
    pub fn next_child(&self) -> Option<Child<'_>> {
        self.next_database.as_deref().map(Child::of)
    }

    /// What the backups by a schedule say of themselves.
    pub fn backup_status(&self) -> Option<&PaperclipBackupStatus> {
        match &self.backup.as_ref()?.view {
            Guarded::Ok(backup) => backup.status.as_ref(),
            Guarded::Undecodable { .. } => None,
        }
    }

    /// A condition of the backups by a schedule, if it is about their current spec.
    pub fn backup_condition(&self, kind: &str) -> Option<&Condition> {
        let generation = self.backup.as_ref()?.generation;
        find(&self.backup_status()?.conditions, kind)
            .filter(|c| c.observed_generation.is_none_or(|g| g >= generation))
    }

    /// The migration called `name`.
    pub fn job(&self, name: &str) -> Option<&Seen<Job>> {
        self.jobs
            .iter()
            .find(|j| &*j.key.name == name)
            .map(AsRef::as_ref)
    }

    /// Pods of the server that are ready.
    pub fn serving(&self) -> impl Iterator<Item = &Arc<Seen<Pod>>> {
        self.pods.iter().filter(|p| p.view.ready && !p.deleting)
    }

    /// At least one pod of the server is ready.
    pub fn serves(&self) -> bool {
        self.serving().next().is_some()
    }

    /// What counts of what runs the server.
    pub fn workload(&self) -> Option<&Seen<Workload>> {
        self.workloads.current.as_deref()
    }

    /// Pods that the server is to have.
    pub fn wanted_replicas(&self) -> i32 {
        self.workload()
            .and_then(|w| w.view.spec.replicas)
            .unwrap_or(0)
    }

    /// The config hash that the server's pods are made with.
    pub fn config_hash(&self) -> Option<&str> {
        let view = &self.workload()?.view;
        view.spec
            .template
            .metadata
            .annotations
            .config_hash
            .as_deref()
    }

    /// The Service has an IPv6 address.
    pub fn ipv6(&self) -> bool {
        self.service
            .as_ref()
            .is_some_and(|s| s.view.spec.ip_families.iter().any(|f| &**f == "IPv6"))
    }
}

/// The one-shot of this policy that is being taken.
fn running(caches: &Caches, policy: &str) -> Option<String> {
    let all = caches.backups.controlled_by(policy);
    let found = all.iter().find(|seen| match &seen.view {
        Guarded::Ok(one) => {
            let phase = one.status.as_ref().and_then(|s| s.phase.as_ref());
            phase.is_some_and(|p| *p == BackupPhase::Running)
        }
        Guarded::Undecodable { .. } => false,
    });
    found.map(|seen| seen.key.name.to_string())
}

fn final_backups(caches: &Caches, main: &Key) -> Vec<final_backup::Try> {
    let seen = caches.instances.get(main);
    match seen.as_ref().map(|seen| &seen.view) {
        Some(Guarded::Ok(instance)) => final_backup::tries(instance, |name| {
            caches.backups.get(&Key::new(&main.namespace, name))
        }),
        _ => vec![],
    }
}

fn restores(caches: &Caches, main: &Key) -> Vec<Arc<Seen<Guarded<PaperclipRestore>>>> {
    let mut all = caches.restores.all();
    all.retain(|seen| match &seen.view {
        Guarded::Ok(restore) => {
            seen.key.namespace == main.namespace && *phase::target(restore) == *main.name
        }
        Guarded::Undecodable { .. } => false,
    });
    all
}

fn ours<V: View>(cache: &Cache<V>, key: &Key, uid: &str) -> Option<Arc<Seen<V>>> {
    cache
        .get(key)
        .filter(|s| s.controller.as_ref().is_some_and(|c| *c.uid == *uid))
}

/// The PaperclipDatabase of an Instance.
#[derive(Clone, Copy, Debug)]
pub struct Child<'a> {
    /// Its uid.
    pub uid: &'a str,
    generation: i64,
    /// Another one may take its place: what it says is not about that.
    ends: bool,
    external: bool,
    status: Option<&'a PaperclipDatabaseStatus>,
}

impl<'a> Child<'a> {
    fn of(seen: &'a Seen<Guarded<PaperclipDatabase>>) -> Self {
        let object = match &seen.view {
            Guarded::Ok(database) => Some(database),
            Guarded::Undecodable { .. } => None,
        };
        let engine = object.and_then(|o| o.spec.engine.as_ref());
        Self {
            uid: &seen.uid,
            generation: seen.generation,
            ends: seen.deleting,
            external: engine.is_some_and(|e| *e == DatabaseEngine::External),
            status: object.and_then(|o| o.status.as_ref()),
        }
    }

    /// Somebody else runs it.
    pub const fn is_external(&self) -> bool {
        self.external
    }

    /// A condition, if it is about the current spec of one that stays.
    pub fn condition(&self, kind: &str) -> Option<&'a Condition> {
        find(&self.status?.conditions, kind)
            .filter(|_| !self.ends)
            .filter(|c| c.observed_generation.is_none_or(|g| g >= self.generation))
    }

    /// It says that it is ready, about the current spec. Nobody asks an external one: there the migration is the first to try.
    pub fn may_be_used(&self) -> bool {
        self.condition("Ready")
            .is_some_and(|c| c.status == "True" || self.is_unasked(c))
    }

    /// External, in order as far as its controller looks, and not asked.
    fn is_unasked(&self, ready: &Condition) -> bool {
        self.external && ready.status == "Unknown" && ready.reason == "NotChecked"
    }

    /// Between the server and it is a pooler in transaction mode.
    pub fn is_pooled(&self) -> bool {
        let check = self.status.and_then(|s| s.check.as_ref());
        check.and_then(|c| c.transaction_pooler) == Some(true)
    }

    /// Secret and key of the URL.
    pub fn connection(&self) -> Option<(&'a str, &'a str)> {
        let reference = self.status?.connection_secret_ref.as_ref()?;
        (!reference.name.is_empty()).then_some((reference.name.as_str(), reference.key.as_str()))
    }
}

/// How a migration stands.
pub fn job_state(job: &Seen<Job>) -> JobState {
    job.view.state()
}
