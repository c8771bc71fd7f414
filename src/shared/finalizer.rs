//! Our finalizer: put on before the first thing that needs it, taken off when nothing does. The patch touches only the list of finalizers
//! and fails if anybody changed the object meanwhile. Pure.

use super::names::{FINALIZER, GO_FINALIZER};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use serde_json::{Value, json};

/// Whether our finalizer is on.
pub fn is_on(meta: &ObjectMeta) -> bool {
    meta.finalizers
        .iter()
        .flatten()
        .any(|name| name == FINALIZER)
}

/// The JSON patch that makes our finalizer be there or not; `None` if it is so already. The finalizer of the operator that we replace
/// goes in the same patch.
pub fn patch(meta: &ObjectMeta, wanted: bool) -> Option<Value> {
    let before = meta.finalizers.clone().unwrap_or_default();
    let mut after: Vec<&str> = before
        .iter()
        .map(String::as_str)
        .filter(|name| *name != FINALIZER && *name != GO_FINALIZER)
        .collect();
    if wanted {
        after.push(FINALIZER);
    }
    let same = before.len() == after.len() && before.iter().all(|b| after.contains(&b.as_str()));
    (!same).then(|| {
        json!([
            {"op": "test", "path": "/metadata/resourceVersion", "value": meta.resource_version.as_deref().unwrap_or_default()},
            {"op": "add", "path": "/metadata/finalizers", "value": after},
        ])
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(finalizers: &[&str]) -> ObjectMeta {
        ObjectMeta {
            finalizers: Some(finalizers.iter().map(|f| (*f).to_owned()).collect()),
            resource_version: Some("7".into()),
            ..ObjectMeta::default()
        }
    }
    fn list(patch: Option<Value>) -> Option<Value> {
        patch.map(|p| p[1]["value"].clone())
    }

    #[test]
    fn foreign_finalizers_stay_and_the_old_operators_goes() {
        let meta = with(&["a/b", GO_FINALIZER]);
        assert_eq!(list(patch(&meta, true)), Some(json!(["a/b", FINALIZER])));
        assert_eq!(list(patch(&meta, false)), Some(json!(["a/b"])));
    }

    #[test]
    fn nothing_is_sent_when_it_is_as_wanted() {
        assert_eq!(patch(&with(&[FINALIZER]), true), None);
        assert_eq!(patch(&ObjectMeta::default(), false), None);
        assert_eq!(list(patch(&with(&[FINALIZER]), false)), Some(json!([])));
    }

    #[test]
    fn the_patch_fails_if_the_object_changed_meanwhile() {
        let patch = patch(&with(&[]), true).unwrap();
        assert_eq!(
            patch[0],
            json!({"op": "test", "path": "/metadata/resourceVersion", "value": "7"})
        );
    }
}
