//! Who the Instance is: its name and what is derived from it. Pure.

use super::findings::{Class, Findings};
use super::forms;
use crate::shared::names::Names;

/// The longest name with a managed database: `N-db-<10 characters of a revision>` is a label of at most 63 characters.
const LONGEST: usize = 49;
/// The longest name without one: `N-<10 characters of a revision>`.
const LONGEST_WITHOUT_DATABASE: usize = 52;

/// Who the Instance is.
#[derive(Clone, Debug)]
pub struct Identity<'a> {
    /// Its name.
    pub name: &'a str,
    /// Its namespace.
    pub namespace: &'a str,
    /// Its uid.
    pub uid: &'a str,
    /// DNS domain of the cluster.
    pub domain: &'a str,
    /// Names of its objects.
    pub names: Names,
}

impl<'a> Identity<'a> {
    /// Of an object.
    pub fn new(name: &'a str, namespace: &'a str, uid: &'a str, domain: &'a str) -> Self {
        Self {
            name,
            namespace,
            uid,
            domain,
            names: Names::of(name),
        }
    }

    /// The Service's full name.
    pub fn host(&self) -> String {
        format!("{}.{}.svc.{}", self.name, self.namespace, self.domain)
    }
}

/// Checks the name itself.
pub fn check(name: &str, managed_database: bool, out: &mut Findings) {
    let longest = if managed_database {
        LONGEST
    } else {
        LONGEST_WITHOUT_DATABASE
    };
    if name.len() > longest {
        let why = if managed_database { "N-db" } else { "N" };
        out.add(
            Class::NameTooLong,
            "metadata.name",
            format!(
                "{} characters, at most {longest} ({why} and its revision hash must fit 63)",
                name.len()
            ),
        );
    }
    if !forms::is_service_name(name) && name.len() <= 63 {
        out.invalid(
            "metadata.name",
            "must be a DNS label that starts with a letter, it names a Service",
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reasons(name: &str, managed: bool) -> Vec<&'static str> {
        let mut out = Findings::default();
        check(name, managed, &mut out);
        out.iter().map(|f| f.class.reason()).collect()
    }

    #[test]
    fn names_leave_room_for_what_is_derived_from_them() {
        assert!(reasons(&"a".repeat(49), true).is_empty());
        assert_eq!(reasons(&"a".repeat(50), true), ["NameTooLong"]);
        assert!(reasons(&"a".repeat(52), false).is_empty());
        assert_eq!(reasons(&"a".repeat(53), false), ["NameTooLong"]);
    }

    #[test]
    fn a_name_that_cannot_name_a_service_is_invalid() {
        for name in ["1a", "a.b"] {
            assert_eq!(reasons(name, true), ["InvalidSpec"], "{name}");
        }
    }
}
