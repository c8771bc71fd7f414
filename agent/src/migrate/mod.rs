//! `migrate`: brings the database's schema to what the image's release wants, by the release's own program.
//!
//! Two of these never work at the same time on one database. Success is said only after the journal in the database
//! was compared with the files of the release, never because the program said so.

mod journal;
mod layout;
mod lock;
mod program;
mod rights;

use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use tokio::time::{Instant, sleep};

use crate::database::{ConnectError, Connection, describe};
use crate::environment::Environment;
use crate::migrate::journal::Journal;
use crate::migrate::layout::Layout;
use crate::process::StopSignals;
use crate::redact::Redactor;
use crate::result::{Exit, Failure, Reason, Record, Success};
use crate::tls::{Tls, TlsError};
use crate::urls::{DatabaseUrl, UrlError};

const CONNECT_WITHIN: Duration = Duration::from_secs(5);
/// How long the database may take to answer, unless the environment says otherwise.
const WAIT_SECONDS: u64 = 60;
const RETRY_EVERY: Duration = Duration::from_secs(1);

/// Where the database is and how to get there.
struct Target {
    url: DatabaseUrl,
    tls: Tls,
    wait: Duration,
}

/// A question to the database failed.
#[derive(Debug, thiserror::Error)]
#[error("{what}: {error}")]
struct QueryError {
    what: &'static str,
    error: String,
}

impl QueryError {
    fn of(what: &'static str) -> impl Fn(tokio_postgres::Error) -> Self {
        move |error| Self {
            what,
            error: describe(&error),
        }
    }
}

impl Reason for QueryError {
    fn code(&self) -> &'static str {
        "QueryFailed"
    }

    fn exit(&self) -> Exit {
        Exit::Temporary
    }
}

impl Reason for TlsError {
    fn code(&self) -> &'static str {
        "TLSFailed"
    }

    fn exit(&self) -> Exit {
        Exit::WrongInput
    }
}

/// Runs the command.
pub async fn run(environment: &Environment) -> ExitCode {
    let mut record = Record::start("migrate", environment);
    let outcome = match StopSignals::listen() {
        Ok(mut stop) => steps(environment, &mut record, &mut stop).await,
        Err(error) => Err(Failure {
            exit: Exit::Internal,
            code: "Internal",
            message: error.to_string(),
        }),
    };
    record.finish(outcome)
}

async fn steps(
    environment: &Environment,
    record: &mut Record,
    stop: &mut StopSignals,
) -> Result<Success, Failure> {
    record.step("input");
    let target = Target::read(environment)?;
    let layout = Layout::find(
        environment,
        Path::new("/app"),
        &std::env::current_dir().unwrap_or_default(),
    )?;

    record.step("connect");
    let connection = tokio::select! {
        connection = target.wait_for_database() => connection?,
        signal = stop.next() => return Err(Failure::terminated(signal)),
    };
    record.fact("serverVersion", server_version(&connection).await?);

    record.step("lock");
    let mut lock = tokio::select! {
        lock = lock::take(&target) => lock?,
        signal = stop.next() => return Err(Failure::terminated(signal)),
    };

    record.step("rights");
    rights::check(&connection).await?;
    let before = Journal::read(&connection).await?;
    // The program may take long; an idle connection might not outlive it.
    drop(connection);

    record.step("migrate");
    program::run(
        &layout,
        &target.url,
        &Redactor::new(target.url.secrets()),
        &mut lock,
        stop,
    )
    .await?;

    record.step("journal");
    let connection = target.open().await?;
    let after = Journal::read(&connection).await?;
    let applied = after.rows().saturating_sub(before.rows());
    record.fact("applied", applied);
    if let Some(rows) = journal::encrypted_rows(&connection).await? {
        record.fact("encryptedRows", rows);
    }
    if let Some(folder) = &layout.migrations {
        let pending = after.pending(folder)?;
        record.fact("pending", pending.len());
        if let Some(first) = pending.first() {
            return Err(journal::JournalError::Incomplete {
                pending: pending.len(),
                first: first.clone(),
            }
            .into());
        }
    } else {
        tracing::warn!(
            "the program's migrations lie nowhere that is known, so the journal could not be compared"
        );
    }
    Ok(if applied == 0 {
        Success::Nothing
    } else {
        Success::Done
    })
}

impl Target {
    fn read(environment: &Environment) -> Result<Self, Failure> {
        let (name, text) = ["DATABASE_MIGRATION_URL", "DATABASE_URL"]
            .into_iter()
            .find_map(|name| Some((name, environment.get(name)?)))
            .ok_or(UrlError::NotSet)?;
        let url = DatabaseUrl::parse(name, text)?;
        let tls = Tls::new(
            url.encryption(),
            environment.get("NODE_EXTRA_CA_CERTS").map(Path::new),
        )?;
        tracing::info!(database = %url, from = name, "database");
        let seconds = environment.parse("PAPERCLIP_AGENT_WAIT_SECONDS", "a number of seconds")?;
        Ok(Self {
            url,
            tls,
            wait: Duration::from_secs(seconds.unwrap_or(WAIT_SECONDS)),
        })
    }

    async fn open(&self) -> Result<Connection, ConnectError> {
        let mut config = self.url.config().clone();
        config
            .application_name("paperclip-agent migrate")
            .keepalives_idle(Duration::from_secs(30));
        Connection::open(&config, self.tls.clone(), CONNECT_WITHIN).await
    }

    /// A connection as soon as there can be one. Nothing but wrong input ends the wait early: a password or a database
    /// may be on its way.
    async fn wait_for_database(&self) -> Result<Connection, ConnectError> {
        let since = Instant::now();
        let mut last = String::new();
        loop {
            match self.open().await {
                Ok(connection) => return Ok(connection),
                Err(error) if error.exit() == Exit::WrongInput || since.elapsed() > self.wait => {
                    return Err(error);
                }
                Err(error) => {
                    if last != error.code() {
                        tracing::info!(code = error.code(), reason = %error, "waiting for the database");
                        error.code().clone_into(&mut last);
                    }
                    sleep(RETRY_EVERY).await;
                }
            }
        }
    }
}

async fn server_version(connection: &Connection) -> Result<String, QueryError> {
    let row = connection
        .client()
        .query_one("SELECT current_setting('server_version')", &[])
        .await;
    let version: String = row.map_err(QueryError::of("version"))?.get(0);
    // `17.6 (Debian 17.6-0+deb13u1)`
    Ok(version
        .split_whitespace()
        .next()
        .unwrap_or_default()
        .to_owned())
}
