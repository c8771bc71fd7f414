use super::*;
use crate::controllers::database::problem::Reason;
use crate::controllers::database::validate::{Credentials, Engine, External, Managed, Volume};
use crate::crd::database::PaperclipDatabaseStatus;

fn managed(object: &PaperclipDatabase, found: &Found) -> Managed {
    match accepted(object, found).engine {
        Engine::Managed(managed) => *managed,
        Engine::External(other) => panic!("{other:?}"),
    }
}

fn external(object: &PaperclipDatabase, found: &Found) -> External {
    match accepted(object, found).engine {
        Engine::External(outside) => outside.external,
        Engine::Managed(other) => panic!("{other:?}"),
    }
}

fn with_status(yaml: &str, status: Value) -> PaperclipDatabase {
    let mut object = with_spec(yaml);
    object.status = Some(serde_json::from_value::<PaperclipDatabaseStatus>(status).unwrap());
    object
}

#[test]
fn an_empty_spec_is_postgresql_17_on_10_gibibytes() {
    let m = managed(&database(MINIMAL), &nothing());
    assert_eq!(
        (m.version, &*m.image, m.uid),
        (17, "postgres:17-alpine", 70)
    );
    assert_eq!(m.volume.bytes(), 10 << 30);
    assert_eq!(m.resources.limits.unwrap()["memory"].0, "1Gi");
    assert_eq!(m.host, "shop-db.prod.svc.cluster.local");
    assert!(!m.suspended);
}

#[test]
fn empty_values_count_as_absent() {
    let m = managed(
        &with_spec(
            r#"{engine: "", image: "", resources: {}, deletionPolicy: "", priorityClassName: "", storage: {size: "", existingClaim: ""}}"#,
        ),
        &nothing(),
    );
    assert_eq!(m.image, "postgres:17-alpine");
    assert_eq!(m.priority_class, None);
}

#[test]
fn all_problems_are_told_at_once() {
    let object = with_spec(
        r#"{engine: Oracle, version: 9, storage: {size: ten}, deletionPolicy: Shred,
            resources: {requests: {memory: 2Gi}, limits: {memory: 1Gi, cpu: x}}, parameters: {fsync: "off"}}"#,
    );
    let found = lines(&refused(&object));
    assert_eq!(
        found,
        [
            "InvalidSpec spec.engine: \"Oracle\" is not one of Managed, CloudNativePG, External",
            "InvalidSpec spec.deletionPolicy: \"Shred\" is not one of Retain, Delete",
            "InvalidSpec spec.version: PostgreSQL 9 is not supported; use 15 to 18",
            "InvalidSpec spec.resources.requests.memory: 2Gi is more than the limit of 1Gi",
            "InvalidSpec spec.resources.limits.cpu: \"x\" is not a quantity like 500m, 1Gi or 1e3",
            "InvalidSpec spec.storage.size: \"ten\" is not a quantity like 500m, 1Gi or 1e3",
            "ParameterRefused spec.parameters.fsync: not a setting that can be chosen here",
        ]
    );
}

#[test]
fn a_size_of_nothing_is_refused() {
    for size in ["0", "-1Gi"] {
        let object = with_spec(&format!("{{storage: {{size: '{size}'}}}}"));
        assert_eq!(
            lines(&refused(&object)),
            ["InvalidSpec spec.storage.size: must be greater than 0"]
        );
    }
}

#[test]
fn names_must_fit_a_service_and_a_label() {
    for (name, expected) in [
        ("a".repeat(50), Some(Reason::NameTooLong)),
        ("a".repeat(49), None),
        ("1shop".into(), Some(Reason::InvalidSpec)),
        ("a.b".into(), Some(Reason::InvalidSpec)),
    ] {
        let mut object = database(MINIMAL);
        object.metadata.name = Some(name.clone());
        let found = match verdict(&object, &nothing()) {
            Verdict::Refused(problems) => Some(problems[0].reason),
            Verdict::Accepted(_) => None,
        };
        assert_eq!(found, expected, "{name}");
    }
}

#[test]
fn image_and_version_must_be_one_major() {
    let object = with_spec("{version: 17, image: 'postgres:16-alpine'}");
    assert_eq!(
        lines(&refused(&object)),
        ["InvalidSpec spec.image: \"postgres:16-alpine\" is PostgreSQL 16, spec.version is 17"]
    );
    let m = managed(&with_spec("{image: 'postgres:16-alpine'}"), &nothing());
    assert_eq!(m.version, 16);
}

#[test]
fn data_of_another_major_are_refused_and_an_absent_version_follows_them() {
    let data = json!({"version": 16, "engine": "Managed"});
    let mut found = nothing();
    found.claim = Known::Present(claim("10Gi", "Bound", "2026-05-01T10:00:01Z"));
    found.credentials = Known::Vouched;
    let m = managed(&with_status("{}", data.clone()), &found);
    assert_eq!((m.version, &*m.image), (16, "postgres:16-alpine"));
    let Verdict::Refused(problems) = verdict(&with_status("{version: 17}", data), &found) else {
        panic!("accepted");
    };
    assert_eq!(
        lines(&problems),
        ["VersionMismatch spec.version: data is 16, image is 17; put it back"]
    );
}

#[test]
fn the_engine_of_the_data_cannot_be_changed() {
    let object = with_status(
        "{engine: External, external: {url: 'postgres://h/d'}}",
        json!({"engine": "Managed"}),
    );
    assert_eq!(refused(&object)[0].reason, Reason::EngineFrozen);
}

#[test]
fn what_is_not_built_is_said_and_the_rest_is_done() {
    let object = with_spec("{tls: {mode: Require}, credentials: {rotation: {interval: 24h}}}");
    let validated = accepted(&object, &nothing());
    let paths: Vec<_> = validated.notes.iter().map(|p| &*p.path).collect();
    assert_eq!(
        paths,
        ["spec.credentials.rotation.interval", "spec.tls.mode"]
    );
}

#[test]
fn of_an_engine_that_is_not_built_nothing_is_made() {
    let problems = refused(&with_spec("{engine: CloudNativePG}"));
    assert_eq!(problems[0].reason.as_str(), "NotImplemented");
    assert!(problems[0].reason.stops());
}

#[test]
fn a_new_volume_gets_a_new_password() {
    let m = managed(&database(MINIMAL), &nothing());
    assert!(
        matches!(m.credentials, Credentials::Make(login) if login.password.reveal() == "fresh")
    );
}

#[test]
fn a_volume_older_than_the_object_never_gets_a_new_password() {
    let mut found = nothing();
    found.claim = Known::Present(claim("10Gi", "Bound", "2026-04-30T10:00:00Z"));
    let m = managed(&database(MINIMAL), &found);
    let Credentials::Lost(message) = m.credentials else {
        panic!("{:?}", m.credentials);
    };
    assert!(
        message.contains("shop-db-credentials") && message.contains("shop-db-data"),
        "{message}"
    );
}

#[test]
fn a_volume_that_an_interrupted_pass_made_still_gets_its_password() {
    let mut found = nothing();
    found.claim = Known::Present(claim("10Gi", "Pending", "2026-05-01T10:00:00Z"));
    let m = managed(&database(MINIMAL), &found);
    assert!(matches!(m.credentials, Credentials::Make(_)));
}

#[test]
fn a_database_that_had_a_password_never_gets_a_new_one() {
    for status in [
        json!({"connectionSecretRef": {"name": "shop-db-app", "key": "DATABASE_URL"}}),
        json!({"version": 17}),
    ] {
        let mut found = nothing();
        found.claim = Known::Present(claim("10Gi", "Bound", "2026-05-01T10:00:01Z"));
        let m = managed(&with_status("{}", status), &found);
        assert!(
            matches!(m.credentials, Credentials::Lost(_)),
            "{:?}",
            m.credentials
        );
    }
}

#[test]
fn a_lost_password_is_put_back_from_the_secret_of_the_application() {
    let mut found = nothing();
    found.claim = Known::Present(claim("10Gi", "Bound", "2026-04-30T10:00:00Z"));
    // postgres://paperclip:old@h:5432/paperclip
    found.app = Known::Present(secret(
        &json!({"DATABASE_URL": "cG9zdGdyZXM6Ly9wYXBlcmNsaXA6b2xkQGg6NTQzMi9wYXBlcmNsaXA="}),
    ));
    let m = managed(&database(MINIMAL), &found);
    assert!(
        matches!(m.credentials, Credentials::PutBack(login) if login.password.reveal() == "old")
    );
}

#[test]
fn a_secret_without_a_password_is_a_loss_and_nothing_is_put_into_it() {
    let mut found = nothing();
    found.credentials = Known::Present(secret(&json!({"username": "eA=="})));
    let m = managed(&database(MINIMAL), &found);
    assert!(matches!(m.credentials, Credentials::Lost(_)));
}

#[test]
fn a_volume_never_shrinks_and_grows_only_when_it_is_bound() {
    let sized = |spec: &str, present: &str, phase: &str| {
        let mut found = nothing();
        found.credentials = Known::Vouched;
        found.claim = Known::Present(claim(present, phase, "2026-05-01T10:00:01Z"));
        let validated = accepted(
            &with_spec(&format!("{{storage: {{size: {spec}}}}}")),
            &found,
        );
        let Engine::Managed(m) = validated.engine else {
            panic!()
        };
        let Volume::Own { size, .. } = m.volume else {
            panic!()
        };
        (size.to_string(), lines(&validated.notes))
    };
    assert_eq!(sized("20Gi", "10Gi", "Bound").0, "20Gi");
    assert_eq!(sized("20Gi", "10Gi", "Pending").0, "10Gi");
    let (size, notes) = sized("5Gi", "10Gi", "Bound");
    assert_eq!(size, "10Gi");
    assert_eq!(
        notes,
        [
            "Clamped spec.storage.size: 5Gi raised to 10Gi, the size of PVC \"shop-db-data\"; a volume cannot shrink"
        ]
    );
}

#[test]
fn the_class_of_a_volume_cannot_change() {
    let mut found = nothing();
    found.credentials = Known::Vouched;
    found.claim = Known::Present(claim("10Gi", "Bound", "2026-05-01T10:00:01Z"));
    let object = with_spec("{storage: {storageClassName: slow}}");
    let Verdict::Refused(problems) = verdict(&object, &found) else {
        panic!("accepted")
    };
    assert_eq!(
        lines(&problems),
        [
            "InvalidSpec spec.storage.storageClassName: \"slow\", but PVC \"shop-db-data\" has class \"fast\"; the class of a volume cannot change"
        ]
    );
}

#[test]
fn in_place_of_lost_data_no_empty_volume_is_made() {
    let object = with_status("{}", json!({"version": 17}));
    let mut found = nothing();
    found.credentials = Known::Vouched;
    assert!(matches!(
        managed(&object, &found).volume,
        Volume::Lost { .. }
    ));
    let mut going = claim("10Gi", "Bound", "2026-05-01T10:00:01Z");
    going.deleting = true;
    found.claim = Known::Present(going);
    assert!(matches!(
        managed(&object, &found).volume,
        Volume::Lost { .. }
    ));
}

#[test]
fn an_external_database_has_exactly_one_url() {
    for spec in [
        "{engine: External}",
        "{engine: External, external: {}}",
        "{engine: External, external: {url: ''}}",
        "{engine: External, external: {url: 'postgres://h/d', urlSecretRef: {name: a, key: b}}}",
    ] {
        assert_eq!(
            lines(&refused(&with_spec(spec))),
            ["InvalidSpec spec.external: set exactly one of external.urlSecretRef, external.url"]
        );
    }
}

#[test]
fn a_url_that_is_no_postgres_url_is_refused_without_repeating_it() {
    for url in ["mysql://u:hunter2@h/d", "postgres:///d", "hunter2"] {
        let found = lines(&refused(&with_spec(&format!(
            "{{engine: External, external: {{url: '{url}'}}}}"
        ))));
        assert_eq!(
            found,
            [
                "InvalidSpec spec.external.url: must start with postgres:// or postgresql:// and name a host"
            ]
        );
    }
}

#[test]
fn a_secret_of_the_user_is_judged_without_showing_its_value() {
    let object = with_spec("{engine: External, external: {urlSecretRef: {name: s, key: url}}}");
    for (data, expected) in [
        (None, Some("SecretNotFound")),
        (Some(json!({"other": "eA=="})), Some("KeyNotFound")),
        (Some(json!({"url": ""})), Some("EmptyValue")),
        (Some(json!({"url": "aHVudGVyMg=="})), Some("InvalidValue")),
        // postgres://u:p@h/d
        (Some(json!({"url": "cG9zdGdyZXM6Ly91OnBAaC9k"})), None),
    ] {
        let mut found = nothing();
        found.external = data.map_or(Known::Absent, |data| Known::Present(secret(&data)));
        let External::Reference { problem, .. } = external(&object, &found) else {
            panic!()
        };
        assert_eq!(problem.as_ref().map(|(reason, _)| *reason), expected);
        assert!(problem.is_none_or(|(_, text)| !text.contains("hunter2")));
    }
}
