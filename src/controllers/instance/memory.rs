//! What the controller remembers of an Instance between passes, in this process only: it saves reads. All of it can be found out again,
//! and no value of a Secret is in it.

use super::found::Learned;
use super::operator_key::Making;
use super::scheduler::Answers;
use crate::shared::cache::Key;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// How often the Secrets of the user are looked at, give or take a fifth.
const CHECK: Duration = Duration::from_secs(300);

/// Since when which condition has had which reason.
pub type Waits = HashMap<(&'static str, String), Instant>;

/// What is remembered of one Instance.
#[derive(Clone, Debug)]
pub struct Remembered {
    /// Uid: another Instance of the same name has nothing to do with it.
    uid: Arc<str>,
    /// Hash of what the pods are configured with, and the generation that it was computed for.
    pub config_hash: Option<(i64, String)>,
    /// From the last look.
    pub learned: Option<Learned>,
    /// When to look at the user's Secrets again.
    pub next_check: Instant,
    /// Since when what is so.
    pub waits: Waits,
    /// Since when the stored status lacks a detail.
    pub outdated: Option<Instant>,
    /// The server's policy as it was stored, while an Instance that is taken over keeps its rules.
    pub found_policy: Option<Arc<serde_json::Value>>,
    /// Generation of the spec for which another kind of workload did not become ready.
    pub switch_given_up: Option<i64>,
    /// How the making of the operator's key for the server stands.
    pub operator_key: Making,
    /// Which pod said that it wakes agents.
    pub answers: Answers,
    /// Version and image that the metrics show.
    pub info: Option<(String, String)>,
}

impl Remembered {
    fn new(uid: &Arc<str>, fraction: f64) -> Self {
        Self {
            uid: uid.clone(),
            config_hash: None,
            learned: None,
            // After a start, looks are spread over the interval.
            next_check: Instant::now() + CHECK.mul_f64(fraction),
            waits: Waits::new(),
            outdated: None,
            found_policy: None,
            switch_given_up: None,
            operator_key: Making::default(),
            answers: Answers::default(),
            info: None,
        }
    }

    /// A look was taken: the next one is due in 5 minutes, give or take a fifth.
    pub fn looked(&mut self, learned: Learned, fraction: f64) {
        self.learned = Some(learned);
        self.next_check = Instant::now() + CHECK.mul_f64(0.8 + 0.4 * fraction);
    }

    /// Keeps the time since when each of `facts` has been so, forgets the others.
    pub fn observe(&mut self, facts: impl Iterator<Item = (&'static str, String)>) {
        let mut waits = Waits::new();
        for fact in facts {
            let since = self.waits.get(&fact).copied();
            waits.insert(fact, since.unwrap_or_else(Instant::now));
        }
        self.waits = waits;
    }
}

/// What is remembered of all Instances.
#[derive(Default)]
pub struct Memory(Mutex<HashMap<Key, Remembered>>);

impl Memory {
    /// A copy of what is remembered of this Instance.
    pub fn recall(&self, key: &Key, uid: &Arc<str>) -> Remembered {
        let map = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        map.get(key)
            .filter(|r| r.uid == *uid)
            .cloned()
            .unwrap_or_else(|| Remembered::new(uid, crate::shared::random::fraction()))
    }

    /// Keeps it. `alive` says which Instances exist; it is asked now and then.
    pub fn keep(&self, key: &Key, remembered: Remembered, alive: impl Fn(&Key) -> bool) {
        let mut map = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if map.len() >= 64 && map.len() == map.capacity() {
            map.retain(|key, _| alive(key));
        }
        map.insert(key.clone(), remembered);
    }

    /// Nothing is remembered any more.
    pub fn forget(&self, key: &Key) {
        let mut map = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        map.remove(key);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_instance_of_the_same_name_remembers_nothing_of_the_one_before() {
        let (memory, key) = (Memory::default(), Key::new("ns", "n"));
        let mut first = memory.recall(&key, &"uid-1".into());
        first.config_hash = Some((1, "h".into()));
        memory.keep(&key, first, |_| true);
        assert!(memory.recall(&key, &"uid-1".into()).config_hash.is_some());
        assert!(memory.recall(&key, &"uid-2".into()).config_hash.is_none());
    }

    #[test]
    fn what_is_no_longer_so_starts_anew() {
        let mut remembered = Remembered::new(&"u".into(), 0.0);
        let fact = || ("Ready", "A".to_owned());
        remembered.observe([fact()].into_iter());
        let first = remembered.waits[&fact()];
        remembered.observe([fact(), ("Ready", "B".to_owned())].into_iter());
        assert_eq!(remembered.waits[&fact()], first);
        remembered.observe(std::iter::empty());
        assert!(remembered.waits.is_empty());
    }

    #[test]
    fn instances_that_are_gone_do_not_pile_up() {
        let memory = Memory::default();
        for i in 0..10_000 {
            let key = Key::new("ns", &i.to_string());
            let fresh = memory.recall(&key, &"u".into());
            memory.keep(&key, fresh, |_| false);
        }
        assert!(memory.0.lock().unwrap().len() < 1000);
    }
}
