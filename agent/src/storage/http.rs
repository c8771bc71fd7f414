//! The connections to object storage: hyper and rustls, every wait bounded.
//!
//! Only the authorities of Mozilla's list, or those that were configured, are trusted; there is no insecure retry.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::HeaderValue;
use http::header::USER_AGENT;
use hyper::body::{Body, Frame, Incoming, SizeHint};
use hyper_rustls::HttpsConnector;
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector as TcpConnector;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use object_store::ClientOptions;
use object_store::client::{
    HttpClient, HttpConnector, HttpError, HttpErrorKind, HttpRequest, HttpRequestBody,
    HttpResponse, HttpResponseBody, HttpService,
};
use rustls::pki_types::CertificateDer;
use rustls::{ClientConfig, RootCertStore};
use tokio::time::{Instant, Sleep, sleep, timeout};

use super::error::StorageError;

const CONNECT_WITHIN: Duration = Duration::from_secs(10);
/// How long an answer may take to begin, beside the time that sending takes.
const ANSWER_WITHIN: Duration = Duration::from_secs(30);
/// A body that is sent more slowly than this is given up.
const SLOWEST_BYTES_PER_SECOND: u64 = 64 << 10;
/// How long the next bytes of an answer may take.
const MORE_WITHIN: Duration = Duration::from_secs(30);
const AGENT: &str = concat!("paperclip-agent/", env!("CARGO_PKG_VERSION"));

/// Opens connections.
#[derive(Debug, Clone)]
pub struct Connections(Arc<ClientConfig>);

impl Connections {
    /// Trusting these authorities, or Mozilla's list if there are none.
    pub fn new(authorities: Vec<CertificateDer<'static>>) -> Result<Self, StorageError> {
        let mut roots = RootCertStore::empty();
        if authorities.is_empty() {
            roots.roots = webpki_roots::TLS_SERVER_ROOTS.to_vec();
        }
        for certificate in authorities {
            roots
                .add(certificate)
                .map_err(|error| StorageError::InvalidStorage(format!("authority: {error}")))?;
        }
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|error| StorageError::InvalidStorage(error.to_string()))?
            .with_root_certificates(roots)
            .with_no_client_auth();
        Ok(Self(Arc::new(config)))
    }
}

impl HttpConnector for Connections {
    fn connect(&self, _: &ClientOptions) -> object_store::Result<HttpClient> {
        let mut tcp = TcpConnector::new();
        tcp.enforce_http(false);
        tcp.set_nodelay(true);
        tcp.set_connect_timeout(Some(CONNECT_WITHIN));
        let connector = hyper_rustls::HttpsConnectorBuilder::new()
            .with_tls_config((*self.0).clone())
            .https_or_http()
            .enable_http1()
            .wrap_connector(tcp);
        let client = Client::builder(TokioExecutor::new())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(Duration::from_secs(20))
            .build(connector);
        Ok(HttpClient::new(Service(client)))
    }
}

#[derive(Debug)]
struct Service(Client<HttpsConnector<TcpConnector>, HttpRequestBody>);

#[async_trait::async_trait]
impl HttpService for Service {
    async fn call(&self, mut request: HttpRequest) -> Result<HttpResponse, HttpError> {
        request
            .headers_mut()
            .insert(USER_AGENT, HeaderValue::from_static(AGENT));
        let bytes = u64::try_from(request.body().content_length()).unwrap_or(u64::MAX);
        let bound = ANSWER_WITHIN + Duration::from_secs(bytes / SLOWEST_BYTES_PER_SECOND);
        let response = match timeout(bound, self.0.request(request)).await {
            Ok(Ok(response)) => response,
            Ok(Err(error)) => return Err(HttpError::new(kind(&error), error)),
            Err(_) => return Err(late(bound)),
        };
        let (parts, body) = response.into_parts();
        let body = HttpResponseBody::new(Bounded {
            body,
            patience: Box::pin(sleep(MORE_WITHIN)),
        });
        Ok(HttpResponse::from_parts(parts, body))
    }
}

/// What may be tried again. A certificate that is not trusted will not be trusted the next time.
fn kind(error: &hyper_util::client::legacy::Error) -> HttpErrorKind {
    let mut next: Option<&(dyn std::error::Error + 'static)> = Some(error);
    while let Some(cause) = next {
        if let Some(of_io) = cause.downcast_ref::<std::io::Error>() {
            use std::io::ErrorKind::{
                BrokenPipe, ConnectionAborted, ConnectionReset, InvalidData, UnexpectedEof,
            };
            match of_io.kind() {
                InvalidData => return HttpErrorKind::Unknown,
                ConnectionReset | ConnectionAborted | BrokenPipe | UnexpectedEof => {
                    return HttpErrorKind::Interrupted;
                }
                _ => {}
            }
        }
        if let Some(of_hyper) = cause.downcast_ref::<hyper::Error>()
            && (of_hyper.is_closed()
                || of_hyper.is_incomplete_message()
                || of_hyper.is_body_write_aborted()
                || of_hyper.is_canceled())
        {
            return HttpErrorKind::Interrupted;
        }
        next = cause.source();
    }
    if error.is_connect() {
        HttpErrorKind::Connect
    } else {
        HttpErrorKind::Unknown
    }
}

#[derive(Debug, thiserror::Error)]
#[error("no answer within {} s", .0.as_secs())]
struct Late(Duration);

fn late(bound: Duration) -> HttpError {
    HttpError::new(HttpErrorKind::Timeout, Late(bound))
}

/// A body whose next bytes must come in time.
struct Bounded {
    body: Incoming,
    patience: Pin<Box<Sleep>>,
}

impl Body for Bounded {
    type Data = Bytes;
    type Error = HttpError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, HttpError>>> {
        match Pin::new(&mut self.body).poll_frame(context) {
            Poll::Ready(frame) => {
                self.patience.as_mut().reset(Instant::now() + MORE_WITHIN);
                Poll::Ready(frame.map(|frame| {
                    frame.map_err(|error| HttpError::new(HttpErrorKind::Interrupted, error))
                }))
            }
            Poll::Pending => match self.patience.as_mut().poll(context) {
                Poll::Ready(()) => Poll::Ready(Some(Err(late(MORE_WITHIN)))),
                Poll::Pending => Poll::Pending,
            },
        }
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
