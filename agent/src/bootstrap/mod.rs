//! `bootstrap`: makes the first admin, by a server of its own that listens on loopback and that nobody else can reach.
//!
//! Who may sign up, and whether the claim is open, are settings of a process and not of the data. So this works in every
//! mode, and there is no moment in which somebody else could claim the installation. Success is said only after the
//! server said that there is an admin.

mod admin;
mod claim;
mod side_server;

use std::process::ExitCode;
use std::time::Duration;

use tokio::signal::unix::{SignalKind, signal};
use tokio::time::{Instant, sleep};

use crate::bootstrap::admin::Admin;
use crate::bootstrap::claim::ClaimError;
use crate::environment::Environment;
use crate::layout::{self, Layout};
use crate::process::{StopSignals, collect_orphans, how_ended};
use crate::result::{Exit, Failure, Reason, Record, Success};
use crate::server::child::ServerError;
use crate::server::look::{Look, look};

/// How long the server may take to start, unless the environment says otherwise.
const START_SECONDS: u64 = 300;
/// How long it may take to end.
const END_WITHIN: Duration = Duration::from_secs(30);
const LOOK_EVERY: Duration = Duration::from_millis(250);
/// How long the server may take to see the admin that it has just made.
const PROOF_WITHIN: Duration = Duration::from_secs(10);

/// Why there is no proof of an admin.
#[derive(Debug, thiserror::Error)]
enum BootstrapError {
    /// The server ended by itself.
    #[error(
        "the server ended with {0} before it could be asked; its own words are in the log of this pod"
    )]
    ServerFailed(String),
    /// The server does not answer.
    #[error("the server did not answer within {} s", .0.as_secs())]
    ServerSilent(Duration),
    /// Somebody else answers where the server should.
    #[error("somebody else answers at port {port} of loopback ({heard})")]
    WrongPortOwner {
        /// The port.
        port: u16,
        /// What was heard there.
        heard: String,
    },
    /// The server's answer names no such status.
    #[error(
        "the server does not say whether there is an admin; this image has no bootstrapStatus in its health"
    )]
    NoStatus,
    /// The claim was accepted, and yet the server says that there is no admin.
    #[error("the claim was accepted, and the server still says that there is no admin")]
    NotProven,
}

impl Reason for BootstrapError {
    fn code(&self) -> &'static str {
        match self {
            Self::ServerFailed(_) => "ServerFailed",
            Self::ServerSilent(_) => "ServerSilent",
            Self::WrongPortOwner { .. } => "WrongPortOwner",
            Self::NoStatus => "NotSupported",
            Self::NotProven => "NotProven",
        }
    }

    fn exit(&self) -> Exit {
        match self {
            Self::WrongPortOwner { .. } | Self::NoStatus => Exit::Refused,
            Self::ServerFailed(_) | Self::ServerSilent(_) | Self::NotProven => Exit::Temporary,
        }
    }
}

/// Runs the command.
pub async fn run(environment: &Environment) -> ExitCode {
    let mut record = Record::start("bootstrap", environment);
    let outcome = steps(environment, &mut record).await;
    record.finish(outcome)
}

async fn steps(environment: &Environment, record: &mut Record) -> Result<Success, Failure> {
    record.step("input");
    let mut stop = StopSignals::listen().map_err(ServerError::System)?;
    let mut child_ended = signal(SignalKind::child()).map_err(ServerError::System)?;
    let admin = Admin::read(environment)?;
    let within = environment
        .parse("PAPERCLIP_AGENT_WAIT_SECONDS", "a number of seconds")?
        .unwrap_or(START_SECONDS);
    let port = environment
        .parse("PAPERCLIP_AGENT_PORT", "a port")?
        .unwrap_or(side_server::PORT);
    let layout = Layout::of(&layout::SERVER, environment)?;

    record.step("start");
    let mut server = side_server::start(&layout, port)?;
    let outcome = {
        let mut work = std::pin::pin!(make_admin(
            &admin,
            port,
            Duration::from_secs(within),
            record
        ));
        loop {
            let id = server.id();
            tokio::select! {
                outcome = &mut work => break outcome,
                status = server.wait() => {
                    return Err(BootstrapError::ServerFailed(how_ended(status?)).into());
                }
                name = stop.next() => break Err(Failure::terminated(name)),
                _ = child_ended.recv() => collect_orphans(id),
            }
        }
    };
    // Whatever came out: it must not stay, and it must have the time to end its work on the database.
    record.step("stop");
    server.end(END_WITHIN).await?;
    outcome
}

/// Asks, makes, asks again.
async fn make_admin(
    admin: &Admin,
    port: u16,
    within: Duration,
    record: &mut Record,
) -> Result<Success, Failure> {
    if has_admin(port, within).await? {
        record.fact("bootstrapStatus", "ready");
        return Ok(Success::Nothing);
    }
    record.step("sign-up");
    let session = claim::session(port, admin).await?;
    record.step("claim");
    let claimed = match claim::claim(port, &session).await {
        Ok(()) => Success::Done,
        // Between our first look and now, on a server that was open already.
        Err(ClaimError::ClaimedByOthers) => Success::Nothing,
        Err(error) => return Err(error.into()),
    };
    record.step("proof");
    let since = Instant::now();
    while !has_admin(port, PROOF_WITHIN).await? {
        if since.elapsed() > PROOF_WITHIN {
            return Err(BootstrapError::NotProven.into());
        }
        sleep(LOOK_EVERY).await;
    }
    record.fact("bootstrapStatus", "ready");
    Ok(claimed)
}

/// What the server says as soon as it says something.
async fn has_admin(port: u16, within: Duration) -> Result<bool, BootstrapError> {
    let since = Instant::now();
    let mut strange = 0;
    loop {
        match look(port).await {
            Look::Server(said) if said["status"] == "ok" => {
                return match said["bootstrapStatus"].as_str() {
                    Some("ready") => Ok(true),
                    Some(_) => Ok(false),
                    None => Err(BootstrapError::NoStatus),
                };
            }
            Look::Server(_) | Look::Nobody => strange = 0,
            Look::Stranger(heard) => {
                strange += 1;
                if strange >= 3 {
                    return Err(BootstrapError::WrongPortOwner { port, heard });
                }
            }
        }
        if since.elapsed() > within {
            return Err(BootstrapError::ServerSilent(within));
        }
        sleep(LOOK_EVERY).await;
    }
}
