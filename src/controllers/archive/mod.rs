//! What backups and restores have in common: the bucket, the database, the server's files and keys, and the Job of the agent that works with them.

pub mod destination;
pub mod files;
pub mod job;
pub mod keys;
pub mod policy;
pub mod server;
pub mod source;
pub mod verdict;
pub mod work;
