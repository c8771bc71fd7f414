//! What a restore is asked to be: environment and files only.

use std::path::{Path, PathBuf};

use age::x25519::Identity;

use crate::backup::MANIFEST;
use crate::environment::{Environment, EnvironmentError};
use crate::restore::RestoreError;
use crate::restore::manifest::{Manifest, Part, Subject};
use crate::restore::place::From;
use crate::result::Failure;
use crate::storage::{Content, Destination};
use crate::target::Target;

/// The input, read and checked.
pub struct Input {
    /// The database that is replaced.
    pub target: Target,
    /// The backup.
    pub source: Source,
    /// What opens it.
    pub keys: Keys,
    /// Whose data may be put there; `None`: anybody's.
    of: Option<Subject>,
    /// Where the server keeps its files, if they are to be brought back.
    pub files: Option<PathBuf>,
    /// What is asked for by name; none: whatever the backup holds.
    include: Vec<String>,
    /// The installation has no keys yet: those of the backup are handed over.
    pub hands_over_keys: bool,
    /// Fingerprint of the key that the installation reads its secrets with.
    master_key: Option<String>,
}

/// A backup in a bucket.
pub struct Source {
    /// Where it is.
    pub storage: Destination,
    /// Which one.
    pub from: From,
    /// SHA-256 of its manifest, if it is known.
    sha256: Option<String>,
}

impl Source {
    /// Reads the environment.
    pub fn read(environment: &Environment) -> Result<Self, Failure> {
        Ok(Self {
            storage: Destination::read(environment)?,
            from: From::read(environment.get("PAPERCLIP_AGENT_RESTORE_FROM")),
            sha256: environment
                .get("PAPERCLIP_AGENT_RESTORE_SHA256")
                .map(ToOwned::to_owned),
        })
    }

    /// Whether this manifest is the one that was written.
    pub fn is_expected(&self, manifest: &[u8]) -> Result<(), RestoreError> {
        let sum = Content::of(manifest).sha256;
        match &self.sha256 {
            Some(wanted) if *wanted != sum => Err(RestoreError::Corrupt(format!(
                "{MANIFEST} is another one than was written: its SHA-256 is {sum}"
            ))),
            _ => Ok(()),
        }
    }
}

/// Private keys that open backups.
pub struct Keys {
    file: Option<PathBuf>,
}

impl Keys {
    /// Reads the environment.
    pub fn read(environment: &Environment) -> Self {
        let file = environment.get("PAPERCLIP_AGENT_AGE_IDENTITY_FILE");
        Self {
            file: file.map(PathBuf::from),
        }
    }

    /// The keys that open a part; none if it is not encrypted.
    pub fn of(&self, part: &Part) -> Result<Vec<Identity>, RestoreError> {
        if !part.is_encrypted() {
            return Ok(vec![]);
        }
        match &self.file {
            Some(file) => read_identities(file),
            None => Err(RestoreError::KeyMissing(format!(
                "{} is encrypted, and no private key is given",
                part.name
            ))),
        }
    }
}

impl Input {
    /// Reads the environment.
    pub fn read(environment: &Environment) -> Result<Self, Failure> {
        let of = environment
            .get("PAPERCLIP_AGENT_RESTORE_OF")
            .map(|text| {
                serde_json::from_str(text).map_err(|_| EnvironmentError::InvalidValue {
                    name: "PAPERCLIP_AGENT_RESTORE_OF",
                    problem: "must be a JSON object with namespace and name".to_owned(),
                })
            })
            .transpose()?;
        Ok(Self {
            target: Target::read(environment, "paperclip-agent restore")?,
            source: Source::read(environment)?,
            keys: Keys::read(environment),
            of,
            files: environment
                .get("PAPERCLIP_AGENT_FILES_DIR")
                .map(PathBuf::from),
            include: environment
                .get("PAPERCLIP_AGENT_RESTORE_INCLUDE")
                .map(|text| text.split_whitespace().map(ToOwned::to_owned).collect())
                .unwrap_or_default(),
            hands_over_keys: environment.get("PAPERCLIP_AGENT_RESTORE_KEYS") == Some("true"),
            master_key: environment
                .get("PAPERCLIP_AGENT_MASTER_KEY_FINGERPRINT")
                .map(ToOwned::to_owned),
        })
    }

    /// Refuses a backup that has nothing but a database, if more is asked for by name.
    pub fn takes_database_alone(&self) -> Result<(), RestoreError> {
        match self.include.iter().find(|part| *part != "Database") {
            Some(part) => Err(RestoreError::NotFound(format!(
                "with {part}: a dump of the earlier operator holds the database alone"
            ))),
            None => Ok(()),
        }
    }

    /// Whether this backup may take the place of what is there.
    pub fn accepts(&self, manifest: &Manifest) -> Result<(), RestoreError> {
        let written = manifest.instance.as_ref();
        if let (Some(wanted), Some(found)) = (&self.of, written)
            && !found.is_same(wanted)
        {
            return Err(RestoreError::ForeignBackup(format!(
                "the backup is of Instance {found}, not of {wanted}"
            )));
        }
        for (word, part) in [
            ("Files", manifest.files_part()),
            ("Secrets", manifest.keys()),
        ] {
            if part.is_none() && self.include.iter().any(|wanted| wanted == word) {
                return Err(RestoreError::NotFound(format!(
                    "with {word}: that of {} holds none",
                    manifest.begun
                )));
            }
        }
        if manifest.database.encrypted_rows == Some(0) {
            return Ok(());
        }
        let Some(theirs) = &manifest.master_key else {
            return Ok(());
        };
        let without = match &self.master_key {
            Some(ours) if ours == theirs => return Ok(()),
            Some(ours) => format!("this Instance has {ours}"),
            None if !self.hands_over_keys || manifest.keys().is_some() => return Ok(()),
            None => "it is not in the backup".to_owned(),
        };
        Err(RestoreError::KeyMissing(format!(
            "the stored secrets in the backup were encrypted with the master key of fingerprint {theirs}, {without}"
        )))
    }
}

/// The file of `age-keygen`: one key in a line, comments.
fn read_identities(file: &Path) -> Result<Vec<Identity>, RestoreError> {
    let missing = |words: &str| RestoreError::KeyMissing(format!("the private key: {words}"));
    let text = std::fs::read_to_string(file).map_err(|error| missing(&error.to_string()))?;
    let keys: Vec<Identity> = text
        .lines()
        .map(str::trim)
        .filter(|line| !line.is_empty() && !line.starts_with('#'))
        // What it holds instead is not repeated: it may be a key of another kind.
        .map(|line| {
            line.parse()
                .map_err(|_| missing("it is none of age (AGE-SECRET-KEY-1…)"))
        })
        .collect::<Result<_, _>>()?;
    if keys.is_empty() {
        return Err(missing("the file holds none"));
    }
    Ok(keys)
}
