//! Starting and stopping the server process.

use std::io;
use std::path::{Path, PathBuf};
use std::process::ExitStatus;
use std::time::Duration;

use rustix::process::Signal;
use tokio::process::{Child, Command};

use crate::postgres::binaries::Binaries;
use crate::postgres::config::Config;
use crate::postgres::lock::{DataLock, clear_misleading};
use crate::process::{self, Relay};
use crate::result::{Exit, Reason};

/// How a server is to run.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// For the agent alone, on data that is thrown away if anything goes wrong.
    Initialise,
    /// For everybody.
    Serve,
}

/// A server process.
pub struct Server {
    child: Child,
    relay: Relay,
}

/// Why there is none, or not any more.
#[derive(Debug, thiserror::Error)]
pub enum ServerError {
    /// It could not be started.
    #[error("{}: {error}", .program.display())]
    NotStarted {
        /// The program.
        program: PathBuf,
        /// Why not.
        error: io::Error,
    },
    /// It ended by itself.
    #[error("{how}{}{complaint}", if complaint.is_empty() { "" } else { ": " })]
    Ended {
        /// How it ended, in words.
        how: String,
        /// What it ended with.
        exit_code: u8,
        /// Its last words.
        complaint: String,
    },
    /// It runs but does not answer.
    #[error("the server did not answer within {} s", .0.as_secs())]
    Silent(Duration),
    /// The operating system refused signals or waiting.
    #[error("signals: {0}")]
    Signals(#[from] io::Error),
}

impl Reason for ServerError {
    fn code(&self) -> &'static str {
        match self {
            Self::NotStarted { .. } => "PostgresUnusable",
            Self::Ended { complaint, .. } if complaint.contains("No space left on device") => {
                "StorageFull"
            }
            Self::Ended { .. } => "PostgresFailed",
            Self::Silent(_) => "PostgresSilent",
            Self::Signals(_) => "Internal",
        }
    }

    fn exit(&self) -> Exit {
        match self {
            Self::NotStarted { .. } => Exit::WrongInput,
            Self::Ended { exit_code, .. } => Exit::Program(*exit_code),
            Self::Silent(_) => Exit::Temporary,
            Self::Signals(_) => Exit::Internal,
        }
    }
}

impl Server {
    /// Starts the server on `data`.
    pub fn start(
        config: &Config,
        binaries: &Binaries,
        data: &Path,
        lock: &DataLock,
        purpose: Purpose,
    ) -> Result<Self, ServerError> {
        clear_misleading(&data.join("postmaster.pid"));
        clear_misleading(
            &config
                .socket_folder
                .join(format!(".s.PGSQL.{}.lock", config.port)),
        );
        let (reader, writer) = io::pipe()?;
        let mut command = Command::new(&binaries.postgres);
        command.arg("-D").arg(data);
        for (name, value) in settings(config, purpose) {
            command.arg("-c").arg(format!("{name}={value}"));
        }
        command
            .stdin(lock.for_child()?)
            .stdout(writer.try_clone()?)
            .stderr(writer);
        // What is half made is thrown away; what serves is never ended but in order.
        command.kill_on_drop(purpose == Purpose::Initialise);
        let child = command.spawn().map_err(|error| ServerError::NotStarted {
            program: binaries.postgres.clone(),
            error,
        })?;
        // The command holds the pipe's other end, which must close with the server.
        drop(command);
        Ok(Self {
            child,
            relay: Relay::start(reader),
        })
    }

    /// Number of the process, until it was waited for.
    pub fn id(&self) -> Option<u32> {
        self.child.id()
    }

    /// Asks for one of PostgreSQL's three kinds of shutdown, or for a reload.
    pub fn send(&self, signal: Signal) {
        process::send(&self.child, signal);
    }

    /// Ends the process at once. The next start recovers.
    pub fn kill(&mut self) {
        let _ = self.child.start_kill();
    }

    /// How the process ended.
    pub async fn wait(&mut self) -> Result<ExitStatus, ServerError> {
        Ok(self.child.wait().await?)
    }

    /// The error that stands for an end nobody asked for.
    pub fn ended(&self, status: ExitStatus) -> ServerError {
        // Who was killed had no time for words: what was said before is of something else.
        let complaint = if status.code().is_some() {
            self.relay.last_complaint()
        } else {
            String::new()
        };
        ServerError::Ended {
            how: process::how_ended(status),
            exit_code: process::exit_code(status),
            complaint,
        }
    }
}

fn settings(config: &Config, purpose: Purpose) -> Vec<(String, String)> {
    let text = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    let mut settings = Vec::new();
    match purpose {
        Purpose::Serve => {
            settings.extend(config.settings.clone());
            settings.push(text("listen_addresses", &config.listen_addresses));
        }
        Purpose::Initialise => {
            settings.push(text("listen_addresses", ""));
            // All is written out once, at the end.
            settings.push(text("fsync", "off"));
            settings.push(text("full_page_writes", "off"));
            settings.push(text("autovacuum", "off"));
        }
    }
    settings.extend([
        ("port".to_owned(), config.port.to_string()),
        (
            "unix_socket_directories".to_owned(),
            config.socket_folder.display().to_string(),
        ),
        text("unix_socket_permissions", "0700"),
        (
            "hba_file".to_owned(),
            config.hba_file().display().to_string(),
        ),
        text("password_encryption", "scram-sha-256"),
        // The container's log is the log.
        text("log_destination", "stderr"),
        text("logging_collector", "off"),
    ]);
    settings
}
