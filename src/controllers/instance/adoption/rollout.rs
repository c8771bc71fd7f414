//! The one roll-out of an Instance that is taken over: the server's pods stay as the earlier operator made them until there is a reason to
//! replace them anyway. Pure.

use crate::controllers::instance::build::Desired;
use crate::controllers::instance::observed::Observed;
use crate::crd::Instance;
use crate::shared::cache::Seen;
use crate::shared::fingerprint;
use crate::shared::names::{ANNOTATION_ADOPT, ANNOTATION_CONFIG_HASH};
use crate::shared::views::{Pod, Workload};
use crate::shared::wish::Wish;
use serde_json::{Value, json};
use std::sync::Arc;

/// What is done about the server's workload.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Rollout {
    /// It is one of ours, or there is none.
    Ours,
    /// It stays as it was found.
    Held,
    /// The same, and what is asked for now is noted on it.
    Noted(String),
    /// It is replaced.
    Begun(Cause),
}

/// Why the roll-out begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cause {
    /// A person asked for it.
    Asked,
    /// The spec asks for other pods than it did when they were found.
    Changed,
    /// No pod is ready: there is nothing to lose.
    Down,
    /// The server is to be stopped.
    Suspended,
    /// Its migration has begun.
    Underway,
}

impl Cause {
    /// For people.
    pub const fn text(self) -> &'static str {
        match self {
            Self::Asked => "the annotation paperclip.inc/adopt asks for it",
            Self::Changed => "the spec changed",
            Self::Down => "no pod was ready",
            Self::Suspended => "spec.suspended stops the server",
            Self::Underway => "its migration had begun",
        }
    }
}

impl Rollout {
    /// The pods stay as they were found.
    pub const fn holds(&self) -> bool {
        matches!(self, Self::Held | Self::Noted(_))
    }
}

/// Its pods are as the earlier operator made them.
pub fn is_found(workload: &Seen<Workload>) -> bool {
    let noted = workload.view.metadata.annotations.found_with.is_some();
    let view = &workload.view.spec.template;
    (noted || workload.owned.is_none()) && view.metadata.annotations.config_hash.is_none()
}

/// Decides. `asked` is what [`asked`] says of the workload as it would be now.
pub fn decide(instance: &Instance, observed: &Observed, asked: &str) -> Rollout {
    let Some(workload) = observed.workload().filter(|w| is_found(w)) else {
        return Rollout::Ours;
    };
    let generation = instance.metadata.generation.unwrap_or_default();
    let annotations = instance.metadata.annotations.as_ref();
    if instance.spec.suspended == Some(true) {
        return Rollout::Begun(Cause::Suspended);
    }
    if annotations.is_some_and(|a| a.get(ANNOTATION_ADOPT).is_some_and(|v| v == "now")) {
        return Rollout::Begun(Cause::Asked);
    }
    // While the roll-out is held, no migration is made: there is one, so it was begun.
    if !observed.jobs.is_empty() {
        return Rollout::Begun(Cause::Underway);
    }
    if !observed.serves() {
        return Rollout::Begun(Cause::Down);
    }
    let note = format!("{generation}-{asked}");
    let Some(before) = workload.view.metadata.annotations.found_with.as_deref() else {
        return Rollout::Noted(note);
    };
    let (of, wanted) = before.split_once('-').unwrap_or(("", before));
    match (of == generation.to_string(), wanted == asked) {
        (true, true) => Rollout::Held,
        // Another operator builds other pods, or the spec changed and asks for the same pods.
        (true, false) | (false, true) => Rollout::Noted(note),
        (false, false) => Rollout::Begun(Cause::Changed),
    }
}

/// Pods that keep the workload from its own repair.
pub fn blocking(observed: &Observed) -> Vec<Arc<Seen<Pod>>> {
    let Some(workload) = observed.workload() else {
        return vec![];
    };
    let pods = observed.pods.iter();
    pods.filter(|pod| workload.view.is_blocked_by(pod))
        .cloned()
        .collect()
}

/// What a workload asks of its pods, whichever agent is in them, and whatever the Secrets hold.
pub fn asked(wish: &Wish) -> String {
    let spec = &wish.body["spec"];
    let mut template = spec["template"].clone();
    for container in template["spec"]["initContainers"]
        .as_array_mut()
        .into_iter()
        .flatten()
        .filter(|c| c["name"] == crate::shared::names::AGENT_COPY)
    {
        container["image"] = Value::Null;
    }
    if let Some(map) = template["metadata"]["annotations"].as_object_mut() {
        map.remove(ANNOTATION_CONFIG_HASH);
    }
    let all = json!({"kind": &*wish.kind.kind, "replicas": spec["replicas"], "template": template});
    format!("{:016x}", fingerprint::hash(&all))
}

/// Nothing is taken away from pods that stay: the policy keeps the rules that it has, and the account its token. `policy` is the stored one.
pub fn spare(desired: &mut Desired, policy: Option<&Value>) {
    if let (Some(wish), Some(stored)) = (&mut desired.policy, policy) {
        wish.change(|body| {
            for direction in ["ingress", "egress"] {
                let found = stored["spec"][direction].as_array().cloned();
                let Some(found) = found else { continue };
                let mut rules = body["spec"][direction]
                    .as_array()
                    .cloned()
                    .unwrap_or_default();
                for rule in found {
                    if !rules.contains(&rule) {
                        rules.push(rule);
                    }
                }
                body["spec"][direction] = Value::Array(rules);
            }
        });
    }
    if let Some(account) = &mut desired.account {
        account.change(|body| {
            if let Some(map) = body.as_object_mut() {
                map.remove("automountServiceAccountToken");
            }
        });
    }
}

/// What the roll-out changes, for people: from the stored workload to the one that is wanted.
pub fn changes(stored: &Value, wanted: &Wish) -> Vec<String> {
    let (old, new) = (
        &stored["spec"]["template"],
        &wanted.body["spec"]["template"],
    );
    let (old_server, new_server) = (server(old), server(new));
    let mut all = vec![];
    let (was, is) = (&old_server["image"], &new_server["image"]);
    if let (Some(was), Some(is)) = (was.as_str(), is.as_str())
        && was != is
    {
        all.push(format!("image {was} becomes {is}"));
    }
    let gone = missing(
        &old["spec"]["initContainers"],
        &new["spec"]["initContainers"],
    );
    if !gone.is_empty() {
        all.push(format!("init containers go: {}", gone.join(", ")));
    }
    let shell = old_server["command"][0]
        .as_str()
        .is_some_and(|c| c.ends_with("sh"));
    if shell && old_server["command"] != new_server["command"] {
        all.push("the server is no longer started by a shell".into());
    }
    let read_only = |c: &Value| c["securityContext"]["readOnlyRootFilesystem"] == true;
    if !read_only(old_server) && read_only(new_server) {
        all.push("read-only root file system".into());
    }
    if old["spec"]["automountServiceAccountToken"] != false
        && new["spec"]["automountServiceAccountToken"] == false
    {
        all.push("no service account token in the pod".into());
    }
    let probe = |c: &Value| c["readinessProbe"]["httpGet"].is_object();
    if !probe(old_server) && probe(new_server) {
        all.push("readiness by HTTP".into());
    }
    let (go, come) = (
        missing(&old_server["env"], &new_server["env"]),
        missing(&new_server["env"], &old_server["env"]),
    );
    if !go.is_empty() {
        all.push(format!("variables go: {}", some(&go)));
    }
    if !come.is_empty() {
        all.push(format!("variables come: {}", some(&come)));
    }
    if all.is_empty() {
        all.push("the pod template is rendered anew".into());
    }
    all
}

fn server(template: &Value) -> &Value {
    static NONE: Value = Value::Null;
    let containers = template["spec"]["containers"].as_array();
    let named = containers
        .into_iter()
        .flatten()
        .find(|c| c["name"] == "paperclip");
    named.unwrap_or(&NONE)
}

/// Names in the first list that the second has not.
fn missing<'v>(of: &'v Value, from: &Value) -> Vec<&'v str> {
    let names = |list: &'v Value| {
        let all = list.as_array().into_iter().flatten();
        all.filter_map(|e| e["name"].as_str())
    };
    let there: Vec<&str> = from
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(|e| e["name"].as_str())
        .collect();
    names(of).filter(|n| !there.contains(n)).collect()
}

/// The first few of them, and how many more there are.
fn some(names: &[&str]) -> String {
    const FEW: usize = 4;
    let first = names
        .iter()
        .take(FEW)
        .copied()
        .collect::<Vec<_>>()
        .join(", ");
    match names.len().saturating_sub(FEW) {
        0 => first,
        more => format!("{first} and {more} more"),
    }
}

#[cfg(test)]
mod tests;
