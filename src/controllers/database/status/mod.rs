//! What was observed, as conditions. Pure: the time is an argument.
//!
//! True means seen: that PostgreSQL answers is the word of the readiness probe, which asks a query as the application's role. What only a
//! result could tell (size, version of the server) stays absent.

mod events;
mod reachable;
mod ready;
mod storage;

pub use events::happenings;

use super::apply::Applied;
use super::check::Check;
use super::dereference::FoundClaim;
use super::login::app_key;
use super::problem::{Problem, summary};
use super::validate::{Credentials, Engine, External, Managed, Validated, Verdict};
use crate::crd::database::{DatabaseEngine, PaperclipDatabaseStatus};
use crate::crd::{PaperclipDatabase, SecretKeyRef, Word};
use crate::shared::conditions::{Fact, Truth, find, list, merge};
use crate::shared::names::ANNOTATION_RECONCILE_REQUESTED;
use crate::shared::views::Pod;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use std::time::Duration;

/// A wait that lasts longer needs a person.
const PATIENCE: Duration = Duration::from_secs(600);
/// How often something is looked for whose appearance nobody tells us.
const LOOK_AGAIN: Duration = Duration::from_secs(15);
/// How often something is looked for that is about to happen.
const LOOK_SOON: Duration = Duration::from_secs(2);

/// What a pass knows at its end.
pub struct Observed<'a> {
    /// As it was read at the start.
    pub object: &'a PaperclipDatabase,
    /// What came of its spec.
    pub verdict: &'a Verdict,
    /// What came of the objects.
    pub applied: &'a Applied,
    /// The claim of the user, if it was read.
    pub existing_claim: Option<&'a FoundClaim>,
    /// The pod.
    pub pod: Option<&'a Pod>,
    /// How a database of somebody else is asked.
    pub check: Option<&'a Check>,
    /// Now.
    pub now: &'a Time,
}

/// One part of the whole.
#[derive(Clone, Debug)]
pub(super) struct Finding {
    truth: Truth,
    reason: String,
    message: String,
    need: Need,
}

/// What it takes to become better.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Need {
    /// Nothing: it stays as it is.
    Nothing,
    /// It comes by itself, however long that takes.
    Wait,
    /// It comes by itself, or else a person is needed.
    Time,
    /// A person.
    Person,
}

impl Finding {
    fn new(truth: Truth, reason: &str, message: impl Into<String>, need: Need) -> Self {
        Self {
            truth,
            reason: reason.to_owned(),
            message: message.into(),
            need,
        }
    }
    fn good(reason: &str, message: impl Into<String>) -> Self {
        Self::new(Truth::True, reason, message, Need::Nothing)
    }
    fn fact(&self, kind: &'static str) -> Fact {
        Fact::new(kind, self.truth, &self.reason, &self.message)
    }
}

/// The status, and when to look again without a cause.
pub fn of(seen: &Observed<'_>) -> (PaperclipDatabaseStatus, Option<Duration>) {
    let before = seen.object.status.clone().unwrap_or_default();
    let accepted = accepted(seen);
    let validated = match seen.verdict {
        Verdict::Accepted(validated) => Some(&**validated),
        Verdict::Refused(_) => None,
    };
    let credentials = credentials(seen, validated, &before);
    let storage = storage::of(seen, validated, &before);
    let reachable = seen.check.map(|check| reachable::of(check, &before));
    let ready = ready::of(
        seen,
        validated,
        &accepted,
        credentials.as_ref(),
        storage.as_ref(),
        reachable.as_ref(),
        &before,
    );

    let mut facts = vec![ready.fact("Ready"), accepted.fact("Accepted")];
    facts.extend(credentials.iter().map(|f| f.fact("CredentialsSynced")));
    facts.extend(storage.iter().map(|f| f.fact("StorageHealthy")));
    facts.extend(reachable.iter().map(|f| f.fact("Reachable")));
    let parts: Vec<&Finding> = [
        Some(&ready),
        Some(&accepted),
        credentials.as_ref(),
        storage.as_ref(),
    ]
    .into_iter()
    .flatten()
    .collect();
    let (summary, deadline) = progress(&parts, &before, seen.now);
    facts.extend(summary);

    let connection = connection(seen, validated, &before);
    // A pod that is ready runs the wanted version on the data: the agent refuses to start any other.
    let proven = managed(validated).filter(|_| ready.truth == Truth::True);
    let figures = seen.check.map(|check| reachable::figures(check, &before));
    let version = match &figures {
        Some(figures) => figures.major(),
        None => proven.map(|m| m.version).or(before.version),
    };
    let status = PaperclipDatabaseStatus {
        observed_generation: seen.object.metadata.generation,
        conditions: merge(
            &before.conditions,
            facts,
            seen.object.metadata.generation.unwrap_or_default(),
            seen.now,
        ),
        engine: proven
            .map(|_| Word::Known(DatabaseEngine::Managed))
            .or(before.engine),
        version,
        connection_secret_ref: connection,
        storage: storage::amounts(seen, before.storage),
        last_handled_reconcile_at: requested(seen.object),
        database_bytes: figures.as_ref().and_then(|f| f.bytes),
        server_version: figures.and_then(|f| f.version),
        check: seen.check.and_then(|check| check.status.clone()),
        system_identifier: None,
        rotation: None,
        upgrade: None,
    };
    (status, again(seen, &parts, deadline))
}

/// What a user asked for by annotation, cut to what the status may hold.
pub fn requested(object: &PaperclipDatabase) -> Option<String> {
    let text = object
        .metadata
        .annotations
        .as_ref()?
        .get(ANNOTATION_RECONCILE_REQUESTED)?;
    Some(text.chars().take(64).collect())
}

fn managed(validated: Option<&Validated>) -> Option<&Managed> {
    match &validated?.engine {
        Engine::Managed(managed) => Some(managed),
        Engine::External(_) => None,
    }
}

fn accepted(seen: &Observed<'_>) -> Finding {
    let problems: &[Problem] = match seen.verdict {
        Verdict::Accepted(validated) => &validated.notes,
        Verdict::Refused(problems) => problems,
    };
    let found = summary(problems);
    match found {
        Some((reason, text)) if reason.stops() => {
            Finding::new(Truth::False, reason.as_str(), text, Need::Person)
        }
        _ if !seen.applied.not_ours.is_empty() => Finding::new(
            Truth::False,
            "NotOurs",
            list(&seen.applied.not_ours),
            Need::Person,
        ),
        Some((reason, text)) => Finding::new(Truth::False, reason.as_str(), text, Need::Nothing),
        None => Finding::good("Accepted", "every field is done"),
    }
}

fn credentials(
    seen: &Observed<'_>,
    validated: Option<&Validated>,
    before: &PaperclipDatabaseStatus,
) -> Option<Finding> {
    let kept = || {
        find(&before.conditions, "CredentialsSynced").map(|c| Finding {
            truth: match &*c.status {
                "True" => Truth::True,
                "False" => Truth::False,
                _ => Truth::Unknown,
            },
            reason: c.reason.clone(),
            message: c.message.clone(),
            need: Need::Nothing,
        })
    };
    let Some(validated) = validated else {
        return kept();
    };
    let unknown = || {
        Finding::new(
            Truth::Unknown,
            "Progressing",
            "the Secrets were not looked at yet",
            Need::Wait,
        )
    };
    let synced = |message: String| {
        if seen.applied.secrets_synced {
            Finding::good("Synced", message)
        } else {
            kept().unwrap_or_else(unknown)
        }
    };
    let names = &validated.names;
    Some(match &validated.engine {
        Engine::Managed(managed) => match &managed.credentials {
            Credentials::Lost(message) => {
                Finding::new(Truth::False, "SecretLost", message, Need::Person)
            }
            Credentials::NoRandomness => Finding::new(
                Truth::False,
                "InternalError",
                "the system gave no random bytes",
                Need::Time,
            ),
            _ => synced(format!(
                "Secrets \"{}\" and \"{}\" say the same",
                names.database_credentials(),
                names.database_app()
            )),
        },
        Engine::External(outside) => match &outside.external {
            External::Literal(_) => synced(format!(
                "Secret \"{}\" holds spec.external.url",
                names.database_app()
            )),
            External::Reference { secret, problem } => match problem {
                Some((reason, message)) => Finding::new(Truth::False, reason, message, Need::Time),
                None => Finding::good("Synced", format!("Secret \"{}\" is used", secret.name)),
            },
        },
    })
}

/// Where the application finds the connection URL.
fn connection(
    seen: &Observed<'_>,
    validated: Option<&Validated>,
    before: &PaperclipDatabaseStatus,
) -> Option<SecretKeyRef> {
    let ours = |validated: &Validated| {
        if seen.applied.secrets_synced {
            Some(SecretKeyRef {
                name: validated.names.database_app(),
                key: app_key::URL.to_owned(),
            })
        } else {
            before.connection_secret_ref.clone()
        }
    };
    let Some(validated) = validated else {
        return before.connection_secret_ref.clone();
    };
    match &validated.engine {
        Engine::External(outside) => match &outside.external {
            External::Reference { secret, problem } => problem.is_none().then(|| secret.clone()),
            External::Literal(_) => ours(validated),
        },
        Engine::Managed(_) => ours(validated),
    }
}

/// `Reconciling` or `Stalled`, never both, and how long until a wait becomes a stall.
fn progress(
    parts: &[&Finding],
    before: &PaperclipDatabaseStatus,
    now: &Time,
) -> (Option<Fact>, Option<Duration>) {
    let stalled = |f: &Finding| Fact::new("Stalled", Truth::True, &f.reason, &f.message);
    let first = |need: &[Need]| parts.iter().find(|f| need.contains(&f.need));
    if let Some(cause) = first(&[Need::Person]) {
        return (Some(stalled(cause)), None);
    }
    let since = find(&before.conditions, "Reconciling").map_or(now, |c| &c.last_transition_time);
    let waited = Duration::try_from(now.0.duration_since(since.0)).unwrap_or_default();
    let bounded = first(&[Need::Time]);
    if let Some(wait) = bounded {
        let was = find(&before.conditions, "Stalled").is_some_and(|c| c.reason == wait.reason);
        if was || waited >= PATIENCE {
            return (Some(stalled(wait)), None);
        }
    }
    let reconciling = first(&[Need::Wait, Need::Time])
        .map(|f| Fact::new("Reconciling", Truth::True, "Progressing", &f.message));
    (
        reconciling,
        bounded.map(|_| PATIENCE.saturating_sub(waited) + Duration::from_secs(1)),
    )
}

fn again(seen: &Observed<'_>, parts: &[&Finding], deadline: Option<Duration>) -> Option<Duration> {
    let soon = (!seen.applied.waiting.is_empty()).then_some(LOOK_SOON);
    let unseen = |reason: &str| {
        matches!(
            reason,
            "NotOurs"
                | "SecretNotFound"
                | "KeyNotFound"
                | "EmptyValue"
                | "InvalidValue"
                | "SecretLost"
                | "ClaimLost"
                | "ClaimPending"
        )
    };
    let later = parts
        .iter()
        .any(|f| f.truth == Truth::False && (seen.check.is_some() || unseen(&f.reason)))
        .then_some(LOOK_AGAIN);
    let asked = seen.check.and_then(|check| check.again);
    [soon, later, deadline, asked].into_iter().flatten().min()
}
