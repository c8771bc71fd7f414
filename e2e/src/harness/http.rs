//! HTTP to addresses inside the cluster, without anything that runs there.

use std::time::Duration;

use anyhow::{Context as _, Result};
use http::{HeaderMap, Request, StatusCode};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Bytes;
use hyper_util::rt::TokioIo;
use tokio::time::timeout;

use super::Cluster;

const LIMIT: Duration = Duration::from_secs(30);

/// What came back.
#[derive(Debug)]
pub struct Answer {
    /// Its status.
    pub status: StatusCode,
    /// Its headers.
    pub headers: HeaderMap,
    /// All of its body.
    pub body: Bytes,
}

impl Answer {
    /// The body as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// The body as JSON.
    pub fn json(&self) -> Result<serde_json::Value> {
        serde_json::from_slice(&self.body).with_context(|| format!("not JSON: {}", self.text()))
    }
}

impl Cluster {
    /// Sends a request to an address inside the cluster, `host:port`. A `Host` header is added if the request has none.
    pub async fn http(&self, address: &str, mut request: Request<Full<Bytes>>) -> Result<Answer> {
        if !request.headers().contains_key(http::header::HOST) {
            request
                .headers_mut()
                .insert(http::header::HOST, address.parse()?);
        }
        let work = async {
            let stream = self.connect(address).await?;
            send(TokioIo::new(stream), request).await
        };
        timeout(LIMIT, work)
            .await
            .with_context(|| format!("{address} did not answer within {} s", LIMIT.as_secs()))?
    }

    /// A GET without anything special.
    pub async fn http_get(&self, address: &str, path: &str) -> Result<Answer> {
        self.http(address, Request::get(path).body(Full::default())?)
            .await
    }
}

/// Sends one request over a connection.
pub async fn send<T>(connection: T, request: Request<Full<Bytes>>) -> Result<Answer>
where
    T: hyper::rt::Read + hyper::rt::Write + Unpin + Send + 'static,
{
    let (mut sender, connection) = hyper::client::conn::http1::handshake(connection).await?;
    let connection = tokio::spawn(connection);
    let response = sender.send_request(request).await?;
    let (head, body) = response.into_parts();
    let body = body.collect().await?.to_bytes();
    connection.abort();
    Ok(Answer {
        status: head.status,
        headers: head.headers,
        body,
    })
}
