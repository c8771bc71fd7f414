//! `database.mode` changes while data exist: the PaperclipDatabase is replaced by one of the other engine, or goes without one. Volume and
//! Secrets stay, whatever `deletionPolicy` says, for that is about the end of the Instance; back in the old mode they are taken up again. No
//! data are moved. An external database is asked first, by a PaperclipDatabase of its own: until it can be used the server stays where it is.
//! The server ends before a database of ours does: without it, it could not bring its runs to an end, and would try to for half an hour.
//! Must never let go of a PaperclipDatabase that would take its data along.

use super::apply::Done;
use super::observed::Observed;
use super::validate::Validated;
use super::validate::database::Database;
use crate::crd::database::DatabaseEngine;
use crate::crd::instance::InstanceStatus;
use crate::crd::shared::DeletionPolicy;
use crate::crd::{PaperclipDatabase, word};
use crate::shared::apply::{Applier, ApplyError};
use crate::shared::cache::{Cache, Key, Seen};
use crate::shared::guarded::Guarded;
use crate::shared::wish::{Kind, Wish};
use serde_json::json;

/// Where a server has its data.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Home {
    Embedded,
    External,
    Managed,
    Cluster,
}

impl Home {
    fn wanted(database: &Database<'_>) -> Self {
        match database {
            Database::Embedded => Self::Embedded,
            Database::External(_) => Self::External,
            Database::Managed { options, .. } if super::build::database::is_cluster(*options) => {
                Self::Cluster
            }
            Database::Managed { .. } => Self::Managed,
        }
    }

    /// `None`: a newer operator made it, and this one cannot tell.
    fn of(database: &PaperclipDatabase) -> Option<Self> {
        let engine = word(database.spec.engine.as_ref()).ok()?;
        Some(match engine.unwrap_or(DatabaseEngine::Managed) {
            DatabaseEngine::Managed => Self::Managed,
            DatabaseEngine::CloudNativePg => Self::Cluster,
            DatabaseEngine::External => Self::External,
        })
    }

    const fn text(self) -> &'static str {
        match self {
            Self::Embedded => "the embedded database",
            Self::External => "an external database",
            Self::Managed => "a managed database",
            Self::Cluster => "a CloudNativePG cluster",
        }
    }
}

/// What is to be done about the PaperclipDatabase.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// It becomes what is wanted, or stays it. `Some`: the server goes to it from elsewhere, in words for people.
    Put(Option<String>),
    /// None is wanted, and none is there.
    Nothing,
    /// The new one is asked, and the server stays where it is: in words for people.
    Ask(String),
    /// The server ends, while its database is still there: in words for people.
    Stop(String),
    /// The one that is there is let go of: in words for people.
    LetGo(String),
    /// The one of before has not ended yet.
    Ends,
    /// Nobody knows what its end would take along.
    Unreadable,
}

/// Decides.
pub fn step(wanted: &Database<'_>, observed: &Observed, status: Option<&InstanceStatus>) -> Step {
    let wanted = Home::wanted(wanted);
    let Some(seen) = &observed.database else {
        return match wanted {
            Home::Embedded => Step::Nothing,
            _ => Step::Put(was_embedded(status).then(|| moves(Home::Embedded, wanted))),
        };
    };
    let found = match &seen.view {
        Guarded::Ok(database) => Home::of(database),
        Guarded::Undecodable { .. } => None,
    };
    match found {
        None if wanted == Home::Embedded => Step::Unreadable,
        None => Step::Put(None),
        Some(found) if found == wanted => Step::Put(None),
        Some(_) if seen.deleting => Step::Ends,
        Some(found) if wanted == Home::External && !answers(observed) => Step::Ask(format!(
            "the server stays with {} until the external one can be used",
            found.text()
        )),
        // It does not end with its PaperclipDatabase.
        Some(Home::External) => Step::LetGo(moves(Home::External, wanted)),
        Some(found) if !has_ended(observed) => Step::Stop(format!(
            "the server ends before it goes from {} to {}",
            found.text(),
            wanted.text()
        )),
        Some(found) => Step::LetGo(moves(found, wanted)),
    }
}

/// No server is there, and none is about to be.
fn has_ended(observed: &Observed) -> bool {
    observed.wanted_replicas() == 0 && observed.pods.is_empty()
}

fn moves(from: Home, to: Home) -> String {
    format!(
        "the server goes from {} to {}: no data are moved, and those of before are kept",
        from.text(),
        to.text()
    )
}

/// There is no PaperclipDatabase, and the Instance has served without one: it is not only being made.
fn was_embedded(status: Option<&InstanceStatus>) -> bool {
    status.is_some_and(|status| {
        let had = |c: &crate::crd::instance::ChildStatus| c.kind == "PaperclipDatabase";
        status.first_ready_time.is_some() && !status.children.iter().any(had)
    })
}

/// The one that was asked can be used.
fn answers(observed: &Observed) -> bool {
    observed.next_child().is_some_and(|next| next.may_be_used())
}

impl Step {
    /// Until the one that is there is let go of, everything else is as for that one; `Some`: the new one.
    pub fn hold<'a>(&self, v: &mut Validated<'a>) -> Option<Database<'a>> {
        let there = Database::Managed {
            options: None,
            ignore_size: false,
        };
        matches!(self, Self::Ask(_) | Self::Stop(_))
            .then(|| std::mem::replace(&mut v.database, there))
    }

    /// The server is to end.
    pub const fn stops_server(&self) -> bool {
        matches!(self, Self::Stop(_))
    }

    /// Why the database of the spec is not in use yet; `None`: it is, or that has another reason.
    pub fn replaces(&self) -> Option<&str> {
        match self {
            Self::Stop(text) => Some(text),
            _ => self.begins(),
        }
    }

    /// The server goes to another database, and this pass begins it.
    pub fn begins(&self) -> Option<&str> {
        match self {
            Self::Put(Some(text)) | Self::LetGo(text) => Some(text),
            _ => None,
        }
    }
}

/// Does it. `next`: the one that is to be asked.
///
/// # Errors
/// See [`ApplyError`].
pub async fn put(
    applier: &Applier<'_>,
    cache: &Cache<Guarded<PaperclipDatabase>>,
    v: &Validated<'_>,
    step: &Step,
    wish: Option<&Wish>,
    next: Option<&Wish>,
) -> Done {
    let key = |name: &str| Key::new(v.id.namespace, name);
    let kind = Kind::of::<PaperclipDatabase>();
    let main = key(v.id.names.main());
    let underway = |step: &Step| {
        matches!(
            step,
            Step::Ask(_) | Step::Stop(_) | Step::LetGo(_) | Step::Ends
        )
    };
    if !underway(step) {
        let asked = key(&v.id.names.next_database());
        applier.remove(cache, &kind, &asked, v.id.uid).await?;
    }
    let made = match step {
        Step::Put(_) => wish,
        Step::Ask(_) => next,
        Step::LetGo(_) => {
            if let Some(seen) = cache.get(&main) {
                let_go(applier, cache, &seen, v.id.uid).await?;
            }
            None
        }
        Step::Nothing | Step::Stop(_) | Step::Ends => None,
        Step::Unreadable => {
            return Err(ApplyError::Unreadable {
                kind: kind.kind.to_string(),
                name: main.name.to_string(),
            });
        }
    };
    match made {
        Some(wish) => Ok(Some(applier.ensure(cache, wish).await?.outcome)),
        None => Ok(None),
    }
}

async fn let_go(
    applier: &Applier<'_>,
    cache: &Cache<Guarded<PaperclipDatabase>>,
    seen: &Seen<Guarded<PaperclipDatabase>>,
    owner: &str,
) -> Result<(), ApplyError> {
    let kind = Kind::of::<PaperclipDatabase>();
    let takes_data = match &seen.view {
        Guarded::Ok(database) => {
            let policy = database.spec.deletion_policy.as_ref();
            policy.is_some_and(|p| *p == DeletionPolicy::Delete)
        }
        Guarded::Undecodable { .. } => true,
    };
    if takes_data {
        let retain = json!({
            "metadata": {"uid": &*seen.uid},
            "spec": {"deletionPolicy": DeletionPolicy::Retain.to_string()},
        });
        let (namespace, name) = (&seen.key.namespace, &seen.key.name);
        let stored = applier
            .api
            .merge_patch(&kind, namespace, name, applier.manager, &retain)
            .await?;
        cache.wrote_as_owner(stored);
    }
    applier.remove(cache, &kind, &seen.key, owner).await?;
    Ok(())
}
