//! The keys of an installation: without them stored secrets cannot be read. They are kept as Secrets that `kubectl apply` takes, and only
//! encrypted. Must never be told in a log, an error or a result, but for whoever holds the private key.

use std::collections::BTreeMap;
use std::fs;
use std::io::Write;
use std::path::PathBuf;

use age::x25519::Identity;
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::environment::{Environment, EnvironmentError};
use crate::result::{Exit, Reason};

/// Tells what a Secret is for, whatever its name.
const ROLE: &str = "paperclip.inc/role";

/// Why there are no keys.
#[derive(Debug, thiserror::Error)]
pub enum KeysError {
    /// They are not where they should be.
    #[error("the keys of {role}: {words}")]
    Missing {
        /// Which.
        role: String,
        /// Why not.
        words: String,
    },
    /// What is there are no keys. Nothing of it is repeated.
    #[error("secrets.age holds no keys that this version can read")]
    Malformed,
    /// The library refused.
    #[error("encryption: {0}")]
    Library(String),
}

impl Reason for KeysError {
    fn code(&self) -> &'static str {
        match self {
            Self::Missing { .. } => "KeysMissing",
            Self::Malformed => "Corrupt",
            Self::Library(_) => "Internal",
        }
    }

    fn exit(&self) -> Exit {
        match self {
            Self::Missing { .. } => Exit::WrongInput,
            Self::Malformed => Exit::Refused,
            Self::Library(_) => Exit::Internal,
        }
    }
}

/// Where keys are mounted: a folder for each role, in it a file for each key.
pub struct Folder {
    root: PathBuf,
    wanted: Vec<Wanted>,
}

#[derive(Deserialize)]
struct Wanted {
    role: String,
    /// Name and labels of the Secret that it comes from.
    metadata: Value,
}

impl Folder {
    /// Reads the environment; `None`: nobody asks for keys.
    pub fn read(environment: &Environment) -> Result<Option<Self>, EnvironmentError> {
        let Some(text) = environment.get("PAPERCLIP_AGENT_KEYS") else {
            return Ok(None);
        };
        let wanted = serde_json::from_str(text).map_err(|_| EnvironmentError::InvalidValue {
            name: "PAPERCLIP_AGENT_KEYS",
            problem: "must be a JSON list of objects with role and metadata".to_owned(),
        })?;
        let root = environment.path("PAPERCLIP_AGENT_KEYS_DIR", "/etc/paperclip/keys");
        Ok(Some(Self { root, wanted }))
    }

    /// The keys.
    pub fn keyring(&self) -> Result<Keyring, KeysError> {
        let all = self.wanted.iter().map(|wanted| self.one(wanted));
        Ok(Keyring(all.collect::<Result<_, _>>()?))
    }

    fn one(&self, wanted: &Wanted) -> Result<Secret, KeysError> {
        let missing = |words: String| KeysError::Missing {
            role: wanted.role.clone(),
            words,
        };
        let folder = self.root.join(&wanted.role);
        let entries = fs::read_dir(folder).map_err(|error| missing(error.to_string()))?;
        let mut data = BTreeMap::new();
        for entry in entries.flatten() {
            let name = entry.file_name();
            // The kubelet's own links begin with two dots.
            let Some(name) = name.to_str().filter(|name| !name.starts_with("..")) else {
                continue;
            };
            let value = fs::read(entry.path()).map_err(|error| missing(error.to_string()))?;
            data.insert(name.to_owned(), BASE64_STANDARD.encode(value));
        }
        if data.is_empty() {
            return Err(missing("there are none".to_owned()));
        }
        Ok(Secret {
            role: wanted.role.clone(),
            metadata: wanted.metadata.clone(),
            data,
        })
    }
}

/// The keys, in memory.
pub struct Keyring(Vec<Secret>);

struct Secret {
    role: String,
    metadata: Value,
    /// In base64.
    data: BTreeMap<String, String>,
}

impl Keyring {
    /// As it is kept.
    pub fn render(&self) -> String {
        let items: Vec<Value> = self
            .0
            .iter()
            .map(|secret| {
                let mut metadata = secret.metadata.clone();
                metadata["annotations"][ROLE] = secret.role.as_str().into();
                json!({
                    "apiVersion": "v1", "kind": "Secret", "metadata": metadata, "type": "Opaque",
                    "data": secret.data,
                })
            })
            .collect();
        let list = json!({"apiVersion": "v1", "kind": "List", "items": items});
        format!("{list:#}\n")
    }

    /// Reads what [`Self::render`] wrote.
    pub fn parse(text: &[u8]) -> Result<Self, KeysError> {
        let list: Value = serde_json::from_slice(text).map_err(|_| KeysError::Malformed)?;
        let items = list["items"].as_array().ok_or(KeysError::Malformed)?;
        let secret = |item: &Value| {
            Some(Secret {
                role: item["metadata"]["annotations"][ROLE].as_str()?.to_owned(),
                metadata: Value::Null,
                data: serde_json::from_value(item["data"].clone()).ok()?,
            })
        };
        let all: Option<Vec<Secret>> = items.iter().map(secret).collect();
        all.filter(|all| !all.is_empty())
            .map(Self)
            .ok_or(KeysError::Malformed)
    }

    /// The keys by role, encrypted for whoever has this private key: so they may leave the pod in its result, of which others see nothing.
    pub fn hand_over(&self, to: &Identity) -> Result<String, KeysError> {
        let library = |error: String| KeysError::Library(error);
        let by_role: BTreeMap<&str, &BTreeMap<String, String>> = self
            .0
            .iter()
            .map(|secret| (secret.role.as_str(), &secret.data))
            .collect();
        let text = serde_json::to_vec(&by_role).map_err(|error| library(error.to_string()))?;
        let key = to.to_public();
        let encryptor =
            age::Encryptor::with_recipients(std::iter::once(&key as &dyn age::Recipient))
                .map_err(|error| library(error.to_string()))?;
        let mut sealed = Vec::new();
        let mut writer = encryptor
            .wrap_output(&mut sealed)
            .map_err(|error| library(error.to_string()))?;
        writer
            .write_all(&text)
            .and_then(|()| writer.finish().map(drop))
            .map_err(|error| library(error.to_string()))?;
        Ok(BASE64_STANDARD.encode(sealed))
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use super::*;

    #[test]
    fn keys_are_secrets_that_people_can_apply_and_are_handed_over_sealed() {
        let root = std::env::temp_dir().join(format!("keyring-{}", std::process::id()));
        fs::create_dir_all(root.join("master")).unwrap();
        fs::write(root.join("master/master-key"), "hunter2").unwrap();
        let folder = Folder {
            root: root.clone(),
            wanted: vec![Wanted {
                role: "master".into(),
                metadata: json!({"name": "shop-secrets-master-key"}),
            }],
        };
        let text = folder.keyring().unwrap().render();
        fs::remove_dir_all(root).unwrap();
        let list: Value = serde_json::from_str(&text).unwrap();
        assert_eq!(list["kind"], "List");
        assert_eq!(
            list["items"][0]["metadata"]["name"],
            "shop-secrets-master-key"
        );
        assert_eq!(list["items"][0]["data"]["master-key"], "aHVudGVyMg==");

        let identity = Identity::generate();
        let sealed = Keyring::parse(text.as_bytes())
            .unwrap()
            .hand_over(&identity)
            .unwrap();
        assert!(sealed.len() < 1000, "{}", sealed.len());
        let sealed = BASE64_STANDARD.decode(sealed).unwrap();
        let mut plain = String::new();
        age::Decryptor::new(&sealed[..])
            .unwrap()
            .decrypt(std::iter::once(&identity as &dyn age::Identity))
            .unwrap()
            .read_to_string(&mut plain)
            .unwrap();
        assert_eq!(plain, r#"{"master":{"master-key":"aHVudGVyMg=="}}"#);
    }

    #[test]
    fn what_is_no_keyring_is_not_repeated() {
        for text in [
            "hunter2",
            "{}",
            r#"{"items": []}"#,
            r#"{"items": [{"data": {}}]}"#,
        ] {
            let error = Keyring::parse(text.as_bytes()).err().unwrap();
            assert!(!error.to_string().contains("hunter2"));
        }
    }
}
