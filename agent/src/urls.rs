//! Connection strings as the application's driver reads them.
//!
//! A connection string holds a password: it is never logged, and [`DatabaseUrl`] shows itself without user and password.

use std::fmt;

use tokio_postgres::Config;
use tokio_postgres::config::{Host, SslMode};

use crate::result::{Exit, Reason};

/// What the application's driver makes of `sslmode`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Encryption {
    /// Plain text.
    Off,
    /// TLS if the server can, whoever it is.
    Opportunistic,
    /// TLS, whoever the server is.
    Unverified,
    /// TLS, and the certificate must be of a known authority and of that host.
    Verified,
}

impl Encryption {
    /// The word for it in a result.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Off => "off",
            Self::Opportunistic => "opportunistic",
            Self::Unverified => "unverified",
            Self::Verified => "verified",
        }
    }
}

/// A connection string that was understood.
#[derive(Clone)]
pub struct DatabaseUrl {
    text: String,
    config: Config,
    encryption: Encryption,
}

/// Why a connection string cannot be used. Never repeats any part of it.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum UrlError {
    /// Neither variable is set.
    #[error("neither DATABASE_MIGRATION_URL nor DATABASE_URL is set")]
    NotSet,
    /// Another scheme.
    #[error("{0} must start with postgres:// or postgresql://")]
    WrongScheme(&'static str),
    /// Not a connection string.
    #[error("{0} is not a connection string: {1}")]
    Malformed(&'static str, &'static str),
}

impl Reason for UrlError {
    fn code(&self) -> &'static str {
        "InvalidUrl"
    }

    fn exit(&self) -> Exit {
        Exit::WrongInput
    }
}

impl DatabaseUrl {
    /// Reads the connection string found in the variable `name`.
    pub fn parse(name: &'static str, text: &str) -> Result<Self, UrlError> {
        if !text.starts_with("postgres://") && !text.starts_with("postgresql://") {
            return Err(UrlError::WrongScheme(name));
        }
        let (without_fragment, _) = text.split_once('#').unwrap_or((text, ""));
        let (base, query) = without_fragment
            .split_once('?')
            .unwrap_or((without_fragment, ""));
        // The error of the parser may quote the text, password included.
        let mut config: Config = base.parse().map_err(|_| {
            UrlError::Malformed(name, "host, port, user or password cannot be read")
        })?;
        if config.get_hosts().is_empty() {
            return Err(UrlError::Malformed(name, "it names no host"));
        }
        if config.get_user().is_none() {
            return Err(UrlError::Malformed(name, "it names no user"));
        }
        let mut encryption = Encryption::Off;
        for (key, value) in form_urlencoded::parse(query.as_bytes()) {
            match (&*key, &*value) {
                ("sslmode" | "ssl", word) => encryption = encryption_of(word),
                ("sslrootcert", "system") => encryption = Encryption::Verified,
                ("options", value) => {
                    config.options(value);
                }
                // The driver sends the rest to the server or keeps it to itself; nothing of it matters here.
                _ => {}
            }
        }
        config.ssl_mode(match encryption {
            Encryption::Off => SslMode::Disable,
            Encryption::Opportunistic => SslMode::Prefer,
            Encryption::Unverified | Encryption::Verified => SslMode::Require,
        });
        Ok(Self {
            text: text.to_owned(),
            config,
            encryption,
        })
    }

    /// How to connect.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// Whether and how the connection is encrypted.
    pub fn encryption(&self) -> Encryption {
        self.encryption
    }

    /// The connection string itself, for the environment of a child process and for nothing else.
    pub fn secret_text(&self) -> &str {
        &self.text
    }

    /// Everything that must not appear in a log.
    pub fn secrets(&self) -> Vec<String> {
        let mut secrets = vec![self.text.clone()];
        if let Some(password) = self.config.get_password() {
            secrets.push(String::from_utf8_lossy(password).into_owned());
        }
        let user_info = self
            .text
            .split_once("://")
            .and_then(|(_, rest)| rest.rsplit_once('@'))
            .map_or("", |(info, _)| info);
        if let Some((_, encoded)) = user_info.split_once(':') {
            secrets.push(encoded.to_owned());
        }
        secrets
    }
}

impl fmt::Display for DatabaseUrl {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, host) in self.config.get_hosts().iter().enumerate() {
            let comma = if index == 0 { "" } else { "," };
            match host {
                Host::Tcp(name) => write!(formatter, "{comma}{name}")?,
                Host::Unix(path) => write!(formatter, "{comma}{}", path.display())?,
            }
            let ports = self.config.get_ports();
            if let Some(port) = ports.get(index).or(ports.first()) {
                write!(formatter, ":{port}")?;
            }
        }
        write!(
            formatter,
            "/{}",
            self.config.get_dbname().unwrap_or_default()
        )
    }
}

impl fmt::Debug for DatabaseUrl {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, formatter)
    }
}

fn encryption_of(word: &str) -> Encryption {
    match word {
        "disable" | "false" => Encryption::Off,
        "prefer" | "allow" => Encryption::Opportunistic,
        "require" => Encryption::Unverified,
        // As the driver does it: every other word means a verified certificate.
        _ => Encryption::Verified,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<DatabaseUrl, UrlError> {
        DatabaseUrl::parse("DATABASE_URL", text)
    }

    #[test]
    fn a_connection_string_shows_itself_without_user_and_password() {
        let url = parse("postgres://paperclip:s%40cret@db.example:6543/paperclip?sslmode=disable")
            .unwrap();
        assert_eq!(url.to_string(), "db.example:6543/paperclip");
        assert_eq!(format!("{url:?}"), "db.example:6543/paperclip");
        assert_eq!(url.config().get_password(), Some(&b"s@cret"[..]));
    }

    #[test]
    fn both_spellings_of_the_password_are_known_as_secrets() {
        let secrets = parse("postgres://u:s%40cret@db/x").unwrap().secrets();
        assert!(secrets.contains(&"s@cret".to_owned()) && secrets.contains(&"s%40cret".to_owned()));
    }

    #[test]
    fn sslmode_means_what_the_applications_driver_makes_of_it() {
        for (query, wanted) in [
            ("", Encryption::Off),
            ("?sslmode=disable", Encryption::Off),
            ("?sslmode=allow", Encryption::Opportunistic),
            ("?sslmode=prefer", Encryption::Opportunistic),
            ("?sslmode=require", Encryption::Unverified),
            ("?sslmode=verify-ca", Encryption::Verified),
            ("?pgbouncer=true&sslmode=verify-full", Encryption::Verified),
        ] {
            assert_eq!(
                parse(&format!("postgresql://u:p@db/x{query}"))
                    .unwrap()
                    .encryption(),
                wanted,
                "{query}"
            );
        }
    }

    #[test]
    fn what_cannot_be_read_is_refused_without_repeating_it() {
        for text in [
            "mysql://u:hunter2@db/x",
            "postgres://u:hunter2@db:port/x",
            "postgres:///x?user=hunter2",
            "postgres://db/hunter2",
        ] {
            let error = parse(text).unwrap_err();
            assert_eq!(error.code(), "InvalidUrl");
            assert!(!error.to_string().contains("hunter2"), "{error}");
        }
    }

    #[test]
    fn several_hosts_are_understood() {
        let url = parse("postgres://u:p@a:1,b:2/x").unwrap();
        assert_eq!(url.to_string(), "a:1,b:2/x");
    }
}
