//! The condition `Reachable` of a database of somebody else, and what it told of itself. Pure.

use super::{Finding, Need};
use crate::controllers::database::check::{Answer, Check, Figures, NOT_CHECKED, is_lasting};
use crate::crd::database::PaperclipDatabaseStatus;
use crate::shared::conditions::{Truth, find};

/// Said of what leads to the server's own pod.
const WITHIN_POD: &str = "the URL leads to the server's own pod, where no Job can look; the migration of the Instance that uses it is the first to connect";

/// The condition.
pub fn of(check: &Check, before: &PaperclipDatabaseStatus) -> Finding {
    let unknown = |reason, message: &str, need| Finding::new(Truth::Unknown, reason, message, need);
    let pending = || unknown("Progressing", "a Job asks the database", Need::Wait);
    match &check.answer {
        Answer::Pending => pending(),
        Answer::Remembered => remembered(before).unwrap_or_else(pending),
        Answer::WithinPod => unknown(NOT_CHECKED, WITHIN_POD, Need::Nothing),
        Answer::UnknownAuthority(words) => unknown(
            NOT_CHECKED,
            &format!(
                "{words}: perhaps the server's pod knows the authority; the migration of the Instance that uses it is the first to connect"
            ),
            Need::Nothing,
        ),
        Answer::Unasked(why) => {
            unknown("NotAsked", &format!("no Job could ask: {why}"), Need::Time)
        }
        Answer::Good(figures) => Finding::good("Reachable", figures.text()),
        Answer::Bad {
            reason,
            message,
            lasting,
        } => Finding::new(Truth::False, reason, message, need(*lasting)),
    }
}

const fn need(lasting: bool) -> Need {
    if lasting { Need::Person } else { Need::Time }
}

fn remembered(before: &PaperclipDatabaseStatus) -> Option<Finding> {
    let said = find(&before.conditions, "Reachable")?;
    let (truth, need) = match &*said.status {
        "True" => (Truth::True, Need::Nothing),
        "False" => (Truth::False, need(is_lasting(&said.reason))),
        _ if said.reason == NOT_CHECKED => (Truth::Unknown, Need::Nothing),
        _ => (Truth::Unknown, Need::Time),
    };
    Some(Finding::new(truth, &said.reason, &said.message, need))
}

/// What it told now or before; nothing of another URL.
pub fn figures(check: &Check, before: &PaperclipDatabaseStatus) -> Figures {
    match &check.answer {
        Answer::Good(figures) if figures.version.is_some() => figures.clone(),
        Answer::Pending | Answer::WithinPod => Figures::default(),
        _ => Figures {
            version: before.server_version.clone(),
            bytes: before.database_bytes,
            ..Figures::default()
        },
    }
}
