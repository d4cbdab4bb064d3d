//! A hash index of slot numbers: open addressing, linear probing, no keys of its own, only 32 bits of each: a row is not touched before it
//! is the one, and moving entries touches none. Eleven to twenty-two bytes a row instead of the forty of a map from `u128`. Only looked
//! up, never iterated.

const EMPTY: u32 = u32::MAX;
const LEAST: usize = 16;

/// Slot numbers by key. The keys live in the slots: whoever looks up brings a closure that reads the key of a slot.
#[derive(Clone, Debug, Default)]
pub(crate) struct Index {
    /// Length is zero or a power of two.
    places: Vec<Place>,
    used: usize,
}

#[derive(Clone, Copy, Debug)]
struct Place {
    /// Bits of the key; the lowest of them say where the entry would like to be.
    tag: u32,
    slot: u32,
}

const VACANT: Place = Place { tag: 0, slot: EMPTY };

/// Both halves of a key, so that keys that are not perfectly mixed still spread.
fn tag(key: u128) -> u32 {
    let mixed = ((key as u64) ^ (key >> 64) as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    (mixed >> 32) as u32
}

impl Index {
    fn mask(&self) -> usize {
        self.places.len().saturating_sub(1)
    }
    fn home(&self, tag: u32) -> usize {
        tag as usize & self.mask()
    }
    fn at(&self, place: usize) -> Place {
        self.places.get(place).copied().unwrap_or(VACANT)
    }
    fn set(&mut self, place: usize, entry: Place) {
        if let Some(p) = self.places.get_mut(place) {
            *p = entry;
        }
    }

    /// The first place from the tag's home on that is empty or holds a slot that `is_it`.
    fn place(&self, tag: u32, is_it: impl Fn(u32) -> bool) -> usize {
        let mut place = self.home(tag);
        // Never full (see `insert`), so an empty place ends every probe.
        for _ in 0..self.places.len() {
            let found = self.at(place);
            if found.slot == EMPTY || (found.tag == tag && is_it(found.slot)) {
                break;
            }
            place = (place + 1) & self.mask();
        }
        place
    }

    /// The slot of this key.
    pub(crate) fn get(&self, key: u128, key_of: impl Fn(u32) -> Option<u128>) -> Option<u32> {
        let place = self.place(tag(key), |slot| key_of(slot) == Some(key));
        Some(self.at(place).slot).filter(|slot| *slot != EMPTY)
    }

    /// The slot that this key almost surely has, if it has one: only the slot can tell, and it is not looked at.
    pub(crate) fn guess(&self, key: u128) -> Option<u32> {
        Some(self.at(self.place(tag(key), |_| true)).slot).filter(|slot| *slot != EMPTY)
    }

    /// Adds a key that is not in.
    pub(crate) fn insert(&mut self, key: u128, slot: u32) {
        if (self.used + 1) * 4 > self.places.len() * 3 {
            let doubled = (self.places.len() * 2).max(LEAST);
            let old = std::mem::replace(&mut self.places, vec![VACANT; doubled]);
            for entry in old.into_iter().filter(|p| p.slot != EMPTY) {
                let place = self.place(entry.tag, |_| false);
                self.set(place, entry);
            }
        }
        let tag = tag(key);
        let place = self.place(tag, |_| false);
        self.set(place, Place { tag, slot });
        self.used += 1;
    }

    /// Takes a key out. Later entries of the same run move up, so no tombstones pile up.
    pub(crate) fn remove(&mut self, key: u128, key_of: impl Fn(u32) -> Option<u128>) -> Option<u32> {
        let mut hole = self.place(tag(key), |slot| key_of(slot) == Some(key));
        let slot = self.at(hole).slot;
        if slot == EMPTY {
            return None;
        }
        let mask = self.mask();
        let mut probe = hole;
        for _ in 0..self.places.len() {
            probe = (probe + 1) & mask;
            let moved = self.at(probe);
            if moved.slot == EMPTY {
                break;
            }
            let home = self.home(moved.tag);
            // `moved` may fill the hole unless its home lies (cyclically) behind the hole.
            if probe.wrapping_sub(home) & mask >= probe.wrapping_sub(hole) & mask {
                self.set(hole, moved);
                hole = probe;
            }
        }
        self.set(hole, VACANT);
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
                    index.insert(key, slot);
                    model.insert(key, slot);
                } else if !put {
                    prop_assert_eq!(index.remove(key, |s| slots[s as usize]), model.remove(&key));
                }
                for k in 0..40_u128 {
                    prop_assert_eq!(index.get(k << 60, |s| slots[s as usize]), model.get(&(k << 60)).copied());
                    prop_assert!(index.guess(k << 60).is_some() || !model.contains_key(&(k << 60)));
                }
            }
        }
    }
}
