//! Given this restore, this Instance and what the cluster shows, what happens next and what is said.

use super::dereference::Found;
use super::result::cause;
use super::stage;
use super::status;
use super::validate::{Input, Verdict, secrets, validate};
use super::{build, phase};
use crate::crd::PaperclipRestore;
use crate::shared::cache::{Seen, View};
use crate::shared::options::Options;
use crate::shared::said::Said;
use clap::Parser;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use serde_json::{Value, json};
use std::sync::Arc;

#[derive(Parser)]
struct Cli {
    #[command(flatten)]
    options: Options,
}

fn options() -> Options {
    Cli::try_parse_from(["x", "--agent-image", "operator:1"])
        .unwrap()
        .options
}

const BUCKET: &str = r#"{"s3": {"bucket": "safe", "credentialsSecretRef": {"name": "s3"}}}"#;

fn restore(spec: &Value, status: &Value) -> PaperclipRestore {
    serde_json::from_value(json!({
        "apiVersion": "paperclip.inc/v1alpha1", "kind": "PaperclipRestore",
        "metadata": {"name": "back", "namespace": "prod", "uid": "r-1", "generation": 1},
        "spec": spec, "status": status,
    }))
    .unwrap()
}

/// From the newest backup in a bucket, confirmed.
fn newest(status: &Value) -> PaperclipRestore {
    let storage: Value = serde_json::from_str(BUCKET).unwrap();
    let from = json!({"storage": storage, "latest": true});
    restore(
        &json!({"instanceRef": {"name": "shop"}, "from": from, "confirm": "shop"}),
        status,
    )
}

fn object<V: View>(value: Value) -> Arc<Seen<V>> {
    Arc::new(Seen::read(value, &[]))
}

#[allow(clippy::needless_pass_by_value)] // `json!` makes values.
fn instance(spec: Value, status: Value) -> Value {
    json!({"apiVersion": "paperclip.inc/v1alpha1", "kind": "Instance",
        "metadata": {"name": "shop", "namespace": "prod", "uid": "i-1"}, "spec": spec, "status": status})
}

/// An Instance that has served, its database ready, its server gone, and the answer that it is being restored.
fn stopped() -> Found {
    let backup: Value = serde_json::from_str(BUCKET).unwrap();
    Found {
        spec: serde_json::from_value(json!({"backup": backup})).ok(),
        claim: true,
        instance: Some(object(instance(
            json!({"backup": backup}),
            json!({"firstReadyTime": "2026-01-01T00:00:00Z", "phase": "Restoring", "restore": {"name": "back"},
                "masterKey": {"secretName": "k", "fingerprint": "abcdefabcdef"}}),
        ))),
        database: Some(object(json!({
            "apiVersion": "paperclip.inc/v1alpha1", "kind": "PaperclipDatabase",
            "metadata": {"name": "shop", "namespace": "prod", "uid": "d-1"}, "spec": {},
            "status": {"connectionSecretRef": {"name": "shop-db-app", "key": "DATABASE_URL"},
                "conditions": [{"type": "Ready", "status": "True", "reason": "Ready", "message": "", "lastTransitionTime": "2026-01-01T00:00:00Z"}]},
        }))),
        ..Found::default()
    }
}

fn verdict(object: &PaperclipRestore, found: &Found) -> Verdict {
    validate(&Input {
        object,
        found,
        options: &options(),
    })
}

fn refused(object: &PaperclipRestore, found: &Found) -> (&'static str, String) {
    match verdict(object, found) {
        Verdict::Refused(reason, text) => (reason, text),
        other => panic!("{other:?}"),
    }
}

/// Name of the stage, and the phase that is stored for it.
fn goes(object: &PaperclipRestore, found: &Found) -> (String, String, String) {
    let verdict = verdict(object, found);
    let now = "2026-11-23T12:00:00Z".parse().unwrap();
    let stage = stage::of(object, found, &verdict, now);
    let (status, _) = status::of(object, &verdict, &stage, &Time(now));
    let name = format!("{stage:?}");
    let name = name.split(['(', ' ']).next().unwrap_or_default().to_owned();
    let ready = status.conditions.iter().find(|c| c.type_ == "Ready");
    (
        name,
        status.phase.unwrap().as_str().to_owned(),
        ready.map(|c| c.message.clone()).unwrap_or_default(),
    )
}

fn phase_is(phase: &str) -> Value {
    json!({"phase": phase, "startTime": "2026-11-23T11:00:00Z"})
}

#[test]
fn nothing_is_touched_before_the_phase_is_stored_and_the_instance_has_answered() {
    // Stored first, although the server is stopped already.
    let (stage, stored, _) = goes(&newest(&json!({})), &stopped());
    assert_eq!(
        (stage.as_str(), stored.as_str()),
        ("Quiescing", "Quiescing")
    );

    let begun = newest(&phase_is("Quiescing"));
    let mut found = stopped();
    found.instance = Some(object(instance(
        json!({"backup": serde_json::from_str::<Value>(BUCKET).unwrap()}),
        json!({"firstReadyTime": "2026-01-01T00:00:00Z", "phase": "Restoring", "restore": {"name": "another"}}),
    )));
    let (stage, _, words) = goes(&begun, &found);
    assert_eq!(stage, "Quiescing");
    assert!(words.contains("until the Instance says"), "{words}");

    let mut found = stopped();
    found.server_is_wanted = true;
    assert_eq!(goes(&begun, &found).0, "Quiescing");
    let mut found = stopped();
    found.server = vec![object(
        json!({"metadata": {"name": "shop-0", "namespace": "prod", "uid": "p"}}),
    )];
    let (stage, _, words) = goes(&begun, &found);
    assert_eq!(stage, "Quiescing");
    assert!(words.contains("pod \"shop-0\""), "{words}");
}

#[test]
fn what_is_there_is_saved_first_and_a_failure_of_that_replaces_nothing() {
    let begun = newest(&phase_is("Quiescing"));
    let mut found = stopped();
    let (stage, stored, _) = goes(&begun, &found);
    assert_eq!(
        (stage.as_str(), stored.as_str()),
        ("BeginSafetyBackup", "SafetyBackup")
    );

    let saving = newest(&phase_is("SafetyBackup"));
    let saved = |phase: &str| {
        Some(object(json!({
            "apiVersion": "paperclip.inc/v1alpha1", "kind": "PaperclipBackup",
            "metadata": {"name": "before-back-1", "namespace": "prod"}, "spec": {}, "status": {"phase": phase},
        })))
    };
    found.safety = saved("Running");
    assert_eq!(goes(&saving, &found).0, "SafetyBackup");
    found.safety = saved("Complete");
    let (stage, stored, _) = goes(&saving, &found);
    assert_eq!(
        (stage.as_str(), stored.as_str()),
        ("BeginRestore", "RestoringDatabase")
    );
    found.safety = Some(object(json!({
        "apiVersion": "paperclip.inc/v1alpha1", "kind": "PaperclipBackup", "metadata": {"name": "b", "namespace": "prod"}, "spec": {},
        "status": {"phase": "Pending", "conditions": [{"type": "Stalled", "status": "True", "reason": "SecretNotFound",
            "message": "", "lastTransitionTime": "2026-11-23T11:00:00Z"}]},
    })));
    assert_eq!(
        goes(&saving, &found).0,
        "Failed",
        "the server would stay away for ever"
    );
    found.safety = saved("Failed");
    let (stage, stored, words) = goes(&saving, &found);
    assert_eq!((stage.as_str(), stored.as_str()), ("Failed", "Failed"));
    assert!(words.contains("nothing was replaced"), "{words}");
}

#[test]
fn without_data_there_is_nothing_to_save_and_nothing_to_confirm() {
    let mut found = stopped();
    found.instance = Some(object(instance(
        json!({}),
        json!({"phase": "Restoring", "restore": {"name": "back"}}),
    )));
    let mut object = newest(&phase_is("Quiescing"));
    object.spec.confirm = None;
    assert_eq!(goes(&object, &found).0, "BeginRestore");
    // But if a volume was kept from an Instance that is gone.
    found.kept_data = true;
    assert_eq!(refused(&object, &found).0, "ConfirmationMissing");
}

#[test]
fn data_are_replaced_only_if_a_person_said_so_and_there_is_a_place_for_what_is_there() {
    let mut object = newest(&json!({}));
    object.spec.confirm = None;
    let (reason, text) = refused(&object, &stopped());
    assert_eq!(reason, "ConfirmationMissing");
    assert!(text.contains("set confirm: \"shop\""), "{text}");
    object.spec.confirm = Some("other".into());
    assert_eq!(refused(&object, &stopped()).0, "ConfirmationMissing");

    let mut found = stopped();
    found.instance = Some(self::object(instance(
        json!({}),
        json!({"firstReadyTime": "2026-01-01T00:00:00Z"}),
    )));
    let (reason, text) = refused(&newest(&json!({})), &found);
    assert_eq!(reason, "ConfirmationMissing");
    assert!(text.contains("safetyBackup: false"), "{text}");
    object = newest(&phase_is("Quiescing"));
    object.spec.safety_backup = Some(false);
    assert!(matches!(verdict(&object, &found), Verdict::Accepted(_)));
}

#[test]
fn it_waits_for_the_database_and_for_others() {
    let object = newest(&json!({}));
    let mut found = stopped();
    found.database = None;
    assert!(matches!(
        verdict(&object, &found),
        Verdict::Waiting("WaitingForDatabase", _)
    ));
    let mut found = stopped();
    found.others = vec!["PaperclipRestore \"x\"".into()];
    assert!(matches!(
        verdict(&object, &found),
        Verdict::Waiting("AnotherRestoreRuns", _)
    ));
    assert!(matches!(
        verdict(&object, &Found::default()),
        Verdict::Waiting("InstanceNotFound", _)
    ));
}

#[test]
fn what_is_not_built_is_refused() {
    for part in ["Objects", "Spec"] {
        let mut object = newest(&json!({}));
        object.spec.include = vec![serde_json::from_value(json!(part)).unwrap()];
        let (reason, text) = refused(&object, &stopped());
        assert_eq!(reason, "NotImplemented");
        assert!(text.contains(part), "{text}");
    }
    let mut files = newest(&json!({}));
    files.spec.include = vec![serde_json::from_value(json!("Files")).unwrap()];
    let (reason, text) = refused(&files, &stopped());
    assert_eq!(reason, "NotImplemented");
    assert!(text.contains("without Database"), "{text}");
    let mut found = stopped();
    found.instance = Some(object(instance(
        json!({"database": {"mode": "embedded"}}),
        json!({}),
    )));
    assert_eq!(refused(&newest(&json!({})), &found).0, "NotImplemented");
}

#[test]
fn a_backup_is_named_by_its_object_and_proven_by_its_checksum() {
    let object_of = |status: Value| {
        object(json!({
            "apiVersion": "paperclip.inc/v1alpha1", "kind": "PaperclipBackup",
            "metadata": {"name": "nightly-1", "namespace": "prod"},
            "spec": {"instanceRef": {"name": "shop"}, "encryption": {"recipients": ["age1x"], "identitySecretRef": {"name": "age", "key": "k"}}},
            "status": status,
        }))
    };
    let named = restore(
        &json!({"instanceRef": {"name": "shop"}, "from": {"backupRef": {"name": "nightly-1"}}, "confirm": "shop"}),
        &phase_is("Quiescing"),
    );
    let mut found = stopped();
    assert_eq!(refused(&named, &found).0, "NotFound");
    found.backup = Some(object_of(json!({"phase": "Running"})));
    found.backup_of.clone_from(&found.instance);
    assert!(matches!(
        verdict(&named, &found),
        Verdict::Waiting("Progressing", _)
    ));
    found.backup = Some(object_of(json!({"phase": "Failed"})));
    assert_eq!(refused(&named, &found).0, "NotFound");
    found.backup = Some(object_of(
        json!({"phase": "Complete", "artifact": {"location": "s3://safe/backups/shop/T/", "sha256": "f".repeat(64)}}),
    ));
    assert_eq!(secrets(&named, &found), ["age", "s3"]);
    let Verdict::Accepted(v) = verdict(&named, &found) else {
        panic!("not accepted");
    };
    let build::Desired::Restore(work) = build::restore(&v).unwrap() else {
        panic!("no Job");
    };
    assert!(work.policy.is_some());
    let job = work.job;
    let pod = &job.body["spec"]["template"]["spec"];
    let env = pod["containers"][0]["env"].as_array().unwrap();
    let value = |name: &str| {
        env.iter()
            .find(|e| e["name"] == name)
            .map(|e| e["value"].clone())
    };
    assert_eq!(
        value("PAPERCLIP_AGENT_RESTORE_FROM"),
        Some(json!("s3://safe/backups/shop/T/"))
    );
    assert_eq!(
        value("PAPERCLIP_AGENT_RESTORE_SHA256"),
        Some(json!("f".repeat(64)))
    );
    assert_eq!(
        value("PAPERCLIP_AGENT_MASTER_KEY_FINGERPRINT"),
        Some(json!("abcdefabcdef"))
    );
    assert_eq!(
        value("PAPERCLIP_AGENT_AGE_IDENTITY_FILE"),
        Some(json!("/etc/paperclip/age/identity"))
    );
    // Confirmed: anybody's backup will do.
    assert_eq!(value("PAPERCLIP_AGENT_RESTORE_OF"), None);
    assert_eq!(pod["containers"][0]["command"][1], "restore");
    assert_eq!(
        job.body["spec"]["template"]["metadata"]["labels"]["app.kubernetes.io/component"],
        "restore"
    );
}

#[test]
fn a_job_that_ends_without_the_agents_word_brought_nothing_back() {
    let at_work = newest(&phase_is("RestoringDatabase"));
    let ended = |kind: &str| {
        Some(object(json!({
            "metadata": {"name": "j", "namespace": "prod", "uid": "j-1"},
            "status": {"conditions": [{"type": kind, "status": "True", "reason": "x", "message": "y", "lastTransitionTime": "2026-11-23T11:00:00Z"}]},
        })))
    };
    let mut found = stopped();
    assert_eq!(goes(&at_work, &found).0, "Failed", "the Job is gone");
    found.job = ended("Complete");
    let (stage, _, words) = goes(&at_work, &found);
    assert_eq!(stage, "Failed");
    assert!(words.contains("did not say"), "{words}");

    let pod = |word: Value| {
        vec![object(json!({
            "metadata": {"name": "p", "namespace": "prod"},
            "status": {"containerStatuses": [{"name": "agent", "state": {"terminated": {"exitCode": 0, "message": word.to_string()}}}]},
        }))]
    };
    found.pods = pod(
        json!({"task": "restore", "outcome": "done", "facts": {"location": "s3://safe/x/", "time": "2026-11-22T02:17:05Z", "bytes": 5}}),
    );
    let (stage, stored, _) = goes(&at_work, &found);
    assert_eq!((stage.as_str(), stored.as_str()), ("Checking", "Checking"));

    found.job = ended("Failed");
    found.pods = pod(
        json!({"task": "restore", "outcome": "refused", "step": "storage", "code": "KeyMissing", "message": "encrypted with the master key of fingerprint x"}),
    );
    let (_, stored, words) = goes(&at_work, &found);
    assert_eq!(stored, "Failed");
    assert!(
        words.contains("masterKeySecretRef") && words.contains("the data are as they were"),
        "{words}"
    );
}

#[test]
fn what_a_failure_left_behind_is_told_only_where_it_is_known() {
    let words = |step: &str, outcome: &str| {
        let word = json!({"task": "restore", "outcome": outcome, "step": step, "code": "RestoreFailed", "message": "m"});
        let pod = object(json!({
            "metadata": {"name": "p", "namespace": "prod"},
            "status": {"containerStatuses": [{"name": "agent", "state": {"terminated": {"exitCode": 3, "message": word.to_string()}}}]},
        }));
        cause(&Said::last("restore", &[pod]).unwrap()).message
    };
    assert!(words("storage", "failed").ends_with("the data are as they were"));
    assert!(words("restore", "refused").ends_with("the data are as they were"));
    assert!(words("restore", "failed").ends_with("was not committed, or all of it was"));
    assert!(words("check", "refused").ends_with("the data were replaced"));
}

#[test]
fn it_is_complete_when_a_new_server_is_ready_and_not_before() {
    let checking = newest(
        &json!({"phase": "Checking", "conditions": [{"type": "Reconciling", "status": "True",
        "reason": "Checking", "message": "", "lastTransitionTime": "2026-11-23T11:50:00Z"}]}),
    );
    let with = |ready: &str, pods: bool| {
        let mut found = stopped();
        found.instance = Some(object(instance(
            json!({}),
            json!({"summary": "Provisioning: x", "conditions": [{"type": "Ready", "status": ready, "reason": "r",
                "message": "", "lastTransitionTime": "2026-11-23T11:59:00Z"}]}),
        )));
        if pods {
            found.server = vec![object(json!({
                "metadata": {"name": "shop-0", "namespace": "prod"},
                "status": {"conditions": [{"type": "Ready", "status": "True"}]},
            }))];
        }
        found
    };
    assert_eq!(goes(&checking, &with("False", false)).0, "Checking");
    // Ready is about the server of before.
    assert_eq!(goes(&checking, &with("True", false)).0, "Checking");
    let (stage, stored, _) = goes(&checking, &with("True", true));
    assert_eq!((stage.as_str(), stored.as_str()), ("Complete", "Complete"));

    let late = newest(
        &json!({"phase": "Checking", "safetyBackup": "before-back-1", "conditions": [{"type": "Reconciling",
        "status": "True", "reason": "Checking", "message": "", "lastTransitionTime": "2026-11-23T11:00:00Z"}]}),
    );
    let (_, stored, words) = goes(&late, &with("False", false));
    assert_eq!(stored, "Failed");
    assert!(
        words.contains("PaperclipBackup \"before-back-1\""),
        "{words}"
    );
}

#[test]
fn hands_off_means_that_nothing_begins() {
    let accepted = newest(&phase_is("SafetyBackup"));
    let found = stopped();
    let verdict = verdict(&accepted, &found);
    let now = "2026-11-23T12:00:00Z".parse().unwrap();
    let is = |stage: &stage::Stage<'_>| matches!(stage, stage::Stage::Waiting(..));
    let begins = stage::of(&accepted, &found, &verdict, now);
    assert!(is(&begins.begins_nothing(phase::of(&accepted))));
    let fresh = newest(&json!({}));
    let stops = stage::of(&fresh, &found, &verdict, now);
    assert!(is(&stops.begins_nothing(phase::of(&fresh))));
    // What has begun is followed to its end.
    let checking = newest(&phase_is("Checking"));
    let follows = stage::of(&checking, &found, &verdict, now);
    assert!(!is(&follows.begins_nothing(phase::of(&checking))));
}

#[test]
fn only_the_phases_between_the_beginning_and_the_check_stop_the_server() {
    let stops: Vec<&str> = [
        "Pending",
        "Quiescing",
        "SafetyBackup",
        "RestoringDatabase",
        "RestoringFiles",
        "Checking",
        "Complete",
        "Failed",
    ]
    .into_iter()
    .filter(|word| phase::stops_server(&newest(&phase_is(word))))
    .collect();
    assert_eq!(
        stops,
        [
            "Quiescing",
            "SafetyBackup",
            "RestoringDatabase",
            "RestoringFiles"
        ]
    );
}

/// The pod of the Job that this restore becomes.
fn pod(object: &PaperclipRestore, found: &Found) -> Value {
    let Verdict::Accepted(v) = verdict(object, found) else {
        panic!("{:?}", verdict(object, found));
    };
    match build::restore(&v).unwrap() {
        build::Desired::Restore(work) => work.job.body["spec"]["template"]["spec"].clone(),
        build::Desired::Safety(_) => panic!("no Job"),
    }
}

fn told(pod: &Value, name: &str) -> Option<String> {
    let all = pod["containers"][0]["env"].as_array()?;
    let found = all.iter().find(|v| v["name"] == name)?;
    found["value"].as_str().map(str::to_owned)
}

#[test]
fn files_are_brought_back_to_the_servers_volume_as_the_server() {
    let quiescing = newest(&phase_is("Quiescing"));
    let pod = pod(&quiescing, &stopped());
    let all = |path: &Value| path.as_array().unwrap().clone();
    let volume = all(&pod["volumes"])
        .into_iter()
        .find(|v| v["name"] == "files")
        .unwrap();
    assert_eq!(volume["persistentVolumeClaim"]["claimName"], "shop-data");
    let mounts = all(&pod["containers"][0]["volumeMounts"]);
    let mount = mounts.iter().find(|m| m["name"] == "files").unwrap();
    assert!(mount.get("readOnly").is_none(), "{mount}");
    assert_eq!(pod["securityContext"]["runAsUser"], 1000);
    assert!(pod.get("affinity").is_none(), "the server is stopped");

    let mut database_only = quiescing.clone();
    database_only.spec.include = vec![serde_json::from_value(json!("Database")).unwrap()];
    let without = self::pod(&database_only, &stopped());
    assert_eq!(told(&without, "PAPERCLIP_AGENT_FILES_DIR"), None);
    assert_eq!(
        told(&without, "PAPERCLIP_AGENT_RESTORE_INCLUDE").unwrap(),
        "Database"
    );

    let mut early = stopped();
    early.claim = false;
    assert!(matches!(
        verdict(&quiescing, &early),
        Verdict::Waiting("WaitingForVolume", _)
    ));
}

#[test]
fn keys_are_taken_by_an_instance_that_has_none_and_can_open_them() {
    let takes = |object: &PaperclipRestore, found: &Found| {
        told(&pod(object, found), "PAPERCLIP_AGENT_RESTORE_KEYS").is_some()
    };
    let mut with_identity = newest(&phase_is("Quiescing"));
    with_identity.spec.identity_secret_ref =
        serde_json::from_value(json!({"name": "age", "key": "identity"})).ok();
    assert!(
        !takes(&with_identity, &stopped()),
        "it has a key of its own"
    );
    let mut without_key = stopped();
    let status = json!({"phase": "Restoring", "restore": {"name": "back"}});
    let backup: Value = serde_json::from_str(BUCKET).unwrap();
    without_key.instance = Some(object(instance(json!({"backup": backup}), status)));
    assert!(takes(&with_identity, &without_key));
    assert!(
        !takes(&newest(&phase_is("Quiescing")), &without_key),
        "nothing opens them"
    );
    let mut database_only = with_identity.clone();
    database_only.spec.include = vec![serde_json::from_value(json!("Database")).unwrap()];
    assert!(!takes(&database_only, &without_key));
}

#[test]
fn keys_that_were_handed_over_are_taken_before_the_server_is_tried() {
    let restoring = newest(&phase_is("RestoringDatabase"));
    let ended = |facts: Value| {
        let mut found = stopped();
        found.job = Some(object(json!({
            "metadata": {"name": "j", "namespace": "prod", "uid": "j-1"},
            "status": {"conditions": [{"type": "Complete", "status": "True"}]},
        })));
        let message = json!({"v": 1, "task": "restore", "outcome": "done", "startedAt": "a", "finishedAt": "b", "steps": [], "facts": facts});
        found.pods = vec![object(json!({
            "metadata": {"name": "p", "namespace": "prod", "uid": "p-1"},
            "status": {"containerStatuses": [{"name": "agent", "state": {"terminated": {"exitCode": 0, "message": message.to_string()}}}]},
        }))];
        goes(&restoring, &found).0
    };
    assert_eq!(ended(json!({"location": "s3://safe/x/"})), "Checking");
    assert_eq!(
        ended(json!({"location": "s3://safe/x/", "keys": "YWJj"})),
        "TakeKeys"
    );
}
