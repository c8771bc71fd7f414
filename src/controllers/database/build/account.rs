//! ServiceAccount `N-db`: an identity without rights and without a token.

use super::owned;
use crate::controllers::database::validate::Validated;
use crate::shared::wish::{Malformed, Wish};
use k8s_openapi::api::core::v1::ServiceAccount;

pub fn build(validated: &Validated) -> Result<Wish, Malformed> {
    Wish::of(&ServiceAccount {
        metadata: owned(validated, validated.names.database()),
        automount_service_account_token: Some(false),
        ..ServiceAccount::default()
    })
}
