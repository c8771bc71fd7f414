//! Writes the status of children if it changed, and tells events about them. Works on statuses as JSON: their conditions and
//! `observedGeneration` are alike in every kind. Must never write what was stored already, and never invent a status that cannot be read.

use super::backoff::Streak;
use super::cache::{Cache, Seen};
use super::conditions::{Fact, Truth, merge, quote, same};
use super::context::Context;
use super::controller::{Again, Failure};
use super::events::{Regarding, Severity};
use super::guarded::Guarded;
use super::wish::{Kind, Scoped};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use k8s_openapi::jiff::Timestamp;
use kube::Resource;
use kube::core::object::HasStatus;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use std::time::Duration;

/// Passes that fail for less are not worth a word: the next one may succeed.
const WORTH_A_WORD: Duration = Duration::from_secs(30);

/// What one controller says of one object.
pub struct Reporter<'a, K> {
    /// Of the process.
    pub context: &'a Context,
    /// What is known of objects of this kind.
    pub cache: &'a Cache<Guarded<K>>,
    /// Who writes.
    pub manager: &'static str,
    /// The object.
    pub seen: &'a Seen<Guarded<K>>,
}

impl<K> Reporter<'_, K>
where
    K: Resource<DynamicType = ()> + HasStatus + DeserializeOwned + Send + Sync + 'static,
    K::Scope: Scoped,
    K::Status: Serialize + PartialEq,
{
    /// Writes the status if it says something else than before, transition times aside.
    ///
    /// # Errors
    /// If the API server does not take it.
    pub async fn write(
        &self,
        before: Option<&K::Status>,
        after: &K::Status,
    ) -> Result<(), Failure> {
        let next = json_of(after)?;
        match before.map(json_of).transpose()? {
            Some(before) if same(&before, &next) => Ok(()),
            _ => self.send(&next).await,
        }
    }

    /// Writes the last status with these facts in place of what it said about them, and of both summary conditions.
    ///
    /// # Errors
    /// If the API server does not take it.
    pub async fn amend(&self, before: Option<&K::Status>, facts: Vec<Fact>) -> Result<(), Failure> {
        let stored = before
            .map(json_of)
            .transpose()?
            .unwrap_or_else(|| json!({}));
        let next = amended(&stored, facts, self.seen.generation);
        if same(&stored, &next) {
            return Ok(());
        }
        self.send(&next).await
    }

    /// Passes fail: said once that lasts, with everything else as it was.
    pub async fn failing(&self, before: Option<&K::Status>, streak: Option<Streak>, why: &Failure) {
        if streak.is_none_or(|s| s.since.elapsed() < WORTH_A_WORD) {
            return;
        }
        let known = before
            .and_then(|status| json_of(status).ok())
            .is_some_and(|status| {
                let conditions = status["conditions"].as_array();
                conditions
                    .into_iter()
                    .flatten()
                    .any(|c| c["type"] == "Ready" && c["reason"] == "ReconcileError")
            });
        let text = format!("{}: {}", why.step, why.message);
        let facts = vec![
            Fact::new("Ready", Truth::False, "ReconcileError", &text),
            Fact::new("Reconciling", Truth::True, "Retrying", &text),
        ];
        if self.amend(before, facts).await.is_ok() && !known {
            self.tell(Severity::Warning, "ReconcileError", &text);
        }
    }

    /// The object cannot be decoded. Nothing is known of its status but what is read now.
    ///
    /// # Errors
    /// If the API server cannot be asked, or does not take the status.
    pub async fn undecodable(&self, error: &str) -> Result<Again, Failure> {
        let (kind, key) = (Kind::of::<K>(), &self.seen.key);
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
            .map_err(|e| Failure::new("status", e.reason(), &e))?;
        let Some(live) = live else {
            return Ok(Again::Someday);
        };
        let stored = &live["status"];
        let next = with_conditions(stored, facts, vec![], self.seen.generation);
        if !same(stored, &next) {
            self.send(&next).await?;
            self.tell(Severity::Warning, "Undecodable", &text);
        }
        Ok(Again::Someday)
    }

    /// An event about the object.
    pub fn tell(&self, severity: Severity, reason: &str, text: &str) {
        let about = Regarding::of::<K, _>(self.seen);
        self.context.events.send(&about, severity, reason, text);
    }

    async fn send(&self, status: &Value) -> Result<(), Failure> {
        let (kind, key) = (Kind::of::<K>(), &self.seen.key);
        let written = self
            .context
            .api
            .replace_status(
                &kind,
                &key.namespace,
                &key.name,
                self.manager,
                &self.seen.uid,
                status,
            )
            .await;
        match written {
            Ok(object) => {
                if !self.seen.deleting {
                    self.cache.wrote_as_itself(object);
                }
                Ok(())
            }
            // It is gone, which ends the pass well.
            Err(error) if error.is_not_found() => Ok(()),
            Err(error) => Err(Failure::new("status", error.reason(), &error)),
        }
    }
}

fn json_of(status: &impl Serialize) -> Result<Value, Failure> {
    serde_json::to_value(status).map_err(|e| Failure::new("status", "InternalError", &e))
}

/// These facts in place of the conditions of their kind, and of both summary conditions; the others stay.
fn amended(stored: &Value, facts: Vec<Fact>, generation: i64) -> Value {
    let said: Vec<&str> = facts.iter().map(|f| f.kind).collect();
    let rest = conditions(stored)
        .into_iter()
        .filter(|c| !said.contains(&&*c.type_) && c.type_ != "Stalled" && c.type_ != "Reconciling")
        .collect();
    with_conditions(stored, facts, rest, generation)
}

/// The stored status with these conditions alone.
fn with_conditions(
    stored: &Value,
    facts: Vec<Fact>,
    rest: Vec<Condition>,
    generation: i64,
) -> Value {
    let mut next = if stored.is_object() {
        stored.clone()
    } else {
        json!({})
    };
    let mut all = merge(
        &conditions(stored),
        facts,
        generation,
        &Time(Timestamp::now()),
    );
    all.extend(rest);
    next["observedGeneration"] = generation.into();
    next["conditions"] = json!(all);
    next
}

/// Those that can be read.
fn conditions(stored: &Value) -> Vec<Condition> {
    serde_json::from_value(stored["conditions"].clone()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stored() -> Value {
        let condition = |kind: &str, truth: &str| {
            json!({"type": kind, "status": truth, "reason": "Before", "message": "",
                "observedGeneration": 1, "lastTransitionTime": "2026-01-01T00:00:00Z"})
        };
        json!({"version": "17", "observedGeneration": 1, "conditions": [
            condition("Ready", "True"), condition("Stalled", "True"), condition("DataVolumeBound", "True")]})
    }

    #[test]
    fn what_is_said_anew_replaces_what_was_said_and_the_rest_stays() {
        let facts = vec![Fact::new("Ready", Truth::False, "ReconcileError", "why")];
        let next = amended(&stored(), facts, 2);
        let all: Vec<_> = conditions(&next)
            .into_iter()
            .map(|c| (c.type_, c.status, c.reason))
            .collect();
        let expected = [
            ("Ready", "False", "ReconcileError"),
            ("DataVolumeBound", "True", "Before"),
        ];
        assert_eq!(
            all,
            expected.map(|(t, s, r)| (t.to_owned(), s.to_owned(), r.to_owned()))
        );
        assert_eq!(
            (&next["version"], &next["observedGeneration"]),
            (&json!("17"), &json!(2))
        );
    }

    #[test]
    fn said_twice_it_is_the_same() {
        let facts = || vec![Fact::new("Ready", Truth::False, "ReconcileError", "why")];
        let once = amended(&stored(), facts(), 2);
        assert!(same(&once, &amended(&once, facts(), 2)));
    }
}
