//! Durations as people write them in specs: `90s`, `1h30m`, `720h`. Pure.

use k8s_openapi::jiff::SignedDuration;
use std::time::Duration;

/// The duration, if it is one and not negative.
pub fn parse(text: &str) -> Option<Duration> {
    let duration: SignedDuration = text.parse().ok()?;
    duration.try_into().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_schema_takes_is_understood() {
        for (text, seconds) in [
            ("90s", 90),
            ("1h30m", 5400),
            ("720h", 2_592_000),
            ("1.5h", 5400),
            ("0s", 0),
        ] {
            assert_eq!(parse(text), Some(Duration::from_secs(seconds)), "{text}");
        }
        assert_eq!(parse("250ms"), Some(Duration::from_millis(250)));
        assert_eq!(parse("-1h"), None);
        assert_eq!(parse("soon"), None);
    }
}
