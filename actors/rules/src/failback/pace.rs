//! How many devices go home per second.

use std::time::Duration;
use tandem_base::Time;

/// A pace per second that saves up no more than half a second's worth: a stream, not bursts. The node's, or a group's share of it.
#[derive(Clone, Debug)]
pub struct Pace {
    per_second: u64,
    /// Millionths of a device.
    saved: u64,
    counted: Time,
}

const ONE: u64 = 1_000_000;

impl Pace {
    /// So many per second, at least one.
    pub fn new(per_second: u32, now: Time) -> Self {
        Self { per_second: u64::from(per_second.max(1)), saved: 0, counted: now }
    }
    /// Another pace, from now on.
    pub fn set(&mut self, per_second: u32, now: Time) {
        let per_second = u64::from(per_second.max(1));
        if per_second != self.per_second {
            self.count(now);
            self.per_second = per_second;
            self.saved = self.saved.min(self.most());
        }
    }
    fn count(&mut self, now: Time) {
        let micros = u64::try_from(now.since(self.counted).as_micros()).unwrap_or(u64::MAX);
        self.saved = self.saved.saturating_add(micros.saturating_mul(self.per_second)).min(self.most());
        self.counted = self.counted.max(now);
    }
    /// Takes up to `wanted` that are due by now; returns how many.
    pub fn take_up_to(&mut self, now: Time, wanted: u32) -> u32 {
        self.count(now);
        let taken = u32::try_from(self.saved / ONE).unwrap_or(u32::MAX).min(wanted);
        self.saved = self.saved.saturating_sub(u64::from(taken) * ONE);
        taken
    }
    /// Gives back what was taken and not used.
    pub fn give_back(&mut self, unused: u32) {
        self.saved = self.saved.saturating_add(u64::from(unused) * ONE).min(self.most());
    }
    fn most(&self) -> u64 {
        (self.per_second * ONE / 2).max(ONE)
    }
    /// How long until the next one is due.
    pub fn next(&mut self, now: Time) -> Duration {
        self.count(now);
        Duration::from_micros(ONE.saturating_sub(self.saved).div_ceil(self.per_second))
    }
}
