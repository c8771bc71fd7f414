//! The restore Job, with a real PostgreSQL and object storage that others made. A restore is whole, or it changes nothing.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod support;

use std::fs;

use age::secrecy::ExposeSecret;
use rustix::process::{Pid, Signal, kill_process};
use support::bucket::{BUCKET, Fate, SECRET, Service};
use support::place::{PREFIX, Place, wait_for};
use support::postgres_programs;

/// Changes everything that a backup holds, so that what comes back can only come from there.
const OTHER_DATA: &str = "DELETE FROM companies WHERE id > 40; UPDATE companies SET name = 'changed'; \
    DROP TABLE \"Odd name\"; CREATE TABLE newer (id int PRIMARY KEY); CREATE VIEW seen AS SELECT * FROM newer; \
    CREATE TYPE colour AS ENUM ('red'); CREATE FUNCTION f() RETURNS int LANGUAGE sql AS 'SELECT 1'; \
    CREATE SEQUENCE numbers; INSERT INTO drizzle.__drizzle_migrations (hash) VALUES ('cc'); \
    CREATE SCHEMA others; CREATE TABLE others.kept AS SELECT 1 AS one";

#[tokio::test]
async fn what_the_backup_holds_takes_the_place_of_what_is_there() {
    let place = Place::new().await;
    place
        .sql("CREATE INDEX ON companies USING gin (name gin_trgm_ops)")
        .await;
    assert_eq!(place.backup().code, 0, "{}", place.site.log());
    place.sql(OTHER_DATA).await;

    let ended = place.job("restore").end();
    assert_eq!(ended.code, 0, "{}", place.site.log());
    place.nothing_is_told(&ended);
    let steps: Vec<_> = ended.result["steps"]
        .as_array()
        .unwrap()
        .iter()
        .map(|step| step["name"].as_str().unwrap().to_owned())
        .collect();
    assert_eq!(steps, ["input", "storage", "connect", "restore", "check"]);
    let location = ended.result["facts"]["location"].as_str().unwrap();
    assert!(
        location.starts_with(&format!("s3://{BUCKET}/{PREFIX}/")),
        "{location}"
    );
    assert_eq!(ended.result["facts"]["migrations"], 2);

    assert_eq!(
        place
            .number("SELECT count(*) FROM companies WHERE name = 'company ' || id")
            .await,
        100
    );
    assert_eq!(place.number("SELECT count(*) FROM \"Odd name\"").await, 0);
    assert_eq!(
        place
            .number("SELECT count(*) FROM drizzle.__drizzle_migrations")
            .await,
        2
    );
    let newer = "SELECT (SELECT count(*) FROM pg_class WHERE relname IN ('newer', 'seen', 'numbers')) \
        + (SELECT count(*) FROM pg_type WHERE typname = 'colour') + (SELECT count(*) FROM pg_proc WHERE proname = 'f')";
    assert_eq!(
        place.number(newer).await,
        0,
        "what is newer than the backup is still there"
    );
    // What the backup knows nothing of is nobody's to take away.
    assert_eq!(place.number("SELECT count(*) FROM others.kept").await, 1);
    assert_eq!(
        place
            .number(
                "SELECT count(*) FROM pg_extension WHERE extname IN ('pg_trgm', 'fuzzystrmatch')"
            )
            .await,
        2
    );
    let owner =
        "SELECT count(*) FROM pg_tables WHERE tablename = 'companies' AND tableowner = 'paperclip'";
    assert_eq!(place.number(owner).await, 1);
}

#[tokio::test]
async fn a_backup_is_found_by_all_the_words_that_people_use_for_one() {
    let mut place = Place::with(Service::gofakes3).await;
    let old = place.backup().folder();
    std::thread::sleep(std::time::Duration::from_millis(1100));
    place.sql("DELETE FROM companies WHERE id > 50").await;
    assert_eq!(place.backup().code, 0);
    let compact = old.replace(['-', ':'], "");
    for words in [
        old.clone(),
        format!("{PREFIX}/{old}/manifest.json"),
        format!("s3://{BUCKET}/{PREFIX}/{old}/"),
        compact.clone(),
        format!("nightly-{}", compact.to_lowercase()),
    ] {
        place
            .site
            .set("PAPERCLIP_AGENT_RESTORE_FROM", words.clone());
        let ended = place.job("restore").end();
        assert_eq!(ended.code, 0, "{words}: {}", place.site.log());
        assert_eq!(
            place.number("SELECT count(*) FROM companies").await,
            100,
            "{words}"
        );
    }
    // The newest below a beginning, and the newest of all.
    for words in [old.get(..10).unwrap(), ""] {
        place.site.set("PAPERCLIP_AGENT_RESTORE_FROM", words);
        assert_eq!(place.job("restore").end().code, 0, "{words}");
        assert_eq!(
            place.number("SELECT count(*) FROM companies").await,
            50,
            "{words:?}"
        );
    }
    place
        .site
        .set("PAPERCLIP_AGENT_RESTORE_FROM", "1999-01-01T00:00:00Z");
    let ended = place.job("restore").end();
    assert_eq!(ended.code(), (3, "NotFound", "storage"));
    assert!(
        ended.message().contains(&old),
        "no others are named: {}",
        ended.message()
    );
    assert_eq!(place.number("SELECT count(*) FROM companies").await, 50);
}

#[tokio::test]
async fn an_encrypted_backup_needs_its_key() {
    let mut place = Place::new().await;
    let (identity, other) = (
        age::x25519::Identity::generate(),
        age::x25519::Identity::generate(),
    );
    place.site.set(
        "PAPERCLIP_AGENT_AGE_RECIPIENTS",
        identity.to_public().to_string(),
    );
    assert_eq!(place.backup().code, 0);
    place.sql(OTHER_DATA).await;
    let ended = place.job("restore").end();
    assert_eq!(ended.code(), (3, "KeyMissing", "storage"));

    let file = place.site.root.join("identity");
    place
        .site
        .set("PAPERCLIP_AGENT_AGE_IDENTITY_FILE", file.to_str().unwrap());
    for (text, message) in [
        (
            other.to_string().expose_secret().to_owned(),
            "for another key",
        ),
        ("hunter2-is-no-key".to_owned(), "it is none of age"),
    ] {
        fs::write(&file, &text).unwrap();
        let ended = place.job("restore").end();
        assert_eq!((ended.code().0, ended.code().1), (3, "KeyMissing"));
        assert!(ended.message().contains(message), "{}", ended.message());
        assert!(!place.site.log().contains(text.trim()), "a key is told");
    }
    assert_eq!(place.number("SELECT count(*) FROM companies").await, 40);

    fs::write(
        &file,
        format!("# made today\n{}\n", identity.to_string().expose_secret()),
    )
    .unwrap();
    let ended = place.job("restore").end();
    assert_eq!(ended.code, 0, "{}", place.site.log());
    assert_eq!(place.number("SELECT count(*) FROM companies").await, 100);
    assert!(
        !place
            .site
            .log()
            .contains(identity.to_string().expose_secret())
    );
}

#[tokio::test]
async fn a_byte_that_changed_in_the_bucket_changes_nothing_in_the_database() {
    let place = Place::new().await;
    place.fill(20).await;
    let folder = place.backup().folder();
    place.sql(OTHER_DATA).await;
    let name = format!("{PREFIX}/{folder}/database.dump");
    let good = place.service.objects()[&name].clone();
    let middle = good.len() / 2;
    let mut flipped = good.clone();
    flipped[middle] ^= 1;
    for (what, bytes) in [
        ("flipped", flipped),
        ("cut", good[..middle].to_vec()),
        ("empty", vec![]),
    ] {
        place.service.overwrite(&name, &bytes);
        let ended = place.job("restore").end();
        assert_eq!(
            ended.code(),
            (3, "Corrupt", "restore"),
            "{what}: {}",
            ended.message()
        );
        assert_eq!(
            place
                .number("SELECT count(*) FROM companies WHERE name = 'changed'")
                .await,
            40,
            "{what}"
        );
        assert_eq!(
            place.number("SELECT count(*) FROM newer").await,
            0,
            "{what}"
        );
    }
    place.service.overwrite(&name, &good);
    assert_eq!(place.job("restore").end().code, 0);
    assert_eq!(place.number("SELECT count(*) FROM runs").await, 20_000);
}

#[tokio::test]
async fn rows_that_the_manifest_does_not_tell_of_are_refused() {
    let place = Place::new().await;
    let folder = place.backup().folder();
    let name = format!("{PREFIX}/{folder}/manifest.json");
    let text = String::from_utf8(place.service.objects()[&name].clone()).unwrap();
    place.service.overwrite(
        &name,
        text.replace("\"rows\": 100", "\"rows\": 101").as_bytes(),
    );
    place.sql(OTHER_DATA).await;
    let ended = place.job("restore").end();
    assert_eq!(ended.code(), (3, "Corrupt", "restore"));
    assert!(
        ended
            .message()
            .contains("rows of public.companies: the backup has 101, the database now 100"),
        "{}",
        ended.message()
    );
    assert_eq!(place.number("SELECT count(*) FROM companies").await, 40);
}

#[tokio::test]
async fn somebody_elses_backup_and_other_keys_are_refused_before_anything_is_touched() {
    let mut place = Place::new().await;
    place
        .sql("CREATE TABLE company_secret_versions (material jsonb); INSERT INTO company_secret_versions VALUES ('{\"scheme\": \"local_encrypted_v1\"}')")
        .await;
    place.site.set(
        "PAPERCLIP_AGENT_ABOUT",
        r#"{"instance":{"namespace":"prod","name":"my-paperclip"},"masterKey":"aaaaaaaaaaaa"}"#,
    );
    assert_eq!(place.backup().code, 0);
    place.sql(OTHER_DATA).await;

    place.site.set(
        "PAPERCLIP_AGENT_RESTORE_OF",
        r#"{"namespace":"prod","name":"other"}"#,
    );
    let ended = place.job("restore").end();
    assert_eq!(ended.code(), (3, "ForeignBackup", "storage"));
    assert!(
        ended.message().contains("prod/my-paperclip"),
        "{}",
        ended.message()
    );

    place.site.set(
        "PAPERCLIP_AGENT_RESTORE_OF",
        r#"{"namespace":"prod","name":"my-paperclip"}"#,
    );
    place
        .site
        .set("PAPERCLIP_AGENT_MASTER_KEY_FINGERPRINT", "bbbbbbbbbbbb");
    assert_eq!(
        place.job("restore").end().code(),
        (3, "KeyMissing", "storage")
    );

    place
        .site
        .set("PAPERCLIP_AGENT_MASTER_KEY_FINGERPRINT", "aaaaaaaaaaaa");
    place
        .site
        .set("PAPERCLIP_AGENT_RESTORE_SHA256", "0".repeat(64));
    assert_eq!(place.job("restore").end().code(), (3, "Corrupt", "storage"));
    assert_eq!(place.number("SELECT count(*) FROM companies").await, 40);

    place.site.set("PAPERCLIP_AGENT_RESTORE_SHA256", "");
    assert_eq!(place.job("restore").end().code, 0, "{}", place.site.log());
}

#[tokio::test]
async fn a_restore_that_is_killed_in_the_middle_changes_nothing() {
    let mut place = Place::new().await;
    place.fill(30).await;
    assert_eq!(place.backup().code, 0);
    place.sql(OTHER_DATA).await;
    let real = place.service.port;
    for how in ["agent killed", "agent asked to end", "psql killed"] {
        // The dump stops coming when half of it has come.
        let proxy = place.spoil(|method, target| {
            if method == "GET" && target.contains("database.dump") {
                Fate::Stall
            } else {
                Fate::Pass
            }
        });
        let job = place.job("restore");
        wait_for("the dump is read", || proxy.held() > 0);
        place.wait_for_locks().await;
        match how {
            "agent killed" => job.container.signal(Signal::KILL),
            "agent asked to end" => job.container.signal(Signal::TERM),
            _ => {
                let agent = u32::try_from(job.container.main_process()).unwrap();
                let psql = support::processes().into_iter().find(|process| {
                    let name = fs::read_to_string(format!("/proc/{}/comm", process.id));
                    process.parent == agent && name.is_ok_and(|name| name.trim() == "psql")
                });
                let id = i32::try_from(psql.expect("no psql").id).unwrap();
                kill_process(Pid::from_raw(id).unwrap(), Signal::KILL).unwrap();
                proxy.let_go();
            }
        }
        let mut job = job;
        let code = job.container.wait().code();
        assert_ne!(code, Some(0), "{how}");
        assert_eq!(
            place
                .number("SELECT count(*) FROM companies WHERE name = 'changed'")
                .await,
            40,
            "{how}"
        );
        place.site.set(
            "PAPERCLIP_AGENT_S3_ENDPOINT",
            format!("http://127.0.0.1:{real}"),
        );
    }
    assert_eq!(place.job("restore").end().code, 0, "{}", place.site.log());
    assert_eq!(place.number("SELECT count(*) FROM runs").await, 30_000);
    assert!(!place.site.log().contains(SECRET));
}

#[tokio::test]
async fn a_storage_that_fails_for_a_while_is_tried_again_and_one_that_is_gone_is_named() {
    let mut place = Place::new().await;
    assert_eq!(place.backup().code, 0);
    place.sql(OTHER_DATA).await;
    let mut failures = 3;
    let proxy = place.spoil(move |method, _| {
        if method == "GET" && failures > 0 {
            failures -= 1;
            return Fate::Overloaded;
        }
        Fate::Pass
    });
    assert_eq!(place.job("restore").end().code, 0, "{}", place.site.log());
    assert_eq!(place.number("SELECT count(*) FROM companies").await, 100);
    drop(proxy);
    place
        .site
        .set("PAPERCLIP_AGENT_S3_BUCKET", "another-bucket");
    let ended = place.job("restore").end();
    assert_eq!(ended.code().1, "BucketNotFound", "{}", ended.message());
}

#[tokio::test]
async fn a_backup_is_proven_by_bringing_it_back_somewhere_else() {
    let mut place = Place::new().await;
    place.fill(5).await;
    let backup = place.backup();
    place
        .site
        .set("PAPERCLIP_AGENT_RESTORE_FROM", backup.folder());
    let scratch = place.site.root.join("scratch");
    place
        .site
        .set("PAPERCLIP_AGENT_SCRATCH", scratch.to_str().unwrap());
    place.sql(OTHER_DATA).await;

    let ended = place.job("verify").end();
    assert_eq!(ended.code, 0, "{}", place.site.log());
    assert_eq!(ended.result["facts"]["level"], "Restore");
    assert_eq!(
        ended.result["facts"]["sha256"],
        backup.result["facts"]["sha256"]
    );
    assert!(!scratch.exists(), "the scratch database is left");
    // The database that people use was not touched.
    assert_eq!(place.number("SELECT count(*) FROM companies").await, 40);

    // A wrong byte anywhere, and a wrong number, are found.
    let dump = format!("{PREFIX}/{}/database.dump", backup.folder());
    let good = place.service.objects()[&dump].clone();
    let mut flipped = good.clone();
    *flipped.last_mut().unwrap() ^= 1;
    place.service.overwrite(&dump, &flipped);
    let ended = place.job("verify").end();
    assert_eq!(ended.code(), (3, "Corrupt", "checksum"));
    place.service.overwrite(&dump, &good);
    let manifest = format!("{PREFIX}/{}/manifest.json", backup.folder());
    let text = String::from_utf8(place.service.objects()[&manifest].clone()).unwrap();
    let wrong = text.replace("\"rows\": 100", "\"rows\": 99");
    place.service.overwrite(&manifest, wrong.as_bytes());
    let ended = place.job("verify").end();
    assert_eq!(ended.code(), (3, "Corrupt", "restore"));
    assert!(ended.message().contains("public.companies"));
}

/// What the earlier operator's Job wrote: `pg_dump | gzip`.
fn earlier_dump(place: &Place) -> Vec<u8> {
    use std::io::Write;
    let socket = place.site.root.join("socket");
    let port = place.site.port.to_string();
    let program = postgres_programs().join("pg_dump");
    let arguments = [
        "-h",
        socket.to_str().unwrap(),
        "-p",
        &port,
        "-U",
        "postgres",
        "-d",
        "paperclip",
    ];
    let mut all = vec![program.to_str().unwrap()];
    all.extend(arguments);
    let output = place.site.container(&all).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    let mut gzip = flate2::write::GzEncoder::new(vec![], flate2::Compression::fast());
    gzip.write_all(&output.stdout).unwrap();
    gzip.finish().unwrap()
}

#[tokio::test]
async fn a_dump_of_the_earlier_operator_comes_back_if_it_is_whole() {
    let mut place = Place::with(Service::gofakes3).await;
    place.sql("CREATE INDEX ON companies USING gin (name gin_trgm_ops); INSERT INTO companies VALUES (0, E'a\\nb\\\\.')").await;
    let whole = earlier_dump(&place);
    place.sql("DELETE FROM companies WHERE id = 0").await;
    place.sql(OTHER_DATA).await;
    place
        .site
        .set("PAPERCLIP_AGENT_RESTORE_FROM", "20260102T030405.sql.gz");
    assert_eq!(
        place.job("restore").end().code(),
        (3, "NotFound", "storage")
    );

    // That operator's dump could be empty or cut short, and was called a success.
    let mut flipped = whole.clone();
    let middle = flipped.len() / 2;
    flipped[middle] ^= 1;
    let nothing = [
        0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 3, 3, 0, 0, 0, 0, 0, 0, 0, 0, 0,
    ];
    for (what, bytes) in [
        ("cut", &whole[..middle]),
        ("flipped", &flipped),
        ("of nothing", &nothing),
        ("empty", &[]),
    ] {
        place
            .service
            .put(&format!("{PREFIX}/20260102T030405.sql.gz"), bytes);
        let ended = place.job("restore").end();
        assert_eq!(ended.code().0, 3, "{what}: {}", ended.message());
        assert_eq!(
            place
                .number("SELECT count(*) FROM companies WHERE name = 'changed'")
                .await,
            40,
            "{what}"
        );
        assert_eq!(
            place.number("SELECT count(*) FROM newer").await,
            0,
            "{what}"
        );
    }

    place
        .service
        .put(&format!("{PREFIX}/20260102T030405.sql.gz"), &whole);
    let ended = place.job("restore").end();
    assert_eq!(ended.code, 0, "{}", place.site.log());
    assert_eq!(ended.result["facts"]["migrations"], 2);
    assert_eq!(
        place
            .number("SELECT count(*) FROM companies WHERE name = 'company ' || id")
            .await,
        100
    );
    assert_eq!(
        place
            .number("SELECT count(*) FROM companies WHERE name = E'a\\nb\\\\.'")
            .await,
        1
    );
    assert_eq!(place.number("SELECT count(*) FROM others.kept").await, 1);
    let owner = "SELECT count(*) FROM pg_tables WHERE tablename IN ('companies', '__drizzle_migrations') AND tableowner = 'paperclip'";
    assert_eq!(place.number(owner).await, 2);
    assert_eq!(
        place
            .number("SELECT count(*) FROM pg_class WHERE relname = 'newer'")
            .await,
        0
    );
    place.nothing_is_told(&ended);

    // It holds no files.
    place
        .site
        .set("PAPERCLIP_AGENT_RESTORE_INCLUDE", "Database Files");
    assert_eq!(
        place.job("restore").end().code(),
        (3, "NotFound", "storage")
    );
}
