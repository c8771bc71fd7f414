//! CPU and memory of the PostgreSQL container. Pure.

use super::super::problem::Problem;
use super::Problems;
use crate::shared::conditions::quote;
use crate::shared::quantity::{Amount, canonical_resources};
use k8s_openapi::api::core::v1::ResourceRequirements;
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use std::collections::BTreeMap;

/// Memory that settings are chosen for when no limit says otherwise: 1 GiB.
const MEMORY_OF_CHOICE: i128 = 1 << 30;
const MIB: i128 = 1 << 20;

/// What was asked for, or ours if nothing was; in the API server's spelling.
pub fn resources(
    given: Option<&ResourceRequirements>,
    problems: &mut Problems,
) -> ResourceRequirements {
    let empty =
        |map: &Option<BTreeMap<String, Quantity>>| map.as_ref().is_none_or(BTreeMap::is_empty);
    let Some(given) = given.filter(|r| !(empty(&r.requests) && empty(&r.limits))) else {
        let of = |cpu: &str, memory: &str| {
            Some(BTreeMap::from([
                ("cpu".to_owned(), Quantity(cpu.to_owned())),
                ("memory".to_owned(), Quantity(memory.to_owned())),
            ]))
        };
        return ResourceRequirements {
            requests: of("250m", "256Mi"),
            limits: of("1", "1Gi"),
            claims: None,
        };
    };
    for (kind, map) in [("requests", &given.requests), ("limits", &given.limits)] {
        for (name, amount) in map.iter().flatten() {
            let path = || format!("spec.resources.{kind}.{}", quote(name));
            match Amount::parse(&amount.0) {
                Err(error) => problems.push(Problem::invalid(
                    path(),
                    format!("\"{}\" is {error}", quote(&amount.0)),
                )),
                Ok(found) if kind == "requests" => {
                    let limit = given.limits.as_ref().and_then(|l| l.get(name));
                    if let Some(limit) = limit
                        && Amount::parse(&limit.0).is_ok_and(|limit| limit < found)
                    {
                        problems.push(Problem::invalid(
                            path(),
                            format!("{found} is more than the limit of {}", quote(&limit.0)),
                        ));
                    }
                }
                Ok(_) => {}
            }
        }
    }
    canonical_resources(given)
}

/// Bytes that settings are chosen for: the limit, else the request, else ours.
pub fn memory(resources: &ResourceRequirements) -> i128 {
    [&resources.limits, &resources.requests]
        .into_iter()
        .filter_map(|map| map.as_ref()?.get("memory"))
        .find_map(|q| Amount::parse(&q.0).ok().filter(|a| a.is_positive()))
        .map_or(MEMORY_OF_CHOICE, Amount::units)
}

/// Size of `/dev/shm`, which parallel queries use: a quarter of the memory, whose limit it counts towards.
pub fn shared_memory(memory: i128) -> i128 {
    (memory / 4 / MIB).clamp(16, 1024) * MIB
}
