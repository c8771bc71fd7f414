//! Streams `pg_dump` into the bucket: hashed, encrypted if asked for, in parts, with bounded memory.
//!
//! The object appears only after `pg_dump` ended with 0 and its table of contents was complete. The password travels in
//! the child's environment and nowhere else.

use std::ffi::OsString;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use tokio::io::AsyncReadExt;
use tokio::process::{Child, Command};
use tokio_postgres::config::Host;

use crate::backup::DUMP;
use crate::backup::contents::Contents;
use crate::backup::input::Input;
use crate::backup::manifest;
use crate::backup::part::{Part, PartError};
use crate::backup::snapshot::Snapshot;
use crate::output::log;
use crate::postgres::binaries::{folders, version};
use crate::process::how_ended;
use crate::redact::Redactor;
use crate::result::{Exit, Failure, Reason, one_line};
use crate::urls::{DatabaseUrl, Encryption};

const CHUNK_BYTES: usize = 128 << 10;
/// A silent `pg_dump` waits for a lock, or for a server that is gone.
const SILENCE: Duration = Duration::from_secs(900);
/// How long `pg_dump` waits for a lock of somebody who changes the schema.
const LOCK_TIMEOUT: &str = "--lock-wait-timeout=300000";

/// `pg_dump` and `pg_restore` that fit the server.
pub struct Client {
    pg_dump: PathBuf,
    /// Reads dumps.
    pub pg_restore: PathBuf,
    /// Version as they say it.
    pub version: String,
    major: u32,
}

/// Why there is no dump.
#[derive(Debug, thiserror::Error)]
pub enum DumpError {
    /// No programs that can read this server.
    #[error("no pg_dump and pg_restore of PostgreSQL {wanted}; found: {found}")]
    ClientNotFound {
        /// Major version of the server.
        wanted: u32,
        /// What is there.
        found: String,
    },
    /// A program does not start.
    #[error("{program}: {words}")]
    NotStarted {
        /// The program.
        program: String,
        /// Why not.
        words: String,
    },
    /// `pg_dump` said no.
    #[error("pg_dump: {how}: {words}")]
    Failed {
        /// How it ended.
        how: String,
        /// Its words.
        words: String,
    },
    /// The dump cannot be read.
    #[error("the dump has no readable table of contents: pg_restore: {how}: {words}")]
    Unreadable {
        /// How the reader ended.
        how: String,
        /// Its words.
        words: String,
    },
    /// Tables are missing.
    #[error("the dump holds data of {found} tables, the database has {wanted}")]
    Incomplete {
        /// In the dump.
        found: usize,
        /// In the database.
        wanted: usize,
    },
    /// Nothing came for long.
    #[error("pg_dump has been silent for {} s", SILENCE.as_secs())]
    Silent,
    /// It does not get into the bucket.
    #[error("{0}")]
    Part(#[from] PartError),
    /// The operating system said no.
    #[error("{0}")]
    System(String),
}

impl DumpError {
    /// A program that does not start.
    pub fn not_started(program: &Path, error: &io::Error) -> Self {
        Self::NotStarted {
            program: program.display().to_string(),
            words: error.to_string(),
        }
    }
}

impl Reason for DumpError {
    fn code(&self) -> &'static str {
        match self {
            Self::ClientNotFound { .. } | Self::NotStarted { .. } => "ClientNotFound",
            Self::Failed { .. }
            | Self::Unreadable { .. }
            | Self::Incomplete { .. }
            | Self::Silent => "DumpFailed",
            Self::Part(error) => error.code(),
            Self::System(_) => "Internal",
        }
    }

    fn exit(&self) -> Exit {
        match self {
            Self::ClientNotFound { .. } | Self::NotStarted { .. } => Exit::WrongInput,
            Self::Part(error) => error.exit(),
            Self::System(_) => Exit::Internal,
            _ => Exit::Temporary,
        }
    }
}

impl Client {
    /// Programs of the server's own major version, or else of the next newer one: an older one refuses the server.
    pub fn find(path: &str, server: u32) -> Result<Self, DumpError> {
        let mut best: Option<Self> = None;
        let mut found = Vec::new();
        for folder in folders(path) {
            let (pg_dump, pg_restore) = (folder.join("pg_dump"), folder.join("pg_restore"));
            if !pg_dump.is_file() || !pg_restore.is_file() {
                continue;
            }
            let Ok((version, major)) = version(&pg_dump) else {
                continue;
            };
            found.push(version.clone());
            if major >= server && best.as_ref().is_none_or(|best| major < best.major) {
                best = Some(Self {
                    pg_dump,
                    pg_restore,
                    version,
                    major,
                });
            }
        }
        best.ok_or_else(|| DumpError::ClientNotFound {
            wanted: server,
            found: if found.is_empty() {
                "none".to_owned()
            } else {
                found.join(", ")
            },
        })
    }

    /// Ways to compress, the best first. Which of them a build knows is only told by trying.
    fn compressions(&self) -> &'static [&'static str] {
        if self.major >= 16 {
            &["zstd:3", "gzip:4"]
        } else {
            &["4"]
        }
    }
}

/// Dumps the snapshot into the folder.
pub(super) async fn run(
    input: &Input,
    client: &Client,
    snapshot: &Snapshot,
    folder: &str,
) -> Result<manifest::Part, Failure> {
    let expected = u64::try_from(snapshot.database_bytes).unwrap_or_default();
    let mut last = DumpError::System("no way to compress".to_owned());
    for compression in client.compressions() {
        let mut part = Part::start(input, folder, DUMP, expected)?;
        match transfer(input, client, snapshot, compression, &mut part).await {
            Ok(()) => return Ok(part.finish().await?),
            Err(error) => {
                let nothing_came = part.taken() == 0;
                input.destination.abort().await;
                let unknown = matches!(&error, DumpError::Failed { words, .. } if nothing_came && words.contains("compression"));
                if !unknown {
                    return Err(error.into());
                }
                tracing::info!(compression, reason = %error, "this build of pg_dump compresses another way");
                last = error;
            }
        }
    }
    Err(last.into())
}

async fn transfer(
    input: &Input,
    client: &Client,
    snapshot: &Snapshot,
    compression: &str,
    part: &mut Part<'_>,
) -> Result<(), DumpError> {
    let mut child = spawn(&input.target.url, client, snapshot, compression)?;
    let redactor = Redactor::new(input.target.url.secrets());
    let words = tokio::spawn(log(child.stderr.take(), "pg_dump", redactor));
    let mut output = child
        .stdout
        .take()
        .ok_or_else(|| DumpError::System("pg_dump has no output".to_owned()))?;
    let mut contents = Contents::start(client)?;
    let mut chunk = vec![0_u8; CHUNK_BYTES];
    loop {
        let read = tokio::time::timeout(SILENCE, output.read(&mut chunk)).await;
        let length = read
            .map_err(|_| DumpError::Silent)?
            .map_err(|error| DumpError::System(error.to_string()))?;
        let bytes = chunk.get(..length).unwrap_or_default();
        if bytes.is_empty() {
            break;
        }
        contents.feed(bytes).await;
        part.write(bytes).await?;
    }
    let status = wait(&mut child).await?;
    if !status.success() {
        let words = words.await.unwrap_or_default();
        return Err(DumpError::Failed {
            how: how_ended(status),
            words: one_line(&words),
        });
    }
    let (found, wanted) = (contents.tables().await?, snapshot.tables());
    if found < wanted {
        return Err(DumpError::Incomplete { found, wanted });
    }
    Ok(())
}

async fn wait(child: &mut Child) -> Result<ExitStatus, DumpError> {
    match tokio::time::timeout(SILENCE, child.wait()).await {
        Ok(Ok(status)) => Ok(status),
        Ok(Err(error)) => Err(DumpError::System(error.to_string())),
        Err(_) => Err(DumpError::Silent),
    }
}

fn spawn(
    url: &DatabaseUrl,
    client: &Client,
    snapshot: &Snapshot,
    compression: &str,
) -> Result<Child, DumpError> {
    Command::new(&client.pg_dump)
        .args(["--format=custom", "--no-password", LOCK_TIMEOUT])
        .arg(format!("--compress={compression}"))
        .arg(format!("--snapshot={}", snapshot.id))
        .env_clear()
        .envs(variables(url))
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .map_err(|error| DumpError::not_started(&client.pg_dump, &error))
}

/// The connection as libpq reads it. Nothing else of our environment goes to the child.
pub fn variables(url: &DatabaseUrl) -> Vec<(&'static str, OsString)> {
    let config = url.config();
    let hosts: Vec<String> = config
        .get_hosts()
        .iter()
        .map(|host| match host {
            Host::Tcp(name) => name.clone(),
            Host::Unix(path) => path.display().to_string(),
        })
        .collect();
    let ports: Vec<String> = config.get_ports().iter().map(u16::to_string).collect();
    let mode = match url.encryption() {
        Encryption::Off => "disable",
        Encryption::Opportunistic => "prefer",
        Encryption::Unverified => "require",
        Encryption::Verified => "verify-full",
    };
    let mut variables: Vec<(&'static str, OsString)> = vec![
        ("LC_ALL", "C".into()),
        // No file of a home folder takes part.
        ("HOME", "/nonexistent".into()),
        ("PGAPPNAME", "paperclip-agent pg_dump".into()),
        ("PGCONNECT_TIMEOUT", "10".into()),
        ("PGSSLMODE", mode.into()),
        ("PGHOST", hosts.join(",").into()),
    ];
    let mut set = |name, value: Option<OsString>| {
        variables.extend(value.map(|value| (name, value)));
    };
    set(
        "PGPORT",
        (!ports.is_empty()).then(|| ports.join(",").into()),
    );
    set("PGUSER", config.get_user().map(OsString::from));
    set(
        "PGDATABASE",
        config
            .get_dbname()
            .or(config.get_user())
            .map(OsString::from),
    );
    set("PGOPTIONS", config.get_options().map(OsString::from));
    set(
        "PGPASSWORD",
        config.get_password().map(|password| {
            use std::os::unix::ffi::OsStringExt;
            OsString::from_vec(password.to_vec())
        }),
    );
    if url.encryption() == Encryption::Verified {
        let file = std::env::var_os("NODE_EXTRA_CA_CERTS").filter(|file| !file.is_empty());
        set(
            "PGSSLROOTCERT",
            Some(file.unwrap_or_else(|| "system".into())),
        );
    }
    variables
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn libpq_is_told_what_the_connection_string_says() {
        let url = DatabaseUrl::parse("X", "postgres://u:p%40ss@a:1,b:2/x?sslmode=require").unwrap();
        let told = variables(&url);
        let get = |name| {
            told.iter()
                .find(|(key, _)| *key == name)
                .map(|(_, value)| value.to_str().unwrap())
        };
        assert_eq!(get("PGHOST"), Some("a,b"));
        assert_eq!(get("PGPORT"), Some("1,2"));
        assert_eq!(get("PGPASSWORD"), Some("p@ss"));
        assert_eq!(get("PGDATABASE"), Some("x"));
        assert_eq!(get("PGSSLMODE"), Some("require"));
    }
}
