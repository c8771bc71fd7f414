//! The set of objects that somebody should look at. Each object is in it at most once, however far the reader lags, so it is bounded
//! by the number of objects. Must never block the one who pushes.

use super::cache::Key;
use super::metrics::WorkQueue;
use futures::{Stream, stream};
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;
use tokio::sync::Notify;

/// A coalescing queue of keys.
pub struct Triggers {
    waiting: Mutex<HashMap<Key, Instant>>,
    wake: Notify,
    metrics: WorkQueue,
}

impl Triggers {
    /// An empty set; `metrics` counts what goes through it.
    pub fn new(metrics: WorkQueue) -> Arc<Self> {
        Arc::new(Self {
            waiting: Mutex::default(),
            wake: Notify::new(),
            metrics,
        })
    }

    /// Adds `key`, unless it waits already.
    pub fn push(&self, key: Key) {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        if let std::collections::hash_map::Entry::Vacant(entry) = waiting.entry(key) {
            entry.insert(Instant::now());
            self.metrics.added(waiting.len());
            self.wake.notify_one();
        }
    }

    /// How many wait.
    pub fn len(&self) -> usize {
        self.waiting
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .len()
    }

    /// Nobody waits.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn drain(&self) -> Vec<Key> {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        let batch = waiting
            .drain()
            .map(|(key, since)| {
                self.metrics.taken(since.elapsed());
                key
            })
            .collect();
        self.metrics.depth(0);
        batch
    }

    /// Yields what was pushed; never ends, never fails.
    pub fn stream(self: Arc<Self>) -> impl Stream<Item = Key> + Send + 'static {
        stream::unfold((self, Vec::new()), |(queue, mut batch)| async move {
            loop {
                if let Some(next) = batch.pop() {
                    return Some((next, (queue, batch)));
                }
                batch = queue.drain();
                if batch.is_empty() {
                    queue.wake.notified().await;
                }
            }
        })
    }
}
