//! The database container, with a real PostgreSQL.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod support;

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::{Duration, Instant};

use rustix::process::Signal;
use support::{PASSWORD, PATIENCE, Site};
use tokio_postgres::Client;
use tokio_postgres::error::SqlState;

async fn text(client: &Client, question: &str) -> String {
    client.query_one(question, &[]).await.unwrap().get(0)
}

fn state(error: &tokio_postgres::Error) -> &SqlState {
    error.code().unwrap_or_else(|| panic!("{error:?}"))
}

#[tokio::test]
async fn an_empty_volume_becomes_a_database_that_the_application_can_use() {
    let site = Site::new();
    let container = site.start_ready();
    let application = site.application().await;

    // Its own database, all rights in it, none beyond it.
    let role = "SELECT concat_ws(' ', rolcanlogin, rolsuper, rolcreatedb, rolcreaterole, rolreplication, rolbypassrls) \
                FROM pg_roles WHERE rolname = current_user";
    assert_eq!(text(&application, role).await, "t f f f f f");
    let owner =
        "SELECT pg_get_userbyid(datdba)::text FROM pg_database WHERE datname = current_database()";
    assert_eq!(text(&application, owner).await, "paperclip");
    application
        .batch_execute("CREATE TABLE kept (word text); INSERT INTO kept VALUES ('there')")
        .await
        .unwrap();
    let extensions = "SELECT string_agg(extname || '/' || pg_get_userbyid(extowner), ' ' ORDER BY extname) \
                      FROM pg_extension WHERE extname <> 'plpgsql'";
    assert_eq!(
        text(&application, extensions).await,
        "fuzzystrmatch/paperclip pg_trgm/paperclip"
    );

    // The data: checksums, UTF-8, an order that no library changes, letters beyond ASCII.
    for (setting, wanted) in [
        ("data_checksums", "on"),
        ("server_encoding", "UTF8"),
        ("fsync", "on"),
        ("password_encryption", "scram-sha-256"),
    ] {
        assert_eq!(
            text(
                &application,
                &format!("SELECT current_setting('{setting}')")
            )
            .await,
            wanted,
            "{setting}"
        );
    }
    assert_eq!(
        text(
            &application,
            "SELECT string_agg(x, '' ORDER BY x) FROM unnest(ARRAY['b','a','B','A']) x"
        )
        .await,
        "ABab"
    );
    assert_eq!(text(&application, "SELECT lower('ÄÖ')").await, "äö");
    assert_eq!(
        text(
            &application,
            "SELECT array_length(show_trgm('äöü'), 1)::text"
        )
        .await,
        "4"
    );

    // The doors.
    let refused = site.login("paperclip", "wrong").await.unwrap_err();
    assert_eq!(*state(&refused), SqlState::INVALID_PASSWORD);
    for superuser_password in ["", PASSWORD, "postgres"] {
        let refused = site
            .login("postgres", superuser_password)
            .await
            .unwrap_err();
        assert!(
            refused
                .code()
                .is_none_or(|code| *code == SqlState::INVALID_AUTHORIZATION_SPECIFICATION),
            "{refused:?}"
        );
    }
    let socket = fs::metadata(site.root.join(format!("socket/.s.PGSQL.{}", site.port))).unwrap();
    assert_eq!(socket.permissions().mode() & 0o777, 0o700);
    let superuser = site.local("postgres", "postgres").await.unwrap();
    let secrets = "SELECT count(*)::text FROM pg_authid WHERE rolpassword IS NOT NULL AND rolpassword NOT LIKE 'SCRAM-SHA-256$%'";
    assert_eq!(text(&superuser, secrets).await, "0");
    assert_eq!(text(&superuser, "SELECT count(*)::text FROM pg_authid WHERE rolname = 'postgres' AND rolpassword IS NULL").await, "1");
    let readers = "SELECT concat_ws(' ', NOT rolcanlogin, pg_has_role(oid, 'pg_read_all_data', 'USAGE'), pg_has_role(oid, 'pg_monitor', 'USAGE')) \
                   FROM pg_roles WHERE rolname = 'paperclip_readonly'";
    assert_eq!(text(&superuser, readers).await, "t t t");

    // In order down, and all is there again.
    drop((application, superuser));
    assert_eq!(container.stop(), 0, "{}", site.log());
    assert_eq!(site.result()["outcome"], "done");
    assert!(
        !site.data().join("postmaster.pid").exists(),
        "not shut down in order"
    );
    assert!(!site.root.join("volume/pgdata.init").exists());
    let log_until_here = site.log().len();
    let container = site.start_ready();
    assert_eq!(
        text(&site.application().await, "SELECT word FROM kept").await,
        "there"
    );
    assert!(
        !site.log()[log_until_here..].contains("not properly shut down"),
        "{}",
        site.log()
    );
    assert_eq!(container.stop(), 0);
    assert!(
        !site.log().contains(PASSWORD) && !site.log().contains("SCRAM-SHA-256$"),
        "{}",
        site.log()
    );
}

#[tokio::test]
async fn an_initialisation_may_be_killed_at_any_moment() {
    let site = Site::new();
    // How long it takes on this machine, now.
    let since = Instant::now();
    site.start_ready().kill();
    let whole = since.elapsed();

    let moments: u32 =
        std::env::var("PAPERCLIP_TEST_KILLS").map_or(8, |number| number.parse().unwrap());
    let mut cut_off = 0;
    for moment in 0..moments {
        let site = Site::new();
        for part in 1..=2 {
            let container = site.start();
            // Two kills in a row, spread over the whole time.
            std::thread::sleep(whole * (2 * moment + part) / (2 * moments + 2));
            container.kill();
            cut_off += u32::from(site.root.join("volume/pgdata.init").exists());
            if site.data().exists() {
                assert!(
                    site.data().join("global/pg_control").is_file(),
                    "a half-made data directory, killed at {moment}"
                );
            }
        }
        let container = site.start_ready();
        site.application()
            .await
            .batch_execute("CREATE TABLE works (); DROP TABLE works")
            .await
            .unwrap();
        assert!(!site.root.join("volume/pgdata.init").exists());
        assert_eq!(container.stop(), 0, "{}", site.log());
    }
    assert!(
        cut_off >= moments / 2,
        "only {cut_off} initialisations were cut off: the test proves nothing"
    );
}

#[tokio::test]
async fn a_server_that_was_killed_comes_back_with_its_data() {
    let site = Site::new();
    let container = site.start_ready();
    site.application()
        .await
        .batch_execute("CREATE TABLE kept AS SELECT 7 AS n")
        .await
        .unwrap();
    container.kill();
    assert!(site.data().join("postmaster.pid").exists());
    let container = site.start_ready();
    assert_eq!(
        text(&site.application().await, "SELECT n::text FROM kept").await,
        "7"
    );
    assert_eq!(container.stop(), 0);
}

#[tokio::test]
async fn a_lock_file_that_names_another_program_does_not_stop_the_server() {
    let site = Site::new();
    site.start_ready().kill();
    // Inside, the shell's child gets the number 2; both lock files name it, as after a crash in a container.
    for file in [
        site.data().join("postmaster.pid"),
        site.root
            .join(format!("socket/.s.PGSQL.{}.lock", site.port)),
    ] {
        let text = fs::read_to_string(&file).unwrap();
        let rest = text.split_once('\n').unwrap().1;
        fs::write(&file, format!("2\n{rest}")).unwrap();
    }
    let script = format!("sleep 600 & exec {} postgres", site.agent().display());
    let mut container = site.start_as(&["sh", "-c", &script]);
    site.wait_ready(&mut container);
    assert_eq!(container.stop(), 0);
}

#[tokio::test]
async fn a_new_password_is_followed_while_the_server_runs_and_at_its_start() {
    let site = Site::new();
    let container = site.start_ready();
    site.write_password("new'\"one\\".as_bytes());
    let since = Instant::now();
    while site.login("paperclip", "new'\"one\\").await.is_err() {
        assert!(
            since.elapsed() < Duration::from_secs(20),
            "the new password is not taken\n{}",
            site.log()
        );
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    assert_eq!(
        *state(&site.login("paperclip", PASSWORD).await.unwrap_err()),
        SqlState::INVALID_PASSWORD
    );
    assert_eq!(container.stop(), 0);

    site.write_password(b"third");
    let container = site.start_ready();
    site.login("paperclip", "third").await.unwrap();
    assert_eq!(container.stop(), 0);
    for secret in ["new'\"one", "third", "SCRAM-SHA-256$"] {
        assert!(!site.log().contains(secret), "{}", site.log());
    }
}

#[tokio::test]
async fn data_of_another_major_version_is_refused_and_not_touched() {
    let mut site = Site::new();
    assert_eq!(site.start_ready().stop(), 0);
    fs::write(site.data().join("PG_VERSION"), "12\n").unwrap();
    let before = site.picture();
    assert_eq!(site.start().wait().code(), Some(3), "{}", site.log());
    let result = site.result();
    assert_eq!(
        (result["code"].as_str(), result["outcome"].as_str()),
        (Some("VersionMismatch"), Some("refused"))
    );
    assert!(
        result["message"]
            .as_str()
            .unwrap()
            .starts_with("data is 12, image is "),
        "{result}"
    );
    assert!(site.picture() == before, "the data was touched");

    // The image is of another version than asked for.
    site.set("PAPERCLIP_AGENT_POSTGRES_VERSION", "99");
    assert_eq!(site.start().wait().code(), Some(3));
    assert_eq!(site.result()["code"], "VersionMismatch");
    assert!(site.picture() == before, "the data was touched");
}

#[tokio::test]
async fn files_that_are_no_database_are_refused_and_not_touched() {
    for (file, code) in [
        ("precious.txt", "DataDirectoryNotEmpty"),
        ("PG_VERSION", "DataDirectoryIncomplete"),
    ] {
        let site = Site::new();
        fs::create_dir(site.data()).unwrap();
        let programs = support::postgres_programs();
        let major = programs
            .parent()
            .and_then(Path::file_name)
            .unwrap()
            .to_str()
            .unwrap();
        fs::write(site.data().join(file), major).unwrap();
        site.give_away();
        let before = site.picture();
        assert_eq!(site.start().wait().code(), Some(3), "{}", site.log());
        assert_eq!(site.result()["code"], code);
        assert!(site.picture() == before, "the data was touched");
    }
}

#[tokio::test]
async fn data_of_the_official_image_is_taken_up_as_it_is() {
    let site = Site::new();
    // As the official image makes it: the application's role is the superuser, loopback needs no password.
    let data = site.data();
    fs::write(site.root.join("old"), "old password\n").unwrap();
    site.give_away();
    let password_file = format!("--pwfile={}", site.root.join("old").display());
    let data_argument = data.to_str().unwrap();
    site.run(
        "initdb",
        &[
            "-D",
            data_argument,
            "--username=paperclip",
            &password_file,
            "--auth-local=trust",
            "--auth-host=scram-sha-256",
        ],
    );
    let rules =
        "local all all trust\nhost all all 127.0.0.1/32 trust\nhost all all all scram-sha-256\n";
    fs::write(data.join("pg_hba.conf"), rules).unwrap();
    let options = format!(
        "-c unix_socket_directories={} -c port={} -c listen_addresses=",
        site.root.join("socket").display(),
        site.port
    );
    let log = site.root.join("pg_ctl.log");
    let script = "pg_ctl -w -D \"$PGDATA\" -l \"$1\" -o \"$2\" start && createdb -h \"$3\" -p \"$4\" -U paperclip paperclip && \
                  psql -q -h \"$3\" -p \"$4\" -U paperclip -c 'CREATE TABLE kept AS SELECT 11 AS n' paperclip && pg_ctl -w -D \"$PGDATA\" -m fast stop";
    let socket = site.root.join("socket");
    let arguments = [
        "sh",
        "-c",
        script,
        "sh",
        log.to_str().unwrap(),
        &options,
        socket.to_str().unwrap(),
        &site.port.to_string(),
    ];
    let made = site.container(&arguments).output().unwrap();
    assert!(made.status.success(), "{made:?}");
    let configuration = fs::read(data.join("postgresql.conf")).unwrap();

    let container = site.start_ready();
    let application = site.application().await;
    assert_eq!(text(&application, "SELECT n::text FROM kept").await, "11");
    assert_eq!(
        *state(&site.login("paperclip", "old password").await.unwrap_err()),
        SqlState::INVALID_PASSWORD
    );
    let superusers = "SELECT string_agg(rolname::text, ' ') FROM pg_roles WHERE rolsuper";
    assert_eq!(
        text(&application, superusers).await,
        "paperclip",
        "a superuser was added"
    );
    let others = "SELECT count(*)::text FROM pg_roles WHERE rolname NOT LIKE 'pg\\_%'";
    assert_eq!(text(&application, others).await, "1", "a role was added");
    assert_eq!(container.stop(), 0);
    assert_eq!(fs::read_to_string(data.join("pg_hba.conf")).unwrap(), rules);
    assert_eq!(
        fs::read(data.join("postgresql.conf")).unwrap(),
        configuration
    );
}

#[tokio::test]
async fn the_probe_tells_whether_the_application_could_work() {
    let site = Site::new();
    let line = |output: &std::process::Output| String::from_utf8(output.stdout.clone()).unwrap();
    let absent = site.probe();
    assert_eq!(absent.status.code(), Some(1));
    assert!(line(&absent).starts_with("Refused: "), "{absent:?}");

    let container = site.start_ready();
    let since = Instant::now();
    let good = site.probe();
    assert_eq!(
        (good.status.code(), line(&good).as_str()),
        (Some(0), "ok\n")
    );
    assert!(
        since.elapsed() < Duration::from_secs(2),
        "{:?}",
        since.elapsed()
    );

    site.application()
        .await
        .batch_execute("DROP EXTENSION pg_trgm")
        .await
        .unwrap();
    let poor = site.probe();
    assert_eq!(
        (poor.status.code(), line(&poor).as_str()),
        (Some(1), "ExtensionsMissing: pg_trgm\n")
    );
    site.application()
        .await
        .batch_execute("CREATE EXTENSION pg_trgm")
        .await
        .unwrap();

    // Somebody changed the password in the database.
    site.local("postgres", "postgres")
        .await
        .unwrap()
        .batch_execute("ALTER ROLE paperclip PASSWORD 'other'")
        .await
        .unwrap();
    let closed = site.probe();
    assert_eq!(closed.status.code(), Some(1));
    assert!(
        line(&closed).starts_with("AuthenticationFailed: "),
        "{closed:?}"
    );
    assert!(
        !line(&closed).contains(PASSWORD) && closed.stderr.is_empty(),
        "{closed:?}"
    );

    // Frozen: the answer does not come, and the probe does not wait for ever.
    site.local("postgres", "postgres")
        .await
        .unwrap()
        .batch_execute("ALTER ROLE paperclip PASSWORD NULL")
        .await
        .unwrap();
    assert_eq!(site.probe().status.code(), Some(1));
    assert_eq!(container.stop(), 0);
}

#[tokio::test]
async fn a_database_that_accepts_and_never_answers_fails_the_probe_in_time() {
    let site = Site::new();
    let _silent = std::net::TcpListener::bind(("127.0.0.1", site.port)).unwrap();
    let since = Instant::now();
    let output = site.probe();
    assert_eq!(output.status.code(), Some(1));
    assert!(output.stdout.starts_with(b"TimedOut: "), "{output:?}");
    assert!(
        since.elapsed() < Duration::from_secs(5),
        "{:?}",
        since.elapsed()
    );
}

#[tokio::test]
async fn what_a_volume_adds_to_the_rights_is_taken_away() {
    let site = Site::new();
    assert_eq!(site.start_ready().stop(), 0);
    fs::set_permissions(site.data(), fs::Permissions::from_mode(0o2770)).unwrap();
    assert_eq!(site.start_ready().stop(), 0, "{}", site.log());
    assert_eq!(
        fs::metadata(site.data()).unwrap().permissions().mode() & 0o777,
        0o700
    );
}

#[tokio::test]
async fn settings_reach_the_server_and_reserved_ones_are_refused() {
    let mut site = Site::new();
    site.set(
        "PAPERCLIP_AGENT_POSTGRES_SETTINGS",
        r#"{"max_connections":37,"work_mem":"5MB","jit":false}"#,
    );
    let container = site.start_ready();
    let application = site.application().await;
    for (setting, wanted) in [
        ("max_connections", "37"),
        ("work_mem", "5MB"),
        ("jit", "off"),
        ("listen_addresses", "127.0.0.1"),
    ] {
        assert_eq!(
            text(
                &application,
                &format!("SELECT current_setting('{setting}')")
            )
            .await,
            wanted,
            "{setting}"
        );
    }
    drop(application);
    assert_eq!(container.stop(), 0);

    site.set(
        "PAPERCLIP_AGENT_POSTGRES_SETTINGS",
        r#"{"hba_file":"/tmp/open"}"#,
    );
    assert_eq!(site.start().wait().code(), Some(2));
    assert_eq!(site.result()["code"], "ParameterRefused");

    // A value that the server itself refuses: its exit code, and its words.
    site.set(
        "PAPERCLIP_AGENT_POSTGRES_SETTINGS",
        r#"{"max_connections":"many"}"#,
    );
    assert_eq!(site.start().wait().code(), Some(1));
    let result = site.result();
    assert_eq!(result["code"], "PostgresFailed");
    assert!(
        result["message"]
            .as_str()
            .unwrap()
            .contains("invalid value for parameter \"max_connections\""),
        "{result}"
    );
}

#[tokio::test]
async fn wrong_input_is_told_from_a_failure() {
    let mut site = Site::new();
    fs::write(site.root.join("credentials/password"), "").unwrap();
    assert_eq!(site.start().wait().code(), Some(2));
    assert_eq!(site.result()["code"], "CredentialsInvalid");
    fs::remove_file(site.root.join("credentials/password")).unwrap();
    assert_eq!(site.start().wait().code(), Some(2));
    assert_eq!(site.result()["code"], "CredentialsMissing");
    site.write_password(b"x");
    site.set("PAPERCLIP_AGENT_PORT", "many");
    assert_eq!(site.start().wait().code(), Some(2));
    assert_eq!(site.result()["code"], "InvalidValue");
    assert!(!site.data().exists());
}

#[tokio::test]
async fn a_stop_during_the_initialisation_ends_it_and_the_next_start_works() {
    let site = Site::new();
    let container = site.start();
    let since = Instant::now();
    while !site.root.join("volume/pgdata.init").exists() {
        assert!(since.elapsed() < PATIENCE);
        std::thread::sleep(Duration::from_millis(10));
    }
    assert_eq!(container.stop(), 5, "{}", site.log());
    assert_eq!(site.result()["code"], "Terminated");
    assert_eq!(site.start_ready().stop(), 0);
}

#[tokio::test]
async fn a_shutdown_that_hangs_becomes_an_immediate_one() {
    let mut site = Site::new();
    site.set("PAPERCLIP_AGENT_STOP_TIMEOUT_SECONDS", "1");
    let container = site.start_ready();
    let application = site.application().await;
    application
        .batch_execute("CREATE TABLE kept AS SELECT 13 AS n")
        .await
        .unwrap();
    // A backend that cannot react to anything.
    let inside: i32 = application
        .query_one("SELECT pg_backend_pid()", &[])
        .await
        .unwrap()
        .get(0);
    let outside = container.outside(inside);
    let outside = rustix::process::Pid::from_raw(outside).unwrap();
    rustix::process::kill_process(outside, Signal::STOP).unwrap();
    let since = Instant::now();
    container.stop();
    assert!(
        since.elapsed() < Duration::from_secs(25),
        "{:?}",
        since.elapsed()
    );
    assert!(
        site.log().contains("no fast shutdown in time"),
        "{}",
        site.log()
    );

    let container = site.start_ready();
    assert_eq!(
        text(&site.application().await, "SELECT n::text FROM kept").await,
        "13"
    );
    assert_eq!(container.stop(), 0);
}

#[tokio::test]
async fn orphans_in_the_container_are_collected() {
    let site = Site::new();
    // Two processes lose their parent to process 1, which is the agent; one ends at once, one while the server runs.
    let script = format!(
        "(sleep 0.1 &); (sleep 9 &); exec {} postgres",
        site.agent().display()
    );
    let mut container = site.start_as(&["sh", "-c", &script]);
    site.wait_ready(&mut container);
    let since = Instant::now();
    let mut seen = 0;
    while since.elapsed() < Duration::from_secs(11) {
        seen = container.zombies();
        std::thread::sleep(Duration::from_millis(200));
    }
    assert_eq!(seen, 0, "ended orphans are left");
    assert_eq!(container.stop(), 0);
}

#[tokio::test]
async fn a_second_server_waits_for_the_first() {
    let site = Site::new();
    let first = site.start_ready();
    let log_until_here = site.log().len();
    let mut second = site.start();
    std::thread::sleep(Duration::from_secs(2));
    assert!(
        !site.log()[log_until_here..].contains("starting PostgreSQL"),
        "two servers on one data directory"
    );
    assert_eq!(first.stop(), 0);
    site.wait_ready(&mut second);
    assert_eq!(second.stop(), 0);
}
