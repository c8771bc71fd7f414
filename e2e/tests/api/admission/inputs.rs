//! What the admission tests send. The tables beside this file say it; here is what is too long for a table.

use anyhow::Result;
use serde::Deserialize;
use serde_json::{Value, json};

/// A manifest that is refused.
#[derive(Deserialize)]
pub struct Refused {
    #[serde(default = "instance")]
    pub kind: String,
    pub spec: Value,
    /// The field that the answer names.
    pub field: String,
    /// The whole text of a rule, or after `~` a part of what the schema says.
    pub says: String,
}

/// A change that is refused, and one of the same object that is not. Both are merge patches.
#[derive(Deserialize)]
pub struct Change {
    #[serde(default = "instance")]
    pub kind: String,
    pub before: Value,
    pub status: Option<Value>,
    pub refused: Value,
    pub field: String,
    pub says: String,
    pub accepted: Value,
}

fn instance() -> String {
    "Instance".to_owned()
}

/// Manifests that are refused.
pub fn refused() -> Result<Vec<Refused>> {
    let mut all: Vec<Refused> = serde_saphyr::from_str(include_str!("refused.yaml"))?;
    all.extend(too_much());
    Ok(all)
}

/// Changes that are refused.
pub fn changes() -> Result<Vec<Change>> {
    Ok(serde_saphyr::from_str(include_str!("changes.yaml"))?)
}

/// A spec that breaks every rule that a stored object can break.
pub fn broken() -> Result<Value> {
    Ok(serde_saphyr::from_str(include_str!("broken.yaml"))?)
}

/// More, and longer, than an object of a reasonable size can hold.
fn too_much() -> Vec<Refused> {
    let many = |count: usize, entry: &dyn Fn(usize) -> Value| -> Vec<Value> {
        (0..count).map(entry).collect()
    };
    let hosts = many(65, &|n| json!(format!("h{n}.example")));
    let networks = many(65, &|n| json!(format!("10.0.{n}.0/24")));
    let endless = format!("https://a.example/{}", "x".repeat(1 << 20));
    [
        (
            json!({"image": {"tag": "t".repeat(129)}}),
            "spec.image.tag",
            "~should match",
        ),
        (
            json!({"image": {"repository": "r".repeat(256)}}),
            "spec.image.repository",
            "~may not be more than 255",
        ),
        (
            json!({"deployment": {"publicURL": endless}}),
            "spec.deployment.publicURL",
            "~may not be more than 2048",
        ),
        (
            json!({"backup": {"s3": {"bucket": "b".repeat(64)}}}),
            "spec.backup.s3.bucket",
            "~may not be more than 63",
        ),
        (
            json!({"env": many(257, &|n| json!({"name": format!("A{n}")}))}),
            "spec.env",
            "~at most 256 items",
        ),
        (
            json!({"plugins": many(33, &|n| json!({"name": format!("p{n}")}))}),
            "spec.plugins",
            "~at most 32 items",
        ),
        (
            json!({"networking": {"ingress": {"hosts": hosts}}}),
            "spec.networking.ingress.hosts",
            "~at most 64 items",
        ),
        (
            json!({"security": {"networkPolicy": {"allowIngressCIDRs": networks}}}),
            "spec.security.networkPolicy.allowIngressCIDRs",
            "~at most 64 items",
        ),
    ]
    .map(|(spec, field, says)| Refused {
        kind: instance(),
        spec,
        field: field.to_owned(),
        says: says.to_owned(),
    })
    .into()
}
