//! Proving that a complete backup can be brought back: one Job of the agent, which restores it into a PostgreSQL of its own and compares rows
//! and journal. Done once per object. Must never call a backup verified without the agent's own word.

use super::dereference::Found;
use super::status::has_ended;
use super::validate::{Validated, Verdict};
use super::{Controller, Object};
use crate::controllers::archive::job::Task;
use crate::controllers::archive::work::{self, Work};
use crate::controllers::database::validate::image;
use crate::crd::backup::{BackupPhase, BackupVerified, PaperclipBackupStatus};
use crate::crd::shared::VerificationLevel;
use crate::crd::{Instance, PaperclipBackup, word};
use crate::shared::agent;
use crate::shared::cache::{Key, Seen};
use crate::shared::conditions::{Fact, Truth, find, merge, quote};
use crate::shared::controller::Failure;
use crate::shared::events::{Regarding, Severity};
use crate::shared::names::{Component, is_hands_off, manager};
use crate::shared::said::{Said, may_come};
use crate::shared::views::{Job, JobState};
use crate::shared::wish::Malformed;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use k8s_openapi::jiff::Timestamp;
use std::sync::Arc;
use std::time::Duration;

const KIND: &str = "Verified";
/// Longest duration of the Job.
const DEADLINE: Duration = Duration::from_secs(6 * 3600);
const LOOK: Duration = Duration::from_secs(3);
const SOON: Duration = Duration::from_millis(200);

/// A restore is asked for as the proof. Reading back is part of every backup.
pub fn is_wanted(object: &PaperclipBackup) -> bool {
    let level = object
        .spec
        .verification
        .as_ref()
        .and_then(|v| word(v.level.as_ref()).ok().flatten());
    matches!(
        level,
        Some(VerificationLevel::Restore | VerificationLevel::Boot)
    )
}

/// What has been found out; `None`: nothing yet.
pub fn proven(object: &PaperclipBackup) -> Option<bool> {
    let status = object.status.as_ref()?;
    match find(&status.conditions, KIND)?.status.as_str() {
        "True" => Some(true),
        "False" => Some(false),
        _ => None,
    }
}

/// It is complete, and its proof is asked for and not there.
pub fn is_due(object: &PaperclipBackup) -> bool {
    let status = object.status.as_ref();
    let complete = status
        .and_then(|s| s.phase.as_ref())
        .is_some_and(|p| *p == BackupPhase::Complete);
    complete && has_ended(object) && is_wanted(object) && proven(object).is_none()
}

fn job_name(object: &PaperclipBackup) -> String {
    let meta = &object.metadata;
    let name = meta.name.as_deref().unwrap_or_default();
    agent::job_name(
        &format!("{name}-verify"),
        meta.uid.as_deref().unwrap_or_default(),
    )
}

impl Controller {
    /// One step of the proof of a complete backup. Changes the status that is to be written, and says when to look again.
    pub(super) async fn verify(
        &self,
        seen: &Object,
        object: &PaperclipBackup,
        found: &Found,
        verdict: &Verdict,
        status: &mut PaperclipBackupStatus,
    ) -> Result<Option<Duration>, Failure> {
        if !is_due(object) || is_hands_off(&object.metadata) {
            // It has ended in this very pass: nothing else wakes us.
            let ended_now = is_wanted(object)
                && !has_ended(object)
                && status
                    .phase
                    .as_ref()
                    .is_some_and(|p| *p == BackupPhase::Complete);
            return Ok(ended_now.then_some(SOON));
        }
        let now = Time(Timestamp::now());
        let key = Key::new(&seen.key.namespace, &job_name(object));
        let ours =
            |job: &Arc<Seen<Job>>| job.controller.as_ref().is_some_and(|c| c.uid == seen.uid);
        let Some(job) = self.caches.jobs.get(&key).filter(ours) else {
            let Verdict::Accepted(v) = verdict else {
                return Ok(None);
            };
            return self.begin_proof(object, v).await.map(Some);
        };
        let pods = self.caches.pods.controlled_by(&job.uid);
        let said = Said::last("verify", &pods);
        let (truth, reason, text) = match (job.view.state(), said) {
            (JobState::Running, _) => return Ok(Some(LOOK)),
            (_, None) if may_come(&job.view, now.0) => return Ok(Some(LOOK)),
            (JobState::Complete, Some(said)) if said.is_done() => (
                Truth::True,
                "Verified",
                "restored into a database of its own: the rows of every table and the journal of migrations are those of the manifest".to_owned(),
            ),
            (_, Some(said)) => (Truth::False, "VerificationFailed", said.why()),
            (state, None) => (
                Truth::False,
                "VerificationFailed",
                format!("no result of the agent; the Job: {}", quote(&format!("{state:?}"))),
            ),
        };
        let well = truth == Truth::True;
        if well {
            status.verified = Some(BackupVerified {
                level: Some(VerificationLevel::Restore.into()),
                time: Some(now.clone()),
            });
        }
        let generation = object.metadata.generation.unwrap_or_default();
        let fact = Fact::new(KIND, truth, reason, &text);
        let more = merge(&status.conditions, vec![fact], generation, &now);
        status.conditions.retain(|c| c.type_ != KIND);
        status.conditions.extend(more);
        let (severity, event) = if well {
            (Severity::Normal, "BackupVerified")
        } else {
            (Severity::Warning, "VerificationFailed")
        };
        self.reporter(seen).tell(severity, event, &text);
        if let Some(instance) = &found.instance {
            let about = Regarding::of::<Instance, _>(instance);
            let text = format!("PaperclipBackup \"{}\": {text}", seen.key.name);
            self.context.events.send(&about, severity, event, &text);
        }
        let applier = self.context.applier(manager::BACKUP);
        work::close(&applier, &self.caches, &key, &seen.uid)
            .await
            .map_err(|e| Failure::new("apply", e.reason(), &e))?;
        Ok(None)
    }

    async fn begin_proof(
        &self,
        object: &PaperclipBackup,
        v: &Validated,
    ) -> Result<Duration, Failure> {
        let work = build(object, v).map_err(|e| Failure::new("build", "InternalError", &e))?;
        work.begin(&self.context.applier(manager::BACKUP), &self.caches)
            .await
            .map_err(|e| Failure::new("apply", e.reason(), &e))?;
        Ok(LOOK)
    }
}

fn build(object: &PaperclipBackup, v: &Validated) -> Result<Work, Malformed> {
    let artifact = object.status.as_ref().and_then(|s| s.artifact.as_ref());
    let told = |name, value: Option<&String>| value.map(|value| (name, value.clone()));
    let variables = [
        told(
            "PAPERCLIP_AGENT_RESTORE_FROM",
            artifact.and_then(|a| a.location.as_ref()),
        ),
        told(
            "PAPERCLIP_AGENT_RESTORE_SHA256",
            artifact.and_then(|a| a.sha256.as_ref()),
        ),
    ];
    let task = Task {
        installation: &v.installation,
        component: Component::Backup,
        command: "verify",
        destination: &v.destination,
        source: &v.source,
        // `initdb` wants a user that has a name.
        user: Some(image::uid(&v.source.image)),
        identity: v.identity.as_ref(),
        files: None,
        keys: &[],
        variables: variables.into_iter().flatten().collect(),
        resources: &v.resources,
        deadline: DEADLINE,
        agent_image: &v.agent_image,
    };
    let (owner, name) = (v.owner(), job_name(object));
    owner.work(owner.metadata(&name, &task), &name, &task)
}
