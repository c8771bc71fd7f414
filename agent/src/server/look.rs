//! Asks the server how it is, by a host name that it knows in every mode.
//!
//! The server takes the next free port without a word if its own is taken. So a port is the server's only if what
//! answers there says what only the server says.

use std::time::Duration;

use http_body_util::Full;
use hyper::Request;
use serde_json::Value;

use crate::server::http::{HttpError, send};

/// How long one look may take. With its database gone the server answers late or not at all.
const WITHIN: Duration = Duration::from_secs(5);

/// Who is behind the port.
#[derive(Debug)]
pub enum Look {
    /// Nobody, or nobody who says anything just now.
    Nobody,
    /// The server: what it says about itself.
    Server(Value),
    /// Somebody else: what was heard.
    Stranger(String),
}

/// Looks once.
pub async fn look(port: u16) -> Look {
    let request = Request::get("/api/health")
        .header("Host", "localhost")
        .header("Connection", "close")
        .body(Full::default());
    let Ok(request) = request else {
        return Look::Nobody;
    };
    match send(port, request, WITHIN).await {
        Ok(answer) => {
            let said = answer.json();
            if matches!(answer.status, 200 | 503) && said["status"].is_string() {
                Look::Server(said)
            } else {
                Look::Stranger(format!("HTTP {}", answer.status))
            }
        }
        Err(HttpError::Malformed(why)) => Look::Stranger(why),
        Err(_) => Look::Nobody,
    }
}
