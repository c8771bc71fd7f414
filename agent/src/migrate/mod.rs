//! `migrate`: brings the database's schema to what the image's release wants, by the release's own program.
//!
//! Two of these never work at the same time on one database. Success is said only after the journal in the database
//! was compared with the files of the release, never because the program said so.

pub mod journal;
mod lock;
mod program;
pub mod rights;

use std::process::ExitCode;

use crate::environment::Environment;
use crate::layout::{self, Layout};
use crate::migrate::journal::Journal;
use crate::process::StopSignals;
use crate::redact::Redactor;
use crate::result::{Failure, Record, Success};
use crate::target::{Target, server_version};

/// Runs the command.
pub async fn run(environment: &Environment) -> ExitCode {
    let mut record = Record::start("migrate", environment);
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
    let target = Target::read(environment, "paperclip-agent migrate")?;
    let layout = Layout::of(&layout::MIGRATION, environment)?;

    record.step("connect");
    let connection = tokio::select! {
        connection = target.wait_for_database() => connection?,
        signal = stop.next() => return Err(Failure::terminated(signal)),
    };
    record.fact("serverVersion", server_version(&connection).await?);

    record.step("lock");
    let mut lock = tokio::select! {
        lock = lock::take(&target) => lock?,
        signal = stop.next() => return Err(Failure::terminated(signal)),
    };

    record.step("rights");
    rights::check(&connection).await?;
    let before = Journal::read(&connection).await?;
    // The program may take long; an idle connection might not outlive it.
    drop(connection);

    record.step("migrate");
    program::run(
        &layout,
        &target.url,
        &Redactor::new(target.url.secrets()),
        &mut lock,
        stop,
    )
    .await?;

    record.step("journal");
    let connection = target.open().await?;
    let after = Journal::read(&connection).await?;
    let applied = after.rows().saturating_sub(before.rows());
    record.fact("applied", applied);
    if let Some(rows) = journal::encrypted_rows(&connection).await? {
        record.fact("encryptedRows", rows);
    }
    // The migrations lie beside the program, in every layout.
    let beside = layout.file.as_ref().and_then(|file| file.parent());
    let migrations = beside.map(|folder| folder.join("migrations"));
    if let Some(folder) = migrations.filter(|folder| folder.is_dir()) {
        let pending = after.pending(&folder)?;
        record.fact("pending", pending.len());
        if let Some(first) = pending.first() {
            return Err(journal::JournalError::Incomplete {
                pending: pending.len(),
                first: first.clone(),
            }
            .into());
        }
    } else {
        tracing::warn!(
            "the program's migrations lie nowhere that is known, so the journal could not be compared"
        );
    }
    Ok(if applied == 0 {
        Success::Nothing
    } else {
        Success::Done
    })
}
