//! What every controller uses. Nothing here knows a kind of ours by name, with one exception: [`names`], the vocabulary.

pub mod api;
pub mod apply;
pub mod backoff;
pub mod cache;
pub mod conditions;
pub mod context;
pub mod controller;
pub mod events;
pub mod finalizer;
pub mod fingerprint;
pub mod foreign;
pub mod guarded;
pub mod health;
pub mod informer;
pub mod metrics;
pub mod names;
pub mod options;
pub mod quantity;
pub mod random;
pub mod serving;
pub mod supervise;
pub mod telemetry;
pub mod triggers;
pub mod views;
pub mod wish;
