//! The PaperclipBackup of an Instance: its schedule. Where backups go it finds out itself, from the Instance. Pure.

use super::owned;
use crate::controllers::instance::validate::Validated;
use crate::crd::backup::PaperclipBackupSpec;
use crate::crd::{LocalRef, PaperclipBackup};
use crate::shared::names::Component;

/// `None`: no backups by a schedule.
pub fn build(v: &Validated<'_>) -> Option<PaperclipBackup> {
    let asked = v.backup?;
    let spec = PaperclipBackupSpec {
        instance_ref: Some(LocalRef {
            name: v.id.name.to_owned(),
        }),
        schedule: asked.schedule.clone(),
        time_zone: asked.time_zone.clone(),
        jitter: asked.jitter.clone(),
        immediate: asked.immediate,
        include: asked.include.clone(),
        encryption: asked.encryption.clone(),
        ..PaperclipBackupSpec::default()
    };
    let mut backup = PaperclipBackup::new(v.id.names.main(), spec);
    backup.metadata = owned(&v.id, v.id.names.main(), Component::Backup);
    Some(backup)
}
