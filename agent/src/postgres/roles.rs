//! Roles, database and extensions, as the credentials and the application want them.
//!
//! What is there is left as it is: only what is missing is made, and a password is set only if it does not work.
//! Passwords never reach the server: it gets what it would store.

use std::net::{IpAddr, Ipv4Addr};
use std::path::PathBuf;
use std::time::Duration;

use tokio::time::Instant;
use tokio_postgres::{Config as Target, NoTls};

use crate::database::{ConnectError, Connection, EXTENSIONS, describe, quoted};
use crate::postgres::config::Config;
use crate::postgres::credentials::Credentials;
use crate::result::{Exit, Reason};

const CONNECT_WITHIN: Duration = Duration::from_secs(5);
/// A role without login that may read everything and look at the server: what monitoring can be given later.
const READERS: &str = "paperclip_readonly";

/// Why roles, database or extensions are not as wanted.
#[derive(Debug, thiserror::Error)]
pub enum RolesError {
    /// No connection.
    #[error("{0}")]
    Connect(#[from] ConnectError),
    /// A statement failed.
    #[error("{what}: {error}")]
    Statement {
        /// What was tried.
        what: &'static str,
        /// The server's words.
        error: String,
    },
    /// Nobody may change roles.
    #[error("neither postgres nor {0} is a superuser here")]
    NoSuperuser(String),
    /// The password was set and still does not work.
    #[error("the role {0} cannot log in even with its new password")]
    PasswordRefused(String),
}

impl Reason for RolesError {
    fn code(&self) -> &'static str {
        match self {
            Self::Connect(error) => error.code(),
            Self::Statement { .. } => "StatementFailed",
            Self::NoSuperuser(_) => "NoSuperuser",
            Self::PasswordRefused(_) => "PasswordRefused",
        }
    }

    fn exit(&self) -> Exit {
        Exit::Temporary
    }
}

fn statement(what: &'static str) -> impl Fn(tokio_postgres::Error) -> RolesError {
    move |error| RolesError::Statement {
        what,
        error: describe(&error),
    }
}

/// How to reach the server as superuser.
#[derive(Debug, Clone)]
pub struct Superuser {
    name: String,
    socket_folder: PathBuf,
    port: u16,
}

impl Superuser {
    /// The superuser of that name, over the socket.
    pub fn new(config: &Config, name: &str) -> Self {
        Self {
            name: name.to_owned(),
            socket_folder: config.socket_folder.clone(),
            port: config.port,
        }
    }

    /// A connection to a database.
    pub async fn open(&self, database: &str) -> Result<Connection, RolesError> {
        let mut target = Target::new();
        target
            .host_path(&self.socket_folder)
            .port(self.port)
            .user(&self.name)
            .dbname(database)
            .application_name("paperclip-agent");
        let connection = Connection::open(&target, NoTls, CONNECT_WITHIN).await?;
        // What a password is turned into is no password, but it has no place in a log either.
        let quiet = "SET log_statement = 'none'; SET log_min_duration_statement = -1; SET log_min_error_statement = 'panic'; \
                     SET statement_timeout = '60s'; SET lock_timeout = '10s'";
        connection
            .client()
            .batch_execute(quiet)
            .await
            .map_err(statement("session"))?;
        Ok(connection)
    }

    /// Waits until the server answers.
    pub async fn wait(&self, bound: Duration) -> Result<(), RolesError> {
        let since = Instant::now();
        loop {
            match self.open("postgres").await {
                Ok(_) => return Ok(()),
                Err(error) if since.elapsed() > bound => return Err(error),
                Err(_) => tokio::time::sleep(Duration::from_millis(50)).await,
            }
        }
    }
}

/// Makes the role for those who only read, out of roles that PostgreSQL has since 14. Part of a new data directory.
pub async fn create_readers(superuser: &Superuser) -> Result<(), RolesError> {
    let connection = superuser.open("postgres").await?;
    let text =
        format!("CREATE ROLE {READERS} NOLOGIN; GRANT pg_read_all_data, pg_monitor TO {READERS}");
    connection
        .client()
        .batch_execute(&text)
        .await
        .map_err(statement("role for readers"))
}

/// Makes what is missing: the application's role, its database, the extensions in it.
pub async fn ensure(
    superuser: &Superuser,
    database: &str,
    credentials: &Credentials,
) -> Result<(), RolesError> {
    let connection = superuser.open("postgres").await?;
    let role = &credentials.username;
    let there = connection
        .client()
        .query_opt("SELECT 1 FROM pg_roles WHERE rolname = $1", &[role])
        .await;
    if there.map_err(statement("look for the role"))?.is_none() {
        let text = format!(
            "CREATE ROLE {} LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE NOREPLICATION NOBYPASSRLS PASSWORD '{}'",
            quoted(role),
            credentials.verifier()
        );
        connection
            .client()
            .batch_execute(&text)
            .await
            .map_err(statement("create the role"))?;
        tracing::info!(role, "role created");
    }
    let owner = connection
        .client()
        .query_opt(
            "SELECT pg_get_userbyid(datdba)::text FROM pg_database WHERE datname = $1",
            &[&database],
        )
        .await;
    match owner.map_err(statement("look for the database"))? {
        None => {
            let text = format!(
                "CREATE DATABASE {} OWNER {}",
                quoted(database),
                quoted(role)
            );
            connection
                .client()
                .batch_execute(&text)
                .await
                .map_err(statement("create the database"))?;
            tracing::info!(database, "database created");
        }
        Some(row) => {
            let owner: String = row.get(0);
            if owner != *role {
                tracing::warn!(
                    database,
                    owner,
                    role,
                    "the database belongs to another role; it is left so"
                );
            }
        }
    }
    drop(connection);
    ensure_extensions(superuser, database, role).await
}

async fn ensure_extensions(
    superuser: &Superuser,
    database: &str,
    role: &str,
) -> Result<(), RolesError> {
    let connection = superuser.open(database).await?;
    let rows = connection
        .client()
        .query("SELECT extname::text FROM pg_extension", &[])
        .await
        .map_err(statement("look for extensions"))?;
    let there: Vec<String> = rows.iter().map(|row| row.get(0)).collect();
    for extension in EXTENSIONS
        .into_iter()
        .filter(|name| !there.iter().any(|there| there == name))
    {
        // As the application's role, so that a restore as that role can replace it.
        let as_role = format!(
            "SET ROLE {}; CREATE EXTENSION IF NOT EXISTS {extension}; RESET ROLE",
            quoted(role)
        );
        if let Err(error) = connection.client().batch_execute(&as_role).await {
            tracing::info!(extension, error = %describe(&error), "not as the application's role, so as superuser");
            let as_superuser = format!("RESET ROLE; CREATE EXTENSION IF NOT EXISTS {extension}");
            connection
                .client()
                .batch_execute(&as_superuser)
                .await
                .map_err(statement("create an extension"))?;
        }
        tracing::info!(extension, "extension created");
    }
    Ok(())
}

/// Makes the password work over the network, by changing it only if it does not. Says whether it was changed.
pub async fn ensure_password(
    superuser: &Superuser,
    config: &Config,
    credentials: &Credentials,
) -> Result<bool, RolesError> {
    if password_works(config, credentials).await? {
        return Ok(false);
    }
    let connection = superuser.open("postgres").await?;
    let text = format!(
        "ALTER ROLE {} PASSWORD '{}'",
        quoted(&credentials.username),
        credentials.verifier()
    );
    connection
        .client()
        .batch_execute(&text)
        .await
        .map_err(statement("set the password"))?;
    if password_works(config, credentials).await? {
        return Ok(true);
    }
    Err(RolesError::PasswordRefused(credentials.username.clone()))
}

async fn password_works(config: &Config, credentials: &Credentials) -> Result<bool, ConnectError> {
    match Connection::open(
        &login(&config.database, config.port, credentials),
        NoTls,
        CONNECT_WITHIN,
    )
    .await
    {
        Ok(_) => Ok(true),
        Err(ConnectError::AuthenticationFailed(_)) => Ok(false),
        Err(error) => Err(error),
    }
}

/// How the application's role logs in from inside the container: with its password, as from anywhere else.
pub fn login(database: &str, port: u16, credentials: &Credentials) -> Target {
    let mut target = Target::new();
    target
        .host(IpAddr::V4(Ipv4Addr::LOCALHOST).to_string())
        .port(port)
        .user(&credentials.username)
        .password(credentials.password())
        .dbname(database)
        .application_name("paperclip-agent")
        .ssl_mode(tokio_postgres::config::SslMode::Disable);
    target
}
