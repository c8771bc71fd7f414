//! The custom resources: their types, rules and documentation. No behaviour.
//!
//! **Naming.** Fields are the JSON names in snake case. A section's struct is named by its path below `spec`, in
//! Pascal case, list entries in the singular: `spec.image.autoUpdate` is [`instance::ImageAutoUpdate`],
//! `spec.database.managed` is [`instance::DatabaseManaged`], `spec.plugins[]` is [`instance::Plugin`]. What several
//! kinds share is in [`shared`], without a path in front.
//!
//! **Decoding never fails for what was legal once.** Optional fields are `Option`, `null` counts as absent
//! everywhere, a word out of a closed set is a [`Word`]. What a schema requires is a plain `String` or `Vec`, which
//! is empty if a stored object lacks it. Defaults are not here: they are what `validate` of each controller makes of
//! an absent field. The only values that the API server fills in are `availability` and `availability.replicas`.

#![allow(clippy::duplicated_attributes)] // each printer column says its type

pub mod backup;
pub mod cluster_defaults;
pub mod database;
pub mod image_watch;
pub mod instance;
pub mod manifest;
mod refs;
pub mod restore;
pub mod sandbox_pool;
mod schema;
pub mod shared;
mod word;

pub use backup::PaperclipBackup;
pub use cluster_defaults::PaperclipClusterDefaults;
pub use database::PaperclipDatabase;
pub use image_watch::PaperclipImageWatch;
pub use instance::Instance;
pub use refs::{LocalRef, PullSecret, SecretKeyRef, SecretText};
pub use restore::PaperclipRestore;
pub use sandbox_pool::PaperclipSandboxPool;
pub use word::{Word, Words, word};

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::CustomResourceExt;
use serde::{Deserialize, Deserializer};

/// API group of all kinds.
pub const GROUP: &str = "paperclip.inc";
/// The one version.
pub const VERSION: &str = "v1alpha1";

/// A list, a map or a text without content is not written at all.
fn empty<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

/// `null` in place of a list, a map or a text means that there is none.
fn or_empty<'de, D: Deserializer<'de>, T: Default + Deserialize<'de>>(
    deserializer: D,
) -> Result<T, D::Error> {
    Ok(Option::deserialize(deserializer)?.unwrap_or_default())
}

/// Reads an optional text: empty counts as absent.
pub fn text(field: Option<&String>) -> Option<&str> {
    field.map(String::as_str).filter(|text| !text.is_empty())
}

/// The name in a reference; an empty one counts as absent.
pub fn local(field: Option<&LocalRef>) -> Option<&str> {
    text(field.map(|reference| &reference.name))
}

/// The definitions of all kinds, as they are installed.
pub fn all() -> Vec<CustomResourceDefinition> {
    [
        Instance::crd(),
        PaperclipDatabase::crd(),
        PaperclipBackup::crd(),
        PaperclipRestore::crd(),
        PaperclipSandboxPool::crd(),
        PaperclipImageWatch::crd(),
        PaperclipClusterDefaults::crd(),
    ]
    .map(schema::finished)
    .into()
}
