//! `spec.deployment`: how the server is reached. Pure.

use super::findings::{Class, Findings};
use super::forms;
use super::names::Identity;
use super::routes::Routes;
use crate::crd::instance::{
    DatabaseMode, Deployment as Spec, DeploymentExposure, DeploymentMode, InstanceSpec,
};
use crate::crd::text;
use crate::shared::conditions::quote;

/// How the server is reached.
#[derive(Clone, Debug, PartialEq)]
pub struct Access<'a> {
    /// Everybody who reaches the server is its admin.
    pub local_trusted: bool,
    /// Any host name will do.
    pub public: bool,
    /// The address that people type.
    pub public_url: Option<&'a str>,
    /// The names that the server answers to, `localhost` first.
    pub hostnames: Vec<String>,
}

/// Reads the section.
pub fn access<'a>(
    spec: &'a InstanceSpec,
    id: &Identity<'_>,
    routes: &Routes<'_>,
    out: &mut Findings,
) -> Access<'a> {
    let section: Option<&Spec> = spec.deployment.as_deref();
    let mode = out.word("deployment.mode", section.and_then(|s| s.mode.as_ref()));
    let exposure = out.word(
        "deployment.exposure",
        section.and_then(|s| s.exposure.as_ref()),
    );
    let local_trusted = mode == Some(DeploymentMode::LocalTrusted);
    let public = exposure == Some(DeploymentExposure::Public);
    let public_url = section.and_then(|s| text(s.public_url.as_ref()));
    if local_trusted && public {
        out.invalid(
            "deployment",
            "deployment.exposure must be private when deployment.mode is local_trusted",
        );
    }
    if local_trusted {
        let networking = spec.networking.as_ref();
        let ingress = networking.and_then(|n| n.ingress.as_ref()?.enabled);
        let route = networking.and_then(|n| n.http_route.as_ref()?.enabled);
        if ingress == Some(true) || route == Some(true) {
            out.invalid(
                "networking",
                "networking.ingress and networking.httpRoute need deployment.mode authenticated",
            );
        }
        out.warn(
            "deployment.mode",
            "anyone who reaches the server is its admin",
        );
    }
    if public && public_url.is_none() {
        out.invalid(
            "deployment",
            "deployment.publicURL is required when deployment.exposure is public",
        );
    }
    let embedded = spec
        .database
        .as_ref()
        .and_then(|d| d.mode.as_ref())
        .is_some_and(|m| *m == DatabaseMode::Embedded);
    if public && embedded {
        out.invalid(
            "deployment.exposure",
            "database.mode embedded cannot be combined with deployment.exposure public",
        );
    }
    let mut hostnames = Hosts::of(id);
    for host in routes.hosts().filter(|h| !h.contains('*')) {
        hostnames.add(host);
    }
    if let Some(url) = public_url {
        match forms::http_url(url) {
            Err(text) => out.invalid(
                "deployment.publicURL",
                format!("deployment.publicURL {text}"),
            ),
            Ok(url) => {
                if !url.username().is_empty()
                    || url.password().is_some()
                    || url.query().is_some()
                    || url.fragment().is_some()
                {
                    out.invalid("deployment.publicURL", "without user, query, fragment");
                }
                hostnames.add(url.host_str().unwrap_or_default());
            }
        }
    }
    for (i, host) in section
        .into_iter()
        .flat_map(|s| &s.allowed_hostnames)
        .enumerate()
    {
        let path = format!("deployment.allowedHostnames[{i}]");
        if host.contains('*') {
            out.add(
                Class::UnsupportedByVersion,
                &path,
                "the server matches exact names; name each host",
            );
        } else if forms::is_host(host) {
            hostnames.add(host);
        } else {
            out.invalid(
                &path,
                format!(
                    "\"{}\" is not a plain host name or IPv4 address",
                    quote(host)
                ),
            );
        }
    }
    Access {
        local_trusted,
        public,
        public_url,
        hostnames: hostnames.0,
    }
}

/// Lower case, each once, in order.
struct Hosts(Vec<String>);

impl Hosts {
    fn of(id: &Identity<'_>) -> Self {
        let (name, namespace) = (id.name, id.namespace);
        let mut hosts = Self(vec![]);
        hosts.add("localhost");
        hosts.add("127.0.0.1");
        hosts.add(name);
        hosts.add(&format!("{name}.{namespace}"));
        hosts.add(&format!("{name}.{namespace}.svc"));
        hosts.add(&format!("{name}.{namespace}.svc.{}", id.domain));
        hosts
    }
    fn add(&mut self, host: &str) {
        let host = host.to_lowercase();
        if !host.is_empty() && !self.0.contains(&host) {
            self.0.push(host);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(yaml: &str) -> (Vec<String>, Vec<String>) {
        let spec: InstanceSpec = serde_saphyr::from_str(yaml).unwrap();
        let mut out = Findings::default();
        let id = Identity::new("clip", "prod", "uid-1", "example.local");
        let routes = super::super::routes::routes(&spec, &mut Findings::default());
        let access = access(&spec, &id, &routes, &mut out);
        let said = out
            .iter()
            .map(|f| format!("{} {}: {}", f.class.reason(), f.path, f.text))
            .collect();
        (access.hostnames, said)
    }

    #[test]
    fn the_server_knows_its_own_names_then_the_public_one_then_the_given_ones_each_once() {
        let (hosts, said) = read(
            "deployment: {publicURL: 'https://Clip.Example.com/x', allowedHostnames: [b.example.com, clip.example.com, localhost]}",
        );
        assert_eq!(
            hosts,
            [
                "localhost",
                "127.0.0.1",
                "clip",
                "clip.prod",
                "clip.prod.svc",
                "clip.prod.svc.example.local",
                "clip.example.com",
                "b.example.com"
            ]
        );
        assert!(said.is_empty(), "{said:?}");
    }

    #[test]
    fn hosts_of_routes_come_before_the_public_one_and_wildcards_are_left_out() {
        let (hosts, _) = read(
            "{deployment: {publicURL: 'https://c.example.com', allowedHostnames: [d.example.com]}, networking: {\
             ingress: {enabled: true, hosts: [a.example.com, '*.example.com']}, \
             httpRoute: {enabled: true, parentRefs: [{name: g}], hostnames: [b.example.com, a.example.com]}}}",
        );
        assert_eq!(
            hosts[6..],
            [
                "a.example.com",
                "b.example.com",
                "c.example.com",
                "d.example.com"
            ]
        );
    }

    #[test]
    fn every_rule_of_admission_is_checked_again() {
        for (yaml, expected) in [
            (
                "deployment: {mode: local_trusted, exposure: public, publicURL: 'http://a'}",
                "InvalidSpec spec.deployment: deployment.exposure must be private",
            ),
            (
                "deployment: {exposure: public}",
                "InvalidSpec spec.deployment: deployment.publicURL is required",
            ),
            (
                "{deployment: {exposure: public, publicURL: 'http://a'}, database: {mode: embedded}}",
                "InvalidSpec spec.deployment.exposure: database.mode embedded cannot be",
            ),
            (
                "deployment: {publicURL: 'ftp://a'}",
                "InvalidSpec spec.deployment.publicURL: deployment.publicURL must be an absolute",
            ),
            (
                "deployment: {publicURL: 'http://u@a/?q'}",
                "InvalidSpec spec.deployment.publicURL: without user",
            ),
            (
                "deployment: {allowedHostnames: ['http://a']}",
                "InvalidSpec spec.deployment.allowedHostnames[0]: \"http://a\" is not",
            ),
            (
                "deployment: {allowedHostnames: ['*.a']}",
                "UnsupportedByVersion spec.deployment.allowedHostnames[0]",
            ),
            (
                "deployment: {mode: open}",
                "InvalidSpec spec.deployment.mode: \"open\" is not one of authenticated, local_trusted",
            ),
            (
                "{deployment: {mode: local_trusted}, networking: {ingress: {enabled: true}}}",
                "InvalidSpec spec.networking: networking.ingress and",
            ),
            (
                "deployment: {mode: local_trusted}",
                "AcceptedWithWarnings spec.deployment.mode: anyone who reaches the server is its admin",
            ),
        ] {
            let (_, said) = read(yaml);
            assert!(
                said.iter().any(|s| s.starts_with(expected)),
                "{yaml}: {said:?}"
            );
        }
    }
}
