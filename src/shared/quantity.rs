//! Amounts as Kubernetes writes them (`500m`, `1Gi`, `1e3`): compared by value, and spelled as the API server stores them, so that what
//! we wish for and what is stored look alike. Pure.

use k8s_openapi::api::core::v1::ResourceRequirements;
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use std::cmp::Ordering;

/// Units below one; the API server keeps nothing smaller.
const NANO: i128 = 1_000_000_000;
const DECIMAL: [(&str, i32); 10] = [
    ("E", 18),
    ("P", 15),
    ("T", 12),
    ("G", 9),
    ("M", 6),
    ("k", 3),
    ("", 0),
    ("m", -3),
    ("u", -6),
    ("n", -9),
];
const BINARY: [(&str, u32); 6] = [
    ("Ei", 60),
    ("Pi", 50),
    ("Ti", 40),
    ("Gi", 30),
    ("Mi", 20),
    ("Ki", 10),
];

/// Which suffixes an amount is spelled with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Family {
    Decimal,
    Binary,
    Exponent,
}

/// An amount.
#[derive(Clone, Copy, Debug)]
pub struct Amount {
    nanos: i128,
    family: Family,
}

/// The text is no amount.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a quantity like 500m, 1Gi or 1e3")]
pub struct NotAQuantity;

impl Amount {
    /// Reads an amount. What is smaller than a billionth is rounded away from zero, as the API server does.
    ///
    /// # Errors
    /// If it is none, or is beyond what can be counted.
    pub fn parse(text: &str) -> Result<Self, NotAQuantity> {
        let text = text.trim();
        let (negative, rest) = match text.as_bytes().first() {
            Some(b'-') => (true, &text[1..]),
            Some(b'+') => (false, &text[1..]),
            _ => (false, text),
        };
        let end = rest
            .find(|c: char| !c.is_ascii_digit() && c != '.')
            .unwrap_or(rest.len());
        let (number, suffix) = rest.split_at(end);
        let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
        if (whole.is_empty() && fraction.is_empty())
            || fraction.contains('.')
            || whole.len() > 20
            || fraction.len() > 20
        {
            return Err(NotAQuantity);
        }
        let digits: i128 = format!("0{whole}{fraction}")
            .parse()
            .map_err(|_| NotAQuantity)?;
        let places = i32::try_from(fraction.len()).map_err(|_| NotAQuantity)?;
        let (family, numerator, power) = unit(suffix)?;
        let scaled = digits
            .checked_mul(numerator)
            .and_then(|n| n.checked_mul(NANO))
            .ok_or(NotAQuantity)?;
        let nanos = shift(scaled, power - places).ok_or(NotAQuantity)?;
        Ok(Self {
            nanos: if negative { -nanos } else { nanos },
            family,
        })
    }

    /// So many bytes (or whatever is counted), rounded up.
    pub fn units(self) -> i128 {
        self.nanos.div_euclid(NANO) + i128::from(self.nanos.rem_euclid(NANO) != 0)
    }

    /// More than nothing.
    pub fn is_positive(self) -> bool {
        self.nanos > 0
    }

    /// So many bytes, spelled with binary suffixes.
    pub fn of_bytes(bytes: i128) -> Self {
        Self {
            nanos: bytes.saturating_mul(NANO),
            family: Family::Binary,
        }
    }
}

/// By value, whatever the spelling.
impl PartialEq for Amount {
    fn eq(&self, other: &Self) -> bool {
        self.nanos == other.nanos
    }
}
impl Eq for Amount {}
impl PartialOrd for Amount {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}
impl Ord for Amount {
    fn cmp(&self, other: &Self) -> Ordering {
        self.nanos.cmp(&other.nanos)
    }
}

/// As the API server stores it: the largest suffix that needs no fraction.
impl std::fmt::Display for Amount {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let n = self.nanos;
        if n == 0 {
            return f.write_str("0");
        }
        let whole = (n % NANO == 0).then_some(n / NANO);
        if self.family == Family::Binary
            && let Some(units) = whole.filter(|u| u.unsigned_abs() >= 1024)
        {
            for (suffix, bits) in BINARY {
                if units % (1i128 << bits) == 0 {
                    return write!(f, "{}{suffix}", units / (1i128 << bits));
                }
            }
            return write!(f, "{units}");
        }
        for (suffix, power) in DECIMAL {
            let unit = 10i128.pow(u32::try_from(power + 9).unwrap_or_default());
            if n % unit == 0 {
                return match (self.family, power) {
                    (Family::Exponent, 0) => write!(f, "{}", n / unit),
                    (Family::Exponent, power) => write!(f, "{}e{power}", n / unit),
                    _ => write!(f, "{}{suffix}", n / unit),
                };
            }
        }
        Ok(())
    }
}

fn unit(suffix: &str) -> Result<(Family, i128, i32), NotAQuantity> {
    if let Some((_, bits)) = BINARY.iter().find(|(s, _)| *s == suffix) {
        return Ok((Family::Binary, 1i128 << bits, 0));
    }
    if let Some((_, power)) = DECIMAL.iter().find(|(s, _)| *s == suffix) {
        return Ok((Family::Decimal, 1, *power));
    }
    let exponent = suffix.strip_prefix(['e', 'E']).ok_or(NotAQuantity)?;
    let power = exponent
        .strip_prefix('+')
        .unwrap_or(exponent)
        .parse::<i32>()
        .map_err(|_| NotAQuantity)?;
    if !(-30..=30).contains(&power) {
        return Err(NotAQuantity);
    }
    Ok((Family::Exponent, 1, power))
}

/// `value` times ten to the `power`, rounded up.
fn shift(value: i128, power: i32) -> Option<i128> {
    let factor = 10i128.checked_pow(power.unsigned_abs())?;
    if power >= 0 {
        value.checked_mul(factor)
    } else {
        Some(value.div_euclid(factor) + i128::from(value.rem_euclid(factor) != 0))
    }
}

/// The quantity in the API server's spelling; one that cannot be read is left as it is, for the API server to refuse.
pub fn canonical(quantity: &Quantity) -> Quantity {
    Amount::parse(&quantity.0).map_or_else(|_| quantity.clone(), |a| Quantity(a.to_string()))
}

/// Requests and limits in the API server's spelling.
pub fn canonical_resources(resources: &ResourceRequirements) -> ResourceRequirements {
    let spell = |map: &std::collections::BTreeMap<String, Quantity>| {
        map.iter()
            .map(|(k, v)| (k.clone(), canonical(v)))
            .collect::<std::collections::BTreeMap<_, _>>()
    };
    ResourceRequirements {
        claims: resources.claims.clone(),
        limits: resources.limits.as_ref().map(spell),
        requests: resources.requests.as_ref().map(spell),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spelled(text: &str) -> String {
        Amount::parse(text).unwrap().to_string()
    }

    #[test]
    fn amounts_are_spelled_as_the_api_server_stores_them() {
        for (given, stored) in [
            ("1000m", "1"),
            ("1500m", "1500m"),
            ("0.5", "500m"),
            (".25", "250m"),
            ("1.5Gi", "1536Mi"),
            ("1024Mi", "1Gi"),
            ("512Ki", "512Ki"),
            ("0.5Ki", "512"),
            ("1000Ki", "1000Ki"),
            ("1000000", "1M"),
            ("1024", "1024"),
            ("1e3", "1e3"),
            ("1000e0", "1e3"),
            ("12E", "12E"),
            ("0", "0"),
            ("0Gi", "0"),
            ("-1500m", "-1500m"),
            ("+1Gi", "1Gi"),
            ("0.1n", "1n"),
            ("1.", "1"),
        ] {
            assert_eq!(spelled(given), stored, "{given}");
        }
    }

    #[test]
    fn amounts_are_compared_by_value() {
        let amount = |t| Amount::parse(t).unwrap();
        assert_eq!(amount("1Gi"), amount("1024Mi"));
        assert!(amount("1G") < amount("1Gi"));
        assert!(amount("20Gi") > amount("9Gi"));
        assert!(!amount("0").is_positive() && !amount("-1").is_positive());
        assert_eq!(amount("1500m").units(), 2);
        assert_eq!(Amount::of_bytes(268_435_456).to_string(), "256Mi");
    }

    #[test]
    fn what_is_no_amount_is_refused() {
        for text in [
            "",
            "ten",
            "10GB!",
            "1.2.3",
            "1e",
            "1e99",
            "Gi",
            "-",
            "1gi",
            "99999999999999999999999Ei",
        ] {
            assert!(Amount::parse(text).is_err(), "{text}");
        }
    }
}
