//! Logs as JSON on stdout, and traces by OTLP if `OTEL_EXPORTER_OTLP_ENDPOINT` (or its traces form) is set. Without an endpoint there is no
//! exporter and no cost. Must never put a secret, an environment value or a URL with user info into a span or a log line.

use opentelemetry::trace::{
    SpanContext, SpanId, TraceContextExt, TraceFlags, TraceId, TraceState, TracerProvider,
};
use opentelemetry::{KeyValue, global};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::propagation::TraceContextPropagator;
use opentelemetry_sdk::trace::SdkTracerProvider;
use tracing_opentelemetry::OpenTelemetrySpanExt;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{EnvFilter, Layer};

/// Traces that were not sent yet are sent when this is [shut down](Telemetry::shutdown).
pub struct Telemetry(Option<SdkTracerProvider>);

/// Why telemetry cannot start.
#[derive(Debug, thiserror::Error)]
pub enum TelemetryError {
    /// The log filter is wrong.
    #[error("PAPERCLIP_OPERATOR_LOG: {0}")]
    Filter(String),
    /// The exporter cannot be built.
    #[error("OTLP exporter: {0}")]
    Exporter(String),
    /// A subscriber is there already.
    #[error("logging: {0}")]
    Subscriber(String),
}

impl Telemetry {
    /// Starts logs and, if asked for, traces. Needs a Tokio runtime.
    ///
    /// # Errors
    /// See [`TelemetryError`].
    pub fn start() -> Result<Self, TelemetryError> {
        let filter = std::env::var("PAPERCLIP_OPERATOR_LOG")
            .or_else(|_| std::env::var("RUST_LOG"))
            .unwrap_or_else(|_| "info,kube_runtime=warn,kube_client=warn".into());
        let filter =
            EnvFilter::try_new(&filter).map_err(|e| TelemetryError::Filter(e.to_string()))?;
        let provider = provider()?;
        let traces = provider.as_ref().map(|provider| {
            tracing_opentelemetry::layer()
                .with_tracer(provider.tracer("paperclip-operator"))
                .with_location(false)
                .with_threads(false)
                .with_tracked_inactivity(false)
                .with_filter(EnvFilter::new("off,paperclip_operator=info"))
        });
        let logs = tracing_subscriber::fmt::layer()
            .json()
            .flatten_event(true)
            .with_current_span(true)
            .with_span_list(false)
            .with_filter(filter);
        tracing_subscriber::registry()
            .with(logs)
            .with(traces)
            .try_init()
            .map_err(|e| TelemetryError::Subscriber(e.to_string()))?;
        std::panic::set_hook(Box::new(|info| {
            let place = info.location().map(ToString::to_string).unwrap_or_default();
            let what = info
                .payload()
                .downcast_ref::<&str>()
                .map(|s| (*s).to_owned())
                .or_else(|| info.payload().downcast_ref::<String>().cloned());
            tracing::error!(place, panic = what.as_deref().unwrap_or("?"), "panic");
        }));
        Ok(Self(provider))
    }

    /// Sends what waits; at most a few seconds.
    pub fn shutdown(self) {
        if let Some(provider) = self.0
            && let Err(error) = provider.shutdown_with_timeout(std::time::Duration::from_secs(5))
        {
            tracing::warn!(%error, "traces were lost");
        }
    }
}

fn provider() -> Result<Option<SdkTracerProvider>, TelemetryError> {
    let set = |name: &str| std::env::var(name).is_ok_and(|v| !v.is_empty());
    if !set("OTEL_EXPORTER_OTLP_ENDPOINT") && !set("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT") {
        return Ok(None);
    }
    global::set_text_map_propagator(TraceContextPropagator::new());
    let exporter = opentelemetry_otlp::SpanExporter::builder()
        .with_tonic()
        .build()
        .map_err(|e| TelemetryError::Exporter(e.to_string()))?;
    let mut resource = Resource::builder()
        .with_attribute(KeyValue::new("service.version", env!("CARGO_PKG_VERSION")));
    if !set("OTEL_SERVICE_NAME") {
        resource = resource.with_service_name("paperclip-operator");
    }
    for (variable, attribute) in [
        ("POD_NAMESPACE", "k8s.namespace.name"),
        ("POD_NAME", "k8s.pod.name"),
    ] {
        if let Ok(value) = std::env::var(variable) {
            resource = resource.with_attribute(KeyValue::new(attribute, value));
        }
    }
    Ok(Some(
        SdkTracerProvider::builder()
            .with_batch_exporter(exporter)
            .with_resource(resource.build())
            .build(),
    ))
}

/// The running trace in the W3C form, for an annotation; `None` without tracing.
pub fn traceparent() -> Option<String> {
    let context = tracing::Span::current().context();
    let span = context.span();
    let context = span.span_context();
    context.is_valid().then(|| {
        format!(
            "00-{}-{}-{:02x}",
            context.trace_id(),
            context.span_id(),
            context.trace_flags().to_u8()
        )
    })
}

/// Id of the running trace, for logs.
pub fn trace_id() -> Option<String> {
    let context = tracing::Span::current().context();
    let span = context.span();
    let context = span.span_context();
    context.is_valid().then(|| context.trace_id().to_string())
}

/// Links `span` to the trace that an annotation names; anything that is not of the W3C form is ignored.
pub fn link(span: &tracing::Span, traceparent: &str) {
    let mut parts = traceparent.split('-');
    let (Some("00"), Some(trace), Some(parent), Some(flags)) =
        (parts.next(), parts.next(), parts.next(), parts.next())
    else {
        return;
    };
    let (Ok(trace), Ok(parent), Ok(flags)) = (
        TraceId::from_hex(trace),
        SpanId::from_hex(parent),
        u8::from_str_radix(flags, 16),
    ) else {
        return;
    };
    span.add_link(SpanContext::new(
        trace,
        parent,
        TraceFlags::new(flags),
        true,
        TraceState::default(),
    ));
}
