//! Objects that an earlier operator made with plain updates: how their fields become ours, so that a later apply of ours can also *remove*
//! what it left (a list entry of another manager outlives every apply). One JSON patch that fails if the object changed meanwhile. Pure.
//!
//! Must only be asked about objects that certainly are that operator's: controlled by the owner in question. Who it was is not guessed
//! from a name: it is who set the controlling owner reference by an update. Fields of anybody else stay theirs.

use super::names::ANNOTATION_FOUND_WITH;
use serde_json::{Map, Value, json};
use std::collections::BTreeSet;

/// Who takes over, and from whom.
#[derive(Clone, Copy, Debug)]
pub struct Heir<'a> {
    /// Our field manager.
    pub manager: &'a str,
    /// The controlling owner reference that the object shall have.
    pub owner: &'a Value,
    /// Uid of the controller that it may have now, beside that one.
    pub predecessor: Option<&'a str>,
}

/// The patch after which the next apply of ours owns everything that the earlier operator set. `None`: there is nothing to move.
pub fn patch(live: &Value, heir: &Heir<'_>) -> Option<Value> {
    let fields = managed_fields(live, heir);
    let owners = owners(live, heir);
    if fields.is_none() && owners.is_none() {
        return None;
    }
    let mut all = opening(live);
    if let Some(fields) = fields {
        all.push(json!({"op": "add", "path": "/metadata/managedFields", "value": fields}));
    }
    if let Some(owners) = owners {
        all.push(json!({"op": "add", "path": "/metadata/ownerReferences", "value": owners}));
    }
    Some(Value::Array(all))
}

/// The same for an object whose content stays as it was found: labels and owner become ours, and `mark` says what was asked for then.
pub fn keep_as_found(live: &Value, heir: &Heir<'_>, labels: &Value, mark: &str) -> Value {
    let mut all = match patch(live, heir) {
        Some(Value::Array(all)) => all,
        _ => opening(live),
    };
    for (map, entries) in [
        ("labels", labels.clone()),
        ("annotations", json!({ANNOTATION_FOUND_WITH: mark})),
    ] {
        let mut merged = live["metadata"][map]
            .as_object()
            .cloned()
            .unwrap_or_default();
        merged.extend(entries.as_object().cloned().unwrap_or_default());
        all.push(json!({"op": "add", "path": format!("/metadata/{map}"), "value": merged}));
    }
    Value::Array(all)
}

fn opening(live: &Value) -> Vec<Value> {
    let meta = &live["metadata"];
    vec![
        json!({"op": "test", "path": "/metadata/uid", "value": meta["uid"]}),
        json!({"op": "test", "path": "/metadata/resourceVersion", "value": meta["resourceVersion"]}),
    ]
}

/// The owner references with ours in place of the predecessor's; `None`: they are so already.
fn owners(live: &Value, heir: &Heir<'_>) -> Option<Vec<Value>> {
    let predecessor = heir.predecessor?;
    let now = live["metadata"]["ownerReferences"].as_array()?;
    if !now.iter().any(|r| r["uid"] == predecessor) {
        return None;
    }
    let kept = now
        .iter()
        .filter(|r| r["uid"] != predecessor && r["uid"] != heir.owner["uid"]);
    Some(kept.cloned().chain([heir.owner.clone()]).collect())
}

/// All entries, with those of the earlier operator merged into ours.
fn managed_fields(live: &Value, heir: &Heir<'_>) -> Option<Vec<Value>> {
    let entries = live["metadata"]["managedFields"].as_array()?;
    let uids: BTreeSet<&str> = [heir.owner["uid"].as_str(), heir.predecessor]
        .into_iter()
        .flatten()
        .collect();
    let plain = |e: &Value, operation: &str| {
        e["operation"] == operation
            && e["subresource"].as_str().is_none_or(str::is_empty)
            && e["apiVersion"] == live["apiVersion"]
    };
    let earlier: BTreeSet<&str> = entries
        .iter()
        .filter(|e| plain(e, "Update") && names_owner(e, &uids))
        .filter_map(|e| e["manager"].as_str())
        .collect();
    let moves = |e: &Value| {
        let manager = e["manager"].as_str().unwrap_or_default();
        plain(e, "Update") && (manager == heir.manager || earlier.contains(manager))
    };
    if !entries.iter().any(moves) {
        return None;
    }
    let ours = |e: &Value| plain(e, "Apply") && e["manager"] == heir.manager;
    let mut fields = Map::new();
    for entry in entries.iter().filter(|e| ours(e) || moves(e)) {
        merge(&mut fields, &entry["fieldsV1"]);
    }
    // Somebody may scale it: without an owner the number stays what it is.
    if let Some(spec) = fields.get_mut("f:spec").and_then(Value::as_object_mut) {
        spec.remove("f:replicas");
    }
    let merged = json!({
        "manager": heir.manager, "operation": "Apply", "apiVersion": live["apiVersion"], "fieldsType": "FieldsV1",
        "fieldsV1": fields,
    });
    let rest = entries.iter().filter(|e| !ours(e) && !moves(e)).cloned();
    Some(rest.chain([merged]).collect())
}

/// The entry sets the owner reference with one of these uids.
fn names_owner(entry: &Value, uids: &BTreeSet<&str>) -> bool {
    let references = entry["fieldsV1"]["f:metadata"]["f:ownerReferences"].as_object();
    references.is_some_and(|map| {
        map.keys()
            .filter_map(|key| key.strip_prefix("k:"))
            .filter_map(|key| serde_json::from_str::<Value>(key).ok())
            .any(|key| key["uid"].as_str().is_some_and(|uid| uids.contains(uid)))
    })
}

fn merge(into: &mut Map<String, Value>, from: &Value) {
    for (key, below) in from.as_object().into_iter().flatten() {
        let slot = into
            .entry(key.clone())
            .or_insert_with(|| Value::Object(Map::new()));
        if let Value::Object(slot) = slot {
            merge(slot, below);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OURS: &str = "paperclip-instance";

    fn owner(uid: &str) -> Value {
        json!({"apiVersion": "paperclip.inc/v1alpha1", "kind": "Instance", "name": "n", "uid": uid, "controller": true})
    }

    fn entry(manager: &str, operation: &str, fields: &Value) -> Value {
        json!({"manager": manager, "operation": operation, "apiVersion": "v1", "fieldsType": "FieldsV1", "fieldsV1": fields})
    }

    /// A Service as the earlier operator left it: made by one update, changed by another, with a label of a person.
    fn service() -> Value {
        let status = json!({"manager": "manager", "operation": "Update", "apiVersion": "v1", "subresource": "status", "fieldsV1": {"f:status": {}}});
        json!({"apiVersion": "v1", "kind": "Service", "metadata": {
        "name": "n", "uid": "s", "resourceVersion": "7", "ownerReferences": [owner("i")], "labels": {"team": "a"},
        "managedFields": [
            entry("manager", "Update", &json!({"f:metadata": {"f:ownerReferences": {".": {}, "k:{\"uid\":\"i\"}": {}}},
                "f:spec": {"f:replicas": {}, "f:ports": {".": {}, "k:{\"port\":80,\"protocol\":\"TCP\"}": {".": {}, "f:port": {}}}}})),
            entry("kubectl-label", "Update", &json!({"f:metadata": {"f:labels": {"f:team": {}}}})),
            status,
        ]}})
    }

    fn taken(live: &Value, predecessor: Option<&str>, by: &Value) -> Option<Value> {
        patch(
            live,
            &Heir {
                manager: OURS,
                owner: by,
                predecessor,
            },
        )
    }

    fn op<'v>(patch: &'v Value, path: &str) -> &'v Value {
        let all = patch.as_array().unwrap();
        &all.iter().find(|o| o["path"] == path).unwrap()["value"]
    }

    #[test]
    fn updates_of_who_set_the_owner_become_ours_and_others_stay() {
        let patch = taken(&service(), None, &owner("i")).unwrap();
        let fields = op(&patch, "/metadata/managedFields").as_array().unwrap();
        let who: Vec<_> = fields
            .iter()
            .map(|e| {
                (
                    e["manager"].as_str().unwrap(),
                    e["operation"].as_str().unwrap(),
                )
            })
            .collect();
        assert_eq!(
            who,
            [
                ("kubectl-label", "Update"),
                ("manager", "Update"),
                (OURS, "Apply")
            ]
        );
        assert_eq!(fields[1]["subresource"], "status");
        let port = "k:{\"port\":80,\"protocol\":\"TCP\"}";
        assert!(fields[2]["fieldsV1"]["f:spec"]["f:ports"][port].is_object());
    }

    #[test]
    fn the_patch_fails_if_the_object_is_another_one_or_has_changed() {
        let patch = taken(&service(), None, &owner("i")).unwrap();
        assert_eq!(op(&patch, "/metadata/uid"), "s");
        assert_eq!(op(&patch, "/metadata/resourceVersion"), "7");
    }

    #[test]
    fn the_number_of_pods_gets_no_owner_so_that_no_apply_resets_it() {
        let patch = taken(&service(), None, &owner("i")).unwrap();
        let ours = &op(&patch, "/metadata/managedFields")[2];
        assert_eq!(ours["fieldsV1"]["f:spec"]["f:replicas"], Value::Null);
    }

    #[test]
    fn an_object_of_nobody_that_we_know_is_not_touched() {
        assert_eq!(taken(&service(), None, &owner("other")), None);
        let mut bare = service();
        bare["metadata"]["managedFields"] = json!([]);
        assert_eq!(taken(&bare, None, &owner("i")), None);
    }

    #[test]
    fn it_is_done_once() {
        let mut live = service();
        let patch = taken(&live, None, &owner("i")).unwrap();
        live["metadata"]["managedFields"] = op(&patch, "/metadata/managedFields").clone();
        assert_eq!(taken(&live, None, &owner("i")), None);
    }

    #[test]
    fn an_heir_takes_the_place_of_the_controller() {
        let mut live = service();
        let bystander = json!({"kind": "X", "uid": "x"});
        live["metadata"]["ownerReferences"] = json!([bystander, owner("i")]);
        let database = json!({"kind": "PaperclipDatabase", "uid": "d", "controller": true});
        let patch = taken(&live, Some("i"), &database).unwrap();
        assert_eq!(
            op(&patch, "/metadata/ownerReferences"),
            &json!([bystander, database])
        );
    }

    #[test]
    fn what_stays_as_found_gets_labels_and_a_mark_and_nothing_else() {
        let owner = owner("i");
        let heir = Heir {
            manager: OURS,
            owner: &owner,
            predecessor: None,
        };
        let patch = keep_as_found(&service(), &heir, &json!({"app": "p"}), "1-ab");
        assert_eq!(
            op(&patch, "/metadata/labels"),
            &json!({"team": "a", "app": "p"})
        );
        assert_eq!(
            op(&patch, "/metadata/annotations"),
            &json!({ANNOTATION_FOUND_WITH: "1-ab"})
        );
        let paths: Vec<_> = patch
            .as_array()
            .unwrap()
            .iter()
            .map(|o| o["path"].as_str().unwrap())
            .collect();
        assert!(
            paths.iter().all(|p| p.starts_with("/metadata/")),
            "{paths:?}"
        );
    }
}
