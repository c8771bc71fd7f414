//! Writes the status if it changed, and the events of the change.

use super::dereference::Found;
use super::{Controller, Object, status};
use crate::crd::backup::{BackupPhase, PaperclipBackupStatus};
use crate::crd::{Instance, PaperclipBackup};
use crate::shared::conditions::find;
use crate::shared::controller::Failure;
use crate::shared::events::{Regarding, Severity};
use crate::shared::names::manager;
use crate::shared::report::Reporter;

impl Controller {
    pub(super) fn reporter<'a>(&'a self, seen: &'a Object) -> Reporter<'a, PaperclipBackup> {
        Reporter {
            context: &self.context,
            cache: &self.caches.backups,
            manager: manager::BACKUP,
            seen,
        }
    }

    /// Writes the status of a pass that reached its end, and the events: also on the Instance, once it has ended.
    pub(super) async fn report(
        &self,
        seen: &Object,
        object: &PaperclipBackup,
        found: &Found,
        status: PaperclipBackupStatus,
    ) -> Result<(), Failure> {
        let before = object.status.clone().unwrap_or_default();
        let told = happening(&before, &status);
        let reporter = self.reporter(seen);
        reporter.write(object.status.as_ref(), &status).await?;
        if let Some((severity, reason, text)) = told {
            reporter.tell(severity, reason, &text);
            if let (true, Some(instance)) = (status::is_end(status.phase.as_ref()), &found.instance)
            {
                let about = Regarding::of::<Instance, _>(instance);
                let text = format!("PaperclipBackup \"{}\": {text}", seen.key.name);
                self.context.events.send(&about, severity, reason, &text);
            }
        }
        Ok(())
    }
}

/// What changed, out of the status that was stored and the one that is to be: so a restart of the operator repeats none.
fn happening(
    before: &PaperclipBackupStatus,
    after: &PaperclipBackupStatus,
) -> Option<(Severity, &'static str, String)> {
    let is = |status: &PaperclipBackupStatus, phase: BackupPhase| {
        status.phase.as_ref().is_some_and(|p| *p == phase)
    };
    let becomes = |phase| is(after, phase) && !is(before, phase);
    let words = |kind: &str| find(&after.conditions, kind).map(|c| c.message.clone());
    if becomes(BackupPhase::Running) {
        Some((
            Severity::Normal,
            "BackupStarted",
            "the backup is being taken".to_owned(),
        ))
    } else if becomes(BackupPhase::Complete) {
        let text = format!("read back from {}", words("Complete").unwrap_or_default());
        Some((Severity::Normal, "BackupCompleted", text))
    } else if becomes(BackupPhase::Failed) {
        let failed = find(&after.conditions, "Failed")?;
        let text = format!("{}: {}", failed.reason, failed.message);
        Some((Severity::Warning, "BackupFailed", text))
    } else {
        None
    }
}
