//! Where a connection goes: host and port of a URL, for network policies and for who can reach it. Pure.

/// Where a connection goes, for a network policy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoint {
    /// Host name or address, lower case.
    pub host: String,
    /// Port.
    pub port: u16,
}

impl Endpoint {
    /// Of a URL; `default_port` if it names none and its scheme has none.
    pub fn of(url: &str, default_port: u16) -> Option<Self> {
        let url = url::Url::parse(url.trim()).ok()?;
        let host = url.host_str()?.trim_matches(['[', ']']).to_lowercase();
        (!host.is_empty()).then(|| Self {
            host,
            port: url.port_or_known_default().unwrap_or(default_port),
        })
    }

    /// Namespace and name, if the host looks like that of a Service in the cluster.
    pub fn service<'a>(&'a self, namespace: &'a str, domain: &str) -> Option<(&'a str, &'a str)> {
        if self.host == "localhost" || self.host.parse::<std::net::IpAddr>().is_ok() {
            return None;
        }
        let host = self.host.strip_suffix('.').unwrap_or(&self.host);
        let short = host
            .strip_suffix(domain)
            .and_then(|h| h.strip_suffix('.'))
            .unwrap_or(host);
        let parts: Vec<&str> = short.split('.').collect();
        match parts[..] {
            [name] => Some((namespace, name)),
            [name, ns] | [name, ns, "svc"] => Some((ns, name)),
            _ => None,
        }
    }

    /// The host is the pod itself: a sidecar leads on.
    pub fn is_loopback(&self) -> bool {
        self.host == "localhost"
            || self
                .host
                .parse::<std::net::IpAddr>()
                .is_ok_and(|a| a.is_loopback())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn endpoints_tell_services_from_the_rest_of_the_world() {
        let of = |url: &str| Endpoint::of(url, 5432).unwrap();
        assert_eq!(of("postgres://u:p@DB.example.com/x").port, 5432);
        assert_eq!(of("https://s3.example.com").port, 443);
        let service = |url: &str| {
            let e = of(url);
            e.service("here", "cluster.local")
                .map(|(a, b)| format!("{a}/{b}"))
        };
        assert_eq!(service("http://minio:9000").as_deref(), Some("here/minio"));
        assert_eq!(
            service("http://minio.store.svc.cluster.local").as_deref(),
            Some("store/minio")
        );
        assert_eq!(
            service("http://minio.store").as_deref(),
            Some("store/minio")
        );
        assert_eq!(service("http://a.b.example.com"), None);
        assert_eq!(service("http://10.0.0.1"), None);
        assert!(of("postgres://127.0.0.1/x").is_loopback());
        assert!(!of("postgres://[fd00::1]/x").is_loopback());
        assert_eq!(of("postgres://[fd00::1]/x").host, "fd00::1");
    }
}
