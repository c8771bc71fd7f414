//! Which events a change of the status is worth. The stored status is compared with the new one, so a restart announces nothing twice, and
//! each is a write, so there are few. Pure.

use crate::controllers::instance::validate::findings::Findings;
use crate::controllers::instance::workload::WorkloadKind;
use crate::crd::instance::{BootstrapState, InstanceStatus, MigrationState, Phase};
use crate::shared::conditions::find;
use crate::shared::events::Severity;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;

/// An event to be sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Announcement {
    /// How serious.
    pub severity: Severity,
    /// PascalCase.
    pub reason: String,
    /// For people.
    pub text: String,
}

/// Reasons of `ConfigAccepted` that are told.
const TOLD: &[&str] = &[
    "InvalidSpec",
    "Undecodable",
    "NameTooLong",
    "Conflict",
    "NotImplemented",
    "UnsupportedByVersion",
];

struct List<'a> {
    before: &'a InstanceStatus,
    after: &'a InstanceStatus,
    out: Vec<Announcement>,
}

impl<'a> List<'a> {
    fn say(&mut self, severity: Severity, reason: &str, text: impl Into<String>) {
        self.out.push(Announcement {
            severity,
            reason: reason.to_owned(),
            text: text.into(),
        });
    }
    fn was(&self, kind: &str) -> Option<&'a Condition> {
        find(&self.before.conditions, kind)
    }
    fn is(&self, kind: &str) -> Option<&'a Condition> {
        find(&self.after.conditions, kind)
    }
}

/// The events of one change.
pub fn announcements(before: Option<&InstanceStatus>, after: &InstanceStatus) -> Vec<Announcement> {
    let nothing = InstanceStatus::default();
    let mut list = List {
        before: before.unwrap_or(&nothing),
        after,
        out: vec![],
    };
    success(&mut list);
    phases(&mut list);
    config(&mut list);
    references(&mut list);
    migration(&mut list);
    bootstrap(&mut list);
    adoption(&mut list);
    faults(&mut list);
    removals(&mut list);
    drains(&mut list);
    replicas(&mut list);
    rollouts(&mut list);
    profile(&mut list);
    list.out
}

/// Findings that an event tells too: each when `ConfigAccepted` begins to name it.
pub fn advice(
    before: Option<&InstanceStatus>,
    after: &InstanceStatus,
    findings: &Findings,
) -> Vec<Announcement> {
    let said = |status: &InstanceStatus, line: &str| {
        find(&status.conditions, "ConfigAccepted").is_some_and(|c| c.message.contains(line))
    };
    let news = findings.iter().filter_map(|finding| {
        let (reason, text) = (finding.event?, finding.line());
        let told = before.is_some_and(|before| said(before, &text));
        (!told && said(after, &text)).then(|| Announcement {
            severity: Severity::Warning,
            reason: reason.to_owned(),
            text,
        })
    });
    news.collect()
}

/// A generation is ready for the first time.
fn success(list: &mut List<'_>) {
    let ready = |c: Option<&Condition>| {
        c.filter(|c| c.status == "True")
            .and_then(|c| c.observed_generation)
    };
    let (was, is) = (ready(list.was("Ready")), ready(list.is("Ready")));
    let first = list.before.first_ready_time.is_none();
    let updated = list
        .before
        .phase
        .as_ref()
        .is_some_and(|p| *p == Phase::Updating);
    // A generation that was ready before and is so again has recovered: that is told by the phase.
    if let Some(generation) = is
        && was != Some(generation)
        && (first || updated || was.is_some())
    {
        list.say(
            Severity::Normal,
            "ReconcileSucceeded",
            format!("generation {generation} is ready"),
        );
    }
}

fn phases(list: &mut List<'_>) {
    let phase = |s: &InstanceStatus| s.phase.as_ref().and_then(|p| p.known().ok());
    let (Some(from), Some(to)) = (phase(list.before), phase(list.after)) else {
        return;
    };
    // That it was being set up is no news, and that it is ready is told already.
    let told = matches!(
        (from, to),
        (Phase::Pending, Phase::Provisioning) | (Phase::Provisioning, Phase::Running)
    );
    if from == to || told {
        return;
    }
    let severity = if matches!(to, Phase::Degraded | Phase::Failed) {
        Severity::Warning
    } else {
        Severity::Normal
    };
    let summary = list.after.summary.clone().unwrap_or_default();
    list.say(severity, "PhaseChanged", format!("{from} -> {summary}"));
}

fn config(list: &mut List<'_>) {
    let Some(now) = list.is("ConfigAccepted") else {
        return;
    };
    let changed = list
        .was("ConfigAccepted")
        .is_none_or(|was| was.reason != now.reason);
    if changed && TOLD.contains(&now.reason.as_str()) {
        list.say(Severity::Warning, &now.reason, now.message.clone());
    }
}

fn references(list: &mut List<'_>) {
    let Some(now) = list.is("ReferencesResolved") else {
        return;
    };
    let was = list.was("ReferencesResolved");
    match (was.map(|c| c.status.as_str()), now.status.as_str()) {
        (Some("False"), "True") => {
            list.say(Severity::Normal, "ReferenceFound", now.message.clone());
        }
        (before, "False") if before != Some("False") => {
            let reason = if now.reason.starts_with("MasterKey") {
                now.reason.as_str()
            } else {
                "ReferenceNotFound"
            };
            list.say(Severity::Warning, reason, now.message.clone());
        }
        _ => {}
    }
}

fn migration(list: &mut List<'_>) {
    let of = |s: &InstanceStatus| {
        let m = s.migration.as_ref()?;
        Some((m.job.clone(), m.state.as_ref()?.known().ok()?))
    };
    let (was, Some((job, state))) = (of(list.before), of(list.after)) else {
        return;
    };
    if was == Some((job.clone(), state)) {
        return;
    }
    let job = job.unwrap_or_default();
    match state {
        // The first one is a part of setting up.
        MigrationState::Running if list.before.first_ready_time.is_none() => {}
        MigrationState::Waiting => {}
        MigrationState::Running => {
            list.say(
                Severity::Normal,
                "MigrationStarted",
                format!("Job \"{job}\""),
            );
        }
        MigrationState::Complete => {
            list.say(
                Severity::Normal,
                "MigrationFinished",
                format!("Job \"{job}\""),
            );
        }
        MigrationState::Failed => {
            let message = list.is("Migrated").map(|c| c.message.clone());
            list.say(
                Severity::Warning,
                "MigrationFailed",
                message.unwrap_or_default(),
            );
        }
    }
}

/// Objects that went because their feature was switched off.
fn removals(list: &mut List<'_>) {
    const OPTIONAL: &[&str] = &[
        "NetworkPolicyReady",
        "IngressReady",
        "HTTPRouteReady",
        "HPAReady",
        "PDBReady",
        "TailscaleReady",
        "MonitoringReady",
    ];
    if list
        .after
        .phase
        .as_ref()
        .is_some_and(|p| *p == Phase::Terminating)
    {
        return;
    }
    let workloads = |status: &InstanceStatus| {
        let managed = status.managed_resources.as_ref();
        managed.map_or((false, false), |m| {
            (m.stateful_set.is_some(), m.deployment.is_some())
        })
    };
    let failed = list
        .is("WorkloadProfileValid")
        .is_some_and(|c| c.reason == "SwitchFailed");
    let told = match (workloads(list.before), workloads(list.after)) {
        _ if failed => None,
        ((true, true), (false, true)) => Some("the Deployment has taken over from the StatefulSet"),
        ((true, true), (true, false)) => Some("the StatefulSet has taken over from the Deployment"),
        _ => None,
    };
    if let Some(text) = told {
        list.say(Severity::Normal, "WorkloadKindMigrated", text);
    }
    for kind in OPTIONAL {
        if list.was(kind).is_some() && list.is(kind).is_none() {
            let what = kind.trim_end_matches("Ready");
            list.say(
                Severity::Normal,
                &format!("{what}Removed"),
                "switched off in the spec",
            );
        }
    }
}

/// A budget that keeps every node with a server pod from being drained.
fn drains(list: &mut List<'_>) {
    let blocks = |c: &&Condition| c.message.ends_with("blocks every node drain");
    let Some(now) = list.is("PDBReady").filter(blocks) else {
        return;
    };
    if list
        .was("PDBReady")
        .is_none_or(|was| was.message != now.message)
    {
        list.say(Severity::Warning, "PDBMayBlockDrains", now.message.clone());
    }
}

/// There is an admin now, or none could be made.
fn bootstrap(list: &mut List<'_>) {
    let of = |s: &InstanceStatus| s.bootstrap.as_ref()?.state.as_ref()?.known().ok();
    let (was, is) = (of(list.before), of(list.after));
    if was == is {
        return;
    }
    let text = list
        .is("Bootstrapped")
        .map(|c| c.message.clone())
        .unwrap_or_default();
    match is {
        Some(BootstrapState::Complete) => list.say(Severity::Normal, "BootstrapFinished", text),
        Some(BootstrapState::Failed) => list.say(Severity::Warning, "BootstrapFailed", text),
        _ => {}
    }
}

/// The one roll-out of an Instance that was taken over.
fn adoption(list: &mut List<'_>) {
    let pending = |s: &InstanceStatus| s.adopted.as_ref().map(|a| a.pending.clone());
    let (was, is) = (pending(list.before), pending(list.after));
    let Some(changes) = is.filter(|changes| !changes.is_empty()) else {
        return;
    };
    if was.is_none_or(|was| was.is_empty()) {
        let text = format!(
            "the server's pods stay as the earlier operator made them; they are replaced once, when the spec asks for other pods, no pod is \
             ready, or the annotation paperclip.inc/adopt is now: {}",
            changes.join("; ")
        );
        list.say(Severity::Normal, "AdoptionRolloutPending", text);
    }
}

/// Taken names, and passes that fail and recover.
fn faults(list: &mut List<'_>) {
    for condition in &list.after.conditions {
        if condition.reason == "NotOurs"
            && condition.type_ != "Stalled"
            && list
                .was(&condition.type_)
                .is_none_or(|c| c.reason != "NotOurs")
        {
            list.say(Severity::Warning, "NotOurs", condition.message.clone());
        }
    }
    let failing = |c: Option<&Condition>| c.is_some_and(|c| c.reason == "ReconcileError");
    let (was, is) = (failing(list.was("Ready")), failing(list.is("Ready")));
    if is && !was {
        let message = list.is("Ready").map(|c| c.message.clone());
        list.say(
            Severity::Warning,
            "ReconcileError",
            message.unwrap_or_default(),
        );
    }
    if was && !is {
        list.say(Severity::Normal, "Recovered", "passes succeed again");
    }
}

/// Pods are on the way to another revision, or have come there. The first ones of all are no news.
fn rollouts(list: &mut List<'_>) {
    if list.before.first_ready_time.is_none() {
        return;
    }
    let rolls = |c: Option<&Condition>| c.is_some_and(|c| c.reason == "RolloutInProgress");
    for kind in WorkloadKind::ALL.map(WorkloadKind::ready) {
        let Some(now) = list.is(kind) else { continue };
        let (was, is) = (rolls(list.was(kind)), now.reason == "RolloutInProgress");
        let (ended, text) = (now.status == "True", now.message.clone());
        if is && !was {
            list.say(Severity::Normal, "RolloutStarted", text);
        } else if was && ended {
            list.say(Severity::Normal, "RolloutFinished", text);
        }
    }
    if rolls(list.is("Stalled")) && !rolls(list.was("Stalled")) {
        let text = list.is("Stalled").map(|c| c.message.clone());
        list.say(Severity::Warning, "RolloutStuck", text.unwrap_or_default());
    }
}

/// The spec asks for a kind of workload, or a way to choose who wakes agents, that is not used.
fn profile(list: &mut List<'_>) {
    for kind in ["WorkloadProfileValid", "SchedulerGatingValid"] {
        let Some(now) = list.is(kind).filter(|c| c.status == "False") else {
            continue;
        };
        if list.was(kind).is_none_or(|was| was.reason != now.reason) {
            let (reason, text) = (now.reason.clone(), now.message.clone());
            list.say(Severity::Warning, &reason, text);
        }
    }
}

/// Several replicas are asked for, and something that they need is missing.
fn replicas(list: &mut List<'_>) {
    const KIND: &str = "MultiReplicaPreconditions";
    let Some(now) = list.is(KIND).filter(|c| c.status == "False") else {
        return;
    };
    if list.was(KIND).is_none_or(|was| was.status != "False") {
        list.say(
            Severity::Warning,
            "MultiReplicaPreconditionsNotMet",
            now.message.clone(),
        );
    }
}
