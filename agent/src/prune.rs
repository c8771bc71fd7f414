//! `prune`: takes backups away that nobody needs any more, each only if it is the very one that is meant.
//!
//! A folder is touched only if its manifest has the checksum that is expected and names the installation that is expected. The manifest
//! goes first: without it nobody takes the rest for a backup.

use std::process::ExitCode;

use object_store::path::Path as Place;
use serde::Deserialize;
use serde_json::Value;

use crate::backup::MANIFEST;
use crate::environment::{Environment, EnvironmentError};
use crate::process::unless_stopped;
use crate::result::{Exit, Failure, Reason, Record, Success};
use crate::storage::error::StorageError;
use crate::storage::{Content, Destination};

const MANIFEST_LIMIT: usize = 4 << 20;

/// One backup.
#[derive(Debug, Deserialize)]
struct Item {
    /// Its folder, as a URL.
    location: String,
    /// SHA-256 of its manifest.
    sha256: String,
}

/// Why a backup is left alone.
#[derive(Debug, thiserror::Error)]
enum PruneError {
    #[error("{0}: it is in another bucket, or below another folder")]
    Elsewhere(String),
    #[error("{0}: its manifest is another one than was written; it is left alone")]
    Changed(String),
}

impl Reason for PruneError {
    fn code(&self) -> &'static str {
        match self {
            Self::Elsewhere(_) => "ForeignBackup",
            Self::Changed(_) => "ArtifactChanged",
        }
    }

    fn exit(&self) -> Exit {
        Exit::Refused
    }
}

/// Runs the command.
pub async fn run(environment: &Environment) -> ExitCode {
    let mut record = Record::start("prune", environment);
    let outcome = unless_stopped(steps(environment, &mut record)).await;
    record.finish(outcome)
}

async fn steps(environment: &Environment, record: &mut Record) -> Result<Success, Failure> {
    record.step("input");
    let storage = Destination::read(environment)?;
    let text = environment.get("PAPERCLIP_AGENT_PRUNE").unwrap_or_default();
    let items: Vec<Item> =
        serde_json::from_str(text).map_err(|_| EnvironmentError::InvalidValue {
            name: "PAPERCLIP_AGENT_PRUNE",
            problem: "must be a JSON list of objects with location and sha256".to_owned(),
        })?;
    record.step("remove");
    let mut removed = 0_u64;
    for item in &items {
        remove(&storage, item).await?;
        removed += 1;
        record.fact("removed", removed);
    }
    Ok(Success::Done)
}

async fn remove(storage: &Destination, item: &Item) -> Result<(), Failure> {
    let folder = folder(storage, &item.location)?;
    let manifest = folder.clone().join(MANIFEST);
    match storage.small(&manifest, MANIFEST_LIMIT).await {
        Ok(text) => {
            let is_it = Content::of(&text).sha256 == item.sha256;
            let is_one = serde_json::from_slice::<Value>(&text)
                .is_ok_and(|manifest| manifest["kind"] == "PaperclipBackup");
            if !is_it || !is_one {
                return Err(PruneError::Changed(item.location.clone()).into());
            }
        }
        // Removed by an earlier try, or by somebody else: what is left is no backup.
        Err(StorageError::NotFound(_)) => {}
        Err(error) => return Err(error.into()),
    }
    storage.remove(&manifest).await?;
    for place in storage.below(&folder).await? {
        storage.remove(&place).await?;
    }
    tracing::info!(location = item.location, "removed");
    Ok(())
}

/// A folder right below the prefix of this bucket, and nothing else.
fn folder(storage: &Destination, location: &str) -> Result<Place, PruneError> {
    let elsewhere = || PruneError::Elsewhere(location.to_owned());
    let path = location
        .strip_prefix("s3://")
        .and_then(|rest| rest.strip_prefix(storage.bucket()))
        .and_then(|rest| rest.strip_prefix('/'))
        .ok_or_else(elsewhere)?;
    let folder = Place::parse(path.trim_end_matches('/')).map_err(|_| elsewhere())?;
    let mut below = folder
        .prefix_match(storage.prefix())
        .ok_or_else(elsewhere)?;
    match (below.next(), below.next()) {
        (Some(_), None) => {}
        _ => return Err(elsewhere()),
    }
    drop(below);
    Ok(folder)
}
