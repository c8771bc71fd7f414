//! The program that runs inside pods for the operator. It does there what shells do elsewhere.
//!
//! It is configured by environment and files only: no text of a custom resource is ever interpreted. It never
//! talks to the Kubernetes API server, and no secret leaves it by a log line, an argument or a result.
#![forbid(unsafe_code)]

mod backup;
mod bootstrap;
mod bridge;
mod check;
mod copy;
mod data;
mod database;
mod environment;
mod keyring;
mod layout;
mod migrate;
mod output;
mod postgres;
mod probe;
mod process;
mod prune;
mod redact;
mod restore;
mod result;
mod serve;
mod server;
mod storage;
mod target;
mod tls;
mod urls;
mod verify;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use tracing::level_filters::LevelFilter;

use crate::result::Exit;

/// What runs inside pods for the Paperclip operator.
#[derive(Parser)]
#[command(name = "paperclip-agent", version)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Copy this program to a path, so that other containers of the pod can run it.
    Copy {
        /// The file to write.
        path: PathBuf,
    },
    /// Initialise the data directory if there is none, then run and supervise PostgreSQL.
    Postgres,
    /// Ask the database beside this container one question as the application's role.
    Probe,
    /// Run the application's own migrations and check their journal.
    Migrate,
    /// Make the first admin, by a server of its own that nobody else can reach.
    Bootstrap,
    /// Run the application's server, and end with it.
    Serve {
        /// Address and port of the pod to forward to the same port of loopback, once the server answers there.
        #[arg(long, value_name = "IP:PORT")]
        forward: Option<serve::forward::Forward>,
        /// Which pods may ask for the right to wake agents: `ordinal` (the first of a StatefulSet), `hold` (each).
        #[arg(long)]
        gate: Option<serve::gate::Gate>,
    },
    /// Ask a database of somebody else whether the application could live in it.
    Check,
    /// Take one backup of a database into a bucket, and read it back.
    Backup,
    /// Prove that a backup can be brought back, in a PostgreSQL that is thrown away.
    Verify,
    /// Take backups away that nobody needs any more.
    Prune,
    /// Put a backup in the place of what a database holds, whole or not at all.
    Restore,
}

fn main() -> ExitCode {
    let arguments = match Arguments::try_parse() {
        Ok(arguments) => arguments,
        Err(error) => {
            // Help and version are asked for; everything else is wrong input.
            let asked_for = !error.use_stderr();
            let _ = error.print();
            return if asked_for {
                Exit::Done
            } else {
                Exit::WrongInput
            }
            .into();
        }
    };
    // One thread: the work is waiting. Inside a database container every thread id is one more number that a stale
    // lock file of PostgreSQL could name.
    let runtime = match tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
    {
        Ok(runtime) => runtime,
        Err(error) => {
            log_to_stdout();
            tracing::error!(%error, "no runtime");
            return Exit::Internal.into();
        }
    };
    let environment = environment::Environment::of_process();
    let code = match arguments.command {
        Command::Copy { path } => {
            log_to_stdout();
            copy::run(&path)
        }
        Command::Postgres => {
            log_to_stdout();
            runtime.block_on(postgres::run(&environment))
        }
        // Its standard output is the reason that the kubelet shows: one line, no log.
        Command::Probe => runtime.block_on(probe::run(&environment)),
        Command::Migrate => {
            log_to_stdout();
            runtime.block_on(migrate::run(&environment))
        }
        Command::Bootstrap => {
            log_to_stdout();
            runtime.block_on(bootstrap::run(&environment))
        }
        Command::Serve { forward, gate } => {
            log_to_stdout();
            runtime.block_on(serve::run(&serve::Options { forward, gate }, &environment))
        }
        Command::Check => {
            log_to_stdout();
            runtime.block_on(check::run(&environment))
        }
        Command::Backup => {
            log_to_stdout();
            runtime.block_on(backup::run(&environment))
        }
        Command::Verify => {
            log_to_stdout();
            runtime.block_on(verify::run(&environment))
        }
        Command::Prune => {
            log_to_stdout();
            runtime.block_on(prune::run(&environment))
        }
        Command::Restore => {
            log_to_stdout();
            runtime.block_on(restore::run(&environment))
        }
    };
    // A look-up of a name that still waits for its answer must not hold the process.
    runtime.shutdown_background();
    code
}

fn log_to_stdout() {
    let level = std::env::var("PAPERCLIP_AGENT_LOG")
        .ok()
        .and_then(|level| level.parse().ok())
        .unwrap_or(LevelFilter::INFO);
    let subscriber = tracing_subscriber::fmt()
        .json()
        .flatten_event(true)
        .with_max_level(level)
        .with_target(false)
        .finish();
    // Can only fail if a subscriber is set already; this is the one place that sets one.
    let _ = tracing::subscriber::set_global_default(subscriber);
}
