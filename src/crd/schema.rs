//! What the derived schemas lack: list kinds, CEL rules, patterns, embedded Kubernetes types.
//!
//! Everything here works on JSON Schema while the definitions are printed; nothing here runs in the operator's
//! loops.

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::{
    CustomResourceDefinition, JSONSchemaProps,
};
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

/// What a quantity looks like. An attribute for strings would be ignored: a quantity may also be a number.
pub fn quantity(schema: &mut Schema) {
    schema.insert("maxLength".to_owned(), json!(64));
    schema.insert("pattern".to_owned(), json!(QUANTITY));
}

/// A number, or a share of 100 %.
pub fn number_or_percent(schema: &mut Schema) {
    schema.insert("maxLength".to_owned(), json!(16));
    schema.insert("pattern".to_owned(), json!(r"^([0-9]+%?)?$"));
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

/// A path without `..`.
pub const NO_PARENT: &str = r"^([^.]|\.[^.])*\.?$";

/// An admission rule in CEL.
#[derive(Clone, Copy, Debug)]
pub struct Rule {
    /// True if the value is good. `self` is the value, `oldSelf` the one before.
    pub expression: &'static str,
    /// What the user is told. For [`Rule::shrinks`] an expression.
    pub message: &'static str,
    computed_message: bool,
}

impl Rule {
    /// A rule with a fixed message.
    pub const fn new(expression: &'static str, message: &'static str) -> Self {
        Self {
            expression,
            message,
            computed_message: false,
        }
    }

    /// For a rule on the whole object, which `kube` places; the field is what the user is pointed at.
    pub fn of_object(self, field: &str) -> kube::core::Rule {
        kube::core::Rule::new(self.expression)
            .message(self.message)
            .field_path(field)
    }

    /// A text that cannot be changed once it is there.
    pub const fn immutable(message: &'static str) -> Self {
        Self::new("self == oldSelf || self == '' || oldSelf == ''", message)
    }

    /// A quantity that must not become smaller; the message is an expression. What is no quantity is judged elsewhere.
    pub const fn shrinks(message: &'static str) -> Self {
        Self {
            expression: "!isQuantity(string(self)) || !isQuantity(string(oldSelf)) \
                         || quantity(string(self)).compareTo(quantity(string(oldSelf))) >= 0",
            message,
            computed_message: true,
        }
    }
}

/// True for an e-mail address.
pub const EMAIL: Rule = Rule::new(
    r"self.matches('^[^@ ]+@[^@ ]+$')",
    "must be an e-mail address",
);

/// Names, URLs and paths are carried into headers, log lines and file systems.
pub const NO_CONTROL: Rule = Rule::new(
    r"!self.matches('[[:cntrl:]]')",
    "must not contain control characters",
);

/// Letters that only look like others would lead people to another host.
pub const ASCII: Rule = Rule::new(r"self.matches('^[ -~]*$')", "must be ASCII or punycode");

/// As [`ASCII`], for the domain of an e-mail address.
pub const ASCII_DOMAIN: Rule = Rule::new(
    r"!self.contains('@') || self.matches('@[ -~]*$')",
    "must be ASCII or punycode",
);

/// Puts a rule on this object or field.
pub fn rule(rule: Rule) -> impl FnMut(&mut Schema) {
    move |schema| push_rule(schema, as_json(rule))
}

/// Puts a rule on a whole spec. Such a rule is checked at every change of the object, so an object that broke it
/// before may go on doing so: else nobody could change anything else in it.
pub fn lenient_rule(rule: Rule) -> impl FnMut(&mut Schema) {
    move |schema| {
        let mut json = as_json(rule);
        let before = rule.expression.replace("self.", "oldSelf.value().");
        json["rule"] = json!(format!(
            "({}) || (oldSelf.hasValue() && !({before}))",
            rule.expression
        ));
        json["optionalOldSelf"] = json!(true);
        push_rule(schema, json);
    }
}

/// Puts a rule on each entry of a list.
pub fn each(rule: Rule) -> impl FnMut(&mut Schema) {
    move |schema| {
        if let Some(items) = schema.get_mut("items")
            && let Ok(items) = <&mut Schema>::try_from(items)
        {
            push_rule(items, as_json(rule));
        }
    }
}

fn as_json(rule: Rule) -> Value {
    let message = if rule.computed_message {
        "messageExpression"
    } else {
        "message"
    };
    json!({ "rule": rule.expression, message: rule.message })
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

/// The definition with finished schemas.
pub fn finished(mut definition: CustomResourceDefinition) -> CustomResourceDefinition {
    for version in &mut definition.spec.versions {
        let Some(root) = version
            .schema
            .as_mut()
            .and_then(|schema| schema.open_api_v3_schema.as_mut())
        else {
            continue;
        };
        for part in root
            .properties
            .iter_mut()
            .flat_map(|properties| properties.values_mut())
        {
            *part = finished_part(part);
        }
    }
    definition
}

fn finished_part(part: &JSONSchemaProps) -> JSONSchemaProps {
    let Ok(mut value) = serde_json::to_value(part) else {
        return part.clone();
    };
    finish(&mut value);
    serde_json::from_value(value).unwrap_or_else(|_| part.clone())
}

/// Finishes the schema of a definition: an explicit `null` is legal wherever a field is optional, because tools write
/// it for "not set" and the API server would refuse it; what is required is never null.
fn finish(schema: &mut Value) {
    match schema {
        Value::Object(map) => {
            // Line ends of the source are not paragraphs.
            if let Some(Value::String(text)) = map.get_mut("description") {
                *text = text
                    .replace("\n\n", "\u{0}")
                    .replace('\n', " ")
                    .replace('\u{0}', "\n\n");
            }
            let required: Vec<String> = map
                .get("required")
                .and_then(Value::as_array)
                .map(|names| {
                    names
                        .iter()
                        .filter_map(|name| name.as_str().map(str::to_owned))
                        .collect()
                })
                .unwrap_or_default();
            if let Some(Value::Object(properties)) = map.get_mut("properties") {
                for (name, property) in properties {
                    let Value::Object(property) = property else {
                        continue;
                    };
                    // The API server refuses null for an enum even if both `nullable` and the enum allow it.
                    if let Some(Value::Array(words)) = property.get_mut("enum") {
                        words.retain(|word| !word.is_null());
                        property.remove("nullable");
                    } else if required.contains(name) {
                        property.remove("nullable");
                    } else {
                        property.insert("nullable".to_owned(), json!(true));
                    }
                }
            }
            map.values_mut().for_each(finish);
        }
        Value::Array(list) => list.iter_mut().for_each(finish),
        _ => {}
    }
}
