//! What backups and restores have in common: the bucket, the database, and the Job of the agent that works with both.

pub mod destination;
pub mod job;
pub mod policy;
pub mod source;
pub mod verdict;
pub mod work;
