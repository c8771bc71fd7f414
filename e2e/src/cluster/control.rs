//! How the host talks to the cluster's supervisor. One line of JSON, one line of JSON back; after a `connect` the connection is
//! the wished one. The socket is seen through the supervisor's own mount namespace, so its path is always short, and it vanishes
//! with the cluster.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::UnixStream;
use tokio::time::timeout;

use super::layout::Process;

/// Where the socket is, inside.
pub const SOCKET: &str = "/run/control.sock";

const LIMIT: Duration = Duration::from_secs(30);

/// What the host can ask for.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Request {
    /// Connect this connection with an address inside the cluster, `host:port`; names of Services are known.
    Connect(String),
    /// End the cluster.
    Stop,
    /// Send a signal to one of the cluster's programs.
    Signal {
        /// Its name, as `kube-apiserver`.
        program: String,
        /// KILL, TERM, STOP or CONT.
        signal: String,
    },
    /// Start a program again that was killed.
    Restart(String),
}

/// What the supervisor answers.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Answer {
    /// Done.
    Done,
    /// Not done, and why.
    Failed(String),
}

/// What the supervisor tells the one who started it.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Report {
    /// Everything is up.
    Ready,
    /// It will not come up.
    Failed(String),
}

/// Sends a request to a cluster; the connection is given back, for [`Request::Connect`].
pub async fn ask(process: &Process, request: &Request) -> Result<UnixStream> {
    let work = async {
        let socket = PathBuf::from(format!("/proc/{}/root{SOCKET}", process.pid));
        let mut stream = UnixStream::connect(&socket)
            .await
            .context("the cluster does not run")?;
        write_line(&mut stream, request).await?;
        match read_line(&mut stream).await? {
            Answer::Done => Ok(stream),
            Answer::Failed(reason) => bail!(reason),
        }
    };
    timeout(LIMIT, work)
        .await
        .context("the cluster's supervisor did not answer")?
}

/// Writes a message and the end of the line.
pub async fn write_line(stream: &mut UnixStream, message: &impl Serialize) -> Result<()> {
    let mut line = serde_json::to_vec(message)?;
    line.push(b'\n');
    Ok(stream.write_all(&line).await?)
}

/// Reads one message and not a byte more: what follows belongs to somebody else.
pub async fn read_line<T: for<'a> Deserialize<'a>>(stream: &mut UnixStream) -> Result<T> {
    let mut line = Vec::new();
    while line.len() < 65_536 {
        match stream
            .read_u8()
            .await
            .context("the connection was closed")?
        {
            b'\n' => return Ok(serde_json::from_slice(&line)?),
            byte => line.push(byte),
        }
    }
    bail!("a line of more than 64 KiB")
}

/// Reads lines until there are none.
pub async fn last_report(stream: UnixStream) -> Result<Report> {
    let mut lines = BufReader::new(stream).lines();
    let line = lines
        .next_line()
        .await?
        .context("the cluster's supervisor ended without a word; see cluster.log")?;
    Ok(serde_json::from_str(&line)?)
}
