//! The PaperclipRestore of one value of `restoreFrom`, made once. Pure.

use super::owned;
use crate::controllers::instance::restore::name;
use crate::controllers::instance::validate::Validated;
use crate::crd::restore::{PaperclipRestoreSpec, RestoreSource};
use crate::crd::shared::Storage;
use crate::crd::{LocalRef, PaperclipRestore};
use crate::shared::names::Component;

/// The word for the newest backup, unless a PaperclipBackup is called so.
const LATEST: &str = "latest";

/// `None`: nothing is to be brought back, or nobody says where from. `names_backup`: the value is the name of a PaperclipBackup.
pub fn build(v: &Validated<'_>, names_backup: bool) -> Option<PaperclipRestore> {
    let asked = v.restore.as_ref()?;
    let from = if names_backup {
        RestoreSource {
            backup_ref: Some(LocalRef {
                name: asked.value.to_owned(),
            }),
            ..RestoreSource::default()
        }
    } else {
        let latest = asked.value == LATEST;
        RestoreSource {
            storage: Some(Storage {
                s3: Some(asked.storage.as_ref()?.storage()),
            }),
            path: (!latest).then(|| asked.value.to_owned()),
            latest: latest.then_some(true),
            backup_ref: None,
        }
    };
    let options = asked.options;
    let spec = PaperclipRestoreSpec {
        instance_ref: Some(LocalRef {
            name: v.id.name.to_owned(),
        }),
        from: Some(Box::new(from)),
        include: options.map(|o| o.include.clone()).unwrap_or_default(),
        identity_secret_ref: options.and_then(|o| o.identity_secret_ref.clone()),
        safety_backup: options.and_then(|o| o.safety_backup),
        // Who sets the field on an Instance with data means it.
        confirm: Some(v.id.name.to_owned()),
    };
    let name = name(v.id.name, asked.value);
    let mut restore = PaperclipRestore::new(&name, spec);
    restore.metadata = owned(&v.id, &name, Component::Restore);
    Some(restore)
}
