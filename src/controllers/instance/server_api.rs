//! One question to a pod of the server, or to the agent in it: HTTP to its address, JSON back. Bounded in time and size; must never show a
//! key.

use crate::crd::SecretText;
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Bytes;
use hyper::header::{AUTHORIZATION, HOST, HeaderValue};
use hyper::{HeaderMap, Request, StatusCode};
use hyper_util::rt::TokioIo;
use serde_json::Value;
use std::net::SocketAddr;
use std::time::Duration;
use tokio::net::TcpStream;
use tokio::time::timeout;

/// The longest answer.
const LONGEST: usize = 4 << 20;

/// An answer.
#[derive(Debug)]
pub struct Said {
    /// Its status.
    pub status: StatusCode,
    /// Its headers.
    pub headers: HeaderMap,
    /// Its body; null if it is no JSON.
    pub body: Value,
}

/// Asks with a GET. Every answer in JSON counts, whatever its status.
///
/// # Errors
/// In words, for logs.
pub async fn get(
    address: SocketAddr,
    path: &str,
    key: Option<&SecretText>,
    within: Duration,
) -> Result<(StatusCode, Value), String> {
    let mut request = Request::get(path);
    if let Some(key) = key {
        let bearer = format!("Bearer {}", key.reveal().trim());
        let mut value =
            HeaderValue::from_str(&bearer).map_err(|_| "the key is no text".to_owned())?;
        value.set_sensitive(true);
        request = request.header(AUTHORIZATION, value);
    }
    let request = request.body(Full::default()).map_err(|e| e.to_string())?;
    let said = send(address, request, within).await?;
    if said.body.is_null() {
        return Err(format!("{}, and no JSON", said.status));
    }
    Ok((said.status, said.body))
}

/// Sends a request.
///
/// # Errors
/// In words, for logs.
pub async fn send(
    address: SocketAddr,
    request: Request<Full<Bytes>>,
    within: Duration,
) -> Result<Said, String> {
    let said = timeout(within, exchange(address, request)).await;
    said.map_err(|_| format!("no answer within {} ms", within.as_millis()))?
}

async fn exchange(address: SocketAddr, mut request: Request<Full<Bytes>>) -> Result<Said, String> {
    let text = |error: &dyn std::error::Error| error.to_string();
    // Every server takes this name for its own.
    let host = HeaderValue::from_str(&format!("localhost:{}", address.port()));
    request
        .headers_mut()
        .insert(HOST, host.map_err(|e| text(&e))?);
    let stream = TcpStream::connect(address).await.map_err(|e| text(&e))?;
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream))
        .await
        .map_err(|e| text(&e))?;
    // The sender goes with its answer, and the connection ends with it.
    let answer = async move {
        let answer = sender.send_request(request).await.map_err(|e| text(&e))?;
        let (head, body) = answer.into_parts();
        let body = Limited::new(body, LONGEST).collect().await;
        let body = body.map_err(|e| e.to_string())?.to_bytes();
        Ok(Said {
            status: head.status,
            headers: head.headers,
            body: serde_json::from_slice(&body).unwrap_or_default(),
        })
    };
    futures::join!(answer, connection).0
}

#[cfg(test)]
pub mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;

    /// A server that answers each question with what `of` makes of it.
    pub async fn served(of: impl Fn(&str) -> String + Send + 'static) -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(async move {
            loop {
                let (mut stream, _) = listener.accept().await.unwrap();
                let mut buffer = [0; 2048];
                let read = stream.read(&mut buffer).await.unwrap_or_default();
                let asked = String::from_utf8_lossy(&buffer[..read]).into_owned();
                let _ = stream.write_all(of(&asked).as_bytes()).await;
            }
        });
        address
    }

    /// An answer of HTTP.
    pub fn http(status: &str, body: &str) -> String {
        format!(
            "HTTP/1.1 {status}\r\ncontent-length: {}\r\n\r\n{body}",
            body.len()
        )
    }

    #[tokio::test]
    async fn an_answer_in_json_counts_and_nothing_else() {
        let ask = async |answer: String| {
            let address = served(move |_| answer.clone()).await;
            get(address, "/x", None, Duration::from_secs(2)).await
        };
        let (status, value) = ask(http("503 Unavailable", r#"{"status":"unhealthy"}"#))
            .await
            .unwrap();
        assert_eq!(
            (status.as_u16(), &value["status"]),
            (503, &"unhealthy".into())
        );
        assert!(ask(http("200 OK", "<html>")).await.is_err());
        assert!(ask(String::new()).await.is_err());
    }

    #[tokio::test]
    async fn a_key_is_sent_and_never_shown() {
        let address = served(|asked| {
            let sent = asked
                .to_lowercase()
                .contains("authorization: bearer pcp_board_x\r\n");
            http("200 OK", &sent.to_string())
        })
        .await;
        let key = SecretText::from("pcp_board_x\n".to_owned());
        let within = Duration::from_secs(2);
        let (_, said) = get(address, "/x", Some(&key), within).await.unwrap();
        assert_eq!(said, true);
        let broken = SecretText::from("pcp_board_x\ny".to_owned());
        let error = get(address, "/x", Some(&broken), within).await.unwrap_err();
        assert!(!error.contains("pcp"), "{error}");
    }
}
