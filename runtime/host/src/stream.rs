//! SIP over TCP: listeners and connections as tasks of the node's arbiter. Whole messages go to the actor in bounded batches through a
//! callback that only tries; answers come back by connection id.
//!
//! One peer that does not read, or says nothing, must never cost the others: every connection has its own bounded write queue and deadlines.
//! Deadlines are looked at by [`Connections::sweep`], so no timer is armed on the arbiter.

mod connection;
#[cfg(test)]
mod tests;

use crate::clock::Clock;
use crate::error::HostError;
use crate::exporter::{self, Counters};
use crate::outbox::{Flow, Peer};
use bytes::Bytes;
use connection::Connection;
use metrics::Gauge;
use socket2::{Domain, Protocol, SockRef, Socket, TcpKeepalive, Type};
use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::rc::Rc;
use std::time::Duration;
use tandem_base::{NodeName, Time, metric};
use tandem_sip::FrameError;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::AbortHandle;

/// Messages handed to the actor at a time, per connection.
pub const BATCH_MESSAGES: usize = 32;
/// Connections that wait to be accepted.
const BACKLOG: i32 = 1_024;
/// Pause after an accept that failed (out of descriptors).
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// How long a connection that is to end has for what waits to be written and for the peer's own end.
pub const LINGER: Duration = Duration::from_secs(2);

/// Bounds of the connections of one node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StreamLimits {
    /// Open connections.
    pub connections: usize,
    /// Open connections from one address. Loopback is exempt: that is this host itself.
    pub per_source: usize,
    /// Longest message, header section and body together, in bytes.
    pub message_bytes: usize,
    /// From accepting to the first whole message.
    pub first_message: Duration,
    /// Without a byte from the peer. Longer than a registration lives, or quiet phones would lose their flow.
    pub idle: Duration,
    /// Without progress while bytes wait to be written.
    pub write_deadline: Duration,
    /// Bytes that wait to be written, per connection.
    pub queue_bytes: usize,
    /// Bytes that wait to be written, all connections together.
    pub queue_bytes_total: usize,
}

impl Default for StreamLimits {
    fn default() -> Self {
        Self {
            connections: 16_384,
            per_source: 1_024,
            message_bytes: tandem_sip::MAX_MESSAGE,
            first_message: Duration::from_secs(10),
            idle: Duration::from_secs(3_900),
            write_deadline: Duration::from_secs(5),
            queue_bytes: 256 << 10,
            queue_bytes_total: 64 << 20,
        }
    }
}

/// Why a connection was closed, or not accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum CloseReason {
    /// The peer closed it.
    Peer,
    /// The network broke it.
    Broken,
    /// No first message in time.
    Silent,
    /// Nothing came for too long.
    Idle,
    /// The peer does not read.
    Stalled,
    /// More waited to be written than it may.
    QueueFull,
    /// What came cannot be cut into messages.
    Malformed,
    /// The actor's mailbox was full.
    Overloaded,
    /// Too many connections, in all or from this address.
    TooMany,
    /// This node closed it.
    Local,
}

impl CloseReason {
    /// All reasons, in the order of their numbers.
    pub const ALL: [Self; 10] = [
        Self::Peer,
        Self::Broken,
        Self::Silent,
        Self::Idle,
        Self::Stalled,
        Self::QueueFull,
        Self::Malformed,
        Self::Overloaded,
        Self::TooMany,
        Self::Local,
    ];
    /// As it stands in metrics.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Peer => "peer",
            Self::Broken => "broken",
            Self::Silent => "silent",
            Self::Idle => "idle",
            Self::Stalled => "stalled",
            Self::QueueFull => "queue_full",
            Self::Malformed => "malformed",
            Self::Overloaded => "overloaded",
            Self::TooMany => "too_many",
            Self::Local => "local",
        }
    }
}

/// What connections tell the actor.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StreamEvent {
    /// Whole messages, in order; at most [`BATCH_MESSAGES`].
    Messages {
        /// Which connection, and who is at the other end.
        peer: Peer,
        /// The messages.
        messages: Vec<Bytes>,
    },
    /// What came cannot be cut into messages any more. Nothing more is read; a last answer may be sent, and then an empty message ([`Connections::send`])
    /// ends the connection. Without it the connection ends by itself after [`LINGER`].
    Unreadable {
        /// Which connection, and who is at the other end.
        peer: Peer,
        /// The header section of the message at which it ended, as much as came.
        head: Bytes,
        /// What was wrong with it.
        error: FrameError,
    },
    /// The connection is gone: its id will not be used again soon.
    Closed {
        /// Which connection.
        peer: Peer,
        /// Why.
        reason: CloseReason,
    },
}

/// Takes an event at once (`true`) or refuses it (`false`). Refused messages close their connection; a refused `Closed` is told again later.
pub type Deliver = Box<dyn Fn(StreamEvent) -> bool>;

/// Why bytes were not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SendRefused {
    /// There is no such connection (any more).
    #[error("the connection is closed")]
    Closed,
    /// Its queue is full; it is being closed.
    #[error("the peer does not read")]
    Full,
}

/// All stream connections of one node. Clones are the same table. Not `Send`: it lives on the node's arbiter.
#[derive(Clone)]
pub struct Connections {
    table: Rc<Table>,
}

struct Table {
    limits: StreamLimits,
    clock: Clock,
    deliver: Deliver,
    open: RefCell<BTreeMap<u32, Rc<Connection>>>,
    sources: RefCell<BTreeMap<IpAddr, usize>>,
    listeners: RefCell<Vec<AbortHandle>>,
    /// Ends that the actor did not take yet; at most one per connection that was open.
    untold: RefCell<VecDeque<StreamEvent>>,
    next_id: Cell<u32>,
    queued: Cell<usize>,
    scratch: RefCell<Box<[u8]>>,
    gauge: Gauge,
    closed: Counters,
}

impl Connections {
    /// An empty table. `node` labels its metrics.
    pub fn new(node: &NodeName, limits: StreamLimits, clock: Clock, deliver: Deliver) -> Self {
        let reasons = CloseReason::ALL.map(CloseReason::as_str);
        let table = Table {
            limits,
            clock,
            deliver,
            open: RefCell::default(),
            sources: RefCell::default(),
            listeners: RefCell::default(),
            untold: RefCell::default(),
            next_id: Cell::new(1),
            queued: Cell::new(0),
            scratch: RefCell::new(vec![0; connection::READ_BYTES].into_boxed_slice()),
            gauge: exporter::gauge(&metric::SIP_CONNECTIONS, &[node.as_str()]),
            closed: Counters::counters(&metric::SIP_CONNECTIONS_CLOSED, &[&[node.as_str()], &reasons]),
        };
        Self { table: Rc::new(table) }
    }

    /// Listens on this address (port 0 picks a free one) until [`Connections::stop_listening`] or the end of the arbiter; returns where. An IPv6
    /// address takes IPv6 alone. Call it inside the arbiter.
    ///
    /// # Errors
    /// [`HostError::Socket`].
    pub fn listen(&self, address: SocketAddr) -> Result<SocketAddr, HostError> {
        let fail = |source| HostError::Socket { doing: "listen on TCP", address, source };
        let listener = listener(address).map_err(fail)?;
        let local = listener.local_addr().map_err(fail)?;
        let this = self.clone();
        let task = tokio::task::spawn_local(async move {
            loop {
                match listener.accept().await {
                    Ok((stream, from)) => this.accepted(stream, from),
                    Err(_) => tokio::time::sleep(ACCEPT_PAUSE).await,
                }
            }
        });
        self.table.listeners.borrow_mut().push(task.abort_handle());
        Ok(local)
    }

    /// Accepts nobody any more; open connections stay.
    pub fn stop_listening(&self) {
        for task in self.table.listeners.borrow_mut().drain(..) {
            task.abort();
        }
    }

    /// Sends bytes: at once what the kernel takes, the rest as the peer reads. Never blocks. An empty message ends the connection in good
    /// order: what waits is written, the peer is told that nothing more comes, and it has [`LINGER`] to read it.
    ///
    /// # Errors
    /// [`SendRefused`]; the message was then not sent, or not as a whole, and the connection is closed.
    pub fn send(&self, id: u32, bytes: &[u8]) -> Result<(), SendRefused> {
        let connection = self.table.open.borrow().get(&id).cloned().ok_or(SendRefused::Closed)?;
        connection.send(&self.table, bytes)
    }

    /// Closes one connection.
    pub fn close(&self, id: u32) {
        if let Some(connection) = self.table.open.borrow().get(&id) {
            connection.close(CloseReason::Local);
        }
    }
    /// Stops listening and closes all connections.
    pub fn close_all(&self) {
        self.stop_listening();
        self.table.open.borrow().values().for_each(|connection| connection.close(CloseReason::Local));
    }
    /// Open connections.
    pub fn len(&self) -> usize {
        self.table.open.borrow().len()
    }
    /// Whether none is open.
    pub fn is_empty(&self) -> bool {
        self.table.open.borrow().is_empty()
    }

    /// Closes what is overdue at `now`, and tells again what the actor did not take. The socket loop calls it four times a second.
    pub fn sweep(&self, now: Time) {
        for connection in self.table.open.borrow().values() {
            connection.check(&self.table.limits, now);
        }
        self.table.tell_untold();
    }

    fn accepted(&self, stream: TcpStream, from: SocketAddr) {
        let table = &self.table;
        let peer = |id| Peer { addr: from, flow: Flow::Stream(id) };
        if !table.has_room_for(from.ip()) {
            table.count_closed(CloseReason::TooMany);
            return;
        }
        // Failing here only costs promptness.
        let _ = stream.set_nodelay(true);
        let keepalive = TcpKeepalive::new()
            .with_time(Duration::from_secs(120))
            .with_interval(Duration::from_secs(30))
            .with_retries(4);
        let _ = SockRef::from(&stream).set_tcp_keepalive(&keepalive);
        let id = table.fresh_id();
        let connection = Rc::new(Connection::new(peer(id), stream, table.clock.now()));
        table.open.borrow_mut().insert(id, Rc::clone(&connection));
        *table.sources.borrow_mut().entry(from.ip()).or_default() += 1;
        table.show_open();
        let table = Rc::clone(table);
        tokio::task::spawn_local(async move {
            let reason = connection.serve(&table).await;
            table.gone(&connection, reason);
        });
    }
}

impl Table {
    fn has_room_for(&self, source: IpAddr) -> bool {
        let from_there = self.sources.borrow().get(&source).copied().unwrap_or(0);
        // Ends that were not told yet count too: their number is bounded by the same bound.
        self.open.borrow().len() + self.untold.borrow().len() < self.limits.connections
            && (source.is_loopback() || from_there < self.limits.per_source)
    }

    fn fresh_id(&self) -> u32 {
        let open = self.open.borrow();
        loop {
            let id = self.next_id.get();
            self.next_id.set(id.wrapping_add(1));
            if !open.contains_key(&id) {
                return id;
            }
        }
    }

    fn gone(&self, connection: &Connection, reason: CloseReason) {
        let peer = connection.peer();
        self.queued.set(self.queued.get().saturating_sub(connection.queued()));
        if let Flow::Stream(id) = peer.flow {
            self.open.borrow_mut().remove(&id);
        }
        let mut sources = self.sources.borrow_mut();
        if let Some(count) = sources.get_mut(&peer.addr.ip()) {
            *count -= 1;
            if *count == 0 {
                sources.remove(&peer.addr.ip());
            }
        }
        drop(sources);
        self.show_open();
        self.count_closed(reason);
        self.untold.borrow_mut().push_back(StreamEvent::Closed { peer, reason });
        self.tell_untold();
    }

    fn tell_untold(&self) {
        loop {
            // The borrow ends before the callback runs: it may send, close or sweep.
            let Some(event) = self.untold.borrow_mut().pop_front() else { return };
            if !(self.deliver)(event.clone()) {
                return self.untold.borrow_mut().push_front(event);
            }
        }
    }

    fn count_closed(&self, reason: CloseReason) {
        self.closed.add(&[0, reason as usize], 1);
    }
    fn show_open(&self) {
        #[expect(clippy::cast_precision_loss, reason = "a count of connections is far below 2^52")]
        self.gauge.set(self.open.borrow().len() as f64);
    }
}

/// A port of this address at which nobody listens now. Somebody else may take it before it is used.
///
/// # Errors
/// [`HostError::Socket`].
pub fn free_port(ip: IpAddr) -> Result<u16, HostError> {
    let address = SocketAddr::new(ip, 0);
    let open = || bound(address)?.local_addr();
    let found = open().map_err(|source| HostError::Socket { doing: "listen on TCP", address, source })?;
    Ok(found.as_socket().map_or(0, |found| found.port()))
}

fn listener(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = bound(address)?;
    socket.listen(BACKLOG)?;
    TcpListener::from_std(socket.into())
}

fn bound(address: SocketAddr) -> io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    if address.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    // A node that comes back must get its port although connections of its former life linger.
    socket.set_reuse_address(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    Ok(socket)
}
