//! Writes the status if it changed, and the events of the change.

use super::dereference::Found;
use super::{Controller, Object, failure, status};
use crate::crd::backup::{BackupPhase, PaperclipBackupStatus};
use crate::crd::{Instance, PaperclipBackup};
use crate::shared::conditions::{Fact, Truth, find, merge, quote, same};
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
    Kind::of::<PaperclipBackup>()
}

impl Controller {
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
        self.write(seen, object.status.as_ref(), &status).await?;
        if let Some((severity, reason, text)) = told {
            self.tell(seen, severity, reason, &text);
            if let (true, Some(instance)) = (status::is_end(status.phase.as_ref()), &found.instance)
            {
                let about = Regarding {
                    kind: Kind::of::<Instance>(),
                    namespace: instance.key.namespace.to_string(),
                    name: instance.key.name.to_string(),
                    uid: instance.uid.to_string(),
                };
                let text = format!("PaperclipBackup \"{}\": {text}", seen.key.name);
                self.context.events.send(&about, severity, reason, &text);
            }
        }
        Ok(())
    }

    /// Passes fail: said once that lasts, with everything else as it was.
    pub(super) async fn report_failure(
        &self,
        seen: &Object,
        object: &PaperclipBackup,
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

    pub(super) async fn write(
        &self,
        seen: &Object,
        before: Option<&PaperclipBackupStatus>,
        after: &PaperclipBackupStatus,
    ) -> Result<(), Failure> {
        let json = |status: &PaperclipBackupStatus| {
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
                manager::BACKUP,
                &seen.uid,
                status,
            )
            .await;
        match written {
            Ok(object) => {
                if !seen.deleting {
                    self.caches.backups.wrote_as_itself(object);
                }
                Ok(())
            }
            // It is gone, which ends the pass well.
            Err(error) if error.is_not_found() => Ok(()),
            Err(error) => Err(failure("status", error.reason(), &error)),
        }
    }

    pub(super) fn tell(&self, seen: &Object, severity: Severity, reason: &str, text: &str) {
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
fn replace(status: &mut PaperclipBackupStatus, generation: i64, facts: Vec<Fact>) {
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
