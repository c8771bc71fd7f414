//! Encryption with age while bytes go by.
//!
//! Only public keys are here: whoever takes a backup cannot read it.

use std::io::{self, Write};
use std::sync::{Arc, Mutex, PoisonError};

use age::stream::StreamWriter;
use age::x25519::Recipient;

use crate::result::{Exit, Reason};

/// Whom a backup is encrypted for.
pub struct Recipients(Vec<Recipient>);

/// Why nothing can be encrypted.
#[derive(Debug, thiserror::Error)]
pub enum SealError {
    /// The text is no public key. It is not repeated: somebody may have given a private one.
    #[error("recipient {0} is no public key of age (age1…)")]
    InvalidRecipient(usize),
    /// There is none.
    #[error("PAPERCLIP_AGENT_AGE_RECIPIENTS names no recipient")]
    NoRecipient,
    /// The library refused.
    #[error("encryption: {0}")]
    Library(String),
}

impl Reason for SealError {
    fn code(&self) -> &'static str {
        match self {
            Self::InvalidRecipient(_) | Self::NoRecipient => "InvalidRecipient",
            Self::Library(_) => "Internal",
        }
    }

    fn exit(&self) -> Exit {
        match self {
            Self::InvalidRecipient(_) | Self::NoRecipient => Exit::WrongInput,
            Self::Library(_) => Exit::Internal,
        }
    }
}

impl Recipients {
    /// Reads public keys, separated by blanks.
    pub fn parse(text: &str) -> Result<Self, SealError> {
        let keys = text
            .split_whitespace()
            .enumerate()
            .map(|(index, key)| {
                key.parse()
                    .map_err(|_| SealError::InvalidRecipient(index + 1))
            })
            .collect::<Result<Vec<Recipient>, _>>()?;
        if keys.is_empty() {
            return Err(SealError::NoRecipient);
        }
        Ok(Self(keys))
    }
}

/// Where the library leaves encrypted bytes.
#[derive(Clone, Default)]
struct Tray(Arc<Mutex<Vec<u8>>>);

impl Tray {
    fn take(&self) -> Vec<u8> {
        std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Write for Tray {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Encrypts what is pushed through it.
pub struct Seal {
    writer: StreamWriter<Tray>,
    tray: Tray,
}

impl Seal {
    /// For these recipients.
    pub fn new(recipients: &Recipients) -> Result<Self, SealError> {
        let library = |error: String| SealError::Library(error);
        let keys = recipients.0.iter().map(|key| key as &dyn age::Recipient);
        let encryptor =
            age::Encryptor::with_recipients(keys).map_err(|error| library(error.to_string()))?;
        let tray = Tray::default();
        let writer = encryptor
            .wrap_output(tray.clone())
            .map_err(|error| library(error.to_string()))?;
        Ok(Self { writer, tray })
    }

    /// Takes plain bytes, gives what is encrypted by now.
    pub fn push(&mut self, bytes: &[u8]) -> Result<Vec<u8>, SealError> {
        self.writer
            .write_all(bytes)
            .map_err(|error| SealError::Library(error.to_string()))?;
        Ok(self.tray.take())
    }

    /// The rest.
    pub fn finish(self) -> Result<Vec<u8>, SealError> {
        self.writer
            .finish()
            .map_err(|error| SealError::Library(error.to_string()))?;
        Ok(self.tray.take())
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use super::*;

    #[test]
    fn what_is_sealed_for_a_key_is_opened_with_its_private_half() {
        let identity = age::x25519::Identity::generate();
        let recipients = Recipients::parse(&identity.to_public().to_string()).unwrap();
        let mut seal = Seal::new(&recipients).unwrap();
        let plain = vec![7_u8; 300_000];
        let mut sealed = Vec::new();
        for chunk in plain.chunks(70_001) {
            sealed.extend(seal.push(chunk).unwrap());
        }
        sealed.extend(seal.finish().unwrap());
        let mut opened = Vec::new();
        age::Decryptor::new(&sealed[..])
            .unwrap()
            .decrypt(std::iter::once(&identity as &dyn age::Identity))
            .unwrap()
            .read_to_end(&mut opened)
            .unwrap();
        assert!(opened == plain);
    }

    #[test]
    fn a_key_that_is_none_is_refused_without_repeating_it() {
        let error = Recipients::parse("AGE-SECRET-KEY-1HUNTER2").err().unwrap();
        assert_eq!(error.code(), "InvalidRecipient");
        assert!(!error.to_string().contains("HUNTER2"));
        assert_eq!(
            Recipients::parse("  ").err().unwrap().code(),
            "InvalidRecipient"
        );
    }
}
