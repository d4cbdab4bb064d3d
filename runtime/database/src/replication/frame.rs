//! Frames between nodes: a version, a kind, a JSON head (unknown fields are ignored, so that versions may meet), and bytes behind it.
//!
//! Everything is length-checked before it is kept. Who sent a frame is the link's word; a frame never says it itself.

use crate::change::{ChangeInfo, Epoch, Revision};
use crate::codec::{Take, put_bytes};
use crate::error::DatabaseError;
use crate::replication::api::Packet;
use crate::replication::work::{EpochBase, LogPart, LogPosition, UserCursor};
use crate::row::Digest;
use crate::user_setting::{BUCKETS, UserSetting};
use bytes::Bytes;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

/// Major version of frames: another one is refused.
pub(crate) const VERSION: u8 = 1;
/// Longest frame, in bytes.
pub(crate) const FRAME_BYTES_MAX: usize = 256 << 10;
/// Most epochs in a frame.
const EPOCHS_MAX: usize = 1_024;

/// Where a node stands. Also the acknowledgement of a follower.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct StatusFrame {
    /// Its last change.
    pub(crate) revision: Revision,
    pub(crate) digest: Digest,
    pub(crate) committed_under: Option<Epoch>,
    /// The newest epoch it knows.
    pub(crate) epoch: Option<Epoch>,
    /// Digest of its user settings.
    pub(crate) users: Digest,
    /// Whether it follows the receiver: what it wants of it.
    #[serde(default)]
    pub(crate) follow: Option<Follow>,
}

/// What a follower wants.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Follow {
    /// What it has of the log: the next op it wants.
    pub(crate) next_revision: Revision,
    pub(crate) next_op: u64,
    /// Something was missing before what came last: go back to there.
    #[serde(default)]
    pub(crate) gap: bool,
    /// The log is of no use: it wants a snapshot.
    #[serde(default)]
    pub(crate) snapshot: bool,
    /// The snapshot that it is fetching.
    #[serde(default)]
    pub(crate) fetching: Option<u64>,
}
impl Follow {
    pub(crate) fn position(&self) -> LogPosition {
        LogPosition { revision: self.next_revision, op: self.next_op }
    }
}

/// A piece of the log.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct ChangeHead {
    /// The newest epoch the sender knows.
    epoch: Epoch,
    info: ChangeInfo,
    first: u64,
    count: u64,
    history: Vec<BaseWord>,
}
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct BaseWord {
    epoch: Epoch,
    base: Revision,
}
fn words(history: &[EpochBase]) -> Vec<BaseWord> {
    // The newest matter most.
    let skip = history.len().saturating_sub(EPOCHS_MAX);
    history.iter().skip(skip).map(|e| BaseWord { epoch: e.epoch.clone(), base: e.base }).collect()
}
fn bases(words: Vec<BaseWord>) -> Result<Vec<EpochBase>, DatabaseError> {
    let (found, bound) = (words.len() as u64, EPOCHS_MAX as u64);
    if found > bound {
        return Err(DatabaseError::TooMuch { what: "the number of epochs", found, bound });
    }
    Ok(words.into_iter().map(|w| EpochBase { epoch: w.epoch, base: w.base }).collect())
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct ChunkHead {
    ticket: u64,
    index: u64,
    last: bool,
    revision: Revision,
    digest: Digest,
    epoch: Epoch,
    history: Vec<BaseWord>,
}
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct ChunkAckHead {
    ticket: u64,
    next: u64,
}
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct UsersHead {
    settings: Vec<UserSetting>,
    #[serde(default)]
    answer: bool,
    #[serde(default)]
    next: Option<UserCursor>,
}
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct UserAskHead {
    #[serde(default)]
    after: Option<UserCursor>,
}

/// A chunk of a snapshot and what the whole must come to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Chunk {
    pub(crate) ticket: u64,
    pub(crate) index: u64,
    pub(crate) last: bool,
    pub(crate) revision: Revision,
    pub(crate) digest: Digest,
    pub(crate) epoch: Epoch,
    pub(crate) history: Vec<EpochBase>,
    pub(crate) items: Packet,
}

/// A frame.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Frame {
    Status(StatusFrame),
    Part {
        epoch: Epoch,
        part: LogPart,
        history: Vec<EpochBase>,
    },
    Chunk(Chunk),
    /// All chunks before `next` are staged.
    ChunkAck {
        ticket: u64,
        next: u64,
    },
    /// User settings. In an answer: where to ask on, if there is more.
    Users {
        settings: Vec<UserSetting>,
        answer: bool,
        next: Option<UserCursor>,
    },
    /// Send what differs from these parts.
    UserAsk {
        parts: Vec<Digest>,
        after: Option<UserCursor>,
    },
}

fn write<T: Serialize>(kind: u8, head: &T, body: &[u8]) -> Packet {
    // These words always serialise: text keys, numbers, texts.
    let head = serde_json::to_vec(head).unwrap_or_default();
    let mut out = Vec::with_capacity(head.len() + body.len() + 8);
    out.extend_from_slice(&[VERSION, kind]);
    put_bytes(&mut out, &head);
    out.extend_from_slice(body);
    Packet(Bytes::from(out))
}
fn read<T: DeserializeOwned>(head: &[u8]) -> Result<T, DatabaseError> {
    let why = |e: serde_json::Error| format!("{:?} error at column {}", e.classify(), e.column());
    serde_json::from_slice(head).map_err(|e| DatabaseError::Malformed { what: "the head of a frame", why: why(e) })
}

impl Frame {
    pub(crate) fn encode(&self) -> Packet {
        match self {
            Self::Status(status) => write(1, status, &[]),
            Self::Part { epoch, part, history } => {
                let head = ChangeHead {
                    epoch: epoch.clone(),
                    info: part.info.clone(),
                    first: part.first,
                    count: part.count,
                    history: words(history),
                };
                write(2, &head, &part.ops.0)
            }
            Self::Chunk(chunk) => {
                let head = ChunkHead {
                    ticket: chunk.ticket,
                    index: chunk.index,
                    last: chunk.last,
                    revision: chunk.revision,
                    digest: chunk.digest,
                    epoch: chunk.epoch.clone(),
                    history: words(&chunk.history),
                };
                write(3, &head, &chunk.items.0)
            }
            Self::ChunkAck { ticket, next } => write(4, &ChunkAckHead { ticket: *ticket, next: *next }, &[]),
            Self::Users { settings, answer, next } => {
                let head = UsersHead { settings: settings.clone(), answer: *answer, next: next.clone() };
                write(5, &head, &[])
            }
            Self::UserAsk { parts, after } => {
                let body: Vec<u8> = parts.iter().flat_map(|p| p.to_bytes()).collect();
                write(6, &UserAskHead { after: after.clone() }, &body)
            }
        }
    }
    /// Reads a frame.
    ///
    /// # Errors
    /// [`DatabaseError`], naming what cannot be read; nothing was kept.
    pub(crate) fn decode(packet: &Packet) -> Result<Self, DatabaseError> {
        let bytes = &packet.0;
        if bytes.len() > FRAME_BYTES_MAX {
            let (found, bound) = (bytes.len() as u64, FRAME_BYTES_MAX as u64);
            return Err(DatabaseError::TooMuch { what: "the length of a frame", found, bound });
        }
        let mut take = Take::new(bytes);
        let (version, kind) = (take.u8()?, take.u8()?);
        if version != VERSION {
            return Err(DatabaseError::Version { found: version, expected: VERSION });
        }
        let head = take.bytes()?;
        let body = || Packet(bytes.slice_ref(take.rest()));
        match kind {
            1 => read(head).map(Self::Status),
            2 => {
                let head: ChangeHead = read(head)?;
                let part = LogPart { info: head.info, first: head.first, count: head.count, ops: body() };
                let end = part.first.checked_add(part.count);
                if part.count == 0 || end.is_none_or(|end| end > part.info.ops) {
                    let (found, bound) = (end.unwrap_or(u64::MAX), part.info.ops);
                    return Err(DatabaseError::TooMuch { what: "the last op of a piece", found, bound });
                }
                Ok(Self::Part { epoch: head.epoch, part, history: bases(head.history)? })
            }
            3 => {
                let head: ChunkHead = read(head)?;
                let history = bases(head.history)?;
                Ok(Self::Chunk(Chunk {
                    ticket: head.ticket,
                    index: head.index,
                    last: head.last,
                    revision: head.revision,
                    digest: head.digest,
                    epoch: head.epoch,
                    history,
                    items: body(),
                }))
            }
            4 => read(head).map(|h: ChunkAckHead| Self::ChunkAck { ticket: h.ticket, next: h.next }),
            5 => read(head).map(|h: UsersHead| Self::Users { settings: h.settings, answer: h.answer, next: h.next }),
            6 => {
                let head: UserAskHead = read(head)?;
                let parts: Vec<Digest> = take.rest().chunks_exact(24).filter_map(Digest::from_bytes).collect();
                if parts.len() != BUCKETS || take.rest().len() != BUCKETS * 24 {
                    let (found, bound) = (parts.len() as u64, BUCKETS as u64);
                    return Err(DatabaseError::TooMuch { what: "the number of parts", found, bound });
                }
                Ok(Self::UserAsk { parts, after: head.after })
            }
            kind => Err(DatabaseError::Unknown { what: "the kind of a frame", found: kind.to_string() }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use tandem_base::{NodeName, UnixMillis};

    fn epoch() -> Epoch {
        Epoch { number: 3, started: UnixMillis(4), publisher: NodeName::new("CCM1").unwrap() }
    }
    fn frames() -> Vec<Frame> {
        let info = ChangeInfo {
            revision: 7,
            epoch: epoch(),
            author: "ann".into(),
            at: UnixMillis(1),
            comment: "why".into(),
            ops: 9,
            digest: Digest { sum: 5, count: 6 },
        };
        let bytes = |b: &'static [u8]| Packet(Bytes::from_static(b));
        let history = vec![EpochBase { epoch: epoch(), base: 2 }];
        let follow = Follow { next_revision: 8, next_op: 0, gap: true, snapshot: false, fetching: Some(3) };
        let (revision, digest) = (7, Digest { sum: u128::MAX, count: 1 });
        vec![
            Frame::Status(StatusFrame {
                revision,
                digest,
                committed_under: None,
                epoch: Some(epoch()),
                users: digest,
                follow: Some(follow),
            }),
            Frame::Part {
                epoch: epoch(),
                part: LogPart { info, first: 4, count: 5, ops: bytes(b"ops") },
                history: history.clone(),
            },
            Frame::Chunk(Chunk {
                ticket: 1,
                index: 2,
                last: true,
                revision,
                digest,
                epoch: epoch(),
                history,
                items: bytes(b"items"),
            }),
            Frame::ChunkAck { ticket: 1, next: 2 },
            Frame::Users { settings: vec![], answer: true, next: None },
            Frame::UserAsk {
                parts: vec![digest; BUCKETS],
                after: Some(UserCursor { bucket: 1, device: "SEP1".into(), field: "x".into() }),
            },
        ]
    }

    #[test]
    fn frames_come_back_and_cut_ones_are_refused() {
        for frame in frames() {
            let packet = frame.encode();
            assert_eq!(Frame::decode(&packet).unwrap(), frame);
            for n in 0..packet.0.len().min(40) {
                assert!(Frame::decode(&Packet(packet.0.slice(..n))).is_err(), "{frame:?} cut at {n}");
            }
        }
    }

    #[test]
    fn another_version_is_refused_and_unknown_fields_are_not() {
        let mut other = frames()[3].encode().0.to_vec();
        other[0] = 2;
        assert_eq!(Frame::decode(&Packet(other.into())), Err(DatabaseError::Version { found: 2, expected: 1 }));
        let newer = write(4, &serde_json::json!({"ticket": 1, "next": 2, "colour": "red"}), &[]);
        assert_eq!(Frame::decode(&newer), Ok(Frame::ChunkAck { ticket: 1, next: 2 }));
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_or_refused(mut bytes in proptest::collection::vec(any::<u8>(), 0..300), kind in 0_u8..8) {
            bytes.splice(0..0, [VERSION, kind]);
            let _ = Frame::decode(&Packet(bytes.into()));
        }
    }
}
