//! The Secret with OAuth clients under the names that the application reads, made of the one key of the user's Secret. Pure; values leave
//! this file in a Secret only, never in a message.

use super::owned;
use crate::controllers::instance::validate::names::Identity;
use crate::shared::conditions::quote;
use crate::shared::names::Component;
use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::Secret;
use serde_json::{Map, Value};
use std::collections::BTreeMap;

/// What became of the user's list of clients.
#[derive(Default, PartialEq, Eq)]
pub struct Clients {
    /// Variables by name.
    pub variables: BTreeMap<String, String>,
    /// What was left out, and why: names of providers only.
    pub left_out: Vec<String>,
}

impl std::fmt::Debug for Clients {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_set().entries(self.variables.keys()).finish()
    }
}

/// Reads `{"<provider>": {"clientId": "…", "clientSecret": "…"}}`; `None` if it is no object.
pub fn clients(json: &[u8]) -> Option<Clients> {
    let list: Map<String, Value> = serde_json::from_slice(json).ok()?;
    let mut out = Clients::default();
    let mut taken: BTreeMap<String, &str> = BTreeMap::new();
    // In order of name, so that the same of two providers with one name is left out each time.
    let sorted: BTreeMap<&String, &Value> = list.iter().collect();
    for (provider, client) in sorted {
        let told = quote(provider);
        let text = |key: &str| client[key].as_str().filter(|t| !t.is_empty());
        let Some(id) = text("clientId") else {
            out.left_out.push(format!(
                "provider \"{told}\" is left out: it has no clientId"
            ));
            continue;
        };
        let Some(prefix) = prefix(provider) else {
            out.left_out.push(format!(
                "provider \"{told}\" is left out: its name holds no letter or digit"
            ));
            continue;
        };
        if let Some(first) = taken.get(&prefix) {
            out.left_out.push(format!(
                "provider \"{told}\" is left out: \"{}\" has the same variable",
                quote(first)
            ));
            continue;
        }
        out.variables
            .insert(format!("{prefix}CLIENT_ID"), id.to_owned());
        if let Some(secret) = text("clientSecret") {
            let name = format!("{prefix}CLIENT_SECRET");
            out.variables.insert(name, secret.to_owned());
        }
        taken.insert(prefix, provider);
    }
    Some(out)
}

/// What the names of a provider's variables begin with.
fn prefix(provider: &str) -> Option<String> {
    const START: &str = "PAPERCLIP_TOOL_OAUTH_";
    if provider == "default" {
        return Some(START.to_owned());
    }
    let upper = provider.to_uppercase();
    let words: Vec<&str> = upper
        .split(|c: char| !c.is_ascii_uppercase() && !c.is_ascii_digit())
        .filter(|word| !word.is_empty())
        .collect();
    (!words.is_empty()).then(|| format!("{START}{}_", words.join("_")))
}

/// The Secret. It goes with the Instance: it can be made again.
pub fn build(id: &Identity<'_>, clients: &Clients) -> Secret {
    Secret {
        metadata: owned(id, &id.names.connections(), Component::Server),
        data: Some(
            clients
                .variables
                .iter()
                .map(|(name, value)| (name.clone(), ByteString(value.clone().into_bytes())))
                .collect(),
        ),
        type_: Some("Opaque".into()),
        ..Secret::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(json: &str) -> (Vec<(String, String)>, Vec<String>) {
        let clients = clients(json.as_bytes()).unwrap();
        (clients.variables.into_iter().collect(), clients.left_out)
    }

    #[test]
    fn every_provider_has_variables_of_its_own() {
        let (variables, left_out) = read(
            r#"{"google-drive": {"clientId": "a", "clientSecret": "b"}, "default": {"clientId": "c"}, "x..y": {"clientId": "d"}}"#,
        );
        let expected = [
            ("PAPERCLIP_TOOL_OAUTH_CLIENT_ID", "c"),
            ("PAPERCLIP_TOOL_OAUTH_GOOGLE_DRIVE_CLIENT_ID", "a"),
            ("PAPERCLIP_TOOL_OAUTH_GOOGLE_DRIVE_CLIENT_SECRET", "b"),
            ("PAPERCLIP_TOOL_OAUTH_X_Y_CLIENT_ID", "d"),
        ];
        let expected: Vec<_> = expected.map(|(k, v)| (k.to_owned(), v.to_owned())).into();
        assert_eq!(variables, expected);
        assert!(left_out.is_empty());
    }

    #[test]
    fn what_cannot_be_used_is_left_out_by_name_and_without_values() {
        let (variables, left_out) = read(
            r#"{"a-b": {"clientId": "hidden"}, "a_b": {"clientId": "hidden"}, "c": {"clientSecret": "hidden"}, "é": {"clientId": "hidden"}}"#,
        );
        assert_eq!(variables.len(), 1);
        assert_eq!(
            left_out,
            [
                "provider \"a_b\" is left out: \"a-b\" has the same variable",
                "provider \"c\" is left out: it has no clientId",
                "provider \"é\" is left out: its name holds no letter or digit",
            ]
        );
    }

    #[test]
    fn what_is_no_object_is_nothing() {
        assert!(clients(b"[]").is_none() && clients(b"").is_none());
        let shown = format!("{:?}", clients(br#"{"a": {"clientId": "hunter2"}}"#));
        assert!(!shown.contains("hunter2"), "{shown}");
    }
}
