//! The forms that values must have: names, hosts, URLs, networks, keys. Pure.

use k8s_openapi::ByteString;
use serde_json::Value;
use std::net::IpAddr;

/// A DNS label that may name a Service: a letter first.
pub fn is_service_name(text: &str) -> bool {
    text.len() <= 63
        && text.starts_with(|c: char| c.is_ascii_lowercase())
        && !text.ends_with('-')
        && text
            .chars()
            .all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-')
}

/// A name of an environment variable that every shell and Kubernetes accept.
pub fn is_variable(text: &str) -> bool {
    text.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        && text.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
}

/// A plain host name or IPv4 address, without scheme, port, brackets or wildcard.
pub fn is_host(text: &str) -> bool {
    !text.is_empty()
        && text.len() <= 253
        && text.split('.').all(|label| {
            !label.is_empty()
                && label.len() <= 63
                && !label.starts_with('-')
                && !label.ends_with('-')
                && label
                    .chars()
                    .all(|c| c.is_ascii_alphanumeric() || c == '-' || c == '_')
        })
}

/// A host name that a route may have: a DNS name in lower case, or `*.` and one.
pub fn is_route_host(text: &str) -> bool {
    let name = text.strip_prefix("*.").unwrap_or(text);
    is_host(name)
        && !name.contains('_')
        && name.parse::<IpAddr>().is_err()
        && !name.chars().any(|c| c.is_ascii_uppercase())
}

/// A network, with host bits cleared; or what is wrong with the text.
///
/// # Errors
/// The text for the finding.
pub fn network(text: &str) -> Result<String, String> {
    let (address, prefix) = text
        .split_once('/')
        .ok_or("not a network like 10.0.0.0/8")?;
    let address: IpAddr = address
        .parse()
        .map_err(|_| format!("\"{address}\" is not an IP address"))?;
    let prefix: u32 = prefix
        .parse()
        .map_err(|_| "not a network like 10.0.0.0/8".to_owned())?;
    let bits = if address.is_ipv4() { 32 } else { 128 };
    if prefix > bits {
        return Err(format!("prefix {prefix} is over {bits}"));
    }
    Ok(match address {
        IpAddr::V4(a) => {
            let mask = u32::MAX.checked_shl(32 - prefix).unwrap_or(0);
            format!("{}/{prefix}", std::net::Ipv4Addr::from(u32::from(a) & mask))
        }
        IpAddr::V6(a) => {
            let mask = u128::MAX.checked_shl(128 - prefix).unwrap_or(0);
            format!(
                "{}/{prefix}",
                std::net::Ipv6Addr::from(u128::from(a) & mask)
            )
        }
    })
}

/// An address, or a network.
pub fn is_proxy(text: &str) -> bool {
    text.parse::<IpAddr>().is_ok() || network(text).is_ok()
}

/// An http or https URL with a host, or what is wrong with it.
///
/// # Errors
/// The text for the finding.
pub fn http_url(text: &str) -> Result<url::Url, &'static str> {
    let url = url::Url::parse(text).map_err(|_| "must be an absolute http or https URL")?;
    if !matches!(url.scheme(), "http" | "https") || url.host_str().is_none_or(str::is_empty) {
        return Err("must be an absolute http or https URL");
    }
    Ok(url)
}

/// A URL of a PostgreSQL database.
///
/// # Errors
/// The text for the finding; it never holds a part of the URL.
pub fn database_url(text: &str) -> Result<url::Url, &'static str> {
    let url = url::Url::parse(text.trim_end_matches(['\r', '\n']))
        .map_err(|_| "must start with postgres:// or postgresql://")?;
    if !matches!(url.scheme(), "postgres" | "postgresql") {
        return Err("must start with postgres:// or postgresql://");
    }
    if url.host_str().is_none_or(str::is_empty) {
        return Err("names no host");
    }
    Ok(url)
}

/// The 32 bytes of a master key: 64 hex digits, base64 of 32 bytes, or 32 characters. One line break at the end is forgiven.
pub fn master_key(value: &[u8]) -> Option<[u8; 32]> {
    let text = std::str::from_utf8(value).ok()?;
    let text = text.strip_suffix('\n').unwrap_or(text);
    let text = text.strip_suffix('\r').unwrap_or(text);
    if text.len() == 64 && text.bytes().all(|b| b.is_ascii_hexdigit()) {
        let mut out = [0u8; 32];
        for (byte, pair) in out.iter_mut().zip(text.as_bytes().chunks(2)) {
            *byte = u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok()?;
        }
        return Some(out);
    }
    if let Ok(ByteString(bytes)) = serde_json::from_value(Value::String(text.to_owned()))
        && let Ok(key) = <[u8; 32]>::try_from(bytes)
    {
        return Some(key);
    }
    <[u8; 32]>::try_from(text.as_bytes()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn networks_are_written_without_host_bits() {
        assert_eq!(network("10.1.2.3/8").as_deref(), Ok("10.0.0.0/8"));
        assert_eq!(network("fd00::1/8").as_deref(), Ok("fd00::/8"));
        assert_eq!(network("0.0.0.0/0").as_deref(), Ok("0.0.0.0/0"));
        assert_eq!(
            network("10.0.0.0/33"),
            Err("prefix 33 is over 32".to_owned())
        );
        assert!(network("abc/1").is_err() && network("10.0.0.1").is_err());
    }

    #[test]
    fn a_word_or_a_number_is_no_proxy() {
        assert!(is_proxy("10.0.0.1") && is_proxy("fd00::/8"));
        assert!(!is_proxy("true") && !is_proxy("1"));
    }

    #[test]
    fn hosts_have_no_scheme_port_or_wildcard() {
        for good in ["a", "a.example.com", "10.0.0.1", "A-b.c"] {
            assert!(is_host(good), "{good}");
        }
        for bad in [
            "http://a", "a:80", "a,b", "a b", "[::1]", "*.a", "", "a..b", "-a",
        ] {
            assert!(!is_host(bad), "{bad}");
        }
    }

    #[test]
    fn the_three_forms_of_a_master_key_are_read() {
        assert_eq!(master_key("ab".repeat(32).as_bytes()), Some([0xab; 32]));
        assert_eq!(
            master_key(b"AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE=\n"),
            Some([1; 32])
        );
        assert_eq!(
            master_key(b"4ed31df59adc786c84172d937b890a0b"),
            Some(*b"4ed31df59adc786c84172d937b890a0b")
        );
        assert_eq!(master_key(b"short"), None);
    }

    #[test]
    fn only_postgres_urls_with_a_host_are_database_urls() {
        assert!(database_url("postgresql://u:p@h:1/d\n").is_ok());
        assert!(database_url("mysql://h/d").is_err());
        assert!(database_url("postgres:///d").is_err());
    }

    #[test]
    fn names_of_services_begin_with_a_letter() {
        assert!(is_service_name("a-1") && !is_service_name("1a") && !is_service_name("a.b"));
        assert!(is_variable("A_1") && !is_variable("1A") && !is_variable("A-B"));
    }
}
