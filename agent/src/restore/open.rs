//! One object of a backup as a stream of plain bytes, weighed while it goes by.

use std::io;
use std::sync::{Arc, Mutex, PoisonError};

use age::x25519::Identity;
use futures::io::{AsyncRead, AsyncReadExt};
use futures::{StreamExt, TryStreamExt};
use object_store::path::Path as Place;
use sha2::{Digest, Sha256};

use crate::migrate::journal::hexadecimal;
use crate::restore::RestoreError;
use crate::result::{Failure, one_line};
use crate::storage::error::StorageError;
use crate::storage::{Content, Destination};

/// What is read, and what it must be.
pub struct Object<'a> {
    /// Where it is.
    pub storage: &'a Destination,
    /// Which one.
    pub place: Place,
    /// What it must be.
    pub wanted: Content,
    /// Keys that open it; none: it is not encrypted.
    pub identities: &'a [Identity],
}

/// The bytes.
pub struct Reader {
    plain: Box<dyn AsyncRead + Unpin + Send>,
    weighed: Arc<Mutex<Weighed>>,
    wanted: Content,
    place: Place,
}

#[derive(Default)]
struct Weighed {
    sha: Sha256,
    bytes: u64,
    /// Why the storage gave no more.
    failed: Option<StorageError>,
}

impl Object<'_> {
    /// All its plain bytes, proven; one of more than `limit` is refused.
    pub async fn whole(self, limit: usize) -> Result<Vec<u8>, Failure> {
        let place = self.place.clone();
        let mut reader = self.open().await?;
        let (mut all, mut chunk) = (vec![], vec![0; 16 << 10]);
        loop {
            let length = reader.read(&mut chunk).await?;
            all.extend_from_slice(chunk.get(..length).unwrap_or_default());
            if all.len() > limit {
                return Err(RestoreError::Corrupt(format!("{place} is too large")).into());
            }
            if length == 0 {
                reader.prove().await?;
                return Ok(all);
            }
        }
    }

    /// Begins to read.
    pub async fn open(self) -> Result<Reader, Failure> {
        let weighed = Arc::new(Mutex::new(Weighed::default()));
        let scale = weighed.clone();
        let missing = |error| match error {
            StorageError::NotFound(what) => Failure::from(RestoreError::Corrupt(format!(
                "{what} is not there any more"
            ))),
            error => error.into(),
        };
        let stream = self.storage.open(&self.place).await.map_err(missing)?;
        let stream = stream.map(move |chunk| {
            let mut scale = scale.lock().unwrap_or_else(PoisonError::into_inner);
            match chunk {
                Ok(bytes) => {
                    scale.sha.update(&bytes);
                    scale.bytes += bytes.len() as u64;
                    Ok(bytes)
                }
                Err(error) => {
                    let words = error.to_string();
                    scale.failed = Some(error);
                    Err(io::Error::other(words))
                }
            }
        });
        let mut reader = Reader {
            plain: Box::new(stream.into_async_read()),
            weighed,
            wanted: self.wanted,
            place: self.place,
        };
        if !self.identities.is_empty() {
            let sealed = std::mem::replace(&mut reader.plain, Box::new(futures::io::empty()));
            reader.plain = match unseal(sealed, self.identities).await {
                Ok(plain) => plain,
                Err(error) => return Err(reader.why(error)),
            };
        }
        Ok(reader)
    }
}

async fn unseal(
    sealed: Box<dyn AsyncRead + Unpin + Send>,
    identities: &[Identity],
) -> Result<Box<dyn AsyncRead + Unpin + Send>, RestoreError> {
    let keys = identities.iter().map(|key| key as &dyn age::Identity);
    let of = |error: age::DecryptError| match error {
        age::DecryptError::NoMatchingKeys => {
            RestoreError::KeyMissing("the backup is encrypted for another key".into())
        }
        error => RestoreError::Corrupt(format!("it cannot be decrypted: {error}")),
    };
    let decryptor = age::Decryptor::new_async(sealed).await.map_err(of)?;
    Ok(Box::new(decryptor.decrypt_async(keys).map_err(of)?))
}

impl Reader {
    /// More plain bytes; 0 at the end.
    pub async fn read(&mut self, chunk: &mut [u8]) -> Result<usize, Failure> {
        let read = self.plain.read(chunk).await;
        read.map_err(|error| {
            let text = format!("{}: {}", self.place, one_line(&error.to_string()));
            self.why(RestoreError::Corrupt(text))
        })
    }

    /// The storage's own error comes before what follows from it.
    fn why(&self, error: RestoreError) -> Failure {
        let failed = self
            .weighed
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .failed
            .take();
        failed.map_or_else(|| error.into(), Failure::from)
    }

    /// Reads what nobody wanted, and says whether all that was read is what the manifest says.
    pub async fn prove(&mut self) -> Result<(), Failure> {
        let mut chunk = vec![0; 64 << 10];
        while self.read(&mut chunk).await? > 0 {}
        let weighed = self.weighed.lock().unwrap_or_else(PoisonError::into_inner);
        let found = Content {
            bytes: weighed.bytes,
            sha256: hexadecimal(&weighed.sha.clone().finalize()),
        };
        if found == self.wanted {
            return Ok(());
        }
        Err(RestoreError::Corrupt(format!(
            "{}: written were {} bytes with SHA-256 {}, read {} bytes with SHA-256 {}",
            self.place, self.wanted.bytes, self.wanted.sha256, found.bytes, found.sha256
        ))
        .into())
    }
}
