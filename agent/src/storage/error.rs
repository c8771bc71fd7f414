//! What it means when object storage says no. Text of the service is shortened to its code and its own words.

use std::error::Error;

use crate::result::{Exit, Reason, one_line};

/// Why the storage did not do what was asked.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum StorageError {
    /// The configuration cannot be used.
    #[error("{0}")]
    InvalidStorage(String),
    /// No such bucket.
    #[error("{doing}: there is no bucket {bucket:?}")]
    BucketNotFound {
        /// What was tried.
        doing: &'static str,
        /// Name of the bucket.
        bucket: String,
    },
    /// The service knows us and refuses, or does not know us.
    #[error("{doing} in bucket {bucket:?}: {words}")]
    AccessDenied {
        /// What was tried.
        doing: &'static str,
        /// Name of the bucket.
        bucket: String,
        /// The service's words.
        words: String,
    },
    /// The clocks differ too much for signatures.
    #[error("{0}")]
    ClockSkew(String),
    /// No encrypted connection could be made.
    #[error("TLS: {0}")]
    TlsFailed(String),
    /// No answer, or none of use.
    #[error("{doing}: {words}")]
    Unreachable {
        /// What was tried.
        doing: &'static str,
        /// Why not.
        words: String,
    },
    /// The object is not there.
    #[error("{0}: not there")]
    NotFound(String),
    /// Anything else.
    #[error("{doing}: {words}")]
    Failed {
        /// What was tried.
        doing: &'static str,
        /// The service's words.
        words: String,
    },
}

impl Reason for StorageError {
    fn code(&self) -> &'static str {
        match self {
            Self::InvalidStorage(_) => "InvalidStorage",
            Self::BucketNotFound { .. } => "BucketNotFound",
            Self::AccessDenied { .. } => "AccessDenied",
            Self::ClockSkew(_) => "ClockSkew",
            Self::TlsFailed(_) => "TLSFailed",
            Self::Unreachable { .. } => "DestinationUnreachable",
            Self::NotFound(_) => "ArtifactMissing",
            Self::Failed { .. } => "StorageFailed",
        }
    }

    fn exit(&self) -> Exit {
        match self {
            Self::InvalidStorage(_) => Exit::WrongInput,
            Self::BucketNotFound { .. }
            | Self::AccessDenied { .. }
            | Self::TlsFailed(_)
            | Self::NotFound(_) => Exit::Refused,
            Self::ClockSkew(_) | Self::Unreachable { .. } | Self::Failed { .. } => Exit::Temporary,
        }
    }
}

impl StorageError {
    /// Sorts the library's error. `doing` says what was tried.
    pub fn of(doing: &'static str, bucket: &str, error: &object_store::Error) -> Self {
        let all = chain(error);
        let code = element(&all, "Code").unwrap_or_default();
        let words = words(&all, code);
        let bucket = || bucket.to_owned();
        if is_tls(error) {
            return Self::TlsFailed(root(error));
        }
        match (code, error) {
            ("NoSuchBucket", _) => Self::BucketNotFound {
                doing,
                bucket: bucket(),
            },
            ("RequestTimeTooSkewed", _) => Self::ClockSkew(words),
            (
                "AccessDenied"
                | "InvalidAccessKeyId"
                | "SignatureDoesNotMatch"
                | "ExpiredToken"
                | "InvalidToken"
                | "AccountProblem"
                | "AllAccessDisabled",
                _,
            )
            | (
                _,
                object_store::Error::PermissionDenied { .. }
                | object_store::Error::Unauthenticated { .. },
            ) => Self::AccessDenied {
                doing,
                bucket: bucket(),
                words,
            },
            (_, object_store::Error::NotFound { path, .. }) => Self::NotFound(path.clone()),
            _ if code.is_empty() || is_of_server(&all) => Self::Unreachable { doing, words },
            _ => Self::Failed { doing, words },
        }
    }
}

/// The service said that it failed itself, or is overloaded.
fn is_of_server(text: &str) -> bool {
    text.contains("status code: 5") || text.contains("SlowDown") || text.contains("InternalError")
}

/// All texts of an error, the outermost first.
fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(source) = next {
        let more = source.to_string();
        if !text.contains(&more) {
            text.push_str(": ");
            text.push_str(&more);
        }
        next = source.source();
    }
    text
}

/// The innermost text.
fn root(error: &dyn Error) -> String {
    let mut inner = error;
    while let Some(source) = inner.source() {
        inner = source;
    }
    one_line(&inner.to_string())
}

fn is_tls(error: &(dyn Error + 'static)) -> bool {
    let mut next = Some(error);
    while let Some(error) = next {
        let of_io = error
            .downcast_ref::<std::io::Error>()
            .and_then(std::io::Error::get_ref);
        let of_tls = error.is::<rustls::Error>();
        if of_tls || of_io.is_some_and(<dyn Error + Send + Sync>::is::<rustls::Error>) {
            return true;
        }
        next = error.source();
    }
    false
}

fn element<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    let (_, rest) = text.split_once(&format!("<{name}>"))?;
    let (value, _) = rest.split_once(&format!("</{name}>"))?;
    Some(value)
}

fn words(all: &str, code: &str) -> String {
    match element(all, "Message") {
        _ if code.is_empty() => one_line(all),
        Some(message) => one_line(&format!("{code}: {message}")),
        None => one_line(code),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(text: &str) -> StorageError {
        StorageError::of(
            "list",
            "b",
            &object_store::Error::Generic {
                store: "S3",
                source: text.to_owned().into(),
            },
        )
    }

    #[test]
    fn the_services_code_decides() {
        let body = |code: &str| {
            format!("client error: <Error><Code>{code}</Code><Message>why</Message></Error>")
        };
        assert_eq!(of(&body("NoSuchBucket")).code(), "BucketNotFound");
        assert_eq!(of(&body("ExpiredToken")).code(), "AccessDenied");
        assert_eq!(of(&body("RequestTimeTooSkewed")).code(), "ClockSkew");
        assert_eq!(of(&body("SlowDown")).code(), "DestinationUnreachable");
        assert_eq!(of(&body("EntityTooLarge")).code(), "StorageFailed");
        assert_eq!(of("connection refused").code(), "DestinationUnreachable");
        assert_eq!(
            of(&body("AccessDenied")).to_string(),
            "list in bucket \"b\": AccessDenied: why"
        );
    }
}
