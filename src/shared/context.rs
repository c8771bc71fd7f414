//! What every controller is given.

use super::api::ApiServer;
use super::apply::{Applier, Memory};
use super::cache::{Key, Seen, Subscriber};
use super::events::Events;
use super::metrics::Metrics;
use super::options::Options;
use super::triggers::Triggers;
use std::sync::Arc;

/// Shared by all controllers of the process.
pub struct Context {
    /// The door to the API server.
    pub api: Arc<ApiServer>,
    /// What our wishes were stored as.
    pub memory: Memory,
    /// Metrics.
    pub metrics: Arc<Metrics>,
    /// Events.
    pub events: Events,
    /// Options of the process.
    pub options: Options,
}

impl Context {
    /// Writes as `manager`.
    pub fn applier(&self, manager: &'static str) -> Applier<'_> {
        Applier {
            api: &self.api,
            memory: &self.memory,
            manager,
            predecessor: None,
        }
    }
}

/// Wakes the controller of the object itself.
pub fn wakes_itself<V: 'static>(triggers: Arc<Triggers>) -> Subscriber<V> {
    Box::new(move |old: Option<&Seen<V>>, new: Option<&Seen<V>>| {
        if let Some(seen) = new.or(old) {
            triggers.push(seen.key.clone());
        }
    })
}

/// Wakes the controlling owner if it is of kind `owner`; for an object without one (retained data), the object of that kind that the
/// instance label names.
pub fn wakes_owner<V: 'static>(owner: &'static str, triggers: Arc<Triggers>) -> Subscriber<V> {
    Box::new(move |old: Option<&Seen<V>>, new: Option<&Seen<V>>| {
        for seen in [old, new].into_iter().flatten() {
            match &seen.controller {
                Some(controller) if *controller.kind == *owner => triggers.push(Key {
                    namespace: seen.key.namespace.clone(),
                    name: controller.name.clone(),
                }),
                None if !seen.instance.is_empty() => triggers.push(Key {
                    namespace: seen.key.namespace.clone(),
                    name: seen.instance.clone(),
                }),
                Some(_) | None => {}
            }
        }
    })
}

/// Wakes the object that the instance label names, whoever controls the object: for pods, whose controller is a workload.
pub fn wakes_labelled<V: 'static>(triggers: Arc<Triggers>) -> Subscriber<V> {
    Box::new(move |old: Option<&Seen<V>>, new: Option<&Seen<V>>| {
        if let Some(seen) = new.or(old)
            && !seen.instance.is_empty()
        {
            triggers.push(Key {
                namespace: seen.key.namespace.clone(),
                name: seen.instance.clone(),
            });
        }
    })
}
