//! Where a restore stands, and what is to be done next. Pure: the time is an argument.
//!
//! Each step begins only when the one before it was seen to have ended: the phase is stored first, then the Instance answers, then the data
//! are touched.

use super::dereference::{Found, decoded};
use super::phase;
use super::result::{self, failed, no_result};
use super::validate::{Validated, Verdict};
use crate::crd::PaperclipRestore;
use crate::crd::backup::BackupPhase;
use crate::crd::instance::Phase;
use crate::crd::restore::RestorePhase;
use crate::shared::conditions::{find, quote};
use crate::shared::said::{Cause, Said, may_come};
use crate::shared::views::JobState;
use k8s_openapi::jiff::Timestamp;
use std::time::Duration;

/// How long a server may take to start on what was brought back.
const CHECK_WITHIN: Duration = Duration::from_secs(1800);

/// See the module.
#[derive(Debug)]
pub enum Stage<'v> {
    /// Not begun, and a person has to do something.
    Refused(&'static str, String),
    /// Something is waited for: before the beginning, or on the way.
    Waiting(&'static str, String),
    /// The server is being stopped.
    Quiescing(String),
    /// What is there is to be saved now.
    BeginSafetyBackup(&'v Validated),
    /// It is being saved.
    SafetyBackup(String),
    /// The data are to be replaced now.
    BeginRestore(&'v Validated),
    /// They are being replaced.
    Restoring(String),
    /// They are replaced, and the Instance gets the keys that came with them.
    TakeKeys(Box<Said>),
    /// They are replaced; the server is being tried.
    Checking(Option<Box<Said>>, String),
    /// Done: what was brought back, if that is said now.
    Complete(Option<Box<Said>>),
    /// Not done.
    Failed(Cause),
}

impl Stage<'_> {
    /// The same, but for what would begin something.
    pub fn begins_nothing(self, at: RestorePhase) -> Self {
        let text = "annotation paperclip.inc/reconcile is disabled";
        match self {
            Self::BeginSafetyBackup(_) | Self::BeginRestore(_) | Self::TakeKeys(_) => {
                Self::Waiting("Progressing", text.into())
            }
            Self::Quiescing(_) if at == RestorePhase::Pending => {
                Self::Waiting("Progressing", text.into())
            }
            other => other,
        }
    }
}

/// Where it stands.
pub fn of<'v>(
    object: &PaperclipRestore,
    found: &Found,
    verdict: &'v Verdict,
    now: Timestamp,
) -> Stage<'v> {
    let at = phase::of(object);
    if at == RestorePhase::Checking {
        return check(object, found, None, now);
    }
    if found.job.is_some() {
        return of_job(object, found, now);
    }
    if at == RestorePhase::RestoringDatabase {
        return Stage::Failed(no_result(
            "the Job is gone, and left no result; its transaction was not committed, or all of it was",
        ));
    }
    let v = match verdict {
        Verdict::Accepted(v) => v,
        Verdict::Waiting(reason, text) => return Stage::Waiting(reason, text.clone()),
        Verdict::Refused(reason, text) if at == RestorePhase::Pending => {
            return Stage::Refused(reason, text.clone());
        }
        Verdict::Refused(reason, text) => {
            return Stage::Failed(failed(reason, "validate", text));
        }
    };
    // Stored first: only then the Instance stops its server, and says so.
    if at == RestorePhase::Pending {
        return Stage::Quiescing("the server is being stopped".into());
    }
    if let Some(why) = not_stopped(found, &v.name) {
        return Stage::Quiescing(why);
    }
    match (&v.safety, decoded(found.safety.as_ref())) {
        (None, _) => Stage::BeginRestore(v),
        (Some(_), None) => Stage::BeginSafetyBackup(v),
        (Some(_), Some(backup)) => {
            let status = backup.status.as_ref();
            let phase = status.and_then(|s| s.phase.as_ref()?.known().ok());
            let words = status
                .and_then(|s| find(&s.conditions, "Ready"))
                .map(|c| c.message.clone())
                .unwrap_or_default();
            let name = backup.metadata.name.as_deref().unwrap_or_default();
            // It has not begun and does not begin by itself; the server must not stay away for that.
            let stalled = status.and_then(|s| find(&s.conditions, "Stalled"));
            let stuck = stalled.is_some_and(|c| c.status == "True");
            match phase {
                Some(BackupPhase::Complete) => Stage::BeginRestore(v),
                Some(BackupPhase::Failed) => unsaved(name, &words),
                _ if stuck => unsaved(name, &words),
                _ => Stage::SafetyBackup(format!("PaperclipBackup \"{name}\": {words}")),
            }
        }
    }
}

fn unsaved<'v>(backup: &str, words: &str) -> Stage<'v> {
    let text = format!(
        "what is there could not be saved; nothing was replaced. PaperclipBackup \"{backup}\": {words}"
    );
    Stage::Failed(failed("RestoreFailed", "safety-backup", &text))
}

/// What still writes, or may begin to.
fn not_stopped(found: &Found, restore: &str) -> Option<String> {
    if let Some(pod) = found.server.first() {
        return Some(format!(
            "waiting until pod \"{}\" of the server is gone",
            pod.key.name
        ));
    }
    if found.server_is_wanted {
        return Some("waiting until no server is wanted any more".into());
    }
    let status = found.instance().and_then(|i| i.status.as_ref());
    let answers = status.is_some_and(|s| {
        let name = s.restore.as_ref().and_then(|r| r.name.as_deref());
        s.phase.as_ref().is_some_and(|p| *p == Phase::Restoring) && name == Some(restore)
    });
    (!answers).then(|| "waiting until the Instance says that it is being restored".into())
}

fn of_job<'v>(object: &PaperclipRestore, found: &Found, now: Timestamp) -> Stage<'v> {
    let Some(job) = &found.job else {
        return Stage::Waiting("Progressing", String::new());
    };
    let said = Said::last("restore", &found.pods);
    match (job.view.state(), said) {
        (JobState::Running, _) => Stage::Restoring(at_work(found)),
        (JobState::Complete, Some(said)) if result::is_done(&said) && brings_keys(&said) => {
            Stage::TakeKeys(Box::new(said))
        }
        (JobState::Complete, Some(said)) if result::is_done(&said) => {
            check(object, found, Some(said), now)
        }
        (_, None) if may_come(&job.view, now) => {
            Stage::Restoring("the Job has ended; its result is read".to_owned())
        }
        (JobState::Complete, _) => Stage::Failed(no_result(
            "the Job ended, and its agent did not say that everything was brought back",
        )),
        (JobState::Failed(why), said) => Stage::Failed(match said {
            Some(said) => result::cause(&said),
            None => no_result(&format!(
                "no result of the agent; {}",
                ended_because(found, &why)
            )),
        }),
    }
}

/// The agent has handed keys over.
fn brings_keys(said: &Said) -> bool {
    said.whole("keys").is_some()
}

/// The server starts with nobody being woken; it is well when the Instance says so, of pods that did not exist while data were replaced.
fn check<'v>(
    object: &PaperclipRestore,
    found: &Found,
    said: Option<Said>,
    now: Timestamp,
) -> Stage<'v> {
    let said = said.map(Box::new);
    let Some(instance) = found.instance() else {
        return Stage::Complete(said);
    };
    if instance.spec.suspended == Some(true) {
        return Stage::Complete(said);
    }
    let status = instance.status.as_ref();
    let ready = status.and_then(|s| find(&s.conditions, "Ready"));
    let well = ready.is_some_and(|c| c.status == "True");
    if phase::of(object) == RestorePhase::Checking
        && well
        && found.server.iter().any(|p| p.view.ready && !p.deleting)
    {
        return Stage::Complete(said);
    }
    let words = status
        .and_then(|s| s.summary.as_deref())
        .unwrap_or("the server has not started yet");
    let since = object
        .status
        .as_ref()
        .and_then(|s| find(&s.conditions, "Reconciling"))
        .filter(|c| c.reason == "Checking")
        .map(|c| c.last_transition_time.0);
    let late = since.is_some_and(|since| {
        Duration::try_from(now.duration_since(since)).is_ok_and(|passed| passed > CHECK_WITHIN)
    });
    if late {
        return Stage::Failed(failed(
            "RestoreFailed",
            "check",
            &format!(
                "the data were brought back, and the server did not become ready on them: {words}"
            ),
        ));
    }
    Stage::Checking(
        said,
        format!("the server starts on what was brought back: {words}"),
    )
}

/// What the cluster says about pods without a word.
fn ended_because(found: &Found, why: &str) -> String {
    let trouble = found.pods.iter().find_map(|p| p.view.trouble.as_ref());
    match trouble {
        Some(trouble) => format!("{}: \"{}\"", trouble.reason, trouble.message),
        None => format!("the Job: \"{}\"", quote(why)),
    }
}

fn at_work(found: &Found) -> String {
    let trouble = found
        .pods
        .iter()
        .find_map(|p| Some((&p.key.name, p.view.trouble.as_ref()?)));
    match trouble {
        Some((pod, trouble)) => {
            format!("pod \"{pod}\": {}: \"{}\"", trouble.reason, trouble.message)
        }
        None => "the data are being replaced, the database in one transaction".to_owned(),
    }
}
