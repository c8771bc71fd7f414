//! The keys that a backup brought: the Secrets of an Instance that has none are made of them. The agent has handed them over encrypted; the
//! private key is read now and kept nowhere. Must never write over a key that is there, and never show one.

use super::dereference::Found;
use super::result::failed;
use super::{Controller, Object, validate};
use crate::controllers::archive::keys::{self, Role, word};
use crate::controllers::instance::validate::names::Identity;
use crate::crd::PaperclipRestore;
use crate::shared::api::ApiError;
use crate::shared::conditions::list;
use crate::shared::controller::Failure;
use crate::shared::events::Severity;
use crate::shared::names::{Component, labels, manager};
use crate::shared::said::{Cause, Said};
use crate::shared::wish::Kind;
use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::Secret;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::io::Read;

/// Keys by role, and in it by name.
type Handed = BTreeMap<String, BTreeMap<String, ByteString>>;

/// Larger ones are none.
const LIMIT: u64 = 64 << 10;

impl Controller {
    /// Makes what is missing; an error is final.
    pub(super) async fn take_keys(
        &self,
        seen: &Object,
        object: &PaperclipRestore,
        found: &Found,
        said: &Said,
    ) -> Result<Result<(), Cause>, Failure> {
        let lost = |words: &str| {
            let text = format!(
                "the data were brought back, and the keys of the backup were not: {words}; decrypt secrets.age of the backup and apply what it holds"
            );
            Ok(Err(failed("KeyMissing", "keys", &text)))
        };
        let failure = |error: ApiError| Failure::new("keys", error.reason(), &error);
        let (Some(instance), Some(spec)) = (found.instance(), &found.spec) else {
            return lost("the Instance is gone");
        };
        let Some(reference) = validate::identity(object, found) else {
            return lost("no private key is named any more");
        };
        let (api, namespace) = (&self.context.api, &seen.key.namespace);
        let kind = Kind::of::<Secret>();
        let identity = api
            .get(&kind, namespace, &reference.name)
            .await
            .map_err(failure)?;
        let identity = identity.and_then(|secret| {
            let value = secret["data"].get(&reference.key)?.clone();
            let bytes: ByteString = serde_json::from_value(value).ok()?;
            String::from_utf8(bytes.0).ok()
        });
        let Some(identity) = identity else {
            return lost("the private key is not there any more");
        };
        let Some(handed) = open(said.whole("keys").unwrap_or_default(), &identity) else {
            return lost("they are encrypted for another key");
        };
        let meta = &instance.metadata;
        let name = meta.name.as_deref().unwrap_or_default();
        let id = Identity::new(name, namespace, meta.uid.as_deref().unwrap_or_default(), "");
        let mut made = vec![];
        for role in keys::of(spec, &id) {
            let Some(body) = handed
                .get(word(role.of))
                .and_then(|data| secret(&role, data, &id))
            else {
                continue;
            };
            match api.create(&kind, namespace, manager::RESTORE, &body).await {
                Ok(_) => made.push(role.secret),
                // One that is there stays what it is.
                Err(error) if error.is_conflict() => {}
                Err(error) => return Err(failure(error)),
            }
        }
        if !made.is_empty() {
            let text = format!("made of the backup: {}", list(&made));
            self.reporter(seen)
                .tell(Severity::Normal, "KeysRestored", &text);
        }
        Ok(Ok(()))
    }
}

/// What the agent has encrypted for this private key.
fn open(sealed: &str, identity: &str) -> Option<Handed> {
    let sealed: ByteString = serde_json::from_value(Value::String(sealed.to_owned())).ok()?;
    let identities: Vec<age::x25519::Identity> = identity
        .lines()
        .filter_map(|line| line.trim().parse().ok())
        .collect();
    let decryptor = age::Decryptor::new(&sealed.0[..]).ok()?;
    let keys = identities.iter().map(|key| key as &dyn age::Identity);
    let mut plain = vec![];
    decryptor
        .decrypt(keys)
        .ok()?
        .take(LIMIT)
        .read_to_end(&mut plain)
        .ok()?;
    serde_json::from_slice(&plain).ok()
}

/// The Secret of a role, as it is created. What the Instance names itself has its own key there.
fn secret(role: &Role, data: &BTreeMap<String, ByteString>, id: &Identity<'_>) -> Option<Value> {
    let data: BTreeMap<&String, &ByteString> = match (&role.keys[..], data.len()) {
        ([key], 1) => data.values().map(|value| (key, value)).collect(),
        (keys, _) => data.iter().filter(|(key, _)| keys.contains(key)).collect(),
    };
    if data.is_empty() {
        return None;
    }
    Some(json!({
        "apiVersion": "v1", "kind": "Secret", "type": "Opaque",
        "metadata": {"name": role.secret, "namespace": id.namespace, "labels": labels(id.name, Component::Server)},
        "data": data,
    }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::controllers::instance::build::secrets::Generated;
    use crate::crd::instance::InstanceSpec;
    use std::io::Write;

    fn sealed(text: &str, to: &age::x25519::Identity) -> String {
        let key = to.to_public();
        let all = std::iter::once(&key as &dyn age::Recipient);
        let mut bytes = vec![];
        let mut writer = age::Encryptor::with_recipients(all)
            .unwrap()
            .wrap_output(&mut bytes)
            .unwrap();
        writer.write_all(text.as_bytes()).unwrap();
        writer.finish().unwrap();
        let text = serde_json::to_value(ByteString(bytes)).unwrap();
        text.as_str().unwrap().to_owned()
    }

    #[test]
    fn keys_are_opened_with_the_private_key_alone() {
        use age::secrecy::ExposeSecret;
        let (right, wrong) = (
            age::x25519::Identity::generate(),
            age::x25519::Identity::generate(),
        );
        let sealed = sealed(r#"{"master":{"master-key":"aHVudGVyMg=="}}"#, &right);
        let file = |key: &age::x25519::Identity| {
            format!("# made today\n{}\n", key.to_string().expose_secret())
        };
        let handed = open(&sealed, &file(&right)).unwrap();
        assert_eq!(handed["master"]["master-key"].0, b"hunter2");
        assert!(open(&sealed, &file(&wrong)).is_none());
        assert!(open("nonsense", &file(&right)).is_none());
        assert!(open(&sealed, "").is_none());
    }

    #[test]
    fn they_become_the_secrets_that_the_instance_looks_for() {
        let of = |yaml: &str| {
            let spec: InstanceSpec = serde_saphyr::from_str(yaml).unwrap();
            let id = Identity::new("shop", "prod", "i-1", "");
            let data = [("master-key".to_owned(), ByteString(b"k".to_vec()))].into();
            let roles = keys::of(&spec, &id);
            let master = roles.iter().find(|r| r.of == Generated::Master).unwrap();
            secret(master, &data, &id).unwrap()
        };
        let own = of("{}");
        assert_eq!(own["metadata"]["name"], "shop-secrets-master-key");
        assert_eq!(
            own["metadata"]["labels"]["app.kubernetes.io/instance"],
            "shop"
        );
        assert_eq!(own["data"]["master-key"], "aw==");
        let named = of("secrets: {masterKeySecretRef: {name: mine, key: k}}");
        assert_eq!(named["metadata"]["name"], "mine");
        assert_eq!(named["data"], json!({"k": "aw=="}));
    }
}
