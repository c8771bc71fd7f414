//! The manifest: what a backup holds, from when and whose it is. It is written last and makes the folder a backup.

use bytes::Bytes;
use jiff::Timestamp;
use serde_json::{Value, json};

use crate::backup::bytes_of;
use crate::backup::dump::Client;
use crate::backup::files::Packed;
use crate::backup::input::Input;
use crate::backup::snapshot::{Rows, Snapshot};
use crate::storage::Content;

/// How a part is encrypted.
#[derive(Clone, Copy)]
pub enum Encryption {
    /// With age, for X25519 keys.
    Age,
}

/// One object of the backup.
pub struct Part {
    /// Its name in the folder.
    pub name: String,
    /// What was read back.
    pub content: Content,
    /// What it is when decrypted.
    pub plain: Option<Content>,
    /// How it is encrypted.
    pub encryption: Option<Encryption>,
}

/// What the manifest is made of.
pub struct Manifest<'a> {
    /// What was asked for.
    pub input: &'a Input,
    /// When the backup began, which names its folder.
    pub begun: Timestamp,
    /// When everything was read back.
    pub ended: Timestamp,
    /// The database.
    pub snapshot: &'a Snapshot,
    /// The programs.
    pub client: &'a Client,
    /// Rows of its tables.
    pub rows: &'a [Rows],
    /// The server's files, if they are in it.
    pub files: Option<Packed>,
    /// The objects.
    pub parts: &'a [Part],
}

impl Manifest<'_> {
    /// The text.
    pub fn render(&self) -> Bytes {
        let parts: Vec<Value> = self.parts.iter().map(part).collect();
        let mut all = json!({
            "v": 1,
            "kind": "PaperclipBackup",
            "begun": seconds(self.begun),
            "ended": seconds(self.ended),
            "database": {
                "bytes": self.snapshot.database_bytes,
                "serverVersion": self.snapshot.server_version,
                "migrations": self.snapshot.migrations,
                "tables": self.rows,
                "encryptedRows": self.snapshot.encrypted_rows,
            },
            "tools": {
                "agent": env!("CARGO_PKG_VERSION"),
                "pg_dump": self.client.version,
            },
            "parts": parts,
        });
        if let Some(files) = self.files {
            all["files"] = json!(files);
        }
        for (name, value) in &self.input.about {
            if all.get(name).is_none() {
                all[name.as_str()] = value.clone();
            }
        }
        bytes_of(format!("{all:#}\n"))
    }
}

fn part(part: &Part) -> Value {
    let mut value = json!({
        "name": part.name,
        "bytes": part.content.bytes,
        "sha256": part.content.sha256,
    });
    if let Some(Encryption::Age) = part.encryption {
        value["encryption"] = "age".into();
    }
    if let Some(plain) = &part.plain {
        value["plain"] = json!({"bytes": plain.bytes, "sha256": plain.sha256});
    }
    value
}

fn seconds(time: Timestamp) -> String {
    time.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}
