//! Instances of the earlier operator: they are recognised by its finalizer or its objects, and the defaults that it stored are not mistaken
//! for wishes. Here is who they are (pure); [`data`] is made safe first, [`takeover`] is what a pass does about the rest.

pub mod data;
mod leftovers;
pub mod rollout;
mod takeover;

pub use takeover::Takeover;

use crate::crd::Instance;
use crate::crd::instance::{AdoptedStatus, ExecutionMode, InstanceSpec};
use crate::shared::names::GO_FINALIZER;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

/// Whether a spec has the value.
type Has = fn(&InstanceSpec) -> bool;

/// Stored values that never had an effect and would have one now.
const INERT: &[(&str, Has)] = &[
    ("spec.secrets.strictMode", |s| {
        s.secrets.as_ref().and_then(|s| s.strict_mode) == Some(false)
    }),
    ("spec.adapters.execution.mode", |s| {
        let execution = s.adapters.as_ref().and_then(|a| a.execution.as_ref());
        execution.is_some_and(|e| e.mode.as_ref().is_some_and(|m| *m == ExecutionMode::Any))
    }),
];

/// What is on record, or the first look at such an Instance. An inert value counts again once it has changed. `objects`: there are objects
/// of this Instance that we did not make.
pub fn look(instance: &Instance, objects: bool, now: &Time) -> Option<AdoptedStatus> {
    let is_inert = |path: &str| INERT.iter().any(|(p, is)| *p == path && is(&instance.spec));
    if let Some(record) = instance.status.as_ref().and_then(|s| s.adopted.as_deref()) {
        let mut record = record.clone();
        record.ignored.retain(|path| is_inert(path));
        return Some(record);
    }
    let mut finalizers = instance.metadata.finalizers.iter().flatten();
    let finalizer = finalizers.find(|f| *f == GO_FINALIZER);
    // An Instance that we once brought to its end has these names in its status.
    let known = instance
        .status
        .as_ref()
        .and_then(|s| s.managed_resources.as_ref())
        .is_some_and(|m| !m.secrets.is_empty());
    (finalizer.is_some() || (objects && !known)).then(|| AdoptedStatus {
        from: Some(finalizer.map_or_else(|| "objects".to_owned(), Clone::clone)),
        time: Some(now.clone()),
        ignored: INERT
            .iter()
            .map(|(path, _)| (*path).to_owned())
            .filter(|path| is_inert(path))
            .collect(),
        ..AdoptedStatus::default()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn instance(yaml: &str) -> Instance {
        serde_saphyr::from_str(yaml).unwrap()
    }

    fn now() -> Time {
        Time(jiff::Timestamp::UNIX_EPOCH)
    }

    #[test]
    fn the_earlier_operators_finalizer_tells_and_its_defaults_are_noted() {
        let found = look(
            &instance(
                "{metadata: {finalizers: [paperclip.ai/finalizer]}, spec: {secrets: {strictMode: false}}}",
            ),
            false,
            &now(),
        );
        assert_eq!(found.unwrap().ignored, ["spec.secrets.strictMode"]);
        let none = "{metadata: {finalizers: [a/b]}, spec: {secrets: {strictMode: false}}}";
        assert_eq!(look(&instance(none), false, &now()), None);
    }

    #[test]
    fn a_value_that_has_changed_counts_from_then_on() {
        let record = "status: {adopted: {from: x, ignored: [spec.secrets.strictMode]}}";
        let still =
            format!("{{metadata: {{}}, spec: {{secrets: {{strictMode: false}}}}, {record}}}");
        let kept = look(&instance(&still), false, &now()).unwrap();
        assert_eq!(kept.ignored, ["spec.secrets.strictMode"]);
        let changed = still.replace("strictMode: false", "strictMode: true");
        assert!(
            look(&instance(&changed), false, &now())
                .unwrap()
                .ignored
                .is_empty()
        );
    }

    #[test]
    fn its_objects_tell_too_but_not_of_an_instance_that_we_know() {
        let bare = "{metadata: {}, spec: {}, status: {managedResources: {service: n}}}";
        let found = look(&instance(bare), true, &now()).unwrap();
        assert_eq!(found.from.as_deref(), Some("objects"));
        let known = bare.replace("service: n", "secrets: [n-app-keys]");
        assert_eq!(look(&instance(&known), true, &now()), None);
    }
}
