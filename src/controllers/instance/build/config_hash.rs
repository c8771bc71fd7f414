//! One number over everything in Secrets and ConfigMaps that the server's environment is made of, so that a change of content rolls the
//! pods. Keyed, so that nobody can guess a weak value from the annotation. Pure; values leave this function as a hash only.

use super::env;
use crate::controllers::instance::found::Found;
use hmac::{Hmac, Mac};
use k8s_openapi::api::core::v1::{EnvFromSource, EnvVar};
use sha2::Sha256;
use std::collections::BTreeSet;

/// 64 hexadecimal digits; `None` if the key cannot be used.
pub fn config_hash(
    key: &[u8],
    env: &[EnvVar],
    from: &[EnvFromSource],
    found: &Found,
) -> Option<String> {
    let mut parts: BTreeSet<(&str, &str, &str)> = env::sources(env)
        .map(|(secret, name, key)| (if secret { "Secret" } else { "ConfigMap" }, name, key))
        .collect();
    for source in from {
        if let Some(s) = &source.secret_ref
            && let Some(data) = found.secret(&s.name)
        {
            parts.extend(data.names().map(|key| ("Secret", s.name.as_str(), key)));
        }
        if let Some(c) = &source.config_map_ref
            && let Some(data) = found.config_map(&c.name)
        {
            parts.extend(data.names().map(|key| ("ConfigMap", c.name.as_str(), key)));
        }
    }
    let mut mac = Hmac::<Sha256>::new_from_slice(key).ok()?;
    for (kind, name, key) in parts {
        let data = if kind == "Secret" {
            found.secret(name)
        } else {
            found.config_map(name)
        };
        for text in [kind, name, key] {
            feed(&mut mac, text.as_bytes());
        }
        match data.and_then(|d| d.get(key)) {
            Some(value) => feed(&mut mac, value),
            None => mac.update(&[0xff; 8]),
        }
    }
    Some(crate::shared::random::hex(&mac.finalize().into_bytes()))
}

/// Length first, so that no two lists of parts look alike.
fn feed(mac: &mut Hmac<Sha256>, bytes: &[u8]) {
    mac.update(&(bytes.len() as u64).to_be_bytes());
    mac.update(bytes);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::controllers::instance::found::{Data, Look};

    fn env() -> Vec<EnvVar> {
        serde_saphyr::from_str(
            "
            - {name: A, valueFrom: {secretKeyRef: {name: one, key: a}}}
            - {name: B, value: text}
            - {name: C, valueFrom: {configMapKeyRef: {name: two, key: c}}}",
        )
        .unwrap()
    }

    fn found(a: &str, other: &str, c: &str) -> Found {
        let mut found = Found::default();
        let one = Data::from([("a", a.as_bytes()), ("other", other.as_bytes())]);
        found.secrets.insert("one".into(), Look::There(one));
        let two = Data::from([("c", c.as_bytes())]);
        found.config_maps.insert("two".into(), Look::There(two));
        found
    }

    fn hash(key: &[u8], from: &str, found: &Found) -> String {
        let from: Vec<EnvFromSource> = serde_saphyr::from_str(from).unwrap();
        config_hash(key, &env(), &from, found).unwrap()
    }

    #[test]
    fn a_used_value_changes_it_and_an_unused_one_does_not() {
        let base = hash(b"k", "[]", &found("1", "2", "3"));
        assert_eq!(base.len(), 64);
        assert_eq!(base, hash(b"k", "[]", &found("1", "changed", "3")));
        assert_ne!(base, hash(b"k", "[]", &found("changed", "2", "3")));
        assert_ne!(base, hash(b"k", "[]", &found("1", "2", "changed")));
        assert_ne!(base, hash(b"other key", "[]", &found("1", "2", "3")));
    }

    #[test]
    fn all_keys_of_a_source_count() {
        let from = "[{secretRef: {name: one}}]";
        let base = hash(b"k", from, &found("1", "2", "3"));
        assert_ne!(base, hash(b"k", from, &found("1", "changed", "3")));
    }

    #[test]
    fn values_that_move_between_keys_are_noticed() {
        assert_ne!(
            hash(b"k", "[]", &found("12", "", "3")),
            hash(b"k", "[]", &found("1", "", "23"))
        );
    }

    #[test]
    fn a_value_that_is_not_there_is_no_empty_value() {
        let empty = hash(b"k", "[]", &found("", "", "3"));
        let mut without = found("", "", "3");
        without.secrets.insert("one".into(), Look::Missing);
        assert_ne!(empty, hash(b"k", "[]", &without));
    }
}
