//! Who is there, as a machine without sockets: hellos, frames, goodbyes and silence go in, what the node is told comes out.
//!
//! A peer is up when it is heard and says that it hears us. It is down when it said goodbye in every lane, when a newer life of it speaks, or
//! when it has been silent for too long; the engine's own view of its connections decides nothing. A new session of the same life (certificates
//! were replaced) is no event. It must never let an older life or session speak for a newer one.

use super::super::Ending;
use super::word::{Head, Hello, Id};
use bytes::Bytes;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;
use tandem_base::{NodeName, Time};
use tandem_cluster::link::LinkEvent;

/// What came in did to the node's world.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Outcome {
    /// For the node, in order.
    pub(super) events: Vec<LinkEvent>,
    /// For the metric.
    pub(super) endings: Vec<Ending>,
    /// Peers should hear of it before the next regular hello.
    pub(super) hello_soon: bool,
    /// A newer life of this node speaks: this one is over.
    pub(super) replaced: bool,
}

impl Outcome {
    fn refuse(ending: Ending) -> Self {
        Self { endings: vec![ending], ..Self::default() }
    }
}

/// One peer that has been heard.
#[derive(Debug)]
struct Peer {
    id: Id,
    heard: Time,
    /// When it last said that it hears this session.
    hears_us: Option<Time>,
    up: bool,
    /// The last number of each lane.
    numbers: [u64; 3],
    /// In which lanes it has said goodbye, one bit each.
    byes: u8,
    /// Whom it hears, of the nodes that this one may miss.
    hears: BTreeSet<NodeName>,
}

const EVERY_LANE: u8 = 0b111;

/// See the module.
#[derive(Debug)]
pub(super) struct Peers {
    me: NodeName,
    id: Id,
    members: Vec<NodeName>,
    /// How long a peer may be silent.
    patience: Duration,
    heard: BTreeMap<NodeName, Peer>,
    /// The last session of each peer that is over for good.
    gone: BTreeMap<NodeName, Id>,
    /// Who was refused already; each is counted once.
    refused: BTreeSet<(NodeName, Id, u8)>,
}

/// Refused sessions that are remembered.
const REFUSED_MAX: usize = 256;

impl Peers {
    pub(super) fn new(me: NodeName, id: Id, members: &[NodeName], patience: Duration) -> Self {
        let members = members.iter().filter(|m| **m != me).cloned().collect();
        Self { me, id, members, patience, heard: BTreeMap::new(), gone: BTreeMap::new(), refused: BTreeSet::new() }
    }
    /// This node's own session.
    pub(super) const fn id(&self) -> Id {
        self.id
    }
    /// This node opens another session; peers have to say anew that they hear it.
    pub(super) const fn next_session(&mut self) {
        self.id.session += 1;
    }
    /// The session of a peer that is up.
    pub(super) fn up(&self, node: &NodeName) -> Option<Id> {
        self.heard.get(node).filter(|p| p.up).map(|p| p.id)
    }
    /// All peers that are up.
    pub(super) fn all_up(&self) -> Vec<(NodeName, Id)> {
        self.heard.iter().filter(|(_, p)| p.up).map(|(n, p)| (n.clone(), p.id)).collect()
    }
    /// Whether a configured peer is not up.
    pub(super) fn misses_some(&self) -> bool {
        self.members.iter().any(|m| self.up(m).is_none())
    }
    /// What this node says of itself now.
    pub(super) fn hello(&self, now: Time) -> Hello {
        let lately = self.heard.iter().filter(|(_, p)| p.byes != EVERY_LANE && now.since(p.heard) < self.patience);
        Hello::new(self.id, lately.map(|(n, p)| (n.clone(), p.id)).collect())
    }
    /// This node stood still until `now`: nobody is judged by the pause.
    pub(super) fn forgive(&mut self, now: Time) {
        for peer in self.heard.values_mut().filter(|p| p.up) {
            peer.heard = now;
            peer.hears_us = Some(now);
        }
    }

    /// Counts a refusal once for each session.
    pub(super) fn refuse(&mut self, node: &NodeName, id: Id, ending: Ending) -> Outcome {
        if self.refused.len() >= REFUSED_MAX {
            self.refused.clear();
        }
        let new = self.refused.insert((node.clone(), id, ending as u8));
        if new { Outcome::refuse(ending) } else { Outcome::default() }
    }

    /// A hello of this cluster.
    pub(super) fn on_hello(&mut self, now: Time, from: &NodeName, hello: &Hello) -> Outcome {
        if !hello.fits() {
            return self.refuse(from, hello.id, Ending::Version);
        }
        if *from == self.me {
            return match hello.id.incarnation > self.id.incarnation {
                true => Outcome { replaced: true, ..Outcome::refuse(Ending::Replaced) },
                false => self.refuse(from, hello.id, Ending::Older),
            };
        }
        if !self.members.contains(from) {
            return self.refuse(from, hello.id, Ending::Stranger);
        }
        if self.gone.get(from).is_some_and(|gone| *gone >= hello.id) {
            return Outcome::default();
        }
        if self.heard.get(from).is_some_and(|p| p.id > hello.id) {
            return self.refuse(from, hello.id, Ending::Older);
        }
        let mut outcome = Outcome::default();
        self.meet(now, from, hello.id, &mut outcome);
        let hears_us = hello.hears(&self.me, self.id);
        let members = &self.members;
        if let Some(peer) = self.heard.get_mut(from) {
            peer.heard = now;
            peer.hears = hello.heard.iter().map(|(n, _)| n).filter(|n| members.contains(n)).cloned().collect();
            if hears_us {
                peer.hears_us = Some(now);
            }
        }
        if hears_us {
            self.rise(from, &mut outcome);
        }
        outcome
    }

    /// The record of a peer's session, with whatever that ends.
    fn meet(&mut self, now: Time, from: &NodeName, id: Id, outcome: &mut Outcome) {
        let newer_life = match self.heard.get_mut(from) {
            Some(peer) if peer.id == id => return,
            Some(peer) if peer.id.incarnation == id.incarnation => {
                // The same life, and all that is said of it stays true. Its numbers begin anew.
                (peer.id, peer.numbers, peer.byes) = (id, [0; 3], 0);
                outcome.hello_soon = true;
                return;
            }
            known => known.is_some(),
        };
        if newer_life {
            self.fall(from, Ending::Replaced, outcome);
        }
        let hears = BTreeSet::new();
        let peer = Peer { id, heard: now, hears_us: None, up: false, numbers: [0; 3], byes: 0, hears };
        self.heard.insert(from.clone(), peer);
        outcome.hello_soon = true;
    }
    fn rise(&mut self, node: &NodeName, outcome: &mut Outcome) {
        let Some(peer) = self.heard.get_mut(node).filter(|p| !p.up && p.byes != EVERY_LANE) else { return };
        peer.up = true;
        outcome.hello_soon = true;
        outcome.events.push(LinkEvent::PeerUp { node: node.clone(), incarnation: peer.id.incarnation });
    }
    fn fall(&mut self, node: &NodeName, ending: Ending, outcome: &mut Outcome) {
        let Some(peer) = self.heard.get_mut(node).filter(|p| p.up) else { return };
        (peer.up, peer.hears_us) = (false, None);
        outcome.endings.push(ending);
        let incarnation = peer.id.incarnation;
        outcome.events.push(LinkEvent::PeerDown { node: node.clone(), incarnation, why: ending.down() });
    }

    /// A frame or a goodbye.
    pub(super) fn on_frame(&mut self, now: Time, from: &str, head: Head, body: impl FnOnce() -> Bytes) -> Outcome {
        let mut outcome = Outcome::default();
        let next = |(node, peer): (&NodeName, &Peer)| {
            let later = peer.up && peer.id.incarnation == head.from.incarnation && peer.id.session < head.from.session;
            (later && node.as_str() == from).then(|| node.clone())
        };
        if let Some(node) = self.heard.iter().find_map(next) {
            self.meet(now, &node, head.from, &mut outcome);
        }
        let mine = head.to.is_none_or(|to| to == self.id);
        let Some((node, peer)) = self.heard.iter_mut().find(|(n, p)| n.as_str() == from && p.id == head.from) else {
            return outcome;
        };
        if !mine {
            return outcome;
        }
        let node = node.clone();
        peer.heard = now;
        if head.bye {
            peer.byes |= 1 << head.lane as u8;
            if peer.byes == EVERY_LANE {
                let id = peer.id;
                self.fall(&node, Ending::Closed, &mut outcome);
                self.gone.insert(node, id);
                outcome.hello_soon = true;
            }
            return outcome;
        }
        if head.to.is_some() {
            // Nobody sends to a session that it does not hear: its hello that says so may still be on its way in another lane.
            peer.hears_us = Some(now);
            self.rise(&node, &mut outcome);
        }
        let Some(peer) = self.heard.get_mut(&node).filter(|p| p.up) else { return outcome };
        // What an old connection still had may not come after what the new one brought.
        let Some(last) = peer.numbers.get_mut(head.lane as usize).filter(|last| head.number > **last) else {
            return outcome;
        };
        *last = head.number;
        outcome.events.push(LinkEvent::Message { from: node, bytes: body() });
        outcome
    }

    /// Silence.
    pub(super) fn tick(&mut self, now: Time) -> Outcome {
        let mut outcome = Outcome::default();
        let patience = self.patience;
        let silent = |p: &Peer| {
            let deaf = p.hears_us.is_none_or(|at| now.since(at) >= patience);
            p.up && (now.since(p.heard) >= patience || deaf)
        };
        let lost: Vec<NodeName> = self.heard.iter().filter(|(_, p)| silent(p)).map(|(n, _)| n.clone()).collect();
        for node in lost {
            self.fall(&node, Ending::Silent, &mut outcome);
        }
        outcome
    }

    /// Whether others hear a peer that this node does not, or it is heard and does not hear this node: the way to it is not what is cut.
    pub(super) fn is_one_sided(&self, now: Time, node: &NodeName) -> bool {
        let lately = |p: &Peer| now.since(p.heard) < self.patience;
        let heard_here = self.heard.get(node).is_some_and(|p| p.byes != EVERY_LANE && lately(p));
        heard_here || self.heard.values().any(|p| p.up && lately(p) && p.hears.contains(node))
    }
    /// The configured peers that are not up.
    pub(super) fn missed(&self) -> Vec<NodeName> {
        self.members.iter().filter(|m| self.up(m).is_none()).cloned().collect()
    }
}

#[cfg(test)]
mod tests;
