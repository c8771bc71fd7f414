//! What is known of the objects of one kind: a fingerprint each, the part that somebody reads ([`View`]), and an index by controller.
//!
//! Filled by an informer and by the answers to our own writes, whichever is newer. Must never be taken for complete before
//! [`Cache::synced`]: an object that is not here may still exist.

use super::{fingerprint, names};
use kube::runtime::reflector::ObjectRef;
use serde_json::Value;
use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, PoisonError, RwLock};

/// Namespace and name; the namespace is empty for cluster scoped kinds.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Key {
    /// Namespace.
    pub namespace: Arc<str>,
    /// Name.
    pub name: Arc<str>,
}

impl Key {
    /// Of a namespace and a name.
    pub fn new(namespace: &str, name: &str) -> Self {
        Self {
            namespace: namespace.into(),
            name: name.into(),
        }
    }

    /// Of a stored object.
    pub fn of(object: &Value) -> Self {
        let text = |path| {
            object
                .pointer(path)
                .and_then(Value::as_str)
                .unwrap_or_default()
        };
        Self::new(text("/metadata/namespace"), text("/metadata/name"))
    }

    /// Of a reference that kube hands us.
    pub fn from_ref<K: kube::runtime::reflector::Lookup>(reference: &ObjectRef<K>) -> Self {
        Self::new(
            reference.namespace.as_deref().unwrap_or_default(),
            &reference.name,
        )
    }
}

impl std::fmt::Display for Key {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if self.namespace.is_empty() {
            f.write_str(&self.name)
        } else {
            write!(f, "{}/{}", self.namespace, self.name)
        }
    }
}

/// The controlling owner of an object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Controller {
    /// Its kind.
    pub kind: Arc<str>,
    /// Its name.
    pub name: Arc<str>,
    /// Its uid.
    pub uid: Arc<str>,
}

/// The part of an object's content that somebody reads.
pub trait View: Send + Sync + Sized + 'static {
    /// Reads it from the stored object, which may be taken apart. Must cope with anything that the API server can hold.
    fn read(object: Value) -> Self;
    /// Whether the owner of the object has to look again.
    fn matters_to_owner(&self, before: &Self) -> bool;
    /// Whether the object's own controller has to look again. Only for kinds of ours.
    fn matters_to_itself(&self, before: &Self) -> bool {
        self.matters_to_owner(before)
    }
    /// Whether somebody else asks the object's own controller for something. The answer to a write of that controller's own may be the
    /// first that is seen of it.
    fn asks_itself(&self, _before: &Self) -> bool {
        false
    }
}

/// What is known of one object.
#[derive(Debug)]
pub struct Seen<V> {
    /// Namespace and name.
    pub key: Key,
    /// Unique id.
    pub uid: Arc<str>,
    /// Resource version as a number; versions of one kind are ordered (KEP-5504).
    pub version: u64,
    /// Generation, 0 for kinds without one.
    pub generation: i64,
    /// Being deleted.
    pub deleting: bool,
    /// Carries the label of our objects.
    pub ours: bool,
    /// Controlling owner.
    pub controller: Option<Controller>,
    /// Label: the installation that it belongs to, empty if none.
    pub instance: Arc<str>,
    /// Label: the part of it.
    pub component: Option<names::Component>,
    /// Fingerprint of the fields that our field managers own; `None` if none.
    pub owned: Option<u64>,
    /// What somebody reads.
    pub view: V,
}

/// What stands for the controllers of pods that belong to this installation, where those are ReplicaSets, which nobody watches.
fn of_replica_sets(namespace: &str, instance: &str) -> Arc<str> {
    format!("{namespace}/{instance}").into()
}

impl<V> Seen<V> {
    /// Whom it is found by.
    fn family(&self) -> Option<Arc<str>> {
        let controller = self.controller.as_ref()?;
        if &*controller.kind == "ReplicaSet" && !self.instance.is_empty() {
            return Some(of_replica_sets(&self.key.namespace, &self.instance));
        }
        Some(controller.uid.clone())
    }
}

impl<V: View> Seen<V> {
    /// Reads a stored object. `managers` are the field managers that may apply objects of this kind.
    pub fn read(mut object: Value, managers: &[&str]) -> Self {
        let owned = managers
            .iter()
            .find_map(|m| fingerprint::owned(&object, m))
            .map(|v| fingerprint::hash(&v));
        let meta = &object["metadata"];
        let text = |v: &Value| Arc::<str>::from(v.as_str().unwrap_or_default());
        let controller = meta["ownerReferences"]
            .as_array()
            .into_iter()
            .flatten()
            .find(|r| r["controller"] == true)
            .map(|r| Controller {
                kind: text(&r["kind"]),
                name: text(&r["name"]),
                uid: text(&r["uid"]),
            });
        let seen = (
            Key::of(&object),
            text(&meta["uid"]),
            version(meta),
            meta["generation"].as_i64().unwrap_or_default(),
            meta["deletionTimestamp"].is_string(),
            meta["labels"][names::LABEL_MANAGED_BY] == names::MANAGED_BY,
            text(&meta["labels"][names::LABEL_INSTANCE]),
            meta["labels"][names::LABEL_COMPONENT]
                .as_str()
                .and_then(names::Component::parse),
        );
        if let Some(meta) = object.get_mut("metadata").and_then(Value::as_object_mut) {
            meta.remove("managedFields");
        }
        let (key, uid, version, generation, deleting, ours, instance, component) = seen;
        Self {
            key,
            uid,
            version,
            generation,
            deleting,
            ours,
            controller,
            instance,
            component,
            owned,
            view: V::read(object),
        }
    }
}

/// Resource version of `metadata` as a number, 0 if it is none.
pub fn version(metadata: &Value) -> u64 {
    metadata["resourceVersion"]
        .as_str()
        .and_then(|v| v.parse().ok())
        .unwrap_or_default()
}

/// Who has to look again after a change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Audience {
    Everyone,
    /// The owner wrote it: only the object's own controller.
    Itself,
    /// The object's own controller wrote it: only the owner.
    Owner,
}

/// Called with the object as it was and as it is.
pub type Subscriber<V> = Box<dyn Fn(Option<&Seen<V>>, Option<&Seen<V>>) + Send + Sync>;

struct Inner<V> {
    objects: HashMap<Key, Arc<Seen<V>>>,
    by_controller: HashMap<Arc<str>, HashSet<Key>>,
    /// While a list of a scope (a namespace, or "" for all) is received: what it held so far, and what we wrote meanwhile. The rest vanished.
    listing: HashMap<String, HashSet<Key>>,
    /// Scopes whose first list has not come yet.
    unsynced: HashSet<String>,
}

/// The objects of one kind.
pub struct Cache<V> {
    inner: RwLock<Inner<V>>,
    synced: AtomicBool,
    managers: &'static [&'static str],
    for_itself: Vec<Subscriber<V>>,
    for_owner: Vec<Subscriber<V>>,
}

impl<V: View> Cache<V> {
    /// Empty and not synced. `managers`: the field managers whose fields make the fingerprint. `scopes`: the namespaces that it is
    /// filled from, or one empty string for all.
    pub fn new(managers: &'static [&'static str], scopes: &[String]) -> Self {
        Self {
            inner: RwLock::new(Inner {
                objects: HashMap::new(),
                by_controller: HashMap::new(),
                listing: HashMap::new(),
                unsynced: scopes.iter().cloned().collect(),
            }),
            synced: AtomicBool::new(false),
            managers,
            for_itself: vec![],
            for_owner: vec![],
        }
    }

    /// Calls `subscriber` when the object's own controller has to look again.
    #[must_use]
    pub fn on_itself(mut self, subscriber: Subscriber<V>) -> Self {
        self.for_itself.push(subscriber);
        self
    }

    /// Calls `subscriber` when the owner has to look again.
    #[must_use]
    pub fn on_owner(mut self, subscriber: Subscriber<V>) -> Self {
        self.for_owner.push(subscriber);
        self
    }

    /// A first complete list was received.
    pub fn synced(&self) -> bool {
        self.synced.load(Ordering::Acquire)
    }

    /// The object, if it is known.
    pub fn get(&self, key: &Key) -> Option<Arc<Seen<V>>> {
        self.read().objects.get(key).cloned()
    }

    /// Every object of this installation that a ReplicaSet controls, in order of name.
    pub fn in_replica_sets(&self, namespace: &str, instance: &str) -> Vec<Arc<Seen<V>>> {
        self.controlled_by(&of_replica_sets(namespace, instance))
    }

    /// Every object that `uid` controls, in order of name.
    pub fn controlled_by(&self, uid: &str) -> Vec<Arc<Seen<V>>> {
        let inner = self.read();
        let mut found: Vec<_> = inner
            .by_controller
            .get(uid)
            .into_iter()
            .flatten()
            .filter_map(|key| inner.objects.get(key).cloned())
            .collect();
        found.sort_by(|a, b| a.key.cmp(&b.key));
        found
    }

    /// All objects.
    pub fn all(&self) -> Vec<Arc<Seen<V>>> {
        self.read().objects.values().cloned().collect()
    }

    /// How many objects are known.
    pub fn len(&self) -> usize {
        self.read().objects.len()
    }

    /// Nothing is known.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The owner of the object wrote it, and this is the answer.
    pub fn wrote_as_owner(&self, object: Value) -> Arc<Seen<V>> {
        self.put(object, Audience::Itself)
    }

    /// The object's own controller wrote it, and this is the answer.
    pub fn wrote_as_itself(&self, object: Value) -> Arc<Seen<V>> {
        self.put(object, Audience::Owner)
    }

    /// From the watch: exists, or has changed.
    pub fn applied(&self, object: Value) {
        self.put(object, Audience::Everyone);
    }

    /// From the watch, or from the answer to a delete: is gone. An object of the same name with another uid stays.
    pub fn deleted(&self, key: &Key, uid: &str) {
        let gone = {
            let mut inner = self.write();
            match inner.objects.get(key) {
                Some(seen) if &*seen.uid == uid => inner.take(key),
                _ => None,
            }
        };
        if let Some(gone) = gone {
            self.tell(Audience::Everyone, Some(&gone), None);
        }
    }

    /// A list of `scope` begins.
    pub fn list_begins(&self, scope: &str) {
        self.write()
            .listing
            .insert(scope.to_owned(), HashSet::new());
    }

    /// The list of `scope` is complete: what it did not hold has vanished.
    pub fn list_ends(&self, scope: &str) {
        let gone: Vec<_> = {
            let mut inner = self.write();
            let Some(listed) = inner.listing.remove(scope) else {
                return;
            };
            inner.unsynced.remove(scope);
            if inner.unsynced.is_empty() {
                self.synced.store(true, Ordering::Release);
            }
            let in_scope = |k: &Key| scope.is_empty() || *k.namespace == *scope;
            let gone: Vec<Key> = inner
                .objects
                .keys()
                .filter(|k| in_scope(k) && !listed.contains(*k))
                .cloned()
                .collect();
            gone.iter().filter_map(|key| inner.take(key)).collect()
        };
        for seen in gone {
            self.tell(Audience::Everyone, Some(&seen), None);
        }
    }

    fn put(&self, object: Value, audience: Audience) -> Arc<Seen<V>> {
        let key = Key::of(&object);
        let (new_version, uid) = (
            version(&object["metadata"]),
            object["metadata"]["uid"]
                .as_str()
                .unwrap_or_default()
                .to_owned(),
        );
        {
            // What we know already is not decoded again.
            let mut inner = self.write();
            for listing in inner.listing.values_mut() {
                listing.insert(key.clone());
            }
            if let Some(old) = inner.objects.get(&key)
                && *old.uid == *uid
                && old.version >= new_version
            {
                return old.clone();
            }
        }
        let new = Arc::new(Seen::<V>::read(object, self.managers));
        let old = {
            let mut inner = self.write();
            match inner.objects.get(&key) {
                Some(old) if old.version >= new.version => return old.clone(),
                _ => {}
            }
            let old = inner.take(&key);
            if let Some(family) = new.family() {
                inner
                    .by_controller
                    .entry(family)
                    .or_default()
                    .insert(key.clone());
            }
            inner.objects.insert(key, new.clone());
            old
        };
        self.tell(audience, old.as_deref(), Some(&new));
        new
    }

    fn tell(&self, audience: Audience, old: Option<&Seen<V>>, new: Option<&Seen<V>>) {
        let (itself, owner) = match (old, new) {
            (Some(a), Some(b)) if a.uid == b.uid => {
                let common = a.deleting != b.deleting;
                (
                    common || b.view.matters_to_itself(&a.view),
                    common
                        || a.owned != b.owned
                        || a.ours != b.ours
                        || a.controller != b.controller
                        || b.view.matters_to_owner(&a.view),
                )
            }
            _ => (true, true),
        };
        let asked = match (old, new) {
            (Some(a), Some(b)) => a.deleting != b.deleting || b.view.asks_itself(&a.view),
            _ => true,
        };
        if itself && (audience != Audience::Owner || asked) {
            self.for_itself.iter().for_each(|s| s(old, new));
        }
        if owner && audience != Audience::Itself {
            self.for_owner.iter().for_each(|s| s(old, new));
        }
    }

    fn read(&self) -> std::sync::RwLockReadGuard<'_, Inner<V>> {
        self.inner.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> std::sync::RwLockWriteGuard<'_, Inner<V>> {
        self.inner.write().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<V> Inner<V> {
    fn take(&mut self, key: &Key) -> Option<Arc<Seen<V>>> {
        let old = self.objects.remove(key)?;
        if let Some(family) = old.family()
            && let Some(keys) = self.by_controller.get_mut(&family)
        {
            keys.remove(key);
            if keys.is_empty() {
                self.by_controller.remove(&family);
            }
        }
        Some(old)
    }
}
