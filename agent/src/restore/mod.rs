//! `restore`: what a backup holds takes the place of what a database holds, whole or not at all.
//!
//! Everything happens in one transaction of the application's own role. It is committed only after the last byte was
//! read, the checksum of the manifest was met, and every table has the rows that the manifest tells. Whatever fails
//! before leaves the database as it was. Files are laid out before, and put in their place after.

mod clear;
mod earlier;
mod files;
pub mod input;
pub mod load;
pub mod manifest;
pub mod open;
pub mod place;

use std::process::ExitCode;

use object_store::path::Path as Place;

use crate::backup::MANIFEST;
use crate::backup::dump::Client;
use crate::database::Connection;
use crate::environment::Environment;
use crate::keyring::Keyring;
use crate::migrate::journal::Journal;
use crate::process::unless_stopped;
use crate::result::{Exit, Failure, Reason, Record, Success};
use crate::target::server_version;
use input::Input;
use manifest::Manifest;

/// Larger manifests do not exist: ten thousand tables take less.
pub const MANIFEST_LIMIT: usize = 4 << 20;
/// Larger keyrings do not exist.
const KEYS_LIMIT: usize = 1 << 20;
/// Bringing the planner's statistics up to date is not worth more.
const ANALYZE_WITHIN: std::time::Duration = std::time::Duration::from_secs(300);

/// Why a backup is not restored.
#[derive(Debug, thiserror::Error)]
pub enum RestoreError {
    /// Nothing that was meant.
    #[error("no complete backup {0}")]
    NotFound(String),
    /// What is there is not what was written.
    #[error("{0}")]
    Corrupt(String),
    /// It is another installation's.
    #[error("{0}")]
    ForeignBackup(String),
    /// It cannot be decrypted, or what it holds cannot be.
    #[error("{0}")]
    KeyMissing(String),
    /// PostgreSQL refused what it was given.
    #[error("{0}")]
    Refused(String),
    /// It may go better at another time.
    #[error("{0}")]
    Failed(String),
    /// Something of the operating system.
    #[error("{0}")]
    System(String),
}

impl RestoreError {
    /// What the volume of the server's files says.
    fn of_volume(error: &std::io::Error) -> Self {
        let words = format!("the server's files: {error}");
        match error.kind() {
            std::io::ErrorKind::StorageFull
            | std::io::ErrorKind::QuotaExceeded
            | std::io::ErrorKind::PermissionDenied
            | std::io::ErrorKind::ReadOnlyFilesystem => Self::Refused(words),
            _ => Self::Failed(words),
        }
    }
}

impl Reason for RestoreError {
    fn code(&self) -> &'static str {
        match self {
            Self::NotFound(_) => "NotFound",
            Self::Corrupt(_) => "Corrupt",
            Self::ForeignBackup(_) => "ForeignBackup",
            Self::KeyMissing(_) => "KeyMissing",
            Self::Refused(_) | Self::Failed(_) => "RestoreFailed",
            Self::System(_) => "Internal",
        }
    }

    fn exit(&self) -> Exit {
        match self {
            Self::NotFound(_)
            | Self::Corrupt(_)
            | Self::ForeignBackup(_)
            | Self::KeyMissing(_)
            | Self::Refused(_) => Exit::Refused,
            Self::Failed(_) => Exit::Temporary,
            Self::System(_) => Exit::Internal,
        }
    }
}

/// Runs the command.
pub async fn run(environment: &Environment) -> ExitCode {
    let mut record = Record::start("restore", environment);
    // Whoever is dropped ends its programs, and the database goes back to what it was.
    let outcome = unless_stopped(steps(environment, &mut record)).await;
    record.finish(outcome)
}

async fn steps(environment: &Environment, record: &mut Record) -> Result<Success, Failure> {
    record.step("input");
    let input = Input::read(environment)?;

    record.step("storage");
    let storage = &input.source.storage;
    let folder = match place::find_any(storage, &input.source.from).await? {
        place::Found::Folder(folder) => folder,
        place::Found::Earlier(dump) => return earlier(&input, environment, record, &dump).await,
    };
    record.fact("location", format!("{}/", storage.url_of(&folder)));
    let text = storage
        .small(&folder.clone().join(MANIFEST), MANIFEST_LIMIT)
        .await?;
    input.source.is_expected(&text)?;
    let manifest = Manifest::parse(&text)?;
    tell(&manifest, record);
    input.accepts(&manifest)?;
    let dump = manifest.dump()?;
    let identities = input.keys.of(dump)?;
    let object = |part: &manifest::Part| open::Object {
        storage,
        place: folder.clone().join(part.name.clone()),
        wanted: part.content(),
        identities: &identities,
    };
    if let Some(part) = manifest.keys().filter(|_| input.hands_over_keys) {
        record.step("keys");
        let text = object(part).whole(KEYS_LIMIT).await?;
        let keyring = Keyring::parse(&text)?;
        if let Some(identity) = identities.first() {
            record.fact("keys", keyring.hand_over(identity)?);
        }
    }
    let files = input.files.as_deref().zip(manifest.files_part());
    if let Some(root) = &input.files {
        files::settle(root).await?;
    }

    let client = connect(&input, environment, record).await?;

    if let Some((root, part)) = files {
        record.step("files");
        files::lay_out(object(part), root, manifest.files.as_ref()).await?;
    }
    record.step("restore");
    let loaded = load::run(&input.target.url, &client, object(dump), &manifest).await;
    if let (Err(_), Some((root, _))) = (&loaded, files) {
        files::discard(root).await;
    }
    loaded?;
    if let Some((root, _)) = files {
        record.step("place");
        files::put_in_place(root).await?;
        record.fact("files", manifest.files.as_ref().map_or(0, |f| f.count));
    }

    record.step("check");
    let connection = input.target.wait_for_database().await?;
    let journal = Journal::read(&connection).await?;
    let wanted = manifest.database.migrations.as_ref();
    if wanted.is_some_and(|wanted| wanted.sha256 != journal.fingerprint()) {
        // The transaction is through: somebody else writes here.
        let text = "the journal of migrations is not the backup's: somebody else has written to this database";
        return Err(RestoreError::Refused(text.into()).into());
    }
    analyze(&connection).await;
    Ok(Success::Done)
}

/// A dump of the earlier operator: a database and nothing else, and no manifest that tells what must be in it.
async fn earlier(
    input: &Input,
    environment: &Environment,
    record: &mut Record,
    dump: &Place,
) -> Result<Success, Failure> {
    let storage = &input.source.storage;
    record.fact("location", storage.url_of(dump));
    input.takes_database_alone()?;
    let client = connect(input, environment, record).await?;
    record.step("restore");
    let tables = earlier::run(&input.target.url, &client, storage, dump).await?;
    record.fact("tables", tables);
    record.step("check");
    let connection = input.target.wait_for_database().await?;
    let journal = Journal::read(&connection).await?;
    record.fact("migrations", journal.rows());
    analyze(&connection).await;
    Ok(Success::Done)
}

/// The programs of the database's version.
async fn connect(
    input: &Input,
    environment: &Environment,
    record: &mut Record,
) -> Result<Client, Failure> {
    record.step("connect");
    let connection = input.target.wait_for_database().await?;
    let version = server_version(&connection).await?;
    let major = version
        .split('.')
        .next()
        .and_then(|major| major.parse().ok());
    let path = environment.get("PATH").unwrap_or_default();
    Ok(Client::find(path, major.unwrap_or_default())?)
}

/// Brings the planner's statistics up to date, if that is soon done.
async fn analyze(connection: &Connection) {
    let analyze = connection.client().batch_execute("ANALYZE");
    if !matches!(
        tokio::time::timeout(ANALYZE_WITHIN, analyze).await,
        Ok(Ok(()))
    ) {
        tracing::warn!("the planner's statistics are not up to date; autovacuum does it");
    }
}

fn tell(manifest: &Manifest, record: &mut Record) {
    record.fact("time", manifest.begun.clone());
    record.fact("bytes", manifest.parts.iter().map(|p| p.bytes).sum::<u64>());
    record.fact("tables", manifest.database.tables.len());
    if let Some(version) = &manifest.app_version {
        record.fact("appVersion", version.clone());
    }
    if let Some(migrations) = &manifest.database.migrations {
        record.fact("migrations", migrations.rows);
    }
    if let Some(instance) = &manifest.instance {
        record.fact("of", instance.to_string());
    }
}
