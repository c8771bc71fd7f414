//! One request, one answer, over a connection of its own, on loopback. Always with a bound of time and of size.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use http_body_util::{BodyExt as _, Full, Limited};
use hyper::body::Bytes;
use hyper::{HeaderMap, Request};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

/// Largest answer that is read.
const LIMIT: usize = 1024 * 1024;

/// What came back.
#[derive(Debug)]
pub struct Answer {
    /// Its status.
    pub status: u16,
    /// Its headers.
    pub headers: HeaderMap,
    /// All of its body.
    pub body: Bytes,
}

impl Answer {
    /// The body as JSON; `Null` if it is none.
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).unwrap_or_default()
    }
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum HttpError {
    /// Nobody listens.
    #[error("no connection: {0}")]
    Refused(io::Error),
    /// Somebody listens, and no answer came in time.
    #[error("no answer within {} s", .0.as_secs())]
    Silent(Duration),
    /// The connection ended before the answer was complete.
    #[error("the connection was closed before the answer was complete")]
    Cut,
    /// What came back is not HTTP, or too large.
    #[error("not an answer: {0}")]
    Malformed(String),
}

/// Sends a request to a port of this machine's loopback.
pub async fn send(
    port: u16,
    request: Request<Full<Bytes>>,
    bound: Duration,
) -> Result<Answer, HttpError> {
    tokio::time::timeout(bound, exchange(port, request))
        .await
        .unwrap_or(Err(HttpError::Silent(bound)))
}

async fn exchange(port: u16, request: Request<Full<Bytes>>) -> Result<Answer, HttpError> {
    let stream = TcpStream::connect(SocketAddr::from((Ipv4Addr::LOCALHOST, port)))
        .await
        .map_err(HttpError::Refused)?;
    let _ = stream.set_nodelay(true);
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream))
        .await
        .map_err(|error| classify(&error))?;
    let driver = tokio::spawn(connection);
    let result = async {
        let (head, body) = sender
            .send_request(request)
            .await
            .map_err(|error| classify(&error))?
            .into_parts();
        let body = Limited::new(body, LIMIT)
            .collect()
            .await
            .map_err(|error| HttpError::Malformed(error.to_string()))?;
        Ok(Answer {
            status: head.status.as_u16(),
            headers: head.headers,
            body: body.to_bytes(),
        })
    };
    let result = result.await;
    driver.abort();
    result
}

fn classify(error: &hyper::Error) -> HttpError {
    if error.is_parse() {
        HttpError::Malformed(error.to_string())
    } else {
        HttpError::Cut
    }
}
