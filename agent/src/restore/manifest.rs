//! What a manifest says, as somebody reads it who did not write it.

use std::fmt;

use serde::Deserialize;

use crate::restore::RestoreError;
use crate::storage::Content;

/// See [`crate::backup`], which writes it.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Manifest {
    v: u32,
    /// When the backup began.
    pub begun: String,
    /// Whose data they are.
    pub instance: Option<Subject>,
    /// Release that wrote them.
    pub app_version: Option<String>,
    /// Fingerprint of the key that stored secrets are encrypted with.
    pub master_key: Option<String>,
    /// What the dump holds.
    pub database: Database,
    /// The server's files, if they are in it.
    pub files: Option<Files>,
    /// Its objects.
    pub parts: Vec<Part>,
}

/// What was packed.
#[derive(Debug, Deserialize)]
pub struct Files {
    /// Files, folders and links not counted.
    pub count: u64,
}

/// An Instance.
#[derive(Debug, Deserialize)]
pub struct Subject {
    #[serde(default)]
    namespace: String,
    name: String,
}

impl Subject {
    /// By name: a new object of the same name is the same installation.
    pub fn is_same(&self, other: &Self) -> bool {
        self.namespace == other.namespace && self.name == other.name
    }
}

impl fmt::Display for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.namespace, self.name)
    }
}

/// What was seen of the database in the moment of the dump.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Database {
    server_version: Option<String>,
    /// The application's journal.
    pub migrations: Option<Migrations>,
    /// Rows of each table.
    pub tables: Vec<Table>,
    /// Rows that can only be read with the application's master key.
    pub encrypted_rows: Option<i64>,
}

impl Database {
    /// Major version of the server.
    pub fn major(&self) -> Option<u32> {
        self.server_version
            .as_ref()?
            .split('.')
            .next()?
            .parse()
            .ok()
    }
}

/// The journal.
#[derive(Debug, Deserialize)]
pub struct Migrations {
    /// How many.
    pub rows: u64,
    /// SHA-256 over their names and hashes.
    pub sha256: String,
}

/// One table.
#[derive(Debug, Deserialize)]
pub struct Table {
    /// Schema and name.
    pub table: String,
    /// How many.
    pub rows: i64,
}

/// One object.
#[derive(Debug, Deserialize)]
pub struct Part {
    /// Its name in the folder.
    pub name: String,
    /// Its size.
    pub bytes: u64,
    sha256: String,
    encryption: Option<String>,
}

impl Part {
    /// Somebody's key is needed.
    pub fn is_encrypted(&self) -> bool {
        self.encryption.is_some()
    }

    /// What must be in the bucket.
    pub fn content(&self) -> Content {
        Content {
            bytes: self.bytes,
            sha256: self.sha256.clone(),
        }
    }
}

impl Manifest {
    /// Reads it.
    pub fn parse(text: &[u8]) -> Result<Self, RestoreError> {
        let wrong = |words: String| RestoreError::Corrupt(format!("manifest.json: {words}"));
        let manifest: Self =
            serde_json::from_slice(text).map_err(|error| wrong(error.to_string()))?;
        if manifest.v != 1 {
            return Err(wrong(format!(
                "it is of form {}, which a newer version of the operator wrote",
                manifest.v
            )));
        }
        Ok(manifest)
    }

    /// The server's files.
    pub fn files_part(&self) -> Option<&Part> {
        self.part(&["files.tar.zst", "files.tar.zst.age"])
    }

    /// The installation's keys.
    pub fn keys(&self) -> Option<&Part> {
        self.part(&["secrets.age"])
    }

    fn part(&self, names: &[&str]) -> Option<&Part> {
        self.parts.iter().find(|part| names.contains(&&*part.name))
    }

    /// The dump of the database.
    pub fn dump(&self) -> Result<&Part, RestoreError> {
        let dump = self.part(&["database.dump", "database.dump.age"]);
        dump.ok_or_else(|| RestoreError::Corrupt("manifest.json names no dump".into()))
    }
}
