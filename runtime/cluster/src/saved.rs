//! Tables outside of memory: rows as bytes for a file, and how rows that come from one enter a new life (DESIGN section 2, a whole cluster that
//! was off at once).
//!
//! A row from a file never beats one that a peer has: it enters when this node is in sync, only for lives of which nothing is kept, and only while
//! the node that owned it is not heard. Nothing here reads or writes a file.

use crate::api::Output;
use crate::cluster::Cluster;
use crate::codec::{Reader, put_bytes, put_count, put_framed, put_varint};
use crate::error::ClusterError;
use crate::row::Row;
use tandem_base::{Incarnation, NodeLife, Time};

/// The first bytes of a file.
const MAGIC: &[u8] = b"tandem tables 1\n";
/// Rows of one piece, so that a reader can bound what it takes at once.
const PIECE_MAX: usize = 65_536;
/// Sets of one file: some lives of every member.
const SETS_MAX: usize = 4_096;

/// Rows of one life of an owner, from a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Saved<R> {
    /// Whose rows.
    pub owner: NodeLife,
    /// That life's clock minus this node's, in microseconds, at the time of reading.
    pub clock_ahead_micros: i64,
    /// The rows.
    pub rows: Vec<R>,
}

/// Makes the bytes of a file, piece by piece, so that nobody waits for it.
#[derive(Clone, Debug)]
pub struct TableWriter {
    bytes: Vec<u8>,
}

impl TableWriter {
    /// A file of this cluster, begun at `unix_millis`, when this node's clock read `now`.
    pub fn new(cluster: &str, unix_millis: u64, now: Time) -> Self {
        let mut bytes = MAGIC.to_vec();
        put_bytes(&mut bytes, cluster.as_bytes());
        put_varint(&mut bytes, unix_millis);
        put_varint(&mut bytes, now.as_micros());
        Self { bytes }
    }

    /// Some rows of one life, whose clock minus this node's is `ahead` microseconds.
    pub fn put<'r, R: Row + 'r>(&mut self, owner: &NodeLife, ahead: i64, rows: impl ExactSizeIterator<Item = &'r R>) {
        if rows.len() == 0 {
            return;
        }
        put_bytes(&mut self.bytes, owner.node.as_str().as_bytes());
        put_varint(&mut self.bytes, owner.incarnation.0);
        self.bytes.extend_from_slice(&ahead.to_le_bytes());
        put_count(&mut self.bytes, rows.len());
        for row in rows {
            put_framed(&mut self.bytes, |out| row.encode(out));
        }
    }

    /// The bytes so far.
    pub fn len(&self) -> usize {
        self.bytes.len()
    }
    /// Whether there is nothing yet, which is never.
    pub fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }
    /// The whole file.
    pub fn finish(self) -> Vec<u8> {
        self.bytes
    }
}

/// Reads what a [`TableWriter`] made, in another life: it is `unix_millis` now, and this node's clock reads `now`. Rows that cannot be read are left
/// out and counted.
///
/// # Errors
/// [`ClusterError`]: no such file, of another cluster, or cut off.
pub fn read_tables<R: Row>(
    bytes: &[u8],
    cluster: &str,
    unix_millis: u64,
    now: Time,
) -> Result<(Vec<Saved<R>>, u64), ClusterError> {
    let body = bytes.strip_prefix(MAGIC).ok_or(ClusterError::Unknown("kind of file"))?;
    let mut reader = Reader::new(body);
    if reader.bytes()? != cluster.as_bytes() {
        return Err(ClusterError::Unknown("cluster name"));
    }
    let (written, clock) = (reader.varint()?, reader.varint()?);
    // A wall clock that was set back must not make rows younger than they were.
    let passed = unix_millis.saturating_sub(written).saturating_mul(1_000);
    let then = i64::try_from(clock.saturating_add(passed)).unwrap_or(i64::MAX);
    let ours = i64::try_from(now.as_micros()).unwrap_or(i64::MAX);
    let (mut sets, mut unread): (Vec<Saved<R>>, u64) = (Vec::new(), 0);
    while !reader.rest().is_empty() {
        let owner = NodeLife { node: reader.node()?, incarnation: Incarnation(reader.varint()?) };
        let ahead = reader.u64()?.cast_signed();
        let count = reader.count("rows", PIECE_MAX)?;
        let clock_ahead_micros = then.saturating_add(ahead).saturating_sub(ours);
        let place = match sets.iter_mut().position(|set| set.owner == owner) {
            Some(place) => place,
            None if sets.len() >= SETS_MAX => return Err(ClusterError::Unknown("number of owners")),
            None => {
                sets.push(Saved { owner, clock_ahead_micros, rows: Vec::new() });
                sets.len() - 1
            }
        };
        for _ in 0..count {
            let mut row = reader.bytes()?;
            match (R::decode(&mut row), sets.get_mut(place)) {
                (Ok(row), Some(set)) => set.rows.push(row),
                _ => unread += 1,
            }
        }
    }
    Ok((sets, unread))
}

impl<R: Row> Cluster<R> {
    /// This node is in sync: what no peer knew better comes from the file now.
    pub(crate) fn restore(&mut self, now: Time) {
        for Saved { owner, clock_ahead_micros, rows } in std::mem::take(&mut self.saved) {
            if rows.is_empty() {
                continue;
            }
            if owner.node == self.me.node {
                if owner.incarnation < self.me.incarnation && !self.adoptions.has_taken(&owner) {
                    self.say(Output::Adoptable { earlier: owner, clock_ahead_micros, rows });
                }
            } else if self.is_wanted(&owner) {
                self.keep_orphans(now, &owner, clock_ahead_micros, rows);
            }
        }
    }
}
