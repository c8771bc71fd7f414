//! What the server waits for, and what happens to it meanwhile. A gate never stops a server that serves: only `suspended`, a restore
//! that has begun, and a database that is about to be replaced do. Pure.

use super::build::{self, Server};
use super::observed::{Observed, job_state};
use super::restore::{Hold, Restores};
use super::validate::Validated;
use crate::crd::Instance;
use crate::crd::instance::{BootstrapState, InstanceStatus, MigrationState};
use crate::shared::views::JobState;

/// What the server waits for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Wait {
    /// Data that are to be brought back.
    Restore,
    /// Secrets or ConfigMaps.
    References,
    /// The database.
    Database,
    /// The schema.
    Migration,
    /// The first admin.
    Bootstrap,
    /// A reason for the one roll-out of an Instance that was taken over.
    Adoption,
}

impl Wait {
    /// For people.
    pub fn text(&self, name: &str) -> String {
        match self {
            Self::Restore => "waits for a restore".to_owned(),
            Self::References => "waits for what the spec refers to".to_owned(),
            Self::Database => format!("waits for PaperclipDatabase \"{name}\""),
            Self::Migration => "waits for the migration of the database".to_owned(),
            Self::Bootstrap => "waits for the first admin".to_owned(),
            Self::Adoption => "stays as the earlier operator left it".to_owned(),
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

/// How the work of a Job stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum State {
    /// Its turn has not come.
    Waiting,
    /// It is to be begun now.
    Due,
    /// It works.
    Running,
    /// It is done.
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
    /// How the making of the first admin stands; `None`: nobody is to be made.
    pub bootstrap: Option<State>,
    /// What a restore asks for.
    pub hold: Hold,
    /// The server ends, because its database will.
    pub ends: bool,
}

/// Decides. `broken`: a reference does not hold.
pub fn plan(v: &Validated<'_>, observed: &Observed, instance: &Instance, broken: bool) -> Plan {
    let status = instance.status.as_ref();
    let restores = Restores::of(instance, observed);
    let hold = restores.hold();
    let held = hold != Hold::None;
    let child = observed.child().filter(|_| v.database.has_child());
    let ready = child.is_some_and(|c| c.may_be_used() && c.connection().is_some());
    let restored = restores.data(status);
    let migration = child.map(|child| {
        let hash = build::migration::hash(&v.image.reference, child.uid, restored);
        let job = v.id.names.migrate(&hash);
        let state = match observed.job(&job).map(job_state) {
            _ if is_recorded(status, &job) => State::Complete,
            Some(JobState::Complete) => State::Complete,
            Some(JobState::Failed(why)) => State::Failed(why),
            Some(JobState::Running) => State::Running,
            None if ready && !held && !v.suspended => State::Due,
            None => State::Waiting,
        };
        Migration { job, state }
    });
    let migrated = migration
        .as_ref()
        .is_some_and(|m| m.state == State::Complete);
    let bootstrap = v.admin.as_ref().map(|_| {
        let may_begin = match &child {
            Some(_) => migrated,
            // The database is on the data volume, which the server itself has as soon as it is there.
            None => !held && !v.suspended && !broken && never_served(observed, status),
        };
        bootstrap(v, observed, status, may_begin && !v.suspended)
    });
    let unclaimed = bootstrap
        .as_ref()
        .is_some_and(|state| *state != State::Complete)
        && never_served(observed, status);
    let wait = match hold {
        Hold::Wait | Hold::Stop => Some(Wait::Restore),
        Hold::None if broken => Some(Wait::References),
        Hold::None if v.database.has_child() && !ready => Some(Wait::Database),
        Hold::None if v.database.has_child() && !migrated => Some(Wait::Migration),
        // Who was open to the world before cannot be protected any more; a first start can.
        Hold::None if unclaimed => Some(Wait::Bootstrap),
        Hold::None => None,
    };
    Plan {
        wait,
        migration,
        bootstrap,
        hold,
        ends: false,
    }
}

/// How the making of the first admin stands.
fn bootstrap(
    v: &Validated<'_>,
    observed: &Observed,
    status: Option<&InstanceStatus>,
    may_begin: bool,
) -> State {
    if is_bootstrapped(v, status, observed) {
        return State::Complete;
    }
    let data = build::bootstrap::of_data(data(observed));
    let job = observed.bootstrap.as_ref().filter(|job| {
        let stamp = job.view.metadata.annotations.applied_hash.as_deref();
        stamp.and_then(|s| s.split_once('.')).map(|(d, _)| d) == Some(&*data)
    });
    match job.map(|job| job_state(job)) {
        Some(JobState::Complete) => State::Complete,
        Some(JobState::Failed(why)) => State::Failed(why),
        Some(JobState::Running) => State::Running,
        // One for other data is in the way until it is removed.
        None if may_begin && observed.bootstrap.is_none() => State::Due,
        None => State::Waiting,
    }
}

/// Which data an admin belongs to: the uid of the database, empty for an embedded one.
pub fn data(observed: &Observed) -> &str {
    observed.child().map_or("", |c| c.uid)
}

/// The status remembers that these data have an admin, whatever became of the Job.
pub fn is_bootstrapped(
    v: &Validated<'_>,
    status: Option<&InstanceStatus>,
    observed: &Observed,
) -> bool {
    let of = status
        .and_then(|s| s.bootstrap.as_ref())
        .and_then(|b| b.database.as_deref())
        .unwrap_or_default();
    let data = if v.database.has_child() {
        data(observed)
    } else {
        ""
    };
    is_recorded_admin(status) && of == data
}

/// The status remembers that there is an admin.
pub fn is_recorded_admin(status: Option<&InstanceStatus>) -> bool {
    let state = status
        .and_then(|s| s.bootstrap.as_ref())
        .and_then(|b| b.state.as_ref());
    state.is_some_and(|s| *s == BootstrapState::Complete)
}

/// No server of this Instance has been there yet, so nobody can have reached one.
fn never_served(observed: &Observed, status: Option<&InstanceStatus>) -> bool {
    observed.wanted_replicas() == 0
        && observed.pods.is_empty()
        && status.is_none_or(|s| s.first_ready_time.is_none())
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

/// Pods of a server that runs: where the load decides, as many as there are.
fn replicas(v: &Validated<'_>, observed: &Observed) -> i32 {
    match (v.scaling.filter(|s| !s.blocked), observed.wanted_replicas()) {
        (Some(_), live) if live > 0 => live,
        (Some(scaling), _) => scaling.min,
        (None, _) => v.scale.replicas,
    }
}

impl Plan {
    /// The server's pods stay as the earlier operator made them, and the schema with them.
    pub fn hold(&mut self) {
        self.wait = Some(Wait::Adoption);
        self.migration = None;
        // Its server was there before: whether it has an admin is not known.
        self.bootstrap = None;
    }

    /// The server ends before its database is replaced.
    pub fn end(&mut self) {
        self.ends = true;
        self.wait = Some(Wait::Database);
    }

    /// See [`Plan::hold`].
    pub fn is_held(&self) -> bool {
        self.wait == Some(Wait::Adoption)
    }

    /// The Job that is to be made now.
    pub fn due(&self) -> Option<&str> {
        self.migration
            .as_ref()
            .filter(|m| m.state == State::Due)
            .map(|m| m.job.as_str())
    }

    /// The making of the first admin is to begin now.
    pub fn bootstrap_is_due(&self) -> bool {
        self.bootstrap == Some(State::Due)
    }

    /// Ways from outside to the server may be opened: nobody is to be the first admin, or somebody is.
    pub fn admin_exists_or_is_not_wanted(&self) -> bool {
        self.bootstrap
            .as_ref()
            .is_none_or(|state| *state == State::Complete)
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
        if v.suspended || self.ends || (self.hold == Hold::Stop && !self.is_held()) {
            return Server::Run {
                replicas: 0,
                config_hash: hash,
            };
        }
        match (&self.wait, hash) {
            (None, Some(_)) => Server::Run {
                replicas: replicas(v, observed),
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
