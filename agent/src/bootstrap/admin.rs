//! Who is to be the first admin. The password comes from a file and is taken byte for byte; it is never shown.

use std::fmt;
use std::fs;
use std::io;
use std::path::PathBuf;

use crate::environment::Environment;
use crate::result::{Exit, Reason};

/// The server's own rule.
const SHORTEST_PASSWORD: usize = 8;

/// The admin to be.
pub struct Admin {
    /// Address to sign in with.
    pub email: String,
    /// Name that others see.
    pub name: String,
    /// Password.
    pub password: String,
}

impl fmt::Debug for Admin {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Admin({})", self.email)
    }
}

/// Why this cannot be an admin.
#[derive(Debug, thiserror::Error)]
pub enum AdminError {
    /// Nobody is named.
    #[error("PAPERCLIP_AGENT_ADMIN_EMAIL is not set")]
    NoEmail,
    /// The file cannot be read.
    #[error("{}: {error}", file.display())]
    NoPassword {
        /// The file.
        file: PathBuf,
        /// Why not.
        error: io::Error,
    },
    /// It is no text.
    #[error("the password is not UTF-8 text, and the server takes no other")]
    NotText,
    /// The server would refuse it.
    #[error("the password is too short, the server needs at least {SHORTEST_PASSWORD} characters")]
    TooShort,
}

impl Reason for AdminError {
    fn code(&self) -> &'static str {
        "InvalidAdmin"
    }

    fn exit(&self) -> Exit {
        Exit::WrongInput
    }
}

impl Admin {
    /// Reads it.
    pub fn read(environment: &Environment) -> Result<Self, AdminError> {
        let email = environment
            .get("PAPERCLIP_AGENT_ADMIN_EMAIL")
            .ok_or(AdminError::NoEmail)?;
        let name = environment
            .get("PAPERCLIP_AGENT_ADMIN_NAME")
            .unwrap_or("Admin");
        let folder = environment.path("PAPERCLIP_AGENT_ADMIN_DIR", "/etc/paperclip/admin");
        let file = folder.join("password");
        let bytes = fs::read(&file).map_err(|error| AdminError::NoPassword { file, error })?;
        let password = String::from_utf8(bytes).map_err(|_| AdminError::NotText)?;
        // The server counts as JavaScript does.
        if password.encode_utf16().count() < SHORTEST_PASSWORD {
            return Err(AdminError::TooShort);
        }
        Ok(Self {
            email: email.to_owned(),
            name: name.to_owned(),
            password,
        })
    }
}
