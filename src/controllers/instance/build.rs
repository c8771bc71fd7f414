//! From what was validated to the objects as they should be: one file per kind. Pure; random bytes and times come in from outside.

pub mod autoscaler;
pub mod backup;
pub mod bootstrap;
pub mod claim;
pub mod config_hash;
pub mod connections;
pub mod database;
pub mod deployment;
pub mod disruption_budget;
pub mod env;
pub mod http_route;
pub mod ingress;
pub mod job;
pub mod migration;
pub mod monitoring;
pub mod network_policy;
pub mod pod;
pub mod probes;
pub mod restore;
pub mod secrets;
pub mod serve;
pub mod service;
pub mod service_account;
pub mod stateful_set;
pub mod tailscale;

use super::exposure::{Exposure, Way};
use super::validate::Validated;
use super::validate::database::Database;
use super::validate::names::Identity;
use super::validate::routes;
use super::workload::WorkloadKind;
use crate::shared::names::{self, API_VERSION, Component};
use crate::shared::wish::{Malformed, Wish};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, OwnerReference};
use serde_json::Value;

/// Every object of an Instance, one field each. `None` in the policies, the ways from outside, the budget and the
/// account means that there must be none of ours.
#[derive(Debug)]
pub struct Desired {
    /// The account that pods run as.
    pub account: Option<Wish>,
    /// The server's Service.
    pub service: Wish,
    /// The way to it through an Ingress.
    pub ingress: Option<Wish>,
    /// The way to it through a Gateway.
    pub http_route: Option<Wish>,
    /// What is served in the tailnet.
    pub tailscale: Option<Wish>,
    /// What changes the number of its pods.
    pub autoscaler: Option<Wish>,
    /// How many of its pods may be taken away at once.
    pub budget: Option<Wish>,
    /// What Prometheus collects.
    pub service_monitor: Option<Wish>,
    /// Alerts.
    pub prometheus_rule: Option<Wish>,
    /// Dashboard of the operator.
    pub dashboard_operator: Option<Wish>,
    /// Dashboard of the Instance.
    pub dashboard_instance: Option<Wish>,
    /// The server; `None`: it stays as it is.
    pub workload: Option<Workload>,
    /// Who may talk to the server.
    pub policy: Option<Wish>,
    /// Who may talk to Jobs.
    pub jobs_policy: Option<Wish>,
    /// The data volume, made once; `None`: not ours to make.
    pub claim: Option<claim::Claim>,
    /// The database.
    pub database: Option<Wish>,
    /// The one that is asked before the server goes there.
    pub next_database: Option<Wish>,
    /// Its backups by a schedule.
    pub backup: Option<Wish>,
    /// The restore that is to be asked for; `None`: none is.
    pub restore: Option<Wish>,
    /// The migration that is to begin; `None`: none is.
    pub migration: Option<Wish>,
    /// The making of the first admin that is to begin; `None`: none is.
    pub bootstrap: Option<Wish>,
}

/// The server as it should be.
#[derive(Debug)]
pub struct Workload {
    /// With the agent of this operator.
    pub wanted: Wish,
    /// The same with the agent that it has: an update of the operator alone restarts no server.
    pub in_use: Option<Wish>,
}

impl Desired {
    /// The objects that are wished for as they are; the claim, which is only made and grown, is not among them.
    pub fn wishes(&self) -> Vec<&Wish> {
        let Self {
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
            claim: _,
            database,
            next_database,
            backup,
            restore,
            migration,
            bootstrap,
        } = self;
        [
            account.as_ref(),
            Some(service),
            ingress.as_ref(),
            http_route.as_ref(),
            tailscale.as_ref(),
            autoscaler.as_ref(),
            budget.as_ref(),
            service_monitor.as_ref(),
            prometheus_rule.as_ref(),
            dashboard_operator.as_ref(),
            dashboard_instance.as_ref(),
            workload.as_ref().map(|w| &w.wanted),
            policy.as_ref(),
            jobs_policy.as_ref(),
            database.as_ref(),
            next_database.as_ref(),
            backup.as_ref(),
            restore.as_ref(),
            migration.as_ref(),
            bootstrap.as_ref(),
        ]
        .into_iter()
        .flatten()
        .collect()
    }
}

/// What is decided outside of the spec.
#[derive(Clone, Copy, Debug)]
pub struct Setting<'a> {
    /// Image with the agent.
    pub agent_image: &'a str,
    /// Image that the server's pods have their agent from, if it is another one.
    pub agent_image_in_use: Option<&'a str>,
    /// Namespace of the operator's pods, if known.
    pub operator_namespace: Option<&'a str>,
    /// The database that is asked while the server stays with another one.
    pub next_database: Option<Database<'a>>,
    /// Where the database's URL is.
    pub connection: &'a pod::Connection,
    /// The Service has IPv6 addresses only or too.
    pub ipv6: bool,
    /// What happens to the server.
    pub server: Server<'a>,
    /// Kind of the workload whose pods follow the load.
    pub scaled: WorkloadKind,
    /// There is a Service in front of the operator's figures.
    pub scraped: bool,
    /// Version of the workload that its number of pods was read from, if somebody else decides about that.
    pub replicas_read_at: Option<u64>,
    /// Which ways from outside are open.
    pub exposure: &'a Exposure,
    /// Name of the migration Job that is to begin, if one is.
    pub migrate: Option<&'a str>,
    /// Stamp of the making of the first admin that is to begin, if it is.
    pub bootstrap: Option<&'a str>,
    /// The restore is to be asked for; true: by the name of a PaperclipBackup.
    pub restore: Option<bool>,
    /// The Service waits for the first admin inside the cluster.
    pub hold_service: bool,
    /// `podManagementPolicy` of the StatefulSet that is there; it cannot be changed.
    pub pod_management: Option<&'a str>,
}

impl Setting<'_> {
    /// The Ingress that is to exist.
    fn ingress<'v, 'a>(&self, v: &'v Validated<'a>) -> Option<&'v routes::Ingress<'a>> {
        let open = Way::is_open(self.exposure.ingress.as_ref());
        v.routes.ingress.as_ref().filter(|_| open)
    }

    /// The HTTPRoute that is to exist.
    fn http_route<'v, 'a>(&self, v: &'v Validated<'a>) -> Option<&'v routes::HttpRoute<'a>> {
        let open = Way::is_open(self.exposure.http_route.as_ref());
        v.routes.http_route.as_ref().filter(|_| open)
    }

    /// Interval of the scrapes, and where the operator answers them.
    fn monitored<'a>(&self, v: &Validated<'a>) -> Option<(&'a str, &str)> {
        let operator = self.operator_namespace.filter(|_| self.scraped)?;
        Some((v.monitoring.interval?, operator))
    }

    /// Clients come from outside of the namespace.
    fn is_published(&self, v: &Validated<'_>) -> bool {
        v.network.is_published() || self.ingress(v).is_some() || self.http_route(v).is_some()
    }
}

/// What happens to the server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Server<'a> {
    /// It stays at its revision.
    Leave,
    /// So many pods, with this config hash.
    Run {
        /// Pods.
        replicas: i32,
        /// Hash of what the pods are configured with, if known.
        config_hash: Option<&'a str>,
    },
}

/// All objects.
///
/// # Errors
/// If an object cannot be turned into JSON: a fault of ours.
pub fn build(v: &Validated<'_>, s: &Setting<'_>) -> Result<Desired, Malformed> {
    Ok(Desired {
        account: v
            .account
            .make
            .then(|| Wish::of(&service_account::build(v)))
            .transpose()?,
        service: Wish::of(&service::build(v, s.hold_service))?,
        ingress: s
            .ingress(v)
            .map(|i| Wish::of(&ingress::build(v, i)))
            .transpose()?,
        http_route: s
            .http_route(v)
            .map(|r| http_route::build(v, r))
            .transpose()?,
        service_monitor: s
            .monitored(v)
            .map(|(interval, operator)| monitoring::service_monitor::build(v, interval, operator))
            .transpose()?,
        prometheus_rule: v
            .monitoring
            .alerts
            .as_ref()
            .map(|a| monitoring::prometheus_rule::build(v, a))
            .transpose()?,
        dashboard_operator: v
            .monitoring
            .dashboards
            .as_ref()
            .map(|d| Wish::of(&monitoring::dashboards::operator(v, d)))
            .transpose()?,
        dashboard_instance: v
            .monitoring
            .dashboards
            .as_ref()
            .map(|d| Wish::of(&monitoring::dashboards::instance(v, d)))
            .transpose()?,
        tailscale: s
            .tailscale(v)
            .map(|t| Wish::of(&tailscale::config_map(v, t)))
            .transpose()?,
        autoscaler: v
            .scaling
            .filter(|scaling| !scaling.blocked)
            .map(|scaling| Wish::of(&autoscaler::build(v, &scaling, s.scaled)))
            .transpose()?,
        budget: v
            .budget
            .as_ref()
            .map(|b| Wish::of(&disruption_budget::build(v, b)))
            .transpose()?,
        workload: match s.server {
            Server::Leave => None,
            Server::Run {
                replicas,
                config_hash,
            } => Some(workload(v, s, replicas, config_hash)?),
        },
        policy: network_policy::server(v, s)
            .map(|p| Wish::of(&p))
            .transpose()?,
        jobs_policy: network_policy::jobs(v).map(|p| Wish::of(&p)).transpose()?,
        claim: claim::build(v),
        database: database::build(v).map(|d| Wish::of(&d)).transpose()?,
        next_database: s
            .next_database
            .and_then(|next| database::build_next(v, next))
            .map(|d| Wish::of(&d))
            .transpose()?,
        backup: backup::build(v).map(|b| Wish::of(&b)).transpose()?,
        restore: s
            .restore
            .and_then(|names_backup| restore::build(v, names_backup))
            .map(|r| Wish::of(&r))
            .transpose()?,
        migration: s
            .migrate
            .map(|name| Wish::of(&migration::build(v, s, name)))
            .transpose()?,
        bootstrap: s
            .bootstrap
            .zip(v.admin.as_ref())
            .map(|(stamp, admin)| Wish::of(&bootstrap::build(v, s, admin, stamp)))
            .transpose()?,
    })
}

fn workload(
    v: &Validated<'_>,
    s: &Setting<'_>,
    replicas: i32,
    config_hash: Option<&str>,
) -> Result<Workload, Malformed> {
    let with = |agent_image: &str| {
        let (image, hash) = (agent_image, config_hash);
        let mut wish = match v.workload {
            WorkloadKind::StatefulSet => {
                Wish::of(&stateful_set::build(v, s, image, replicas, hash))?
            }
            WorkloadKind::Deployment => Wish::of(&deployment::build(v, s, image, replicas, hash))?,
        };
        // Whoever changes the number meanwhile is not overruled: the write is refused, and the number read again.
        if let Some(version) = s.replicas_read_at {
            wish.body["metadata"]["resourceVersion"] = version.to_string().into();
        }
        Ok::<_, Malformed>(wish)
    };
    Ok(Workload {
        wanted: with(s.agent_image)?,
        in_use: s.agent_image_in_use.map(with).transpose()?,
    })
}

/// Metadata of an object that goes with the Instance.
fn owned(id: &Identity<'_>, name: &str, component: Component) -> ObjectMeta {
    ObjectMeta {
        owner_references: Some(vec![owner(id)]),
        ..kept(id, name, component)
    }
}

/// Metadata of an object that stays when the Instance goes.
fn kept(id: &Identity<'_>, name: &str, component: Component) -> ObjectMeta {
    ObjectMeta {
        name: Some(name.to_owned()),
        namespace: Some(id.namespace.to_owned()),
        labels: Some(names::labels(id.name, component)),
        ..ObjectMeta::default()
    }
}

/// The Instance as the controlling owner.
fn owner(id: &Identity<'_>) -> OwnerReference {
    OwnerReference {
        api_version: API_VERSION.into(),
        kind: "Instance".into(),
        name: id.name.into(),
        uid: id.uid.into(),
        controller: Some(true),
        block_owner_deletion: Some(true),
    }
}

/// The Instance as the owner of data that go with it, in JSON.
pub fn data_owner(id: &Identity<'_>) -> Value {
    serde_json::json!({"apiVersion": API_VERSION, "kind": "Instance", "name": id.name, "uid": id.uid,
        "controller": true, "blockOwnerDeletion": false})
}

#[cfg(test)]
mod tests;
