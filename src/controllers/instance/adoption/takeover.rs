//! What a pass does about an Instance of the earlier operator, beside making its objects what they should be.

use super::rollout::{self, Rollout};
use super::{data, leftovers};
use crate::controllers::instance::applied::{Part, Problem};
use crate::controllers::instance::build::{self, Desired, Server, Setting};
use crate::controllers::instance::exposure::Exposure;
use crate::controllers::instance::memory::Remembered;
use crate::controllers::instance::observed::Observed;
use crate::controllers::instance::validate::Validated;
use crate::controllers::instance::validate::findings::Findings;
use crate::controllers::instance::validate::names::Identity;
use crate::controllers::instance::{Controller, Pass, configured};
use crate::crd::instance::AdoptedStatus;
use crate::shared::apply::Applier;
use crate::shared::controller::Failure;
use crate::shared::events::Severity;
use crate::shared::wish::{Kind, Wish};
use k8s_openapi::api::networking::v1::NetworkPolicy;
use serde_json::Value;
use std::sync::Arc;

/// What a pass decides and finds out about the server's workload.
#[derive(Debug)]
pub struct Takeover {
    /// What is done about it.
    pub rollout: Rollout,
    /// As it would be; `None`: nobody needs to know.
    wanted: Option<Wish>,
    /// What the roll-out changes, if it was found out in this pass.
    pub changes: Vec<String>,
    /// What of the earlier operator's is gone since we do its work.
    pub retired: Option<String>,
}

impl Default for Takeover {
    fn default() -> Self {
        Self {
            rollout: Rollout::Ours,
            wanted: None,
            changes: vec![],
            retired: None,
        }
    }
}

impl Takeover {
    /// The record at the end of a pass: nothing is pending any more once the workload is one of ours.
    pub fn record(
        &self,
        before: Option<&AdoptedStatus>,
        observed: &Observed,
    ) -> Option<AdoptedStatus> {
        let mut record = before?.clone();
        if !self.changes.is_empty() {
            record.pending.clone_from(&self.changes);
        }
        if !observed.workload().is_some_and(rollout::is_found) {
            record.pending.clear();
        }
        if let Some(gone) = &self.retired {
            record.left.retain(|name| name != gone);
        }
        Some(record)
    }
}

impl Controller {
    /// Before anything else, and before the finalizer that holds a deletion back is taken off: data are made safe, and it is put on record
    /// who this Instance is.
    pub(in crate::controllers::instance) async fn secure(
        &self,
        pass: &mut Pass<'_>,
    ) -> Result<(), Failure> {
        let fault = |e: &dyn std::fmt::Display, reason: &str| Failure::new("adopt", reason, e);
        let id = self.identity(pass);
        if !data::may_be_owned(pass.instance, &self.caches, &id) {
            return Ok(());
        }
        let api = &self.context.api;
        let released = data::release(api, &self.caches, &id)
            .await
            .map_err(|e| fault(&e, e.reason()))?;
        let before = pass.instance.status.as_ref();
        if let Some(record) = &mut pass.adopted
            && before.is_none_or(|s| s.adopted.is_none())
        {
            record.left = leftovers::named(api, &id)
                .await
                .map_err(|e| fault(&e, e.reason()))?;
            let mut status = before.cloned().unwrap_or_default();
            status.adopted = Some(Box::new(record.clone()));
            self.write_status(pass.seen, before, &status, &Findings::default())
                .await?;
            if let Some(text) = leftovers::cluster_roles(pass.instance, &id) {
                self.announce(pass.seen, Severity::Warning, "LeftoverClusterRoles", &text);
            }
        }
        pass.released = released;
        Ok(())
    }

    /// Decides about the server's workload. Costs no call.
    pub(in crate::controllers::instance) fn takeover(
        &self,
        pass: &Pass<'_>,
        v: &Validated<'_>,
        before: &Observed,
        exposure: &Exposure,
    ) -> Result<Takeover, Failure> {
        // Where the spec asks for another kind of workload, that one takes over as it always does.
        if !before.workload().is_some_and(rollout::is_found) || before.workloads.kind != v.workload
        {
            return Ok(Takeover::default());
        }
        let connection = configured::connection(v, before);
        let availability = pass.instance.spec.availability.as_ref();
        let setting = Setting {
            server: Server::Run {
                replicas: availability.and_then(|a| a.replicas).unwrap_or(1),
                config_hash: None,
            },
            migrate: None,
            ..self.setting(v, before, &connection, exposure)
        };
        let wanted = build::build(v, &setting)
            .map_err(|e| Failure::new("build", "InternalError", &e))?
            .workload
            .map(|workload| workload.wanted);
        let asked = wanted.as_ref().map(rollout::asked).unwrap_or_default();
        Ok(Takeover {
            rollout: rollout::decide(pass.instance, before, &asked),
            wanted,
            changes: vec![],
            retired: None,
        })
    }

    /// What the earlier operator made is looked at once, and what must stay for a while is kept.
    pub(in crate::controllers::instance) async fn adopt(
        &self,
        pass: &Pass<'_>,
        applier: &Applier<'_>,
        before: &Observed,
        takeover: &mut Takeover,
        desired: &mut Desired,
        remembered: &mut Remembered,
    ) -> Result<Option<Problem>, Failure> {
        let id = self.identity(pass);
        if let Some(record) = &pass.adopted {
            takeover.retired = leftovers::retire_backups(&self.context.api, record, before, &id)
                .await
                .map_err(|e| Failure::new("adopt", e.reason(), &e))?;
        }
        leftovers::remove_bootstrap(applier, &self.caches, &id)
            .await
            .map_err(|e| Failure::new("adopt", e.reason(), &e))?;
        self.unblock(before).await?;
        if !takeover.rollout.holds() {
            remembered.found_policy = None;
        }
        let Some(wanted) = &takeover.wanted else {
            return Ok(None);
        };
        let told = pass.adopted.as_ref().is_some_and(|a| !a.pending.is_empty());
        if !told {
            let stored = self.stored(&before.workloads.kind.kind(), &id).await?;
            takeover.changes = stored.map_or_else(Vec::new, |s| rollout::changes(&s, wanted));
        }
        if !takeover.rollout.holds() {
            return Ok(None);
        }
        if desired.policy.is_some() && remembered.found_policy.is_none() {
            let stored = self.stored(&Kind::of::<NetworkPolicy>(), &id).await?;
            remembered.found_policy = stored.map(Arc::new);
        }
        rollout::spare(desired, remembered.found_policy.as_deref());
        let Rollout::Noted(note) = &takeover.rollout else {
            return Ok(None);
        };
        let cache = before.workloads.kind.cache(&self.caches);
        let kept = applier.keep_as_found(cache, wanted, note).await;
        Ok(kept.err().map(|e| Problem::of(Part::Workload, &e)))
    }

    async fn unblock(&self, before: &Observed) -> Result<(), Failure> {
        for pod in rollout::blocking(before) {
            self.context
                .api
                .take_away(&pod)
                .await
                .map_err(|e| Failure::new("adopt", e.reason(), &e))?;
        }
        Ok(())
    }

    /// The object of this kind that is called like the Instance, if the Instance controls it.
    async fn stored(&self, kind: &Kind, id: &Identity<'_>) -> Result<Option<Value>, Failure> {
        let live = self.context.api.get(kind, id.namespace, id.names.main());
        let live = live
            .await
            .map_err(|e| Failure::new("adopt", e.reason(), &e))?;
        Ok(live.filter(|live| {
            let owners = live["metadata"]["ownerReferences"].as_array();
            let mut owners = owners.into_iter().flatten();
            owners.any(|r| r["controller"] == true && r["uid"] == *id.uid)
        }))
    }
}
