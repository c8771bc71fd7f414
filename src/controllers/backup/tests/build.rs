//! What a backup becomes.

use super::{accepted, ad_hoc, found, refused, verdict, with_bucket, with_spec};
use crate::controllers::backup::build::work as desired;
use crate::controllers::backup::dereference::Found;
use crate::controllers::backup::validate::{Verdict, secrets};
use crate::shared::agent::job_name;
use serde_json::{Value, json};

fn job(found: &Found, spec: &Value) -> Value {
    desired(&accepted(&with_spec(spec), found))
        .unwrap()
        .job
        .body
}

fn shop() -> Value {
    json!({"instanceRef": {"name": "shop"}})
}

fn variable<'a>(job: &'a Value, name: &str) -> &'a Value {
    let list = &job["spec"]["template"]["spec"]["containers"][0]["env"];
    let found = list.as_array().unwrap().iter().find(|v| v["name"] == name);
    found.unwrap_or(&Value::Null)
}

#[test]
fn an_instance_alone_is_enough() {
    let job = job(&with_bucket(), &shop());
    let pod = &job["spec"]["template"]["spec"];
    assert_eq!(pod["containers"][0]["image"], "postgres:16-alpine");
    assert_eq!(
        pod["containers"][0]["command"],
        json!(["/paperclip-agent/paperclip-agent", "backup"])
    );
    assert_eq!(pod["initContainers"][0]["image"], "operator:1");
    let text = |name: &str| variable(&job, name)["value"].as_str().unwrap().to_owned();
    assert_eq!(text("PAPERCLIP_AGENT_S3_BUCKET"), "safe");
    assert_eq!(text("PAPERCLIP_AGENT_S3_PREFIX"), "copies/shop");
    assert_eq!(text("PAPERCLIP_AGENT_S3_FORCE_PATH_STYLE"), "true");
    assert_eq!(
        variable(&job, "DATABASE_URL")["valueFrom"]["secretKeyRef"],
        json!({"name": "shop-db-app", "key": "DATABASE_URL"})
    );
    let about: Value = serde_json::from_str(&text("PAPERCLIP_AGENT_ABOUT")).unwrap();
    assert_eq!(about["instance"]["uid"], "i-1");
    assert_eq!(about["appVersion"], "2026.916.1");
}

#[test]
fn the_pod_is_admitted_by_pod_security_restricted_and_by_the_database() {
    let job = job(&with_bucket(), &shop());
    let template = &job["spec"]["template"];
    let labels = &template["metadata"]["labels"];
    assert_eq!(labels["app.kubernetes.io/component"], "backup");
    assert_eq!(labels["app.kubernetes.io/instance"], "shop");
    let pod = &template["spec"];
    assert_eq!(pod["securityContext"]["runAsNonRoot"], true);
    assert_eq!(pod["automountServiceAccountToken"], false);
    for container in [&pod["containers"][0], &pod["initContainers"][0]] {
        let security = &container["securityContext"];
        assert_eq!(security["allowPrivilegeEscalation"], false);
        assert_eq!(security["capabilities"]["drop"], json!(["ALL"]));
        assert_eq!(security["readOnlyRootFilesystem"], true);
    }
}

#[test]
fn the_destination_is_that_of_the_object_then_of_backup_then_of_uploads() {
    let uploads = json!({"provider": "r2", "bucket": "uploads", "endpoint": "https://r2.example", "credentialsSecretRef": {"name": "up"}});
    let of = |found: &Found, spec: &Value| accepted(&with_spec(spec), found).destination;

    let fallback = of(&found(&json!({"objectStorage": uploads})), &shop());
    assert_eq!(fallback.bucket, "uploads");
    assert_eq!(fallback.prefix, "backups/shop");
    assert_eq!(fallback.region.as_deref(), Some("auto"));
    assert_eq!(fallback.credentials.as_deref(), Some("up"));

    let both = found(&json!({"objectStorage": uploads, "backup": {"s3": {"bucket": "safe"}}}));
    let own = of(&both, &shop());
    assert_eq!(own.bucket, "safe");
    assert_eq!(own.prefix, "backups/shop");
    assert!(!own.path_style);
    assert_eq!(own.credentials.as_deref(), Some("up"));

    let spec = json!({"instanceRef": {"name": "shop"}, "storage": {"s3": {"bucket": "mine", "prefix": "/a/"}}});
    let mine = of(&both, &spec);
    assert_eq!((mine.bucket.as_str(), mine.prefix.as_str()), ("mine", "a"));
    assert_eq!(mine.credentials, None);
}

#[test]
fn keys_are_files_and_no_secret_stands_in_the_job() {
    let with_url = found(&json!({
        "backup": {"s3": {"bucket": "safe", "credentialsSecretRef": {"name": "s3"}, "caSecretRef": {"name": "ca", "key": "root.pem"}}},
        "database": {"mode": "external", "externalURL": "postgres://u:hunter2@db/x"},
    }));
    assert_eq!(secrets(&ad_hoc(), &with_url), ["ca", "s3"]);
    let job = job(&with_url, &shop());
    assert!(!job.to_string().contains("hunter2"));
    let volumes = &job["spec"]["template"]["spec"]["volumes"];
    let mounted = volumes.as_array().unwrap().iter();
    let names: Vec<_> = mounted
        .filter_map(|v| v["secret"]["secretName"].as_str())
        .collect();
    assert_eq!(names, ["s3", "ca"]);
    assert_eq!(
        variable(&job, "PAPERCLIP_AGENT_S3_CA_FILE")["value"],
        "/etc/paperclip/s3-ca/ca.crt"
    );
}

#[test]
fn the_instance_is_kept_beside_the_dump_as_it_would_be_applied_again() {
    let with = job(&with_bucket(), &shop());
    let text = variable(&with, "PAPERCLIP_AGENT_SPEC")["value"].as_str();
    let kept: Value = serde_json::from_str(text.unwrap()).unwrap();
    assert_eq!(kept["kind"], "Instance");
    assert_eq!(kept["metadata"]["annotations"], json!({"team": "a"}));
    assert_eq!(kept["spec"]["backup"]["s3"]["bucket"], "safe");
    assert!(kept.get("status").is_none());
    let spec = json!({"instanceRef": {"name": "shop"}, "include": ["Database"]});
    let without = job(&with_bucket(), &spec);
    assert_eq!(variable(&without, "PAPERCLIP_AGENT_SPEC"), &Value::Null);
}

#[test]
fn what_is_not_built_is_refused_rather_than_left_out_in_silence() {
    for include in [json!(["Database", "Objects"]), json!(["Files"])] {
        let spec = json!({"instanceRef": {"name": "shop"}, "include": include});
        let (reason, text) = refused(&with_spec(&spec), &with_bucket());
        assert_eq!(reason, "NotImplemented");
        assert!(text.starts_with("spec.include: "), "{text}");
    }
    let drill = json!({"instanceRef": {"name": "shop"}, "verification": {"level": "Boot"}, "deletionPolicy": "Delete"});
    assert_eq!(accepted(&with_spec(&drill), &with_bucket()).notes.len(), 1);
    for level in ["Checksum", "Restore"] {
        let proof = json!({"instanceRef": {"name": "shop"}, "verification": {"level": level}});
        let notes = accepted(&with_spec(&proof), &with_bucket()).notes;
        assert!(notes.is_empty(), "{notes:?}");
    }
}

#[test]
fn what_cannot_be_done_says_why() {
    let (reason, _) = refused(&ad_hoc(), &found(&json!({})));
    assert_eq!(reason, "NoDestination");
    let (reason, text) = refused(&ad_hoc(), &Found::default());
    assert_eq!(reason, "InstanceNotFound");
    assert!(text.contains("\"shop\""), "{text}");
    let embedded =
        found(&json!({"database": {"mode": "embedded"}, "backup": {"s3": {"bucket": "safe"}}}));
    assert_eq!(refused(&ad_hoc(), &embedded).0, "EmbeddedRunning");
    let both = json!({"instanceRef": {"name": "shop"}, "databaseRef": {"name": "shop"}});
    assert_eq!(refused(&with_spec(&both), &with_bucket()).0, "InvalidSpec");
    let mut missing = with_bucket();
    missing.secrets.insert("s3".into(), None);
    let (reason, text) = refused(&ad_hoc(), &missing);
    assert_eq!(reason, "SecretNotFound");
    assert!(text.contains("\"s3\""), "{text}");
    let key = json!({"instanceRef": {"name": "shop"}, "encryption": {"recipients": ["AGE-SECRET-KEY-1HUNTER2"]}});
    let (reason, text) = refused(&with_spec(&key), &with_bucket());
    assert_eq!(reason, "InvalidSpec");
    assert!(!text.contains("HUNTER2"), "{text}");
    let outside = json!({"instanceRef": {"name": "shop"}, "storage": {"s3": {"bucket": "b", "prefix": "a/../../c"}}});
    assert_eq!(
        refused(&with_spec(&outside), &with_bucket()).0,
        "InvalidSpec"
    );
}

#[test]
fn a_database_that_has_not_told_its_url_is_waited_for() {
    let mut early = with_bucket();
    early.database = None;
    let verdict = verdict(&ad_hoc(), &early);
    assert!(
        matches!(verdict, Verdict::Waiting("WaitingForChild", _)),
        "{verdict:?}"
    );
}

#[test]
fn connections_lead_to_names_the_database_and_the_bucket_only() {
    let policy = |found: &Found| desired(&accepted(&ad_hoc(), found)).unwrap().policy;
    let body = policy(&with_bucket()).unwrap().body;
    assert_eq!(body["metadata"]["name"], "before-upgrade-x7k2p");
    assert_eq!(body["spec"]["policyTypes"], json!(["Ingress", "Egress"]));
    assert!(body["spec"].get("ingress").is_none());
    let egress = body["spec"]["egress"].as_array().unwrap();
    assert_eq!(egress.len(), 4);
    let database = &egress[1]["to"][0]["podSelector"]["matchLabels"];
    assert_eq!(database["app.kubernetes.io/component"], "database");
    assert_eq!(egress[3]["to"][0]["ipBlock"]["cidr"], "10.0.0.9/32");
    assert_eq!(egress[3]["ports"][0]["port"], 9000);
    let off = found(
        &json!({"backup": {"s3": {"bucket": "safe"}}, "security": {"networkPolicy": {"enabled": false}}}),
    );
    assert!(policy(&off).is_none());
}

#[test]
fn a_job_is_named_for_its_object_and_short_enough_for_a_label() {
    let long = "a".repeat(253);
    assert_eq!(job_name(&long, "u").len(), 52);
    assert_ne!(job_name("a", "u-1"), job_name("a", "u-2"));
    assert!(job_name("shop", "u").starts_with("shop-"));
}
