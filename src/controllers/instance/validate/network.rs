//! `spec.networking` and `spec.security.networkPolicy`: the Service, and who may talk to whom. Pure.

use super::findings::Findings;
use super::forms;
use super::not_implemented::has_admin;
use crate::crd::Words;
use crate::crd::instance::{ExposurePolicy, InstanceSpec, ServiceType};
use crate::shared::conditions::quote;
use crate::shared::names::GROUP;
use k8s_openapi::api::networking::v1::NetworkPolicyEgressRule;
use std::collections::BTreeMap;

/// Port of the Service if nobody says; also where the server listens if the Service's port is privileged.
const PORT: u16 = 3100;

/// The Service, and who may talk to whom.
#[derive(Clone, Debug, PartialEq)]
pub struct Network<'a> {
    /// As in a Service.
    pub service_type: &'static str,
    /// Port of the Service.
    pub port: u16,
    /// Port that the server listens on.
    pub listen: u16,
    /// Annotations of the Service.
    pub annotations: BTreeMap<&'a str, &'a str>,
    /// Proxies whose forwarded addresses are believed, as a list with commas.
    pub trusted_proxies: Option<String>,
    /// `None`: connections are not restricted.
    pub policy: Option<Policy<'a>>,
}

/// Who may talk to the server, beside the usual.
#[derive(Clone, Debug, PartialEq)]
pub struct Policy<'a> {
    /// Networks that may connect.
    pub from: Vec<String>,
    /// Networks that it may connect to.
    pub to: Vec<String>,
    /// Verbatim.
    pub extra: &'a [NetworkPolicyEgressRule],
}

impl Network<'_> {
    /// Clients come from outside of the namespace.
    pub fn is_published(&self) -> bool {
        self.service_type != ServiceType::ClusterIp.as_str()
    }
}

/// Reads the sections.
pub fn network<'a>(spec: &'a InstanceSpec, out: &mut Findings) -> Network<'a> {
    let section = spec.networking.as_deref();
    let service = section.and_then(|n| n.service.as_deref());
    let service_type = out
        .word(
            "networking.service.type",
            service.and_then(|s| s.type_.as_ref()),
        )
        .unwrap_or(ServiceType::ClusterIp);
    let port = port(service.and_then(|s| s.port), out);
    let exposure = section.and_then(|n| n.exposure_policy.as_ref());
    if out.word("networking.exposurePolicy", exposure) == Some(ExposurePolicy::AfterBootstrap)
        && !has_admin(spec)
    {
        out.overridden(
            "networking.exposurePolicy",
            "no admin is configured, so routes are opened at once",
        );
    }
    let proxies = section.map(|n| n.trusted_proxies.as_slice());
    for (i, proxy) in proxies.into_iter().flatten().enumerate() {
        if !forms::is_proxy(proxy) {
            out.invalid(
                &format!("networking.trustedProxies[{i}]"),
                "networking.trustedProxies takes IP addresses and CIDRs only",
            );
        }
    }
    let sign_up = spec.auth.as_ref().and_then(|a| a.disable_sign_up) != Some(true);
    if service_type != ServiceType::ClusterIp && sign_up {
        out.advise(
            "SignUpOpen",
            "networking.service.type",
            "the server can be reached from outside and lets anyone sign up; see auth.disableSignUp",
        );
    }
    Network {
        service_type: service_type.as_str(),
        port,
        // Ports below 1024 need rights that the server does not have.
        listen: if port >= 1024 { port } else { PORT },
        annotations: annotations(
            "networking.service.annotations",
            service.map(|s| &s.annotations),
            out,
        ),
        trusted_proxies: proxies.filter(|p| !p.is_empty()).map(|p| p.join(",")),
        policy: policy(spec, out),
    }
}

fn port(asked: Option<i32>, out: &mut Findings) -> u16 {
    let asked = asked.unwrap_or_else(|| PORT.into());
    u16::try_from(asked)
        .ok()
        .filter(|p| *p > 0)
        .unwrap_or_else(|| {
            out.invalid(
                "networking.service.port",
                format!("{asked} is not between 1 and 65535"),
            );
            PORT
        })
}

/// The user's annotations without those that are ours.
pub fn annotations<'a>(
    path: &str,
    map: Option<&'a BTreeMap<String, String>>,
    out: &mut Findings,
) -> BTreeMap<&'a str, &'a str> {
    let (mut kept, mut ours) = (BTreeMap::new(), vec![]);
    for (key, value) in map.into_iter().flatten() {
        if key
            .split_once('/')
            .is_some_and(|(prefix, _)| prefix == GROUP)
        {
            ours.push(format!("\"{}\"", quote(key)));
        } else {
            kept.insert(key.as_str(), value.as_str());
        }
    }
    if !ours.is_empty() {
        out.overridden(
            path,
            format!(
                "keys below {GROUP}/ are the operator's: {}",
                crate::shared::conditions::list(&ours)
            ),
        );
    }
    kept
}

fn policy<'a>(spec: &'a InstanceSpec, out: &mut Findings) -> Option<Policy<'a>> {
    let section = spec
        .security
        .as_deref()
        .and_then(|s| s.network_policy.as_deref());
    let mut networks = |path: &str, list: Option<&'a Vec<String>>| {
        let mut all: Vec<String> = vec![];
        for (i, text) in list.into_iter().flatten().enumerate() {
            match forms::network(text) {
                Ok(network) if all.contains(&network) => {}
                Ok(network) => all.push(network),
                Err(why) => out.invalid(&format!("{path}[{i}]"), why),
            }
        }
        all
    };
    let from = networks(
        "security.networkPolicy.allowIngressCIDRs",
        section.map(|s| &s.allow_ingress_cidrs),
    );
    let to = networks(
        "security.networkPolicy.allowEgressCIDRs",
        section.map(|s| &s.allow_egress_cidrs),
    );
    (section.and_then(|s| s.enabled) != Some(false)).then(|| Policy {
        from,
        to,
        extra: section
            .map(|s| s.extra_egress.as_slice())
            .unwrap_or_default(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(yaml: &str) -> (u16, u16, Vec<String>) {
        let spec: InstanceSpec = serde_saphyr::from_str(yaml).unwrap();
        let mut out = Findings::default();
        let network = network(&spec, &mut out);
        let said = out
            .iter()
            .map(|f| format!("{} {}: {}", f.class.reason(), f.path, f.text))
            .collect();
        (network.port, network.listen, said)
    }

    #[test]
    fn the_server_listens_on_the_services_port_unless_it_is_privileged() {
        assert_eq!(read("{}"), (3100, 3100, vec![]));
        assert_eq!(
            read("networking: {service: {port: 8080}}"),
            (8080, 8080, vec![])
        );
        assert_eq!(
            read("networking: {service: {port: 80}}"),
            (80, 3100, vec![])
        );
        assert!(read("networking: {service: {port: 70000}}").2[0].starts_with("InvalidSpec"));
    }

    #[test]
    fn only_addresses_and_networks_are_proxies() {
        assert!(
            read("networking: {trustedProxies: ['10.0.0.0/8', '::1']}")
                .2
                .is_empty()
        );
        assert!(
            read("networking: {trustedProxies: ['true']}").2[0]
                .starts_with("InvalidSpec spec.networking.trustedProxies[0]")
        );
    }

    #[test]
    fn our_annotations_cannot_be_set_by_the_user() {
        let (_, _, said) =
            read("networking: {service: {annotations: {paperclip.inc/x: y, a/b: c}}}");
        assert_eq!(
            said,
            [
                "Overridden spec.networking.service.annotations: keys below paperclip.inc/ are the operator's: \"paperclip.inc/x\""
            ]
        );
    }

    #[test]
    fn a_wrong_network_names_its_place() {
        let yaml = "security: {networkPolicy: {allowEgressCIDRs: ['10.0.0.0/8', '10.0.0.0/33']}}";
        assert_eq!(
            read(yaml).2,
            ["InvalidSpec spec.security.networkPolicy.allowEgressCIDRs[1]: prefix 33 is over 32"]
        );
    }

    #[test]
    fn an_open_door_with_open_sign_up_is_warned_of() {
        assert_eq!(read("networking: {service: {type: NodePort}}").2.len(), 1);
        let closed = "{networking: {service: {type: NodePort}}, auth: {disableSignUp: true}}";
        assert!(read(closed).2.is_empty());
    }
}
