//! Messages in, answers out: the hot path's entry. Production reaches it through the socket loop, the simulator through [`Inject`];
//! neither socket nor clock is known here.

use super::DeviceHost;
use crate::journal::Fact;
use actix::{Context, Handler, Message};
use std::time::Duration;
use tandem_base::Time;
use tandem_host::datagram::DatagramSocket;
use tandem_host::outbox::{Flow, Inbox, Outbox, Peer, Received};
use tandem_host::stream::{Connections, StreamEvent};
use tandem_host::udp_loop::{Datagrams, UdpLoop};
use tandem_host::udp_queue::UdpQueues;

/// How long a node that stood still takes no datagram: enough to empty its sockets, less than a phone's first retransmission.
const DEAF: Duration = Duration::from_millis(100);

/// Takes what a host sends, without sockets.
pub type MemoryWire = Box<dyn FnMut(Peer, &[u8])>;

/// How a device host gets and sends messages.
pub enum Wire {
    /// Real sockets; the loop is spawned when the host starts.
    Sockets {
        /// UDP, at most one per address family.
        udp: Vec<DatagramSocket>,
        /// TCP.
        connections: Connections,
    },
    /// The simulator: messages come as [`Inject`] and go into this.
    Memory {
        /// Where messages go.
        send: MemoryWire,
        /// Answers on their way.
        out: Box<Outbox>,
    },
}

impl Wire {
    /// Without sockets.
    pub fn memory(send: MemoryWire) -> Self {
        Self::Memory { send, out: Box::new(Outbox::new()) }
    }
}

impl DeviceHost {
    /// Called when the host starts: production spawns its socket loop.
    pub(super) fn open_wire(&mut self, ctx: &mut Context<Self>) {
        match self.wire.take() {
            Some(Wire::Sockets { udp, connections }) => {
                let udp_loop = UdpLoop::new(udp.clone(), Some(connections), self.clock);
                self.queues = Some(UdpQueues::new(&udp, udp_loop.counts(), self.clock.now()));
                udp_loop.spawn(ctx);
            }
            memory => self.wire = memory,
        }
    }
    /// Whether datagrams that come now may have waited while the whole node stood still for longer than its peers wait for it. Their
    /// devices may be elsewhere by now, and an old request would look newer than that; whoever is still there asks again (RFC 3261 17.1.2.2).
    pub(super) fn stood_still(&mut self, now: Time) -> bool {
        let silence = now.since(self.last_turn);
        if silence >= self.directory.settings.dead_after.0 {
            self.deaf_until = now + DEAF;
            let text = format!(
                "{} stood still for {} ms: what waited at its sockets is dropped",
                self.me,
                silence.as_millis()
            );
            let fact = Fact::cluster("node_stood_still", None, "silence".to_owned(), text);
            self.journal.push(self.clock.unix_millis(), self.index, fact);
        }
        self.last_turn = now;
        now < self.deaf_until
    }
    /// Without a socket loop nobody calls `turn`: do it after each message that may have left something to send.
    pub(crate) fn turn_in_memory(&mut self, now: Time) {
        let Some(Wire::Memory { mut send, mut out }) = self.wire.take() else { return };
        self.turn(now, &mut out);
        out.drain(|peer, bytes| send(peer, bytes));
        self.wire = Some(Wire::Memory { send, out });
    }
}

impl Datagrams for DeviceHost {
    fn batch(&mut self, batch: &Received<'_>, now: Time, out: &mut Outbox) {
        if self.stood_still(now) {
            return;
        }
        self.begin_turn(now);
        self.serve_all(now, batch.iter(), out);
        // Before the answers leave: who has one finds it counted.
        self.metrics.hand_on();
        self.flush_rows(now, false);
    }
    fn turn(&mut self, now: Time, out: &mut Outbox) {
        self.edge.send_pending(out);
        self.metrics.hand_on();
        if self.rows.is_due(now) {
            self.flush_rows(now, false);
        }
    }
}

// --- Stream ----------------------------------------------------------------------------------------------------------

/// News of a stream connection.
pub struct Stream(pub StreamEvent);
impl Message for Stream {
    type Result = ();
}
impl Handler<Stream> for DeviceHost {
    type Result = ();
    fn handle(&mut self, m: Stream, _: &mut Context<Self>) {
        let now = self.clock.now();
        self.begin_turn(now);
        match m.0 {
            StreamEvent::Messages { peer, messages } => {
                // The loop's outbox is not at hand: answers wait for the turn that follows each message.
                let mut out = self.stream_out.take().unwrap_or_default();
                self.serve_all(now, messages.iter().map(|bytes| (&bytes[..], peer)), &mut out);
                out.drain(|peer, bytes| self.edge.send_later(peer, bytes));
                self.stream_out = Some(out);
            }
            StreamEvent::Unreadable { peer, head, error } => self.last_word(peer, &head, error),
            StreamEvent::Closed { peer, .. } => {
                if let Flow::Stream(id) = peer.flow {
                    self.connection_closed(now, id);
                }
            }
        }
        self.flush_rows(now, false);
    }
}

// --- Inject ----------------------------------------------------------------------------------------------------------

/// Datagrams of the simulator.
pub struct Inject(pub Vec<(Peer, Vec<u8>)>);
impl Message for Inject {
    type Result = ();
}
impl Handler<Inject> for DeviceHost {
    type Result = ();
    fn handle(&mut self, m: Inject, _: &mut Context<Self>) {
        let now = self.clock.now();
        let Some(Wire::Memory { mut send, mut out }) = self.wire.take() else { return };
        let mut inbox = Inbox::default();
        for (peer, bytes) in &m.0 {
            inbox.push(bytes, *peer);
        }
        self.batch(&inbox.received(), now, &mut out);
        self.turn(now, &mut out);
        out.drain(|peer, bytes| send(peer, bytes));
        self.wire = Some(Wire::Memory { send, out });
    }
}
