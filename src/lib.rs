//! The Paperclip operator. `docs/architecture.md` says how the parts fit together.
#![forbid(unsafe_code)]

pub mod crd;
pub mod shared;
