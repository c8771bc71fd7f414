//! What the migrations will need and cannot give themselves.

use tokio_postgres::error::SqlState;

use crate::database::{Connection, EXTENSIONS, describe};
use crate::result::{Exit, Reason};
use crate::target::QueryError;

/// Why the migrations would fail.
#[derive(Debug, thiserror::Error)]
pub enum RightsError {
    /// A question failed.
    #[error("{0}")]
    Query(#[from] QueryError),
    /// Nothing can be written.
    #[error(
        "the database is read-only: a standby server, or its default_transaction_read_only is on"
    )]
    ReadOnly,
    /// The role may not create schemas.
    #[error(
        "the role {role} has no CREATE right on the database {database}; making it the owner is simplest"
    )]
    PermissionDenied {
        /// The role.
        role: String,
        /// The database.
        database: String,
    },
    /// The server does not have the extension.
    #[error("the server has no extension {0}; it belongs to PostgreSQL's contrib package")]
    ExtensionNotAvailable(&'static str),
    /// The role may not make the extension.
    #[error("the extension {extension} is missing and may not be created: {error}")]
    ExtensionNotPermitted {
        /// The extension.
        extension: &'static str,
        /// The server's words.
        error: String,
    },
}

impl Reason for RightsError {
    fn code(&self) -> &'static str {
        match self {
            Self::Query(error) => error.code(),
            Self::ReadOnly => "ReadOnly",
            Self::PermissionDenied { .. } => "PermissionDenied",
            Self::ExtensionNotAvailable(_) => "ExtensionNotAvailable",
            Self::ExtensionNotPermitted { .. } => "ExtensionNotPermitted",
        }
    }

    fn exit(&self) -> Exit {
        match self {
            Self::Query(_) => Exit::Temporary,
            _ => Exit::Refused,
        }
    }
}

/// Whether the role may create schemas; who and where it is; whether nothing can be written.
const RIGHTS: &str = "SELECT has_database_privilege(current_database(), 'CREATE'), current_user::text, current_database()::text, \
     current_setting('transaction_read_only') = 'on'";

/// Checks the right to create, and makes the extensions that are missing.
pub async fn check(connection: &Connection) -> Result<(), RightsError> {
    let client = connection.client();
    let row = client
        .query_typed_one(RIGHTS, &[])
        .await
        .map_err(QueryError::of("rights"))?;
    if row.get::<_, bool>(3) {
        return Err(RightsError::ReadOnly);
    }
    if !row.get::<_, bool>(0) {
        return Err(RightsError::PermissionDenied {
            role: row.get(1),
            database: row.get(2),
        });
    }
    let rows = client
        .query_typed(
            "SELECT name::text, installed_version IS NOT NULL FROM pg_available_extensions",
            &[],
        )
        .await
        .map_err(QueryError::of("extensions"))?;
    for extension in EXTENSIONS {
        match rows
            .iter()
            .find(|row| row.get::<_, &str>(0) == extension)
            .map(|row| row.get(1))
        {
            Some(true) => continue,
            None => return Err(RightsError::ExtensionNotAvailable(extension)),
            Some(false) => {}
        }
        client
            .batch_execute(&format!("CREATE EXTENSION IF NOT EXISTS {extension}"))
            .await
            .map_err(|error| {
                if error.code() == Some(&SqlState::INSUFFICIENT_PRIVILEGE) {
                    RightsError::ExtensionNotPermitted {
                        extension,
                        error: describe(&error),
                    }
                } else {
                    QueryError::of("create an extension")(error).into()
                }
            })?;
        tracing::info!(extension, "extension created");
    }
    Ok(())
}
