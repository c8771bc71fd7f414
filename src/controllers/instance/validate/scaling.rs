//! `spec.availability.autoScaling`: the number of server pods follows the load. Pure.

use super::findings::Findings;
use crate::crd::instance::InstanceSpec;

/// How the number of server pods follows the load.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Scaling {
    /// Fewest pods.
    pub min: i32,
    /// Most pods.
    pub max: i32,
    /// Wanted CPU use in percent of the request.
    pub cpu: i32,
    /// Wanted memory use in percent of the request.
    pub memory: Option<i32>,
    /// Nothing scales: the database is in the pod.
    pub blocked: bool,
}

/// Reads the section. `embedded`: the database is in the pod.
pub fn scaling(spec: &InstanceSpec, embedded: bool, out: &mut Findings) -> Option<Scaling> {
    const PATH: &str = "availability.autoScaling";
    let section = spec.availability.as_ref()?.auto_scaling.as_ref()?;
    if section.enabled != Some(true) {
        return None;
    }
    let max = section.max_replicas.unwrap_or(3);
    let min = section.min_replicas.unwrap_or(1);
    let mut at_least_one = |name: &str, value: i32| {
        if value < 1 {
            out.invalid(
                &format!("{PATH}.{name}"),
                format!("{value} must be at least 1"),
            );
        }
    };
    at_least_one("minReplicas", min);
    at_least_one("maxReplicas", max);
    if min > max {
        out.invalid(
            PATH,
            "availability.autoScaling.minReplicas must not be greater than maxReplicas",
        );
    }
    let cpu = section.target_cpu_utilization_percentage.unwrap_or(80);
    if !(1..=1000).contains(&cpu) {
        out.invalid(
            &format!("{PATH}.targetCPUUtilizationPercentage"),
            format!("{cpu} is not between 1 and 1000"),
        );
    }
    let memory = section.target_memory_utilization_percentage;
    if let Some(memory) = memory.filter(|m| !(1..=100).contains(m)) {
        out.invalid(
            &format!("{PATH}.targetMemoryUtilizationPercentage"),
            format!("{memory} is not between 1 and 100"),
        );
    }
    Some(Scaling {
        min,
        max,
        cpu,
        memory,
        blocked: embedded,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(yaml: &str) -> (Option<Scaling>, Vec<String>) {
        let yaml = format!("availability: {{autoScaling: {yaml}}}");
        let spec: InstanceSpec = serde_saphyr::from_str(&yaml).unwrap();
        let mut out = Findings::default();
        let scaling = scaling(&spec, false, &mut out);
        (scaling, out.iter().map(|f| f.text.clone()).collect())
    }

    #[test]
    fn one_to_three_pods_at_four_fifths_of_the_cpu() {
        let (scaling, said) = read("{enabled: true}");
        let expected = Scaling {
            min: 1,
            max: 3,
            cpu: 80,
            memory: None,
            blocked: false,
        };
        assert_eq!(scaling, Some(expected));
        assert!(said.is_empty());
        assert_eq!(read("{minReplicas: 2}"), (None, vec![]));
    }

    #[test]
    fn every_bound_is_checked_again() {
        for (yaml, expected) in [
            (
                "{enabled: true, minReplicas: 4}",
                "must not be greater than maxReplicas",
            ),
            ("{enabled: true, minReplicas: 0}", "0 must be at least 1"),
            (
                "{enabled: true, targetCPUUtilizationPercentage: 0}",
                "0 is not between 1 and 1000",
            ),
            (
                "{enabled: true, targetMemoryUtilizationPercentage: 101}",
                "101 is not between 1 and 100",
            ),
        ] {
            let (_, said) = read(yaml);
            assert!(
                said.iter().any(|s| s.contains(expected)),
                "{yaml}: {said:?}"
            );
        }
    }
}
