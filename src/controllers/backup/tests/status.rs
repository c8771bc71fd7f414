//! What a backup says of itself.

use super::{accepted, ad_hoc, job, object, verdict, with_bucket};
use crate::controllers::backup::apply::Applied;
use crate::controllers::backup::dereference::Found;
use crate::controllers::backup::status::{self, Observed};
use crate::crd::PaperclipBackup;
use crate::crd::backup::PaperclipBackupStatus;
use crate::shared::cache::Seen;
use crate::shared::conditions::find;
use crate::shared::views::Pod;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use serde_json::{Value, json};
use std::sync::Arc;

const NOW: &str = "2026-11-22T10:00:00Z";
const LONG_AGO: &str = "2026-11-22T09:00:00Z";

fn pod(result: &Value) -> Vec<Arc<Seen<Pod>>> {
    vec![object(json!({
        "metadata": {"name": "j-abcde", "namespace": "prod"},
        "status": {"phase": "Failed", "containerStatuses": [{"name": "agent", "state": {"terminated": {"message": result.to_string()}}}]},
    }))]
}

fn done() -> Value {
    json!({"v": 1, "task": "backup", "outcome": "done", "finishedAt": "2026-11-22T09:59:59.000Z", "facts": {
        "location": "s3://safe/copies/shop/2026-11-22T09:59:50Z/", "bytes": 1234, "sha256": "a".repeat(64),
        "databaseBytes": 99, "serverVersion": "16.4", "migrations": 278}})
}

fn failed(code: &str, step: &str) -> Value {
    json!({"v": 1, "task": "backup", "outcome": "failed", "code": code, "step": step, "message": "why",
        "finishedAt": "2026-11-22T09:59:59.000Z", "facts": {}})
}

fn of(
    backup: &PaperclipBackup,
    found: &Found,
    applied: &Applied,
    pods: &[Arc<Seen<Pod>>],
) -> PaperclipBackupStatus {
    let seen = Observed {
        object: backup,
        verdict: &verdict(backup, found),
        applied,
        pods,
        now: &Time(NOW.parse().unwrap()),
    };
    status::of(&seen).0
}

fn condition(status: &PaperclipBackupStatus, kind: &str) -> String {
    find(&status.conditions, kind)
        .map_or_else(String::new, |c| format!("{}/{}", c.status, c.reason))
}

fn phase(status: &PaperclipBackupStatus) -> &str {
    status.phase.as_ref().unwrap().as_str()
}

fn complete(at: &str) -> Applied {
    job(&json!([{"type": "Complete", "status": "True", "lastTransitionTime": at}]))
}

fn broken(reason: &str, at: &str) -> Applied {
    job(
        &json!([{"type": "Failed", "status": "True", "reason": reason, "message": "m", "lastTransitionTime": at}]),
    )
}

#[test]
fn a_backup_is_complete_by_the_agents_word() {
    let status = of(&ad_hoc(), &with_bucket(), &complete(NOW), &pod(&done()));
    assert_eq!(phase(&status), "Complete");
    assert_eq!(condition(&status, "Complete"), "True/Complete");
    assert_eq!(condition(&status, "Ready"), "True/Complete");
    assert_eq!(condition(&status, "BackupDurable"), "True/ReadBack");
    assert_eq!(condition(&status, "StorageReachable"), "True/Reachable");
    assert_eq!(condition(&status, "Reconciling"), "");
    let artifact = status.artifact.unwrap();
    assert_eq!(artifact.bytes, Some(1234));
    assert_eq!(artifact.app_version.as_deref(), Some("2026.916.1"));
    assert_eq!(artifact.migrations, Some(278));
    let level = status.verified.unwrap().level.unwrap();
    assert_eq!(level.as_str(), "Checksum");
}

#[test]
fn a_job_that_ended_without_a_result_is_no_success() {
    for applied in [complete(LONG_AGO), broken("BackoffLimitExceeded", LONG_AGO)] {
        let status = of(&ad_hoc(), &with_bucket(), &applied, &[]);
        assert_eq!(phase(&status), "Failed");
        assert_eq!(condition(&status, "Failed"), "True/NoResult");
        assert_eq!(condition(&status, "BackupDurable"), "False/NotProven");
        assert!(status.artifact.is_none());
    }
    // A word that names no artefact is none either.
    let mut empty = done();
    empty["facts"] = json!({});
    let status = of(&ad_hoc(), &with_bucket(), &complete(LONG_AGO), &pod(&empty));
    assert_eq!(condition(&status, "Failed"), "True/NoResult");
}

#[test]
fn the_last_word_of_a_pod_may_come_a_moment_after_its_job() {
    let status = of(&ad_hoc(), &with_bucket(), &complete(NOW), &[]);
    assert_eq!(phase(&status), "Running");
}

#[test]
fn failures_have_the_reason_of_what_happened() {
    for (code, step, reason) in [
        ("DumpFailed", "dump", "DumpFailed"),
        ("DestinationUnreachable", "dump", "UploadFailed"),
        ("BucketNotFound", "storage", "UploadFailed"),
        ("ReadBackMismatch", "readback", "ReadBackMismatch"),
        ("AuthenticationFailed", "connect", "SourceUnavailable"),
        ("TLSFailed", "connect", "SourceUnavailable"),
        ("TLSFailed", "storage", "UploadFailed"),
        ("Terminated", "dump", "Cancelled"),
    ] {
        let applied = broken("BackoffLimitExceeded", NOW);
        let pods = pod(&failed(code, step));
        let status = of(&ad_hoc(), &with_bucket(), &applied, &pods);
        let expected = format!("True/{reason}");
        assert_eq!(condition(&status, "Failed"), expected, "{code}");
        assert_eq!(condition(&status, "Stalled"), expected);
        let failure = status.failure.unwrap();
        assert_eq!(failure.step.as_deref(), Some(step));
        assert!(failure.message.unwrap().contains(code));
    }
    let pods = pod(&failed("Terminated", "dump"));
    let late = broken("DeadlineExceeded", NOW);
    let status = of(&ad_hoc(), &with_bucket(), &late, &pods);
    assert_eq!(condition(&status, "Failed"), "True/DeadlineExceeded");
}

#[test]
fn the_storage_is_unreachable_only_if_it_was_asked() {
    let reached = |code: &str, step: &str| {
        let applied = broken("BackoffLimitExceeded", NOW);
        let pods = pod(&failed(code, step));
        let status = of(&ad_hoc(), &with_bucket(), &applied, &pods);
        condition(&status, "StorageReachable")
    };
    assert_eq!(reached("AccessDenied", "storage"), "False/AccessDenied");
    assert_eq!(reached("Refused", "connect"), "True/Reachable");
    assert_eq!(reached("InvalidUrl", "input"), "");
}

#[test]
fn an_end_is_final_whatever_becomes_of_its_job() {
    let mut backup = ad_hoc();
    backup.status = Some(of(&backup, &with_bucket(), &complete(NOW), &pod(&done())));
    backup.metadata.generation = Some(2);
    let after = of(&backup, &Found::default(), &Applied::default(), &[]);
    assert_eq!(phase(&after), "Complete");
    assert_eq!(after.observed_generation, Some(2));
    assert_eq!(after.artifact, backup.status.as_ref().unwrap().artifact);
    assert!(status::has_ended(&backup) && status::has_begun(&backup));
}

#[test]
fn a_job_that_vanished_is_told_and_not_made_again() {
    let mut backup = ad_hoc();
    backup.status = Some(of(&backup, &with_bucket(), &job(&json!([])), &[]));
    assert_eq!(phase(backup.status.as_ref().unwrap()), "Running");
    assert!(status::has_begun(&backup));
    let after = of(&backup, &with_bucket(), &Applied::default(), &[]);
    assert_eq!(condition(&after, "Failed"), "True/NoResult");
}

#[test]
fn a_pod_that_cannot_work_is_told_while_it_is_waited_for() {
    let pods = vec![object(json!({
        "metadata": {"name": "j-abcde", "namespace": "prod"},
        "status": {"phase": "Pending", "containerStatuses": [
            {"name": "agent", "state": {"waiting": {"reason": "ImagePullBackOff", "message": "no such image"}}}]},
    }))];
    let status = of(&ad_hoc(), &with_bucket(), &job(&json!([])), &pods);
    assert_eq!(phase(&status), "Running");
    let text = &find(&status.conditions, "Reconciling").unwrap().message;
    assert!(
        text.contains("ImagePullFailed") && text.contains("no such image"),
        "{text}"
    );
}

#[test]
fn what_is_refused_waits_for_a_person_and_heals() {
    let status = of(&ad_hoc(), &Found::default(), &Applied::default(), &[]);
    assert_eq!(phase(&status), "Pending");
    for (kind, expected) in [
        ("Accepted", "False/InstanceNotFound"),
        ("Ready", "False/InstanceNotFound"),
        ("Stalled", "True/InstanceNotFound"),
    ] {
        assert_eq!(condition(&status, kind), expected);
    }
    let mut backup = ad_hoc();
    backup.status = Some(status);
    let healed = of(&backup, &with_bucket(), &job(&json!([])), &[]);
    assert_eq!(condition(&healed, "Accepted"), "True/Accepted");
    assert_eq!(condition(&healed, "Stalled"), "");
    assert!(accepted(&backup, &with_bucket()).notes.is_empty());
}
