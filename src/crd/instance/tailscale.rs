//! `spec.tailscale`: the server in a tailnet.

use super::rules::TAILSCALE_NEEDS_KEY;
use crate::crd::{
    LocalRef, Word,
    schema::{embedded, rule},
    word::words,
};
use k8s_openapi::api::core::v1::ResourceRequirements;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_with::skip_serializing_none;

words! {
    /// Who can reach the server by Tailscale.
    TailscaleMode {
        /// The tailnet.
        Serve = "serve",
        /// The internet.
        Funnel = "funnel",
    }
}

/// A Tailscale container beside the server.
#[skip_serializing_none]
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(transform = rule(TAILSCALE_NEEDS_KEY))]
pub struct Tailscale {
    /// Join a tailnet. Default false.
    pub enabled: Option<bool>,
    /// `serve`: for the tailnet. `funnel`: for the internet. Default `serve`.
    pub mode: Option<Word<TailscaleMode>>,
    /// Image of Tailscale.
    pub image: Option<TailscaleImage>,
    /// Key to join with. Required when enabled.
    pub auth_key: Option<TailscaleAuthKey>,
    /// Name in the tailnet. Default: the Instance's name. Add the full name to `deployment.allowedHostnames`.
    #[schemars(
        length(max = 63),
        regex(pattern = r"^([A-Za-z0-9]([-A-Za-z0-9]*[A-Za-z0-9])?)?$")
    )]
    pub hostname: Option<String>,
    /// CPU and memory of the container.
    #[serde(default)]
    #[schemars(schema_with = "embedded::<ResourceRequirements>")]
    pub resources: Option<Box<ResourceRequirements>>,
}

/// Image of Tailscale.
#[skip_serializing_none]
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct TailscaleImage {
    /// Default `ghcr.io/tailscale/tailscale`.
    #[schemars(length(max = 255))]
    pub repository: Option<String>,
    /// Default `stable`.
    #[schemars(length(max = 128))]
    pub tag: Option<String>,
    /// Wins over the tag.
    #[schemars(length(max = 255))]
    pub digest: Option<String>,
}

/// Key to join a tailnet with.
#[skip_serializing_none]
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("required" = ["secretRef"]))]
pub struct TailscaleAuthKey {
    /// Secret with the key.
    pub secret_ref: Option<LocalRef>,
    /// Key in that Secret. Default `authkey`.
    #[schemars(length(max = 253))]
    pub key: Option<String>,
}
