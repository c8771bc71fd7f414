//! `spec.connections`, `.plugins`, `.selfConfigure`, `.branding` and `.heartbeat`: what is added to the application.

use crate::crd::{LocalRef, Word, empty, or_empty, schema::atomic_list, word::words};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_with::skip_serializing_none;

words! {
    /// What agents may change about their own installation.
    SelfConfigureAction {
        /// Plugins.
        Plugins = "plugins",
        /// Settings.
        Config = "config",
        /// Environment variables.
        EnvVars = "envVars",
    }
    /// Which of several server pods wakes agents.
    SchedulerGating {
        /// The first pod of the StatefulSet.
        Ordinal = "ordinal",
        /// Whoever holds a lease.
        Lease = "lease",
        /// The best that the version can do.
        Auto = "auto",
    }
}

/// An npm package name, with or without a scope.
const PACKAGE_NAME: &str = r"^(@[a-z0-9~-][a-z0-9._~-]*/)?[a-z0-9~][a-z0-9._~-]*$";
/// A version or a distribution tag; never an option of a command.
const PACKAGE_VERSION: &str = r"^([A-Za-z0-9][A-Za-z0-9._+-]*)?$";

/// OAuth clients for connections to other services.
#[skip_serializing_none]
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("required" = ["credentialsSecretRef"]))]
pub struct Connections {
    /// Secret with a JSON object: provider to `{"clientId": "…", "clientSecret": "…"}`. Register
    /// `<public URL>/api/tools/oauth/callback` with the provider.
    pub credentials_secret_ref: Option<LocalRef>,
    /// Key in that Secret. Default `PAPERCLIP_OAUTH_CREDENTIALS`.
    #[schemars(length(max = 253))]
    pub credentials_key: Option<String>,
    /// ConfigMap with further providers. The published releases do not read it.
    pub providers_config_ref: Option<LocalRef>,
}

/// A plugin of the application. Plugins that were installed by hand are never touched.
#[skip_serializing_none]
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("required" = ["name"]))]
pub struct Plugin {
    /// Name of the npm package.
    #[serde(default, skip_serializing_if = "empty", deserialize_with = "or_empty")]
    #[schemars(length(min = 1, max = 214), regex(pattern = PACKAGE_NAME))]
    pub name: String,
    /// Version or distribution tag. Default: the newest at the time of installation.
    #[schemars(length(max = 128), regex(pattern = PACKAGE_VERSION))]
    pub version: Option<String>,
}

/// Changes that agents may ask for. The published releases do not read it.
#[skip_serializing_none]
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct SelfConfigure {
    /// Default false.
    pub enabled: Option<bool>,
    /// What may be changed.
    #[serde(default, skip_serializing_if = "empty", deserialize_with = "or_empty")]
    #[schemars(length(max = 3), transform = atomic_list)]
    pub allowed_actions: Vec<Word<SelfConfigureAction>>,
}

/// Look of the application.
#[skip_serializing_none]
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Branding {
    /// ConfigMap with style sheets, mounted at `/etc/paperclip/branding`. The published releases do not read it.
    pub css_config_map_ref: Option<LocalRef>,
}

/// The scheduler that wakes agents.
#[skip_serializing_none]
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Heartbeat {
    /// Wake agents. Default true.
    pub enabled: Option<bool>,
    /// Milliseconds between two rounds, at least 10000. Default 60000.
    #[serde(rename = "intervalMS")]
    pub interval_ms: Option<i64>,
    /// Which of several replicas wakes agents. `ordinal`: the first pod. `auto` and `lease` mean the same with the
    /// published releases. Default `ordinal`.
    pub scheduler_gating: Option<Word<SchedulerGating>>,
}
