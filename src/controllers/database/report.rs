//! Writes the status if it changed, and the events of the change.

use super::apply::Applied;
use super::{Controller, Object, status};
use crate::crd::PaperclipDatabase;
use crate::crd::database::PaperclipDatabaseStatus;
use crate::shared::conditions::{Fact, Truth};
use crate::shared::controller::Failure;
use crate::shared::names::manager;
use crate::shared::report::Reporter;

impl Controller {
    pub(super) fn reporter<'a>(&'a self, seen: &'a Object) -> Reporter<'a, PaperclipDatabase> {
        Reporter {
            context: &self.context,
            cache: &self.caches.databases,
            manager: manager::DATABASE,
            seen,
        }
    }

    /// Writes the status of a pass that reached its end, and the events.
    pub(super) async fn report(
        &self,
        seen: &Object,
        object: &PaperclipDatabase,
        status: PaperclipDatabaseStatus,
        applied: &Applied,
        taken_up: Option<String>,
    ) -> Result<(), Failure> {
        let before = object.status.clone().unwrap_or_default();
        let happenings = status::happenings(&before, &status, applied, taken_up.as_deref());
        let reporter = self.reporter(seen);
        reporter.write(object.status.as_ref(), &status).await?;
        for told in happenings {
            reporter.tell(told.severity, &told.reason, &told.text);
        }
        Ok(())
    }

    /// The object is being deleted, and waits for somebody else.
    pub(super) async fn report_end(
        &self,
        seen: &Object,
        object: &PaperclipDatabase,
    ) -> Result<(), Failure> {
        let text = "the object is being deleted";
        let facts = vec![
            Fact::new("Ready", Truth::False, "Terminating", text),
            Fact::new("Reconciling", Truth::True, "Deleting", text),
        ];
        self.reporter(seen)
            .amend(object.status.as_ref(), facts)
            .await
    }
}
