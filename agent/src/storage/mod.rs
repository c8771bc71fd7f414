//! A folder in a bucket that speaks the S3 protocol.
//!
//! Never makes a bucket, and never takes a write for good that was not read back.

mod configure;
pub mod error;
mod http;
mod read;
mod upload;

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use futures::{StreamExt, TryStreamExt};
use object_store::path::Path as Place;
use object_store::{ObjectStore, ObjectStoreExt, PutPayload};
use sha2::{Digest, Sha256};

use crate::environment::Environment;
use crate::migrate::journal::hexadecimal;
use error::StorageError;
use upload::Parts;
pub use upload::Upload;

/// How long cleaning up after a failure may take.
const TIDY_WITHIN: Duration = Duration::from_secs(30);

/// A folder in a bucket.
pub struct Destination {
    store: Box<dyn ObjectStore>,
    bucket: String,
    prefix: Place,
    /// Uploads that were begun, the last one mostly.
    uploads: Uploads,
}

/// See [`Destination`].
type Uploads = Mutex<Vec<Arc<tokio::sync::Mutex<Parts>>>>;

/// What an object holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Content {
    /// How many bytes.
    pub bytes: u64,
    /// SHA-256 of them.
    pub sha256: String,
}

impl Content {
    /// Of bytes in memory.
    pub fn of(bytes: &[u8]) -> Self {
        Self {
            bytes: bytes.len() as u64,
            sha256: hexadecimal(&Sha256::digest(bytes)),
        }
    }
}

impl Destination {
    /// As the environment says.
    pub fn read(environment: &Environment) -> Result<Self, StorageError> {
        configure::destination(environment)
    }

    /// The folder as people write it.
    pub fn url(&self, folder: &str) -> String {
        format!("s3://{}/{}/", self.bucket, self.at(folder, None))
    }

    /// Whether nothing is in the folder. The first question to the storage: it tells whether bucket and keys are good.
    pub async fn is_free(&self, folder: &str) -> Result<bool, StorageError> {
        let place = self.at(folder, None);
        match self.store.list(Some(&place)).next().await {
            None => Ok(true),
            Some(Ok(_)) => Ok(false),
            Some(Err(error)) => Err(self.error("list", &error)),
        }
    }

    /// Begins an object that is sent in parts of `part_bytes`.
    pub fn upload(&self, folder: &str, name: &str, part_bytes: usize) -> Upload<'_> {
        Upload::new(self, self.at(folder, Some(name)), part_bytes)
    }

    /// Writes a small object.
    pub async fn put(&self, folder: &str, name: &str, bytes: Bytes) -> Result<(), StorageError> {
        let place = self.at(folder, Some(name));
        self.store
            .put(&place, PutPayload::from(bytes))
            .await
            .map(|_| ())
            .map_err(|error| self.error("write", &error))
    }

    /// Reads an object from its first byte to its last.
    pub async fn content(&self, folder: &str, name: &str) -> Result<Content, StorageError> {
        let place = self.at(folder, Some(name));
        let found = self
            .store
            .get(&place)
            .await
            .map_err(|error| self.error("read", &error))?;
        let mut stream = found.into_stream();
        let (mut sha, mut bytes) = (Sha256::new(), 0_u64);
        while let Some(chunk) = stream
            .try_next()
            .await
            .map_err(|error| self.error("read", &error))?
        {
            sha.update(&chunk);
            bytes += chunk.len() as u64;
        }
        Ok(Content {
            bytes,
            sha256: hexadecimal(&sha.finalize()),
        })
    }

    /// Gives up what is on its way, also if whoever wrote it is gone.
    pub async fn abort(&self) {
        let uploads = std::mem::take(&mut *self.uploads());
        for parts in uploads {
            parts.lock().await.abort(self).await;
        }
    }

    fn remember(&self, parts: &Arc<tokio::sync::Mutex<Parts>>) {
        self.uploads().push(parts.clone());
    }

    fn uploads(&self) -> std::sync::MutexGuard<'_, Vec<Arc<tokio::sync::Mutex<Parts>>>> {
        self.uploads.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes objects away after a failure, in this order. What cannot be taken away is said in the log; there is nothing
    /// else to be done.
    pub async fn tidy(&self, folder: &str, names: &[&str]) {
        self.abort().await;
        let remove = async {
            for name in names {
                let place = self.at(folder, Some(name));
                match self.store.delete(&place).await {
                    Ok(()) | Err(object_store::Error::NotFound { .. }) => {}
                    Err(error) => {
                        let error = self.error("delete", &error);
                        tracing::warn!(object = %place, reason = %error, "an unfinished backup could not be removed");
                    }
                }
            }
        };
        if tokio::time::timeout(TIDY_WITHIN, remove).await.is_err() {
            tracing::warn!(
                folder,
                "an unfinished backup could not be removed: no answer"
            );
        }
    }

    fn at(&self, folder: &str, name: Option<&str>) -> Place {
        let place = self.prefix.clone().join(folder);
        match name {
            Some(name) => place.join(name),
            None => place,
        }
    }

    fn error(&self, doing: &'static str, error: &object_store::Error) -> StorageError {
        StorageError::of(doing, &self.bucket, error)
    }
}
