//! Ways into the cluster's network namespace: a listener on the host's loopback, handed over by the host, that leads to the API
//! server; and connections that are asked for one by one. Listens nowhere else.

use std::io::ErrorKind;
use std::net::TcpListener as StdListener;
use std::os::fd::OwnedFd;
use std::time::Duration;

use anyhow::{Context as _, Result};
use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream, UnixStream};
use tokio::time::timeout;

use crate::system::say;

/// Accepts on a socket that was opened in another network namespace, and connects each connection with `target` in this one.
pub async fn forward(listener: OwnedFd, target: &str) -> Result<()> {
    let listener = StdListener::from(listener);
    listener.set_nonblocking(true)?;
    let listener = TcpListener::from_std(listener)?;
    loop {
        match listener.accept().await {
            Ok((mut outer, _)) => {
                let target = target.to_owned();
                tokio::spawn(async move {
                    if let Ok(mut inner) = connect(&target).await {
                        // An error is one side's end of the connection; the other side sees it as such.
                        let _ = copy_bidirectional(&mut outer, &mut inner).await;
                    }
                });
            }
            Err(error) => {
                say(&format!("cannot accept a connection: {error}"));
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
    }
}

/// Connects with an address inside. A Service that has just got its first endpoint has no way for a moment: kube-proxy takes the
/// refusal away before it writes the way (two tables, one after the other), and what is sent in between finds no host. Whoever
/// is not one of those is refused or not answered, which is told at once.
pub async fn connect(target: &str) -> Result<TcpStream> {
    let mut tries = 3;
    let stream = loop {
        tries -= 1;
        let stream = timeout(Duration::from_secs(10), TcpStream::connect(target))
            .await
            .with_context(|| format!("{target} does not answer"))?;
        match stream {
            Err(error) if error.kind() == ErrorKind::HostUnreachable && tries > 0 => {
                tokio::time::sleep(Duration::from_millis(200)).await;
            }
            stream => break stream.with_context(|| format!("cannot connect to {target}"))?,
        }
    };
    stream.set_nodelay(true)?;
    Ok(stream)
}

/// Joins two connections until both have ended.
pub async fn join(mut outer: UnixStream, mut inner: TcpStream) {
    let _ = copy_bidirectional(&mut outer, &mut inner).await;
}
