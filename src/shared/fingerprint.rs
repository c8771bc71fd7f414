//! One number that says whether the fields that *we* set on an object still have the values that we gave them.
//!
//! The API server records per field manager which fields it owns (`metadata.managedFields`). [`owned`] picks exactly those fields out
//! of a stored object, [`hash`] makes a number of them, and the same [`hash`] over what we would apply is what it is compared with.
//! A foreign change to one of our fields takes the field away from us, so the picked part shrinks and the number changes; a foreign
//! change beside our fields leaves it alone. Pure: no client, no clock.

use serde_json::{Map, Value};
use std::hash::Hasher;

/// The part of `object` that `manager` owns by server-side apply, status aside. `None` if it owns nothing.
pub fn owned(object: &Value, manager: &str) -> Option<Value> {
    let entry = object
        .pointer("/metadata/managedFields")?
        .as_array()?
        .iter()
        .find(|e| {
            e.get("manager").and_then(Value::as_str) == Some(manager)
                && e.get("operation").and_then(Value::as_str) == Some("Apply")
                && e.get("subresource")
                    .and_then(Value::as_str)
                    .is_none_or(str::is_empty)
        })?;
    let mut picked = pick(object, entry.get("fieldsV1")?)?;
    drop_trace(&mut picked);
    (!picked.is_null()).then_some(picked)
}

/// The trace that an object carries changes with each write of ours and is never a reason for one.
fn drop_trace(object: &mut Value) {
    if let Some(meta) = object.get_mut("metadata").and_then(Value::as_object_mut)
        && let Some(annotations) = meta.get_mut("annotations").and_then(Value::as_object_mut)
    {
        annotations.remove(super::names::ANNOTATION_TRACEPARENT);
        if annotations.is_empty() {
            meta.remove("annotations");
        }
    }
}

/// What `fields` (the `fieldsV1` format) names inside `value`.
fn pick(value: &Value, fields: &Value) -> Option<Value> {
    let fields = fields.as_object()?;
    // Only "." or nothing below: the value is owned as a whole.
    if fields.keys().all(|k| k == ".") {
        return Some(match value {
            // "." alone on a map or list means that it exists, not that its content is ours.
            Value::Object(_) if fields.contains_key(".") => Value::Object(Map::new()),
            Value::Array(_) if fields.contains_key(".") => Value::Array(vec![]),
            other => other.clone(),
        });
    }
    match value {
        Value::Object(map) => {
            let mut out = Map::new();
            for (key, below) in fields {
                if let Some(name) = key.strip_prefix("f:")
                    && let Some(v) = map.get(name)
                    && let Some(picked) = pick(v, below)
                {
                    out.insert(name.to_owned(), picked);
                }
            }
            Some(Value::Object(out))
        }
        Value::Array(items) => {
            // Read once and not for each entry: a server has some fifty variables, and each change of its workload comes here.
            let entries: Vec<_> = fields
                .iter()
                .filter_map(|(key, below)| Some((Entry::read(key)?, below)))
                .collect();
            let picked = items.iter().filter_map(|item| {
                let (_, below) = entries.iter().find(|(entry, _)| entry.is(item))?;
                pick(item, below)
            });
            Some(Value::Array(picked.collect()))
        }
        other => Some(other.clone()),
    }
}

/// How `fieldsV1` names an entry of a list.
enum Entry {
    /// `k:{"name":"PORT"}`: by the fields that tell it from the others.
    Keys(Map<String, Value>),
    /// `v:"a"`: by all of it.
    Whole(Value),
}

impl Entry {
    fn read(key: &str) -> Option<Self> {
        match key.split_once(':')? {
            ("k", keys) => serde_json::from_str(keys).ok().map(Self::Keys),
            ("v", value) => serde_json::from_str(value).ok().map(Self::Whole),
            _ => None,
        }
    }

    fn is(&self, item: &Value) -> bool {
        match self {
            Self::Keys(keys) => keys.iter().all(|(k, v)| item.get(k) == Some(v)),
            Self::Whole(value) => value == item,
        }
    }
}

/// The part of a wish that ends up among the owned fields: all but what identifies the object, and the status.
pub fn wished(mut object: Value) -> Value {
    if let Some(map) = object.as_object_mut() {
        for key in ["apiVersion", "kind", "status"] {
            map.remove(key);
        }
        if let Some(meta) = map.get_mut("metadata").and_then(Value::as_object_mut) {
            for key in [
                "name",
                "namespace",
                "uid",
                "resourceVersion",
                "creationTimestamp",
                "managedFields",
            ] {
                meta.remove(key);
            }
        }
    }
    drop_trace(&mut object);
    object
}

/// A number over the content of `value`, the same in every process. Nulls and empty lists count as absent, as they do for the API server;
/// so do objects that hold nothing else. Key order does not count.
pub fn hash(value: &Value) -> u64 {
    let mut h = Fnv(0xcbf2_9ce4_8422_2325);
    feed(value, &mut h);
    h.finish()
}

fn absent(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Array(items) => items.is_empty(),
        _ => false,
    }
}

fn feed(value: &Value, h: &mut Fnv) {
    match value {
        Value::Null => h.write_u8(0),
        Value::Bool(b) => h.write(&[1, u8::from(*b)]),
        Value::Number(n) => {
            h.write_u8(2);
            // 3 and 3.0 are one number.
            h.write(&n.as_f64().unwrap_or_default().to_bits().to_le_bytes());
        }
        Value::String(s) => {
            h.write_u8(3);
            h.write(s.as_bytes());
            h.write_u8(0xff);
        }
        Value::Array(items) => {
            h.write_u8(4);
            for item in items {
                feed(item, h);
            }
            h.write_u8(0xfe);
        }
        Value::Object(map) => {
            h.write_u8(5);
            let mut keys: Vec<_> = map.iter().filter(|(_, v)| !absent(v)).collect();
            keys.sort_by(|a, b| a.0.cmp(b.0));
            for (k, v) in keys {
                h.write(k.as_bytes());
                h.write_u8(0xff);
                feed(v, h);
            }
            h.write_u8(0xfd);
        }
    }
}

/// FNV-1a: stable across processes and versions, unlike the hasher of the standard library. Not for secrets.
struct Fnv(u64);

impl Hasher for Fnv {
    fn finish(&self) -> u64 {
        self.0
    }
    fn write(&mut self, bytes: &[u8]) {
        for b in bytes {
            self.0 = (self.0 ^ u64::from(*b)).wrapping_mul(0x0100_0000_01b3);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn stored() -> Value {
        json!({
            "apiVersion": "v1", "kind": "Service",
            "metadata": {"name": "n", "namespace": "ns", "uid": "u", "resourceVersion": "7",
                "labels": {"a": "1", "foreign": "x"},
                "ownerReferences": [{"apiVersion": "x/v1", "kind": "X", "name": "x", "uid": "o", "controller": true}],
                "managedFields": [
                    {"manager": "kubectl", "operation": "Update", "fieldsV1": {"f:metadata": {"f:labels": {"f:foreign": {}}}}},
                    {"manager": "ours", "operation": "Apply", "subresource": "status", "fieldsV1": {"f:status": {}}},
                    {"manager": "ours", "operation": "Apply", "fieldsV1": {
                        "f:metadata": {"f:labels": {"f:a": {}}, "f:ownerReferences": {"k:{\"uid\":\"o\"}": {}}},
                        "f:spec": {"f:ports": {"k:{\"port\":80,\"protocol\":\"TCP\"}": {".": {}, "f:port": {}, "f:protocol": {}}}, "f:selector": {}}}}]},
            "spec": {"selector": {"s": "1"}, "clusterIP": "10.0.0.1",
                     "ports": [{"port": 80, "protocol": "TCP", "targetPort": 80}, {"port": 81, "protocol": "TCP"}]}
        })
    }

    fn wish() -> Value {
        json!({
            "apiVersion": "v1", "kind": "Service",
            "metadata": {"name": "n", "namespace": "ns", "labels": {"a": "1"},
                "ownerReferences": [{"apiVersion": "x/v1", "kind": "X", "name": "x", "uid": "o", "controller": true}]},
            "spec": {"selector": {"s": "1"}, "ports": [{"port": 80, "protocol": "TCP"}]}
        })
    }

    #[test]
    fn a_stored_object_with_defaults_and_foreign_fields_equals_the_wish() {
        let owned = owned(&stored(), "ours").unwrap_or_default();
        assert_eq!(owned, wished(wish()));
        assert_eq!(hash(&owned), hash(&wished(wish())));
    }

    #[test]
    fn a_foreign_change_of_our_field_is_seen() {
        let mut o = stored();
        // `kubectl label --overwrite`: value changes, the field leaves our set.
        o["metadata"]["labels"]["a"] = json!("2");
        o["metadata"]["managedFields"][2]["fieldsV1"]["f:metadata"]["f:labels"] = json!({});
        assert_ne!(
            owned(&o, "ours").map(|v| hash(&v)),
            Some(hash(&wished(wish())))
        );
    }

    #[test]
    fn a_foreign_field_beside_ours_is_not_seen() {
        let mut o = stored();
        o["metadata"]["labels"]["foreign"] = json!("y");
        o["spec"]["ports"][1]["port"] = json!(82);
        assert_eq!(
            owned(&o, "ours").map(|v| hash(&v)),
            Some(hash(&wished(wish())))
        );
    }

    #[test]
    fn absent_null_and_empty_list_are_one_but_an_empty_object_is_something() {
        assert_eq!(hash(&json!({"a": null, "b": []})), hash(&json!({})));
        assert_ne!(hash(&json!({"emptyDir": {}})), hash(&json!({})));
        assert_ne!(hash(&json!(["ab"])), hash(&json!(["a", "b"])));
    }

    #[test]
    fn an_object_that_we_never_applied_owns_nothing() {
        assert_eq!(owned(&stored(), "nobody"), None);
    }
}
