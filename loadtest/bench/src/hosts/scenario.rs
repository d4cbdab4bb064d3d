//! What is done to the hosts, one after another, and what may follow from it: a table.
//!
//! The limits are those that the project has set itself; they are written here once. It must never do anything itself.

use super::network::Cable;
use std::time::Duration;

/// Which host everything happens to, and which other one where it takes two.
pub(super) const VICTIM: usize = 0;
pub(super) const OTHER: usize = 1;

/// A hung node is dead for its peers within this time, one behind a cut within that, in milliseconds.
const HUNG_MS: u64 = 1_500;
const CUT_MS: u64 = 3_000;
/// One that ends in good order is gone for its peers so soon after its process has ended: at once, as far as two programs can tell.
const CLOSED_MS: u64 = 100;

/// What is done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fault {
    /// `kill -9` of the process; it is started again afterwards.
    Kill,
    /// SIGTERM, and started again afterwards.
    Stop,
    /// SIGSTOP, and SIGCONT afterwards.
    Freeze,
    /// The host's cables are pulled, and put back afterwards.
    Cut(&'static [Cable]),
    /// The two hosts do not hear each other; everybody else hears both.
    Pair,
    /// The other host does not hear the victim; the victim hears it.
    OneWay,
    /// The cables are pulled for a second and put back for a second, again and again.
    Flap(&'static [Cable]),
    /// Nothing, while two programs keep two cores busy.
    Busy,
}

/// Who shall find whom dead, and how soon.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Notice {
    pub(super) by: usize,
    pub(super) whom: usize,
}

/// How often a phone may change its CallManager.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Moves {
    /// While the fault lasts.
    pub(super) during: u32,
    /// In all, until every device is at home again.
    pub(super) in_all: u32,
}

/// One line of the table.
#[derive(Clone, Copy, Debug)]
pub(super) struct Scenario {
    pub(super) name: &'static str,
    pub(super) about: &'static str,
    pub(super) fault: Fault,
    pub(super) moves: Moves,
}

const STAYS: Moves = Moves { during: 0, in_all: 0 };
/// Away, and home again.
const AWAY_AND_HOME: Moves = Moves { during: 1, in_all: 2 };
/// All are sent away within ten seconds: one for whom the best backup has no room just then goes to the next, and from there to the best.
const AWAY_IN_TWO_STEPS: Moves = Moves { during: 2, in_all: 3 };

/// All of them, in the order in which they are run.
pub(super) const ALL: [Scenario; 10] = [
    Scenario {
        name: "kill",
        about: "kill -9 of CCM1's process; started again",
        fault: Fault::Kill,
        moves: AWAY_AND_HOME,
    },
    Scenario {
        name: "stop",
        about: "SIGTERM to CCM1's process; started again",
        fault: Fault::Stop,
        moves: AWAY_IN_TWO_STEPS,
    },
    Scenario {
        name: "freeze",
        about: "SIGSTOP to CCM1's process; SIGCONT",
        fault: Fault::Freeze,
        moves: AWAY_AND_HOME,
    },
    Scenario {
        name: "partition",
        about: "CCM1's cable to the other nodes is pulled; phones reach all",
        fault: Fault::Cut(&[Cable::Nodes]),
        moves: STAYS,
    },
    Scenario {
        name: "pair",
        about: "CCM1 and CCM2 do not hear each other, CCM3 hears both",
        fault: Fault::Pair,
        moves: STAYS,
    },
    Scenario {
        name: "one-way",
        about: "CCM2 does not hear CCM1; CCM1 hears CCM2, CCM3 hears both",
        fault: Fault::OneWay,
        moves: STAYS,
    },
    Scenario {
        name: "host",
        about: "both cables of CCM1's host are pulled: neither nodes nor phones reach it",
        fault: Fault::Cut(&[Cable::Nodes, Cable::Phones]),
        moves: AWAY_AND_HOME,
    },
    Scenario {
        name: "flap",
        about: "CCM1's cable to the other nodes, pulled for 1 s and put back for 1 s",
        fault: Fault::Flap(&[Cable::Nodes]),
        moves: STAYS,
    },
    Scenario {
        name: "flap-host",
        about: "both cables of CCM1's host, pulled for 1 s and put back for 1 s",
        fault: Fault::Flap(&[Cable::Nodes, Cable::Phones]),
        moves: AWAY_AND_HOME,
    },
    Scenario {
        name: "busy",
        about: "nothing happens, and two programs keep two cores busy",
        fault: Fault::Busy,
        moves: STAYS,
    },
];

/// Lengths of faults, from the command line.
#[derive(Clone, Copy, Debug)]
pub(super) struct Lengths {
    pub(super) cut: Duration,
    pub(super) freeze: Duration,
    pub(super) flap: Duration,
    pub(super) busy: Duration,
}

impl Scenario {
    /// How long the fault lasts.
    pub(super) const fn length(&self, of: &Lengths) -> Duration {
        match self.fault {
            Fault::Kill | Fault::Stop | Fault::Cut(_) | Fault::Pair | Fault::OneWay => of.cut,
            Fault::Freeze => of.freeze,
            Fault::Flap(_) => of.flap,
            Fault::Busy => of.busy,
        }
    }

    /// Who has to find whom dead, and within how many milliseconds. Of a flapping cable nothing is asked: a second is as long as `dead_after`.
    pub(super) fn notices(&self) -> (Vec<Notice>, u64) {
        let pairs = |pairs: &[(usize, usize)]| pairs.iter().map(|(by, whom)| Notice { by: *by, whom: *whom }).collect();
        match self.fault {
            Fault::Kill | Fault::Freeze => (pairs(&[(1, 0), (2, 0)]), HUNG_MS),
            Fault::Stop => (pairs(&[(1, 0), (2, 0)]), CLOSED_MS),
            Fault::Cut(_) => (pairs(&[(1, 0), (2, 0), (0, 1), (0, 2)]), CUT_MS),
            Fault::Pair | Fault::OneWay => (pairs(&[(1, 0), (0, 1)]), CUT_MS),
            Fault::Flap(_) | Fault::Busy => (Vec::new(), 0),
        }
    }

    /// Whether one host may find another dead at all. Everything else is a false alarm.
    pub(super) fn may_miss(&self, by: usize, whom: usize) -> bool {
        let concerns = by == VICTIM || whom == VICTIM;
        match self.fault {
            Fault::Kill | Fault::Stop | Fault::Freeze | Fault::Cut(_) | Fault::Flap(_) => concerns,
            Fault::Pair | Fault::OneWay => concerns && (by == OTHER || whom == OTHER),
            Fault::Busy => false,
        }
    }

    /// Whether the victim's process can be asked while the fault lasts.
    pub(super) const fn victim_answers(&self) -> bool {
        !matches!(self.fault, Fault::Kill | Fault::Stop | Fault::Freeze)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whoever_must_be_missed_may_be_missed_and_names_are_distinct() {
        for scenario in &ALL {
            let (notices, limit) = scenario.notices();
            assert!(notices.iter().all(|n| scenario.may_miss(n.by, n.whom)), "{}", scenario.name);
            assert_eq!(notices.is_empty(), limit == 0, "{}", scenario.name);
            assert_eq!(ALL.iter().filter(|s| s.name == scenario.name).count(), 1);
            assert!(scenario.moves.during <= scenario.moves.in_all);
        }
        let one_way = ALL.iter().find(|s| s.fault == Fault::OneWay).unwrap();
        assert!(!one_way.may_miss(2, 0) && !one_way.may_miss(0, 2));
    }
}
