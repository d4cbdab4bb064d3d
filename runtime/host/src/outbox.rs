//! Where answers go: a batch of slots, built once, filled by handlers, emptied by the socket loop or by the simulator. It knows no
//! socket.
//!
//! It must never allocate for an answer that fits a slot.

use std::net::SocketAddr;

/// Slots per batch.
pub const OUTBOX_SLOTS: usize = 64;
/// Bytes per slot: an answer that fits one Ethernet frame, with room. Off a power of two, so that slots do not share cache sets.
pub const OUTBOX_SLOT_BYTES: usize = 2_112;
/// Most bytes in the spill (answers that did not fit a slot, or came when all slots were taken); beyond it answers are lost, as
/// datagrams are, and counted.
pub const OUTBOX_SPILL_BYTES: usize = 1 << 20;

/// What carries a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Flow {
    /// A datagram through this socket of the loop.
    Udp(u8),
    /// The stream connection with this id.
    Stream(u32),
}

/// Where a message came from, and where its answer goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Peer {
    /// Address and port of the far end.
    pub addr: SocketAddr,
    /// How it is reached.
    pub flow: Flow,
}

#[derive(Clone, Copy)]
struct Entry {
    peer: Peer,
    len: usize,
    /// Offset in the spill; `None` for the slot of the same number.
    spill: Option<usize>,
}

/// Answers on their way out.
pub struct Outbox {
    slots: Box<[u8]>,
    /// Slots taken so far; the next free one is this.
    taken: usize,
    entries: Vec<(usize, Entry)>,
    spill: Vec<u8>,
    lost: u64,
    streams: bool,
}

impl Default for Outbox {
    fn default() -> Self {
        Self::new()
    }
}

impl Outbox {
    /// An empty batch; allocates all it will use for ordinary answers.
    pub fn new() -> Self {
        Self {
            slots: vec![0; OUTBOX_SLOTS * OUTBOX_SLOT_BYTES].into_boxed_slice(),
            taken: 0,
            entries: Vec::with_capacity(OUTBOX_SLOTS),
            spill: Vec::new(),
            lost: 0,
            streams: false,
        }
    }

    /// The next free slot ([`OUTBOX_SLOT_BYTES`] bytes, old content); empty when all are taken.
    pub fn slot(&mut self) -> &mut [u8] {
        let start = self.taken * OUTBOX_SLOT_BYTES;
        self.slots.get_mut(start..start + OUTBOX_SLOT_BYTES).unwrap_or_default()
    }

    /// Sends the first `len` bytes of the slot last got from [`Outbox::slot`]. `false` (and nothing is sent) when there is no free
    /// slot or it is shorter.
    pub fn push(&mut self, len: usize, peer: Peer) -> bool {
        if self.full() || len > OUTBOX_SLOT_BYTES {
            return false;
        }
        self.entries.push((self.taken, Entry { peer, len, spill: None }));
        self.taken += 1;
        self.streams |= matches!(peer.flow, Flow::Stream(_));
        true
    }

    /// Copies a finished message into a slot, or into the spill when it is too long or all slots are taken. `false` when the spill is
    /// full too: the message is lost and counted.
    pub fn send(&mut self, bytes: &[u8], peer: Peer) -> bool {
        if let Some(room) = self.slot().get_mut(..bytes.len()) {
            room.copy_from_slice(bytes);
            return self.push(bytes.len(), peer);
        }
        if self.spill.len() + bytes.len() > OUTBOX_SPILL_BYTES {
            self.lost += 1;
            return false;
        }
        let offset = self.spill.len();
        self.spill.extend_from_slice(bytes);
        self.streams |= matches!(peer.flow, Flow::Stream(_));
        self.entries.push((0, Entry { peer, len: bytes.len(), spill: Some(offset) }));
        true
    }

    /// Whether all slots are taken.
    pub fn full(&self) -> bool {
        self.taken >= OUTBOX_SLOTS
    }
    /// Messages waiting.
    pub fn len(&self) -> usize {
        self.entries.len()
    }
    /// Whether nothing waits.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }
    /// Messages lost so far because slots and spill were full.
    pub fn lost(&self) -> u64 {
        self.lost
    }

    pub(crate) fn has_streams(&self) -> bool {
        self.streams
    }

    /// The message with this number, in the order they were pushed.
    pub fn get(&self, index: usize) -> Option<(Peer, &[u8])> {
        let (slot, entry) = self.entries.get(index)?;
        let bytes = match entry.spill {
            Some(offset) => self.spill.get(offset..offset + entry.len)?,
            None => self.slots.get(slot * OUTBOX_SLOT_BYTES..)?.get(..entry.len)?,
        };
        Some((entry.peer, bytes))
    }

    /// Hands out every message, oldest first, and is empty afterwards.
    pub fn drain(&mut self, mut each: impl FnMut(Peer, &[u8])) {
        for index in 0..self.len() {
            if let Some((peer, bytes)) = self.get(index) {
                each(peer, bytes);
            }
        }
        self.clear();
    }

    /// Forgets everything. The slots keep their memory, the spill gives it back.
    pub fn clear(&mut self) {
        self.taken = 0;
        self.streams = false;
        self.entries.clear();
        if self.spill.capacity() > 0 {
            self.spill = Vec::new();
        }
    }
}

/// One datagram of a [`Received`].
#[derive(Clone, Copy, Debug)]
pub struct Datagram {
    /// Offset of its first byte.
    pub start: usize,
    /// Its length in bytes.
    pub len: usize,
    /// Where it came from.
    pub peer: Peer,
}

/// A batch of messages as they came: bytes elsewhere, one [`Datagram`] each.
#[derive(Clone, Copy)]
pub struct Received<'a> {
    bytes: &'a [u8],
    datagrams: &'a [Datagram],
}

impl<'a> Received<'a> {
    /// A batch over `bytes`; a datagram that lies outside them reads as missing.
    pub const fn new(bytes: &'a [u8], datagrams: &'a [Datagram]) -> Self {
        Self { bytes, datagrams }
    }
    /// How many.
    pub const fn len(&self) -> usize {
        self.datagrams.len()
    }
    /// Whether there is none.
    pub const fn is_empty(&self) -> bool {
        self.datagrams.is_empty()
    }
    /// The message with this number.
    pub fn get(&self, index: usize) -> Option<(&'a [u8], Peer)> {
        let datagram = self.datagrams.get(index)?;
        Some((self.bytes.get(datagram.start..datagram.start.checked_add(datagram.len)?)?, datagram.peer))
    }
    /// All messages, in the order they came.
    pub fn iter(&self) -> impl Iterator<Item = (&'a [u8], Peer)> + use<'a> {
        let this = *self;
        (0..this.len()).filter_map(move |index| this.get(index))
    }
}

/// Messages gathered without a socket: what the simulator and tests feed.
#[derive(Default)]
pub struct Inbox {
    bytes: Vec<u8>,
    datagrams: Vec<Datagram>,
}

impl Inbox {
    /// Adds one message.
    pub fn push(&mut self, bytes: &[u8], peer: Peer) {
        self.datagrams.push(Datagram { start: self.bytes.len(), len: bytes.len(), peer });
        self.bytes.extend_from_slice(bytes);
    }
    /// The batch so far.
    pub fn received(&self) -> Received<'_> {
        Received::new(&self.bytes, &self.datagrams)
    }
    /// Empties it; memory is kept.
    pub fn clear(&mut self) {
        self.bytes.clear();
        self.datagrams.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn peer(port: u16) -> Peer {
        Peer { addr: SocketAddr::from(([127, 0, 0, 1], port)), flow: Flow::Udp(0) }
    }
    fn contents(outbox: &mut Outbox) -> Vec<(u16, Vec<u8>)> {
        let mut seen = Vec::new();
        outbox.drain(|peer, bytes| seen.push((peer.addr.port(), bytes.to_vec())));
        seen
    }

    #[test]
    fn messages_leave_in_the_order_they_came_whether_in_a_slot_or_in_the_spill() {
        let mut outbox = Outbox::new();
        outbox.slot()[..2].copy_from_slice(b"ab");
        assert!(outbox.push(2, peer(1)));
        let long = vec![b'x'; OUTBOX_SLOT_BYTES + 1];
        assert!(outbox.send(&long, peer(2)));
        assert!(outbox.send(b"cd", peer(3)));
        assert_eq!(contents(&mut outbox), [(1, b"ab".to_vec()), (2, long), (3, b"cd".to_vec())]);
        assert!(outbox.is_empty());
    }

    #[test]
    fn when_all_slots_are_taken_answers_spill_and_then_are_counted_as_lost() {
        let mut outbox = Outbox::new();
        let sent = (0..OUTBOX_SLOTS).filter(|_| outbox.send(b"x", peer(1))).count();
        assert_eq!(sent, OUTBOX_SLOTS);
        assert!(outbox.full() && outbox.slot().is_empty() && !outbox.push(0, peer(1)));
        assert!(outbox.send(&vec![0; OUTBOX_SPILL_BYTES], peer(2)));
        assert!(!outbox.send(b"y", peer(3)));
        assert_eq!((outbox.len(), outbox.lost()), (OUTBOX_SLOTS + 1, 1));
        assert_eq!(contents(&mut outbox).len(), OUTBOX_SLOTS + 1);
        assert!(!outbox.full() && outbox.slot().len() == OUTBOX_SLOT_BYTES);
    }

    #[test]
    fn a_batch_gives_back_what_was_gathered() {
        let mut inbox = Inbox::default();
        inbox.push(b"one", peer(1));
        inbox.push(b"", peer(2));
        inbox.push(b"three", peer(3));
        let seen: Vec<_> = inbox.received().iter().map(|(bytes, peer)| (bytes, peer.addr.port())).collect();
        assert_eq!(seen, [(&b"one"[..], 1), (b"", 2), (b"three", 3)]);
        assert!(inbox.received().get(3).is_none());
    }
}
