//! The backup Job, with a real PostgreSQL and object storage that others made; a proxy between spoils what a test wants spoiled.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod support;

use std::fs;
use std::io::Read;
use std::time::{Duration, Instant};

use age::secrecy::ExposeSecret;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use support::bucket::{BUCKET, Fate, Service, free_port};
use support::place::{ENCODED, PREFIX, Place, sha256, wait_for};
use support::{PATIENCE, processes};

#[tokio::test]
async fn a_backup_is_a_dump_and_a_manifest_that_proves_it() {
    let mut place = Place::new().await;
    place.site.set("PAPERCLIP_AGENT_SPEC", "kind: Instance\n");

    let ended = place.backup();
    assert_eq!(ended.code, 0, "{}", place.site.log());
    place.nothing_is_told(&ended);
    let steps: Vec<_> = ended.result["steps"]
        .as_array()
        .unwrap()
        .iter()
        .map(|step| step["name"].as_str().unwrap().to_owned())
        .collect();
    assert_eq!(
        steps,
        [
            "input", "storage", "connect", "dump", "readback", "manifest"
        ]
    );

    let objects = place.service.objects();
    let folder = objects
        .keys()
        .find_map(|name| name.strip_suffix("/manifest.json"))
        .unwrap();
    assert_eq!(
        ended.result["facts"]["location"],
        format!("s3://{BUCKET}/{folder}/")
    );
    let time = folder.strip_prefix(&format!("{PREFIX}/")).unwrap();
    assert!(time.parse::<jiff::Timestamp>().is_ok(), "{time}");
    let manifest = &objects[&format!("{folder}/manifest.json")];
    assert_eq!(ended.result["facts"]["sha256"], sha256(manifest));
    let sum: usize = objects.values().map(Vec::len).sum();
    assert_eq!(ended.result["facts"]["bytes"], sum);

    let manifest: Value = serde_json::from_slice(manifest).unwrap();
    assert_eq!(manifest["instance"]["name"], "my-paperclip");
    assert_eq!(manifest["database"]["migrations"]["rows"], 2);
    assert_eq!(ended.result["facts"]["migrations"], 2);
    let rows = manifest["database"]["tables"].as_array().unwrap();
    let count = |table: &str| {
        let found = rows.iter().find(|entry| entry["table"] == table);
        found.unwrap_or_else(|| panic!("no {table} in {rows:?}"))["rows"].clone()
    };
    assert_eq!(count("public.companies"), 100);
    assert_eq!(count("public.Odd name"), 0);
    for part in manifest["parts"].as_array().unwrap() {
        let object = &objects[&format!("{folder}/{}", part["name"].as_str().unwrap())];
        assert_eq!(part["bytes"], object.len());
        assert_eq!(part["sha256"], sha256(object));
    }

    // And a person's own tools bring it back.
    let dump = place.site.root.join("dump");
    fs::write(&dump, &objects[&format!("{folder}/database.dump")]).unwrap();
    place
        .sql("DROP TABLE companies; DROP TABLE \"Odd name\"; DROP SCHEMA drizzle CASCADE")
        .await;
    place.site.give_away();
    let port = place.site.port.to_string();
    let socket = place.site.root.join("socket");
    place.site.run(
        "pg_restore",
        &[
            "--exit-on-error",
            "--clean",
            "--if-exists",
            "-h",
            socket.to_str().unwrap(),
            "-p",
            &port,
            "-U",
            "postgres",
            "-d",
            "paperclip",
            dump.to_str().unwrap(),
        ],
    );
    let row = place
        .site
        .application()
        .await
        .query_one("SELECT count(*) FROM companies", &[])
        .await
        .unwrap();
    assert_eq!(row.get::<_, i64>(0), 100);
}

#[tokio::test]
async fn a_second_backup_has_a_folder_of_its_own_and_touches_no_other() {
    let place = Place::new().await;
    assert_eq!(place.backup().code, 0);
    let before = place.service.objects();
    assert_eq!(place.backup().code, 0);
    let after = place.service.objects();
    assert_eq!(after.len(), 2 * before.len());
    for (name, content) in before {
        assert!(after[&name] == content, "{name} was changed");
    }
}

#[tokio::test]
async fn storage_of_another_make_takes_large_and_small_backups() {
    let place = Place::with(Service::gofakes3).await;
    let ended = place.backup();
    assert_eq!(ended.code, 0, "{}", place.site.log());
    place.fill(40).await;
    let ended = place.backup();
    assert_eq!(ended.code, 0, "{}", place.site.log());
    assert!(
        ended.result["facts"]["bytes"].as_u64().unwrap() > 17 << 20,
        "one part only"
    );
}

#[tokio::test]
async fn an_encrypted_backup_is_read_with_the_private_key_alone() {
    let mut place = Place::new().await;
    let identity = age::x25519::Identity::generate();
    let other = age::x25519::Identity::generate();
    place.site.set(
        "PAPERCLIP_AGENT_AGE_RECIPIENTS",
        format!("{} {}", other.to_public(), identity.to_public()),
    );
    let ended = place.backup();
    assert_eq!(ended.code, 0, "{}", place.site.log());
    let objects = place.service.objects();
    let (name, sealed) = objects
        .iter()
        .find(|(name, _)| name.contains("dump.age"))
        .unwrap();
    assert!(name.ends_with("/database.dump.age"), "{name}");
    assert!(!objects.keys().any(|name| name.ends_with("/database.dump")));
    let mut plain = Vec::new();
    age::Decryptor::new(&sealed[..])
        .unwrap()
        .decrypt(std::iter::once(&identity as &dyn age::Identity))
        .unwrap()
        .read_to_end(&mut plain)
        .unwrap();
    assert!(plain.starts_with(b"PGDMP"));
    let manifest = objects
        .iter()
        .find(|(name, _)| name.ends_with("manifest.json"));
    let manifest: Value = serde_json::from_slice(manifest.unwrap().1).unwrap();
    assert_eq!(manifest["parts"][0]["encryption"], "age");
    assert_eq!(manifest["parts"][0]["plain"]["sha256"], sha256(&plain));
    assert!(
        !place
            .site
            .log()
            .contains(identity.to_string().expose_secret())
    );
}

#[tokio::test]
async fn a_key_that_is_none_leaves_no_backup_rather_than_a_plain_one() {
    let mut place = Place::new().await;
    place
        .site
        .set("PAPERCLIP_AGENT_AGE_RECIPIENTS", "age1nonsense");
    let ended = place.backup();
    assert_eq!(ended.code(), (2, "InvalidRecipient", "input"));
    place.nothing_is_left();
}

#[tokio::test]
async fn a_dump_that_is_killed_is_no_backup() {
    let mut place = Place::new().await;
    place.fill(60).await;
    let proxy = place.spoil(|method, target| {
        if method == "PUT" && target.contains("partNumber=1") {
            Fate::Hold
        } else {
            Fate::Pass
        }
    });
    let backup = place.start();
    wait_for("no part was sent", || proxy.held() > 0);
    let agent = u32::try_from(backup.container.main_process()).unwrap();
    let dump = processes()
        .into_iter()
        .find(|process| {
            let name = fs::read_to_string(format!("/proc/{}/comm", process.id));
            process.parent == agent && name.is_ok_and(|name| name.trim() == "pg_dump")
        })
        .expect("no pg_dump");
    kill_process(
        Pid::from_raw(i32::try_from(dump.id).unwrap()).unwrap(),
        Signal::KILL,
    )
    .unwrap();
    proxy.let_go();
    let ended = backup.end();
    assert_eq!(ended.code(), (4, "DumpFailed", "dump"));
    assert!(ended.message().contains("signal 9"), "{}", ended.message());
    place.nothing_is_left();
}

#[tokio::test]
async fn a_database_that_ends_the_connection_leaves_no_backup() {
    let mut place = Place::new().await;
    place.fill(60).await;
    let proxy = place.spoil(|method, target| {
        if method == "PUT" && target.contains("partNumber=1") {
            Fate::Hold
        } else {
            Fate::Pass
        }
    });
    let backup = place.start();
    wait_for("no part was sent", || proxy.held() > 0);
    place
        .sql("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name LIKE '%pg_dump'")
        .await;
    proxy.let_go();
    let ended = backup.end();
    assert_eq!(ended.code(), (4, "DumpFailed", "dump"));
    assert!(
        ended.message().contains("Dumping the contents of table"),
        "{}",
        ended.message()
    );
    place.nothing_is_left();
}

#[tokio::test]
async fn a_dump_that_ends_well_and_is_cut_short_or_empty_is_no_backup() {
    let place = Place::new().await;
    for (script, words) in [
        ("exit 0", "no readable table of contents"),
        (
            "\"$real\" \"$@\" | head -c 500; exit 0",
            "no readable table of contents",
        ),
        (
            "exec \"$real\" \"$@\" --exclude-table-data=companies",
            "data of 2 tables, the database has 3",
        ),
    ] {
        place.replace("pg_dump", script);
        let ended = place.backup();
        assert_eq!(ended.code(), (4, "DumpFailed", "dump"), "{script}");
        assert!(ended.message().contains(words), "{}", ended.message());
        place.nothing_is_left();
    }
}

#[tokio::test]
async fn a_build_without_the_best_compression_uses_another() {
    let place = Place::new().await;
    place.replace(
        "pg_dump",
        "case \"$*\" in *zstd*|*--compress=4*) \
         case \"$*\" in *zstd*) echo 'pg_dump: error: this build does not support compression with zstd' >&2; exit 1;; esac;; esac\n\
         exec \"$real\" \"$@\"",
    );
    let ended = place.backup();
    assert_eq!(ended.code, 0, "{}", place.site.log());
}

#[tokio::test]
async fn a_connection_that_is_cut_and_a_service_that_is_overloaded_for_a_moment_do_no_harm() {
    let mut place = Place::new().await;
    place.fill(40).await;
    let mut requests = 0;
    place.spoil(move |method, target| {
        requests += 1;
        if method == "PUT" && target.contains("partNumber=2") && requests < 8 {
            return Fate::CutAfter(1 << 20);
        }
        if requests % 3 == 0 {
            Fate::Overloaded
        } else {
            Fate::Pass
        }
    });
    let ended = place.backup();
    assert_eq!(ended.code, 0, "{}", place.site.log());
    let objects = place.service.objects();
    assert_eq!(objects.len(), 2, "{:?}", objects.keys());
}

#[tokio::test]
async fn a_service_that_stays_overloaded_is_named_and_nothing_is_left() {
    let mut place = Place::new().await;
    let objects = |method: &str, _: &str| {
        if method == "PUT" {
            Fate::Overloaded
        } else {
            Fate::Pass
        }
    };
    place.spoil(objects);
    let ended = place.backup();
    assert_eq!(ended.code(), (4, "DestinationUnreachable", "dump"));
    assert!(ended.message().contains("SlowDown"), "{}", ended.message());
    place.nothing_is_left();
}

#[tokio::test]
async fn what_is_changed_on_the_way_back_is_no_backup() {
    let mut place = Place::new().await;
    place.spoil(|method, target| {
        if method == "GET" && target.ends_with("database.dump") {
            Fate::FlipLastByte
        } else {
            Fate::Pass
        }
    });
    let ended = place.backup();
    assert_eq!(ended.code(), (3, "ReadBackMismatch", "readback"));
    place.nothing_is_left();
}

#[tokio::test]
async fn what_comes_back_shorter_is_no_backup() {
    let mut place = Place::new().await;
    place.spoil(|method, target| {
        if method == "GET" && target.ends_with("database.dump") {
            Fate::Truncate
        } else {
            Fate::Pass
        }
    });
    let ended = place.backup();
    assert_ne!(ended.code, 0);
    assert_eq!(ended.code().2, "readback", "{}", ended.result);
    place.nothing_is_left();
}

#[tokio::test]
async fn what_is_changed_on_the_way_there_is_refused_by_its_signature() {
    let mut place = Place::new().await;
    place.spoil(|method, target| {
        if method == "PUT" && target.ends_with("database.dump") {
            Fate::FlipSentByte
        } else {
            Fate::Pass
        }
    });
    let ended = place.backup();
    assert_ne!(ended.code, 0);
    assert_eq!(ended.code().2, "dump", "{}", ended.result);
    place.nothing_is_left();
}

#[tokio::test]
async fn a_bucket_that_is_not_there_is_named_before_anything_is_dumped() {
    let mut place = Place::new().await;
    place.site.set("PAPERCLIP_AGENT_S3_BUCKET", "another");
    let ended = place.backup();
    assert_eq!(ended.code(), (3, "BucketNotFound", "storage"));
    assert!(
        ended.message().contains("\"another\""),
        "{}",
        ended.message()
    );
}

#[tokio::test]
async fn keys_that_are_not_accepted_are_told_and_not_shown() {
    let place = Place::new().await;
    fs::write(
        place.site.root.join("keys/S3_SECRET_ACCESS_KEY"),
        "another-secret-key",
    )
    .unwrap();
    let ended = place.backup();
    assert_eq!(ended.code(), (3, "AccessDenied", "storage"));
    assert!(!ended.result.to_string().contains("another-secret-key"));
    fs::remove_file(place.site.root.join("keys/S3_SECRET_ACCESS_KEY")).unwrap();
    assert_eq!(place.backup().code(), (2, "InvalidStorage", "input"));
    place.nothing_is_left();
}

#[tokio::test]
async fn a_service_that_does_not_answer_is_told_in_the_end() {
    let mut place = Place::new().await;
    place.site.set(
        "PAPERCLIP_AGENT_S3_ENDPOINT",
        format!("http://127.0.0.1:{}", free_port()),
    );
    let ended = place.backup();
    assert_eq!(ended.code(), (4, "DestinationUnreachable", "storage"));
}

#[tokio::test]
async fn a_database_that_is_not_there_is_told_in_the_end() {
    let mut place = Place::new().await;
    place.site.set("PAPERCLIP_AGENT_WAIT_SECONDS", "1");
    place.site.set(
        "DATABASE_URL",
        format!(
            "postgres://paperclip:{ENCODED}@127.0.0.1:{}/paperclip",
            free_port()
        ),
    );
    let ended = place.backup();
    assert_eq!(ended.code(), (4, "Refused", "connect"));
    place.nothing_is_told(&ended);
    place.nothing_is_left();
}

#[tokio::test]
async fn a_pod_that_is_evicted_leaves_nothing_behind() {
    let mut place = Place::new().await;
    place.fill(40).await;
    let proxy = place.spoil(|method, target| {
        if method == "PUT" && target.contains("partNumber=2") {
            Fate::Hold
        } else {
            Fate::Pass
        }
    });
    let backup = place.start();
    wait_for("no part was sent", || proxy.held() > 0);
    backup.container.signal(Signal::TERM);
    proxy.let_go();
    let ended = backup.end();
    assert_eq!(ended.code, 5);
    assert_eq!(ended.result["code"], "Terminated");
    place.nothing_is_left();
}

#[tokio::test]
async fn memory_does_not_grow_with_the_database() {
    let place = Place::new().await;
    place.fill(300).await;
    let backup = place.start();
    let agent = backup.container.main_process();
    let mut most = 0;
    let mut backup = backup;
    let since = Instant::now();
    loop {
        let status = fs::read_to_string(format!("/proc/{agent}/status")).unwrap_or_default();
        let peak = status
            .lines()
            .find_map(|line| line.strip_prefix("VmHWM:"))
            .and_then(|line| line.split_whitespace().next()?.parse::<u64>().ok());
        most = most.max(peak.unwrap_or(0));
        if peak.is_none() && most > 0 {
            break;
        }
        assert!(since.elapsed() < 3 * PATIENCE, "the backup does not end");
        std::thread::sleep(Duration::from_millis(5));
    }
    let code = backup.container.wait().code().unwrap();
    assert_eq!(code, 0, "{}", place.site.log());
    let bytes = place
        .service
        .objects()
        .values()
        .map(Vec::len)
        .sum::<usize>();
    assert!(bytes > 100 << 20, "only {bytes} bytes were sent");
    assert!(most < 64 << 10, "{most} KiB of memory for {bytes} bytes");
}
