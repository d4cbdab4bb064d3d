//! When each phone wants its next tick: one ordered set for all, with at most one entry per phone.
//!
//! An entry is moved only when the new moment is earlier; a later one is found when the old entry fires (lazy), because
//! most answers push a deadline away.

use std::collections::BTreeSet;
use tandem_base::Time;

/// Deadlines of phones 0 to n-1.
#[derive(Debug)]
pub(super) struct Timers {
    due: BTreeSet<(Time, u32)>,
    /// The entry of each phone; [`Time::FAR`] without one.
    armed: Vec<Time>,
}

impl Timers {
    pub(super) fn new(phones: usize) -> Self {
        Self { due: BTreeSet::new(), armed: vec![Time::FAR; phones] }
    }

    /// The phone's deadline is `at` now.
    pub(super) fn arm(&mut self, phone: u32, at: Option<Time>) {
        let Some(at) = at else { return };
        let Some(armed) = self.armed.get_mut(index(phone)) else { return };
        if at < *armed {
            self.due.remove(&(*armed, phone));
            self.due.insert((at, phone));
            *armed = at;
        }
    }

    /// When the next one may be due; a little early at worst.
    pub(super) fn next(&self) -> Time {
        self.due.first().map_or(Time::FAR, |(at, _)| *at)
    }

    /// Takes out one phone that is due.
    pub(super) fn pop(&mut self, now: Time) -> Option<u32> {
        let (at, phone) = self.due.first().copied().filter(|(at, _)| *at <= now)?;
        self.due.remove(&(at, phone));
        if let Some(armed) = self.armed.get_mut(index(phone)) {
            *armed = Time::FAR;
        }
        Some(phone)
    }
}

fn index(phone: u32) -> usize {
    usize::try_from(phone).unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn phones_fire_in_order_and_once() {
        let mut timers = Timers::new(3);
        timers.arm(0, Some(Time::from_secs(3)));
        timers.arm(1, Some(Time::from_secs(1)));
        timers.arm(2, None);
        timers.arm(0, Some(Time::from_secs(2)));
        assert_eq!(timers.pop(Time::from_millis(999)), None);
        assert_eq!(timers.pop(Time::from_secs(9)), Some(1));
        assert_eq!(timers.pop(Time::from_secs(9)), Some(0));
        assert_eq!(timers.pop(Time::from_secs(9)), None);
    }

    #[test]
    fn a_later_deadline_fires_at_the_old_moment_and_is_armed_anew_then() {
        let mut timers = Timers::new(1);
        timers.arm(0, Some(Time::from_secs(1)));
        timers.arm(0, Some(Time::from_secs(5)));
        assert_eq!(timers.pop(Time::from_secs(1)), Some(0));
        timers.arm(0, Some(Time::from_secs(5)));
        assert_eq!(timers.pop(Time::from_secs(1)), None);
        assert_eq!(timers.pop(Time::from_secs(5)), Some(0));
    }
}
