//! PersistentVolumeClaim `N-db-data`. It has no owner: data outlive the object.

use super::kept;
use crate::controllers::database::validate::{Managed, Validated, Volume};
use crate::shared::wish::{Malformed, Wish};
use k8s_openapi::api::core::v1::{
    PersistentVolumeClaim, PersistentVolumeClaimSpec, VolumeResourceRequirements,
};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use std::collections::BTreeMap;

pub fn build(validated: &Validated, managed: &Managed) -> Result<Option<Wish>, Malformed> {
    let Volume::Own {
        claim, size, class, ..
    } = &managed.volume
    else {
        return Ok(None);
    };
    let requests = BTreeMap::from([("storage".to_owned(), Quantity(size.to_string()))]);
    Wish::of(&PersistentVolumeClaim {
        metadata: kept(validated, claim.clone()),
        spec: Some(PersistentVolumeClaimSpec {
            access_modes: Some(vec!["ReadWriteOnce".to_owned()]),
            resources: Some(VolumeResourceRequirements {
                requests: Some(requests),
                limits: None,
            }),
            storage_class_name: class.clone(),
            ..PersistentVolumeClaimSpec::default()
        }),
        ..PersistentVolumeClaim::default()
    })
    .map(Some)
}
