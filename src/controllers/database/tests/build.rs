use super::*;
use crate::shared::fingerprint;

fn pod(desired: &Desired) -> Value {
    let wish = &desired.stateful_set.as_ref().unwrap().wanted;
    wish.body["spec"]["template"]["spec"].clone()
}

fn container(desired: &Desired) -> Value {
    pod(desired)["containers"][0].clone()
}

fn env(container: &Value, name: &str) -> String {
    let env = container["env"].as_array().unwrap();
    let found = env.iter().find(|e| e["name"] == name).unwrap();
    found["value"].as_str().unwrap().to_owned()
}

#[test]
fn the_smallest_database_becomes_these_objects() {
    let d = built(&database(MINIMAL), &nothing());
    let names = [&d.claim, &d.service, &d.account, &d.policy].map(|w| {
        let wish = w.as_ref().unwrap();
        format!("{} {}", wish.kind.kind, wish.key.name)
    });
    assert_eq!(
        names,
        [
            "PersistentVolumeClaim shop-db-data",
            "Service shop-db",
            "ServiceAccount shop-db",
            "NetworkPolicy shop-db"
        ]
    );
    let sts = d.stateful_set.unwrap();
    assert!(sts.in_use.is_none());
    assert_eq!(&*sts.wanted.key.name, "shop-db");
}

#[test]
fn data_have_no_owner_and_all_else_has_one() {
    let d = built(&database(FULL), &nothing());
    let owners = |body: &Value| body["metadata"]["ownerReferences"].clone();
    assert_eq!(owners(&d.claim.as_ref().unwrap().body), Value::Null);
    assert_eq!(owners(created(&d.secrets).unwrap()), Value::Null);
    for wish in [&d.service, &d.account, &d.policy] {
        let owner = &owners(&wish.as_ref().unwrap().body)[0];
        assert_eq!(
            *owner,
            json!({"apiVersion": "paperclip.inc/v1alpha1", "kind": "PaperclipDatabase", "name": "shop",
                "uid": "11111111-1111-1111-1111-111111111111", "controller": true, "blockOwnerDeletion": true})
        );
    }
}

#[test]
fn labels_and_selectors_are_those_that_existing_installations_have() {
    let d = built(&database(MINIMAL), &nothing());
    let sts = &d.stateful_set.unwrap().wanted.body;
    let selector = json!({"app.kubernetes.io/name": "paperclip", "app.kubernetes.io/instance": "shop",
        "app.kubernetes.io/component": "database"});
    assert_eq!(sts["spec"]["selector"]["matchLabels"], selector);
    assert_eq!(d.service.unwrap().body["spec"]["selector"], selector);
    let mut labels = selector;
    labels["app.kubernetes.io/managed-by"] = json!("paperclip-operator");
    assert_eq!(sts["metadata"]["labels"], labels);
    assert_eq!(sts["spec"]["template"]["metadata"]["labels"], labels);
}

/// The rules of Pod Security `restricted` that a pod can break.
#[test]
fn the_pod_is_admitted_under_pod_security_restricted() {
    let pod = pod(&built(&database(MINIMAL), &nothing()));
    assert_eq!(pod["securityContext"]["runAsNonRoot"], true);
    assert_eq!(
        pod["securityContext"]["seccompProfile"]["type"],
        "RuntimeDefault"
    );
    for key in ["hostNetwork", "hostPID", "hostIPC"] {
        assert_eq!(pod[key], Value::Null);
    }
    let containers = ["initContainers", "containers"].map(|k| pod[k].as_array().unwrap().clone());
    for container in containers.concat() {
        let context = &container["securityContext"];
        assert_eq!(context["allowPrivilegeEscalation"], false);
        assert_eq!(context["readOnlyRootFilesystem"], true);
        assert_eq!(context["capabilities"], json!({"drop": ["ALL"]}));
        assert_eq!(context["privileged"], Value::Null);
    }
    for volume in pod["volumes"].as_array().unwrap() {
        let kinds = ["emptyDir", "secret", "persistentVolumeClaim"];
        assert!(kinds.iter().any(|k| volume[k].is_object()), "{volume}");
    }
}

#[test]
fn the_pod_has_no_token_and_no_liveness_probe() {
    let d = built(&database(MINIMAL), &nothing());
    assert_eq!(pod(&d)["automountServiceAccountToken"], false);
    assert_eq!(
        d.account.as_ref().unwrap().body["automountServiceAccountToken"],
        false
    );
    assert_eq!(container(&d)["livenessProbe"], Value::Null);
    let start = &container(&d)["startupProbe"];
    let patience =
        start["periodSeconds"].as_i64().unwrap() * start["failureThreshold"].as_i64().unwrap();
    assert!(patience >= 86_400, "a recovery may take {patience} s only");
}

#[test]
fn postgresql_is_told_where_things_are_by_env_alone() {
    let d = built(&database(MINIMAL), &nothing());
    let container = container(&d);
    assert_eq!(
        container["command"],
        json!(["/paperclip-agent/paperclip-agent", "postgres"])
    );
    assert_eq!(container["args"], Value::Null);
    assert_eq!(env(&container, "PGDATA"), "/var/lib/postgresql/data/pgdata");
    assert_eq!(env(&container, "PAPERCLIP_AGENT_POSTGRES_VERSION"), "17");
    let settings: Value =
        serde_json::from_str(&env(&container, "PAPERCLIP_AGENT_POSTGRES_SETTINGS")).unwrap();
    assert_eq!(settings["shared_buffers"], "256MB");
    let grace = pod(&d)["terminationGracePeriodSeconds"].as_i64().unwrap();
    let stop: i64 = env(&container, "PAPERCLIP_AGENT_STOP_TIMEOUT_SECONDS")
        .parse()
        .unwrap();
    assert!(stop < grace, "the kubelet would kill what still stops");
    let mounts: Vec<_> = container["volumeMounts"]
        .as_array()
        .unwrap()
        .iter()
        .map(|m| {
            (
                m["name"].as_str().unwrap(),
                m["mountPath"].as_str().unwrap(),
                m["readOnly"] == true,
            )
        })
        .collect();
    assert_eq!(
        mounts,
        [
            ("pgdata", "/var/lib/postgresql/data", false),
            ("db-credentials", "/etc/paperclip/db-credentials", true),
            ("tmp", "/tmp", false),
            ("run", "/var/run/postgresql", false),
            ("shm", "/dev/shm", false),
            ("paperclip-agent", "/paperclip-agent", true),
        ]
    );
}

#[test]
fn every_field_of_the_pod_arrives_in_the_api_servers_spelling() {
    let d = built(&database(FULL), &nothing());
    let (pod, container) = (pod(&d), container(&d));
    assert_eq!(
        container["image"],
        "registry.example.com:5000/pg:16-bookworm"
    );
    assert_eq!(
        container["resources"],
        json!({"requests": {"cpu": "1", "memory": "2Gi"}, "limits": {"memory": "4Gi"}})
    );
    assert_eq!(pod["securityContext"]["fsGroup"], 999);
    assert_eq!(pod["nodeSelector"], json!({"disk": "ssd"}));
    assert_eq!(
        pod["tolerations"],
        json!([{"key": "db", "operator": "Exists"}])
    );
    assert!(pod["affinity"]["nodeAffinity"].is_object());
    assert_eq!(pod["priorityClassName"], "important");
    assert_eq!(pod["imagePullSecrets"], json!([{"name": "pull"}]));
    let settings: Value =
        serde_json::from_str(&env(&container, "PAPERCLIP_AGENT_POSTGRES_SETTINGS")).unwrap();
    assert_eq!(
        (&settings["shared_buffers"], &settings["work_mem"]),
        (&json!("1024MB"), &json!("32MB"))
    );
    let shm = pod["volumes"]
        .as_array()
        .unwrap()
        .iter()
        .find(|v| v["name"] == "shm")
        .unwrap();
    assert_eq!(
        shm["emptyDir"],
        json!({"medium": "Memory", "sizeLimit": "1Gi"})
    );
    let claim = &d.claim.unwrap().body["spec"];
    assert_eq!(claim["resources"]["requests"]["storage"], "20Gi");
    assert_eq!(claim["storageClassName"], "fast");
}

#[test]
fn a_suspended_database_has_no_pod_and_keeps_the_rest() {
    let d = built(&with_spec("{suspend: true}"), &nothing());
    assert_eq!(d.stateful_set.unwrap().wanted.body["spec"]["replicas"], 0);
    assert!(d.claim.is_some() && d.service.is_some());
}

#[test]
fn only_parts_of_this_installation_may_connect() {
    let policy = built(&database(MINIMAL), &nothing()).policy.unwrap().body;
    let spec = &policy["spec"];
    assert_eq!(spec["policyTypes"], json!(["Ingress", "Egress"]));
    assert_eq!(spec["egress"], Value::Null);
    assert_eq!(
        spec["ingress"],
        json!([{
            "from": [{"podSelector": {
                "matchLabels": {"app.kubernetes.io/name": "paperclip", "app.kubernetes.io/instance": "shop"},
                "matchExpressions": [{"key": "app.kubernetes.io/component", "operator": "In",
                    "values": ["server", "backup", "restore", "migration", "bootstrap"]}]}}],
            "ports": [{"port": 5432, "protocol": "TCP"}]}])
    );
}

#[test]
fn a_user_claim_is_used_and_none_is_made() {
    let mut found = nothing();
    found.claim = Known::Present(claim("1Gi", "Bound", "2026-04-01T00:00:00Z"));
    let d = built(&with_spec("{storage: {existingClaim: mine}}"), &found);
    assert!(d.claim.is_none());
    assert_eq!(
        pod(&d)["volumes"][0]["persistentVolumeClaim"]["claimName"],
        "mine"
    );
}

#[test]
fn without_its_password_or_its_volume_nothing_is_made() {
    let mut lost = nothing();
    lost.claim = Known::Present(claim("10Gi", "Bound", "2026-04-30T10:00:00Z"));
    let absent = with_spec("{storage: {existingClaim: mine}}");
    for d in [built(&database(MINIMAL), &lost), built(&absent, &nothing())] {
        assert!(d.claim.is_none() && d.service.is_none() && d.stateful_set.is_none());
        assert!(matches!(d.secrets, SecretPlan::Untouched));
    }
}

#[test]
fn new_credentials_say_role_password_and_url() {
    let d = built(&database(MINIMAL), &nothing());
    let secret = secret(&created(&d.secrets).unwrap()["data"]);
    let url =
        "postgres://paperclip:fresh@shop-db.prod.svc.cluster.local:5432/paperclip?sslmode=disable";
    assert_eq!(secret.text("username"), Some("paperclip"));
    assert_eq!(secret.text("password"), Some("fresh"));
    assert_eq!(secret.text("uri"), Some(url));
    let SecretPlan::Create { login, app, .. } = &d.secrets else {
        panic!()
    };
    let app = super::secret(&app.wish(login).unwrap().body["data"]);
    assert_eq!(app.text("DATABASE_URL"), Some(url));
    assert_eq!(app.text("DATABASE_MIGRATION_URL"), Some(url));
}

#[test]
fn credentials_that_are_there_are_only_completed() {
    let mut found = nothing();
    found.credentials = Known::Present(secret(&json!({"password": "b2xk"})));
    let SecretPlan::Follow { missing, login, .. } = built(&database(MINIMAL), &found).secrets
    else {
        panic!()
    };
    assert_eq!(login.password.reveal(), "old");
    let patch = missing.unwrap();
    assert_eq!(patch["stringData"]["username"], "paperclip");
    assert_eq!(patch["stringData"]["password"], Value::Null);
    assert_eq!(patch["metadata"]["resourceVersion"], "5");
}

#[test]
fn credentials_that_somebody_else_keeps_are_left_alone() {
    let mut found = nothing();
    let object = json!({"metadata": {"labels": {"app.kubernetes.io/managed-by": "external-secrets"}}, "data": {"password": "b2xk"}});
    found.credentials = Known::Present(StoredSecret::read(object, "shop"));
    let plan = built(&database(MINIMAL), &found).secrets;
    assert!(matches!(plan, SecretPlan::Follow { missing: None, .. }));
}

#[test]
fn secrets_that_the_status_vouches_for_are_not_touched() {
    let mut found = nothing();
    (found.credentials, found.app) = (Known::Vouched, Known::Vouched);
    found.claim = Known::Present(claim("10Gi", "Bound", "2026-05-01T10:00:01Z"));
    assert!(matches!(
        built(&database(MINIMAL), &found).secrets,
        SecretPlan::Untouched
    ));
}

#[test]
fn a_url_in_the_spec_becomes_the_secret_of_the_application() {
    let url = "postgresql://u:p@db.example.com/x?sslmode=require";
    let object = with_spec(&format!("{{engine: External, external: {{url: '{url}'}}}}"));
    let d = built(&object, &nothing());
    assert!(d.stateful_set.is_none() && d.claim.is_none() && d.service.is_none());
    let SecretPlan::App(wish) = d.secrets else {
        panic!()
    };
    assert_eq!(&*wish.key.name, "shop-db-app");
    assert_eq!(wish.body["metadata"]["ownerReferences"][0]["name"], "shop");
    assert_eq!(secret(&wish.body["data"]).text("DATABASE_URL"), Some(url));
}

#[test]
fn a_new_operator_alone_changes_no_pod() {
    let mut found = nothing();
    let other = json!({"spec": {"template": {"spec": {"initContainers": [{"name": "agent-copy", "image": "operator:0"}]}}}});
    found.stateful_set = Some(stateful_set(other));
    let wish = built(&database(MINIMAL), &found).stateful_set.unwrap();
    let in_use = wish.in_use.unwrap();
    let image = |w: &crate::shared::wish::Wish| {
        w.body["spec"]["template"]["spec"]["initContainers"][0]["image"].clone()
    };
    assert_eq!(
        (image(&in_use), image(&wish.wanted)),
        (json!("operator:0"), json!("operator:1"))
    );
    assert_ne!(in_use.hash, wish.wanted.hash);
}

#[test]
fn building_twice_gives_the_same_fingerprints() {
    let (a, b) = (
        built(&database(FULL), &nothing()),
        built(&database(FULL), &nothing()),
    );
    assert_eq!(
        a.stateful_set.as_ref().unwrap().wanted.hash,
        b.stateful_set.unwrap().wanted.hash
    );
    assert_eq!(a.policy.unwrap().hash, b.policy.unwrap().hash);
    let body = a.stateful_set.unwrap().wanted.body;
    assert_eq!(
        fingerprint::hash(&fingerprint::wished(body.clone())),
        fingerprint::hash(&fingerprint::wished(body))
    );
}
