//! Walks over structural schemas. Paths look like `.spec.sidecars[].env[].name`; `{}` is any key of a map.

use serde_json::{Map, Value, json};

/// What stands at a place of a schema, as far as tests care.
pub enum Node {
    Boolean,
    Integer,
    Enum,
    Other,
}

/// Calls for every property of the schema, with its path.
pub fn every_node(schema: &Value, visit: &mut impl FnMut(&str, Node)) {
    walk(schema, "", visit);
}

fn walk(schema: &Value, path: &str, visit: &mut impl FnMut(&str, Node)) {
    for (name, property) in schema["properties"].as_object().into_iter().flatten() {
        if path.is_empty() && !["spec", "status"].contains(&name.as_str()) {
            continue;
        }
        let path = format!("{path}.{name}");
        let node = match property["type"].as_str() {
            Some("boolean") => Node::Boolean,
            Some("integer") => Node::Integer,
            _ if property.get("enum").is_some() => Node::Enum,
            _ => Node::Other,
        };
        visit(&path, node);
        walk(property, &path, visit);
    }
    if schema["items"].is_object() {
        walk(&schema["items"], &format!("{path}[]"), visit);
    }
    if schema["additionalProperties"].is_object() {
        walk(
            &schema["additionalProperties"],
            &format!("{path}{{}}"),
            visit,
        );
    }
}

fn steps(path: &str) -> Vec<String> {
    path.replace("[]", ".[]")
        .replace("{}", ".{}")
        .split('.')
        .skip(1)
        .map(str::to_owned)
        .collect()
}

/// The schema at this path.
pub fn at<'a>(schema: &'a Value, path: &str) -> &'a Value {
    steps(path)
        .iter()
        .fold(schema, |schema, step| match step.as_str() {
            "[]" => &schema["items"],
            "{}" => &schema["additionalProperties"],
            name => &schema["properties"][name],
        })
}

fn parent(path: &str) -> &str {
    &path[..path.rfind('.').unwrap_or(0)]
}

/// Whether the property may be absent.
pub fn is_optional(schema: &Value, path: &str) -> bool {
    let name = &path[parent(path).len() + 1..];
    let required = &at(schema, parent(path))["required"];
    !required
        .as_array()
        .into_iter()
        .flatten()
        .any(|required| required == name)
}

/// Whether the property is one of ours; Kubernetes' own types carry no descriptions.
pub fn is_ours(schema: &Value, path: &str) -> bool {
    let siblings = at(schema, parent(path))["properties"].as_object();
    siblings
        .into_iter()
        .flatten()
        .any(|(_, sibling)| sibling.get("description").is_some())
}

/// A value with every field of the schema, one entry in each list and map.
pub fn sample(schema: &Value) -> Value {
    if let Some(word) = schema["enum"].get(0) {
        return word.clone();
    }
    if schema["x-kubernetes-int-or-string"] == json!(true) {
        return json!("1");
    }
    match (schema["type"].as_str(), schema["format"].as_str()) {
        (Some("boolean"), _) => json!(true),
        (Some("integer"), _) => json!(7),
        (Some("number"), _) => json!(0.5),
        (Some("string"), Some("date-time")) => json!("2026-11-22T02:17:00Z"),
        (Some("string"), _) => json!("x"),
        (Some("array"), _) => json!([sample(&schema["items"])]),
        (Some("object"), _) if schema["additionalProperties"].is_object() => {
            json!({ "key": sample(&schema["additionalProperties"]) })
        }
        _ => {
            let mut map = Map::new();
            for (name, property) in schema["properties"].as_object().into_iter().flatten() {
                map.insert(name.clone(), sample(property));
            }
            Value::Object(map)
        }
    }
}

/// An object with this value at this path, and besides only what the schema requires.
pub fn only(schema: &Value, path: &str, value: &Value) -> Value {
    fn fill(schema: &Value, steps: &[String], value: &Value) -> Value {
        let Some((step, rest)) = steps.split_first() else {
            return value.clone();
        };
        match step.as_str() {
            "[]" => json!([fill(&schema["items"], rest, value)]),
            "{}" => json!({ "key": fill(&schema["additionalProperties"], rest, value) }),
            name => {
                let mut map = Map::new();
                for required in schema["required"]
                    .as_array()
                    .into_iter()
                    .flatten()
                    .filter_map(Value::as_str)
                {
                    map.insert(required.to_owned(), sample(&schema["properties"][required]));
                }
                map.insert(
                    name.to_owned(),
                    fill(&schema["properties"][name], rest, value),
                );
                Value::Object(map)
            }
        }
    }
    fill(schema, &steps(path), value)
}
