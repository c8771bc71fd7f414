//! A folder in a bucket: where backups go and come from. Pure.

use crate::crd::instance::{BackupS3, Instance, ObjectStorage, ObjectStorageProvider};
use crate::crd::shared::S3Storage;
use crate::crd::{LocalRef, SecretKeyRef, text};
use crate::shared::conditions::quote;

/// A folder in a bucket, and how to get in.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Destination {
    /// Name of the bucket.
    pub bucket: String,
    /// Folder, without slashes around it.
    pub prefix: String,
    /// Region.
    pub region: Option<String>,
    /// Address, if it is not AWS.
    pub endpoint: Option<String>,
    /// Bucket name in the path instead of the host name.
    pub path_style: bool,
    /// Authority of the service.
    pub ca: Option<SecretKeyRef>,
    /// Secret with the keys; absent: the Job's own identity.
    pub credentials: Option<String>,
    /// Account that the Job runs as.
    pub account: Option<String>,
}

impl Destination {
    /// Names of the Secrets that it takes.
    pub fn secrets(&self) -> Vec<String> {
        let mut names: Vec<String> = self.credentials.iter().cloned().collect();
        names.extend(self.ca.iter().map(|ca| ca.name.clone()));
        names.sort();
        names.dedup();
        names
    }

    /// As `storage.s3` says it.
    pub fn storage(&self) -> S3Storage {
        S3Storage {
            bucket: self.bucket.clone(),
            prefix: Some(self.prefix.clone()),
            region: self.region.clone(),
            endpoint: self.endpoint.clone(),
            force_path_style: Some(self.path_style),
            ca_secret_ref: self.ca.clone(),
            credentials_secret_ref: self.credentials.clone().map(|name| LocalRef { name }),
            service_account_name: self.account.clone(),
        }
    }
}

/// Where the backups of an Instance go, and the path that says so. `None`: nobody says.
pub fn of_instance(name: &str, instance: &Instance) -> Option<(&'static str, Destination)> {
    let spec = &instance.spec;
    let objects = spec.object_storage.as_deref();
    let own = spec.backup.as_ref().and_then(|b| b.s3.as_ref());
    if let Some(s3) = own {
        return Some(("backup.s3 of the Instance", of_backup(s3, name, objects)));
    }
    Some(("objectStorage of the Instance", of_objects(name, objects?)))
}

/// As `spec.backup.s3` and `spec.restore.s3` say it; keys of object storage serve for both.
pub fn of_backup(s3: &BackupS3, name: &str, objects: Option<&ObjectStorage>) -> Destination {
    let endpoint = owned(s3.endpoint.as_ref());
    let shared = objects.and_then(|o| o.credentials_secret_ref.as_ref());
    let keys = s3.credentials_secret_ref.as_ref().or(shared);
    Destination {
        bucket: s3.bucket.clone(),
        prefix: folder(s3.path.as_ref(), name),
        region: owned(s3.region.as_ref()),
        path_style: s3.force_path_style.unwrap_or(endpoint.is_some()),
        endpoint,
        ca: s3.ca_secret_ref.clone(),
        credentials: keys.map(|r| r.name.clone()),
        account: None,
    }
}

/// Whether it can be used. An error says what is wrong, with its path.
///
/// # Errors
/// In words for people.
pub fn check(path: &str, destination: Destination) -> Result<Destination, String> {
    if destination.prefix.split('/').any(|part| part == "..") {
        return Err(format!("{path}: the folder must not hold \"..\""));
    }
    if let Some(endpoint) = &destination.endpoint {
        let fine = url::Url::parse(endpoint).is_ok_and(|url| {
            matches!(url.scheme(), "http" | "https")
                && url.has_host()
                && url.username().is_empty()
                && url.password().is_none()
        });
        if !fine {
            return Err(format!(
                "{path}.endpoint: \"{}\" is not https://host[:port]",
                quote(endpoint)
            ));
        }
    }
    Ok(destination)
}

/// As `storage.s3` says it.
pub fn of_storage(s3: &S3Storage, name: &str) -> Destination {
    let endpoint = owned(s3.endpoint.as_ref());
    Destination {
        bucket: s3.bucket.clone(),
        prefix: folder(s3.prefix.as_ref(), name),
        region: owned(s3.region.as_ref()),
        path_style: s3.force_path_style.unwrap_or(endpoint.is_some()),
        endpoint,
        ca: s3.ca_secret_ref.clone(),
        credentials: s3.credentials_secret_ref.as_ref().map(|r| r.name.clone()),
        account: owned(s3.service_account_name.as_ref()),
    }
}

fn of_objects(name: &str, objects: &ObjectStorage) -> Destination {
    let is = |provider| objects.provider.as_ref().is_some_and(|p| *p == provider);
    let region = owned(objects.region.as_ref())
        .or_else(|| is(ObjectStorageProvider::R2).then(|| "auto".to_owned()));
    Destination {
        bucket: objects.bucket.clone(),
        prefix: folder(None, name),
        region,
        endpoint: owned(objects.endpoint.as_ref()),
        // The server speaks to the bucket in this way, so the Jobs do too.
        path_style: objects
            .force_path_style
            .unwrap_or_else(|| is(ObjectStorageProvider::Minio)),
        ca: None,
        credentials: objects
            .credentials_secret_ref
            .as_ref()
            .map(|r| r.name.clone()),
        account: None,
    }
}

fn owned(field: Option<&String>) -> Option<String> {
    text(field).map(ToOwned::to_owned)
}

fn folder(field: Option<&String>, name: &str) -> String {
    text(field).map_or_else(
        || format!("backups/{name}"),
        |path| path.trim_matches('/').to_owned(),
    )
}
