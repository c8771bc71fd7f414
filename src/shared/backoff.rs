//! How long to wait before the next try of an object that failed: per object, exponential, with jitter, forgotten on success.

use super::cache::Key;
use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

const FIRST: Duration = Duration::from_millis(5);
const LONGEST: Duration = Duration::from_secs(300);

/// The pause after one more failure: `first`, doubled for each of the `earlier` failures in a row, up to `longest`.
pub fn pause(first: Duration, longest: Duration, earlier: u32) -> Duration {
    first.saturating_mul(1 << earlier.min(16)).min(longest)
}

/// What is known about an object whose passes fail.
#[derive(Clone, Copy, Debug)]
pub struct Streak {
    /// Failed passes in a row.
    pub count: u32,
    /// When the first of them ended.
    pub since: Instant,
}

/// The objects whose last pass failed.
#[derive(Default)]
pub struct Failures(Mutex<HashMap<Key, Streak>>);

impl Failures {
    /// Counts one more failure and says how long to wait: 5 ms, doubled each time up to 5 minutes, minus up to a fifth.
    pub fn failed(&self, key: &Key) -> Duration {
        let mut map = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let streak = map.entry(key.clone()).or_insert(Streak {
            count: 0,
            since: Instant::now(),
        });
        let wait = pause(FIRST, LONGEST, streak.count);
        streak.count = streak.count.saturating_add(1);
        wait.mul_f64(1.0 - 0.2 * super::random::fraction())
    }

    /// The object is well, or gone. True if passes had failed before.
    pub fn forget(&self, key: &Key) -> bool {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .remove(key)
            .is_some()
    }

    /// The running streak of failures, if there is one.
    pub fn streak(&self, key: &Key) -> Option<Streak> {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .get(key)
            .copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_grow_to_five_minutes_and_start_again_after_a_success() {
        let f = Failures::default();
        let key = Key::new("ns", "n");
        let waits: Vec<_> = (0..20).map(|_| f.failed(&key)).collect();
        assert!(waits[0] <= Duration::from_millis(5));
        assert!(waits[10] > waits[2]);
        assert!(waits[19] <= LONGEST && waits[19] >= LONGEST.mul_f64(0.8));
        assert!(f.forget(&key));
        assert!(f.failed(&key) <= Duration::from_millis(5));
        assert!(!f.forget(&Key::new("ns", "other")));
    }
}
