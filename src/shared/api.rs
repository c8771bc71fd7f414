//! The one door to the API server for everything but watches: each call has a timeout, waits for one of a bounded number of places, is
//! counted, and is a span. Must never retry by itself: the back-off of the object decides when to try again.

use super::cache::Seen;
use super::metrics::Metrics;
use super::views::Pod;
use super::wish::Kind;
use http::{Method, Request};
use k8s_openapi::api::core;
use kube::Client;
use serde_json::{Value, json};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::Semaphore;
use tracing::Instrument;

/// No call takes longer than this, waiting for a place aside.
const TIMEOUT: Duration = Duration::from_secs(10);

/// What can go wrong in a call.
#[derive(Debug, thiserror::Error)]
pub enum ApiError {
    /// The API server said no.
    #[error("{verb} {what}: {code} {message}")]
    Refused {
        /// What was asked.
        verb: &'static str,
        /// Kind and name.
        what: String,
        /// HTTP status.
        code: u16,
        /// The API server's reason, e.g. `Conflict`.
        reason: String,
        /// Its message, cut.
        message: String,
    },
    /// No answer in time.
    #[error("{verb} {what}: no answer in time")]
    Timeout {
        /// What was asked.
        verb: &'static str,
        /// Kind and name.
        what: String,
    },
    /// The connection failed, or the answer was no JSON.
    #[error("{verb} {what}: {message}")]
    Transport {
        /// What was asked.
        verb: &'static str,
        /// Kind and name.
        what: String,
        /// The cause.
        message: String,
    },
}

impl ApiError {
    /// PascalCase, for conditions and metrics.
    pub fn reason(&self) -> &str {
        match self {
            Self::Refused { reason, .. } => reason,
            Self::Timeout { .. } => "Timeout",
            Self::Transport { .. } => "ConnectionFailed",
        }
    }
    /// HTTP status, if there was an answer.
    pub fn code(&self) -> Option<u16> {
        match self {
            Self::Refused { code, .. } => Some(*code),
            _ => None,
        }
    }
    /// The object is not there.
    pub fn is_not_found(&self) -> bool {
        self.code() == Some(404)
    }
    /// Another writer was faster, or the object exists already.
    pub fn is_conflict(&self) -> bool {
        self.code() == Some(409)
    }
}

/// See the module.
pub struct ApiServer {
    client: Client,
    host: String,
    places: Semaphore,
    metrics: Arc<Metrics>,
    timeout: Duration,
}

impl ApiServer {
    /// At most `places` calls at once. `host` is the label of the request metrics.
    pub fn new(client: Client, host: String, places: usize, metrics: Arc<Metrics>) -> Self {
        Self {
            client,
            host,
            places: Semaphore::new(places),
            metrics,
            timeout: TIMEOUT,
        }
    }

    /// With another limit for each call than 10 s.
    #[must_use]
    pub fn with_timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// The object, or `None`.
    ///
    /// # Errors
    /// All but "not found".
    pub async fn get(
        &self,
        kind: &Kind,
        namespace: &str,
        name: &str,
    ) -> Result<Option<Value>, ApiError> {
        let path = format!("{}/{name}", kind.collection(namespace));
        match self.call("get", Method::GET, kind, name, &path, None).await {
            Ok(object) => Ok(Some(object)),
            Err(error) if error.is_not_found() => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Creates an object by POST; one that exists is a conflict. For what must never be written over, such as generated keys.
    ///
    /// # Errors
    /// See [`ApiError`].
    pub async fn create(
        &self,
        kind: &Kind,
        namespace: &str,
        manager: &str,
        body: &Value,
    ) -> Result<Value, ApiError> {
        let path = format!("{}?fieldManager={manager}", kind.collection(namespace));
        let name = body["metadata"]["name"]
            .as_str()
            .unwrap_or("(generated)")
            .to_owned();
        self.call(
            "create",
            Method::POST,
            kind,
            &name,
            &path,
            Some(("application/json", body)),
        )
        .await
    }

    /// Server-side apply with force: our fields are ours.
    ///
    /// # Errors
    /// See [`ApiError`].
    pub async fn apply(
        &self,
        kind: &Kind,
        namespace: &str,
        name: &str,
        manager: &str,
        body: &Value,
    ) -> Result<Value, ApiError> {
        let path = format!(
            "{}/{name}?fieldManager={manager}&force=true",
            kind.collection(namespace)
        );
        self.call(
            "apply",
            Method::PATCH,
            kind,
            name,
            &path,
            Some(("application/apply-patch+yaml", body)),
        )
        .await
    }

    /// Replaces the whole status of the object with this uid, whatever else changed meanwhile.
    ///
    /// # Errors
    /// See [`ApiError`]; a 422 means that the object was replaced by another of its name.
    pub async fn replace_status(
        &self,
        kind: &Kind,
        namespace: &str,
        name: &str,
        manager: &str,
        uid: &str,
        status: &Value,
    ) -> Result<Value, ApiError> {
        let path = format!(
            "{}/{name}/status?fieldManager={manager}",
            kind.collection(namespace)
        );
        let patch = json!([{"op": "test", "path": "/metadata/uid", "value": uid}, {"op": "add", "path": "/status", "value": status}]);
        self.call(
            "status",
            Method::PATCH,
            kind,
            name,
            &path,
            Some(("application/json-patch+json", &patch)),
        )
        .await
    }

    /// JSON patch.
    ///
    /// # Errors
    /// See [`ApiError`].
    pub async fn json_patch(
        &self,
        kind: &Kind,
        namespace: &str,
        name: &str,
        manager: &str,
        patch: &Value,
    ) -> Result<Value, ApiError> {
        let path = format!(
            "{}/{name}?fieldManager={manager}",
            kind.collection(namespace)
        );
        self.call(
            "patch",
            Method::PATCH,
            kind,
            name,
            &path,
            Some(("application/json-patch+json", patch)),
        )
        .await
    }

    /// Merge patch.
    ///
    /// # Errors
    /// See [`ApiError`].
    pub async fn merge_patch(
        &self,
        kind: &Kind,
        namespace: &str,
        name: &str,
        manager: &str,
        patch: &Value,
    ) -> Result<Value, ApiError> {
        let path = format!(
            "{}/{name}?fieldManager={manager}",
            kind.collection(namespace)
        );
        self.call(
            "patch",
            Method::PATCH,
            kind,
            name,
            &path,
            Some(("application/merge-patch+json", patch)),
        )
        .await
    }

    /// Takes this very pod away, so that its workload makes another one.
    ///
    /// # Errors
    /// See [`ApiError`].
    pub async fn take_away(&self, pod: &Seen<Pod>) -> Result<(), ApiError> {
        let (kind, key) = (Kind::of::<core::v1::Pod>(), &pod.key);
        self.delete(&kind, &key.namespace, &key.name, &pod.uid, "Background")
            .await
    }

    /// Deletes the object with this uid; one that is gone already is no error.
    ///
    /// # Errors
    /// See [`ApiError`].
    pub async fn delete(
        &self,
        kind: &Kind,
        namespace: &str,
        name: &str,
        uid: &str,
        propagation: &str,
    ) -> Result<(), ApiError> {
        let path = format!("{}/{name}", kind.collection(namespace));
        let options = json!({"apiVersion": "v1", "kind": "DeleteOptions", "propagationPolicy": propagation, "preconditions": {"uid": uid}});
        match self
            .call(
                "delete",
                Method::DELETE,
                kind,
                name,
                &path,
                Some(("application/json", &options)),
            )
            .await
        {
            Ok(_) => Ok(()),
            Err(error) if error.is_not_found() => Ok(()),
            Err(error) => Err(error),
        }
    }

    async fn call(
        &self,
        verb: &'static str,
        method: Method,
        kind: &Kind,
        name: &str,
        path: &str,
        body: Option<(&str, &Value)>,
    ) -> Result<Value, ApiError> {
        let what = || format!("{} \"{name}\"", kind.kind);
        let transport = |message: String| ApiError::Transport {
            verb,
            what: what(),
            message,
        };
        let span = tracing::info_span!(
            "api", otel.name = format!("{method} {}", kind.route()), otel.kind = "client", http.request.method = %method,
            http.response.status_code = tracing::field::Empty, server.address = %self.host, k8s.object.name = name
        );
        let (content_type, bytes) = match body {
            Some((content_type, value)) => (
                content_type,
                serde_json::to_vec(value).map_err(|e| transport(e.to_string()))?,
            ),
            None => ("application/json", Vec::new()),
        };
        let request = Request::builder()
            .method(method.clone())
            .uri(path)
            .header(http::header::CONTENT_TYPE, content_type)
            .body(bytes)
            .map_err(|e| transport(e.to_string()))?;
        let _place = self
            .places
            .acquire()
            .await
            .map_err(|e| transport(e.to_string()))?;
        let start = Instant::now();
        let answer = tokio::time::timeout(self.timeout, self.client.request::<Value>(request))
            .instrument(span.clone())
            .await;
        self.metrics
            .request_time
            .with_label_values(&[verb])
            .observe(start.elapsed().as_secs_f64());
        let result = match answer {
            Err(_) => Err(ApiError::Timeout { verb, what: what() }),
            Ok(Ok(value)) => Ok(value),
            Ok(Err(kube::Error::Api(status))) => Err(ApiError::Refused {
                verb,
                what: what(),
                code: status.code,
                reason: if status.reason.is_empty() {
                    "Refused".to_owned()
                } else {
                    status.reason.clone()
                },
                message: super::conditions::quote(&status.message),
            }),
            Ok(Err(other)) => Err(transport(super::conditions::quote(&other.to_string()))),
        };
        let code = match &result {
            Ok(_) => 200,
            Err(error) => error.code().unwrap_or(0),
        };
        span.record("http.response.status_code", code);
        self.metrics
            .requests
            .with_label_values(&[&*code.to_string(), method.as_str(), &*self.host])
            .inc();
        if verb != "get" && result.is_ok() {
            self.metrics
                .writes
                .with_label_values(&[&*kind.kind, verb])
                .inc();
        }
        result
    }
}
