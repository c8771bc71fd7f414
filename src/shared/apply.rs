//! Makes objects what they should be, with the fewest writes: nothing is sent for an object whose fingerprint says that it is as wished.
//!
//! Must never take over an object of another owner, never write over one that it has not seen, and never delete by a cache that is not
//! complete. An object is first written by a *create-only apply*: server-side apply with a resource version that no stored object can have,
//! which the API server answers with a conflict if the name is taken.

use super::api::{ApiError, ApiServer};
use super::cache::{Cache, Key, Seen, View};
use super::names;
use super::takeover::{self, Heir};
use super::wish::{Kind, Wish};
use serde_json::{Value, json};
use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::{Arc, Mutex, PoisonError};

/// What an object could not become what it should be for.
#[derive(Debug, thiserror::Error)]
pub enum ApplyError {
    /// The API server, see there.
    #[error(transparent)]
    Api(#[from] ApiError),
    /// The name is taken by an object of somebody else.
    #[error(
        "{kind} \"{name}\" exists and belongs to {owner}; rename this resource or remove that object"
    )]
    NotOurs {
        /// Its kind.
        kind: String,
        /// Its name.
        name: String,
        /// Whose it is.
        owner: String,
    },
    /// An object of that name is still being deleted.
    #[error("{kind} \"{name}\" is still being deleted")]
    Terminating {
        /// Its kind.
        kind: String,
        /// Its name.
        name: String,
    },
    /// It changed between our look and our write.
    #[error("{kind} \"{name}\" was changed by somebody else meanwhile")]
    Changed {
        /// Its kind.
        kind: String,
        /// Its name.
        name: String,
    },
    /// Nobody knows what its removal would take along.
    #[error(
        "{kind} \"{name}\" cannot be read, so it is not removed; look at what it holds and remove it by hand"
    )]
    Unreadable {
        /// Its kind.
        kind: String,
        /// Its name.
        name: String,
    },
    /// A fault of ours.
    #[error(transparent)]
    Malformed(#[from] super::wish::Malformed),
    /// A fault of ours: nobody may ask before the first list.
    #[error("the cache of {0} is not complete")]
    NotSynced(String),
}

impl ApplyError {
    /// PascalCase, for conditions and metrics.
    pub fn reason(&self) -> &str {
        match self {
            Self::Api(e) => e.reason(),
            Self::NotOurs { .. } => "NotOurs",
            Self::Terminating { .. } => "Terminating",
            Self::Changed { .. } => "Conflict",
            Self::Unreadable { .. } => "Undecodable",
            Self::Malformed(_) => "InternalError",
            Self::NotSynced(_) => "CacheNotSynced",
        }
    }
}

/// What was done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It was not there.
    Created,
    /// It was there, and our wish is another one than before.
    Patched,
    /// Somebody else had changed what is ours.
    Repaired,
    /// It was as wished.
    Unchanged,
}

impl Outcome {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Created => "created",
            Self::Patched => "patched",
            Self::Repaired => "repaired",
            Self::Unchanged => "unchanged",
        }
    }
}

/// What the API server made of each of our wishes: (fingerprint of the wish, fingerprint of what was stored). 24 bytes per object.
#[derive(Default)]
pub struct Memory(Mutex<HashMap<u64, (u64, u64)>>);

impl Memory {
    fn id(kind: &Kind, key: &Key) -> u64 {
        let mut h = DefaultHasher::new();
        (&kind.group, &kind.kind, key).hash(&mut h);
        h.finish()
    }
    fn recall(&self, kind: &Kind, key: &Key) -> Option<(u64, u64)> {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .get(&Self::id(kind, key))
            .copied()
    }
    fn keep(&self, kind: &Kind, key: &Key, wish: u64, stored: Option<u64>) {
        let mut map = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match stored {
            Some(stored) => map.insert(Self::id(kind, key), (wish, stored)),
            None => map.remove(&Self::id(kind, key)),
        };
    }
}

/// Writes on behalf of one controller.
pub struct Applier<'a> {
    /// The door.
    pub api: &'a ApiServer,
    /// Shared by all passes.
    pub memory: &'a Memory,
    /// The controller's field manager.
    pub manager: &'static str,
    /// Uid of the owner of the owner: what it still controls was made by the earlier operator, and is taken from it in place.
    pub predecessor: Option<&'a str>,
}

/// An object after its wish was fulfilled.
#[derive(Debug)]
pub struct Applied<V> {
    /// What was done.
    pub outcome: Outcome,
    /// The object as it is now.
    pub seen: Arc<Seen<V>>,
}

impl Applier<'_> {
    /// Makes the object what `wish` says.
    ///
    /// # Errors
    /// See [`ApplyError`].
    pub async fn ensure<V: View>(
        &self,
        cache: &Cache<V>,
        wish: &Wish,
    ) -> Result<Applied<V>, ApplyError> {
        let span = tracing::info_span!(
            "apply object", otel.name = format!("apply {}", wish.kind.kind), k8s.object.name = %wish.key.name, paperclip.result = tracing::field::Empty
        );
        let applied =
            tracing::Instrument::instrument(self.ensure_inner(cache, wish), span.clone()).await?;
        span.record("paperclip.result", applied.outcome.as_str());
        if applied.outcome != Outcome::Unchanged {
            tracing::debug!(kind = %wish.kind.kind, object = %wish.key, outcome = applied.outcome.as_str(), "applied");
        }
        Ok(applied)
    }

    async fn ensure_inner<V: View>(
        &self,
        cache: &Cache<V>,
        wish: &Wish,
    ) -> Result<Applied<V>, ApplyError> {
        let kind = &wish.kind;
        if !cache.synced() {
            return Err(ApplyError::NotSynced(kind.kind.to_string()));
        }
        let owner = owner_uid(&wish.body);
        let Some(seen) = cache.get(&wish.key) else {
            return self.create(cache, wish).await;
        };
        if let Some(other) = seen
            .controller
            .as_ref()
            .filter(|c| !self.may_take(&c.uid, owner))
        {
            return Err(not_ours(
                wish,
                &format!("{} \"{}\"", other.kind, other.name),
            ));
        }
        if seen.deleting {
            return Err(terminating(wish));
        }
        let memory = self.memory.recall(kind, &wish.key);
        if seen.owned == Some(wish.hash)
            || (seen.owned.is_some() && memory == seen.owned.map(|stored| (wish.hash, stored)))
        {
            return Ok(Applied {
                outcome: Outcome::Unchanged,
                seen,
            });
        }
        let outcome = if memory.is_some_and(|(wished, _)| wished == wish.hash) {
            Outcome::Repaired
        } else {
            Outcome::Patched
        };
        // Ours, and never applied: the earlier operator made it.
        if seen.owned.is_none() && seen.controller.is_some() && owner.is_some() {
            self.take_over(wish, &seen.uid).await?;
        }
        let mut body = Self::with_trace(wish);
        body["metadata"]["uid"] = json!(&*seen.uid);
        let sent = match self.send(cache, wish, &body).await {
            Err(error) if is_blocked_by_foreign_entry(kind, &error) => {
                self.take_lists_back(wish, &body).await?;
                self.send(cache, wish, &body).await
            }
            sent => sent,
        };
        Ok(Applied {
            outcome,
            seen: sent?,
        })
    }

    /// Whether an object that `controller` controls may be taken for `owner`.
    fn may_take(&self, controller: &str, owner: Option<&str>) -> bool {
        owner.is_some() && (owner == Some(controller) || self.predecessor == Some(controller))
    }

    /// Makes the object what `wish` says, although its content was left as it was found until now.
    ///
    /// # Errors
    /// See [`ApplyError`].
    pub async fn replace_found<V: View>(
        &self,
        cache: &Cache<V>,
        wish: &Wish,
    ) -> Result<Applied<V>, ApplyError> {
        if let Some(seen) = cache.get(&wish.key) {
            self.take_over(wish, &seen.uid).await?;
        }
        self.ensure(cache, wish).await
    }

    /// Makes an object of the earlier operator ours, with its content as it is. `mark` is noted on it.
    ///
    /// # Errors
    /// See [`ApplyError`].
    pub async fn keep_as_found<V: View>(
        &self,
        cache: &Cache<V>,
        wish: &Wish,
        mark: &str,
    ) -> Result<Arc<Seen<V>>, ApplyError> {
        let (kind, key) = (&wish.kind, &wish.key);
        let Some(live) = self.api.get(kind, &key.namespace, &key.name).await? else {
            return Err(terminating(wish));
        };
        if live["metadata"]["deletionTimestamp"].is_string() {
            return Err(terminating(wish));
        }
        if let Claim::Foreign(owner) = self.claim(&live, wish) {
            return Err(not_ours(wish, &owner));
        }
        let Some(owner) = owner_reference(&wish.body) else {
            return Err(not_ours(wish, "nobody"));
        };
        let heir = self.heir(owner);
        let labels = &wish.body["metadata"]["labels"];
        let patch = takeover::keep_as_found(&live, &heir, labels, mark);
        Ok(cache.wrote_as_owner(self.patch(wish, &patch).await?))
    }

    /// Moves what the earlier operator set on the object with this uid to us.
    async fn take_over(&self, wish: &Wish, uid: &str) -> Result<(), ApplyError> {
        let (kind, key) = (&wish.kind, &wish.key);
        let live = self.api.get(kind, &key.namespace, &key.name).await?;
        if let Some(live) = live.filter(|live| live["metadata"]["uid"] == uid)
            && let Some(patch) = self.move_to_us(&live, wish)
        {
            self.patch(wish, &patch).await?;
        }
        Ok(())
    }

    fn move_to_us(&self, live: &Value, wish: &Wish) -> Option<Value> {
        takeover::patch(live, &self.heir(owner_reference(&wish.body)?))
    }

    const fn heir<'h>(&'h self, owner: &'h Value) -> Heir<'h> {
        Heir {
            manager: self.manager,
            owner,
            predecessor: self.predecessor,
        }
    }

    /// A patch that tests what it was made for.
    async fn patch(&self, wish: &Wish, patch: &Value) -> Result<Value, ApplyError> {
        let (kind, key) = (&wish.kind, &wish.key);
        let patched = self
            .api
            .json_patch(kind, &key.namespace, &key.name, self.manager, patch)
            .await;
        match patched {
            Err(error) if matches!(error.code(), Some(409 | 422)) => Err(ApplyError::Changed {
                kind: kind.kind.to_string(),
                name: key.name.to_string(),
            }),
            other => Ok(other?),
        }
    }

    /// Replaces the lists of an object by ours, which an apply cannot do: it leaves the entries of others alone.
    async fn take_lists_back(&self, wish: &Wish, body: &Value) -> Result<(), ApiError> {
        let (namespace, name) = (&wish.key.namespace, &wish.key.name);
        self.api
            .merge_patch(&wish.kind, namespace, name, self.manager, body)
            .await
            .map(drop)
    }

    async fn create<V: View>(
        &self,
        cache: &Cache<V>,
        wish: &Wish,
    ) -> Result<Applied<V>, ApplyError> {
        let mut body = Self::with_trace(wish);
        body["metadata"]["resourceVersion"] = json!("1");
        match self.send(cache, wish, &body).await {
            Ok(seen) => {
                return Ok(Applied {
                    outcome: Outcome::Created,
                    seen,
                });
            }
            Err(error) if error.is_conflict() => {}
            Err(error) => return Err(error.into()),
        }
        // The name is taken by something that the cache does not hold: it lacks our label, or was made a moment ago.
        let Some(mut live) = self
            .api
            .get(&wish.kind, &wish.key.namespace, &wish.key.name)
            .await?
        else {
            return Err(terminating(wish));
        };
        if live["metadata"]["deletionTimestamp"].is_string() {
            return Err(terminating(wish));
        }
        match self.claim(&live, wish) {
            Claim::Ours => {
                if super::fingerprint::owned(&live, self.manager).is_none()
                    && let Some(patch) = self.move_to_us(&live, wish)
                {
                    live = self.patch(wish, &patch).await?;
                }
                body["metadata"]["resourceVersion"] = live["metadata"]["resourceVersion"].clone();
                Ok(Applied {
                    outcome: Outcome::Repaired,
                    seen: self.send(cache, wish, &body).await?,
                })
            }
            Claim::Foreign(owner) => Err(not_ours(wish, &owner)),
        }
    }

    async fn send<V: View>(
        &self,
        cache: &Cache<V>,
        wish: &Wish,
        body: &Value,
    ) -> Result<Arc<Seen<V>>, ApiError> {
        let stored = self
            .api
            .apply(
                &wish.kind,
                &wish.key.namespace,
                &wish.key.name,
                self.manager,
                body,
            )
            .await?;
        let seen = cache.wrote_as_owner(stored);
        self.memory
            .keep(&wish.kind, &wish.key, wish.hash, seen.owned);
        Ok(seen)
    }

    /// Deletes the object if it is there and `owner_uid` controls it. True while it is still there.
    ///
    /// # Errors
    /// See [`ApplyError`].
    pub async fn remove<V: View>(
        &self,
        cache: &Cache<V>,
        kind: &Kind,
        key: &Key,
        owner_uid: &str,
    ) -> Result<bool, ApplyError> {
        self.delete(cache, kind, key, owner_uid, "Background").await
    }

    /// The same; the object stays until all that it owns is gone.
    ///
    /// # Errors
    /// See [`ApplyError`].
    pub async fn remove_after_its_own<V: View>(
        &self,
        cache: &Cache<V>,
        kind: &Kind,
        key: &Key,
        owner_uid: &str,
    ) -> Result<bool, ApplyError> {
        self.delete(cache, kind, key, owner_uid, "Foreground").await
    }

    async fn delete<V: View>(
        &self,
        cache: &Cache<V>,
        kind: &Kind,
        key: &Key,
        owner_uid: &str,
        propagation: &str,
    ) -> Result<bool, ApplyError> {
        if !cache.synced() {
            return Err(ApplyError::NotSynced(kind.kind.to_string()));
        }
        let Some(seen) = cache.get(key) else {
            return Ok(false);
        };
        if seen
            .controller
            .as_ref()
            .is_none_or(|c| *c.uid != *owner_uid)
        {
            return Ok(false);
        }
        if !seen.deleting {
            self.api
                .delete(kind, &key.namespace, &key.name, &seen.uid, propagation)
                .await?;
            self.memory.keep(kind, key, 0, None);
        }
        Ok(true)
    }

    /// Only kinds of ours carry the trace: their controllers link to it.
    fn with_trace(wish: &Wish) -> Value {
        let mut body = wish.body.clone();
        if wish.kind.group == names::GROUP
            && let Some(trace) = super::telemetry::traceparent()
        {
            body["metadata"]["annotations"][names::ANNOTATION_TRACEPARENT] = json!(trace);
        }
        body
    }
}

/// Somebody changed the number of our port: the entry became theirs, and beside it ours is a second one of the same name, which is invalid.
fn is_blocked_by_foreign_entry(kind: &Kind, error: &ApiError) -> bool {
    kind.kind == "Service" && error.code() == Some(422)
}

/// Uid of the controlling owner that a body names.
fn owner_uid(body: &Value) -> Option<&str> {
    owner_reference(body)?["uid"].as_str()
}

/// The controlling owner that a body names.
fn owner_reference(body: &Value) -> Option<&Value> {
    body["metadata"]["ownerReferences"]
        .as_array()?
        .iter()
        .find(|r| r["controller"] == true)
}

enum Claim {
    Ours,
    Foreign(String),
}

impl Applier<'_> {
    /// Whether an object of the wished name may be taken. It may if the same owner controls it, or if nobody does and it carries the labels
    /// of this installation (data that outlived a deleted Instance), or would carry them but for the one that we list by.
    fn claim(&self, live: &Value, wish: &Wish) -> Claim {
        let controller = live["metadata"]["ownerReferences"]
            .as_array()
            .into_iter()
            .flatten()
            .find(|r| r["controller"] == true);
        if let Some(controller) = controller {
            let uid = controller["uid"].as_str().unwrap_or_default();
            return if self.may_take(uid, owner_uid(&wish.body)) {
                Claim::Ours
            } else {
                Claim::Foreign(format!(
                    "{} \"{}\"",
                    controller["kind"].as_str().unwrap_or("?"),
                    controller["name"].as_str().unwrap_or("?")
                ))
            };
        }
        let (labels, wanted) = (
            &live["metadata"]["labels"],
            &wish.body["metadata"]["labels"],
        );
        let same = |label| labels[label].is_string() && labels[label] == wanted[label];
        if same(names::LABEL_NAME) && same(names::LABEL_INSTANCE) {
            return Claim::Ours;
        }
        let by = labels[names::LABEL_MANAGED_BY].as_str().map_or_else(
            || "nobody that it names".to_owned(),
            |by| format!("\"{}\"", super::conditions::clean(by)),
        );
        Claim::Foreign(by)
    }
}

fn terminating(wish: &Wish) -> ApplyError {
    ApplyError::Terminating {
        kind: wish.kind.kind.to_string(),
        name: wish.key.name.to_string(),
    }
}

fn not_ours(wish: &Wish, owner: &str) -> ApplyError {
    ApplyError::NotOurs {
        kind: wish.kind.kind.to_string(),
        name: wish.key.name.to_string(),
        owner: owner.to_owned(),
    }
}
