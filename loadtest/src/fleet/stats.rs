//! What a fleet has done so far, kept up to date with every step of a phone instead of being summed when asked.
//!
//! Answers are counted as they arrive, good or bad; nothing is averaged away: outages keep their whole distribution.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;
use tandem_base::{Rank, Time};

use crate::{Change, Counters, Phone, Status};

/// A snapshot of a fleet. All counts are since the start unless said otherwise.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct FleetStats {
    /// When it was taken, on the fleet's clock, which begins near 0.
    pub at: Time,
    /// Phones of the plan.
    pub phones: u32,
    /// Switched on by now.
    pub started: u32,
    /// Registered now.
    pub registered: u32,
    /// Registered now, by CallManager.
    pub by_server: BTreeMap<SocketAddr, u32>,
    /// Registered now, by place in the phone's list.
    pub by_rank: BTreeMap<Rank, u32>,
    /// Started, and not registered now.
    pub unregistered: u32,
    /// In a call now.
    pub busy: u32,
    /// Sum of the counters of all phones.
    pub counters: Counters,
    /// Final and provisional answers, by code.
    pub answers: BTreeMap<u16, u64>,
    /// Datagrams and messages that belong to no phone or are no SIP.
    pub strays: u64,
    /// Messages that the system did not take at once; timer E sends them again.
    pub send_drops: u64,
    /// Bytes held by all phones and their timers' entries, as last measured at the start of the fleet.
    pub memory: u64,
    /// Outages: from the last good answer of the old CallManager to the first of the new one.
    pub outages: Outages,
}

/// Distribution of outages.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Outages {
    /// How many.
    pub count: u64,
    /// Median, up to 4.5 % too high.
    pub p50: Duration,
    /// 99th percentile, up to 4.5 % too high.
    pub p99: Duration,
    /// The longest one, exact.
    pub max: Duration,
}

/// Buckets per doubling.
const STEPS: u32 = 16;
/// Doublings of a millisecond: beyond 12 days all is one bucket.
const OCTAVES: u32 = 30;

/// Counts in buckets whose upper ends grow by 2^(1/16).
#[derive(Debug)]
pub(super) struct Histogram {
    buckets: Vec<u64>,
    count: u64,
    max: Duration,
}

impl Histogram {
    pub(super) fn new() -> Self {
        Self { buckets: vec![0; (STEPS * OCTAVES) as usize + 1], count: 0, max: Duration::ZERO }
    }

    pub(super) fn add(&mut self, value: Duration) {
        let place = (value.as_secs_f64() * 1e3).max(1.0).log2() * f64::from(STEPS);
        let last = self.buckets.len() - 1;
        if let Some(bucket) = self.buckets.get_mut((place.ceil() as usize).min(last)) {
            *bucket += 1;
        }
        self.count += 1;
        self.max = self.max.max(value);
    }

    fn percentile(&self, percent: u64) -> Duration {
        let wanted = (self.count * percent).div_ceil(100).max(1);
        let mut seen = 0;
        for (place, bucket) in self.buckets.iter().enumerate() {
            seen += bucket;
            if seen >= wanted {
                let millis = (place as f64 / f64::from(STEPS)).exp2();
                return Duration::from_secs_f64(millis / 1e3).min(self.max);
            }
        }
        self.max
    }

    pub(super) fn summary(&self) -> Outages {
        match self.count {
            0 => Outages::default(),
            count => Outages { count, p50: self.percentile(50), p99: self.percentile(99), max: self.max },
        }
    }
}

/// Where a phone stood before a step.
#[derive(Clone, Copy)]
pub(super) struct Before {
    status: Status,
    server: Option<SocketAddr>,
    rank: Option<Rank>,
    busy: bool,
    counters: Counters,
}

impl Before {
    pub(super) fn of(phone: &Phone) -> Self {
        Self {
            status: phone.status(),
            server: phone.registered_at(),
            rank: phone.rank(),
            busy: phone.is_busy(),
            counters: *phone.counters(),
        }
    }
}

/// The running figures behind [`FleetStats`].
#[derive(Debug)]
pub(super) struct Ledger {
    pub(super) stats: FleetStats,
    outages: Histogram,
}

impl Ledger {
    pub(super) fn new(phones: usize) -> Self {
        let stats = FleetStats { phones: u32::try_from(phones).unwrap_or(u32::MAX), ..FleetStats::default() };
        Self { stats, outages: Histogram::new() }
    }

    /// A phone took a step.
    pub(super) fn step(&mut self, before: &Before, phone: &Phone) {
        let after = Before::of(phone);
        let stats = &mut self.stats;
        if (before.status, before.server, before.rank, before.busy)
            != (after.status, after.server, after.rank, after.busy)
        {
            for (which, sign) in [(before, false), (&after, true)] {
                let add = |n: &mut u32| *n = if sign { n.saturating_add(1) } else { n.saturating_sub(1) };
                if which.status != Status::Off {
                    add(&mut stats.started);
                    match which.server {
                        Some(server) => {
                            add(&mut stats.registered);
                            add(stats.by_server.entry(server).or_default());
                        }
                        None => add(&mut stats.unregistered),
                    }
                }
                if let Some(rank) = which.rank {
                    add(stats.by_rank.entry(rank).or_default());
                }
                if which.busy {
                    add(&mut stats.busy);
                }
            }
            stats.by_server.retain(|_, n| *n > 0);
            stats.by_rank.retain(|_, n| *n > 0);
        }
        stats.counters.add_difference(&before.counters, &after.counters);
    }

    pub(super) fn changed(&mut self, change: &Change) {
        if let Some(outage) = change.outage {
            self.outages.add(outage);
        }
    }

    pub(super) fn snapshot(&self, now: Time) -> FleetStats {
        FleetStats { at: now, outages: self.outages.summary(), ..self.stats.clone() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_right_within_a_bucket_and_the_longest_is_exact() {
        let mut outages = Histogram::new();
        for millis in 1..=1_000 {
            outages.add(Duration::from_millis(millis));
        }
        let found = outages.summary();
        let near = |d: Duration, millis: f64| (d.as_secs_f64() * 1e3 / millis - 1.0).abs() < 0.045;
        assert!(near(found.p50, 500.0) && near(found.p99, 990.0), "{found:?}");
        assert_eq!((found.count, found.max), (1_000, Duration::from_millis(1_000)));
    }

    #[test]
    fn nothing_and_extremes_have_figures_too() {
        assert_eq!(Histogram::new().summary(), Outages::default());
        let mut outages = Histogram::new();
        outages.add(Duration::ZERO);
        outages.add(Duration::from_secs(100_000_000));
        assert_eq!(outages.summary().max, Duration::from_secs(100_000_000));
        assert!(outages.summary().p50 <= Duration::from_millis(1));
    }
}
