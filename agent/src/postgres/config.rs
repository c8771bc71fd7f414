//! What the database container is told by its environment.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use serde_json::Value;

use crate::environment::{Environment, EnvironmentError};
use crate::postgres::credentials::CredentialFiles;
use crate::result::{Exit, Failure, Reason};

/// Settings that are ours: where the server listens, where its data and files are, how it logs.
const RESERVED: [&str; 16] = [
    "config_file",
    "data_directory",
    "external_pid_file",
    "hba_file",
    "ident_file",
    "listen_addresses",
    "log_destination",
    "logging_collector",
    "password_encryption",
    "port",
    "unix_socket_directories",
    "unix_socket_group",
    "unix_socket_permissions",
    "allow_system_table_mods",
    "zero_damaged_pages",
    "ignore_system_indexes",
];

/// What the database container is told.
#[derive(Debug, Clone)]
pub struct Config {
    /// The data directory.
    pub data: PathBuf,
    /// Files with the name and the password of the application's role.
    pub credentials: CredentialFiles,
    /// Name of the application's database.
    pub database: String,
    /// The wanted major version, if one is.
    pub major: Option<u32>,
    /// Settings of the server.
    pub settings: BTreeMap<String, String>,
    /// Folder of the server's socket.
    pub socket_folder: PathBuf,
    /// Addresses that the server listens on.
    pub listen_addresses: String,
    /// Port of the server.
    pub port: u16,
    /// How long a fast shutdown may take.
    pub stop_within: Duration,
}

/// A setting of the server that is not taken.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum SettingsError {
    /// Not a JSON object of texts, numbers and booleans.
    #[error("PAPERCLIP_AGENT_POSTGRES_SETTINGS: {0}")]
    Malformed(String),
    /// No name of a setting.
    #[error("{0:?} is no name of a PostgreSQL setting")]
    InvalidName(String),
    /// Settings that the agent decides on.
    #[error("the setting {0} cannot be chosen here")]
    Reserved(String),
}

impl Reason for SettingsError {
    fn code(&self) -> &'static str {
        match self {
            Self::Malformed(_) => "InvalidValue",
            Self::InvalidName(_) | Self::Reserved(_) => "ParameterRefused",
        }
    }

    fn exit(&self) -> Exit {
        Exit::WrongInput
    }
}

impl Config {
    /// Reads the environment.
    pub fn read(environment: &Environment) -> Result<Self, Failure> {
        let data = environment.path("PGDATA", "/var/lib/postgresql/data/pgdata");
        if data
            .parent()
            .is_none_or(|parent| parent.as_os_str().is_empty())
            || !data.is_absolute()
        {
            return Err(EnvironmentError::InvalidValue {
                name: "PGDATA",
                problem: "must be an absolute path below a folder".into(),
            }
            .into());
        }
        Ok(Self {
            data,
            credentials: CredentialFiles::read_from(environment),
            database: environment
                .get("PAPERCLIP_AGENT_DATABASE")
                .unwrap_or("paperclip")
                .to_owned(),
            major: environment.parse("PAPERCLIP_AGENT_POSTGRES_VERSION", "a major version")?,
            settings: settings(
                environment
                    .get("PAPERCLIP_AGENT_POSTGRES_SETTINGS")
                    .unwrap_or("{}"),
            )?,
            socket_folder: environment.path("PAPERCLIP_AGENT_SOCKET_DIR", "/var/run/postgresql"),
            listen_addresses: environment
                .get("PAPERCLIP_AGENT_LISTEN_ADDRESSES")
                .unwrap_or("*")
                .to_owned(),
            port: port(environment)?,
            stop_within: Duration::from_secs(
                environment
                    .parse(
                        "PAPERCLIP_AGENT_STOP_TIMEOUT_SECONDS",
                        "a number of seconds",
                    )?
                    .unwrap_or(25),
            ),
        })
    }

    /// The file that says who may log in how. It lies beside the socket, so that no data directory is changed for it.
    pub fn hba_file(&self) -> PathBuf {
        self.socket_folder.join("pg_hba.conf")
    }
}

/// The server's port.
pub fn port(environment: &Environment) -> Result<u16, EnvironmentError> {
    Ok(environment
        .parse("PAPERCLIP_AGENT_PORT", "a port")?
        .unwrap_or(5432))
}

fn settings(json: &str) -> Result<BTreeMap<String, String>, SettingsError> {
    let object: BTreeMap<String, Value> =
        serde_json::from_str(json).map_err(|error| SettingsError::Malformed(error.to_string()))?;
    let mut settings = BTreeMap::new();
    for (name, value) in object {
        if !is_setting_name(&name) {
            return Err(SettingsError::InvalidName(name));
        }
        if RESERVED.contains(&name.to_ascii_lowercase().as_str()) {
            return Err(SettingsError::Reserved(name));
        }
        let value = match value {
            Value::String(text) => text,
            Value::Number(number) => number.to_string(),
            Value::Bool(switch) => if switch { "on" } else { "off" }.to_owned(),
            _ => {
                return Err(SettingsError::Malformed(format!(
                    "{name} must be a text, a number or a boolean"
                )));
            }
        };
        if value.contains('\0') {
            return Err(SettingsError::Malformed(format!(
                "{name} holds a zero byte"
            )));
        }
        settings.insert(name, value);
    }
    Ok(settings)
}

/// `name` or `extension.name`. No dash: the server would read it as an underscore, past the list of reserved names.
fn is_setting_name(name: &str) -> bool {
    let part = |part: &str| {
        part.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
            && part.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
    };
    name.len() <= 63 && name.split('.').count() <= 2 && name.split('.').all(part)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_may_be_texts_numbers_and_booleans() {
        let found = settings(r#"{"shared_buffers":"64MB","max_connections":50,"jit":false,"pg_trgm.similarity_threshold":0.4}"#).unwrap();
        assert_eq!(found["shared_buffers"], "64MB");
        assert_eq!(found["max_connections"], "50");
        assert_eq!(found["jit"], "off");
        assert_eq!(found["pg_trgm.similarity_threshold"], "0.4");
    }

    #[test]
    fn settings_that_would_move_data_or_doors_are_refused() {
        for name in [
            "data_directory",
            "Listen_Addresses",
            "listen-addresses",
            "hba_file",
            "x=y",
            "",
            "a.b.c",
            "-c",
            "port",
        ] {
            let error = settings(&serde_json::json!({ name: "x" }).to_string()).unwrap_err();
            assert_eq!(error.code(), "ParameterRefused", "{name}");
        }
    }

    #[test]
    fn settings_that_are_no_object_are_wrong_input() {
        for json in ["[]", "{", r#"{"jit":null}"#, r#"{"jit":["on"]}"#] {
            let error = settings(json).unwrap_err();
            assert_eq!(
                (error.code(), error.exit()),
                ("InvalidValue", Exit::WrongInput),
                "{json}"
            );
        }
    }

    #[test]
    fn a_data_directory_must_lie_below_a_folder() {
        for path in ["/", "pgdata"] {
            let failure = Config::read(&Environment::from([("PGDATA", path)])).unwrap_err();
            assert_eq!(failure.exit, Exit::WrongInput, "{path}");
        }
    }

    #[test]
    fn everything_has_a_default() {
        let config = Config::read(&Environment::default()).unwrap();
        assert_eq!(
            config.data,
            PathBuf::from("/var/lib/postgresql/data/pgdata")
        );
        assert_eq!(
            (config.database.as_str(), config.port, config.major),
            ("paperclip", 5432, None)
        );
        assert_eq!(
            config.hba_file(),
            PathBuf::from("/var/run/postgresql/pg_hba.conf")
        );
    }
}
