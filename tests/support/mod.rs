//! An API server for the tests of the runtime layer: it stores objects, lists and watches, and misbehaves on demand. What it knows of the
//! protocol is what kube's watcher and client-go's lease protocol need; what depends on the real one is tested on the real one.

use http_body_util::{BodyExt, StreamBody, combinators::BoxBody};
use hyper::body::{Bytes, Frame, Incoming};
use hyper::{Method, Request, Response};
use serde_json::{Value, json};
use std::collections::{BTreeMap, HashMap};
use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::broadcast;

/// How requests for a plural are answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Manner {
    /// As they should be.
    Serve,
    /// 403.
    Refuse,
    /// The connection is accepted and nothing comes.
    Silent,
    /// Reads as they should be, writes 500.
    RefuseWrites,
}

#[derive(Default)]
struct State {
    objects: BTreeMap<(String, String), Value>,
    version: u64,
    manners: HashMap<String, Manner>,
    requests: Vec<(Method, String)>,
    watchers: HashMap<String, broadcast::Sender<Option<Value>>>,
    expired: bool,
}

/// See the module.
#[derive(Clone)]
pub struct Fake {
    state: Arc<Mutex<State>>,
    pub addr: SocketAddr,
}

type Body = BoxBody<Bytes, Infallible>;

impl Fake {
    pub async fn start() -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let fake = Self {
            state: Arc::default(),
            addr: listener.local_addr().unwrap(),
        };
        fake.lock().version = 100;
        let serving = fake.clone();
        tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                let fake = serving.clone();
                tokio::spawn(async move {
                    let service = hyper::service::service_fn(move |request| {
                        let fake = fake.clone();
                        async move { Ok::<_, Infallible>(fake.answer(request).await) }
                    });
                    let _ = hyper::server::conn::http1::Builder::new()
                        .serve_connection(hyper_util::rt::TokioIo::new(stream), service)
                        .await;
                });
            }
        });
        fake
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn client(&self) -> kube::Client {
        let mut config = kube::Config::new(format!("http://{}", self.addr).parse().unwrap());
        config.default_retry = false;
        kube::Client::try_from(config).unwrap()
    }

    pub fn kubeconfig(&self) -> String {
        json!({"apiVersion": "v1", "kind": "Config", "current-context": "x",
            "clusters": [{"name": "c", "cluster": {"server": format!("http://{}", self.addr)}}],
            "users": [{"name": "u", "user": {}}], "contexts": [{"name": "x", "context": {"cluster": "c", "user": "u", "namespace": "default"}}]})
        .to_string()
    }

    pub fn manner(&self, plural: &str, manner: Manner) {
        self.lock().manners.insert(plural.into(), manner);
    }

    /// Stores an object and tells the watchers.
    pub fn put(&self, plural: &str, mut object: Value) {
        let mut state = self.lock();
        state.version += 1;
        let (version, key) = (state.version, (plural.to_owned(), key(&object)));
        object["metadata"]["resourceVersion"] = json!(version.to_string());
        if object["metadata"]["uid"].is_null() {
            object["metadata"]["uid"] = json!(format!("uid-{}", key.1));
        }
        let kind = if state.objects.insert(key, object.clone()).is_some() {
            "MODIFIED"
        } else {
            "ADDED"
        };
        state.tell(plural, Some(json!({"type": kind, "object": object})));
    }

    /// Removes an object; the watchers hear of it only if `told`.
    pub fn remove(&self, plural: &str, name: &str, told: bool) {
        let mut state = self.lock();
        state.version += 1;
        let gone = state.objects.remove(&(plural.to_owned(), name.to_owned()));
        if let (Some(mut object), true) = (gone, told) {
            object["metadata"]["resourceVersion"] = json!(state.version.to_string());
            state.tell(plural, Some(json!({"type": "DELETED", "object": object})));
        }
    }

    /// Cuts every watch of a plural; with `expired`, the watch cannot be taken up where it ended.
    pub fn cut(&self, plural: &str, expired: bool) {
        let mut state = self.lock();
        state.expired = expired;
        state.tell(plural, None);
    }

    pub fn requests(&self) -> Vec<(Method, String)> {
        self.lock().requests.clone()
    }

    pub fn writes(&self) -> usize {
        self.lock()
            .requests
            .iter()
            .filter(|(method, path)| method != Method::GET && !path.contains("/leases"))
            .count()
    }

    async fn answer(&self, request: Request<Incoming>) -> Response<Body> {
        let (parts, body) = request.into_parts();
        let path = parts.uri.path().to_owned();
        let query: HashMap<String, String> =
            url::form_urlencoded::parse(parts.uri.query().unwrap_or_default().as_bytes())
                .into_owned()
                .collect();
        let body = body
            .collect()
            .await
            .map(http_body_util::Collected::to_bytes)
            .unwrap_or_default();
        let (plural, name) = split(&path);
        let manner = {
            let mut state = self.lock();
            state.requests.push((
                parts.method.clone(),
                format!("{path}?{}", parts.uri.query().unwrap_or_default()),
            ));
            state.manners.get(&plural).copied().unwrap_or(Manner::Serve)
        };
        match manner {
            Manner::Silent => std::future::pending::<()>().await,
            Manner::Refuse => return status(403, "Forbidden", "no right"),
            Manner::RefuseWrites if parts.method != Method::GET => {
                return status(500, "InternalError", "broken");
            }
            _ => {}
        }
        match parts.method {
            Method::GET if query.get("watch").is_some_and(|w| w == "true") => {
                self.watch(&plural, &query)
            }
            Method::GET if name.is_empty() => self.list(&plural),
            Method::GET => match self.lock().objects.get(&(plural, name)) {
                Some(object) => answer(200, object),
                None => status(404, "NotFound", "not found"),
            },
            _ => {
                let mut object: Value = serde_json::from_slice(&body).unwrap_or_default();
                let stored = (plural.clone(), key(&object));
                let (exists, current) = {
                    let state = self.lock();
                    let old = state.objects.get(&stored);
                    (
                        old.is_some(),
                        old.map(|o| o["metadata"]["resourceVersion"].clone()),
                    )
                };
                let wanted = object["metadata"]["resourceVersion"].clone();
                if (parts.method == Method::POST && exists)
                    || (exists && !wanted.is_null() && Some(wanted) != current)
                {
                    return status(409, "Conflict", "conflict");
                }
                self.put(&plural, object.take());
                answer(200, &self.lock().objects[&stored])
            }
        }
    }

    fn list(&self, plural: &str) -> Response<Body> {
        let state = self.lock();
        let items: Vec<_> = state
            .objects
            .iter()
            .filter(|((p, _), _)| p == plural)
            .map(|(_, o)| o.clone())
            .collect();
        answer(
            200,
            &json!({"kind": "List", "apiVersion": "v1", "metadata": {"resourceVersion": state.version.to_string()}, "items": items}),
        )
    }

    fn watch(&self, plural: &str, query: &HashMap<String, String>) -> Response<Body> {
        let mut state = self.lock();
        let initial = query.contains_key("sendInitialEvents");
        if state.expired && !initial {
            state.expired = false;
            let gone = json!({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure", "code": 410, "reason": "Expired", "message": "too old resource version"});
            let bytes = line(&json!({"type": "ERROR", "object": gone}));
            return Response::new(BodyExt::boxed(http_body_util::Full::new(Bytes::from(
                bytes,
            ))));
        }
        let mut first = vec![];
        if initial {
            first.extend(
                state
                    .objects
                    .iter()
                    .filter(|((p, _), _)| p == plural)
                    .map(|(_, o)| json!({"type": "ADDED", "object": o})),
            );
            let version = state.version.to_string();
            first.push(json!({"type": "BOOKMARK", "object": {"apiVersion": "v1", "kind": "X",
                "metadata": {"resourceVersion": version, "annotations": {"k8s.io/initial-events-end": "true"}}}}));
        }
        let sender = state
            .watchers
            .entry(plural.to_owned())
            .or_insert_with(|| broadcast::channel(100_000).0);
        let events = sender.subscribe();
        let first: Vec<u8> = first.iter().flat_map(line).collect();
        let stream =
            futures::stream::unfold((Some(first), events), |(first, mut events)| async move {
                if let Some(bytes) = first {
                    return Some((Ok(Frame::data(Bytes::from(bytes))), (None, events)));
                }
                let event = events.recv().await.ok()??;
                Some((
                    Ok::<_, Infallible>(Frame::data(Bytes::from(line(&event)))),
                    (None, events),
                ))
            });
        Response::new(BodyExt::boxed(StreamBody::new(SyncStream(Mutex::new(
            Box::pin(stream),
        )))))
    }
}

/// Body streams have to be `Sync`; this one is polled by one task.
struct SyncStream<S>(Mutex<S>);
impl<S: futures::Stream + Unpin> futures::Stream for SyncStream<S> {
    type Item = S::Item;
    fn poll_next(
        self: std::pin::Pin<&mut Self>,
        cx: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Option<S::Item>> {
        let mut inner = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        std::pin::Pin::new(&mut *inner).poll_next(cx)
    }
}

impl State {
    fn tell(&mut self, plural: &str, event: Option<Value>) {
        if let Some(sender) = self.watchers.get(plural) {
            let _ = sender.send(event);
        }
    }
}

fn line(event: &Value) -> Vec<u8> {
    let mut bytes = serde_json::to_vec(event).unwrap();
    bytes.push(b'\n');
    bytes
}

fn key(object: &Value) -> String {
    object["metadata"]["name"]
        .as_str()
        .unwrap_or_default()
        .to_owned()
}

/// `/apis/g/v/namespaces/ns/things/name` -> (`things`, `name`).
fn split(path: &str) -> (String, String) {
    let mut parts: Vec<&str> = path.split('/').filter(|p| !p.is_empty()).collect();
    parts.drain(..if parts.first() == Some(&"api") { 2 } else { 3 });
    if parts.first() == Some(&"namespaces") && parts.len() > 2 {
        parts.drain(..2);
    }
    (
        parts.first().unwrap_or(&"").to_string(),
        parts.get(1).unwrap_or(&"").to_string(),
    )
}

fn answer(code: u16, value: &Value) -> Response<Body> {
    let body = BodyExt::boxed(http_body_util::Full::new(Bytes::from(
        serde_json::to_vec(value).unwrap(),
    )));
    Response::builder()
        .status(code)
        .header("content-type", "application/json")
        .body(body)
        .unwrap()
}

fn status(code: u16, reason: &str, message: &str) -> Response<Body> {
    answer(
        code,
        &json!({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure", "code": code, "reason": reason, "message": message}),
    )
}
