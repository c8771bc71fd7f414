//! A database with data, a bucket, and the agent's commands that work on both.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use serde_json::Value;
use sha2::{Digest, Sha256};

use super::bucket::{BUCKET, Fate, KEY_ID, Proxy, SECRET, Service};
use super::{Container, PASSWORD, PATIENCE, Site, postgres_programs};

/// `PASSWORD` as a connection string spells it.
pub const ENCODED: &str = "s3cret%2F%C3%B6ne%40";
pub const PREFIX: &str = "prod/my-paperclip";

/// A database with data, and a bucket.
pub struct Place {
    pub site: Site,
    /// Lives as long as the place.
    _database: Container,
    pub service: Service,
}

/// A command's exit code and result.
pub struct Ended {
    pub code: i32,
    pub result: Value,
}

impl Ended {
    pub fn code(&self) -> (i32, &str, &str) {
        let text = |name: &str| self.result[name].as_str().unwrap_or_default();
        (self.code, text("code"), text("step"))
    }

    /// The folder of the backup, without the prefix.
    pub fn folder(&self) -> String {
        let location = self.result["facts"]["location"].as_str().unwrap();
        let (_, folder) = location.split_once(&format!("/{PREFIX}/")).unwrap();
        folder.trim_end_matches('/').to_owned()
    }

    pub fn message(&self) -> &str {
        self.result["message"].as_str().unwrap_or_default()
    }
}

impl Place {
    pub async fn new() -> Self {
        Self::with(Service::versity).await
    }

    pub async fn with(service: impl FnOnce(&std::path::Path) -> Service) -> Self {
        let mut site = Site::new();
        site.set(
            "DATABASE_URL",
            format!(
                "postgres://paperclip:{ENCODED}@127.0.0.1:{}/paperclip?sslmode=disable",
                site.port
            ),
        );
        site.set("PAPERCLIP_AGENT_S3_BUCKET", BUCKET);
        site.set("PAPERCLIP_AGENT_S3_PREFIX", format!("/{PREFIX}/"));
        let keys = site.root.join("keys");
        fs::create_dir(&keys).unwrap();
        fs::write(keys.join("S3_ACCESS_KEY_ID"), format!("{KEY_ID}\n")).unwrap();
        fs::write(keys.join("S3_SECRET_ACCESS_KEY"), SECRET).unwrap();
        site.set("PAPERCLIP_AGENT_S3_CREDENTIALS_DIR", keys.to_str().unwrap());
        site.set(
            "PAPERCLIP_AGENT_ABOUT",
            r#"{"instance":{"namespace":"prod","name":"my-paperclip","uid":"u-1"}}"#,
        );
        site.give_away();
        let service = service(&site.root);
        site.set(
            "PAPERCLIP_AGENT_S3_ENDPOINT",
            format!("http://127.0.0.1:{}", service.port),
        );
        let database = site.start_ready();
        let place = Self {
            site,
            _database: database,
            service,
        };
        place
            .sql(
                "CREATE TABLE companies (id int PRIMARY KEY, name text); \
                 INSERT INTO companies SELECT g, 'company ' || g FROM generate_series(1, 100) g; \
                 CREATE TABLE \"Odd name\" (x int); \
                 CREATE SCHEMA drizzle; \
                 CREATE TABLE drizzle.__drizzle_migrations (id serial PRIMARY KEY, hash text NOT NULL, created_at bigint); \
                 INSERT INTO drizzle.__drizzle_migrations (hash) VALUES ('aa'), ('bb')",
            )
            .await;
        place
    }

    pub async fn sql(&self, text: &str) {
        self.site
            .application()
            .await
            .batch_execute(text)
            .await
            .unwrap();
    }

    /// So much data that its dump is sent in several parts.
    pub async fn fill(&self, megabytes: u32) {
        self.sql(&format!(
            "CREATE TABLE runs AS SELECT g, (SELECT string_agg(md5((random() + g + i)::text), '') FROM generate_series(1, 32) i) AS log \
             FROM generate_series(1, {}) g",
            megabytes * 1000
        ))
        .await;
    }

    /// The one number that a question gives.
    pub async fn number(&self, question: &str) -> i64 {
        let row = self.site.application().await.query_one(question, &[]).await;
        row.unwrap_or_else(|error| panic!("{question}: {error:?}"))
            .get(0)
    }

    /// Waits until a table is about to be replaced.
    pub async fn wait_for_locks(&self) {
        let question = "SELECT count(*) FROM pg_locks WHERE mode = 'AccessExclusiveLock' AND granted AND locktype = 'relation'";
        let since = Instant::now();
        while self.number(question).await == 0 {
            assert!(since.elapsed() < PATIENCE, "no lock is held");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// Puts a proxy between.
    pub fn spoil(&mut self, rule: impl FnMut(&str, &str) -> Fate + Send + 'static) -> Proxy {
        let proxy = Proxy::start(self.service.port, rule);
        self.site.set(
            "PAPERCLIP_AGENT_S3_ENDPOINT",
            format!("http://127.0.0.1:{}", proxy.port),
        );
        proxy
    }

    pub fn start(&self) -> Job {
        self.job("backup")
    }

    /// Begins a command of the agent as a Job does.
    pub fn job(&self, command: &str) -> Job {
        let message = self.site.root.join("job-termination");
        fs::write(&message, "").unwrap();
        self.site.give_away();
        let script = "export PAPERCLIP_AGENT_TERMINATION_LOG=\"$1\" && exec \"$2\" \"$3\"";
        let agent = self.site.agent();
        Job {
            container: self.site.start_as(&[
                "sh",
                "-c",
                script,
                "sh",
                message.to_str().unwrap(),
                agent.to_str().unwrap(),
                command,
            ]),
            message,
        }
    }

    pub fn backup(&self) -> Ended {
        self.start().end()
    }

    /// The bucket is as if there had been no backup.
    pub fn nothing_is_left(&self) {
        let names: Vec<String> = self.service.objects().into_keys().collect();
        assert!(names.is_empty(), "{names:?}\n{}", self.site.log());
        assert_eq!(self.service.unfinished(), 0, "parts are left");
    }

    /// No secret stands in the log or in the result.
    pub fn nothing_is_told(&self, ended: &Ended) {
        for text in [self.site.log(), ended.result.to_string()] {
            for secret in [SECRET, PASSWORD, ENCODED] {
                assert!(!text.contains(secret), "{secret} in {text}");
            }
        }
    }

    /// A program in front of PostgreSQL's own.
    pub fn replace(&self, name: &str, script: &str) {
        let real = postgres_programs();
        let bin = self.site.root.join("bin");
        for program in ["pg_dump", "pg_restore", "psql"] {
            let _ = fs::remove_file(bin.join(program));
            std::os::unix::fs::symlink(real.join(program), bin.join(program)).unwrap();
        }
        fs::remove_file(bin.join(name)).unwrap();
        let text = format!(
            "#!/bin/sh\nreal={}\ncase \"$1\" in --version) exec \"$real\" \"$@\";; esac\n{script}\n",
            real.join(name).display()
        );
        fs::write(bin.join(name), text).unwrap();
        fs::set_permissions(bin.join(name), fs::Permissions::from_mode(0o755)).unwrap();
    }
}

/// A command that runs.
pub struct Job {
    pub container: Container,
    message: PathBuf,
}

impl Job {
    pub fn end(self) -> Ended {
        self.end_within(PATIENCE)
    }

    pub fn end_within(mut self, patience: Duration) -> Ended {
        let code = self.container.wait_within(patience).code().unwrap();
        let text = fs::read_to_string(&self.message).unwrap();
        Ended {
            code,
            result: serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text:?}")),
        }
    }
}

pub fn wait_for(what: &str, mut happened: impl FnMut() -> bool) {
    let since = Instant::now();
    while !happened() {
        assert!(since.elapsed() < PATIENCE, "{what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

pub fn sha256(bytes: &[u8]) -> String {
    Sha256::digest(bytes)
        .iter()
        .fold(String::new(), |text, byte| format!("{text}{byte:02x}"))
}
