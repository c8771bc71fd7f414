//! Which references are found, and what is said of those that do not hold.

use super::*;

fn spec(yaml: &str) -> InstanceSpec {
    serde_saphyr::from_str(yaml).unwrap()
}

fn found(secrets: &[(&str, Look<Data>)]) -> Found {
    Found {
        looked: true,
        secrets: secrets
            .iter()
            .map(|(n, l)| ((*n).to_owned(), l.clone()))
            .collect(),
        ..Found::default()
    }
}

fn reasons(yaml: &str, found: &Found) -> Vec<(&'static str, String)> {
    check(&of(&spec(yaml)), found)
        .into_iter()
        .map(|b| (b.reason, b.message))
        .collect()
}

#[test]
fn a_missing_secret_is_named_with_its_path() {
    let yaml = "auth: {secretRef: {name: session, key: secret}}";
    let found = found(&[("session", Look::Missing)]);
    assert_eq!(
        reasons(yaml, &found),
        [(
            "SecretNotFound",
            "spec.auth.secretRef: Secret \"session\" not found".to_owned()
        )]
    );
}

#[test]
fn a_missing_key_names_the_keys_that_are_there() {
    let yaml = "auth: {secretRef: {name: session, key: secret}}";
    let found = found(&[("session", Look::There(Data::from([("token", &b"x"[..])])))]);
    assert_eq!(
        reasons(yaml, &found)[0],
        (
            "KeyNotFound",
            "spec.auth.secretRef: Secret \"session\" has no key \"secret\" (keys: \"token\")"
                .to_owned()
        )
    );
}

#[test]
fn values_of_a_wrong_form_are_told_without_showing_them() {
    let yaml = "
        auth: {secretRef: {name: s, key: short}}
        secrets: {masterKeySecretRef: {name: s, key: blank}}
        database: {mode: external, externalURLSecretRef: {name: s, key: url}}";
    let data = Data::from([
        ("short", &b"hunter2"[..]),
        ("blank", &b" \n"[..]),
        ("url", &b"mysql://u:hunter2@h/d"[..]),
    ]);
    let found = found(&[("s", Look::There(data))]);
    let all = reasons(yaml, &found);
    assert_eq!(
        all.iter().map(|(r, _)| *r).collect::<Vec<_>>(),
        ["InvalidValue", "EmptyValue", "InvalidValue"]
    );
    assert!(all.iter().all(|(_, m)| !m.contains("hunter2")), "{all:?}");
}

#[test]
fn either_spelling_of_bucket_keys_will_do_but_not_half_of_each() {
    let yaml = "objectStorage: {provider: s3, bucket: bbb, credentialsSecretRef: {name: c}}";
    let with = |a: &str, b: &str| {
        reasons(
            yaml,
            &found(&[(
                "c",
                Look::There(Data::from([(a, &b"1"[..]), (b, &b"2"[..])])),
            )]),
        )
    };
    assert!(with("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY").is_empty());
    assert!(with("S3_ACCESS_KEY_ID", "S3_SECRET_ACCESS_KEY").is_empty());
    assert_eq!(
        with("S3_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY")[0].0,
        "KeyNotFound"
    );
}

#[test]
fn optional_references_of_the_environment_may_be_missing() {
    let yaml = "
        env:
        - {name: A, valueFrom: {secretKeyRef: {name: x, key: k, optional: true}}}
        - {name: B, valueFrom: {configMapKeyRef: {name: y, key: k}}}
        envFrom: [{secretRef: {name: x, optional: true}}]";
    let mut found = found(&[("x", Look::Missing)]);
    found.config_maps.insert("y".into(), Look::Missing);
    assert_eq!(
        reasons(yaml, &found),
        [(
            "ConfigMapNotFound",
            "spec.env[1].valueFrom.configMapKeyRef: ConfigMap \"y\" not found".to_owned()
        )]
    );
}

#[test]
fn a_secret_that_we_may_not_read_is_unknown_not_missing() {
    let broken = check(
        &of(&spec("adapters: {apiKeysSecretRef: {name: llm}}")),
        &found(&[("llm", Look::Forbidden)]),
    );
    assert!(broken[0].unknown && broken[0].reason == "Forbidden");
}

#[test]
fn the_url_of_a_database_that_is_not_used_is_not_asked_for() {
    assert!(
        of(&spec(
            "database: {mode: managed, externalURLSecretRef: {name: a, key: b}}"
        ))
        .is_empty()
    );
}
