//! `GET /status`: whether this pod's server wakes agents. It says nothing else, and takes nothing.

use std::convert::Infallible;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::time::Duration;

use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::time::{sleep, timeout};

/// Where it listens.
pub const PORT: u16 = 3102;
/// Longest life of a connection.
const WITHIN: Duration = Duration::from_secs(10);

/// Answers for ever. That it cannot is no reason to end a server.
pub async fn answer(port: u16, schedules: watch::Receiver<bool>) {
    let listener = match TcpListener::bind((Ipv6Addr::UNSPECIFIED, port)).await {
        Ok(listener) => Ok(listener),
        Err(_) => TcpListener::bind((Ipv4Addr::UNSPECIFIED, port)).await,
    };
    let listener = match listener {
        Ok(listener) => listener,
        Err(error) => {
            tracing::warn!(%error, port, "nobody will be told which pod schedules");
            return;
        }
    };
    loop {
        let Ok((stream, _)) = listener.accept().await else {
            sleep(Duration::from_millis(100)).await;
            continue;
        };
        let schedules = schedules.clone();
        tokio::spawn(async move {
            let service = service_fn(move |request| {
                let said = say(&request, *schedules.borrow());
                async move { Ok::<_, Infallible>(said) }
            });
            let connection = hyper::server::conn::http1::Builder::new()
                .timer(TokioTimer::new())
                .keep_alive(false)
                .serve_connection(TokioIo::new(stream), service);
            let _ = timeout(WITHIN, connection).await;
        });
    }
}

fn say(request: &Request<Incoming>, schedules: bool) -> Response<Full<Bytes>> {
    let known = request.method() == Method::GET && request.uri().path() == "/status";
    let body = if known {
        format!("{{\"scheduler\":{schedules}}}")
    } else {
        String::new()
    };
    let mut response = Response::new(Full::from(body));
    if !known {
        *response.status_mut() = StatusCode::NOT_FOUND;
    }
    response
}
