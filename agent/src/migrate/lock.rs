//! One migration at a time on one database.
//!
//! The lock belongs to a transaction that stays open for as long as the migration runs. So it is held also through a
//! pooler that gives each transaction another connection, and it ends with the connection, whatever happens to us.
//! The transaction has no snapshot and holds up nobody.

use std::time::Duration;

use tokio::time::{Instant, sleep};

use crate::database::{ConnectError, Connection};
use crate::result::{Exit, Reason};
use crate::target::{QueryError, Target};

/// The lock's number in the database: the ASCII letters `paperclp`. It must never change.
const KEY: i64 = i64::from_be_bytes(*b"paperclp");
const WAIT: Duration = Duration::from_secs(900);
const RETRY_EVERY: Duration = Duration::from_millis(500);

/// The held lock.
pub struct MigrationLock {
    connection: Connection,
}

/// Why the lock is not held.
#[derive(Debug, thiserror::Error)]
pub enum LockError {
    /// No connection.
    #[error("{0}")]
    Connect(#[from] ConnectError),
    /// A statement failed.
    #[error("{0}")]
    Query(#[from] QueryError),
    /// Another migration runs and does not end.
    #[error("another migration of this database has been running for {} s", .0.as_secs())]
    Timeout(Duration),
}

impl Reason for LockError {
    fn code(&self) -> &'static str {
        match self {
            Self::Connect(error) => error.code(),
            Self::Query(error) => error.code(),
            Self::Timeout(_) => "LockTimeout",
        }
    }

    fn exit(&self) -> Exit {
        Exit::Temporary
    }
}

/// Takes the lock, waiting for another migration for a bounded time.
pub async fn take(target: &Target) -> Result<MigrationLock, LockError> {
    let connection = target.open().await?;
    let client = connection.client();
    client
        .batch_execute("BEGIN ISOLATION LEVEL READ COMMITTED; SET LOCAL idle_in_transaction_session_timeout = 0; SET LOCAL statement_timeout = 0")
        .await
        .map_err(QueryError::of("lock"))?;
    let since = Instant::now();
    let mut waits = false;
    loop {
        let row = client
            .query_one("SELECT pg_try_advisory_xact_lock($1)", &[&KEY])
            .await;
        if row.map_err(QueryError::of("lock"))?.get(0) {
            return Ok(MigrationLock { connection });
        }
        if since.elapsed() > WAIT {
            return Err(LockError::Timeout(WAIT));
        }
        if !waits {
            tracing::info!("another migration of this database is running");
            waits = true;
        }
        sleep(RETRY_EVERY).await;
    }
}

impl MigrationLock {
    /// Returns when the lock is lost, which happens only with its connection.
    pub async fn lost(&mut self) {
        self.connection.lost().await;
    }
}
