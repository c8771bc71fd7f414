//! References to objects in the same namespace, and values that must not be printed.
//!
//! A reference never names another namespace: whoever may write an Instance must not be able to read a Secret that
//! is not in his namespace.

use super::{
    empty, or_empty,
    schema::{DNS_NAME, KEY_NAME, atomic},
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::fmt;

/// One key of a Secret in the same namespace.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("required" = ["name", "key"]), transform = atomic)]
pub struct SecretKeyRef {
    /// Name of the Secret, in the same namespace.
    #[serde(default, skip_serializing_if = "empty", deserialize_with = "or_empty")]
    #[schemars(length(min = 1, max = 253), regex(pattern = DNS_NAME))]
    pub name: String,
    /// Key in the Secret's data.
    #[serde(default, skip_serializing_if = "empty", deserialize_with = "or_empty")]
    #[schemars(length(min = 1, max = 253), regex(pattern = KEY_NAME))]
    pub key: String,
}

/// An object in the same namespace; the field says of which kind.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("required" = ["name"]), transform = atomic)]
pub struct LocalRef {
    /// Name of the object, in the same namespace.
    #[serde(default, skip_serializing_if = "empty", deserialize_with = "or_empty")]
    #[schemars(length(min = 1, max = 253), regex(pattern = DNS_NAME))]
    pub name: String,
}

/// A pull Secret: as [`LocalRef`], but an entry of a list that is keyed by name.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("required" = ["name"]))]
pub struct PullSecret {
    /// Name of a Secret of type `kubernetes.io/dockerconfigjson`, in the same namespace.
    #[serde(default, skip_serializing_if = "empty", deserialize_with = "or_empty")]
    #[schemars(length(min = 1, max = 253), regex(pattern = DNS_NAME))]
    pub name: String,
}

/// Text that may hold a password: shown by no formatter, so that no log line can carry it by accident.
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct SecretText(String);

impl SecretText {
    /// The text itself, for the one place that needs it.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl From<String> for SecretText {
    fn from(text: String) -> Self {
        Self(text)
    }
}

impl fmt::Debug for SecretText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SecretText(…)")
    }
}

impl JsonSchema for SecretText {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> std::borrow::Cow<'static, str> {
        "SecretText".into()
    }

    fn json_schema(generator: &mut schemars::SchemaGenerator) -> schemars::Schema {
        String::json_schema(generator)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_connection_url_is_never_printed() {
        let url = SecretText::from("postgres://u:hunter2@db/x".to_owned());
        assert!(!format!("{url:?}").contains("hunter2"));
        assert_eq!(url.reveal(), "postgres://u:hunter2@db/x");
    }

    #[test]
    fn a_reference_with_null_in_it_decodes() {
        let reference: SecretKeyRef = serde_json::from_str(r#"{"name":"a","key":null}"#).unwrap();
        assert_eq!((reference.name.as_str(), reference.key.as_str()), ("a", ""));
    }
}
