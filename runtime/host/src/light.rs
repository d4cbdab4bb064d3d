//! Small pieces for hosts of light actors (DESIGN section 6): a slab of slots, a lazy timer wheel, panic containment. They know no
//! device and no telephony.
//!
//! They must never walk all slots: what they cost follows from what is touched.

pub use crate::supervise::{Panicked, contain};

/// Slots per chunk of a [`Slab`]; growth copies no slot.
const CHUNK: usize = 4_096;
/// Buckets of a [`Wheel`], one second each.
pub const WHEEL_BUCKETS: u32 = 8_192;

/// A slot and which of its tenants is meant: a key to one that has left finds nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SlabKey {
    /// Number of the slot.
    pub slot: u32,
    /// Grows each time the slot is emptied.
    pub generation: u32,
}

/// Slots with stable numbers, reused, bounded. Values that have a niche (a reference, an `Arc`) cost no extra byte, and 4 bytes per slot
/// hold the generation.
#[derive(Debug)]
pub struct Slab<T> {
    chunks: Vec<Box<[Option<T>]>>,
    generations: Vec<u32>,
    free: Vec<u32>,
    len: usize,
    bound: usize,
}

impl<T> Slab<T> {
    /// For at most `bound` values; memory is taken as they come.
    pub const fn new(bound: usize) -> Self {
        Self { chunks: Vec::new(), generations: Vec::new(), free: Vec::new(), len: 0, bound }
    }
    /// Values in it.
    pub const fn len(&self) -> usize {
        self.len
    }
    /// Whether it holds nothing.
    pub const fn is_empty(&self) -> bool {
        self.len == 0
    }
    /// Slots ever used: every value's slot is below this.
    pub fn slots(&self) -> u32 {
        u32::try_from(self.generations.len()).unwrap_or(u32::MAX)
    }

    /// Puts a value into a free slot.
    ///
    /// # Errors
    /// Gives it back when the bound is reached.
    pub fn insert(&mut self, value: T) -> Result<SlabKey, T> {
        if self.len >= self.bound {
            return Err(value);
        }
        let slot = match self.free.pop() {
            Some(slot) => slot,
            None => {
                let Ok(slot) = u32::try_from(self.generations.len()) else { return Err(value) };
                if self.generations.len() == self.chunks.len() * CHUNK {
                    self.chunks.push(std::iter::repeat_with(|| None).take(CHUNK).collect());
                }
                self.generations.push(0);
                slot
            }
        };
        let Some(place) = self.place(slot) else { return Err(value) };
        *place = Some(value);
        self.len += 1;
        Ok(SlabKey { slot, generation: self.generation(slot) })
    }

    /// Takes the value out of its slot, which may then be reused.
    pub fn remove(&mut self, slot: u32) -> Option<T> {
        let value = self.place(slot)?.take()?;
        if let Some(generation) = self.generations.get_mut(slot as usize) {
            *generation = generation.wrapping_add(1);
        }
        self.free.push(slot);
        self.len -= 1;
        Some(value)
    }

    /// The value in this slot, whoever it is.
    pub fn get(&self, slot: u32) -> Option<&T> {
        self.chunks.get(slot as usize / CHUNK)?.get(slot as usize % CHUNK)?.as_ref()
    }
    /// As [`Slab::get`], to change it.
    pub fn get_mut(&mut self, slot: u32) -> Option<&mut T> {
        self.place(slot)?.as_mut()
    }
    /// The value, if it is still the one the key was given for.
    pub fn get_keyed(&self, key: SlabKey) -> Option<&T> {
        self.get(key.slot).filter(|_| self.generation(key.slot) == key.generation)
    }
    /// As [`Slab::get_keyed`], to change it.
    pub fn get_keyed_mut(&mut self, key: SlabKey) -> Option<&mut T> {
        if self.generation(key.slot) == key.generation { self.get_mut(key.slot) } else { None }
    }
    /// Generation of a slot: 0 for one that was never emptied.
    pub fn generation(&self, slot: u32) -> u32 {
        self.generations.get(slot as usize).copied().unwrap_or(0)
    }

    /// Values from slot `first` on, with their slots, ascending: for walks that go on later.
    pub fn iter_from(&self, first: u32) -> impl Iterator<Item = (u32, &T)> {
        (first..self.slots()).filter_map(|slot| Some((slot, self.get(slot)?)))
    }

    fn place(&mut self, slot: u32) -> Option<&mut Option<T>> {
        self.chunks.get_mut(slot as usize / CHUNK)?.get_mut(slot as usize % CHUNK)
    }
}

/// A lazy timer wheel over slot numbers, in seconds of the node's clock. A refresh touches it not at all: the owner writes its new
/// deadline, and the entry looks when it fires. 4 bytes per entry.
///
/// The owner remembers the second an entry is armed for (what [`Wheel::arm`] returned); an entry that fires for another second is a
/// leftover and is to be ignored.
#[derive(Debug)]
pub struct Wheel {
    buckets: Vec<Vec<u32>>,
    /// The second that is being fired: all earlier ones are done.
    now: u32,
    /// What is still to be fired of that second.
    rest: Vec<u32>,
    len: usize,
}

impl Wheel {
    /// A wheel whose time starts at second `now`: what is armed for that second or an earlier one fires in the next.
    pub fn new(now: u32) -> Self {
        Self { buckets: vec![Vec::new(); WHEEL_BUCKETS as usize], now, rest: Vec::new(), len: 0 }
    }
    /// Entries, leftovers included.
    pub const fn len(&self) -> usize {
        self.len
    }
    /// Whether nothing is armed.
    pub const fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Arms an entry for second `at` and returns when it will fire: `at`, the next second when that is past, or the far end of the wheel
    /// when that is beyond it (it must then be armed again).
    pub fn arm(&mut self, slot: u32, at: u32) -> u32 {
        let nearest = self.now.saturating_add(1);
        let at = at.clamp(nearest, self.now.saturating_add(WHEEL_BUCKETS - 1).max(nearest));
        if let Some(bucket) = self.buckets.get_mut((at % WHEEL_BUCKETS) as usize) {
            bucket.push(slot);
            self.len += 1;
        }
        at
    }

    /// Takes out the next entry that is due up to second `now`: its slot, and the second it was armed for. `None` when nothing more is due.
    /// The caller bounds its turn by how often it calls.
    pub fn pop_due(&mut self, now: u32) -> Option<(u32, u32)> {
        loop {
            if let Some(slot) = self.rest.pop() {
                self.len -= 1;
                return Some((slot, self.now));
            }
            if self.now >= now {
                return None;
            }
            if self.len == 0 {
                // Nothing armed: no need to step through silent seconds.
                self.now = now;
                return None;
            }
            self.now += 1;
            if let Some(bucket) = self.buckets.get_mut((self.now % WHEEL_BUCKETS) as usize) {
                // The memory of a bucket goes round with it instead of growing in each of 8,192 buckets.
                std::mem::swap(bucket, &mut self.rest);
            }
        }
    }
}

#[cfg(test)]
mod tests;
