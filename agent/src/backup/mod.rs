//! `backup`: one snapshot of a database in a bucket, proven by reading it back.
//!
//! Nothing is called a backup before its manifest is written, and the manifest is written last: only when `pg_dump`
//! ended well, its table of contents holds every table, and what is in the bucket was read back byte for byte. Whatever
//! fails on the way leaves no manifest and takes away what was sent.

mod contents;
pub mod dump;
mod files;
mod input;
mod manifest;
mod part;
mod seal;
mod snapshot;

use std::process::ExitCode;

use bytes::Bytes;
use jiff::{Timestamp, ToSpan};

use crate::backup::dump::Client;
use crate::backup::files::FILES;
use crate::backup::input::Input;
use crate::backup::manifest::{Manifest, Part};
use crate::backup::part::Part as Sending;
use crate::backup::snapshot::Snapshot;
use crate::environment::Environment;
use crate::process::StopSignals;
use crate::result::{Exit, Failure, Reason, Record, Success};
use crate::storage::error::StorageError;
use crate::storage::{Content, Destination};

/// The last object of a backup; a folder without it is none.
pub const MANIFEST: &str = "manifest.json";
/// The dump; all names get `.age` if they are encrypted.
const DUMP: &str = "database.dump";
/// The keys, which are never there in any other form.
const KEYS: &str = "secrets";
const SPEC: &str = "spec.yaml";
/// Folders that are tried when another backup began in the same second.
const FOLDERS: i64 = 5;

/// What is in the bucket is not what was sent.
#[derive(Debug, thiserror::Error)]
enum ProofError {
    #[error(
        "{name}: sent were {} bytes with SHA-256 {}, read back {} bytes with SHA-256 {}",
        .sent.bytes, .sent.sha256, .found.bytes, .found.sha256
    )]
    Mismatch {
        name: String,
        sent: Content,
        found: Content,
    },
    #[error("{0}: it was written, and is not there")]
    Missing(String),
    #[error("there is no free folder: other backups began in the same seconds")]
    NoFolder,
}

impl Reason for ProofError {
    fn code(&self) -> &'static str {
        match self {
            Self::Mismatch { .. } | Self::Missing(_) => "ReadBackMismatch",
            Self::NoFolder => "NoFolder",
        }
    }

    fn exit(&self) -> Exit {
        match self {
            // A storage that does not keep what it took is nothing to be smoothed over by another try.
            Self::Mismatch { .. } | Self::Missing(_) => Exit::Refused,
            Self::NoFolder => Exit::Temporary,
        }
    }
}

/// Runs the command.
pub async fn run(environment: &Environment) -> ExitCode {
    let mut record = Record::start("backup", environment);
    let outcome = match StopSignals::listen() {
        Ok(mut stop) => steps(environment, &mut record, &mut stop).await,
        Err(error) => Err(Failure::internal(&error)),
    };
    record.finish(outcome)
}

async fn steps(
    environment: &Environment,
    record: &mut Record,
    stop: &mut StopSignals,
) -> Result<Success, Failure> {
    record.step("input");
    let input = Input::read(environment)?;
    let mut folder = None;
    let result = tokio::select! {
        result = snapshot(&input, environment, record, &mut folder) => result,
        signal = stop.next() => Err(Failure::terminated(signal)),
    };
    if let (Err(_), Some(folder)) = (&result, &folder) {
        // The manifest first: without it nobody takes the rest for a backup.
        let sealed = [DUMP, FILES, KEYS].map(|name| format!("{name}.age"));
        let mut names = vec![MANIFEST, DUMP, FILES, SPEC];
        names.extend(sealed.iter().map(String::as_str));
        input.destination.tidy(folder, &names).await;
    }
    result.map(|()| Success::Done)
}

async fn snapshot(
    input: &Input,
    environment: &Environment,
    record: &mut Record,
    folder: &mut Option<String>,
) -> Result<(), Failure> {
    let destination = &input.destination;
    record.step("storage");
    let begun = Timestamp::now();
    // Said only once it is known to be free: what is said is tidied up after a failure.
    let free = free_folder(destination, begun).await?;
    record.fact("location", destination.url(&free));
    let folder = &*folder.insert(free);

    record.step("connect");
    let connection = input.target.wait_for_database().await?;
    let snapshot = Snapshot::take(connection).await?;
    record.fact("serverVersion", snapshot.server_version.clone());
    record.fact("databaseBytes", snapshot.database_bytes);
    if let Some(migrations) = &snapshot.migrations {
        record.fact("migrations", migrations.rows);
    }
    let path = environment.get("PATH").unwrap_or_default();
    let client = Client::find(path, snapshot.major)?;

    record.step("dump");
    // Rows are counted in the same snapshot that is dumped, while it is dumped.
    let (sent, rows) = futures::try_join!(
        dump::run(input, &client, &snapshot, folder),
        snapshot.count_rows()
    )?;
    record.fact("tables", rows.len());
    let mut parts = vec![sent];
    let mut packed = None;
    if let Some(root) = &input.files {
        // After the dump: whatever its rows tell of is there.
        record.step("files");
        let (part, count) = files::run(input, root, folder).await?;
        record.fact("files", count.count);
        packed = Some(count);
        parts.push(part);
    }
    if let Some(keys) = &input.keys {
        record.step("keys");
        let text = keys.keyring()?.render();
        let mut part = Sending::start(input, folder, KEYS, 0)?;
        part.write(text.as_bytes()).await?;
        parts.push(part.finish().await?);
    }
    if let Some(spec) = &input.spec {
        destination.put(folder, SPEC, spec.clone()).await?;
        parts.push(Part {
            name: SPEC.to_owned(),
            content: Content::of(spec),
            plain: None,
            encryption: None,
        });
    }

    record.step("readback");
    for part in &parts {
        prove(destination, folder, &part.name, &part.content).await?;
    }

    record.step("manifest");
    let bytes: u64 = parts.iter().map(|part| part.content.bytes).sum();
    let manifest = Manifest {
        input,
        begun,
        ended: Timestamp::now(),
        snapshot: &snapshot,
        client: &client,
        rows: &rows,
        files: packed,
        parts: &parts,
    }
    .render();
    let content = Content::of(&manifest);
    destination.put(folder, MANIFEST, manifest).await?;
    prove(destination, folder, MANIFEST, &content).await?;
    record.fact("bytes", bytes + content.bytes);
    record.fact("sha256", content.sha256);
    Ok(())
}

/// A folder that is named for the time, in which nothing is.
async fn free_folder(destination: &Destination, begun: Timestamp) -> Result<String, Failure> {
    for later in 0..FOLDERS {
        let time = begun
            .checked_add(later.seconds())
            .map_err(|error| Failure {
                exit: Exit::Internal,
                code: "Internal",
                message: error.to_string(),
            })?;
        let folder = time.strftime("%Y-%m-%dT%H:%M:%SZ").to_string();
        if destination.is_free(&folder).await? {
            return Ok(folder);
        }
    }
    Err(ProofError::NoFolder.into())
}

/// What is in the bucket is what was sent, from the first byte to the last.
async fn prove(
    destination: &Destination,
    folder: &str,
    name: &str,
    sent: &Content,
) -> Result<(), Failure> {
    let found = match destination.content(folder, name).await {
        Ok(found) => found,
        Err(StorageError::NotFound(_)) => return Err(ProofError::Missing(name.to_owned()).into()),
        Err(error) => return Err(error.into()),
    };
    if found == *sent {
        return Ok(());
    }
    Err(ProofError::Mismatch {
        name: name.to_owned(),
        sent: sent.clone(),
        found,
    }
    .into())
}

/// Bytes of an object that is written whole.
fn bytes_of(text: String) -> Bytes {
    Bytes::from(text.into_bytes())
}
