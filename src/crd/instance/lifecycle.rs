//! `spec.lifecycle`, `.privacy`, and the words of `.workload`: how the server runs and stops.

use crate::crd::{
    Word, empty, or_empty,
    schema::{DURATION, atomic_list},
    shared::MaintenanceWindow,
    word::words,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_with::skip_serializing_none;

words! {
    /// What the server pods are made by.
    Workload {
        /// A StatefulSet.
        StatefulSet = "StatefulSet",
        /// A Deployment.
        Deployment = "Deployment",
        /// A Deployment if the server keeps nothing in its pod.
        Auto = "auto",
    }
    /// Whether the operator waits for agents before it stops a server pod.
    DrainMode {
        /// If the server can be asked.
        Auto = "Auto",
        /// No.
        Never = "Never",
    }
    /// What happens when agents do not end in time.
    DrainTimeout {
        /// Stop anyway.
        Proceed = "Proceed",
        /// Try again later.
        Postpone = "Postpone",
    }
}

/// How the server stops.
#[skip_serializing_none]
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Lifecycle {
    /// Waiting for running agents before a server pod is stopped.
    pub drain: Option<LifecycleDrain>,
    /// When restarts that the operator begins by itself may happen. Default: always. A change that you make is done
    /// at once.
    #[serde(default, skip_serializing_if = "empty", deserialize_with = "or_empty")]
    #[schemars(length(max = 16), transform = atomic_list)]
    pub maintenance_windows: Vec<MaintenanceWindow>,
}

/// Waiting for running agents.
#[skip_serializing_none]
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct LifecycleDrain {
    /// `Auto`: let running agents end before a server pod is stopped, start no new ones. `Never`: stop at once.
    /// Default `Auto`.
    pub mode: Option<Word<DrainMode>>,
    /// Longest wait, up to `24h`. Default `30m`.
    #[schemars(length(max = 64), regex(pattern = DURATION))]
    pub max_wait: Option<String>,
    /// `Proceed`: stop anyway. `Postpone`: try again in 15 minutes or in the next window; a deletion never waits.
    /// Default `Proceed`.
    pub on_timeout: Option<Word<DrainTimeout>>,
}

/// What the server may send out unasked.
#[skip_serializing_none]
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Privacy {
    /// Usage statistics to the makers of the application. Default false.
    pub telemetry: Option<bool>,
    /// Ask for announcements. Default false.
    pub announcements: Option<bool>,
}
