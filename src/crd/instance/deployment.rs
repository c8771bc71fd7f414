//! `spec.deployment`: how people reach the server and sign in.

use super::rules::{LOCAL_TRUSTED_IS_PRIVATE, PUBLIC_NEEDS_URL, PUBLIC_URL};
use crate::crd::{
    Word, empty, or_empty,
    schema::{ASCII, ASCII_DOMAIN, EMAIL, NO_CONTROL, atomic_list, each, rule},
    word::words,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_with::skip_serializing_none;

words! {
    /// Whether people sign in.
    DeploymentMode {
        /// People sign in.
        Authenticated = "authenticated",
        /// Everybody who reaches the server is its admin.
        LocalTrusted = "local_trusted",
    }
    /// Who may reach the server.
    DeploymentExposure {
        /// Known host names only.
        Private = "private",
        /// The internet.
        Public = "public",
    }
}

/// How the server is reached.
#[skip_serializing_none]
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(transform = rule(LOCAL_TRUSTED_IS_PRIVATE), transform = rule(PUBLIC_NEEDS_URL))]
pub struct Deployment {
    /// `authenticated`: people sign in. `local_trusted`: everybody who reaches the server is its admin.
    /// Default `authenticated`.
    pub mode: Option<Word<DeploymentMode>>,
    /// `private` answers only to known host names, `public` to any; `public` needs a publicURL. It makes no route:
    /// that is `networking`. Default `private`.
    pub exposure: Option<Word<DeploymentExposure>>,
    /// The address that people type, `https://paperclip.example.com`. It sets links and cookies, and is shown in the
    /// status.
    #[serde(rename = "publicURL")]
    #[schemars(length(max = 2048), transform = rule(PUBLIC_URL), transform = rule(ASCII))]
    pub public_url: Option<String>,
    /// Further host names that the server answers to. Those of the Service, the routes and publicURL are known
    /// already. Names match exactly, `*` is not supported by the server.
    #[serde(default, skip_serializing_if = "empty", deserialize_with = "or_empty")]
    #[schemars(length(max = 64), inner(length(max = 253)), transform = each(ASCII), transform = atomic_list)]
    pub allowed_hostnames: Vec<String>,
    /// The first admin in a fleet that is seeded from outside. Prefer `auth.adminUser`.
    pub platform_admin: Option<DeploymentPlatformAdmin>,
}

/// The first admin of a seeded installation.
#[skip_serializing_none]
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("required" = ["email"]))]
pub struct DeploymentPlatformAdmin {
    /// E-mail address. Without `auth.adminUser` an account with a generated password is made for it.
    #[serde(default, skip_serializing_if = "empty", deserialize_with = "or_empty")]
    #[schemars(length(max = 254), transform = rule(EMAIL), transform = rule(ASCII_DOMAIN))]
    pub email: String,
    /// Name shown in the application. Default `Admin`.
    #[schemars(length(max = 128), transform = rule(NO_CONTROL))]
    pub name: Option<String>,
    /// Id of the user in the platform. The published releases do not read it.
    #[serde(rename = "userID")]
    #[schemars(length(max = 128))]
    pub user_id: Option<String>,
}
