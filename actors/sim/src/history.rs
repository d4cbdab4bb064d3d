//! What has been seen of each device in the course of a run: since when a node holds it, the newest stamp of each node, how often it moved.
//!
//! It remembers what nodes and journal say, for rules that no single moment can show. It must never ask a node.

use crate::facts::Facts;
use crate::faults::Fault;
use std::collections::BTreeSet;
use std::time::Duration;
use tandem_base::{Stamp, Time};
use tandem_rules::invariants::Broken;

/// Moves of one device after a fault that no further fault explains: away and home again, and one that was under way.
const MOVES_MAX: u32 = 3;
/// While datagrams are lost or late, or a node is slow, a phone may lose patience so often.
const PATIENCE: Duration = Duration::from_secs(1);

#[derive(Clone, Copy, Debug, Default)]
struct Held {
    stamp: Stamp,
    /// Since when this very registration has been seen; a refresh is a new one.
    since: Time,
    held: bool,
}

/// See the module.
#[derive(Debug)]
pub struct History {
    /// By node and device: the newest registration there.
    held: Vec<Vec<Held>>,
    /// Node, device and stamp of registrations that a living node has let go.
    let_go: BTreeSet<(usize, usize, Stamp)>,
    /// By device: where it registered last, and how often it has moved since the last fault that moves anybody.
    moves: Vec<(Option<usize>, u32)>,
    fault_at: Time,
    rough_for: Duration,
    rough_since: Option<Time>,
    most: u32,
}

impl History {
    /// Before anything has happened.
    pub fn new(nodes: usize, devices: usize) -> Self {
        Self {
            held: vec![vec![Held::default(); devices]; nodes],
            let_go: BTreeSet::new(),
            moves: vec![(None, 0); devices],
            fault_at: Time::ZERO,
            rough_for: Duration::ZERO,
            rough_since: None,
            most: 0,
        }
    }

    /// What a node holds now.
    pub fn holds(&mut self, now: Time, node: usize, facts: &Facts) {
        let Some(held) = self.held.get_mut(node) else { return };
        for (device, (before, here)) in held.iter_mut().zip(&facts.here).enumerate() {
            match here {
                Some((stamp, _)) if before.held && before.stamp == *stamp => {}
                Some((stamp, _)) => *before = Held { stamp: *stamp, since: now, held: true },
                None if before.held => {
                    before.held = false;
                    self.let_go.insert((node, device, before.stamp));
                }
                None => {}
            }
        }
    }
    /// Whether a node has let this registration go while it lived.
    pub fn has_let_go(&self, node: usize, device: usize, stamp: Stamp) -> bool {
        self.let_go.contains(&(node, device, stamp))
    }
    /// Whether any living node has let this registration go, or a newer one of the device, since [`History::forgets`].
    pub fn has_left(&self, device: usize, stamp: Stamp) -> bool {
        self.let_go.iter().any(|(_, of, at)| *of == device && *at >= stamp)
    }
    /// No node lives: what they have let go is past.
    pub fn forgets(&mut self) {
        self.let_go.clear();
    }
    /// A node's life is over: what it held then it no longer holds.
    pub fn ended(&mut self, node: usize) {
        self.held.iter_mut().skip(node).take(1).flatten().for_each(|h| h.held = false);
    }
    /// For how long a node has held this registration.
    pub fn age(&self, now: Time, node: usize, device: usize) -> Duration {
        let held = self.held.get(node).and_then(|h| h.get(device)).filter(|h| h.held);
        held.map_or(Duration::ZERO, |h| now.since(h.since))
    }
    /// The newest stamp of a device at any node but this one, now or earlier.
    pub fn newest_elsewhere(&self, node: Option<usize>, device: usize) -> Stamp {
        let others = self.held.iter().enumerate().filter(|(n, _)| Some(*n) != node);
        others.filter_map(|(_, h)| h.get(device)).map(|h| h.stamp).max().unwrap_or_default()
    }

    /// Something goes wrong or ends; `rough`: from now on phones may lose patience at any time.
    pub fn fault(&mut self, now: Time, fault: Option<Fault>, rough: bool) {
        if fault.is_none_or(|f| f.moves() > 0) {
            self.moves.iter_mut().for_each(|(_, moves)| *moves = 0);
            (self.fault_at, self.rough_for) = (now, Duration::ZERO);
            self.rough_since = None;
        }
        if let Some(since) = self.rough_since.take() {
            self.rough_for += now.since(since);
        }
        self.rough_since = rough.then_some(now);
    }
    /// A device has registered at a node.
    ///
    /// # Errors
    /// It has moved more often than anything explains.
    pub fn registered(&mut self, now: Time, device: usize, node: usize, name: &str) -> Result<(), Broken> {
        let rough = self.rough_for + self.rough_since.map_or(Duration::ZERO, |since| now.since(since));
        let extra = u32::try_from(rough.as_millis() / PATIENCE.as_millis()).unwrap_or(u32::MAX);
        let Some((at, moves)) = self.moves.get_mut(device) else { return Ok(()) };
        if at.replace(node).is_some_and(|before| before != node) {
            *moves += 1;
            self.most = self.most.max(moves.saturating_sub(extra));
            if *moves > MOVES_MAX + extra {
                let how =
                    format!("{name} has moved {moves} times since {}, when a fault last moved anybody", self.fault_at);
                return Err(Broken { rule: "nothing_flaps", how });
            }
        }
        Ok(())
    }
    /// Most moves of a device that only one fault explains.
    pub fn most_moves(&self) -> u32 {
        self.most
    }
    /// A node has taken up a registration of its earlier life: the device is where it was, and has not moved. Of two nodes that begin anew together
    /// both may do so, until they hear each other (seed 580).
    pub fn taken_up(&mut self, device: usize, node: usize) {
        if let Some((at, _)) = self.moves.get_mut(device) {
            *at = Some(node);
        }
    }
    /// How often a device has moved since the last fault that moves anybody.
    pub fn moves(&self) -> u32 {
        self.moves.iter().map(|(_, moves)| *moves).max().unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_device_that_moves_to_and_fro_without_a_fault_is_found() {
        let at = Time::from_secs;
        let mut history = History::new(2, 1);
        history.fault(at(1), Some(Fault::Crash(0)), false);
        for n in 0..=3 {
            history.registered(at(1), 0, n % 2, "SEP1").unwrap();
        }
        assert_eq!(history.most_moves(), 3);
        assert!(history.registered(at(1), 0, 0, "SEP1").is_err_and(|b| b.rule == "nothing_flaps"));
        // A fault between nodes explains nothing; one that moves devices does.
        history.fault(at(2), Some(Fault::Cut(0, 1)), false);
        assert!(history.registered(at(2), 0, 1, "SEP1").is_err());
        history.fault(at(3), Some(Fault::Return(0)), false);
        history.registered(at(3), 0, 0, "SEP1").unwrap();
        // Where datagrams are lost, patience ends now and then.
        history.fault(at(4), Some(Fault::SipLoss(300_000)), true);
        for n in 0..8 {
            history.registered(at(10), 0, n % 2, "SEP1").unwrap();
        }
    }
}
