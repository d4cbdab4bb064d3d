//! The `Link` trait: what carries bytes between nodes (DESIGN section 8). Small on purpose; all semantics live above it.
//!
//! A link may lose, never reorders within a sender, never blocks its caller. Sequence numbers, digests and acknowledgements are
//! the business of this crate's machines, not of a link.

use bytes::Bytes;
use std::fmt;
use tandem_base::{Incarnation, NodeName};

/// How a frame travels. Lower lanes never hold up higher ones.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Lane {
    /// Heartbeats: small, first, dropped rather than late.
    Heartbeat,
    /// Rows, signals, acknowledgements.
    Ordinary,
    /// Snapshot chunks: below everything else, with credit.
    Bulk,
}

/// Why a frame was not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// The peer is not connected.
    #[error("no connection to this peer")]
    NotConnected,
    /// The bounded queue to the peer is full; the frame is gone.
    #[error("the queue to this peer is full")]
    Full,
}

/// Why a peer went away, as far as the link can tell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DownWhy {
    /// The connection was closed: the process or node is gone.
    Closed,
    /// The link itself lost the peer (cut, timeout).
    Lost,
}
impl fmt::Display for DownWhy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Closed => "connection closed",
            Self::Lost => "link lost",
        })
    }
}

/// What a link tells its node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LinkEvent {
    /// A peer can be reached at the link's level. Whether it hears us is for membership to find out.
    PeerUp {
        /// Which node.
        node: NodeName,
        /// Which of its lives.
        incarnation: Incarnation,
    },
    /// A peer cannot be reached any more.
    PeerDown {
        /// Which node.
        node: NodeName,
        /// Which of its lives: the "down" of an old connection must not hit a new life.
        incarnation: Incarnation,
        /// Why.
        why: DownWhy,
    },
    /// A frame arrived.
    Message {
        /// Who sent it.
        from: NodeName,
        /// The frame as sent.
        bytes: Bytes,
    },
}

/// One node's access to its peers. Events arrive through the [`Sink`] given when the link was opened.
pub trait Link: Send {
    /// Sends a frame to one peer; returns at once.
    ///
    /// # Errors
    /// [`Refused`] when the frame was not taken. `Ok` means "queued", not "delivered".
    fn send(&self, to: &NodeName, lane: Lane, frame: Bytes) -> Result<(), Refused>;
    /// Sends a frame to every connected peer; returns how many queues took it.
    fn broadcast(&self, lane: Lane, frame: Bytes) -> usize;
    /// Closes at once and without a word beyond what a dying process would say. Peers see `PeerDown(Closed)`.
    fn close(&self);
}

/// Where a link puts its events. Called from whatever thread the link uses: it must not block; a full receiver counts the loss.
pub type Sink = Box<dyn Fn(LinkEvent) + Send + Sync>;
