//! [`Validated`] to objects. Pure.

use super::validate::Validated;
use crate::controllers::archive::{job, policy};
use crate::shared::names::{Component, labels};
use crate::shared::wish::{Malformed, Wish};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

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
    let ways = policy::Ways {
        namespace: &v.namespace,
        installation: &v.installation,
        component: Component::Backup,
        destination: &v.destination,
        engine: v.source.engine,
        domain: &v.domain,
    };
    let task = job::Task {
        installation: &v.installation,
        component: Component::Backup,
        command: "backup",
        destination: &v.destination,
        source: &v.source,
        user: None,
        identity: None,
        variables: variables(v),
        resources: &v.resources,
        deadline: v.deadline,
        agent_image: &v.agent_image,
    };
    Ok(Desired {
        policy: v
            .policy
            .then(|| policy::build(owned(v, v.name.clone()), &ways))
            .transpose()?,
        job: job::build(owned(v, job::name(&v.name, &v.uid)), &task)?,
    })
}

fn variables(v: &Validated) -> Vec<(&'static str, String)> {
    let mut all = vec![];
    if !v.recipients.is_empty() {
        all.push(("PAPERCLIP_AGENT_AGE_RECIPIENTS", v.recipients.join(" ")));
    }
    if let Some(spec) = &v.spec {
        all.push(("PAPERCLIP_AGENT_SPEC", spec.clone()));
    }
    all.push(("PAPERCLIP_AGENT_ABOUT", v.about.to_string()));
    all
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
