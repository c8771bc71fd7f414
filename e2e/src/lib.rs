//! The local cluster, the images that run on it, and the harness of the tests.

#![forbid(unsafe_code)]

pub mod bench;
pub mod binaries;
pub mod cache;
pub mod cluster;
pub mod demo;
pub mod harness;
pub mod images;
pub mod manifests;
pub mod system;
