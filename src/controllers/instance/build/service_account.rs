//! The account that the server's pods and Jobs run as. It has no rights. Pure.

use super::owned;
use crate::controllers::instance::validate::Validated;
use crate::shared::names::Component;
use k8s_openapi::api::core::v1::ServiceAccount;

/// Without a token.
pub fn build(v: &Validated<'_>) -> ServiceAccount {
    let mut metadata = owned(&v.id, &v.account.name, Component::Server);
    if !v.account.annotations.is_empty() {
        metadata.annotations = Some(v.account.annotations.clone());
    }
    ServiceAccount {
        metadata,
        automount_service_account_token: Some(false),
        ..ServiceAccount::default()
    }
}
