//! The agent's last word: what a Job's pod left as its termination message. Pure.

use crate::shared::cache::Seen;
use crate::shared::conditions::quote;
use crate::shared::views::{Job, Pod};
use k8s_openapi::jiff::Timestamp;
use serde::Deserialize;
use serde_json::{Map, Value};
use std::sync::Arc;
use std::time::Duration;

/// How long it may take to arrive after its Job has ended.
const WORD_WITHIN: Duration = Duration::from_secs(10);

/// See the module.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Said {
    task: String,
    /// `done`, `nothing`, `refused`, `failed`.
    pub outcome: String,
    /// The step that it ended in.
    pub step: String,
    /// PascalCase.
    pub code: String,
    /// For people, as the agent wrote it.
    pub message: String,
    finished_at: String,
    facts: Map<String, Value>,
}

/// Why something that a Job did has failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cause {
    /// Reason of the condition `Failed`.
    pub reason: &'static str,
    /// Step.
    pub step: String,
    /// For people.
    pub message: String,
}

impl Said {
    /// The last word about this task of several pods.
    pub fn last(task: &str, pods: &[Arc<Seen<Pod>>]) -> Option<Self> {
        pods.iter()
            .filter_map(|pod| serde_json::from_str::<Self>(pod.view.result.as_deref()?).ok())
            .filter(|said| said.task == task)
            .max_by(|a, b| a.finished_at.cmp(&b.finished_at))
    }

    /// It did what it was asked for.
    pub fn is_done(&self) -> bool {
        self.outcome == "done"
    }

    /// A fact that is a text.
    pub fn text(&self, fact: &str) -> Option<String> {
        self.facts.get(fact)?.as_str().map(quote)
    }

    /// A fact that is a text, as the agent wrote it: never for people.
    pub fn whole(&self, fact: &str) -> Option<&str> {
        self.facts.get(fact)?.as_str()
    }

    /// A fact that is a number.
    pub fn number(&self, fact: &str) -> Option<i64> {
        self.facts.get(fact)?.as_i64()
    }

    /// A fact that is true or false.
    pub fn flag(&self, fact: &str) -> Option<bool> {
        self.facts.get(fact)?.as_bool()
    }

    /// Why it did not, in one sentence.
    pub fn why(&self) -> String {
        format!(
            "{} in step {}: \"{}\"",
            quote(&self.code),
            quote(&self.step),
            quote(&self.message)
        )
    }
}

/// The Job has just ended, and a word of its pods may still be on its way.
pub fn may_come(job: &Job, now: Timestamp) -> bool {
    job.ended().is_some_and(|ended| {
        let passed = now.duration_since(ended);
        Duration::try_from(passed).is_ok_and(|passed| passed < WORD_WITHIN)
    })
}
