//! One kube `Controller` per kind, fed by our informers. Around each pass: a span, a time limit, a wall against panics, metrics, and the
//! back-off of the object. The streams that feed it never end and never fail, so its own back-off, common to all triggers, never starts.

use super::backoff::Failures;
use super::cache::{Cache, Key, Seen, View};
use super::metrics::Metrics;
use super::triggers::Triggers;
use super::wish::Kind;
use futures::{FutureExt, StreamExt, stream};
use kube::Resource;
use kube::api::ObjectMeta;
use kube::core::DynamicResourceScope;
use kube::runtime::controller::{Action, Config, Controller};
use kube::runtime::reflector::{ObjectRef, Store, store::Writer};
use kube::runtime::watcher::Event;
use std::borrow::Cow;
use std::panic::AssertUnwindSafe;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use tokio_util::sync::CancellationToken;
use tracing::Instrument;

/// A pass that takes longer is given up; what it had done stands, and the next pass goes on.
const PASS_LIMIT: Duration = Duration::from_secs(60);
/// A pass without a cause, as a safety net; the real interval is up to a fifth shorter.
const RESYNC: Duration = Duration::from_secs(3600);

/// When to look again without a cause.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Again {
    /// At the next resync.
    Someday,
    /// After this time at the latest.
    After(Duration),
}

/// A pass that did not reach its end. `reason` is a metric label and a condition reason.
#[derive(Debug, thiserror::Error)]
#[error("{step}: {message}")]
pub struct Failure {
    /// `dereference`, `apply`, …
    pub step: &'static str,
    /// PascalCase.
    pub reason: String,
    /// For people.
    pub message: String,
}

impl Failure {
    /// Of an error with its reason.
    pub fn new(step: &'static str, reason: &str, error: &dyn std::fmt::Display) -> Self {
        Self {
            step,
            reason: reason.to_owned(),
            message: error.to_string(),
        }
    }
}

/// A controller's work.
pub trait Reconcile: Send + Sync + 'static {
    /// What is kept of the objects that it controls.
    type View: View;
    /// Value of the label `controller` in metrics, e.g. `instance`.
    const NAME: &'static str;

    /// One pass over one object.
    fn reconcile(
        &self,
        seen: Arc<Seen<Self::View>>,
    ) -> impl Future<Output = Result<Again, Failure>> + Send;

    /// The trace that the object says it comes from.
    fn traceparent(_seen: &Seen<Self::View>) -> Option<String> {
        None
    }
}

/// What the kube `Controller` knows of an object: that it exists. The rest is in our cache.
#[derive(Clone, Debug, serde::Deserialize)]
struct Tracked(ObjectMeta);

impl Resource for Tracked {
    type DynamicType = Kind;
    type Scope = DynamicResourceScope;
    fn kind(dt: &Kind) -> Cow<'_, str> {
        dt.kind.clone()
    }
    fn group(dt: &Kind) -> Cow<'_, str> {
        dt.group.clone()
    }
    fn version(dt: &Kind) -> Cow<'_, str> {
        dt.version.clone()
    }
    fn plural(dt: &Kind) -> Cow<'_, str> {
        dt.plural.clone()
    }
    fn meta(&self) -> &ObjectMeta {
        &self.0
    }
    fn meta_mut(&mut self) -> &mut ObjectMeta {
        &mut self.0
    }
}

/// The list of objects that the kube `Controller` may be asked about; kept in step with a cache by a subscriber.
#[derive(Clone)]
pub struct Roll {
    writer: Arc<Mutex<Writer<Tracked>>>,
    store: Store<Tracked>,
    kind: Kind,
}

impl Roll {
    /// Empty and ready.
    pub fn new(kind: Kind) -> Self {
        let mut writer = Writer::new(kind.clone());
        writer.apply_watcher_event(&Event::Init);
        writer.apply_watcher_event(&Event::InitDone);
        Self {
            store: writer.as_reader(),
            writer: Arc::new(Mutex::new(writer)),
            kind,
        }
    }

    /// Follows a cache: give the result to [`Cache::on_itself`], before what wakes the controller.
    pub fn follow<V: 'static>(&self) -> super::cache::Subscriber<V> {
        let writer = self.writer.clone();
        Box::new(move |old: Option<&Seen<V>>, new: Option<&Seen<V>>| {
            let mut writer = writer.lock().unwrap_or_else(PoisonError::into_inner);
            match (old, new) {
                (None, Some(seen)) => writer.apply_watcher_event(&Event::Apply(tracked(&seen.key))),
                (Some(seen), None) => {
                    writer.apply_watcher_event(&Event::Delete(tracked(&seen.key)));
                }
                _ => {}
            }
        })
    }
}

fn tracked(key: &Key) -> Tracked {
    Tracked(ObjectMeta {
        name: Some(key.name.to_string()),
        namespace: (!key.namespace.is_empty()).then(|| key.namespace.to_string()),
        ..ObjectMeta::default()
    })
}

/// What a controller runs with.
pub struct Runner<R: Reconcile> {
    /// Its work.
    pub work: Arc<R>,
    /// What is known of its objects.
    pub cache: Arc<Cache<R::View>>,
    /// Which of them exist.
    pub roll: Roll,
    /// Which of them to look at.
    pub triggers: Arc<Triggers>,
    /// Objects at once.
    pub concurrency: u16,
    /// Passes that fail.
    pub failures: Arc<Failures>,
    /// Metrics.
    pub metrics: Arc<Metrics>,
    /// Cancelled: no new pass begins, and [`Runner::run`] returns when the running ones have ended.
    pub stop: CancellationToken,
}

impl<R: Reconcile> Runner<R> {
    /// Runs until it is stopped. All caches must be synced before.
    pub async fn run(self) {
        let name = R::NAME;
        self.metrics
            .max_concurrent
            .with_label_values(&[name])
            .set(self.concurrency.into());
        let kind = self.roll.kind.clone();
        let refs = self.triggers.clone().stream().map(move |key| {
            let reference = ObjectRef::<Tracked>::new_with(&key.name, kind.clone());
            if key.namespace.is_empty() {
                reference
            } else {
                reference.within(&key.namespace)
            }
        });
        let (roll, concurrency, stop) = (self.roll.clone(), self.concurrency, self.stop.clone());
        let this = Arc::new(self);
        let retry = this.clone();
        let controller =
            Controller::for_stream_with(stream::pending(), roll.store.clone(), roll.kind.clone())
                .with_config(Config::default().concurrency(concurrency))
                .reconcile_on(refs)
                .graceful_shutdown_on(async move { stop.cancelled().await })
                .run(
                    move |object: Arc<Tracked>, this: Arc<Self>| async move {
                        this.pass(&key_of(&object)).await
                    },
                    move |object: Arc<Tracked>, _: &Failure, _| {
                        retry.metrics.queue_retries.with_label_values(&[name]).inc();
                        Action::requeue(retry.failures.failed(&key_of(&object)))
                    },
                    this,
                );
        controller.for_each(|_| std::future::ready(())).await;
    }

    async fn pass(&self, key: &Key) -> Result<Action, Failure> {
        let Some(seen) = self.cache.get(key) else {
            self.failures.forget(key);
            return Ok(Action::await_change());
        };
        let span = tracing::info_span!(
            parent: None, "reconcile", otel.name = format!("reconcile {}", self.roll.kind.kind), controller = R::NAME,
            k8s.namespace.name = %key.namespace, paperclip.kind = %self.roll.kind.kind, paperclip.name = %key.name,
            paperclip.generation = seen.generation, paperclip.outcome = tracing::field::Empty, trace_id = tracing::field::Empty
        );
        if let Some(from) = R::traceparent(&seen) {
            super::telemetry::link(&span, &from);
        }
        span.in_scope(|| {
            if let Some(id) = super::telemetry::trace_id() {
                span.record("trace_id", id);
            }
        });
        self.measured(key, seen).instrument(span).await
    }

    async fn measured(&self, key: &Key, seen: Arc<Seen<R::View>>) -> Result<Action, Failure> {
        let name = R::NAME;
        let active = self.metrics.active_workers.with_label_values(&[name]);
        active.inc();
        let start = Instant::now();
        let ended = AssertUnwindSafe(tokio::time::timeout(PASS_LIMIT, self.work.reconcile(seen)))
            .catch_unwind()
            .await;
        active.dec();
        self.metrics
            .reconcile_time
            .with_label_values(&[name])
            .observe(start.elapsed().as_secs_f64());
        let result = match ended {
            Ok(Ok(result)) => result,
            Ok(Err(_)) => {
                self.metrics
                    .reconcile_timeouts
                    .with_label_values(&[name])
                    .inc();
                Err(Failure {
                    step: "pass",
                    reason: "Timeout".into(),
                    message: format!("not done within {} s", PASS_LIMIT.as_secs()),
                })
            }
            Err(_) => {
                self.metrics
                    .reconcile_panics
                    .with_label_values(&[name])
                    .inc();
                Err(Failure {
                    step: "pass",
                    reason: "InternalError".into(),
                    message: "the pass panicked, see the log".into(),
                })
            }
        };
        let outcome = match &result {
            Ok(Again::Someday) => "success",
            Ok(Again::After(_)) => "requeue_after",
            Err(_) => "error",
        };
        tracing::Span::current().record("paperclip.outcome", outcome);
        self.metrics
            .reconciles
            .with_label_values(&[name, outcome])
            .inc();
        match result {
            Ok(again) => {
                if self.failures.forget(key) {
                    tracing::info!(object = %key, controller = name, "recovered");
                }
                let resync = RESYNC.mul_f64(1.0 - 0.2 * super::random::fraction());
                Ok(Action::requeue(match again {
                    Again::Someday => resync,
                    Again::After(wait) => wait.min(resync),
                }))
            }
            Err(failure) => {
                self.metrics
                    .reconcile_errors
                    .with_label_values(&[name])
                    .inc();
                tracing::warn!(object = %key, controller = name, step = failure.step, reason = failure.reason, error = failure.message, "reconcile failed");
                Err(failure)
            }
        }
    }
}

fn key_of(object: &Tracked) -> Key {
    Key::new(
        object.0.namespace.as_deref().unwrap_or_default(),
        object.0.name.as_deref().unwrap_or_default(),
    )
}
