//! What a backup is asked to be: environment and files only.

use std::path::PathBuf;

use bytes::Bytes;
use serde_json::{Map, Value};

use crate::backup::seal::{Recipients, SealError};
use crate::environment::{Environment, EnvironmentError};
use crate::keyring::Folder;
use crate::result::Failure;
use crate::storage::Destination;
use crate::target::Target;

/// The input, read and checked.
pub struct Input {
    /// The database.
    pub target: Target,
    /// The bucket.
    pub destination: Destination,
    /// Whom the backup is encrypted for.
    pub recipients: Option<Recipients>,
    /// Where the server keeps its files, if they are to be kept.
    pub files: Option<PathBuf>,
    /// Where the installation's keys are, if they are to be kept.
    pub keys: Option<Folder>,
    /// The description of the installation, to be kept beside the dump.
    pub spec: Option<Bytes>,
    /// What the manifest says beside what was observed: whose data they are, and who asked.
    pub about: Map<String, Value>,
}

impl Input {
    /// Reads the environment.
    pub fn read(environment: &Environment) -> Result<Self, Failure> {
        let target = Target::read(environment, "paperclip-agent backup")?;
        let destination = Destination::read(environment)?;
        let recipients = environment
            .get("PAPERCLIP_AGENT_AGE_RECIPIENTS")
            .map(Recipients::parse)
            .transpose()
            .map_err(|error: SealError| Failure::from(error))?;
        let spec = environment
            .get("PAPERCLIP_AGENT_SPEC")
            .map(|text| Bytes::from(text.to_owned()));
        let about = match environment.get("PAPERCLIP_AGENT_ABOUT") {
            None => Map::new(),
            Some(text) => {
                serde_json::from_str(text).map_err(|_| EnvironmentError::InvalidValue {
                    name: "PAPERCLIP_AGENT_ABOUT",
                    problem: "must be a JSON object".to_owned(),
                })?
            }
        };
        let keys = Folder::read(environment)?;
        if keys.is_some() && recipients.is_none() {
            return Err(EnvironmentError::InvalidValue {
                name: "PAPERCLIP_AGENT_KEYS",
                problem: "keys are only kept encrypted: set PAPERCLIP_AGENT_AGE_RECIPIENTS"
                    .to_owned(),
            }
            .into());
        }
        Ok(Self {
            target,
            destination,
            recipients,
            files: environment
                .get("PAPERCLIP_AGENT_FILES_DIR")
                .map(PathBuf::from),
            keys,
            spec,
            about,
        })
    }

    /// It is encrypted.
    pub fn seals(&self) -> bool {
        self.recipients.is_some()
    }
}
