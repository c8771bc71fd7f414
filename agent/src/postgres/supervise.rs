//! Runs the server until it ends or somebody asks for its end, and keeps its roles as the credentials say meanwhile.

use std::time::Duration;

use rustix::process::Signal;
use tokio::signal::unix::{SignalKind, signal};
use tokio::time::{Instant, sleep, sleep_until};

use crate::postgres::adopt;
use crate::postgres::binaries::Binaries;
use crate::postgres::config::Config;
use crate::postgres::credentials::Credentials;
use crate::postgres::lock::DataLock;
use crate::postgres::roles::{self, RolesError};
use crate::postgres::server::{Purpose, Server, ServerError};
use crate::process::{StopSignals, collect_orphans};
use crate::result::{Failure, Success};

/// How often the credentials are looked at. The kubelet refreshes a mounted Secret about once a minute.
const LOOK_EVERY: Duration = Duration::from_secs(2);
/// How soon what failed is tried again: at first at once, because the server has only just been started.
const RETRY_AFTER: Duration = Duration::from_millis(50);
/// How many failures in a row are part of any start.
const EXPECTED_FAILURES: u32 = 5;
/// Bound of one try to bring roles, database and extensions into shape.
const TRY_WITHIN: Duration = Duration::from_secs(120);
/// How long PostgreSQL may take for a shutdown without a checkpoint.
const IMMEDIATE_WITHIN: Duration = Duration::from_secs(10);

/// How far a shutdown has come.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Stopping {
    No,
    Fast,
    Immediate,
    Killed,
}

/// Runs the server on the data directory of `config`.
pub async fn run(
    config: &Config,
    binaries: &Binaries,
    lock: &DataLock,
    stop: &mut StopSignals,
) -> Result<Success, Failure> {
    let mut hangup = signal(SignalKind::hangup()).map_err(ServerError::Signals)?;
    let mut child_ended = signal(SignalKind::child()).map_err(ServerError::Signals)?;
    let mut server = Server::start(config, binaries, &config.data, lock, Purpose::Serve)?;
    let follower = tokio::spawn(follow(config.clone()));
    let mut stopping = Stopping::No;
    let mut deadline = Instant::now();
    // Those that ended while nobody listened.
    collect_orphans(server.id());
    let status = loop {
        tokio::select! {
            status = server.wait() => break status?,
            name = stop.next(), if stopping == Stopping::No => {
                tracing::info!(signal = name, "fast shutdown");
                follower.abort();
                server.send(Signal::INT);
                (stopping, deadline) = (Stopping::Fast, Instant::now() + config.stop_within);
            }
            () = sleep_until(deadline), if stopping != Stopping::No && stopping != Stopping::Killed => {
                if stopping == Stopping::Fast {
                    tracing::warn!("no fast shutdown in time, so an immediate one; the next start recovers");
                    server.send(Signal::QUIT);
                    (stopping, deadline) = (Stopping::Immediate, Instant::now() + IMMEDIATE_WITHIN);
                } else {
                    server.kill();
                    stopping = Stopping::Killed;
                }
            }
            _ = hangup.recv() => server.send(Signal::HUP),
            _ = child_ended.recv() => collect_orphans(server.id()),
        }
    };
    follower.abort();
    if status.success() {
        return Ok(Success::Done);
    }
    Err(server.ended(status).into())
}

/// Brings roles, database, extensions and password into shape once, then again whenever the credentials change.
async fn follow(config: Config) {
    let mut settled = None;
    let mut failures = 0;
    let mut told = String::new();
    loop {
        match follow_once(&config, settled).await {
            Ok(fingerprint) => {
                if settled != Some(fingerprint) {
                    tracing::info!("role, database, extensions and password are as wanted");
                }
                settled = Some(fingerprint);
                failures = 0;
                told.clear();
                sleep(LOOK_EVERY).await;
            }
            Err(failure) => {
                failures += 1;
                if failures > EXPECTED_FAILURES && failure.message != told {
                    tracing::warn!(
                        code = failure.code,
                        reason = failure.message,
                        "role, database or password are not yet as wanted"
                    );
                    told = failure.message;
                }
                sleep((RETRY_AFTER * 2_u32.pow(failures.min(6))).min(LOOK_EVERY)).await;
            }
        }
    }
}

/// Looks at the credentials, and works only if they are not those that were settled.
async fn follow_once(config: &Config, settled: Option<[u8; 32]>) -> Result<[u8; 32], Failure> {
    let credentials = config.credentials.read()?;
    let fingerprint = credentials.fingerprint();
    if settled != Some(fingerprint) {
        tokio::time::timeout(TRY_WITHIN, settle(config, &credentials))
            .await
            .map_err(|_| ServerError::Silent(TRY_WITHIN))??;
    }
    Ok(fingerprint)
}

async fn settle(config: &Config, credentials: &Credentials) -> Result<(), RolesError> {
    let superuser = adopt::superuser(config, &credentials.username).await?;
    roles::ensure(&superuser, &config.database, credentials).await?;
    if roles::ensure_password(&superuser, config, credentials).await? {
        tracing::info!(
            role = credentials.username,
            "the password is now the one of the credentials"
        );
    }
    Ok(())
}
