//! What a command of the agent leaves behind: an exit code, and one JSON object in the termination message.
//!
//! The controller builds conditions out of it, so its words are an interface. It never holds a secret and never
//! grows beyond what the kubelet keeps.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Instant;

use jiff::Timestamp;
use serde::Serialize;
use serde_json::{Map, Value};

use crate::environment::Environment;

/// The kubelet keeps 4,096 bytes of a termination message; the rest is a margin.
const MESSAGE_LIMIT: usize = 3_500;
/// Longest text of a failure, in characters.
const TEXT_LIMIT: usize = 512;

/// How a command ended, as exit code of the process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    /// Done, or nothing to do.
    Done,
    /// The input is wrong: trying again changes nothing.
    WrongInput,
    /// Refused for good: what was found does not allow it.
    Refused,
    /// Failed for now: trying again may help.
    Temporary,
    /// Ended by a signal that asked for it.
    Terminated,
    /// A fault of the agent itself.
    Internal,
    /// The code of the supervised program, passed on.
    Program(u8),
}

impl Exit {
    /// The number that the process ends with.
    pub const fn number(self) -> u8 {
        match self {
            Self::Done => 0,
            Self::WrongInput => 2,
            Self::Refused => 3,
            Self::Temporary => 4,
            Self::Terminated => 5,
            Self::Internal => 70,
            Self::Program(code) => code,
        }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit.number())
    }
}

/// An error that knows its PascalCase reason and what the process ends with.
pub trait Reason: std::error::Error {
    /// The reason, as a condition shows it.
    fn code(&self) -> &'static str;
    /// What the process ends with.
    fn exit(&self) -> Exit;
}

/// Why a command did not do what it was asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// What the process ends with.
    pub exit: Exit,
    /// The reason, PascalCase.
    pub code: &'static str,
    /// One line for people.
    pub message: String,
}

impl<E: Reason> From<E> for Failure {
    fn from(error: E) -> Self {
        Self {
            exit: error.exit(),
            code: error.code(),
            message: one_line(&error.to_string()),
        }
    }
}

impl Failure {
    /// A fault of the agent or of the system below it.
    pub fn internal(error: &std::io::Error) -> Self {
        Self {
            exit: Exit::Internal,
            code: "Internal",
            message: one_line(&error.to_string()),
        }
    }

    /// The process was asked to end before it was done.
    pub fn terminated(signal: &str) -> Self {
        Self {
            exit: Exit::Terminated,
            code: "Terminated",
            message: format!("ended by {signal}"),
        }
    }
}

/// What a command that succeeded did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Success {
    /// Something was changed.
    Done,
    /// There was nothing to do.
    Nothing,
}

#[derive(Serialize)]
struct Step {
    name: &'static str,
    ms: u64,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Rendered<'a> {
    v: u8,
    task: &'a str,
    outcome: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    step: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    code: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    message: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    trace_id: Option<&'a str>,
    started_at: String,
    finished_at: String,
    steps: &'a [Step],
    facts: &'a Map<String, Value>,
}

/// Collects what happens in a command, and writes the result at its end.
pub struct Record {
    task: &'static str,
    file: PathBuf,
    trace_id: Option<String>,
    started: Timestamp,
    steps: Vec<Step>,
    current: Option<(&'static str, Instant)>,
    facts: Map<String, Value>,
}

impl Record {
    /// A record that starts now.
    pub fn start(task: &'static str, environment: &Environment) -> Self {
        Self {
            task,
            file: environment.path("PAPERCLIP_AGENT_TERMINATION_LOG", "/dev/termination-log"),
            trace_id: environment
                .get("TRACEPARENT")
                .and_then(trace_id)
                .map(str::to_owned),
            started: Timestamp::now(),
            steps: Vec::new(),
            current: None,
            facts: Map::new(),
        }
    }

    /// A step begins; the one before it is over.
    pub fn step(&mut self, name: &'static str) {
        self.end_step();
        self.current = Some((name, Instant::now()));
        tracing::info!(task = self.task, step = name, "step");
    }

    /// Something that was observed.
    pub fn fact(&mut self, name: &str, value: impl Into<Value>) {
        self.facts.insert(name.to_owned(), value.into());
    }

    fn end_step(&mut self) -> Option<&'static str> {
        let (name, since) = self.current.take()?;
        let ms = u64::try_from(since.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.steps.push(Step { name, ms });
        Some(name)
    }

    /// The command is over: writes the termination message and the last log line, and says what to exit with.
    pub fn finish(mut self, outcome: Result<Success, Failure>) -> ExitCode {
        let last = self.end_step();
        let (exit, word, failure) = match outcome {
            Ok(Success::Done) => (Exit::Done, "done", None),
            Ok(Success::Nothing) => (Exit::Done, "nothing", None),
            Err(failure) => {
                let word = match failure.exit {
                    Exit::WrongInput | Exit::Refused => "refused",
                    _ => "failed",
                };
                (failure.exit, word, Some(failure))
            }
        };
        let step = if failure.is_some() { last } else { None };
        let text = self.render(word, step, failure.as_ref());
        let facts = Value::Object(std::mem::take(&mut self.facts));
        match &failure {
            None => tracing::info!(task = self.task, outcome = word, %facts, "finished"),
            Some(failure) => {
                tracing::error!(
                    task = self.task,
                    outcome = word,
                    step,
                    code = failure.code,
                    reason = failure.message,
                    "finished"
                );
            }
        }
        if let Err(error) = std::fs::write(&self.file, text) {
            tracing::warn!(%error, file = %self.file.display(), "no termination message could be written");
        }
        exit.into()
    }

    fn render(&mut self, outcome: &str, step: Option<&str>, failure: Option<&Failure>) -> String {
        let finished = Timestamp::now();
        loop {
            let rendered = Rendered {
                v: 1,
                task: self.task,
                outcome,
                step,
                code: failure.map(|failure| failure.code),
                message: failure.map(|failure| failure.message.as_str()),
                trace_id: self.trace_id.as_deref(),
                started_at: milliseconds(self.started),
                finished_at: milliseconds(finished),
                steps: &self.steps,
                facts: &self.facts,
            };
            let text = serde_json::to_string(&rendered).unwrap_or_default();
            if text.len() <= MESSAGE_LIMIT {
                return text;
            }
            // The reason matters most, so what gives way first is how long each step took, then the facts.
            if self.steps.pop().is_none() && self.facts.is_empty() {
                return text.chars().take(MESSAGE_LIMIT / 4).collect();
            } else if self.steps.is_empty() {
                self.facts.clear();
            }
        }
    }
}

/// Text from outside as one line of bounded length.
pub fn one_line(text: &str) -> String {
    let mut line: String = text
        .trim()
        .chars()
        .take(TEXT_LIMIT)
        .map(|c| if c.is_control() { ' ' } else { c })
        .collect();
    if text.trim().chars().count() > TEXT_LIMIT {
        line.push('…');
    }
    line
}

fn milliseconds(time: Timestamp) -> String {
    format!("{time:.3}")
}

/// The trace id of a W3C `traceparent`, if it is one.
fn trace_id(traceparent: &str) -> Option<&str> {
    let id = traceparent.split('-').nth(1)?;
    (id.len() == 32 && id.bytes().all(|b| b.is_ascii_hexdigit())).then_some(id)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record() -> Record {
        Record::start(
            "migrate",
            &Environment::from([(
                "TRACEPARENT",
                "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
            )]),
        )
    }

    #[test]
    fn a_refusal_names_step_reason_and_message() {
        let mut record = record();
        record.step("connect");
        record.end_step();
        record.fact("pending", 3);
        let failure = Failure {
            exit: Exit::Refused,
            code: "ExtensionNotPermitted",
            message: "no".into(),
        };
        let value: Value =
            serde_json::from_str(&record.render("refused", Some("connect"), Some(&failure)))
                .unwrap();
        assert_eq!(value["v"], 1);
        assert_eq!(value["outcome"], "refused");
        assert_eq!(value["step"], "connect");
        assert_eq!(value["code"], "ExtensionNotPermitted");
        assert_eq!(value["facts"]["pending"], 3);
        assert_eq!(value["steps"][0]["name"], "connect");
        assert_eq!(value["traceId"], "0af7651916cd43dd8448eb211c80319c");
        let started: Timestamp = value["startedAt"].as_str().unwrap().parse().unwrap();
        assert!(started <= Timestamp::now());
    }

    #[test]
    fn a_message_never_grows_beyond_what_the_kubelet_keeps() {
        let mut record = record();
        for _ in 0..500 {
            record.step("step");
        }
        record.fact("much", "x".repeat(5_000));
        let failure = Failure {
            exit: Exit::Temporary,
            code: "Refused",
            message: one_line(&"é\n".repeat(2_000)),
        };
        let text = record.render("failed", Some("step"), Some(&failure));
        assert!(text.len() <= MESSAGE_LIMIT, "{} bytes", text.len());
        let value: Value = serde_json::from_str(&text).unwrap();
        assert_eq!(value["code"], "Refused");
    }

    #[test]
    fn text_from_outside_becomes_one_line() {
        assert_eq!(one_line("  a\nb\u{1b}[31m "), "a b [31m");
    }

    #[test]
    fn a_traceparent_that_is_none_is_ignored() {
        assert_eq!(trace_id("nonsense"), None);
        assert_eq!(trace_id("00-xyz-1-01"), None);
    }
}
