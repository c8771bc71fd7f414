//! [`Validated`] to objects, one file per kind. Pure.

mod job;
mod policy;

use super::validate::Validated;
use crate::shared::names::{Component, labels};
use crate::shared::random::hex;
use crate::shared::wish::{Malformed, Wish};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use sha2::{Digest, Sha256};

/// A Job's name becomes a label of its pods, with room for the ending of theirs.
const LONGEST_JOB: usize = 52;

/// Everything that is made, one field per object.
#[derive(Debug)]
pub struct Desired {
    /// Who may talk to whom.
    pub policy: Option<Wish>,
    /// The work.
    pub job: Wish,
}

/// Builds it.
///
/// # Errors
/// [`Malformed`], which is a fault of ours.
pub fn desired(v: &Validated) -> Result<Desired, Malformed> {
    Ok(Desired {
        policy: v.policy.then(|| policy::build(v)).transpose()?,
        job: job::build(v)?,
    })
}

/// Name of the Job of one backup object: another object of the same name has another Job.
pub fn job_name(name: &str, uid: &str) -> String {
    let mut hash = hex(&Sha256::digest(uid));
    hash.truncate(10);
    let room = LONGEST_JOB - hash.len() - 1;
    let short: String = name.chars().take(room).collect();
    format!("{}-{hash}", short.trim_end_matches(['-', '.']))
}

fn owned(v: &Validated, name: String) -> ObjectMeta {
    ObjectMeta {
        name: Some(name),
        namespace: Some(v.namespace.clone()),
        labels: Some(labels(&v.installation, Component::Backup)),
        owner_references: Some(vec![v.owner.clone()]),
        ..ObjectMeta::default()
    }
}
