//! How many server pods there are, and whether more than one may be: `spec.availability.replicas`, `.autoScaling`, `spec.heartbeat`. Pure.

use super::findings::{Class, Findings};
use crate::controllers::instance::workload::WorkloadKind;
use crate::crd::instance::{InstanceSpec, SchedulerGating};

/// How many server pods there are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Scale {
    /// Pods, unless somebody else decides.
    pub replicas: i32,
    /// More than one is asked for, or may be.
    pub asked_many: bool,
    /// More than one may be there.
    pub many: bool,
    /// The agent sees to it that at most one of them wakes agents.
    pub gated: bool,
    /// The server's own leases are asked for, which no release has.
    pub lease: bool,
    /// The first pod is asked for, of a workload that has none.
    pub unordered: bool,
}

/// Reads the sections. `has_child`: the database is not on the server's own volume.
pub fn scale(
    spec: &InstanceSpec,
    workload: WorkloadKind,
    has_child: bool,
    out: &mut Findings,
) -> Scale {
    let availability = spec.availability.as_ref();
    let asked = availability.and_then(|a| a.replicas).unwrap_or(1);
    if asked < 1 {
        out.invalid(
            "availability.replicas",
            format!("{asked} must be at least 1; to stop the server set suspended"),
        );
    }
    if asked > 1 && !has_child {
        out.overridden(
            "availability.replicas",
            "held at 1, database.mode is embedded",
        );
    }
    let scaling = availability
        .and_then(|a| a.auto_scaling.as_ref())
        .filter(|s| s.enabled == Some(true));
    let most = scaling.map_or(asked, |s| s.max_replicas.unwrap_or(3).max(asked));
    let many = most > 1 && has_child;
    let heartbeat = spec.heartbeat.as_ref();
    let gating = heartbeat.and_then(|h| h.scheduler_gating.as_ref());
    let asks = |for_it| gating.is_some_and(|g| *g == for_it);
    let (lease, ordinal) = (asks(SchedulerGating::Lease), asks(SchedulerGating::Ordinal));
    // A Deployment replaces even a single pod by starting a second one.
    let several = many || workload == WorkloadKind::Deployment;
    let gated = several && heartbeat.and_then(|h| h.enabled) != Some(false);
    if gated && lease {
        let used = match workload {
            WorkloadKind::StatefulSet => "ordinal is used",
            WorkloadKind::Deployment => "one pod at a time is let",
        };
        out.add(
            Class::UnsupportedByVersion,
            "heartbeat.schedulerGating",
            format!("lease: no published release has scheduler leases; {used}"),
        );
    }
    Scale {
        replicas: if has_child { asked.max(1) } else { 1 },
        asked_many: most > 1,
        many,
        gated,
        lease,
        unordered: ordinal && gated && workload == WorkloadKind::Deployment,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(yaml: &str, has_child: bool) -> (Scale, Vec<String>) {
        let spec: InstanceSpec = serde_saphyr::from_str(yaml).unwrap();
        let mut out = Findings::default();
        let scale = scale(&spec, WorkloadKind::of(&spec), has_child, &mut out);
        let said = out
            .iter()
            .map(|f| format!("{} {}", f.class.reason(), f.path))
            .collect();
        (scale, said)
    }

    #[test]
    fn one_pod_needs_no_gate_and_many_do() {
        let (one, said) = read("{}", true);
        assert_eq!((one.replicas, one.many, one.gated), (1, false, false));
        assert!(said.is_empty());
        let (two, said) = read("availability: {replicas: 2}", true);
        assert_eq!((two.replicas, two.many, two.gated), (2, true, true));
        assert!(said.is_empty());
        let (grows, _) = read("availability: {autoScaling: {enabled: true}}", true);
        assert_eq!((grows.replicas, grows.gated), (1, true));
        let (quiet, _) = read(
            "{availability: {replicas: 2}, heartbeat: {enabled: false}}",
            true,
        );
        assert_eq!((quiet.many, quiet.gated), (true, false));
    }

    #[test]
    fn of_a_deployment_also_a_single_pod_is_gated_because_it_is_replaced_by_a_second() {
        let yaml = |more: &str| {
            format!("{{workload: Deployment, storage: {{persistence: {{enabled: false}}}}{more}}}")
        };
        let (one, said) = read(&yaml(""), true);
        assert_eq!((one.many, one.gated, one.unordered), (false, true, false));
        assert!(said.is_empty());
        let (one, _) = read(&yaml(", heartbeat: {schedulerGating: ordinal}"), true);
        assert!(one.gated && one.unordered);
        let (none, _) = read(&yaml(", heartbeat: {enabled: false}"), true);
        assert!(!none.gated);
    }

    #[test]
    fn an_embedded_database_has_one_server() {
        let (scale, said) = read("availability: {replicas: 3}", false);
        assert_eq!(
            (scale.replicas, scale.many, scale.asked_many),
            (1, false, true)
        );
        assert_eq!(said, ["Overridden spec.availability.replicas"]);
    }

    #[test]
    fn leases_are_told_to_be_missing() {
        let yaml = "{availability: {replicas: 2}, heartbeat: {schedulerGating: lease}}";
        let (scale, said) = read(yaml, true);
        assert!(scale.gated && scale.lease);
        assert_eq!(
            said,
            ["UnsupportedByVersion spec.heartbeat.schedulerGating"]
        );
        assert!(
            read("heartbeat: {schedulerGating: lease}", true)
                .1
                .is_empty()
        );
    }
}
