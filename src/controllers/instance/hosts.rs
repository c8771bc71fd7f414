//! Which Instance claims which host name. Two routes with one name would answer for each other, so the oldest Instance has it. Kept in
//! step with the cache of Instances by a subscriber; must never be asked before that cache is complete.

use super::validate::routes::claimed;
use crate::crd::Instance;
use crate::shared::cache::{Key, Seen, Subscriber};
use crate::shared::guarded::Guarded;
use crate::shared::triggers::Triggers;
use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, Mutex, PoisonError};

/// One Instance's claim; the smallest is the oldest.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Claim {
    created: jiff::Timestamp,
    uid: Arc<str>,
    key: Key,
}

#[derive(Default)]
struct Inner {
    claims: HashMap<String, BTreeSet<Claim>>,
    of: HashMap<Key, (Claim, Vec<String>)>,
}

/// See the module.
#[derive(Default)]
pub struct Hosts(Mutex<Inner>);

impl Hosts {
    /// Follows the cache of Instances, and wakes the Instances whose claims win or lose.
    pub fn follow(self: &Arc<Self>, triggers: Arc<Triggers>) -> Subscriber<Guarded<Instance>> {
        let this = self.clone();
        Box::new(
            move |old: Option<&Seen<Guarded<Instance>>>, new: Option<&Seen<Guarded<Instance>>>| {
                let Some(seen) = new.or(old) else { return };
                let hosts = match new.map(|seen| &seen.view) {
                    Some(Guarded::Ok(instance)) => claimed(&instance.spec),
                    _ => vec![],
                };
                let created = seen.view.meta().creation_timestamp.as_ref();
                let claim = Claim {
                    created: created.map_or(jiff::Timestamp::MAX, |t| t.0),
                    uid: seen.uid.clone(),
                    key: seen.key.clone(),
                };
                for other in this.put(claim, hosts) {
                    triggers.push(other);
                }
            },
        )
    }

    /// Replaces the claims of one Instance; gives the others that claim one of the names.
    fn put(&self, claim: Claim, hosts: Vec<String>) -> BTreeSet<Key> {
        let mut inner = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let mut affected = BTreeSet::new();
        let before = inner.of.remove(&claim.key);
        if before.as_ref() == Some(&(claim.clone(), hosts.clone())) {
            inner.of.extend(before.map(|b| (claim.key, b)));
            return affected;
        }
        if let Some((old, names)) = before {
            for name in names {
                if let Some(claims) = inner.claims.get_mut(&name) {
                    claims.remove(&old);
                    affected.extend(claims.iter().map(|c| c.key.clone()));
                    if claims.is_empty() {
                        inner.claims.remove(&name);
                    }
                }
            }
        }
        for name in &hosts {
            let claims = inner.claims.entry(name.clone()).or_default();
            affected.extend(claims.iter().map(|c| c.key.clone()));
            claims.insert(claim.clone());
        }
        if !hosts.is_empty() {
            inner.of.insert(claim.key.clone(), (claim, hosts));
        }
        affected
    }

    /// The first of the names that an older Instance has, and which Instance.
    pub fn conflict<'h>(
        &self,
        uid: &str,
        mut hosts: impl Iterator<Item = &'h str>,
    ) -> Option<(String, Key)> {
        let inner = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        hosts.find_map(|host| {
            let oldest = inner.claims.get(host)?.first()?;
            (*oldest.uid != *uid).then(|| (host.to_owned(), oldest.key.clone()))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn claim(name: &str, created: i64) -> Claim {
        Claim {
            created: jiff::Timestamp::from_second(created).unwrap(),
            uid: format!("uid-{name}").into(),
            key: Key::new("ns", name),
        }
    }
    fn put(hosts: &Hosts, name: &str, created: i64, names: &[&str]) -> Vec<String> {
        let names = names.iter().map(|n| (*n).to_owned()).collect();
        let woken = hosts.put(claim(name, created), names);
        woken.into_iter().map(|k| k.name.to_string()).collect()
    }
    fn loses(hosts: &Hosts, name: &str, host: &str) -> Option<String> {
        let found = hosts.conflict(&format!("uid-{name}"), [host].into_iter());
        found.map(|(_, key)| key.name.to_string())
    }

    #[test]
    fn the_oldest_has_the_name_whoever_came_first() {
        let hosts = Hosts::default();
        assert!(put(&hosts, "young", 2, &["a", "b"]).is_empty());
        assert_eq!(loses(&hosts, "young", "a"), None);
        assert_eq!(put(&hosts, "old", 1, &["a"]), ["young"]);
        assert_eq!(loses(&hosts, "young", "a").as_deref(), Some("old"));
        assert_eq!(loses(&hosts, "old", "a"), None);
        assert_eq!(loses(&hosts, "young", "b"), None);
    }

    #[test]
    fn who_gives_a_name_back_wakes_the_next() {
        let hosts = Hosts::default();
        put(&hosts, "old", 1, &["a"]);
        put(&hosts, "young", 2, &["a"]);
        assert!(put(&hosts, "old", 1, &["a"]).is_empty(), "nothing changed");
        assert_eq!(put(&hosts, "old", 1, &[]), ["young"]);
        assert_eq!(loses(&hosts, "young", "a"), None);
    }

    #[test]
    fn of_two_of_one_age_the_uid_decides() {
        let hosts = Hosts::default();
        put(&hosts, "b", 1, &["x"]);
        put(&hosts, "a", 1, &["x"]);
        assert_eq!(loses(&hosts, "b", "x").as_deref(), Some("a"));
        assert_eq!(loses(&hosts, "a", "x"), None);
    }
}
