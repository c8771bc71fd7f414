//! How the agent reads its configuration: environment variables, trimmed of nothing, empty meaning absent.
//!
//! The environment is read through a value, so that a configuration can be tested without changing the process's own.

use std::collections::HashMap;
use std::path::PathBuf;
use std::str::FromStr;

use crate::result::{Exit, Reason};

/// The environment variables of a process.
#[derive(Debug, Clone, Default)]
pub struct Environment(HashMap<String, String>);

/// A variable whose value cannot be used.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum EnvironmentError {
    /// The value is not what the variable asks for. The value itself is not repeated: it may hold a secret.
    #[error("{name}: {problem}")]
    InvalidValue {
        /// Name of the variable.
        name: &'static str,
        /// What is wrong with its value.
        problem: String,
    },
}

impl Reason for EnvironmentError {
    fn code(&self) -> &'static str {
        "InvalidValue"
    }

    fn exit(&self) -> Exit {
        Exit::WrongInput
    }
}

impl Environment {
    /// The environment of this process. Variables that are no text are left out.
    pub fn of_process() -> Self {
        Self(
            std::env::vars_os()
                .filter_map(|(name, value)| {
                    Some((name.into_string().ok()?, value.into_string().ok()?))
                })
                .collect(),
        )
    }

    /// The value of a variable, if it is set and not empty.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0
            .get(name)
            .map(String::as_str)
            .filter(|value| !value.is_empty())
    }

    /// The value of a variable as a path.
    pub fn path(&self, name: &str, default: &str) -> PathBuf {
        PathBuf::from(self.get(name).unwrap_or(default))
    }

    /// The value of a variable, read as a number or the like.
    pub fn parse<T: FromStr>(
        &self,
        name: &'static str,
        wanted: &str,
    ) -> Result<Option<T>, EnvironmentError> {
        self.get(name)
            .map(|value| {
                value.parse().map_err(|_| EnvironmentError::InvalidValue {
                    name,
                    problem: format!("must be {wanted}"),
                })
            })
            .transpose()
    }

    /// The value of a variable as a program and its arguments, a JSON list of texts.
    pub fn program(&self, name: &'static str) -> Result<Option<Vec<String>>, EnvironmentError> {
        let Some(json) = self.get(name) else {
            return Ok(None);
        };
        let argv: Vec<String> = serde_json::from_str(json).unwrap_or_default();
        if argv.first().is_none_or(String::is_empty) || argv.iter().any(|text| text.contains('\0'))
        {
            return Err(EnvironmentError::InvalidValue {
                name,
                problem: "must be a JSON list of texts that starts with a program".to_owned(),
            });
        }
        Ok(Some(argv))
    }
}

impl<const N: usize> From<[(&str, &str); N]> for Environment {
    fn from(pairs: [(&str, &str); N]) -> Self {
        Self(
            pairs
                .into_iter()
                .map(|(name, value)| (name.to_owned(), value.to_owned()))
                .collect(),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_empty_variable_counts_as_absent() {
        let environment = Environment::from([("PGDATA", "")]);
        assert_eq!(environment.get("PGDATA"), None);
        assert_eq!(environment.path("PGDATA", "/data"), PathBuf::from("/data"));
    }

    #[test]
    fn a_program_is_a_list_of_texts_that_starts_with_one() {
        let program = |json: &str| Environment::from([("ARGV", json)]).program("ARGV");
        assert_eq!(program(""), Ok(None));
        assert_eq!(
            program(r#"["node", "a b"]"#),
            Ok(Some(vec!["node".to_owned(), "a b".to_owned()]))
        );
        for wrong in ["node", "[]", r#"[""]"#, "[1]", r#"["a", "b\u0000"]"#] {
            assert!(program(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_value_that_is_no_number_is_refused_without_repeating_it() {
        let environment = Environment::from([("PORT", "hunter2")]);
        let error = environment.parse::<u16>("PORT", "a port").unwrap_err();
        assert_eq!(error.to_string(), "PORT: must be a port");
    }
}
