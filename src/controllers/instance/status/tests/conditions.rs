//! What each condition needs to be True, and what it says if it is not.

use super::*;
use crate::controllers::instance::database_mode::Step;
use crate::controllers::instance::workload::{Switch, WorkloadKind};
use crate::crd::instance::Phase;

fn broken(reason: &'static str, unknown: bool) -> Broken {
    Broken {
        reason,
        message: format!("spec.x: {reason}"),
        unknown,
    }
}

fn problem(part: Object, reason: &str, cure: Cure) -> (Object, Problem) {
    let message = format!("{reason} was said");
    (
        part,
        Problem {
            reason: reason.into(),
            message,
            cure,
        },
    )
}

#[test]
fn all_is_well_when_all_was_seen_to_be_well() {
    let status = World::healthy().status();
    for (kind, expected) in [
        ("Ready", "True/AllResourcesReady"),
        ("Reconciling", "-"),
        ("Stalled", "-"),
        ("ConfigAccepted", "True/Accepted"),
        ("ReferencesResolved", "True/NoReferences"),
        ("DatabaseReady", "True/DatabaseProvisioned"),
        ("StorageReady", "True/StorageReady"),
        ("Migrated", "True/SchemaUpToDate"),
        ("StatefulSetReady", "True/StatefulSetReady"),
        ("ServiceReady", "True/ServiceReady"),
        ("RBACReady", "True/RBACProvisioned"),
        ("NetworkPolicyReady", "True/NetworkPolicyProvisioned"),
        ("WorkloadProfileValid", "True/WorkloadProfileValid"),
    ] {
        assert_eq!(says(&status, kind), expected, "{kind}");
    }
    assert_eq!(status.first_ready_time, Some(at(1000)));
    assert_eq!(status.running_image.as_deref(), Some("r/p@sha256:ab"));
    assert_eq!(status.scheduler_leader.as_deref(), Some("clip-0"));
    assert_eq!(
        status.endpoint.as_deref(),
        Some("http://clip.prod.svc.cluster.test:3100")
    );
    assert!(
        status
            .conditions
            .iter()
            .all(|c| c.observed_generation == Some(4) && !c.message.is_empty())
    );
}

#[test]
fn equal_facts_give_an_equal_status_at_any_time() {
    let mut world = World::settled();
    let first = world.status();
    assert_eq!(world.before.as_ref(), Some(&first));
    world.now = at(999_999);
    assert_eq!(world.status(), first);
}

#[test]
fn nothing_is_true_of_objects_that_were_only_written() {
    let mut world = World::healthy();
    world.observed = Observed::default();
    let status = world.status();
    for kind in [
        "DatabaseReady",
        "StorageReady",
        "StatefulSetReady",
        "ServiceReady",
        "RBACReady",
        "NetworkPolicyReady",
    ] {
        assert_eq!(says(&status, kind), "Unknown/Progressing", "{kind}");
    }
    assert_eq!(says(&status, "Migrated"), "False/WaitingForDatabase");
    assert_eq!(says(&status, "Ready"), "False/ResourcesNotReady");
    assert_eq!((status.endpoint, status.scheduler_leader), (None, None));
}

#[test]
fn the_database_is_what_its_own_controller_says_about_its_present_spec() {
    let mut world = World::healthy();
    world.observed.database = seen(child("False", "StorageFull", 2));
    assert_eq!(says(&world.status(), "DatabaseReady"), "False/StorageFull");
    assert_eq!(
        message(&world.status(), "DatabaseReady"),
        "the child's words"
    );
    // Its generation is 2: what it said about 1 is old.
    world.observed.database = seen(child("True", "DatabaseProvisioned", 1));
    assert_eq!(
        says(&world.status(), "DatabaseReady"),
        "Unknown/Progressing"
    );
    let status = world.status();
    assert_eq!(
        status.children[0].ready.as_ref().unwrap().as_str(),
        "Unknown"
    );
}

#[test]
fn a_claim_is_ready_when_it_is_bound_with_the_wanted_size() {
    let mut world = World::healthy();
    world.spec = "{image: {tag: '7'}, storage: {persistence: {size: 20Gi}}}".into();
    assert_eq!(says(&world.status(), "StorageReady"), "False/Resizing");
    assert_eq!(says(&world.status(), "Ready"), "True/AllResourcesReady");
    world.observed.claim = seen(claim("Bound", "20Gi"));
    assert_eq!(says(&world.status(), "StorageReady"), "True/StorageReady");
    world.observed.claim = seen(claim("Lost", "20Gi"));
    assert_eq!(says(&world.status(), "Stalled"), "True/ClaimLost");
    world.spec = "{image: {tag: '7'}, storage: {persistence: {enabled: false}}}".into();
    assert_eq!(says(&world.status(), "StorageReady"), "-");
}

#[test]
fn a_claim_that_waits_for_its_first_pod_is_no_stall_and_one_with_a_pod_is() {
    let mut world = World::healthy();
    world.observed.claim = seen(claim("Pending", "0"));
    world.elapsed = vec![("StorageReady", "ClaimPending", 601)];
    assert_eq!(says(&world.status(), "Stalled"), "True/ClaimPending");
    world.observed.pods = vec![];
    assert_eq!(says(&world.status(), "Stalled"), "-");
}

#[test]
fn a_volume_that_cannot_grow_degrades_and_does_not_stop() {
    let mut world = World::settled();
    world.applied.problems = vec![problem(Object::Claim, "Forbidden", Cure::Person)];
    let status = world.status();
    assert_eq!(says(&status, "StorageReady"), "False/ExpansionNotSupported");
    assert_eq!(says(&status, "Ready"), "True/AllResourcesReady");
    assert_eq!(phase_of(&status), "Degraded");
}

#[test]
fn a_failed_migration_tells_in_the_agents_words_and_needs_a_person() {
    let mut world = World::healthy();
    let name = world.job_name();
    let failed = json!([{"type": "Failed", "status": "True", "reason": "BackoffLimitExceeded", "message": "4 tries"}]);
    world.observed.jobs = seen(job(&name, &failed)).into_iter().collect();
    let status = world.status();
    assert_eq!(says(&status, "Migrated"), "False/MigrationFailed");
    assert_eq!(says(&status, "Stalled"), "True/MigrationFailed");
    assert!(message(&status, "Migrated").contains("BackoffLimitExceeded: 4 tries"));
    let result = r#"{"task":"migrate","code":"ExtensionNotPermitted","message":"pg_trgm","facts":{"applied":3,"pending":46}}"#;
    let ended = json!({"metadata": meta("p", Some((&name, "uid"))), "status": {"containerStatuses": [{"state": {"terminated": {"message": result}}}]}});
    world.observed.job_pods = seen(ended).into_iter().collect();
    let status = world.status();
    assert!(message(&status, "Migrated").contains("ExtensionNotPermitted: pg_trgm"));
    let migration = status.migration.unwrap();
    assert_eq!((migration.applied, migration.pending), (Some(3), Some(46)));
}

#[test]
fn what_was_migrated_stays_on_record_when_the_job_is_gone() {
    let mut world = World::settled();
    world.observed.jobs = vec![];
    assert_eq!(says(&world.status(), "Migrated"), "True/SchemaUpToDate");
    world.spec = "{image: {tag: '8'}}".into();
    assert_eq!(says(&world.status(), "Migrated"), "False/MigrationRunning");
}

#[test]
fn the_server_says_what_keeps_its_pod_from_working() {
    let mut world = World::settled();
    world.observed.workloads.current = seen(stateful_set(1, 0, ["a", "b"]));
    let waiting = json!({"name": "paperclip", "state": {"waiting": {"reason": "ImagePullBackOff", "message": "no such image"}}});
    world.observed.pods = seen(pod(false, &waiting)).into_iter().collect();
    let status = world.status();
    assert_eq!(says(&status, "StatefulSetReady"), "False/ImagePullFailed");
    assert!(message(&status, "StatefulSetReady").contains("pod \"clip-0\": \"no such image\""));
    assert_eq!(says(&status, "Stalled"), "-");
    world.elapsed = vec![("StatefulSetReady", "ImagePullFailed", 601)];
    let status = world.status();
    assert_eq!(says(&status, "Stalled"), "True/ImagePullFailed");
    assert_eq!(says(&status, "Reconciling"), "-");
}

#[test]
fn a_process_that_has_just_started_does_not_take_a_stall_back() {
    let mut world = World::settled();
    world.broken = Some(vec![broken("SecretNotFound", false)]);
    world.elapsed = vec![("ReferencesResolved", "SecretNotFound", 301)];
    let stalled = world.status();
    assert_eq!(says(&stalled, "Stalled"), "True/SecretNotFound");
    world.before = Some(stalled.clone());
    world.elapsed = vec![];
    assert_eq!(world.status(), stalled);
}

#[test]
fn references_that_are_missing_may_be_on_their_way_and_wrong_ones_are_not() {
    let mut world = World::healthy();
    world.broken = Some(vec![
        broken("SecretNotFound", false),
        broken("KeyNotFound", false),
    ]);
    let status = world.status();
    assert_eq!(says(&status, "ReferencesResolved"), "False/SecretNotFound");
    assert_eq!(
        message(&status, "ReferencesResolved"),
        "spec.x: SecretNotFound; spec.x: KeyNotFound"
    );
    assert_eq!(says(&status, "Reconciling"), "True/WaitingForReference");
    world.broken = Some(vec![broken("InvalidValue", false)]);
    assert_eq!(says(&world.status(), "Stalled"), "True/InvalidValue");
    world.broken = Some(vec![broken("Forbidden", true)]);
    let status = world.status();
    assert_eq!(says(&status, "ReferencesResolved"), "Unknown/Forbidden");
    // It serves, and nobody may claim that all is well.
    assert_eq!(says(&status, "Ready"), "Unknown/Progressing");
}

#[test]
fn references_that_nobody_looked_at_are_what_they_were() {
    let mut world = World::settled();
    world.broken = None;
    assert_eq!(
        says(&world.status(), "ReferencesResolved"),
        "True/NoReferences"
    );
    world.before = None;
    assert_eq!(
        says(&world.status(), "ReferencesResolved"),
        "Unknown/Progressing"
    );
}

#[test]
fn a_taken_name_needs_a_person_at_once() {
    let mut world = World::settled();
    world.observed.service = None;
    world.applied.problems = vec![problem(Object::Service, "NotOurs", Cure::Person)];
    let status = world.status();
    assert_eq!(says(&status, "ServiceReady"), "False/NotOurs");
    assert_eq!(says(&status, "Stalled"), "True/NotOurs");
}

#[test]
fn what_the_api_server_refuses_of_the_pod_is_the_specs_fault() {
    let mut world = World::healthy();
    world.applied.problems = vec![problem(Object::Workload, "Invalid", Cure::Person)];
    let status = world.status();
    assert_eq!(says(&status, "ConfigAccepted"), "False/InvalidSpec");
    assert!(message(&status, "ConfigAccepted").contains("Invalid was said"));
}

#[test]
fn a_fault_is_told_when_it_lasts_and_not_before() {
    let mut world = World::settled();
    world.applied.problems = vec![problem(Object::Service, "Timeout", Cure::Retry)];
    assert_eq!(world.status(), world.before.clone().unwrap());
    world.failing = Some(Failing {
        message: "apply: service: Timeout".into(),
    });
    let status = world.status();
    assert_eq!(says(&status, "Ready"), "False/ReconcileError");
    assert_eq!(says(&status, "Reconciling"), "True/Retrying");
    assert_eq!(phase_of(&status), "Degraded");
}

#[test]
fn an_account_that_is_not_ours_must_have_been_seen() {
    let mut world = World::healthy();
    world.spec =
        "{image: {tag: '7'}, security: {rbac: {create: false, serviceAccountName: theirs}}}".into();
    world.observed.account = None;
    assert_eq!(says(&world.status(), "RBACReady"), "Unknown/Progressing");
    world.outside.account = Some(false);
    assert_eq!(
        says(&world.status(), "RBACReady"),
        "False/ServiceAccountNotFound"
    );
    world.outside.account = Some(true);
    assert_eq!(
        says(&world.status(), "RBACReady"),
        "True/ServiceAccountFound"
    );
}

#[test]
fn an_invalid_spec_leaves_what_is_known_and_says_so() {
    let mut world = World::settled();
    world.spec = "{image: {tag: 'a/b'}}".into();
    world.applied = Applied::default();
    let status = world.status();
    assert_eq!(says(&status, "ConfigAccepted"), "False/InvalidSpec");
    assert_eq!(says(&status, "Stalled"), "True/InvalidSpec");
    assert_eq!(says(&status, "Migrated"), "True/SchemaUpToDate");
    assert_eq!(says(&status, "StatefulSetReady"), "True/StatefulSetReady");
    assert_eq!(phase_of(&status), "Degraded");
    assert!(status.endpoint.is_some());
}

#[test]
fn a_load_balancer_is_ready_when_it_has_an_address() {
    let mut world = World::healthy();
    world.spec = "{image: {tag: '7'}, networking: {service: {type: LoadBalancer}}}".into();
    assert_eq!(
        says(&world.status(), "ServiceReady"),
        "False/LoadBalancerPending"
    );
    world.observed.service = seen(
        json!({"metadata": meta("clip", OWNER), "status": {"loadBalancer": {"ingress": [{"ip": "1.2.3.4"}]}}}),
    );
    assert_eq!(says(&world.status(), "ServiceReady"), "True/ServiceReady");
}

#[test]
fn kstatus_never_sees_both_reconciling_and_stalled() {
    let mut worlds = vec![World::healthy(), World::settled()];
    for breakage in ["SecretNotFound", "InvalidValue"] {
        let mut world = World::settled();
        world.observed.workloads.current = seen(stateful_set(1, 0, ["a", "b"]));
        world.broken = Some(vec![broken(breakage, false)]);
        worlds.push(world);
    }
    for world in worlds {
        let status = world.status();
        let both = says(&status, "Reconciling") != "-" && says(&status, "Stalled") != "-";
        assert!(!both, "{:?}", status.conditions);
        let ready = says(&status, "Ready").starts_with("True");
        let at_rest = says(&status, "Reconciling") == "-" && says(&status, "Stalled") == "-";
        assert_eq!(ready, at_rest, "{:?}", status.conditions);
    }
}

#[test]
fn a_kind_that_takes_over_is_waited_for_while_the_other_serves() {
    let mut world = World::settled();
    world.spec =
        "{image: {tag: '7'}, workload: Deployment, storage: {persistence: {enabled: false}}}"
            .into();
    world.applied.switch = Switch::Prepare;
    let status = world.status();
    assert_eq!(says(&status, "StatefulSetReady"), "True/StatefulSetReady");
    assert_eq!(says(&status, "DeploymentReady"), "False/DeploymentNotReady");
    assert_eq!(says(&status, "Ready"), "False/ResourcesNotReady");
    assert_eq!(status.phase, Some(Phase::Updating.into()));

    world.applied.switch = Switch::GivenUp;
    let status = world.status();
    assert_eq!(says(&status, "DeploymentReady"), "-");
    assert_eq!(says(&status, "WorkloadProfileValid"), "False/SwitchFailed");
    assert_eq!(status.phase, Some(Phase::Degraded.into()));
    assert!(message(&status, "WorkloadProfileValid").contains("StatefulSet goes on"));

    world.observed.workloads.kind = WorkloadKind::Deployment;
    world.applied.switch = Switch::Finish;
    let status = world.status();
    assert_eq!(says(&status, "StatefulSetReady"), "-");
    assert_eq!(says(&status, "DeploymentReady"), "False/RolloutInProgress");
    world.applied.switch = Switch::None;
    assert_eq!(
        says(&world.status(), "DeploymentReady"),
        "True/DeploymentReady"
    );
}

#[test]
fn a_volume_of_another_class_keeps_its_own_and_says_so() {
    let mut world = World::settled();
    world.spec = "{image: {tag: '7'}, storage: {persistence: {storageClass: fast}}}".into();
    let mut volume = claim("Bound", "5Gi");
    volume["spec"]["storageClassName"] = json!("fast");
    world.observed.claim = seen(volume.clone());
    assert_eq!(says(&world.status(), "ConfigAccepted"), "True/Accepted");
    volume["spec"]["storageClassName"] = json!("slow");
    world.observed.claim = seen(volume);
    let status = world.status();
    assert_eq!(says(&status, "ConfigAccepted"), "False/InvalidSpec");
    assert_eq!(
        message(&status, "ConfigAccepted"),
        "spec.storage.persistence.storageClass: claim \"clip-data\" has class \"slow\""
    );
}

#[test]
fn an_external_database_is_ready_when_the_migration_has_connected() {
    let mut world = World::healthy();
    world.spec =
        "{image: {tag: '7'}, database: {mode: external, externalURLSecretRef: {name: s, key: k}}}"
            .into();
    let mut database = child("Unknown", "NotChecked", 2);
    database["spec"]["engine"] = json!("External");
    world.observed.database = seen(database);
    let status = world.status();
    assert_eq!(says(&status, "DatabaseReady"), "True/MigrationConnected");
    assert_eq!(says(&status, "Ready"), "True/AllResourcesReady");
    world.observed.jobs.clear();
    let status = world.status();
    assert_eq!(says(&status, "DatabaseReady"), "Unknown/NotChecked");
}

#[test]
fn what_the_database_of_before_says_is_not_said_of_the_one_that_takes_its_place() {
    let mut world = World::settled();
    world.applied.database = Some(Step::LetGo("to another database".into()));
    let status = world.status();
    assert_eq!(says(&status, "DatabaseReady"), "False/Replacing");
    assert!(says(&status, "Ready").starts_with("False/"));
    world.applied.database = Some(Step::Ends);
    let mut ends = child("True", "DatabaseProvisioned", 2);
    ends["metadata"]["deletionTimestamp"] = json!("2026-01-01T00:00:00Z");
    world.observed.database = seen(ends);
    let status = world.status();
    assert_eq!(says(&status, "DatabaseReady"), "Unknown/Progressing");
    assert!(!says(&status, "Ready").starts_with("True/"));
}

#[test]
fn a_server_stays_with_its_database_until_the_external_one_answers() {
    let mut world = World::settled();
    world.applied.database = Some(Step::Ask("the server stays".into()));
    let status = world.status();
    assert_eq!(says(&status, "DatabaseReady"), "False/Progressing");
    let mut next = child("False", "AuthenticationFailed", 2);
    next["spec"]["engine"] = json!("External");
    world.observed.next_database = seen(next);
    let status = world.status();
    assert_eq!(says(&status, "DatabaseReady"), "False/AuthenticationFailed");
    assert!(message(&status, "DatabaseReady").starts_with("the server stays: "));
}
