//! `spec.probes`. Pure.

use super::findings::Findings;
use crate::crd::instance::{Probe as Spec, ProbeType, Probes as Section};

/// How the kubelet asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Probes {
    /// When the server counts as started.
    pub startup: Probe,
    /// When it gets requests.
    pub readiness: Probe,
    /// When it is restarted.
    pub liveness: Probe,
}

/// One probe.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Probe {
    /// By HTTP; otherwise by opening the port.
    pub http: bool,
    /// Seconds before the first.
    pub delay: i32,
    /// Seconds between two.
    pub period: i32,
    /// Seconds until one counts as failed.
    pub timeout: i32,
    /// Failures in a row that count.
    pub failures: i32,
    /// Successes in a row that count.
    pub successes: i32,
}

/// Reads the section.
pub fn probes(section: Option<&Section>, out: &mut Findings) -> Probes {
    let kind = out.word("probes.type", section.and_then(|s| s.type_.as_ref()));
    let http = kind != Some(ProbeType::Tcp);
    if kind == Some(ProbeType::Http) {
        out.advise(
            "LivenessOnHealth",
            "probes.type",
            "http restarts every server pod while the database is down; auto does not",
        );
    }
    let ours = |http, [delay, period, timeout, failures]: [i32; 4]| Probe {
        http,
        delay,
        period,
        timeout,
        failures,
        successes: 1,
    };
    Probes {
        startup: merge(
            "startup",
            ours(http, [0, 5, 3, 30]),
            section.and_then(|s| s.startup.as_ref()),
            out,
        ),
        readiness: merge(
            "readiness",
            ours(http, [5, 10, 3, 3]),
            section.and_then(|s| s.readiness.as_ref()),
            out,
        ),
        liveness: merge(
            "liveness",
            ours(kind == Some(ProbeType::Http), [15, 20, 5, 6]),
            section.and_then(|s| s.liveness.as_ref()),
            out,
        ),
    }
}

fn merge(name: &str, ours: Probe, spec: Option<&Spec>, out: &mut Findings) -> Probe {
    let Some(spec) = spec else { return ours };
    let mut value = |field: &str, given: Option<i32>, default: i32, least: i32| {
        let value = given.unwrap_or(default);
        if value < least {
            out.invalid(
                &format!("probes.{name}.{field}"),
                format!("{value} must be at least {least}"),
            );
        }
        value
    };
    let merged = Probe {
        http: ours.http,
        delay: value(
            "initialDelaySeconds",
            spec.initial_delay_seconds,
            ours.delay,
            0,
        ),
        period: value("periodSeconds", spec.period_seconds, ours.period, 1),
        timeout: value("timeoutSeconds", spec.timeout_seconds, ours.timeout, 1),
        failures: value("failureThreshold", spec.failure_threshold, ours.failures, 1),
        successes: value(
            "successThreshold",
            spec.success_threshold,
            ours.successes,
            1,
        ),
    };
    if name != "readiness" && merged.successes > 1 {
        out.invalid(
            &format!("probes.{name}"),
            "successThreshold must be 1 for liveness and startup probes",
        );
    }
    merged
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(yaml: &str) -> (Probes, Vec<String>) {
        let section: Section = serde_saphyr::from_str(yaml).unwrap();
        let mut out = Findings::default();
        let probes = probes(Some(&section), &mut out);
        (
            probes,
            out.iter()
                .map(|f| format!("{} {}: {}", f.class.reason(), f.path, f.text))
                .collect(),
        )
    }

    #[test]
    fn liveness_does_not_ask_the_database_unless_told_to() {
        let kinds = |yaml| {
            let p = read(yaml).0;
            [p.startup.http, p.readiness.http, p.liveness.http]
        };
        assert_eq!(kinds("{}"), [true, true, false]);
        assert_eq!(kinds("{type: http}"), [true, true, true]);
        assert_eq!(kinds("{type: tcp}"), [false, false, false]);
        assert!(read("{type: http}").1[0].starts_with("AcceptedWithWarnings spec.probes.type"));
    }

    #[test]
    fn each_number_alone_replaces_the_default() {
        let (p, said) = read("{readiness: {timeoutSeconds: 9}, startup: {failureThreshold: 99}}");
        assert_eq!((p.readiness.timeout, p.readiness.period), (9, 10));
        assert_eq!((p.startup.failures, p.startup.period), (99, 5));
        assert!(said.is_empty());
    }

    #[test]
    fn numbers_that_kubernetes_refuses_are_named() {
        let (_, said) = read("{liveness: {successThreshold: 2, periodSeconds: 0}}");
        assert_eq!(
            said,
            [
                "InvalidSpec spec.probes.liveness.periodSeconds: 0 must be at least 1",
                "InvalidSpec spec.probes.liveness: successThreshold must be 1 for liveness and startup probes"
            ]
        );
    }
}
