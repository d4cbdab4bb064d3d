//! The copies of other owners' rows, one per life of an owner, and how far each is proven (DESIGN section 8, tables).
//!
//! A copy is complete when its digest equalled the owner's at the same sequence, and nothing has been missed since. This file applies
//! and proves; what to fetch is in `fetch`, and nothing here sends.

use crate::api::{Change, Resync};
use crate::codec::Reader;
use crate::digest::Digest;
use crate::error::ClusterError;
use crate::fetch::Fetch;
use crate::frame::{Rows, read_op};
use crate::replica::{Applied, READ_AHEAD, Replica};
use crate::row::{Op, Row};
use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;
use tandem_base::{NodeLife, NodeName, Time};

/// Lives kept per node: the present one and the youngest earlier ones.
const LIVES_MAX: usize = 3;
/// Rows taken out of a forgotten copy per step.
const FORGET_STEP: usize = 1_024;
/// No heartbeat travels for so much longer than the fastest one: a peer that is silent for so long is dead.
const LATE: Duration = Duration::from_secs(1);
/// The same by our own clock alone.
const LATE_AT_LAST: Duration = Duration::from_secs(10);
/// Clocks of two hosts drift apart by less than this: the best offset heard is given up at this pace, in parts per 10,000.
const DRIFT_PER_10_000: i64 = 1;

/// About the shortest change on the wire: guesses how many a frame holds, never more than its bytes.
const OP_BYTES: usize = 32;

/// A change as read, with its sequence; none of a kind that is not known here.
type ReadOp<R> = (u64, Result<Option<Op<R>>, ClusterError>);

/// The copy of one life's rows.
#[derive(Clone, Debug)]
pub(crate) struct Copy<R> {
    pub(crate) rows: Replica<R>,
    /// The last change applied.
    pub(crate) applied: u64,
    /// The newest sequence heard of.
    pub(crate) head: u64,
    /// What the owner said last: at this sequence, this digest.
    claim: Option<(u64, Digest)>,
    /// After a snapshot: proofs count from here on.
    settled_at: u64,
    /// The newest sequence known at the last claim, and since which claim that has not changed.
    known_at_claim: (u64, Time),
    /// The change at which a frame could not be read on: if it comes so again, it will never be readable.
    unreadable: u64,
    /// More was applied than the owner has ever written: only a new snapshot helps.
    impossible: bool,
    pub(crate) complete: bool,
    /// It was complete once in this life.
    pub(crate) was_complete: bool,
    pub(crate) orphaned: Option<Time>,
    /// Its rows are no ground for changes: they came from a third node, or from a snapshot that is not at its end. Nothing is proven
    /// before the whole set has been fetched.
    pub(crate) groundless: bool,
    pub(crate) origin: Origin,
    pub(crate) fetch: Fetch,
    clock: Option<Clock>,
}

/// Where the rows of a copy come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Origin {
    /// From their owner.
    Owner,
    /// From another node that had them from their owner.
    Handed,
    /// From a file, here or at the node that handed them on: later changes are not among them.
    File,
}

/// The owner's clock minus ours in microseconds, and when that was measured.
#[derive(Clone, Copy, Debug)]
struct Clock {
    ahead: i64,
    at: Time,
}

/// What a proof says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Proof {
    /// Nothing new.
    Open,
    /// Complete now, and was not before.
    Complete,
    /// Same sequence, other digest.
    Differs,
}

/// What a batch did to a copy.
#[derive(Debug)]
pub(crate) struct Batch<R> {
    pub(crate) changes: Vec<Change<R>>,
    pub(crate) errors: u64,
    pub(crate) refused: u64,
    /// Changes before this batch are missing and it was not applied, or it was not to its end: they are to be asked for.
    pub(crate) gap: bool,
    pub(crate) ops: u64,
}

impl<R: Row> Copy<R> {
    fn new(rows_max: usize, retry: Duration, refetch_min: Duration) -> Self {
        Self {
            rows: Replica::new(rows_max),
            applied: 0,
            head: 0,
            claim: None,
            settled_at: 0,
            known_at_claim: (0, Time::ZERO),
            unreadable: 0,
            impossible: false,
            complete: false,
            was_complete: false,
            orphaned: None,
            groundless: false,
            origin: Origin::Owner,
            fetch: Fetch::new(retry, refetch_min),
            clock: None,
        }
    }

    /// Applies a batch of changes, those of them that are next.
    pub(crate) fn apply(&mut self, rows: &Rows<'_>) -> Batch<R> {
        let mut batch = Batch { changes: Vec::new(), errors: 0, refused: 0, gap: false, ops: 0 };
        let last = rows.first.saturating_add(rows.count).saturating_sub(1);
        self.head = self.head.max(last);
        if rows.first > self.applied.saturating_add(1) {
            batch.gap = true;
            return batch;
        }
        if rows.count == 0 || last <= self.applied {
            return batch;
        }
        batch.changes.reserve((rows.ops.len() / OP_BYTES).min(usize::try_from(rows.count).unwrap_or(usize::MAX)));
        let mut reader = Reader::new(rows.ops);
        let (mut next, mut cut) = (rows.first, None);
        let mut group = Vec::with_capacity(READ_AHEAD);
        while next <= last && cut.is_none() {
            let wanted = last - next + 1;
            group.extend((next..=last).take(READ_AHEAD).map_while(|seq| Some((seq, read_op::<R>(&mut reader).ok()?))));
            next += group.len() as u64;
            cut = (group.len() < READ_AHEAD && (group.len() as u64) < wanted).then_some(next);
            if !self.apply_group(&mut group, &mut batch) {
                return batch;
            }
        }
        if let Some(seq) = cut {
            batch.errors += 1;
            if seq > self.applied && std::mem::replace(&mut self.unreadable, seq) != seq {
                // Cut short on its way, it seems: its owner has it whole.
                batch.gap = true;
                return batch;
            }
        }
        // A frame that can never be read to its end counts as applied: the digest will tell.
        self.applied = self.applied.max(last);
        if let Some(proof) = rows.proof.filter(|_| self.claim.is_none_or(|(seq, _)| seq <= last)) {
            self.claim = Some((last, proof));
        }
        batch
    }

    /// Changes in order, all read before the first is made. Returns whether the next ones may follow.
    fn apply_group(&mut self, group: &mut Vec<ReadOp<R>>, batch: &mut Batch<R>) -> bool {
        self.rows.read_ahead(group.iter().filter_map(|(_, op)| op.as_ref().ok()?.as_ref().map(Op::key)));
        for (seq, op) in group.drain(..) {
            if seq <= self.applied {
                continue;
            }
            match op {
                // A fetch under way could not remember this change: it must be asked for again.
                Ok(Some(op)) if !self.fetch.touch(op.key(), seq) => {
                    batch.refused += 1;
                    return false;
                }
                Ok(Some(op)) => self.change(op, batch),
                Ok(None) => {}
                Err(_) => batch.errors += 1,
            }
            self.applied = seq;
            batch.ops += 1;
        }
        true
    }

    fn change(&mut self, op: Op<R>, batch: &mut Batch<R>) {
        match self.rows.apply(op) {
            Applied::Done(change) => batch.changes.push(change),
            Applied::Nothing => {}
            Applied::Full => batch.refused += 1,
        }
    }

    /// Rows of a snapshot chunk, read at the owner's sequence `at`; rows changed later than that stay as they are.
    pub(crate) fn apply_chunk(&mut self, count: usize, rows: &[u8], at: u64) -> Batch<R> {
        let mut batch = Batch { changes: Vec::new(), errors: 0, refused: 0, gap: false, ops: 0 };
        let mut reader = Reader::new(rows);
        for _ in 0..count {
            let Ok(mut body) = reader.bytes() else {
                batch.errors += 1;
                break;
            };
            match R::decode(&mut body) {
                Ok(row) if self.fetch.touched_after(row.key(), at) => {}
                Ok(row) => self.change(Op::Put(row), &mut batch),
                Err(_) => batch.errors += 1,
            }
        }
        self.fetch.forget_touched(at);
        batch
    }

    /// The snapshot is here: what it did not confirm goes. `at` is the sequence when its last rows were read.
    pub(crate) fn settle(&mut self, at: u64) -> Vec<Change<R>> {
        self.settled_at = at;
        self.groundless = false;
        self.origin = Origin::Owner;
        self.rows.sweep()
    }

    /// The first chunk of a snapshot, read at the owner's sequence `start`: it covers every change up to there. What is not confirmed
    /// from here on goes at its end. Changes later than `start` that overtook the chunk are newer than the snapshot, so they confirm;
    /// earlier ones that were still on their way do not, because what undid them may be among the changes that are skipped now.
    pub(crate) fn begin_snapshot(&mut self, start: u64) {
        self.rows.begin_generation();
        self.fetch.touched_since(start).for_each(|key| self.rows.confirm(key));
        self.groundless = true;
        let wrong = std::mem::replace(&mut self.impossible, false);
        self.applied = if wrong { start } else { self.applied.max(start) };
        self.head = if wrong { start } else { self.head.max(start) };
    }

    /// A heartbeat that left at `sent` on its owner's clock says: at `seq` my set has this digest. Returns whether the copy lacked rows at
    /// the heartbeat before this one. Call [`Copy::hear_clock`] first.
    pub(crate) fn claim(&mut self, now: Time, sent: Time, seq: u64, digest: Digest) -> bool {
        let behind = self.claim.is_some_and(|(before, _)| self.applied < before);
        self.claim = Some((seq, digest));
        let known = self.head.max(self.applied);
        if self.known_at_claim.0 != known {
            self.known_at_claim = (known, now);
        }
        // Heartbeats travel in a lane of their own, and rows may overtake several of them: only one that left after the rows had arrived
        // proves that they were never written. Until then a copy that lacks some of them is not complete.
        let arrived = signed(self.known_at_claim.1 + LATE);
        let later = self.clock.is_some_and(|clock| signed(sent).saturating_sub(clock.ahead) >= arrived);
        // The owner's clock may once have been told wrong; that must not hide it for ever.
        let proven = later || now >= self.known_at_claim.1 + LATE_AT_LAST;
        self.impossible |= self.applied > seq && proven;
        // The newest word counts then, not the highest: a wrong one must not stand for ever.
        self.head = if proven { self.applied.max(seq) } else { known.max(seq) };
        behind
    }

    /// Nothing newer is known of, and no snapshot is under way or ahead of the changes.
    fn may_prove(&self) -> bool {
        self.applied >= self.head && self.applied >= self.settled_at && !self.fetch.is_whole() && !self.groundless
    }

    /// Compares when it can be compared.
    pub(crate) fn prove(&mut self) -> Proof {
        match self.claim {
            Some(_) if self.impossible && !self.fetch.is_whole() => Proof::Differs,
            Some((seq, digest)) if seq == self.applied && self.may_prove() => {
                if digest != self.rows.digest() {
                    return Proof::Differs;
                }
                self.fetch.proven();
                self.was_complete = true;
                if std::mem::replace(&mut self.complete, true) { Proof::Open } else { Proof::Complete }
            }
            _ => Proof::Open,
        }
    }

    /// Why a fetch would be needed that is not because of a digest.
    pub(crate) fn gap_reason(&self) -> Resync {
        if self.was_complete { Resync::Gap } else { Resync::Join }
    }

    /// The owner was gone before this copy was complete, and nobody has handed the rest on.
    pub(crate) fn is_a_beginning(&self) -> bool {
        self.orphaned.is_some() && self.origin == Origin::Owner && !self.was_complete
    }

    /// The owner's life is up again: what it says from now on is compared anew.
    pub(crate) fn revive(&mut self) {
        self.orphaned = None;
        self.complete = false;
        self.claim = None;
    }

    /// The owner's clock read `theirs` when we heard it at `now`. The least delayed reading wins.
    pub(crate) fn hear_clock(&mut self, now: Time, theirs: Time) {
        let measured = signed(theirs).saturating_sub(signed(now));
        let faded = self.clock.map(|c| {
            let age = i64::try_from(now.since(c.at).as_micros()).unwrap_or(i64::MAX);
            c.ahead.saturating_sub(age / 10_000 * DRIFT_PER_10_000)
        });
        if faded.is_none_or(|ahead| measured >= ahead) {
            self.clock = Some(Clock { ahead: measured, at: now });
        }
    }
    /// The owner's clock is known from a third node.
    pub(crate) fn set_clock(&mut self, now: Time, ahead: i64) {
        self.clock = Some(Clock { ahead, at: now });
    }
    /// The owner's clock minus ours, in microseconds.
    pub(crate) fn clock_ahead(&self) -> Option<i64> {
        self.clock.map(|c| c.ahead)
    }
    /// A moment on the owner's clock, on ours.
    pub(crate) fn to_local(&self, secs: u64) -> Option<Time> {
        let theirs = signed(Time::from_secs(secs));
        let ours = theirs.saturating_sub(self.clock?.ahead);
        Some(Time::from_micros(u64::try_from(ours).unwrap_or(0)))
    }
}

fn signed(time: Time) -> i64 {
    i64::try_from(time.as_micros()).unwrap_or(i64::MAX)
}

/// All copies.
#[derive(Clone, Debug)]
pub(crate) struct Tables<R> {
    pub(crate) copies: BTreeMap<NodeLife, Copy<R>>,
    /// Copies that are not visible any more and are emptied step by step.
    leaving: VecDeque<(NodeLife, Replica<R>)>,
    rows_max: usize,
    retry: Duration,
    refetch_min: Duration,
    /// Where the next look for expired orphans starts.
    expiry: Option<(NodeLife, u32)>,
}

impl<R: Row> Tables<R> {
    pub(crate) fn new(rows_max: usize, retry: Duration, refetch_min: Duration) -> Self {
        let (copies, leaving) = (BTreeMap::new(), VecDeque::new());
        Self { copies, leaving, rows_max, retry, refetch_min, expiry: None }
    }

    /// A life begins. Returns the earlier lives that have to go because too many are kept, or because they are empty.
    pub(crate) fn begin(&mut self, life: &NodeLife) -> Vec<NodeLife> {
        let fresh = Copy::new(self.rows_max, self.retry, self.refetch_min);
        self.copies.entry(life.clone()).or_insert(fresh);
        let lives: Vec<(NodeLife, bool)> =
            self.lives(&life.node).map(|(l, c)| (l.clone(), c.rows.len() == 0)).collect();
        let earlier = lives.iter().filter(|(l, _)| l.incarnation < life.incarnation);
        let surplus = lives.len().saturating_sub(LIVES_MAX);
        let empty = earlier.clone().filter(|(_, empty)| *empty);
        let mut gone: Vec<NodeLife> = empty.map(|(l, _)| l.clone()).collect();
        let still = surplus.saturating_sub(gone.len());
        gone.extend(earlier.filter(|(_, empty)| !empty).take(still).map(|(l, _)| l.clone()));
        gone
    }

    /// The lives kept of a node, oldest first.
    pub(crate) fn lives(&self, node: &NodeName) -> impl Iterator<Item = (&NodeLife, &Copy<R>)> {
        self.copies.iter().filter(move |(life, _)| life.node == *node)
    }

    /// Whether any copy has a row with this key.
    pub(crate) fn knows(&self, key: u128) -> bool {
        self.copies.values().any(|copy| copy.rows.get(key).is_some())
    }
    pub(crate) fn get_mut(&mut self, life: &NodeLife) -> Option<&mut Copy<R>> {
        self.copies.get_mut(life)
    }

    /// The owner is down: its rows stay, marked. Returns how many, if they were not marked before.
    pub(crate) fn orphan(&mut self, now: Time, life: &NodeLife) -> Option<u64> {
        let copy = self.copies.get_mut(life)?;
        copy.fetch.cancel();
        if copy.orphaned.is_some() {
            return None;
        }
        copy.orphaned = Some(now);
        Some(copy.rows.len())
    }

    /// The rows of this life are not visible any more; returns how many.
    pub(crate) fn forget(&mut self, life: &NodeLife) -> Option<u64> {
        let copy = self.copies.remove(life)?;
        let rows = copy.rows.len();
        if rows > 0 {
            self.leaving.push_back((life.clone(), copy.rows));
        }
        Some(rows)
    }

    pub(crate) fn is_forgetting(&self) -> bool {
        !self.leaving.is_empty()
    }

    /// One step of emptying what was forgotten.
    pub(crate) fn forget_step(&mut self) -> Option<(NodeLife, Vec<Change<R>>)> {
        let (life, mut rows) = self.leaving.pop_front()?;
        let end = rows.end();
        let (gone, _) = rows.take_if(end.saturating_sub(FORGET_STEP as u32), FORGET_STEP, |_| true);
        let changes = gone.into_iter().map(Change::removal).collect();
        rows.shorten();
        if rows.len() > 0 {
            self.leaving.push_front((life.clone(), rows));
        }
        Some((life, changes))
    }

    /// Orphaned rows with this key go, but for that of one owner.
    pub(crate) fn drop_orphans(&mut self, key: u128, but: Option<&NodeLife>) -> Vec<(NodeLife, Change<R>)> {
        let orphaned = self.copies.iter_mut().filter(|(life, copy)| copy.orphaned.is_some() && Some(*life) != but);
        let gone = orphaned.filter_map(|(life, copy)| Some((life.clone(), copy.rows.remove(key)?)));
        gone.map(|(life, row)| (life, Change::removal(row))).collect()
    }

    /// Takes out expired orphans, looking at up to `limit` slots, round and round.
    pub(crate) fn expire_orphans(&mut self, now: Time, limit: usize) -> Vec<(NodeLife, R)> {
        let mut out = Vec::new();
        let mut left = limit;
        let (mut life, mut from) = self.expiry.take().map_or((None, 0), |(life, from)| (Some(life), from));
        while left > 0 {
            let next = match &life {
                Some(at) => self.copies.range_mut(at..).find(|(_, copy)| copy.orphaned.is_some()),
                None => self.copies.iter_mut().find(|(_, copy)| copy.orphaned.is_some()),
            };
            // Behind the last orphaned copy the round ends; the next call starts a new one.
            let Some((found, copy)) = next else { return out };
            if life.as_ref() != Some(found) {
                from = 0;
            }
            let found = found.clone();
            let clock = copy.clock;
            let ahead = clock.map_or(0, |c| c.ahead);
            let theirs = signed(now).saturating_add(ahead) / 1_000_000;
            let expired = |row: &R| {
                clock.is_some() && row.expires().is_some_and(|at| i64::try_from(at).unwrap_or(i64::MAX) <= theirs)
            };
            let (gone, next) = copy.rows.take_if(from, left, expired);
            out.extend(gone.into_iter().map(|row| (found.clone(), row)));
            let looked = next.unwrap_or_else(|| copy.rows.end()).saturating_sub(from);
            left = left.saturating_sub(looked.max(1) as usize);
            match next {
                Some(next) => from = next,
                None => {
                    let following = self.copies.range(&found..).nth(1).map(|(life, _)| life.clone());
                    let Some(following) = following else { return out };
                    (life, from) = (Some(following), 0);
                    continue;
                }
            }
            life = Some(found);
        }
        self.expiry = life.map(|life| (life, from));
        out
    }
}
