//! Given a database of somebody else, when it is asked, and what the user sees of its answer.

use super::*;
use crate::controllers::database::apply::Applied;
use crate::controllers::database::check::{self, Check, JobWithPods, needs_look};
use crate::controllers::database::status::{Observed, of};
use crate::controllers::database::validate::Engine;
use crate::crd::database::PaperclipDatabaseStatus;
use crate::shared::conditions::find;
use crate::shared::views::Job;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use k8s_openapi::jiff::Timestamp;
use std::time::Duration;

/// What is decided about asking; `None`: nobody is to be asked.
pub fn checked(
    object: &PaperclipDatabase,
    found: &Found,
    verdict: &Verdict,
    jobs: &[JobWithPods],
    now: Timestamp,
) -> Option<Check> {
    let Verdict::Accepted(validated) = verdict else {
        return None;
    };
    let Engine::External(outside) = &validated.engine else {
        return None;
    };
    Some(check::decide(&check::Input {
        object,
        external: &outside.external,
        found,
        jobs,
        now,
    }))
}

/// `mine/url`, read in this version.
fn reads(version: &str) -> Known<StoredSecret> {
    let mut secret = secret(&json!({"url": "cG9zdGdyZXM6Ly91OnBAaC9k"}));
    version.clone_into(&mut secret.version);
    Known::Present(secret)
}

/// A database of somebody else through several passes.
struct World {
    object: PaperclipDatabase,
    found: Found,
    jobs: Vec<JobWithPods>,
    now: i64,
}

impl World {
    fn new(spec: &str) -> Self {
        let mut found = nothing();
        found.external = reads("5");
        Self {
            object: with_spec(spec),
            found,
            jobs: vec![],
            now: 1_000_000,
        }
    }

    fn of_secret() -> Self {
        Self::new("{engine: External, external: {urlSecretRef: {name: mine, key: url}}}")
    }

    fn now(&self) -> Timestamp {
        Timestamp::from_second(self.now).unwrap()
    }

    /// One pass, whose status is stored.
    fn pass(&mut self) -> (PaperclipDatabaseStatus, Check, Option<Duration>) {
        let verdict = verdict(&self.object, &self.found);
        let check = checked(&self.object, &self.found, &verdict, &self.jobs, self.now()).unwrap();
        let (status, again) = of(&Observed {
            object: &self.object,
            verdict: &verdict,
            applied: &Applied {
                secrets_synced: true,
                ..Applied::default()
            },
            existing_claim: None,
            pod: None,
            check: Some(&check),
            now: &Time(self.now()),
        });
        self.object.status = Some(status.clone());
        self.jobs.retain(|(job, _)| !check.stale.contains(&job.key));
        if let Some(due) = &check.due {
            self.jobs.push((job(&due.name, &due.of, None), vec![]));
        }
        (status, check, again)
    }

    /// The Job that was made has ended with this last word of the agent.
    fn answers(&mut self, said: &Value) {
        let (asked, _) = self.jobs.pop().unwrap();
        let of = asked.view.metadata.annotations.applied_hash.clone();
        let well = said["outcome"] == "done";
        let end = (if well { "Complete" } else { "Failed" }, self.now);
        let pod = Seen::read(
            json!({"metadata": {"name": "p", "uid": "p"}, "status": {"containerStatuses": [
                {"name": "agent", "state": {"terminated": {"message": said.to_string()}}}]}}),
            &[],
        );
        self.jobs.push((
            job(&asked.key.name, of.as_deref().unwrap(), Some(end)),
            vec![Arc::new(pod)],
        ));
    }

    fn answers_well(&mut self) {
        self.answers(&json!({"task": "check", "outcome": "done", "facts": {
            "serverVersion": "16.4", "databaseBytes": 7_000_000, "encryption": "off", "transactionPooler": false}}));
    }

    fn fails_with(&mut self, code: &str) {
        self.answers(&json!({"task": "check", "outcome": "failed", "step": "connect", "code": code, "message": "its words"}));
    }
}

fn job(name: &str, of: &str, end: Option<(&str, i64)>) -> Arc<Seen<Job>> {
    let conditions = end.map(|(kind, at)| {
        json!([{"type": kind, "status": "True", "reason": "BackoffLimitExceeded", "message": "no more tries",
            "lastTransitionTime": Timestamp::from_second(at).unwrap().to_string()}])
    });
    Arc::new(Seen::read(
        json!({"metadata": {"name": name, "namespace": "ns", "uid": name, "annotations": {"paperclip.inc/applied-hash": of}},
            "status": {"conditions": conditions.unwrap_or_else(|| json!([]))}}),
        &[],
    ))
}

fn is(status: &PaperclipDatabaseStatus, kind: &str) -> String {
    find(&status.conditions, kind).map_or_else(
        || "absent".to_owned(),
        |c| format!("{}/{}", c.status, c.reason),
    )
}

#[test]
fn it_is_asked_once_and_ready_when_it_has_answered() {
    let mut world = World::of_secret();
    let (status, check, _) = world.pass();
    assert!(check.due.is_some());
    assert_eq!(is(&status, "Ready"), "Unknown/Progressing");
    assert_eq!(status.connection_secret_ref.clone().unwrap().name, "mine");

    let (_, check, _) = world.pass();
    assert_eq!(check.due, None, "it is being asked");
    world.answers_well();
    let (status, check, again) = world.pass();
    assert_eq!(check.due, None);
    assert_eq!(is(&status, "Reachable"), "True/Reachable");
    assert_eq!(is(&status, "Ready"), "True/DatabaseProvisioned");
    assert_eq!(is(&status, "StorageHealthy"), "absent");
    assert_eq!(
        find(&status.conditions, "Reachable").unwrap().message,
        "PostgreSQL 16.4 answers; not encrypted, the URL has no sslmode"
    );
    assert_eq!(
        (
            status.version,
            status.server_version.as_deref(),
            status.database_bytes
        ),
        (Some(16), Some("16.4"), Some(7_000_000))
    );
    assert_eq!(status.engine, None, "no data of ours belong to it");
    assert_eq!(again, Some(Duration::from_secs(3601)));

    // At rest nothing is read and nothing changes.
    world.now += 60;
    world.found.external = Known::Vouched;
    assert!(!needs_look(&world.object, world.now()));
    let (later, check, _) = world.pass();
    assert_eq!((later, check.due), (status, None));
}

#[test]
fn it_is_asked_again_after_an_hour_for_another_secret_and_by_request() {
    let mut world = World::of_secret();
    world.pass();
    world.answers_well();
    let (first, ..) = world.pass();

    world.now += 3600;
    assert!(needs_look(&world.object, world.now()));
    let (status, check, _) = world.pass();
    assert!(check.due.is_some());
    assert_eq!(
        check.stale.len(),
        1,
        "the Job of before is not needed any more"
    );
    assert_eq!(
        is(&status, "Ready"),
        "True/DatabaseProvisioned",
        "what was seen holds until the answer"
    );
    world.answers_well();
    let (second, ..) = world.pass();
    assert!(second.check.as_ref().unwrap().last_time > first.check.unwrap().last_time);

    world.found.external = reads("6");
    assert!(world.pass().1.due.is_some(), "the Secret has changed");
    world.answers_well();
    assert_eq!(world.pass().1.due, None);

    let annotation = (
        "paperclip.inc/reconcile-requested-at".to_owned(),
        "now".to_owned(),
    );
    world.object.metadata.annotations = Some([annotation].into());
    assert!(world.pass().1.due.is_some(), "a person asks for it");
    assert_eq!(world.pass().1.due, None);
}

#[test]
fn of_another_url_nothing_is_known() {
    let mut world = World::of_secret();
    world.pass();
    world.answers_well();
    world.pass();
    world.object.spec =
        with_spec("{engine: External, external: {urlSecretRef: {name: mine, key: other}}}").spec;
    world.object.metadata.generation = Some(2);
    let (status, ..) = world.pass();
    assert_ne!(is(&status, "Ready"), "True/DatabaseProvisioned");
    assert_eq!((status.version, status.server_version), (None, None));
}

#[test]
fn each_thing_that_stands_against_it_is_a_reason_with_a_remedy() {
    let cases = [
        ("DNSFailed", "DNSFailed", false),
        ("Refused", "Refused", false),
        ("TimedOut", "Timeout", false),
        ("NotReady", "NotReady", false),
        ("TooManyConnections", "TooManyConnections", false),
        ("QueryFailed", "ConnectionFailed", false),
        ("TLSFailed", "TLSFailed", true),
        ("TLSRequired", "TLSRequired", true),
        ("AuthenticationFailed", "AuthenticationFailed", true),
        ("DatabaseNotFound", "DatabaseNotFound", true),
        ("ReadOnly", "ReadOnly", true),
        ("PermissionDenied", "InsufficientRights", true),
        ("ExtensionNotPermitted", "InsufficientRights", true),
        ("ExtensionNotAvailable", "ExtensionsMissing", true),
        ("InvalidUrl", "InvalidValue", true),
    ];
    for (code, reason, lasting) in cases {
        let mut world = World::of_secret();
        world.pass();
        world.fails_with(code);
        let (status, _, again) = world.pass();
        let wanted = format!("False/{reason}");
        assert_eq!(is(&status, "Ready"), wanted);
        assert_eq!(is(&status, "Reachable"), wanted);
        let stalled = if lasting {
            format!("True/{reason}")
        } else {
            "absent".to_owned()
        };
        assert_eq!(is(&status, "Stalled"), stalled, "{code}");
        let message = &find(&status.conditions, "Ready").unwrap().message;
        assert!(message.starts_with("its words; "), "{message}");
        assert!(
            again.unwrap() <= Duration::from_secs(15),
            "a corrected Secret is seen soon"
        );
        assert!(needs_look(&world.object, world.now()));
        // The same is said while it is asked again.
        world.now += 120;
        assert_eq!(is(&world.pass().0, "Ready"), wanted);
    }
}

#[test]
fn pauses_grow_while_it_does_not_answer() {
    for (code, pauses) in [
        ("Refused", [10, 20, 40, 80]),
        ("AuthenticationFailed", [60, 120, 240, 480]),
    ] {
        let mut world = World::of_secret();
        world.pass();
        for pause in pauses {
            world.fails_with(code);
            let (status, check, _) = world.pass();
            assert_eq!(check.due, None);
            let next = status.check.unwrap().next_time.unwrap().0.as_second();
            assert_eq!(next - world.now, pause, "{code}");
            world.now = next;
            assert!(world.pass().1.due.is_some());
        }
    }
}

#[test]
fn a_database_behind_a_proxy_in_the_servers_pod_is_left_to_the_migration() {
    let mut world =
        World::new("{engine: External, external: {url: 'postgres://u:p@127.0.0.1:5432/x'}}");
    let (status, check, _) = world.pass();
    assert_eq!((check.due, check.status), (None, None));
    assert_eq!(is(&status, "Ready"), "Unknown/NotChecked");
    assert_eq!(is(&status, "Reconciling"), "absent");
    assert!(!needs_look(&world.object, world.now()));
}

#[test]
fn an_authority_that_only_the_servers_pod_may_know_is_left_to_the_migration() {
    let mut world = World::of_secret();
    world.pass();
    world.fails_with("UnknownAuthority");
    let (status, ..) = world.pass();
    assert_eq!(is(&status, "Ready"), "Unknown/NotChecked");
    assert_eq!(is(&status, "Stalled"), "absent");
}

#[test]
fn what_no_job_could_ask_is_not_known_and_what_was_seen_before_still_counts() {
    let mut world = World::of_secret();
    world.pass();
    let fails = |world: &mut World| {
        let (asked, _) = world.jobs.pop().unwrap();
        let of = asked
            .view
            .metadata
            .annotations
            .applied_hash
            .clone()
            .unwrap();
        world.jobs.push((
            job(&asked.key.name, &of, Some(("Failed", world.now - 60))),
            vec![],
        ));
    };
    fails(&mut world);
    assert_eq!(is(&world.pass().0, "Ready"), "Unknown/NotAsked");
    world.now += 3600;
    world.pass();
    world.answers_well();
    world.pass();
    world.now += 3600;
    world.pass();
    fails(&mut world);
    assert_eq!(is(&world.pass().0, "Ready"), "True/DatabaseProvisioned");
}

#[test]
fn the_job_holds_the_name_of_the_secret_and_nothing_of_the_url() {
    let mut world =
        World::new("{engine: External, external: {url: 'postgres://u:hunter2@db.example.com/x'}}");
    let due = world.pass().1.due;
    let desired = desired(&accepted(&world.object, &world.found), due.as_ref()).unwrap();
    let job = desired.check.unwrap();
    assert!(job.key.name.starts_with("shop-check-"));
    let container = &job.body["spec"]["template"]["spec"]["containers"][0];
    assert_eq!(container["image"], "operator:1");
    assert_eq!(
        container["env"][0]["valueFrom"]["secretKeyRef"],
        json!({"name": "shop-db-app", "key": "DATABASE_URL"})
    );
    assert!(!job.body.to_string().contains("hunter2"));
    let policy = desired.check_policy.unwrap();
    assert_eq!(&*policy.key.name, "shop-check");
    let status = serde_json::to_string(&world.object.status).unwrap();
    assert!(!status.contains("hunter2"));
}
