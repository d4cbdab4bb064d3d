//! Rows of tables that this version does not know and that this node owns: an earlier life of it was of a later version, or will be. They are
//! published, handed on and saved like registrations, until they expire or another node has a newer one (docs/decisions/0011).
//!
//! Nobody looks into them here. Places are stable, so that a walk over them misses none.

use super::DeviceHost;
use actix::{Context, Handler, Message};
use std::collections::BTreeMap;
use tandem_base::{Stamp, Time};
use tandem_model::row::LaterRow;

/// Most rows that are kept.
const LATER_MAX: usize = 1 << 20;
/// Places looked at per tick.
const STEP: usize = 256;

/// See the module.
#[derive(Debug, Default)]
pub(crate) struct LaterRows {
    places: Vec<Option<LaterRow>>,
    free: Vec<usize>,
    by_key: BTreeMap<u128, usize>,
    walk: usize,
}

impl LaterRows {
    /// The row with this key.
    pub(crate) fn get(&self, key: u128) -> Option<&LaterRow> {
        self.places.get(*self.by_key.get(&key)?)?.as_ref()
    }
    /// Keeps one whose key is not in. `false`: there are too many.
    fn insert(&mut self, row: LaterRow) -> bool {
        let place = self.free.pop().unwrap_or(self.places.len());
        if place >= LATER_MAX {
            return false;
        }
        if place == self.places.len() {
            self.places.push(None);
        }
        self.by_key.insert(row.key, place);
        if let Some(at) = self.places.get_mut(place) {
            *at = Some(row);
        }
        true
    }
    fn remove(&mut self, key: u128) -> Option<LaterRow> {
        let place = self.by_key.remove(&key)?;
        self.free.push(place);
        self.places.get_mut(place)?.take()
    }
    /// Rows from a place on, each with the place behind it.
    pub(crate) fn from(&self, place: usize) -> impl Iterator<Item = (usize, &LaterRow)> {
        self.places.iter().enumerate().skip(place).filter_map(|(at, row)| Some((at + 1, row.as_ref()?)))
    }
    /// Keys that have expired at this second, of the next places.
    fn expired(&mut self, second: u64) -> Vec<u128> {
        let places = self.places.iter().skip(self.walk).take(STEP);
        let over = places.flatten().filter(|row| row.expires != 0 && row.expires <= second).map(|row| row.key);
        let keys = over.collect();
        self.walk = if self.walk + STEP < self.places.len() { self.walk + STEP } else { 0 };
        keys
    }
}

impl DeviceHost {
    /// Rows of an earlier life become this one's.
    pub(super) fn adopt_later(&mut self, now: Time, rows: Vec<LaterRow>) {
        for row in rows {
            if self.later.get(row.key).is_some_and(|known| known.stamp >= row.stamp) {
                continue;
            }
            self.drop_later(now, row.key);
            if self.later.insert(row.clone()) {
                self.rows.put_later(now, row);
            }
        }
    }
    fn drop_later(&mut self, now: Time, key: u128) {
        if let Some(row) = self.later.remove(key) {
            self.rows.remove_later(now, row);
        }
    }
    /// Those that have expired go.
    pub(super) fn expire_later(&mut self, now: Time) {
        for key in self.later.expired(now.as_secs()) {
            self.drop_later(now, key);
        }
    }
}

// --- LaterClaims -----------------------------------------------------------------------------------------------------

/// Another node has rows with these keys, with these stamps.
pub struct LaterClaims(pub Vec<(u128, Stamp)>);
impl Message for LaterClaims {
    type Result = ();
}
impl Handler<LaterClaims> for DeviceHost {
    type Result = ();
    /// The newest wins, as everywhere.
    fn handle(&mut self, m: LaterClaims, _: &mut Context<Self>) {
        let now = self.clock.now();
        for (key, stamp) in m.0 {
            if self.later.get(key).is_some_and(|own| own.stamp < stamp) {
                self.drop_later(now, key);
            }
        }
        self.flush_rows(now, true);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(key: u128, expires: u64) -> LaterRow {
        LaterRow::new(9, key, Stamp(1), expires, b"body").unwrap()
    }

    #[test]
    fn a_walk_finds_every_row_that_stays_whatever_goes_meanwhile() {
        let mut rows = LaterRows::default();
        assert!((0..1_000).all(|key| rows.insert(row(key, 0))));
        let mut found = Vec::new();
        let mut at = 0;
        let first = |rows: &LaterRows, at| rows.from(at).next().map(|(next, row)| (next, row.key));
        while let Some((next, key)) = first(&rows, at) {
            found.push(key);
            at = next;
            // What went makes room for another.
            if rows.remove(key / 2).is_some() {
                rows.insert(row(10_000 + key, 0));
            }
        }
        let stayed: Vec<u128> = (500..1_000).collect();
        assert!(stayed.iter().all(|key| found.contains(key)));
    }

    #[test]
    fn rows_go_when_their_time_is_over_and_some_never_do() {
        let mut rows = LaterRows::default();
        (0..2_000_u64).for_each(|key| assert!(rows.insert(row(u128::from(key), key % 3))));
        let mut gone = 0;
        for _ in 0..(2_000 / STEP + 1) {
            for key in rows.expired(1) {
                assert_eq!(rows.remove(key).map(|r| r.expires), Some(1));
                gone += 1;
            }
        }
        assert_eq!(
            (gone, rows.get(0).is_some(), rows.get(1).is_some(), rows.get(2).is_some()),
            (667, true, false, true)
        );
    }
}
