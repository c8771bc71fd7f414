//! The database that a command works on: found in the environment, waited for, asked for its version.

use std::path::Path;
use std::time::Duration;

use tokio::time::{Instant, sleep};

use crate::database::{ConnectError, Connection, describe};
use crate::environment::Environment;
use crate::result::{Exit, Failure, Reason};
use crate::tls::{Tls, TlsError};
use crate::urls::{DatabaseUrl, UrlError};

const CONNECT_WITHIN: Duration = Duration::from_secs(5);
/// How long the database may take to answer, unless the environment says otherwise.
const WAIT_SECONDS: u64 = 60;
const RETRY_EVERY: Duration = Duration::from_secs(1);

/// Where the database is and how to get there.
pub struct Target {
    /// The connection string.
    pub url: DatabaseUrl,
    /// What the server sees of us.
    name: &'static str,
    tls: Tls,
    wait: Duration,
}

/// A question to the database failed.
#[derive(Debug, thiserror::Error)]
#[error("{what}: {error}")]
pub struct QueryError {
    what: &'static str,
    error: String,
}

impl QueryError {
    /// Makes one out of the library's error.
    pub fn of(what: &'static str) -> impl Fn(tokio_postgres::Error) -> Self {
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

impl Target {
    /// Reads the environment. `seen_as` is what the server sees of us.
    pub fn read(environment: &Environment, seen_as: &'static str) -> Result<Self, Failure> {
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
            name: seen_as,
            tls,
            wait: Duration::from_secs(seconds.unwrap_or(WAIT_SECONDS)),
        })
    }

    /// A connection, or why there is none.
    pub async fn open(&self) -> Result<Connection, ConnectError> {
        let mut config = self.url.config().clone();
        config
            .application_name(self.name)
            .keepalives_idle(Duration::from_secs(30));
        Connection::open(&config, self.tls.clone(), CONNECT_WITHIN).await
    }

    /// A connection as soon as there can be one. Nothing but wrong input ends the wait early: a password or a database
    /// may be on its way.
    pub async fn wait_for_database(&self) -> Result<Connection, ConnectError> {
        self.wait_while(|error| error.exit() != Exit::WrongInput)
            .await
    }

    /// A connection as soon as there can be one, for as long as what stands against it `may_pass`.
    pub async fn wait_while(
        &self,
        may_pass: impl Fn(&ConnectError) -> bool,
    ) -> Result<Connection, ConnectError> {
        let since = Instant::now();
        let mut last = String::new();
        loop {
            match self.open().await {
                Ok(connection) => return Ok(connection),
                Err(error) if !may_pass(&error) || since.elapsed() > self.wait => {
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

/// Version of the server, without its packager's words.
pub async fn server_version(connection: &Connection) -> Result<String, QueryError> {
    let row = connection
        .client()
        .query_typed_one("SELECT current_setting('server_version')", &[])
        .await;
    let version: String = row.map_err(QueryError::of("version"))?.get(0);
    // `17.6 (Debian 17.6-0+deb13u1)`
    Ok(version
        .split_whitespace()
        .next()
        .unwrap_or_default()
        .to_owned())
}
