//! When the server's container starts the agent, which starts the server: only where the image's own entrypoint cannot do what is asked
//! for. Pure.

use crate::controllers::instance::validate::Validated;
use crate::controllers::instance::workload::WorkloadKind;
use crate::shared::agent::AGENT;

/// The container's command; `None`: the image starts by itself.
pub fn command(v: &Validated<'_>) -> Option<Vec<String>> {
    let mut flags = vec![];
    if v.access.local_trusted {
        // The server accepts loopback only, so the agent listens on the pod's address.
        flags.push(format!("--forward=$(POD_IP):{}", v.network.listen));
    }
    if v.scale.gated {
        let who = match v.workload {
            WorkloadKind::StatefulSet => "ordinal",
            WorkloadKind::Deployment => "hold",
        };
        flags.push(format!("--gate={who}"));
    }
    (!flags.is_empty()).then(|| {
        [AGENT.to_owned(), "serve".to_owned()]
            .into_iter()
            .chain(flags)
            .collect()
    })
}
