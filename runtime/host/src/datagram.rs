//! Datagrams in batches: `recvmmsg` and `sendmmsg`. The only file of Tandem with `unsafe`.
//!
//! Buffers, addresses, iovecs and headers live in boxed slices that are built once and never grow, so no pointer given to the kernel
//! moves. Nothing here interprets a byte.
#![expect(
    unsafe_code,
    reason = "two system calls that no safe crate offers in batches, and tokio's registration of a descriptor"
)]

use crate::error::HostError;
use crate::outbox::{Datagram, Flow, Outbox, Peer, Received};
use socket2::{Domain, Protocol, Socket, Type};
use std::io;
use std::mem;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6};
use std::os::fd::{AsRawFd, RawFd};
use std::ptr;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

/// Datagrams received per call.
pub const RX_BATCH: usize = 32;
/// Bytes per receive buffer: the largest datagram there is (64 KiB), so none is ever cut. Only pages that are written become resident. Off a
/// power of two by the length of a long REGISTER, so that the beginnings of 32 buffers lie in cache sets of their own.
pub const RX_SLOT_BYTES: usize = 65_536 + 1_088;
/// Datagrams sent per call.
pub const TX_BATCH: usize = 64;
/// What is asked for as the kernel's receive buffer: a storm of 20,000 registrations is about 10 MB on its way.
pub const RECEIVE_BUFFER_BYTES: usize = 4 << 20;

/// A socket's receive buffer at one moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SocketQueue {
    /// Bytes that wait, with the kernel's own overhead per datagram.
    pub bytes: u32,
    /// Datagrams dropped because it was full, since the socket was opened (modulo 2^32).
    pub dropped: u32,
}

/// One UDP socket, non-blocking. Clones are the same socket, so it outlives the actor that reads it.
#[derive(Clone, Debug)]
pub struct DatagramSocket {
    socket: Arc<Socket>,
    local: SocketAddr,
}

impl DatagramSocket {
    /// Opens a socket on this local address; port 0 picks a free one. An IPv6 socket takes IPv6 alone, so that the same port can be bound
    /// for IPv4 beside it.
    ///
    /// # Errors
    /// [`HostError::Socket`].
    pub fn bind(address: SocketAddr) -> Result<Self, HostError> {
        Self::open(address, false)
    }
    /// As [`DatagramSocket::bind`], sharing the port with other sockets of this user (`SO_REUSEPORT`): the kernel spreads sources over them.
    ///
    /// # Errors
    /// [`HostError::Socket`].
    pub fn bind_shared(address: SocketAddr) -> Result<Self, HostError> {
        Self::open(address, true)
    }

    fn open(address: SocketAddr, shared: bool) -> Result<Self, HostError> {
        let open = || -> io::Result<Self> {
            let socket = Socket::new(Domain::for_address(address), Type::DGRAM, Some(Protocol::UDP))?;
            if address.is_ipv6() {
                socket.set_only_v6(true)?;
            }
            socket.set_reuse_port(shared)?;
            socket.set_recv_buffer_size(RECEIVE_BUFFER_BYTES)?;
            socket.set_nonblocking(true)?;
            socket.bind(&address.into())?;
            let local = socket.local_addr()?.as_socket().unwrap_or(address);
            Ok(Self { socket: Arc::new(socket), local })
        };
        open().map_err(|source| HostError::Socket { doing: "listen on UDP", address, source })
    }

    /// The address it is bound to.
    pub const fn local_addr(&self) -> SocketAddr {
        self.local
    }
    /// What the kernel granted of [`RECEIVE_BUFFER_BYTES`]: often less (`net.core.rmem_max`), so a program should say so at its start. The kernel
    /// counts its own overhead too and tells twice what it took.
    ///
    /// # Errors
    /// The kernel's, which no open socket has.
    pub fn receive_buffer_bytes(&self) -> io::Result<usize> {
        Ok(self.socket.recv_buffer_size()? / 2)
    }
    /// Datagrams the kernel dropped because the receive buffer was full, since the socket was opened (modulo 2^32); `None` where the kernel does
    /// not tell.
    pub fn kernel_drops(&self) -> Option<u32> {
        self.queue().map(|q| q.dropped)
    }
    /// What waits in the receive buffer, and what did not fit; `None` where the kernel does not tell. One system call.
    pub fn queue(&self) -> Option<SocketQueue> {
        const WAITING: usize = 0; // SK_MEMINFO_RMEM_ALLOC, linux/sock_diag.h
        const DROPS: usize = 8; // SK_MEMINFO_DROPS
        let mut values = [0_u32; DROPS + 1];
        let mut length = size_of_val(&values) as libc::socklen_t;
        // SAFETY: the kernel writes at most `length` bytes to an array of that size, both of which live here; any bytes are numbers.
        let failed = unsafe {
            libc::getsockopt(
                self.descriptor(),
                libc::SOL_SOCKET,
                libc::SO_MEMINFO,
                values.as_mut_ptr().cast(),
                &raw mut length,
            )
        };
        let whole = failed == 0 && length as usize == size_of_val(&values);
        let value = |at: usize| values.get(at).copied().filter(|_| whole);
        Some(SocketQueue { bytes: value(WAITING)?, dropped: value(DROPS)? })
    }
    /// Blocks this thread until a datagram waits, at most `patience`; whether one does. For programs that own their thread: on an arbiter
    /// the loop waits.
    pub fn wait(&self, patience: Duration) -> bool {
        let mut one = libc::pollfd { fd: self.descriptor(), events: libc::POLLIN, revents: 0 };
        let millis = libc::c_int::try_from(patience.as_millis()).unwrap_or(libc::c_int::MAX);
        // SAFETY: one descriptor that is open for as long as `self`, in a value that lives here.
        unsafe { libc::poll(&raw mut one, 1, millis) > 0 }
    }
    fn descriptor(&self) -> RawFd {
        self.socket.as_raw_fd()
    }
}

/// Both directions of sockets in batches, for a program that owns its thread and waits for nobody: the benchmark's generator and its bare
/// server. A node's sockets are driven by `udp_loop`.
pub struct Batches {
    rx: Rx,
    tx: Tx,
}

impl Batches {
    /// Builds the buffers, once.
    pub fn new() -> Self {
        Self { rx: Rx::new(), tx: Tx::new() }
    }
    /// Receives what is there, at most [`RX_BATCH`] datagrams, and returns how many came; see [`Batches::received`].
    ///
    /// # Errors
    /// The kernel's; an earlier datagram that nobody took (connection refused) is one.
    pub fn receive(&mut self, socket: &DatagramSocket) -> io::Result<usize> {
        self.rx.receive(socket, 0)
    }
    /// What the last [`Batches::receive`] brought.
    pub fn received(&self) -> Received<'_> {
        self.rx.received()
    }
    /// Sends what the outbox holds for [`Flow::Udp`] 0 and returns how many datagrams the kernel took. The outbox keeps them.
    pub fn send(&mut self, socket: &DatagramSocket, outbox: &Outbox) -> u64 {
        self.tx.send(socket, 0, outbox).sent
    }
}

impl Default for Batches {
    fn default() -> Self {
        Self::new()
    }
}

/// A socket's place in the runtime's epoll, for reading. Dropping it takes the socket out.
pub(crate) type Watch = AsyncFd<Arc<Socket>>;

/// Puts a socket into the epoll of the current runtime. Data that is there already makes it ready.
pub(crate) fn watch(socket: &DatagramSocket) -> io::Result<Watch> {
    // SAFETY: the descriptor belongs to the socket in the `Arc` that the registration owns: it stays open and the same until that is
    // dropped, after the registration.
    unsafe { AsyncFd::register_with_interest(Arc::clone(&socket.socket), Interest::READABLE) }
        .map_err(|e| e.into_parts().1)
}

/// Room for the address of either family, as the kernel writes it.
#[repr(C)]
#[derive(Clone, Copy)]
union Name {
    family: libc::sa_family_t,
    v4: libc::sockaddr_in,
    v6: libc::sockaddr_in6,
}

const NAME_BYTES: libc::socklen_t = size_of::<Name>() as libc::socklen_t;

fn no_name() -> Name {
    // SAFETY: all three members are plain numbers; all zero is a value of each.
    unsafe { mem::zeroed() }
}

/// Writes an address for the kernel; returns its length.
fn name_of(address: SocketAddr) -> (Name, libc::socklen_t) {
    let mut name = no_name();
    match address {
        SocketAddr::V4(a) => {
            name.v4 = libc::sockaddr_in {
                sin_family: libc::AF_INET as libc::sa_family_t,
                sin_port: a.port().to_be(),
                sin_addr: libc::in_addr { s_addr: u32::from_ne_bytes(a.ip().octets()) },
                sin_zero: [0; 8],
            };
            (name, size_of::<libc::sockaddr_in>() as libc::socklen_t)
        }
        SocketAddr::V6(a) => {
            name.v6 = libc::sockaddr_in6 {
                sin6_family: libc::AF_INET6 as libc::sa_family_t,
                sin6_port: a.port().to_be(),
                sin6_flowinfo: a.flowinfo(),
                sin6_addr: libc::in6_addr { s6_addr: a.ip().octets() },
                sin6_scope_id: a.scope_id(),
            };
            (name, size_of::<libc::sockaddr_in6>() as libc::socklen_t)
        }
    }
}

/// Reads an address that the kernel wrote. The flow label is left out: it is no part of who the peer is.
fn address_of(name: &Name) -> Option<SocketAddr> {
    // SAFETY: the union was zeroed at first and then written by the kernel or `name_of` with the member its family tells; all members are
    // plain numbers, so any bytes are a value.
    unsafe {
        match libc::c_int::from(name.family) {
            libc::AF_INET => {
                let ip = Ipv4Addr::from(name.v4.sin_addr.s_addr.to_ne_bytes());
                Some(SocketAddrV4::new(ip, u16::from_be(name.v4.sin_port)).into())
            }
            libc::AF_INET6 => {
                let ip = Ipv6Addr::from(name.v6.sin6_addr.s6_addr);
                Some(SocketAddrV6::new(ip, u16::from_be(name.v6.sin6_port), 0, name.v6.sin6_scope_id).into())
            }
            _ => None,
        }
    }
}

fn no_header() -> libc::mmsghdr {
    // SAFETY: plain numbers and null pointers; all zero is a value.
    unsafe { mem::zeroed() }
}

/// Buffers for receiving, built once and used for any number of sockets in turn.
pub(crate) struct Rx {
    headers: Box<[libc::mmsghdr]>,
    /// Pointed to by `headers`; never touched again after they were built.
    _iovecs: Box<[libc::iovec]>,
    names: Box<[Name]>,
    bytes: Box<[u8]>,
    datagrams: Vec<Datagram>,
    /// Datagrams dropped because they did not fit or came from no address.
    pub(crate) dropped: u64,
}

impl Rx {
    pub(crate) fn new() -> Self {
        let mut bytes = vec![0_u8; RX_BATCH * RX_SLOT_BYTES].into_boxed_slice();
        let mut names = vec![no_name(); RX_BATCH].into_boxed_slice();
        let mut iovecs: Box<[libc::iovec]> = bytes
            .chunks_exact_mut(RX_SLOT_BYTES)
            .map(|slot| libc::iovec { iov_base: slot.as_mut_ptr().cast(), iov_len: slot.len() })
            .collect();
        let headers = iovecs
            .iter_mut()
            .zip(names.iter_mut())
            .map(|(iovec, name)| {
                let mut header = no_header();
                header.msg_hdr.msg_iov = iovec;
                header.msg_hdr.msg_iovlen = 1;
                header.msg_hdr.msg_name = ptr::from_mut(name).cast();
                header.msg_hdr.msg_namelen = NAME_BYTES;
                header
            })
            .collect();
        Self { headers, _iovecs: iovecs, names, bytes, datagrams: Vec::with_capacity(RX_BATCH), dropped: 0 }
    }

    /// Receives what is there, at most [`RX_BATCH`] datagrams; returns how many came (fewer than [`RX_BATCH`]: no more is there now).
    /// `index` is the socket's number in its loop. See [`Rx::received`].
    pub(crate) fn receive(&mut self, socket: &DatagramSocket, index: u8) -> io::Result<usize> {
        self.datagrams.clear();
        // SAFETY: the headers point to iovecs, names and buffers in boxed slices owned by `self`, which is borrowed mutably for the call;
        // their lengths are those the headers tell.
        let count = unsafe {
            libc::recvmmsg(
                socket.descriptor(),
                self.headers.as_mut_ptr(),
                RX_BATCH as libc::c_uint,
                libc::MSG_DONTWAIT as _,
                ptr::null_mut(),
            )
        };
        let Ok(count) = usize::try_from(count) else {
            let error = io::Error::last_os_error();
            return if error.kind() == io::ErrorKind::WouldBlock { Ok(0) } else { Err(error) };
        };
        for (number, (header, name)) in self.headers.iter_mut().zip(&*self.names).take(count).enumerate() {
            let truncated = header.msg_hdr.msg_flags & libc::MSG_TRUNC != 0;
            // The kernel wrote how long the address is; the next call needs the room again.
            header.msg_hdr.msg_namelen = NAME_BYTES;
            match address_of(name) {
                Some(addr) if !truncated => self.datagrams.push(Datagram {
                    start: number * RX_SLOT_BYTES,
                    len: header.msg_len as usize,
                    peer: Peer { addr, flow: Flow::Udp(index) },
                }),
                _ => self.dropped += 1,
            }
        }
        Ok(count)
    }

    /// What the last [`Rx::receive`] brought.
    pub(crate) fn received(&self) -> Received<'_> {
        Received::new(&self.bytes, &self.datagrams)
    }
}

/// Headers for sending, built once.
pub(crate) struct Tx {
    headers: Box<[libc::mmsghdr]>,
    iovecs: Box<[libc::iovec]>,
    names: Box<[Name]>,
}

/// What became of messages that were to be sent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Sent {
    pub(crate) sent: u64,
    /// The kernel did not take them: no room, or no way there.
    pub(crate) failed: u64,
}

impl Tx {
    pub(crate) fn new() -> Self {
        Self {
            headers: vec![no_header(); TX_BATCH].into_boxed_slice(),
            iovecs: vec![libc::iovec { iov_base: ptr::null_mut(), iov_len: 0 }; TX_BATCH].into_boxed_slice(),
            names: vec![no_name(); TX_BATCH].into_boxed_slice(),
        }
    }

    /// Sends the messages of the outbox that go through this socket, in order, in calls of [`TX_BATCH`]. What the kernel does not take at once
    /// is lost, as datagrams are, and counted.
    pub(crate) fn send(&mut self, socket: &DatagramSocket, index: u8, outbox: &Outbox) -> Sent {
        let mut total = Sent::default();
        let mut next = 0;
        while next < outbox.len() {
            let mut filled = 0;
            while filled < TX_BATCH && next < outbox.len() {
                if let Some((peer, bytes)) = outbox.get(next)
                    && peer.flow == Flow::Udp(index)
                {
                    self.fill(filled, peer.addr, bytes);
                    filled += 1;
                }
                next += 1;
            }
            let sent = self.flush(socket, filled);
            total.sent += sent.sent;
            total.failed += sent.failed;
        }
        total
    }

    fn fill(&mut self, at: usize, to: SocketAddr, bytes: &[u8]) {
        let (Some(header), Some(iovec), Some(name)) =
            (self.headers.get_mut(at), self.iovecs.get_mut(at), self.names.get_mut(at))
        else {
            return;
        };
        let (written, length) = name_of(to);
        *name = written;
        // The kernel only reads what it sends; the pointer is used before the outbox is touched again.
        *iovec = libc::iovec { iov_base: bytes.as_ptr().cast_mut().cast(), iov_len: bytes.len() };
        header.msg_hdr.msg_iov = iovec;
        header.msg_hdr.msg_iovlen = 1;
        header.msg_hdr.msg_name = ptr::from_mut(name).cast();
        header.msg_hdr.msg_namelen = length;
    }

    fn flush(&mut self, socket: &DatagramSocket, filled: usize) -> Sent {
        let mut total = Sent::default();
        let mut first = 0;
        while let Some(headers) = self.headers.get_mut(first..filled).filter(|h| !h.is_empty()) {
            // SAFETY: `fill` has just pointed these headers at iovecs and names in boxed slices of `self` and at bytes of the outbox that
            // `send` borrows; all outlive the call.
            let count = unsafe {
                libc::sendmmsg(
                    socket.descriptor(),
                    headers.as_mut_ptr(),
                    headers.len() as libc::c_uint,
                    (libc::MSG_DONTWAIT | libc::MSG_NOSIGNAL) as _,
                )
            };
            match usize::try_from(count) {
                Ok(count) => {
                    total.sent += count as u64;
                    first += count;
                }
                Err(_) => match io::Error::last_os_error().kind() {
                    io::ErrorKind::Interrupted => {}
                    io::ErrorKind::WouldBlock => {
                        total.failed += headers.len() as u64;
                        break;
                    }
                    // One that cannot be sent (no route, too long) must not stop those behind it.
                    _ => {
                        total.failed += 1;
                        first += 1;
                    }
                },
            }
        }
        total
    }
}

// SAFETY: the raw pointers in these lead into boxed slices that move with their owner (a box's content has a fixed address) and are used
// only through `&mut self`.
unsafe impl Send for Rx {}
// SAFETY: as for `Rx`; pointers into an outbox are rewritten by `fill` before each use.
unsafe impl Send for Tx {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_survive_the_way_to_the_kernel_and_back() {
        for text in ["127.0.0.1:5060", "10.1.2.3:65535", "[::1]:5060", "[fe80::1%3]:5060", "[2001:db8::ff]:1"] {
            let address: SocketAddr = text.parse().unwrap();
            assert_eq!(address_of(&name_of(address).0), Some(address));
        }
        assert_eq!(address_of(&no_name()), None);
    }

    #[test]
    fn a_port_in_use_is_refused_with_its_address() {
        let first = DatagramSocket::bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let error = DatagramSocket::bind(first.local_addr()).unwrap_err().to_string();
        assert!(error.starts_with(&format!("cannot listen on UDP {}: ", first.local_addr())), "{error}");
    }

    #[test]
    fn sockets_that_share_a_port_say_so_and_families_do_not_clash() {
        let first = DatagramSocket::bind_shared("127.0.0.1:0".parse().unwrap()).unwrap();
        let second = DatagramSocket::bind_shared(first.local_addr()).unwrap();
        assert_eq!(first.local_addr(), second.local_addr());
        let v6 = SocketAddr::from(([0, 0, 0, 0, 0, 0, 0, 1], first.local_addr().port()));
        assert_eq!(DatagramSocket::bind(v6).unwrap().local_addr(), v6);
    }

    #[test]
    fn more_than_one_batch_is_received_in_order() {
        let open = || DatagramSocket::bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let (from, to) = (open(), open());
        let mut outbox = Outbox::new();
        for n in 0..50_u8 {
            assert!(outbox.send(&[n], Peer { addr: to.local_addr(), flow: Flow::Udp(3) }));
            assert!(outbox.send(&[n], Peer { addr: to.local_addr(), flow: Flow::Udp(4) }));
        }
        let sent = Tx::new().send(&from, 3, &outbox);
        assert_eq!((sent.sent, sent.failed), (50, 0), "those of the other socket stay");
        let mut rx = Rx::new();
        let mut seen = Vec::new();
        for expected in [32, 18, 0] {
            assert_eq!(rx.receive(&to, 9).unwrap(), expected);
            for (bytes, peer) in rx.received().iter() {
                assert_eq!(peer, Peer { addr: from.local_addr(), flow: Flow::Udp(9) });
                seen.extend_from_slice(bytes);
            }
        }
        assert_eq!(seen, (0..50).collect::<Vec<u8>>());
    }

    #[test]
    fn what_the_kernel_drops_is_told() {
        let open = || DatagramSocket::bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let (from, to) = (open(), open());
        assert_eq!(to.kernel_drops(), Some(0));
        let granted = to.receive_buffer_bytes().unwrap();
        assert!(granted > 0 && granted <= RECEIVE_BUFFER_BYTES);
        let (mut tx, mut outbox) = (Tx::new(), Outbox::new());
        let peer = Peer { addr: to.local_addr(), flow: Flow::Udp(0) };
        // Nobody reads: a buffer holds less than its size in datagrams of 1 KiB.
        let mut sent = 0;
        while sent * 1_024 <= 2 * granted {
            assert!(outbox.send(&[0; 1_024], peer));
            sent += 1;
            if outbox.full() {
                tx.send(&from, 0, &outbox);
                outbox.clear();
            }
        }
        assert!(to.kernel_drops().is_some_and(|drops| drops > 0));
    }
}
