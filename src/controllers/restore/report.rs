//! Writes the status if it changed, and the events of the change.

use super::dereference::Found;
use super::{Controller, Object};
use crate::crd::restore::{PaperclipRestoreStatus, RestorePhase};
use crate::crd::{Instance, PaperclipRestore};
use crate::shared::conditions::find;
use crate::shared::controller::Failure;
use crate::shared::events::{Regarding, Severity};
use crate::shared::names::manager;
use crate::shared::report::Reporter;

impl Controller {
    pub(super) fn reporter<'a>(&'a self, seen: &'a Object) -> Reporter<'a, PaperclipRestore> {
        Reporter {
            context: &self.context,
            cache: &self.caches.restores,
            manager: manager::RESTORE,
            seen,
        }
    }

    /// Writes the status of a pass that reached its end, and the events: also on the Instance.
    pub(super) async fn report(
        &self,
        seen: &Object,
        object: &PaperclipRestore,
        found: &Found,
        status: PaperclipRestoreStatus,
    ) -> Result<(), Failure> {
        let before = object.status.clone().unwrap_or_default();
        let told = happening(&before, &status);
        let reporter = self.reporter(seen);
        reporter.write(object.status.as_ref(), &status).await?;
        if let Some((severity, reason, text)) = told {
            reporter.tell(severity, reason, &text);
            if let Some(instance) = &found.instance {
                let about = Regarding::of::<Instance, _>(instance);
                let text = format!("PaperclipRestore \"{}\": {text}", seen.key.name);
                self.context.events.send(&about, severity, reason, &text);
            }
        }
        Ok(())
    }
}

/// What changed, out of the status that was stored and the one that is to be: so a restart of the operator repeats none.
fn happening(
    before: &PaperclipRestoreStatus,
    after: &PaperclipRestoreStatus,
) -> Option<(Severity, &'static str, String)> {
    let is = |status: &PaperclipRestoreStatus, phase: RestorePhase| {
        status.phase.as_ref().is_some_and(|p| *p == phase)
    };
    let becomes = |phase| is(after, phase) && !is(before, phase);
    let words = |kind: &str| {
        let condition = find(&after.conditions, kind);
        condition.map(|c| c.message.clone()).unwrap_or_default()
    };
    if before.start_time.is_none() && after.start_time.is_some() {
        let text = "the server is stopped, and what it holds is replaced";
        Some((Severity::Normal, "RestoreStarted", text.to_owned()))
    } else if becomes(RestorePhase::Complete) {
        let from = after.restored.as_ref().and_then(|r| r.location.clone());
        let text = format!("brought back from {}", from.unwrap_or_default());
        Some((Severity::Normal, "RestoreCompleted", text))
    } else if becomes(RestorePhase::Failed) {
        Some((Severity::Warning, "RestoreFailed", words("Failed")))
    } else {
        None
    }
}
