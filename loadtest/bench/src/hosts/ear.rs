//! What the nodes have told through a scenario, collected while it goes on: a journal is bounded, and thousands of phones that move fill it.
//!
//! It must never take a node that does not answer for one that told nothing: it is asked again later.

use super::network::HOSTS;
use super::nodes::{Event, Nodes};
use std::collections::{BTreeMap, BTreeSet};

/// What is listened to.
pub(super) const SUSPECT: &str = "node_suspect";
pub(super) const DOWN: &str = "node_down";
pub(super) const UP: &str = "node_up";
pub(super) const REOPENED: &str = "link_reopened";
pub(super) const FAILED: &str = "link_failed";
const KINDS: [&str; 5] = [SUSPECT, DOWN, UP, REOPENED, FAILED];

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Ear {
    /// In milliseconds since 1970.
    since: u64,
    told: BTreeMap<(usize, &'static str), BTreeSet<Event>>,
}

impl Ear {
    /// Hears what is told from this moment on.
    pub(super) fn since(since: u64) -> Self {
        Self { since, told: BTreeMap::new() }
    }
    /// Asks every node that answers.
    pub(super) fn listen(&mut self, nodes: &Nodes) {
        for host in (0..HOSTS).filter(|h| nodes.answers(*h)) {
            for kind in KINDS {
                // It may have been told to end, or stand still: what it has told is still there the next time.
                let events = nodes.events(host, kind, self.since).unwrap_or_default();
                self.told.entry((host, kind)).or_default().extend(events);
            }
        }
    }
    /// What the node of a host has told of this kind, in order.
    pub(super) fn told(&self, host: usize, kind: &'static str) -> Vec<Event> {
        self.told.get(&(host, kind)).into_iter().flatten().cloned().collect()
    }
}
