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
            hands_over_keys: environment.get("PAPERCLIP_AGENT_RESTORE_KEYS") == Some("true"),
            master_key: environment
                .get("PAPERCLIP_AGENT_MASTER_KEY_FINGERPRINT")
                .map(ToOwned::to_owned),
        })
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
        if manifest.database.encrypted_rows == Some(0) {
            return Ok(());
        }
        let theirs = match (&self.master_key, &manifest.master_key) {
            (_, None) => return Ok(()),
            (None, Some(_)) if self.hands_over_keys && manifest.keys().is_some() => return Ok(()),
            (None, Some(theirs)) if self.hands_over_keys => {
                return Err(RestoreError::KeyMissing(format!(
                    "the stored secrets in the backup were encrypted with the master key of fingerprint {theirs}, which is not in the backup: put your copy of it into a Secret and name it in secrets.masterKeySecretRef"
                )));
            }
            (None, Some(_)) => return Ok(()),
            (Some(ours), Some(theirs)) if ours == theirs => return Ok(()),
            (Some(_), Some(theirs)) => theirs,
        };
        let ours = self.master_key.as_deref().unwrap_or_default();
        Err(RestoreError::KeyMissing(format!(
            "the stored secrets in the backup were encrypted with the master key of fingerprint {theirs}, this Instance has {ours}"
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
