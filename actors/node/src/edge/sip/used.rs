//! Nonce counts used up by devices that are not registered here: the digest does not cover the Contact, so what a heartbeat or a removal
//! showed on the wire would otherwise be good for binding somebody else's address.
//!
//! Two generations, so that forgetting costs nothing; a window is kept for a nonce's life unless more devices than the bound come by.

use crate::device_host::DeviceHost;
use crate::locator::DeviceIndex;
use std::collections::BTreeMap;
use tandem_base::Time;
use tandem_sip::nonce::{CLOCK_SKEW_SECS, NcWindow};

/// Devices per generation.
const GENERATION_MAX: usize = 32_768;

/// See the module.
#[derive(Debug, Default)]
pub(crate) struct Used {
    young: BTreeMap<DeviceIndex, NcWindow>,
    old: BTreeMap<DeviceIndex, NcWindow>,
    /// Unix second at which the young generation began.
    since: u32,
}

impl Used {
    /// What a device has used.
    fn window(&self, device: DeviceIndex) -> Option<NcWindow> {
        self.young.get(&device).or_else(|| self.old.get(&device)).copied()
    }
    /// Keeps what a device has used; `lifetime` is that of a nonce, in seconds.
    fn keep(&mut self, device: DeviceIndex, window: NcWindow, unix: u32, lifetime: u32) {
        let over = unix.saturating_sub(self.since) > lifetime.saturating_add(CLOCK_SKEW_SECS);
        if over || self.young.len() >= GENERATION_MAX {
            self.old = std::mem::take(&mut self.young);
            self.since = unix;
        }
        self.young.insert(device, window);
    }
}

/// Both together: the newer nonce counts, and of one nonce every count that either has seen.
fn both(a: NcWindow, b: NcWindow) -> NcWindow {
    let name = |w: &NcWindow| (w.nonce_time, w.nonce_id);
    match name(&a).cmp(&name(&b)) {
        std::cmp::Ordering::Less => b,
        std::cmp::Ordering::Greater => a,
        std::cmp::Ordering::Equal if a == b => a,
        std::cmp::Ordering::Equal => NcWindow::taken_over(a.nonce_time, a.nonce_id, a.nc_max.max(b.nc_max)),
    }
}

impl DeviceHost {
    /// What a device has used, as far as this node knows.
    pub(crate) fn nonces_of(&self, device: DeviceIndex) -> NcWindow {
        if let Some(registered) = self.locator.slot(device).and_then(|slot| self.devices.get(slot)) {
            return registered.nonces;
        }
        let elsewhere = self.locator.elsewhere(device).map(|e| e.nonces()).unwrap_or_default();
        both(elsewhere, self.edge.used.window(device).unwrap_or_default())
    }
    /// Whether a nonce may be used here (docs/decisions/0007). Registered here: one that this node issued, and so knows every use of, or the
    /// one that the registration was made with. Not registered here: to bind, one of this node's or that of the registration elsewhere;
    /// for anything else only one of this node's that no registration elsewhere uses, or it would still be good there.
    pub(super) fn may_use(&self, device: DeviceIndex, (time, id, _): (u32, u32, u32), binds: bool) -> bool {
        let names = |w: NcWindow| (w.nonce_time, w.nonce_id) == (time, id);
        let own = self.edge.issued_here(id);
        if self.locator.slot(device).is_some() {
            return own || names(self.nonces_of(device));
        }
        let elsewhere = self.locator.elsewhere(device).is_some_and(|e| names(e.nonces()));
        if binds { own || elsewhere } else { own && !elsewhere }
    }
    /// A device that was registered here is not any more.
    pub(crate) fn keep_nonces(&mut self, device: DeviceIndex, window: NcWindow) {
        let (unix, lifetime) = (self.unix_seconds(), self.directory.nonce_lifetime_secs());
        self.edge.used.keep(device, window, unix, lifetime);
    }
    /// A request that binds nothing used a count; sent twice it does no harm, so whether it is the first time does not matter. The count is
    /// in the row of a device that is registered here: a row that is not written when it changes makes every snapshot of this node's rows
    /// differ from its digest.
    pub(super) fn use_up(&mut self, now: Time, device: DeviceIndex, (time, id, nc): (u32, u32, u32)) {
        if let Some(registered) = self.locator.slot(device).and_then(|slot| self.devices.get_mut(slot)) {
            let before = registered.last_nonce();
            let _ = registered.nonces.accept(time, id, nc);
            if registered.last_nonce() != before {
                self.rows.put(now, registered, false);
                self.metrics.rows.increment();
            }
            return;
        }
        let mut window = self.edge.used.window(device).unwrap_or_default();
        let _ = window.accept(time, id, nc);
        self.keep_nonces(device, window);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_window_is_kept_for_the_life_of_a_nonce_and_then_forgotten() {
        let (mut used, window) = (Used::default(), NcWindow::taken_over(1_000, 7, 3));
        used.keep(DeviceIndex(1), window, 1_000, 300);
        used.keep(DeviceIndex(2), window, 1_331, 300);
        assert_eq!(used.window(DeviceIndex(1)), Some(window));
        used.keep(DeviceIndex(2), window, 1_662, 300);
        assert_eq!((used.window(DeviceIndex(1)), used.window(DeviceIndex(2))), (None, Some(window)));
    }

    #[test]
    fn no_more_than_two_generations_are_kept() {
        let mut used = Used::default();
        for device in 0..100_000 {
            used.keep(DeviceIndex(device), NcWindow::default(), 1, 300);
            assert!(used.young.len() <= GENERATION_MAX && used.old.len() <= GENERATION_MAX);
        }
        assert!(used.window(DeviceIndex(99_999)).is_some() && used.window(DeviceIndex(0)).is_none());
    }

    #[test]
    fn of_one_nonce_the_counts_of_both_are_used() {
        let (a, b) = (NcWindow::taken_over(10, 1, 4), NcWindow { nonce_time: 10, nonce_id: 1, nc_max: 9, bits: 1 });
        assert_eq!(both(a, b), NcWindow::taken_over(10, 1, 9));
        assert_eq!(both(b, NcWindow::taken_over(11, 0, 1)), NcWindow::taken_over(11, 0, 1));
        assert_eq!(both(b, NcWindow::default()), b);
    }
}
