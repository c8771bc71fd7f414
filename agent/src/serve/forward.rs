//! The way from the pod's address to a server that listens on loopback only.
//!
//! It is opened when the server itself answers behind it, and closed before the server is started again: a server that
//! finds its port taken, by us too, takes another one.

use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::str::FromStr;
use std::time::Duration;

use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::time::{sleep, timeout};

use crate::result::{Exit, Reason};
use crate::server::look::{Look, look};

const LOOK_EVERY: Duration = Duration::from_millis(250);
/// A stranger behind the port is believed in when it was heard so many times in a row.
const BELIEVED: u32 = 3;
const CONNECT_WITHIN: Duration = Duration::from_secs(5);
/// Pause after the system could not give us a connection: it is out of file descriptors, and more tries give no more.
const BREATHER: Duration = Duration::from_millis(100);

/// Where to listen; the server is at the same port of loopback.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Forward(SocketAddr);

impl FromStr for Forward {
    type Err = String;

    /// `10.1.2.3:3100`, and for IPv6 `[fd00::1]:3100` or, as a pod's address is put together, `fd00::1:3100`.
    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("\"{text}\" is not an address and a port");
        let (address, port) = text.rsplit_once(':').ok_or_else(wrong)?;
        let address = address
            .strip_prefix('[')
            .and_then(|inner| inner.strip_suffix(']'))
            .unwrap_or(address);
        let address: IpAddr = address.parse().map_err(|_| wrong())?;
        let port: u16 = port.parse().map_err(|_| wrong())?;
        let servers = address == IpAddr::V4(Ipv4Addr::LOCALHOST) || address.is_unspecified();
        if servers || port == 0 {
            return Err(format!(
                "\"{text}\": the server is on 127.0.0.1, so this must be another address of the pod"
            ));
        }
        Ok(Self(SocketAddr::new(address, port)))
    }
}

/// Why the way is not open.
#[derive(Debug, thiserror::Error)]
pub enum ForwardError {
    /// Somebody else has the server's port.
    #[error(
        "port {port} of loopback is not the server's, somebody else answers there ({heard}); change the port of that container or networking.service.port"
    )]
    WrongPortOwner {
        /// The port.
        port: u16,
        /// What was heard there.
        heard: String,
    },
    /// The address cannot be listened on.
    #[error("cannot listen on {address}: {error}")]
    NotListening {
        /// The address.
        address: SocketAddr,
        /// Why not.
        error: io::Error,
    },
}

impl Reason for ForwardError {
    fn code(&self) -> &'static str {
        match self {
            Self::WrongPortOwner { .. } => "WrongPortOwner",
            Self::NotListening { .. } => "AddressNotUsable",
        }
    }

    fn exit(&self) -> Exit {
        Exit::Refused
    }
}

impl Forward {
    /// Opens the way as soon as the server answers, and keeps it open. Comes back only with an error; dropping it closes
    /// the way to new connections.
    pub async fn keep_open(self) -> ForwardError {
        if let Err(error) = wait_for_server(self.0.port()).await {
            return error;
        }
        let listener = match TcpListener::bind(self.0).await {
            Ok(listener) => listener,
            Err(error) => {
                return ForwardError::NotListening {
                    address: self.0,
                    error,
                };
            }
        };
        tracing::info!(address = %self.0, "the server answers; the way to it is open");
        loop {
            match listener.accept().await {
                Ok((client, _)) => {
                    tokio::spawn(pass_on(client, self.0.port()));
                }
                Err(error) => {
                    tracing::warn!(%error, "a connection could not be taken");
                    sleep(BREATHER).await;
                }
            }
        }
    }
}

async fn wait_for_server(port: u16) -> Result<(), ForwardError> {
    let mut strange = 0;
    loop {
        match look(port).await {
            Look::Server(_) => return Ok(()),
            Look::Nobody => strange = 0,
            Look::Stranger(heard) => {
                strange += 1;
                if strange >= BELIEVED {
                    return Err(ForwardError::WrongPortOwner { port, heard });
                }
            }
        }
        sleep(LOOK_EVERY).await;
    }
}

/// Passes bytes on in both directions until both sides have said all.
async fn pass_on(mut client: TcpStream, port: u16) {
    let server = TcpStream::connect((Ipv4Addr::LOCALHOST, port));
    let Ok(Ok(mut server)) = timeout(CONNECT_WITHIN, server).await else {
        // The client sees a closed connection, as it would without us.
        return;
    };
    let _ = (client.set_nodelay(true), server.set_nodelay(true));
    if let Err(error) = copy_bidirectional(&mut client, &mut server).await {
        tracing::debug!(%error, "a connection ended");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_of_the_pod_is_read_in_both_families() {
        let read = |text: &str| text.parse::<Forward>().map(|f| f.0.to_string());
        assert_eq!(read("10.1.2.3:3100").as_deref(), Ok("10.1.2.3:3100"));
        assert_eq!(read("fd00::1:3100").as_deref(), Ok("[fd00::1]:3100"));
        assert_eq!(read("[fd00::1]:3100").as_deref(), Ok("[fd00::1]:3100"));
        for wrong in [
            "",
            ":3100",
            "host:3100",
            "10.1.2.3",
            "10.1.2.3:0",
            "127.0.0.1:3100",
            "0.0.0.0:1",
        ] {
            assert!(read(wrong).is_err(), "{wrong}");
        }
    }
}
