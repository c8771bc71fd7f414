//! What goes into a backup: its parts, the volume and the keys that they come from, and whom it is encrypted for. Pure.

use super::{Verdict, refused};
use crate::controllers::archive::files::{self, Files, Sharing};
use crate::controllers::archive::keys::{self, Role};
use crate::controllers::backup::dereference::Found;
use crate::controllers::instance::build::secrets::Generated;
use crate::controllers::instance::validate::names::Identity;
use crate::crd::shared::{BackupEncryption, BackupPart};
use crate::crd::{Instance, PaperclipBackup};
use crate::shared::conditions::{list, quote};

/// Which they are: as the backup says itself, else as the Instance's backups, else what is usual. What is not built is refused: a backup without it
/// must not be taken for one with it.
pub fn parts(object: &PaperclipBackup, found: &Found) -> Result<Vec<BackupPart>, Verdict> {
    let of_instance = found.instance().and_then(|i| i.spec.backup.as_ref());
    let asked = match (&*object.spec.include, of_instance) {
        ([], Some(backup)) => &backup.include,
        _ => &object.spec.include,
    };
    let mut parts = vec![];
    for part in asked {
        match part.known() {
            Ok(BackupPart::Objects) => {
                return refused(
                    "NotImplemented",
                    "spec.include: Objects is not built into this version of the operator; Database, Spec, Files and Secrets are",
                );
            }
            Ok(part) => parts.push(part),
            Err(unknown) => {
                return refused(
                    "InvalidSpec",
                    format!(
                        "spec.include: \"{}\" is no part of a backup",
                        quote(unknown)
                    ),
                );
            }
        }
    }
    if parts.is_empty() {
        let mut usual = vec![BackupPart::Database, BackupPart::Spec];
        usual.extend(volume(found).map(|_| BackupPart::Files));
        return Ok(usual);
    }
    if !parts.contains(&BackupPart::Database) {
        return refused(
            "NotImplemented",
            "spec.include: a backup without Database is not built into this version of the operator",
        );
    }
    Ok(parts)
}

/// How a backup is encrypted: as it says itself, else as the Instance's backups are.
pub fn encryption<'a>(
    object: &'a PaperclipBackup,
    instance: Option<&'a Instance>,
) -> Option<&'a BackupEncryption> {
    let own = object.spec.encryption.as_ref();
    own.or_else(|| instance?.spec.backup.as_ref()?.encryption.as_ref())
}

/// Public keys of age.
pub fn recipients(
    object: &PaperclipBackup,
    encryption: Option<&BackupEncryption>,
) -> Result<Vec<String>, Verdict> {
    let Some(encryption) = encryption else {
        return Ok(vec![]);
    };
    let path = match object.spec.encryption {
        Some(_) => "spec.encryption",
        None => "backup.encryption of the Instance",
    };
    let is_key = |key: &str| {
        key.strip_prefix("age1").is_some_and(|rest| {
            rest.len() == 58
                && rest
                    .bytes()
                    .all(|b| b"qpzry9x8gf2tvdw0s3jn54khce6mua7l".contains(&b))
        })
    };
    if encryption.recipients.is_empty() {
        return refused(
            "InvalidSpec",
            format!("{path}.recipients: name at least one key"),
        );
    }
    for (index, key) in encryption.recipients.iter().enumerate() {
        if !is_key(key) {
            return refused(
                "InvalidSpec",
                format!("{path}.recipients[{index}]: must be a public key of age (age1…)"),
            );
        }
    }
    Ok(encryption.recipients.clone())
}

/// The volume with the server's files; `None`: they are in its pod, or there is no server.
fn volume(found: &Found) -> Option<Files> {
    files::of(found.spec.as_ref()?, &identity(found.instance()?))
}

/// Files that can be read, or why they cannot.
pub fn files(object: &PaperclipBackup, found: &Found) -> Result<Files, Verdict> {
    let Some(files) = volume(found) else {
        let text = if object.spec.instance_ref.is_some() {
            "spec.include: Files is asked for, and storage.persistence of the Instance is off: its files are in its pod"
        } else {
            "spec.include: Files is asked for, and a database alone has none"
        };
        return refused("InvalidSpec", text);
    };
    if files.ours && !found.claim {
        return Err(Verdict::Waiting(
            "WaitingForChild",
            format!("waiting for PersistentVolumeClaim \"{}\"", files.claim),
        ));
    }
    if files.sharing == Sharing::Alone && found.server_runs {
        return refused(
            "FilesInUse",
            format!(
                "PersistentVolumeClaim \"{}\" is ReadWriteOncePod: its files can be read while the Instance is suspended only; leave Files out of include",
                files.claim
            ),
        );
    }
    Ok(files)
}

/// Keys that can be kept, or why they cannot. The first admin's may be gone.
pub fn keys(found: &Found, recipients: &[String]) -> Result<Vec<Role>, Verdict> {
    if recipients.is_empty() {
        return refused("InvalidSpec", "spec.include: Secrets needs encryption");
    }
    let mut roles = roles(found);
    let is_there = |role: &Role| found.secrets.get(&role.secret).is_none_or(Option::is_some);
    roles.retain(|role| role.of != Generated::Admin || is_there(role));
    let missing: Vec<String> = roles
        .iter()
        .filter(|role| !is_there(role))
        .map(|role| format!("there is no Secret \"{}\" in this namespace", role.secret))
        .collect();
    if missing.is_empty() {
        Ok(roles)
    } else {
        refused("SecretNotFound", list(&missing))
    }
}

/// What holds the keys of the Instance.
pub fn roles(found: &Found) -> Vec<Role> {
    match (found.instance(), &found.spec) {
        (Some(instance), Some(spec)) => keys::of(spec, &identity(instance)),
        _ => vec![],
    }
}

fn identity(instance: &Instance) -> Identity<'_> {
    let meta = &instance.metadata;
    Identity::new(
        meta.name.as_deref().unwrap_or_default(),
        meta.namespace.as_deref().unwrap_or_default(),
        meta.uid.as_deref().unwrap_or_default(),
        "",
    )
}
