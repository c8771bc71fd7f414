//! When Secrets, and claims of users, are read. They are not watched: the operator may not list Secrets. So a database is looked at when
//! it is new or changed, when something about it is not in order, when a person asks for it, and else once an hour. The first hour
//! begins when the operator starts: a start reads nothing of databases that are in order.

use crate::crd::PaperclipDatabase;
use crate::shared::cache::Key;
use crate::shared::conditions::find;
use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// The longest time between two looks; the resync of a controller comes a little earlier than this, so the next one does it.
const HOUR: Duration = Duration::from_secs(3000);

/// When each database was last looked at.
#[derive(Default)]
pub struct Looks(Mutex<HashMap<Key, Instant>>);

impl Looks {
    /// Whether it is time again. The first call begins the hour.
    pub fn due(&self, key: &Key, now: Instant) -> bool {
        let mut map = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let last = *map.entry(key.clone()).or_insert(now);
        now.saturating_duration_since(last) >= HOUR
    }

    /// It was looked at.
    pub fn looked(&self, key: &Key, now: Instant) {
        let mut map = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        map.insert(key.clone(), now);
    }

    /// Forgets databases that are gone, now and then. `living` is how many there are.
    pub fn tidy(&self, living: usize, exists: impl Fn(&Key) -> bool) {
        let mut map = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if map.len() > living * 2 + 64 {
            map.retain(|key, _| exists(key));
        }
    }
}

/// Whether the status does not vouch for what is not watched.
pub fn needed(object: &PaperclipDatabase) -> bool {
    let Some(status) = &object.status else {
        return true;
    };
    let condition = |kind: &str| find(&status.conditions, kind);
    status.observed_generation != object.metadata.generation
        || status.connection_secret_ref.is_none()
        || condition("CredentialsSynced").is_none_or(|c| c.status != "True")
        || condition("StorageHealthy")
            .is_some_and(|c| matches!(&*c.reason, "ClaimLost" | "ClaimPending"))
        || super::status::requested(object) != status.last_handled_reconcile_at
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn database(change: impl Fn(&mut Value)) -> PaperclipDatabase {
        let mut object = json!({
            "apiVersion": "paperclip.inc/v1alpha1", "kind": "PaperclipDatabase", "metadata": {"name": "n", "generation": 2},
            "spec": {}, "status": {
                "observedGeneration": 2, "connectionSecretRef": {"name": "n-db-app", "key": "DATABASE_URL"},
                "conditions": [{"type": "CredentialsSynced", "status": "True", "reason": "Synced", "message": "",
                    "lastTransitionTime": "2026-01-01T00:00:00Z"}]}
        });
        change(&mut object);
        serde_json::from_value(object).unwrap()
    }

    #[test]
    fn a_database_in_order_is_not_looked_at() {
        assert!(!needed(&database(|_| {})));
    }

    #[test]
    fn what_is_new_changed_out_of_order_or_asked_for_is_looked_at() {
        let changes: [fn(&mut Value); 5] = [
            |o| o["status"] = Value::Null,
            |o| o["metadata"]["generation"] = json!(3),
            |o| o["status"]["connectionSecretRef"] = Value::Null,
            |o| o["status"]["conditions"][0]["status"] = json!("False"),
            |o| {
                o["metadata"]["annotations"] =
                    json!({"paperclip.inc/reconcile-requested-at": "now"});
            },
        ];
        for (index, change) in changes.into_iter().enumerate() {
            assert!(needed(&database(change)), "change {index}");
        }
    }

    #[test]
    fn databases_that_are_gone_are_forgotten() {
        let (looks, now) = (Looks::default(), Instant::now());
        (0..100).for_each(|n| looks.looked(&Key::new("ns", &format!("n{n}")), now));
        looks.tidy(1, |key| &*key.name == "n7");
        assert_eq!(looks.0.lock().unwrap().len(), 1);
    }

    #[test]
    fn the_hour_begins_when_a_database_is_first_seen() {
        let (looks, key, start) = (Looks::default(), Key::new("ns", "n"), Instant::now());
        assert!(!looks.due(&key, start));
        assert!(!looks.due(&key, start + HOUR / 2));
        assert!(looks.due(&key, start + HOUR));
        looks.looked(&key, start + HOUR);
        assert!(!looks.due(&key, start + HOUR + HOUR / 2));
    }
}
