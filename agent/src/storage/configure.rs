//! Where the bucket is and how to get in: environment and files only.

use std::path::Path;
use std::time::Duration;

use object_store::aws::AmazonS3Builder;
use object_store::path::Path as Place;
use object_store::{BackoffConfig, RetryConfig};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;

use super::Destination;
use super::error::StorageError;
use super::http::Connections;
use crate::environment::Environment;

/// Requests that fail for now are tried again for so long.
const RETRY_FOR: Duration = Duration::from_secs(90);
const RETRIES: usize = 8;

/// Both spellings of a key's name, the one that wins first.
const KEY_ID: [&str; 2] = ["AWS_ACCESS_KEY_ID", "S3_ACCESS_KEY_ID"];
const SECRET: [&str; 2] = ["AWS_SECRET_ACCESS_KEY", "S3_SECRET_ACCESS_KEY"];
const TOKEN: [&str; 2] = ["AWS_SESSION_TOKEN", "S3_SESSION_TOKEN"];

/// Reads the environment.
pub fn destination(environment: &Environment) -> Result<Destination, StorageError> {
    let invalid = |text: String| StorageError::InvalidStorage(text);
    let bucket = environment
        .get("PAPERCLIP_AGENT_S3_BUCKET")
        .ok_or_else(|| invalid("PAPERCLIP_AGENT_S3_BUCKET is not set".into()))?;
    let prefix = Place::parse(
        environment
            .get("PAPERCLIP_AGENT_S3_PREFIX")
            .unwrap_or_default()
            .trim_matches('/'),
    )
    .map_err(|error| invalid(format!("PAPERCLIP_AGENT_S3_PREFIX: {error}")))?;
    let authorities = environment
        .get("PAPERCLIP_AGENT_S3_CA_FILE")
        .map(|file| authorities(Path::new(file)))
        .transpose()?
        .unwrap_or_default();

    // The rest of the environment may name a role, or whatever else the provider's own tools understand.
    let mut builder = AmazonS3Builder::from_env()
        .with_bucket_name(bucket)
        .with_allow_http(true)
        .with_http_connector(Connections::new(authorities)?)
        .with_retry(RetryConfig {
            backoff: BackoffConfig {
                init_backoff: Duration::from_millis(200),
                max_backoff: Duration::from_secs(10),
                base: 2.0,
            },
            max_retries: RETRIES,
            retry_timeout: RETRY_FOR,
        });
    if let Some(region) = environment.get("PAPERCLIP_AGENT_S3_REGION") {
        builder = builder.with_region(region);
    }
    let endpoint = environment.get("PAPERCLIP_AGENT_S3_ENDPOINT");
    let path_style = environment
        .parse::<bool>("PAPERCLIP_AGENT_S3_FORCE_PATH_STYLE", "true or false")
        .map_err(|error| invalid(error.to_string()))?
        .unwrap_or(endpoint.is_some());
    builder = builder.with_virtual_hosted_style_request(!path_style);
    if let Some(endpoint) = endpoint {
        builder = builder.with_endpoint(address(endpoint, bucket, path_style)?);
    }
    if let Some(folder) = environment.get("PAPERCLIP_AGENT_S3_CREDENTIALS_DIR") {
        let folder = Path::new(folder);
        let (id, secret) = pair(folder)?;
        builder = builder
            .with_access_key_id(id)
            .with_secret_access_key(secret);
        if let Some(token) = first(folder, TOKEN) {
            builder = builder.with_token(token);
        }
    }
    let store = builder
        .build()
        .map_err(|error| invalid(error.to_string()))?;
    Ok(Destination {
        store: Box::new(store),
        bucket: bucket.to_owned(),
        prefix,
        uploads: super::Uploads::default(),
    })
}

/// With the bucket in the host's name unless it goes into the path.
fn address(endpoint: &str, bucket: &str, path_style: bool) -> Result<String, StorageError> {
    let endpoint = endpoint.trim_end_matches('/');
    let (scheme, host) = endpoint
        .split_once("://")
        .filter(|(scheme, host)| ["http", "https"].contains(scheme) && !host.is_empty())
        .ok_or_else(|| {
            StorageError::InvalidStorage(
                "PAPERCLIP_AGENT_S3_ENDPOINT must be https://host[:port] or http://host[:port]"
                    .into(),
            )
        })?;
    Ok(if path_style {
        endpoint.to_owned()
    } else {
        format!("{scheme}://{bucket}.{host}")
    })
}

fn authorities(file: &Path) -> Result<Vec<CertificateDer<'static>>, StorageError> {
    let found: Vec<_> = CertificateDer::pem_file_iter(file)
        .and_then(Iterator::collect)
        .map_err(|error| {
            StorageError::InvalidStorage(format!("PAPERCLIP_AGENT_S3_CA_FILE: {error}"))
        })?;
    if found.is_empty() {
        return Err(StorageError::InvalidStorage(
            "PAPERCLIP_AGENT_S3_CA_FILE holds no certificate".into(),
        ));
    }
    Ok(found)
}

/// Both halves in one spelling.
fn pair(folder: &Path) -> Result<(String, String), StorageError> {
    KEY_ID
        .into_iter()
        .zip(SECRET)
        .find_map(|(id, secret)| Some((file(folder, id)?, file(folder, secret)?)))
        .ok_or_else(|| {
            StorageError::InvalidStorage(
                "the credentials hold neither AWS_ACCESS_KEY_ID with AWS_SECRET_ACCESS_KEY nor \
                 S3_ACCESS_KEY_ID with S3_SECRET_ACCESS_KEY"
                    .into(),
            )
        })
}

fn first(folder: &Path, names: [&str; 2]) -> Option<String> {
    names.into_iter().find_map(|name| file(folder, name))
}

fn file(folder: &Path, name: &str) -> Option<String> {
    let text = std::fs::read_to_string(folder.join(name)).ok()?;
    // Keys that were written by an editor end with a newline, which no key holds.
    let text = text.trim();
    (!text.is_empty()).then(|| text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bucket_stands_in_the_host_or_in_the_path() {
        assert_eq!(
            address("https://s3.example:9000/", "b", true).unwrap(),
            "https://s3.example:9000"
        );
        assert_eq!(
            address("https://s3.example:9000", "b", false).unwrap(),
            "https://b.s3.example:9000"
        );
        assert!(address("s3.example", "b", true).is_err());
        assert!(address("ftp://s3.example", "b", true).is_err());
    }

    #[test]
    fn keys_are_read_in_either_spelling_but_never_mixed() {
        let folder =
            std::env::temp_dir().join(format!("paperclip-agent-keys-{}", std::process::id()));
        let _ = std::fs::remove_dir_all(&folder);
        std::fs::create_dir(&folder).unwrap();
        std::fs::write(folder.join("S3_ACCESS_KEY_ID"), "id\n").unwrap();
        assert!(pair(&folder).is_err());
        std::fs::write(folder.join("AWS_SECRET_ACCESS_KEY"), "other").unwrap();
        assert!(pair(&folder).is_err());
        std::fs::write(folder.join("S3_SECRET_ACCESS_KEY"), "secret").unwrap();
        assert_eq!(pair(&folder).unwrap(), ("id".into(), "secret".into()));
        std::fs::remove_dir_all(&folder).unwrap();
    }

    #[test]
    fn a_prefix_that_leaves_its_folder_is_refused() {
        let environment = Environment::from([
            ("PAPERCLIP_AGENT_S3_BUCKET", "b"),
            ("PAPERCLIP_AGENT_S3_PREFIX", "a/../b"),
        ]);
        assert!(matches!(
            destination(&environment),
            Err(StorageError::InvalidStorage(_))
        ));
    }
}
