//! Raw spec and what it refers to, to [`Validated`]. Pure. After this step nobody looks at the raw spec.

use super::dereference::{Found, decoded};
use super::phase;
use crate::controllers::archive::destination::{self, Destination};
use crate::controllers::archive::files::{self, Files};
use crate::controllers::archive::policy;
use crate::controllers::archive::source::{self, Source};
use crate::controllers::archive::verdict;
use crate::controllers::archive::work::Owner;
use crate::controllers::instance::validate::names::Identity;
use crate::crd::Words;
use crate::crd::backup::BackupPhase;
use crate::crd::database::DatabaseEngine;
use crate::crd::instance::DatabaseMode;
use crate::crd::shared::{BackupEncryption, BackupPart};
use crate::crd::{Instance, PaperclipRestore, SecretKeyRef, text, word};
use crate::shared::conditions::{find, list, quote};
use crate::shared::names::API_VERSION;
use crate::shared::options::Options;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;

/// What is looked at.
pub struct Input<'a> {
    /// As it is stored.
    pub object: &'a PaperclipRestore,
    /// What it refers to.
    pub found: &'a Found,
    /// Options of the process.
    pub options: &'a Options,
}

/// What came of it.
pub type Verdict = verdict::Verdict<Validated>;

/// A restore that can be done.
#[derive(Debug)]
pub struct Validated {
    /// Namespace.
    pub namespace: String,
    /// Name of the object.
    pub name: String,
    /// Its uid.
    pub uid: String,
    /// Reference to it, as controller of its children.
    pub owner: OwnerReference,
    /// The Instance.
    pub instance: String,
    /// Where the backup is.
    pub storage: Destination,
    /// What leads to it there; `None`: the newest.
    pub path: Option<String>,
    /// SHA-256 of its manifest, if it is known.
    pub sha256: Option<String>,
    /// The database that is replaced.
    pub source: Source,
    /// Private key.
    pub identity: Option<SecretKeyRef>,
    /// A person has named the Instance: anybody's backup may take the place of what is there.
    pub confirmed: bool,
    /// What is there is saved first.
    pub safety: Option<Safety>,
    /// What is asked for by name; none: whatever the backup holds.
    pub include: Vec<&'static str>,
    /// The server's files, if they are brought back.
    pub files: Option<Files>,
    /// The Instance has no keys, and gets those of the backup.
    pub takes_keys: bool,
    /// Fingerprint of the key that the Instance reads its secrets with.
    pub master_key: Option<String>,
    /// Restrict connections of the Job.
    pub policy: bool,
    /// Image that the agent is copied from.
    pub agent_image: String,
    /// DNS domain of the cluster.
    pub domain: String,
}

impl Validated {
    /// Whose work its Job is.
    pub fn owner(&self) -> Owner<'_> {
        Owner {
            namespace: &self.namespace,
            reference: &self.owner,
            domain: &self.domain,
            policy: self.policy,
        }
    }
}

/// A backup of what is there.
#[derive(Debug)]
pub struct Safety {
    /// Encrypted like the Instance's other backups.
    pub encryption: Option<BackupEncryption>,
}

/// Where the backup is, and what is known of it.
struct From {
    storage: Destination,
    path: Option<String>,
    sha256: Option<String>,
    identity: Option<SecretKeyRef>,
}

/// Checks.
pub fn validate(input: &Input<'_>) -> Verdict {
    Verdict::of(accept(input))
}

/// Names of the Secrets that the Job would mount.
pub fn secrets(object: &PaperclipRestore, found: &Found) -> Vec<String> {
    let Ok(from) = from(object, found) else {
        return vec![];
    };
    let mut names = from.storage.secrets();
    names.extend(from.identity.map(|key| key.name));
    names.sort();
    names.dedup();
    names
}

/// What opens an encrypted backup.
pub fn identity(object: &PaperclipRestore, found: &Found) -> Option<SecretKeyRef> {
    let own = object.spec.identity_secret_ref.clone();
    own.or_else(|| from(object, found).ok()?.identity)
}

fn refused<T>(reason: &'static str, text: impl Into<String>) -> Result<T, Verdict> {
    Err(Verdict::Refused(reason, text.into()))
}

fn waiting<T>(reason: &'static str, text: impl Into<String>) -> Result<T, Verdict> {
    Err(Verdict::Waiting(reason, text.into()))
}

fn accept(input: &Input<'_>) -> Result<Validated, Verdict> {
    let (object, found) = (input.object, input.found);
    let (spec, meta) = (&object.spec, &object.metadata);
    let name = phase::target(object);
    if name.is_empty() {
        return refused("InvalidSpec", "spec.instanceRef: name the Instance");
    }
    let parts = parts(object)?;
    let instance = instance(found, name)?;
    let from = from(object, found)?;
    let confirmed = confirmed(object, found, instance, name)?;
    let safety = safety(object, found, instance, name)?;
    if !found.missing.is_empty() {
        let missing: Vec<String> = found
            .missing
            .iter()
            .map(|name| format!("there is no Secret \"{name}\" in this namespace"))
            .collect();
        return refused("KeyMissing", list(&missing));
    }
    let source =
        source::of(found.database(), name).or_else(|text| waiting("WaitingForDatabase", text))?;
    if !database_is_ready(found) {
        return waiting(
            "WaitingForDatabase",
            format!("waiting until PaperclipDatabase \"{name}\" is ready"),
        );
    }
    if !found.others.is_empty() {
        return waiting(
            "AnotherRestoreRuns",
            format!("waiting for the end of {}", list(&found.others)),
        );
    }
    let files = files(found, &parts)?;
    let identity = spec.identity_secret_ref.clone().or(from.identity);
    let (namespace, own, uid) = (
        meta.namespace.clone().unwrap_or_default(),
        meta.name.clone().unwrap_or_default(),
        meta.uid.clone().unwrap_or_default(),
    );
    let status = instance.status.as_ref();
    let master_key = status
        .and_then(|s| s.master_key.as_ref())
        .and_then(|k| k.fingerprint.clone());
    let with_keys = parts.is_empty() || parts.contains(&BackupPart::Secrets);
    Ok(Validated {
        include: parts.into_iter().map(Words::as_str).collect(),
        files,
        takes_keys: with_keys && master_key.is_none() && identity.is_some(),
        owner: OwnerReference {
            api_version: API_VERSION.to_owned(),
            kind: "PaperclipRestore".to_owned(),
            name: own.clone(),
            uid: uid.clone(),
            controller: Some(true),
            block_owner_deletion: Some(true),
        },
        instance: name.to_owned(),
        storage: from.storage,
        path: from.path,
        sha256: from.sha256,
        source,
        identity,
        confirmed,
        safety,
        master_key,
        policy: policy::is_wanted(Some(instance)),
        agent_image: input.options.agent_image.clone(),
        domain: input.options.cluster_domain.clone(),
        namespace,
        name: own,
        uid,
    })
}

/// What is asked for by name. What is not built must not be taken for done.
fn parts(object: &PaperclipRestore) -> Result<Vec<BackupPart>, Verdict> {
    let mut parts = vec![];
    for part in &object.spec.include {
        match part.known() {
            Ok(part @ (BackupPart::Database | BackupPart::Files | BackupPart::Secrets)) => {
                parts.push(part);
            }
            Ok(_) => {
                return refused(
                    "NotImplemented",
                    format!(
                        "spec.include: bringing back {} is not built into this version of the operator; Database, Files and Secrets are",
                        part.as_str()
                    ),
                );
            }
            Err(unknown) => {
                let unknown = quote(unknown);
                return refused(
                    "InvalidSpec",
                    format!("spec.include: \"{unknown}\" is no part of a backup"),
                );
            }
        }
    }
    if !parts.is_empty() && !parts.contains(&BackupPart::Database) {
        return refused(
            "NotImplemented",
            "spec.include: a restore without Database is not built into this version of the operator",
        );
    }
    Ok(parts)
}

/// The volume that files are brought back to; `None`: the server has none, or nobody wants them.
fn files(found: &Found, parts: &[BackupPart]) -> Result<Option<Files>, Verdict> {
    if !parts.is_empty() && !parts.contains(&BackupPart::Files) {
        return Ok(None);
    }
    let volume = found.instance().zip(found.spec.as_ref());
    let volume = volume.and_then(|(instance, spec)| {
        let meta = &instance.metadata;
        let name = meta.name.as_deref().unwrap_or_default();
        files::of(spec, &Identity::new(name, "", "", ""))
    });
    match volume {
        None if parts.contains(&BackupPart::Files) => refused(
            "InvalidSpec",
            "spec.include: Files is asked for, and storage.persistence of the Instance is off: there is no volume for them",
        ),
        Some(files) if files.ours && !found.claim => waiting(
            "WaitingForVolume",
            format!("waiting for PersistentVolumeClaim \"{}\"", files.claim),
        ),
        volume => Ok(volume),
    }
}

fn instance<'a>(found: &'a Found, name: &str) -> Result<&'a Instance, Verdict> {
    let Some(instance) = found.instance() else {
        let text = format!("there is no Instance \"{name}\" in this namespace that can be decoded");
        return waiting("InstanceNotFound", text);
    };
    let database = instance.spec.database.as_ref();
    let mode = database.and_then(|d| word(d.mode.as_ref()).ok().flatten());
    if mode == Some(DatabaseMode::Embedded) {
        return refused(
            "NotImplemented",
            format!(
                "Instance \"{name}\" has an embedded database: use database.mode managed or external"
            ),
        );
    }
    Ok(instance)
}

fn from(object: &PaperclipRestore, found: &Found) -> Result<From, Verdict> {
    let name = phase::target(object);
    let Some(from) = &object.spec.from else {
        return refused("InvalidSpec", "spec.from: say which backup");
    };
    let of_instance = |instance: Option<&Instance>| {
        let encryption = instance?.spec.backup.as_ref()?.encryption.as_ref()?;
        encryption.identity_secret_ref.clone()
    };
    if let Some(storage) = from.storage.as_ref().and_then(|s| s.s3.as_ref()) {
        let storage = destination::of_storage(storage, name);
        return Ok(From {
            storage: destination::check("spec.from.storage.s3", storage)
                .or_else(|text| refused("InvalidSpec", text))?,
            path: text(from.path.as_ref()).map(ToOwned::to_owned),
            sha256: None,
            identity: of_instance(found.instance()),
        });
    }
    let Some(reference) = &from.backup_ref else {
        return refused(
            "InvalidSpec",
            "spec.from: set backupRef, or storage with path or latest",
        );
    };
    let called = format!("PaperclipBackup \"{}\"", quote(&reference.name));
    let Some(backup) = decoded(found.backup.as_ref()) else {
        return refused(
            "NotFound",
            format!("spec.from.backupRef: there is no {called}"),
        );
    };
    if text(backup.spec.schedule.as_ref()).is_some() {
        return refused(
            "NotFound",
            format!("spec.from.backupRef: {called} is a schedule; name one of its backups"),
        );
    }
    let status = backup.status.clone().unwrap_or_default();
    let phase = status.phase.as_ref().and_then(|p| p.known().ok());
    let artifact = match (phase, status.artifact) {
        (Some(BackupPhase::Complete), Some(artifact)) => artifact,
        (Some(BackupPhase::Complete | BackupPhase::Failed), _) => {
            return refused("NotFound", format!("{called} is not complete"));
        }
        _ => return waiting("Progressing", format!("waiting until {called} is complete")),
    };
    let of = backup.spec.instance_ref.as_ref().map_or(name, |r| &r.name);
    let own = backup.spec.storage.as_ref().and_then(|s| s.s3.as_ref());
    let taken_of = decoded(found.backup_of.as_ref());
    let storage = match own {
        Some(own) => Some(destination::of_storage(own, of)),
        None => taken_of.and_then(|i| Some(destination::of_instance(of, i)?.1)),
    };
    let Some(storage) = storage else {
        return refused(
            "NotFound",
            format!("where {called} is cannot be told any more: use from.storage and from.path"),
        );
    };
    let own_key = backup
        .spec
        .encryption
        .as_ref()
        .and_then(|e| e.identity_secret_ref.clone());
    Ok(From {
        storage,
        path: artifact.location,
        sha256: artifact.sha256,
        identity: own_key.or_else(|| of_instance(taken_of)),
    })
}

/// Whether a person named the Instance; refused if that is needed and did not happen.
fn confirmed(
    object: &PaperclipRestore,
    found: &Found,
    instance: &Instance,
    name: &str,
) -> Result<bool, Verdict> {
    match text(object.spec.confirm.as_ref()) {
        Some(confirm) if confirm == name => Ok(true),
        Some(_) => refused(
            "ConfirmationMissing",
            format!("spec.confirm: must be \"{name}\""),
        ),
        None if holds_data(found, instance) => refused(
            "ConfirmationMissing",
            format!(
                "Instance \"{name}\" holds data, which will be replaced: set confirm: \"{name}\""
            ),
        ),
        None => Ok(false),
    }
}

/// A server has used the database, or its data were kept from an Instance that is gone. What a database of somebody else holds is not known.
pub fn holds_data(found: &Found, instance: &Instance) -> bool {
    let external = found
        .database()
        .and_then(|d| word(d.spec.engine.as_ref()).ok().flatten())
        == Some(DatabaseEngine::External);
    let served = instance
        .status
        .as_ref()
        .is_some_and(|s| s.first_ready_time.is_some());
    served || external || found.kept_data
}

fn safety(
    object: &PaperclipRestore,
    found: &Found,
    instance: &Instance,
    name: &str,
) -> Result<Option<Safety>, Verdict> {
    if object.spec.safety_backup == Some(false) || !holds_data(found, instance) {
        return Ok(None);
    }
    if destination::of_instance(name, instance).is_none() {
        return refused(
            "ConfirmationMissing",
            "there is no place for a backup of what is there: set backup.s3 of the Instance, or safetyBackup: false here",
        );
    }
    let backup = instance.spec.backup.as_ref();
    Ok(Some(Safety {
        encryption: backup.and_then(|b| b.encryption.clone()),
    }))
}

fn database_is_ready(found: &Found) -> bool {
    let status = found.database().and_then(|d| d.status.as_ref());
    let ready = status.and_then(|s| find(&s.conditions, "Ready"));
    ready.is_some_and(|c| c.status == "True")
}
