//! Which backups of a policy nobody needs any more. Pure: the time is an argument.
//!
//! A backup stays if one rule wants it. The newest complete one and the newest proven one always stay, whatever the rules say.

use crate::crd::PaperclipBackup;
use crate::crd::backup::BackupPhase;
use crate::crd::shared::{BackupRetention, VerificationLevel};
use crate::crd::text;
use crate::shared::duration;
use k8s_openapi::jiff::Timestamp;
use k8s_openapi::jiff::tz::TimeZone;
use std::collections::BTreeSet;
use std::time::Duration;

/// How many backups are kept.
#[derive(Debug)]
pub struct Rules {
    last: usize,
    daily: usize,
    weekly: usize,
    monthly: usize,
    max_age: Option<Duration>,
    zone: TimeZone,
}

/// A complete backup, or one that is expected.
#[derive(Clone, Copy, Debug)]
struct One<'a> {
    /// Absent: it is expected only.
    name: Option<&'a str>,
    time: Timestamp,
    proven: bool,
}

impl Rules {
    /// As the spec says it.
    ///
    /// # Errors
    /// In words for people.
    pub fn read(spec: &BackupRetention, zone: TimeZone) -> Result<Self, String> {
        let number = |n: Option<i32>| usize::try_from(n.unwrap_or_default()).unwrap_or_default();
        let max_age = match text(spec.max_age.as_ref()) {
            None => None,
            Some(words) => Some(
                duration::parse(words)
                    .ok_or("spec.retention.maxAge: must be a duration such as 720h")?,
            ),
        };
        Ok(Self {
            last: number(spec.keep_last),
            daily: number(spec.keep_daily),
            weekly: number(spec.keep_weekly),
            monthly: number(spec.keep_monthly),
            max_age,
            zone,
        })
    }

    /// Names of those that can go now, the oldest first.
    pub fn removable<'a>(&self, all: &[&'a PaperclipBackup], now: Timestamp) -> Vec<&'a str> {
        self.unwanted(complete(all), now)
    }

    /// Names of those that could go once another backup has been taken at this time.
    pub fn removable_after<'a>(
        &self,
        all: &[&'a PaperclipBackup],
        next: Timestamp,
    ) -> Vec<&'a str> {
        let mut complete = complete(all);
        complete.push(One {
            name: None,
            time: next,
            proven: false,
        });
        self.unwanted(complete, next)
    }

    fn unwanted<'a>(&self, mut all: Vec<One<'a>>, now: Timestamp) -> Vec<&'a str> {
        all.sort_by_key(|one| std::cmp::Reverse(one.time));
        let newest_proven = all.iter().position(|one| one.proven);
        let (mut days, mut weeks, mut months) = (BTreeSet::new(), BTreeSet::new(), BTreeSet::new());
        let mut gone = vec![];
        for (index, one) in all.iter().enumerate() {
            let date = one.time.to_zoned(self.zone.clone()).date();
            let week = date.iso_week_date();
            // The newest of each counts, so each set grows by those that are met first.
            let of_day = days.len() < self.daily && days.insert(date);
            let of_week = weeks.len() < self.weekly && weeks.insert((week.year(), week.week()));
            let of_month =
                months.len() < self.monthly && months.insert((date.year(), date.month()));
            let young = self.max_age.is_some_and(|max| {
                Duration::try_from(now.duration_since(one.time)).is_ok_and(|age| age < max)
                    || one.time > now
            });
            let stays = index == 0 || Some(index) == newest_proven || index < self.last;
            if !(stays || of_day || of_week || of_month || young) {
                gone.extend(one.name);
            }
        }
        gone.reverse();
        gone
    }
}

fn complete<'a>(all: &[&'a PaperclipBackup]) -> Vec<One<'a>> {
    all.iter()
        .filter_map(|backup| {
            let status = backup.status.as_ref()?;
            let done = status.phase.as_ref()?.known().ok()? == BackupPhase::Complete;
            let artifact = status.artifact.as_ref()?;
            (done && artifact.location.is_some() && artifact.sha256.is_some()).then_some(())?;
            let level = status.verified.as_ref().and_then(|v| v.level.as_ref());
            Some(One {
                name: Some(backup.metadata.name.as_deref()?),
                time: status.completion_time.as_ref()?.0,
                proven: level.is_some_and(|l| *l != VerificationLevel::Checksum),
            })
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn backup(time: &str, level: &str) -> PaperclipBackup {
        serde_json::from_value(json!({
            "apiVersion": "paperclip.inc/v1alpha1", "kind": "PaperclipBackup", "metadata": {"name": time}, "spec": {},
            "status": {"phase": "Complete", "completionTime": time, "verified": {"level": level},
                "artifact": {"location": "s3://b/x/", "sha256": "f"}},
        }))
        .unwrap()
    }

    fn gone(rules: &str, times: &[&str], now: &str) -> Vec<String> {
        let spec: BackupRetention = serde_saphyr::from_str(rules).unwrap();
        let all: Vec<_> = times.iter().map(|t| backup(t, "Checksum")).collect();
        let all: Vec<_> = all.iter().collect();
        let rules = Rules::read(&spec, TimeZone::UTC).unwrap();
        let gone = rules.removable(&all, now.parse().unwrap());
        gone.into_iter().map(ToOwned::to_owned).collect()
    }

    const NIGHTS: [&str; 5] = [
        "2026-11-18T02:00:00Z",
        "2026-11-19T02:00:00Z",
        "2026-11-20T02:00:00Z",
        "2026-11-21T02:00:00Z",
        "2026-11-22T02:00:00Z",
    ];
    const NOW: &str = "2026-11-22T03:00:00Z";

    #[test]
    fn the_oldest_go_first() {
        assert_eq!(gone("keepLast: 3", &NIGHTS, NOW), &NIGHTS[..2]);
        assert_eq!(gone("maxAge: 48h", &NIGHTS, NOW), &NIGHTS[..3]);
        assert!(gone("keepLast: 5", &NIGHTS, NOW).is_empty());
    }

    #[test]
    fn the_newest_always_stays() {
        for rules in ["keepLast: 0", "maxAge: 1s"] {
            assert_eq!(
                gone(rules, &NIGHTS, "2027-11-22T03:00:00Z"),
                &NIGHTS[..4],
                "{rules}"
            );
        }
    }

    #[test]
    fn so_does_the_newest_that_was_proven() {
        let all: Vec<_> = NIGHTS
            .iter()
            .enumerate()
            .map(|(i, t)| {
                backup(
                    t,
                    if i == 1 || i == 0 {
                        "Restore"
                    } else {
                        "Checksum"
                    },
                )
            })
            .collect();
        let all: Vec<_> = all.iter().collect();
        let spec: BackupRetention = serde_saphyr::from_str("keepLast: 1").unwrap();
        let rules = Rules::read(&spec, TimeZone::UTC).unwrap();
        assert_eq!(
            rules.removable(&all, NOW.parse().unwrap()),
            [NIGHTS[0], NIGHTS[2], NIGHTS[3]]
        );
    }

    #[test]
    fn one_of_each_day_week_and_month_stays_and_rules_add_up() {
        let times = [
            "2026-09-30T23:00:00Z",
            "2026-10-31T23:00:00Z",
            "2026-11-14T02:00:00Z", // a Saturday
            "2026-11-15T02:00:00Z", // a Sunday
            "2026-11-22T02:00:00Z",
            "2026-11-22T14:00:00Z",
        ];
        let now = "2026-11-22T15:00:00Z";
        assert_eq!(
            gone("keepDaily: 2", &times, now),
            [times[0], times[1], times[2], times[4]]
        );
        assert_eq!(
            gone("keepWeekly: 2", &times, now),
            [times[0], times[1], times[2], times[4]]
        );
        assert_eq!(
            gone("keepMonthly: 3", &times, now),
            [times[2], times[3], times[4]]
        );
        assert_eq!(
            gone("{keepDaily: 2, keepMonthly: 3}", &times, now),
            [times[2], times[4]]
        );
    }

    #[test]
    fn what_goes_next_is_known_before_the_next_backup() {
        let all: Vec<_> = NIGHTS.iter().map(|t| backup(t, "Checksum")).collect();
        let all: Vec<_> = all.iter().collect();
        let spec: BackupRetention = serde_saphyr::from_str("keepLast: 5").unwrap();
        let rules = Rules::read(&spec, TimeZone::UTC).unwrap();
        assert!(rules.removable(&all, NOW.parse().unwrap()).is_empty());
        let next = "2026-11-23T02:00:00Z".parse().unwrap();
        assert_eq!(rules.removable_after(&all, next), [NIGHTS[0]]);
    }

    #[test]
    fn one_that_failed_or_cannot_be_found_is_nothing_to_count() {
        let mut failed = backup(NIGHTS[4], "Checksum");
        failed.status.as_mut().unwrap().phase = Some(BackupPhase::Failed.into());
        let mut lost = backup(NIGHTS[3], "Checksum");
        lost.status.as_mut().unwrap().artifact = None;
        let good = backup(NIGHTS[0], "Checksum");
        let spec: BackupRetention = serde_saphyr::from_str("keepLast: 0").unwrap();
        let rules = Rules::read(&spec, TimeZone::UTC).unwrap();
        assert!(
            rules
                .removable(&[&failed, &lost, &good], NOW.parse().unwrap())
                .is_empty()
        );
    }
}
