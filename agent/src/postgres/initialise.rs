//! Makes a data directory: all of it, or nothing that anybody will ever take for one.
//!
//! Everything happens in a folder beside, which is renamed when it is complete and on disk. Who dies before leaves
//! that folder, and the next one removes it.

use std::fs::{self, File};
use std::io;
use std::path::Path;
use std::time::Duration;

use rustix::process::Signal;
use tokio::process::Command;

use crate::postgres::binaries::Binaries;
use crate::postgres::config::Config;
use crate::postgres::credentials::{Credentials, SUPERUSER};
use crate::postgres::data_directory::DataDirectoryError;
use crate::postgres::hba;
use crate::postgres::lock::{DataLock, beside};
use crate::postgres::roles::{self, RolesError, Superuser};
use crate::postgres::server::{Purpose, Server, ServerError};
use crate::process::{Relay, how_ended};
use crate::result::{Exit, Reason};

const START_WITHIN: Duration = Duration::from_secs(60);
const STOP_WITHIN: Duration = Duration::from_secs(60);

/// Why there is no data directory.
#[derive(Debug, thiserror::Error)]
pub enum InitialiseError {
    /// `initdb` failed.
    #[error("initdb: {0}")]
    InitdbFailed(String),
    /// The server for the agent alone failed.
    #[error("while initialising: {0}")]
    Server(#[from] ServerError),
    /// Roles, database or extensions could not be made.
    #[error("while initialising: {0}")]
    Roles(#[from] RolesError),
    /// The volume did not take it.
    #[error(transparent)]
    Files(#[from] DataDirectoryError),
}

impl Reason for InitialiseError {
    fn code(&self) -> &'static str {
        match self {
            Self::InitdbFailed(complaint) if complaint.contains("No space left on device") => {
                "StorageFull"
            }
            Self::InitdbFailed(_) => "InitdbFailed",
            Self::Server(error) => error.code(),
            Self::Roles(error) => error.code(),
            Self::Files(error) => error.code(),
        }
    }

    fn exit(&self) -> Exit {
        match self {
            Self::InitdbFailed(_) | Self::Server(_) => Exit::Temporary,
            Self::Roles(error) => error.exit(),
            Self::Files(error) => error.exit(),
        }
    }
}

/// Makes the data directory of `config`, which must not exist or be empty.
pub async fn run(
    config: &Config,
    binaries: &Binaries,
    lock: &DataLock,
    credentials: &Credentials,
) -> Result<(), InitialiseError> {
    let unfinished = beside(&config.data, ".init");
    match fs::remove_dir_all(&unfinished) {
        Ok(()) => tracing::info!("removed an initialisation that was cut off"),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(DataDirectoryError::at(&unfinished)(error).into()),
    }
    initdb(binaries, lock, &unfinished, &arguments(binaries.major)).await?;
    // The agent gives the server its own rules at each start; these are for whoever runs it without the agent.
    let rules = unfinished.join("pg_hba.conf");
    fs::write(&rules, hba::rules()).map_err(DataDirectoryError::at(&rules))?;
    fill(config, binaries, lock, &unfinished, credentials).await?;
    initdb(binaries, lock, &unfinished, &["--sync-only"]).await?;
    publish(&unfinished, &config.data)?;
    tracing::info!(data = %config.data.display(), version = binaries.version, "initialised");
    Ok(())
}

/// Sorting must not depend on the C library, whose order changes from image to image and breaks indexes: it is the
/// byte order, or PostgreSQL's own from 17 on. Letters beyond ASCII are still letters.
pub fn arguments(major: u32) -> Vec<&'static str> {
    let mut arguments = vec![
        "--username",
        SUPERUSER,
        "--encoding=UTF8",
        "--locale=C",
        "--lc-ctype=C.UTF-8",
        "--auth-local=trust",
        "--auth-host=scram-sha-256",
        "--data-checksums",
        "--no-sync",
    ];
    if major >= 14 {
        arguments.push("--no-instructions");
    }
    if major >= 17 {
        arguments.extend(["--locale-provider=builtin", "--builtin-locale=C.UTF-8"]);
    }
    arguments
}

async fn initdb(
    binaries: &Binaries,
    lock: &DataLock,
    data: &Path,
    arguments: &[&str],
) -> Result<(), InitialiseError> {
    let failed = |error: io::Error| InitialiseError::InitdbFailed(error.to_string());
    let (reader, writer) = io::pipe().map_err(failed)?;
    let mut command = Command::new(&binaries.initdb);
    command
        .arg("-D")
        .arg(data)
        .args(arguments)
        .kill_on_drop(true);
    command
        .stdin(lock.for_child().map_err(failed)?)
        .stdout(writer.try_clone().map_err(failed)?)
        .stderr(writer);
    let mut child = command.spawn().map_err(failed)?;
    drop(command);
    let relay = Relay::start(reader);
    let status = child.wait().await.map_err(failed)?;
    if status.success() {
        return Ok(());
    }
    Err(InitialiseError::InitdbFailed(format!(
        "{}: {}",
        how_ended(status),
        relay.last_complaint()
    )))
}

async fn fill(
    config: &Config,
    binaries: &Binaries,
    lock: &DataLock,
    data: &Path,
    credentials: &Credentials,
) -> Result<(), InitialiseError> {
    let mut server = Server::start(config, binaries, data, lock, Purpose::Initialise)?;
    let superuser = Superuser::new(config, SUPERUSER);
    let work = async {
        superuser.wait(START_WITHIN).await?;
        if binaries.major >= 14 {
            roles::create_readers(&superuser).await?;
        }
        roles::ensure(&superuser, &config.database, credentials).await
    };
    tokio::select! {
        done = work => done?,
        status = server.wait() => return Err(server.ended(status?).into()),
    }
    server.send(Signal::INT);
    match tokio::time::timeout(STOP_WITHIN, server.wait()).await {
        Ok(status) => match status? {
            status if status.success() => Ok(()),
            status => Err(server.ended(status).into()),
        },
        Err(_) => Err(ServerError::Silent(STOP_WITHIN).into()),
    }
}

/// The moment from which on there is a data directory.
fn publish(unfinished: &Path, data: &Path) -> Result<(), DataDirectoryError> {
    fs::rename(unfinished, data).map_err(DataDirectoryError::at(data))?;
    let parent = data.parent().unwrap_or(Path::new("/"));
    File::open(parent)
        .and_then(|folder| folder.sync_all())
        .map_err(DataDirectoryError::at(parent))
}
