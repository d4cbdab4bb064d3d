//! The fleet's UDP sockets: opening them as the plan says, and one receiving task for each.
//!
//! A socket is never connected: calls reach a phone from CallManagers it did not register with.

use std::cell::RefCell;
use std::net::SocketAddr;
use std::rc::Rc;
use tandem_host::clock::Clock;
use tokio::net::UdpSocket;

use super::Shared;
use super::core::Socket;
use crate::plan::Source;
use crate::{Error, PhoneGroup};

/// Datagrams taken from one socket before the others and the timers get their turn.
const BATCH: usize = 16;
/// Receive buffer asked for, in bytes: the answers to all phones of a socket at once. The system grants what it likes.
const RECEIVE_BUFFER: usize = 1 << 20;
/// The longest datagram that UDP carries.
const DATAGRAM_MAX: usize = 65_535;

/// Gives the phones of one group their sockets.
pub(super) struct Plug<'a> {
    group: &'a PhoneGroup,
    last: Option<Socket>,
    used: usize,
}

impl<'a> Plug<'a> {
    pub(super) fn new(group: &'a PhoneGroup) -> Self {
        Self { group, last: None, used: 0 }
    }

    /// The socket of the next phone.
    pub(super) fn socket(&mut self, number: u32) -> Result<Socket, Error> {
        let per_socket = match self.group.source {
            Source::Shared { per_socket } | Source::Spread { per_socket, .. } | Source::At { per_socket, .. } => {
                per_socket.max(1)
            }
            Source::OnePerPhone => 1,
        };
        if let Some(socket) = self.last.as_ref().filter(|_| self.used < per_socket) {
            self.used += 1;
            return Ok(Rc::clone(socket));
        }
        let socket = Rc::new(bind(SocketAddr::new(self.group.source_ip(number), 0))?);
        self.used = 1;
        self.last = Some(Rc::clone(&socket));
        Ok(socket)
    }
}

/// A UDP socket on a port that the system chooses.
#[expect(clippy::disallowed_methods, reason = "a phone is a stranger: its sockets are not those of a node")]
pub(super) fn bind(address: SocketAddr) -> Result<UdpSocket, Error> {
    let failed = |source| Error::Io { what: format!("cannot open a UDP socket on {}", address.ip()), source };
    let socket = std::net::UdpSocket::bind(address).map_err(failed)?;
    // A smaller buffer than asked for is no error; what it drops is counted by the kernel and told at the end.
    let _ = socket2::SockRef::from(&socket).set_recv_buffer_size(RECEIVE_BUFFER);
    socket.set_nonblocking(true).map_err(failed)?;
    UdpSocket::from_std(socket).map_err(failed)
}

/// Starts a task per socket.
pub(super) fn serve(core: &Shared, clock: Clock) {
    let sockets = core.borrow().distinct_sockets();
    let buffer = Rc::new(RefCell::new(vec![0; DATAGRAM_MAX]));
    for socket in sockets {
        tokio::task::spawn_local(receive(core.clone(), socket, buffer.clone(), clock));
    }
}

/// All tasks share one buffer: none waits while it holds a datagram.
async fn receive(core: Shared, socket: Socket, buffer: Rc<RefCell<Vec<u8>>>, clock: Clock) {
    while socket.readable().await.is_ok() {
        for _ in 0..BATCH {
            let mut buffer = buffer.borrow_mut();
            match socket.try_recv_from(&mut buffer) {
                Ok((length, from)) => {
                    let bytes = buffer.get(..length).unwrap_or_default();
                    core.borrow_mut().arrived(clock.now(), None, from, bytes);
                }
                Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => break,
                // An error that belongs to an earlier send; the socket goes on.
                Err(_) => {}
            }
        }
        tokio::task::yield_now().await;
    }
}
