//! `pg_restore` turns the dump into statements, `psql` runs them in one transaction, and the agent alone says when it is committed.
//!
//! The password travels in the child's environment and nowhere else. What the database says is told without rows.

use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};
use tokio::task::JoinHandle;

use crate::backup::dump::{Client, variables};
use crate::bridge::CHUNK_BYTES;
use crate::output::log;
use crate::process::how_ended;
use crate::redact::Redactor;
use crate::restore::manifest::Manifest;
use crate::restore::open::{Object, Reader};
use crate::restore::{RestoreError, clear};
use crate::result::{Failure, one_line};
use crate::urls::DatabaseUrl;

/// Making an index of a large table is the longest thing that happens without a word.
const SILENCE: Duration = Duration::from_secs(3 * 3600);

/// A program with its words.
pub struct Program {
    name: &'static str,
    child: Child,
    words: JoinHandle<String>,
}

/// Replaces what the database holds.
pub async fn run(
    url: &DatabaseUrl,
    client: &Client,
    object: Object<'_>,
    manifest: &Manifest,
) -> Result<(), Failure> {
    let mut dump = object.open().await?;
    let (mut reader, to_reader, statements) = start_reader(client)?;
    let (mut writer, mut to_writer) = start_writer(url, client)?;
    let begun = to_writer
        .write_all(clear::begin(schemas(manifest)).as_bytes())
        .await;
    if begun.is_err() {
        return Err(refused(writer).await);
    }
    let fed = tokio::join!(feed(&mut dump, to_reader), pass(statements, &mut to_writer));
    // Whatever was wrong with the bytes explains what followed from it.
    fed.0?;
    dump.prove().await?;
    let read = reader.wait().await?;
    if let Some(words) = read {
        if fed.1.is_err() {
            return Err(refused(writer).await);
        }
        return Err(RestoreError::Corrupt(format!("the dump cannot be read: {words}")).into());
    }
    let all = match fed.1 {
        Ok(()) => {
            to_writer
                .write_all(clear::commit(manifest).as_bytes())
                .await
        }
        Err(error) => Err(error),
    };
    drop(to_writer);
    match (all, writer.wait().await?) {
        (Ok(()), None) => Ok(()),
        (_, Some(words)) => Err(said(&words)),
        (Err(error), None) => Err(RestoreError::Failed(format!("psql: {error}")).into()),
    }
}

/// The schemas that the dump brings whole.
fn schemas(manifest: &Manifest) -> impl Iterator<Item = &str> {
    let tables = manifest.database.tables.iter();
    tables.filter_map(|table| Some(table.table.split_once('.')?.0))
}

/// The bytes of the dump; ends early if nobody wants more.
async fn feed(dump: &mut Reader, mut to: ChildStdin) -> Result<(), Failure> {
    let mut chunk = vec![0; CHUNK_BYTES];
    loop {
        let length = dump.read(&mut chunk).await?;
        let bytes = chunk.get(..length).unwrap_or_default();
        if bytes.is_empty() || to.write_all(bytes).await.is_err() {
            return Ok(());
        }
    }
}

/// The statements, from one program to the other.
async fn pass(mut from: ChildStdout, to: &mut ChildStdin) -> std::io::Result<()> {
    let mut chunk = vec![0; CHUNK_BYTES];
    loop {
        let read = tokio::time::timeout(SILENCE, from.read(&mut chunk)).await;
        let length = read.map_err(|_| std::io::Error::from(std::io::ErrorKind::TimedOut))??;
        let bytes = chunk.get(..length).unwrap_or_default();
        if bytes.is_empty() {
            return Ok(());
        }
        to.write_all(bytes).await?;
    }
}

fn start_reader(client: &Client) -> Result<(Program, ChildStdin, ChildStdout), Failure> {
    let mut command = Command::new(&client.pg_restore);
    command
        // Comments of extensions belong to whoever owns those.
        .args(["--no-owner", "--no-privileges", "--no-comments", "--file=-"])
        .env_clear()
        .env("LC_ALL", "C");
    let mut program = Program::start(
        "pg_restore",
        &client.pg_restore,
        command,
        true,
        Redactor::default(),
    )?;
    let input = program.child.stdin.take().ok_or_else(no_pipe)?;
    let output = program.child.stdout.take().ok_or_else(no_pipe)?;
    Ok((program, input, output))
}

/// `psql`, and what it reads.
pub fn start_writer(url: &DatabaseUrl, client: &Client) -> Result<(Program, ChildStdin), Failure> {
    let psql = client.pg_restore.with_file_name("psql");
    let mut command = Command::new(&psql);
    command
        .args(["--no-psqlrc", "--quiet", "--no-password", "--file=-"])
        // Without it the words hold rows.
        .args(["--set=ON_ERROR_STOP=1", "--set=VERBOSITY=terse"])
        .env_clear()
        .envs(variables(url))
        .env("PGAPPNAME", "paperclip-agent restore");
    let mut program = Program::start("psql", &psql, command, false, Redactor::new(url.secrets()))?;
    let input = program.child.stdin.take().ok_or_else(no_pipe)?;
    Ok((program, input))
}

impl Program {
    fn start(
        name: &'static str,
        path: &Path,
        mut command: Command,
        speaks: bool,
        redactor: Redactor,
    ) -> Result<Self, RestoreError> {
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(if speaks {
                Stdio::piped()
            } else {
                Stdio::null()
            })
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .map_err(|error| RestoreError::System(format!("{}: {error}", path.display())))?;
        let words = tokio::spawn(log(child.stderr.take(), name, redactor));
        Ok(Self { name, child, words })
    }

    /// `None`: it ended well; else its words.
    pub async fn wait(&mut self) -> Result<Option<String>, RestoreError> {
        let status = tokio::time::timeout(SILENCE, self.child.wait()).await;
        let status = status
            .map_err(|_| RestoreError::Failed(format!("{} does not end", self.name)))?
            .map_err(|error| RestoreError::System(error.to_string()))?;
        if status.success() {
            return Ok(None);
        }
        let words = (&mut self.words).await.unwrap_or_default();
        let words = one_line(&words);
        Ok(Some(if words.is_empty() {
            format!("{} {}", self.name, how_ended(status))
        } else {
            words
        }))
    }
}

fn no_pipe() -> RestoreError {
    RestoreError::System("a program has no pipe".into())
}

/// Why the database took no more.
pub async fn refused(mut writer: Program) -> Failure {
    match writer.wait().await {
        Ok(words) => said(&words.unwrap_or_else(|| "psql ended early".into())),
        Err(error) => error.into(),
    }
}

/// What PostgreSQL says for now, and what it says for good.
pub fn said(words: &str) -> Failure {
    let for_now = [
        "lock timeout",
        "connection to server",
        "server closed the connection",
        "terminating connection",
        "shutting down",
        "deadlock detected",
        "No space left on device",
        "could not extend file",
    ];
    let text = words.to_owned();
    if words.contains("PAPERCLIP rows of") {
        RestoreError::Corrupt(text).into()
    } else if for_now.iter().any(|sign| words.contains(sign)) {
        RestoreError::Failed(text).into()
    } else {
        RestoreError::Refused(text).into()
    }
}
