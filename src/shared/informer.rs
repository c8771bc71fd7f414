//! One watch of one kind: fills a cache, has its own back-off, never ends and never hands an error on. A fault shows as a closed gate,
//! a metric and a log line; other watches do not notice. A kind that is not served is asked for again when it may be.

use super::cache::{Cache, View};
use super::health::Gates;
use super::metrics::Metrics;
use super::serving::{Answer, Serving};
use super::wish::Kind;
use futures::StreamExt;
use kube::api::ObjectMeta;
use kube::core::DynamicResourceScope;
use kube::runtime::WatchStreamExt;
use kube::runtime::watcher::{self, Event};
use kube::{Api, Client, Resource};
use serde::{Deserialize, Deserializer};
use serde_json::Value;
use std::borrow::Cow;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;

/// A list that delivers nothing for this long is started anew. A running watch has kube's own limit ([`WATCH_SECONDS`] and 5 s).
pub const LIST_SILENCE: Duration = Duration::from_secs(60);
/// The API server ends each watch after this time; it is taken up where it ended.
const WATCH_SECONDS: u32 = 240;

/// An object as it came, with just the metadata that kube's watcher needs. Whatever the API server holds can be decoded. With `BARE`, the
/// API server sends no more than metadata.
#[derive(Clone, Debug)]
struct Incoming<const BARE: bool> {
    meta: ObjectMeta,
    object: Value,
}

impl<'de, const BARE: bool> Deserialize<'de> for Incoming<BARE> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let object = Value::deserialize(deserializer)?;
        let text = |key: &str| object["metadata"][key].as_str().map(ToOwned::to_owned);
        let meta = ObjectMeta {
            name: text("name"),
            namespace: text("namespace"),
            resource_version: text("resourceVersion"),
            ..ObjectMeta::default()
        };
        Ok(Self { meta, object })
    }
}

impl<const BARE: bool> Resource for Incoming<BARE> {
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
    fn metadata_api() -> bool {
        BARE
    }
    fn meta(&self) -> &ObjectMeta {
        &self.meta
    }
    fn meta_mut(&mut self) -> &mut ObjectMeta {
        &mut self.meta
    }
}

/// What an informer watches and whom it tells.
pub struct Informer<V> {
    /// For the watch alone; it is never used for other calls.
    pub client: Client,
    /// The kind.
    pub kind: Kind,
    /// A namespace, or empty for all.
    pub scope: String,
    /// Label selector, or empty for all objects.
    pub selector: &'static str,
    /// What is filled.
    pub cache: Arc<Cache<V>>,
    /// Where faults show.
    pub gates: Arc<Gates>,
    /// Where progress shows.
    pub metrics: Arc<Metrics>,
    /// How long a list may deliver nothing, [`LIST_SILENCE`].
    pub list_silence: Duration,
    /// The kind may not be served: where that is told. It does not keep the process from being ready.
    pub optional: Option<Arc<Serving>>,
}

/// Why a watch has to be made anew.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ended {
    /// Something failed.
    Fault,
    /// The list has to be asked for in another way.
    Paging,
    /// The kind cannot be used.
    Absent(Answer),
}

impl<V: View> Informer<V> {
    fn gate(&self) -> String {
        if self.scope.is_empty() {
            format!("informer {}", self.kind.kind)
        } else {
            format!("informer {} in {}", self.kind.kind, self.scope)
        }
    }

    /// Closes the gate, so that the process is not ready before the first list. Call before [`Informer::run`] is spawned.
    pub fn announce(&self) {
        if self.optional.is_none() {
            self.gates.close(&self.gate(), "no complete list yet");
        }
        self.metrics
            .informer_synced
            .with_label_values(&[&*self.kind.kind])
            .set(0);
    }

    /// Watches until it is dropped.
    pub async fn run(self) {
        self.watch::<false>().await;
    }

    /// Watches metadata until it is dropped.
    pub async fn run_bare(self) {
        self.watch::<true>().await;
    }

    async fn watch<const BARE: bool>(self) {
        let mut streaming = true;
        let mut heard = self.optional.as_ref().and_then(|o| o.listen());
        let mut tries = 0;
        loop {
            let config = watcher::Config {
                label_selector: (!self.selector.is_empty()).then(|| self.selector.to_owned()),
                ..watcher::Config::default()
            }
            .timeout(WATCH_SECONDS);
            let config = if streaming {
                config.streaming_lists()
            } else {
                config.page_size(500)
            };
            let api: Api<Incoming<BARE>> = if self.scope.is_empty() {
                Api::all_with(self.client.clone(), &self.kind)
            } else {
                Api::namespaced_with(self.client.clone(), &self.scope, &self.kind)
            };
            let events = watcher::watcher(api, config).default_backoff();
            let (ended, news) = tokio::select! {
                ended = self.follow(events, &mut streaming) => (ended, false),
                // The definition came or went: what the watch says is not to be relied upon.
                () = news(self.optional.as_deref(), heard.as_mut()) => (Ended::Fault, true),
            };
            match (ended, &self.optional) {
                (Ended::Absent(answer), Some(optional)) => {
                    // What was there is gone with its kind.
                    self.cache.list_begins(&self.scope);
                    self.cache.list_ends(&self.scope);
                    optional.answered(&self.scope, answer);
                    let news = optional.wait(heard.as_mut(), tries).await;
                    tries = if news { 0 } else { tries.saturating_add(1) };
                }
                (Ended::Fault, _) if !news => {
                    tries = 0;
                    self.metrics
                        .informer_restarts
                        .with_label_values(&[&*self.kind.kind])
                        .inc();
                }
                _ => tries = 0,
            }
        }
    }

    /// Handles events until the watch has to be made anew.
    async fn follow<const BARE: bool>(
        &self,
        events: impl futures::Stream<Item = watcher::Result<Event<Incoming<BARE>>>>,
        streaming: &mut bool,
    ) -> Ended {
        let mut events = std::pin::pin!(events);
        let mut listing = true;
        let kind = &*self.kind.kind;
        loop {
            let event = if listing {
                let Ok(event) = tokio::time::timeout(self.list_silence, events.next()).await else {
                    self.fault("the API server accepts the list and does not answer");
                    return Ended::Fault;
                };
                event
            } else {
                events.next().await
            };
            match event {
                None => return Ended::Fault,
                Some(Err(error)) => {
                    if self.optional.is_some()
                        && let Some(answer) = refusal(&error)
                    {
                        return Ended::Absent(answer);
                    }
                    self.fault(&error.to_string());
                    if *streaming && !self.cache.synced() && refuses_streaming(&error) {
                        tracing::info!(kind, "streaming lists are not served; paging instead");
                        *streaming = false;
                        return Ended::Paging;
                    }
                }
                Some(Ok(event)) => {
                    #[allow(clippy::cast_precision_loss)]
                    self.metrics
                        .informer_last_event
                        .with_label_values(&[kind])
                        .set(jiff::Timestamp::now().as_second() as f64);
                    match event {
                        Event::Init => {
                            listing = true;
                            self.cache.list_begins(&self.scope);
                        }
                        Event::InitApply(o) | Event::Apply(o) => self.cache.applied(o.object),
                        Event::Delete(o) => self.cache.deleted(
                            &super::cache::Key::of(&o.object),
                            o.object["metadata"]["uid"].as_str().unwrap_or_default(),
                        ),
                        Event::InitDone => {
                            listing = false;
                            self.cache.list_ends(&self.scope);
                            if let Some(optional) = &self.optional {
                                optional.answered(&self.scope, Answer::Served);
                            }
                            if self.cache.synced() {
                                self.metrics
                                    .informer_synced
                                    .with_label_values(&[kind])
                                    .set(1);
                            }
                        }
                    }
                    if !listing && self.optional.is_none() {
                        self.gates.open(&self.gate());
                    }
                    self.metrics
                        .informer_objects
                        .with_label_values(&[kind])
                        .set(i64::try_from(self.cache.len()).unwrap_or(i64::MAX));
                }
            }
        }
    }

    /// A first list that does not come keeps the process from being ready. Later faults are told but do not unready it: the other kinds work.
    fn fault(&self, why: &str) {
        tracing::warn!(kind = %self.kind.kind, scope = %self.scope, error = why, "watch failed, it is started again");
        self.metrics
            .informer_restarts
            .with_label_values(&[&*self.kind.kind])
            .inc();
        if !self.cache.synced() && self.optional.is_none() {
            self.gates.close(&self.gate(), why);
        }
    }
}

/// The API server says that the kind is not there, or not for us.
fn refusal(error: &watcher::Error) -> Option<Answer> {
    let (watcher::Error::InitialListFailed(kube::Error::Api(status))
    | watcher::Error::WatchStartFailed(kube::Error::Api(status))
    | watcher::Error::WatchError(status)) = error
    else {
        return None;
    };
    match status.code {
        404 => Some(Answer::Missing),
        403 => Some(Answer::Forbidden),
        _ => None,
    }
}

/// The definition of an optional kind came or went.
async fn news(optional: Option<&Serving>, heard: Option<&mut watch::Receiver<u64>>) {
    match optional {
        Some(optional) => optional.news(heard).await,
        None => std::future::pending().await,
    }
}

fn refuses_streaming(error: &watcher::Error) -> bool {
    let (watcher::Error::InitialListFailed(kube::Error::Api(status))
    | watcher::Error::WatchStartFailed(kube::Error::Api(status))
    | watcher::Error::WatchError(status)) = error
    else {
        return false;
    };
    status.code == 422 || (status.code == 400 && status.message.contains("sendInitialEvents"))
}
