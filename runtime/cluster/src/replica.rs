//! The rows of one life of one owner: a slab in blocks, a hash index of slot numbers, the digest. It holds what it was given and
//! knows nothing of frames, time or peers.

use crate::digest::Digest;
use crate::index::Index;
use crate::row::{Op, Row};
#[cfg(test)]
use std::collections::BTreeSet;

/// Rows per block: the slab grows by blocks, so it never copies itself and wastes at most one block.
const BLOCK: usize = 512;

/// A set of rows by key.
#[derive(Clone, Debug)]
pub(crate) struct Replica<R> {
    blocks: Vec<Block<R>>,
    free: Vec<u32>,
    index: Index,
    digest: Digest,
    generation: u8,
    rows_max: usize,
    scratch: Vec<u8>,
}

#[derive(Clone, Debug)]
struct Block<R> {
    rows: Vec<Option<R>>,
    /// Per row: its hash, kept so that a row that is replaced need not be read again.
    hashes: Vec<u64>,
    /// Per row: in which generation it was last confirmed. A snapshot begins a new one and sweeps the older ones at its end.
    marks: Vec<u8>,
}

/// What [`Replica::apply`] did.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Applied<R> {
    /// Done; what was there before.
    Done(Option<R>),
    /// The bound on rows is reached: not taken.
    Full,
}

fn split(slot: u32) -> (usize, usize) {
    let slot = slot as usize;
    (slot / BLOCK, slot % BLOCK)
}

fn row_in<R>(blocks: &[Block<R>], slot: u32) -> Option<&R> {
    let (block, at) = split(slot);
    blocks.get(block)?.rows.get(at)?.as_ref()
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

    /// Looks for rows that are about to change, all before the first of them does: memory is waited for once instead of once per row.
    pub(crate) fn read_ahead(&self, keys: impl Iterator<Item = u128>) {
        std::hint::black_box(keys.filter_map(|key| self.find(key)).fold(0, |seen, slot| seen ^ slot));
    }

    /// Carries out one change and marks the row as confirmed.
    pub(crate) fn apply(&mut self, op: Op<R>) -> Applied<R> {
        match op {
            Op::Put(row) => self.put(row),
            Op::Remove { key } => Applied::Done(self.remove(key)),
        }
    }

    fn put(&mut self, row: R) -> Applied<R> {
        let key = row.key();
        let known = self.find(key);
        let Some(slot) = known.or_else(|| self.vacant()) else {
            return Applied::Full;
        };
        let hash = row.hash_with(&mut self.scratch);
        self.digest.add(hash);
        let (block, at) = split(slot);
        let generation = self.generation;
        let (mut previous, mut previous_hash) = (None, 0);
        if let Some(block) = self.blocks.get_mut(block) {
            if let Some(mark) = block.marks.get_mut(at) {
                *mark = generation;
            }
            previous_hash = block.hashes.get_mut(at).map_or(0, |place| std::mem::replace(place, hash));
            previous = block.rows.get_mut(at).and_then(|place| place.replace(row));
        }
        match &previous {
            Some(_) => self.digest.remove(previous_hash),
            None => self.index.insert(key, slot, |s| row_in(&self.blocks, s).map(Row::key)),
        }
        Applied::Done(previous)
    }

    /// A free slot, from the free list or a new block.
    fn vacant(&mut self) -> Option<u32> {
        if let Some(slot) = self.free.pop() {
            return Some(slot);
        }
        if self.blocks.last().is_none_or(|block| block.rows.len() == BLOCK) {
            if self.blocks.len() * BLOCK >= self.rows_max {
                return None;
            }
            self.blocks.push(Block {
                rows: Vec::with_capacity(BLOCK),
                hashes: Vec::with_capacity(BLOCK),
                marks: Vec::with_capacity(BLOCK),
            });
        }
        let before = self.blocks.len().saturating_sub(1) * BLOCK;
        let block = self.blocks.last_mut()?;
        block.rows.push(None);
        block.hashes.push(0);
        block.marks.push(0);
        u32::try_from(before + block.rows.len() - 1).ok()
    }

    pub(crate) fn remove(&mut self, key: u128) -> Option<R> {
        let slot = self.index.remove(key, |s| row_in(&self.blocks, s).map(Row::key))?;
        let (block, at) = split(slot);
        let block = self.blocks.get_mut(block)?;
        let row = block.rows.get_mut(at)?.take()?;
        self.digest.remove(block.hashes.get(at).copied().unwrap_or_default());
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
        let last = self.blocks.last().map_or(0, |block| block.rows.len());
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
        while self.blocks.last().is_some_and(|block| block.rows.iter().all(Option::is_none)) {
            self.blocks.pop();
        }
        let end = self.end();
        self.free.retain(|slot| *slot < end);
    }

    /// A snapshot begins: what is not confirmed from here on goes at its end.
    pub(crate) fn begin_generation(&mut self) {
        if self.generation == u8::MAX {
            self.blocks.iter_mut().for_each(|block| block.marks.fill(0));
            self.generation = 0;
        }
        self.generation += 1;
    }

    /// The row with this key, if it is there, is as new as the snapshot.
    pub(crate) fn confirm(&mut self, key: u128) {
        let Some((block, at)) = self.find(key).map(split) else { return };
        if let Some(mark) = self.blocks.get_mut(block).and_then(|block| block.marks.get_mut(at)) {
            *mark = self.generation;
        }
    }

    /// The snapshot is complete: takes out every row that was not confirmed since it began.
    pub(crate) fn sweep(&mut self) -> Vec<R> {
        let generation = self.generation;
        let old = |(row, mark): (&Option<R>, &u8)| row.as_ref().filter(|_| *mark != generation).map(Row::key);
        let keys: Vec<u128> =
            self.blocks.iter().flat_map(|block| block.rows.iter().zip(&block.marks)).filter_map(old).collect();
        keys.into_iter().filter_map(|key| self.remove(key)).collect()
    }

    /// The keys in it, for tests.
    #[cfg(test)]
    pub(crate) fn keys(&self) -> BTreeSet<u128> {
        self.page(0, usize::MAX).0.into_iter().map(Row::key).collect()
    }
}

#[cfg(test)]
mod tests;
