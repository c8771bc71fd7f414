//! Whether a kind that is no part of Kubernetes can be used here: nobody may have installed it, or we may not look at it. It may come and
//! go while we run. Must never keep anything else from working.

use super::cache::{Cache, Key};
use super::metrics::Metrics;
use super::views::Bare;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::watch;

/// A definition that was just made is served a moment later.
const FIRST_TRY: Duration = Duration::from_millis(250);
/// Where nobody tells us of definitions, we ask this often.
const LAST_TRY: Duration = Duration::from_secs(300);
/// The kind of definitions themselves.
const DEFINITION: &str = "customresourcedefinitions.apiextensions.k8s.io";

/// What the API server says of a kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    /// It can be used.
    Served,
    /// Nobody has installed it, or not this version of it.
    Missing,
    /// We may not look at it.
    Forbidden,
}

/// The names of the cluster's CustomResourceDefinitions.
pub struct Definitions {
    /// Filled by a watch of metadata.
    pub cache: Arc<Cache<Bare>>,
    /// Whether we may watch them.
    pub serving: Arc<Serving>,
    changes: Arc<watch::Sender<u64>>,
}

impl Definitions {
    /// None known yet.
    pub fn new(metrics: &Arc<Metrics>) -> Self {
        let everywhere = [String::new()];
        let changes = Arc::new(watch::Sender::new(0));
        let tell = changes.clone();
        let cache = Cache::new(&[], &everywhere)
            .on_owner(Box::new(move |_, _| tell.send_modify(|n| *n += 1)));
        Self {
            cache: Arc::new(cache),
            serving: Arc::new(Serving::new(DEFINITION, None, &everywhere, metrics, || {})),
            changes,
        }
    }
}

/// An optional kind: what is known of its objects, and whether it can be used.
pub struct Optional<V> {
    /// What is known; empty while the kind cannot be used.
    pub cache: Arc<Cache<V>>,
    /// Whether it can be used.
    pub serving: Arc<Serving>,
}

impl<V> Optional<V> {
    /// It can be used.
    pub fn is_served(&self) -> bool {
        self.serving.now() == Some(Answer::Served)
    }
}

/// See the module. One for each such kind.
pub struct Serving {
    definition: String,
    definitions: Option<Arc<Definitions>>,
    answers: Mutex<HashMap<String, Answer>>,
    scopes: Vec<String>,
    told: Box<dyn Fn() + Send + Sync>,
    metrics: Arc<Metrics>,
}

impl Serving {
    /// `definition`: name of the CustomResourceDefinition. `definitions`: those of the cluster, unless we are for some namespaces only.
    /// `told` is called when the answer is another one than before.
    pub fn new(
        definition: &str,
        definitions: Option<Arc<Definitions>>,
        scopes: &[String],
        metrics: &Arc<Metrics>,
        told: impl Fn() + Send + Sync + 'static,
    ) -> Self {
        Self {
            definition: definition.to_owned(),
            definitions,
            answers: Mutex::default(),
            scopes: scopes.to_vec(),
            told: Box::new(told),
            metrics: metrics.clone(),
        }
    }

    /// The answer for all scopes together, the worst; `None`: it has not been given for all of them yet.
    pub fn now(&self) -> Option<Answer> {
        let answers = self.answers.lock().unwrap_or_else(PoisonError::into_inner);
        let all: Option<Vec<Answer>> = self
            .scopes
            .iter()
            .map(|s| answers.get(s).copied())
            .collect();
        let all = all?;
        [Answer::Missing, Answer::Forbidden]
            .into_iter()
            .find(|bad| all.contains(bad))
            .or(Some(Answer::Served))
    }

    /// Notes an answer.
    pub(super) fn answered(&self, scope: &str, answer: Answer) {
        let before = self.now();
        self.answers
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .insert(scope.to_owned(), answer);
        let now = self.now();
        if before != now {
            tracing::info!(definition = self.definition, answer = ?now, "an optional kind");
            self.metrics
                .crd_missing
                .with_label_values(&[&self.definition])
                .set(i64::from(now != Some(Answer::Served)));
            (self.told)();
        }
    }

    /// The definition exists; `None`: we do not see definitions.
    fn is_defined(&self) -> Option<bool> {
        let definitions = self.definitions.as_ref()?;
        let seen = definitions.serving.now() == Some(Answer::Served) && definitions.cache.synced();
        let key = Key::new("", &self.definition);
        seen.then(|| definitions.cache.get(&key).is_some())
    }

    /// Hears of definitions.
    pub(super) fn listen(&self) -> Option<watch::Receiver<u64>> {
        self.definitions.as_ref().map(|d| d.changes.subscribe())
    }

    /// Ends when the definition is seen to have come or gone since the last answer.
    pub(super) async fn news(&self, heard: Option<&mut watch::Receiver<u64>>) {
        let Some(heard) = heard else {
            return std::future::pending().await;
        };
        while heard.changed().await.is_ok() {
            let answer = self.now().map(|a| a == Answer::Served);
            if answer.is_some() && self.is_defined().is_some_and(|is| Some(is) != answer) {
                return;
            }
        }
        std::future::pending::<()>().await;
    }

    /// Waits until it is worth asking again, after `tries` that were in vain. True if there were news.
    pub(super) async fn wait(&self, heard: Option<&mut watch::Receiver<u64>>, tries: u32) -> bool {
        let pause = FIRST_TRY.saturating_mul(2_u32.saturating_pow(tries.min(20)));
        let pause = pause.min(LAST_TRY.mul_f64(0.8 + 0.4 * super::random::fraction()));
        if self.is_defined() == Some(false) {
            self.news(heard).await;
            return true;
        }
        tokio::select! {
            () = self.news(heard) => true,
            () = tokio::time::sleep(pause) => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;
    use std::sync::atomic::{AtomicU32, Ordering};

    const NAME: &str = "x.example.com";

    fn serving(scopes: &[&str], told: &Arc<AtomicU32>) -> Serving {
        let told = told.clone();
        let scopes: Vec<String> = scopes.iter().map(|s| (*s).to_owned()).collect();
        Serving::new(NAME, None, &scopes, &Metrics::new().unwrap(), move || {
            told.fetch_add(1, Ordering::Relaxed);
        })
    }

    #[test]
    fn the_worst_answer_counts_and_only_a_change_is_told() {
        let told = Arc::default();
        let serving = serving(&["a", "b"], &told);
        serving.answered("a", Answer::Served);
        assert_eq!((serving.now(), told.load(Ordering::Relaxed)), (None, 0));
        serving.answered("b", Answer::Forbidden);
        assert_eq!(serving.now(), Some(Answer::Forbidden));
        serving.answered("b", Answer::Served);
        serving.answered("b", Answer::Served);
        assert_eq!(serving.now(), Some(Answer::Served));
        assert_eq!(told.load(Ordering::Relaxed), 2);
    }

    #[tokio::test(start_paused = true)]
    async fn a_definition_that_comes_ends_the_wait_and_one_of_others_does_not() {
        let metrics = Metrics::new().unwrap();
        let definitions = Arc::new(Definitions::new(&metrics));
        let scopes = [String::new()];
        let serving = Serving::new(NAME, Some(definitions.clone()), &scopes, &metrics, || {});
        definitions.cache.list_begins("");
        definitions.cache.list_ends("");
        definitions.serving.answered("", Answer::Served);
        serving.answered("", Answer::Missing);
        let mut heard = serving.listen();
        let define = |name: &str| {
            definitions
                .cache
                .applied(json!({"metadata": {"name": name, "uid": name, "resourceVersion": "1"}}));
        };
        let hour = Duration::from_secs(3600);
        define("y.example.com");
        let wait = tokio::time::timeout(hour, serving.wait(heard.as_mut(), 0)).await;
        assert!(
            wait.is_err(),
            "nothing is asked while it is known to be absent"
        );
        define(NAME);
        let wait = tokio::time::timeout(hour, serving.wait(heard.as_mut(), 0)).await;
        assert_eq!(wait, Ok(true));
        // It takes a moment to be served.
        let start = tokio::time::Instant::now();
        assert!(!serving.wait(heard.as_mut(), 2).await);
        assert_eq!(start.elapsed(), Duration::from_secs(1));
    }

    #[tokio::test(start_paused = true)]
    async fn who_does_not_see_definitions_asks_now_and_then() {
        let serving = serving(&[""], &Arc::default());
        let start = tokio::time::Instant::now();
        assert!(!serving.wait(None, 99).await);
        assert!(
            start.elapsed() >= LAST_TRY.mul_f64(0.8) && start.elapsed() <= LAST_TRY.mul_f64(1.2)
        );
    }
}
