//! `serve`: runs the application's server as a child, and does for it what the image's own entrypoint cannot.
//!
//! It ends when the server ends, with the server's exit code. It passes signals on and never decides by itself that a
//! server which works must end.

pub mod forward;

use std::future::pending;
use std::path::Path;
use std::process::{ExitCode, ExitStatus};
use std::time::Duration;

use rustix::process::Signal;
use tokio::signal::unix::{Signal as Signals, SignalKind, signal};

use crate::environment::Environment;
use crate::process::{StopSignals, collect_orphans, exit_code, how_ended};
use crate::result::{Exit, Failure, Record, Success};
use crate::serve::forward::{Forward, ForwardError};
use crate::server::child::{Server, ServerError};
use crate::server::layout::Layout;

/// How long the server may take to end after a fault of ours.
const END_WITHIN: Duration = Duration::from_secs(20);

/// What is asked for beside the server.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// The server accepts loopback only: forward this address of the pod to it.
    pub forward: Option<Forward>,
}

/// Signals that are passed on, and word of children that ended.
struct Watched {
    stop: StopSignals,
    hangup: Signals,
    child_ended: Signals,
}

impl Watched {
    fn listen() -> Result<Self, ServerError> {
        Ok(Self {
            stop: StopSignals::listen()?,
            hangup: signal(SignalKind::hangup())?,
            child_ended: signal(SignalKind::child())?,
        })
    }
}

/// Runs the command.
pub async fn run(options: &Options, environment: &Environment) -> ExitCode {
    let mut record = Record::start("serve", environment);
    let outcome = steps(options, environment, &mut record).await;
    record.finish(outcome)
}

async fn steps(
    options: &Options,
    environment: &Environment,
    record: &mut Record,
) -> Result<Success, Failure> {
    record.step("input");
    // Before the child: as process 1 we would not even be told of a signal that nobody takes.
    let mut watched = Watched::listen()?;
    let layout = Layout::find(
        environment,
        Path::new("/app"),
        &std::env::current_dir().unwrap_or_default(),
    )?;
    record.step("serve");
    let mut server = Server::start(&layout, &[])?;
    let status = attend(&mut server, options, &mut watched).await?;
    passed_on(status)
}

/// Stays with the server until it ends.
async fn attend(
    server: &mut Server,
    options: &Options,
    watched: &mut Watched,
) -> Result<ExitStatus, Failure> {
    let mut way = std::pin::pin!(open(options.forward));
    // Those that ended while nobody listened.
    collect_orphans(server.id());
    loop {
        tokio::select! {
            status = server.wait() => return Ok(status?),
            name = watched.stop.next() => {
                tracing::info!(signal = name, "passed on to the server");
                server.send(number(name));
            }
            _ = watched.hangup.recv() => server.send(Signal::HUP),
            _ = watched.child_ended.recv() => collect_orphans(server.id()),
            error = &mut way => {
                server.end(END_WITHIN).await?;
                return Err(error.into());
            }
        }
    }
}

async fn open(forward: Option<Forward>) -> ForwardError {
    match forward {
        Some(forward) => forward.keep_open().await,
        None => pending().await,
    }
}

fn number(name: &str) -> Signal {
    match name {
        "SIGINT" => Signal::INT,
        "SIGQUIT" => Signal::QUIT,
        _ => Signal::TERM,
    }
}

/// The server's end as ours.
fn passed_on(status: ExitStatus) -> Result<Success, Failure> {
    if status.success() {
        return Ok(Success::Done);
    }
    Err(Failure {
        exit: Exit::Program(exit_code(status)),
        code: "ServerFailed",
        message: format!("the server ended with {}", how_ended(status)),
    })
}
