//! Numbers for names, the same at every node of a process and through every change of the configuration.
//!
//! A number is never given twice: what is gone keeps its own, and has it again when it comes back. It must never be asked on the hot path.

use crate::locator::DeviceIndex;
use hashbrown::HashTable;
use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use tandem_base::{DeviceKey, DevicePoolName, GroupName, NodeName};

/// Most devices that a process can tell apart in its life: eight times as many as a cluster may have.
pub const DEVICES_TOLD_APART: u32 = 1 << 24;

/// Names of one kind, of which there are few.
#[derive(Clone)]
struct Few<N> {
    by: BTreeMap<N, u16>,
    all: Vec<N>,
}
impl<N: Ord + Clone> Few<N> {
    const fn new() -> Self {
        Self { by: BTreeMap::new(), all: Vec::new() }
    }
    fn number(&mut self, name: &N) -> Option<u16> {
        if let Some(number) = self.by.get(name) {
            return Some(*number);
        }
        // The last number means none.
        let number = u16::try_from(self.by.len()).ok().filter(|n| *n != u16::MAX)?;
        self.by.insert(name.clone(), number);
        self.all.push(name.clone());
        Some(number)
    }
}

struct Inner {
    /// Numbers of devices by the hash of their key; the keys stand in `keys`.
    devices: HashTable<u32>,
    keys: Vec<DeviceKey>,
    /// The number of the first of these.
    first: u32,
    groups: Few<GroupName>,
    pools: Few<DevicePoolName>,
    nodes: Few<NodeName>,
}

/// See the module. One per process.
pub struct Interner {
    inner: Mutex<Inner>,
}

impl Default for Interner {
    fn default() -> Self {
        let inner = Inner {
            devices: HashTable::new(),
            keys: Vec::new(),
            first: 0,
            groups: Few::new(),
            pools: Few::new(),
            nodes: Few::new(),
        };
        Self { inner: Mutex::new(inner) }
    }
}

/// Keys are hashes already: half of one is as good as all of it.
const fn hash(key: DeviceKey) -> u64 {
    (key.0 >> 64) as u64 ^ key.0 as u64
}

fn hasher(keys: &[DeviceKey], first: u32) -> impl Fn(&u32) -> u64 + '_ {
    move |n| keys.get(n.saturating_sub(first) as usize).map_or(0, |k| hash(*k))
}

impl Interner {
    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
    /// The number of a device, a new one for one that was never seen; `None` beyond [`DEVICES_TOLD_APART`].
    pub fn device(&self, key: DeviceKey) -> Option<DeviceIndex> {
        let mut inner = self.lock();
        let Inner { devices, keys, first, .. } = &mut *inner;
        let at = |n: &u32| keys.get(n.saturating_sub(*first) as usize);
        if let Some(number) = devices.find(hash(key), |n| at(n) == Some(&key)) {
            return Some(DeviceIndex(*number));
        }
        let number = u32::try_from(keys.len()).ok()?.checked_add(*first).filter(|n| *n < DEVICES_TOLD_APART)?;
        keys.push(key);
        devices.insert_unique(hash(key), number, hasher(keys, *first));
        Some(DeviceIndex(number))
    }
    /// Makes room for so many devices more.
    pub fn reserve(&self, devices: usize) {
        let mut inner = self.lock();
        let Inner { devices: table, keys, first, .. } = &mut *inner;
        keys.reserve(devices);
        table.reserve(devices, hasher(keys, *first));
    }
    /// One to try things with: it knows the same groups, pools and nodes, and gives other devices numbers that nobody has.
    pub fn trial(&self) -> Self {
        let inner = self.lock();
        let first = inner.first.saturating_add(u32::try_from(inner.keys.len()).unwrap_or(u32::MAX));
        let (groups, pools, nodes) = (inner.groups.clone(), inner.pools.clone(), inner.nodes.clone());
        Self { inner: Mutex::new(Inner { devices: HashTable::new(), keys: Vec::new(), first, groups, pools, nodes }) }
    }
    /// How many devices have a number.
    pub fn devices(&self) -> usize {
        self.lock().keys.len()
    }
    /// All groups that have a number, by it.
    pub fn groups(&self) -> Vec<GroupName> {
        self.lock().groups.all.clone()
    }
    /// All pools that have a number, by it.
    pub fn pools(&self) -> Vec<DevicePoolName> {
        self.lock().pools.all.clone()
    }
    /// All nodes that have a number, by it.
    pub fn nodes(&self) -> Vec<NodeName> {
        self.lock().nodes.all.clone()
    }
    /// The number of a group; `None` when there are no more.
    pub fn group(&self, name: &GroupName) -> Option<u16> {
        self.lock().groups.number(name)
    }
    /// The number of a pool; `None` when there are no more.
    pub fn pool(&self, name: &DevicePoolName) -> Option<u16> {
        self.lock().pools.number(name)
    }
    /// The number of a node; `None` when there are no more.
    pub fn node(&self, name: &NodeName) -> Option<u16> {
        self.lock().nodes.number(name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tandem_model::row::device_key_of;

    #[test]
    fn a_name_has_one_number_for_ever() {
        let interner = Interner::default();
        interner.reserve(10);
        let numbers: Vec<_> =
            (0..5_000).map(|n| interner.device(device_key_of(&format!("SEP{n}"))).unwrap().0).collect();
        assert_eq!(numbers, (0..5_000).collect::<Vec<_>>());
        assert_eq!(interner.device(device_key_of("SEP77")), Some(DeviceIndex(77)));
        let pool = |n: &str| interner.pool(&DevicePoolName::new(n).unwrap());
        assert_eq!([pool("A"), pool("B"), pool("A")], [Some(0), Some(1), Some(0)]);
    }

    #[test]
    fn what_is_tried_leaves_no_trace() {
        let interner = Interner::default();
        let key = |n: &str| device_key_of(n);
        interner.device(key("A"));
        interner.group(&GroupName::new("G").unwrap());
        let trial = interner.trial();
        assert_eq!(trial.device(key("B")), Some(DeviceIndex(1)));
        assert_eq!((trial.device(key("C")), trial.device(key("B"))), (Some(DeviceIndex(2)), Some(DeviceIndex(1))));
        assert_eq!(trial.group(&GroupName::new("H").unwrap()), Some(1));
        assert_eq!((interner.device(key("C")), interner.groups().len()), (Some(DeviceIndex(1)), 1));
    }

    #[test]
    fn the_last_number_of_the_few_is_given_to_nobody() {
        let interner = Interner::default();
        for n in 0..u32::from(u16::MAX) {
            assert_eq!(interner.group(&GroupName::new(&format!("G{n}")).unwrap()).map(u32::from), Some(n));
        }
        assert_eq!(interner.group(&GroupName::new("G-one-more").unwrap()), None);
        assert_eq!(interner.group(&GroupName::new("G0").unwrap()), Some(0));
    }
}
