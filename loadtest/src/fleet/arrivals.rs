//! An open loop: who does what when is fixed before the first message, and no answer ever delays it.
//!
//! A schedule is a pace, a number of arrivals and a seed; arrival `n` lies `n / pace` after the beginning and meets the phone that
//! a shuffle by the seed gives. It must never look at a phone: one that cannot do what was planned is counted, not spared.

use crate::phone::Dice;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::time::Duration;
use tandem_base::Time;

/// What a phone is to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Arrival {
    /// Power on: register.
    Start,
    /// Refresh the registration now.
    Refresh,
}

/// A schedule before it begins.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Plan {
    /// What each arrival does.
    pub what: Arrival,
    /// Arrivals per second, more than 0.
    pub per_second: f64,
    /// How many arrivals; more than there are phones begin again with the first of the shuffle.
    pub count: u64,
    /// Decides the order of the phones.
    pub seed: u64,
}

impl Plan {
    /// The moment of arrival `n` after the beginning.
    pub fn offset(&self, n: u64) -> Duration {
        let secs = n as f64 / self.per_second.max(f64::MIN_POSITIVE);
        Duration::try_from_secs_f64(secs).unwrap_or(Duration::MAX)
    }

    /// From the first arrival to the last.
    pub fn length(&self) -> Duration {
        self.offset(self.count.saturating_sub(1))
    }

    /// The phones in the order of their arrivals.
    pub fn order(&self, phones: u32) -> Vec<u32> {
        let mut order: Vec<u32> = (0..phones).collect();
        let mut dice = Dice::new(self.seed);
        // Fisher and Yates, from the end.
        for place in (1..order.len()).rev() {
            let other = usize::try_from(dice.next() % (place as u64 + 1)).unwrap_or_default();
            order.swap(place, other);
        }
        order
    }

    /// A number that two schedules share only if they are the same: every arrival's moment and phone go in.
    pub fn fingerprint(&self, phones: u32) -> u64 {
        let order = self.order(phones);
        let mut sum = DefaultHasher::new();
        (self.what, self.count).hash(&mut sum);
        for (n, phone) in (0..self.count).zip(order.iter().cycle()) {
            (self.offset(n).as_micros(), phone).hash(&mut sum);
        }
        sum.finish()
    }
}

/// A schedule that runs.
#[derive(Debug)]
pub(super) struct Arrivals {
    plan: Plan,
    begun: Time,
    order: Vec<u32>,
    next: u64,
}

impl Arrivals {
    pub(super) fn new(plan: Plan, begun: Time, phones: u32) -> Self {
        Self { plan, begun, order: plan.order(phones), next: 0 }
    }

    /// Every phone is switched on once, in the order of the plan.
    pub(super) fn in_order(per_second: u32, begun: Time, phones: usize) -> Self {
        let count = u32::try_from(phones).unwrap_or(u32::MAX);
        let plan = Plan { what: Arrival::Start, per_second: per_second.into(), count: count.into(), seed: 0 };
        Self { plan, begun, order: (0..count).collect(), next: 0 }
    }

    /// When the next one is due; [`Time::FAR`] when there is none.
    pub(super) fn due(&self) -> Time {
        if self.next < self.plan.count && !self.order.is_empty() {
            self.begun + self.plan.offset(self.next)
        } else {
            Time::FAR
        }
    }

    /// Takes out the next one when it is due: its intended moment, what, and which phone.
    pub(super) fn pop(&mut self, now: Time) -> Option<(Time, Arrival, u32)> {
        let due = self.due();
        if due > now {
            return None;
        }
        let place = usize::try_from(self.next % self.order.len().max(1) as u64).ok()?;
        self.next += 1;
        Some((due, self.plan.what, *self.order.get(place)?))
    }

    pub(super) fn is_over(&self) -> bool {
        self.due() == Time::FAR
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan(count: u64, seed: u64) -> Plan {
        Plan { what: Arrival::Refresh, per_second: 1_000.0, count, seed }
    }

    #[test]
    fn every_phone_arrives_once_before_any_arrives_twice_and_at_its_moment() {
        let mut arrivals = Arrivals::new(plan(250, 7), Time::from_secs(10), 100);
        assert!(arrivals.pop(Time::from_millis(9_999)).is_none(), "nothing is early");
        let mut seen = Vec::new();
        while let Some((due, what, phone)) = arrivals.pop(Time::from_secs(99)) {
            assert_eq!((due, what), (Time::from_millis(10_000 + seen.len() as u64), Arrival::Refresh));
            seen.push(phone);
        }
        assert!(arrivals.is_over() && seen.len() == 250);
        let mut round = seen[..100].to_vec();
        round.sort_unstable();
        assert_eq!(round, (0..100).collect::<Vec<u32>>());
        assert_eq!(seen[..100], seen[100..200]);
        assert_ne!(round, seen[..100], "shuffled");
    }

    #[test]
    fn one_seed_is_one_schedule_and_another_seed_another() {
        assert_eq!(plan(500, 7).fingerprint(100), plan(500, 7).fingerprint(100));
        let others = [plan(500, 8), plan(501, 7), Plan { per_second: 999.0, ..plan(500, 7) }];
        assert!(others.iter().all(|p| p.fingerprint(100) != plan(500, 7).fingerprint(100)));
    }

    #[test]
    fn the_length_is_from_the_first_to_the_last() {
        assert_eq!(plan(1_001, 1).length(), Duration::from_secs(1));
        assert_eq!(plan(0, 1).length(), Duration::ZERO);
        assert!(Arrivals::new(plan(5, 1), Time::ZERO, 0).is_over(), "nobody is there");
    }
}
