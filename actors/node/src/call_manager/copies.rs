//! What follows when copies of other nodes' rows change: the locator, the counts, duplicates, orphans and adoption.
//!
//! Work per row only for rows that changed; a node's death touches no row (DESIGN section 5).

use super::CallManager;
use crate::device_host::{Adopt, Claim, Claims, LaterClaims, Settle};
use crate::locator::{DeviceIndex, Elsewhere};
use crate::registration::Entry;
use std::collections::BTreeMap;
use tandem_base::{DeviceKey, NodeLife, Rank, Time};
use tandem_cluster::{Change, Input, Op};
use tandem_model::row::{LaterRow, RegistrationRow, TableRow};

impl CallManager {
    /// Rows of another owner changed here.
    pub(super) fn changed(&mut self, owner: &NodeLife, changes: Vec<Change<Entry>>) {
        let Some(node) = self.directory.node_index(&owner.node) else { return };
        // Only what a living node serves is counted: rows of an earlier life go while those of the new one come, and whoever is heard but
        // counts as down is counted when it is up again.
        let counted = self.view.is_life_alive(owner);
        let (mut claims, mut later) = (Vec::new(), Vec::new());
        let devices = self.read_ahead(&changes);
        for (change, device) in changes.into_iter().zip(devices) {
            if counted {
                self.recount_row(node, device, &change);
            }
            match (change.op, device) {
                (Op::Put(Entry(TableRow::Later(row))), _) => later.push(row),
                (Op::Put(Entry(TableRow::Registration(row))), Some(device)) => {
                    self.row_put(owner, node, (device, &row), &mut claims);
                }
                (Op::Remove { key }, Some(device)) => self.row_removed(node, key, device),
                (_, None) => {}
            }
        }
        if !claims.is_empty() {
            self.tell_host(Claims(claims));
        }
        if !later.is_empty() {
            self.later_put(owner, &later);
        }
    }

    /// Which devices the changes are of. Looks up what each change will touch, one kind after the other, so that memory is waited for once.
    fn read_ahead(&self, changes: &[Change<Entry>]) -> Vec<Option<DeviceIndex>> {
        let devices: Vec<_> = changes.iter().map(|c| self.directory.find_key(DeviceKey(c.op.key()))).collect();
        let known = devices.iter().flatten().filter(|d| self.locator.elsewhere(**d).is_some());
        std::hint::black_box(known.count());
        // Only a registration that begins or ends here is counted in its pool.
        let counted = changes.iter().zip(&devices).filter(|(change, _)| counts_anew(change));
        let pools = counted.filter_map(|(_, device)| self.directory.pool_of((*device)?));
        std::hint::black_box(pools.fold(0, |seen, pool| seen ^ pool));
        devices
    }

    /// A row of a living node changed.
    fn recount_row(&mut self, node: u16, device: Option<DeviceIndex>, change: &Change<Entry>) {
        if !counts_anew(change) {
            return;
        }
        let Some(pool) = self.pool_of(DeviceKey(change.op.key()), device) else { return };
        if let Some(rank) = rank_before(change) {
            self.counts.remove(node, pool, rank);
        }
        if let Some(rank) = rank_now(change) {
            self.counts.add(node, pool, rank);
        }
    }

    /// Rows of tables that are not known here are only kept in order: the newest of a key wins, whoever has it.
    fn later_put(&mut self, owner: &NodeLife, rows: &[LaterRow]) {
        if self.owns_later {
            self.tell_host(LaterClaims(rows.iter().map(|row| (row.key, row.stamp)).collect()));
        }
        for row in rows {
            let older = |entry: &Entry| matches!(&entry.0, TableRow::Later(known) if known.stamp < row.stamp);
            if self.cluster.get(row.key).any(|found| found.orphaned && found.owner != owner && older(found.row)) {
                self.take_over(row.key, owner);
            }
        }
    }

    fn row_put(
        &mut self,
        owner: &NodeLife,
        node: u16,
        (device, row): (DeviceIndex, &RegistrationRow),
        claims: &mut Vec<Claim>,
    ) {
        if self.locator.slot(device).is_some() {
            claims.push(Claim { device, owner: owner.clone(), stamp: row.stamp, rank: row.rank });
        }
        let place = Elsewhere::of(node, owner.incarnation, row);
        let known = self.locator.replace_elsewhere(device, place, |k| k.owner != node && k.stamp > row.stamp);
        // The row of a dead owner is taken over by this newer one.
        if known.is_some_and(|k| k.owner != node && k.stamp <= row.stamp && !self.is_up(k.owner)) {
            self.take_over(row.device.0, owner);
        }
    }

    /// Drops the orphaned copies of a row that `by` has taken over; what was dropped comes out of the machine as changes.
    fn take_over(&mut self, key: u128, by: &NodeLife) {
        tandem_base::Machine::handle(&mut self.cluster, self.clock.now(), Input::Drop { key, but: Some(by.clone()) });
    }

    fn row_removed(&mut self, node: u16, key: u128, device: DeviceIndex) {
        if self.locator.elsewhere(device).is_some_and(|k| k.owner == node) {
            self.locator.set_elsewhere(device, self.newest_copy(key));
        }
    }

    /// The newest copy of a row that is left.
    pub(super) fn newest_copy(&self, key: u128) -> Option<Elsewhere> {
        let found = self.cluster.get(key).filter_map(|found| Some((found.row.registration()?, found.owner)));
        let (row, owner) = found.max_by_key(|(row, _)| row.stamp)?;
        Some(Elsewhere::of(self.directory.node_index(&owner.node)?, owner.incarnation, row))
    }

    /// An orphaned row expired.
    pub(super) fn row_gone(&mut self, owner: &NodeLife, row: &Entry) {
        let Some(key) = row.registration().map(|row| row.device) else { return };
        if let (Some(node), Some(device)) = (self.directory.node_index(&owner.node), self.directory.find_key(key)) {
            self.row_removed(node, key.0, device);
        }
    }

    /// The rows of a dead owner: none is touched, but the node serves nobody any more.
    pub(super) fn orphaned(&mut self, owner: &NodeLife, rows: u64) {
        if let Some(node) = self.directory.node_index(&owner.node) {
            self.counts.clear_node(node);
        }
        let text = format!(
            "{rows} registrations of {owner} are orphaned: calls to them go to the next survivor of their group"
        );
        self.note("rows_orphaned", "node_down".to_owned(), text);
    }

    /// The rows of an owner's old life are no longer wanted.
    pub(super) fn forgotten(&mut self, owner: &NodeLife, rows: u64) {
        self.note(
            "rows_forgotten",
            "new_life".to_owned(),
            format!("{rows} registrations of {owner} have gone: it has a new life"),
        );
    }

    /// A life is up: the rows that have come before it was count now, and after a flap all of them do again.
    pub(super) fn recount(&mut self, owner: &NodeLife) {
        let Some(node) = self.directory.node_index(&owner.node) else { return };
        self.counts.clear_node(node);
        let mut cursor = Some(0);
        while let Some(at) = cursor {
            let page = self.cluster.page(owner, at, 1_024);
            for row in page.rows.iter().filter_map(|row| row.registration()) {
                if let Some(pool) = self.pool_of(row.device, self.directory.find_key(row.device)) {
                    self.counts.add(node, pool, row.rank);
                }
            }
            cursor = page.next;
        }
    }

    /// Every copy is complete: only now can be told which devices of an earlier life have registered elsewhere meanwhile.
    pub(super) fn in_sync(&mut self, now: Time) {
        self.adopt(now);
        self.tell_host(Settle);
    }

    /// Peers, or files, kept rows of earlier lives of this node: its devices are still there and take up where they were. Several may have kept
    /// one row: the newest counts.
    fn adopt(&mut self, now: Time) {
        let mut registrations: BTreeMap<DeviceIndex, (u32, RegistrationRow)> = BTreeMap::new();
        let mut later: BTreeMap<u128, LaterRow> = BTreeMap::new();
        let secs_now = u32::try_from(now.as_secs()).unwrap_or(u32::MAX);
        for (ahead, rows) in std::mem::take(&mut self.adoptable) {
            for Entry(row) in rows {
                let expires_at = row.expires().map(|at| on_this_clock(at, ahead));
                if expires_at.is_some_and(|at| at <= secs_now) {
                    continue;
                }
                match row {
                    TableRow::Registration(row) => {
                        let Some(device) = self.directory.find_key(row.device) else { continue };
                        // Whoever registered elsewhere meanwhile has a newer row there.
                        let newer = self.locator.elsewhere(device).is_some_and(|k| k.stamp > row.stamp);
                        let best = registrations.get(&device).is_none_or(|(_, known)| known.stamp < row.stamp);
                        if best && !newer {
                            registrations.insert(device, (expires_at.unwrap_or(0), row));
                        }
                    }
                    TableRow::Later(row) => {
                        let best = later.get(&row.key).is_none_or(|known| known.stamp < row.stamp);
                        if best && !self.is_later_elsewhere(&row) {
                            later.insert(row.key, row.ends_at(u64::from(expires_at.unwrap_or(0))));
                        }
                    }
                }
            }
        }
        self.owns_later |= !later.is_empty();
        if !(registrations.is_empty() && later.is_empty()) {
            let (count, more) = (registrations.len(), later.len());
            let text = match more {
                0 => format!("{count} registrations of an earlier life are taken up again"),
                _ => format!("{count} registrations and {more} rows of a later version are taken up again"),
            };
            self.note("rows_adopted", "restart".to_owned(), text);
            let registrations = registrations.into_iter().map(|(device, (at, row))| (device, at, row)).collect();
            self.tell_host(Adopt { registrations, later: later.into_values().collect() });
        }
    }

    fn is_later_elsewhere(&self, row: &LaterRow) -> bool {
        let newer = |entry: &Entry| matches!(&entry.0, TableRow::Later(known) if known.stamp > row.stamp);
        self.cluster.get(row.key).any(|found| newer(found.row))
    }

    /// The pool under which a device's row is counted, also while a change that takes the device away is worked in.
    fn pool_of(&self, key: DeviceKey, device: Option<DeviceIndex>) -> Option<u16> {
        if let Some(transition) = &self.transition
            && let Some(pool) = transition.pool_still(&self.directory, key)
        {
            return pool;
        }
        self.directory.pool_of(device?)
    }
}

fn rank_before(change: &Change<Entry>) -> Option<Rank> {
    change.previous.as_ref()?.registration().map(|row| row.rank)
}
fn rank_now(change: &Change<Entry>) -> Option<Rank> {
    if let Op::Put(row) = &change.op { row.registration().map(|row| row.rank) } else { None }
}
/// A registration that stays in its rank counts as before.
fn counts_anew(change: &Change<Entry>) -> bool {
    rank_before(change) != rank_now(change)
}

/// A second of the clock of an earlier life, which was `ahead` microseconds ahead of this node's, on this node's.
fn on_this_clock(secs: u64, ahead: i64) -> u32 {
    let micros = i64::try_from(secs).unwrap_or(i64::MAX / 2_000_000).saturating_mul(1_000_000);
    u32::try_from(micros.saturating_sub(ahead).max(0) / 1_000_000).unwrap_or(u32::MAX)
}
