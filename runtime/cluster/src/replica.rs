//! The rows of one life of one owner: a slab in blocks, a hash index of slot numbers, the digest. It holds what it was given and
//! knows nothing of frames, time or peers.

use crate::api::Change;
use crate::digest::Digest;
use crate::index::Index;
use crate::row::{Op, Row};
#[cfg(test)]
use std::collections::BTreeSet;

/// Rows per block: the slab grows by blocks, so it never copies itself and wastes at most one block.
const BLOCK: usize = 512;
/// Rows that [`Replica::read_ahead`] looks at: enough for memory to be waited for once, few enough to stay in the nearest cache.
pub(crate) const READ_AHEAD: usize = 32;

/// A set of rows by key.
#[derive(Clone, Debug)]
pub(crate) struct Replica<R> {
    blocks: Vec<Vec<Slot<R>>>,
    free: Vec<u32>,
    index: Index,
    digest: Digest,
    generation: u8,
    rows_max: usize,
    scratch: Vec<u8>,
}

/// A place for a row, with what a change of it needs beside it, so that all of it comes from one place in memory.
#[derive(Clone, Debug)]
struct Slot<R> {
    row: Option<R>,
    /// The row's hash, kept so that a row that is replaced need not be read again.
    hash: u64,
    /// In which generation the row was last confirmed. A snapshot begins a new one and sweeps the older ones at its end.
    mark: u8,
}

/// What [`Replica::apply`] did.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Applied<R> {
    /// Done; there was nothing to take out.
    Nothing,
    /// Done.
    Done(Change<R>),
    /// The bound on rows is reached: not taken.
    Full,
}

fn split(slot: u32) -> (usize, usize) {
    let slot = slot as usize;
    (slot / BLOCK, slot % BLOCK)
}

fn slot_in<R>(blocks: &[Vec<Slot<R>>], slot: u32) -> Option<&Slot<R>> {
    let (block, at) = split(slot);
    blocks.get(block)?.get(at)
}

fn row_in<R>(blocks: &[Vec<Slot<R>>], slot: u32) -> Option<&R> {
    slot_in(blocks, slot)?.row.as_ref()
}

impl<R: Row> Replica<R> {
    pub(crate) fn new(rows_max: usize) -> Self {
        // Slot numbers are 32 bits, and the highest one means "empty" in the index.
        let rows_max = rows_max.min(u32::MAX as usize - 1);
        Self {
            blocks: Vec::new(),
            free: Vec::new(),
            index: Index::default(),
            digest: Digest::default(),
            generation: 0,
            rows_max,
            scratch: Vec::new(),
        }
    }
    pub(crate) fn digest(&self) -> Digest {
        self.digest
    }
    pub(crate) fn len(&self) -> u64 {
        self.digest.count
    }

    pub(crate) fn get(&self, key: u128) -> Option<&R> {
        row_in(&self.blocks, self.find(key)?)
    }
    fn find(&self, key: u128) -> Option<u32> {
        self.index.get(key, |slot| row_in(&self.blocks, slot).map(Row::key))
    }

    /// Looks at what is about to change, one kind of memory after the other, all before the first row does: memory is waited for once per
    /// kind instead of once per row.
    pub(crate) fn read_ahead(&self, keys: impl Iterator<Item = u128>) {
        let mut found = [None; READ_AHEAD];
        for (found, key) in found.iter_mut().zip(keys) {
            *found = self.index.guess(key);
        }
        let slots = || found.iter().flatten().filter_map(|slot| slot_in(&self.blocks, *slot));
        let near = |slot: &Slot<R>| slot.hash ^ u64::from(slot.mark) ^ slot.row.as_ref().map_or(0, Row::glance);
        std::hint::black_box(slots().fold(0, |seen, slot| seen ^ near(slot)));
        let far = |slot: &Slot<R>| slot.row.as_ref().map_or(0, Row::glance_behind);
        std::hint::black_box(slots().fold(0, |seen, slot| seen ^ far(slot)));
    }

    /// Carries out one change and marks the row as confirmed.
    pub(crate) fn apply(&mut self, op: Op<R>) -> Applied<R> {
        match op {
            Op::Put(row) => self.put(row),
            Op::Remove { key } => self.remove(key).map_or(Applied::Nothing, |row| Applied::Done(Change::removal(row))),
        }
    }

    fn put(&mut self, mut row: R) -> Applied<R> {
        let key = row.key();
        let known = self.find(key);
        let Some(slot) = known.or_else(|| self.vacant()) else {
            return Applied::Full;
        };
        let hash = row.hash_with(&mut self.scratch);
        let (block, at) = split(slot);
        let Some(place) = self.blocks.get_mut(block).and_then(|block| block.get_mut(at)) else {
            return Applied::Full;
        };
        place.mark = self.generation;
        let previous_hash = std::mem::replace(&mut place.hash, hash);
        if let Some(known) = &place.row {
            row.share(known);
        }
        let previous = place.row.replace(row.clone());
        match &previous {
            Some(_) => self.digest.remove(previous_hash),
            None => self.index.insert(key, slot),
        }
        self.digest.add(hash);
        Applied::Done(Change { op: Op::Put(row), previous })
    }

    /// A free slot, from the free list or a new block.
    fn vacant(&mut self) -> Option<u32> {
        if let Some(slot) = self.free.pop() {
            return Some(slot);
        }
        if self.blocks.last().is_none_or(|block| block.len() == BLOCK) {
            if self.blocks.len() * BLOCK >= self.rows_max {
                return None;
            }
            self.blocks.push(Vec::with_capacity(BLOCK));
        }
        let before = self.blocks.len().saturating_sub(1) * BLOCK;
        let block = self.blocks.last_mut()?;
        block.push(Slot { row: None, hash: 0, mark: 0 });
        u32::try_from(before + block.len() - 1).ok()
    }

    pub(crate) fn remove(&mut self, key: u128) -> Option<R> {
        let slot = self.index.remove(key, |s| row_in(&self.blocks, s).map(Row::key))?;
        let (block, at) = split(slot);
        let place = self.blocks.get_mut(block)?.get_mut(at)?;
        let row = place.row.take()?;
        self.digest.remove(place.hash);
        self.free.push(slot);
        Some(row)
    }

    /// Up to `limit` rows (at least one) from slot `cursor` on, and where to go on.
    pub(crate) fn page(&self, cursor: u64, limit: usize) -> (Vec<&R>, Option<u64>) {
        let mut rows = Vec::new();
        let mut slot = u32::try_from(cursor).unwrap_or(u32::MAX);
        let end = self.end();
        while slot < end && rows.len() < limit.max(1) {
            rows.extend(row_in(&self.blocks, slot));
            slot += 1;
        }
        (rows, (slot < end).then_some(u64::from(slot)))
    }

    /// Behind the last slot ever used.
    pub(crate) fn end(&self) -> u32 {
        let last = self.blocks.last().map_or(0, Vec::len);
        u32::try_from(self.blocks.len().saturating_sub(1) * BLOCK + last).unwrap_or(u32::MAX)
    }

    /// Takes out the rows in slots `from..from + limit` that `gone` names; returns them and where to go on.
    pub(crate) fn take_if(&mut self, from: u32, limit: usize, gone: impl Fn(&R) -> bool) -> (Vec<R>, Option<u32>) {
        let end = self.end();
        let stop = from.saturating_add(u32::try_from(limit).unwrap_or(u32::MAX)).min(end);
        let keys: Vec<u128> =
            (from..stop).filter_map(|s| row_in(&self.blocks, s)).filter(|row| gone(row)).map(Row::key).collect();
        let rows = keys.into_iter().filter_map(|key| self.remove(key)).collect();
        (rows, (stop < end).then_some(stop))
    }

    /// Gives back the last blocks if nothing is in them. Only for a copy that is being emptied from its end.
    pub(crate) fn shorten(&mut self) {
        while self.blocks.last().is_some_and(|block| block.iter().all(|slot| slot.row.is_none())) {
            self.blocks.pop();
        }
        let end = self.end();
        self.free.retain(|slot| *slot < end);
    }

    /// A snapshot begins: what is not confirmed from here on goes at its end.
    pub(crate) fn begin_generation(&mut self) {
        if self.generation == u8::MAX {
            self.blocks.iter_mut().flatten().for_each(|slot| slot.mark = 0);
            self.generation = 0;
        }
        self.generation += 1;
    }

    /// The row with this key, if it is there, is as new as the snapshot.
    pub(crate) fn confirm(&mut self, key: u128) {
        let Some((block, at)) = self.find(key).map(split) else { return };
        if let Some(slot) = self.blocks.get_mut(block).and_then(|block| block.get_mut(at)) {
            slot.mark = self.generation;
        }
    }

    /// The snapshot is complete: takes out every row that was not confirmed since it began.
    pub(crate) fn sweep(&mut self) -> Vec<Change<R>> {
        let generation = self.generation;
        let old = |slot: &Slot<R>| slot.row.as_ref().filter(|_| slot.mark != generation).map(Row::key);
        let keys: Vec<u128> = self.blocks.iter().flatten().filter_map(old).collect();
        keys.into_iter().filter_map(|key| self.remove(key)).map(Change::removal).collect()
    }

    /// The keys in it, for tests.
    #[cfg(test)]
    pub(crate) fn keys(&self) -> BTreeSet<u128> {
        self.page(0, usize::MAX).0.into_iter().map(Row::key).collect()
    }
}

#[cfg(test)]
mod tests;
