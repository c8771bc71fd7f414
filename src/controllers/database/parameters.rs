//! PostgreSQL settings: what we choose by the memory limit, and what a user may choose. Pure.
//!
//! A user's setting is taken only if it is in the list below and its value is of the right kind: a name or value that PostgreSQL does not
//! take would keep it from starting. Left out on purpose: what decides on durability (`fsync`, `synchronous_commit`, `full_page_writes`),
//! on where data and doors are, on who may log in, and what needs files in the image.

use super::problem::{Problem, Reason};
use crate::shared::conditions::quote;
use std::collections::BTreeMap;

/// What a value must look like. Memory is in kB, times are in milliseconds.
enum Kind {
    Switch,
    Whole(i64, i64),
    Real(f64, f64),
    Memory(i64, i64),
    /// As `Memory`; -1 has a meaning of its own.
    MemoryOrOff(i64, i64),
    Time(i64, i64),
    /// As `Time`; 0 and -1 have meanings of their own.
    TimeOrOff(i64, i64),
    Word(&'static [&'static str]),
}
use Kind::{Memory, MemoryOrOff, Real, Switch, Time, TimeOrOff, Whole, Word};

const KB: i64 = 1;
const MB: i64 = 1024 * KB;
const GB: i64 = 1024 * MB;
const TB: i64 = 1024 * GB;
const SECOND: i64 = 1000;
const DAY: i64 = 86_400 * SECOND;
const ANY: i64 = i32::MAX as i64;

const ALLOWED: &[(&str, Kind)] = &[
    // Connections and memory.
    ("max_connections", Whole(20, 2000)),
    ("shared_buffers", Memory(MB, TB)),
    ("effective_cache_size", Memory(MB, TB)),
    ("work_mem", Memory(64 * KB, TB)),
    ("hash_mem_multiplier", Real(1.0, 1000.0)),
    ("maintenance_work_mem", Memory(MB, TB)),
    ("autovacuum_work_mem", MemoryOrOff(MB, TB)),
    ("temp_buffers", Memory(800 * KB, TB)),
    ("max_locks_per_transaction", Whole(10, 10_000)),
    ("huge_pages", Word(&["off", "try"])),
    // Workers and disks.
    ("max_worker_processes", Whole(1, 256)),
    ("max_parallel_workers", Whole(0, 256)),
    ("max_parallel_workers_per_gather", Whole(0, 256)),
    ("max_parallel_maintenance_workers", Whole(0, 256)),
    ("effective_io_concurrency", Whole(0, 1000)),
    ("maintenance_io_concurrency", Whole(0, 1000)),
    // Write-ahead log.
    ("wal_buffers", MemoryOrOff(32 * KB, 2 * GB)),
    ("wal_compression", Word(&["on", "off", "pglz"])),
    ("max_wal_size", Memory(64 * MB, TB)),
    ("min_wal_size", Memory(32 * MB, TB)),
    ("checkpoint_timeout", Time(30 * SECOND, DAY)),
    ("checkpoint_completion_target", Real(0.0, 1.0)),
    // Planner.
    ("random_page_cost", Real(0.0, 1e6)),
    ("seq_page_cost", Real(0.0, 1e6)),
    ("default_statistics_target", Whole(1, 10_000)),
    ("from_collapse_limit", Whole(1, ANY)),
    ("join_collapse_limit", Whole(1, ANY)),
    ("jit", Switch),
    (
        "plan_cache_mode",
        Word(&["auto", "force_generic_plan", "force_custom_plan"]),
    ),
    // Autovacuum, which cannot be turned off.
    ("autovacuum_max_workers", Whole(1, 32)),
    ("autovacuum_naptime", Time(SECOND, DAY)),
    ("autovacuum_vacuum_threshold", Whole(0, ANY)),
    ("autovacuum_vacuum_scale_factor", Real(0.0, 100.0)),
    ("autovacuum_vacuum_insert_threshold", Whole(-1, ANY)),
    ("autovacuum_vacuum_insert_scale_factor", Real(0.0, 100.0)),
    ("autovacuum_analyze_threshold", Whole(0, ANY)),
    ("autovacuum_analyze_scale_factor", Real(0.0, 100.0)),
    ("autovacuum_vacuum_cost_limit", Whole(-1, 10_000)),
    ("autovacuum_vacuum_cost_delay", TimeOrOff(0, 100)),
    // Limits on what a session may hold up.
    ("statement_timeout", TimeOrOff(1, ANY)),
    ("lock_timeout", TimeOrOff(1, ANY)),
    ("idle_in_transaction_session_timeout", TimeOrOff(1, ANY)),
    ("idle_session_timeout", TimeOrOff(1, ANY)),
    ("deadlock_timeout", Time(1, ANY)),
    ("tcp_keepalives_idle", Whole(0, ANY)),
    ("tcp_keepalives_interval", Whole(0, ANY)),
    ("tcp_keepalives_count", Whole(0, ANY)),
    // Log.
    ("log_min_duration_statement", TimeOrOff(1, ANY)),
    ("log_autovacuum_min_duration", TimeOrOff(1, ANY)),
    ("log_temp_files", MemoryOrOff(0, TB)),
    ("log_checkpoints", Switch),
    ("log_connections", Switch),
    ("log_disconnections", Switch),
    ("log_lock_waits", Switch),
    ("log_statement", Word(&["none", "ddl", "mod", "all"])),
    (
        "log_error_verbosity",
        Word(&["terse", "default", "verbose"]),
    ),
    ("track_io_timing", Switch),
];

/// What we choose for a container with so many bytes of memory and a volume of so many bytes.
pub fn defaults(memory: i128, volume: i128) -> BTreeMap<String, String> {
    let mib = 1024 * 1024;
    let share = |part: i128, least: i128, most: i128| {
        format!("{}MB", (memory / part / mib).clamp(least, most))
    };
    let mut settings = BTreeMap::from([
        ("shared_buffers".to_owned(), share(4, 16, 16 * 1024)),
        (
            "effective_cache_size".to_owned(),
            format!("{}MB", (memory * 3 / 4 / mib).max(32)),
        ),
        ("maintenance_work_mem".to_owned(), share(16, 16, 1024)),
        ("work_mem".to_owned(), share(256, 2, 64)),
        // Reserved huge pages of the node are not the container's to use.
        ("huge_pages".to_owned(), "off".to_owned()),
    ]);
    // The usual 1 GB of log would be most of a small volume. In two steps, so that growing a volume restarts nothing.
    if volume < 4 * 1024 * mib {
        settings.insert("max_wal_size".to_owned(), "256MB".to_owned());
        settings.insert("min_wal_size".to_owned(), "64MB".to_owned());
    }
    settings
}

/// The settings of the server: ours, with the user's over them.
///
/// # Errors
/// Every setting of the user that is refused.
pub fn merged(
    given: &BTreeMap<String, String>,
    memory: i128,
    volume: i128,
) -> Result<BTreeMap<String, String>, Vec<Problem>> {
    let mut problems = vec![];
    let mut settings = defaults(memory, volume);
    for (name, value) in given {
        let path = format!("spec.parameters.{}", quote(name));
        match ALLOWED.iter().find(|(allowed, _)| allowed == name) {
            None => problems.push(Problem::new(
                Reason::ParameterRefused,
                path,
                "not a setting that can be chosen here",
            )),
            Some((_, kind)) => match kind.check(value) {
                Ok(()) => {
                    settings.insert(name.clone(), value.clone());
                }
                Err(wanted) => problems.push(Problem::new(
                    Reason::ParameterRefused,
                    path,
                    format!("\"{}\" is not {wanted}", quote(value)),
                )),
            },
        }
    }
    if problems.is_empty() {
        problems = contradictions(given, &settings, memory);
    }
    if problems.is_empty() {
        Ok(settings)
    } else {
        Err(problems)
    }
}

/// Values of the user that are good by themselves and not together.
fn contradictions(
    given: &BTreeMap<String, String>,
    settings: &BTreeMap<String, String>,
    memory: i128,
) -> Vec<Problem> {
    let kb = |name: &str| {
        settings
            .get(name)
            .and_then(|v| measured(v, MEMORY_UNITS))
            .map(i128::from)
    };
    let refused = |name: &str, text: &str| {
        Problem::new(
            Reason::ParameterRefused,
            format!("spec.parameters.{name}"),
            text,
        )
    };
    let mut problems = vec![];
    if given.contains_key("shared_buffers")
        && kb("shared_buffers").is_some_and(|kb| kb * 1024 > memory * 6 / 10)
    {
        problems.push(refused(
            "shared_buffers",
            "more than 60 % of the memory limit",
        ));
    }
    let most = kb("max_wal_size").unwrap_or(i128::from(GB));
    if given.contains_key("min_wal_size") && kb("min_wal_size").is_some_and(|least| least > most) {
        problems.push(refused("min_wal_size", "more than max_wal_size"));
    }
    problems
}

const MEMORY_UNITS: &[(&str, i64)] = &[("kB", KB), ("MB", MB), ("GB", GB), ("TB", TB)];
const TIME_UNITS: &[(&str, i64)] = &[
    ("ms", 1),
    ("s", SECOND),
    ("min", 60 * SECOND),
    ("h", 3600 * SECOND),
    ("d", DAY),
];

/// A whole number with a unit, in the smallest unit of the list.
fn measured(value: &str, units: &[(&str, i64)]) -> Option<i64> {
    let value = value.trim();
    let end = value.find(|c: char| !c.is_ascii_digit())?;
    let (number, unit) = (value[..end].parse::<i64>().ok()?, value[end..].trim());
    let (_, factor) = units.iter().find(|(name, _)| *name == unit)?;
    number.checked_mul(*factor)
}

impl Kind {
    /// What the value should have been, if it is not that.
    fn check(&self, value: &str) -> Result<(), String> {
        let within = |found: Option<i64>, least: i64, most: i64| {
            found.is_some_and(|n| (least..=most).contains(&n))
        };
        let off = |words: &[&str]| words.contains(&value.trim());
        let (good, wanted) = match self {
            Switch => (
                ["on", "off", "true", "false"].contains(&value),
                "on or off".to_owned(),
            ),
            Whole(least, most) => (
                within(value.parse().ok(), *least, *most),
                format!("a whole number from {least} to {most}"),
            ),
            Real(least, most) => (
                plain_number(value).is_some_and(|n| (*least..=*most).contains(&n)),
                format!("a number from {least} to {most}"),
            ),
            Memory(least, most) => (
                within(measured(value, MEMORY_UNITS), *least, *most),
                format!("a size with its unit (kB, MB, GB), at least {least}kB"),
            ),
            MemoryOrOff(least, most) => (
                off(&["-1"]) || within(measured(value, MEMORY_UNITS), *least, *most),
                format!("-1, or a size with its unit (kB, MB, GB), at least {least}kB"),
            ),
            Time(least, most) => (
                within(measured(value, TIME_UNITS), *least, *most),
                format!("a time with its unit (ms, s, min, h), from {least}ms to {most}ms"),
            ),
            TimeOrOff(least, most) => (
                off(&["0", "-1"]) || within(measured(value, TIME_UNITS), *least, *most),
                format!("0, -1, or a time with its unit (ms, s, min, h), at most {most}ms"),
            ),
            Word(words) => (
                words.contains(&value),
                format!("one of {}", words.join(", ")),
            ),
        };
        if good { Ok(()) } else { Err(wanted) }
    }
}

/// A number in plain digits: Rust also reads `inf` and `NaN`.
fn plain_number(value: &str) -> Option<f64> {
    value
        .chars()
        .all(|c| c.is_ascii_digit() || c == '.')
        .then(|| value.parse().ok())
        .flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    const GIB: i128 = 1024 * 1024 * 1024;

    fn given(pairs: &[(&str, &str)]) -> Result<BTreeMap<String, String>, Vec<Problem>> {
        let map = pairs
            .iter()
            .map(|(k, v)| ((*k).to_owned(), (*v).to_owned()))
            .collect();
        merged(&map, GIB, 10 * GIB)
    }

    #[test]
    fn a_gibibyte_of_memory_gives_a_quarter_to_the_shared_buffers() {
        let settings = given(&[]).unwrap();
        assert_eq!(settings["shared_buffers"], "256MB");
        assert_eq!(settings["effective_cache_size"], "768MB");
        assert_eq!(settings["maintenance_work_mem"], "64MB");
        assert_eq!(settings["work_mem"], "4MB");
        assert_eq!(settings.get("max_wal_size"), None);
    }

    #[test]
    fn a_small_volume_keeps_little_log() {
        assert_eq!(defaults(GIB, GIB)["max_wal_size"], "256MB");
    }

    #[test]
    fn growing_a_volume_changes_no_setting() {
        assert_eq!(defaults(GIB, 10 * GIB), defaults(GIB, 100 * GIB));
    }

    #[test]
    fn a_setting_of_the_user_wins_over_ours() {
        let settings = given(&[("work_mem", "32MB"), ("jit", "off")]).unwrap();
        assert_eq!((&*settings["work_mem"], &*settings["jit"]), ("32MB", "off"));
    }

    #[test]
    fn every_refused_setting_is_named() {
        let problems = given(&[
            ("data_directory", "/x"),
            ("fsync", "off"),
            ("work_mem", "banana"),
            ("jit", "maybe"),
            ("max_connections", "5"),
            ("random_page_cost", "inf"),
            ("checkpoint_timeout", "1s"),
            ("log_statement", "secrets"),
            ("Shared_Buffers", "1MB"),
            ("work_mem; DROP", "1MB"),
        ])
        .unwrap_err();
        assert_eq!(problems.len(), 10);
        assert!(
            problems
                .iter()
                .all(|p| p.reason == Reason::ParameterRefused)
        );
        assert!(problems[2].path.starts_with("spec.parameters."));
    }

    #[test]
    fn values_that_contradict_each_other_are_refused() {
        let problems = given(&[("shared_buffers", "900MB")]).unwrap_err();
        assert_eq!(problems[0].path, "spec.parameters.shared_buffers");
        let problems = given(&[("min_wal_size", "2GB")]).unwrap_err();
        assert_eq!(problems[0].path, "spec.parameters.min_wal_size");
    }

    #[test]
    fn what_turns_a_limit_off_is_a_value_too() {
        given(&[("statement_timeout", "0"), ("log_temp_files", "-1")]).unwrap();
        assert!(given(&[("shared_buffers", "-1")]).is_err());
    }
}
