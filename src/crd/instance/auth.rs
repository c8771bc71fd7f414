//! `spec.auth`: sign-in, the first admin, and the operator's own access.

use crate::crd::{
    LocalRef, SecretKeyRef, Word, empty, or_empty,
    schema::{ASCII_DOMAIN, EMAIL, NO_CONTROL, rule},
    word::words,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_with::skip_serializing_none;

words! {
    /// Whether the first admin is made.
    BootstrapMode {
        /// If one is configured.
        Auto = "Auto",
        /// Never.
        Disabled = "Disabled",
    }
}

/// Sign-in.
#[skip_serializing_none]
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Auth {
    /// Secret that signs sessions, at least 32 bytes. Default: generated, and kept when the Instance is deleted.
    /// A change signs everybody out.
    pub secret_ref: Option<SecretKeyRef>,
    /// Refuse new accounts. Default: the server's own rule, which allows them.
    pub disable_sign_up: Option<bool>,
    /// The first admin, made before the server can be reached.
    pub admin_user: Option<AuthAdminUser>,
    /// Sending of e-mail. The published releases send none.
    pub email: Option<AuthEmail>,
    /// Sign-in with Google. The published releases do not have it.
    pub google: Option<AuthGoogle>,
    /// Sign-in with Apple. The published releases do not have it.
    pub apple: Option<AuthApple>,
    /// Making of the first admin.
    pub bootstrap: Option<AuthBootstrap>,
    /// API key (`pcp_board_…`) of an admin, with which the operator asks the server for runs, queue and cost. Read each time
    /// that it is used, so it may come after the server. Never renewed or revoked. Default: one that the operator makes with the
    /// adminUser's password, as soon as figures are wanted.
    pub operator_token_secret_ref: Option<SecretKeyRef>,
}

/// The first admin.
#[skip_serializing_none]
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("required" = ["email"]))]
pub struct AuthAdminUser {
    /// E-mail address to sign in with. Used once per data: later changes have no effect.
    #[serde(default, skip_serializing_if = "empty", deserialize_with = "or_empty")]
    #[schemars(length(max = 254), transform = rule(EMAIL), transform = rule(ASCII_DOMAIN))]
    pub email: String,
    /// Name shown in the application. Default `Admin`.
    #[schemars(length(max = 128), transform = rule(NO_CONTROL))]
    pub name: Option<String>,
    /// Secret with the password, at least 8 characters. Default: generated into the Secret `<name>-admin`.
    pub password_secret_ref: Option<SecretKeyRef>,
}

/// Sending of e-mail.
#[skip_serializing_none]
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct AuthEmail {
    /// API key of Resend.
    #[serde(rename = "resendAPIKeySecretRef")]
    pub resend_api_key_secret_ref: Option<SecretKeyRef>,
    /// Sender, `Paperclip <noreply@example.com>`.
    #[schemars(length(max = 512), transform = rule(NO_CONTROL))]
    pub from: Option<String>,
    /// People must confirm their address. Default false.
    pub verification_required: Option<bool>,
}

/// Sign-in with Google.
#[skip_serializing_none]
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("required" = ["credentialsSecretRef"]))]
pub struct AuthGoogle {
    /// Secret with the keys `GOOGLE_CLIENT_ID` and `GOOGLE_CLIENT_SECRET`.
    pub credentials_secret_ref: Option<LocalRef>,
}

/// Sign-in with Apple.
#[skip_serializing_none]
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("required" = ["credentialsSecretRef"]))]
pub struct AuthApple {
    /// Secret with the keys `APPLE_CLIENT_ID` and `APPLE_CLIENT_SECRET`.
    pub credentials_secret_ref: Option<LocalRef>,
}

/// Making of the first admin.
#[skip_serializing_none]
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct AuthBootstrap {
    /// `Auto`: if an adminUser is configured. `Disabled`: never. Default `Auto`.
    pub mode: Option<Word<BootstrapMode>>,
}
