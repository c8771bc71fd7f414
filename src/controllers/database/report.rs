//! Writes the status if it changed, and the events of the change.

use super::apply::Applied;
use super::{Controller, Object, failure, status};
use crate::crd::PaperclipDatabase;
use crate::crd::database::PaperclipDatabaseStatus;
use crate::shared::conditions::{Fact, Truth, merge, quote, same};
use crate::shared::controller::{Again, Failure};
use crate::shared::events::{Regarding, Severity};
use crate::shared::names::manager;
use crate::shared::wish::Kind;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use k8s_openapi::jiff::Timestamp;
use serde_json::Value;
use std::time::Duration;

/// Passes that fail for less are not worth a word: the next one may succeed.
const WORTH_A_WORD: Duration = Duration::from_secs(30);

/// The kind that this controller works on.
pub fn kind() -> Kind {
    Kind::of::<PaperclipDatabase>()
}

impl Controller {
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
        self.write(seen, object.status.as_ref(), &status).await?;
        for told in happenings {
            self.tell(seen, told.severity, &told.reason, &told.text);
        }
        Ok(())
    }

    /// Passes fail: said once that lasts, with everything else as it was.
    pub(super) async fn report_failure(
        &self,
        seen: &Object,
        object: &PaperclipDatabase,
        why: &Failure,
    ) {
        let streak = self.failures.streak(&seen.key);
        if streak.is_none_or(|s| s.since.elapsed() < WORTH_A_WORD) {
            return;
        }
        let mut status = object.status.clone().unwrap_or_default();
        let was = status.conditions.iter().find(|c| c.type_ == "Ready");
        let known = was.is_some_and(|c| c.reason == "ReconcileError");
        let text = format!("{}: {}", why.step, why.message);
        let facts = vec![
            Fact::new("Ready", Truth::False, "ReconcileError", &text),
            Fact::new("Reconciling", Truth::True, "Retrying", &text),
        ];
        replace(&mut status, seen.generation, facts);
        status.observed_generation = Some(seen.generation);
        if self
            .write(seen, object.status.as_ref(), &status)
            .await
            .is_ok()
            && !known
        {
            self.tell(seen, Severity::Warning, "ReconcileError", &text);
        }
    }

    /// The object is being deleted, and waits for somebody else.
    pub(super) async fn report_end(
        &self,
        seen: &Object,
        object: &PaperclipDatabase,
    ) -> Result<(), Failure> {
        let mut status = object.status.clone().unwrap_or_default();
        let text = "the object is being deleted";
        let facts = vec![
            Fact::new("Ready", Truth::False, "Terminating", text),
            Fact::new("Reconciling", Truth::True, "Deleting", text),
        ];
        replace(&mut status, seen.generation, facts);
        self.write(seen, object.status.as_ref(), &status).await
    }

    /// The object cannot be decoded. Nothing is known of its status but what is read now.
    pub(super) async fn report_undecodable(
        &self,
        seen: &Object,
        error: &str,
    ) -> Result<Again, Failure> {
        let (kind, key) = (kind(), &seen.key);
        let text = format!("\"{}\"; what runs goes on as it is", quote(error));
        let facts = vec![
            Fact::new("Ready", Truth::False, "Undecodable", &text),
            Fact::new("Accepted", Truth::False, "Undecodable", &text),
            Fact::new("Stalled", Truth::True, "Undecodable", &text),
        ];
        let live = self
            .context
            .api
            .get(&kind, &key.namespace, &key.name)
            .await
            .map_err(|e| failure("status", e.reason(), &e))?;
        let Some(live) = live else {
            return Ok(Again::Someday);
        };
        let stored = live["status"].clone();
        let conditions = stored["conditions"].clone();
        let before: Vec<Condition> = serde_json::from_value(conditions).unwrap_or_default();
        let now = Time(Timestamp::now());
        let mut next = if stored.is_object() {
            stored.clone()
        } else {
            Value::Object(serde_json::Map::new())
        };
        next["observedGeneration"] = seen.generation.into();
        next["conditions"] = serde_json::to_value(merge(&before, facts, seen.generation, &now))
            .map_err(|e| failure("status", "InternalError", &e))?;
        if !same(&stored, &next) {
            self.send(seen, &next).await?;
            self.tell(seen, Severity::Warning, "Undecodable", &text);
        }
        Ok(Again::Someday)
    }

    async fn write(
        &self,
        seen: &Object,
        before: Option<&PaperclipDatabaseStatus>,
        after: &PaperclipDatabaseStatus,
    ) -> Result<(), Failure> {
        let json = |status: &PaperclipDatabaseStatus| {
            serde_json::to_value(status).map_err(|e| failure("status", "InternalError", &e))
        };
        let next = json(after)?;
        if let Some(before) = before
            && same(&json(before)?, &next)
        {
            return Ok(());
        }
        self.send(seen, &next).await
    }

    async fn send(&self, seen: &Object, status: &Value) -> Result<(), Failure> {
        let (kind, key) = (kind(), &seen.key);
        let written = self
            .context
            .api
            .replace_status(
                &kind,
                &key.namespace,
                &key.name,
                manager::DATABASE,
                &seen.uid,
                status,
            )
            .await;
        match written {
            Ok(object) => {
                if !seen.deleting {
                    self.caches.databases.wrote_as_itself(object);
                }
                Ok(())
            }
            // It is gone, which ends the pass well.
            Err(error) if error.is_not_found() => Ok(()),
            Err(error) => Err(failure("status", error.reason(), &error)),
        }
    }

    fn tell(&self, seen: &Object, severity: Severity, reason: &str, text: &str) {
        let about = Regarding {
            kind: kind(),
            namespace: seen.key.namespace.to_string(),
            name: seen.key.name.to_string(),
            uid: seen.uid.to_string(),
        };
        self.context.events.send(&about, severity, reason, text);
    }
}

/// Puts facts in place of the conditions of their kind, and of both summary conditions.
fn replace(status: &mut PaperclipDatabaseStatus, generation: i64, facts: Vec<Fact>) {
    let now = Time(Timestamp::now());
    let kinds: Vec<&str> = facts.iter().map(|f| f.kind).collect();
    let rest = status
        .conditions
        .iter()
        .filter(|c| !kinds.contains(&&*c.type_) && c.type_ != "Stalled" && c.type_ != "Reconciling")
        .cloned()
        .collect::<Vec<_>>();
    let mut conditions = merge(&status.conditions, facts, generation, &now);
    conditions.extend(rest);
    status.conditions = conditions;
}
