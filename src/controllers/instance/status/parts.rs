//! One condition per part, in the order in which things come about. Pure.

use super::{Scene, bootstrap, migration, objects, restore, server, storage};
use crate::controllers::instance::applied::{Cure, Part as Object};
use crate::controllers::instance::database_mode::Step;
use crate::controllers::instance::gates::State;
use crate::controllers::instance::validate::findings::Class as Kind;
use crate::controllers::instance::validate::wants_stateful_set;
use crate::controllers::instance::workload::{Switch, WorkloadKind};
use crate::crd::instance::Backup;
use crate::crd::shared::BackupPart;
use crate::shared::conditions::{Fact, Truth, find, list};
use std::time::Duration;

/// A reference that is not there may be on its way for this long.
pub const REFERENCE: Duration = Duration::from_secs(300);
/// A claim, an image, a rollout may take this long.
pub const PROGRESS: Duration = Duration::from_secs(600);

/// What a condition means for the whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Class {
    /// Must be True for `Ready`.
    Required,
    /// False makes the phase Degraded.
    Degrades,
    /// Informs.
    Informs,
}

/// A condition of a part.
#[derive(Clone, Debug)]
pub struct Part {
    /// The condition.
    pub fact: Fact,
    /// What it means for the whole.
    pub class: Class,
    /// A person must act when it has been so for this long; `None`: it comes by itself.
    pub patience: Option<Duration>,
}

impl Part {
    /// It was seen to be well.
    pub fn well(kind: &'static str, reason: &str, message: impl Into<String>) -> Self {
        Self {
            fact: Fact::new(kind, Truth::True, reason, message),
            class: Class::Required,
            patience: None,
        }
    }
    /// It is not, and that passes.
    pub fn waits(kind: &'static str, reason: &str, message: impl Into<String>) -> Self {
        Self {
            fact: Fact::new(kind, Truth::False, reason, message),
            ..Self::well(kind, reason, "")
        }
    }
    /// Nobody has seen it.
    pub fn unknown(kind: &'static str, reason: &str, message: impl Into<String>) -> Self {
        Self {
            fact: Fact::new(kind, Truth::Unknown, reason, message),
            ..Self::well(kind, reason, "")
        }
    }
    /// It is not, and a person must act after some time.
    pub fn stalls(
        kind: &'static str,
        reason: &str,
        message: impl Into<String>,
        patience: Duration,
    ) -> Self {
        Self {
            patience: Some(patience),
            ..Self::waits(kind, reason, message)
        }
    }
    /// With another meaning for the whole.
    pub fn class(mut self, class: Class) -> Self {
        self.class = class;
        self
    }
    /// It keeps the Instance from being ready.
    pub fn lacks(&self) -> bool {
        self.class == Class::Required && self.fact.truth != Truth::True
    }
}

/// All parts.
pub fn all(scene: &Scene<'_>) -> Vec<Part> {
    let mut parts = vec![config(scene), references(scene)];
    parts.extend(database(scene));
    parts.extend(storage::part(scene));
    parts.extend(restore::part(scene));
    parts.extend(migration::part(scene));
    parts.extend(bootstrap::part(scene));
    parts.extend(server::parts(scene));
    parts.push(service(scene));
    parts.push(account(scene));
    parts.extend(policy(scene));
    parts.extend(objects::ingress(scene));
    parts.extend(objects::http_route(scene));
    parts.extend(objects::budget(scene));
    parts.extend(backup(scene));
    parts.extend(backup_proof(scene));
    parts.extend(objects::autoscaler(scene));
    parts.extend(objects::tailscale(scene));
    parts.extend(objects::monitoring(scene));
    parts.push(profile(scene));
    parts.extend(super::scale::parts(scene));
    parts
}

/// What is wrong with an object that was to be written: a taken name asks for a person; other faults are told as `Ready`'s when they last.
pub fn refused(scene: &Scene<'_>, kind: &'static str, object: Object) -> Option<Part> {
    let problem = scene.applied.problem(object)?;
    match problem.cure {
        Cure::Person => Some(Part::stalls(
            kind,
            &problem.reason,
            &problem.message,
            Duration::ZERO,
        )),
        Cure::Time => Some(Part::waits(kind, &problem.reason, &problem.message)),
        Cure::Retry => scene
            .failing
            .as_ref()
            .map(|_| Part::waits(kind, "ReconcileError", &problem.message)),
    }
}

/// An object that is not there (yet).
pub fn absent(kind: &'static str, object: &str, name: &str) -> Part {
    Part::unknown(
        kind,
        "Progressing",
        format!("{object} \"{name}\" is not there yet"),
    )
}

fn config(scene: &Scene<'_>) -> Part {
    let mut findings = scene.verdict.findings.clone();
    // The part that was handed to the database's controller unchanged: what it does not do either.
    if let Some(c) = scene
        .observed
        .child()
        .and_then(|c| c.condition("Accepted"))
        .filter(|c| c.status == "False" && c.reason == "NotImplemented")
    {
        findings.add(
            Kind::NotImplemented,
            "database",
            format!("PaperclipDatabase: {}", c.message),
        );
    }
    // The API server has looked at the parts of the pod that no rule of ours looks at.
    let refused = scene
        .applied
        .problem(Object::Workload)
        .filter(|p| p.cure == Cure::Person && p.reason != "NotOurs");
    if let Some(problem) = refused {
        findings.add(Kind::InvalidSpec, "", problem.message.clone());
    }
    if let Some(why) = storage::other_class(scene) {
        findings.add(Kind::InvalidSpec, "storage.persistence.storageClass", why);
    }
    let taken = objects::taken_hosts(scene);
    let conflict = !taken.is_empty();
    for (path, why) in taken {
        findings.add(Kind::Conflict, path, why);
    }
    let fact = findings.condition();
    if findings.blocking() || conflict {
        return Part {
            fact,
            class: Class::Required,
            patience: Some(Duration::ZERO),
        };
    }
    Part {
        fact,
        class: Class::Informs,
        patience: None,
    }
}

fn references(scene: &Scene<'_>) -> Part {
    const KIND: &str = "ReferencesResolved";
    let Some(mut broken) = scene.verdict.broken.clone() else {
        // Nobody looked: what was seen last stands.
        return remembered(scene, KIND);
    };
    broken.extend(scene.keys.broken.clone());
    if broken.is_empty() {
        return if scene.verdict.references == 0 {
            Part::well(
                KIND,
                "NoReferences",
                "the spec names no Secret and no ConfigMap",
            )
        } else {
            Part::well(
                KIND,
                "Resolved",
                "every Secret and ConfigMap that the spec names is there",
            )
        };
    }
    let message = list(&broken.iter().map(|b| b.message.clone()).collect::<Vec<_>>());
    let Some(worst) = broken.iter().find(|b| !b.unknown) else {
        return Part::unknown(KIND, "Forbidden", message);
    };
    let patience = match worst.reason {
        "SecretNotFound" | "ConfigMapNotFound" | "KeyNotFound" | "EmptyValue" => REFERENCE,
        _ => Duration::ZERO,
    };
    Part::stalls(KIND, worst.reason, message, patience)
}

/// The child's `Ready`, as it is. Nobody asks an external database but the migration, whose end is the proof that it can be used.
fn database(scene: &Scene<'_>) -> Option<Part> {
    const KIND: &str = "DatabaseReady";
    let name = scene.name();
    let child = scene.observed.child();
    let v = scene.verdict.validated.as_ref();
    if v.map_or(child.is_none(), |v| !v.database.has_child()) {
        return None;
    }
    if let Some(part) = refused(scene, KIND, Object::Database) {
        return Some(part);
    }
    match &scene.applied.database {
        Some(Step::Ask(text)) => return Some(asked(scene, KIND, text)),
        Some(step) => {
            if let Some(text) = step.replaces() {
                return Some(Part::waits(KIND, "Replacing", text.to_owned()));
            }
        }
        None => {}
    }
    let Some(child) = child else {
        return Some(absent(KIND, "PaperclipDatabase", name));
    };
    let Some(ready) = child.condition("Ready") else {
        return Some(Part::unknown(
            KIND,
            "Progressing",
            format!("PaperclipDatabase \"{name}\" has not said yet how it is"),
        ));
    };
    let migration = scene.plan.and_then(|p| p.migration.as_ref());
    let part = match ready.status.as_str() {
        "True" => Part::well(KIND, &ready.reason, ready.message.clone()),
        "False" => Part::waits(KIND, &ready.reason, ready.message.clone()),
        _ if child.may_be_used() && migration.is_some_and(|m| m.state == State::Complete) => {
            Part::well(
                KIND,
                "MigrationConnected",
                "external: the migration has connected and brought the schema up to date; nothing else asks it",
            )
        }
        _ => Part::unknown(KIND, &ready.reason, ready.message.clone()),
    };
    let stalled = child
        .condition("Stalled")
        .is_some_and(|c| c.status == "True");
    Some(Part {
        patience: stalled.then_some(Duration::ZERO),
        ..part
    })
}

/// The one that is asked before the server goes there: what stands against it.
fn asked(scene: &Scene<'_>, kind: &'static str, stays: &str) -> Part {
    let next = scene.observed.next_child();
    let Some(ready) = next.as_ref().and_then(|n| n.condition("Ready")) else {
        return Part::waits(
            kind,
            "Progressing",
            format!("{stays}, which is being asked"),
        );
    };
    let stalled = next
        .as_ref()
        .and_then(|n| n.condition("Stalled"))
        .is_some_and(|c| c.status == "True");
    Part {
        patience: stalled.then_some(Duration::ZERO),
        ..Part::waits(kind, &ready.reason, format!("{stays}: {}", ready.message))
    }
}

/// The schedule's `Ready`, as it is. Trouble with backups never keeps the server from being ready.
fn backup(scene: &Scene<'_>) -> Option<Part> {
    const KIND: &str = "BackupReady";
    let name = scene.name();
    let seen = scene.observed.backup.as_ref();
    let v = scene.verdict.validated.as_ref();
    if v.map_or(seen.is_none(), |v| v.backup.is_none()) {
        return None;
    }
    let part = refused(scene, KIND, Object::Backup).unwrap_or_else(|| {
        if seen.is_none() {
            return absent(KIND, "PaperclipBackup", name);
        }
        match scene.observed.backup_condition("Ready") {
            Some(ready) if ready.status == "True" => {
                let keys = v.and_then(|v| v.backup).is_some_and(holds_keys);
                let without = if keys { "" } else { WITHOUT_KEYS };
                Part::well(KIND, &ready.reason, format!("{}{without}", ready.message))
            }
            Some(ready) if ready.status == "False" => {
                Part::waits(KIND, &ready.reason, ready.message.clone())
            }
            Some(ready) => Part::unknown(KIND, &ready.reason, ready.message.clone()),
            None => Part::unknown(
                KIND,
                "Progressing",
                format!("PaperclipBackup \"{name}\" has not said yet how it is"),
            ),
        }
    });
    Some(part.class(Class::Degrades))
}

/// What stored secrets cannot be read without is somewhere else.
const WITHOUT_KEYS: &str = "; the master key is not in these backups (backup.include: Secrets)";

fn holds_keys(backup: &Backup) -> bool {
    backup.include.iter().any(|p| *p == BackupPart::Secrets)
}

/// Whether backups were brought back to prove them, as the schedule says it; `None`: nobody asks for that.
fn backup_proof(scene: &Scene<'_>) -> Option<Part> {
    const KIND: &str = "RestoreVerified";
    let v = scene.verdict.validated.as_ref();
    let asked = v.is_none_or(|v| v.backup.is_some_and(|b| b.verification.is_some()));
    let said = scene
        .observed
        .backup_condition("Verified")
        .filter(|_| asked)?;
    let part = match said.status.as_str() {
        "True" => Part::well(KIND, &said.reason, said.message.clone()),
        _ => Part::waits(KIND, &said.reason, said.message.clone()),
    };
    Some(part.class(Class::Informs))
}

/// What was seen last.
pub fn remembered(scene: &Scene<'_>, kind: &'static str) -> Part {
    match scene.before().and_then(|s| find(&s.conditions, kind)) {
        Some(last) if last.status == "True" => Part::well(kind, &last.reason, last.message.clone()),
        Some(last) if last.status == "False" => {
            Part::waits(kind, &last.reason, last.message.clone())
        }
        Some(last) => Part::unknown(kind, &last.reason, last.message.clone()),
        None => Part::unknown(kind, "Progressing", "nobody has looked yet"),
    }
}

fn service(scene: &Scene<'_>) -> Part {
    const KIND: &str = "ServiceReady";
    if let Some(part) = refused(scene, KIND, Object::Service) {
        return part;
    }
    let Some(service) = &scene.observed.service else {
        return absent(KIND, "Service", scene.name());
    };
    let v = scene.verdict.validated.as_ref();
    let inside = matches!(&*service.view.spec.kind, "ClusterIP");
    let held = scene
        .plan
        .is_some_and(|p| !p.admin_exists_or_is_not_wanted());
    if held && inside && v.is_some_and(|v| v.network.is_published()) {
        return Part::waits(
            KIND,
            "WaitingForBootstrap",
            format!(
                "Service \"{}\" stays inside the cluster until there is an admin",
                service.key.name
            ),
        );
    }
    let balanced = v.is_some_and(|v| v.network.service_type == "LoadBalancer");
    if balanced && service.view.status.load_balancer.ingress.is_empty() {
        return Part::waits(
            KIND,
            "LoadBalancerPending",
            format!("Service \"{}\": no address yet", service.key.name),
        );
    }
    Part::well(
        KIND,
        "ServiceReady",
        format!("Service \"{}\" is there", service.key.name),
    )
}

fn account(scene: &Scene<'_>) -> Part {
    const KIND: &str = "RBACReady";
    if let Some(part) = refused(scene, KIND, Object::Account) {
        return part;
    }
    let Some(account) = scene.verdict.validated.as_ref().map(|v| &v.account) else {
        return match &scene.observed.account {
            Some(_) => provisioned(scene.name()),
            None => remembered(scene, KIND),
        };
    };
    if account.make && scene.observed.account.is_some() {
        return provisioned(&account.name);
    }
    let found = || {
        Part::well(
            KIND,
            "ServiceAccountFound",
            format!("pods run as ServiceAccount \"{}\"", account.name),
        )
    };
    if account.make {
        // One that was there before is used as it is: the API server has just said that it exists.
        let taken = *account.name != *scene.name() && scene.applied.tried;
        return if taken && scene.applied.outcome(Object::Account).is_none() {
            found()
        } else {
            absent(KIND, "ServiceAccount", &account.name)
        };
    }
    match scene.outside.account {
        Some(true) => found(),
        Some(false) => Part::stalls(
            KIND,
            "ServiceAccountNotFound",
            format!(
                "spec.security.rbac: ServiceAccount \"{}\" not found; create it, or set create to true",
                account.name
            ),
            REFERENCE,
        ),
        None => remembered(scene, KIND),
    }
}

fn provisioned(name: &str) -> Part {
    Part::well(
        "RBACReady",
        "RBACProvisioned",
        format!("ServiceAccount \"{name}\" is there, without any rights"),
    )
}

fn policy(scene: &Scene<'_>) -> Option<Part> {
    const KIND: &str = "NetworkPolicyReady";
    let v = scene.verdict.validated.as_ref();
    if v.map_or(scene.observed.policy.is_none(), |v| {
        v.network.policy.is_none()
    }) {
        return None;
    }
    let problem =
        refused(scene, KIND, Object::Policy).or_else(|| refused(scene, KIND, Object::JobsPolicy));
    Some(problem.unwrap_or_else(|| {
        let names = scene.names();
        if scene.observed.policy.is_some() && scene.observed.jobs_policy.is_some() {
            Part::well(
                KIND,
                "NetworkPolicyProvisioned",
                format!(
                    "NetworkPolicy \"{}\" and \"{}\" are there",
                    names.main(),
                    names.jobs()
                ),
            )
        } else {
            absent(KIND, "NetworkPolicy", names.main())
        }
    }))
}

fn profile(scene: &Scene<'_>) -> Part {
    const KIND: &str = "WorkloadProfileValid";
    let spec = &scene.instance.spec;
    let used = WorkloadKind::of(spec);
    let embedded = scene.verdict.validated.as_ref();
    let embedded = embedded.is_some_and(|v| !v.database.has_child());
    if matches!(scene.applied.switch, Switch::GiveUp | Switch::GivenUp) {
        let (to, from) = (used.name(), used.other().name());
        return Part::waits(
            KIND,
            "SwitchFailed",
            format!(
                "{to} was not ready within 10 minutes and was removed; {from} goes on; change the spec to try again"
            ),
        )
        .class(Class::Degrades);
    }
    let part = if wants_stateful_set(spec) || used == WorkloadKind::Deployment {
        Part::well(
            KIND,
            KIND,
            format!("a {} is asked for, and possible", used.name()),
        )
    } else if embedded {
        Part::waits(
            KIND,
            "EmbeddedRequiresStatefulSet",
            "workload Deployment needs a database of its own; StatefulSet is used",
        )
    } else {
        Part::waits(
            KIND,
            "PersistenceRequiresStatefulSet",
            "workload Deployment needs persistence off; StatefulSet is used",
        )
    };
    part.class(Class::Informs)
}
