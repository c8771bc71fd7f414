//! The Job that brings the database's schema to what the image's release wants: one per image and database. It never sees the data
//! volume. Pure.

use super::{Setting, env, job};
use crate::controllers::instance::validate::Validated;
use crate::shared::names::Component;
use k8s_openapi::api::batch::v1::Job;
use sha2::{Digest, Sha256};

/// What tells one migration from another: the image, the database, and a restore that was handled. Never a Secret or a variable.
pub fn hash(image: &str, database_uid: &str, restored: Option<&str>) -> String {
    let mut sha = Sha256::new();
    for part in [image, database_uid, restored.unwrap_or_default()] {
        sha.update((part.len() as u64).to_be_bytes());
        sha.update(part.as_bytes());
    }
    let mut hex = crate::shared::random::hex(&sha.finalize());
    hex.truncate(10);
    hex
}

/// The Job called `name`.
pub fn build(v: &Validated<'_>, s: &Setting<'_>, name: &str) -> Job {
    let task = job::Task {
        name,
        component: Component::Migration,
        command: "migrate",
        env: env::migration(&env::server(v, s.connection, s.ipv6)),
        requests: ["100m", "256Mi"],
        deadline: 3600,
        home: None,
        own: None,
    };
    job::build(v, s, task)
}
