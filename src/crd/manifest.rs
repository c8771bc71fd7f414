//! The definitions as YAML, for `paperclip-operator crds` and the files that are installed.

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use serde_saphyr::ser;

/// Why a definition could not be written.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// It is no JSON.
    #[error("encode: {0}")]
    Encode(#[from] serde_json::Error),
    /// It is no YAML.
    #[error("write YAML: {0}")]
    Write(#[from] ser::Error),
}

/// One definition as a YAML document, keys in alphabetical order.
pub fn yaml(definition: &CustomResourceDefinition) -> Result<String, Error> {
    let mut value = serde_json::to_value(definition)?;
    // The server's business; in a manifest it would be a field that somebody claims.
    if let Some(object) = value.as_object_mut() {
        object.remove("status");
    }
    Ok(serde_saphyr::to_string(&value)?)
}

/// All definitions as one stream.
pub fn stream(definitions: &[CustomResourceDefinition]) -> Result<String, Error> {
    let mut stream = String::new();
    for definition in definitions {
        stream.push_str("---\n");
        stream.push_str(&yaml(definition)?);
    }
    Ok(stream)
}
