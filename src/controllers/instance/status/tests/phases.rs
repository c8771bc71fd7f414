//! The first phase that holds.

use super::*;

#[test]
fn it_is_pending_then_provisioning_then_running() {
    let mut world = World::healthy();
    let all = std::mem::take(&mut world.observed);
    assert_eq!(phase_of(&world.status()), "Pending");
    world.observed.service = all.service.clone();
    assert_eq!(phase_of(&world.status()), "Provisioning");
    world.observed = all;
    assert_eq!(phase_of(&world.status()), "Running");
    assert_eq!(world.status().summary.as_deref(), Some("Running 7"));
}

#[test]
fn a_database_that_comes_up_is_what_is_waited_for() {
    let mut world = World::healthy();
    world.observed.workloads.current = seen(stateful_set(0, 0, ["a", "a"]));
    world.observed.pods = vec![];
    world.observed.database = seen(child("False", "Initializing", 2));
    let status = world.status();
    assert_eq!(phase_of(&status), "Provisioning");
    assert_eq!(says(&status, "Reconciling"), "True/WaitingForChild");
    assert_eq!(
        status.summary.as_deref(),
        Some("Provisioning: waiting for PaperclipDatabase \"clip\": Initializing")
    );
    assert!(message(&status, "StatefulSetReady").contains("waits for PaperclipDatabase \"clip\""));
}

#[test]
fn a_rollout_is_an_update_until_every_replica_is_ready() {
    let mut world = World::settled();
    world.observed.workloads.current = seen(stateful_set(1, 0, ["a", "b"]));
    let rolling = world.status();
    assert_eq!(phase_of(&rolling), "Updating");
    assert_eq!(says(&rolling, "Ready"), "Unknown/Progressing");
    // The new pod is there and not ready yet: still the same update.
    world.before = Some(rolling);
    world.observed.workloads.current = seen(stateful_set(1, 0, ["b", "b"]));
    world.observed.pods = seen(pod(false, &json!({}))).into_iter().collect();
    let status = world.status();
    assert_eq!(phase_of(&status), "Updating");
    assert_eq!(says(&status, "Ready"), "False/ResourcesNotReady");
    // It takes too long.
    world.elapsed = vec![("StatefulSetReady", "StatefulSetNotReady", 601)];
    let status = world.status();
    assert_eq!(phase_of(&status), "Failed");
    assert_eq!(says(&status, "Stalled"), "True/StatefulSetNotReady");
}

#[test]
fn a_pod_that_is_lost_at_rest_is_no_update() {
    let mut world = World::settled();
    world.observed.workloads.current = seen(stateful_set(1, 0, ["a", "a"]));
    world.observed.pods = seen(pod(false, &json!({}))).into_iter().collect();
    assert_eq!(phase_of(&world.status()), "Degraded");
}

#[test]
fn a_suspended_instance_waits_for_its_pods_to_end() {
    let mut world = World::settled();
    world.spec = "{image: {tag: '7'}, suspended: true}".into();
    world.observed.workloads.current = seen(stateful_set(0, 0, ["a", "a"]));
    let status = world.status();
    assert_eq!(phase_of(&status), "Updating");
    assert_eq!(says(&status, "Reconciling"), "True/Suspending");
    world.observed.pods = vec![];
    let status = world.status();
    assert_eq!(phase_of(&status), "Suspended");
    assert_eq!(says(&status, "Ready"), "False/Suspended");
    assert_eq!(
        says(&status, "StatefulSetReady"),
        "True/StatefulSetSuspended"
    );
    assert_eq!(says(&status, "Reconciling"), "-");
    assert_eq!(status.replicas, Some(0));
    // On its way back.
    world.before = Some(status);
    world.spec = "{image: {tag: '7'}}".into();
    world.observed.workloads.current = seen(stateful_set(1, 0, ["a", "a"]));
    assert_eq!(phase_of(&world.status()), "Updating");
}

#[test]
fn a_server_that_never_served_and_needs_a_person_has_failed() {
    let mut world = World::healthy();
    world.spec = "{image: {tag: '7'}, restoreFrom: snapshot}".into();
    world.observed.workloads.current = seen(stateful_set(0, 0, ["a", "a"]));
    world.observed.pods = vec![];
    let status = world.status();
    assert_eq!(phase_of(&status), "Failed");
    assert_eq!(says(&status, "Stalled"), "True/NotFound");
}

#[test]
fn deletion_comes_before_everything() {
    let mut world = World::settled();
    world.deleting = true;
    let status = world.status();
    assert_eq!(phase_of(&status), "Terminating");
    assert_eq!(says(&status, "Ready"), "False/Terminating");
    assert_eq!(says(&status, "Reconciling"), "True/Deleting");
    assert_eq!(status.deletion.unwrap().step.as_deref(), Some("Started"));
}

#[test]
fn what_has_no_effect_is_in_the_summary_and_does_not_hinder() {
    let mut world = World::settled();
    world.spec = "{image: {tag: '7'}, plugins: [{name: p}]}".into();
    let status = world.status();
    assert_eq!(phase_of(&status), "Running");
    assert!(
        status
            .summary
            .unwrap()
            .starts_with("Running 7; NotImplemented: spec.plugins")
    );
}

#[test]
fn details_may_wait_and_what_is_waited_for_may_not() {
    let world = World::settled();
    let before = world.before.clone().unwrap();
    assert!(matters(None, &before));
    let mut detail = before.clone();
    detail.replicas = Some(9);
    detail.summary = Some("else".into());
    assert!(!matters(Some(&before), &detail));
    let mut handled = before.clone();
    handled.last_handled_reconcile_at = Some("1".into());
    assert!(matters(Some(&before), &handled));
    let mut degraded = before.clone();
    degraded.phase = Some(crate::crd::instance::Phase::Degraded.into());
    assert!(matters(Some(&before), &degraded));
}
