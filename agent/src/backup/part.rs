//! One part of a backup on its way into the bucket: hashed, encrypted if asked for, in parts, with bounded memory.
//!
//! The object appears only by [`Part::finish`].

use sha2::{Digest, Sha256};

use crate::backup::input::Input;
use crate::backup::manifest::{self, Encryption};
use crate::backup::seal::{Seal, SealError};
use crate::migrate::journal::hexadecimal;
use crate::result::{Exit, Reason};
use crate::storage::error::StorageError;
use crate::storage::{Content, Upload};

/// Smallest part of an upload; every service takes parts of this size.
const PART_BYTES: usize = 8 << 20;
/// An upload has at most 10,000 parts of one size.
const PARTS: u64 = 9_000;

/// Why a part does not get into the bucket.
#[derive(Debug, thiserror::Error)]
pub enum PartError {
    /// The storage said no.
    #[error("{0}")]
    Storage(#[from] StorageError),
    /// Encryption failed.
    #[error("{0}")]
    Seal(#[from] SealError),
}

impl Reason for PartError {
    fn code(&self) -> &'static str {
        match self {
            Self::Storage(error) => error.code(),
            Self::Seal(error) => error.code(),
        }
    }

    fn exit(&self) -> Exit {
        match self {
            Self::Storage(error) => error.exit(),
            Self::Seal(error) => error.exit(),
        }
    }
}

/// See the module.
pub struct Part<'a> {
    name: String,
    upload: Upload<'a>,
    seal: Option<Seal>,
    plain: Sha256,
    plain_bytes: u64,
}

impl<'a> Part<'a> {
    /// Begins the part `name` (`.age` is added if it is encrypted), of which about so many bytes will come.
    pub fn start(
        input: &'a Input,
        folder: &str,
        name: &str,
        expected: u64,
    ) -> Result<Self, SealError> {
        let name = stored_name(input, name);
        Ok(Self {
            upload: input
                .destination
                .upload(folder, &name, part_bytes(expected)),
            name,
            seal: input.recipients.as_ref().map(Seal::new).transpose()?,
            plain: Sha256::new(),
            plain_bytes: 0,
        })
    }

    /// Bytes that were given to it.
    pub fn taken(&self) -> u64 {
        self.plain_bytes
    }

    /// Takes more bytes; waits while too much is under way.
    pub async fn write(&mut self, bytes: &[u8]) -> Result<(), PartError> {
        self.plain_bytes += bytes.len() as u64;
        match &mut self.seal {
            None => self.upload.write(bytes).await?,
            Some(seal) => {
                self.plain.update(bytes);
                let sealed = seal.push(bytes)?;
                self.upload.write(&sealed).await?;
            }
        }
        Ok(())
    }

    /// Makes the object appear. Says what was sent, which is no proof of what is there.
    pub async fn finish(mut self) -> Result<manifest::Part, PartError> {
        let sealed = self.seal.is_some();
        if let Some(seal) = self.seal.take() {
            self.upload.write(&seal.finish()?).await?;
        }
        let content = self.upload.complete().await?;
        Ok(manifest::Part {
            name: self.name,
            content,
            plain: sealed.then(|| Content {
                bytes: self.plain_bytes,
                sha256: hexadecimal(&self.plain.finalize()),
            }),
            encryption: sealed.then_some(Encryption::Age),
        })
    }
}

/// The name of a part in its folder.
fn stored_name(input: &Input, name: &str) -> String {
    if input.seals() {
        format!("{name}.age")
    } else {
        name.to_owned()
    }
}

/// Parts so large that there are few enough of them, whatever comes.
fn part_bytes(expected: u64) -> usize {
    let wanted = expected / PARTS;
    usize::try_from(wanted.next_multiple_of(1 << 20))
        .unwrap_or(usize::MAX)
        .max(PART_BYTES)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_are_few_enough_for_any_database() {
        assert_eq!(part_bytes(20 << 20), PART_BYTES);
        let large = 5_u64 << 40;
        let parts = large / part_bytes(large) as u64;
        assert!(parts < 10_000, "{parts}");
    }
}
