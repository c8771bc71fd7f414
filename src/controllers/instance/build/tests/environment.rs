//! What the server's environment holds.

use super::*;

#[test]
fn without_a_word_the_server_has_what_it_needs_and_nothing_else() {
    let names = given("{}").names();
    assert_eq!(
        names,
        [
            "PORT",
            "PAPERCLIP_BIND",
            "PAPERCLIP_BIND_HOST",
            "PAPERCLIP_HOME",
            "HOME",
            "PAPERCLIP_INSTANCE_ID",
            "NODE_ENV",
            "SERVE_UI",
            "PAPERCLIP_DISABLE_CWD_ENV_FILE",
            "PAPERCLIP_DEPLOYMENT_MODE",
            "PAPERCLIP_DEPLOYMENT_EXPOSURE",
            "PAPERCLIP_ALLOWED_HOSTNAMES",
            "PAPERCLIP_API_URL",
            "DATABASE_URL",
            "DATABASE_MIGRATION_URL",
            "DATABASE_APPLICATION_NAME",
            "PAPERCLIP_MIGRATION_PROMPT",
            "BETTER_AUTH_SECRET",
            "PAPERCLIP_DECISION_SIGNING_SECRET",
            "PAPERCLIP_TOOL_ACTION_SIGNING_SECRET",
            "PAPERCLIP_AGENT_JWT_SECRET",
            "PAPERCLIP_SECRETS_PROVIDER",
            "PAPERCLIP_SECRETS_MASTER_KEY",
            "PAPERCLIP_STORAGE_PROVIDER",
            "HEARTBEAT_SCHEDULER_ENABLED",
            "HEARTBEAT_SCHEDULER_INTERVAL_MS",
            "PAPERCLIP_LOG_LEVEL",
            "LOG_LEVEL",
            "PAPERCLIP_TELEMETRY_DISABLED",
            "DO_NOT_TRACK",
            "PAPERCLIP_ANNOUNCEMENTS_ENABLED",
        ]
    );
    let g = given("{}");
    for (name, value) in [
        ("PORT", "3100"),
        ("PAPERCLIP_BIND", "custom"),
        ("PAPERCLIP_BIND_HOST", "0.0.0.0"),
        ("PAPERCLIP_HOME", "/paperclip"),
        ("PAPERCLIP_DEPLOYMENT_MODE", "authenticated"),
        ("PAPERCLIP_DEPLOYMENT_EXPOSURE", "private"),
        ("PAPERCLIP_API_URL", "http://localhost:3100"),
        ("PAPERCLIP_SECRETS_PROVIDER", "local_encrypted"),
        ("PAPERCLIP_STORAGE_PROVIDER", "local_disk"),
        ("HEARTBEAT_SCHEDULER_INTERVAL_MS", "60000"),
        ("PAPERCLIP_MIGRATION_PROMPT", "never"),
    ] {
        assert_eq!(g.value(name), value, "{name}");
    }
}

#[test]
fn secrets_are_never_values() {
    let g = given("{}");
    for (name, source) in [
        ("DATABASE_URL", secret("where-the-url-is", "THE_URL")),
        (
            "BETTER_AUTH_SECRET",
            secret("clip-auth", "BETTER_AUTH_SECRET"),
        ),
        (
            "PAPERCLIP_SECRETS_MASTER_KEY",
            secret("clip-secrets-master-key", "master-key"),
        ),
        (
            "PAPERCLIP_AGENT_JWT_SECRET",
            secret("clip-app-keys", "PAPERCLIP_AGENT_JWT_SECRET"),
        ),
    ] {
        assert_eq!(g.var(name)["valueFrom"], source, "{name}");
    }
    let migration = &g.var("DATABASE_MIGRATION_URL")["valueFrom"]["secretKeyRef"];
    assert_eq!(
        *migration,
        json!({"name": "where-the-url-is", "key": "DATABASE_MIGRATION_URL", "optional": true})
    );
}

#[test]
fn references_of_the_user_replace_generated_keys() {
    let g = given(
        "auth: {secretRef: {name: my-session, key: s}}\nsecrets: {masterKeySecretRef: {name: my-key, key: k}}",
    );
    assert_eq!(
        g.var("BETTER_AUTH_SECRET")["valueFrom"],
        secret("my-session", "s")
    );
    assert_eq!(
        g.var("PAPERCLIP_SECRETS_MASTER_KEY")["valueFrom"],
        secret("my-key", "k")
    );
}

#[test]
fn unset_is_not_false() {
    let both = [
        "PAPERCLIP_AUTH_DISABLE_SIGN_UP",
        "PAPERCLIP_SECRETS_STRICT_MODE",
    ];
    for name in both {
        assert_eq!(given("{}").var(name), Value::Null, "{name}");
    }
    let off = given("auth: {disableSignUp: false}\nsecrets: {strictMode: false}");
    let on = given("auth: {disableSignUp: true}\nsecrets: {strictMode: true}");
    for name in both {
        assert_eq!(off.value(name), "false", "{name}");
        assert_eq!(on.value(name), "true", "{name}");
    }
    assert_eq!(
        given("heartbeat: {enabled: false}").value("HEARTBEAT_SCHEDULER_ENABLED"),
        "false"
    );
}

#[test]
fn a_name_of_the_user_replaces_ours_and_comes_last() {
    let g = given(
        "env: [{name: PAPERCLIP_LOG_LEVEL, value: trace}, {name: PORT, value: '1'}, {name: MY, value: $(HOME)/x}]",
    );
    let names = g.names();
    assert_eq!(names[names.len() - 2..], ["PAPERCLIP_LOG_LEVEL", "MY"]);
    assert_eq!(g.value("PAPERCLIP_LOG_LEVEL"), "trace");
    assert_eq!(g.value("PORT"), "3100");
    assert_eq!(g.value("MY"), "$(HOME)/x");
}

#[test]
fn text_of_our_fields_is_not_expanded() {
    let g = given("objectStorage: {provider: s3, bucket: bbb, prefix: 'a/$(HOME)'}");
    assert_eq!(g.value("PAPERCLIP_STORAGE_S3_PREFIX"), "a/$$(HOME)");
}

#[test]
fn entries_of_the_user_are_spelled_as_the_api_server_stores_them() {
    let g = given(
        "env: [{name: A, value: ''}, {name: B, valueFrom: {fieldRef: {fieldPath: spec.nodeName}}}]",
    );
    assert_eq!(g.var("A"), json!({"name": "A"}));
    assert_eq!(
        g.var("B")["valueFrom"]["fieldRef"],
        json!({"apiVersion": "v1", "fieldPath": "spec.nodeName"})
    );
}

#[test]
fn an_embedded_database_has_no_url() {
    let g = given("database: {mode: embedded}");
    for name in [
        "DATABASE_URL",
        "DATABASE_MIGRATION_URL",
        "PAPERCLIP_MIGRATION_PROMPT",
    ] {
        assert_eq!(g.var(name), Value::Null, "{name}");
    }
    assert!(g.database().is_none());
}

#[test]
fn a_bucket_gives_both_spellings_of_keys_if_only_the_old_is_there() {
    let mut g = given(
        "objectStorage: {provider: minio, bucket: uploads, region: r, endpoint: 'http://minio:9000', credentialsSecretRef: {name: bucket-keys}}",
    );
    let keys = ["S3_ACCESS_KEY_ID", "S3_SECRET_ACCESS_KEY"];
    g.learned
        .keys
        .insert("bucket-keys".into(), keys.map(str::to_owned).to_vec());
    assert_eq!(g.value("PAPERCLIP_STORAGE_PROVIDER"), "s3");
    assert_eq!(g.value("PAPERCLIP_STORAGE_S3_BUCKET"), "uploads");
    assert_eq!(g.value("PAPERCLIP_STORAGE_S3_FORCE_PATH_STYLE"), "true");
    for (name, key) in [
        ("AWS_ACCESS_KEY_ID", "S3_ACCESS_KEY_ID"),
        ("AWS_SECRET_ACCESS_KEY", "S3_SECRET_ACCESS_KEY"),
        ("S3_ACCESS_KEY_ID", "S3_ACCESS_KEY_ID"),
    ] {
        assert_eq!(
            g.var(name)["valueFrom"],
            secret("bucket-keys", key),
            "{name}"
        );
    }
    assert_eq!(g.var("AWS_SESSION_TOKEN"), Value::Null);
}

#[test]
fn where_pods_have_ipv6_the_server_listens_on_both_families() {
    let mut g = given("{}");
    g.ipv6 = true;
    assert_eq!(g.value("PAPERCLIP_BIND_HOST"), "::");
}

#[test]
fn an_adopted_instance_keeps_the_signing_key_on_its_volume() {
    let mut g = given("{}");
    g.adopted = Some(AdoptedStatus::default());
    assert_eq!(g.var("PAPERCLIP_DECISION_SIGNING_SECRET"), Value::Null);
    assert_ne!(g.var("PAPERCLIP_TOOL_ACTION_SIGNING_SECRET"), Value::Null);
}

#[test]
fn migrations_get_what_they_need_and_what_that_refers_to() {
    let g = given(
        "env: [{name: USER, value: me}, {name: DATABASE_URL, value: 'postgres://$(USER)@h/d'}, {name: SECRET_OF_AGENTS, value: x}]",
    );
    let job = g.migration();
    let env = job["spec"]["template"]["spec"]["containers"][0]["env"].clone();
    let names: Vec<&str> = env
        .as_array()
        .unwrap()
        .iter()
        .map(|e| e["name"].as_str().unwrap())
        .collect();
    assert!(names.contains(&"USER") && names.contains(&"DATABASE_URL"));
    assert!(!names.contains(&"SECRET_OF_AGENTS") && !names.contains(&"BETTER_AUTH_SECRET"));
    assert!(!names.contains(&"PAPERCLIP_MIGRATION_PROMPT"));
}

#[test]
fn the_adapters_are_one_json_list_without_absent_fields() {
    let g = given(
        "adapters: {registry: [{adapterType: claude_local, enabled: false, envKeys: [B, A]}]}",
    );
    assert_eq!(
        g.value("PAPERCLIP_ADAPTERS"),
        r#"[{"adapterType":"claude_local","enabled":false,"envKeys":["B","A"]}]"#
    );
}

#[test]
fn behind_a_pooler_in_transaction_mode_nothing_is_prepared() {
    let mut g = given("database: {mode: external, externalURLSecretRef: {name: s, key: k}}");
    assert_eq!(g.var("DATABASE_PREPARED_STATEMENTS"), Value::Null);
    g.connection.pooled = true;
    assert_eq!(g.var("DATABASE_PREPARED_STATEMENTS")["value"], "false");
}
