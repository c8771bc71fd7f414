//! What is due. Pure: the time is an argument.

use super::Times;
use crate::crd::PaperclipBackup;
use k8s_openapi::jiff::Timestamp;
use sha2::{Digest, Sha256};
use std::time::Duration;

/// More missed times than this are not told apart.
const COUNTED: u32 = 1_000;

/// What is looked at.
pub struct Input<'a> {
    /// When backups are taken.
    pub times: &'a Times,
    /// The policy.
    pub object: &'a PaperclipBackup,
    /// Now.
    pub now: Timestamp,
    /// One of its backups has not ended.
    pub running: bool,
}

/// What is to be done.
#[derive(Debug, PartialEq, Eq)]
pub struct Plan {
    /// Begin the backup of this time now.
    pub start: Option<Timestamp>,
    /// Times up to this one are dealt with.
    pub handled: Option<Timestamp>,
    /// Times that were dealt with and begin nothing.
    pub missed: u32,
    /// The next time of the schedule.
    pub next: Option<Timestamp>,
    /// How long until something has to be done.
    pub wake: Duration,
}

/// Decides.
pub fn of(input: &Input<'_>) -> Plan {
    let Input {
        times,
        object,
        now,
        running,
    } = *input;
    let spec = &object.spec;
    let suspended = spec.suspend == Some(true);
    let next = times.schedule.next(now, &times.zone);
    let idle = Plan {
        start: None,
        handled: None,
        missed: 0,
        next: next.filter(|_| !suspended),
        wake: next.map_or(Duration::MAX, |next| {
            until(now, jittered(times, object, next))
        }),
    };
    let last = object
        .status
        .as_ref()
        .and_then(|s| s.last_schedule_time.as_ref());
    if last.is_none() && spec.immediate == Some(true) && !suspended {
        let now = Timestamp::from_second(now.as_second()).unwrap_or(now);
        return Plan {
            start: Some(now),
            handled: Some(now),
            ..idle
        };
    }
    let created = object.metadata.creation_timestamp.as_ref();
    let since = last.or(created).map_or(now, |time| time.0);
    let (count, Some(due)) = times.schedule.between(since, now, &times.zone, COUNTED) else {
        return idle;
    };
    if suspended {
        // Nobody wanted them: they are not missed.
        return Plan {
            handled: Some(due),
            ..idle
        };
    }
    let begin = jittered(times, object, due);
    let too_late =
        Duration::try_from(now.duration_since(begin)).is_ok_and(|passed| passed > times.deadline);
    if too_late {
        return Plan {
            handled: Some(due),
            missed: count,
            ..idle
        };
    }
    if running || now < begin {
        // The end of the one that runs wakes us.
        let wake = if now < begin {
            until(now, begin)
        } else {
            idle.wake
        };
        return Plan { wake, ..idle };
    }
    Plan {
        start: Some(due),
        handled: Some(due),
        missed: count - 1,
        ..idle
    }
}

/// By chance, but always the same for one time of one policy: so a restart of the operator changes nothing.
fn jittered(times: &Times, object: &PaperclipBackup, tick: Timestamp) -> Timestamp {
    let seconds = times.jitter.as_secs();
    if seconds == 0 {
        return tick;
    }
    let mut sha = Sha256::new();
    sha.update(object.metadata.uid.as_deref().unwrap_or_default());
    sha.update(tick.as_second().to_be_bytes());
    let digest = sha.finalize();
    let number = digest
        .iter()
        .take(8)
        .fold(0_u64, |number, byte| number << 8 | u64::from(*byte));
    let later = Duration::from_secs(number % (seconds + 1));
    tick.checked_add(later).unwrap_or(tick)
}

fn until(now: Timestamp, then: Timestamp) -> Duration {
    Duration::try_from(then.duration_since(now)).unwrap_or(Duration::ZERO)
        + Duration::from_millis(50)
}
