//! The server that makes the admin: the image's own, with settings under which it can, on loopback, and under which it
//! does nothing else with the data.

use std::fmt::Write as _;

use rustix::rand::{GetRandomFlags, getrandom};

use crate::layout::Layout;
use crate::result::Failure;
use crate::server::child::{Server, ServerError};

/// Where it listens, on loopback only.
pub const PORT: u16 = 3199;

/// Starts it.
pub fn start(layout: &Layout, port: u16) -> Result<Server, Failure> {
    let port = port.to_string();
    // Its sessions end with it, so nobody needs its key. The real keys are not here.
    let (session, signing, master) = (key()?, key()?, key()?);
    let changes = [
        ("PORT", Some(port.as_str())),
        ("HOST", Some("127.0.0.1")),
        ("PAPERCLIP_BIND", Some("loopback")),
        ("PAPERCLIP_BIND_HOST", None),
        ("PAPERCLIP_DEPLOYMENT_MODE", Some("authenticated")),
        // The claim is closed where the server takes itself for public.
        ("PAPERCLIP_DEPLOYMENT_EXPOSURE", Some("private")),
        ("PAPERCLIP_ALLOWED_HOSTNAMES", Some("localhost,127.0.0.1")),
        ("PAPERCLIP_PUBLIC_URL", None),
        ("PAPERCLIP_AUTH_PUBLIC_BASE_URL", None),
        ("BETTER_AUTH_URL", None),
        ("BETTER_AUTH_BASE_URL", None),
        ("PAPERCLIP_AUTH_DISABLE_SIGN_UP", Some("false")),
        ("PAPERCLIP_AUTH_RATE_LIMIT_ENABLED", Some("false")),
        ("BETTER_AUTH_SECRET", Some(session.as_str())),
        ("PAPERCLIP_DECISION_SIGNING_SECRET", Some(signing.as_str())),
        ("PAPERCLIP_SECRETS_MASTER_KEY", Some(master.as_str())),
        // The schema is the migration's business, and nothing is scheduled, backed up or sent from here.
        ("PAPERCLIP_MIGRATION_PROMPT", Some("never")),
        ("PAPERCLIP_MIGRATION_AUTO_APPLY", None),
        ("HEARTBEAT_SCHEDULER_ENABLED", Some("false")),
        ("PAPERCLIP_RESTORE_IN_PROGRESS", Some("true")),
        ("PAPERCLIP_DB_BACKUP_ENABLED", Some("false")),
        ("PAPERCLIP_STORAGE_PROVIDER", Some("local_disk")),
        ("PAPERCLIP_TELEMETRY_DISABLED", Some("1")),
        ("DO_NOT_TRACK", Some("1")),
        ("PAPERCLIP_ANNOUNCEMENTS_ENABLED", Some("false")),
        ("SERVE_UI", Some("false")),
    ];
    Ok(Server::start(layout, &changes)?)
}

/// 32 random bytes as hexadecimal digits.
fn key() -> Result<String, ServerError> {
    let mut bytes = [0_u8; 32];
    let filled = getrandom(&mut bytes, GetRandomFlags::empty())
        .map_err(|error| ServerError::System(error.into()))?;
    if filled != bytes.len() {
        return Err(ServerError::System(std::io::Error::other(
            "the system gave too few random bytes",
        )));
    }
    let mut text = String::with_capacity(2 * bytes.len());
    for byte in bytes {
        let _ = write!(text, "{byte:02x}");
    }
    Ok(text)
}
