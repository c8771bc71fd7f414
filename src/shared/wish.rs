//! What a controller wants an object to be: the body that would be applied, and the number that a stored object's fingerprint is
//! compared with. Pure.

use super::cache::Key;
use super::fingerprint;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::Resource;
use serde::Serialize;
use serde_json::{Value, json};
use std::borrow::Cow;

/// A kind as the API server addresses it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Kind {
    /// API group, empty for core.
    pub group: Cow<'static, str>,
    /// Version.
    pub version: Cow<'static, str>,
    /// Kind, as in manifests.
    pub kind: Cow<'static, str>,
    /// Plural, as in URLs.
    pub plural: Cow<'static, str>,
    /// Whether objects live in a namespace.
    pub namespaced: bool,
}

impl Kind {
    /// A namespaced kind that we have no type for.
    pub const fn named(
        group: &'static str,
        version: &'static str,
        kind: &'static str,
        plural: &'static str,
    ) -> Self {
        Self {
            group: Cow::Borrowed(group),
            version: Cow::Borrowed(version),
            kind: Cow::Borrowed(kind),
            plural: Cow::Borrowed(plural),
            namespaced: true,
        }
    }

    /// Name of its CustomResourceDefinition.
    pub fn definition(&self) -> String {
        format!("{}.{}", self.plural, self.group)
    }

    /// The kind of a Rust type.
    pub fn of<K>() -> Self
    where
        K: Resource<DynamicType = ()>,
        K::Scope: Scoped,
    {
        Self {
            group: K::group(&()),
            version: K::version(&()),
            kind: K::kind(&()),
            plural: K::plural(&()),
            namespaced: K::Scope::NAMESPACED,
        }
    }

    /// `group/version`, or `version` for core.
    pub fn api_version(&self) -> String {
        if self.group.is_empty() {
            self.version.to_string()
        } else {
            format!("{}/{}", self.group, self.version)
        }
    }

    /// URL path of the collection in `namespace` (ignored for cluster scoped kinds; empty: all namespaces).
    pub fn collection(&self, namespace: &str) -> String {
        let root = if self.group.is_empty() {
            format!("/api/{}", self.version)
        } else {
            format!("/apis/{}/{}", self.group, self.version)
        };
        if self.namespaced && !namespace.is_empty() {
            format!("{root}/namespaces/{namespace}/{}", self.plural)
        } else {
            format!("{root}/{}", self.plural)
        }
    }

    /// URL path without names, for spans and metrics.
    pub fn route(&self) -> String {
        let root = if self.group.is_empty() {
            format!("/api/{}", self.version)
        } else {
            format!("/apis/{}/{}", self.group, self.version)
        };
        if self.namespaced {
            format!("{root}/namespaces/{{namespace}}/{}/{{name}}", self.plural)
        } else {
            format!("{root}/{}/{{name}}", self.plural)
        }
    }
}

/// Scope of a kind as a constant.
pub trait Scoped {
    /// Objects live in a namespace.
    const NAMESPACED: bool;
}
impl Scoped for kube::core::NamespaceResourceScope {
    const NAMESPACED: bool = true;
}
impl Scoped for kube::core::ClusterResourceScope {
    const NAMESPACED: bool = false;
}
/// An object as it should be.
#[derive(Clone, Debug)]
pub struct Wish {
    /// Its kind.
    pub kind: Kind,
    /// Namespace and name.
    pub key: Key,
    /// What is sent to the API server.
    pub body: Value,
    /// Fingerprint that a stored object has when it is as wished.
    pub hash: u64,
}

/// An object cannot be turned into JSON, or has no name. A fault of ours, not of the user.
#[derive(Debug, thiserror::Error)]
#[error("{kind} cannot be built: {message}")]
pub struct Malformed {
    kind: String,
    message: String,
}

impl Wish {
    /// Of an object of a kind that we have no type for.
    ///
    /// # Errors
    /// If it has no name or cannot be serialised.
    pub fn of_kind(kind: &Kind, metadata: &ObjectMeta, spec: &Value) -> Result<Self, Malformed> {
        let malformed = |message: String| Malformed {
            kind: kind.kind.to_string(),
            message,
        };
        let name = metadata
            .name
            .clone()
            .ok_or_else(|| malformed("no name".into()))?;
        let namespace = metadata.namespace.clone().unwrap_or_default();
        let mut body = json!({"apiVersion": kind.api_version(), "kind": kind.kind, "spec": spec});
        body["metadata"] = serde_json::to_value(metadata).map_err(|e| malformed(e.to_string()))?;
        prune_nulls(&mut body);
        Ok(Self {
            key: Key::new(&namespace, &name),
            hash: fingerprint::hash(&fingerprint::wished(body.clone())),
            kind: kind.clone(),
            body,
        })
    }

    /// Of a complete, typed object.
    ///
    /// # Errors
    /// If it has no name or cannot be serialised.
    pub fn of<K>(object: &K) -> Result<Self, Malformed>
    where
        K: Resource<DynamicType = ()> + Serialize,
        K::Scope: Scoped,
    {
        let kind = Kind::of::<K>();
        let malformed = |message: String| Malformed {
            kind: kind.kind.to_string(),
            message,
        };
        let name = object
            .meta()
            .name
            .clone()
            .ok_or_else(|| malformed("no name".into()))?;
        let namespace = object.meta().namespace.clone().unwrap_or_default();
        let mut body = serde_json::to_value(object).map_err(|e| malformed(e.to_string()))?;
        if let Some(map) = body.as_object_mut() {
            // Typed Kubernetes objects carry these already, ours by derive do not.
            map.insert("apiVersion".into(), kind.api_version().into());
            map.insert("kind".into(), kind.kind.to_string().into());
            map.remove("status");
        }
        prune_nulls(&mut body);
        Ok(Self {
            key: Key::new(&namespace, &name),
            hash: fingerprint::hash(&fingerprint::wished(body.clone())),
            kind,
            body,
        })
    }
}

impl Wish {
    /// With another body.
    pub fn change(&mut self, change: impl FnOnce(&mut Value)) {
        change(&mut self.body);
        self.hash = fingerprint::hash(&fingerprint::wished(self.body.clone()));
    }
}

fn prune_nulls(value: &mut Value) {
    match value {
        Value::Object(map) => {
            map.retain(|_, v| !v.is_null());
            map.values_mut().for_each(prune_nulls);
        }
        Value::Array(items) => items.iter_mut().for_each(prune_nulls),
        _ => {}
    }
}
