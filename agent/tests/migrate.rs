//! The migration Job, with a real PostgreSQL and a program that does what the application's does: it applies the SQL
//! files beside it and writes a row with the hash of each into the journal.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod support;

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use rustix::process::Signal;
use serde_json::Value;
use support::{Container, PATIENCE, Site};

/// `PASSWORD` as a connection string spells it.
const ENCODED: &str = "s3cret%2F%C3%B6ne%40";

const PROGRAM: &str = r#"
set -e
cd "$(dirname "$0")"
test "$PAPERCLIP_MIGRATION_AUTO_APPLY" = true
test "$DATABASE_URL" = "$DATABASE_MIGRATION_URL"
echo "start" >> "$TRACE"
sql() { psql -X -q -t -v ON_ERROR_STOP=1 "$DATABASE_URL" "$@"; }
sql -c 'CREATE SCHEMA IF NOT EXISTS drizzle' \
    -c 'CREATE TABLE IF NOT EXISTS drizzle.__drizzle_migrations (id serial PRIMARY KEY, hash text NOT NULL, created_at bigint)'
for file in migrations/*.sql; do
  hash=$(sha256sum "$file" | cut -d' ' -f1)
  if [ -z "$(sql -c "SELECT 1 FROM drizzle.__drizzle_migrations WHERE hash = '$hash'")" ]; then
    sql -1 -f "$file" -c "INSERT INTO drizzle.__drizzle_migrations (hash) VALUES ('$hash')"
    echo "applied $file"
  fi
done
sleep "${HOLD:-0}"
echo "end" >> "$TRACE"
"#;

/// A place with an image of the application, in the layout of its npm package.
struct Application {
    site: Site,
}

impl Application {
    fn new() -> Self {
        let mut site = Site::new();
        let db = site.root.join("app/node_modules/@paperclipai/db/dist");
        fs::create_dir_all(db.join("migrations")).unwrap();
        fs::write(db.join("migrate.js"), PROGRAM).unwrap();
        let first = "CREATE TABLE company_secret_versions (material jsonb);";
        let second = "INSERT INTO company_secret_versions VALUES ('{\"scheme\":\"local_encrypted_v1\"}'), ('{\"scheme\":\"aws\"}');";
        fs::write(db.join("migrations/0000_first.sql"), first).unwrap();
        fs::write(db.join("migrations/0001_second.sql"), second).unwrap();
        // What the agent calls `node` runs the program above.
        let node = site.root.join("bin/node");
        fs::write(&node, "#!/bin/sh\nexec sh \"$@\"\n").unwrap();
        fs::set_permissions(&node, fs::Permissions::from_mode(0o755)).unwrap();
        let url = format!(
            "postgres://paperclip:{ENCODED}@127.0.0.1:{}/paperclip?sslmode=disable",
            site.port
        );
        site.set("DATABASE_URL", url);
        site.set("TRACE", site.root.join("trace").to_str().unwrap());
        site.give_away();
        Self { site }
    }

    fn migrations(&self) -> PathBuf {
        self.site
            .root
            .join("app/node_modules/@paperclipai/db/dist/migrations")
    }

    fn program(&self, text: &str) {
        fs::write(self.migrations().with_file_name("migrate.js"), text).unwrap();
    }

    /// Starts the migration container, with a termination message of its own.
    fn start(&self, name: &str) -> Migration {
        let script =
            "cd \"$1\" && export PAPERCLIP_AGENT_TERMINATION_LOG=\"$2\" && exec \"$3\" migrate";
        let message = self.site.root.join(name);
        fs::write(&message, "").unwrap();
        self.site.give_away();
        let folder = self.site.root.join("app");
        let agent = self.site.agent();
        let program = [
            "sh",
            "-c",
            script,
            "sh",
            folder.to_str().unwrap(),
            message.to_str().unwrap(),
            agent.to_str().unwrap(),
        ];
        Migration {
            container: self.site.start_as(&program),
            message,
        }
    }

    /// Runs a migration to its end: exit code and result.
    fn migrate(&self) -> (i32, Value) {
        self.start("migration").end()
    }
}

struct Migration {
    container: Container,
    message: PathBuf,
}

impl Migration {
    fn end(mut self) -> (i32, Value) {
        let code = self.container.wait().code().unwrap();
        (
            code,
            serde_json::from_str(&fs::read_to_string(self.message).unwrap()).unwrap(),
        )
    }
}

fn wait_for(what: &str, mut happened: impl FnMut() -> bool) {
    let since = Instant::now();
    while !happened() {
        assert!(since.elapsed() < PATIENCE, "{what}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

#[tokio::test]
async fn pending_migrations_are_applied_once() {
    let application = Application::new();
    let database = application.site.start_ready();
    let (code, result) = application.migrate();
    assert_eq!(code, 0, "{}", application.site.log());
    assert_eq!(result["outcome"], "done");
    assert_eq!(result["facts"]["applied"], 2);
    assert_eq!(result["facts"]["pending"], 0);
    assert_eq!(result["facts"]["encryptedRows"], 1, "{result}");
    assert!(
        result["facts"]["serverVersion"]
            .as_str()
            .unwrap()
            .starts_with(|c: char| c.is_ascii_digit()),
        "{result}"
    );
    let steps: Vec<_> = result["steps"]
        .as_array()
        .unwrap()
        .iter()
        .map(|step| step["name"].as_str().unwrap())
        .collect();
    assert_eq!(
        steps,
        ["input", "connect", "lock", "rights", "migrate", "journal"]
    );

    let (code, result) = application.migrate();
    assert_eq!((code, result["outcome"].as_str()), (0, Some("nothing")));
    assert_eq!(result["facts"]["applied"], 0);
    assert_eq!(database.stop(), 0);
}

#[tokio::test]
async fn a_database_that_is_late_is_waited_for() {
    let application = Application::new();
    let migration = application.start("migration");
    wait_for("no wait", || {
        application.site.log().contains("waiting for the database")
    });
    let database = application.site.start_ready();
    assert_eq!(migration.end().0, 0, "{}", application.site.log());
    assert_eq!(database.stop(), 0);
}

#[tokio::test]
async fn a_database_that_never_comes_is_a_temporary_failure_with_its_reason() {
    let mut application = Application::new();
    application.site.set("PAPERCLIP_AGENT_WAIT_SECONDS", "1");
    let (code, result) = application.migrate();
    assert_eq!(
        (code, result["code"].as_str(), result["step"].as_str()),
        (4, Some("Refused"), Some("connect"))
    );
    application.site.set(
        "DATABASE_URL",
        "postgres://paperclip:x@no-such-host.invalid/paperclip",
    );
    let (code, result) = application.migrate();
    assert_eq!((code, result["code"].as_str()), (4, Some("DNSFailed")));

    let database = application.site.start_ready();
    application.site.set(
        "DATABASE_URL",
        format!(
            "postgres://paperclip:hunter2@127.0.0.1:{}/paperclip",
            application.site.port
        ),
    );
    let (code, result) = application.migrate();
    assert_eq!(
        (code, result["code"].as_str()),
        (4, Some("AuthenticationFailed"))
    );
    application.site.set(
        "DATABASE_URL",
        format!(
            "postgres://paperclip:{ENCODED}@127.0.0.1:{}/nowhere",
            application.site.port
        ),
    );
    let (code, result) = application.migrate();
    assert_eq!(
        (code, result["code"].as_str()),
        (4, Some("DatabaseNotFound"))
    );
    assert!(
        !application.site.log().contains("hunter2") && !application.site.log().contains(ENCODED)
    );
    assert_eq!(database.stop(), 0);
}

#[tokio::test]
async fn wrong_input_is_never_tried_again() {
    let mut application = Application::new();
    application
        .site
        .set("DATABASE_URL", "mysql://u:hunter2@db/x");
    let (code, result) = application.migrate();
    assert_eq!(
        (code, result["code"].as_str(), result["outcome"].as_str()),
        (2, Some("InvalidUrl"), Some("refused"))
    );
    application.site.set("DATABASE_URL", "");
    assert_eq!(application.migrate().1["code"], "InvalidUrl");
    application
        .site
        .set("DATABASE_URL", "postgres://u:hunter2@db/x");
    fs::remove_file(application.migrations().with_file_name("migrate.js")).unwrap();
    let (code, result) = application.migrate();
    assert_eq!((code, result["code"].as_str()), (2, Some("ServerNotFound")));
    application
        .site
        .set("PAPERCLIP_AGENT_MIGRATE_ARGV", "migrate.js");
    assert_eq!(application.migrate().1["code"], "InvalidValue");
    assert!(!application.site.log().contains("hunter2"));
}

#[tokio::test]
async fn two_migrations_never_run_at_once() {
    let mut application = Application::new();
    let database = application.site.start_ready();
    application.site.set("HOLD", "2");
    let migrations = [
        application.start("first"),
        application.start("second"),
        application.start("third"),
    ];
    let mut outcomes: Vec<String> = Vec::new();
    for migration in migrations {
        let (code, result) = migration.end();
        assert_eq!(code, 0, "{result}\n{}", application.site.log());
        outcomes.push(result["outcome"].as_str().unwrap().to_owned());
    }
    outcomes.sort();
    assert_eq!(outcomes, ["done", "nothing", "nothing"]);
    let trace = fs::read_to_string(application.site.root.join("trace")).unwrap();
    assert_eq!(
        trace.lines().collect::<Vec<_>>(),
        ["start", "end"].repeat(3),
        "two programs ran at once"
    );
    assert_eq!(database.stop(), 0);
}

#[tokio::test]
async fn a_program_that_fails_is_told_without_its_secrets() {
    let application = Application::new();
    let database = application.site.start_ready();
    application.program("echo \"Migrating $DATABASE_URL\"\necho \"PostgresError: deadlock detected at $DATABASE_URL\" >&2\necho '    at Connection' >&2\nexit 1\n");
    let (code, result) = application.migrate();
    assert_eq!(
        (code, result["code"].as_str(), result["outcome"].as_str()),
        (4, Some("MigrationFailed"), Some("failed"))
    );
    let message = result["message"].as_str().unwrap();
    assert!(
        message.starts_with("exit code 1: PostgresError: deadlock detected at "),
        "{message}"
    );
    for text in [message, &application.site.log()] {
        assert!(
            !text.contains(ENCODED) && !text.contains(support::PASSWORD),
            "{text}"
        );
    }
    assert_eq!(database.stop(), 0);
}

#[tokio::test]
async fn a_program_that_only_says_success_is_not_believed() {
    let application = Application::new();
    let database = application.site.start_ready();
    application.program("echo 'Migrations complete'\n");
    let (code, result) = application.migrate();
    assert_eq!(
        (code, result["code"].as_str(), result["step"].as_str()),
        (3, Some("JournalIncomplete"), Some("journal"))
    );
    assert_eq!(result["facts"]["pending"], 2);
    assert!(
        result["message"]
            .as_str()
            .unwrap()
            .contains("0000_first.sql"),
        "{result}"
    );
    assert_eq!(database.stop(), 0);
}

#[tokio::test]
async fn a_role_without_the_right_to_create_is_refused_before_anything_runs() {
    let mut application = Application::new();
    let database = application.site.start_ready();
    let superuser = application
        .site
        .local("postgres", "postgres")
        .await
        .unwrap();
    superuser
        .batch_execute("CREATE ROLE guest LOGIN PASSWORD 'guest'")
        .await
        .unwrap();
    // The variable for migrations wins over the other one.
    application.site.set(
        "DATABASE_MIGRATION_URL",
        format!(
            "postgres://guest:guest@127.0.0.1:{}/paperclip",
            application.site.port
        ),
    );
    let (code, result) = application.migrate();
    assert_eq!(
        (code, result["code"].as_str()),
        (3, Some("PermissionDenied"))
    );
    assert!(
        result["message"].as_str().unwrap().contains("guest"),
        "{result}"
    );
    assert!(
        !application.site.root.join("trace").exists(),
        "the program ran"
    );
    assert_eq!(database.stop(), 0);
}

#[tokio::test]
async fn missing_extensions_are_made() {
    let application = Application::new();
    let database = application.site.start_ready();
    application
        .site
        .application()
        .await
        .batch_execute("DROP EXTENSION pg_trgm; DROP EXTENSION fuzzystrmatch")
        .await
        .unwrap();
    assert_eq!(application.migrate().0, 0, "{}", application.site.log());
    assert!(application.site.probe().status.success());
    assert_eq!(database.stop(), 0);
}

#[tokio::test]
async fn a_stop_ends_the_program_too() {
    let application = Application::new();
    let database = application.site.start_ready();
    application.program("echo running; exec sleep 600\n");
    let migration = application.start("migration");
    wait_for("the program does not run", || {
        application.site.log().contains("\"running\"")
    });
    let since = Instant::now();
    migration.container.signal(Signal::TERM);
    let (code, result) = migration.end();
    assert_eq!(
        (code, result["code"].as_str(), result["step"].as_str()),
        (5, Some("Terminated"), Some("migrate"))
    );
    assert!(
        since.elapsed() < Duration::from_secs(8),
        "{:?}",
        since.elapsed()
    );
    // The lock went with it.
    application.program(PROGRAM);
    assert_eq!(application.migrate().0, 0, "{}", application.site.log());
    assert_eq!(database.stop(), 0);
}

#[tokio::test]
async fn a_migration_that_lost_its_lock_is_stopped() {
    let application = Application::new();
    let database = application.site.start_ready();
    application.program("echo running; exec sleep 600\n");
    let migration = application.start("migration");
    wait_for("the program does not run", || {
        application.site.log().contains("\"running\"")
    });
    let superuser = application
        .site
        .local("postgres", "paperclip")
        .await
        .unwrap();
    let ended = superuser.query("SELECT pg_terminate_backend(pid) FROM pg_locks WHERE locktype = 'advisory' AND granted", &[]).await.unwrap();
    assert_eq!(ended.len(), 1, "who holds the lock?");
    let (code, result) = migration.end();
    assert_eq!((code, result["code"].as_str()), (4, Some("LockLost")));
    assert_eq!(database.stop(), 0);
}

#[tokio::test]
async fn encrypted_connections_are_as_strict_as_the_applications() {
    let mut application = Application::new();
    let folder = application.site.root.join("tls");
    fs::create_dir(&folder).unwrap();
    let (key, certificate) = (folder.join("key.pem"), folder.join("cert.pem"));
    let made = std::process::Command::new("openssl")
        .args([
            "req",
            "-x509",
            "-newkey",
            "rsa:2048",
            "-nodes",
            "-days",
            "2",
            "-subj",
            "/CN=localhost",
            "-addext",
            "subjectAltName=DNS:localhost",
        ])
        .arg("-keyout")
        .arg(&key)
        .arg("-out")
        .arg(&certificate)
        .output()
        .expect("openssl");
    assert!(made.status.success(), "{made:?}");
    fs::set_permissions(&key, fs::Permissions::from_mode(0o600)).unwrap();
    let settings =
        serde_json::json!({"ssl": true, "ssl_key_file": key, "ssl_cert_file": certificate});
    application
        .site
        .set("PAPERCLIP_AGENT_POSTGRES_SETTINGS", settings.to_string());
    application.site.give_away();
    let database = application.site.start_ready();
    application.site.set("PAPERCLIP_AGENT_WAIT_SECONDS", "1");
    // The program's own connections are not what is looked at here.
    application.program(&PROGRAM.replace(
        "set -e",
        "set -e\nDATABASE_URL=${DATABASE_URL%\\?*}; DATABASE_MIGRATION_URL=$DATABASE_URL",
    ));

    let port = application.site.port;
    let with = |application: &mut Application, host: &str, mode: &str| {
        let url = format!("postgres://paperclip:{ENCODED}@{host}:{port}/paperclip?sslmode={mode}");
        application.site.set("DATABASE_URL", url);
        let (code, result) = application.migrate();
        (code, result["code"].as_str().unwrap_or_default().to_owned())
    };
    let accepted = (0, String::new());
    let refused = (4, "TLSFailed".to_owned());
    assert_eq!(with(&mut application, "localhost", "require"), accepted);
    assert_eq!(with(&mut application, "127.0.0.1", "prefer"), accepted);
    assert_eq!(
        with(&mut application, "localhost", "verify-full"),
        refused,
        "an unknown authority was believed"
    );
    application
        .site
        .set("NODE_EXTRA_CA_CERTS", certificate.to_str().unwrap());
    assert_eq!(with(&mut application, "localhost", "verify-full"), accepted);
    assert_eq!(
        with(&mut application, "127.0.0.1", "verify-full"),
        refused,
        "a certificate of another host was believed"
    );
    application.site.set("NODE_EXTRA_CA_CERTS", "/nowhere");
    let (code, result) = application.migrate();
    assert_eq!((code, result["code"].as_str()), (2, Some("TLSFailed")));
    assert_eq!(database.stop(), 0);
}
