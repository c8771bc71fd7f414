//! Removing what the rules of a policy do not want any more: one Job of the agent at a time, with the list of what is to go. An object goes
//! when the agent said that its backup is gone. Must never begin after a failure, and never beside a backup that is being taken.

use super::retention::Rules;
use crate::controllers::archive::job::{self, Task};
use crate::controllers::archive::work::{self, Work};
use crate::controllers::backup::Controller;
use crate::controllers::backup::validate::Validated;
use crate::crd::PaperclipBackup;
use crate::crd::backup::BackupArtifact;
use crate::shared::agent;
use crate::shared::cache::{Key, Seen};
use crate::shared::controller::Failure;
use crate::shared::events::Severity;
use crate::shared::names::{ANNOTATION_APPLIED_HASH, Component, manager};
use crate::shared::said::{Said, may_come};
use crate::shared::views::{Job, JobState};
use crate::shared::wish::{Kind, Malformed};
use k8s_openapi::jiff::Timestamp;
use serde::Serialize;
use serde_json::json;
use std::sync::Arc;
use std::time::Duration;

/// So many go at once.
const MOST: usize = 16;
/// Longest duration of the Job.
const DEADLINE: Duration = Duration::from_secs(3600);
/// A failed Job stays so long as evidence; then the next try comes.
const EVIDENCE: Duration = Duration::from_secs(1800);

/// A backup in a bucket, told by the checksum of its manifest from any other that may be there.
#[derive(Clone, Debug, Serialize)]
pub struct Item {
    /// Its folder, as a URL.
    pub location: String,
    /// SHA-256 of its manifest.
    pub sha256: String,
}

impl Item {
    /// `None`: the object does not tell where it is, or which one.
    pub fn of(artifact: &BackupArtifact) -> Option<Self> {
        Some(Self {
            location: artifact.location.clone()?,
            sha256: artifact.sha256.clone()?,
        })
    }
}

/// What a pass over a policy knows.
pub struct Pruning<'a> {
    /// The policy.
    pub seen: &'a super::Object,
    /// As it is accepted.
    pub validated: &'a Validated,
    /// How many are kept; `None`: all.
    pub rules: Option<&'a Rules>,
    /// Its backups.
    pub children: &'a [&'a PaperclipBackup],
    /// One of them has not ended, or the last one failed.
    pub troubled: bool,
    /// Now.
    pub now: Timestamp,
}

impl Controller {
    /// One step of pruning. Says when to look again, if something is on its way.
    pub(super) async fn prune(&self, p: &Pruning<'_>) -> Result<Option<Duration>, Failure> {
        let jobs = self.caches.jobs.controlled_by(&p.seen.uid);
        if let Some(job) = jobs.first() {
            return self.follow(p, job).await;
        }
        let Some(rules) = p.rules.filter(|_| !p.troubled) else {
            return Ok(None);
        };
        let mut names = rules.removable(p.children, p.now);
        names.truncate(MOST);
        if names.is_empty() {
            return Ok(None);
        }
        let work = build(p, &names).map_err(|e| Failure::new("build", "InternalError", &e))?;
        work.begin(&self.context.applier(manager::BACKUP), &self.caches)
            .await
            .map_err(|e| Failure::new("apply", e.reason(), &e))?;
        Ok(Some(Duration::from_secs(5)))
    }

    async fn follow(
        &self,
        p: &Pruning<'_>,
        job: &Arc<Seen<Job>>,
    ) -> Result<Option<Duration>, Failure> {
        let soon = Ok(Some(Duration::from_secs(2)));
        let pods = self.caches.pods.controlled_by(&job.uid);
        let said = Said::last("prune", &pods);
        let since = job
            .view
            .ended()
            .map(|ended| Duration::try_from(p.now.duration_since(ended)).unwrap_or_default());
        let done = said.as_ref().is_some_and(Said::is_done);
        match (job.view.state(), since) {
            (JobState::Running, _) => return Ok(Some(Duration::from_secs(5))),
            (_, Some(_)) if said.is_none() && may_come(&job.view, p.now) => return soon,
            (JobState::Complete, _) if done => self.gone(p, job).await?,
            (_, Some(since)) if since < EVIDENCE => {
                return Ok(Some(EVIDENCE.saturating_sub(since)));
            }
            (state, _) => {
                let words = said.map_or_else(|| format!("{state:?}"), |said| said.why());
                let text = format!("backups that nobody needs could not be removed: {words}");
                self.reporter(p.seen)
                    .tell(Severity::Warning, "PruneFailed", &text);
            }
        }
        let applier = self.context.applier(manager::BACKUP);
        let removed = async {
            let (caches, uid) = (&self.caches, &*p.seen.uid);
            let kind = Kind::of::<k8s_openapi::api::batch::v1::Job>();
            applier.remove(&caches.jobs, &kind, &job.key, uid).await?;
            work::close(&applier, caches, &job.key, uid).await
        };
        removed
            .await
            .map_err(|e| Failure::new("apply", e.reason(), &e))?;
        soon
    }

    /// The agent said that they are gone: so do their objects.
    async fn gone(&self, p: &Pruning<'_>, job: &Seen<Job>) -> Result<(), Failure> {
        let made_for = job.view.metadata.annotations.applied_hash.as_deref();
        let names: Vec<&str> = made_for.unwrap_or_default().split(',').collect();
        let applier = self.context.applier(manager::BACKUP);
        let kind = Kind::of::<PaperclipBackup>();
        for name in &names {
            let key = Key::new(&p.seen.key.namespace, name);
            applier
                .remove(&self.caches.backups, &kind, &key, &p.seen.uid)
                .await
                .map_err(|e| Failure::new("apply", e.reason(), &e))?;
        }
        let text = format!(
            "{} removed from the bucket: {}",
            names.len(),
            names.join(", ")
        );
        self.reporter(p.seen)
            .tell(Severity::Normal, "Pruned", &text);
        Ok(())
    }
}

fn build(p: &Pruning<'_>, names: &[&str]) -> Result<Work, Malformed> {
    let v = p.validated;
    let items: Vec<Item> = p
        .children
        .iter()
        .filter(|child| {
            names
                .iter()
                .any(|name| child.metadata.name.as_deref() == Some(name))
        })
        .filter_map(|child| Item::of(child.status.as_ref()?.artifact.as_ref()?))
        .collect();
    let name = agent::job_name(
        &format!("{}-prune", v.name),
        &format!("{}/{}", v.uid, names.join(",")),
    );
    removal(v, &name, &items, Some(names.join(",")))
}

/// The Job that takes these away. `note`: what it was made for, to be read back.
///
/// # Errors
/// [`Malformed`], which is a fault of ours.
pub fn removal(
    v: &Validated,
    name: &str,
    items: &[Item],
    note: Option<String>,
) -> Result<Work, Malformed> {
    let resources = job::default_resources();
    let task = Task {
        installation: &v.installation,
        component: Component::Backup,
        command: "prune",
        destination: &v.destination,
        source: &v.source,
        user: None,
        identity: None,
        files: None,
        keys: &[],
        variables: vec![("PAPERCLIP_AGENT_PRUNE", json!(items).to_string())],
        resources: &resources,
        deadline: DEADLINE,
        agent_image: &v.agent_image,
    };
    let owner = v.owner();
    let mut meta = owner.metadata(name, &task);
    meta.annotations = note.map(|note| [(ANNOTATION_APPLIED_HASH.to_owned(), note)].into());
    owner.work(meta, name, &task)
}
