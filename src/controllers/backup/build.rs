//! [`Validated`] to objects. Pure.

use super::validate::Validated;
use crate::controllers::archive::job::{Task, WithFiles};
use crate::controllers::archive::work::Work;
use crate::shared::agent;
use crate::shared::names::Component;
use crate::shared::wish::Malformed;

/// The Job, and who it may talk to.
///
/// # Errors
/// [`Malformed`], which is a fault of ours.
pub fn work(v: &Validated) -> Result<Work, Malformed> {
    let task = Task {
        installation: &v.installation,
        component: Component::Backup,
        command: "backup",
        destination: &v.destination,
        source: &v.source,
        user: None,
        identity: None,
        files: v.files.as_ref().map(|files| WithFiles {
            files,
            writes: false,
            beside: v.server_runs,
        }),
        keys: &v.keys,
        variables: variables(v),
        resources: &v.resources,
        deadline: v.deadline,
        agent_image: &v.agent_image,
    };
    let owner = v.owner();
    let job = owner.metadata(&agent::job_name(&v.name, &v.uid), &task);
    owner.work(job, &v.name, &task)
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
