//! What the operations of a fleet cost and how they ended: the measuring side, apart from the books of who stands where.
//!
//! Latency counts from the moment that was intended, so a generator or a CallManager that stalls cannot hide it. Operations
//! meant for a moment before [`Record::measure_from`] are a warm-up: they are done and counted apart, but not measured.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;
use tandem_base::Time;

use super::spread::Spread;
use crate::{Exchange, Operation, Outcome};

/// Seconds kept one by one, the newest: four days.
const SECONDS_MAX: usize = 350_000;
/// CallManagers whose messages are counted; more than a plan can name in one list.
const PEERS_MAX: usize = 256;

/// How the operations of one kind ended.
#[derive(Clone, Debug, Default)]
pub struct Tally {
    /// From the intended beginning to the 2xx.
    pub good: Spread,
    /// The same operations, from the moment when the first request was written: what tools see that count from there.
    pub good_from_send: Spread,
    /// Final answers that are no success, by code.
    pub refused: BTreeMap<u16, u64>,
    /// No final answer within the phone's patience.
    pub no_answer: u64,
    /// Nobody listened.
    pub unreachable: u64,
    /// Scheduled and never sent.
    pub skipped: u64,
    /// Without an answer while the CallManager was dead, which is no failure.
    pub excused: u64,
}

impl Tally {
    fn add(&mut self, exchange: &Exchange, excused: bool) {
        if excused {
            self.excused += 1;
            return;
        }
        match exchange.outcome {
            Outcome::Answered(200..300) => {
                self.good.add(exchange.at.since(exchange.begun));
                self.good_from_send.add(exchange.at.since(exchange.sent));
            }
            Outcome::Answered(code) => *self.refused.entry(code).or_default() += 1,
            Outcome::NoAnswer => self.no_answer += 1,
            Outcome::Unreachable => self.unreachable += 1,
            Outcome::Skipped => self.skipped += 1,
        }
    }

    /// Operations that ended, well or not.
    pub fn total(&self) -> u64 {
        self.good.count() + self.failed()
    }

    /// Those that did not end well, throttling included.
    pub fn failed(&self) -> u64 {
        self.refused.values().sum::<u64>() + self.no_answer + self.unreachable + self.skipped
    }

    /// 503: told to come back later, which is no failure of a phone that does.
    pub fn throttled(&self) -> u64 {
        self.refused.get(&503).copied().unwrap_or_default()
    }
}

/// Messages to and from one CallManager.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Traffic {
    /// REGISTER sent, repetitions included.
    pub registers: u64,
    /// Other requests sent, repetitions included.
    pub others: u64,
    /// Answers received, by class: 1xx to 6xx.
    pub answers: [u64; 6],
}

/// What happened in one second of the fleet's clock.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Second {
    /// Which second.
    pub second: u64,
    /// Registrations that began, first ones and moves.
    pub registrations: u64,
    /// Refreshes answered with success.
    pub refreshes: u64,
    /// Operations that failed, 503 not counted.
    pub failed: u64,
    /// 503.
    pub throttled: u64,
    /// Median latency of all operations that ended well.
    pub p50: Duration,
    /// Their 99th percentile.
    pub p99: Duration,
    /// Devices registered at its end, by CallManager.
    pub by_server: BTreeMap<SocketAddr, u32>,
}

/// See the module.
#[derive(Clone, Debug)]
pub struct Record {
    /// Operations meant for earlier are warm-up. [`Time::FAR`] at first: nothing counts.
    pub measure_from: Time,
    /// By kind.
    pub operations: BTreeMap<Operation, Tally>,
    /// Operations of the warm-up.
    pub warm_up: u64,
    /// From the intended power-on to the first registration, refusals and waits included.
    pub served_after: Spread,
    /// How late requests were written, by the generator's own fault. Without the warm-up: a calm one would hide what came after.
    pub late: Spread,
    /// Retry-After of 503, while measured.
    pub retry_after: Spread,
    /// Refusals of phones that shall be refused.
    pub rightly_refused: u64,
    /// Registrations of phones that shall be refused.
    pub wrongly_accepted: u64,
    /// CallManagers that died: from when until when their silence is excused.
    pub dead: BTreeMap<SocketAddr, (Time, Time)>,
    /// Messages, by CallManager; everything since the start.
    pub traffic: BTreeMap<SocketAddr, Traffic>,
    /// Second by second, since the start.
    pub seconds: Vec<Second>,
    current: Second,
    current_spread: Spread,
}

impl Default for Record {
    fn default() -> Self {
        Self {
            measure_from: Time::FAR,
            operations: Operation::ALL.into_iter().map(|o| (o, Tally::default())).collect(),
            warm_up: 0,
            served_after: Spread::new(),
            late: Spread::new(),
            retry_after: Spread::new(),
            rightly_refused: 0,
            wrongly_accepted: 0,
            dead: BTreeMap::new(),
            traffic: BTreeMap::new(),
            seconds: Vec::new(),
            current: Second::default(),
            current_spread: Spread::new(),
        }
    }
}

impl Record {
    /// An operation of a phone is over. `refused`: this phone shall be refused.
    pub(super) fn over(&mut self, exchange: &Exchange, refused: bool) {
        // The others are sent when something allows them, not at a planned moment.
        let planned = matches!(exchange.operation, Operation::Register | Operation::Refresh);
        if planned && exchange.begun >= self.measure_from {
            self.late.add(exchange.late);
        }
        let good = matches!(exchange.outcome, Outcome::Answered(200..300));
        if refused {
            return match exchange.outcome {
                Outcome::Answered(200..300) => self.wrongly_accepted += 1,
                Outcome::Answered(_) => self.rightly_refused += 1,
                _ => {}
            };
        }
        let throttled = exchange.outcome == Outcome::Answered(503);
        let excused = self.is_excused(exchange);
        if good {
            self.current_spread.add(exchange.at.since(exchange.begun));
            match exchange.operation {
                Operation::Register | Operation::Move => self.current.registrations += 1,
                Operation::Refresh => self.current.refreshes += 1,
                _ => {}
            }
        } else if throttled {
            self.current.throttled += 1;
        } else if !excused {
            self.current.failed += 1;
        }
        if exchange.begun < self.measure_from {
            self.warm_up += 1;
            return;
        }
        if let Some(wait) = exchange.retry_after.filter(|_| throttled) {
            self.retry_after.add(wait);
        }
        self.operations.entry(exchange.operation).or_default().add(exchange, excused);
    }

    /// Without an answer, from a CallManager that was dead some time between the beginning and the end; or a refresh of a
    /// phone that has no CallManager while one is dead.
    fn is_excused(&self, exchange: &Exchange) -> bool {
        let overlaps = |(from, until): &(Time, Time)| exchange.at >= *from && exchange.begun <= *until;
        match exchange.outcome {
            Outcome::Answered(_) => false,
            Outcome::NoAnswer | Outcome::Unreachable => {
                exchange.server.and_then(|s| self.dead.get(&s)).is_some_and(overlaps)
            }
            Outcome::Skipped => self.dead.values().any(overlaps),
        }
    }

    /// A phone was registered for the first time since it was meant to be switched on at `wanted`.
    pub(super) fn served(&mut self, wanted: Time, now: Time) {
        if wanted >= self.measure_from {
            self.served_after.add(now.since(wanted));
        }
    }

    pub(super) fn sent(&mut self, to: SocketAddr, bytes: &[u8]) {
        if bytes.starts_with(b"SIP/2.0") {
            return;
        }
        let is_register = bytes.starts_with(b"REGISTER ");
        if let Some(traffic) = self.traffic_of(to) {
            if is_register {
                traffic.registers += 1;
            } else {
                traffic.others += 1;
            }
        }
    }

    pub(super) fn answered(&mut self, from: SocketAddr, code: u16) {
        let class = usize::from(code / 100).wrapping_sub(1);
        if let Some(count) = self.traffic_of(from).and_then(|t| t.answers.get_mut(class)) {
            *count += 1;
        }
    }

    fn traffic_of(&mut self, peer: SocketAddr) -> Option<&mut Traffic> {
        if self.traffic.len() >= PEERS_MAX && !self.traffic.contains_key(&peer) {
            return None;
        }
        Some(self.traffic.entry(peer).or_default())
    }

    /// Closes the second when it is over.
    pub(super) fn look(&mut self, now: Time, by_server: &BTreeMap<SocketAddr, u32>) {
        if now.as_secs() == self.current.second {
            return;
        }
        let spread = &mut self.current_spread;
        self.current.p50 = spread.quantile(0.5);
        self.current.p99 = spread.quantile(0.99);
        self.current.by_server.clone_from(by_server);
        spread.clear();
        let next = Second { second: now.as_secs(), ..Second::default() };
        let done = std::mem::replace(&mut self.current, next);
        if self.seconds.len() < SECONDS_MAX {
            self.seconds.push(done);
        }
    }

    /// The latency of all operations of these kinds taken together.
    pub fn latency(&self, kinds: &[Operation]) -> Spread {
        let mut all = Spread::new();
        for tally in kinds.iter().filter_map(|k| self.operations.get(k)) {
            all.merge(&tally.good);
        }
        all
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn exchange(operation: Operation, outcome: Outcome, begun: u64, took: u64) -> Exchange {
        let begun = Time::from_millis(begun);
        let at = begun + Duration::from_millis(took);
        let retry_after = (outcome == Outcome::Answered(503)).then_some(Duration::from_secs(3));
        let late = Duration::from_millis(1);
        Exchange { operation, server: None, outcome, begun, late, sent: begun + late, at, retry_after }
    }

    #[test]
    fn the_warm_up_is_counted_apart_and_the_rest_from_its_intended_moment() {
        let mut record = Record { measure_from: Time::from_secs(1), ..Record::default() };
        record.over(&exchange(Operation::Refresh, Outcome::Answered(200), 999, 500), false);
        record.over(&exchange(Operation::Refresh, Outcome::Answered(200), 1_000, 20), false);
        record.over(&exchange(Operation::Refresh, Outcome::Answered(503), 1_100, 5), false);
        record.over(&exchange(Operation::Refresh, Outcome::NoAnswer, 1_100, 5), false);
        let tally = &record.operations[&Operation::Refresh];
        assert_eq!((record.warm_up, tally.good.count(), tally.total(), tally.throttled()), (1, 1, 3, 1));
        assert_eq!((tally.good.max().as_millis(), tally.good_from_send.max().as_millis()), (20, 19));
        assert_eq!((record.retry_after.count(), record.late.count()), (1, 3));
    }

    #[test]
    fn who_shall_be_refused_counts_neither_as_failure_nor_as_success() {
        let mut record = Record { measure_from: Time::ZERO, ..Record::default() };
        record.over(&exchange(Operation::Register, Outcome::Answered(403), 1, 1), true);
        record.over(&exchange(Operation::Register, Outcome::Answered(200), 1, 1), true);
        assert_eq!((record.rightly_refused, record.wrongly_accepted), (1, 1));
        assert_eq!(record.operations[&Operation::Register].total(), 0);
    }

    #[test]
    fn the_silence_of_a_dead_callmanager_is_excused_and_that_of_a_living_one_is_not() {
        let server: SocketAddr = "127.0.0.1:5061".parse().unwrap();
        let mut record = Record { measure_from: Time::ZERO, ..Record::default() };
        record.dead.insert(server, (Time::from_millis(100), Time::from_millis(200)));
        for (outcome, begun, server) in [
            (Outcome::NoAnswer, 95, Some(server)),
            (Outcome::Unreachable, 200, Some(server)),
            (Outcome::Skipped, 150, None),
            (Outcome::NoAnswer, 201, Some(server)),
            (Outcome::NoAnswer, 150, Some("127.0.0.1:5062".parse().unwrap())),
            (Outcome::Answered(500), 150, Some(server)),
        ] {
            record.over(&Exchange { server, ..exchange(Operation::Refresh, outcome, begun, 10) }, false);
        }
        let tally = &record.operations[&Operation::Refresh];
        assert_eq!((tally.excused, tally.no_answer, tally.refused.len()), (3, 2, 1));
    }

    #[test]
    fn seconds_close_with_their_figures_and_messages_are_counted_by_peer() {
        let server: SocketAddr = "127.0.0.1:5061".parse().unwrap();
        let mut record = Record::default();
        record.over(&exchange(Operation::Register, Outcome::Answered(200), 1, 10), false);
        record.over(&exchange(Operation::Move, Outcome::Answered(404), 1, 10), false);
        record.look(Time::from_millis(999), &BTreeMap::new());
        assert!(record.seconds.is_empty());
        record.look(Time::from_secs(1), &BTreeMap::from([(server, 4)]));
        let second = &record.seconds[0];
        assert_eq!((second.second, second.registrations, second.failed, second.by_server[&server]), (0, 1, 1, 4));
        record.sent(server, b"REGISTER sip:x SIP/2.0\r\n");
        record.sent(server, b"REFER sip:x SIP/2.0\r\n");
        record.sent(server, b"SIP/2.0 200 OK\r\n");
        record.answered(server, 200);
        record.answered(server, 401);
        record.answered(server, 999);
        assert_eq!(record.traffic[&server], Traffic { registers: 1, others: 1, answers: [0, 1, 0, 1, 0, 0] });
    }
}
