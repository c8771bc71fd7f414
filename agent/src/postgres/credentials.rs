//! The files with the name and the password of the application's role, as a Secret is mounted.
//!
//! The password is taken byte for byte: whoever builds the application's connection string takes the same bytes.

use std::fmt;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

use crate::environment::Environment;
use crate::result::{Exit, Reason};

/// Role of a database whose credentials name none.
const DEFAULT_USERNAME: &str = "paperclip";
/// The superuser. It has no password, so it can only log in inside the container.
pub const SUPERUSER: &str = "postgres";

/// Where the credentials lie.
#[derive(Debug, Clone)]
pub struct CredentialFiles {
    folder: PathBuf,
}

/// Name and password of the application's role.
#[derive(Clone, PartialEq, Eq)]
pub struct Credentials {
    /// Name of the role.
    pub username: String,
    password: Vec<u8>,
}

/// Why there are no credentials.
#[derive(Debug, thiserror::Error)]
pub enum CredentialsError {
    /// A file cannot be read.
    #[error("{}: {error}", .path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why.
        error: io::Error,
    },
    /// The file is there and useless.
    #[error("{}: {problem}", .path.display())]
    Unusable {
        /// The file.
        path: PathBuf,
        /// Why.
        problem: &'static str,
    },
}

impl Reason for CredentialsError {
    fn code(&self) -> &'static str {
        match self {
            Self::Unreadable { .. } => "CredentialsMissing",
            Self::Unusable { .. } => "CredentialsInvalid",
        }
    }

    fn exit(&self) -> Exit {
        Exit::WrongInput
    }
}

impl CredentialFiles {
    /// The folder that the environment names.
    pub fn read_from(environment: &Environment) -> Self {
        Self {
            folder: environment.path(
                "PAPERCLIP_AGENT_CREDENTIALS_DIR",
                "/etc/paperclip/db-credentials",
            ),
        }
    }

    /// What the files hold now.
    pub fn read(&self) -> Result<Credentials, CredentialsError> {
        let path = self.folder.join("username");
        let username = match fs::read_to_string(&path) {
            Ok(name) => name,
            Err(error) if error.kind() == io::ErrorKind::NotFound => DEFAULT_USERNAME.to_owned(),
            Err(error) => return Err(CredentialsError::Unreadable { path, error }),
        };
        let unusable = |path: &Path, problem| CredentialsError::Unusable {
            path: path.to_owned(),
            problem,
        };
        if username.is_empty() || username.len() > 63 || username.contains(char::is_control) {
            return Err(unusable(
                &path,
                "a name has 1 to 63 bytes and no control characters",
            ));
        }
        if username == SUPERUSER || username.starts_with("pg_") {
            return Err(unusable(&path, "this name belongs to PostgreSQL"));
        }
        let path = self.folder.join("password");
        let password = fs::read(&path).map_err(|error| CredentialsError::Unreadable {
            path: path.clone(),
            error,
        })?;
        if password.is_empty() || password.contains(&0) {
            return Err(unusable(
                &path,
                "a password is not empty and holds no zero byte",
            ));
        }
        Ok(Credentials { username, password })
    }
}

impl Credentials {
    /// The password, to log in with.
    pub fn password(&self) -> &[u8] {
        &self.password
    }

    /// What the server stores instead of the password. It is computed here, so that no statement holds the password.
    pub fn verifier(&self) -> String {
        postgres_protocol::password::scram_sha_256(&self.password)
    }

    /// Tells these credentials from others without keeping them.
    pub fn fingerprint(&self) -> [u8; 32] {
        let mut hash = Sha256::new();
        hash.update(self.username.as_bytes());
        hash.update([0]);
        hash.update(&self.password);
        hash.finalize().into()
    }
}

impl fmt::Debug for Credentials {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Credentials")
            .field("username", &self.username)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn files(name: &str, username: Option<&str>, password: Option<&[u8]>) -> CredentialFiles {
        let folder = std::env::temp_dir().join(format!(
            "paperclip-agent-credentials-{name}-{}",
            std::process::id()
        ));
        let _ = fs::remove_dir_all(&folder);
        fs::create_dir(&folder).unwrap();
        if let Some(username) = username {
            fs::write(folder.join("username"), username).unwrap();
        }
        if let Some(password) = password {
            fs::write(folder.join("password"), password).unwrap();
        }
        CredentialFiles { folder }
    }

    #[test]
    fn the_password_is_taken_byte_for_byte() {
        let found = files("bytes", Some("app"), Some(b" pass\xff\n"))
            .read()
            .unwrap();
        assert_eq!(found.password(), b" pass\xff\n");
        assert_eq!(found.username, "app");
    }

    #[test]
    fn without_a_name_it_is_the_usual_one() {
        assert_eq!(
            files("default", None, Some(b"x")).read().unwrap().username,
            "paperclip"
        );
    }

    #[test]
    fn a_missing_or_empty_password_is_an_error_of_its_own() {
        assert_eq!(
            files("missing", None, None).read().unwrap_err().code(),
            "CredentialsMissing"
        );
        assert_eq!(
            files("empty", None, Some(b"")).read().unwrap_err().code(),
            "CredentialsInvalid"
        );
    }

    #[test]
    fn names_that_belong_to_postgresql_are_refused() {
        for name in ["postgres", "pg_monitor", "", "a\nb"] {
            assert_eq!(
                files("names", Some(name), Some(b"x"))
                    .read()
                    .unwrap_err()
                    .code(),
                "CredentialsInvalid",
                "{name:?}"
            );
        }
    }

    #[test]
    fn credentials_do_not_show_their_password() {
        let found = files("debug", None, Some(b"hunter2")).read().unwrap();
        assert!(!format!("{found:?}").contains("hunter2"));
        assert!(
            !found.verifier().contains("hunter2") && found.verifier().starts_with("SCRAM-SHA-256$")
        );
    }
}
