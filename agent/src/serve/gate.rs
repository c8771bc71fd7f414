//! Which pod's server wakes agents: at most one, whoever is started, replaced or cut off.
//!
//! The right is a session lock in the application's own database: who cannot reach the database cannot schedule either,
//! and the lock ends with its session. Nobody is believed to hold it who was not told so by the database.

use std::path::Path;
use std::str::FromStr;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::{Instant, sleep, timeout};

use crate::database::{ConnectError, Connection, describe};
use crate::environment::Environment;
use crate::result::{Failure, Reason as _};
use crate::tls::Tls;
use crate::urls::{DatabaseUrl, UrlError};

/// The lock's number in the database: the ASCII letters `pclsched`. It must never change.
const KEY: i64 = i64::from_be_bytes(*b"pclsched");
const CONNECT_WITHIN: Duration = Duration::from_secs(5);
const ANSWER_WITHIN: Duration = Duration::from_secs(5);
/// How often a free lock is asked for.
const ASK_EVERY: Duration = Duration::from_secs(2);
/// How often the holder looks whether its session still lives.
const LOOK_EVERY: Duration = Duration::from_secs(5);
const RETRY_EVERY: Duration = Duration::from_secs(1);
/// How long a first answer is waited for. Then the server starts without the right to schedule.
const FIRST_ANSWER_WITHIN: Duration = Duration::from_secs(30);
/// The server ends a session whose client is gone within half a minute, so that another pod can take over.
const SESSION: &str = "SET tcp_keepalives_idle = 10; SET tcp_keepalives_interval = 5; SET tcp_keepalives_count = 3; \
     SET idle_session_timeout = 0";

/// Who may ask for the lock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Gate {
    /// The first pod of a StatefulSet alone.
    Ordinal,
    /// Every pod.
    Hold,
}

impl FromStr for Gate {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "ordinal" => Ok(Self::Ordinal),
            "hold" => Ok(Self::Hold),
            _ => Err(format!("\"{text}\" is neither ordinal nor hold")),
        }
    }
}

/// Asks for the lock, and tells whether it is held; `None` until the first answer.
pub struct Contender {
    /// `None`: this pod never asks.
    database: Option<Database>,
    tell: watch::Sender<Option<bool>>,
}

struct Database {
    url: DatabaseUrl,
    tls: Tls,
}

impl Contender {
    /// Reads the environment; what is told arrives at the receiver.
    pub fn read(
        gate: Gate,
        environment: &Environment,
    ) -> Result<(Self, watch::Receiver<Option<bool>>), Failure> {
        let (tell, told) = watch::channel(None);
        let first = environment
            .get("PAPERCLIP_AGENT_POD")
            .is_some_and(|pod| pod.ends_with("-0"));
        let database = match gate {
            Gate::Ordinal if !first => None,
            Gate::Ordinal | Gate::Hold => Some(Database::read(environment)?),
        };
        Ok((Self { database, tell }, told))
    }

    /// Asks for ever.
    pub async fn follow(self) {
        let Some(database) = self.database else {
            self.tell.send_replace(Some(false));
            self.tell.closed().await;
            return;
        };
        let since = Instant::now();
        let mut last = "";
        loop {
            match database.open().await {
                Ok(connection) => {
                    last = "";
                    session(connection, &self.tell).await;
                    tracing::warn!("the session that is asked for the right to schedule was lost");
                }
                Err(error) => {
                    if last != error.code() {
                        tracing::warn!(code = error.code(), reason = %error, "the database cannot be asked who schedules");
                        last = error.code();
                    }
                }
            }
            if self.tell.borrow().is_none() && since.elapsed() > FIRST_ANSWER_WITHIN {
                self.tell.send_replace(Some(false));
            }
            sleep(RETRY_EVERY).await;
        }
    }
}

impl Database {
    fn read(environment: &Environment) -> Result<Self, Failure> {
        // A session lock needs a session: the second may lead through a pooler that has none.
        let (name, text) = ["DATABASE_MIGRATION_URL", "DATABASE_URL"]
            .into_iter()
            .find_map(|name| Some((name, environment.get(name)?)))
            .ok_or(UrlError::NotSet)?;
        let url = DatabaseUrl::parse(name, text)?;
        let tls = Tls::new(
            url.encryption(),
            environment.get("NODE_EXTRA_CA_CERTS").map(Path::new),
        )?;
        Ok(Self { url, tls })
    }

    async fn open(&self) -> Result<Connection, ConnectError> {
        let mut config = self.url.config().clone();
        config
            .application_name("paperclip-agent serve")
            .keepalives_idle(Duration::from_secs(10));
        Connection::open(&config, self.tls.clone(), CONNECT_WITHIN).await
    }
}

/// Asks in one session until it is lost. What was told last stands until another session knows better: a server does not
/// lose its right by a short cut, only by somebody else's having taken it.
async fn session(mut connection: Connection, tell: &watch::Sender<Option<bool>>) {
    if answer(connection.client().batch_execute(SESSION))
        .await
        .is_none()
    {
        return;
    }
    let mut holds = false;
    loop {
        if holds {
            if answer(connection.client().simple_query("SELECT 1"))
                .await
                .is_none()
            {
                return;
            }
        } else {
            let asked = connection
                .client()
                .query_one("SELECT pg_try_advisory_lock($1)", &[&KEY]);
            let Some(row) = answer(asked).await else {
                return;
            };
            holds = row.get(0);
            if tell.send_replace(Some(holds)) != Some(holds) {
                tracing::info!(schedules = holds, "told by the database");
            }
        }
        let pause = if holds { LOOK_EVERY } else { ASK_EVERY };
        tokio::select! {
            () = sleep(pause) => {}
            () = connection.lost() => return,
        }
    }
}

async fn answer<T>(question: impl Future<Output = Result<T, tokio_postgres::Error>>) -> Option<T> {
    match timeout(ANSWER_WITHIN, question).await {
        Ok(Ok(value)) => Some(value),
        Ok(Err(error)) => {
            tracing::warn!(error = %describe(&error), "no answer who schedules");
            None
        }
        Err(_) => {
            tracing::warn!("no answer who schedules in time");
            None
        }
    }
}
