//! The server's process: started, told, waited for. It inherits our environment, and its output is the container's.

use std::io;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use rustix::process::Signal;
use tokio::process::{Child, Command};

use crate::layout::Layout;
use crate::process::{end, send};
use crate::result::{Exit, Reason};

/// The running server.
pub struct Server {
    child: Child,
}

/// Why there is no server process.
#[derive(Debug, thiserror::Error)]
pub enum ServerError {
    /// The program is not in the image, or is none.
    #[error("{program}: {error}")]
    NotStarted {
        /// The program.
        program: String,
        /// Why not.
        error: io::Error,
    },
    /// The operating system refused signals or waiting.
    #[error("{0}")]
    System(#[from] io::Error),
}

impl Reason for ServerError {
    fn code(&self) -> &'static str {
        match self {
            Self::NotStarted { .. } => "ServerNotFound",
            Self::System(_) => "Internal",
        }
    }

    fn exit(&self) -> Exit {
        match self {
            Self::NotStarted { .. } => Exit::WrongInput,
            Self::System(_) => Exit::Internal,
        }
    }
}

/// A change to the environment that the server inherits: a name and its value, or none to take it out.
pub type Change<'a> = (&'a str, Option<&'a str>);

impl Server {
    /// Starts it.
    pub fn start(layout: &Layout, changes: &[Change<'_>]) -> Result<Self, ServerError> {
        let (program, arguments) = layout
            .argv
            .split_first()
            .map_or(("", &[][..]), |(program, rest)| (program.as_str(), rest));
        let mut command = Command::new(program);
        command
            .args(arguments)
            .stdin(Stdio::null())
            .kill_on_drop(true);
        if let Some(folder) = &layout.folder {
            command.current_dir(folder);
        }
        for (name, value) in changes {
            match value {
                Some(value) => command.env(name, value),
                None => command.env_remove(name),
            };
        }
        let child = command.spawn().map_err(|error| ServerError::NotStarted {
            program: program.to_owned(),
            error,
        })?;
        tracing::info!(program, pid = child.id(), "server started");
        Ok(Self { child })
    }

    /// Number of the process, while it has not been waited for.
    pub fn id(&self) -> Option<u32> {
        self.child.id()
    }

    /// Waits for its end. May be dropped and called again.
    pub async fn wait(&mut self) -> Result<ExitStatus, ServerError> {
        Ok(self.child.wait().await?)
    }

    /// Passes a signal on.
    pub fn send(&self, signal: Signal) {
        send(&self.child, signal);
    }

    /// Asks it to end, waits, and ends it.
    pub async fn end(&mut self, bound: Duration) -> Result<ExitStatus, ServerError> {
        Ok(end(&mut self.child, Signal::TERM, bound).await?)
    }
}
