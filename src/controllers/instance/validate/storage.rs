//! `spec.storage` and `spec.objectStorage`: the data volume, and the bucket for uploads. Pure.

use super::findings::Findings;
use super::forms;
use super::names::Identity;
use super::references::bucket_keys;
use crate::controllers::instance::found::Learned;
use crate::crd::instance::{AccessMode, DatabaseMode, InstanceSpec, ObjectStorageProvider};
use crate::crd::{Words, text};
use crate::shared::quantity::Amount;

/// Size of the data volume if nobody says.
const SIZE: &str = "5Gi";

/// Where the server keeps files.
#[derive(Clone, Debug, PartialEq)]
pub enum Volume<'a> {
    /// In the pod.
    Pod,
    /// In a claim of the user.
    Existing(&'a str),
    /// In a claim of ours.
    Claim(Claim<'a>),
}

/// The claim that we make.
#[derive(Clone, Debug, PartialEq)]
pub struct Claim<'a> {
    /// Its name.
    pub name: String,
    /// Size, spelled as the API server stores it.
    pub size: Amount,
    /// Class; `None`: the cluster's default.
    pub class: Option<&'a str>,
    /// Access modes.
    pub modes: Vec<&'static str>,
}

/// The bucket for uploads.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Bucket<'a> {
    /// Its name.
    pub name: &'a str,
    /// Region.
    pub region: Option<&'a str>,
    /// Address of the service.
    pub endpoint: Option<&'a str>,
    /// Folder.
    pub prefix: Option<&'a str>,
    /// Bucket name in the path.
    pub path_style: bool,
    /// Keys; `None`: the pod's own identity.
    pub credentials: Option<Credentials<'a>>,
}

/// Keys for a bucket.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Credentials<'a> {
    /// Name of the Secret.
    pub secret: &'a str,
    /// Key of the access key's id.
    pub id: &'static str,
    /// Key of the secret access key.
    pub key: &'static str,
    /// There is a session token too.
    pub session: bool,
}

/// The server keeps nothing in its pod.
pub fn keeps_nothing(spec: &InstanceSpec) -> bool {
    let off = spec
        .storage
        .as_ref()
        .and_then(|s| s.persistence.as_ref()?.enabled)
        == Some(false);
    let embedded = spec
        .database
        .as_ref()
        .and_then(|d| d.mode.as_ref())
        .is_some_and(|m| *m == DatabaseMode::Embedded);
    off && !embedded
}

/// Reads `spec.storage`. `adopted`: the earlier operator wrote defaults into this object.
pub fn volume<'a>(
    spec: &'a InstanceSpec,
    id: &Identity<'_>,
    adopted: bool,
    out: &mut Findings,
) -> Volume<'a> {
    let section = spec
        .storage
        .as_deref()
        .and_then(|s| s.persistence.as_deref());
    let mut modes = vec![];
    for (i, mode) in section
        .into_iter()
        .flat_map(|s| &s.access_modes)
        .enumerate()
    {
        let path = format!("storage.persistence.accessModes[{i}]");
        if let Some(mode) = out.word(&path, Some(mode)) {
            modes.push(mode.as_str());
        }
    }
    if modes.is_empty() {
        modes.push(AccessMode::ReadWriteOnce.as_str());
    }
    let size = section
        .and_then(|s| s.size.as_ref())
        .filter(|s| !s.0.is_empty())
        .filter(|s| !(adopted && Amount::parse(&s.0) == Ok(Amount::of_bytes(0))))
        .map_or(SIZE, |s| &s.0);
    let amount = Amount::parse(size).unwrap_or_else(|_| Amount::of_bytes(0));
    if !amount.is_positive() {
        out.invalid(
            "storage.persistence.size",
            format!("\"{size}\" must be greater than 0"),
        );
    }
    if section.and_then(|s| s.enabled) == Some(false) {
        let embedded = spec
            .database
            .as_ref()
            .and_then(|d| d.mode.as_ref())
            .is_some_and(|m| *m == DatabaseMode::Embedded);
        let lost = if embedded {
            "off, all data is lost with the pod"
        } else {
            "off, files of agents are lost with the pod"
        };
        out.warn("storage.persistence", lost);
        return Volume::Pod;
    }
    if let Some(claim) = section.and_then(|s| text(s.existing_claim.as_ref())) {
        return Volume::Existing(claim);
    }
    Volume::Claim(Claim {
        name: id.names.data(),
        size: amount,
        class: section.and_then(|s| text(s.storage_class.as_ref())),
        modes,
    })
}

/// Reads `spec.objectStorage`.
pub fn bucket<'a>(
    spec: &'a InstanceSpec,
    learned: &Learned,
    out: &mut Findings,
) -> Option<Bucket<'a>> {
    let section = spec.object_storage.as_deref()?;
    let provider = out.word("objectStorage.provider", section.provider.as_ref());
    let endpoint = text(section.endpoint.as_ref());
    if !(3..=63).contains(&section.bucket.len()) {
        out.invalid("objectStorage.bucket", "must have 3 to 63 characters");
    }
    let wants_endpoint = matches!(
        provider,
        Some(ObjectStorageProvider::Minio | ObjectStorageProvider::R2)
    );
    if wants_endpoint && endpoint.is_none() {
        out.invalid(
            "objectStorage",
            "objectStorage.endpoint is required when objectStorage.provider is minio or r2",
        );
    }
    if let Some(Err(text)) = endpoint.map(forms::http_url) {
        out.invalid("objectStorage.endpoint", text);
    }
    let prefix = text(section.prefix.as_ref());
    if prefix.is_some_and(|p| p.split('/').any(|part| part == "..") || p.starts_with('/')) {
        out.invalid(
            "objectStorage.prefix",
            "must be relative and without \"..\"",
        );
    }
    let r2 = (provider == Some(ObjectStorageProvider::R2)).then_some("auto");
    let credentials = section
        .credentials_secret_ref
        .as_ref()
        .filter(|r| !r.name.is_empty())
        .map(|reference| {
            // If the Secret is not there yet, the server waits for it, and this is computed again.
            let names = learned.keys.get(&reference.name);
            let names = || names.into_iter().flatten().map(String::as_str);
            let (id, key) =
                bucket_keys(names()).unwrap_or(("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"));
            Credentials {
                secret: &reference.name,
                id,
                key,
                session: names().any(|n| n == "AWS_SESSION_TOKEN"),
            }
        });
    Some(Bucket {
        name: &section.bucket,
        region: text(section.region.as_ref()).or(r2),
        endpoint,
        prefix,
        path_style: section
            .force_path_style
            .unwrap_or(provider == Some(ObjectStorageProvider::Minio)),
        credentials,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spec(yaml: &str) -> InstanceSpec {
        serde_saphyr::from_str(yaml).unwrap()
    }

    fn read(yaml: &str, adopted: bool) -> (String, Vec<String>) {
        let (spec, mut out) = (spec(yaml), Findings::default());
        let id = Identity::new("clip", "prod", "uid-1", "cluster.local");
        let volume = match volume(&spec, &id, adopted, &mut out) {
            Volume::Pod => "pod".to_owned(),
            Volume::Existing(name) => name.to_owned(),
            Volume::Claim(c) => format!("{} {} {:?} {:?}", c.name, c.size, c.class, c.modes),
        };
        (volume, out.iter().map(|f| f.text.clone()).collect())
    }

    #[test]
    fn a_claim_of_five_gibibytes_is_the_default() {
        let default = r#"clip-data 5Gi None ["ReadWriteOnce"]"#;
        assert_eq!(read("{}", false), (default.to_owned(), vec![]));
        let zero = "storage: {persistence: {size: '0'}}";
        assert_eq!(read(zero, true), (default.to_owned(), vec![]));
        assert_eq!(read(zero, false).1, ["\"0\" must be greater than 0"]);
    }

    #[test]
    fn an_existing_claim_wins_and_off_means_the_pod() {
        assert_eq!(
            read("storage: {persistence: {existingClaim: mine}}", false).0,
            "mine"
        );
        let (volume, said) = read("storage: {persistence: {enabled: false}}", false);
        assert_eq!(
            (&*volume, &*said[0]),
            ("pod", "off, files of agents are lost with the pod")
        );
    }

    #[test]
    fn the_spelling_of_the_keys_follows_the_secret() {
        let spec = spec(
            "objectStorage: {provider: r2, bucket: bbb, endpoint: 'https://x', credentialsSecretRef: {name: c}}",
        );
        let with = |names: &[&str]| {
            let mut learned = Learned::default();
            let names = names.iter().map(|n| (*n).to_owned()).collect();
            learned.keys.insert("c".into(), names);
            bucket(&spec, &learned, &mut Findings::default()).unwrap()
        };
        let old = with(&["S3_ACCESS_KEY_ID", "S3_SECRET_ACCESS_KEY"]);
        assert_eq!(old.credentials.unwrap().id, "S3_ACCESS_KEY_ID");
        assert_eq!((old.region, old.path_style), (Some("auto"), false));
        let new = with(&[
            "AWS_ACCESS_KEY_ID",
            "AWS_SECRET_ACCESS_KEY",
            "AWS_SESSION_TOKEN",
            "S3_ACCESS_KEY_ID",
            "S3_SECRET_ACCESS_KEY",
        ]);
        assert_eq!(new.credentials.unwrap().key, "AWS_SECRET_ACCESS_KEY");
        assert!(new.credentials.unwrap().session);
    }

    #[test]
    fn a_bucket_service_of_your_own_needs_an_address() {
        let mut out = Findings::default();
        let spec = spec("objectStorage: {provider: minio, bucket: bbb}");
        let bucket = bucket(&spec, &Learned::default(), &mut out).unwrap();
        assert!(out.blocking() && bucket.path_style);
    }
}
