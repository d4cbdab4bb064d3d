//! What a scenario did to whom, as data, and the verdict on it.
//!
//! A verdict is a comparison of a figure with a limit that stands beside it. It must never leave a figure out because it is bad.

use serde::Serialize;
use std::collections::BTreeMap;

/// How one node saw another through a fault. Milliseconds after the fault's beginning, or its end.
#[derive(Clone, Debug, Default, Serialize)]
pub(super) struct Sight {
    pub(super) by: String,
    pub(super) whom: String,
    /// It had to be found dead.
    pub(super) expected: bool,
    /// Suspect, and dead, after the beginning.
    pub(super) suspect_ms: Option<u64>,
    pub(super) dead_ms: Option<u64>,
    /// Up again after the end.
    pub(super) up_ms: Option<u64>,
    /// How often it was found dead, from the beginning of the scenario to its end.
    pub(super) deaths: usize,
}

/// Devices by node, as one node's `tandem status` says.
pub(super) type Counts = BTreeMap<String, u64>;

/// What everybody says at one moment.
#[derive(Clone, Debug, Default, Serialize)]
pub(super) struct Look {
    /// By the node that was asked.
    pub(super) status: BTreeMap<String, Counts>,
    /// What the phones believe.
    pub(super) phones: Counts,
}

/// One demand.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Check {
    pub(super) what: String,
    pub(super) limit: String,
    pub(super) figure: String,
    pub(super) pass: bool,
}

/// One scenario.
#[derive(Clone, Debug, Default, Serialize)]
pub(super) struct Outcome {
    pub(super) scenario: String,
    pub(super) about: String,
    pub(super) seconds: f64,
    pub(super) sights: Vec<Sight>,
    pub(super) before: Look,
    /// At the end of the fault, before anything is healed.
    pub(super) during: Look,
    pub(super) after: Look,
    /// Milliseconds from the end of the fault until every node saw all in service, every copy was proven complete, and all counted alike.
    pub(super) equal_ms: Option<u64>,
    /// Milliseconds from the end of the fault until every device was at home.
    pub(super) home_ms: Option<u64>,
    /// Phones that changed their CallManager so often, while the fault lasted and in all.
    pub(super) moves_during: BTreeMap<u32, u32>,
    pub(super) moves_in_all: BTreeMap<u32, u32>,
    /// Some of those that moved more than once while the fault lasted.
    pub(super) restless: Vec<String>,
    /// Registrations that were no refreshes.
    pub(super) registrations: u64,
    /// Devices that a node and the phones place differently, or two nodes, at the end.
    pub(super) misplaced: u64,
    /// Nodes that found somebody dead whom they should hear, with when.
    pub(super) false_alarms: Vec<String>,
    /// Suspicions that nothing was behind.
    pub(super) false_suspicions: usize,
    /// Notes of the link: sessions that were opened anew.
    pub(super) link_notes: Vec<String>,
    /// The longest that the machine kept this very program waiting for a core.
    pub(super) kept_waiting_ms: u64,
    pub(super) checks: Vec<Check>,
}

impl Outcome {
    pub(super) fn pass(&self) -> bool {
        !self.checks.is_empty() && self.checks.iter().all(|c| c.pass)
    }
    /// Adds a demand on a time that must have been reached.
    pub(super) fn within(&mut self, what: &str, limit_ms: u64, figure_ms: Option<u64>) {
        self.checks.push(Check {
            what: what.to_owned(),
            limit: format!("within {limit_ms} ms"),
            figure: figure_ms.map_or_else(|| "never".to_owned(), |ms| format!("{ms} ms")),
            pass: figure_ms.is_some_and(|ms| ms <= limit_ms),
        });
    }
    /// Adds a demand on a count.
    pub(super) fn at_most(&mut self, what: &str, limit: u64, figure: u64) {
        let (limit_text, figure_text) = (format!("at most {limit}"), figure.to_string());
        self.checks.push(Check {
            what: what.to_owned(),
            limit: limit_text,
            figure: figure_text,
            pass: figure <= limit,
        });
    }
    /// Adds a demand that two things are the same.
    pub(super) fn equal(&mut self, what: &str, wanted: &str, found: &str) {
        self.checks.push(Check {
            what: what.to_owned(),
            limit: wanted.to_owned(),
            figure: found.to_owned(),
            pass: wanted == found,
        });
    }
}

/// Phones that moved more often than that.
pub(super) fn beyond(moves: &BTreeMap<u32, u32>, limit: u32) -> u64 {
    moves.iter().filter(|(times, _)| **times > limit).map(|(_, phones)| u64::from(*phones)).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_never_happened_and_what_came_late_fail() {
        let mut outcome = Outcome::default();
        assert!(!outcome.pass(), "nothing was looked at");
        outcome.within("dead", 1_500, Some(1_500));
        outcome.at_most("moved", 0, 0);
        outcome.equal("counts", "1, 2", "1, 2");
        assert!(outcome.pass());
        for (limit, figure) in [(1_500, Some(1_501)), (1_500, None)] {
            let mut bad = outcome.clone();
            bad.within("dead", limit, figure);
            assert!(!bad.pass());
        }
        outcome.at_most("moved", 0, 1);
        assert!(!outcome.pass());
    }

    #[test]
    fn phones_beyond_a_limit_are_counted_once_each() {
        let moves = BTreeMap::from([(0, 100), (1, 10), (2, 5), (3, 1)]);
        assert_eq!((beyond(&moves, 0), beyond(&moves, 1), beyond(&moves, 3)), (16, 6, 0));
    }
}
