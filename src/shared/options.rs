//! What the operator is told at its start. Every flag has an environment form `PAPERCLIP_OPERATOR_…`. Wrong values end the process with
//! exit code 2 and one line.

use clap::Args;
use std::net::SocketAddr;

/// Options of `paperclip-operator run`.
#[derive(Args, Clone, Debug)]
pub struct Options {
    /// Namespaces to work in, separated by commas; empty: all
    #[arg(long, env = "PAPERCLIP_OPERATOR_WATCH_NAMESPACES", value_delimiter = ',', value_parser = namespace)]
    pub watch_namespaces: Vec<String>,
    /// Work only while holding a Lease, so that several replicas may run
    #[arg(long, env = "PAPERCLIP_OPERATOR_LEADER_ELECT", default_value_t = false, action = clap::ArgAction::Set, num_args = 0..=1, default_missing_value = "true")]
    pub leader_elect: bool,
    /// Namespace of the Lease; default: the pod's namespace, else `default`
    #[arg(long, env = "PAPERCLIP_OPERATOR_LEASE_NAMESPACE", value_parser = namespace)]
    pub lease_namespace: Option<String>,
    /// Address of /metrics; `:8080` means all interfaces, `0` turns it off
    #[arg(long, env = "PAPERCLIP_OPERATOR_METRICS_ADDR", default_value = ":8080", value_parser = address)]
    pub metrics_addr: Address,
    /// Address of /livez and /readyz; `0` turns it off
    #[arg(long, env = "PAPERCLIP_OPERATOR_HEALTH_ADDR", default_value = ":8081", value_parser = address)]
    pub health_addr: Address,
    /// Image that holds the agent: the operator's own
    #[arg(long, env = "PAPERCLIP_OPERATOR_AGENT_IMAGE", default_value = concat!("ghcr.io/paperclipinc/paperclip-operator:", env!("CARGO_PKG_VERSION")), value_parser = clap::builder::NonEmptyStringValueParser::new())]
    pub agent_image: String,
    /// Name of the Service in front of /metrics, in the operator's namespace; without it Instances get no ServiceMonitor
    #[arg(long, env = "PAPERCLIP_OPERATOR_METRICS_SERVICE", value_parser = namespace)]
    pub metrics_service: Option<String>,
    /// DNS domain of the cluster
    #[arg(long, env = "PAPERCLIP_OPERATOR_CLUSTER_DOMAIN", default_value = "cluster.local", value_parser = domain)]
    pub cluster_domain: String,
    /// Objects of one kind that are worked on at once
    #[arg(long, env = "PAPERCLIP_OPERATOR_CONCURRENCY", default_value_t = 16, value_parser = clap::value_parser!(u16).range(1..=256))]
    pub concurrency: u16,
    /// Leave out the metrics that have an Instance label
    #[arg(long, env = "PAPERCLIP_OPERATOR_METRICS_PER_INSTANCE", default_value_t = true, action = clap::ArgAction::Set)]
    pub metrics_per_instance: bool,
}

/// A place to listen, or none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Address(pub Option<SocketAddr>);

fn address(text: &str) -> Result<Address, String> {
    if text == "0" {
        return Ok(Address(None));
    }
    let full = if text.starts_with(':') {
        format!("0.0.0.0{text}")
    } else {
        text.to_owned()
    };
    full.parse()
        .map(|a| Address(Some(a)))
        .map_err(|_| "an address like :8080 or 127.0.0.1:8080, or 0 for none".to_owned())
}

fn namespace(text: &str) -> Result<String, String> {
    let label = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    if text.is_empty()
        || text.len() > 63
        || !text.chars().all(label)
        || text.starts_with('-')
        || text.ends_with('-')
    {
        return Err("a namespace: at most 63 lower-case letters, digits and dashes".to_owned());
    }
    Ok(text.to_owned())
}

fn domain(text: &str) -> Result<String, String> {
    if !text.is_empty() && text.split('.').all(|part| namespace(part).is_ok()) {
        Ok(text.to_owned())
    } else {
        Err("a DNS domain like cluster.local".to_owned())
    }
}

impl Options {
    /// The scopes of the informers: the namespaces, or one empty string for all.
    pub fn scopes(&self) -> Vec<String> {
        if self.watch_namespaces.is_empty() {
            vec![String::new()]
        } else {
            self.watch_namespaces.clone()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    #[derive(Parser)]
    struct Cli {
        #[command(flatten)]
        options: Options,
    }

    #[test]
    fn addresses_may_leave_out_the_host_and_be_switched_off() {
        let cli = Cli::try_parse_from(["x", "--metrics-addr", "0", "--health-addr", "127.0.0.1:1"])
            .map(|c| c.options);
        let options = cli.unwrap_or_else(|e| panic!("{e}"));
        assert_eq!(options.metrics_addr.0, None);
        assert_eq!(options.health_addr.0.map(|a| a.port()), Some(1));
        assert_eq!(options.scopes(), [""]);
    }

    #[test]
    fn wrong_values_are_refused_with_the_flag_named() {
        for args in [
            ["--watch-namespaces", "a,B"],
            ["--metrics-addr", "nowhere"],
            ["--cluster-domain", "a..b"],
            ["--concurrency", "0"],
        ] {
            let error = Cli::try_parse_from(["x", args[0], args[1]])
                .err()
                .unwrap_or_else(|| panic!("{args:?} was accepted"));
            assert!(error.to_string().contains(args[0]), "{error}");
            assert_eq!(error.exit_code(), 2);
        }
    }
}
