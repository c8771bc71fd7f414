//! Service, account, claim, database, Job: names, labels, owners, and what the spec says of them.

use super::*;
use crate::shared::names::labels;

fn owner() -> Value {
    json!([{"apiVersion": "paperclip.inc/v1alpha1", "kind": "Instance", "name": "clip", "uid": "uid-of-clip",
            "controller": true, "blockOwnerDeletion": true}])
}

#[test]
fn what_goes_with_the_instance_is_owned_by_it_and_data_are_not() {
    let d = given("{}").built();
    let owned = [
        d.account,
        Some(d.service),
        d.workload.map(|w| w.wanted),
        d.policy,
        d.jobs_policy,
        d.database,
        d.migration,
    ];
    for wish in owned.into_iter().flatten() {
        let meta = &wish.body["metadata"];
        assert_eq!(meta["ownerReferences"], owner(), "{}", wish.kind.kind);
        assert_eq!(meta["namespace"], "prod");
        assert_eq!(meta["labels"]["app.kubernetes.io/instance"], "clip");
        assert_eq!(
            meta["labels"]["app.kubernetes.io/managed-by"],
            "paperclip-operator"
        );
    }
    let claim = d.claim.unwrap();
    assert_eq!(claim.body.metadata.owner_references, None);
    assert_eq!(claim.body.metadata.name.as_deref(), Some("clip-data"));
    let labels = labels("clip", Component::Server);
    assert_eq!(claim.body.metadata.labels, Some(labels));
}

#[test]
fn the_service_leads_to_the_name_of_the_port() {
    let g = given(
        "networking: {service: {type: NodePort, port: 80, annotations: {a/b: c}}}\nauth: {disableSignUp: true}",
    );
    let service = g.built().service.body;
    assert_eq!(service["metadata"]["name"], "clip");
    assert_eq!(service["metadata"]["annotations"], json!({"a/b": "c"}));
    assert_eq!(
        service["spec"],
        json!({
            "type": "NodePort", "sessionAffinity": "None",
            "selector": {"app.kubernetes.io/name": "paperclip", "app.kubernetes.io/instance": "clip", "app.kubernetes.io/component": "server"},
            "ports": [{"name": "http", "port": 80, "targetPort": "http", "protocol": "TCP"}],
        })
    );
    assert_eq!(
        g.server()["ports"],
        json!([{"name": "http", "containerPort": 3100, "protocol": "TCP"}])
    );
    assert_eq!(g.value("PORT"), "3100");
}

#[test]
fn the_account_has_no_token_and_may_be_someone_elses() {
    let account = given("security: {rbac: {serviceAccountAnnotations: {role: r}}}")
        .built()
        .account
        .unwrap()
        .body;
    assert_eq!(account["metadata"]["name"], "clip");
    assert_eq!(account["metadata"]["annotations"], json!({"role": "r"}));
    assert_eq!(account["automountServiceAccountToken"], false);
    let theirs = given("security: {rbac: {create: false, serviceAccountName: theirs}}");
    assert!(theirs.built().account.is_none());
    assert_eq!(theirs.template()["spec"]["serviceAccountName"], "theirs");
    let none = given("security: {rbac: {create: false}}");
    assert_eq!(none.template()["spec"]["serviceAccountName"], "default");
}

#[test]
fn the_claim_is_as_asked_for() {
    let g = given(
        "storage: {persistence: {size: 1024Mi, storageClass: fast, accessModes: [ReadWriteMany]}}",
    );
    let claim = g.built().claim.unwrap();
    let spec = serde_json::to_value(claim.body.spec).unwrap();
    assert_eq!(
        spec,
        json!({"accessModes": ["ReadWriteMany"], "storageClassName": "fast", "resources": {"requests": {"storage": "1Gi"}}})
    );
    assert!(
        given("storage: {persistence: {existingClaim: mine}}")
            .built()
            .claim
            .is_none()
    );
}

#[test]
fn the_database_is_told_what_the_instance_says_and_nothing_more() {
    assert_eq!(given("{}").database(), Some(json!({"engine": "Managed"})));
    let g = given(
        "
image: {pullSecrets: [{name: pull}]}
availability: {nodeSelector: {disk: ssd}, priorityClassName: not-for-the-database, tolerations: [{key: k}]}
database:
  managed:
    image: postgres:16-alpine
    version: 16
    storageSize: 20480Mi
    storageClass: fast
    parameters: {work_mem: 8MB}
    resources: {requests: {cpu: 1000m}}",
    );
    assert_eq!(
        g.database().unwrap(),
        json!({
            "engine": "Managed", "image": "postgres:16-alpine", "version": 16,
            "storage": {"size": "20Gi", "storageClassName": "fast"}, "parameters": {"work_mem": "8MB"},
            "resources": {"requests": {"cpu": "1000m"}},
            "nodeSelector": {"disk": "ssd"}, "tolerations": [{"key": "k"}], "imagePullSecrets": [{"name": "pull"}],
        })
    );
}

#[test]
fn an_external_database_is_a_child_that_only_checks() {
    let g = given("database: {mode: external, externalURLSecretRef: {name: u, key: k}}");
    assert_eq!(
        g.database().unwrap(),
        json!({"engine": "External", "external": {"urlSecretRef": {"name": "u", "key": "k"}}})
    );
    let literal = given("database: {mode: external, externalURL: 'postgres://h/d'}");
    assert_eq!(
        literal.database().unwrap()["external"],
        json!({"url": "postgres://h/d"})
    );
}

#[test]
fn data_go_with_the_instance_only_if_asked_for() {
    assert_eq!(
        given("deletionPolicy: Delete").database().unwrap()["deletionPolicy"],
        "Delete"
    );
    assert_eq!(
        given("deletionPolicy: Retain").database().unwrap()["deletionPolicy"],
        Value::Null
    );
}

#[test]
fn the_migration_is_the_agent_in_the_servers_image_without_the_data_volume() {
    let job = given("image: {repository: r.test/p, tag: '7', pullPolicy: Always}").migration();
    assert_eq!(job["metadata"]["name"], "clip-migrate-0123456789");
    assert_eq!(
        job["metadata"]["labels"]["app.kubernetes.io/component"],
        "migration"
    );
    let spec = &job["spec"];
    assert_eq!(
        (&spec["backoffLimit"], &spec["activeDeadlineSeconds"]),
        (&json!(3), &json!(3600))
    );
    assert_eq!(spec["ttlSecondsAfterFinished"], Value::Null);
    assert_eq!(
        spec["podFailurePolicy"]["rules"],
        json!([
            {"action": "Ignore", "onPodConditions": [{"type": "DisruptionTarget", "status": "True"}]},
            {"action": "FailJob", "onExitCodes": {"containerName": "agent", "operator": "In", "values": [2, 3]}},
        ])
    );
    let pod = &spec["template"]["spec"];
    assert_eq!(pod["restartPolicy"], "Never");
    assert_eq!(pod["automountServiceAccountToken"], false);
    let copy = &pod["initContainers"][0];
    assert_eq!(copy["image"], "registry.test/agent:1");
    assert_eq!(copy["imagePullPolicy"], "Always");
    assert_eq!(
        copy["command"],
        json!([
            "/usr/local/bin/paperclip-agent",
            "copy",
            "/paperclip-agent/paperclip-agent"
        ])
    );
    let agent = &pod["containers"][0];
    assert_eq!(
        (&agent["name"], &agent["image"]),
        (&json!("agent"), &json!("r.test/p:7"))
    );
    assert_eq!(
        agent["command"],
        json!(["/paperclip-agent/paperclip-agent", "migrate"])
    );
    let claims = pod["volumes"].as_array().unwrap();
    assert!(claims.iter().all(|v| v["persistentVolumeClaim"].is_null()));
}

#[test]
fn sidecars_help_a_migration_only_if_the_database_is_behind_one() {
    let spec = "
database: {mode: external, externalURLSecretRef: {name: u, key: k}}
sidecars: [{name: proxy, image: p, volumeMounts: [{name: data, mountPath: /d}]}]";
    let init = |g: &Given| g.migration()["spec"]["template"]["spec"]["initContainers"].clone();
    let mut g = given(spec);
    g.learned.database = Endpoint::of("postgres://db.example.com/x", 5432);
    assert_eq!(init(&g).as_array().unwrap().len(), 1);
    g.learned.database = Endpoint::of("postgres://127.0.0.1:6543/x", 5432);
    let all = init(&g);
    assert_eq!(all[1]["name"], "proxy");
    assert_eq!(all[1]["restartPolicy"], "Always");
    assert_eq!(all[1]["volumeMounts"], json!([]));
}

#[test]
fn a_migration_is_told_apart_by_image_database_and_restore() {
    let base = migration::hash("image", "uid", None);
    assert_eq!(base.len(), 10);
    assert_ne!(base, migration::hash("image2", "uid", None));
    assert_ne!(base, migration::hash("image", "uid2", None));
    assert_ne!(base, migration::hash("image", "uid", Some("backup")));
    assert_eq!(base, migration::hash("image", "uid", None));
}

#[test]
fn generated_secrets_have_their_own_random_values_and_no_owner() {
    let id = Identity::new("clip", "prod", "u", "d");
    let which = secrets::Generated::App;
    let random = (0..9).map(|i| format!("random-{i}"));
    let secret = secrets::build(which, &id, which.keys(), random);
    assert_eq!(secret.metadata.name.as_deref(), Some("clip-app-keys"));
    assert_eq!(secret.metadata.owner_references, None);
    let values: std::collections::BTreeSet<_> =
        secret.data.iter().flatten().map(|(_, v)| v).collect();
    assert_eq!(values.len(), 4);
}

#[test]
fn the_first_admin_is_made_with_the_password_as_a_file() {
    let g = given(
        "
image: {repository: r.test/p, tag: '7'}
auth: {adminUser: {email: a@b, name: 'A $(X)', passwordSecretRef: {name: s, key: k}}, disableSignUp: true}",
    );
    let job = g.built().bootstrap.unwrap().body;
    assert_eq!(job["metadata"]["name"], "clip-bootstrap");
    assert_eq!(job["metadata"]["ownerReferences"], owner());
    assert_eq!(
        job["metadata"]["annotations"],
        json!({"paperclip.inc/applied-hash": "data.input"})
    );
    let spec = &job["spec"];
    assert_eq!(
        (&spec["backoffLimit"], &spec["activeDeadlineSeconds"]),
        (&json!(3), &json!(600))
    );
    let pod = &spec["template"]["spec"];
    let agent = &pod["containers"][0];
    assert_eq!(agent["image"], "r.test/p:7");
    assert_eq!(
        agent["command"],
        json!(["/paperclip-agent/paperclip-agent", "bootstrap"])
    );
    let env = agent["env"].as_array().unwrap();
    let value = |name: &str| {
        let found = env.iter().find(|e| e["name"] == name);
        found.map_or(Value::Null, |e| e["value"].clone())
    };
    assert_eq!(value("PAPERCLIP_AGENT_ADMIN_EMAIL"), "a@b");
    assert_eq!(value("PAPERCLIP_AGENT_ADMIN_NAME"), "A $$(X)");
    // It gets no key of the installation, and nothing of what makes a server refuse a first account.
    for name in [
        "BETTER_AUTH_SECRET",
        "PAPERCLIP_SECRETS_MASTER_KEY",
        "PAPERCLIP_AUTH_DISABLE_SIGN_UP",
    ] {
        assert!(env.iter().all(|e| e["name"] != name), "{name}");
    }
    let volumes = pod["volumes"].as_array().unwrap();
    let admin = volumes
        .iter()
        .find(|v| v["name"] == "paperclip-admin")
        .unwrap();
    assert_eq!(
        admin["secret"],
        json!({"secretName": "s", "items": [{"key": "k", "path": "password"}], "defaultMode": 0o440})
    );
    assert!(volumes.iter().all(|v| v["persistentVolumeClaim"].is_null()));
}

#[test]
fn an_admin_in_an_embedded_database_is_made_where_the_data_are() {
    let g = given("{auth: {adminUser: {email: a@b}}, database: {mode: embedded}}");
    let job = g.built().bootstrap.unwrap().body;
    let pod = &job["spec"]["template"]["spec"];
    assert_eq!(
        pod["volumes"][1]["persistentVolumeClaim"],
        json!({"claimName": "clip-data"})
    );
    assert_eq!(
        pod["containers"][0]["volumeMounts"][1],
        json!({"name": "paperclip-data", "mountPath": "/paperclip"})
    );
}

#[test]
fn nobody_is_made_unless_somebody_is_named() {
    assert!(given("{}").built().bootstrap.is_none());
    let off = given("auth: {adminUser: {email: a@b}, bootstrap: {mode: Disabled}}");
    assert!(off.built().bootstrap.is_none());
}

#[test]
fn a_try_is_told_apart_by_data_and_by_who_is_to_be_made() {
    let stamp = |key: &[u8], data: &str, spec: &str, password: &[u8]| {
        let g = given(spec);
        let input = Input {
            instance: &g.instance,
            adopted: None,
            learned: &g.learned,
            domain: "d",
        };
        let verdict = validate(input, &Found::default());
        let admin = verdict.validated.unwrap().admin.unwrap();
        bootstrap::stamp(key, data, &admin, password).unwrap()
    };
    let ada = "auth: {adminUser: {email: ada@b}}";
    let base = stamp(b"key", "uid", ada, b"secret");
    assert_eq!(base, stamp(b"key", "uid", ada, b"secret"));
    assert_eq!(base.split_once('.').unwrap().0, bootstrap::of_data("uid"));
    for other in [
        stamp(b"other", "uid", ada, b"secret"),
        stamp(b"key", "uid2", ada, b"secret"),
        stamp(b"key", "uid", ada, b"secret2"),
        stamp(
            b"key",
            "uid",
            "auth: {adminUser: {email: bob@b}}",
            b"secret",
        ),
    ] {
        assert_ne!(base, other);
    }
}

#[test]
fn the_service_stays_inside_while_it_is_held() {
    let mut g = given("networking: {service: {type: LoadBalancer}}");
    let kind = |g: &Given| g.built().service.body["spec"]["type"].clone();
    assert_eq!(kind(&g), "LoadBalancer");
    g.hold_service = true;
    assert_eq!(kind(&g), "ClusterIP");
}

#[test]
fn a_schedule_becomes_a_backup_resource_that_finds_its_destination_itself() {
    let d = given("backup: {s3: {bucket: safe}}").built();
    assert!(d.backup.is_none(), "a destination alone serves who asks");
    let spec = "backup: {schedule: '17 2 * * *', timeZone: Europe/Berlin, jitter: 10m, immediate: true, include: [Database], \
                encryption: {recipients: [age1x]}, s3: {bucket: safe}}";
    let backup = given(spec).built().backup.unwrap().body;
    assert_eq!(backup["kind"], "PaperclipBackup");
    assert_eq!(backup["metadata"]["name"], "clip");
    assert_eq!(backup["metadata"]["ownerReferences"], owner());
    assert_eq!(
        backup["spec"],
        json!({
            "instanceRef": {"name": "clip"}, "schedule": "17 2 * * *", "timeZone": "Europe/Berlin", "jitter": "10m",
            "immediate": true, "include": ["Database"], "encryption": {"recipients": ["age1x"]}, "retention": {"maxAge": "720h"},
        })
    );
}
