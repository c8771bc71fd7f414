//! The condition `Ready`. Pure.

use super::{Finding, Need, Observed};
use crate::controllers::database::found::is_kept;
use crate::controllers::database::validate::{Engine, Managed, Validated};
use crate::crd::database::PaperclipDatabaseStatus;
use crate::shared::conditions::{Truth, find, list, quote};
use crate::shared::views::{Pod, Trouble};
use serde_json::Value;

/// Words of the agent after which only a person can help.
const FOR_GOOD: &[&str] = &[
    "VersionMismatch",
    "DataDirectoryNotEmpty",
    "DataDirectoryIncomplete",
    "DataDirectoryNotOurs",
    "PostgresNotFound",
    "PostgresUnusable",
    "CredentialsMissing",
    "CredentialsInvalid",
    "PasswordRefused",
    "NoSuperuser",
    "ParameterRefused",
    "InvalidValue",
];

pub fn of(
    seen: &Observed<'_>,
    validated: Option<&Validated>,
    accepted: &Finding,
    credentials: Option<&Finding>,
    storage: Option<&Finding>,
    reachable: Option<&Finding>,
    before: &PaperclipDatabaseStatus,
) -> Finding {
    let Some(validated) = validated else {
        return accepted.clone();
    };
    if accepted.need == Need::Person {
        return accepted.clone();
    }
    if let Some(lost) = credentials.filter(|f| f.truth == Truth::False) {
        return lost.clone();
    }
    let managed = match &validated.engine {
        Engine::Managed(managed) => managed,
        Engine::External(_) => return of_outside(reachable),
    };
    let gates = |f: &&Finding| matches!(&*f.reason, "ClaimLost" | "ClaimPending" | "Full");
    if let Some(lost) = storage.filter(gates) {
        return Finding {
            reason: if lost.reason == "Full" {
                "StorageFull".to_owned()
            } else {
                lost.reason.clone()
            },
            ..lost.clone()
        };
    }
    if !seen.applied.waiting.is_empty() {
        return Finding::new(
            Truth::False,
            "Initializing",
            list(&seen.applied.waiting),
            Need::Wait,
        );
    }
    let workload = seen.applied.stateful_set.as_ref();
    let complete = |wanted| workload.is_some_and(|w| w.view.is_complete(wanted));
    if managed.suspended {
        let need = if complete(0) {
            Need::Nothing
        } else {
            Need::Wait
        };
        return Finding::new(
            Truth::False,
            "Suspended",
            "PostgreSQL is stopped by spec.suspend; data are kept",
            need,
        );
    }
    if complete(1) && workload.is_some_and(|w| w.view.spec.replicas == Some(1)) {
        if workload.is_some_and(|w| is_kept(w)) {
            return Finding::good(
                "DatabaseProvisioned",
                format!(
                    "PostgreSQL {} accepts connections; its pod is as the earlier operator left it, until a change of it is asked for",
                    managed.version
                ),
            );
        }
        return Finding::good(
            "DatabaseProvisioned",
            format!(
                "PostgreSQL {} answers as the application's role",
                managed.version
            ),
        );
    }
    not_ready(seen, validated, managed, before)
}

/// A database of somebody else is what it answers.
fn of_outside(reachable: Option<&Finding>) -> Finding {
    let unknown = || {
        Finding::new(
            Truth::Unknown,
            "Progressing",
            "nobody asked it yet",
            Need::Wait,
        )
    };
    let reachable = reachable.cloned().unwrap_or_else(unknown);
    match reachable.truth {
        Truth::True => Finding::good("DatabaseProvisioned", reachable.message),
        _ => reachable,
    }
}

fn not_ready(
    seen: &Observed<'_>,
    validated: &Validated,
    managed: &Managed,
    before: &PaperclipDatabaseStatus,
) -> Finding {
    let name = format!("{}-0", validated.names.database());
    if let Some(trouble) = seen.pod.and_then(|pod| pod.trouble.as_ref()) {
        return in_trouble(&name, seen.pod, trouble, before);
    }
    if before.version.is_none() {
        return Finding::new(
            Truth::False,
            "Initializing",
            format!(
                "PostgreSQL {} is being started for the first time",
                managed.version
            ),
            Need::Wait,
        );
    }
    let (message, need) = match seen.pod {
        None => (
            format!(
                "pod \"{name}\" is not there yet; if it does not come, see the events of StatefulSet \"{}\"",
                validated.names.database()
            ),
            Need::Time,
        ),
        // It may recover, and that takes what it takes.
        Some(_) => (
            format!("pod \"{name}\" does not answer as the application's role yet"),
            Need::Wait,
        ),
    };
    Finding::new(Truth::False, "PodNotReady", message, need)
}

fn in_trouble(
    name: &str,
    pod: Option<&Pod>,
    trouble: &Trouble,
    before: &PaperclipDatabaseStatus,
) -> Finding {
    let said = pod
        .and_then(|pod| pod.result.as_deref())
        .filter(|_| trouble.reason == "CrashLooping")
        .and_then(|result| serde_json::from_str::<Value>(result).ok());
    let word = |key: &str| said.as_ref().and_then(|s| s[key].as_str()).map(quote);
    if let Some(code) = word("code") {
        let message = format!(
            "pod \"{name}\": {code}: \"{}\"",
            word("message").unwrap_or_default()
        );
        let need = if FOR_GOOD.contains(&&*code) {
            Need::Person
        } else {
            Need::Time
        };
        let reason = match &*code {
            "VersionMismatch" => "VersionMismatch",
            "StorageFull" => "StorageFull",
            "ExtensionNotAvailable" | "ExtensionNotPermitted" => "ExtensionsMissing",
            _ => "PodNotReady",
        };
        return Finding::new(Truth::False, reason, message, need);
    }
    let start = format!("pod \"{name}\": {}", trouble.reason);
    // The kubelet words one fact in turns; the first wording stays.
    let message = find(&before.conditions, "Ready")
        .filter(|c| c.reason == "PodNotReady" && c.message.starts_with(&start))
        .map_or_else(
            || format!("{start}: \"{}\"", trouble.message),
            |c| c.message.clone(),
        );
    Finding::new(Truth::False, "PodNotReady", message, Need::Time)
}
