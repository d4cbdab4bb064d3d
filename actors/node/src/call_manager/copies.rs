//! What follows when copies of other nodes' rows change: the locator, the counts, duplicates, orphans and adoption.
//!
//! Work per row only for rows that changed; a node's death touches no row (DESIGN section 5).

use super::CallManager;
use crate::device_host::{Adopt, Claim, Claims, Settle};
use crate::locator::Elsewhere;
use crate::registration::Registration;
use tandem_base::{NodeLife, Time};
use tandem_cluster::{Change, Input, Op};

impl CallManager {
    /// Rows of another owner changed here.
    pub(super) fn changed(&mut self, owner: &NodeLife, changes: Vec<Change<Registration>>) {
        let Some(node) = self.directory.node_index(&owner.node) else { return };
        // Only what a living node serves is counted: rows of an earlier life go while those of the new one come, and whoever is heard but
        // counts as down is counted when it is up again.
        let counted = self.view.is_life_alive(owner);
        let mut claims = Vec::new();
        self.read_ahead(&changes);
        for change in changes {
            if let Some(previous) = change.previous.as_ref().filter(|_| counted) {
                self.uncount(node, previous);
            }
            match change.op {
                Op::Put(row) => {
                    if counted {
                        self.count(node, &row);
                    }
                    self.row_put(owner, node, row, &mut claims);
                }
                Op::Remove { key } => self.row_removed(node, key),
            }
        }
        if !claims.is_empty() {
            self.tell_host(Claims(claims));
        }
    }

    /// Looks up what each change will touch, one kind after the other, so that memory is waited for once. Changes nothing.
    fn read_ahead(&self, changes: &[Change<Registration>]) {
        let devices: Vec<_> =
            changes.iter().map(|c| self.directory.find_key(tandem_base::DeviceKey(c.op.key()))).collect();
        let known = devices.iter().flatten().filter(|d| self.locator.elsewhere(**d).is_some());
        std::hint::black_box(known.count());
    }

    fn row_put(&mut self, owner: &NodeLife, node: u16, row: Registration, claims: &mut Vec<Claim>) {
        let Some(device) = self.directory.find_key(row.0.device) else { return };
        let known = self.locator.elsewhere(device);
        if self.locator.slot(device).is_some() {
            claims.push(Claim { device, owner: owner.clone(), stamp: row.0.stamp, rank: row.0.rank });
        }
        if known.is_none_or(|k| k.owner == node || k.stamp <= row.0.stamp) {
            self.locator.set_elsewhere(device, Some(Elsewhere::of(node, owner.incarnation, &row)));
        }
        // The row of a dead owner is taken over by this newer one.
        if known.is_some_and(|k| k.owner != node && k.stamp <= row.0.stamp && !self.is_up(k.owner)) {
            self.take_over(row.0.device.0, owner);
        }
    }

    /// Drops the orphaned copies of a row that `by` has taken over; what was dropped comes out of the machine as changes.
    fn take_over(&mut self, key: u128, by: &NodeLife) {
        tandem_base::Machine::handle(&mut self.cluster, self.clock.now(), Input::Drop { key, but: Some(by.clone()) });
    }

    fn row_removed(&mut self, node: u16, key: u128) {
        let Some(device) = self.directory.find_key(tandem_base::DeviceKey(key)) else { return };
        if self.locator.elsewhere(device).is_some_and(|k| k.owner == node) {
            self.locator.set_elsewhere(device, self.newest_copy(key));
        }
    }

    /// The newest copy of a row that is left.
    pub(super) fn newest_copy(&self, key: u128) -> Option<Elsewhere> {
        let newest = self.cluster.get(key).max_by_key(|found| found.row.0.stamp)?;
        Some(Elsewhere::of(self.directory.node_index(&newest.owner.node)?, newest.owner.incarnation, newest.row))
    }

    /// An orphaned row expired.
    pub(super) fn row_gone(&mut self, owner: &NodeLife, row: &Registration) {
        if let Some(node) = self.directory.node_index(&owner.node) {
            self.row_removed(node, row.0.device.0);
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
            for row in &page.rows {
                if let Some(pool) = self.pool_of(row) {
                    self.counts.add(node, pool, row.0.rank);
                }
            }
            cursor = page.next;
        }
    }

    /// Every copy is complete: only now can be told which devices of an earlier life have registered elsewhere meanwhile.
    pub(super) fn in_sync(&mut self, now: Time) {
        for (clock_ahead_micros, rows) in std::mem::take(&mut self.adoptable) {
            self.adopt(now, clock_ahead_micros, rows);
        }
        self.tell_host(Settle);
    }

    /// Peers kept rows of an earlier life of this node: its devices are still there and take up where they were.
    fn adopt(&mut self, now: Time, clock_ahead_micros: i64, rows: Vec<Registration>) {
        let local = |secs: u64| -> u32 {
            let micros = i64::try_from(secs).unwrap_or(i64::MAX / 2_000_000).saturating_mul(1_000_000);
            u32::try_from(micros.saturating_sub(clock_ahead_micros).max(0) / 1_000_000).unwrap_or(u32::MAX)
        };
        let secs_now = u32::try_from(now.as_secs()).unwrap_or(u32::MAX);
        let rows: Vec<_> = rows
            .into_iter()
            .filter_map(|row| {
                let device = self.directory.find_key(row.0.device)?;
                let expires_at = local(row.0.expires);
                // Whoever registered elsewhere meanwhile has a newer row there.
                let newer = self.locator.elsewhere(device).is_some_and(|k| k.stamp > row.0.stamp);
                (expires_at > secs_now && !newer).then_some((device, expires_at, row))
            })
            .collect();
        if !rows.is_empty() {
            let text = format!("{} registrations of an earlier life are taken up again", rows.len());
            self.note("rows_adopted", "restart".to_owned(), text);
            self.tell_host(Adopt(rows));
        }
    }

    /// The pool under which a row is counted.
    fn pool_of(&self, row: &Registration) -> Option<u16> {
        if let Some(transition) = &self.transition
            && let Some(pool) = transition.pool_still(&self.directory, row.0.device)
        {
            return pool;
        }
        self.directory.pool_of(self.directory.find_key(row.0.device)?)
    }
    fn count(&mut self, node: u16, row: &Registration) {
        if let Some(pool) = self.pool_of(row) {
            self.counts.add(node, pool, row.0.rank);
        }
    }
    fn uncount(&mut self, node: u16, row: &Registration) {
        if let Some(pool) = self.pool_of(row) {
            self.counts.remove(node, pool, row.0.rank);
        }
    }
}
