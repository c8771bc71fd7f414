//! Whether a database of somebody else is asked, and what it answered. A Job of the agent asks, so that the database is seen from where the
//! server will be: when it is new or its URL changed, when a person wants it, after a failure with growing pauses, else once an hour. Pure.
//! Must never hold a URL, nor anything made of one: a Secret is told from another by its version.

mod answer;

pub use answer::{Answer, Figures, NOT_CHECKED, is_lasting};

use super::dereference::{Found, Known};
use super::login::PORT;
use super::validate::External;
use crate::crd::PaperclipDatabase;
use crate::crd::database::DatabaseCheckStatus;
use crate::shared::agent;
use crate::shared::backoff::pause;
use crate::shared::cache::{Key, Seen};
use crate::shared::conditions::find;
use crate::shared::endpoint::Endpoint;
use crate::shared::names::Component;
use crate::shared::random::hex;
use crate::shared::said::{self, Said};
use crate::shared::views::{Job, JobState, Pod};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use k8s_openapi::jiff::Timestamp;
use sha2::{Digest, Sha256};
use std::sync::Arc;
use std::time::Duration;

/// How often a database that answered is asked again.
const HOUR: Duration = Duration::from_secs(3600);
/// The first pause after a failure that may pass, and the longest one.
const PASSING: [Duration; 2] = [Duration::from_secs(10), Duration::from_secs(900)];
/// The same for one that does not pass by itself.
const LASTING: [Duration; 2] = [Duration::from_secs(60), HOUR];
/// How soon the last word of a Job that has just ended is looked for.
const SOON: Duration = Duration::from_secs(1);

/// A Job, and its pods.
pub type JobWithPods = (Arc<Seen<Job>>, Vec<Arc<Seen<Pod>>>);

/// What a pass knows.
pub struct Input<'a> {
    /// As it was read at the start.
    pub object: &'a PaperclipDatabase,
    /// Where the database is.
    pub external: &'a External,
    /// What that refers to.
    pub found: &'a Found,
    /// The Jobs of this object, each with its pods.
    pub jobs: &'a [JobWithPods],
    /// Now.
    pub now: Timestamp,
}

/// What is decided.
#[derive(Debug)]
pub struct Check {
    /// The Job that is to be made now.
    pub due: Option<Due>,
    /// Jobs that nobody needs any more.
    pub stale: Vec<Key>,
    /// What is known of the database.
    pub answer: Answer,
    /// What is noted of the asking.
    pub status: Option<DatabaseCheckStatus>,
    /// When to look again although nothing happens.
    pub again: Option<Duration>,
}

/// A Job that is to be made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Due {
    /// Its name.
    pub name: String,
    /// Which URL it is about.
    pub of: String,
}

/// The Secret with the URL must be read to know what is to be asked.
pub fn needs_look(object: &PaperclipDatabase, now: Timestamp) -> bool {
    let Some(status) = &object.status else {
        return true;
    };
    let said = |kind| find(&status.conditions, kind);
    let unasked = said("Reachable").is_some_and(|c| c.reason == NOT_CHECKED);
    match &status.check {
        None => !unasked,
        Some(check) if is_over(check, now) => true,
        Some(_) => !unasked && said("Ready").is_none_or(|c| c.status != "True"),
    }
}

/// Decides.
pub fn decide(input: &Input<'_>) -> Check {
    let before = input.object.status.as_ref().and_then(|s| s.check.clone());
    let target = target(input);
    let version = version(input);
    let of = version.map(|version| format!("{target}.{version}"));
    let same = before
        .as_ref()
        .and_then(|b| b.of.as_deref()?.split_once('.'))
        .is_some_and(|(t, _)| t == target);
    let mut check = Check {
        due: None,
        stale: vec![],
        answer: if same {
            Answer::Remembered
        } else {
            Answer::Pending
        },
        status: before.clone(),
        again: None,
    };
    if is_within_the_pod(input, before.is_some()) {
        check.answer = Answer::WithinPod;
        check.status = None;
        check.stale = input.jobs.iter().map(|(j, _)| j.key.clone()).collect();
        return check;
    }
    let last = before.as_ref().and_then(|b| b.job.as_deref());
    let current = input.jobs.iter().find(|(job, _)| {
        Some(&*job.key.name) != last
            && of
                .as_deref()
                .is_none_or(|of| job.view.metadata.annotations.applied_hash.as_deref() == Some(of))
    });
    let mut kept = current.map(|(job, _)| job.key.clone());
    if let Some((job, pods)) = current {
        ended(input, job, pods, before.as_ref(), &mut check);
    } else {
        let known = before.as_ref();
        let is_due = |of: &String| {
            known.is_none_or(|b| b.of.as_ref() != Some(of) || is_over(b, input.now))
                || is_asked_for(input.object)
        };
        check.due = of.filter(is_due).map(|of| due(input, of, known));
        if check.due.is_none() {
            kept = last.map(|name| Key::new(&namespace(input.object), name));
        }
    }
    let stale = input.jobs.iter().map(|(job, _)| &job.key);
    check.stale = stale
        .filter(|k| Some(*k) != kept.as_ref())
        .cloned()
        .collect();
    let next = check.status.as_ref().and_then(|s| s.next_time.as_ref());
    let wait = next.map(|t| {
        let left = t.0.duration_since(input.now);
        Duration::try_from(left).unwrap_or_default() + SOON
    });
    check.again = check.again.or(wait.filter(|_| check.due.is_none()));
    check
}

/// Takes in what became of a Job.
fn ended(
    input: &Input<'_>,
    job: &Seen<Job>,
    pods: &[Arc<Seen<Pod>>],
    before: Option<&DatabaseCheckStatus>,
    check: &mut Check,
) {
    let state = job.view.state();
    if state == JobState::Running {
        return;
    }
    let said = Said::last("check", pods);
    if said.is_none() && said::may_come(&job.view, input.now) {
        check.again = Some(SOON);
        return;
    }
    let answer = answer::of(&state, said.as_ref());
    let ended = job.view.ended().unwrap_or(input.now);
    let failures = match &answer {
        Answer::Good(_) => 0,
        _ => before
            .and_then(|b| b.failures)
            .unwrap_or(0)
            .saturating_add(1),
    };
    let pooled = match &answer {
        Answer::Good(figures) => figures.pooled,
        _ => before.and_then(|b| b.transaction_pooler),
    };
    let earlier = u32::try_from(failures.saturating_sub(1)).unwrap_or(0);
    let pause = match &answer {
        Answer::Good(_) => HOUR,
        Answer::Bad { lasting: true, .. } => pause(LASTING[0], LASTING[1], earlier),
        _ => pause(PASSING[0], PASSING[1], earlier),
    };
    check.status = Some(DatabaseCheckStatus {
        of: job
            .view
            .metadata
            .annotations
            .applied_hash
            .as_deref()
            .map(ToOwned::to_owned),
        job: Some(job.key.name.to_string()),
        last_time: Some(Time(ended)),
        next_time: ended.checked_add(pause).ok().map(Time),
        failures: (failures > 0).then_some(failures),
        transaction_pooler: pooled,
    });
    // What a Job that never ran would have heard is not known; what was heard before still counts.
    let remembered =
        matches!(answer, Answer::Unasked(_)) && matches!(check.answer, Answer::Remembered);
    if !remembered {
        check.answer = answer;
    }
}

fn is_over(check: &DatabaseCheckStatus, now: Timestamp) -> bool {
    check.next_time.as_ref().is_none_or(|next| next.0 <= now)
}

fn is_asked_for(object: &PaperclipDatabase) -> bool {
    let status = object.status.as_ref();
    super::status::requested(object) != status.and_then(|s| s.last_handled_reconcile_at.clone())
}

fn due(input: &Input<'_>, of: String, before: Option<&DatabaseCheckStatus>) -> Due {
    let meta = &input.object.metadata;
    let last = before
        .and_then(|b| b.last_time.as_ref())
        .map(|t| t.0.to_string());
    let uid = meta.uid.as_deref().unwrap_or_default();
    let seed = format!("{uid} {of} {}", last.unwrap_or_default());
    let name = meta.name.as_deref().unwrap_or_default();
    Due {
        name: agent::job_name(&format!("{name}-check"), &seed),
        of,
    }
}

/// Which URL is meant, whatever it says.
fn target(input: &Input<'_>) -> String {
    let text = match input.external {
        External::Reference { secret, .. } => format!("{} {}", secret.name, secret.key),
        External::Literal(_) => {
            format!("{}", input.object.metadata.generation.unwrap_or_default())
        }
    };
    let mut hash = hex(&Sha256::digest(text));
    hash.truncate(10);
    hash
}

/// The version of what holds it; `None`: nobody looked.
fn version<'a>(input: &Input<'a>) -> Option<&'a str> {
    match (input.external, &input.found.external) {
        (External::Literal(_), _) => Some("spec"),
        (External::Reference { .. }, Known::Present(secret)) => Some(&secret.version),
        _ => None,
    }
}

/// It leads to the server's own pod, as with a proxy beside it, where no Job can look. `asked`: what was read before led elsewhere.
fn is_within_the_pod(input: &Input<'_>, asked: bool) -> bool {
    let text = match (input.external, &input.found.external) {
        (External::Literal(url), _) => Some(url.reveal()),
        (External::Reference { secret, .. }, Known::Present(found)) => found.text(&secret.key),
        _ => None,
    };
    if let Some(text) = text {
        return Endpoint::of(text, PORT).is_some_and(|e| e.is_loopback());
    }
    let status = input.object.status.as_ref();
    let said = status.and_then(|s| find(&s.conditions, "Reachable"));
    !asked && said.is_some_and(|c| c.reason == NOT_CHECKED)
}

fn namespace(object: &PaperclipDatabase) -> String {
    object.metadata.namespace.clone().unwrap_or_default()
}

/// A Job that asks.
pub fn is_check(job: &Seen<Job>) -> bool {
    job.component == Some(Component::Check)
}
