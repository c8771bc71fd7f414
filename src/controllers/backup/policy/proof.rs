//! How far the backups of a policy are proven by restores. Pure: the time is an argument.

use crate::controllers::backup::verify::{is_wanted, proven};
use crate::crd::backup::BackupPhase;
use crate::crd::shared::NamedTime;
use crate::crd::{PaperclipBackup, text};
use crate::shared::conditions::{Fact, Truth};
use crate::shared::duration;
use crate::shared::schedule::Schedule;
use k8s_openapi::jiff::Timestamp;
use k8s_openapi::jiff::tz::TimeZone;
use std::time::Duration;

/// When proofs are made.
#[derive(Debug)]
pub struct Proofs {
    /// `None`: of each backup.
    schedule: Option<Schedule>,
    max_age: Option<Duration>,
    zone: TimeZone,
}

impl Proofs {
    /// `None`: no proofs are asked for.
    ///
    /// # Errors
    /// In words for people.
    pub fn read(object: &PaperclipBackup, zone: TimeZone) -> Result<Option<Self>, String> {
        let Some(spec) = object
            .spec
            .verification
            .as_ref()
            .filter(|_| is_wanted(object))
        else {
            return Ok(None);
        };
        let schedule = text(spec.schedule.as_ref())
            .map(Schedule::parse)
            .transpose()
            .map_err(|why| format!("spec.verification.schedule: {why}"))?;
        let max_age = match text(spec.max_age.as_ref()) {
            None => None,
            Some(words) => Some(
                duration::parse(words)
                    .ok_or("spec.verification.maxAge: must be a duration such as 168h")?,
            ),
        };
        Ok(Some(Self {
            schedule,
            max_age,
            zone,
        }))
    }

    /// Each backup is to be proven.
    pub fn of_each(&self) -> bool {
        self.schedule.is_none()
    }

    /// Name of the backup whose proof is due now: the newest, once a time of the schedule has come since it was taken.
    pub fn due<'a>(&self, all: &[&'a PaperclipBackup], now: Timestamp) -> Option<&'a str> {
        let schedule = self.schedule.as_ref()?;
        let newest = newest(all)?;
        if is_wanted(newest) {
            return None;
        }
        let (_, time) = schedule.between(completed(newest)?, now, &self.zone, 1);
        time.and(newest.metadata.name.as_deref())
    }

    /// How long until a proof may be due.
    pub fn wake(&self, now: Timestamp) -> Option<Duration> {
        let next = self.schedule.as_ref()?.next(now, &self.zone)?;
        Duration::try_from(next.duration_since(now)).ok()
    }

    /// What is true of them.
    pub fn fact(&self, all: &[&PaperclipBackup], now: Timestamp) -> Fact {
        const KIND: &str = "Verified";
        let last = |result: bool| {
            let all = all.iter().filter(|b| proven(b) == Some(result));
            all.filter_map(|b| Some((completed(b)?, b.metadata.name.as_deref()?)))
                .max()
        };
        let (good, bad) = (last(true), last(false));
        match (good, bad) {
            (good, Some((time, name))) if good.is_none_or(|(good, _)| good < time) => Fact::new(
                KIND,
                Truth::False,
                "VerificationFailed",
                format!("PaperclipBackup \"{name}\" could not be brought back; see its status"),
            ),
            (None, _) => Fact::new(
                KIND,
                Truth::False,
                "NeverVerified",
                "no backup was brought back yet to prove it",
            ),
            (Some((time, name)), _) => {
                let age = Duration::try_from(now.duration_since(time)).unwrap_or_default();
                if self.max_age.is_some_and(|max| age > max) {
                    let text = format!(
                        "the newest that is proven, \"{name}\", is older than spec.verification.maxAge"
                    );
                    Fact::new(KIND, Truth::False, "TooOld", text)
                } else {
                    let text = format!(
                        "PaperclipBackup \"{name}\" was brought back, and is what it should be"
                    );
                    Fact::new(KIND, Truth::True, "Verified", text)
                }
            }
        }
    }
}

fn completed(backup: &PaperclipBackup) -> Option<Timestamp> {
    let status = backup.status.as_ref()?;
    let complete = status.phase.as_ref()?.known().ok()? == BackupPhase::Complete;
    status
        .completion_time
        .as_ref()
        .filter(|_| complete)
        .map(|t| t.0)
}

fn newest<'a>(all: &[&'a PaperclipBackup]) -> Option<&'a PaperclipBackup> {
    let complete = all.iter().filter_map(|b| Some((completed(b)?, *b)));
    complete.max_by_key(|(time, _)| *time).map(|(_, b)| b)
}

/// The newest that is proven.
pub fn last(all: &[&PaperclipBackup]) -> Option<NamedTime> {
    let proven = all.iter().filter(|b| proven(b) == Some(true));
    let newest = proven
        .filter_map(|b| Some((completed(b)?, *b)))
        .max_by_key(|(time, _)| *time)
        .map(|(_, b)| b)?;
    let time = newest.status.as_ref()?.verified.as_ref()?.time.clone();
    Some(NamedTime {
        name: newest.metadata.name.clone(),
        time,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    #[allow(clippy::needless_pass_by_value)] // `json!` makes values.
    fn policy(verification: Value) -> PaperclipBackup {
        serde_json::from_value(json!({"apiVersion": "paperclip.inc/v1alpha1", "kind": "PaperclipBackup",
            "metadata": {"name": "nightly"}, "spec": {"schedule": "@daily", "verification": verification}}))
        .unwrap()
    }

    fn backup(day: u8, verified: &str) -> PaperclipBackup {
        let time = format!("2026-11-{day}T02:00:00Z");
        let conditions = if verified.is_empty() {
            json!([])
        } else {
            json!([{"type": "Verified", "status": verified, "reason": "x", "message": "", "lastTransitionTime": time}])
        };
        serde_json::from_value(json!({"apiVersion": "paperclip.inc/v1alpha1", "kind": "PaperclipBackup",
            "metadata": {"name": format!("n-{day}")}, "spec": {},
            "status": {"phase": "Complete", "completionTime": time, "conditions": conditions, "verified": {"time": time}}}))
        .unwrap()
    }

    fn proofs(verification: Value) -> Proofs {
        Proofs::read(&policy(verification), TimeZone::UTC)
            .unwrap()
            .unwrap()
    }

    fn said(p: &Proofs, all: &[PaperclipBackup]) -> String {
        let all: Vec<_> = all.iter().collect();
        let fact = p.fact(&all, "2026-11-22T03:00:00Z".parse().unwrap());
        format!("{}/{}", fact.truth.as_str(), fact.reason)
    }

    #[test]
    fn the_newest_result_counts_and_it_may_not_be_too_old() {
        let p = proofs(json!({"level": "Restore", "maxAge": "48h"}));
        assert!(p.of_each());
        assert_eq!(said(&p, &[backup(21, "")]), "False/NeverVerified");
        assert_eq!(
            said(&p, &[backup(21, "True"), backup(22, "")]),
            "True/Verified"
        );
        assert_eq!(
            said(&p, &[backup(21, "True"), backup(22, "False")]),
            "False/VerificationFailed"
        );
        assert_eq!(
            said(&p, &[backup(20, "False"), backup(21, "True")]),
            "True/Verified"
        );
        assert_eq!(
            said(&p, &[backup(18, "True"), backup(22, "")]),
            "False/TooOld"
        );
    }

    #[test]
    fn by_a_schedule_the_newest_is_proven_when_its_time_has_come() {
        let p = proofs(json!({"level": "Restore", "schedule": "0 6 * * 0"}));
        assert!(!p.of_each());
        // 2026-11-22 is a Sunday.
        let (a, b) = (backup(21, ""), backup(22, ""));
        let all = [&a, &b];
        assert_eq!(p.due(&all, "2026-11-22T05:59:00Z".parse().unwrap()), None);
        assert_eq!(
            p.due(&all, "2026-11-22T06:00:00Z".parse().unwrap()),
            Some("n-22")
        );
        let mut asked = backup(22, "");
        asked.spec.verification = policy(json!({"level": "Restore"})).spec.verification;
        assert_eq!(
            p.due(&[&a, &asked], "2026-11-22T06:00:00Z".parse().unwrap()),
            None
        );
    }

    #[test]
    fn reading_back_is_no_proof_that_is_asked_for() {
        assert!(
            Proofs::read(&policy(json!({"level": "Checksum"})), TimeZone::UTC)
                .unwrap()
                .is_none()
        );
        let wrong = policy(json!({"level": "Restore", "schedule": "never"}));
        assert!(
            Proofs::read(&wrong, TimeZone::UTC)
                .unwrap_err()
                .contains("verification.schedule")
        );
    }
}
