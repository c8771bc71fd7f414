//! The server's files and the keys of the installation in a backup.

use super::{accepted, ad_hoc, found, refused, verdict, with_spec};
use crate::controllers::backup::build::work;
use crate::controllers::backup::dereference::Found;
use crate::controllers::backup::validate::{Verdict, secrets};
use crate::crd::PaperclipBackup;
use serde_json::{Value, json};

fn pod(backup: &PaperclipBackup, found: &Found) -> Value {
    let job = work(&accepted(backup, found)).unwrap().job.body;
    job["spec"]["template"]["spec"].clone()
}

fn volume<'a>(pod: &'a Value, name: &str) -> &'a Value {
    let all = pod["volumes"].as_array().unwrap();
    all.iter()
        .find(|v| v["name"] == name)
        .unwrap_or(&Value::Null)
}

fn mounted<'a>(pod: &'a Value, name: &str) -> &'a Value {
    let all = pod["containers"][0]["volumeMounts"].as_array().unwrap();
    all.iter()
        .find(|v| v["name"] == name)
        .unwrap_or(&Value::Null)
}

fn variable(pod: &Value, name: &str) -> Option<String> {
    let all = pod["containers"][0]["env"].as_array()?;
    let found = all.iter().find(|v| v["name"] == name)?;
    found["value"].as_str().map(str::to_owned)
}

/// An Instance with a bucket and these sections.
#[allow(clippy::needless_pass_by_value)] // `json!` makes values.
fn instance(more: Value) -> Found {
    let mut spec = json!({"backup": {"s3": {"bucket": "safe"}}});
    for (name, section) in more.as_object().unwrap() {
        match (name.as_str(), section) {
            ("backup", Value::Object(fields)) => spec["backup"]
                .as_object_mut()
                .unwrap()
                .extend(fields.clone()),
            _ => spec[name] = section.clone(),
        }
    }
    found(&spec)
}

fn key() -> String {
    format!("age1{}", "q".repeat(58))
}

#[test]
fn files_on_a_volume_are_in_the_backup_unless_somebody_says_otherwise() {
    let pod = pod(&ad_hoc(), &instance(json!({})));
    assert_eq!(
        volume(&pod, "files")["persistentVolumeClaim"]["claimName"],
        "shop-data"
    );
    assert_eq!(mounted(&pod, "files")["mountPath"], "/paperclip");
    assert_eq!(mounted(&pod, "files")["readOnly"], true);
    assert_eq!(
        variable(&pod, "PAPERCLIP_AGENT_FILES_DIR").unwrap(),
        "/paperclip"
    );
    // As the server, so that it may read all of them.
    assert_eq!(pod["securityContext"]["runAsUser"], 1000);
    assert_eq!(pod["securityContext"]["fsGroup"], 1000);
    assert_eq!(
        pod["securityContext"]["fsGroupChangePolicy"],
        "OnRootMismatch"
    );

    // One whose image decides is taken for the application's own, and root stays root.
    let user = |security: Value| {
        let found = instance(json!({"security": {"podSecurityContext": security}}));
        let pod = self::pod(&ad_hoc(), &found);
        let non_root = &pod["containers"][0]["securityContext"]["runAsNonRoot"];
        (
            pod["securityContext"]["runAsUser"].clone(),
            non_root.clone(),
        )
    };
    assert_eq!(
        user(json!({"runAsNonRoot": false})),
        (json!(1000), json!(true))
    );
    assert_eq!(
        user(json!({"runAsNonRoot": false, "runAsUser": 0})),
        (json!(0), json!(false))
    );

    let without = |pod: &Value| {
        assert_eq!(volume(pod, "files"), &Value::Null);
        assert_eq!(variable(pod, "PAPERCLIP_AGENT_FILES_DIR"), None);
        assert_eq!(pod["securityContext"]["runAsUser"], 65532);
    };
    let off = instance(json!({"storage": {"persistence": {"enabled": false}}}));
    without(&self::pod(&ad_hoc(), &off));
    let spec = json!({"instanceRef": {"name": "shop"}, "include": ["Database"]});
    without(&self::pod(&with_spec(&spec), &instance(json!({}))));
    let less = instance(json!({"backup": {"include": ["Database", "Spec"]}}));
    without(&self::pod(&ad_hoc(), &less));
    let spec = json!({"instanceRef": {"name": "shop"}, "include": ["Database", "Files"]});
    assert_eq!(refused(&with_spec(&spec), &off).0, "InvalidSpec");
}

#[test]
fn the_pod_runs_on_the_node_where_a_server_has_the_volume() {
    let term = |pod: &Value| {
        let all = &pod["affinity"]["podAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"];
        all[0]["labelSelector"]["matchLabels"]["app.kubernetes.io/component"].clone()
    };
    let mut found = instance(json!({"availability": {"nodeSelector": {"disk": "fast"}}}));
    assert_eq!(term(&pod(&ad_hoc(), &found)), Value::Null);
    found.server_runs = true;
    let running = pod(&ad_hoc(), &found);
    assert_eq!(term(&running), "server");
    assert_eq!(running["nodeSelector"], json!({"disk": "fast"}));
    let modes = |mode: &str| instance(json!({"storage": {"persistence": {"accessModes": [mode]}}}));
    let mut shared = modes("ReadWriteMany");
    shared.server_runs = true;
    assert_eq!(term(&pod(&ad_hoc(), &shared)), Value::Null);
    let mut alone = modes("ReadWriteOncePod");
    assert!(volume(&pod(&ad_hoc(), &alone), "files").is_object());
    alone.server_runs = true;
    let (reason, text) = refused(&ad_hoc(), &alone);
    assert_eq!(reason, "FilesInUse");
    assert!(text.contains("\"shop-data\""), "{text}");
}

#[test]
fn a_volume_that_is_not_there_yet_is_waited_for_and_one_of_the_user_is_taken() {
    let mut early = instance(json!({}));
    early.claim = false;
    let verdict = verdict(&ad_hoc(), &early);
    assert!(
        matches!(verdict, Verdict::Waiting("WaitingForChild", _)),
        "{verdict:?}"
    );
    let mut existing = instance(json!({"storage": {"persistence": {"existingClaim": "mine"}}}));
    existing.claim = false;
    let pod = pod(&ad_hoc(), &existing);
    assert_eq!(
        volume(&pod, "files")["persistentVolumeClaim"]["claimName"],
        "mine"
    );
}

#[test]
fn keys_are_mounted_where_they_are_asked_for_and_the_operator_reads_none() {
    let encryption = json!({"recipients": [key()]});
    let all = json!({"instanceRef": {"name": "shop"}, "include": ["Database", "Secrets"], "encryption": encryption});
    let mut found =
        instance(json!({"secrets": {"masterKeySecretRef": {"name": "mine", "key": "k"}}}));
    let wanted = ["mine", "shop-admin", "shop-app-keys", "shop-auth"];
    assert_eq!(secrets(&with_spec(&all), &found), wanted);
    assert_eq!(secrets(&ad_hoc(), &found), [""; 0]);
    let pod = pod(&with_spec(&all), &found);
    let sources = volume(&pod, "app-keys")["projected"]["sources"].clone();
    assert_eq!(
        sources[0]["secret"],
        json!({"name": "mine", "items": [{"key": "k", "path": "master/k"}]})
    );
    assert_eq!(mounted(&pod, "app-keys")["readOnly"], true);
    let told: Value =
        serde_json::from_str(&variable(&pod, "PAPERCLIP_AGENT_KEYS").unwrap()).unwrap();
    assert_eq!(told[0]["role"], "master");
    assert_eq!(told[0]["metadata"]["name"], "mine");

    // The first admin's may be gone, the others may not.
    found.secrets = [("shop-admin".to_owned(), None)].into();
    let fewer = self::pod(&with_spec(&all), &found);
    assert_eq!(
        volume(&fewer, "app-keys")["projected"]["sources"]
            .as_array()
            .unwrap()
            .len(),
        3
    );
    found.secrets = [("mine".to_owned(), None)].into();
    assert_eq!(refused(&with_spec(&all), &found).0, "SecretNotFound");
}

#[test]
fn a_backup_is_encrypted_as_the_instances_backups_are() {
    let of_instance = instance(json!({"backup": {
        "include": ["Database", "Secrets"],
        "encryption": {"recipients": [key()], "identitySecretRef": {"name": "age", "key": "identity"}},
    }}));
    let backup = accepted(&ad_hoc(), &of_instance);
    assert_eq!(backup.recipients, [key()]);
    assert_eq!(backup.identity.as_ref().unwrap().name, "age");
    assert_eq!(backup.keys.len(), 4);
    let own =
        json!({"instanceRef": {"name": "shop"}, "encryption": {"recipients": [key(), key()]}});
    assert_eq!(accepted(&with_spec(&own), &of_instance).recipients.len(), 2);
    let open = instance(json!({"backup": {"include": ["Database", "Secrets"]}}));
    let (reason, text) = refused(&ad_hoc(), &open);
    assert_eq!(reason, "InvalidSpec");
    assert!(text.contains("needs encryption"), "{text}");
}
