//! `/livez`, `/readyz`, `/healthz` and `/metrics`. Readiness is a list of named gates; the answer names those that are not open.

use super::metrics::Metrics;
use futures::future::BoxFuture;
use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::{Request, Response, StatusCode};
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::net::TcpListener;

/// Without a sign of life of the runtime for this long, the process is not alive.
const STALE: Duration = Duration::from_secs(120);

/// What must be open before the process is ready.
#[derive(Default)]
pub struct Gates {
    closed: Mutex<BTreeMap<String, String>>,
    last_beat: AtomicI64,
}

impl Gates {
    /// None closed.
    pub fn new() -> Arc<Self> {
        let gates = Self::default();
        gates.beat();
        Arc::new(gates)
    }

    /// Closes `gate`; `why` is shown.
    pub fn close(&self, gate: &str, why: impl Into<String>) {
        self.closed
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .insert(gate.to_owned(), why.into());
    }

    /// Opens `gate`.
    pub fn open(&self, gate: &str) {
        self.closed
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .remove(gate);
    }

    /// The gates that are closed, with the reason.
    pub fn closed(&self) -> BTreeMap<String, String> {
        self.closed
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// The runtime still turns.
    pub fn beat(&self) {
        self.last_beat
            .store(jiff::Timestamp::now().as_second(), Ordering::Relaxed);
    }

    fn alive(&self) -> bool {
        let age = jiff::Timestamp::now().as_second() - self.last_beat.load(Ordering::Relaxed);
        age <= i64::try_from(STALE.as_secs()).unwrap_or(i64::MAX)
    }
}

/// Beats for as long as the runtime gives it time.
pub async fn heart(gates: Arc<Gates>) {
    let mut ticks = tokio::time::interval(Duration::from_secs(5));
    loop {
        ticks.tick().await;
        gates.beat();
    }
}

/// Asks an application for its own figures, in Prometheus' text format: namespace and name of the installation.
pub type AskApp = Arc<dyn Fn(String, String) -> BoxFuture<'static, Arc<str>> + Send + Sync>;

/// What `/metrics` is answered with.
#[derive(Clone)]
pub struct Exported {
    /// The operator's.
    pub metrics: Arc<Metrics>,
    /// Those of an application, for who asks for one installation only.
    pub app: AskApp,
}

/// Serves on `addr` until the process ends. With `metrics`, `/metrics` is answered, else only the health paths.
///
/// # Errors
/// If the address cannot be bound.
pub async fn serve(
    addr: SocketAddr,
    gates: Arc<Gates>,
    exported: Option<Exported>,
) -> std::io::Result<()> {
    let listener = TcpListener::bind(addr).await?;
    tracing::info!(address = %listener.local_addr()?, metrics = exported.is_some(), "listening");
    loop {
        let (stream, _) = match listener.accept().await {
            Ok(accepted) => accepted,
            Err(error) => {
                // Out of file descriptors, or a peer that is gone already: neither is a reason to end.
                tracing::warn!(%error, "accept failed");
                tokio::time::sleep(Duration::from_millis(100)).await;
                continue;
            }
        };
        let (gates, exported) = (gates.clone(), exported.clone());
        tokio::spawn(async move {
            let service = hyper::service::service_fn(move |request: Request<Incoming>| {
                let (gates, exported) = (gates.clone(), exported.clone());
                async move {
                    let uri = request.uri();
                    let app = match &exported {
                        Some(exported) => app_figures(uri, &exported.app).await,
                        None => Arc::default(),
                    };
                    let metrics = exported.as_ref().map(|e| &*e.metrics);
                    Ok::<_, std::convert::Infallible>(answer(uri, &gates, metrics, &app))
                }
            });
            let connection = hyper::server::conn::http1::Builder::new()
                .timer(hyper_util::rt::TokioTimer::new())
                .header_read_timeout(Duration::from_secs(10))
                .serve_connection(hyper_util::rt::TokioIo::new(stream), service);
            if let Ok(Err(error)) = tokio::time::timeout(Duration::from_secs(60), connection).await
            {
                tracing::debug!(%error, "health connection");
            }
        });
    }
}

/// Figures of an application, if the query names one installation.
async fn app_figures(uri: &http::Uri, ask: &AskApp) -> Arc<str> {
    match (
        uri.path(),
        asked_for(uri, "namespace"),
        asked_for(uri, "instance"),
    ) {
        ("/metrics", Some(namespace), Some(instance)) => ask(namespace, instance).await,
        _ => Arc::default(),
    }
}

/// A parameter of the query.
fn asked_for(uri: &http::Uri, name: &str) -> Option<String> {
    let query = uri.query().unwrap_or_default();
    let mut pairs = url::form_urlencoded::parse(query.as_bytes());
    let (_, value) = pairs.find(|(key, _)| key == name)?;
    Some(value.into_owned())
}

fn answer(
    uri: &http::Uri,
    gates: &Gates,
    metrics: Option<&Metrics>,
    app: &str,
) -> Response<Full<Bytes>> {
    let (status, body) = match (uri.path(), metrics) {
        ("/livez" | "/healthz", _) if gates.alive() => (StatusCode::OK, "ok\n".to_owned()),
        ("/livez" | "/healthz", _) => (
            StatusCode::INTERNAL_SERVER_ERROR,
            "the runtime does not turn\n".to_owned(),
        ),
        ("/readyz", _) => {
            let closed = gates.closed();
            let status = if closed.is_empty() {
                StatusCode::OK
            } else {
                StatusCode::SERVICE_UNAVAILABLE
            };
            let lines = closed.iter().fold(String::new(), |lines, (gate, why)| {
                lines + gate + ": " + why + "\n"
            });
            (
                status,
                if closed.is_empty() {
                    "ok\n".to_owned()
                } else {
                    lines
                },
            )
        }
        ("/metrics", Some(metrics)) => match figures(uri, metrics) {
            Ok(text) => (StatusCode::OK, text + app),
            Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, error.to_string()),
        },
        _ => (StatusCode::NOT_FOUND, "not found\n".to_owned()),
    };
    let mut response = Response::new(Full::new(Bytes::from(body)));
    *response.status_mut() = status;
    response.headers_mut().insert(
        hyper::header::CONTENT_TYPE,
        hyper::header::HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8"),
    );
    response
}

/// All figures, or those of the Instance that the query names.
fn figures(uri: &http::Uri, metrics: &Metrics) -> Result<String, prometheus::Error> {
    match (asked_for(uri, "namespace"), asked_for(uri, "instance")) {
        (None, None) => metrics.text(),
        (namespace, instance) => metrics.text_of(namespace.as_deref(), instance.as_deref()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn readiness_names_the_gate_that_is_closed() {
        let gates = Gates::new();
        assert_eq!(
            answer(&"/readyz".parse().unwrap(), &gates, None, "").status(),
            StatusCode::OK
        );
        gates.close("informer Service", "no list yet");
        assert_eq!(
            answer(&"/readyz".parse().unwrap(), &gates, None, "").status(),
            StatusCode::SERVICE_UNAVAILABLE
        );
        assert_eq!(gates.closed()["informer Service"], "no list yet");
        gates.open("informer Service");
        assert_eq!(
            answer(&"/readyz".parse().unwrap(), &gates, None, "").status(),
            StatusCode::OK
        );
    }

    #[test]
    fn who_asks_for_one_instance_gets_its_series_only() {
        let metrics = Metrics::new().unwrap();
        for (name, namespace) in [("one", "ns"), ("two", "ns"), ("one", "other")] {
            let gauge = metrics.instance_ready.with_label_values(&[name, namespace]);
            gauge.set(1);
        }
        metrics.managed_instances.set(3);
        let of = |uri: &str| figures(&uri.parse().unwrap(), &metrics).unwrap();
        let one = of("/metrics?namespace=ns&instance=one");
        let series: Vec<&str> = one.lines().filter(|l| !l.starts_with('#')).collect();
        assert_eq!(
            series,
            ["paperclip_instance_ready{instance=\"one\",namespace=\"ns\"} 1"]
        );
        assert_eq!(of("/metrics?namespace=ns&instance=three"), "");
        assert!(of("/metrics").contains("paperclip_managed_instances 3"));
    }

    #[test]
    fn a_runtime_that_stands_still_is_not_alive() {
        let gates = Gates::new();
        assert_eq!(
            answer(&"/livez".parse().unwrap(), &gates, None, "").status(),
            StatusCode::OK
        );
        gates.last_beat.fetch_sub(121, Ordering::Relaxed);
        assert_eq!(
            answer(&"/livez".parse().unwrap(), &gates, None, "").status(),
            StatusCode::INTERNAL_SERVER_ERROR
        );
    }

    #[tokio::test]
    async fn an_application_is_asked_for_one_installation_alone() {
        let ask: AskApp = Arc::new(|namespace, instance| {
            Box::pin(async move { format!("{namespace}/{instance}").into() })
        });
        let of = async |uri: &str| app_figures(&uri.parse().unwrap(), &ask).await.to_string();
        assert_eq!(of("/metrics?namespace=ns&instance=one").await, "ns/one");
        for uri in [
            "/metrics",
            "/metrics?namespace=ns",
            "/readyz?namespace=ns&instance=one",
        ] {
            assert_eq!(of(uri).await, "");
        }
    }
}
