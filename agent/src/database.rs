//! Connections to PostgreSQL, and what it means when one fails.
//!
//! Every attempt has a bound. What comes out of an error is a reason and the server's own words, never a password.

use std::error::Error as _;
use std::io;
use std::time::Duration;

use tokio::task::JoinHandle;
use tokio_postgres::error::SqlState;
use tokio_postgres::tls::MakeTlsConnect;
use tokio_postgres::{Client, Config, Socket};

use crate::result::{Exit, Reason, one_line};

/// The extensions that the application's migrations ask for.
pub const EXTENSIONS: [&str; 2] = ["fuzzystrmatch", "pg_trgm"];

/// Why there is no connection.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum ConnectError {
    /// The name of the host has no address.
    #[error("the host's name cannot be resolved: {0}")]
    DnsFailed(String),
    /// Nobody listens there, or there is no way to it.
    #[error("no connection: {0}")]
    Refused(String),
    /// No answer in time.
    #[error("no answer within {} s", .0.as_secs())]
    TimedOut(Duration),
    /// No encrypted connection could be made.
    #[error("TLS: {0}")]
    TlsFailed(String),
    /// The certificate is signed by nobody who is known here.
    #[error("TLS: {0}")]
    UnknownAuthority(String),
    /// The server wants an encrypted connection.
    #[error("the server wants TLS: {0}")]
    TlsRequired(String),
    /// User or password were not accepted.
    #[error("login refused: {0}")]
    AuthenticationFailed(String),
    /// There is no such database.
    #[error("{0}")]
    DatabaseNotFound(String),
    /// It starts, stops or recovers.
    #[error("the server is not ready: {0}")]
    NotReady(String),
    /// All connections are taken.
    #[error("{0}")]
    TooManyConnections(String),
    /// Anything else.
    #[error("{0}")]
    ConnectionFailed(String),
}

impl Reason for ConnectError {
    fn code(&self) -> &'static str {
        match self {
            Self::DnsFailed(_) => "DNSFailed",
            Self::Refused(_) => "Refused",
            Self::TimedOut(_) => "TimedOut",
            Self::TlsFailed(_) => "TLSFailed",
            Self::UnknownAuthority(_) => "UnknownAuthority",
            Self::TlsRequired(_) => "TLSRequired",
            Self::AuthenticationFailed(_) => "AuthenticationFailed",
            Self::DatabaseNotFound(_) => "DatabaseNotFound",
            Self::NotReady(_) => "NotReady",
            Self::TooManyConnections(_) => "TooManyConnections",
            Self::ConnectionFailed(_) => "ConnectionFailed",
        }
    }

    fn exit(&self) -> Exit {
        match self {
            // The connection string says no encryption, and it does not change while a Job runs.
            Self::TlsRequired(_) => Exit::WrongInput,
            _ => Exit::Temporary,
        }
    }
}

impl ConnectError {
    /// It may pass within seconds, and trying again harms nobody: a login that was refused could be locked for it.
    pub const fn may_pass(&self) -> bool {
        matches!(
            self,
            Self::DnsFailed(_)
                | Self::Refused(_)
                | Self::TimedOut(_)
                | Self::NotReady(_)
                | Self::TooManyConnections(_)
        )
    }
}

/// An open connection. Dropping it closes it.
pub struct Connection {
    client: Client,
    driver: JoinHandle<()>,
}

impl Connection {
    /// Connects, or says why not, within `bound`.
    pub async fn open<T>(config: &Config, tls: T, bound: Duration) -> Result<Self, ConnectError>
    where
        T: MakeTlsConnect<Socket>,
        T::Stream: Send + 'static,
    {
        let (client, connection) = match tokio::time::timeout(bound, config.connect(tls)).await {
            Ok(Ok(parts)) => parts,
            Ok(Err(error)) => return Err(classify(&error)),
            Err(_) => return Err(ConnectError::TimedOut(bound)),
        };
        let driver = tokio::spawn(async move {
            if let Err(error) = connection.await {
                tracing::debug!(error = %describe(&error), "connection ended");
            }
        });
        Ok(Self { client, driver })
    }

    /// To ask with.
    pub fn client(&self) -> &Client {
        &self.client
    }

    /// Returns when the connection is gone.
    pub async fn lost(&mut self) {
        let _ = (&mut self.driver).await;
    }
}

/// The server's or the library's words for an error, in one line.
pub fn describe(error: &tokio_postgres::Error) -> String {
    if let Some(error) = error.as_db_error() {
        let hint = error
            .hint()
            .map(|hint| format!(" ({hint})"))
            .unwrap_or_default();
        return one_line(&format!("{}{hint}", error.message()));
    }
    let cause = error
        .source()
        .map(|cause| format!(": {cause}"))
        .unwrap_or_default();
    one_line(&format!("{error}{cause}"))
}

fn classify(error: &tokio_postgres::Error) -> ConnectError {
    let text = describe(error);
    if let Some(code) = error.code() {
        return of_state(code, text);
    }
    if let Some(cause) = error
        .source()
        .and_then(|cause| cause.downcast_ref::<io::Error>())
    {
        return of_io(cause, text);
    }
    let kind = error.to_string();
    if kind.contains("TLS") {
        ConnectError::TlsFailed(text)
    } else if kind.contains("authentication") || text.contains("password missing") {
        ConnectError::AuthenticationFailed(text)
    } else if error.is_closed() {
        ConnectError::NotReady(text)
    } else {
        ConnectError::ConnectionFailed(text)
    }
}

fn of_state(code: &SqlState, text: String) -> ConnectError {
    if *code == SqlState::INVALID_AUTHORIZATION_SPECIFICATION && text.contains("no encryption") {
        ConnectError::TlsRequired(text)
    } else if *code == SqlState::INVALID_PASSWORD
        || *code == SqlState::INVALID_AUTHORIZATION_SPECIFICATION
    {
        ConnectError::AuthenticationFailed(text)
    } else if *code == SqlState::INVALID_CATALOG_NAME {
        ConnectError::DatabaseNotFound(text)
    } else if *code == SqlState::TOO_MANY_CONNECTIONS {
        ConnectError::TooManyConnections(text)
    } else if [
        SqlState::CANNOT_CONNECT_NOW,
        SqlState::ADMIN_SHUTDOWN,
        SqlState::CRASH_SHUTDOWN,
    ]
    .contains(code)
    {
        ConnectError::NotReady(text)
    } else {
        ConnectError::ConnectionFailed(text)
    }
}

fn of_io(cause: &io::Error, text: String) -> ConnectError {
    use io::ErrorKind::{ConnectionAborted, ConnectionReset, InvalidData, UnexpectedEof};
    // The look-up of a name fails without a number of the operating system.
    if cause.raw_os_error().is_none() && cause.to_string().contains("lookup") {
        return ConnectError::DnsFailed(text);
    }
    match cause.kind() {
        InvalidData if text.contains("UnknownIssuer") => ConnectError::UnknownAuthority(text),
        InvalidData => ConnectError::TlsFailed(text),
        ConnectionReset | ConnectionAborted | UnexpectedEof => ConnectError::NotReady(text),
        _ => ConnectError::Refused(text),
    }
}

/// A name as SQL writes it.
pub fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

#[cfg(test)]
mod tests {
    use tokio_postgres::NoTls;

    use super::*;

    async fn open(text: &str) -> ConnectError {
        match Connection::open(&text.parse().unwrap(), NoTls, Duration::from_secs(5)).await {
            Ok(_) => panic!("{text} connected"),
            Err(error) => error,
        }
    }

    #[tokio::test]
    async fn a_port_where_nobody_listens_is_refused() {
        let port = std::net::TcpListener::bind("127.0.0.1:0")
            .unwrap()
            .local_addr()
            .unwrap()
            .port();
        assert_eq!(
            open(&format!("postgres://u@127.0.0.1:{port}/x"))
                .await
                .code(),
            "Refused"
        );
    }

    #[tokio::test]
    async fn a_name_without_address_is_told_from_a_closed_port() {
        assert_eq!(
            open("postgres://u@no-such-host.invalid/x").await.code(),
            "DNSFailed"
        );
    }

    #[tokio::test]
    async fn a_server_that_never_answers_is_given_up() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let config = format!(
            "postgres://u@127.0.0.1:{}/x",
            listener.local_addr().unwrap().port()
        )
        .parse()
        .unwrap();
        let error = Connection::open(&config, NoTls, Duration::from_millis(200))
            .await
            .err()
            .unwrap();
        assert_eq!(error.code(), "TimedOut");
    }

    #[test]
    fn names_are_quoted() {
        assert_eq!(quoted("pa\"per"), "\"pa\"\"per\"");
    }
}
