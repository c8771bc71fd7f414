//! What the caches have of the server whose data are copied or replaced.

use crate::controllers::instance::defaults::{InUse, merge};
use crate::controllers::{Caches, cluster_defaults};
use crate::crd::Instance;
use crate::crd::instance::InstanceSpec;
use crate::shared::cache::{Key, Seen};
use crate::shared::guarded::Guarded;
use crate::shared::names::Component;
use crate::shared::views::Pod;
use std::sync::Arc;

/// The server's pods, and whether there are to be any.
pub fn of(caches: &Caches, main: &Key) -> (Vec<Arc<Seen<Pod>>>, bool) {
    let (set, deployment) = (caches.stateful_sets.get(main), caches.deployments.get(main));
    let mut pods = caches.pods.in_replica_sets(&main.namespace, &main.name);
    pods.retain(|p| p.component == Some(Component::Server));
    pods.extend(
        set.iter()
            .flat_map(|set| caches.pods.controlled_by(&set.uid)),
    );
    let wanted = [set, deployment]
        .into_iter()
        .flatten()
        .any(|w| w.view.spec.replicas != Some(0));
    (pods, wanted)
}

/// A server has its volume on some node. One that no node takes has not.
pub fn has_volume(pods: &[Arc<Seen<Pod>>]) -> bool {
    let waits = |pod: &Pod| {
        let trouble = pod.trouble.as_ref();
        trouble.is_some_and(|trouble| trouble.reason == "Unschedulable")
    };
    pods.iter().any(|pod| !waits(&pod.view))
}

/// The spec that its pods are made of: with the admin's values in its gaps, but for those that count for new volumes only.
pub fn spec(caches: &Caches, domain: &str, instance: &Instance) -> InstanceSpec {
    match cluster_defaults::current(&caches.defaults.cache, domain).as_deref() {
        Some(Seen {
            view: Guarded::Ok(admin),
            ..
        }) => merge(&instance.spec, &admin.spec, &InUse::default()).spec,
        _ => instance.spec.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_pod_that_no_node_takes_holds_no_volume() {
        let pod = |conditions: serde_json::Value| {
            Arc::new(Seen::read(
                json!({"metadata": {"name": "p", "namespace": "n"}, "status": {"phase": "Pending", "conditions": conditions}}),
                &[],
            ))
        };
        let waits = pod(
            json!([{"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": "no node"}]),
        );
        let begins = pod(json!([{"type": "PodScheduled", "status": "True"}]));
        assert!(!has_volume(&[]));
        assert!(!has_volume(std::slice::from_ref(&waits)));
        assert!(has_volume(&[waits, begins]));
    }
}
