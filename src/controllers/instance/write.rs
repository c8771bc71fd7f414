//! The third and fourth step of a pass: what is wanted is built and written, in the light of what was decided.

use super::adoption::Takeover;
use super::applied::{Applied, Part, Problem};
use super::build::pod::Connection;
use super::build::{self, Server, Setting};
use super::database_mode::Step;
use super::exposure::Exposure;
use super::gates::Plan;
use super::memory::Remembered;
use super::observed::Observed;
use super::restore::Restores;
use super::validate::Validated;
use super::validate::database::Database;
use super::workload::{self, Switch, WorkloadKind};
use super::{Controller, Pass, apply, configured, dereference, prune};
use crate::crd::{PaperclipBackup, text};
use crate::shared::cache::Key;
use crate::shared::controller::Failure;
use crate::shared::guarded::Guarded;
use crate::shared::names::manager;
use tracing::{Instrument, info_span};

impl Controller {
    /// What is decided outside of the spec; nothing happens to the server.
    pub(super) fn setting<'a>(
        &'a self,
        v: &Validated<'_>,
        before: &'a Observed,
        connection: &'a Connection,
        exposure: &'a Exposure,
    ) -> Setting<'a> {
        let options = &self.context.options;
        let of_kind = |kind| before.workloads.of_kind(kind).map(|w| &w.view.spec);
        Setting {
            agent_image: &options.agent_image,
            agent_image_in_use: of_kind(v.workload)
                .and_then(|spec| spec.template.agent_image())
                .filter(|image| *image != options.agent_image),
            operator_namespace: options.lease_namespace.as_deref(),
            connection,
            ipv6: before.ipv6(),
            server: Server::Leave,
            scaled: before.workloads.kind,
            scraped: options.metrics_service.is_some(),
            replicas_read_at: None,
            exposure,
            migrate: None,
            bootstrap: None,
            restore: None,
            next_database: None,
            hold_service: false,
            pod_management: of_kind(WorkloadKind::StatefulSet)
                .and_then(|spec| spec.pod_management_policy.as_deref()),
        }
    }

    /// `None`: no restore is to be asked for. Whether `restoreFrom` is the name of a PaperclipBackup that was taken.
    fn names_backup(&self, pass: &Pass<'_>, v: &Validated<'_>, before: &Observed) -> Option<bool> {
        let asked = v.restore.as_ref()?;
        if Restores::of(pass.instance, before).is_asked() {
            return None;
        }
        let key = Key::new(&pass.seen.key.namespace, asked.value);
        let found = self.caches.backups.get(&key);
        let is_one = |backup: &PaperclipBackup| text(backup.spec.schedule.as_ref()).is_none();
        Some(found.is_some_and(|seen| match &seen.view {
            Guarded::Ok(backup) => is_one(backup),
            Guarded::Undecodable { .. } => false,
        }))
    }

    /// Builds what is wanted and writes what differs.
    pub(super) async fn write(
        &self,
        pass: &Pass<'_>,
        v: &Validated<'_>,
        decided: &Decided<'_>,
        before: &Observed,
        takeover: &mut Takeover,
        remembered: &mut Remembered,
    ) -> Result<Applied, Failure> {
        let Decided {
            plan,
            exposure,
            hash,
            stamp,
            step,
            next,
        } = *decided;
        let connection = configured::connection(v, before);
        let generation = pass.seen.generation;
        let given_up = remembered.switch_given_up;
        let switch = workload::switch(v.workload, before, generation, given_up, pass.now.0);
        if switch == Switch::GiveUp {
            remembered.switch_given_up = Some(generation);
        }
        let setting = Setting {
            server: match switch {
                Switch::GiveUp | Switch::GivenUp => Server::Leave,
                Switch::None | Switch::Prepare | Switch::Finish => plan.server(v, before, hash),
            },
            replicas_read_at: before
                .workload()
                .filter(|_| v.scaling.is_some_and(|s| !s.blocked))
                .filter(|_| before.workloads.kind == v.workload)
                .map(|w| w.version),
            migrate: plan.due(),
            bootstrap: stamp.filter(|_| plan.bootstrap_is_due()),
            restore: self.names_backup(pass, v, before),
            hold_service: hold_service(v, plan, before),
            next_database: next,
            ..self.setting(v, before, &connection, exposure)
        };
        let mut desired = info_span!("build")
            .in_scope(|| build::build(v, &setting))
            .map_err(|e| Failure::new("build", "InternalError", &e))?;
        let writer = self.context.applier(manager::INSTANCE);
        let again = dereference::is_requested(pass.instance);
        let writes = async {
            let kept = self
                .adopt(pass, &writer, before, takeover, &mut desired, remembered)
                .await?;
            let mut applied = apply::apply(&writer, &self.caches, v, before, step, desired).await;
            applied.database = (applied.problem(Part::Database).is_none()).then(|| step.clone());
            applied.switch = switch;
            if let Err(error) = apply::end_switch(&writer, &self.caches, v, before, switch).await {
                let problem = Problem::of(Part::Workload, &error);
                applied.problems.push((Part::Workload, problem));
            }
            applied
                .problems
                .extend(kept.map(|problem| (Part::Workload, problem)));
            prune::migrations(&writer, &self.caches, before, v.id.uid, plan, again)
                .await
                .map_err(|e| Failure::new("apply", e.reason(), &e))?;
            prune::restores(&writer, &self.caches, before, v, again)
                .await
                .map_err(|e| Failure::new("apply", e.reason(), &e))?;
            prune::accounts(&writer, &self.caches, v, before, &applied)
                .await
                .map_err(|e| Failure::new("apply", e.reason(), &e))?;
            let jobs = (&writer, &*self.caches);
            prune::bootstrap(jobs.0, jobs.1, before, v.id.uid, plan, stamp, again)
                .await
                .map_err(|e| Failure::new("apply", e.reason(), &e))?;
            Ok(applied)
        };
        Box::pin(writes).instrument(info_span!("apply")).await
    }
}

/// What was decided before anything is written.
#[derive(Clone, Copy)]
pub struct Decided<'a> {
    /// What the server waits for.
    pub plan: &'a Plan,
    /// Which ways from outside are open.
    pub exposure: &'a Exposure,
    /// Hash of what the server is configured with, if known.
    pub hash: Option<&'a str>,
    /// What is to be done about the PaperclipDatabase.
    pub step: &'a Step,
    /// The database that is asked first.
    pub next: Option<Database<'a>>,
    /// Stamp of the try to make the first admin, if known.
    pub stamp: Option<&'a str>,
}

/// The Service stays inside the cluster until there is an admin, unless it is open already.
fn hold_service(v: &Validated<'_>, plan: &Plan, before: &Observed) -> bool {
    let open = before
        .service
        .as_ref()
        .is_some_and(|s| !matches!(&*s.view.spec.kind, "" | "ClusterIP"));
    v.routes.after_bootstrap && !open && !plan.admin_exists_or_is_not_wanted()
}
