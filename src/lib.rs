//! The operator: see `docs/architecture.md`.

pub mod crd;
