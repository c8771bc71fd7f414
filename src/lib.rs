//! The operator: see `docs/architecture.md`.
