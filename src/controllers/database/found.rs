//! PostgreSQL's StatefulSet as the earlier operator left it: it is taken over without a restart, and its pod stays as it is until a change
//! of it is asked for. Pure.

use crate::crd::PaperclipDatabase;
use crate::crd::database::PaperclipDatabaseSpec;
use crate::crd::text;
use crate::shared::cache::Seen;
use crate::shared::fingerprint;
use crate::shared::views::Workload;
use serde_json::{Value, json};

/// Fields that decide what the pod is like. Not those that come with a newer operator by themselves: it restarts no database.
const OF_THE_POD: [&str; 9] = [
    "image",
    "version",
    "resources",
    "nodeSelector",
    "tolerations",
    "affinity",
    "priorityClassName",
    "imagePullSecrets",
    "parameters",
];

/// What is to be done about the StatefulSet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Found {
    /// It is one of ours, or there is none.
    Ours,
    /// It was found now: it becomes ours as it is.
    TakeUp,
    /// It stays as it was found.
    Keep,
    /// A change is asked for.
    Replace,
}

/// What a spec asks of the pod.
#[derive(Clone, Debug)]
pub struct Asked {
    /// Noted on the StatefulSet when it is taken up.
    pub mark: String,
    /// Something that the earlier operator could not do.
    beyond: bool,
}

impl Asked {
    /// By this object.
    pub fn of(object: &PaperclipDatabase) -> Self {
        let spec = &object.spec;
        let mut asked = serde_json::to_value(spec).unwrap_or_default();
        let existing = asked["storage"]["existingClaim"].take();
        if let Value::Object(map) = &mut asked {
            map.retain(|field, _| OF_THE_POD.contains(&field.as_str()));
        }
        asked["existingClaim"] = existing;
        asked["suspend"] = json!(spec.suspend == Some(true));
        Self {
            mark: format!("{:016x}", fingerprint::hash(&asked)),
            beyond: beyond(spec),
        }
    }

    /// What that means for the StatefulSet that is there.
    pub fn of_what_is_there(&self, seen: Option<&Seen<Workload>>) -> Found {
        let Some(seen) = seen.filter(|seen| is_found(seen)) else {
            return Found::Ours;
        };
        match seen.view.metadata.annotations.found_with.as_deref() {
            _ if self.beyond => Found::Replace,
            None => Found::TakeUp,
            Some(mark) if mark == self.mark => Found::Keep,
            Some(_) => Found::Replace,
        }
    }
}

fn beyond(spec: &PaperclipDatabaseSpec) -> bool {
    let claim = spec
        .storage
        .as_ref()
        .and_then(|s| text(s.existing_claim.as_ref()));
    !spec.parameters.is_empty() || spec.suspend == Some(true) || claim.is_some()
}

/// Its pod is not one that we would make: nothing in it copies the agent, and we never applied it, or noted that we left it so.
fn is_found(seen: &Seen<Workload>) -> bool {
    let noted = seen.view.metadata.annotations.found_with.is_some();
    (noted || seen.owned.is_none()) && seen.view.spec.template.agent_image().is_none()
}

/// It was taken up and is left as it was found.
pub fn is_kept(seen: &Seen<Workload>) -> bool {
    is_found(seen) && seen.view.metadata.annotations.found_with.is_some()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::shared::names::manager;

    fn asked(spec: &str) -> Asked {
        let object: PaperclipDatabase =
            serde_saphyr::from_str(&format!("{{metadata: {{name: n}}, spec: {spec}}}")).unwrap();
        Asked::of(&object)
    }

    fn stateful_set(mark: Option<&str>, agent: bool, applied: bool) -> Seen<Workload> {
        let mut object = json!({"apiVersion": "apps/v1", "kind": "StatefulSet", "metadata": {"name": "n-db", "uid": "u"},
            "spec": {"replicas": 1, "template": {"spec": {}}}});
        if let Some(mark) = mark {
            object["metadata"]["annotations"] = json!({"paperclip.inc/found-with": mark});
        }
        if agent {
            object["spec"]["template"]["spec"]["initContainers"] =
                json!([{"name": "agent-copy", "image": "operator:1"}]);
        }
        if applied {
            object["metadata"]["managedFields"] = json!([{"manager": manager::DATABASE, "operation": "Apply",
                "fieldsV1": {"f:spec": {"f:replicas": {}}}}]);
        }
        Seen::read(object, &[manager::DATABASE])
    }

    #[test]
    fn a_found_database_is_taken_up_and_then_left_until_its_pod_is_to_change() {
        let before = asked("{image: 'postgres:17-alpine', storage: {size: 10Gi}}");
        let fresh = stateful_set(None, false, false);
        assert_eq!(before.of_what_is_there(Some(&fresh)), Found::TakeUp);
        let kept = stateful_set(Some(&before.mark), false, true);
        assert_eq!(before.of_what_is_there(Some(&kept)), Found::Keep);
        let grown =
            asked("{image: 'postgres:17-alpine', storage: {size: 20Gi}, deletionPolicy: Delete}");
        assert_eq!(grown.of_what_is_there(Some(&kept)), Found::Keep);
        for change in [
            "{image: 'postgres:17.6-alpine'}",
            "{image: 'postgres:17-alpine', resources: {limits: {memory: 2Gi}}}",
            "{image: 'postgres:17-alpine', nodeSelector: {a: b}}",
        ] {
            let found = asked(change).of_what_is_there(Some(&kept));
            assert_eq!(found, Found::Replace, "{change}");
        }
    }

    #[test]
    fn what_the_earlier_operator_could_not_do_is_asked_for_at_first_sight() {
        let fresh = stateful_set(None, false, false);
        for spec in ["{suspend: true}", "{parameters: {work_mem: 8MB}}"] {
            let found = asked(spec).of_what_is_there(Some(&fresh));
            assert_eq!(found, Found::Replace, "{spec}");
        }
    }

    #[test]
    fn a_stateful_set_of_ours_is_none_that_was_found() {
        let ours = asked("{}");
        assert_eq!(ours.of_what_is_there(None), Found::Ours);
        for seen in [
            stateful_set(None, true, true),
            // Somebody took the agent out, or made the API server forget who wrote what.
            stateful_set(None, false, true),
            stateful_set(None, true, false),
            stateful_set(Some("x"), true, true),
        ] {
            assert_eq!(ours.of_what_is_there(Some(&seen)), Found::Ours);
        }
    }
}
