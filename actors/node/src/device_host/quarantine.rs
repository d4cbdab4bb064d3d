//! Devices whose messages panicked their actor: counted, and after the second panic kept out until somebody lets them in again.
//!
//! Only devices that panicked are in here, and never more than a bound.

use crate::locator::DeviceIndex;
use std::collections::BTreeMap;
use std::time::Duration;
use tandem_base::Time;

/// Panics after which a device is kept out.
pub(super) const PANICS_MAX: u8 = 2;
/// A first panic is forgotten after this long without another.
pub(super) const FORGET_AFTER: Duration = Duration::from_secs(600);
/// Devices remembered; the one that panicked longest ago goes first.
pub(super) const REMEMBERED_MAX: usize = 10_000;

#[derive(Clone, Copy, Debug)]
struct Case {
    panics: u8,
    last: Time,
}

/// See the module.
#[derive(Debug, Default)]
pub struct Quarantine {
    cases: BTreeMap<DeviceIndex, Case>,
}

impl Quarantine {
    /// Whether a device is kept out.
    pub fn holds(&self, device: DeviceIndex) -> bool {
        !self.cases.is_empty() && self.cases.get(&device).is_some_and(|c| c.panics >= PANICS_MAX)
    }
    /// Notes a panic; true when the device is kept out from now on.
    pub fn panicked(&mut self, now: Time, device: DeviceIndex) -> bool {
        if self.cases.len() >= REMEMBERED_MAX && !self.cases.contains_key(&device) {
            let oldest = self.cases.iter().min_by_key(|(_, c)| c.last).map(|(d, _)| *d);
            oldest.map(|d| self.cases.remove(&d));
        }
        let case = self.cases.entry(device).or_insert(Case { panics: 0, last: now });
        if case.panics < PANICS_MAX && now.since(case.last) > FORGET_AFTER {
            case.panics = 0;
        }
        case.panics = case.panics.saturating_add(1);
        case.last = now;
        case.panics == PANICS_MAX
    }
    /// Lets a device in again; false when it was not kept out.
    pub fn release(&mut self, device: DeviceIndex) -> bool {
        self.cases.remove(&device).is_some_and(|c| c.panics >= PANICS_MAX)
    }
    /// How many devices are kept out.
    pub fn len(&self) -> usize {
        self.cases.values().filter(|c| c.panics >= PANICS_MAX).count()
    }
    /// Whether none is kept out.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_second_panic_keeps_a_device_out_until_it_is_released() {
        let mut q = Quarantine::default();
        let (a, b) = (DeviceIndex(1), DeviceIndex(2));
        assert!(!q.panicked(Time::from_secs(1), a));
        assert!(!q.holds(a));
        assert!(q.panicked(Time::from_secs(2), a));
        assert!(q.holds(a) && !q.holds(b));
        assert!(q.release(a));
        assert!(!q.holds(a) && !q.release(a));
    }

    #[test]
    fn a_first_panic_long_ago_does_not_count() {
        let mut q = Quarantine::default();
        q.panicked(Time::from_secs(1), DeviceIndex(1));
        assert!(!q.panicked(Time::from_secs(1_000), DeviceIndex(1)));
    }
}
