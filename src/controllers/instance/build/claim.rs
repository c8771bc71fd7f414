//! The data volume's claim. It is created once and never applied over: its spec cannot be changed but for growth, and it outlives the
//! Instance. Pure.

use super::kept;
use crate::controllers::instance::validate::Validated;
use crate::controllers::instance::validate::storage::Volume;
use crate::shared::cache::Key;
use crate::shared::names::Component;
use crate::shared::quantity::Amount;
use k8s_openapi::api::core::v1::{
    PersistentVolumeClaim, PersistentVolumeClaimSpec, VolumeResourceRequirements,
};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;

/// A claim as it is created, and the size that it must at least have.
#[derive(Clone, Debug)]
pub struct Claim {
    /// Namespace and name.
    pub key: Key,
    /// For a POST.
    pub body: PersistentVolumeClaim,
    /// It grows to this.
    pub size: Amount,
}

/// `None`: there is no claim of ours.
pub fn build(v: &Validated<'_>) -> Option<Claim> {
    let Volume::Claim(claim) = &v.volume else {
        return None;
    };
    Some(Claim {
        key: Key::new(v.id.namespace, &claim.name),
        body: PersistentVolumeClaim {
            metadata: kept(&v.id, &claim.name, Component::Server),
            spec: Some(PersistentVolumeClaimSpec {
                access_modes: Some(claim.modes.iter().map(|m| (*m).to_owned()).collect()),
                storage_class_name: claim.class.map(str::to_owned),
                resources: Some(VolumeResourceRequirements {
                    requests: Some(
                        [("storage".to_owned(), Quantity(claim.size.to_string()))].into(),
                    ),
                    limits: None,
                }),
                ..PersistentVolumeClaimSpec::default()
            }),
            status: None,
        },
        size: claim.size,
    })
}
