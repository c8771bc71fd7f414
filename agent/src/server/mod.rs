//! The application's server as a child process: where its program is, how it is started, and how it is asked on loopback.
//!
//! Nothing here goes through a shell, and no answer of the server is believed to be the server's before it looks like one.

pub mod child;
pub mod http;
pub mod look;
