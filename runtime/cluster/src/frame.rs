//! The wire format between nodes. Versioned; every frame carries the hash of the cluster's name and the sender's incarnation.
//!
//! ```text
//! "T" | version u8 | kind u8 | flags u8 (0) | cluster u64 | incarnation u64 | body
//! ```
//! Integers are little-endian or varints. A reader takes the fields it knows and skips what follows: newer versions append fields,
//! and TLVs (type, length, value) in heartbeats. Unknown kinds and operations are skipped. The version grows only when that is not
//! enough; other versions and other clusters are refused.

use crate::api::NodeState;
use crate::codec::{Reader, put_bytes, put_count, put_framed, put_varint};
use crate::digest::Digest;
use crate::error::ClusterError;
use crate::row::{Op, Row};
use crate::settings::MEMBERS_MAX;
use bytes::Bytes;
use tandem_base::{Incarnation, NodeLife, Time};

pub(crate) const VERSION: u8 = 1;
/// Longest frame that is looked at.
pub(crate) const FRAME_BYTES_MAX: usize = 4 << 20;
/// Longest encoded row: what three bytes of length can say.
pub(crate) const ROW_BYTES_MAX: usize = 1 << 20;
/// Orphan sets named in a heartbeat: two lives a member.
pub(crate) const ORPHAN_SETS_MAX: usize = 2 * MEMBERS_MAX;

const TLV_ORPHANS: u64 = 1;
const TLV_SAVED: u64 = 2;
const TLV_FILED: u64 = 3;
const OP_PUT: u8 = 0;
const OP_REMOVE: u8 = 1;

/// FNV-1a: the cluster's name is a guard against mistakes; peers are authenticated by the link.
pub(crate) fn cluster_hash(name: &str) -> u64 {
    name.bytes().fold(0xcbf2_9ce4_8422_2325, |h, b| (h ^ u64::from(b)).wrapping_mul(0x0100_0000_01b3))
}

/// What is the same in every frame of a node's life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Header {
    pub(crate) cluster: u64,
    pub(crate) incarnation: Incarnation,
}

/// "I hear this life, and my copy of its rows is complete up to here."
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Hears {
    pub(crate) life: NodeLife,
    pub(crate) has: Option<u64>,
}

/// "I keep so many orphaned rows of this life."
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct OrphanSet {
    pub(crate) life: NodeLife,
    pub(crate) rows: u64,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Heartbeat {
    pub(crate) state: NodeState,
    pub(crate) clock: Time,
    pub(crate) head: u64,
    pub(crate) digest: Digest,
    pub(crate) hears: Vec<Hears>,
    pub(crate) orphans: Vec<OrphanSet>,
    /// "Of these orphans I know from a file": more may have happened to them before their owner was gone.
    pub(crate) filed: Vec<NodeLife>,
    /// "Since I began I have met nobody who was in service before; these are in my file." `None`: I have, or that is long ago.
    pub(crate) saved: Option<Vec<OrphanSet>>,
}

/// What is wanted of an owner's rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Want {
    /// The changes from this one on.
    From(u64),
    /// All rows, in chunks; the chunk with this number comes next.
    Whole(u64),
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Need {
    /// Whose rows: those of the asked node's own life, or ones it keeps as orphans.
    pub(crate) owner: NodeLife,
    /// The asker's number for this fetch.
    pub(crate) request: u64,
    pub(crate) want: Want,
}

/// A chunk of a snapshot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Chunk<'a> {
    pub(crate) owner: NodeLife,
    pub(crate) request: u64,
    /// The sender's number for this walk over the rows: a request that is served anew gets a higher one.
    pub(crate) transfer: u64,
    pub(crate) index: u64,
    /// The owner's sequence when the rows were read: every change up to it is in them.
    pub(crate) at: u64,
    pub(crate) last: bool,
    /// The owner's clock minus the sender's, in microseconds.
    pub(crate) clock_ahead: i64,
    pub(crate) count: usize,
    pub(crate) rows: &'a [u8],
}

/// A batch of an owner's changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Rows<'a> {
    pub(crate) first: u64,
    pub(crate) count: u64,
    /// Digest after the last of them.
    pub(crate) proof: Option<Digest>,
    pub(crate) ops: &'a [u8],
}

/// What a signal is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SignalKind {
    Plain,
    Ask,
    /// The answer to the ask with this sequence number.
    Answer(u64),
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Signal {
    /// For which life of the receiver.
    pub(crate) to: Incarnation,
    pub(crate) seq: u64,
    /// The oldest one that may still be sent.
    pub(crate) floor: u64,
    pub(crate) kind: SignalKind,
    pub(crate) payload: Bytes,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Frame<'a> {
    Heartbeat(Heartbeat),
    Rows(Rows<'a>),
    Need(Need),
    /// The answer to `Want::From` is over at this sequence; `whole`: the log does not reach back, fetch all.
    /// To `Want::Whole` for orphans: not kept here.
    Resent {
        owner: NodeLife,
        request: u64,
        upto: u64,
        whole: bool,
    },
    Chunk(Chunk<'a>),
    /// Every chunk of this transfer before `next` has arrived.
    ChunkAck {
        transfer: u64,
        next: u64,
    },
    Signal(Signal),
    /// Every signal before `next` has arrived.
    SignalAck {
        to: Incarnation,
        next: u64,
    },
    /// Bytes of another machine that travels between the same nodes.
    Carried(&'a [u8]),
    /// A kind this version does not know.
    Unknown,
}

fn kind_of(frame: &Frame<'_>) -> u8 {
    match frame {
        Frame::Unknown => 0,
        Frame::Heartbeat(_) => 1,
        Frame::Rows(_) => 2,
        Frame::Need(_) => 3,
        Frame::Resent { .. } => 4,
        Frame::Chunk(_) => 5,
        Frame::ChunkAck { .. } => 6,
        Frame::Signal(_) => 7,
        Frame::SignalAck { .. } => 8,
        Frame::Carried(_) => 9,
    }
}

impl Header {
    fn start(self, kind: u8, capacity: usize) -> Vec<u8> {
        let mut out = Vec::with_capacity(20 + capacity);
        out.extend_from_slice(&[b'T', VERSION, kind, 0]);
        out.extend_from_slice(&self.cluster.to_le_bytes());
        out.extend_from_slice(&self.incarnation.0.to_le_bytes());
        out
    }

    /// Writes a frame.
    pub(crate) fn write(self, frame: &Frame<'_>) -> Bytes {
        let mut out = self.start(kind_of(frame), 64);
        match frame {
            Frame::Heartbeat(beat) => write_heartbeat(&mut out, beat),
            Frame::Rows(rows) => {
                out.extend_from_slice(&rows_head(rows.first, rows.count, rows.proof));
                out.extend_from_slice(rows.ops);
            }
            Frame::Need(need) => {
                put_life(&mut out, &need.owner);
                put_varint(&mut out, need.request);
                let (tag, value) = match need.want {
                    Want::From(seq) => (0, seq),
                    Want::Whole(next) => (1, next),
                };
                out.push(tag);
                put_varint(&mut out, value);
            }
            Frame::Resent { owner, request, upto, whole } => {
                put_life(&mut out, owner);
                put_varint(&mut out, *request);
                put_varint(&mut out, *upto);
                out.push(u8::from(*whole));
            }
            Frame::Chunk(chunk) => write_chunk(&mut out, chunk),
            Frame::ChunkAck { transfer, next } => {
                put_varint(&mut out, *transfer);
                put_varint(&mut out, *next);
            }
            Frame::Signal(signal) => write_signal(&mut out, signal),
            Frame::SignalAck { to, next } => {
                put_varint(&mut out, to.0);
                put_varint(&mut out, *next);
            }
            Frame::Carried(payload) => out.extend_from_slice(payload),
            Frame::Unknown => {}
        }
        Bytes::from(out)
    }

    /// Opens a frame of changes that is filled operation by operation.
    pub(crate) fn open_rows(self, first: u64, capacity: usize) -> RowsWriter {
        let mut out = self.start(2, capacity);
        out.extend_from_slice(&rows_head(first, 0, None));
        RowsWriter { out, first, count: 0 }
    }
}

const ROWS_HEAD: usize = 33;

fn rows_head(first: u64, count: u64, proof: Option<Digest>) -> [u8; ROWS_HEAD] {
    let mut head = [0; ROWS_HEAD];
    let digest = proof.unwrap_or_default();
    let fields = [first, count, digest.sum, digest.count];
    for (place, byte) in head.iter_mut().zip(fields.iter().flat_map(|f| f.to_le_bytes())) {
        *place = byte;
    }
    if let Some(flag) = head.last_mut() {
        *flag = u8::from(proof.is_some());
    }
    head
}

/// A frame of changes in the making.
#[derive(Debug)]
pub(crate) struct RowsWriter {
    out: Vec<u8>,
    first: u64,
    pub(crate) count: u64,
}

impl RowsWriter {
    pub(crate) fn len(&self) -> usize {
        self.out.len()
    }
    /// Adds a change. A row that is too long becomes an operation without effect; `false` tells.
    pub(crate) fn push<R: Row>(&mut self, op: &Op<R>) -> bool {
        self.count += 1;
        match op {
            Op::Put(row) => {
                self.out.push(OP_PUT);
                let at = self.out.len();
                put_framed(&mut self.out, |out| row.encode(out));
                if self.out.len() - at > ROW_BYTES_MAX {
                    self.out.truncate(at.saturating_sub(1));
                    self.out.extend_from_slice(&[u8::MAX, 0]);
                    return false;
                }
            }
            Op::Remove { key } => {
                self.out.push(OP_REMOVE);
                put_bytes(&mut self.out, &key.to_le_bytes());
            }
        }
        true
    }
    pub(crate) fn finish(mut self, proof: Option<Digest>) -> Bytes {
        let head = rows_head(self.first, self.count, proof);
        if let Some(place) = self.out.get_mut(20..20 + ROWS_HEAD) {
            place.copy_from_slice(&head);
        }
        Bytes::from(self.out)
    }
}

/// One frame instead of several that follow each other: where frames are lost, the first that is missing makes all behind it worthless.
/// `None`: one of them is no frame of changes.
pub(crate) fn join_rows(frames: &[Bytes]) -> Option<Bytes> {
    let bodies = frames.iter().map(|frame| frame.split_at_checked(20 + ROWS_HEAD)).collect::<Option<Vec<_>>>()?;
    let field = |head: &[u8], at: usize| head.get(at..)?.first_chunk().copied().map(u64::from_le_bytes);
    let count = bodies.iter().map(|(head, _)| field(head, 20 + 8)).sum::<Option<u64>>()?;
    let ((first, _), (last, _)) = (bodies.first()?, bodies.last()?);
    let mut out = Vec::with_capacity(frames.iter().map(Bytes::len).sum());
    out.extend_from_slice(first.get(..20 + 8)?);
    out.extend_from_slice(&count.to_le_bytes());
    // What the last of them proves.
    out.extend_from_slice(last.get(20 + 16..)?);
    bodies.iter().for_each(|(_, ops)| out.extend_from_slice(ops));
    Some(Bytes::from(out))
}

/// Reads the next operation of a [`Rows`] frame; `Ok(None)` is one this version does not know.
pub(crate) fn read_op<R: Row>(reader: &mut Reader<'_>) -> Result<Result<Option<Op<R>>, ClusterError>, ClusterError> {
    let tag = reader.u8()?;
    let mut body = reader.bytes()?;
    Ok(match tag {
        OP_PUT => R::decode(&mut body).map(|row| Some(Op::Put(row))),
        OP_REMOVE => Reader::new(body).u128().map(|key| Some(Op::Remove { key })),
        _ => Ok(None),
    })
}

fn put_life(out: &mut Vec<u8>, life: &NodeLife) {
    put_bytes(out, life.node.as_str().as_bytes());
    put_varint(out, life.incarnation.0);
}

fn read_life(reader: &mut Reader<'_>) -> Result<NodeLife, ClusterError> {
    Ok(NodeLife { node: reader.node()?, incarnation: Incarnation(reader.varint()?) })
}

fn write_heartbeat(out: &mut Vec<u8>, beat: &Heartbeat) {
    out.push(match beat.state {
        NodeState::Joining => 0,
        NodeState::InService => 1,
        NodeState::Draining => 2,
    });
    put_varint(out, beat.clock.as_micros());
    put_varint(out, beat.head);
    out.extend_from_slice(&beat.digest.sum.to_le_bytes());
    put_varint(out, beat.digest.count);
    put_count(out, beat.hears.len());
    for hears in &beat.hears {
        put_life(out, &hears.life);
        put_varint(out, hears.has.map_or(0, |seq| seq.saturating_add(1)));
    }
    if !beat.orphans.is_empty() {
        write_sets(out, TLV_ORPHANS, &beat.orphans);
    }
    if let Some(saved) = &beat.saved {
        write_sets(out, TLV_SAVED, saved);
    }
    if !beat.filed.is_empty() {
        let mut value = Vec::new();
        put_count(&mut value, beat.filed.len());
        beat.filed.iter().for_each(|life| put_life(&mut value, life));
        put_varint(out, TLV_FILED);
        put_bytes(out, &value);
    }
}

fn write_sets(out: &mut Vec<u8>, tag: u64, sets: &[OrphanSet]) {
    let mut value = Vec::new();
    put_count(&mut value, sets.len());
    for set in sets {
        put_life(&mut value, &set.life);
        put_varint(&mut value, set.rows);
    }
    put_varint(out, tag);
    put_bytes(out, &value);
}

fn read_sets(value: &mut Reader<'_>) -> Result<Vec<OrphanSet>, ClusterError> {
    let count = value.count("sets of rows", ORPHAN_SETS_MAX)?;
    (0..count).map(|_| Ok(OrphanSet { life: read_life(value)?, rows: value.varint()? })).collect()
}

fn read_heartbeat(reader: &mut Reader<'_>) -> Result<Heartbeat, ClusterError> {
    let state = match reader.u8()? {
        0 => NodeState::Joining,
        1 => NodeState::InService,
        2 => NodeState::Draining,
        _ => return Err(ClusterError::Unknown("node state")),
    };
    let clock = Time::from_micros(reader.varint()?);
    let head = reader.varint()?;
    let digest = Digest { sum: reader.u64()?, count: reader.varint()? };
    let count = reader.count("members heard", MEMBERS_MAX)?;
    let mut hears = Vec::with_capacity(count);
    for _ in 0..count {
        hears.push(Hears { life: read_life(reader)?, has: reader.varint()?.checked_sub(1) });
    }
    let (mut orphans, mut filed, mut saved) = (Vec::new(), Vec::new(), None);
    while !reader.rest().is_empty() {
        let tag = reader.varint()?;
        let mut value = Reader::new(reader.bytes()?);
        match tag {
            TLV_ORPHANS => orphans = read_sets(&mut value)?,
            TLV_SAVED => saved = Some(read_sets(&mut value)?),
            TLV_FILED => {
                let count = value.count("lives from a file", ORPHAN_SETS_MAX)?;
                filed = (0..count).map(|_| read_life(&mut value)).collect::<Result<_, _>>()?;
            }
            _ => {}
        }
    }
    Ok(Heartbeat { state, clock, head, digest, hears, orphans, filed, saved })
}

fn write_chunk(out: &mut Vec<u8>, chunk: &Chunk<'_>) {
    put_life(out, &chunk.owner);
    put_varint(out, chunk.request);
    put_varint(out, chunk.transfer);
    put_varint(out, chunk.index);
    put_varint(out, chunk.at);
    out.push(u8::from(chunk.last));
    out.extend_from_slice(&chunk.clock_ahead.to_le_bytes());
    put_count(out, chunk.count);
    put_bytes(out, chunk.rows);
}

fn write_signal(out: &mut Vec<u8>, signal: &Signal) {
    put_varint(out, signal.to.0);
    put_varint(out, signal.seq);
    put_varint(out, signal.floor);
    let (tag, of) = match signal.kind {
        SignalKind::Plain => (0, 0),
        SignalKind::Ask => (1, 0),
        SignalKind::Answer(of) => (2, of),
    };
    out.push(tag);
    put_varint(out, of);
    put_bytes(out, &signal.payload);
}

/// Reads a frame: the sender's incarnation, and the frame.
pub(crate) fn read(bytes: &[u8], cluster: u64) -> Result<(Incarnation, Frame<'_>), ClusterError> {
    if bytes.len() > FRAME_BYTES_MAX {
        let found = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
        return Err(ClusterError::TooMuch { what: "frame length", found, bound: FRAME_BYTES_MAX as u64 });
    }
    let mut reader = Reader::new(bytes);
    if reader.u8()? != b'T' {
        return Err(ClusterError::Unknown("first byte"));
    }
    let found = reader.u8()?;
    if found != VERSION {
        return Err(ClusterError::Version { found, expected: VERSION });
    }
    let kind = reader.u8()?;
    reader.u8()?;
    if reader.u64()? != cluster {
        return Err(ClusterError::ForeignCluster);
    }
    let incarnation = Incarnation(reader.u64()?);
    Ok((incarnation, read_body(kind, &mut reader)?))
}

fn read_body<'a>(kind: u8, reader: &mut Reader<'a>) -> Result<Frame<'a>, ClusterError> {
    Ok(match kind {
        1 => Frame::Heartbeat(read_heartbeat(reader)?),
        2 => {
            let (first, count) = (reader.u64()?, reader.u64()?);
            let digest = Digest { sum: reader.u64()?, count: reader.u64()? };
            let proof = (reader.u8()? & 1 == 1).then_some(digest);
            // An operation has at least two bytes, so the count is bounded by the frame.
            let bound = u64::try_from(reader.rest().len() / 2).unwrap_or(u64::MAX);
            if first == 0 || count > bound {
                return Err(ClusterError::TooMuch { what: "operations", found: count, bound });
            }
            Frame::Rows(Rows { first, count, proof, ops: reader.rest() })
        }
        3 => {
            let (owner, request) = (read_life(reader)?, reader.varint()?);
            let want = match (reader.u8()?, reader.varint()?) {
                (0, seq) => Want::From(seq),
                (1, next) => Want::Whole(next),
                _ => return Err(ClusterError::Unknown("need")),
            };
            Frame::Need(Need { owner, request, want })
        }
        4 => Frame::Resent {
            owner: read_life(reader)?,
            request: reader.varint()?,
            upto: reader.varint()?,
            whole: reader.u8()? != 0,
        },
        5 => Frame::Chunk(Chunk {
            owner: read_life(reader)?,
            request: reader.varint()?,
            transfer: reader.varint()?,
            index: reader.varint()?,
            at: reader.varint()?,
            last: reader.u8()? != 0,
            clock_ahead: i64::from_le_bytes(reader.u64()?.to_le_bytes()),
            count: reader.count("rows of a chunk", FRAME_BYTES_MAX)?,
            rows: reader.bytes()?,
        }),
        6 => Frame::ChunkAck { transfer: reader.varint()?, next: reader.varint()? },
        7 => Frame::Signal(read_signal(reader)?),
        8 => Frame::SignalAck { to: Incarnation(reader.varint()?), next: reader.varint()? },
        9 => Frame::Carried(reader.rest()),
        _ => Frame::Unknown,
    })
}

fn read_signal(reader: &mut Reader<'_>) -> Result<Signal, ClusterError> {
    let (to, seq, floor) = (Incarnation(reader.varint()?), reader.varint()?, reader.varint()?);
    let kind = match (reader.u8()?, reader.varint()?) {
        (0, _) => SignalKind::Plain,
        (1, _) => SignalKind::Ask,
        (2, of) => SignalKind::Answer(of),
        _ => return Err(ClusterError::Unknown("signal kind")),
    };
    Ok(Signal { to, seq, floor, kind, payload: Bytes::copy_from_slice(reader.bytes()?) })
}

#[cfg(test)]
mod tests;
