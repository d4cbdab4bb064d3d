//! What goes into and comes out of [`crate::Cluster`], and what may be asked of it. Words only, no behaviour.

use crate::digest::Digest;
use crate::link::{Lane, LinkEvent};
use crate::row::{Op, Row};
use crate::saved::Saved;
use bytes::Bytes;
use std::fmt;
use std::time::Duration;
use tandem_base::{Incarnation, NodeLife, NodeName, Time};

/// What a node says of itself in its heartbeats.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum NodeState {
    /// Its copies are not complete yet: it serves nobody.
    #[default]
    Joining,
    /// It serves.
    InService,
    /// It is about to stop and takes nobody new.
    Draining,
}
impl fmt::Display for NodeState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Joining => "joining",
            Self::InService => "in_service",
            Self::Draining => "draining",
        })
    }
}

/// A peer in the view of this node.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum MemberState {
    /// It is heard and hears us.
    Up,
    /// It was up and has been silent for `suspect_after`.
    Suspect,
    /// It is not heard, or does not hear us.
    #[default]
    Down,
}
impl fmt::Display for MemberState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Up => "up",
            Self::Suspect => "suspect",
            Self::Down => "down",
        })
    }
}

/// Why a peer is down.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DownReason {
    /// Its connection was closed: the process or node is gone.
    Closed,
    /// The link lost it (cut, timeout).
    Lost,
    /// It was silent for `dead_after`.
    Silent,
    /// It is heard but no longer hears us: a cut in one direction.
    Deaf,
    /// A newer life of it has begun.
    Replaced,
    /// It is no longer configured.
    Removed,
}
impl fmt::Display for DownReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Closed => "connection closed",
            Self::Lost => "link lost",
            Self::Silent => "silent",
            Self::Deaf => "does not hear us",
            Self::Replaced => "restarted",
            Self::Removed => "removed from the configuration",
        })
    }
}

/// Why an owner's rows are fetched anew: the label of `replication_resyncs_total`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Resync {
    /// Rows are missing in the sequence.
    Gap,
    /// Same sequence, different digest.
    Digest,
    /// This life of the owner is new here.
    Join,
}
impl fmt::Display for Resync {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Gap => "gap",
            Self::Digest => "digest",
            Self::Join => "join",
        })
    }
}

/// A batch of own changes, already gathered by the driver (some hundred rows or a few milliseconds).
#[derive(Clone, Debug)]
pub struct OwnRows<R> {
    /// The changes, oldest first.
    pub ops: Vec<Op<R>>,
    /// Digest of the whole own set **after** these changes and no others.
    pub digest: Digest,
}

/// What may happen to the machine.
#[derive(Clone, Debug)]
pub enum Input<R> {
    /// The link says something.
    Link(LinkEvent),
    /// The set of configured peers changes; missing ones leave, their rows go.
    Peers(Vec<NodeName>),
    /// This node's own state, told to the peers at once. It starts as [`NodeState::Joining`].
    State(NodeState),
    /// Own rows changed.
    OwnRows(OwnRows<R>),
    /// The answer to [`Output::NeedChunk`]. Contract: everything that changed before these rows were read has been handed in as
    /// [`Input::OwnRows`] **before** this (flush the gather buffer first), everything that changes later comes after it; and a row
    /// that exists during the whole walk is returned at least once.
    Chunk {
        /// As in the question.
        peer: NodeName,
        /// As in the question.
        ticket: u64,
        /// The rows from the asked cursor on, at most the asked limit.
        rows: Vec<R>,
        /// Where to go on; `None` at the end.
        next: Option<u64>,
    },
    /// Rows that were kept in a file, by this node's earlier life. Before [`Output::InSync`] only; later they are worth nothing. What no peer knows
    /// better comes out right before [`Output::InSync`]: own ones as [`Output::Adoptable`], others as [`Output::Orphaned`] and [`Output::Changed`].
    Restore(Vec<Saved<R>>),
    /// Orphaned rows with this key are no longer wanted: taken over, or a newer row exists. Rows of live owners stay.
    /// What went is told as [`Output::Changed`].
    Drop {
        /// The key.
        key: u128,
        /// Whose row is the newer one: it stays. Its owner may count as down itself, when it is heard and does not hear us.
        but: Option<NodeLife>,
    },
    /// Carry bytes of another machine to a peer: at most once, not resent, in order with this node's other frames. To who is not up they are lost.
    Carry {
        /// To whom.
        to: NodeName,
        /// Whether they may wait behind everything else.
        bulk: bool,
        /// Opaque; at most 4 MiB.
        payload: Bytes,
    },
    /// Send a signal: once, in order, resent until acknowledged.
    Signal {
        /// To whom.
        to: NodeName,
        /// The driver's own name for it, in [`Output::SignalFailed`].
        token: u64,
        /// Opaque.
        payload: Bytes,
    },
    /// Send a signal that wants an answer.
    Ask {
        /// To whom.
        to: NodeName,
        /// The driver's own name for it, in [`Output::Answered`]; must be unique among open asks.
        token: u64,
        /// Opaque.
        payload: Bytes,
        /// How long to wait for the answer.
        within: Duration,
    },
    /// Answer an [`Output::Asked`].
    Answer {
        /// Which question.
        ask: AskRef,
        /// Opaque.
        payload: Bytes,
    },
}

/// Which question of which peer's life; from [`Output::Asked`], for [`Input::Answer`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AskRef {
    /// Who asks.
    pub from: NodeLife,
    /// Its number there.
    pub id: u64,
}

/// Why an ask has no answer, or a signal was not delivered for certain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AskError {
    /// The peer is not up; nothing was sent.
    NotUp,
    /// The peer died before it acknowledged or answered; it may or may not have acted.
    Died(DownReason),
    /// No answer in time.
    Deadline,
    /// Too many unacknowledged signals to this peer, or the payload is too long; nothing was sent.
    Full,
}
impl fmt::Display for AskError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotUp => f.write_str("the peer is not up"),
            Self::Died(why) => write!(f, "the peer died: {why}"),
            Self::Deadline => f.write_str("no answer in time"),
            Self::Full => f.write_str("too many or too long signals to this peer"),
        }
    }
}

/// One change of another owner's rows as seen here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change<R> {
    /// What changed.
    pub op: Op<R>,
    /// What this node had under that key for that owner.
    pub previous: Option<R>,
}
impl<R: Row> Change<R> {
    /// This row is gone.
    pub(crate) fn removal(row: R) -> Self {
        Self { op: Op::Remove { key: row.key() }, previous: Some(row) }
    }
}

/// What the machine wants done, in order.
#[derive(Clone, Debug)]
pub enum Output<R> {
    /// Hand the frame to the link, for one peer. A refusal needs no answer: what matters is repaired.
    Send {
        /// To whom.
        to: NodeName,
        /// How.
        lane: Lane,
        /// What.
        frame: Bytes,
    },
    /// Hand the frame to the link, for every peer.
    Broadcast {
        /// How.
        lane: Lane,
        /// What.
        frame: Bytes,
    },

    /// A peer is up: heard, and hears us. After a [`Output::Flap`] too.
    Up {
        /// Which node.
        node: NodeName,
        /// Which of its lives.
        incarnation: Incarnation,
    },
    /// A peer that was up is silent; nothing is decided yet.
    Suspect {
        /// Which node.
        node: NodeName,
        /// Which of its lives.
        incarnation: Incarnation,
    },
    /// A suspect peer is heard again.
    Trusted {
        /// Which node.
        node: NodeName,
        /// Which of its lives.
        incarnation: Incarnation,
    },
    /// A peer that was up is down. Its rows stay, orphaned ([`Output::Orphaned`] follows).
    Down {
        /// Which node.
        node: NodeName,
        /// Which of its lives.
        incarnation: Incarnation,
        /// Why.
        why: DownReason,
        /// When it was last heard, on this node's clock.
        last_heard: Time,
    },
    /// A peer was down and is up again in the same life: nothing died. Its rows are no longer orphaned; [`Output::Up`] follows.
    Flap {
        /// Which node.
        node: NodeName,
        /// Which of its lives.
        incarnation: Incarnation,
        /// For how long it was down.
        down_for: Duration,
    },
    /// A peer says something new of itself.
    StateChanged {
        /// Which node.
        node: NodeName,
        /// Which of its lives.
        incarnation: Incarnation,
        /// What it says.
        state: NodeState,
    },
    /// The copy of this peer's rows is proven complete: same sequence, same digest.
    Complete {
        /// Which peer.
        peer: NodeLife,
        /// Rows in it.
        rows: u64,
    },
    /// The copy of this peer's rows was complete and is not any more; it is being repaired.
    Diverged {
        /// Which peer.
        peer: NodeLife,
        /// Why.
        why: Resync,
    },
    /// Every configured peer's copy is complete, or the peer is down for longer than the join grace; what peers kept for this node has
    /// been offered. Said once in a life: from here on the node may serve.
    InSync,
    /// This node stood still for so long that a peer has declared it dead: its life is over, and a new one is to begin. It stays silent for
    /// `dead_after` from here, so that nobody takes it for alive in between.
    Over {
        /// For how long it stood still.
        stood_still: Duration,
        /// The peer that said so first.
        by: NodeLife,
    },
    /// A frame was refused because sender and receiver do not fit. At most once in ten seconds per peer.
    Refused {
        /// Who sent it.
        from: NodeName,
        /// What was wrong.
        why: crate::ClusterError,
    },

    /// Bytes that a peer's [`Input::Carry`] sent.
    Carried {
        /// Who sent them.
        from: NodeLife,
        /// As sent.
        payload: Bytes,
    },

    /// Rows of another owner changed here.
    Changed {
        /// Whose rows.
        owner: NodeLife,
        /// The changes, in order.
        changes: Vec<Change<R>>,
    },
    /// The rows of this owner's life are orphaned now: its owner is down. No row was touched.
    Orphaned {
        /// Whose rows.
        owner: NodeLife,
        /// How many.
        rows: u64,
    },
    /// The rows of this owner's life are not visible any more (its owner is back in a new life and in service, or was removed from the
    /// configuration). [`Output::Changed`] with removals follows in batches, for gauges.
    Forgotten {
        /// Whose rows.
        owner: NodeLife,
        /// How many.
        rows: u64,
    },
    /// Rows of an earlier life of this node that a peer has kept. The driver takes what it wants and publishes it as its own.
    Adoptable {
        /// Whose earlier life, and which.
        earlier: NodeLife,
        /// That life's clock minus this node's, in microseconds: translates expiries. `local secs = row secs - offset`.
        clock_ahead_micros: i64,
        /// The rows.
        rows: Vec<R>,
    },
    /// Own rows are wanted for a snapshot: answer with [`Input::Chunk`]; see its contract.
    NeedChunk {
        /// For whom.
        peer: NodeName,
        /// To be repeated in the answer; an answer with an old ticket is ignored.
        ticket: u64,
        /// Where to start; 0 at first, then what the last answer named.
        cursor: u64,
        /// At most so many rows.
        limit: usize,
    },

    /// A signal arrived, once and in order.
    Signal {
        /// From whom.
        from: NodeLife,
        /// Opaque.
        payload: Bytes,
    },
    /// A signal that wants an answer arrived: [`Input::Answer`].
    Asked {
        /// To be repeated in the answer.
        ask: AskRef,
        /// Opaque.
        payload: Bytes,
    },
    /// An ask is over. Exactly one per [`Input::Ask`].
    Answered {
        /// From [`Input::Ask`].
        token: u64,
        /// The answer, or why there is none.
        answer: Result<Bytes, AskError>,
    },
    /// A plain signal was not delivered for certain.
    SignalFailed {
        /// From [`Input::Signal`].
        token: u64,
        /// To whom it was.
        to: NodeName,
        /// Why.
        why: AskError,
    },
}

/// A configured peer as seen here, for status.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
    /// Which node.
    pub node: NodeName,
    /// Its newest life heard of.
    pub incarnation: Option<Incarnation>,
    /// As this node sees it.
    pub state: MemberState,
    /// Since when.
    pub since: Time,
    /// Why it is down, if it was up before.
    pub why: Option<DownReason>,
    /// When it was last heard.
    pub last_heard: Option<Time>,
    /// Whether its last heartbeat named us among those it hears.
    pub hears_us: bool,
    /// What it says of itself.
    pub node_state: NodeState,
    /// Whether our copy of its rows is proven complete.
    pub complete: bool,
    /// Rows in our copy.
    pub rows: u64,
    /// Changes it has made that our copy lacks.
    pub lag: u64,
    /// Up to which of our changes it says its copy is complete; `None` while it is not.
    pub has_of_us: Option<u64>,
}

/// A copy of a row.
#[derive(Debug)]
pub struct Found<'a, R> {
    /// Whose row.
    pub owner: &'a NodeLife,
    /// Whether its owner is down.
    pub orphaned: bool,
    /// The row.
    pub row: &'a R,
}

/// Some rows of one owner.
#[derive(Debug)]
pub struct Page<'a, R> {
    /// The rows, in no order that means anything.
    pub rows: Vec<&'a R>,
    /// Where to go on; `None` at the end.
    pub next: Option<u64>,
}

/// One owner's copy, for status and metrics.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OwnerView {
    /// Whose rows.
    pub owner: NodeLife,
    /// Whether the owner is down.
    pub orphaned: bool,
    /// Since when it is orphaned.
    pub orphaned_since: Option<Time>,
    /// Whether the copy is proven complete (for an orphaned one: was, when the owner died).
    pub complete: bool,
    /// Digest of the copy.
    pub digest: Digest,
    /// Rows of the copy.
    pub rows: u64,
    /// The last change applied.
    pub applied: u64,
    /// Its clock minus ours, in microseconds, if it was ever heard.
    pub clock_ahead_micros: Option<i64>,
}

/// What has happened since the start; each value only grows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[expect(missing_docs, reason = "the fields are their names, the comments say the unit")]
pub struct Counters {
    /// Own changes sequenced.
    pub own_ops: u64,
    /// Other owners' changes applied.
    pub applied_ops: u64,
    /// Frames refused: older incarnation, or a life that was just closed.
    pub stale_frames: u64,
    /// Frames refused: not a configured peer.
    pub stranger_frames: u64,
    /// Frames refused: version or cluster name.
    pub foreign_frames: u64,
    /// Frames or rows that could not be read.
    pub decode_errors: u64,
    /// Rows left out because a bound was reached.
    pub bound_hits: u64,
    pub resyncs_gap: u64,
    pub resyncs_digest: u64,
    pub resyncs_join: u64,
    /// Snapshots begun for peers.
    pub snapshots_sent: u64,
    /// Snapshots received to the end.
    pub snapshots_received: u64,
    /// Chunks sent again.
    pub chunks_resent: u64,
    /// Signals sent again.
    pub signals_resent: u64,
    /// Times this node noticed that it itself had stood still.
    pub own_stalls: u64,
}
