//! YAML with several documents, as values.

use anyhow::{Context as _, Result};
use serde_json::Value;

/// The documents of a YAML stream; empty ones are left out.
pub fn documents(text: &str) -> Result<Vec<Value>> {
    let all: Vec<Value> = serde_saphyr::from_multiple(text).context("not YAML")?;
    Ok(all.into_iter().filter(|value| !value.is_null()).collect())
}
