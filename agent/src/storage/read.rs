//! What is in a bucket: lists, small objects whole, large ones as a stream; and taking objects away.

use bytes::{Bytes, BytesMut};
use futures::stream::BoxStream;
use futures::{StreamExt, TryStreamExt};
use object_store::path::Path as Place;
use object_store::{ObjectStore, ObjectStoreExt};

use super::Destination;
use super::error::StorageError;

impl Destination {
    /// The folder that all others lie in.
    pub fn prefix(&self) -> &Place {
        &self.prefix
    }

    /// An object or folder as people write it.
    pub fn url_of(&self, place: &Place) -> String {
        format!("s3://{}/{place}", self.bucket)
    }

    /// Name of the bucket.
    pub fn bucket(&self) -> &str {
        &self.bucket
    }

    /// All objects below a folder whose last name is `name`.
    ///
    /// # Errors
    /// See [`StorageError`].
    pub async fn named(&self, below: &Place, name: &str) -> Result<Vec<Place>, StorageError> {
        let below = Some(below).filter(|place| !place.as_ref().is_empty());
        self.store
            .list(below)
            .map_ok(|object| object.location)
            .try_filter(|place| std::future::ready(place.filename() == Some(name)))
            .try_collect()
            .await
            .map_err(|error| self.error("list", &error))
    }

    /// All objects below a folder.
    ///
    /// # Errors
    /// See [`StorageError`].
    pub async fn below(&self, folder: &Place) -> Result<Vec<Place>, StorageError> {
        self.store
            .list(Some(folder))
            .map_ok(|object| object.location)
            .try_collect()
            .await
            .map_err(|error| self.error("list", &error))
    }

    /// Takes an object away; one that is gone already is no error.
    ///
    /// # Errors
    /// See [`StorageError`].
    pub async fn remove(&self, place: &Place) -> Result<(), StorageError> {
        match self.store.delete(place).await {
            Ok(()) | Err(object_store::Error::NotFound { .. }) => Ok(()),
            Err(error) => Err(self.error("delete", &error)),
        }
    }

    /// Whether there is such an object.
    ///
    /// # Errors
    /// See [`StorageError`].
    pub async fn has(&self, place: &Place) -> Result<bool, StorageError> {
        match self.store.head(place).await {
            Ok(_) => Ok(true),
            Err(object_store::Error::NotFound { .. }) => Ok(false),
            Err(error) => Err(self.error("read", &error)),
        }
    }

    /// A small object, whole; one of more than `limit` bytes is refused.
    ///
    /// # Errors
    /// See [`StorageError`].
    pub async fn small(&self, place: &Place, limit: usize) -> Result<Bytes, StorageError> {
        let mut stream = self.open(place).await?;
        let mut all = BytesMut::new();
        while let Some(chunk) = stream.next().await {
            all.extend_from_slice(&chunk?);
            if all.len() > limit {
                return Err(StorageError::Failed {
                    doing: "read",
                    words: format!("{place} is larger than {limit} bytes"),
                });
            }
        }
        Ok(all.freeze())
    }

    /// The bytes of an object, one after the other.
    ///
    /// # Errors
    /// See [`StorageError`].
    pub async fn open(
        &self,
        place: &Place,
    ) -> Result<BoxStream<'static, Result<Bytes, StorageError>>, StorageError> {
        let found = self
            .store
            .get(place)
            .await
            .map_err(|error| self.error("read", &error))?;
        let bucket = self.bucket.clone();
        let stream = found.into_stream();
        Ok(stream
            .map_err(move |error| StorageError::of("read", &bucket, &error))
            .boxed())
    }
}
