//! Data directories that the agent did not make.
//!
//! The official image makes the application's role the superuser, and no other. Such data is taken as it is: its
//! superuser stays, and no role is added.

use crate::database::ConnectError;
use crate::postgres::config::Config;
use crate::postgres::credentials::SUPERUSER;
use crate::postgres::roles::{RolesError, Superuser};

/// Who may change roles here.
pub async fn superuser(config: &Config, application_role: &str) -> Result<Superuser, RolesError> {
    for name in [SUPERUSER, application_role] {
        let candidate = Superuser::new(config, name);
        let connection = match candidate.open("postgres").await {
            Ok(connection) => connection,
            // There is no such role, or it is no superuser: then it may not make its session quiet.
            Err(
                RolesError::Connect(ConnectError::AuthenticationFailed(_))
                | RolesError::Statement {
                    what: "session", ..
                },
            ) => continue,
            Err(error) => return Err(error),
        };
        let row = connection
            .client()
            .query_one("SELECT current_setting('is_superuser') = 'on'", &[])
            .await;
        if row.is_ok_and(|row| row.get(0)) {
            if name != SUPERUSER {
                tracing::info!(superuser = name, "data in the layout of the official image");
            }
            return Ok(candidate);
        }
    }
    Err(RolesError::NoSuperuser(application_role.to_owned()))
}
