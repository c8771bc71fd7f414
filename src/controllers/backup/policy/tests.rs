//! Given this schedule, this moment and these backups: what is begun, and what is said.

use super::{plan, status, times};
use crate::controllers::backup::tests::{verdict, with_bucket, with_spec};
use crate::controllers::backup::validate::Verdict;
use crate::crd::PaperclipBackup;
use crate::crd::backup::PaperclipBackupStatus;
use crate::shared::conditions::find;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use k8s_openapi::jiff::Timestamp;
use serde_json::{Value, json};

fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

fn policy(more: &Value) -> PaperclipBackup {
    let mut spec = json!({"instanceRef": {"name": "shop"}, "schedule": "0 2 * * *"});
    for (name, value) in more.as_object().unwrap() {
        spec[name] = value.clone();
    }
    let mut object = with_spec(&spec);
    object.metadata.creation_timestamp = Some(Time(at("2026-11-20T12:00:00Z")));
    object
}

fn after(mut object: PaperclipBackup, last: &str) -> PaperclipBackup {
    object.status = Some(PaperclipBackupStatus {
        last_schedule_time: Some(Time(at(last))),
        ..PaperclipBackupStatus::default()
    });
    object
}

fn plan_of(object: &PaperclipBackup, now: &str, running: bool) -> plan::Plan {
    let times = times(object).unwrap();
    plan::of(&plan::Input {
        times: &times,
        object,
        now: at(now),
        running,
    })
}

#[test]
fn a_backup_begins_when_its_time_has_come_and_once() {
    let object = policy(&json!({}));
    let early = plan_of(&object, "2026-11-20T13:00:00Z", false);
    assert_eq!((early.start, early.handled), (None, None));
    assert_eq!(early.next, Some(at("2026-11-21T02:00:00Z")));
    let due = plan_of(&object, "2026-11-21T02:00:01Z", false);
    assert_eq!(due.start, Some(at("2026-11-21T02:00:00Z")));
    assert_eq!(due.missed, 0);
    let done = after(object, "2026-11-21T02:00:00Z");
    assert_eq!(plan_of(&done, "2026-11-21T02:00:02Z", false).start, None);
}

#[test]
fn what_was_missed_is_caught_up_once_and_counted() {
    let object = after(policy(&json!({})), "2026-11-18T02:00:00Z");
    let soon = plan_of(&object, "2026-11-21T02:30:00Z", false);
    assert_eq!(soon.start, Some(at("2026-11-21T02:00:00Z")));
    assert_eq!(soon.missed, 2);
    let late = plan_of(&object, "2026-11-21T05:00:00Z", false);
    assert_eq!((late.start, late.missed), (None, 3));
    assert_eq!(late.handled, Some(at("2026-11-21T02:00:00Z")));
    let patient = after(
        policy(&json!({"startingDeadline": "6h"})),
        "2026-11-18T02:00:00Z",
    );
    assert!(
        plan_of(&patient, "2026-11-21T05:00:00Z", false)
            .start
            .is_some()
    );
}

#[test]
fn two_never_run_at_once() {
    let object = after(policy(&json!({})), "2026-11-20T02:00:00Z");
    let busy = plan_of(&object, "2026-11-21T02:00:01Z", true);
    assert_eq!((busy.start, busy.handled, busy.missed), (None, None, 0));
    let still = plan_of(&object, "2026-11-21T04:00:00Z", true);
    assert_eq!(
        (still.handled, still.missed),
        (Some(at("2026-11-21T02:00:00Z")), 1)
    );
}

#[test]
fn suspended_times_are_not_missed() {
    let object = after(policy(&json!({"suspend": true})), "2026-11-18T02:00:00Z");
    let plan = plan_of(&object, "2026-11-21T02:00:01Z", false);
    assert_eq!((plan.start, plan.missed, plan.next), (None, 0, None));
    assert_eq!(plan.handled, Some(at("2026-11-21T02:00:00Z")));
}

#[test]
fn immediate_means_once_when_the_policy_is_first_seen() {
    let object = policy(&json!({"immediate": true}));
    let first = plan_of(&object, "2026-11-20T12:00:01.5Z", false);
    assert_eq!(first.start, Some(at("2026-11-20T12:00:01Z")));
    let done = after(object, "2026-11-20T12:00:01Z");
    assert_eq!(plan_of(&done, "2026-11-20T12:00:05Z", false).start, None);
}

#[test]
fn jitter_delays_within_its_bounds_and_always_by_the_same() {
    let object = after(policy(&json!({"jitter": "10m"})), "2026-11-20T02:00:00Z");
    let begins = |minute: u32, second: u32| {
        let now = format!("2026-11-21T02:{minute:02}:{second:02}Z");
        plan_of(&object, &now, false).start.is_some()
    };
    let first = (0..=600).find(|s| begins(s / 60, s % 60)).unwrap();
    assert!((first..=600).all(|s| begins(s / 60, s % 60)));
}

#[test]
fn a_backup_of_a_time_is_named_for_it_and_is_no_policy() {
    let object = policy(&json!({"timeZone": "Europe/Berlin", "include": ["Database"]}));
    let child = super::child::build(&object, at("2026-11-21T02:00:00Z"), false);
    let name = child.metadata.name.as_deref().unwrap();
    assert_eq!(name, "before-upgrade-x7k2p-20261121t020000z");
    assert_eq!(child.spec.schedule, None);
    assert_eq!(child.spec.time_zone, None);
    assert_eq!(child.spec.include, object.spec.include);
    assert_eq!(child.spec.reason.unwrap().as_str(), "Scheduled");
    assert_eq!(child.metadata.owner_references.unwrap()[0].uid, "u-1");
}

fn status_of(object: &PaperclipBackup, children: &[&PaperclipBackup]) -> PaperclipBackupStatus {
    let mut one = object.clone();
    one.spec.schedule = None;
    let verdict: Verdict = verdict(&one, &with_bucket());
    let times = times(object);
    status::of(&status::Observed {
        rules: None,
        proofs: None,
        object,
        times: times.as_ref().map(|_| ()).map_err(String::as_str),
        verdict: &verdict,
        plan: None,
        children,
        now: &Time(at("2026-11-22T10:00:00Z")),
    })
}

fn child(name: &str, phase: &str, ended: &str) -> PaperclipBackup {
    let mut child = with_spec(&json!({"instanceRef": {"name": "shop"}}));
    child.metadata.name = Some(name.to_owned());
    let status = json!({"phase": phase, "completionTime": ended, "artifact": {"bytes": 10}});
    child.status = serde_json::from_value(status).unwrap();
    child
}

fn ready(status: &PaperclipBackupStatus) -> String {
    let found = find(&status.conditions, "Ready").unwrap();
    format!("{}/{}", found.status, found.reason)
}

#[test]
fn a_policy_is_as_good_as_its_last_backup() {
    let object = policy(&json!({}));
    assert_eq!(ready(&status_of(&object, &[])), "True/Scheduled");
    let good = child("a", "Complete", "2026-11-20T02:00:09Z");
    let bad = child("b", "Failed", "2026-11-21T02:00:09Z");
    let newer = child("c", "Complete", "2026-11-22T02:00:09Z");
    let failed = status_of(&object, &[&good, &bad]);
    assert_eq!(ready(&failed), "False/LastRunFailed");
    let name = |named: &Option<crate::crd::shared::NamedTime>| {
        named.as_ref().and_then(|n| n.name.clone()).unwrap()
    };
    assert_eq!(name(&failed.last_successful), "a");
    assert_eq!(name(&failed.last_failed), "b");
    let healed = status_of(&object, &[&newer, &good, &bad]);
    assert_eq!(ready(&healed), "True/Scheduled");
    let points = healed.recovery_points.unwrap();
    assert_eq!((points.count, points.total_bytes), (Some(2), Some(20)));
}

#[test]
fn a_schedule_that_cannot_be_used_says_why_and_begins_nothing() {
    for (more, words) in [
        (json!({"schedule": "0 0 2 * * *"}), "has 6 fields"),
        (json!({"timeZone": "Mars/X"}), "is not an IANA zone"),
        (json!({"schedule": "0 0 31 2 *"}), "never happens"),
    ] {
        let status = status_of(&policy(&more), &[]);
        assert_eq!(ready(&status), "False/InvalidSchedule");
        let text = &find(&status.conditions, "Stalled").unwrap().message;
        assert!(text.contains(words), "{text}");
    }
    let less = policy(&json!({"verification": {"level": "Boot"}}));
    let status = status_of(&less, &[]);
    let accepted = find(&status.conditions, "Accepted").unwrap();
    assert_eq!(accepted.reason, "NotImplemented");
    assert_eq!(ready(&status), "True/Scheduled");
}
