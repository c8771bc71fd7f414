//! Which migrations the database has seen, and which the release has.
//!
//! The application's journal holds one row per applied file: the SHA-256 of the file, or its name in some releases.

use std::collections::HashSet;
use std::fs;
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

use crate::database::{Connection, quoted};
use crate::result::{Exit, Reason};
use crate::target::QueryError;

const TABLE: &str = "__drizzle_migrations";

/// The rows of the journal.
#[derive(Debug, Default)]
pub struct Journal {
    rows: usize,
    hashes: HashSet<String>,
    names: HashSet<String>,
}

/// Why the journal is not what the release wants.
#[derive(Debug, thiserror::Error)]
pub enum JournalError {
    /// Files of the release that the database has not seen.
    #[error(
        "the program succeeded, but {pending} of the release's migrations are not in the journal, first {first}"
    )]
    Incomplete {
        /// How many.
        pending: usize,
        /// The first of them.
        first: String,
    },
    /// The files of the release cannot be read.
    #[error("{}: {error}", .path.display())]
    Files {
        /// What was read.
        path: PathBuf,
        /// Why not.
        error: std::io::Error,
    },
}

impl Reason for JournalError {
    fn code(&self) -> &'static str {
        match self {
            Self::Incomplete { .. } => "JournalIncomplete",
            Self::Files { .. } => "MigrationFilesUnreadable",
        }
    }

    fn exit(&self) -> Exit {
        Exit::Refused
    }
}

impl Journal {
    /// Reads the journal; one that does not exist yet is empty.
    pub async fn read(connection: &Connection) -> Result<Self, QueryError> {
        let client = connection.client();
        // The application looks for the table everywhere, and prefers these two schemas.
        let place = client
            .query_opt(
                "SELECT n.nspname::text, c.oid FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace \
                 WHERE c.relname = $1 AND c.relkind = 'r' ORDER BY n.nspname <> 'drizzle', n.nspname <> 'public', n.nspname LIMIT 1",
                &[&TABLE],
            )
            .await
            .map_err(QueryError::of("look for the journal"))?;
        let Some(place) = place else {
            return Ok(Self::default());
        };
        let (schema, table): (String, u32) = (place.get(0), place.get(1));
        let columns = client
            .query("SELECT attname::text FROM pg_attribute WHERE attrelid = $1 AND attnum > 0 AND NOT attisdropped", &[&table])
            .await
            .map_err(QueryError::of("look at the journal"))?;
        let column = |name: &str| {
            if columns.iter().any(|row| row.get::<_, &str>(0) == name) {
                quoted(name)
            } else {
                "NULL".to_owned()
            }
        };
        let text = format!(
            "SELECT {}::text, {}::text FROM {}.{}",
            column("hash"),
            column("name"),
            quoted(&schema),
            quoted(TABLE)
        );
        let rows = client
            .query(&text, &[])
            .await
            .map_err(QueryError::of("read the journal"))?;
        Ok(Self {
            rows: rows.len(),
            hashes: rows.iter().filter_map(|row| row.get(0)).collect(),
            names: rows.iter().filter_map(|row| row.get(1)).collect(),
        })
    }

    /// SHA-256 over what the journal knows: equal for databases that have seen the same migrations, in any order.
    pub fn fingerprint(&self) -> String {
        let mut known: Vec<&str> = self
            .hashes
            .iter()
            .chain(&self.names)
            .map(String::as_str)
            .collect();
        known.sort_unstable();
        hexadecimal(&Sha256::digest(known.join("\n")))
    }

    /// How many rows there are.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// The files of the release that the journal does not know, in order.
    pub fn pending(&self, folder: &Path) -> Result<Vec<String>, JournalError> {
        let at = |path: &Path| {
            let path = path.to_owned();
            move |error| JournalError::Files { path, error }
        };
        let mut pending = Vec::new();
        let mut files = 0;
        for entry in fs::read_dir(folder).map_err(at(folder))? {
            let path = entry.map_err(at(folder))?.path();
            if path.extension().is_none_or(|ending| ending != "sql") {
                continue;
            }
            files += 1;
            let name = path
                .file_name()
                .unwrap_or_default()
                .to_string_lossy()
                .into_owned();
            let hash = hexadecimal(&Sha256::digest(fs::read(&path).map_err(at(&path))?));
            if !self.hashes.contains(&hash) && !self.names.contains(&name) {
                pending.push(name);
            }
        }
        if files == 0 {
            // A release without migrations does not exist; an empty folder proves nothing.
            return Err(at(folder)(std::io::Error::new(
                std::io::ErrorKind::NotFound,
                "no migrations here",
            )));
        }
        pending.sort();
        Ok(pending)
    }
}

/// How many stored values can only be read with the application's master key. None if this release keeps them elsewhere.
pub async fn encrypted_rows(connection: &Connection) -> Result<Option<i64>, QueryError> {
    let failed = QueryError::of("count encrypted values");
    let mut sum = None;
    for (table, column) in [
        ("company_secret_versions", "material"),
        ("company_secret_proposals", "value_ciphertext"),
    ] {
        let there = connection
            .client()
            .query_opt(
                "SELECT 1 FROM pg_attribute WHERE attrelid = to_regclass('public.' || $1) AND attname = $2 AND atttypid = 'jsonb'::regtype",
                &[&table, &column],
            )
            .await
            .map_err(&failed)?;
        if there.is_some() {
            let text = format!(
                "SELECT count(*) FROM public.{table} WHERE {column}->>'scheme' LIKE 'local_encrypted%'"
            );
            let count: i64 = connection
                .client()
                .query_one(&text, &[])
                .await
                .map_err(&failed)?
                .get(0);
            sum = Some(sum.unwrap_or(0) + count);
        }
    }
    Ok(sum)
}

/// Bytes in the spelling of checksums.
pub fn hexadecimal(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_counts_as_applied_by_its_hash_or_its_name() {
        let folder =
            std::env::temp_dir().join(format!("paperclip-agent-journal-{}", std::process::id()));
        let _ = fs::remove_dir_all(&folder);
        fs::create_dir(&folder).unwrap();
        for name in ["0002_c.sql", "0000_a.sql", "0001_b.sql", "README.md"] {
            fs::write(folder.join(name), name).unwrap();
        }
        let journal = Journal {
            rows: 2,
            hashes: HashSet::from([hexadecimal(&Sha256::digest("0000_a.sql"))]),
            names: HashSet::from(["0001_b.sql".to_owned()]),
        };
        assert_eq!(journal.pending(&folder).unwrap(), ["0002_c.sql"]);
        assert_eq!(
            Journal::default().pending(&folder).unwrap(),
            ["0000_a.sql", "0001_b.sql", "0002_c.sql"]
        );
        fs::remove_dir_all(&folder).unwrap();
    }

    #[test]
    fn a_folder_without_migrations_proves_nothing() {
        let folder = std::env::temp_dir().join(format!(
            "paperclip-agent-journal-empty-{}",
            std::process::id()
        ));
        let _ = fs::remove_dir_all(&folder);
        fs::create_dir(&folder).unwrap();
        assert_eq!(
            Journal::default().pending(&folder).unwrap_err().code(),
            "MigrationFilesUnreadable"
        );
        fs::remove_dir_all(&folder).unwrap();
    }
}
