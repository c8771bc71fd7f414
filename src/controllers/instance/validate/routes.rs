//! `spec.networking.ingress` and `spec.networking.httpRoute`: the ways from outside of the cluster to the server. Pure.

use super::findings::Findings;
use super::not_implemented::{bootstrap_is_off, has_admin};
use super::{forms, network};
use crate::crd::instance::{
    ExposurePolicy, InstanceSpec, NetworkingHttpRouteParentRef, NetworkingIngressTls,
};
use crate::crd::text;
use crate::shared::conditions::quote;
use std::collections::BTreeMap;

/// The ways from outside to the server.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Routes<'a> {
    /// Through an Ingress.
    pub ingress: Option<Ingress<'a>>,
    /// Through a Gateway.
    pub http_route: Option<HttpRoute<'a>>,
    /// They are opened when the first admin exists, so that nobody else can claim the installation.
    pub after_bootstrap: bool,
}

/// An Ingress.
#[derive(Clone, Debug, PartialEq)]
pub struct Ingress<'a> {
    /// Its class; `None`: the cluster's default.
    pub class: Option<&'a str>,
    /// Host names in lower case, at least one.
    pub hosts: Vec<String>,
    /// Certificates.
    pub tls: &'a [NetworkingIngressTls],
    /// The user's annotations; there are no others.
    pub annotations: BTreeMap<&'a str, &'a str>,
}

/// An HTTPRoute.
#[derive(Clone, Debug, PartialEq)]
pub struct HttpRoute<'a> {
    /// Gateways, at least one.
    pub parents: &'a [NetworkingHttpRouteParentRef],
    /// Host names in lower case; none: those of the Gateway.
    pub hosts: Vec<String>,
    /// The user's annotations; there are no others.
    pub annotations: BTreeMap<&'a str, &'a str>,
}

impl Routes<'_> {
    /// Every host name, wildcards too.
    pub fn hosts(&self) -> impl Iterator<Item = &str> {
        let ingress = self.ingress.iter().flat_map(|i| &i.hosts);
        let route = self.http_route.iter().flat_map(|r| &r.hosts);
        ingress.chain(route).map(String::as_str)
    }
}

/// The host names that a spec claims for itself: one Instance per name.
pub fn claimed(spec: &InstanceSpec) -> Vec<String> {
    let routes = routes(spec, &mut Findings::default());
    let mut hosts: Vec<String> = routes.hosts().map(str::to_owned).collect();
    hosts.sort();
    hosts.dedup();
    hosts
}

/// Reads the sections.
pub fn routes<'a>(spec: &'a InstanceSpec, out: &mut Findings) -> Routes<'a> {
    let Some(section) = spec.networking.as_deref() else {
        return Routes {
            after_bootstrap: has_admin(spec) && !bootstrap_is_off(spec),
            ..Routes::default()
        };
    };
    let ingress = section
        .ingress
        .as_deref()
        .filter(|i| i.enabled == Some(true));
    let ingress = ingress.map(|i| {
        let mut hosts = names("networking.ingress.hosts", &i.hosts, out);
        if i.hosts.is_empty() {
            hosts.extend(public_host(spec, out));
        }
        for (n, tls) in i.tls.iter().enumerate() {
            if tls.secret_name.is_empty() {
                out.invalid(
                    &format!("networking.ingress.tls[{n}].secretName"),
                    "names no Secret",
                );
            }
        }
        Ingress {
            class: text(i.ingress_class_name.as_ref()),
            hosts,
            tls: &i.tls,
            annotations: network::annotations(
                "networking.ingress.annotations",
                Some(&i.annotations),
                out,
            ),
        }
    });
    let route = section
        .http_route
        .as_deref()
        .filter(|r| r.enabled == Some(true));
    let http_route = route.map(|r| {
        if r.parent_refs.is_empty() {
            out.invalid(
                "networking.httpRoute",
                "networking.httpRoute.parentRefs is required when networking.httpRoute.enabled is true",
            );
        }
        for (n, parent) in r.parent_refs.iter().enumerate() {
            if parent.name.is_empty() {
                out.invalid(
                    &format!("networking.httpRoute.parentRefs[{n}].name"),
                    "names no Gateway",
                );
            }
        }
        HttpRoute {
            parents: &r.parent_refs,
            hosts: names("networking.httpRoute.hostnames", &r.hostnames, out),
            annotations: network::annotations(
                "networking.httpRoute.annotations",
                Some(&r.annotations),
                out,
            ),
        }
    });
    let sign_up = spec.auth.as_ref().and_then(|a| a.disable_sign_up) != Some(true);
    for (path, wanted) in [
        ("networking.ingress", ingress.is_some()),
        ("networking.httpRoute", http_route.is_some()),
    ] {
        if wanted && sign_up {
            out.advise(
                "SignUpOpen",
                path,
                "the server can be reached from outside and lets anyone sign up; see auth.disableSignUp",
            );
        }
    }
    let admin = has_admin(spec) && !bootstrap_is_off(spec);
    let policy = section.exposure_policy.as_ref();
    Routes {
        ingress,
        http_route,
        after_bootstrap: admin && policy.is_none_or(|p| *p == ExposurePolicy::AfterBootstrap),
    }
}

/// Host names in lower case, each once.
fn names(path: &str, list: &[String], out: &mut Findings) -> Vec<String> {
    let mut all: Vec<String> = vec![];
    for (n, host) in list.iter().enumerate() {
        let (path, name) = (format!("{path}[{n}]"), host.to_lowercase());
        if !forms::is_route_host(&name) {
            out.invalid(&path, format!("\"{}\" is not a DNS name", quote(host)));
            continue;
        }
        if name.starts_with('*') {
            out.warn(
                &path,
                "the server matches exact names; add them to allowedHostnames",
            );
        }
        if !all.contains(&name) {
            all.push(name);
        }
    }
    all
}

/// The host of the public URL, for an Ingress that names none.
fn public_host(spec: &InstanceSpec, out: &mut Findings) -> Option<String> {
    const PATH: &str = "networking.ingress.hosts";
    let url = spec
        .deployment
        .as_deref()
        .and_then(|d| text(d.public_url.as_ref()));
    let Some(url) = url else {
        out.invalid(PATH, "none, and no publicURL");
        return None;
    };
    // What is wrong with the URL itself is said where it stands.
    let url = forms::http_url(url).ok()?;
    let host = url.host_str()?.to_lowercase();
    if forms::is_route_host(&host) {
        return Some(host);
    }
    out.invalid(PATH, "none, and the host of publicURL is not a DNS name");
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(yaml: &str) -> Vec<String> {
        let spec: InstanceSpec = serde_saphyr::from_str(yaml).unwrap();
        let mut out = Findings::default();
        routes(&spec, &mut out);
        out.iter()
            .map(|f| format!("{} {}: {}", f.class.reason(), f.path, f.text))
            .collect()
    }

    fn hosts(yaml: &str) -> Vec<String> {
        claimed(&serde_saphyr::from_str(yaml).unwrap())
    }

    #[test]
    fn an_ingress_without_hosts_has_the_one_of_the_public_url() {
        let ingress = "networking: {ingress: {enabled: true}}";
        let with = |url: &str| format!("{ingress}\ndeployment: {{publicURL: '{url}'}}");
        assert_eq!(
            hosts(&with("https://Clip.example.com:8443/x")),
            ["clip.example.com"]
        );
        assert!(said(ingress).contains(
            &"InvalidSpec spec.networking.ingress.hosts: none, and no publicURL".to_owned()
        ));
        assert!(
            said(&with("https://10.0.0.1"))
                .iter()
                .any(|s| s.contains("host of publicURL is not a DNS name"))
        );
    }

    #[test]
    fn a_route_that_is_switched_off_claims_nothing() {
        let off = "networking: {ingress: {enabled: false, hosts: [a.example.com]}, httpRoute: {hostnames: [b.example.com]}}";
        assert!(hosts(off).is_empty());
        assert!(said(off).is_empty());
    }

    #[test]
    fn host_names_are_lower_case_each_once_and_wildcards_are_warned_of() {
        let yaml = "networking: {ingress: {enabled: true, hosts: [A.example.com, a.example.com, '*.b.example.com']}, \
                    httpRoute: {enabled: true, parentRefs: [{name: g}], hostnames: [c.example.com]}}\nauth: {disableSignUp: true}";
        assert_eq!(
            hosts(yaml),
            ["*.b.example.com", "a.example.com", "c.example.com"]
        );
        assert_eq!(
            said(yaml),
            [
                "AcceptedWithWarnings spec.networking.ingress.hosts[2]: the server matches exact names; add them to allowedHostnames"
            ]
        );
    }

    #[test]
    fn what_cannot_be_a_route_is_invalid() {
        for (yaml, expected) in [
            (
                "networking: {ingress: {enabled: true, hosts: ['http://a']}}",
                "hosts[0]: \"http://a\" is not a DNS name",
            ),
            (
                "networking: {ingress: {enabled: true, hosts: ['10.0.0.1']}}",
                "hosts[0]: \"10.0.0.1\" is not",
            ),
            (
                "networking: {ingress: {enabled: true, hosts: ['a.*.b']}}",
                "hosts[0]: \"a.*.b\" is not",
            ),
            (
                "networking: {ingress: {enabled: true, hosts: [a.b], tls: [{hosts: [a.b]}]}}",
                "tls[0].secretName: names no Secret",
            ),
            (
                "networking: {httpRoute: {enabled: true}}",
                "httpRoute: networking.httpRoute.parentRefs is required when",
            ),
            (
                "networking: {httpRoute: {enabled: true, parentRefs: [{}]}}",
                "parentRefs[0].name: names no Gateway",
            ),
        ] {
            let said = said(yaml);
            assert!(
                said.iter()
                    .any(|s| s.starts_with("InvalidSpec") && s.contains(expected)),
                "{yaml}: {said:?}"
            );
        }
    }

    #[test]
    fn routes_wait_for_the_first_admin_if_there_is_to_be_one() {
        for (yaml, waits) in [
            ("networking: {}", false),
            ("{networking: {}, auth: {adminUser: {email: a@b}}}", true),
            (
                "{networking: {}, deployment: {platformAdmin: {email: a@b}}}",
                true,
            ),
            (
                "{networking: {exposurePolicy: Immediate}, auth: {adminUser: {email: a@b}}}",
                false,
            ),
            ("networking: {exposurePolicy: AfterBootstrap}", false),
            (
                "{networking: {}, auth: {adminUser: {email: a@b}, bootstrap: {mode: Disabled}}}",
                false,
            ),
        ] {
            let spec: InstanceSpec = serde_saphyr::from_str(yaml).unwrap();
            assert_eq!(
                routes(&spec, &mut Findings::default()).after_bootstrap,
                waits,
                "{yaml}"
            );
        }
    }
}
