//! `spec.probes`: how the kubelet asks whether the server is well.

use super::rules::ONE_SUCCESS;
use crate::crd::{Word, schema::rule, word::words};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_with::skip_serializing_none;

words! {
    /// How probes ask.
    ProbeType {
        /// The best mix.
        Auto = "auto",
        /// By HTTP.
        Http = "http",
        /// By opening the port.
        Tcp = "tcp",
    }
}

/// Probes of the server.
#[skip_serializing_none]
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Probes {
    /// `auto`: start-up and readiness by HTTP, liveness by TCP. `http`: all by HTTP; liveness then restarts every pod
    /// while the database is down. `tcp`: all by TCP. Default `auto`.
    #[serde(rename = "type")]
    pub type_: Option<Word<ProbeType>>,
    /// When the server is restarted. Default: delay 15, period 20, timeout 5, failures 6.
    #[schemars(transform = rule(ONE_SUCCESS))]
    pub liveness: Option<Probe>,
    /// When the server gets requests. Default: delay 5, period 10, timeout 3, failures 3, successes 1.
    pub readiness: Option<Probe>,
    /// When the server counts as started. Default: delay 0, period 5, timeout 3, failures 30.
    #[schemars(transform = rule(ONE_SUCCESS))]
    pub startup: Option<Probe>,
}

/// Times and thresholds of a probe; each alone replaces the default.
#[skip_serializing_none]
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Probe {
    /// Seconds before the first probe.
    #[schemars(range(min = 0))]
    pub initial_delay_seconds: Option<i32>,
    /// Seconds between two probes.
    #[schemars(range(min = 1))]
    pub period_seconds: Option<i32>,
    /// Seconds until a probe counts as failed.
    #[schemars(range(min = 1))]
    pub timeout_seconds: Option<i32>,
    /// Failures in a row that count.
    #[schemars(range(min = 1))]
    pub failure_threshold: Option<i32>,
    /// Successes in a row that count.
    #[schemars(range(min = 1))]
    pub success_threshold: Option<i32>,
}
