//! Whether the ways from outside to the server are open, and what keeps one closed. A closed way that waits is never taken away where it
//! exists already; a host name that belongs to another Instance is. Pure.

use super::hosts::Hosts;
use super::observed::Observed;
use super::validate::Validated;

/// How a wanted way stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Way {
    /// It is made.
    Open,
    /// It waits for the first admin.
    Bootstrap,
    /// A host name of it belongs to an older Instance: for people.
    Conflict(String),
}

impl Way {
    /// The object is to exist.
    pub fn is_open(this: Option<&Self>) -> bool {
        this == Some(&Self::Open)
    }
}

/// The ways of one Instance; `None`: not wanted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Exposure {
    /// Ingress.
    pub ingress: Option<Way>,
    /// HTTPRoute.
    pub http_route: Option<Way>,
    /// Tailnet.
    pub tailnet: Option<Way>,
}

impl Exposure {
    /// Everything that is wanted is open.
    pub fn open(v: &Validated<'_>) -> Self {
        Self {
            ingress: v.routes.ingress.as_ref().map(|_| Way::Open),
            http_route: v.routes.http_route.as_ref().map(|_| Way::Open),
            tailnet: v.tailscale.as_ref().map(|_| Way::Open),
        }
    }
}

/// Decides. `claimed`: nobody is to be the first admin, or somebody is.
pub fn decide(v: &Validated<'_>, observed: &Observed, claimed: bool, hosts: &Hosts) -> Exposure {
    let waits = v.routes.after_bootstrap && !claimed;
    let way = |names: &[String], exists: bool| {
        let lost = hosts.conflict(v.id.uid, names.iter().map(String::as_str));
        match lost {
            Some((host, owner)) if *owner.namespace == *v.id.namespace => Way::Conflict(format!(
                "host {host} belongs to Instance \"{}\" in {}",
                owner.name, owner.namespace
            )),
            // What is in other namespaces is not this one's business.
            Some((host, _)) => Way::Conflict(format!(
                "host {host} belongs to an Instance of another namespace"
            )),
            None if waits && !exists => Way::Bootstrap,
            None => Way::Open,
        }
    };
    let ingress = v.routes.ingress.as_ref();
    let route = v.routes.http_route.as_ref();
    Exposure {
        ingress: ingress.map(|i| way(&i.hosts, observed.ingress.is_some())),
        tailnet: v
            .tailscale
            .as_ref()
            .map(|_| way(&[], observed.tailscale.is_some())),
        http_route: route.map(|r| way(&r.hosts, observed.http_route.is_some())),
    }
}
