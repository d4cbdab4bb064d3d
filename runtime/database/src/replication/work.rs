//! What the replication machine asks of the store, and what the store answers. [`crate::Worker`] carries it out.

use crate::change::{Change, ChangeInfo, Draft, Epoch, Head, Revision};
use crate::error::{DatabaseError, Refused, StoreError};
use crate::replication::api::Packet;
use crate::row::Digest;
use crate::user_setting::UserSetting;
use tandem_base::NodeName;

/// A place in the log: the next op to be read or taken.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct LogPosition {
    /// Of which change.
    pub revision: Revision,
    /// Which of its ops, from 0.
    pub op: u64,
}

/// A piece of the log: consecutive ops of one change, encoded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogPart {
    /// The change.
    pub info: ChangeInfo,
    /// Its first op in `ops`.
    pub first: u64,
    /// How many ops are in it.
    pub count: u64,
    /// The ops, encoded.
    pub ops: Packet,
}
impl LogPart {
    /// What follows it in the log.
    pub fn end(&self) -> LogPosition {
        let op = self.first.saturating_add(self.count);
        if op >= self.info.ops {
            LogPosition { revision: self.info.revision.saturating_add(1), op: 0 }
        } else {
            LogPosition { revision: self.info.revision, op }
        }
    }
}

/// Where an epoch began.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EpochBase {
    /// Which epoch.
    pub epoch: Epoch,
    /// The revision after which it began.
    pub base: Revision,
}

/// What the store is to do. In order, one after the other.
#[derive(Clone, Debug)]
pub enum Work {
    /// Commit each draft, all with one fsync, under this epoch.
    Commit {
        /// With the asker's tokens.
        drafts: Vec<(u64, Draft)>,
        /// Under whom.
        epoch: Epoch,
    },
    /// Apply these changes in order, all with one fsync.
    Apply {
        /// Whole changes, each as its encoded pieces.
        changes: Vec<Vec<LogPart>>,
        /// Where each epoch began, as the source says.
        history: Vec<EpochBase>,
    },
    /// Read the log for a peer.
    ReadLog {
        /// For whom.
        peer: NodeName,
        /// To be repeated.
        ticket: u64,
        /// The last change that the peer has, and what it has of it.
        after: (Revision, Option<(Digest, Epoch)>),
        /// Where to go on.
        from: LogPosition,
        /// Stop after so many bytes.
        bytes: usize,
    },
    /// Hold the database still for a snapshot.
    OpenSnapshot {
        /// For whom.
        peer: NodeName,
        /// To be repeated.
        ticket: u64,
    },
    /// The next chunk of it.
    ReadChunk {
        /// For whom.
        peer: NodeName,
        /// To be repeated.
        ticket: u64,
    },
    /// It is over.
    CloseSnapshot {
        /// Which.
        ticket: u64,
    },
    /// A chunk of a snapshot for this node.
    StageChunk {
        /// To be repeated.
        ticket: u64,
        /// Which chunk, from 0; the first one empties the stage.
        index: u64,
        /// The items, encoded.
        items: Packet,
    },
    /// The last chunk is staged: replace the database.
    Restore {
        /// To be repeated.
        ticket: u64,
        /// What it must be afterwards.
        revision: Revision,
        /// What it must be afterwards.
        digest: Digest,
        /// Under whom.
        epoch: Epoch,
        /// Where each epoch began, as the source says.
        history: Vec<EpochBase>,
    },
    /// A new epoch begins here.
    Promote {
        /// To be repeated.
        token: u64,
        /// The epoch.
        epoch: Epoch,
    },
    /// An epoch was heard of: remember it, so that this node does not take itself for the publisher after a restart.
    Remember(Epoch),
    /// Users set something here.
    SetUser {
        /// With the askers' tokens. The store makes each stamp later than what it replaces.
        settings: Vec<(u64, UserSetting)>,
    },
    /// User settings of a peer.
    MergeUser {
        /// From whom.
        from: NodeName,
        /// The settings.
        settings: Vec<UserSetting>,
    },
    /// Say what the parts of the user settings are.
    SumUser {
        /// For a question to whom.
        peer: NodeName,
    },
    /// Read the user settings that a peer lacks.
    ReadUser {
        /// For whom.
        peer: NodeName,
        /// Digests of the parts at the peer.
        theirs: Vec<Digest>,
        /// Where to go on: part, device, field.
        after: Option<UserCursor>,
    },
    /// Drop what the log holds beyond its bounds.
    Trim,
    /// Say where the copy stands: after a failure, to find out whether the disk works again.
    Look,
}

/// Where to go on in the user settings.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, serde::Serialize, serde::Deserialize)]
pub struct UserCursor {
    /// Which part.
    pub bucket: usize,
    /// After which device in it.
    pub device: String,
    /// After which of its fields.
    pub field: String,
}

/// What the store answers, one for each [`Work`].
#[derive(Clone, Debug)]
pub enum Done {
    /// Of [`Work::Commit`].
    Committed {
        /// Per token.
        results: Vec<(u64, Result<ChangeInfo, Refused>)>,
        /// The changes that were made, for this node's own use.
        changes: Vec<Change>,
        /// Where the copy stands.
        head: Head,
    },
    /// Of [`Work::Apply`]: as far as it went.
    Applied {
        /// What was applied.
        changes: Vec<Change>,
        /// What stopped it, if anything.
        stopped: Option<Refused>,
        /// Where the copy stands.
        head: Head,
    },
    /// Of [`Work::ReadLog`].
    LogRead {
        /// For whom.
        peer: NodeName,
        /// From the question.
        ticket: u64,
        /// What was found.
        result: Result<LogRead, StoreError>,
    },
    /// Of [`Work::OpenSnapshot`].
    SnapshotOpened {
        /// For whom.
        peer: NodeName,
        /// From the question.
        ticket: u64,
        /// What it is of, and where each epoch in it began.
        result: Result<(Head, Vec<EpochBase>), StoreError>,
    },
    /// Of [`Work::ReadChunk`].
    ChunkRead {
        /// For whom.
        peer: NodeName,
        /// From the question.
        ticket: u64,
        /// The chunk, and whether it is the last.
        result: Result<(Packet, bool), StoreError>,
    },
    /// Of [`Work::CloseSnapshot`].
    SnapshotClosed,
    /// Of [`Work::StageChunk`].
    Staged {
        /// From the question.
        ticket: u64,
        /// From the question.
        index: u64,
        /// Whether it is there.
        result: Result<(), StoreError>,
    },
    /// Of [`Work::Restore`].
    Restored {
        /// From the question.
        ticket: u64,
        /// How many own changes were set aside.
        result: Result<u64, Refused>,
        /// Where the copy stands.
        head: Head,
    },
    /// Of [`Work::Promote`].
    Promoted {
        /// From the question.
        token: u64,
        /// The epoch.
        result: Result<Epoch, Refused>,
        /// Where the copy stands.
        head: Head,
    },
    /// Of [`Work::Remember`], [`Work::Trim`] and [`Work::Look`].
    Looked {
        /// What went wrong, if anything.
        result: Result<Head, StoreError>,
    },
    /// Of [`Work::SetUser`].
    UserSet {
        /// Per token: as written.
        results: Vec<(u64, Result<UserSetting, Refused>)>,
        /// Digest of all of them.
        digest: Digest,
    },
    /// Of [`Work::MergeUser`].
    UserMerged {
        /// From whom.
        from: NodeName,
        /// The ones that were newer than what was here.
        result: Result<Vec<UserSetting>, StoreError>,
        /// Digest of all of them.
        digest: Digest,
    },
    /// Of [`Work::SumUser`].
    UserSummed {
        /// For a question to whom.
        peer: NodeName,
        /// Digest of each part.
        result: Result<Vec<Digest>, StoreError>,
    },
    /// Of [`Work::ReadUser`].
    UserRead {
        /// For whom.
        peer: NodeName,
        /// The settings, and where to go on.
        result: Result<(Vec<UserSetting>, Option<UserCursor>), DatabaseOrStore>,
    },
}

/// What came of reading the log for a peer.
#[derive(Clone, Debug)]
pub enum LogRead {
    /// The pieces in order; none when there is nothing after the place asked for.
    Parts {
        /// The pieces.
        parts: Vec<LogPart>,
        /// Where each epoch began.
        history: Vec<EpochBase>,
    },
    /// The log does not reach back so far, or the peer has what this copy never had: it needs a snapshot.
    NeedsSnapshot,
}

/// Either kind of error.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DatabaseOrStore {
    /// The question cannot be read.
    #[error(transparent)]
    Database(#[from] DatabaseError),
    /// The disk.
    #[error(transparent)]
    Store(#[from] StoreError),
}
