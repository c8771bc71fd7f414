//! Which role and password the database has. Pure. Must never decide for a new password where data may exist that know another one.

use super::super::dereference::{Found, FoundClaim, Known};
use super::super::login::{Login, StoredSecret};
use super::Volume;
use crate::crd::PaperclipDatabase;
use crate::crd::database::PaperclipDatabaseStatus;
use crate::shared::names::Names;

/// Where role and password come from.
#[derive(Debug)]
pub enum Credentials {
    /// They were found in order before, and were not read now.
    Vouched,
    /// There are none, and no data that know any: these are made.
    Make(Login),
    /// As the Secret says.
    Stored {
        /// What it says.
        login: Login,
        /// The Secret, which may lack keys.
        secret: Box<StoredSecret>,
    },
    /// The Secret is gone; the one that the application uses still says it.
    PutBack(Login),
    /// There are data, and nobody knows the password.
    Lost(String),
    /// They are needed and the system gave no random bytes.
    NoRandomness,
}

/// Decides.
pub fn of(
    object: &PaperclipDatabase,
    status: &PaperclipDatabaseStatus,
    found: &Found,
    volume: &Volume,
    password: Option<String>,
) -> Credentials {
    let names = Names::of(object.metadata.name.as_deref().unwrap_or_default());
    let name = names.database_credentials();
    let broken = match &found.credentials {
        Known::Vouched => return Credentials::Vouched,
        Known::Present(secret) => match Login::of_credentials(secret) {
            Some(login) => {
                return Credentials::Stored {
                    login,
                    secret: Box::new(secret.clone()),
                };
            }
            // It is there, so nothing may be made or put back: somebody has to say what is meant.
            None => {
                return Credentials::Lost(format!(
                    "Secret \"{name}\" has no usable key \"password\"; put the password of the role back"
                ));
            }
        },
        Known::Absent => format!("Secret \"{name}\" is gone"),
    };
    if let Known::Present(app) = &found.app
        && app.ours
        && let Some(login) = Login::of_app(app)
    {
        return Credentials::PutBack(login);
    }
    let may_hold_data = match (volume, &found.claim) {
        _ if status.connection_secret_ref.is_some() || status.version.is_some() => true,
        (Volume::Own { .. }, Known::Present(claim)) => is_older(claim, object),
        // The agent gives the role this password, whatever the data were made with.
        _ => false,
    };
    if may_hold_data {
        return Credentials::Lost(format!(
            "{broken}, and PVC \"{}\" holds data that know its password; put the Secret back (keys username, password)",
            volume.claim()
        ));
    }
    password.map_or(Credentials::NoRandomness, |p| {
        Credentials::Make(Login::new(p))
    })
}

/// The claim was there before this object, so it may hold the data of an earlier one.
pub fn is_older(claim: &FoundClaim, object: &PaperclipDatabase) -> bool {
    let made = object
        .metadata
        .creation_timestamp
        .as_ref()
        .map(|t| t.0.strftime("%Y-%m-%dT%H:%M:%SZ").to_string())
        .unwrap_or_default();
    *claim.view.metadata.creation_timestamp < *made
}
