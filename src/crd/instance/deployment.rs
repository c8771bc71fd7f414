//! `spec.deployment`: how people reach the server and sign in.

use crate::crd::{
    Word, null_as_empty,
    schema::{EMAIL_RULE, atomic_list, cel},
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
    #[schemars(length(max = 2048))]
    pub public_url: Option<String>,
    /// Further host names that the server answers to. Those of the Service, the routes and publicURL are known
    /// already. Names match exactly, `*` is not supported by the server.
    #[serde(
        default,
        skip_serializing_if = "Vec::is_empty",
        deserialize_with = "null_as_empty"
    )]
    #[schemars(length(max = 64), inner(length(max = 253)), transform = atomic_list)]
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
    #[serde(
        default,
        skip_serializing_if = "String::is_empty",
        deserialize_with = "null_as_empty"
    )]
    #[schemars(length(max = 254), transform = cel(EMAIL_RULE, "must be an e-mail address"))]
    pub email: String,
    /// Name shown in the application. Default `Admin`.
    #[schemars(length(max = 128))]
    pub name: Option<String>,
    /// Id of the user in the platform. The published releases do not read it.
    #[serde(rename = "userID")]
    #[schemars(length(max = 128))]
    pub user_id: Option<String>,
}
