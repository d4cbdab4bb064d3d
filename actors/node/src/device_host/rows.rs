//! Gathers the rows that this node owns and hands them to the CallManager: 256 at a time, or at the end of a turn after 5 ms.
//!
//! Keeps the digest of the own set: the hash of the row last written stands in each slot. It must never walk the devices except for
//! a snapshot, and then only a chunk at a time.

use crate::device::Device;
use crate::registration::Entry;
use std::collections::BTreeMap;
use std::sync::Arc;
use tandem_base::{DeviceKey, Time};
use tandem_cluster::{Digest, Op, OwnRows};
use tandem_host::ticker::Waiting;
use tandem_model::row::{LaterRow, RegistrationRow, TableRow};
use tandem_model::timings::{FLUSH_AFTER, FLUSH_ROWS};

/// Rows on their way to the CallManager.
pub(crate) struct Rows {
    ops: Vec<Op<Entry>>,
    taken: Vec<DeviceKey>,
    first: Time,
    digest: Digest,
    scratch: Vec<u8>,
    /// What a later version says more of registrations that this node took over from an earlier life: kept while they stand.
    extensions: BTreeMap<DeviceKey, Box<[u8]>>,
    /// Set while rows wait: the node's ticker flushes them when traffic stops.
    waiting: Waiting,
}

/// A full batch, and the devices in it that were not registered here before: their orphaned rows are taken over.
#[derive(Debug)]
pub struct Batch {
    /// The changes and the digest after them.
    pub rows: OwnRows<Entry>,
    /// See the type.
    pub taken: Vec<DeviceKey>,
}

impl Rows {
    /// An empty own set; `waiting` is shared with the ticker.
    pub(crate) fn new(waiting: Waiting) -> Self {
        Self {
            ops: Vec::with_capacity(FLUSH_ROWS),
            taken: Vec::new(),
            first: Time::ZERO,
            digest: Digest::default(),
            scratch: Vec::with_capacity(512),
            extensions: BTreeMap::new(),
            waiting,
        }
    }
    /// The row of a device as it stands.
    pub(crate) fn row(&self, device: &Device) -> RegistrationRow {
        RegistrationRow {
            device: device.key,
            stamp: device.stamp,
            since: device.since,
            expires: u64::from(device.expires_at),
            rank: device.rank,
            transport: device.transport(),
            source: device.peer.addr,
            contact: Arc::clone(&device.contact),
            path: device.path.clone(),
            call_id: device.call_id,
            cseq: device.cseq,
            nonce: device.last_nonce(),
            reason: device.reason,
            extensions: self.extensions_of(device.key),
        }
    }
    fn extensions_of(&self, device: DeviceKey) -> Box<[u8]> {
        if self.extensions.is_empty() {
            return Box::default();
        }
        self.extensions.get(&device).cloned().unwrap_or_default()
    }
    /// A registration is taken over that says more than this version knows.
    pub(crate) fn keep_extensions(&mut self, row: &RegistrationRow) {
        if !row.extensions.is_empty() {
            self.extensions.insert(row.device, row.extensions.clone());
        }
    }
    /// Writes the row of a device; `new` when it was not registered here before.
    pub(crate) fn put(&mut self, now: Time, device: &mut Device, new: bool) {
        let row = self.row(device);
        self.scratch.clear();
        let hash = row.hash_with(&mut self.scratch);
        if !new {
            self.digest.remove(device.row_hash);
        } else {
            self.taken.push(row.device);
        }
        self.digest.add(hash);
        device.row_hash = hash;
        self.push(now, Op::Put(Entry(TableRow::Registration(row))));
    }
    /// Writes that a device is no longer here.
    pub(crate) fn remove(&mut self, now: Time, device: &Device) {
        self.digest.remove(device.row_hash);
        if !self.extensions.is_empty() {
            self.extensions.remove(&device.key);
        }
        self.push(now, Op::Remove { key: device.key.0 });
    }
    /// Writes a row of a table that is not known here.
    pub(crate) fn put_later(&mut self, now: Time, row: LaterRow) {
        let row = TableRow::Later(row);
        self.digest.add(row.hash());
        self.push(now, Op::Put(Entry(row)));
    }
    /// Writes that one has gone.
    pub(crate) fn remove_later(&mut self, now: Time, row: LaterRow) {
        let row = TableRow::Later(row);
        self.digest.remove(row.hash());
        self.push(now, Op::Remove { key: row.key() });
    }
    fn push(&mut self, now: Time, op: Op<Entry>) {
        if self.ops.is_empty() {
            self.first = now;
            self.waiting.set();
        }
        self.ops.push(op);
    }
    /// Whether the batch is full or old enough.
    pub(crate) fn is_due(&self, now: Time) -> bool {
        self.ops.len() >= FLUSH_ROWS || (!self.ops.is_empty() && now.since(self.first) >= FLUSH_AFTER)
    }
    /// The gathered rows when the batch is full or old enough.
    pub(crate) fn due(&mut self, now: Time) -> Option<Batch> {
        if self.is_due(now) { self.take() } else { None }
    }
    /// The gathered rows, however few.
    pub(crate) fn take(&mut self) -> Option<Batch> {
        if self.ops.is_empty() {
            return None;
        }
        let ops = std::mem::replace(&mut self.ops, Vec::with_capacity(FLUSH_ROWS));
        Some(Batch { rows: OwnRows { ops, digest: self.digest }, taken: std::mem::take(&mut self.taken) })
    }
}
