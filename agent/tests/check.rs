//! What the check of a database says, with a real PostgreSQL and a real pooler. It leaves nothing behind.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod support;

use std::fs;

use serde_json::Value;
use support::{PASSWORD, Site};

/// `PASSWORD` as a connection string spells it.
const ENCODED: &str = "s3cret%2F%C3%B6ne%40";

/// Runs a check of this URL: exit code and result.
fn check(site: &mut Site, url: &str) -> (i32, Value) {
    site.set("DATABASE_URL", url);
    site.set("PAPERCLIP_AGENT_WAIT_SECONDS", "0");
    let message = site.root.join("check");
    fs::write(&message, "").unwrap();
    site.set("PAPERCLIP_AGENT_TERMINATION_LOG", message.to_str().unwrap());
    site.give_away();
    let agent = site.agent();
    let mut container = site.start_as(&[agent.to_str().unwrap(), "check"]);
    let code = container.wait().code().unwrap();
    let text = fs::read_to_string(message).unwrap();
    (code, serde_json::from_str(&text).unwrap())
}

fn url(site: &Site, login: &str, rest: &str) -> String {
    format!("postgres://{login}@127.0.0.1:{}/{rest}", site.port)
}

fn of_application(site: &Site, rest: &str) -> String {
    url(site, &format!("paperclip:{ENCODED}"), rest)
}

#[tokio::test]
async fn a_database_that_the_application_can_live_in_is_told_with_its_figures() {
    let mut site = Site::new();
    let database = site.start_ready();
    let application = site.application().await;
    application
        .batch_execute("DROP EXTENSION pg_trgm")
        .await
        .unwrap();
    let good = of_application(&site, "paperclip?sslmode=disable");
    let (code, result) = check(&mut site, &good);
    assert_eq!(code, 0, "{}", site.log());
    assert_eq!(result["outcome"], "done");
    let facts = &result["facts"];
    assert_eq!(facts["encryption"], "off");
    assert_eq!(facts["transactionPooler"], false);
    assert!(
        facts["databaseBytes"].as_i64().unwrap() > 1 << 20,
        "{facts}"
    );
    let version = facts["serverVersion"].as_str().unwrap();
    assert!(version.starts_with(|c: char| c.is_ascii_digit()), "{facts}");
    // The extension could be made, and was not.
    let count = "SELECT count(*) FROM pg_extension WHERE extname = 'pg_trgm'";
    let row = application.query_one(count, &[]).await.unwrap();
    assert_eq!(row.get::<_, i64>(0), 0);
    assert_eq!(database.stop(), 0);
}

#[tokio::test]
async fn each_thing_that_stands_against_it_has_a_code_of_its_own() {
    let mut site = Site::new();
    let database = site.start_ready();
    let superuser = site.local("postgres", "postgres").await.unwrap();
    superuser
        .batch_execute(
            "CREATE ROLE guest LOGIN PASSWORD 'guest'; CREATE ROLE busy LOGIN PASSWORD 'busy' CONNECTION LIMIT 0; \
             CREATE ROLE reader LOGIN PASSWORD 'reader'; ALTER ROLE reader SET default_transaction_read_only = on; \
             GRANT CREATE ON DATABASE paperclip TO reader",
        )
        .await
        .unwrap();
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let closed = {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        listener.local_addr().unwrap().port()
    };
    let cases = [
        ("InvalidUrl", "mysql://u:hunter2@127.0.0.1/x".to_owned()),
        (
            "DNSFailed",
            "postgres://u:hunter2@no-such-host.invalid/x".to_owned(),
        ),
        (
            "Refused",
            format!("postgres://u:hunter2@127.0.0.1:{closed}/x"),
        ),
        (
            "TimedOut",
            format!("postgres://u:hunter2@{}/x", silent.local_addr().unwrap()),
        ),
        (
            "TLSFailed",
            of_application(&site, "paperclip?sslmode=require"),
        ),
        (
            "AuthenticationFailed",
            url(&site, "paperclip:hunter2", "paperclip"),
        ),
        ("DatabaseNotFound", of_application(&site, "nowhere")),
        ("TooManyConnections", url(&site, "busy:busy", "paperclip")),
        ("PermissionDenied", url(&site, "guest:guest", "paperclip")),
        ("ReadOnly", url(&site, "reader:reader", "paperclip")),
    ];
    for (wanted, url) in cases {
        let (code, result) = check(&mut site, &url);
        assert_eq!(result["code"], wanted, "{result}");
        assert_ne!(code, 0);
        let text = format!("{result}{}", site.log());
        for secret in ["hunter2", ENCODED, PASSWORD] {
            assert!(!text.contains(secret), "{text}");
        }
    }
    assert_eq!(database.stop(), 0);
}

#[tokio::test]
async fn a_pooler_that_shares_connections_between_transactions_is_seen() {
    let mut site = Site::new();
    let database = site.start_ready();
    let port = {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        listener.local_addr().unwrap().port()
    };
    let superuser = site.local("postgres", "postgres").await.unwrap();
    superuser
        .batch_execute("CREATE ROLE pooled LOGIN PASSWORD 'pooled'; GRANT CREATE ON DATABASE paperclip TO pooled")
        .await
        .unwrap();
    let settings = site.root.join("pgbouncer.ini");
    for (mode, pooled) in [("transaction", true), ("session", false)] {
        let text = format!(
            "[databases]\npaperclip = host=127.0.0.1 port={}\n[pgbouncer]\nlisten_addr = 127.0.0.1\nlisten_port = {port}\n\
             unix_socket_dir =\nauth_type = plain\nauth_file = {}\npool_mode = {mode}\n",
            site.port,
            site.root.join("users").display()
        );
        fs::write(&settings, text).unwrap();
        fs::write(site.root.join("users"), "\"pooled\" \"pooled\"\n").unwrap();
        site.give_away();
        let pooler = site.start_as(&["/usr/sbin/pgbouncer", settings.to_str().unwrap()]);
        let since = std::time::Instant::now();
        while std::net::TcpStream::connect(("127.0.0.1", port)).is_err() {
            assert!(since.elapsed() < support::PATIENCE, "{}", site.log());
            std::thread::sleep(std::time::Duration::from_millis(50));
        }
        let through = format!("postgres://pooled:pooled@127.0.0.1:{port}/paperclip");
        let (code, result) = check(&mut site, &through);
        assert_eq!(code, 0, "{result} {}", site.log());
        assert_eq!(result["facts"]["transactionPooler"], pooled, "{mode}");
        pooler.kill();
    }
    assert_eq!(database.stop(), 0);
}
