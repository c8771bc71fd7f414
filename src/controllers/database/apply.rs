//! Writes what differs. Independent objects at the same time; the Secrets after the claim, because a password is only generated for a
//! volume that is certainly new. Must never write over a password, and never over an object of somebody else.

use super::super::Caches;
use super::build::{AppSecret, Desired, SecretPlan, StatefulSetWish};
use super::dereference::{Known, secret, sibling};
use super::found::{Asked, Found};
use super::login::{Login, StoredSecret};
use crate::shared::api::{ApiError, ApiServer};
use crate::shared::apply::{Applier, ApplyError, Outcome};
use crate::shared::cache::{Cache, Key, Seen, View};
use crate::shared::names::{Names, manager};
use crate::shared::views::{Bare, Claim, Workload};
use crate::shared::wish::{Kind, Malformed, Wish};
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::Secret;
use k8s_openapi::api::networking::v1::NetworkPolicy;
use serde_json::json;
use std::sync::Arc;

/// What an object or Secret could not be written for.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// See there.
    #[error(transparent)]
    Apply(#[from] ApplyError),
    /// See there.
    #[error("{0}")]
    Api(#[from] ApiError),
    /// A fault of ours.
    #[error(transparent)]
    Malformed(#[from] Malformed),
    /// The claim was thought to be new.
    #[error("PVC \"{0}\" exists after all; looking again before a password is made for it")]
    ClaimAppeared(String),
    /// The Secret that exists has no password.
    #[error("Secret \"{0}\" exists and has no usable key \"password\"")]
    NoPassword(String),
}

impl Error {
    /// PascalCase.
    pub fn reason(&self) -> &str {
        match self {
            Self::Apply(e) => e.reason(),
            Self::Api(e) => e.reason(),
            Self::Malformed(_) => "InternalError",
            Self::ClaimAppeared(_) => "Conflict",
            Self::NoPassword(_) => "SecretLost",
        }
    }
}

/// What was done, and what is there now.
#[derive(Debug, Default)]
pub struct Applied {
    /// `N-db-data`.
    pub claim: Option<Arc<Seen<Claim>>>,
    /// `N-db`.
    pub stateful_set: Option<Arc<Seen<Workload>>>,
    /// The Secrets are in order; false if they were not looked at.
    pub secrets_synced: bool,
    /// Objects that somebody else had changed or deleted.
    pub repaired: Vec<String>,
    /// Names that somebody else's objects have.
    pub not_ours: Vec<String>,
    /// Objects that are still being deleted.
    pub waiting: Vec<String>,
    /// The claim cannot grow.
    pub expansion_refused: Option<String>,
    /// What failed for another reason.
    pub failed: Vec<Error>,
}

/// Where things are written.
pub struct Writer<'a> {
    /// Writes objects of ours.
    pub applier: Applier<'a>,
    /// What is known.
    pub caches: &'a Caches,
    /// The database.
    pub key: &'a Key,
    /// Its uid.
    pub uid: &'a str,
    /// It was applied before just as it is now, so what differs was changed by somebody else.
    pub settled: bool,
    /// What is asked of PostgreSQL's pod.
    pub asked: Asked,
    /// Jobs that asked a database of somebody else, and that nobody needs any more.
    pub stale_checks: Vec<Key>,
}

impl Writer<'_> {
    /// Writes.
    pub async fn run(&self, desired: Desired, app: &Known<StoredSecret>) -> Applied {
        let Desired {
            claim,
            service,
            account,
            policy,
            stateful_set,
            secrets,
            check_policy,
            check,
        } = desired;
        let caches = self.caches;
        let mut done = Applied::default();
        let known = claim
            .as_ref()
            .is_some_and(|wish| caches.claims.get(&wish.key).is_some());
        let (claimed, service, account, policy, check_policy) = futures::join!(
            self.ensure(&caches.claims, claim.as_ref()),
            self.ensure(&caches.services, service.as_ref()),
            self.ensure(&caches.service_accounts, account.as_ref()),
            self.ensure(&caches.network_policies, policy.as_ref()),
            self.check_policy(check_policy.as_ref()),
        );
        done.take(self, service);
        done.take(self, account);
        done.take(self, policy);
        done.take(self, check_policy);
        let appeared =
            !known && matches!(&claimed, Ok(Some((_, outcome, _))) if *outcome != Outcome::Created);
        let settled = self.claim(&mut done, claimed);
        if appeared && matches!(secrets, SecretPlan::Create { .. }) {
            let name = Names::of(&self.key.name).database_data();
            done.failed.push(Error::ClaimAppeared(name));
            return done;
        }
        if settled {
            let (secrets, stateful_set) = futures::join!(
                self.secrets(secrets, app),
                self.stateful_set(stateful_set.as_ref())
            );
            done.stateful_set = done.take(self, stateful_set);
            match secrets {
                Ok(synced) => done.secrets_synced = synced,
                Err(error) => done.sort(self, error),
            }
        }
        let checks = self.checks(check.as_ref(), done.failed.is_empty());
        if let Err(error) = checks.await {
            done.sort(self, error);
        }
        done
    }

    /// Who may be asked; nobody, if nobody is.
    async fn check_policy(&self, wish: Option<&Wish>) -> Ensured<Bare> {
        let cache = &self.caches.network_policies;
        if wish.is_none() {
            let key = sibling(self.key, &Names::of(&self.key.name).check());
            let kind = Kind::of::<NetworkPolicy>();
            self.applier.remove(cache, &kind, &key, self.uid).await?;
        }
        self.ensure(cache, wish).await
    }

    /// Makes the Job that asks, if what it needs is there, and takes away those that nobody needs any more.
    async fn checks(&self, wish: Option<&Wish>, may_begin: bool) -> Result<(), Error> {
        let cache = &self.caches.jobs;
        for key in &self.stale_checks {
            let kind = Kind::of::<Job>();
            self.applier.remove(cache, &kind, key, self.uid).await?;
        }
        if let Some(wish) = wish.filter(|_| may_begin) {
            self.applier.ensure(cache, wish).await?;
        }
        Ok(())
    }

    /// Takes in what became of the claim. True if the data have a place.
    fn claim(&self, done: &mut Applied, claimed: Ensured<Claim>) -> bool {
        let Err(Error::Apply(ApplyError::Api(error))) = &claimed else {
            let fine = claimed.is_ok();
            done.claim = done.take(self, claimed);
            return fine;
        };
        if !refuses_to_grow(error) {
            done.take(self, claimed);
            return false;
        }
        done.expansion_refused = Some(error.to_string());
        let name = Names::of(&self.key.name).database_data();
        done.claim = self.caches.claims.get(&sibling(self.key, &name));
        true
    }

    async fn ensure<V: View>(&self, cache: &Cache<V>, wish: Option<&Wish>) -> Ensured<V> {
        let Some(wish) = wish else {
            return Ok(None);
        };
        let applied = self.applier.ensure(cache, wish).await?;
        Ok(Some((
            wish.kind.kind.to_string(),
            applied.outcome,
            applied.seen,
        )))
    }

    async fn stateful_set(&self, wish: Option<&StatefulSetWish>) -> Ensured<Workload> {
        let Some(wish) = wish else {
            return Ok(None);
        };
        let cache = &self.caches.stateful_sets;
        let there = cache.get(&wish.wanted.key);
        let done = |outcome, seen| Ok(Some((wish.wanted.kind.kind.to_string(), outcome, seen)));
        match (self.asked.of_what_is_there(there.as_deref()), there) {
            (Found::Keep, Some(seen)) if self.is_mine(&seen) => {
                return done(Outcome::Unchanged, seen);
            }
            (Found::TakeUp | Found::Keep, Some(_)) => {
                let mark = &self.asked.mark;
                let seen = self
                    .applier
                    .keep_as_found(cache, &wish.wanted, mark)
                    .await?;
                return done(Outcome::Patched, seen);
            }
            (Found::Replace, Some(_)) => {
                let replaced = self.applier.replace_found(cache, &wish.wanted).await?;
                return done(replaced.outcome, replaced.seen);
            }
            _ => {}
        }
        let as_it_runs = wish.in_use.as_ref().filter(|in_use| {
            cache
                .get(&in_use.key)
                .is_some_and(|seen| seen.owned == Some(in_use.hash))
        });
        self.ensure(cache, Some(as_it_runs.unwrap_or(&wish.wanted)))
            .await
    }

    fn is_mine<V>(&self, seen: &Seen<V>) -> bool {
        seen.controller
            .as_ref()
            .is_some_and(|c| *c.uid == *self.uid)
    }

    /// True if the Secrets are in order now; false if they were not looked at.
    async fn secrets(&self, plan: SecretPlan, app: &Known<StoredSecret>) -> Result<bool, Error> {
        match plan {
            SecretPlan::Untouched => return Ok(false),
            SecretPlan::Create {
                body,
                login,
                app: follows,
            } => {
                let login = self.create(&body, login).await?;
                self.follow(&follows, &login, app).await?;
            }
            SecretPlan::Follow {
                missing,
                login,
                app: follows,
            } => {
                if let Some(patch) = missing {
                    let name = Names::of(&self.key.name).database_credentials();
                    let api = self.applier.api;
                    api.merge_patch(
                        &Kind::of::<Secret>(),
                        &self.key.namespace,
                        &name,
                        manager::DATABASE,
                        &patch,
                    )
                    .await?;
                }
                self.follow(&follows, &login, app).await?;
            }
            SecretPlan::App(wish) => self.put_app(&wish, app).await?,
        }
        Ok(true)
    }

    /// Creates `N-db-credentials`. If somebody was faster, or it outlived an earlier database, what it says counts.
    async fn create(&self, body: &Wish, login: Login) -> Result<Login, Error> {
        let api = self.applier.api;
        let created = api
            .create(
                &body.kind,
                &self.key.namespace,
                manager::DATABASE,
                &body.body,
            )
            .await;
        match created {
            Ok(_) => Ok(login),
            Err(error) if error.is_conflict() => {
                match secret(api, self.key, &body.key.name).await? {
                    Known::Present(found) => Login::of_credentials(&found)
                        .ok_or_else(|| Error::NoPassword(body.key.name.to_string())),
                    Known::Absent | Known::Vouched => Err(error.into()),
                }
            }
            Err(error) => Err(error.into()),
        }
    }

    async fn follow(
        &self,
        app: &AppSecret,
        login: &Login,
        found: &Known<StoredSecret>,
    ) -> Result<(), Error> {
        self.put_app(&app.wish(login)?, found).await
    }

    /// Makes `N-db-app` be what it should be. Secrets are not watched, so it is compared with what was read.
    async fn put_app(&self, wish: &Wish, found: &Known<StoredSecret>) -> Result<(), Error> {
        let api = self.applier.api;
        match found {
            Known::Present(stored) => return self.change_app(wish, stored).await,
            // Nobody looked, because the last status says that it is as it should be.
            Known::Vouched => return Ok(()),
            Known::Absent => {}
        }
        let mut body = wish.body.clone();
        // No stored object has this version, so nothing is written over.
        body["metadata"]["resourceVersion"] = json!("1");
        match self.send(api, wish, &body).await {
            Err(error) if error.is_conflict() => match secret(api, self.key, &wish.key.name).await?
            {
                Known::Present(stored) => self.change_app(wish, &stored).await,
                Known::Absent | Known::Vouched => Err(error.into()),
            },
            sent => Ok(sent?),
        }
    }

    async fn change_app(&self, wish: &Wish, stored: &StoredSecret) -> Result<(), Error> {
        let not_ours = |owner: String| ApplyError::NotOurs {
            kind: wish.kind.kind.to_string(),
            name: wish.key.name.to_string(),
            owner,
        };
        if let Some((owner, uid)) = &stored.controller
            && uid != self.uid
        {
            return Err(not_ours(owner.clone()).into());
        }
        if !stored.ours {
            let by = stored.made_by.as_deref().unwrap_or("nobody that it names");
            return Err(not_ours(crate::shared::conditions::quote(by)).into());
        }
        let wanted = StoredSecret::read(wish.body.clone(), &self.key.name);
        if stored.holds(&wanted) {
            return Ok(());
        }
        let mut body = wish.body.clone();
        body["metadata"]["uid"] = json!(stored.uid);
        body["metadata"]["resourceVersion"] = json!(stored.version);
        Ok(self.send(self.applier.api, wish, &body).await?)
    }

    async fn send(
        &self,
        api: &ApiServer,
        wish: &Wish,
        body: &serde_json::Value,
    ) -> Result<(), ApiError> {
        api.apply(
            &wish.kind,
            &wish.key.namespace,
            &wish.key.name,
            manager::DATABASE,
            body,
        )
        .await
        .map(|_| ())
    }
}

/// The kind, what was done, and the object.
type Ensured<V> = Result<Option<(String, Outcome, Arc<Seen<V>>)>, Error>;

impl Applied {
    /// What is there, when our hands are off.
    pub fn observed(caches: &Caches, key: &Key) -> Self {
        let names = Names::of(&key.name);
        Self {
            claim: caches.claims.get(&sibling(key, &names.database_data())),
            stateful_set: caches.stateful_sets.get(&sibling(key, &names.database())),
            ..Self::default()
        }
    }

    fn take<V: View>(&mut self, writer: &Writer<'_>, ensured: Ensured<V>) -> Option<Arc<Seen<V>>> {
        match ensured {
            Ok(None) => None,
            Ok(Some((kind, outcome, seen))) => {
                let what = match outcome {
                    Outcome::Repaired => "changed",
                    Outcome::Created => "missing",
                    Outcome::Patched | Outcome::Unchanged => "",
                };
                if writer.settled && !what.is_empty() {
                    self.repaired
                        .push(format!("{kind} \"{}\" ({what})", seen.key.name));
                }
                Some(seen)
            }
            Err(error) => {
                self.sort(writer, error);
                None
            }
        }
    }

    /// Where an error belongs.
    fn sort(&mut self, writer: &Writer<'_>, error: Error) {
        match &error {
            Error::Apply(ApplyError::Terminating { .. }) => self.waiting.push(error.to_string()),
            Error::Apply(ApplyError::NotOurs { kind, name, owner }) => {
                // An earlier database of this name, whose objects are being collected.
                if *owner == format!("PaperclipDatabase \"{}\"", writer.key.name) {
                    self.waiting
                        .push(format!("{kind} \"{name}\" is still being deleted"));
                } else {
                    self.not_ours.push(error.to_string());
                }
            }
            _ => self.failed.push(error),
        }
    }
}

/// The API server's words for a class that cannot expand, or a driver that refuses.
fn refuses_to_grow(error: &ApiError) -> bool {
    matches!(error, ApiError::Refused { code: 403 | 422, message, .. } if message.contains("resize"))
}
