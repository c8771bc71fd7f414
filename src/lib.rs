//! The Paperclip operator. `docs/architecture.md` says how the parts fit together.
#![forbid(unsafe_code)]

pub mod controllers;
pub mod crd;
pub mod run;
pub mod shared;
