//! A throw-away Kubernetes cluster on this machine, without a registry and without a container engine. Everything runs in
//! namespaces of its own; the host sees one process tree, a listener on its loopback and two folders.

pub mod control;
mod control_plane;
mod daemons;
mod forward;
pub mod host;
pub mod init;
pub mod layout;
mod network;
mod pki;
mod played_node;
pub mod real_node;
mod volumes;

pub use control_plane::client;
pub use host::{Options, down, up};
pub use layout::{Layout, State, Tier};
pub use pki::write_private;
