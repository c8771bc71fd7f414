//! What is wrong with a spec, in the words of the condition `Accepted`. Pure.

use crate::shared::conditions::list;

/// Why a part of the spec is not, or not yet, done. The order is that of weight: the worst one names the condition.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Reason {
    /// A value that cannot be used.
    InvalidSpec,
    /// Names of child objects would be too long.
    NameTooLong,
    /// The data belong to another engine.
    EngineFrozen,
    /// The data belong to another major version.
    VersionMismatch,
    /// A PostgreSQL setting that is not supported, or a value that PostgreSQL would not take.
    ParameterRefused,
    /// An engine that is not built yet.
    EngineNotImplemented,
    /// A field that is not built yet; the rest is done.
    NotImplemented,
    /// A value that was corrected into its range.
    Clamped,
}

impl Reason {
    /// As conditions show it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::InvalidSpec => "InvalidSpec",
            Self::NameTooLong => "NameTooLong",
            Self::EngineFrozen => "EngineFrozen",
            Self::VersionMismatch => "VersionMismatch",
            Self::ParameterRefused => "ParameterRefused",
            Self::EngineNotImplemented | Self::NotImplemented => "NotImplemented",
            Self::Clamped => "Clamped",
        }
    }

    /// Nothing is applied until it is corrected; what runs goes on.
    pub const fn stops(self) -> bool {
        !matches!(self, Self::NotImplemented | Self::Clamped)
    }
}

/// One thing that is wrong, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// Why.
    pub reason: Reason,
    /// JSON path.
    pub path: String,
    /// What was found, and what to do.
    pub text: String,
}

impl Problem {
    /// A problem.
    pub fn new(reason: Reason, path: impl Into<String>, text: impl Into<String>) -> Self {
        Self {
            reason,
            path: path.into(),
            text: text.into(),
        }
    }

    /// A value that cannot be used.
    pub fn invalid(path: impl Into<String>, text: impl Into<String>) -> Self {
        Self::new(Reason::InvalidSpec, path, text)
    }
}

/// Several problems as one condition: the worst reason, and all paths with the worst first.
pub fn summary(problems: &[Problem]) -> Option<(Reason, String)> {
    let mut sorted: Vec<&Problem> = problems.iter().collect();
    sorted.sort_by_key(|p| p.reason);
    let worst = sorted.first()?.reason;
    let lines: Vec<String> = sorted
        .iter()
        .map(|p| format!("{}: {}", p.path, p.text))
        .collect();
    Some((worst, list(&lines)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_worst_reason_names_the_condition_and_no_path_is_lost() {
        let problems = [
            Problem::new(Reason::Clamped, "spec.a", "one"),
            Problem::new(Reason::ParameterRefused, "spec.b", "two"),
        ];
        assert_eq!(
            summary(&problems),
            Some((
                Reason::ParameterRefused,
                "spec.b: two; spec.a: one".to_owned()
            ))
        );
        assert_eq!(summary(&[]), None);
    }
}
