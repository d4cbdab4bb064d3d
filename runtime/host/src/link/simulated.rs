//! The simulated link: the nodes of the simulator, in virtual time, faults from a seed. Same words as the local link.
//!
//! It has no thread, no timer and no clock: frames wait until [`SimNet::advance`] is called with a time at or after theirs, so one seed
//! gives one history. What is sent between two calls of `advance` is sent at the time of the last one. Like a real link it keeps
//! the order of what one sender sends to one peer in one lane, and loses in silence. What real links do only in bad hours it does when
//! told: frames come twice, come cut short, or come after frames of their sender's next life ([`SimNet::set_stragglers`]).

use super::{AttachError, NODES_MAX};
use bytes::Bytes;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tandem_base::{Incarnation, NodeLife, NodeName, Time};
use tandem_cluster::link::{DownWhy, Lane, Link, LinkEvent, Refused, Sink};

/// Most frames on their way per pair and lane; beyond it `send` says [`Refused::Full`].
pub const QUEUE_MAX: usize = 4_096;
/// Most events kept for a hung node; beyond it they are lost, as behind a full socket buffer.
pub const HELD_MAX: usize = 16_384;

/// How one direction between two nodes behaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Path {
    /// Shortest delay.
    pub delay_min: Duration,
    /// Longest delay; each frame's is drawn between the two.
    pub delay_max: Duration,
    /// Frames lost, out of a million.
    pub loss_per_million: u32,
    /// Frames that come twice, out of a million.
    pub twice_per_million: u32,
    /// Frames that come cut short, out of a million.
    pub short_per_million: u32,
}
impl Default for Path {
    fn default() -> Self {
        Self {
            delay_min: Duration::from_micros(50),
            delay_max: Duration::from_micros(200),
            loss_per_million: 0,
            twice_per_million: 0,
            short_per_million: 0,
        }
    }
}

type Pair = (NodeName, NodeName);

struct Node {
    incarnation: Incarnation,
    sink: Arc<Sink>,
    hung: bool,
    held: Vec<Held>,
}

/// What waits for a hung node.
struct Held {
    /// Whose words, and of which life.
    of: NodeLife,
    event: LinkEvent,
}

#[derive(Clone)]
struct Flying {
    to: NodeName,
    /// Whose words, and of which life.
    of: NodeLife,
    /// The life it is meant for: what was sent to an older life never reaches a new one.
    life: Incarnation,
    /// Pair and lane for the bound; `None` for up and down.
    queue: Option<(Pair, Lane)>,
    event: LinkEvent,
}

#[derive(Default)]
struct State {
    now: Time,
    rng: u64,
    serial: u64,
    default_path: Path,
    paths: BTreeMap<Pair, Path>,
    /// Directions in which everything is lost.
    cuts: BTreeSet<Pair>,
    /// Pairs (ordered by name) that have been told of each other.
    connected: BTreeSet<Pair>,
    nodes: BTreeMap<NodeName, Node>,
    flying: BTreeMap<(Time, u64), Flying>,
    queued: BTreeMap<(Pair, Lane), usize>,
    /// When the last event of a pair and lane lands: nothing overtakes it. By the sender's life where stragglers are allowed, else one for all.
    last: BTreeMap<(Pair, Option<Incarnation>, Lane), Time>,
    stragglers: bool,
    lost: u64,
}

/// The simulated net. Clones are the same net.
#[derive(Clone)]
pub struct SimNet {
    state: Arc<Mutex<State>>,
}

impl SimNet {
    /// An empty net whose faults follow from `seed`.
    pub fn new(seed: u64) -> Self {
        let state = State { rng: seed, ..State::default() };
        Self { state: Arc::new(Mutex::new(state)) }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A node's life begins. An older life of the same node that is still attached is closed first.
    ///
    /// # Errors
    /// [`AttachError`] when the same or a newer life is attached, or the net is full.
    pub fn attach(&self, me: NodeLife, sink: Sink) -> Result<SimLink, AttachError> {
        let mut state = self.lock();
        if let Some(old) = state.nodes.get(&me.node) {
            let attached = old.incarnation;
            if attached >= me.incarnation {
                return Err(AttachError::NotNewer { life: me, attached });
            }
            state.detach(&NodeLife { node: me.node.clone(), incarnation: attached });
        } else if state.nodes.len() >= NODES_MAX {
            return Err(AttachError::TooMany { bound: NODES_MAX });
        }
        let node = Node { incarnation: me.incarnation, sink: Arc::new(sink), hung: false, held: Vec::new() };
        state.nodes.insert(me.node.clone(), node);
        state.connect();
        drop(state);
        Ok(SimLink { net: self.clone(), me })
    }

    /// How every direction behaves that has no path of its own.
    pub fn set_default_path(&self, path: Path) {
        self.lock().default_path = path;
    }
    /// How one direction behaves.
    pub fn set_path(&self, from: &NodeName, to: &NodeName, path: Path) {
        self.lock().paths.insert((from.clone(), to.clone()), path);
    }
    /// Loses everything between two nodes, in silence, until [`SimNet::heal`].
    pub fn cut(&self, a: &NodeName, b: &NodeName) {
        self.cut_one_way(a, b);
        self.cut_one_way(b, a);
    }
    /// Loses everything in one direction, in silence.
    pub fn cut_one_way(&self, from: &NodeName, to: &NodeName) {
        self.lock().cuts.insert((from.clone(), to.clone()));
    }
    /// Ends the cuts between two nodes.
    pub fn heal(&self, a: &NodeName, b: &NodeName) {
        let mut state = self.lock();
        state.cuts.remove(&(a.clone(), b.clone()));
        state.cuts.remove(&(b.clone(), a.clone()));
        state.connect();
    }
    /// Ends all cuts.
    pub fn heal_all(&self) {
        let mut state = self.lock();
        state.cuts.clear();
        state.connect();
    }
    /// A connection breaks and comes back: both sides are told `PeerDown(Lost)` now and `PeerUp` at the next [`SimNet::heal`] or
    /// [`SimNet::heal_all`].
    pub fn disconnect(&self, a: &NodeName, b: &NodeName) {
        let mut state = self.lock();
        if state.connected.remove(&ordered(a, b)) {
            state.tell_down(a, b, DownWhy::Lost);
            state.tell_down(b, a, DownWhy::Lost);
        }
    }
    /// Whether what a life has sent may arrive after words of the next life of the same node, as over two connections that are read in any
    /// order. Within a life order is kept all the same.
    pub fn set_stragglers(&self, allowed: bool) {
        self.lock().stragglers = allowed;
    }
    /// The node stands still (SIGSTOP): what is sent to it waits, what it sends is lost as if it had not been sent.
    pub fn hang(&self, node: &NodeName) {
        if let Some(node) = self.lock().nodes.get_mut(node) {
            node.hung = true;
        }
    }
    /// The node goes on; what has waited reaches it at the next [`SimNet::advance`].
    pub fn resume(&self, node: &NodeName) {
        let mut state = self.lock();
        let Some(found) = state.nodes.get_mut(node) else { return };
        found.hung = false;
        let (life, held) = (found.incarnation, std::mem::take(&mut found.held));
        // What different senders have sent is read in any order.
        let mut queues: BTreeMap<(NodeName, Option<Incarnation>), VecDeque<Held>> = BTreeMap::new();
        for held in held {
            let of = held.of.incarnation;
            let key = (held.of.node.clone(), state.stragglers.then_some(of));
            queues.entry(key).or_default().push_back(held);
        }
        while !queues.is_empty() {
            let pick = usize::try_from(state.dice() % queues.len() as u64).unwrap_or(0);
            let Some(key) = queues.keys().nth(pick).cloned() else { return };
            let next = queues.get_mut(&key).and_then(VecDeque::pop_front);
            match next {
                Some(Held { of, event }) => {
                    let at = state.now;
                    state.land(at, Flying { to: node.clone(), of, life, queue: None, event });
                }
                None => {
                    queues.remove(&key);
                }
            }
        }
    }

    /// When the next frame lands.
    pub fn next_deadline(&self) -> Option<Time> {
        self.lock().flying.keys().next().map(|(at, _)| *at)
    }
    /// Goes to `now` and delivers what has landed by then, in order; returns how many events. What sinks send meanwhile is sent at
    /// the time of the event they answer.
    pub fn advance(&self, now: Time) -> usize {
        let mut delivered = 0;
        loop {
            let mut state = self.lock();
            let due = state.flying.first_entry().filter(|first| first.key().0 <= now).map(|first| first.remove_entry());
            let Some(((at, _), flying)) = due else {
                state.now = state.now.max(now);
                return delivered;
            };
            state.now = state.now.max(at);
            let Some(sink) = state.arrive(&flying) else { continue };
            drop(state);
            sink(flying.event);
            delivered += 1;
        }
    }
    /// Frames lost so far by loss, cuts, hung nodes and deaths.
    pub fn lost(&self) -> u64 {
        self.lock().lost
    }
}

fn ordered(a: &NodeName, b: &NodeName) -> Pair {
    if a <= b { (a.clone(), b.clone()) } else { (b.clone(), a.clone()) }
}

impl State {
    /// splitmix64: small, seeded, good enough for faults.
    fn dice(&mut self) -> u64 {
        self.rng = self.rng.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.rng ^ (self.rng >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn path(&self, pair: &Pair) -> Path {
        self.paths.get(pair).copied().unwrap_or(self.default_path)
    }

    fn unlucky(&mut self, per_million: u32) -> bool {
        // No die for what never happens, so that a fault that is not drawn shifts no other.
        per_million > 0 && self.dice() % 1_000_000 < u64::from(per_million)
    }

    /// When something sent now in this lane by this life lands.
    fn landing(&mut self, pair: &Pair, of: Incarnation, lane: Lane) -> Time {
        let path = self.path(pair);
        let spread = u64::try_from(path.delay_max.saturating_sub(path.delay_min).as_micros()).unwrap_or(u64::MAX - 1);
        let extra = self.dice() % (spread + 1);
        let at = self.now + path.delay_min + Duration::from_micros(extra);
        let of = self.stragglers.then_some(of);
        let last = self.last.entry((pair.clone(), of, lane)).or_default();
        *last = at.max(*last);
        *last
    }

    fn land(&mut self, at: Time, flying: Flying) {
        self.serial += 1;
        self.flying.insert((at, self.serial), flying);
    }

    /// Tells pairs of each other that can reach each other both ways and have not been told.
    fn connect(&mut self) {
        let names: Vec<NodeName> = self.nodes.keys().cloned().collect();
        for a in &names {
            for b in names.iter().filter(|b| a < *b) {
                let pair = (a.clone(), b.clone());
                let back = (b.clone(), a.clone());
                if self.cuts.contains(&pair) || self.cuts.contains(&back) || !self.connected.insert(pair) {
                    continue;
                }
                for (of, to) in [(a, b), (b, a)] {
                    let incarnation = self.nodes.get(of).map(|n| n.incarnation).unwrap_or_default();
                    self.tell((of, incarnation), to, LinkEvent::PeerUp { node: of.clone(), incarnation });
                }
            }
        }
    }

    /// Something about `of` for `to`, after everything that `of` has sent it.
    fn tell(&mut self, (of, incarnation): (&NodeName, Incarnation), to: &NodeName, event: LinkEvent) {
        let Some(life) = self.nodes.get(to).map(|n| n.incarnation) else { return };
        let pair = (of.clone(), to.clone());
        let lanes = [Lane::Heartbeat, Lane::Ordinary, Lane::Bulk];
        let at = lanes.map(|lane| self.landing(&pair, incarnation, lane)).into_iter().max().unwrap_or(self.now);
        for lane in lanes {
            self.last.insert((pair.clone(), self.stragglers.then_some(incarnation), lane), at);
        }
        let of = NodeLife { node: of.clone(), incarnation };
        self.land(at, Flying { to: to.clone(), of, life, queue: None, event });
    }

    fn tell_down(&mut self, of: &NodeName, to: &NodeName, why: DownWhy) {
        let incarnation = self.nodes.get(of).map(|n| n.incarnation).unwrap_or_default();
        self.tell((of, incarnation), to, LinkEvent::PeerDown { node: of.clone(), incarnation, why });
    }

    fn detach(&mut self, life: &NodeLife) {
        if self.nodes.get(&life.node).is_none_or(|n| n.incarnation != life.incarnation) {
            return;
        }
        let peers: Vec<NodeName> = self.nodes.keys().filter(|n| **n != life.node).cloned().collect();
        for peer in &peers {
            let told = self.connected.remove(&ordered(&life.node, peer));
            // Behind a cut nobody hears the connection close.
            if told && !self.cuts.contains(&(life.node.clone(), peer.clone())) {
                self.tell_down(&life.node, peer, DownWhy::Closed);
            }
        }
        self.nodes.remove(&life.node);
        self.last.retain(|(pair, of, _), _| pair.0 != life.node || *of != Some(life.incarnation));
    }

    fn send(&mut self, me: &NodeLife, to: &NodeName, lane: Lane, bytes: Bytes) -> Result<(), Refused> {
        let Some(from) = self.nodes.get(&me.node).filter(|n| n.incarnation == me.incarnation) else {
            return Err(Refused::NotConnected);
        };
        let hung = from.hung;
        let life = self.nodes.get(to).map(|n| n.incarnation);
        let (Some(life), true) = (life, self.connected.contains(&ordered(&me.node, to))) else {
            return Err(Refused::NotConnected);
        };
        let pair = (me.node.clone(), to.clone());
        let path = self.path(&pair);
        let unlucky = self.dice() % 1_000_000 < u64::from(path.loss_per_million);
        if hung || unlucky || self.cuts.contains(&pair) {
            self.lost += 1;
            return Ok(());
        }
        let queue = (pair.clone(), lane);
        let queued = self.queued.entry(queue.clone()).or_default();
        if *queued >= QUEUE_MAX {
            self.lost += 1;
            return Err(Refused::Full);
        }
        *queued += 1;
        let bytes = if self.unlucky(path.short_per_million) {
            let length = usize::try_from(self.dice() % (bytes.len() as u64).max(1)).unwrap_or(0);
            bytes.slice(..length)
        } else {
            bytes
        };
        let at = self.landing(&pair, me.incarnation, lane);
        let event = LinkEvent::Message { from: me.node.clone(), bytes };
        let flying = Flying { to: to.clone(), of: me.clone(), life, queue: Some(queue), event };
        if self.unlucky(path.twice_per_million) {
            let again = self.landing(&pair, me.incarnation, lane);
            self.land(again, Flying { queue: None, ..flying.clone() });
        }
        self.land(at, flying);
        Ok(())
    }

    /// A landed event reaches its node, or is held, or is lost.
    fn arrive(&mut self, flying: &Flying) -> Option<Arc<Sink>> {
        if let Some(queued) = flying.queue.as_ref().and_then(|queue| self.queued.get_mut(queue)) {
            *queued = queued.saturating_sub(1);
        }
        let node = self.nodes.get_mut(&flying.to).filter(|n| n.incarnation == flying.life);
        match node {
            Some(node) if node.hung && node.held.len() < HELD_MAX => {
                node.held.push(Held { of: flying.of.clone(), event: flying.event.clone() });
                None
            }
            Some(node) if !node.hung => Some(Arc::clone(&node.sink)),
            _ => {
                self.lost += 1;
                None
            }
        }
    }
}

/// One node's end. Dropping it closes it.
pub struct SimLink {
    net: SimNet,
    me: NodeLife,
}

impl Link for SimLink {
    fn send(&self, to: &NodeName, lane: Lane, frame: Bytes) -> Result<(), Refused> {
        if *to == self.me.node {
            return Err(Refused::NotConnected);
        }
        self.net.lock().send(&self.me, to, lane, frame)
    }

    fn broadcast(&self, lane: Lane, frame: Bytes) -> usize {
        let mut state = self.net.lock();
        let peers: Vec<NodeName> = state.nodes.keys().filter(|n| **n != self.me.node).cloned().collect();
        peers.iter().filter(|to| state.send(&self.me, to, lane, frame.clone()).is_ok()).count()
    }

    fn close(&self) {
        self.net.lock().detach(&self.me);
    }
}

impl Drop for SimLink {
    fn drop(&mut self) {
        self.close();
    }
}
