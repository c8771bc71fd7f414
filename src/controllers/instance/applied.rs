//! The objects of an Instance by the names that conditions and metrics have for them, and what became of each in a pass. Pure.

use super::database_mode::Step;
use super::retained::RetainedError;
use super::workload::Switch;
use crate::shared::apply::{ApplyError, Outcome};

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
    /// PaperclipRestore.
    Restore,
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
            Self::Restore => "papercliprestore",
            Self::Migration | Self::Bootstrap => "job",
        }
    }

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
    /// What was done about two kinds of workload.
    pub switch: Switch,
    /// What was done about the PaperclipDatabase, if that succeeded.
    pub database: Option<Step>,
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
            ApplyError::NotOurs { .. } | ApplyError::Unreadable { .. } => Cure::Person,
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
    /// Of an error with the data volume.
    pub fn of_claim(error: &RetainedError) -> Self {
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
