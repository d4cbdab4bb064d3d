//! How many registrations each life of a node has let in, against the pace it promises (DESIGN section 2, failover).

use std::collections::BTreeMap;
use tandem_base::{NodeName, Time};
use tandem_rules::invariants::{Broken, admitted_within_pace};

#[derive(Clone, Copy, Debug)]
struct Window {
    /// The bucket was full then.
    since: Time,
    admitted: u64,
}

/// See the module.
pub struct Paces {
    per_second: u32,
    burst: u32,
    windows: BTreeMap<NodeName, Window>,
}

impl Paces {
    /// For nodes that let in so many per second, and so many at once after a pause.
    pub fn new(per_second: u32, burst: u32) -> Self {
        Self { per_second, burst, windows: BTreeMap::new() }
    }
    /// A new life begins with a full bucket.
    pub fn begins(&mut self, node: &NodeName) {
        self.windows.remove(node);
    }
    /// A node has let one in.
    ///
    /// # Errors
    /// It was one too many.
    pub fn admitted(&mut self, now: Time, node: &NodeName) -> Result<(), Broken> {
        let window = self.windows.entry(node.clone()).or_insert(Window { since: now, admitted: 0 });
        let elapsed = now.since(window.since);
        let filled = u128::from(self.per_second) * elapsed.as_micros() / 1_000_000;
        if filled >= u128::from(window.admitted) {
            // Full again: what came before does not count any more.
            *window = Window { since: now, admitted: 0 };
        }
        window.admitted += 1;
        admitted_within_pace(window.admitted, now.since(window.since), self.per_second, self.burst)
            .map_err(|b| Broken { rule: b.rule, how: format!("{node}: {}", b.how) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_and_then_the_pace_are_let_in_and_one_more_is_found() {
        let node = NodeName::new("CCM1").unwrap();
        let mut paces = Paces::new(10, 5);
        for _ in 0..5 {
            paces.admitted(Time::ZERO, &node).unwrap();
        }
        assert!(paces.admitted(Time::from_millis(99), &node).is_err());
        let mut paces = Paces::new(10, 5);
        for i in 0..100 {
            paces.admitted(Time::from_millis(100 * i), &node).unwrap();
        }
    }
}
