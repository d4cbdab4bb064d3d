//! The location table: name or number to device, device to where it is served. The one place that touches a DashMap.
//!
//! Every method copies its value out before it returns and none iterates: a guard held across an insert, an iteration or an await
//! deadlocks. Keys are 128-bit hashes, so no text is stored or compared (two texts collide once in 2^128). The hash needs no secret key:
//! only the configuration inserts, and whoever forges a look-up still has to pass the gate as the device found.

#![expect(clippy::disallowed_types, reason = "this is the wrapper that the ban on DashMap points to")]

use crate::directory::DEVICES_TOLD_APART;
use dashmap::{DashMap, Entry, ReadOnlyView};
use std::hash::{BuildHasherDefault, Hasher};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};
use tandem_base::{DeviceKey, Incarnation, Stamp};
use tandem_model::row::{RegistrationRow, device_key_of};
use tandem_sip::nonce::NcWindow;

/// A device by its number; means the same on every node of a process, in every directory.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct DeviceIndex(pub u32);

/// What a name or number stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Alias {
    /// Exactly one device.
    Device(DeviceIndex),
    /// A directory number on several devices (a shared line): the credentials tell which one it is.
    Shared,
}

/// The keys are already hashes: take eight of their bytes as they are.
#[derive(Default)]
pub struct Passthrough(u64);
impl Hasher for Passthrough {
    fn finish(&self) -> u64 {
        self.0
    }
    fn write(&mut self, _: &[u8]) {}
    fn write_u128(&mut self, n: u128) {
        self.0 = (n >> 64) as u64 ^ n as u64;
    }
    fn write_u32(&mut self, n: u32) {
        // Device indexes are dense: spread them over shards (upper bits) and buckets (lower bits).
        self.0 = u64::from(n).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    }
    fn write_usize(&mut self, _: usize) {}
}

const SHARED: u32 = u32::MAX;
const SHARDS: usize = 64;

/// Names, digest users and directory numbers while they are being gathered.
pub struct Names {
    table: DashMap<DeviceKey, u32, BuildHasherDefault<Passthrough>>,
}

impl Names {
    /// An empty table with room for `capacity` names.
    pub fn new(capacity: usize) -> Self {
        let table = DashMap::with_capacity_and_hasher_and_shard_amount(capacity, BuildHasherDefault::default(), SHARDS);
        Self { table }
    }
    /// Adds a name of a device; a name that another device has too becomes shared, and this says so.
    pub fn add(&self, text: &str, device: DeviceIndex) -> bool {
        let key = device_key_of(text);
        let held = self.table.get(&key).map(|v| *v);
        match held {
            None => {
                self.table.insert(key, device.0);
                false
            }
            Some(index) if index == device.0 => false,
            Some(_) => {
                self.table.insert(key, SHARED);
                true
            }
        }
    }
    /// From now on nothing is added, so nobody who looks up takes a lock.
    pub fn freeze(self) -> Aliases {
        Aliases { table: self.table.into_read_only() }
    }
}

/// Names, digest users and directory numbers of many devices: a table that never changes.
pub struct Aliases {
    table: ReadOnlyView<DeviceKey, u32, BuildHasherDefault<Passthrough>>,
}

impl Aliases {
    /// What a name or number stands for.
    pub fn find(&self, key: DeviceKey) -> Option<Alias> {
        let index = *self.table.get(&key)?;
        Some(if index == SHARED { Alias::Shared } else { Alias::Device(DeviceIndex(index)) })
    }
    /// How many names are known.
    pub fn len(&self) -> usize {
        self.table.len()
    }
    /// Whether no name is known.
    pub fn is_empty(&self) -> bool {
        self.table.is_empty()
    }
}

/// What a node knows of a device that another node serves (or served last): enough to judge the next REGISTER here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Elsewhere {
    /// Stamp of the newest registration known.
    pub stamp: Stamp,
    /// Call-ID hash and CSeq of it: a replay at another node is out of order here too.
    pub call_id: u64,
    /// See `call_id`.
    pub cseq: u32,
    /// Last accepted nonce: time, id, highest nc.
    pub nonce: [u32; 3],
    /// The owner, as an index into the directory's node list.
    pub owner: u16,
    /// Which of its lives.
    pub incarnation: Incarnation,
}

impl Elsewhere {
    /// From a row of node number `owner`.
    pub fn of(owner: u16, incarnation: Incarnation, row: &RegistrationRow) -> Self {
        let nonce = row.nonce.into();
        Self { stamp: row.stamp, call_id: row.call_id, cseq: row.cseq, nonce, owner, incarnation }
    }
    /// What is known of the nonces the device used: every count up to the highest is used.
    pub fn nonces(&self) -> NcWindow {
        let [time, id, nc] = self.nonce;
        NcWindow::taken_over(time, id, nc)
    }
}

const NOT_HERE: u32 = u32::MAX;

/// Devices per piece of the table of those that are here.
const PIECE: usize = 1 << 16;
const PIECES: usize = DEVICES_TOLD_APART as usize / PIECE;

type Piece = Box<[AtomicU32]>;

/// One node's table of where devices are: here (slot), or elsewhere.
pub struct Locator {
    /// Made piece by piece as devices come to be known, so that whoever looks takes no lock.
    here: Box<[OnceLock<Piece>]>,
    elsewhere: DashMap<u32, Elsewhere, BuildHasherDefault<Passthrough>>,
}

fn piece() -> Piece {
    (0..PIECE).map(|_| AtomicU32::new(NOT_HERE)).collect()
}

impl Locator {
    /// With room for devices whose numbers are below `bound`; others get theirs when they are first registered here.
    pub fn new(bound: u32) -> Self {
        let here: Box<[OnceLock<Piece>]> = (0..PIECES).map(|_| OnceLock::new()).collect();
        here.iter().take((bound as usize).div_ceil(PIECE)).for_each(|place| _ = place.set(piece()));
        let elsewhere = DashMap::with_capacity_and_hasher_and_shard_amount(0, BuildHasherDefault::default(), SHARDS);
        Self { here, elsewhere }
    }
    /// The slot of a device that is registered here.
    pub fn slot(&self, device: DeviceIndex) -> Option<u32> {
        let piece = self.here.get(device.0 as usize / PIECE)?.get()?;
        let slot = piece.get(device.0 as usize % PIECE)?.load(Ordering::Relaxed);
        (slot != NOT_HERE).then_some(slot)
    }
    /// Notes that a device is (`Some`) or is no more (`None`) registered here. Only the device host calls it.
    pub fn set_slot(&self, device: DeviceIndex, slot: Option<u32>) {
        let Some(place) = self.here.get(device.0 as usize / PIECE) else { return };
        if let Some(place) = place.get_or_init(piece).get(device.0 as usize % PIECE) {
            place.store(slot.unwrap_or(NOT_HERE), Ordering::Relaxed);
        }
    }
    /// What is known of a device's registration at another node.
    pub fn elsewhere(&self, device: DeviceIndex) -> Option<Elsewhere> {
        self.elsewhere.get(&device.0).map(|v| *v)
    }
    /// Notes a registration at another node unless `stays` says that what is known there of the device is to stay. Returns what was known.
    pub fn replace_elsewhere(
        &self,
        device: DeviceIndex,
        place: Elsewhere,
        stays: impl FnOnce(&Elsewhere) -> bool,
    ) -> Option<Elsewhere> {
        match self.elsewhere.entry(device.0) {
            Entry::Vacant(vacant) => {
                vacant.insert(place);
                None
            }
            Entry::Occupied(mut held) => {
                let known = *held.get();
                if !stays(&known) {
                    held.insert(place);
                }
                Some(known)
            }
        }
    }
    /// Notes or forgets a registration at another node. Only the CallManager calls it.
    pub fn set_elsewhere(&self, device: DeviceIndex, place: Option<Elsewhere>) {
        match place {
            Some(place) => {
                self.elsewhere.insert(device.0, place);
            }
            None => {
                self.elsewhere.remove(&device.0);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_on_two_devices_is_shared_and_a_repeated_name_is_not() {
        let names = Names::new(8);
        assert!(!names.add("1001", DeviceIndex(0)) && !names.add("1001", DeviceIndex(0)));
        assert!(!names.add("1002", DeviceIndex(0)) && names.add("1002", DeviceIndex(1)));
        let aliases = names.freeze();
        assert_eq!(aliases.find(device_key_of("1001")), Some(Alias::Device(DeviceIndex(0))));
        assert_eq!(aliases.find(device_key_of("1002")), Some(Alias::Shared));
        assert_eq!((aliases.find(device_key_of("1003")), aliases.len()), (None, 2));
    }

    #[test]
    fn a_device_has_at_most_one_slot_here() {
        let locator = Locator::new(2);
        locator.set_slot(DeviceIndex(1), Some(7));
        assert_eq!((locator.slot(DeviceIndex(1)), locator.slot(DeviceIndex(0))), (Some(7), None));
        locator.set_slot(DeviceIndex(1), None);
        assert_eq!(locator.slot(DeviceIndex(1)), None);
        assert_eq!(locator.slot(DeviceIndex(9)), None, "nobody has registered with this number");
        assert_eq!(locator.slot(DeviceIndex(u32::MAX)), None, "nor can anybody");
        locator.set_slot(DeviceIndex(u32::MAX), Some(1));
    }

    #[test]
    fn a_registration_elsewhere_replaces_what_is_known_unless_that_stays() {
        let locator = Locator::new(1);
        let at = |owner, stamp| {
            Elsewhere::of(owner, Incarnation(1), &RegistrationRow { stamp: Stamp(stamp), ..RegistrationRow::default() })
        };
        let newer = |than: u64| move |known: &Elsewhere| known.stamp.0 > than;
        assert_eq!(locator.replace_elsewhere(DeviceIndex(0), at(1, 5), newer(5)), None);
        assert_eq!(locator.replace_elsewhere(DeviceIndex(0), at(2, 4), newer(4)), Some(at(1, 5)));
        assert_eq!(locator.elsewhere(DeviceIndex(0)), Some(at(1, 5)));
        assert_eq!(locator.replace_elsewhere(DeviceIndex(0), at(2, 6), newer(6)), Some(at(1, 5)));
        assert_eq!(locator.elsewhere(DeviceIndex(0)), Some(at(2, 6)));
    }

    #[test]
    fn the_table_grows_while_others_look() {
        let locator = Locator::new(2);
        let far = DeviceIndex(DEVICES_TOLD_APART - 1);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                locator.set_slot(DeviceIndex(70_000), Some(1));
                locator.set_slot(far, Some(2));
            });
            while locator.slot(far).is_none() {
                std::hint::spin_loop();
            }
            assert_eq!((locator.slot(far), locator.slot(DeviceIndex(70_000))), (Some(2), Some(1)));
        });
        assert_eq!(locator.slot(DeviceIndex(140_000)), None);
    }
}
