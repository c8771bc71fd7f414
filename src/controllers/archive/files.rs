//! The server's files as a Job of the agent sees them: on the server's own volume, as the server's own user, on the server's node while the
//! server holds the volume there. Pure.

use crate::controllers::instance::validate::findings::Findings;
use crate::controllers::instance::validate::names::Identity;
use crate::controllers::instance::validate::pod;
use crate::controllers::instance::validate::storage::{self, Volume};
use crate::crd::instance::{AccessMode, InstanceSpec};
use crate::shared::names::{Component, selector};
use k8s_openapi::api::core::v1::{
    Affinity, PodAffinity, PodAffinityTerm, PodSecurityContext, Toleration,
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use std::collections::BTreeMap;

/// Where the server has them.
pub const FOLDER: &str = "/paperclip";

/// See the module.
#[derive(Clone, Debug)]
pub struct Files {
    /// Name of the claim.
    pub claim: String,
    /// Whether the claim is one that the operator makes.
    pub ours: bool,
    /// Whom the files belong to.
    pub security: PodSecurityContext,
    /// Labels that nodes must have.
    pub node_selector: BTreeMap<String, String>,
    /// Taints that the pod bears.
    pub tolerations: Vec<Toleration>,
    /// How pods may share the volume.
    pub sharing: Sharing,
}

/// How pods may share a volume.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sharing {
    /// On all nodes.
    Everywhere,
    /// On one node, or nobody knows.
    Node,
    /// Not at all.
    Alone,
}

/// Of an Instance with the admin's values in its gaps; `None`: it keeps its files in its pod.
pub fn of(spec: &InstanceSpec, id: &Identity<'_>) -> Option<Files> {
    let ignored = &mut Findings::default();
    let (claim, ours, sharing) = match storage::volume(spec, id, false, ignored) {
        Volume::Pod => return None,
        Volume::Existing(claim) => (claim.to_owned(), false, Sharing::Node),
        Volume::Claim(claim) => (claim.name, true, sharing(&claim.modes)),
    };
    let pod = pod::pod(spec, ignored);
    let mut security = pod.security;
    // The server runs as its image says, and the image of the Job says something else.
    security.run_as_user.get_or_insert(pod::USER);
    Some(Files {
        claim,
        ours,
        security,
        node_selector: pod.node_selector.clone(),
        tolerations: pod.tolerations.to_vec(),
        sharing,
    })
}

fn sharing(modes: &[&str]) -> Sharing {
    use crate::crd::Words;
    let has = |mode: AccessMode| modes.contains(&mode.as_str());
    if has(AccessMode::ReadWriteMany) {
        Sharing::Everywhere
    } else if has(AccessMode::ReadWriteOncePod) {
        Sharing::Alone
    } else {
        Sharing::Node
    }
}

impl Files {
    /// They belong to root, and nobody else may read them.
    pub fn are_roots(&self) -> bool {
        self.security.run_as_user == Some(0)
    }

    /// Where the pod must run while a server of this installation does.
    pub fn affinity(&self, installation: &str) -> Option<Affinity> {
        if self.sharing == Sharing::Everywhere {
            return None;
        }
        let beside = PodAffinityTerm {
            label_selector: Some(LabelSelector {
                match_labels: Some(selector(installation, Component::Server)),
                ..LabelSelector::default()
            }),
            topology_key: "kubernetes.io/hostname".into(),
            ..PodAffinityTerm::default()
        };
        Some(Affinity {
            pod_affinity: Some(PodAffinity {
                required_during_scheduling_ignored_during_execution: Some(vec![beside]),
                ..PodAffinity::default()
            }),
            ..Affinity::default()
        })
    }
}
