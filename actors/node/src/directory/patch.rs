//! What has changed since the base was made, in pieces: a further change copies the pieces it touches and shares the others, so it costs the
//! same however many devices there are.

use super::Entry;
use crate::locator::{Alias, DeviceIndex};
use std::collections::BTreeMap;
use std::sync::Arc;
use tandem_base::DeviceKey;
use tandem_model::config::DeviceKind;
use tandem_sip::digest::Stored;

/// Pieces per map.
const PIECES: usize = 256;

/// A device as it is now.
#[derive(Debug)]
pub(super) struct Patched {
    pub(super) name: Box<str>,
    pub(super) user: Box<str>,
    pub(super) lines: Box<[Box<str>]>,
    pub(super) kind: DeviceKind,
    pub(super) pool: u16,
    pub(super) stored: Stored,
}

impl Patched {
    pub(super) fn new(entry: &Entry<'_>) -> Self {
        Self {
            name: Box::from(entry.name),
            user: Box::from(entry.user),
            lines: entry.lines.clone().map(Box::from).collect(),
            kind: entry.kind,
            pool: entry.pool,
            stored: entry.stored,
        }
    }
}

/// Who has a name, digest user or number now; several only have a number.
type Holders = Box<[DeviceIndex]>;
type Piece<K, V> = Arc<BTreeMap<K, V>>;

/// See the module.
#[derive(Clone)]
pub(super) struct Patch {
    /// None: it is gone.
    devices: Vec<Piece<u32, Option<Arc<Patched>>>>,
    names: Vec<Piece<DeviceKey, Holders>>,
    len: usize,
    bound: u32,
}

impl Default for Patch {
    fn default() -> Self {
        Self { devices: vec![Arc::default(); PIECES], names: vec![Arc::default(); PIECES], len: 0, bound: 0 }
    }
}

fn piece_of_device(index: u32) -> usize {
    index as usize % PIECES
}
fn piece_of_name(key: DeviceKey) -> usize {
    (key.0 as usize) % PIECES
}

impl Patch {
    /// Devices in it, those that are gone included.
    pub(super) const fn len(&self) -> usize {
        self.len
    }
    /// Numbers of its devices are below this.
    pub(super) const fn bound(&self) -> u32 {
        self.bound
    }
    /// `None`: ask the base. `Some(None)`: it is gone.
    pub(super) fn device(&self, device: DeviceIndex) -> Option<Option<&Patched>> {
        self.devices.get(piece_of_device(device.0))?.get(&device.0).map(|held| held.as_deref())
    }
    /// `None`: ask the base.
    pub(super) fn holders(&self, key: DeviceKey) -> Option<&[DeviceIndex]> {
        self.names.get(piece_of_name(key))?.get(&key).map(|holders| &**holders)
    }
    /// `None`: ask the base. `Some(None)`: nobody has it.
    pub(super) fn alias(&self, key: DeviceKey) -> Option<Option<Alias>> {
        self.holders(key).map(|holders| match holders {
            [] => None,
            [one] => Some(Alias::Device(*one)),
            _ => Some(Alias::Shared),
        })
    }
    pub(super) fn set_device(&mut self, device: DeviceIndex, now: Option<Patched>) {
        let Some(piece) = self.devices.get_mut(piece_of_device(device.0)) else { return };
        if Arc::make_mut(piece).insert(device.0, now.map(Arc::new)).is_none() {
            self.len += 1;
        }
        self.bound = self.bound.max(device.0.saturating_add(1));
    }
    pub(super) fn set_holders(&mut self, key: DeviceKey, holders: Vec<DeviceIndex>) {
        if let Some(piece) = self.names.get_mut(piece_of_name(key)) {
            Arc::make_mut(piece).insert(key, holders.into_boxed_slice());
        }
    }
}
