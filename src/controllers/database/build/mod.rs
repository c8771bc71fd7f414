//! [`Validated`] to objects, one file per kind. Pure.
//!
//! Lists that the API server keeps as a whole are spelled with its defaults, and amounts in its spelling: so a wish and what is stored have
//! one fingerprint, and a pass over a database that is as wished sends nothing.

mod account;
mod check;
mod claim;
mod pod;
mod policy;
mod secrets;
mod service;
mod stateful_set;

pub use secrets::{AppSecret, SecretPlan};

use super::check::Due;
use super::validate::{Credentials, Engine, External, Managed, Validated, Volume};
use crate::shared::names::{Component, labels};
use crate::shared::wish::{Malformed, Wish};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

/// Everything that is made, one field per object. Holds a password, so it cannot be printed.
#[derive(Default)]
pub struct Desired {
    /// `N-db-data`.
    pub claim: Option<Wish>,
    /// `N-db`, the address.
    pub service: Option<Wish>,
    /// `N-db`, the account of the pod.
    pub account: Option<Wish>,
    /// `N-db`, who may connect.
    pub policy: Option<Wish>,
    /// `N-db`, PostgreSQL.
    pub stateful_set: Option<StatefulSetWish>,
    /// `N-db-credentials` and `N-db-app`.
    pub secrets: SecretPlan,
    /// `N-check`, who may be asked.
    pub check_policy: Option<Wish>,
    /// The Job that asks now.
    pub check: Option<Wish>,
}

/// PostgreSQL, with our agent and with the one that runs there now: a new operator alone restarts no database.
pub struct StatefulSetWish {
    /// With our agent.
    pub wanted: Wish,
    /// The same with the agent in use, if it is another one.
    pub in_use: Option<Wish>,
}

/// Builds it.
///
/// # Errors
/// [`Malformed`], which is a fault of ours.
pub fn desired(validated: &Validated, due: Option<&Due>) -> Result<Desired, Malformed> {
    let outside = match &validated.engine {
        Engine::Managed(managed) => return of_managed(validated, managed),
        Engine::External(outside) => outside,
    };
    Ok(Desired {
        secrets: match &outside.external {
            External::Literal(url) => {
                SecretPlan::App(Box::new(secrets::app_of_url(validated, url)?))
            }
            External::Reference { .. } => SecretPlan::Untouched,
        },
        check_policy: Some(check::policy(validated)?),
        check: due
            .map(|due| check::job(validated, outside, due))
            .transpose()?,
        ..Desired::default()
    })
}

fn of_managed(validated: &Validated, managed: &Managed) -> Result<Desired, Malformed> {
    // Without its password or its volume nothing may be made anew; what runs goes on.
    if matches!(
        managed.credentials,
        Credentials::Lost(_) | Credentials::NoRandomness
    ) || matches!(
        managed.volume,
        Volume::Lost { .. }
            | Volume::Existing {
                missing: Some(_),
                ..
            }
    ) {
        return Ok(Desired::default());
    }
    let in_use = managed
        .agent_image_in_use
        .as_deref()
        .map(|image| stateful_set::build(validated, managed, image))
        .transpose()?;
    Ok(Desired {
        claim: claim::build(validated, managed)?,
        service: Some(service::build(validated)?),
        account: Some(account::build(validated)?),
        policy: Some(policy::build(validated)?),
        stateful_set: Some(StatefulSetWish {
            wanted: stateful_set::build(validated, managed, &managed.agent_image)?,
            in_use,
        }),
        secrets: secrets::plan(validated, managed)?,
        check_policy: None,
        check: None,
    })
}

/// Metadata of an object that goes with the database.
fn owned(validated: &Validated, name: String) -> ObjectMeta {
    ObjectMeta {
        owner_references: Some(vec![validated.owner.clone()]),
        ..kept(validated, name)
    }
}

/// Metadata of an object that outlives the database.
fn kept(validated: &Validated, name: String) -> ObjectMeta {
    ObjectMeta {
        name: Some(name),
        namespace: Some(validated.namespace.clone()),
        labels: Some(labels(validated.names.main(), Component::Database)),
        ..ObjectMeta::default()
    }
}
