//! The Instance controller: one pass in five steps. An Instance at rest costs no call at all.

mod adoption;
pub mod app_figures;
mod applied;
mod apply;
pub mod build;
mod configured;
mod connections;
mod database_mode;
pub mod defaults;
mod deletion;
mod dereference;
pub mod exposure;
mod figures;
mod final_backup;
pub mod found;
mod gates;
mod hosts;
mod keys;
mod memory;
mod observed;
mod operator_key;
mod prune;
mod report;
pub mod restore;
mod retained;
mod scheduler;
mod server_api;
mod status;
mod undecodable;
pub mod validate;
pub mod workload;
mod write;

use super::{Caches, cluster_defaults};
use crate::crd::instance::DatabaseMode;
use crate::crd::instance::{AdoptedStatus, EffectiveDefault};
use crate::crd::{Instance, Word};
use crate::shared::api::ApiError;
use crate::shared::backoff::Failures;
use crate::shared::cache::{Key, Seen};
use crate::shared::context::Context;
use crate::shared::controller::{Again, Failure, Reconcile};
use crate::shared::finalizer;
use crate::shared::guarded::Guarded;
use crate::shared::names::{ANNOTATION_TRACEPARENT, Names, is_hands_off, manager};
use crate::shared::wish::Kind;
pub use hosts::Hosts;

use database_mode::Step;
use defaults::InUse;
use exposure::Exposure;
use found::{Found, Learned};
use gates::Plan;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use keys::Keys;
use memory::{Memory, Remembered};
use observed::Observed;
use report::Done;
use restore::Restores;
use serde_json::Value;
use std::sync::Arc;
use std::time::Instant;
use tracing::{Instrument, info_span};
use validate::keys::HASH_KEY;
use validate::names::Identity;
use validate::{Input, Validated, validate};
use workload::WorkloadKind;
use write::Decided;

/// See the module.
pub struct Controller {
    context: Arc<Context>,
    caches: Arc<Caches>,
    hosts: Arc<Hosts>,
    failures: Arc<Failures>,
    memory: Memory,
}

impl Controller {
    /// Works with what it is given.
    pub fn new(
        context: Arc<Context>,
        caches: Arc<Caches>,
        hosts: Arc<Hosts>,
        failures: Arc<Failures>,
    ) -> Self {
        Self {
            context,
            caches,
            hosts,
            failures,
            memory: Memory::default(),
        }
    }
}

impl Reconcile for Controller {
    type View = Guarded<Instance>;
    const NAME: &'static str = "instance";

    async fn reconcile(&self, seen: Arc<Seen<Self::View>>) -> Result<Again, Failure> {
        let start = Instant::now();
        let result = match &seen.view {
            Guarded::Ok(instance) if seen.deleting => self.delete(&seen, instance).await,
            Guarded::Ok(instance) => Box::pin(self.pass(&seen, instance)).await,
            Guarded::Undecodable { meta, error } => self.undecodable(&seen, meta, error).await,
        };
        self.measure(&seen.key, start.elapsed(), &result);
        result
    }

    fn traceparent(seen: &Seen<Self::View>) -> Option<String> {
        let annotations = seen.view.meta().annotations.as_ref()?;
        annotations.get(ANNOTATION_TRACEPARENT).cloned()
    }
}

/// One pass over one live object.
struct Pass<'a> {
    /// What of the spec came from the admin.
    effective: &'a [EffectiveDefault],
    seen: &'a Seen<Guarded<Instance>>,
    instance: &'a Instance,
    adopted: Option<AdoptedStatus>,
    /// Names of data of the earlier operator that were made safe in this pass.
    released: Vec<String>,
    now: Time,
}

impl Controller {
    async fn pass(
        &self,
        seen: &Seen<Guarded<Instance>>,
        instance: &Instance,
    ) -> Result<Again, Failure> {
        let (merged, effective) = self.merged(seen, instance);
        let instance = merged.as_ref().unwrap_or(instance);
        let mut pass = self.begin(seen, instance, &effective);
        let mut remembered = self.memory.recall(&seen.key, &seen.uid);
        let ended = match self.secure(&mut pass).await {
            Ok(()) => Box::pin(self.steps(&pass, &mut remembered)).await,
            Err(failure) => Err(failure),
        };
        let result = match ended {
            Err(failure) => self.report_failure(&pass, failure, &mut remembered).await,
            again => again,
        };
        self.memory.keep(&seen.key, remembered, |key| {
            self.caches.instances.get(key).is_some()
        });
        result
    }

    fn begin<'a>(
        &self,
        seen: &'a Seen<Guarded<Instance>>,
        instance: &'a Instance,
        effective: &'a [EffectiveDefault],
    ) -> Pass<'a> {
        let now = Time(jiff::Timestamp::now());
        let objects = adoption::data::earlier_objects(&self.caches, &self.identity_of(seen));
        Pass {
            effective,
            adopted: adoption::look(instance, objects, &now),
            released: vec![],
            seen,
            instance,
            now,
        }
    }

    fn identity<'a>(&'a self, pass: &Pass<'a>) -> Identity<'a> {
        self.identity_of(pass.seen)
    }

    fn identity_of<'a>(&'a self, seen: &'a Seen<Guarded<Instance>>) -> Identity<'a> {
        let domain = &self.context.options.cluster_domain;
        Identity::new(&seen.key.name, &seen.key.namespace, &seen.uid, domain)
    }

    /// The Instance with the admin's values in its gaps, if there are any, and what came from there.
    fn merged(
        &self,
        seen: &Seen<Guarded<Instance>>,
        instance: &Instance,
    ) -> (Option<Instance>, Vec<EffectiveDefault>) {
        let domain = &self.context.options.cluster_domain;
        let current = cluster_defaults::current(&self.caches.defaults.cache, domain);
        let Some(Guarded::Ok(admin)) = current.as_ref().map(|c| &c.view) else {
            return (None, vec![]);
        };
        let merged = defaults::merge(&instance.spec, &admin.spec, &self.in_use(seen, instance));
        if merged.effective.is_empty() {
            return (None, vec![]);
        }
        let whole = Instance {
            metadata: instance.metadata.clone(),
            spec: merged.spec,
            status: instance.status.clone(),
        };
        (Some(whole), merged.effective)
    }

    /// What is there already.
    fn in_use(&self, seen: &Seen<Guarded<Instance>>, instance: &Instance) -> InUse {
        let key = &seen.key;
        let names = Names::of(&key.name);
        let class = |name: &str| {
            let claim = self.caches.claims.get(&Key::new(&key.namespace, name))?;
            let class = &claim.view.spec.storage_class_name;
            Some(class.as_ref().map(ToString::to_string))
        };
        let given = instance
            .status
            .iter()
            .flat_map(|s| &s.effective_defaults)
            .find(|d| d.path == "database.mode")
            .and_then(|d| serde_json::from_str::<Word<DatabaseMode>>(d.value.as_deref()?).ok())
            .and_then(|word| word.known().ok());
        let observed = self.look_at(seen, instance);
        let there = || match (observed.child(), observed.wanted_replicas()) {
            (Some(child), _) if child.is_external() => Some(DatabaseMode::External),
            (Some(_), _) => Some(DatabaseMode::Managed),
            // A server runs without a database of its own only if it brings one.
            (None, 1..) => Some(DatabaseMode::Embedded),
            (None, _) => None,
        };
        InUse {
            database: given.or_else(there),
            volume: class(&names.data()),
            database_volume: class(&names.database_data()),
        }
    }

    /// What the caches have of it.
    fn look_at(&self, seen: &Seen<Guarded<Instance>>, instance: &Instance) -> Observed {
        let (key, kind) = (&seen.key, WorkloadKind::of(&instance.spec));
        let (namespace, name) = (&key.namespace, &key.name);
        Observed::of(&self.caches, namespace, name, &seen.uid, kind, name)
    }

    /// The five steps.
    async fn steps(&self, pass: &Pass<'_>, remembered: &mut Remembered) -> Result<Again, Failure> {
        let spec = &pass.instance.spec;
        let holds = deletion::deletes_data(spec) || deletion::wants_final_backup(spec);
        self.set_finalizer(pass.seen, holds).await?;
        let before = self.observe(pass);
        let (mut found, learned) = self.dereference(pass, &before, remembered).await?;
        let mut verdict =
            info_span!("validate").in_scope(|| validate(self.input(pass, &learned), &found));
        let restores = Restores::of(pass.instance, &before);
        let mut step = Step::Nothing;
        let mut next = None;
        if let Some(v) = &mut verdict.validated {
            v.environment.pause_agents |= restores.is_checking();
            step = database_mode::step(&v.database, &before, pass.instance.status.as_ref());
            next = step.hold(v);
        }
        let verdict = verdict;
        let mut done = Done::default();
        if let Some(v) = &verdict.validated
            && !is_hands_off(&pass.instance.metadata)
        {
            if found.looked {
                let come = restores.brings_keys(&pass.instance.spec);
                done.keys = self.keys(pass, v, &before, come, &mut found).await?;
                let status = pass.instance.status.as_ref();
                connections::ensure(&self.context.api, v, status, &mut found, &mut done.keys)
                    .await
                    .map_err(|e| Failure::new("connections", e.reason(), &e))?;
            }
            let broken = verdict.is_broken() || done.keys.broken.is_some();
            let mut plan = gates::plan(v, &before, pass.instance, broken);
            done.exposure = exposure::decide(
                v,
                &before,
                plan.admin_exists_or_is_not_wanted(),
                &self.hosts,
            );
            done.takeover = self.takeover(pass, v, &before, &done.exposure)?;
            if done.takeover.rollout.holds() {
                plan.hold();
            } else if step.stops_server() {
                plan.end();
            }
            let hash = config_hash(pass, v, &plan, &before, &found, remembered);
            let stamp = bootstrap_stamp(v, &before, &found);
            let decided = Decided {
                plan: &plan,
                exposure: &done.exposure,
                hash: hash.as_deref(),
                stamp: stamp.as_deref(),
                step: &step,
                next,
            };
            let writes = self.write(pass, v, &decided, &before, &mut done.takeover, remembered);
            done.applied = Box::pin(writes).await?;
            done.plan = Some(plan);
            self.mark_pods(pass, v, remembered).await;
            self.make_operator_key(pass, v, found.looked, remembered, &mut done.keys)
                .await;
            self.clear_restore_from(pass, &before).await?;
        }
        done.outside = status::Outside::of(&found);
        self.report(pass, &verdict, &done, remembered)
            .instrument(info_span!("status"))
            .await
    }

    /// An object that is being deleted.
    async fn delete(
        &self,
        seen: &Seen<Guarded<Instance>>,
        instance: &Instance,
    ) -> Result<Again, Failure> {
        let mut pass = self.begin(seen, instance, &[]);
        self.memory.forget(&seen.key);
        let takes_data = deletion::deletes_data(&instance.spec);
        if !takes_data {
            self.secure(&mut pass).await?;
        }
        self.report_deletion(&pass).await?;
        if finalizer::is_on(&instance.metadata)
            && let Some(wait) = self.final_backup(&pass).await?
        {
            self.report_deletion(&pass).await?;
            return Ok(Again::After(wait));
        }
        if finalizer::is_on(&instance.metadata) && takes_data {
            let id = self.identity(&pass);
            deletion::hand_over_data(&self.context.api, instance, &id)
                .await
                .map_err(|e| Failure::new("delete", e.reason(), &e))?;
        }
        self.set_finalizer(seen, false).await?;
        Ok(Again::Someday)
    }

    /// Puts our finalizer on or takes it off, and takes the earlier operator's off in any case.
    async fn set_finalizer(
        &self,
        seen: &Seen<Guarded<Instance>>,
        wanted: bool,
    ) -> Result<(), Failure> {
        let key = &seen.key;
        // The status may have been written in this pass: the patch names the newest version.
        let Some(newest) = self.caches.instances.get(key).filter(|n| n.uid == seen.uid) else {
            return Ok(());
        };
        let Some(patch) = finalizer::patch(newest.view.meta(), wanted) else {
            return Ok(());
        };
        match self.patch_itself(key, &patch).await {
            Ok(()) => Ok(()),
            Err(error) if error.is_not_found() => Ok(()),
            Err(error) => Err(Failure::new("finalizer", error.reason(), &error)),
        }
    }

    /// Changes the Instance itself by a JSON patch.
    async fn patch_itself(&self, key: &Key, patch: &Value) -> Result<(), ApiError> {
        let kind = Kind::of::<Instance>();
        let stored = self
            .context
            .api
            .json_patch(&kind, &key.namespace, &key.name, manager::INSTANCE, patch)
            .await?;
        self.caches.instances.wrote_as_itself(stored);
        Ok(())
    }

    fn input<'a>(&'a self, pass: &'a Pass<'_>, learned: &'a Learned) -> Input<'a> {
        Input {
            instance: pass.instance,
            adopted: pass.adopted.as_ref(),
            learned,
            domain: &self.context.options.cluster_domain,
        }
    }

    fn observe(&self, pass: &Pass<'_>) -> Observed {
        let key = &pass.seen.key;
        let rbac = pass
            .instance
            .spec
            .security
            .as_ref()
            .and_then(|s| s.rbac.as_ref());
        let account = rbac
            .and_then(|r| crate::crd::text(r.service_account_name.as_ref()))
            .unwrap_or(&key.name);
        Observed::of(
            &self.caches,
            &key.namespace,
            &key.name,
            &pass.seen.uid,
            WorkloadKind::of(&pass.instance.spec),
            account,
        )
    }

    /// Looks if the last status does not vouch for what is outside, or if the server is to start and nobody knows its configuration.
    async fn dereference(
        &self,
        pass: &Pass<'_>,
        before: &Observed,
        remembered: &mut Remembered,
    ) -> Result<(Found, Learned), Failure> {
        let must = dereference::must_look(pass.instance, remembered, Instant::now())
            || is_newly_given(pass)
            || self.lacks_hash(pass, before, remembered);
        if !must || is_hands_off(&pass.instance.metadata) {
            return Ok((
                Found::default(),
                remembered.learned.clone().unwrap_or_default(),
            ));
        }
        let domain = &self.context.options.cluster_domain;
        let (found, learned) = dereference::look(&self.context.api, pass.instance, before, domain)
            .instrument(info_span!("dereference"))
            .await
            .map_err(|e| Failure::new("dereference", e.reason(), &e))?;
        remembered.looked(learned.clone(), crate::shared::random::fraction());
        Ok((found, learned))
    }

    fn lacks_hash(&self, pass: &Pass<'_>, before: &Observed, remembered: &Remembered) -> bool {
        if configured::known(pass.instance, before, remembered).is_some() {
            return false;
        }
        let learned = remembered.learned.clone().unwrap_or_default();
        let verdict = validate(self.input(pass, &learned), &Found::default());
        verdict.validated.as_ref().is_some_and(|v| {
            gates::plan(v, before, pass.instance, false).needs_hash(v)
                && self
                    .takeover(pass, v, before, &Exposure::default())
                    .is_ok_and(|t| !t.rollout.holds())
        })
    }

    async fn keys(
        &self,
        pass: &Pass<'_>,
        v: &Validated<'_>,
        before: &Observed,
        come: bool,
        found: &mut Found,
    ) -> Result<Keys, Failure> {
        keys::ensure(
            &self.context.api,
            v,
            keys::Before {
                instance: pass.instance,
                observed: before,
                come,
            },
            found,
        )
        .instrument(info_span!("keys"))
        .await
        .map_err(|e| Failure::new("keys", e.reason(), &e))
    }
}

/// Which try to make the first admin this would be; `None`: nobody is wanted, or nobody looked.
fn bootstrap_stamp(v: &Validated<'_>, before: &Observed, found: &Found) -> Option<String> {
    let admin = v.admin.as_ref()?;
    let key = found.secret(&v.keys.app)?.get(HASH_KEY)?;
    let password = found
        .secret(&admin.password.name)?
        .get(&admin.password.key)?;
    build::bootstrap::stamp(key, gates::data(before), admin, password)
}

/// The hash that the server's pods get.
fn config_hash(
    pass: &Pass<'_>,
    v: &Validated<'_>,
    plan: &Plan,
    before: &Observed,
    found: &Found,
    remembered: &mut Remembered,
) -> Option<String> {
    if plan.needs_hash(v) && found.looked {
        let connection = configured::connection(v, before);
        let hash = configured::compute(v, &connection, before.ipv6(), found);
        remembered.config_hash = hash.clone().map(|h| (pass.seen.generation, h));
        return hash;
    }
    configured::known(pass.instance, before, remembered).or_else(|| {
        before
            .config_hash()
            .map(str::to_owned)
            .filter(|_| !plan.needs_hash(v))
    })
}

/// The admin gives something else than at the last time.
fn is_newly_given(pass: &Pass<'_>) -> bool {
    let status = pass.instance.status.as_ref();
    status.is_some_and(|s| s.effective_defaults != pass.effective)
}
