//! `verify`: proves that a backup can be brought back, by bringing it back into a PostgreSQL that is made for it and thrown away.
//!
//! Every part is read from its first byte to its last and compared with the manifest; then the dump is restored, and the rows of every table
//! and the journal of migrations are compared. Touches neither the bucket nor any database that somebody uses.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{ExitCode, Stdio};
use std::time::Duration;

use tokio::process::{Child, Command};
use tokio::time::{Instant, sleep};
use tokio_postgres::NoTls;

use crate::backup::MANIFEST;
use crate::backup::dump::Client;
use crate::database::Connection;
use crate::environment::Environment;
use crate::migrate::journal::Journal;
use crate::output::log;
use crate::postgres::binaries::Binaries;
use crate::postgres::credentials::SUPERUSER;
use crate::postgres::initialise::arguments;
use crate::process::{how_ended, unless_stopped};
use crate::redact::Redactor;
use crate::restore::input::{Keys, Source};
use crate::restore::manifest::Manifest;
use crate::restore::{MANIFEST_LIMIT, RestoreError, load, open, place};
use crate::result::{Exit, Failure, Record, Success};
use crate::storage::Content;
use crate::urls::DatabaseUrl;

const START_WITHIN: Duration = Duration::from_secs(60);
const CONNECT_WITHIN: Duration = Duration::from_secs(5);

/// Runs the command.
pub async fn run(environment: &Environment) -> ExitCode {
    let mut record = Record::start("verify", environment);
    let scratch = environment.path("PAPERCLIP_AGENT_SCRATCH", "/tmp/verify");
    let outcome = unless_stopped(steps(environment, &scratch, &mut record)).await;
    let _ = fs::remove_dir_all(&scratch);
    record.finish(outcome)
}

async fn steps(
    environment: &Environment,
    scratch: &Path,
    record: &mut Record,
) -> Result<Success, Failure> {
    record.step("input");
    let source = Source::read(environment)?;
    let keys = Keys::read(environment);

    record.step("storage");
    let folder = place::find(&source.storage, &source.from).await?;
    record.fact("location", format!("{}/", source.storage.url_of(&folder)));
    let text = source
        .storage
        .small(&folder.clone().join(MANIFEST), MANIFEST_LIMIT)
        .await?;
    source.is_expected(&text)?;
    let manifest = Manifest::parse(&text)?;
    let dump = manifest.dump()?;
    let identities = keys.of(dump)?;

    record.step("checksum");
    for part in &manifest.parts {
        let object = open::Object {
            storage: &source.storage,
            place: folder.clone().join(part.name.clone()),
            wanted: part.content(),
            identities: &[],
        };
        object.open().await?.prove().await?;
    }
    record.fact("level", "Checksum");

    record.step("start");
    let major = manifest.database.major().ok_or_else(|| {
        RestoreError::Corrupt("manifest.json does not tell the version of PostgreSQL".into())
    })?;
    let path = environment.get("PATH").unwrap_or_default();
    let binaries = Binaries::find(path, Some(major))?;
    let client = Client::find(path, major)?;
    let server = Server::start(&binaries, scratch).await?;

    record.step("restore");
    let object = open::Object {
        storage: &source.storage,
        place: folder.clone().join(dump.name.clone()),
        wanted: dump.content(),
        identities: &identities,
    };
    load::run(&server.url, &client, object, &manifest).await?;

    record.step("check");
    let connection = server.connect().await?;
    let journal = Journal::read(&connection).await?;
    let wanted = manifest.database.migrations.as_ref();
    if wanted.is_some_and(|wanted| wanted.sha256 != journal.fingerprint()) {
        let text =
            "the journal of migrations in the dump is not the one that the manifest tells of";
        return Err(RestoreError::Corrupt(text.into()).into());
    }
    record.fact("tables", manifest.database.tables.len());
    record.fact("level", "Restore");
    let sum = Content::of(&text).sha256;
    record.fact("sha256", sum);
    Ok(Success::Done)
}

/// A PostgreSQL for the agent alone. It ends with it.
struct Server {
    url: DatabaseUrl,
    _child: Child,
}

impl Server {
    async fn start(binaries: &Binaries, scratch: &Path) -> Result<Self, Failure> {
        let failed = |what: &str, words: String| {
            Failure::from(RestoreError::System(format!("{what}: {words}")))
        };
        let _ = fs::remove_dir_all(scratch);
        let (data, socket): (PathBuf, PathBuf) = (scratch.join("data"), scratch.join("socket"));
        fs::create_dir_all(&socket).map_err(|e| failed("scratch", e.to_string()))?;
        let mut initdb = Command::new(&binaries.initdb);
        initdb.arg("-D").arg(&data).args(arguments(binaries.major));
        let made = initdb
            .stdin(Stdio::null())
            .kill_on_drop(true)
            .output()
            .await
            .map_err(|e| failed("initdb", e.to_string()))?;
        if !made.status.success() {
            let words = String::from_utf8_lossy(&made.stderr);
            let words = crate::result::one_line(&words);
            return Err(failed(
                "initdb",
                format!("{}: {words}", how_ended(made.status)),
            ));
        }
        let mut command = Command::new(&binaries.postgres);
        command.arg("-D").arg(&data).arg("-k").arg(&socket);
        // It is thrown away, so nothing has to reach the disk.
        for setting in [
            "listen_addresses=",
            "fsync=off",
            "full_page_writes=off",
            "autovacuum=off",
            "unix_socket_permissions=0700",
            "max_wal_size=4GB",
            "shared_buffers=32MB",
            "maintenance_work_mem=64MB",
        ] {
            command.arg("-c").arg(setting);
        }
        let mut child = command
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .map_err(|e| failed("postgres", e.to_string()))?;
        tokio::spawn(log(child.stderr.take(), "postgres", Redactor::default()));
        let host: String =
            form_urlencoded::byte_serialize(socket.to_string_lossy().as_bytes()).collect();
        let text = format!("postgres://{SUPERUSER}@{host}/postgres?sslmode=disable");
        let url = DatabaseUrl::parse("the scratch database", &text)?;
        let server = Self { url, _child: child };
        let since = Instant::now();
        while let Err(error) = server.connect().await {
            if since.elapsed() > START_WITHIN {
                return Err(Failure {
                    exit: Exit::Temporary,
                    ..error
                });
            }
            sleep(Duration::from_millis(100)).await;
        }
        Ok(server)
    }

    async fn connect(&self) -> Result<Connection, Failure> {
        Connection::open(self.url.config(), NoTls, CONNECT_WITHIN)
            .await
            .map_err(Failure::from)
    }
}
