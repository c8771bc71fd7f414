//! The PaperclipBackup of an Instance: its schedule. Where backups go it finds out itself, from the Instance. Pure.

use super::owned;
use crate::controllers::instance::validate::Validated;
use crate::crd::backup::PaperclipBackupSpec;
use crate::crd::instance::Backup;
use crate::crd::shared::BackupRetention;
use crate::crd::{LocalRef, PaperclipBackup};
use crate::shared::names::Component;

/// How long backups are kept, unless the spec says otherwise.
const DAYS: i32 = 30;

/// `retention` wins over `retentionDays`.
fn retention(asked: &Backup) -> BackupRetention {
    asked.retention.clone().unwrap_or_else(|| {
        let hours = i64::from(asked.retention_days.unwrap_or(DAYS)) * 24;
        BackupRetention {
            max_age: Some(format!("{hours}h")),
            ..BackupRetention::default()
        }
    })
}

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
        retention: Some(retention(asked)),
        verification: asked.verification.clone(),
        ..PaperclipBackupSpec::default()
    };
    let mut backup = PaperclipBackup::new(v.id.names.main(), spec);
    backup.metadata = owned(&v.id, v.id.names.main(), Component::Backup);
    Some(backup)
}
