//! Runs the application's migration program.
//!
//! Its output goes to our log line by line, without connection strings and passwords.

use std::io;
use std::process::Stdio;
use std::time::Duration;

use rustix::process::Signal;
use tokio::process::Command;
use tokio::signal::unix::{SignalKind, signal};

use crate::layout::Layout;
use crate::migrate::lock::MigrationLock;
use crate::output::log;
use crate::process::{StopSignals, collect_orphans, end, how_ended};
use crate::redact::Redactor;
use crate::result::{Exit, Failure, Reason};
use crate::urls::DatabaseUrl;

/// How long the program may take to end when it is asked to.
const END_WITHIN: Duration = Duration::from_secs(10);
/// How long its output may take to arrive after it ended: a child of its own may hold the pipe.
const OUTPUT_WITHIN: Duration = Duration::from_secs(2);

/// Why the program did not succeed.
#[derive(Debug, thiserror::Error)]
pub enum ProgramError {
    /// The program is not in the image.
    #[error("{program}: {error}")]
    NotStarted {
        /// The program.
        program: String,
        /// Why not.
        error: io::Error,
    },
    /// It said no.
    #[error("{how}: {words}")]
    Failed {
        /// How it ended.
        how: String,
        /// Its last words of weight.
        words: String,
    },
    /// The connection that held the lock is gone, so another migration could have started.
    #[error("the connection that holds the lock was lost; the migration was stopped")]
    LockLost,
    /// The operating system refused signals or waiting.
    #[error("{0}")]
    System(#[from] io::Error),
}

impl Reason for ProgramError {
    fn code(&self) -> &'static str {
        match self {
            Self::NotStarted { .. } => "ServerNotFound",
            Self::Failed { .. } => "MigrationFailed",
            Self::LockLost => "LockLost",
            Self::System(_) => "Internal",
        }
    }

    fn exit(&self) -> Exit {
        match self {
            Self::NotStarted { .. } => Exit::WrongInput,
            // A deadlock or a duplicate key of a server that migrates too is cured by the next try.
            Self::Failed { .. } | Self::LockLost => Exit::Temporary,
            Self::System(_) => Exit::Internal,
        }
    }
}

/// Runs the program to its end, while the lock is held.
pub async fn run(
    layout: &Layout,
    url: &DatabaseUrl,
    redactor: &Redactor,
    lock: &mut MigrationLock,
    stop: &mut StopSignals,
) -> Result<(), Failure> {
    let mut child_ended = signal(SignalKind::child()).map_err(ProgramError::System)?;
    let (program, arguments) = layout
        .argv
        .split_first()
        .map_or(("", &[][..]), |(program, rest)| (program.as_str(), rest));
    let mut command = Command::new(program);
    command
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true);
    if let Some(folder) = &layout.folder {
        command.current_dir(folder);
    }
    command
        .env("DATABASE_URL", url.secret_text())
        .env("DATABASE_MIGRATION_URL", url.secret_text());
    command
        .env("PAPERCLIP_MIGRATION_AUTO_APPLY", "true")
        .env_remove("PAPERCLIP_MIGRATION_PROMPT");
    let mut child = command.spawn().map_err(|error| ProgramError::NotStarted {
        program: program.to_owned(),
        error,
    })?;
    let output = tokio::spawn(log(child.stdout.take(), "stdout", redactor.clone()));
    let errors = tokio::spawn(log(child.stderr.take(), "stderr", redactor.clone()));

    let status = loop {
        tokio::select! {
            status = child.wait() => break status.map_err(ProgramError::System)?,
            signal = stop.next() => {
                end(&mut child, Signal::TERM, END_WITHIN).await.map_err(ProgramError::System)?;
                return Err(Failure::terminated(signal));
            }
            () = lock.lost() => {
                end(&mut child, Signal::TERM, END_WITHIN).await.map_err(ProgramError::System)?;
                return Err(ProgramError::LockLost.into());
            }
            _ = child_ended.recv() => collect_orphans(child.id()),
        }
    };
    let words = async {
        (
            output.await.unwrap_or_default(),
            errors.await.unwrap_or_default(),
        )
    };
    let (said, complained) = tokio::time::timeout(OUTPUT_WITHIN, words)
        .await
        .unwrap_or_default();
    if status.success() {
        return Ok(());
    }
    let words = if complained.is_empty() {
        said
    } else {
        complained
    };
    Err(ProgramError::Failed {
        how: how_ended(status),
        words,
    }
    .into())
}
