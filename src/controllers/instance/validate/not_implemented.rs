//! The fields that are part of the contract and that this operator does not do yet: the one table. An Instance that sets one says so in
//! `ConfigAccepted`; a test walks every field of the schema and demands that it has an effect, or is reported from here or from
//! [`super::unsupported`]. A field leaves this table in the change that builds it.

use super::findings::{Class, Findings};
use crate::crd::instance::{BootstrapMode, ExecutionMode, Image, InstanceSpec};

/// One entry.
pub struct Missing {
    /// JSON path below `spec`.
    pub path: &'static str,
    /// True if the field asks for something.
    asks: fn(&InstanceSpec) -> Option<bool>,
}

/// Asks if the path is there at all.
macro_rules! given {
    ($spec:ident, $first:ident $(. $rest:ident)*) => { given!(@ $spec.$first.as_ref()?, $($rest)*) };
    (@ $value:expr,) => {{ let _ = $value; Some(true) }};
    (@ $value:expr, $next:ident $($rest:ident)*) => { given!(@ $value.$next.as_ref()?, $($rest)*) };
}
/// Asks if the switch at the path is on.
macro_rules! on {
    ($spec:ident, $first:ident $(. $rest:ident)*) => { on!(@ $spec.$first.as_ref()?, $($rest)*) };
    (@ $value:expr,) => { Some(*$value) };
    (@ $value:expr, $next:ident $($rest:ident)*) => { on!(@ $value.$next.as_ref()?, $($rest)*) };
}

macro_rules! missing {
    ($($path:literal: |$spec:ident| $asks:expr;)+) => {
        /// The table.
        pub const FIELDS: &[Missing] = &[$(Missing { path: $path, asks: |$spec| $asks }),+];
    };
}

/// Somebody is to be made the first admin.
pub fn has_admin(spec: &InstanceSpec) -> bool {
    let user = spec.auth.as_ref().is_some_and(|a| a.admin_user.is_some());
    let platform = spec
        .deployment
        .as_ref()
        .is_some_and(|d| d.platform_admin.is_some());
    user || platform
}

/// Nobody is to be made the first admin, whatever else the spec says.
pub fn bootstrap_is_off(spec: &InstanceSpec) -> bool {
    let mode = |s: &InstanceSpec| s.auth.as_ref()?.bootstrap.as_ref()?.mode.clone();
    mode(spec).is_some_and(|m| m == BootstrapMode::Disabled)
}

fn follows(image: &Image) -> Option<bool> {
    image.auto_update.as_ref()?.enabled
}

missing! {
    "image.autoUpdate": |s| follows(s.image.as_ref()?);
    "adapters.cloudSandbox": |s| on!(s, adapters.cloud_sandbox.enabled);
    "adapters.execution": |s| Some(*s.adapters.as_ref()?.execution.as_ref()?.mode.as_ref()? == ExecutionMode::Kubernetes);
    "plugins": |s| Some(!s.plugins.is_empty());
    "lifecycle.drain.mode": |s| Some(*s.lifecycle.as_ref()?.drain.as_ref()?.mode.as_ref()? == crate::crd::instance::DrainMode::Auto);
    "lifecycle.drain.maxWait": |s| given!(s, lifecycle.drain.max_wait);
    "lifecycle.drain.onTimeout": |s| given!(s, lifecycle.drain.on_timeout);
    "lifecycle.maintenanceWindows": |s| Some(!s.lifecycle.as_ref()?.maintenance_windows.is_empty());
}

/// Reports the fields of the table that ask for something.
pub fn report(spec: &InstanceSpec, out: &mut Findings) {
    for field in FIELDS {
        if (field.asks)(spec) == Some(true) {
            out.add(
                Class::NotImplemented,
                field.path,
                "not built into this version of the operator, has no effect yet",
            );
        }
    }
}
