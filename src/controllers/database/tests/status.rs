use super::*;
use crate::controllers::database::apply::Applied;
use crate::controllers::database::status::{Observed, happenings, of};
use crate::crd::database::PaperclipDatabaseStatus;
use crate::shared::conditions::find;
use crate::shared::views::{Pod, Trouble};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use k8s_openapi::jiff::Timestamp;
use std::time::Duration;

/// A world in which one pass ends.
struct World {
    object: PaperclipDatabase,
    found: Found,
    applied: Applied,
    pod: Option<Pod>,
    now: i64,
}

fn seen_claim(phase: &str, requested: &str, capacity: &str) -> Arc<Seen<Claim>> {
    let object = json!({
        "metadata": {"name": "shop-db-data", "uid": "c", "resourceVersion": "1", "creationTimestamp": "2026-05-01T10:00:01Z"},
        "spec": {"resources": {"requests": {"storage": requested}}}, "status": {"phase": phase, "capacity": {"storage": capacity}}});
    Arc::new(Seen::read(object, &[]))
}

fn workload(ready: i64) -> Arc<Seen<Workload>> {
    stateful_set(json!({
        "metadata": {"name": "shop-db", "uid": "w", "generation": 1}, "spec": {"replicas": 1},
        "status": {"observedGeneration": 1, "replicas": 1, "updatedReplicas": 1, "readyReplicas": ready, "availableReplicas": ready}}))
}

impl World {
    /// The first pass has just made everything.
    fn new() -> Self {
        Self {
            object: database(MINIMAL),
            found: nothing(),
            applied: Applied {
                claim: Some(seen_claim("Bound", "10Gi", "10Gi")),
                stateful_set: Some(workload(0)),
                secrets_synced: true,
                ..Applied::default()
            },
            pod: None,
            now: 1000,
        }
    }

    /// PostgreSQL answers.
    fn ready() -> Self {
        let mut world = Self::new();
        world.applied.stateful_set = Some(workload(1));
        world
    }

    fn end(&self) -> (PaperclipDatabaseStatus, Option<Duration>) {
        let verdict = verdict(&self.object, &self.found);
        let now = Timestamp::from_second(self.now).unwrap();
        let check = outside::checked(&self.object, &self.found, &verdict, &[], now);
        of(&Observed {
            check: check.as_ref(),
            object: &self.object,
            verdict: &verdict,
            applied: &self.applied,
            existing_claim: None,
            pod: self.pod.as_ref(),
            now: &Time(now),
        })
    }

    /// Ends the pass and lets the next one begin after `seconds`.
    fn pass(&mut self, seconds: i64) -> PaperclipDatabaseStatus {
        let (status, _) = self.end();
        self.object.status = Some(status.clone());
        self.now += seconds;
        // From now on the status vouches for the Secrets, and the claim is there.
        self.applied.secrets_synced = false;
        (self.found.credentials, self.found.app) = (Known::Vouched, Known::Vouched);
        self.found.claim = Known::Present(claim("10Gi", "Bound", "2026-05-01T10:00:01Z"));
        status
    }

    fn trouble(&mut self, reason: &'static str, message: &str, result: Option<&str>) {
        self.pod = Some(Pod {
            trouble: Some(Trouble {
                reason,
                message: message.into(),
            }),
            result: result.map(Into::into),
            ..Pod::default()
        });
    }
}

/// `status/reason` of a condition.
fn is(status: &PaperclipDatabaseStatus, kind: &str) -> String {
    find(&status.conditions, kind).map_or_else(
        || "absent".to_owned(),
        |c| format!("{}/{}", c.status, c.reason),
    )
}

fn message(status: &PaperclipDatabaseStatus, kind: &str) -> String {
    find(&status.conditions, kind).unwrap().message.clone()
}

#[test]
fn after_the_first_pass_it_initialises_and_says_where_the_url_is() {
    let (status, again) = World::new().end();
    assert_eq!(is(&status, "Ready"), "False/Initializing");
    assert_eq!(is(&status, "Accepted"), "True/Accepted");
    assert_eq!(is(&status, "CredentialsSynced"), "True/Synced");
    assert_eq!(is(&status, "StorageHealthy"), "Unknown/Progressing");
    assert_eq!(is(&status, "Reconciling"), "True/Progressing");
    assert_eq!(is(&status, "Stalled"), "absent");
    let connection = status.connection_secret_ref.unwrap();
    assert_eq!(
        (&*connection.name, &*connection.key),
        ("shop-db-app", "DATABASE_URL")
    );
    assert_eq!((status.engine, status.version), (None, None));
    assert_eq!(again, None);
}

#[test]
fn it_is_ready_when_the_pod_is_and_only_then_is_the_engine_frozen() {
    let (status, again) = World::ready().end();
    assert_eq!(is(&status, "Ready"), "True/DatabaseProvisioned");
    assert_eq!(is(&status, "StorageHealthy"), "True/Healthy");
    assert_eq!(
        (is(&status, "Reconciling"), is(&status, "Stalled")),
        ("absent".into(), "absent".into())
    );
    assert_eq!(status.version, Some(17));
    assert_eq!(status.storage.unwrap().capacity.unwrap().0, "10Gi");
    assert_eq!((status.server_version, status.database_bytes), (None, None));
    assert_eq!(again, None);
}

#[test]
fn a_healthy_start_takes_two_status_writes() {
    let mut world = World::new();
    world.applied.claim = Some(seen_claim("Pending", "10Gi", ""));
    let mut written = vec![world.pass(1)];
    world.applied.claim = Some(seen_claim("Bound", "10Gi", "10Gi"));
    written.push(world.pass(1));
    world.pod = Some(Pod::default());
    written.push(world.pass(1));
    world.applied.stateful_set = Some(workload(1));
    written.push(world.pass(1));
    written.push(world.pass(1));
    written.dedup();
    let reasons: Vec<_> = written.iter().map(|s| is(s, "Ready")).collect();
    assert_eq!(reasons, ["False/Initializing", "True/DatabaseProvisioned"]);
}

#[test]
fn every_condition_carries_the_generation_and_keeps_its_time() {
    let mut world = World::ready();
    let first = world.pass(100);
    world.object.metadata.generation = Some(2);
    let second = world.pass(100);
    assert_eq!(second.observed_generation, Some(2));
    for condition in &second.conditions {
        assert_eq!(condition.observed_generation, Some(2));
        let before = find(&first.conditions, &condition.type_).unwrap();
        assert_eq!(condition.last_transition_time, before.last_transition_time);
    }
}

#[test]
fn a_pod_that_goes_makes_it_not_ready_and_keeps_the_rest() {
    let mut world = World::ready();
    world.pass(10);
    world.applied.stateful_set = Some(workload(0));
    world.pod = Some(Pod::default());
    let status = world.pass(10);
    assert_eq!(is(&status, "Ready"), "False/PodNotReady");
    assert_eq!(is(&status, "StorageHealthy"), "True/Healthy");
    assert_eq!(is(&status, "Reconciling"), "True/Progressing");
    assert_eq!(status.version, Some(17));
}

#[test]
fn a_recovery_never_becomes_a_stall() {
    let mut world = World::ready();
    world.pass(10);
    world.applied.stateful_set = Some(workload(0));
    world.pod = Some(Pod::default());
    world.pass(7200);
    assert_eq!(is(&world.end().0, "Stalled"), "absent");
    assert_eq!(world.end().1, None);
}

#[test]
fn an_image_that_cannot_be_pulled_stalls_after_ten_minutes_and_stays_so() {
    let mut world = World::new();
    world.trouble("ImagePullFailed", "not found", None);
    let status = world.pass(300);
    assert_eq!(is(&status, "Ready"), "False/PodNotReady");
    assert_eq!(
        message(&status, "Ready"),
        "pod \"shop-db-0\": ImagePullFailed: \"not found\""
    );
    assert_eq!(world.end().1, Some(Duration::from_secs(301)));
    world.now += 301;
    let status = world.pass(60);
    assert_eq!(
        (is(&status, "Stalled"), is(&status, "Reconciling")),
        ("True/PodNotReady".into(), "absent".into())
    );
    assert_eq!(is(&world.pass(60), "Stalled"), "True/PodNotReady");
    // It heals by itself.
    (world.pod, world.applied.stateful_set) = (None, Some(workload(1)));
    assert_eq!(is(&world.pass(1), "Stalled"), "absent");
}

#[test]
fn the_kubelets_changing_words_change_nothing() {
    let mut world = World::new();
    world.trouble("ImagePullFailed", "rpc error: not found", None);
    let first = world.pass(10);
    world.trouble("ImagePullFailed", "Back-off pulling image", None);
    assert_eq!(world.pass(10), first);
}

#[test]
fn what_the_agent_says_becomes_the_reason() {
    for (code, reason, stalled) in [
        ("VersionMismatch", "False/VersionMismatch", true),
        ("StorageFull", "False/StorageFull", false),
        ("DataDirectoryNotEmpty", "False/PodNotReady", true),
        ("PostgresFailed", "False/PodNotReady", false),
    ] {
        let mut world = World::new();
        let result = json!({"code": code, "message": "data is 16, image is 17"}).to_string();
        world.trouble(
            "CrashLooping",
            "container \"postgres\" ended with exit code 3",
            Some(&result),
        );
        let (status, _) = world.end();
        assert_eq!(is(&status, "Ready"), reason);
        assert!(message(&status, "Ready").contains(&format!("{code}: \"data is 16")));
        assert_eq!(is(&status, "Stalled") != "absent", stalled, "{code}");
    }
}

#[test]
fn a_refused_spec_stalls_and_what_was_observed_stays() {
    let mut world = World::ready();
    world.pass(10);
    world.object.spec = with_spec("{parameters: {fsync: 'off'}}").spec;
    world.applied = Applied::default();
    let status = world.pass(10);
    assert_eq!(is(&status, "Accepted"), "False/ParameterRefused");
    assert_eq!(is(&status, "Ready"), "False/ParameterRefused");
    assert_eq!(is(&status, "Stalled"), "True/ParameterRefused");
    assert!(message(&status, "Ready").contains("spec.parameters.fsync"));
    assert_eq!(is(&status, "CredentialsSynced"), "True/Synced");
    assert!(status.connection_secret_ref.is_some() && status.storage.is_some());
}

#[test]
fn a_field_that_is_not_built_is_said_and_does_not_hold_ready() {
    let mut world = World::ready();
    world.object.spec = with_spec("{upgrade: {to: 18}}").spec;
    let (status, _) = world.end();
    assert_eq!(is(&status, "Accepted"), "False/NotImplemented");
    assert_eq!(is(&status, "Ready"), "True/DatabaseProvisioned");
    assert_eq!(is(&status, "Stalled"), "absent");
}

#[test]
fn a_lost_password_stalls_and_is_looked_for_again() {
    let mut world = World::new();
    world.found.claim = Known::Present(claim("10Gi", "Bound", "2026-04-30T10:00:00Z"));
    world.applied = Applied::default();
    let (status, again) = world.end();
    assert_eq!(is(&status, "CredentialsSynced"), "False/SecretLost");
    assert_eq!(is(&status, "Ready"), "False/SecretLost");
    assert_eq!(is(&status, "Stalled"), "True/SecretLost");
    assert_eq!(status.connection_secret_ref, None);
    assert!(again.is_some());
}

#[test]
fn a_claim_that_vanished_is_told_and_nothing_hides_it() {
    let mut world = World::ready();
    world.pass(10);
    (world.found.claim, world.applied) = (Known::Absent, Applied::default());
    let (status, again) = world.end();
    assert_eq!(is(&status, "StorageHealthy"), "False/ClaimLost");
    assert_eq!(is(&status, "Ready"), "False/ClaimLost");
    assert_eq!(is(&status, "Stalled"), "True/ClaimLost");
    assert!(again.is_some());
}

#[test]
fn a_name_that_somebody_else_has_stalls() {
    let mut world = World::ready();
    world.applied.not_ours = vec!["Service \"shop-db\" exists and belongs to \"Helm\"".to_owned()];
    let (status, again) = world.end();
    assert_eq!(is(&status, "Accepted"), "False/NotOurs");
    assert_eq!(is(&status, "Ready"), "False/NotOurs");
    assert!(again.is_some());
}

#[test]
fn a_suspended_database_is_at_rest_when_its_pod_is_gone() {
    let mut world = World::ready();
    world.pass(10);
    world.object.spec = with_spec("{suspend: true}").spec;
    let status = world.pass(10);
    assert_eq!(
        (is(&status, "Ready"), is(&status, "Reconciling")),
        ("False/Suspended".into(), "True/Progressing".into())
    );
    world.applied.stateful_set = Some(stateful_set(
        json!({"metadata": {"generation": 2}, "status": {"observedGeneration": 2}}),
    ));
    let status = world.pass(10);
    assert_eq!(
        (is(&status, "Ready"), is(&status, "Reconciling")),
        ("False/Suspended".into(), "absent".into())
    );
    assert_eq!(is(&status, "StorageHealthy"), "True/Healthy");
}

#[test]
fn growth_is_told_and_does_not_hold_ready() {
    let mut world = World::ready();
    world.pass(10);
    world.applied.claim = Some(seen_claim("Bound", "20Gi", "10Gi"));
    let status = world.pass(10);
    assert_eq!(
        (is(&status, "StorageHealthy"), is(&status, "Ready")),
        ("False/Resizing".into(), "True/DatabaseProvisioned".into())
    );
    assert_eq!(is(&status, "Reconciling"), "True/Progressing");
    world.applied.claim = Some(seen_claim("Bound", "20Gi", "20Gi"));
    let grown = world.pass(10);
    assert_eq!(is(&grown, "StorageHealthy"), "True/Healthy");
    let told = happenings(&status, &grown, &Applied::default(), None);
    assert_eq!(told[0].reason, "StorageExpanded");
    assert_eq!(told[0].text, "the volume grew from 10Gi to 20Gi");
}

#[test]
fn a_class_that_cannot_grow_is_told_and_it_serves_on() {
    let mut world = World::ready();
    world.applied.expansion_refused =
        Some("only dynamically provisioned pvc can be resized".to_owned());
    let (status, _) = world.end();
    assert_eq!(is(&status, "StorageHealthy"), "False/ExpansionNotSupported");
    assert_eq!(
        (is(&status, "Ready"), is(&status, "Stalled")),
        (
            "True/DatabaseProvisioned".into(),
            "True/ExpansionNotSupported".into()
        )
    );
}

#[test]
fn a_missing_secret_of_the_user_is_waited_for_and_opens_no_gate() {
    let mut world = World::new();
    world.object.spec =
        with_spec("{engine: External, external: {urlSecretRef: {name: s, key: url}}}").spec;
    world.found.external = Known::Absent;
    world.applied = Applied::default();
    let (status, again) = world.end();
    assert_eq!(
        (is(&status, "Ready"), is(&status, "Reconciling")),
        ("False/SecretNotFound".into(), "True/Progressing".into())
    );
    assert_eq!(status.connection_secret_ref, None);
    assert!(again.is_some_and(|again| again < Duration::from_secs(60)));
}

#[test]
fn what_was_asked_for_is_echoed_and_cut() {
    let mut world = World::ready();
    let annotation = (
        "paperclip.inc/reconcile-requested-at".to_owned(),
        "x".repeat(1000),
    );
    world.object.metadata.annotations = Some([annotation].into());
    assert_eq!(
        world.end().0.last_handled_reconcile_at,
        Some("x".repeat(64))
    );
}

#[test]
fn a_healthy_start_makes_no_event_and_a_fault_makes_one() {
    let mut world = World::new();
    let (none, first) = (PaperclipDatabaseStatus::default(), world.pass(1));
    world.applied.stateful_set = Some(workload(1));
    let second = world.pass(1);
    for (before, after) in [(&none, &first), (&first, &second)] {
        assert_eq!(happenings(before, after, &Applied::default(), None), vec![]);
    }
    world.object.spec = with_spec("{parameters: {fsync: 'off'}}").spec;
    let refused = world.pass(1);
    let told = |before, after| {
        let told = happenings(before, after, &Applied::default(), None);
        told.into_iter().map(|h| h.reason).collect::<Vec<_>>()
    };
    assert_eq!(told(&second, &refused), ["ParameterRefused"]);
    assert_eq!(told(&refused, &refused), Vec::<String>::new());
}

#[test]
fn data_that_are_taken_up_are_told_once() {
    let after = World::ready().end().0;
    let first = happenings(
        &PaperclipDatabaseStatus::default(),
        &after,
        &Applied::default(),
        Some("shop-db-data"),
    );
    assert_eq!(first[0].reason, "Adopted");
    assert_eq!(
        happenings(&after, &after, &Applied::default(), Some("shop-db-data")),
        vec![]
    );
}
