//! The controllers, what they all see of the cluster, and how they are started. They never call each other: what one writes, the other
//! sees through its cache.

pub mod archive;
pub mod backup;
pub mod cluster_defaults;
pub mod database;
pub mod instance;
pub mod restore;

use crate::crd::{
    Instance, PaperclipBackup, PaperclipClusterDefaults, PaperclipDatabase, PaperclipRestore,
};
use crate::shared::backoff::Failures;
use crate::shared::cache::{Cache, Key, Subscriber, View};
use crate::shared::context::{Context, wakes_itself, wakes_labelled, wakes_owner};
use crate::shared::controller::{Reconcile, Roll, Runner};
use crate::shared::foreign::{HTTP_ROUTE, HttpRoute, PROMETHEUS_RULE, SERVICE_MONITOR};
use crate::shared::guarded::Guarded;
use crate::shared::health::{AskApp, Gates};
use crate::shared::informer::{Informer, LIST_SILENCE};
use crate::shared::metrics::Metrics;
use crate::shared::names::manager;
use crate::shared::serving::{Definitions, Optional, Serving};
use crate::shared::supervise::Tasks;
use crate::shared::triggers::Triggers;
use crate::shared::views::{Autoscaler, Bare, Claim, Ingress, Job, Pod, Service, Workload};
use crate::shared::wish::{Kind, Scoped};
use k8s_openapi::api::{apps, autoscaling, batch, core, networking, policy};
use kube::{Client, Resource};
use std::sync::Arc;
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// How long a start waits to learn which optional kinds there are.
const PATIENCE: Duration = Duration::from_secs(5);
/// Child objects are watched by this label; our own kinds are watched whole.
const SELECTOR: &str = "app.kubernetes.io/managed-by=paperclip-operator";
/// Who applies child objects of the built-in kinds.
const MANAGERS: &[&str] = &[
    manager::INSTANCE,
    manager::DATABASE,
    manager::BACKUP,
    manager::RESTORE,
    manager::SANDBOX_POOL,
];

/// What is known of the cluster, one cache per kind.
pub struct Caches {
    /// Instances.
    pub instances: Arc<Cache<Guarded<Instance>>>,
    /// PaperclipDatabases.
    pub databases: Arc<Cache<Guarded<PaperclipDatabase>>>,
    /// PaperclipBackups.
    pub backups: Arc<Cache<Guarded<PaperclipBackup>>>,
    /// PaperclipRestores.
    pub restores: Arc<Cache<Guarded<PaperclipRestore>>>,
    /// StatefulSets of ours.
    pub stateful_sets: Arc<Cache<Workload>>,
    /// Deployments of ours.
    pub deployments: Arc<Cache<Workload>>,
    /// Services of ours.
    pub services: Arc<Cache<Service>>,
    /// ServiceAccounts of ours.
    pub service_accounts: Arc<Cache<Bare>>,
    /// Ingresses of ours.
    pub ingresses: Arc<Cache<Ingress>>,
    /// PodDisruptionBudgets of ours.
    pub budgets: Arc<Cache<Bare>>,
    /// HTTPRoutes of ours.
    pub http_routes: Optional<HttpRoute>,
    /// ServiceMonitors of ours.
    pub service_monitors: Optional<Bare>,
    /// PrometheusRules of ours.
    pub prometheus_rules: Optional<Bare>,
    /// ConfigMaps of ours.
    pub config_maps: Arc<Cache<Bare>>,
    /// What an admin sets for all Instances; nothing, if we are for some namespaces only.
    pub defaults: Optional<Guarded<PaperclipClusterDefaults>>,
    /// HorizontalPodAutoscalers of ours.
    pub autoscalers: Arc<Cache<Autoscaler>>,
    /// NetworkPolicies of ours.
    pub network_policies: Arc<Cache<Bare>>,
    /// PersistentVolumeClaims of ours.
    pub claims: Arc<Cache<Claim>>,
    /// Jobs of ours.
    pub jobs: Arc<Cache<Job>>,
    /// Pods of ours.
    pub pods: Arc<Cache<Pod>>,
}

/// Caches, the sets of objects to look at, and who exists: made together, because the caches wake the controllers.
pub struct World {
    /// What is known.
    pub caches: Arc<Caches>,
    /// Those of the cluster, unless we are for some namespaces only.
    definitions: Option<Arc<Definitions>>,
    hosts: Arc<instance::Hosts>,
    instance: (Roll, Arc<Triggers>),
    database: (Roll, Arc<Triggers>),
    backup: (Roll, Arc<Triggers>),
    restore: (Roll, Arc<Triggers>),
    defaults: (Roll, Arc<Triggers>),
}

impl World {
    /// Empty caches for these scopes (see [`Cache::new`]).
    pub fn new(scopes: &[String], metrics: &Arc<Metrics>) -> Self {
        let instance = (
            Roll::new(Kind::of::<Instance>()),
            Triggers::new(metrics.queue("instance")),
        );
        let database = (
            Roll::new(Kind::of::<PaperclipDatabase>()),
            Triggers::new(metrics.queue("database")),
        );
        let backup = (
            Roll::new(Kind::of::<PaperclipBackup>()),
            Triggers::new(metrics.queue("backup")),
        );
        let restore = (
            Roll::new(Kind::of::<PaperclipRestore>()),
            Triggers::new(metrics.queue("restore")),
        );
        let (wake_instance, wake_database) = (instance.1.clone(), database.1.clone());
        let forget = metrics.clone();
        let hosts = Arc::new(instance::Hosts::default());
        let instances = Cache::new(&[], scopes)
            .on_itself(instance.0.follow())
            .on_itself(hosts.follow(wake_instance.clone()))
            .on_itself(wakes_itself(wake_instance.clone()))
            .on_itself(Box::new(move |old, new| match (old, new) {
                (None, Some(_)) => forget.managed_instances.inc(),
                (Some(gone), None) => {
                    forget.managed_instances.dec();
                    forget.forget_instance(&gone.key.namespace, &gone.key.name);
                }
                _ => {}
            }));
        let databases = Cache::new(&[manager::INSTANCE], scopes)
            .on_itself(database.0.follow())
            .on_itself(wakes_itself(wake_database.clone()))
            .on_owner(wakes_owner("Instance", wake_instance.clone()));
        let instances = Arc::new(instances);
        // Definitions belong to no namespace.
        let definitions = (scopes == [String::new()]).then(|| Arc::new(Definitions::new(metrics)));
        let backups = Cache::new(&[manager::INSTANCE, manager::BACKUP], scopes)
            .on_itself(backup.0.follow())
            .on_itself(wakes_itself(backup.1.clone()))
            .on_owner(wakes_owner("Instance", wake_instance.clone()))
            .on_owner(wakes_owner("PaperclipBackup", backup.1.clone()))
            .on_owner(wakes_owner("PaperclipRestore", restore.1.clone()));
        let restores = Cache::new(&[manager::INSTANCE], scopes)
            .on_itself(restore.0.follow())
            .on_itself(wakes_itself(restore.1.clone()))
            .on_owner(wakes_target(wake_instance.clone()));
        let defaults = (
            Roll::new(Kind::of::<PaperclipClusterDefaults>()),
            Triggers::new(metrics.queue("clusterdefaults")),
        );
        let child = Children {
            scopes: scopes.to_vec(),
            metrics: metrics.clone(),
            definitions: definitions.clone(),
            instances: instances.clone(),
            instance: wake_instance.clone(),
            database: wake_database.clone(),
            backup: backup.1.clone(),
            restore: restore.1.clone(),
        };
        let caches = Arc::new(Caches {
            instances,
            databases: Arc::new(databases),
            backups: Arc::new(backups),
            restores: Arc::new(restores),
            stateful_sets: child.cache(),
            deployments: child.cache(),
            services: child.cache(),
            service_accounts: child.cache(),
            ingresses: child.cache(),
            budgets: child.cache(),
            defaults: child.defaults(&defaults),
            http_routes: child.optional(&HTTP_ROUTE),
            service_monitors: child.optional(&SERVICE_MONITOR),
            prometheus_rules: child.optional(&PROMETHEUS_RULE),
            config_maps: child.cache(),
            autoscalers: child.cache(),
            network_policies: child.cache(),
            claims: child.cache(),
            jobs: child.cache(),
            pods: Arc::new(
                Cache::new(&[], scopes)
                    .on_owner(wakes_labelled(wake_instance.clone()))
                    .on_owner(wakes_labelled(wake_database.clone())),
            ),
        });
        Self {
            caches,
            definitions,
            hosts,
            instance,
            database,
            backup,
            restore,
            defaults,
        }
    }

    /// Starts one watch per kind and scope.
    pub fn watch(
        &self,
        client: &Client,
        scopes: &[String],
        gates: &Arc<Gates>,
        metrics: &Arc<Metrics>,
        tasks: &mut Tasks,
    ) {
        let mut w = Watches {
            client,
            scopes,
            gates,
            metrics,
            tasks,
        };
        let c = &self.caches;
        w.start::<Instance, _>("informer Instance", "", &c.instances);
        w.start::<PaperclipDatabase, _>("informer PaperclipDatabase", "", &c.databases);
        w.start::<PaperclipBackup, _>("informer PaperclipBackup", "", &c.backups);
        w.start::<PaperclipRestore, _>("informer PaperclipRestore", "", &c.restores);
        w.start::<apps::v1::StatefulSet, _>("informer StatefulSet", SELECTOR, &c.stateful_sets);
        w.start::<apps::v1::Deployment, _>("informer Deployment", SELECTOR, &c.deployments);
        w.start::<core::v1::Service, _>("informer Service", SELECTOR, &c.services);
        w.start::<core::v1::ServiceAccount, _>(
            "informer ServiceAccount",
            SELECTOR,
            &c.service_accounts,
        );
        w.start::<networking::v1::Ingress, _>("informer Ingress", SELECTOR, &c.ingresses);
        w.start::<policy::v1::PodDisruptionBudget, _>(
            "informer PodDisruptionBudget",
            SELECTOR,
            &c.budgets,
        );
        w.start::<autoscaling::v2::HorizontalPodAutoscaler, _>(
            "informer HorizontalPodAutoscaler",
            SELECTOR,
            &c.autoscalers,
        );
        w.start::<networking::v1::NetworkPolicy, _>(
            "informer NetworkPolicy",
            SELECTOR,
            &c.network_policies,
        );
        w.start::<core::v1::PersistentVolumeClaim, _>(
            "informer PersistentVolumeClaim",
            SELECTOR,
            &c.claims,
        );
        w.start::<batch::v1::Job, _>("informer Job", SELECTOR, &c.jobs);
        w.start::<core::v1::Pod, _>("informer Pod", SELECTOR, &c.pods);
        w.start_optional("informer HTTPRoute", &HTTP_ROUTE, &c.http_routes);
        w.start_optional(
            "informer ServiceMonitor",
            &SERVICE_MONITOR,
            &c.service_monitors,
        );
        w.start_optional(
            "informer PrometheusRule",
            &PROMETHEUS_RULE,
            &c.prometheus_rules,
        );
        w.start::<core::v1::ConfigMap, _>("informer ConfigMap", SELECTOR, &c.config_maps);
        if let Some(definitions) = &self.definitions {
            w.start_definitions(definitions);
            let kind = Kind::of::<PaperclipClusterDefaults>();
            w.start_selected("informer PaperclipClusterDefaults", &kind, "", &c.defaults);
        }
    }

    /// Waits for a first complete list of every kind.
    pub async fn synced(&self) {
        let c = &self.caches;
        loop {
            let all = [
                c.instances.synced(),
                c.databases.synced(),
                c.backups.synced(),
                c.restores.synced(),
                c.stateful_sets.synced(),
                c.deployments.synced(),
                c.services.synced(),
                c.service_accounts.synced(),
                c.ingresses.synced(),
                c.budgets.synced(),
                c.config_maps.synced(),
                c.autoscalers.synced(),
                c.network_policies.synced(),
                c.claims.synced(),
                c.jobs.synced(),
                c.pods.synced(),
            ];
            if all.iter().all(|synced| *synced) {
                break;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        let tick = || tokio::time::sleep(Duration::from_millis(10));
        // Without an admin's defaults an Instance would become something else for a moment.
        while self.definitions.is_some() && c.defaults.serving.now().is_none() {
            tick().await;
        }
        // What is known of these keeps conditions from coming and going at a start; nothing else waits for them.
        let optional = async {
            let all = [
                &c.http_routes.serving,
                &c.service_monitors.serving,
                &c.prometheus_rules.serving,
            ];
            while all.iter().any(|serving| serving.now().is_none()) {
                tick().await;
            }
        };
        let _ = tokio::time::timeout(PATIENCE, optional).await;
    }

    /// Asks the server of an Instance for its figures.
    pub fn ask_app(&self, context: &Arc<Context>) -> AskApp {
        let (caches, hosts) = (self.caches.clone(), self.hosts.clone());
        let work = instance::Controller::new(context.clone(), caches, hosts, Arc::default());
        let (work, recent) = (
            Arc::new(work),
            Arc::new(instance::app_figures::Recent::default()),
        );
        Arc::new(move |namespace, name| {
            let (work, recent) = (work.clone(), recent.clone());
            Box::pin(async move { work.app_figures(&namespace, &name, &recent).await })
        })
    }

    /// Runs all controllers until `stop`. Call when [`World::synced`].
    pub async fn control(&self, context: Arc<Context>, stop: CancellationToken) {
        let failures = Arc::new(Failures::default());
        let instance = instance::Controller::new(
            context.clone(),
            self.caches.clone(),
            self.hosts.clone(),
            failures.clone(),
        );
        let defaults =
            cluster_defaults::Controller::new(context.clone(), self.caches.defaults.cache.clone());
        let database_failures = Arc::new(Failures::default());
        let database = database::Controller::new(
            context.clone(),
            self.caches.clone(),
            database_failures.clone(),
        );
        let backup_failures = Arc::new(Failures::default());
        let backup = backup::Controller::new(
            context.clone(),
            self.caches.clone(),
            backup_failures.clone(),
        );
        let restore_failures = Arc::new(Failures::default());
        let restore = restore::Controller::new(
            context.clone(),
            self.caches.clone(),
            restore_failures.clone(),
        );
        tokio::join!(
            run(
                instance,
                &self.caches.instances,
                &self.instance,
                &context,
                failures,
                &stop
            ),
            run(
                database,
                &self.caches.databases,
                &self.database,
                &context,
                database_failures,
                &stop
            ),
            run(
                backup,
                &self.caches.backups,
                &self.backup,
                &context,
                backup_failures,
                &stop
            ),
            run(
                restore,
                &self.caches.restores,
                &self.restore,
                &context,
                restore_failures,
                &stop
            ),
            run(
                defaults,
                &self.caches.defaults.cache,
                &self.defaults,
                &context,
                Arc::default(),
                &stop
            ),
        );
    }
}

async fn run<R: Reconcile>(
    work: R,
    cache: &Arc<Cache<R::View>>,
    (roll, triggers): &(Roll, Arc<Triggers>),
    context: &Context,
    failures: Arc<Failures>,
    stop: &CancellationToken,
) {
    Runner {
        work: Arc::new(work),
        cache: cache.clone(),
        roll: roll.clone(),
        triggers: triggers.clone(),
        concurrency: context.options.concurrency,
        failures,
        metrics: context.metrics.clone(),
        stop: stop.clone(),
    }
    .run()
    .await;
}

/// Wakes the Instance that is restored into, whoever made the restore.
fn wakes_target(triggers: Arc<Triggers>) -> Subscriber<Guarded<PaperclipRestore>> {
    Box::new(move |old, new| {
        for seen in [old, new].into_iter().flatten() {
            if let Guarded::Ok(object) = &seen.view {
                let name = restore::phase::target(object);
                triggers.push(Key::new(&seen.key.namespace, name));
            }
        }
    })
}

/// Makes caches of child kinds, which wake whoever owns the object.
struct Children {
    scopes: Vec<String>,
    metrics: Arc<Metrics>,
    definitions: Option<Arc<Definitions>>,
    instances: Arc<Cache<Guarded<Instance>>>,
    instance: Arc<Triggers>,
    database: Arc<Triggers>,
    backup: Arc<Triggers>,
    restore: Arc<Triggers>,
}

impl Children {
    fn cache<V: View>(&self) -> Arc<Cache<V>> {
        Arc::new(
            Cache::new(MANAGERS, &self.scopes)
                .on_owner(wakes_owner("Instance", self.instance.clone()))
                .on_owner(wakes_owner("PaperclipDatabase", self.database.clone()))
                .on_owner(wakes_owner("PaperclipBackup", self.backup.clone()))
                .on_owner(wakes_owner("PaperclipRestore", self.restore.clone())),
        )
    }
}

impl Children {
    /// What an admin sets for all Instances: a change concerns all of them.
    fn defaults(
        &self,
        (roll, triggers): &(Roll, Arc<Triggers>),
    ) -> Optional<Guarded<PaperclipClusterDefaults>> {
        let everywhere = [String::new()];
        let (instances, wake) = (self.instances.clone(), self.instance.clone());
        let all = move || {
            for instance in instances.all() {
                wake.push(instance.key.clone());
            }
        };
        let cache = Cache::new(&[], &everywhere)
            .on_itself(roll.follow())
            .on_itself(wakes_itself(triggers.clone()))
            .on_itself(Box::new(move |_, _| all()));
        Optional {
            cache: Arc::new(cache),
            serving: Arc::new(Serving::new(
                &Kind::of::<PaperclipClusterDefaults>().definition(),
                self.definitions.clone(),
                &everywhere,
                &self.metrics,
                || {},
            )),
        }
    }

    /// Of a kind that need not be there. Whether it is concerns every Instance that may want an object of it.
    fn optional<V: View>(&self, kind: &Kind) -> Optional<V> {
        let (instances, wake) = (self.instances.clone(), self.instance.clone());
        let told = move || {
            for instance in instances.all() {
                wake.push(instance.key.clone());
            }
        };
        Optional {
            cache: self.cache(),
            serving: Arc::new(Serving::new(
                &kind.definition(),
                self.definitions.clone(),
                &self.scopes,
                &self.metrics,
                told,
            )),
        }
    }
}

struct Watches<'a> {
    client: &'a Client,
    scopes: &'a [String],
    gates: &'a Arc<Gates>,
    metrics: &'a Arc<Metrics>,
    tasks: &'a mut Tasks,
}

impl Watches<'_> {
    fn start<K, V: View>(
        &mut self,
        name: &'static str,
        selector: &'static str,
        cache: &Arc<Cache<V>>,
    ) where
        K: Resource<DynamicType = ()>,
        K::Scope: Scoped,
    {
        for scope in self.scopes {
            let informer = Informer {
                client: self.client.clone(),
                kind: Kind::of::<K>(),
                scope: scope.clone(),
                selector,
                cache: cache.clone(),
                gates: self.gates.clone(),
                metrics: self.metrics.clone(),
                list_silence: LIST_SILENCE,
                optional: None,
            };
            informer.announce();
            self.tasks.spawn(name, informer.run());
        }
    }

    /// Of a kind that need not be there, and whose objects of ours carry our label.
    fn start_optional<V: View>(&mut self, name: &'static str, kind: &Kind, optional: &Optional<V>) {
        self.start_selected(name, kind, SELECTOR, optional);
    }

    fn start_selected<V: View>(
        &mut self,
        name: &'static str,
        kind: &Kind,
        selector: &'static str,
        optional: &Optional<V>,
    ) {
        for scope in self.scopes {
            let informer = Informer {
                client: self.client.clone(),
                kind: kind.clone(),
                scope: scope.clone(),
                selector,
                cache: optional.cache.clone(),
                gates: self.gates.clone(),
                metrics: self.metrics.clone(),
                list_silence: LIST_SILENCE,
                optional: Some(optional.serving.clone()),
            };
            informer.announce();
            self.tasks.spawn(name, informer.run());
        }
    }

    fn start_definitions(&mut self, definitions: &Definitions) {
        let informer = Informer {
            client: self.client.clone(),
            kind: Kind {
                namespaced: false,
                ..Kind::named(
                    "apiextensions.k8s.io",
                    "v1",
                    "CustomResourceDefinition",
                    "customresourcedefinitions",
                )
            },
            scope: String::new(),
            selector: "",
            cache: definitions.cache.clone(),
            gates: self.gates.clone(),
            metrics: self.metrics.clone(),
            list_silence: LIST_SILENCE,
            optional: Some(definitions.serving.clone()),
        };
        informer.announce();
        self.tasks
            .spawn("informer CustomResourceDefinition", informer.run_bare());
    }
}
