//! The rules of conditions: what a message may hold, when a transition time changes, and what counts as "nothing changed". Pure.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use serde_json::Value;

/// Status of a condition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Truth {
    /// Observed to hold.
    True,
    /// Observed not to hold.
    False,
    /// Not observed.
    Unknown,
}

impl Truth {
    /// As the API spells it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::True => "True",
            Self::False => "False",
            Self::Unknown => "Unknown",
        }
    }
}

/// One condition as a pass found it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fact {
    /// Type, PascalCase.
    pub kind: &'static str,
    /// Status.
    pub truth: Truth,
    /// Reason, PascalCase.
    pub reason: String,
    /// For people: path, what was found, what to do.
    pub message: String,
}

impl Fact {
    /// A condition.
    pub fn new(
        kind: &'static str,
        truth: Truth,
        reason: impl Into<String>,
        message: impl Into<String>,
    ) -> Self {
        Self {
            kind,
            truth,
            reason: reason.into(),
            message: limit(&message.into(), 1024),
        }
    }
}

/// The conditions to store: exactly `facts`, in their order; the transition time is kept where the status did not flip.
pub fn merge(
    before: &[Condition],
    facts: Vec<Fact>,
    generation: i64,
    now: &Time,
) -> Vec<Condition> {
    facts
        .into_iter()
        .map(|fact| {
            let old = before.iter().find(|c| c.type_ == fact.kind);
            let since = old
                .filter(|c| c.status == fact.truth.as_str())
                .map_or_else(|| now.clone(), |c| c.last_transition_time.clone());
            Condition {
                type_: fact.kind.to_owned(),
                status: fact.truth.as_str().to_owned(),
                reason: fact.reason,
                message: fact.message,
                observed_generation: Some(generation),
                last_transition_time: since,
            }
        })
        .collect()
}

/// The condition of this type.
pub fn find<'a>(conditions: &'a [Condition], kind: &str) -> Option<&'a Condition> {
    conditions.iter().find(|c| c.type_ == kind)
}

/// Whether two statuses say the same, transition times aside.
pub fn same(a: &Value, b: &Value) -> bool {
    fn without_times(value: &Value) -> Value {
        let mut value = value.clone();
        for condition in value
            .get_mut("conditions")
            .and_then(Value::as_array_mut)
            .into_iter()
            .flatten()
        {
            if let Some(map) = condition.as_object_mut() {
                map.remove("lastTransitionTime");
            }
        }
        value
    }
    without_times(a) == without_times(b)
}

/// `text` without control characters.
pub fn clean(text: &str) -> String {
    text.chars()
        .map(|c| if c.is_control() { ' ' } else { c })
        .collect()
}

/// Text from outside for a message: cleaned and cut to 256 characters.
pub fn quote(text: &str) -> String {
    limit(&clean(text), 256)
}

/// `text`, cut at a word to at most `max` characters.
pub fn limit(text: &str, max: usize) -> String {
    if text.chars().count() <= max {
        return text.to_owned();
    }
    let cut: String = text.chars().take(max - 1).collect();
    let end = cut.rfind(' ').filter(|i| *i > max / 2).unwrap_or(cut.len());
    format!("{}…", &cut[..end])
}

/// At most ten items, then how many more.
pub fn list(items: &[String]) -> String {
    if items.len() <= 10 {
        items.join("; ")
    } else {
        format!("{}; and {} more", items[..10].join("; "), items.len() - 10)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use k8s_openapi::jiff::Timestamp;

    fn at(second: i64) -> Time {
        Time(Timestamp::from_second(second).unwrap_or_default())
    }

    #[test]
    fn the_transition_time_changes_only_when_the_status_flips() {
        let first = merge(
            &[],
            vec![Fact::new("Ready", Truth::False, "A", "a")],
            1,
            &at(10),
        );
        let second = merge(
            &first,
            vec![Fact::new("Ready", Truth::False, "B", "b")],
            2,
            &at(20),
        );
        assert_eq!(second[0].last_transition_time, at(10));
        assert_eq!(
            (second[0].reason.as_str(), second[0].observed_generation),
            ("B", Some(2))
        );
        let third = merge(
            &second,
            vec![Fact::new("Ready", Truth::True, "C", "c")],
            2,
            &at(30),
        );
        assert_eq!(third[0].last_transition_time, at(30));
    }

    #[test]
    fn a_condition_that_no_longer_applies_is_gone() {
        let before = merge(
            &[],
            vec![Fact::new("TailscaleReady", Truth::True, "A", "a")],
            1,
            &at(1),
        );
        assert_eq!(merge(&before, vec![], 1, &at(2)), vec![]);
    }

    #[test]
    fn messages_are_cut_at_a_word_and_hold_no_control_characters() {
        assert_eq!(quote("a\nb\u{7}c"), "a b c");
        let long = limit(&"word ".repeat(300), 1024);
        assert!(long.chars().count() <= 1024 && long.ends_with("word…"));
    }

    #[test]
    fn statuses_are_compared_without_times() {
        let a = serde_json::json!({"conditions": [{"type": "Ready", "lastTransitionTime": "1"}]});
        let b = serde_json::json!({"conditions": [{"type": "Ready", "lastTransitionTime": "2"}]});
        assert!(same(&a, &b));
        assert!(!same(&a, &serde_json::json!({"conditions": []})));
    }
}
