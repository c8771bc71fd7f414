//! Which changes are announced.

use super::*;
use crate::controllers::instance::database_mode::step;
use crate::controllers::instance::workload::Workloads;

fn reasons(before: Option<&InstanceStatus>, after: &InstanceStatus) -> Vec<String> {
    announcements(before, after)
        .into_iter()
        .map(|e| e.reason)
        .collect()
}

#[test]
fn that_an_instance_is_being_set_up_is_no_news_and_that_it_is_ready_is_told_once() {
    let mut world = World::healthy();
    let all = std::mem::take(&mut world.observed);
    let pending = world.status();
    assert_eq!(reasons(None, &pending), Vec::<String>::new());
    world.observed = all;
    world.before = Some(pending.clone());
    let running = world.status();
    assert_eq!(
        reasons(Some(&pending), &running),
        ["ReconcileSucceeded", "PhaseChanged", "MigrationFinished"]
    );
    assert_eq!(reasons(Some(&running), &running), Vec::<String>::new());
}

#[test]
fn trouble_and_recovery_are_told_as_phases_and_not_as_success() {
    let mut world = World::settled();
    let running = world.before.clone().unwrap();
    world.observed.database = seen(child("False", "PodNotReady", 2));
    let degraded = world.status();
    assert_eq!(reasons(Some(&running), &degraded), ["PhaseChanged"]);
    assert_eq!(reasons(Some(&degraded), &running), ["PhaseChanged"]);
}

#[test]
fn an_update_ends_with_success() {
    let mut world = World::settled();
    let running = world.before.clone().unwrap();
    world.observed.workloads.current = seen(stateful_set(1, 0, ["a", "b"]));
    let updating = world.status();
    assert_eq!(
        reasons(Some(&running), &updating),
        ["PhaseChanged", "RolloutStarted"]
    );
    assert_eq!(
        reasons(Some(&updating), &running),
        ["ReconcileSucceeded", "PhaseChanged", "RolloutFinished"]
    );
}

#[test]
fn missing_references_are_told_when_they_go_and_when_they_come() {
    let mut world = World::settled();
    let running = world.before.clone().unwrap();
    world.broken = Some(vec![Broken {
        reason: "SecretNotFound",
        message: "m".into(),
        unknown: false,
    }]);
    let missing = world.status();
    assert!(reasons(Some(&running), &missing).contains(&"ReferenceNotFound".to_owned()));
    assert!(reasons(Some(&missing), &running).contains(&"ReferenceFound".to_owned()));
}

#[test]
fn faults_of_passes_are_told_once_per_streak() {
    let mut world = World::settled();
    let running = world.before.clone().unwrap();
    world.failing = Some(Failing {
        message: "x".into(),
    });
    let failing = world.status();
    assert!(reasons(Some(&running), &failing).contains(&"ReconcileError".to_owned()));
    world.failing = Some(Failing {
        message: "y".into(),
    });
    assert!(!reasons(Some(&failing), &world.status()).contains(&"ReconcileError".to_owned()));
    assert!(reasons(Some(&failing), &running).contains(&"Recovered".to_owned()));
}

#[test]
fn a_kind_that_is_not_used_is_told_once() {
    let mut world = World::settled();
    let running = world.before.clone().unwrap();
    world.spec = "{image: {tag: '7'}, workload: Deployment}".into();
    let kept = world.status();
    assert_eq!(
        reasons(Some(&running), &kept),
        ["PersistenceRequiresStatefulSet"]
    );
    assert_eq!(reasons(Some(&kept), &kept), Vec::<String>::new());
}

fn told(world: &World, before: Option<&InstanceStatus>) -> Vec<(String, String)> {
    let after = world.status();
    world.look(|scene| {
        let all = advice(before, &after, &scene.verdict.findings);
        all.into_iter().map(|e| (e.reason, e.text)).collect()
    })
}

#[test]
fn what_is_risky_is_told_once_for_each_value_that_is_so() {
    let mut world = World::settled();
    world.spec = "{image: {tag: latest}}".into();
    let floats = world.status();
    let text = "spec.image.tag: \"latest\" floats; pin a digest or use autoUpdate";
    let expected = [("FloatingTag".to_owned(), text.to_owned())];
    assert_eq!(told(&world, None), expected);
    assert_eq!(told(&world, world.before.as_ref()), expected);
    assert_eq!(told(&world, Some(&floats)), []);
    world.spec = "{image: {tag: latest}, probes: {type: http}, sidecars: [{name: a}], \
        networking: {service: {type: NodePort}}, security: {podSecurityContext: {runAsUser: 7}}, \
        env: [{name: PAPERCLIP_HOME, value: /old}], connections: {credentialsSecretRef: {name: c}}}"
        .into();
    let mut reasons: Vec<_> = told(&world, Some(&floats))
        .into_iter()
        .map(|e| e.0)
        .collect();
    reasons.sort();
    assert_eq!(
        reasons,
        [
            "HomeChanged",
            "LivenessOnHealth",
            "OAuthCallbackMoved",
            "SidecarsSeeServer",
            "SignUpOpen",
            "UidChanged"
        ]
    );
}

#[test]
fn that_the_server_goes_to_another_database_is_told_when_it_begins() {
    let moved = |world: &World| {
        world.look(|scene| {
            let v = scene.verdict.validated.as_ref().unwrap();
            let step = step(&v.database, scene.observed, scene.before());
            step.begins().map(str::to_owned)
        })
    };
    let mut world = World::settled();
    assert_eq!(moved(&world), None);
    world.spec = "{database: {mode: external, externalURLSecretRef: {name: s, key: k}}}".into();
    assert_eq!(moved(&world), None, "it is asked first");
    let mut next = child("True", "DatabaseProvisioned", 2);
    next["spec"]["engine"] = json!("External");
    world.observed.next_database = seen(next);
    assert_eq!(moved(&world), None, "the server ends first");
    world.observed.pods.clear();
    world.observed.workloads = Workloads::default();
    assert_eq!(
        moved(&world).unwrap(),
        "the server goes from a managed database to an external database: no data are moved, and those of before are kept"
    );
    world.spec = "{database: {mode: embedded}}".into();
    assert!(moved(&world).unwrap().contains("to the embedded database"));
    // It has ended: the new one is only being made.
    world.observed.database = None;
    assert_eq!(moved(&world), None);
    let embedded = world.status();
    assert_eq!(embedded.children, []);
    world.before = Some(InstanceStatus {
        first_ready_time: Some(at(1000)),
        ..embedded
    });
    world.spec = "{}".into();
    assert!(
        moved(&world)
            .unwrap()
            .contains("from the embedded database")
    );
    // It was never ready.
    world.before = None;
    assert_eq!(moved(&world), None);
}
