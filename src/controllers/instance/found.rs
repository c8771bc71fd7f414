//! What a pass read of the objects that an Instance names. Values of Secrets live in here for one pass only: no formatter shows them, and
//! nothing of them is kept but names.

use crate::shared::endpoint::Endpoint;
use k8s_openapi::ByteString;
use serde_json::Value;
use std::collections::BTreeMap;

/// The answer to one question.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Look<T> {
    /// Nobody asked.
    #[default]
    Skipped,
    /// It exists.
    There(T),
    /// It does not.
    Missing,
    /// We may not ask.
    Forbidden,
}

impl<T> Look<T> {
    /// The object, if it was found.
    pub const fn there(&self) -> Option<&T> {
        match self {
            Self::There(value) => Some(value),
            _ => None,
        }
    }
}

/// Keys and values of a Secret or ConfigMap.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Data(BTreeMap<String, Vec<u8>>);

impl Data {
    /// Of a stored Secret.
    pub fn of_secret(secret: &Value) -> Self {
        let map: BTreeMap<String, ByteString> =
            serde_json::from_value(secret["data"].clone()).unwrap_or_default();
        Self(map.into_iter().map(|(k, v)| (k, v.0)).collect())
    }

    /// Of a stored ConfigMap.
    pub fn of_config_map(map: &Value) -> Self {
        let text: BTreeMap<String, String> =
            serde_json::from_value(map["data"].clone()).unwrap_or_default();
        let binary: BTreeMap<String, ByteString> =
            serde_json::from_value(map["binaryData"].clone()).unwrap_or_default();
        let mut all: BTreeMap<_, _> = text.into_iter().map(|(k, v)| (k, v.into_bytes())).collect();
        all.extend(binary.into_iter().map(|(k, v)| (k, v.0)));
        Self(all)
    }

    /// The value of a key.
    pub fn get(&self, key: &str) -> Option<&[u8]> {
        self.0.get(key).map(Vec::as_slice)
    }

    /// The value of a key as text.
    pub fn text(&self, key: &str) -> Option<&str> {
        std::str::from_utf8(self.get(key)?).ok()
    }

    /// The names of the keys, sorted.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.0.keys().map(String::as_str)
    }
}

impl FromIterator<(String, Vec<u8>)> for Data {
    fn from_iter<I: IntoIterator<Item = (String, Vec<u8>)>>(pairs: I) -> Self {
        Self(pairs.into_iter().collect())
    }
}

impl<const N: usize> From<[(&str, &[u8]); N]> for Data {
    fn from(pairs: [(&str, &[u8]); N]) -> Self {
        Self(
            pairs
                .into_iter()
                .map(|(k, v)| (k.to_owned(), v.to_owned()))
                .collect(),
        )
    }
}

impl std::fmt::Debug for Data {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}

/// What a look taught that later passes need too: names and ports, never values.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Learned {
    /// Keys of the Secrets whose keys decide which variables there are.
    pub keys: BTreeMap<String, Vec<String>>,
    /// OAuth clients that cannot be used: names of providers.
    pub clients_left_out: Vec<String>,
    /// Where an external database is.
    pub database: Option<Endpoint>,
    /// Pod ports behind a port of a Service that an endpoint names: (namespace, name, port).
    pub targets: BTreeMap<(String, String, u16), Target>,
}

/// Where a port of a Service leads to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Target {
    /// To this port of its pods.
    Port(u16),
    /// To a port with a name: its number differs from pod to pod.
    Named,
}

/// All that a pass read.
#[derive(Debug, Default)]
pub struct Found {
    /// Something was read: what is not here does not exist. Otherwise the last status vouches for the references.
    pub looked: bool,
    /// Secrets by name.
    pub secrets: BTreeMap<String, Look<Data>>,
    /// ConfigMaps by name.
    pub config_maps: BTreeMap<String, Look<Data>>,
    /// The service account that pods use, if it is not made by us.
    pub account: Look<()>,
    /// The IngressClass that the spec names.
    pub ingress_class: Look<()>,
    /// The claim that is used instead of one of ours: its phase.
    pub claim: Look<String>,
}

impl Found {
    /// A Secret's content, if it was read and exists.
    pub fn secret(&self, name: &str) -> Option<&Data> {
        self.secrets.get(name).and_then(Look::there)
    }
    /// A ConfigMap's content, if it was read and exists.
    pub fn config_map(&self, name: &str) -> Option<&Data> {
        self.config_maps.get(name).and_then(Look::there)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_secrets_values_are_decoded_and_never_printed() {
        let data = Data::of_secret(&json!({"data": {"a": "aHVudGVyMg=="}}));
        assert_eq!(data.text("a"), Some("hunter2"));
        assert_eq!(format!("{data:?}"), r#"{"a"}"#);
    }

    #[test]
    fn a_config_map_holds_text_and_bytes() {
        let data = Data::of_config_map(&json!({"data": {"a": "b"}, "binaryData": {"c": "ZA=="}}));
        assert_eq!(data.names().collect::<Vec<_>>(), ["a", "c"]);
        assert_eq!(data.text("c"), Some("d"));
    }
}
