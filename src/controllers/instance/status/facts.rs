//! The fields of the status that are no conditions: names, numbers, addresses. What was not seen is absent. Pure.

use super::Scene;
use crate::controllers::instance::gates::{self, State, is_bootstrapped, is_recorded_admin};
use crate::controllers::instance::scheduler;
use crate::controllers::instance::workload::WorkloadKind;
use crate::crd::Word;
use crate::crd::instance::{
    BackupSummary, BootstrapState, BootstrapStatus, ChildStatus, ConditionStatus, DeletionStatus,
    LastSuccessfulBackup, ManagedResources, MigrationState, MigrationStatus, Outcome,
};
use crate::crd::shared::NamedTime;
use crate::shared::cache::Seen;
use serde_json::Value;
use std::sync::Arc;

/// Where the server can be reached.
pub fn endpoint(scene: &Scene<'_>) -> Option<String> {
    scene.observed.service.as_ref()?;
    let Some(v) = &scene.verdict.validated else {
        return scene.before().and_then(|s| s.endpoint.clone());
    };
    Some(v.access.public_url.map_or_else(
        || format!("http://{}:{}", v.id.host(), v.network.port),
        str::to_owned,
    ))
}

/// Image of the ready pods, by digest.
pub fn running_image(scene: &Scene<'_>) -> Option<String> {
    scene
        .observed
        .pods
        .iter()
        .filter(|p| p.view.ready)
        .filter_map(|p| p.view.image.as_deref())
        .map(|image| image.split_once("://").map_or(image, |(_, rest)| rest))
        .find(|image| image.contains("@sha256:"))
        .map(str::to_owned)
}

/// Pods that exist, as the workload counts them.
pub fn replicas(scene: &Scene<'_>) -> i32 {
    scene
        .observed
        .workload()
        .map_or(0, |w| w.view.status.replicas)
}

/// With one server pod it is the one that schedules, once it is ready. Where several are possible, see [`scheduler`].
pub fn leader(scene: &Scene<'_>) -> Option<String> {
    let heartbeat = scene.instance.spec.heartbeat.as_ref();
    if heartbeat.and_then(|h| h.enabled) == Some(false) {
        return None;
    }
    let validated = scene.verdict.validated.as_ref();
    if let Some(v) = validated.filter(|v| v.scale.gated) {
        return scheduler::leader(v, scene.observed, scene.answers).map(ToOwned::to_owned);
    }
    let mut ready = scene.observed.serving();
    match (ready.next(), ready.next()) {
        (Some(pod), None) => Some(pod.key.name.to_string()),
        _ => None,
    }
}

/// Names of what exists and is ours.
pub fn managed(scene: &Scene<'_>) -> ManagedResources {
    fn name<V>(seen: Option<&Arc<Seen<V>>>) -> Option<String> {
        seen.map(|s| s.key.name.to_string())
    }
    let o = scene.observed;
    let names = scene.names();
    let secrets = match &scene.keys.names {
        Some(names) => names.iter().cloned().collect(),
        None => scene
            .before()
            .and_then(|s| s.managed_resources.as_ref())
            .map(|m| m.secrets.clone())
            .unwrap_or_default(),
    };
    ManagedResources {
        stateful_set: name(o.workloads.of_kind(WorkloadKind::StatefulSet)),
        deployment: name(o.workloads.of_kind(WorkloadKind::Deployment)),
        service: name(o.service.as_ref()),
        persistent_volume_claim: name(o.claim.as_ref()),
        ingress: name(o.ingress.as_ref()),
        http_route: name(o.http_route.as_ref()),
        service_monitor: name(o.service_monitor.as_ref()),
        prometheus_rule: name(o.prometheus_rule.as_ref()),
        grafana_dashboard_operator: name(o.dashboard_operator.as_ref()),
        grafana_dashboard_instance: name(o.dashboard_instance.as_ref()),
        config_map: name(o.tailscale.as_ref()),
        horizontal_pod_autoscaler: name(o.autoscaler.as_ref()),
        pod_disruption_budget: name(o.budget.as_ref()),
        service_account: name(o.account.as_ref()),
        network_policy: name(o.policy.as_ref()),
        database_stateful_set: o.database_workload.then(|| names.database()),
        database_service: o.database_service.then(|| names.database()),
        database_pvc: o.database_claim.as_ref().map(|_| names.database_data()),
        migration_job: scene
            .plan
            .and_then(|p| p.migration.as_ref())
            .map(|m| m.job.clone())
            .filter(|job| o.job(job).is_some()),
        bootstrap_job: name(o.bootstrap.as_ref()),
        secrets,
    }
}

/// How far a deletion is.
pub fn deletion(scene: &Scene<'_>) -> DeletionStatus {
    let before = scene.before().and_then(|s| s.deletion.as_deref()).cloned();
    let last = scene.observed.final_backups.last();
    let step = if last.is_some() {
        "FinalBackup"
    } else {
        "Started"
    };
    DeletionStatus {
        step: Some(step.into()),
        start_time: before
            .and_then(|d| d.start_time)
            .or_else(|| Some(scene.now.clone())),
        final_backup: last.map(|t| t.name.clone()),
    }
}

/// The child resources and how they are.
pub fn children(scene: &Scene<'_>) -> Vec<ChildStatus> {
    let o = scene.observed;
    let database = o
        .child()
        .map(|c| ("PaperclipDatabase", c.condition("Ready")));
    let backup = o
        .backup
        .as_ref()
        .map(|_| ("PaperclipBackup", o.backup_condition("Ready")));
    [backup, database]
        .into_iter()
        .flatten()
        .map(|(kind, ready)| ChildStatus {
            kind: kind.into(),
            name: scene.name().into(),
            ready: Some(match ready.map(|c| c.status.as_str()) {
                Some("True") => ConditionStatus::True.into(),
                Some("False") => ConditionStatus::False.into(),
                _ => ConditionStatus::Unknown.into(),
            }),
            reason: ready.map(|c| c.reason.clone()),
            message: ready.map(|c| c.message.clone()),
        })
        .collect()
}

/// What the backups by a schedule have come to. Kept when the schedule is gone: the backups are not.
pub fn backup(scene: &Scene<'_>) -> Option<BackupSummary> {
    let before = scene.before().and_then(|s| s.backup.as_deref()).cloned();
    let Some(status) = scene.observed.backup_status() else {
        return before;
    };
    let before = before.unwrap_or_default();
    let (good, bad) = (&status.last_successful, &status.last_failed);
    let at = |named: &Option<NamedTime>| named.as_ref().and_then(|n| n.time.clone());
    let failed_last = at(bad).map(|t| t.0) > at(good).map(|t| t.0);
    let last = if failed_last { at(bad) } else { at(good) };
    let result = if failed_last {
        Outcome::Failed
    } else {
        Outcome::Succeeded
    };
    Some(BackupSummary {
        last_backup_result: last
            .as_ref()
            .map(|_| result.into())
            .or(before.last_backup_result),
        last_backup_time: last.or(before.last_backup_time),
        last_successful: good
            .as_ref()
            .map(|n| LastSuccessfulBackup {
                name: n.name.clone(),
                time: n.time.clone(),
                ..LastSuccessfulBackup::default()
            })
            .or(before.last_successful),
        last_verified_time: status
            .last_verified
            .as_ref()
            .and_then(|n| n.time.clone())
            .or(before.last_verified_time),
        next_schedule_time: status.next_schedule_time.clone(),
        running: scene.observed.backing_up.clone(),
        missed_runs: status.missed_runs,
    })
}

/// The result that a pod of this Job left.
pub fn result(scene: &Scene<'_>, job: &str) -> Option<Value> {
    scene
        .observed
        .job_pods
        .iter()
        .filter(|p| p.controller.as_ref().is_some_and(|c| *c.name == *job))
        .filter_map(|p| serde_json::from_str::<Value>(p.view.result.as_deref()?).ok())
        .find(|r| r["task"] == "migrate")
}

/// The result that the making of the first admin left.
pub fn bootstrap_result(scene: &Scene<'_>) -> Option<Value> {
    let mut pods: Vec<_> = scene.observed.bootstrap_pods.iter().collect();
    pods.sort_by_key(|p| std::cmp::Reverse(p.version));
    pods.into_iter()
        .filter_map(|p| serde_json::from_str::<Value>(p.view.result.as_deref()?).ok())
        .find(|r| r["task"] == "bootstrap")
}

/// How the making of the first admin stands. That there is one is never forgotten for these data.
pub fn bootstrap(scene: &Scene<'_>) -> Option<BootstrapStatus> {
    let before = scene.before().and_then(|s| s.bootstrap.as_deref());
    let Some(state) = scene.plan.map(|p| p.bootstrap.as_ref()) else {
        return before.cloned();
    };
    let Some(state) = state else {
        return before
            .filter(|_| is_recorded_admin(scene.before()))
            .cloned();
    };
    let v = scene.verdict.validated.as_ref()?;
    if is_bootstrapped(v, scene.before(), scene.observed) {
        return before.cloned();
    }
    let job = scene.observed.bootstrap.as_ref();
    let mut status = BootstrapStatus {
        state: Some(Word::Known(match state {
            State::Waiting => BootstrapState::Waiting,
            State::Due | State::Running => BootstrapState::Running,
            State::Complete => BootstrapState::Complete,
            State::Failed(_) => BootstrapState::Failed,
        })),
        job: job.map(|j| j.key.name.to_string()),
        ..BootstrapStatus::default()
    };
    if *state == State::Complete {
        let there = bootstrap_result(scene).is_some_and(|r| r["outcome"] == "nothing");
        status.completion_time = Some(scene.now.clone());
        status.message = there.then(|| "an admin was there already".to_owned());
        if v.database.has_child() {
            status.database = Some(gates::data(scene.observed).to_owned());
        }
    }
    Some(status)
}

/// How the migration stands. Counts come from a result alone, and stay when its pod is gone.
pub fn migration(scene: &Scene<'_>) -> Option<MigrationStatus> {
    let before = scene.before().and_then(|s| s.migration.as_deref());
    let Some(plan) = scene.plan else {
        return before.cloned();
    };
    let v = scene.verdict.validated.as_ref()?;
    if !v.database.has_child() {
        return None;
    }
    let Some(migration) = &plan.migration else {
        if plan.is_held() {
            return before.cloned();
        }
        // A database that comes back finds what was done.
        return before.cloned().or_else(|| {
            Some(MigrationStatus {
                state: Some(MigrationState::Waiting.into()),
                ..MigrationStatus::default()
            })
        });
    };
    let state = match migration.state {
        State::Waiting => MigrationState::Waiting,
        State::Due | State::Running => MigrationState::Running,
        State::Complete => MigrationState::Complete,
        State::Failed(_) => MigrationState::Failed,
    };
    let last = before.filter(|b| b.job.as_deref() == Some(migration.job.as_str()));
    let result = result(scene, &migration.job);
    let fact = |name: &str| {
        let number = result.as_ref()?["facts"][name].as_i64()?;
        i32::try_from(number).ok()
    };
    Some(MigrationStatus {
        state: Some(Word::Known(state)),
        job: Some(migration.job.clone()),
        image: Some(v.image.reference.clone()),
        applied: fact("applied").or_else(|| last?.applied),
        pending: fact("pending").or_else(|| last?.pending),
    })
}
