//! The first admin: made before the server has a pod, once for the same data, and never taken for granted.

use super::*;
use crate::controllers::instance::build::bootstrap::of_data;
use crate::controllers::instance::gates::{State, Wait};

const ADMIN: &str = "{image: {tag: '7'}, auth: {adminUser: {email: a@b}}}";

/// The schema is up to date, and there has been no server yet.
fn fresh() -> World {
    let mut world = World::healthy();
    world.spec = ADMIN.into();
    world.observed.workloads.current = seen(stateful_set(0, 0, ["a", "a"]));
    world.observed.pods = vec![];
    world
}

/// The Job of a try on the data of the database with this uid.
fn tried(world: &mut World, database: &str, condition: &str, result: &str) {
    let mut job = job(
        "clip-bootstrap",
        &json!([{"type": condition, "status": "True", "reason": "R", "message": "M"}]),
    );
    job["metadata"]["annotations"] =
        json!({"paperclip.inc/applied-hash": format!("{}.input", of_data(database))});
    world.observed.bootstrap = seen(job);
    let container =
        json!({"name": "agent", "state": {"terminated": {"exitCode": 2, "message": result}}});
    world.observed.bootstrap_pods = seen(pod(false, &container)).into_iter().collect();
}

fn decided(world: &World) -> (Option<State>, Option<Wait>) {
    world.look(|scene| {
        let plan = scene.plan.unwrap();
        (plan.bootstrap.clone(), plan.wait.clone())
    })
}

#[test]
fn a_first_server_waits_for_its_admin() {
    let world = fresh();
    assert_eq!(decided(&world), (Some(State::Due), Some(Wait::Bootstrap)));
    let status = world.status();
    assert_eq!(says(&status, "Bootstrapped"), "False/BootstrapRunning");
    assert_eq!(says(&status, "Reconciling"), "True/Bootstrapping");
    assert!(message(&status, "StatefulSetReady").contains("first admin"));
}

#[test]
fn there_is_an_admin_when_the_agent_has_seen_one_and_it_is_never_forgotten() {
    let mut world = fresh();
    tried(
        &mut world,
        "uid-of-clip",
        "Complete",
        r#"{"task":"bootstrap","outcome":"done"}"#,
    );
    assert_eq!(decided(&world), (Some(State::Complete), None));
    let status = world.status();
    assert_eq!(says(&status, "Bootstrapped"), "True/AdminExists");
    let record = status.bootstrap.clone().unwrap();
    assert_eq!(record.database.as_deref(), Some("uid-of-clip"));
    assert_eq!(record.completion_time, Some(at(1000)));
    // The Job is gone, and the spec names somebody else.
    world.before = Some(status);
    world.now = at(2000);
    world.observed.bootstrap = None;
    world.observed.bootstrap_pods = vec![];
    world.spec = ADMIN.replace("a@b", "c@d");
    assert_eq!(decided(&world), (Some(State::Complete), None));
    assert_eq!(world.status().bootstrap.unwrap(), record);
    // Nor when nobody is named any more.
    world.spec = "{image: {tag: '7'}}".into();
    let status = world.status();
    assert_eq!(says(&status, "Bootstrapped"), "True/AdminExists");
    assert_eq!(status.bootstrap.unwrap(), record);
}

#[test]
fn other_data_need_an_admin_of_their_own() {
    let mut world = fresh();
    tried(&mut world, "uid-of-before", "Complete", "{}");
    // The old Job is in the way until it is removed.
    assert_eq!(
        decided(&world),
        (Some(State::Waiting), Some(Wait::Bootstrap))
    );
    tried(&mut world, "uid-of-clip", "Complete", "{}");
    let mut before = world.status();
    before.bootstrap.as_mut().unwrap().database = Some("uid-of-before".into());
    world.before = Some(before);
    world.observed.bootstrap = None;
    assert_eq!(decided(&world), (Some(State::Due), Some(Wait::Bootstrap)));
}

#[test]
fn a_server_that_served_already_is_not_stopped_for_an_admin() {
    let mut world = World::settled();
    world.spec = ADMIN.into();
    assert_eq!(decided(&world), (Some(State::Due), None));
    assert_eq!(
        says(&world.status(), "Bootstrapped"),
        "False/BootstrapRunning"
    );
}

#[test]
fn an_admin_that_the_server_does_not_take_asks_for_a_person() {
    let mut world = fresh();
    let result = r#"{"task":"bootstrap","outcome":"refused","code":"InvalidAdmin","message":"the password is too short"}"#;
    tried(&mut world, "uid-of-clip", "Failed", result);
    let status = world.status();
    assert_eq!(says(&status, "Bootstrapped"), "False/InvalidAdmin");
    assert_eq!(
        message(&status, "Bootstrapped"),
        "spec.auth.adminUser: the password is too short"
    );
    assert_eq!(says(&status, "Stalled"), "True/InvalidAdmin");
    assert_eq!(phase_of(&status), "Failed");
    tried(&mut world, "uid-of-clip", "Failed", "");
    let status = world.status();
    assert_eq!(says(&status, "Bootstrapped"), "False/BootstrapFailed");
    assert!(message(&status, "Bootstrapped").contains("R: M"));
}

#[test]
fn without_an_admin_nobody_claims_to_know() {
    let status = World::settled().status();
    assert_eq!(says(&status, "Bootstrapped"), "Unknown/NotObserved");
    assert_eq!(says(&status, "Ready"), "True/AllResourcesReady");
    let mut trusted = World::settled();
    trusted.spec = "{image: {tag: '7'}, deployment: {mode: local_trusted}}".into();
    assert_eq!(says(&trusted.status(), "Bootstrapped"), "-");
}
