//! `spec.availability.podDisruptionBudget`: how many server pods may be taken away at once. Pure.

use super::findings::Findings;
use crate::crd::instance::InstanceSpec;
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;

/// How many server pods may be taken away at once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Budget {
    /// What must stay, or what may go.
    pub bound: Bound,
    /// Why no node with a server pod can be drained, if so.
    pub blocks: Option<String>,
}

/// One of the two bounds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Bound {
    /// So many must stay.
    MinAvailable(IntOrString),
    /// So many may go.
    MaxUnavailable(IntOrString),
}

/// Reads the section. `lowest`: the fewest replicas that there may be.
pub fn budget(spec: &InstanceSpec, lowest: i32, out: &mut Findings) -> Option<Budget> {
    const PATH: &str = "availability.podDisruptionBudget";
    let section = spec.availability.as_ref()?.pod_disruption_budget.as_ref()?;
    if section.enabled != Some(true) {
        return None;
    }
    let mut read = |name: &str, value: Option<&IntOrString>| {
        let value = value.filter(|v| !matches!(v, IntOrString::String(s) if s.is_empty()))?;
        let pods = amount(value, lowest);
        if pods.is_none() {
            out.invalid(
                &format!("{PATH}.{name}"),
                "takes a number from 0 on or a percentage from 0% to 100%",
            );
        }
        Some((value.clone(), pods?))
    };
    let min = read("minAvailable", section.min_available.as_ref());
    let max = read("maxUnavailable", section.max_unavailable.as_ref());
    if min.is_some() && max.is_some() {
        out.invalid(PATH, "set only one of minAvailable and maxUnavailable");
    }
    let pods = if lowest == 1 { "pod" } else { "pods" };
    Some(match (min, max) {
        (Some((min, stay)), _) => Budget {
            blocks: (stay >= lowest).then(|| {
                format!(
                    "minAvailable {} of {lowest} {pods} blocks every node drain",
                    shown(&min)
                )
            }),
            bound: Bound::MinAvailable(min),
        },
        (None, Some((max, go))) => Budget {
            blocks: (go == 0)
                .then(|| format!("maxUnavailable {} blocks every node drain", shown(&max))),
            bound: Bound::MaxUnavailable(max),
        },
        (None, None) => Budget {
            bound: Bound::MaxUnavailable(IntOrString::Int(1)),
            blocks: None,
        },
    })
}

/// Pods out of `all`; a part of a pod counts as a whole one, as in Kubernetes.
fn amount(value: &IntOrString, all: i32) -> Option<i32> {
    match value {
        IntOrString::Int(n) => (*n >= 0).then_some(*n),
        IntOrString::String(text) => {
            let percent: i64 = text.strip_suffix('%')?.parse().ok()?;
            let share = |p: i64| i32::try_from((p * i64::from(all) + 99) / 100).ok();
            (0..=100).contains(&percent).then(|| share(percent))?
        }
    }
}

fn shown(value: &IntOrString) -> String {
    match value {
        IntOrString::Int(n) => n.to_string(),
        IntOrString::String(text) => text.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(yaml: &str, lowest: i32) -> (Option<Budget>, Vec<String>) {
        let yaml = format!("availability: {{podDisruptionBudget: {yaml}}}");
        let spec: InstanceSpec = serde_saphyr::from_str(&yaml).unwrap();
        let mut out = Findings::default();
        let budget = budget(&spec, lowest, &mut out);
        (budget, out.iter().map(|f| f.text.clone()).collect())
    }

    #[test]
    fn one_pod_may_go_if_nobody_says_otherwise() {
        let (budget, said) = read("{enabled: true}", 1);
        let expected = Bound::MaxUnavailable(IntOrString::Int(1));
        assert_eq!(budget.map(|b| (b.bound, b.blocks)), Some((expected, None)));
        assert!(said.is_empty());
        assert_eq!(read("{enabled: false, minAvailable: 1}", 1).0, None);
    }

    #[test]
    fn a_bound_that_blocks_every_drain_is_told() {
        for (yaml, lowest, blocks) in [
            (
                "{enabled: true, minAvailable: 1}",
                1,
                Some("minAvailable 1 of 1 pod blocks every node drain"),
            ),
            ("{enabled: true, minAvailable: 1}", 2, None),
            (
                "{enabled: true, minAvailable: '50%'}",
                1,
                Some("minAvailable 50% of 1 pod blocks every node drain"),
            ),
            ("{enabled: true, minAvailable: '50%'}", 2, None),
            (
                "{enabled: true, minAvailable: '51%'}",
                2,
                Some("minAvailable 51% of 2 pods blocks every node drain"),
            ),
            ("{enabled: true, minAvailable: '0%'}", 1, None),
            (
                "{enabled: true, maxUnavailable: 0}",
                3,
                Some("maxUnavailable 0 blocks every node drain"),
            ),
            ("{enabled: true, maxUnavailable: '1%'}", 3, None),
        ] {
            let (budget, said) = read(yaml, lowest);
            assert_eq!(budget.unwrap().blocks.as_deref(), blocks, "{yaml} {lowest}");
            assert!(said.is_empty(), "{said:?}");
        }
    }

    #[test]
    fn both_bounds_and_what_is_no_bound_are_invalid() {
        let both = read("{enabled: true, minAvailable: 1, maxUnavailable: 1}", 2).1;
        assert_eq!(both, ["set only one of minAvailable and maxUnavailable"]);
        for bad in ["101%", "-1%", "x", "1"] {
            let (_, said) = read(&format!("{{enabled: true, minAvailable: '{bad}'}}"), 2);
            assert_eq!(said.len(), 1, "{bad}");
        }
        assert_eq!(read("{enabled: true, minAvailable: -1}", 2).1.len(), 1);
    }
}
