//! Who may log in, and how.
//!
//! * The socket is open to this container's user only (mode 0700), and who reaches it is believed: it is how the agent
//!   works as superuser, whatever the user's number is and whether or not it has a name.
//! * Over the network every role shows its password. The superuser has none and is refused by name as well.
//! * Replication is for nobody.

use std::path::{Path, PathBuf};

use crate::postgres::credentials::SUPERUSER;
use crate::result::{Exit, Reason};

/// The file cannot be written.
#[derive(Debug, thiserror::Error)]
#[error("{}: {error}", .path.display())]
pub struct HbaError {
    path: PathBuf,
    error: std::io::Error,
}

impl Reason for HbaError {
    fn code(&self) -> &'static str {
        "SocketFolderUnusable"
    }

    fn exit(&self) -> Exit {
        Exit::WrongInput
    }
}

/// The rules.
pub fn rules() -> String {
    format!(
        "# Written by paperclip-agent.\n\
         local all all trust\n\
         host all {SUPERUSER} all reject\n\
         host all all all scram-sha-256\n"
    )
}

/// Writes the rules.
pub fn write(path: &Path) -> Result<(), HbaError> {
    std::fs::write(path, rules()).map_err(|error| HbaError {
        path: path.to_owned(),
        error,
    })
}
