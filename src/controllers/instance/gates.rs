//! What the server waits for, and what happens to it meanwhile. A gate never stops a server that serves: only `suspended` does. Pure.

use super::build::{self, Server};
use super::observed::{Observed, job_state};
use super::validate::Validated;
use crate::crd::instance::{InstanceStatus, MigrationState};
use crate::shared::views::JobState;

/// What the server waits for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Wait {
    /// Something that is not built and that the server must not start without.
    Hold(&'static str),
    /// Secrets or ConfigMaps.
    References,
    /// The database.
    Database,
    /// The schema.
    Migration,
}

impl Wait {
    /// For people.
    pub fn text(&self, name: &str) -> String {
        match self {
            Self::Hold(why) => (*why).to_owned(),
            Self::References => "waits for what the spec refers to".to_owned(),
            Self::Database => format!("waits for PaperclipDatabase \"{name}\""),
            Self::Migration => "waits for the migration of the database".to_owned(),
        }
    }
}

/// How the migration stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Migration {
    /// Name of the Job for this image and database.
    pub job: String,
    /// How it stands.
    pub state: State,
}

/// How a migration stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum State {
    /// Its turn has not come.
    Waiting,
    /// It is to be begun now.
    Due,
    /// It works.
    Running,
    /// The schema is up to date.
    Complete,
    /// It ended badly, in Kubernetes' words.
    Failed(String),
}

/// What is decided.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    /// The first closed gate; `None`: the server may run.
    pub wait: Option<Wait>,
    /// `None`: there is nothing to migrate.
    pub migration: Option<Migration>,
}

/// Decides. `broken`: a reference does not hold.
pub fn plan(
    v: &Validated<'_>,
    observed: &Observed,
    status: Option<&InstanceStatus>,
    broken: bool,
) -> Plan {
    let child = observed.child().filter(|_| v.database.has_child());
    let ready = child.is_some_and(|c| c.ready() && c.connection().is_some());
    let restored = status
        .and_then(|s| s.restore.as_ref())
        .and_then(|r| r.source.as_deref());
    let migration = child.map(|child| {
        let hash = build::migration::hash(&v.image.reference, child.uid, restored);
        let job = v.id.names.migrate(&hash);
        let state = match observed.job(&job).map(job_state) {
            _ if is_recorded(status, &job) => State::Complete,
            Some(JobState::Complete) => State::Complete,
            Some(JobState::Failed(why)) => State::Failed(why),
            Some(JobState::Running) => State::Running,
            None if ready && v.hold.is_none() && !v.suspended => State::Due,
            None => State::Waiting,
        };
        Migration { job, state }
    });
    let migrated = migration
        .as_ref()
        .is_some_and(|m| m.state == State::Complete);
    let wait = match v.hold {
        Some(why) => Some(Wait::Hold(why)),
        None if broken => Some(Wait::References),
        None if !v.database.has_child() => None,
        None if !ready => Some(Wait::Database),
        None if !migrated => Some(Wait::Migration),
        None => None,
    };
    Plan { wait, migration }
}

/// The status remembers a migration whose Job is gone.
fn is_recorded(status: Option<&InstanceStatus>, job: &str) -> bool {
    status.and_then(|s| s.migration.as_ref()).is_some_and(|m| {
        m.job.as_deref() == Some(job)
            && m.state
                .as_ref()
                .is_some_and(|s| *s == MigrationState::Complete)
    })
}

impl Plan {
    /// The Job that is to be made now.
    pub fn due(&self) -> Option<&str> {
        self.migration
            .as_ref()
            .filter(|m| m.state == State::Due)
            .map(|m| m.job.as_str())
    }

    /// The server runs, so what it is configured with must be known.
    pub fn needs_hash(&self, v: &Validated<'_>) -> bool {
        self.wait.is_none() && !v.suspended
    }

    /// What happens to the server. `hash`: of what its pods are configured with, if known.
    pub fn server<'h>(
        &self,
        v: &Validated<'_>,
        observed: &Observed,
        hash: Option<&'h str>,
    ) -> Server<'h> {
        if v.suspended {
            return Server::Run {
                replicas: 0,
                config_hash: hash,
            };
        }
        match (&self.wait, hash) {
            (None, Some(_)) => Server::Run {
                replicas: 1,
                config_hash: hash,
            },
            // It serves, or is to: what runs goes on as it is.
            _ if observed.wanted_replicas() > 0 => Server::Leave,
            _ => Server::Run {
                replicas: 0,
                config_hash: hash,
            },
        }
    }
}
