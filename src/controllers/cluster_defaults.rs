//! The PaperclipClusterDefaults controller: it says whether an object counts. What it gives to Instances is merged by theirs, in memory.
//! Must never write into an Instance.

use super::instance::defaults::{InUse, merge};
use super::instance::found::{Found, Learned};
use super::instance::validate::{Input, validate};
use crate::crd::cluster_defaults::{PaperclipClusterDefaultsSpec, PaperclipClusterDefaultsStatus};
use crate::crd::{Instance, PaperclipClusterDefaults};
use crate::shared::cache::{Cache, Key, Seen};
use crate::shared::conditions::{Fact, Truth, clean, find, list, merge as merge_conditions};
use crate::shared::context::Context;
use crate::shared::controller::{Again, Failure, Reconcile};
use crate::shared::events::{Regarding, Severity};
use crate::shared::guarded::Guarded;
use crate::shared::names::{ANNOTATION_RECONCILE_REQUESTED, manager};
use crate::shared::wish::Kind;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, Time};
use std::sync::Arc;

/// The name of the one object that counts.
pub const NAME: &str = "cluster";

type View = Guarded<PaperclipClusterDefaults>;

/// The defaults that count, if there are any and nothing is wrong with them.
pub fn current(cache: &Cache<View>, domain: &str) -> Option<Arc<Seen<View>>> {
    let seen = cache.get(&Key::new("", NAME))?;
    let Guarded::Ok(object) = &seen.view else {
        return None;
    };
    (!seen.deleting && problems(&object.spec, domain).is_empty()).then_some(seen)
}

/// What would be wrong with an Instance that has nothing but these values.
fn problems(spec: &PaperclipClusterDefaultsSpec, domain: &str) -> Vec<String> {
    let instance = Instance {
        metadata: ObjectMeta {
            name: Some(NAME.to_owned()),
            namespace: Some(NAME.to_owned()),
            uid: Some(NAME.to_owned()),
            ..ObjectMeta::default()
        },
        spec: merge(
            &crate::crd::instance::InstanceSpec::default(),
            spec,
            &InUse::default(),
        )
        .spec,
        status: None,
    };
    let learned = Learned::default();
    let input = Input {
        instance: &instance,
        adopted: None,
        learned: &learned,
        domain,
    };
    let verdict = validate(input, &Found::default());
    // An external database has its address in the Instance.
    let blocking = verdict.findings.iter().filter(|f| f.class.blocks());
    blocking
        .filter(|f| f.path != "spec.database")
        .map(|f| format!("{}: {}", f.path, f.text))
        .collect()
}

/// See the module.
pub struct Controller {
    context: Arc<Context>,
    cache: Arc<Cache<View>>,
}

impl Controller {
    /// Works with what it is given.
    pub fn new(context: Arc<Context>, cache: Arc<Cache<View>>) -> Self {
        Self { context, cache }
    }
}

impl Reconcile for Controller {
    type View = View;
    const NAME: &'static str = "clusterdefaults";

    async fn reconcile(&self, seen: Arc<Seen<View>>) -> Result<Again, Failure> {
        if seen.deleting {
            return Ok(Again::Someday);
        }
        let (before, spec) = match &seen.view {
            Guarded::Ok(object) => (object.status.clone().unwrap_or_default(), Ok(&object.spec)),
            Guarded::Undecodable { error, .. } => (
                PaperclipClusterDefaultsStatus::default(),
                Err(error.clone()),
            ),
        };
        let ready = ready(&seen.key.name, spec, &self.context.options.cluster_domain);
        let after = status(&before, ready, &seen);
        if before == after {
            return Ok(Again::Someday);
        }
        let value = serde_json::to_value(&after)
            .map_err(|e| Failure::new("status", "InternalError", &e))?;
        let kind = Kind::of::<PaperclipClusterDefaults>();
        let name = &*seen.key.name;
        let api = &self.context.api;
        match api
            .replace_status(&kind, "", name, manager::INSTANCE, &seen.uid, &value)
            .await
        {
            Ok(stored) => {
                self.cache.wrote_as_itself(stored);
            }
            Err(error) if error.is_not_found() => return Ok(Again::Someday),
            Err(error) => return Err(Failure::new("status", error.reason(), &error)),
        }
        self.announce(&seen, &before, &after);
        Ok(Again::Someday)
    }
}

impl Controller {
    /// That an object does not count is told once.
    fn announce(
        &self,
        seen: &Seen<View>,
        before: &PaperclipClusterDefaultsStatus,
        after: &PaperclipClusterDefaultsStatus,
    ) {
        let is = find(&after.conditions, "Ready").filter(|c| c.status == "False");
        let was = find(&before.conditions, "Ready").map(|c| c.reason.as_str());
        if let Some(now) = is.filter(|now| was != Some(&now.reason)) {
            let regarding = Regarding::of::<PaperclipClusterDefaults, _>(seen);
            let events = &self.context.events;
            events.send(&regarding, Severity::Warning, &now.reason, &now.message);
        }
    }
}

/// Whether the object counts.
fn ready(name: &str, spec: Result<&PaperclipClusterDefaultsSpec, String>, domain: &str) -> Fact {
    let no = |reason: &str, why: String| Fact::new("Ready", Truth::False, reason, why);
    if name != NAME {
        return no(
            "InvalidName",
            format!(
                "metadata.name: only the object named \"{NAME}\" counts; this one has no effect"
            ),
        );
    }
    let spec = match spec {
        Ok(spec) => spec,
        Err(error) => {
            return no(
                "InvalidSpec",
                format!("cannot be read, none of it is used: {error}"),
            );
        }
    };
    let problems = problems(spec, domain);
    if !problems.is_empty() {
        return no(
            "InvalidSpec",
            format!("none of it is used: {}", list(&problems)),
        );
    }
    let unused = spec.backup.as_ref().and_then(|b| b.storage.as_ref());
    let message = match unused {
        Some(_) => "used for every Instance that says nothing itself; spec.backup is not used yet",
        None => "used for every Instance that says nothing itself",
    };
    Fact::new("Ready", Truth::True, "Singleton", message)
}

fn status(
    before: &PaperclipClusterDefaultsStatus,
    ready: Fact,
    seen: &Seen<View>,
) -> PaperclipClusterDefaultsStatus {
    let meta = seen.view.meta();
    let annotations = meta.annotations.as_ref();
    let requested = annotations.and_then(|a| a.get(ANNOTATION_RECONCILE_REQUESTED));
    let requested = requested.map(|text| clean(text).chars().take(64).collect());
    let mut facts = vec![ready];
    if facts[0].truth == Truth::False {
        let stalled = Fact {
            kind: "Stalled",
            truth: Truth::True,
            ..facts[0].clone()
        };
        facts.push(stalled);
    }
    let now = Time(jiff::Timestamp::now());
    PaperclipClusterDefaultsStatus {
        observed_generation: Some(seen.generation),
        conditions: merge_conditions(&before.conditions, facts, seen.generation, &now),
        last_handled_reconcile_at: requested.or_else(|| before.last_handled_reconcile_at.clone()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(name: &str, yaml: &str) -> String {
        let spec: PaperclipClusterDefaultsSpec = serde_saphyr::from_str(yaml).unwrap();
        let fact = ready(name, Ok(&spec), "cluster.local");
        format!("{} {}", fact.reason, fact.message)
    }

    #[test]
    fn only_the_object_of_that_name_counts() {
        assert!(said("cluster", "{image: {tag: '7'}}").starts_with("Singleton "));
        assert!(said("other", "{}").starts_with("InvalidName metadata.name: only"));
    }

    #[test]
    fn nothing_of_a_wrong_object_is_used() {
        let said = said(
            "cluster",
            "{networking: {service: {type: Magic}}, image: {tag: '7'}}",
        );
        assert!(
            said.starts_with(
                "InvalidSpec none of it is used: spec.networking.service.type: \"Magic\""
            ),
            "{said}"
        );
    }

    #[test]
    fn what_an_instance_has_to_add_is_not_asked_of_the_admin() {
        assert!(said("cluster", "{databaseMode: external}").starts_with("Singleton "));
    }

    #[test]
    fn what_is_not_used_yet_is_told() {
        let said = said("cluster", "{backup: {storage: {s3: {bucket: bbb}}}}");
        assert!(said.contains("spec.backup is not used yet"), "{said}");
    }
}
