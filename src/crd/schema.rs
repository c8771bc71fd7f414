//! What the derived schemas lack: list kinds, CEL rules, patterns, embedded Kubernetes types.
//!
//! Everything here works on JSON Schema while the definitions are printed; nothing here runs in the operator's
//! loops.

use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde_json::{Value, json};

/// An RFC 1123 subdomain, as Secrets, ConfigMaps and classes are named.
pub const DNS_NAME: &str = r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$";
/// A key of a Secret or ConfigMap.
pub const KEY_NAME: &str = r"^[-._a-zA-Z0-9]+$";
/// A duration in the style of Go, or empty (absent).
pub const DURATION: &str = r"^(([0-9]+(\.[0-9]+)?(ms|s|m|h))+)?$";
/// A quantity, or empty (absent).
pub const QUANTITY: &str =
    r"^((\+|-)?(([0-9]+(\.[0-9]*)?)|(\.[0-9]+))(([KMGTPE]i)|[numkMGTPE]|([eE](\+|-)?[0-9]+))?)?$";

/// The schema of a Kubernetes type without its prose: the structure is what admission needs, the text alone would
/// make the definition too large for the API server.
pub fn embedded<T: JsonSchema>(generator: &mut SchemaGenerator) -> Schema {
    let mut schema = generator.subschema_for::<T>().to_value();
    strip_descriptions(&mut schema);
    Schema::try_from(schema).unwrap_or_default()
}

fn strip_descriptions(value: &mut Value) {
    match value {
        Value::Object(map) => {
            // A property may itself be called "description"; then it is no text.
            if map.get("description").is_some_and(Value::is_string) {
                map.remove("description");
            }
            map.values_mut().for_each(strip_descriptions);
        }
        Value::Array(list) => list.iter_mut().for_each(strip_descriptions),
        _ => {}
    }
}

/// All of the object changes hands at once under server-side apply.
pub fn atomic(schema: &mut Schema) {
    schema.insert("x-kubernetes-map-type".to_owned(), json!("atomic"));
}

/// The list changes hands as a whole.
pub fn atomic_list(schema: &mut Schema) {
    schema.insert("x-kubernetes-list-type".to_owned(), json!("atomic"));
}

/// Each value belongs to whoever set it; none stands twice.
pub fn set(schema: &mut Schema) {
    schema.insert("x-kubernetes-list-type".to_owned(), json!("set"));
}

/// Each entry belongs to whoever set it, told apart by these fields.
pub fn list_map(keys: &'static [&'static str]) -> impl FnMut(&mut Schema) {
    move |schema| {
        schema.insert("x-kubernetes-list-type".to_owned(), json!("map"));
        schema.insert("x-kubernetes-list-map-keys".to_owned(), json!(keys));
    }
}

/// A value that the API server stores when the field is absent.
pub fn stored_default(value: Value) -> impl FnMut(&mut Schema) {
    move |schema| {
        schema.insert("default".to_owned(), value.clone());
    }
}

/// A path without `..` and without control characters.
pub const NO_PARENT: &str = r"^([^.[:cntrl:]]|\.[^.[:cntrl:]])*\.?$";

/// A CEL rule of this object or field.
pub fn cel(rule: &'static str, message: &'static str) -> impl FnMut(&mut Schema) {
    move |schema| push_rule(schema, json!({ "rule": rule, "message": message }))
}

/// A CEL rule whose message is an expression.
pub fn cel_expression(rule: &'static str, message: &'static str) -> impl FnMut(&mut Schema) {
    move |schema| {
        push_rule(
            schema,
            json!({ "rule": rule, "messageExpression": message }),
        )
    }
}

fn push_rule(schema: &mut Schema, rule: Value) {
    let rules = schema
        .ensure_object()
        .entry("x-kubernetes-validations")
        .or_insert_with(|| json!([]));
    if let Value::Array(rules) = rules {
        rules.push(rule);
    }
}

/// True for an e-mail address.
pub const EMAIL_RULE: &str = r"self.matches('^[^@ ]+@[^@ ]+$')";

/// True for an IP address or a CIDR of either family; a word or a bare number is neither.
pub const PROXY_RULE: &str =
    r"self.matches('^[0-9a-fA-F.:]+(/[0-9]{1,3})?$') && (self.contains('.') || self.contains(':'))";

/// A CEL rule of each entry of a list.
pub fn each(rule: &'static str, message: &'static str) -> impl FnMut(&mut Schema) {
    move |schema| {
        if let Some(items) = schema.get_mut("items")
            && let Ok(items) = <&mut Schema>::try_from(items)
        {
            cel(rule, message)(items);
        }
    }
}
