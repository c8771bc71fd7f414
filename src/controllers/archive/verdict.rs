//! What comes of the spec of a backup or a restore, and of what it refers to. Pure.

/// `T`: the spec, validated.
#[derive(Debug)]
pub enum Verdict<T> {
    /// It can be done.
    Accepted(Box<T>),
    /// It cannot be done: reason of `Accepted`, and why.
    Refused(&'static str, String),
    /// It will be possible: reason of `Reconciling`, and what for.
    Waiting(&'static str, String),
}

impl<T> Verdict<T> {
    /// Of checks that end at the first one that fails.
    pub fn of(checked: Result<T, Self>) -> Self {
        checked.map_or_else(|verdict| verdict, |t| Self::Accepted(Box::new(t)))
    }
}
