//! Tables outside of memory: rows as bytes for a file, and how rows that come from one enter a new life (DESIGN section 2, a whole cluster that
//! was off at once).
//!
//! A row from a file never beats one that a peer has: it enters when this node is in sync, only for lives of which nothing is kept, and only while
//! the node that owned it is not heard. When nobody was in service before (a cold start) nodes tell each other what their files hold, so that one
//! whose own file is lost takes up what another's has. Nothing here reads or writes a file.

use crate::api::{NodeState, Output};
use crate::cluster::Cluster;
use crate::codec::{Reader, put_bytes, put_count, put_framed, put_varint};
use crate::error::ClusterError;
use crate::frame::{Heartbeat, ORPHAN_SETS_MAX, OrphanSet};
use crate::row::Row;
use crate::table::Origin;
use std::time::Duration;
use tandem_base::{Incarnation, NodeLife, NodeName, Time};

/// The first bytes of a file.
const MAGIC: &[u8] = b"tandem tables 1\n";
/// Rows of one piece, so that a reader can bound what it takes at once.
const PIECE_MAX: usize = 65_536;
/// Sets of one file: some lives of every member.
const SETS_MAX: usize = 4_096;

/// How long after its own start a node keeps what others may need of its file.
const COLD_FOR: Duration = Duration::from_secs(30);

/// Whether the whole cluster was off before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Cold {
    /// Nobody has been met who was in service before.
    Perhaps,
    /// It was; until then the file may be needed.
    Until(Time),
    /// Somebody was in service, or it is long ago.
    No,
}

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

impl<R> Saved<R> {
    /// Up to `limit` rows from place `cursor` on, and where to go on.
    pub(crate) fn page(&self, cursor: u64, limit: usize) -> (Vec<&R>, Option<u64>) {
        let from = usize::try_from(cursor).unwrap_or(usize::MAX);
        let rows: Vec<&R> = self.rows.iter().skip(from).take(limit.max(1)).collect();
        let next = from.saturating_add(rows.len());
        (rows, (next < self.rows.len()).then(|| u64::try_from(next).unwrap_or(u64::MAX)))
    }
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
        let cold = self.cold == Cold::Perhaps;
        self.cold = if cold { Cold::Until(now + COLD_FOR) } else { Cold::No };
        for set in std::mem::take(&mut self.saved) {
            let Saved { owner, clock_ahead_micros, rows } = set;
            if rows.is_empty() {
                continue;
            }
            if owner.node == self.me.node {
                // What peers have after a cold start is from files, too: the newest row counts, which the driver knows to tell. So it is for a
                // node that comes when the others serve already (simulator seed 157).
                if owner.incarnation < self.me.incarnation && (cold || !self.adoptions.has_taken(&owner)) {
                    self.say(Output::Adoptable { earlier: owner, clock_ahead_micros, rows });
                }
            } else if self.is_wanted(&owner) || self.is_unserved(&owner) {
                self.keep_orphans(now, &owner, clock_ahead_micros, rows, Origin::File);
            } else if cold && self.has_from_a_file(&owner) {
                let unknown = rows.into_iter().filter(|row| !self.tables.knows(row.key())).collect();
                self.keep_orphans(now, &owner, clock_ahead_micros, unknown, Origin::File);
            } else if cold && self.may_need(&owner) {
                self.saved.push(Saved { owner, clock_ahead_micros, rows });
            }
        }
    }

    /// A node whose newer life has not served, and is not up: it is connected and stands still, or was gone again before it served. What a file
    /// tells of its earlier life is the best there is.
    fn is_unserved(&self, owner: &NodeLife) -> bool {
        !self.tables.copies.contains_key(owner)
            && self.may_need(owner)
            && self.members.up_life_of(&owner.node).is_none()
    }

    /// A node is gone: what is kept for it in case it asks (it had not served in this life) becomes orphans.
    pub(crate) fn keep_what_it_needed(&mut self, now: Time, node: &NodeName) {
        if !self.in_sync {
            return;
        }
        let (of_it, others) = std::mem::take(&mut self.saved).into_iter().partition(|set| set.owner.node == *node);
        self.saved = others;
        for Saved { owner, clock_ahead_micros, rows } in of_it {
            if self.is_unserved(&owner) {
                self.keep_orphans(now, &owner, clock_ahead_micros, rows, Origin::File);
            }
        }
    }

    /// What is here of a life that is away came from another node's file.
    fn has_from_a_file(&self, owner: &NodeLife) -> bool {
        self.tables.copies.get(owner).is_some_and(|copy| copy.orphaned.is_some() && copy.origin == Origin::File)
    }

    /// A node that has a new life and has not served in it may still ask for rows of an earlier one.
    fn may_need(&self, owner: &NodeLife) -> bool {
        let peer = self.members.peers.get(&owner.node);
        peer.is_some_and(|peer| !peer.served && peer.incarnation.is_some_and(|life| life > owner.incarnation))
    }

    /// A peer that was in service before says so by not saying otherwise: what it knows counts, and no file.
    pub(crate) fn consider_cold(&mut self, beat: &Heartbeat) {
        if !self.in_sync && beat.state != NodeState::Joining && beat.saved.is_none() {
            self.cold = Cold::No;
            self.adoptions.leave_files();
        }
    }

    /// What this node has in its file and others may need; `None` when what they know counts.
    pub(crate) fn saved_sets(&mut self, now: Time) -> Option<Vec<OrphanSet>> {
        let all_serve = || self.members.peers.values().all(|peer| peer.served);
        if matches!(self.cold, Cold::Until(end) if now >= end || all_serve()) {
            self.cold = Cold::No;
            self.saved.clear();
        }
        if self.cold == Cold::No {
            return None;
        }
        let sets = self.saved.iter().filter(|set| set.owner.node != self.me.node && !set.rows.is_empty());
        let rows = |set: &Saved<R>| u64::try_from(set.rows.len()).unwrap_or(u64::MAX);
        Some(sets.map(|set| OrphanSet { life: set.owner.clone(), rows: rows(set) }).take(ORPHAN_SETS_MAX).collect())
    }
}
