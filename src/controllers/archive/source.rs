//! The database that a Job of the agent works on: where its URL is, and an image with the programs of its version. Pure.

use crate::crd::database::DatabaseEngine;
use crate::crd::{PaperclipDatabase, SecretKeyRef, text, word};
use k8s_openapi::api::core::v1::{LocalObjectReference, Toleration};
use std::collections::BTreeMap;

/// Major version whose client is used for a database that has not told its own.
const VERSION: i32 = 17;

/// The database.
#[derive(Debug)]
pub struct Source {
    /// Where its URL is.
    pub url: SecretKeyRef,
    /// Image with the programs of its version.
    pub image: String,
    /// Secrets for the registry.
    pub pull_secrets: Vec<LocalObjectReference>,
    /// Labels that nodes must have.
    pub node_selector: BTreeMap<String, String>,
    /// Taints that the pod bears.
    pub tolerations: Vec<Toleration>,
    /// Priority class.
    pub priority_class: Option<String>,
    /// Which engine runs it.
    pub engine: DatabaseEngine,
}

/// Out of the PaperclipDatabase called `name`; else what is waited for.
///
/// # Errors
/// In words for people.
pub fn of(database: Option<&PaperclipDatabase>, name: &str) -> Result<Source, String> {
    let Some(database) = database else {
        return Err(format!("waiting for PaperclipDatabase \"{name}\""));
    };
    let status = database.status.clone().unwrap_or_default();
    let Some(url) = status.connection_secret_ref else {
        return Err(format!(
            "PaperclipDatabase \"{name}\" has not told where its connection URL is"
        ));
    };
    let spec = &database.spec;
    let version = spec.version.or(status.version).unwrap_or(VERSION);
    Ok(Source {
        url,
        image: text(spec.image.as_ref())
            .map_or_else(|| format!("postgres:{version}-alpine"), ToOwned::to_owned),
        pull_secrets: spec
            .image_pull_secrets
            .iter()
            .map(|s| LocalObjectReference {
                name: s.name.clone(),
            })
            .collect(),
        node_selector: spec.node_selector.clone(),
        tolerations: spec.tolerations.clone(),
        priority_class: text(spec.priority_class_name.as_ref()).map(ToOwned::to_owned),
        engine: engine(database),
    })
}

fn engine(database: &PaperclipDatabase) -> DatabaseEngine {
    word(database.spec.engine.as_ref())
        .ok()
        .flatten()
        .unwrap_or(DatabaseEngine::Managed)
}
