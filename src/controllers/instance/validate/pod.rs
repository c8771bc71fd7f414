//! The parts of the spec that become parts of the server's pod as they are: resources, security, placement, containers, volumes. Pure.

use super::findings::{Class, Findings};
use super::network::annotations;
use crate::crd::instance::{Availability, InstanceSpec};
use crate::crd::text;
use crate::shared::agent::{restricted, runtime_default};
use crate::shared::quantity::{Amount, canonical_resources};
use k8s_openapi::api::core::v1::{
    Affinity, Container, PodSecurityContext, ResourceRequirements, SecurityContext, Toleration,
    TopologySpreadConstraint, Volume, VolumeMount,
};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use std::collections::BTreeMap;

/// The data volume, in every pod.
pub const DATA: &str = "paperclip-data";
/// Where it is mounted. The path is stored in the database: it never changes.
pub const HOME: &str = "/paperclip";
/// Scratch space; a user's volume of this name, or mount at `/tmp`, takes its place.
pub const TMP: &str = "paperclip-tmp";
/// Names of volumes that are ours.
const VOLUMES: [&str; 4] = [
    DATA,
    "paperclip-agent",
    "paperclip-branding",
    "paperclip-db-ca",
];
/// Names of containers that are ours.
const CONTAINERS: [&str; 3] = ["paperclip", "paperclip-agent", "tailscale"];
/// User and group of the server.
pub const USER: i64 = 1000;

/// Parts of the server's pod.
#[derive(Clone, Debug, PartialEq)]
pub struct Pod<'a> {
    /// Of the server container.
    pub resources: ResourceRequirements,
    /// Of the pod.
    pub security: PodSecurityContext,
    /// Of our containers.
    pub container_security: SecurityContext,
    /// Placement, of Jobs and the database too.
    pub node_selector: &'a BTreeMap<String, String>,
    /// Placement, of Jobs and the database too.
    pub tolerations: &'a [Toleration],
    /// Placement.
    pub affinity: Option<&'a Affinity>,
    /// Placement; entries without a selector get the server's.
    pub spread: &'a [TopologySpreadConstraint],
    /// Priority.
    pub priority_class: Option<&'a str>,
    /// Seconds to end.
    pub grace: i64,
    /// Seconds to sleep before.
    pub drain: Option<i64>,
    /// One process namespace.
    pub share_processes: bool,
    /// The user's containers.
    pub sidecars: Vec<Container>,
    /// The user's init containers.
    pub init: Vec<Container>,
    /// The user's volumes.
    pub volumes: &'a [Volume],
    /// The user's mounts of the server container.
    pub mounts: Vec<VolumeMount>,
    /// The user's annotations.
    pub annotations: BTreeMap<&'a str, &'a str>,
}

static NO_LABELS: BTreeMap<String, String> = BTreeMap::new();

/// Reads the sections.
pub fn pod<'a>(spec: &'a InstanceSpec, out: &mut Findings) -> Pod<'a> {
    let availability = spec.availability.as_deref();
    let security = spec.security.as_deref();
    let (grace, drain) = ending(availability, out);
    let share = spec.share_process_namespace.unwrap_or(true);
    if share && !spec.sidecars.is_empty() {
        out.advise(
            "SidecarsSeeServer",
            "shareProcessNamespace",
            "sidecars can read the server's environment",
        );
    }
    if let Some(user) = security
        .and_then(|s| s.pod_security_context.as_ref()?.run_as_user)
        .filter(|u| *u != USER)
    {
        out.advise(
            "UidChanged",
            "security.podSecurityContext.runAsUser",
            format!("{user}: files that the server made as user {USER} are not its own any more"),
        );
    }
    reserved(spec, out);
    let own = spec.extra_volumes.iter().any(|v| v.name == "data");
    let mounts: Vec<VolumeMount> = aliased(&spec.extra_volume_mounts, own);
    check_mounts(spec, &mounts, out);
    Pod {
        resources: resources(spec.resources.as_deref(), out),
        security: pod_security(security.and_then(|s| s.pod_security_context.as_deref())),
        container_security: security
            .and_then(|s| s.container_security_context.as_deref())
            .cloned()
            .unwrap_or_else(restricted),
        node_selector: availability.map_or(&NO_LABELS, |a| &a.node_selector),
        tolerations: availability
            .map(|a| a.tolerations.as_slice())
            .unwrap_or_default(),
        affinity: availability.and_then(|a| a.affinity.as_deref()),
        spread: availability
            .map(|a| a.topology_spread_constraints.as_slice())
            .unwrap_or_default(),
        priority_class: availability.and_then(|a| text(a.priority_class_name.as_ref())),
        grace,
        drain,
        share_processes: share,
        sidecars: containers(&spec.sidecars, own),
        init: containers(&spec.init_containers, own),
        volumes: &spec.extra_volumes,
        mounts,
        annotations: annotations("podAnnotations", Some(&spec.pod_annotations), out),
    }
}

/// Seconds to end, and to sleep before.
fn ending(availability: Option<&Availability>, out: &mut Findings) -> (i64, Option<i64>) {
    let grace = availability
        .and_then(|a| a.termination_grace_period_seconds)
        .unwrap_or(1800);
    if grace < 0 {
        out.invalid(
            "availability.terminationGracePeriodSeconds",
            format!("{grace} must be at least 0"),
        );
    }
    let drain = availability.and_then(|a| a.server_drain.as_ref());
    let asked = drain.and_then(|d| d.timeout_seconds).unwrap_or(15);
    if asked < 0 {
        out.invalid(
            "availability.serverDrain.timeoutSeconds",
            format!("{asked} must be at least 0"),
        );
    }
    let sleep = asked.min(grace - 1).max(0);
    if sleep < asked && drain.and_then(|d| d.timeout_seconds).is_some() {
        out.clamped(
            "availability.serverDrain.timeoutSeconds",
            format!("{asked} lowered to {sleep}, the grace period is {grace}"),
        );
    }
    let on = drain.and_then(|d| d.enabled) != Some(false);
    (grace, (on && sleep > 0).then_some(sleep))
}

fn resources(given: Option<&ResourceRequirements>, out: &mut Findings) -> ResourceRequirements {
    let empty =
        |map: &Option<BTreeMap<String, Quantity>>| map.as_ref().is_none_or(BTreeMap::is_empty);
    let Some(given) = given.filter(|r| !(empty(&r.requests) && empty(&r.limits))) else {
        return requests("100m", "512Mi");
    };
    for (name, limit) in given.limits.iter().flatten() {
        let Some(request) = given.requests.as_ref().and_then(|r| r.get(name)) else {
            continue;
        };
        if let (Ok(l), Ok(r)) = (Amount::parse(&limit.0), Amount::parse(&request.0))
            && l < r
        {
            out.invalid(
                &format!("resources.limits.{name}"),
                format!("{} is below the request {}", limit.0, request.0),
            );
        }
    }
    for (field, map) in [("requests", &given.requests), ("limits", &given.limits)] {
        for (name, value) in map.iter().flatten() {
            if Amount::parse(&value.0).is_err() {
                out.invalid(
                    &format!("resources.{field}.{name}"),
                    format!(
                        "\"{}\" is not a quantity",
                        crate::shared::conditions::quote(&value.0)
                    ),
                );
            }
        }
    }
    canonical_resources(given)
}

/// Requests of CPU and memory alone.
pub fn requests(cpu: &str, memory: &str) -> ResourceRequirements {
    ResourceRequirements {
        requests: Some(
            [
                ("cpu".to_owned(), Quantity(cpu.to_owned())),
                ("memory".to_owned(), Quantity(memory.to_owned())),
            ]
            .into(),
        ),
        ..ResourceRequirements::default()
    }
}

/// Ours, or the user's with the holes filled that would stop the pod.
fn pod_security(given: Option<&PodSecurityContext>) -> PodSecurityContext {
    let mut context = given.cloned().unwrap_or_else(|| PodSecurityContext {
        run_as_non_root: Some(true),
        fs_group: Some(USER),
        ..PodSecurityContext::default()
    });
    context
        .fs_group_change_policy
        .get_or_insert_with(|| "OnRootMismatch".into());
    context.seccomp_profile.get_or_insert_with(runtime_default);
    if context.run_as_non_root != Some(false) {
        context.run_as_user.get_or_insert(USER);
        context.run_as_group.get_or_insert(USER);
    }
    context
}

fn containers(given: &[Container], own_data: bool) -> Vec<Container> {
    given
        .iter()
        .cloned()
        .map(|mut c| {
            c.volume_mounts = c.volume_mounts.map(|m| aliased(&m, own_data));
            c.resources = c.resources.as_ref().map(canonical_resources);
            c
        })
        .collect()
}

/// A mount of `data` means the data volume, unless the user has a volume of that name.
fn aliased(mounts: &[VolumeMount], own_data: bool) -> Vec<VolumeMount> {
    mounts
        .iter()
        .cloned()
        .map(|mut m| {
            if m.name == "data" && !own_data {
                DATA.clone_into(&mut m.name);
            }
            m
        })
        .collect()
}

fn reserved(spec: &InstanceSpec, out: &mut Findings) {
    for (field, list) in [
        ("sidecars", &spec.sidecars),
        ("initContainers", &spec.init_containers),
    ] {
        for (i, container) in list.iter().enumerate() {
            if CONTAINERS.contains(&container.name.as_str()) {
                out.invalid(
                    &format!("{field}[{i}].name"),
                    "the container name is reserved",
                );
            }
        }
    }
    for (i, volume) in spec.extra_volumes.iter().enumerate() {
        if VOLUMES.contains(&volume.name.as_str()) {
            out.invalid(
                &format!("extraVolumes[{i}].name"),
                "the volume name is reserved",
            );
        }
    }
}

fn check_mounts(spec: &InstanceSpec, mounts: &[VolumeMount], out: &mut Findings) {
    for (i, mount) in mounts.iter().enumerate() {
        let path = format!("extraVolumeMounts[{i}]");
        let target = mount.mount_path.trim_end_matches('/');
        if HOME == target || HOME.starts_with(&format!("{target}/")) {
            out.invalid(
                &format!("{path}.mountPath"),
                format!("\"{}\" would hide the data", mount.mount_path),
            );
        }
        let known = mount.name == DATA || spec.extra_volumes.iter().any(|v| v.name == mount.name);
        if !known {
            out.add(
                Class::InvalidSpec,
                &format!("{path}.name"),
                format!("no volume \"{}\"", mount.name),
            );
        }
    }
}

#[cfg(test)]
mod tests;
