//! A hash index of slot numbers: open addressing over `u32`, linear probing, no keys of its own. Six to twelve bytes a row instead of
//! the forty of a map from `u128`. Keys are hashes already, so their low bits choose the place. Only looked up, never iterated.

const EMPTY: u32 = u32::MAX;
const LEAST: usize = 16;

/// Slot numbers by key. The keys live in the slots: every call gets a closure that reads the key of a slot.
#[derive(Clone, Debug, Default)]
pub(crate) struct Index {
    /// Length is zero or a power of two.
    places: Vec<u32>,
    used: usize,
}

impl Index {
    fn home(&self, key: u128) -> usize {
        // Both halves, so that keys that are not perfectly mixed still spread.
        let mixed = ((key as u64) ^ (key >> 64) as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        (mixed >> 32) as usize & self.mask()
    }
    fn mask(&self) -> usize {
        self.places.len().saturating_sub(1)
    }
    fn at(&self, place: usize) -> u32 {
        self.places.get(place).copied().unwrap_or(EMPTY)
    }
    fn set(&mut self, place: usize, slot: u32) {
        if let Some(p) = self.places.get_mut(place) {
            *p = slot;
        }
    }

    /// The place of this key: where its slot number stands, or the empty place where it would.
    fn place(&self, key: u128, key_of: &impl Fn(u32) -> Option<u128>) -> usize {
        let mut place = self.home(key);
        // Never full (see `insert`), so an empty place ends every probe.
        for _ in 0..self.places.len() {
            let slot = self.at(place);
            if slot == EMPTY || key_of(slot) == Some(key) {
                break;
            }
            place = (place + 1) & self.mask();
        }
        place
    }

    /// The slot of this key.
    pub(crate) fn get(&self, key: u128, key_of: impl Fn(u32) -> Option<u128>) -> Option<u32> {
        Some(self.at(self.place(key, &key_of))).filter(|slot| *slot != EMPTY)
    }

    /// Adds a key that is not in. The slot must already hold the key.
    pub(crate) fn insert(&mut self, key: u128, slot: u32, key_of: impl Fn(u32) -> Option<u128>) {
        if (self.used + 1) * 4 > self.places.len() * 3 {
            let doubled = (self.places.len() * 2).max(LEAST);
            let old = std::mem::replace(&mut self.places, vec![EMPTY; doubled]);
            for slot in old.into_iter().filter(|s| *s != EMPTY) {
                if let Some(key) = key_of(slot) {
                    let place = self.place(key, &key_of);
                    self.set(place, slot);
                }
            }
        }
        let place = self.place(key, &key_of);
        self.set(place, slot);
        self.used += 1;
    }

    /// Takes a key out; its slot must still hold it. Later entries of the same run move up, so no tombstones pile up.
    pub(crate) fn remove(&mut self, key: u128, key_of: impl Fn(u32) -> Option<u128>) -> Option<u32> {
        let mut hole = self.place(key, &key_of);
        let slot = self.at(hole);
        if slot == EMPTY {
            return None;
        }
        let mask = self.mask();
        let mut probe = hole;
        for _ in 0..self.places.len() {
            probe = (probe + 1) & mask;
            let moved = self.at(probe);
            if moved == EMPTY {
                break;
            }
            let home = key_of(moved).map_or(probe, |k| self.home(k));
            // `moved` may fill the hole unless its home lies (cyclically) behind the hole.
            if probe.wrapping_sub(home) & mask >= probe.wrapping_sub(hole) & mask {
                self.set(hole, moved);
                hole = probe;
            }
        }
        self.set(hole, EMPTY);
        self.used = self.used.saturating_sub(1);
        Some(slot)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    proptest! {
        /// Few distinct homes, so that runs collide, wrap and shrink.
        #[test]
        fn it_agrees_with_an_ordered_map(ops in prop::collection::vec((any::<bool>(), 0_u128..40), 1..400)) {
            let mut model = BTreeMap::new();
            let mut slots: Vec<Option<u128>> = Vec::new();
            let mut index = Index::default();
            for (put, key) in ops {
                let key = key << 60;
                if put && !model.contains_key(&key) {
                    slots.push(Some(key));
                    let slot = (slots.len() - 1) as u32;
                    index.insert(key, slot, |s| slots[s as usize]);
                    model.insert(key, slot);
                } else if !put {
                    prop_assert_eq!(index.remove(key, |s| slots[s as usize]), model.remove(&key));
                }
                for k in 0..40_u128 {
                    prop_assert_eq!(index.get(k << 60, |s| slots[s as usize]), model.get(&(k << 60)).copied());
                }
            }
        }
    }
}
