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
