//! The conditions of objects that an Instance may ask for: there while they are asked for, and gone with them.

use super::*;
use crate::controllers::instance::exposure::Way;
use crate::shared::serving::Answer;

const INGRESS: &str =
    "{networking: {ingress: {enabled: true, ingressClassName: nginx, hosts: [a.example.com]}}}";

fn with_ingress() -> World {
    let mut world = World::settled();
    world.spec = INGRESS.into();
    world.observed.ingress = seen(json!({"metadata": meta("clip", OWNER)}));
    world.outside.ingress_class = Some(true);
    world
}

fn reasons(before: &InstanceStatus, after: &InstanceStatus) -> Vec<String> {
    let all = announcements(Some(before), after);
    all.into_iter().map(|e| e.reason).collect()
}

#[test]
fn an_ingress_tells_its_hosts_and_the_address_that_was_published() {
    let mut world = with_ingress();
    let status = world.status();
    assert_eq!(says(&status, "IngressReady"), "True/IngressProvisioned");
    let expected = "hosts: a.example.com; address: none published yet";
    assert_eq!(message(&status, "IngressReady"), expected);
    world.observed.ingress = seen(json!({"metadata": meta("clip", OWNER),
        "status": {"loadBalancer": {"ingress": [{"ip": "10.0.0.9"}]}}}));
    let expected = "hosts: a.example.com; address: 10.0.0.9";
    assert_eq!(message(&world.status(), "IngressReady"), expected);
    assert_eq!(
        world.status().managed_resources.unwrap().ingress.as_deref(),
        Some("clip")
    );
}

#[test]
fn an_ingress_that_is_switched_off_takes_its_condition_with_it() {
    let mut world = with_ingress();
    let on = world.status();
    world.spec = "{}".into();
    world.observed.ingress = None;
    let off = world.status();
    assert_eq!(says(&off, "IngressReady"), "-");
    assert_eq!(off.managed_resources.as_ref().unwrap().ingress, None);
    assert!(reasons(&on, &off).contains(&"IngressRemoved".to_owned()));
    world.deleting = true;
    assert!(!reasons(&on, &world.status()).contains(&"IngressRemoved".to_owned()));
}

#[test]
fn a_spec_that_cannot_be_applied_leaves_what_is_there_as_it_is() {
    let mut world = with_ingress();
    world.spec = INGRESS.replace("a.example.com", "'http://x'");
    let status = world.status();
    assert_eq!(says(&status, "ConfigAccepted"), "False/InvalidSpec");
    assert_eq!(says(&status, "IngressReady"), "True/IngressProvisioned");
}

#[test]
fn a_host_of_another_instance_asks_for_a_person_and_the_rest_is_applied() {
    let mut world = with_ingress();
    let why = "host a.example.com belongs to Instance \"old\" in prod";
    world.observed.ingress = None;
    world.exposure = Some(Exposure {
        ingress: Some(Way::Conflict(why.into())),
        ..Exposure::default()
    });
    let status = world.status();
    assert_eq!(says(&status, "IngressReady"), "False/HostConflict");
    assert_eq!(says(&status, "ConfigAccepted"), "False/Conflict");
    assert!(message(&status, "ConfigAccepted").contains(why));
    assert_eq!(says(&status, "StatefulSetReady"), "True/StatefulSetReady");
    assert_eq!(says(&status, "Stalled"), "True/Conflict");
}

#[test]
fn a_route_that_waits_for_the_first_admin_says_so() {
    let mut world = with_ingress();
    world.observed.ingress = None;
    world.exposure = Some(Exposure {
        ingress: Some(Way::Bootstrap),
        ..Exposure::default()
    });
    let status = world.status();
    assert_eq!(says(&status, "IngressReady"), "False/WaitingForBootstrap");
    assert_eq!(says(&status, "Stalled"), "-");
}

#[test]
fn a_class_that_was_not_found_is_remembered_while_nobody_looks() {
    let mut world = with_ingress();
    world.outside.ingress_class = Some(false);
    let missing = world.status();
    assert_eq!(says(&missing, "IngressReady"), "False/IngressClassNotFound");
    assert!(message(&missing, "IngressReady").contains("\"nginx\" not found"));
    world.before = Some(missing);
    world.outside.ingress_class = None;
    assert_eq!(
        says(&world.status(), "IngressReady"),
        "False/IngressClassNotFound"
    );
    world.outside.ingress_class = Some(true);
    assert_eq!(
        says(&world.status(), "IngressReady"),
        "True/IngressProvisioned"
    );
}

#[test]
fn a_budget_that_blocks_every_drain_is_told_once() {
    let mut world = World::settled();
    let without = world.before.clone().unwrap();
    world.spec = "{availability: {podDisruptionBudget: {enabled: true, minAvailable: 1}}}".into();
    world.observed.budget = seen(json!({"metadata": meta("clip", OWNER)}));
    let with = world.status();
    assert_eq!(says(&with, "PDBReady"), "True/PDBProvisioned");
    let expected = "PDB \"clip\": minAvailable 1 of 1 pod blocks every node drain";
    assert_eq!(message(&with, "PDBReady"), expected);
    assert!(reasons(&without, &with).contains(&"PDBMayBlockDrains".to_owned()));
    assert!(!reasons(&with, &with).contains(&"PDBMayBlockDrains".to_owned()));
    assert!(reasons(&with, &without).contains(&"PDBRemoved".to_owned()));
}

#[test]
fn a_name_that_is_taken_is_said_of_the_object_that_lacks_it() {
    let mut world = World::settled();
    world.spec = "{availability: {podDisruptionBudget: {enabled: true}}}".into();
    let problem = Problem {
        reason: "NotOurs".into(),
        message: "PodDisruptionBudget \"clip\" exists and belongs to helm".into(),
        cure: Cure::Person,
    };
    world.applied.problems.push((Object::Budget, problem));
    assert_eq!(says(&world.status(), "PDBReady"), "False/NotOurs");
}

fn route(parents: &Value) -> Value {
    json!({"metadata": meta("clip", OWNER), "status": {"parents": parents}})
}

fn answer(accepted: &str, reason: &str, generation: i64) -> Value {
    json!([{"parentRef": {"name": "public", "namespace": "infra"}, "conditions": [
        {"type": "Accepted", "status": accepted, "reason": reason, "observedGeneration": generation},
        {"type": "ResolvedRefs", "status": "True", "reason": "ResolvedRefs", "observedGeneration": generation}]}])
}

#[test]
fn an_http_route_is_ready_when_every_gateway_accepts_it() {
    let mut world = World::settled();
    world.spec = "{networking: {httpRoute: {enabled: true, parentRefs: [{name: public, namespace: infra}]}}}".into();
    assert_eq!(
        says(&world.status(), "HTTPRouteReady"),
        "Unknown/Progressing"
    );
    world.observed.http_routes = Some(Answer::Missing);
    let missing = world.status();
    assert_eq!(says(&missing, "HTTPRouteReady"), "False/CRDMissing");
    assert_eq!(
        message(&missing, "HTTPRouteReady"),
        "HTTPRoute (gateway.networking.k8s.io/v1) is not served by this cluster; created when it is"
    );
    world.observed.http_routes = Some(Answer::Forbidden);
    assert_eq!(says(&world.status(), "HTTPRouteReady"), "Unknown/Forbidden");
    world.observed.http_routes = Some(Answer::Served);
    assert_eq!(
        says(&world.status(), "HTTPRouteReady"),
        "Unknown/Progressing"
    );
    for (parents, expected, text) in [
        (json!([]), "False/ParentPending", "has not answered yet"),
        (
            answer("True", "Accepted", 1),
            "False/ParentPending",
            "has not answered yet",
        ),
        (
            answer("False", "NotAllowedByListeners", 2),
            "False/NotAccepted",
            "Gateway \"infra/public\": NotAllowedByListeners",
        ),
        (
            answer("True", "Accepted", 2),
            "True/HTTPRouteProvisioned",
            "accepted by Gateway \"infra/public\"",
        ),
    ] {
        world.observed.http_route = seen(route(&parents));
        let status = world.status();
        assert_eq!(says(&status, "HTTPRouteReady"), expected, "{parents}");
        assert!(
            message(&status, "HTTPRouteReady").contains(text),
            "{status:?}"
        );
    }
}

#[test]
fn a_gateway_that_does_not_find_the_service_is_told() {
    let mut world = World::settled();
    world.spec = "{networking: {httpRoute: {enabled: true, parentRefs: [{name: public, namespace: infra}]}}}".into();
    world.observed.http_routes = Some(Answer::Served);
    let mut parents = answer("True", "Accepted", 2);
    parents[0]["conditions"][1]["status"] = json!("False");
    parents[0]["conditions"][1]["reason"] = json!("BackendNotFound");
    world.observed.http_route = seen(route(&parents));
    assert_eq!(
        says(&world.status(), "HTTPRouteReady"),
        "False/BackendNotResolved"
    );
    // Another controller for the same Gateway is content.
    let content = answer("True", "Accepted", 2)[0].clone();
    parents.as_array_mut().unwrap().push(content);
    world.observed.http_route = seen(route(&parents));
    assert_eq!(
        says(&world.status(), "HTTPRouteReady"),
        "True/HTTPRouteProvisioned"
    );
}

/// A healthy Instance with a schedule, whose PaperclipBackup says this of itself.
fn with_schedule(ready: &str, reason: &str) -> World {
    let mut world = World::settled();
    world.spec = "{image: {tag: '7'}, backup: {schedule: '@daily', s3: {bucket: safe}}}".into();
    world.observed.backup = seen(
        json!({"metadata": meta("clip", OWNER), "spec": {}, "status": {
        "nextScheduleTime": "2026-11-23T00:00:00Z", "missedRuns": 2,
        "lastSuccessful": {"name": "clip-1", "time": "2026-11-21T00:00:09Z"},
        "lastFailed": {"name": "clip-2", "time": "2026-11-22T00:00:09Z"},
        "conditions": [{"type": "Ready", "status": ready, "reason": reason, "message": "the schedule's words",
            "observedGeneration": 2, "lastTransitionTime": "2026-01-01T00:00:00Z"}]}}),
    );
    world
}

#[test]
fn trouble_with_backups_degrades_and_takes_no_server_away() {
    let well = with_schedule("True", "Scheduled").status();
    assert_eq!(says(&well, "BackupReady"), "True/Scheduled");
    assert_eq!(
        message(&well, "BackupReady"),
        "the schedule's words; the master key is not in these backups (backup.include: Secrets)"
    );
    assert_eq!(phase_of(&well), "Running");
    let ill = with_schedule("False", "LastRunFailed").status();
    assert_eq!(says(&ill, "BackupReady"), "False/LastRunFailed");
    assert_eq!(message(&ill, "BackupReady"), "the schedule's words");
    assert_eq!(says(&ill, "Ready"), says(&well, "Ready"));
    assert_eq!(phase_of(&ill), "Degraded");
    assert_eq!(says(&World::settled().status(), "BackupReady"), "-");
}

#[test]
fn what_backups_have_come_to_is_copied_and_outlives_the_schedule() {
    let mut world = with_schedule("True", "Scheduled");
    world.observed.backing_up = Some("clip-3".into());
    let status = world.status();
    assert_eq!(phase_of(&status), "BackingUp");
    let backup = status.backup.clone().unwrap();
    assert_eq!(backup.running.as_deref(), Some("clip-3"));
    assert_eq!(backup.missed_runs, Some(2));
    assert_eq!(backup.last_backup_result.unwrap().as_str(), "Failed");
    let last = backup.last_successful.unwrap();
    assert_eq!(last.name.as_deref(), Some("clip-1"));
    assert!(status.children.iter().any(|c| c.kind == "PaperclipBackup"));

    let mut later = World::settled();
    later.before = Some(status);
    let after = later.status().backup.unwrap();
    assert_eq!(after.last_successful.unwrap().name, last.name);
}

#[test]
fn monitoring_says_what_keeps_an_object_from_being_made_and_never_holds_the_instance_up() {
    let mut world = World::settled();
    world.spec = "{image: {tag: '7'}, observability: {metrics: {enabled: true, serviceMonitor: {enabled: true}, \
                  prometheusRule: {enabled: true}, grafanaDashboard: {enabled: true}}}}"
        .into();
    let there = |name: &str| seen(json!({"metadata": meta(name, OWNER)}));
    world.observed.service_monitors = Some(Answer::Served);
    world.observed.prometheus_rules = Some(Answer::Missing);
    world.scraped = false;
    assert_eq!(
        says(&world.status(), "MonitoringReady"),
        "False/NothingToScrape"
    );
    world.scraped = true;
    let status = world.status();
    assert_eq!(says(&status, "MonitoringReady"), "False/CRDMissing");
    assert!(
        message(&status, "MonitoringReady")
            .starts_with("PrometheusRule (monitoring.coreos.com/v1)")
    );
    assert_eq!(says(&status, "Ready"), "True/AllResourcesReady");
    assert_eq!(says(&status, "Stalled"), "-");
    world.observed.prometheus_rules = Some(Answer::Served);
    world.observed.service_monitor = there("clip");
    world.observed.prometheus_rule = there("clip-alerts");
    world.observed.dashboard_operator = there("clip-dashboard-operator");
    assert_eq!(
        says(&world.status(), "MonitoringReady"),
        "Unknown/Progressing"
    );
    world.observed.dashboard_instance = there("clip-dashboard-instance");
    let status = world.status();
    assert_eq!(
        says(&status, "MonitoringReady"),
        "True/MonitoringProvisioned"
    );
    let managed = status.managed_resources.unwrap();
    assert_eq!(managed.prometheus_rule.as_deref(), Some("clip-alerts"));
    assert_eq!(managed.service_monitor.as_deref(), Some("clip"));
}

#[test]
fn the_tailnet_is_told_as_its_container_is() {
    let mut world = World::settled();
    world.spec = "{tailscale: {enabled: true, authKey: {secretRef: {name: k}}}}".into();
    assert_eq!(
        says(&world.status(), "TailscaleReady"),
        "Unknown/Progressing"
    );
    world.observed.tailscale = seen(json!({"metadata": meta("clip-tailscale", OWNER)}));
    assert_eq!(
        says(&world.status(), "TailscaleReady"),
        "False/SidecarNotReady"
    );
    let with = |sidecar: Value| {
        json!({"metadata": meta("clip-0", Some(("clip", "uid-of-clip"))), "status": {
            "phase": "Running", "conditions": [{"type": "Ready", "status": "True"}],
            "containerStatuses": [{"name": "paperclip", "ready": true}, sidecar]}})
    };
    for (sidecar, expected) in [
        (
            json!({"name": "tailscale", "ready": true}),
            "True/TailscaleProvisioned",
        ),
        (
            json!({"name": "tailscale", "ready": false}),
            "False/SidecarNotReady",
        ),
        (
            json!({"name": "tailscale", "ready": false, "state": {"waiting": {"reason": "CrashLoopBackOff"}},
                "lastState": {"terminated": {"exitCode": 1, "message": "invalid key: unable to validate API key"}}}),
            "False/AuthKeyRejected",
        ),
    ] {
        world.observed.pods = seen(with(sidecar)).into_iter().collect();
        assert_eq!(says(&world.status(), "TailscaleReady"), expected);
    }
}

#[test]
fn an_autoscaler_is_told_as_it_tells_itself() {
    let mut world = World::settled();
    world.spec =
        "{image: {tag: '7'}, availability: {autoScaling: {enabled: true, maxReplicas: 1}}}".into();
    assert_eq!(says(&world.status(), "HPAReady"), "Unknown/Progressing");
    let with = |kind: &str, status: &str| {
        json!({"metadata": meta("clip", OWNER), "status": {"conditions": [
            {"type": kind, "status": status, "reason": "R", "message": "its words"}]}})
    };
    for (kind, truth, expected) in [
        ("ScalingActive", "True", "True/HPAProvisioned"),
        ("ScalingActive", "False", "False/MetricsUnavailable"),
        ("AbleToScale", "False", "False/ScalingBlocked"),
    ] {
        world.observed.autoscaler = seen(with(kind, truth));
        assert_eq!(says(&world.status(), "HPAReady"), expected);
    }
    world.observed.autoscaler = seen(with("ScalingActive", "False"));
    let status = world.status();
    assert_eq!(message(&status, "HPAReady"), "HPA \"clip\": \"its words\"");
    // It serves, so it is ready, and something is wrong.
    assert_eq!(says(&status, "Ready"), "True/AllResourcesReady");
    assert_eq!(phase_of(&status), "Degraded");
    world.spec = "{database: {mode: embedded}, availability: {autoScaling: {enabled: true, maxReplicas: 1}}}".into();
    world.observed.autoscaler = None;
    assert_eq!(says(&world.status(), "HPAReady"), "False/ScalingBlocked");
}
