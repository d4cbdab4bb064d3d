//! Learns at once that nobody listens at a CallManager's UDP port.
//!
//! A phone's own socket would get the ICMP error, but Linux hands it to connected sockets only, and those of the fleet are
//! not (see `datagrams`). So beside the phones' traffic one connected socket per CallManager sends a bare line end, which
//! SIP ignores (RFC 3261 section 7.5), a few times a second and only while phones are sending there.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;
use tandem_base::Time;
use tokio::net::UdpSocket;

use super::Shared;
use super::datagrams::bind;

/// The shortest time between two line ends to one CallManager.
const PAUSE: Duration = Duration::from_millis(250);
/// CallManagers watched at most; beyond it the phones' own timers have to do.
const SCOUTS_MAX: usize = 64;

/// One CallManager's scout.
#[derive(Default)]
struct Scout {
    socket: Option<UdpSocket>,
    next: Time,
    wanted: bool,
}

/// All scouts of a fleet.
#[derive(Default)]
pub(super) struct Scouts(BTreeMap<SocketAddr, Scout>);

impl Scouts {
    /// A phone sends to that CallManager.
    pub(super) fn sent(&mut self, now: Time, to: SocketAddr) {
        if self.0.len() >= SCOUTS_MAX && !self.0.contains_key(&to) {
            return;
        }
        let scout = self.0.entry(to).or_default();
        if scout.next <= now {
            scout.wanted = true;
            scout.next = now + PAUSE;
        }
    }

    /// Sends what is due and returns the CallManagers where nobody listens.
    fn look(&mut self) -> Vec<SocketAddr> {
        let mut dead = Vec::new();
        for (&to, scout) in &mut self.0 {
            if scout.socket.is_none() && scout.wanted {
                scout.socket = connected(to);
            }
            let Some(socket) = &scout.socket else { continue };
            // The error of an earlier line end is reported by the next call, whichever it is.
            let mut refused = is_refused(socket.try_recv(&mut [0; 16]));
            if std::mem::take(&mut scout.wanted) {
                refused |= is_refused(socket.try_send(b"\r\n"));
            }
            if refused {
                dead.push(to);
            }
        }
        dead
    }
}

fn is_refused(result: std::io::Result<usize>) -> bool {
    result.is_err_and(|e| e.kind() == std::io::ErrorKind::ConnectionRefused)
}

fn connected(to: SocketAddr) -> Option<UdpSocket> {
    let own: IpAddr = match to {
        SocketAddr::V4(to) if to.ip().is_loopback() => Ipv4Addr::LOCALHOST.into(),
        // The system knows the way.
        SocketAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
        SocketAddr::V6(_) => Ipv6Addr::LOCALHOST.into(),
    };
    let socket = bind(SocketAddr::new(own, 0)).ok()?.into_std().ok()?;
    socket.connect(to).ok()?;
    UdpSocket::from_std(socket).ok()
}

/// Once per tick: line ends out, bad news to the phones.
pub(super) fn look(core: &Shared, now: Time) {
    let mut core = core.borrow_mut();
    for to in core.scouts.look() {
        core.unreachable(now, to);
    }
}
