//! An object that is sent in parts while it comes into being, with bounded memory.
//!
//! It appears in the bucket only by [`Upload::complete`]; an upload that is given up leaves nothing.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use object_store::path::Path as Place;
use object_store::{MultipartUpload, ObjectStoreExt, PutPayload};
use sha2::{Digest, Sha256};
use tokio::sync::Mutex;
use tokio::task::JoinSet;
use tokio::time::timeout;

use super::error::StorageError;
use super::{Content, Destination, TIDY_WITHIN};
use crate::migrate::journal::hexadecimal;

/// Parts that are under way hold so much memory together, beside the one that is being filled.
const UNDER_WAY_BYTES: usize = 16 << 20;

/// How long parts under way may take to arrive before the upload is given up. One that arrives later would stay.
const DRAIN_WITHIN: Duration = Duration::from_secs(8);

/// What the service knows of an upload. It is shared with the destination, which gives it up if whoever writes is gone.
#[derive(Default)]
pub(super) struct Parts {
    place: Place,
    /// There once the first part is full: small objects are sent whole.
    multipart: Option<Box<dyn MultipartUpload>>,
    under_way: JoinSet<object_store::Result<()>>,
}

/// An object on its way.
pub struct Upload<'a> {
    destination: &'a Destination,
    place: Place,
    part_bytes: usize,
    part: Vec<u8>,
    parts: Arc<Mutex<Parts>>,
    sha: Sha256,
    bytes: u64,
}

impl<'a> Upload<'a> {
    pub(super) fn new(destination: &'a Destination, place: Place, part_bytes: usize) -> Self {
        let parts = Arc::new(Mutex::new(Parts {
            place: place.clone(),
            ..Parts::default()
        }));
        destination.remember(&parts);
        Self {
            destination,
            place,
            part_bytes,
            part: Vec::new(),
            parts,
            sha: Sha256::new(),
            bytes: 0,
        }
    }

    /// Takes more bytes; waits while too many parts are under way.
    pub async fn write(&mut self, mut bytes: &[u8]) -> Result<(), StorageError> {
        self.sha.update(bytes);
        self.bytes += bytes.len() as u64;
        while !bytes.is_empty() {
            if self.part.capacity() == 0 {
                self.part.reserve_exact(self.part_bytes);
            }
            let room = self.part_bytes - self.part.len();
            let (now, later) = bytes.split_at(room.min(bytes.len()));
            self.part.extend_from_slice(now);
            bytes = later;
            if self.part.len() == self.part_bytes {
                self.send_part().await?;
            }
        }
        Ok(())
    }

    async fn send_part(&mut self) -> Result<(), StorageError> {
        let part = PutPayload::from(Bytes::from(std::mem::take(&mut self.part)));
        let mut parts = self.parts.lock().await;
        let multipart = match &mut parts.multipart {
            Some(multipart) => multipart,
            none => {
                let begun = self.destination.store.put_multipart(&self.place).await;
                none.insert(begun.map_err(|error| self.destination.error("upload", &error))?)
            }
        };
        let sending = multipart.put_part(part);
        parts.under_way.spawn(sending);
        let most = (UNDER_WAY_BYTES / self.part_bytes).max(1);
        while parts.under_way.len() > most {
            self.wait_for_one(&mut parts).await?;
        }
        Ok(())
    }

    async fn wait_for_one(&self, parts: &mut Parts) -> Result<(), StorageError> {
        match parts.under_way.join_next().await {
            None | Some(Ok(Ok(()))) => Ok(()),
            Some(Ok(Err(error))) => Err(self.destination.error("upload", &error)),
            Some(Err(error)) => Err(StorageError::Failed {
                doing: "upload",
                words: error.to_string(),
            }),
        }
    }

    /// Makes the object appear. Says what was sent, which is no proof of what is there.
    pub async fn complete(&mut self) -> Result<Content, StorageError> {
        let several = self.parts.lock().await.multipart.is_some();
        if several && !self.part.is_empty() {
            self.send_part().await?;
        }
        let mut parts = self.parts.lock().await;
        while !parts.under_way.is_empty() {
            self.wait_for_one(&mut parts).await?;
        }
        let done = if let Some(multipart) = &mut parts.multipart {
            multipart.complete().await
        } else {
            let whole = PutPayload::from(Bytes::from(std::mem::take(&mut self.part)));
            self.destination.store.put(&self.place, whole).await
        };
        done.map_err(|error| self.destination.error("upload", &error))?;
        parts.multipart = None;
        Ok(Content {
            bytes: self.bytes,
            sha256: hexadecimal(&self.sha.clone().finalize()),
        })
    }
}

impl Parts {
    /// Gives the upload up; parts that were sent are removed.
    pub(super) async fn abort(&mut self, destination: &Destination) {
        let drain = async { while self.under_way.join_next().await.is_some() {} };
        if timeout(DRAIN_WITHIN, drain).await.is_err() {
            self.under_way.shutdown().await;
        }
        let Some(mut multipart) = self.multipart.take() else {
            return;
        };
        match timeout(TIDY_WITHIN, multipart.abort()).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => {
                let error = destination.error("abort", &error);
                tracing::warn!(object = %self.place, reason = %error, "parts of an unfinished upload are left");
            }
            Err(_) => {
                tracing::warn!(object = %self.place, "parts of an unfinished upload are left: no answer");
            }
        }
    }
}
