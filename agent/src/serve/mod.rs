//! `serve`: runs the application's server as a child, and does for it what the image's own entrypoint cannot.
//!
//! It ends when the server ends, with the server's exit code. It passes signals on and never decides by itself that a
//! server which works must end.

pub mod forward;
pub mod gate;
mod status;

use std::future::pending;
use std::process::{ExitCode, ExitStatus};
use std::time::Duration;

use rustix::process::Signal;
use tokio::signal::unix::{Signal as Signals, SignalKind, signal};
use tokio::sync::watch;

use crate::environment::Environment;
use crate::layout::{self, Layout};
use crate::process::{StopSignals, collect_orphans, exit_code, how_ended};
use crate::result::{Exit, Failure, Record, Success};
use crate::serve::forward::{Forward, ForwardError};
use crate::serve::gate::{Contender, Gate};
use crate::server::child::{Server, ServerError};

/// How long the server may take to end when we end it.
const END_WITHIN: Duration = Duration::from_secs(60);

/// What is asked for beside the server.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// The server accepts loopback only: forward this address of the pod to it.
    pub forward: Option<Forward>,
    /// More than one pod may be there: at most one wakes agents.
    pub gate: Option<Gate>,
}

/// The variable that lets a server wake agents, or not.
const SCHEDULER: &str = "HEARTBEAT_SCHEDULER_ENABLED";

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
    let layout = Layout::of(&layout::SERVER, environment)?;
    // Whoever sets the variable has decided.
    let gate = options
        .gate
        .filter(|_| environment.get(SCHEDULER).is_none());
    let Some(gate) = gate else {
        record.step("serve");
        let mut server = Server::start(&layout, &[])?;
        return match attend(&mut server, options, &mut watched, pending()).await? {
            Some(status) => passed_on(status),
            None => Ok(Success::Done),
        };
    };
    let port = environment
        .parse("PAPERCLIP_AGENT_STATUS_PORT", "a port")?
        .unwrap_or(status::PORT);
    let (contender, mut told) = Contender::read(gate, environment)?;
    tokio::spawn(contender.follow());
    record.step("gate");
    tokio::select! {
        _ = told.wait_for(Option::is_some) => {}
        name = watched.stop.next() => return Err(Failure::terminated(name)),
    }
    record.step("serve");
    let (say, said) = watch::channel(false);
    tokio::spawn(status::answer(port, said));
    loop {
        let schedules = told.borrow_and_update().unwrap_or(false);
        say.send_replace(schedules);
        let value = if schedules { "true" } else { "false" };
        let mut server = Server::start(&layout, &[(SCHEDULER, Some(value))])?;
        let other = told.wait_for(|now| *now == Some(!schedules));
        let changed = async {
            if other.await.is_err() {
                pending::<()>().await;
            }
        };
        if let Some(status) = attend(&mut server, options, &mut watched, changed).await? {
            return passed_on(status);
        }
        tracing::info!(schedules = !schedules, "the server is started again");
        // A server that no longer may schedule has stopped to when its successor asks.
        say.send_replace(false);
        if let Some(status) = end(&mut server, &mut watched).await? {
            return passed_on(status);
        }
    }
}

/// Ends the server in order to start it again; its status if the pod is to end meanwhile.
async fn end(server: &mut Server, watched: &mut Watched) -> Result<Option<ExitStatus>, Failure> {
    let id = server.id();
    let mut asked = false;
    let status = {
        let mut ending = std::pin::pin!(server.end(END_WITHIN));
        loop {
            tokio::select! {
                status = &mut ending => break status?,
                _ = watched.stop.next() => asked = true,
                _ = watched.child_ended.recv() => collect_orphans(id),
            }
        }
    };
    Ok(asked.then_some(status))
}

/// Stays with the server until it ends, or until `changed`; then it still runs.
async fn attend(
    server: &mut Server,
    options: &Options,
    watched: &mut Watched,
    changed: impl Future<Output = ()>,
) -> Result<Option<ExitStatus>, Failure> {
    let mut changed = std::pin::pin!(changed);
    let mut way = std::pin::pin!(open(options.forward));
    // Those that ended while nobody listened.
    collect_orphans(server.id());
    loop {
        tokio::select! {
            status = server.wait() => return Ok(Some(status?)),
            () = &mut changed => return Ok(None),
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
