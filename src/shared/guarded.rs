//! A resource of ours as it is stored: decoded, or, if that fails, its metadata and the reason. One object that cannot be decoded must
//! never keep the others of its kind from being seen.

use super::cache::View;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::Resource;
use kube::core::object::HasStatus;
use serde::de::DeserializeOwned;
use serde_json::Value;

/// See the module.
#[derive(Debug)]
pub enum Guarded<K> {
    /// Decoded.
    Ok(Box<K>),
    /// Not decodable, and why.
    Undecodable {
        /// Its metadata.
        meta: Box<ObjectMeta>,
        /// The decoder's words.
        error: String,
    },
}

impl<K: Resource> Guarded<K> {
    /// Metadata, which is there in either case.
    pub fn meta(&self) -> &ObjectMeta {
        match self {
            Self::Ok(object) => object.meta(),
            Self::Undecodable { meta, .. } => meta,
        }
    }
}

impl<K> View for Guarded<K>
where
    K: Resource<DynamicType = ()> + HasStatus + DeserializeOwned + Send + Sync + 'static,
    K::Status: PartialEq,
{
    fn read(mut object: Value) -> Self {
        let meta = object.get("metadata").cloned().unwrap_or_default();
        match serde_json::from_value::<K>(object.take()) {
            Ok(object) => Self::Ok(Box::new(object)),
            Err(error) => Self::Undecodable {
                meta: Box::new(serde_json::from_value(meta).unwrap_or_default()),
                error: super::conditions::quote(&error.to_string()),
            },
        }
    }

    fn matters_to_owner(&self, before: &Self) -> bool {
        match (self, before) {
            (Self::Ok(a), Self::Ok(b)) => {
                a.status() != b.status() || self.matters_to_itself(before)
            }
            _ => true,
        }
    }

    fn asks_itself(&self, before: &Self) -> bool {
        let (a, b) = (self.meta(), before.meta());
        a.generation != b.generation || a.annotations != b.annotations
    }

    fn matters_to_itself(&self, before: &Self) -> bool {
        let (a, b) = (self.meta(), before.meta());
        a.generation != b.generation
            || a.finalizers != b.finalizers
            || a.annotations != b.annotations
            || a.labels != b.labels
            || a.owner_references != b.owner_references
            || a.deletion_timestamp != b.deletion_timestamp
            || matches!(self, Self::Ok(_)) != matches!(before, Self::Ok(_))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::crd::Instance;
    use crate::shared::cache::Cache;
    use serde_json::json;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU32, Ordering};

    #[test]
    fn a_change_that_is_first_seen_in_the_answer_to_our_own_write_is_not_lost() {
        let woken = Arc::new(AtomicU32::new(0));
        let count = woken.clone();
        let cache = Cache::<Guarded<Instance>>::new(&[], &[String::new()]).on_itself(Box::new(
            move |_, _| {
                count.fetch_add(1, Ordering::Relaxed);
            },
        ));
        let object = |version: u32, generation: u32, phase: &str| {
            json!({"metadata": {"name": "a", "namespace": "b", "uid": "c", "resourceVersion": version.to_string(),
                "generation": generation}, "spec": {}, "status": {"phase": phase}})
        };
        cache.applied(object(1, 1, "Pending"));
        assert_eq!(woken.load(Ordering::Relaxed), 1);
        cache.wrote_as_itself(object(2, 1, "Running"));
        assert_eq!(woken.load(Ordering::Relaxed), 1, "our own write is no news");
        cache.wrote_as_itself(object(4, 2, "Running"));
        assert_eq!(
            woken.load(Ordering::Relaxed),
            2,
            "somebody changed the spec meanwhile"
        );
        // The watch tells of it later, and nobody is woken again.
        cache.applied(object(3, 2, "Running"));
        cache.applied(object(4, 2, "Running"));
        assert_eq!(woken.load(Ordering::Relaxed), 2);
    }
}
