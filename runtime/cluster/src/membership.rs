//! Who is up, in the view of this node. A peer is up when it is heard **and hears us** (DESIGN section 8, membership).
//!
//! It decides from heartbeats, silence and what the link says of connections; it sends nothing and knows nothing of rows.

use crate::api::{DownReason, MemberState, NodeState};
use crate::frame::{Heartbeat, OrphanSet};
use crate::link::DownWhy;
use crate::settings::Settings;
use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;
use tandem_base::{Incarnation, NodeLife, NodeName, Time};

/// What membership has found out, in order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum News {
    /// A life begins; it is not up yet.
    Born(NodeLife),
    Up {
        life: NodeLife,
        flap: Option<Duration>,
        state: NodeState,
    },
    Suspect(NodeLife),
    Trusted(NodeLife),
    Down {
        life: NodeLife,
        why: DownReason,
        last_heard: Time,
    },
    /// A life that never was up is not heard any more.
    Lost(NodeLife),
    State(NodeLife, NodeState),
}

/// One configured peer.
#[derive(Clone, Debug)]
pub(crate) struct Peer {
    pub(crate) incarnation: Option<Incarnation>,
    pub(crate) state: MemberState,
    pub(crate) since: Time,
    pub(crate) why: Option<DownReason>,
    pub(crate) last_heard: Option<Time>,
    /// Heard within `dead_after` and not closed: what we say in "whom I hear".
    pub(crate) hearing: bool,
    pub(crate) hears_us: bool,
    pub(crate) node_state: NodeState,
    /// This life has been in service: what it wanted of its earlier lives it has.
    pub(crate) served: bool,
    pub(crate) has_of_us: Option<u64>,
    pub(crate) orphans: Vec<OrphanSet>,
    /// What it has in its file, while it says so.
    pub(crate) saved: Vec<OrphanSet>,
    /// This life has been up: up again is a flap.
    was_up: bool,
    /// A connection of this life was closed at this time: late frames of it must not bring it back to life.
    closed: Option<(Incarnation, Time)>,
}

impl Peer {
    fn new(now: Time) -> Self {
        Self {
            incarnation: None,
            state: MemberState::Down,
            since: now,
            why: None,
            last_heard: None,
            hearing: false,
            hears_us: false,
            node_state: NodeState::Joining,
            served: false,
            has_of_us: None,
            orphans: Vec::new(),
            saved: Vec::new(),
            was_up: false,
            closed: None,
        }
    }
    pub(crate) fn is_up(&self) -> bool {
        self.state != MemberState::Down
    }
    fn turn(&mut self, now: Time, state: MemberState) {
        self.state = state;
        self.since = now;
    }
    fn life(&self, node: &NodeName) -> Option<NodeLife> {
        self.incarnation.map(|incarnation| NodeLife { node: node.clone(), incarnation })
    }
}

/// Whether a frame may be looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Admit {
    /// The life that is known.
    Known,
    /// A newer life: its heartbeat begins it.
    Newer,
    /// An older life, or one whose connection has just been closed.
    Stale,
    /// Not a configured peer.
    Stranger,
}

/// All configured peers.
#[derive(Clone, Debug)]
pub(crate) struct Membership {
    me: NodeLife,
    suspect_after: Duration,
    dead_after: Duration,
    pub(crate) peers: BTreeMap<NodeName, Peer>,
    news: VecDeque<News>,
    /// Something happened that peers should hear of before the next regular heartbeat.
    pub(crate) beat_soon: bool,
}

impl Membership {
    pub(crate) fn new(me: NodeLife, settings: &Settings, now: Time) -> Self {
        let mut new = Self {
            me,
            suspect_after: settings.suspect_after,
            dead_after: settings.dead_after,
            peers: BTreeMap::new(),
            news: VecDeque::new(),
            beat_soon: true,
        };
        new.set_peers(now, &settings.peers);
        new
    }

    pub(crate) fn next_news(&mut self) -> Option<News> {
        self.news.pop_front()
    }

    /// Takes the configured peers; returns those that left.
    pub(crate) fn set_peers(&mut self, now: Time, names: &[NodeName]) -> Vec<NodeName> {
        let gone: Vec<NodeName> = self.peers.keys().filter(|known| !names.contains(known)).cloned().collect();
        for name in &gone {
            self.fall(now, name, DownReason::Removed);
            self.peers.remove(name);
        }
        for name in names.iter().filter(|name| **name != self.me.node) {
            self.peers.entry(name.clone()).or_insert_with(|| Peer::new(now));
        }
        self.beat_soon = true;
        gone
    }

    pub(crate) fn admit(&self, now: Time, from: &NodeName, incarnation: Incarnation) -> Admit {
        let Some(peer) = self.peers.get(from) else { return Admit::Stranger };
        let closed = peer.closed.is_some_and(|(life, at)| incarnation <= life && now < at + self.dead_after);
        match peer.incarnation {
            Some(known) if incarnation < known => Admit::Stale,
            _ if closed => Admit::Stale,
            Some(known) if incarnation == known => Admit::Known,
            _ => Admit::Newer,
        }
    }

    /// The life that is known of a peer.
    pub(crate) fn life_of(&self, node: &NodeName) -> Option<NodeLife> {
        self.peers.get(node)?.life(node)
    }

    /// The life of a peer that is up (or suspect).
    pub(crate) fn up_life_of(&self, node: &NodeName) -> Option<NodeLife> {
        self.peers.get(node).filter(|p| p.is_up())?.life(node)
    }

    /// The lives of all peers that are up (or suspect).
    pub(crate) fn up_lives(&self) -> Vec<NodeLife> {
        self.peers.iter().filter(|(_, peer)| peer.is_up()).filter_map(|(node, peer)| peer.life(node)).collect()
    }

    pub(crate) fn link_up(&mut self, now: Time, node: &NodeName, incarnation: Incarnation) {
        self.beat_soon = true;
        let Some(peer) = self.peers.get_mut(node) else { return };
        if peer.closed.is_some_and(|(life, _)| incarnation >= life) {
            peer.closed = None;
        }
        if peer.incarnation.is_none_or(|known| known < incarnation) {
            self.begin_life(now, node, incarnation);
        }
    }

    pub(crate) fn link_down(&mut self, now: Time, node: &NodeName, incarnation: Incarnation, why: DownWhy) {
        let Some(peer) = self.peers.get_mut(node) else { return };
        if peer.incarnation.is_some_and(|known| known > incarnation) {
            return;
        }
        peer.closed = Some((incarnation, now));
        if peer.incarnation == Some(incarnation) {
            let why = match why {
                DownWhy::Closed => DownReason::Closed,
                DownWhy::Lost => DownReason::Lost,
            };
            self.fall(now, node, why);
        }
    }

    fn begin_life(&mut self, now: Time, node: &NodeName, incarnation: Incarnation) {
        self.fall(now, node, DownReason::Replaced);
        let Some(peer) = self.peers.get_mut(node) else { return };
        let (since, why, last_heard) = (peer.since, peer.why, peer.last_heard);
        *peer = Peer { incarnation: Some(incarnation), why, last_heard, ..Peer::new(since) };
        self.news.extend(peer.life(node).map(News::Born));
    }

    /// The peer is not heard any more; if it was up, it is down.
    fn fall(&mut self, now: Time, node: &NodeName, why: DownReason) {
        let Some(peer) = self.peers.get_mut(node) else { return };
        let Some(life) = peer.life(node) else { return };
        let was_hearing = std::mem::replace(&mut peer.hearing, false);
        peer.hears_us = false;
        peer.has_of_us = None;
        peer.orphans.clear();
        peer.saved.clear();
        if peer.is_up() {
            peer.turn(now, MemberState::Down);
            peer.why = Some(why);
            let last_heard = peer.last_heard.unwrap_or(now);
            self.news.push_back(News::Down { life, why, last_heard });
        } else if was_hearing {
            self.news.push_back(News::Lost(life));
        }
    }

    /// A heartbeat of an admitted life.
    pub(crate) fn heartbeat(&mut self, now: Time, from: &NodeName, incarnation: Incarnation, beat: &Heartbeat) {
        if self.peers.get(from).is_some_and(|p| p.incarnation.is_none_or(|known| known < incarnation)) {
            self.begin_life(now, from, incarnation);
        }
        let Some(peer) = self.peers.get_mut(from) else { return };
        let Some(life) = peer.life(from) else { return };
        let us = beat.hears.iter().find(|h| h.life == self.me);
        peer.last_heard = Some(now);
        peer.hears_us = us.is_some();
        peer.has_of_us = us.and_then(|h| h.has);
        peer.orphans.clone_from(&beat.orphans);
        peer.saved = beat.saved.clone().unwrap_or_default();
        if !std::mem::replace(&mut peer.hearing, true) {
            self.beat_soon = true;
        }
        let said = std::mem::replace(&mut peer.node_state, beat.state);
        peer.served |= beat.state == NodeState::InService;
        match (peer.state, peer.hears_us) {
            (MemberState::Down, true) => {
                let flap = peer.was_up.then(|| now.since(peer.since));
                peer.was_up = true;
                peer.turn(now, MemberState::Up);
                self.beat_soon = true;
                self.news.push_back(News::Up { life, flap, state: beat.state });
            }
            (MemberState::Up | MemberState::Suspect, false) => {
                // It is heard, so "whom I hear" goes on naming it: that is how it will find back to us.
                peer.turn(now, MemberState::Down);
                peer.why = Some(DownReason::Deaf);
                peer.has_of_us = None;
                self.news.push_back(News::Down { life, why: DownReason::Deaf, last_heard: now });
            }
            (MemberState::Suspect, true) => {
                peer.turn(now, MemberState::Up);
                self.news.push_back(News::Trusted(life.clone()));
                if said != beat.state {
                    self.news.push_back(News::State(life, beat.state));
                }
            }
            (MemberState::Up, true) if said != beat.state => self.news.push_back(News::State(life, beat.state)),
            _ => {}
        }
    }

    /// Silence makes suspects and deaths.
    pub(crate) fn tick(&mut self, now: Time) {
        let mut dead = Vec::new();
        for (name, peer) in &mut self.peers {
            let Some(last) = peer.last_heard.filter(|_| peer.hearing) else { continue };
            if now >= last + self.dead_after {
                dead.push(name.clone());
            } else if now >= last + self.suspect_after && peer.state == MemberState::Up {
                peer.turn(now, MemberState::Suspect);
                self.news.extend(peer.life(name).map(News::Suspect));
            }
        }
        for name in dead {
            // A hang that is noticed in one long step still is a suspicion first.
            if let Some(peer) = self.peers.get_mut(&name).filter(|p| p.state == MemberState::Up) {
                peer.turn(now, MemberState::Suspect);
                self.news.extend(peer.life(&name).map(News::Suspect));
            }
            self.fall(now, &name, DownReason::Silent);
        }
    }

    pub(crate) fn deadline(&self) -> Option<Time> {
        let next = |peer: &Peer| {
            let last = peer.last_heard.filter(|_| peer.hearing)?;
            let suspect = peer.state == MemberState::Up;
            Some(last + if suspect { self.suspect_after } else { self.dead_after })
        };
        self.peers.values().filter_map(next).min()
    }

    /// This node itself stood still until `now`: what peers sent meanwhile waits in its mailbox, so nobody is judged by the pause.
    pub(crate) fn forgive(&mut self, now: Time) {
        for peer in self.peers.values_mut() {
            if let Some(last) = peer.last_heard.as_mut().filter(|_| peer.hearing) {
                *last = now.max(*last);
            }
        }
    }

    /// Whom this node hears, for its heartbeat.
    pub(crate) fn heard(&self) -> impl Iterator<Item = NodeLife> {
        self.peers.iter().filter(|(_, peer)| peer.hearing).filter_map(|(node, peer)| peer.life(node))
    }
}
