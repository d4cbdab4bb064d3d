//! Before a run: is anybody there? One OPTIONS to each node over UDP, one connection over TCP.
//!
//! Any answer counts, also a refusal; silence and a closed port do not.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;
use tokio::net::{TcpSocket, UdpSocket};

use crate::Transport;

/// How long an answer may take, and how often it is asked for.
const WAIT: Duration = Duration::from_millis(500);
const TRIES: usize = 3;

/// What was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Found {
    /// It answers; what it calls itself.
    Answers(Option<String>),
    /// The port is closed.
    Closed,
    /// Nothing came back.
    Silent,
}

/// Asks at `to`.
pub(super) async fn ask(to: SocketAddr, transport: Transport) -> Found {
    match transport {
        Transport::Udp => datagram(to).await.unwrap_or(Found::Silent),
        Transport::Tcp => stream(to).await,
    }
}

async fn stream(to: SocketAddr) -> Found {
    let socket = if to.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() };
    let Ok(socket) = socket else { return Found::Silent };
    match tokio::time::timeout(WAIT * 3, socket.connect(to)).await {
        Ok(Ok(_)) => Found::Answers(None),
        Ok(Err(e)) if e.kind() == std::io::ErrorKind::ConnectionRefused => Found::Closed,
        _ => Found::Silent,
    }
}

#[expect(clippy::disallowed_methods, reason = "the load test is a stranger: its sockets are not those of a node")]
async fn datagram(to: SocketAddr) -> std::io::Result<Found> {
    let own: IpAddr = if to.is_ipv4() { Ipv4Addr::LOCALHOST.into() } else { Ipv6Addr::LOCALHOST.into() };
    let socket = UdpSocket::bind(SocketAddr::new(own, 0)).await?;
    socket.connect(to).await?;
    let local = socket.local_addr()?;
    let mut buffer = [0; 4_096];
    for number in 1..=TRIES {
        let text = format!(
            "OPTIONS sip:{to} SIP/2.0\r\nVia: SIP/2.0/UDP {local};branch=z9hG4bKprobe{number}x{port};rport\r\nMax-Forwards: 70\r\n\
             From: <sip:probe@{local}>;tag=probe\r\nTo: <sip:{to}>\r\nCall-ID: probe-{number}-{port}@{own}\r\n\
             CSeq: {number} OPTIONS\r\nContent-Length: 0\r\n\r\n",
            port = local.port()
        );
        let sent = socket.send(text.as_bytes()).await;
        let answer = match sent {
            Ok(_) => tokio::time::timeout(WAIT, socket.recv(&mut buffer)).await,
            Err(e) => Ok(Err(e)),
        };
        match answer {
            Ok(Ok(length)) => {
                let text = String::from_utf8_lossy(buffer.get(..length).unwrap_or_default()).into_owned();
                let named =
                    text.lines().find_map(|l| l.strip_prefix("Server: ").or_else(|| l.strip_prefix("User-Agent: ")));
                return Ok(Found::Answers(named.map(|n| n.chars().take(80).collect())));
            }
            Ok(Err(e)) if e.kind() == std::io::ErrorKind::ConnectionRefused => return Ok(Found::Closed),
            _ => {}
        }
    }
    Ok(Found::Silent)
}

#[cfg(test)]
mod tests {
    use super::*;
    use tandem_host::datagram::DatagramSocket;

    #[test]
    fn a_closed_port_and_a_silent_one_are_told_apart() {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let silent = DatagramSocket::bind("127.0.0.1:0".parse().unwrap()).unwrap();
            assert_eq!(ask(silent.local_addr(), Transport::Udp).await, Found::Silent);
            let closed = silent.local_addr();
            drop(silent);
            assert_eq!(ask(closed, Transport::Udp).await, Found::Closed);
            assert_eq!(ask(closed, Transport::Tcp).await, Found::Closed);
        });
    }
}
