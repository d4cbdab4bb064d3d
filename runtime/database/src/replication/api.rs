//! What goes into and comes out of [`super::Replication`]. Words only. `Debug` of them shows no row.

use crate::change::{Change, ChangeInfo, Draft, Epoch, Head, Revision};
use crate::error::{DatabaseError, Refused, StoreError};
use crate::replication::work::{Done, Work};
use crate::row::Digest;
use crate::user_setting::{UserField, UserSetting};
use bytes::Bytes;
use serde_json::Value;
use std::fmt;
use tandem_base::{NodeName, Time, UnixMillis};

/// An encoded frame. `Debug` shows its length only: rows with passwords are in it.
#[derive(Clone, PartialEq, Eq)]
pub struct Packet(pub Bytes);
impl fmt::Debug for Packet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Packet({} bytes)", self.0.len())
    }
}

/// What may happen to the machine.
#[derive(Debug)]
pub enum Input {
    /// The set of configured peers, without this node. Missing ones are forgotten.
    Peers(Vec<NodeName>),
    /// A peer is up (as cluster membership says).
    PeerUp(NodeName),
    /// A peer is down.
    PeerDown(NodeName),
    /// A frame from a peer.
    Frame {
        /// Who sent it.
        from: NodeName,
        /// As sent.
        packet: Packet,
    },
    /// Somebody wants to change the configuration. Answered once by [`Output::Written`].
    Write {
        /// The driver's name for it.
        token: u64,
        /// What is wanted.
        draft: Draft,
    },
    /// A user sets something. Accepted at any node, also while the publisher is away; answered once by [`Output::UserSet`].
    SetUser {
        /// The driver's name for it.
        token: u64,
        /// Of which device.
        device: String,
        /// Which setting.
        field: UserField,
        /// Its value; `None` takes it back.
        value: Option<Value>,
        /// Who.
        author: String,
        /// When, on this node's wall clock.
        at: UnixMillis,
    },
    /// Make this node the publisher. Answered once by [`Output::Promoted`].
    Promote {
        /// The driver's name for it.
        token: u64,
        /// When, on this node's wall clock.
        at: UnixMillis,
        /// Also when a peer has changes that this node lacks: they will be set aside there.
        force: bool,
    },
    /// The store has done what [`Output::Work`] asked for.
    Done(Done),
}

/// What the machine wants done, in order.
#[derive(Debug)]
pub enum Output {
    /// Hand the frame to the link. A refusal needs no answer: what matters is repaired.
    Send {
        /// To whom.
        to: NodeName,
        /// Whether it may wait behind everything else (snapshots).
        bulk: bool,
        /// What.
        packet: Packet,
    },
    /// Let the store's thread do this, one after the other in this order, and hand back each [`Input::Done`].
    Work(Work),
    /// A [`Input::Write`] is over: what was committed (durably, here), or why nothing was.
    Written {
        /// From the input.
        token: u64,
        /// `revision` is the current one and `ops` is 0 when the draft changed nothing.
        result: Result<ChangeInfo, Refused>,
    },
    /// A [`Input::SetUser`] is over: it is on this node's disk, or not.
    UserSet {
        /// From the input.
        token: u64,
        /// What was written.
        result: Result<UserSetting, Refused>,
    },
    /// A [`Input::Promote`] is over.
    Promoted {
        /// From the input.
        token: u64,
        /// The epoch that began.
        result: Result<Epoch, Refused>,
    },
    /// Configuration rows changed in this node's copy, by these changes. In order, each once.
    Changed(Vec<Change>),
    /// This node's copy was replaced by a snapshot: read what is needed anew.
    Replaced {
        /// Where it stands now.
        revision: Revision,
        /// How many changes of its own were set aside because the publisher never had them.
        unsent: u64,
    },
    /// User settings changed in this node's copy, here or elsewhere. Those of a device that a change deletes are not told: they went with it.
    UserChanged(Vec<UserSetting>),
    /// Who publishes, as this node knows it. Told at the beginning too, unless nobody is known.
    Publisher(Epoch),
    /// The store fails; tried again by itself. Said once until [`Output::StoreWell`].
    StoreFailing(StoreError),
    /// The store works again.
    StoreWell,
    /// A peer's frame cannot be read here, or its changes do not fit this version. At most once in ten seconds per peer.
    Misfit {
        /// Whose.
        from: NodeName,
        /// What is wrong.
        why: DatabaseError,
    },
}

/// What this node is in the replication.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Role {
    /// It is not known who has the database, or it is not known whether peers have more than this node.
    Waiting,
    /// It commits changes.
    Publisher,
    /// It follows the publisher.
    Subscriber,
}

/// How a peer stands, as this node knows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PeerStatus {
    /// Which node.
    pub node: NodeName,
    /// Whether it is up.
    pub up: bool,
    /// What it last said of itself; `None` before it was heard.
    pub revision: Option<Revision>,
    /// Digest of its configuration rows.
    pub digest: Option<Digest>,
    /// Revisions that it lacks against the newest known.
    pub lag: u64,
    /// When it was last heard on this matter.
    pub heard: Option<Time>,
}

/// For status commands and metrics.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Status {
    /// What this node is.
    pub role: Role,
    /// Who publishes.
    pub epoch: Option<Epoch>,
    /// Since when the publisher cannot be reached, if it cannot.
    pub publisher_away_since: Option<Time>,
    /// Where this copy stands.
    pub head: Head,
    /// Revisions that this copy lacks against the newest known.
    pub lag: u64,
    /// Whether a snapshot is being fetched.
    pub fetching: bool,
    /// What the store failed at last, while it fails.
    pub failing: Option<StoreError>,
    /// The peers, by name.
    pub peers: Vec<PeerStatus>,
}
