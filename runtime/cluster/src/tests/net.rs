//! The bench: nodes with a driver each, on a net that delays, loses and cuts, but keeps the order per pair and lane.

use super::TestRow;
use crate::link::{DownWhy, Lane, LinkEvent};
use crate::{Cluster, Digest, Input, MemberState, NodeState, Op, Output, OwnRows, Row, Settings};
use bytes::Bytes;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;
use tandem_base::{Incarnation, Machine, NodeLife, NodeName, Time};

pub(super) const MS: Duration = Duration::from_millis(1);
pub(super) const SEC: Duration = Duration::from_secs(1);

pub(super) fn name(node: &str) -> NodeName {
    NodeName::new(node).unwrap()
}
pub(super) fn life(node: &str, incarnation: u64) -> NodeLife {
    NodeLife { node: name(node), incarnation: Incarnation(incarnation) }
}

/// A node: the machine and what a driver keeps.
pub(super) struct Node {
    pub(super) cluster: Cluster<TestRow>,
    pub(super) own: BTreeMap<u128, TestRow>,
    pub(super) digest: Digest,
    /// What [`Output::Changed`] has told: must equal what the machine keeps.
    pub(super) told: BTreeMap<NodeLife, BTreeMap<u128, TestRow>>,
    /// Everything said but frames and changes.
    pub(super) said: Vec<(Time, Output<TestRow>)>,
    pub(super) hung: bool,
    held: Vec<Input<TestRow>>,
    /// Clock of this node minus that of the net, in seconds: nothing may depend on it.
    skew: Duration,
}

struct Flight {
    from: NodeLife,
    to: NodeLife,
    event: LinkEvent,
}

/// From whom, to whom, how, what: what arrives instead.
type Tamper = dyn FnMut(&NodeName, &NodeName, Lane, Bytes) -> Option<Bytes>;

pub(super) struct Net {
    pub(super) now: Time,
    pub(super) nodes: BTreeMap<NodeName, Node>,
    pub(super) loss_per_mille: u64,
    pub(super) delay: (Duration, Duration),
    /// Extra delay of the bulk lane.
    pub(super) bulk_delay: Duration,
    /// Extra delay of the heartbeats' lane.
    pub(super) beat_delay: Duration,
    pub(super) cuts: BTreeSet<(NodeName, NodeName)>,
    /// Alters or loses frames: `None` loses.
    pub(super) tamper: Option<Box<Tamper>>,
    pub(super) settings: Box<dyn Fn(&mut Settings)>,
    pub(super) frames: u64,
    flights: BTreeMap<(Time, u64), Flight>,
    last: BTreeMap<(NodeName, NodeName, Lane), Time>,
    serial: u64,
    rng: u64,
    members: Vec<NodeName>,
}

impl Net {
    pub(super) fn new(members: &[&str], seed: u64) -> Self {
        Self {
            now: Time::from_secs(100),
            nodes: BTreeMap::new(),
            loss_per_mille: 0,
            delay: (MS / 10, MS / 2),
            bulk_delay: Duration::ZERO,
            beat_delay: Duration::ZERO,
            cuts: BTreeSet::new(),
            tamper: None,
            settings: Box::new(|_| ()),
            frames: 0,
            flights: BTreeMap::new(),
            last: BTreeMap::new(),
            serial: 0,
            rng: seed,
            members: members.iter().map(|m| name(m)).collect(),
        }
    }
    /// Three nodes, started and in service.
    pub(super) fn three(seed: u64) -> Self {
        let mut net = Self::new(&["A", "B", "C"], seed);
        ["A", "B", "C"].into_iter().for_each(|node| net.start(node, 1));
        net.run(500 * MS);
        for node in net.nodes.values() {
            assert!(node.cluster.is_in_sync());
        }
        net
    }

    pub(super) fn dice(&mut self, below: u64) -> u64 {
        self.rng = self.rng.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.rng ^ (self.rng >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % below.max(1)
    }

    pub(super) fn start(&mut self, node: &str, incarnation: u64) {
        let me = life(node, incarnation);
        let peers = self.members.iter().filter(|m| **m != me.node).cloned().collect();
        let mut settings = Settings::new("test", peers);
        (self.settings)(&mut settings);
        let skew = Duration::from_secs(u64::from(node.as_bytes()[0]) * 1_000);
        let cluster = Cluster::new(me.clone(), settings, self.now + skew).unwrap();
        let fresh = Node {
            cluster,
            own: BTreeMap::new(),
            digest: Digest::default(),
            told: BTreeMap::new(),
            said: Vec::new(),
            hung: false,
            held: Vec::new(),
            skew,
        };
        assert!(self.nodes.insert(me.node.clone(), fresh).is_none(), "kill it first");
        for peer in self.lives().into_iter().filter(|l| l.node != me.node) {
            let up = |l: &NodeLife| LinkEvent::PeerUp { node: l.node.clone(), incarnation: l.incarnation };
            self.fly(&me, &peer, Lane::Ordinary, up(&me));
            self.fly(&peer, &me, Lane::Ordinary, up(&peer));
        }
        self.tick(&me.node);
    }

    pub(super) fn lives(&self) -> Vec<NodeLife> {
        self.nodes.values().map(|n| n.cluster.me().clone()).collect()
    }

    /// The process dies: peers that can be reached see the connection close.
    pub(super) fn kill(&mut self, node: &str) -> Node {
        let gone = self.nodes.remove(&name(node)).unwrap();
        let me = gone.cluster.me().clone();
        for peer in self.lives() {
            let down = LinkEvent::PeerDown { node: me.node.clone(), incarnation: me.incarnation, why: DownWhy::Closed };
            // After everything that is on its way, in whatever lane.
            let at = [Lane::Heartbeat, Lane::Ordinary, Lane::Bulk].map(|lane| self.landing(&me, &peer, lane));
            self.serial += 1;
            let at = at.into_iter().max().unwrap();
            self.flights.insert((at, self.serial), Flight { from: me.clone(), to: peer, event: down });
        }
        gone
    }

    pub(super) fn cut(&mut self, a: &str, b: &str) {
        self.cut_one_way(a, b);
        self.cut_one_way(b, a);
    }
    pub(super) fn cut_one_way(&mut self, from: &str, to: &str) {
        self.cuts.insert((name(from), name(to)));
    }
    pub(super) fn hang(&mut self, node: &str) {
        self.node(node).hung = true;
    }
    pub(super) fn resume(&mut self, node: &str) {
        self.node(node).hung = false;
        let held = std::mem::take(&mut self.node(node).held);
        held.into_iter().for_each(|input| self.give(&name(node), input));
    }

    pub(super) fn node(&mut self, node: &str) -> &mut Node {
        self.nodes.get_mut(&name(node)).unwrap()
    }
    /// What a node's clock reads.
    pub(super) fn local(&self, node: &str) -> Time {
        self.now + self.see(node).skew
    }
    pub(super) fn see(&self, node: &str) -> &Node {
        &self.nodes[&name(node)]
    }

    /// The driver of a node writes: one batch.
    pub(super) fn write(&mut self, node: &str, ops: Vec<Op<TestRow>>) {
        let driver = self.node(node);
        for op in &ops {
            let old = match op {
                Op::Put(row) => {
                    driver.digest.add(row.hash());
                    driver.own.insert(row.key, row.clone())
                }
                Op::Remove { key } => driver.own.remove(key),
            };
            old.iter().for_each(|row| driver.digest.remove(row.hash()));
        }
        let digest = driver.digest;
        self.give(&name(node), Input::OwnRows(OwnRows { ops, digest }));
    }
    pub(super) fn put(&mut self, node: &str, keys: std::ops::Range<u64>, value: u64) {
        let keys: Vec<u64> = keys.collect();
        for batch in keys.chunks(64) {
            self.write(node, batch.iter().map(|k| Op::Put(TestRow::new((*k).into(), value))).collect());
        }
    }

    pub(super) fn give(&mut self, node: &NodeName, input: Input<TestRow>) {
        let now = self.now;
        let Some(found) = self.nodes.get_mut(node) else { return };
        if found.hung {
            found.held.push(input);
            return;
        }
        found.cluster.handle(now + found.skew, input);
        self.drain(node);
    }
    fn tick(&mut self, node: &NodeName) {
        let now = self.now;
        if let Some(found) = self.nodes.get_mut(node).filter(|n| !n.hung) {
            found.cluster.tick(now + found.skew);
            self.drain(node);
        }
    }

    fn drain(&mut self, node: &NodeName) {
        while let Some(found) = self.nodes.get_mut(node) {
            let Some(output) = found.cluster.poll() else { return };
            let me = found.cluster.me().clone();
            match output {
                Output::Send { to, lane, frame } => self.frame(&me, &to, lane, frame),
                Output::Broadcast { lane, frame } => {
                    let peers: Vec<NodeName> = self.nodes.keys().filter(|n| *n != node).cloned().collect();
                    peers.iter().for_each(|to| self.frame(&me, to, lane, frame.clone()));
                }
                Output::NeedChunk { peer, ticket, cursor, limit } => {
                    let rest = found.own.range(u128::from(cursor)..);
                    let rows: Vec<TestRow> = rest.take(limit).map(|(_, row)| row.clone()).collect();
                    let next = rows.last().filter(|_| rows.len() == limit).map(|row| row.key as u64 + 1);
                    found.cluster.handle(self.now + found.skew, Input::Chunk { peer, ticket, rows, next });
                }
                Output::Changed { owner, changes } => found.note(&owner, changes),
                Output::Adoptable { earlier, clock_ahead_micros, rows } => {
                    let ops = rows.iter().cloned().map(Op::Put).collect();
                    found.said.push((self.now, Output::Adoptable { earlier, clock_ahead_micros, rows }));
                    self.write(node.as_str(), ops);
                }
                other => {
                    let in_sync = matches!(other, Output::InSync);
                    found.said.push((self.now, other));
                    if in_sync {
                        found.cluster.handle(self.now + found.skew, Input::State(NodeState::InService));
                    }
                }
            }
        }
    }

    fn frame(&mut self, from: &NodeLife, to: &NodeName, lane: Lane, mut frame: Bytes) {
        self.frames += 1;
        let Some(peer) = self.nodes.get(to).map(|n| n.cluster.me().clone()) else { return };
        if let Some(tamper) = &mut self.tamper {
            let Some(altered) = tamper(&from.node, to, lane, frame) else { return };
            frame = altered;
        }
        if self.dice(1_000) >= self.loss_per_mille {
            self.fly(from, &peer, lane, LinkEvent::Message { from: from.node.clone(), bytes: frame });
        }
    }

    fn landing(&mut self, from: &NodeLife, to: &NodeLife, lane: Lane) -> Time {
        let (least, most) = self.delay;
        let spread = (most - least).as_micros() as u64 + 1;
        let extra = match lane {
            Lane::Heartbeat => self.beat_delay,
            Lane::Ordinary => Duration::ZERO,
            Lane::Bulk => self.bulk_delay,
        };
        let at = self.now + least + Duration::from_micros(self.dice(spread)) + extra;
        let last = self.last.entry((from.node.clone(), to.node.clone(), lane)).or_default();
        *last = at.max(*last);
        *last
    }

    fn fly(&mut self, from: &NodeLife, to: &NodeLife, lane: Lane, event: LinkEvent) {
        let at = self.landing(from, to, lane);
        self.serial += 1;
        self.flights.insert((at, self.serial), Flight { from: from.clone(), to: to.clone(), event });
    }

    /// Lets time pass.
    pub(super) fn run(&mut self, time: Duration) {
        let end = self.now + time;
        let mut steps_at_once = 0;
        loop {
            let flight = self.flights.keys().next().map(|(at, _)| *at);
            let due = self.nodes.values().filter(|n| !n.hung);
            let due = due.filter_map(|n| Some((n.cluster.deadline()? - n.skew, n.cluster.me().node.clone()))).min();
            let next = [flight, due.as_ref().map(|(at, _)| *at)].into_iter().flatten().min();
            let Some(next) = next.filter(|at| *at <= end) else { break };
            steps_at_once = if next > self.now { 0 } else { steps_at_once + 1 };
            assert!(steps_at_once < 100_000, "time stands still at {}", self.now);
            self.now = self.now.max(next);
            if flight == Some(next) {
                let (_, flight) = self.flights.pop_first().unwrap();
                self.arrive(flight);
            } else if let Some((_, node)) = due {
                self.tick(&node);
            }
        }
        self.now = end;
    }

    fn arrive(&mut self, flight: Flight) {
        let cut = self.cuts.contains(&(flight.from.node.clone(), flight.to.node.clone()));
        let alive = self.nodes.get(&flight.to.node).is_some_and(|n| *n.cluster.me() == flight.to);
        if alive && !cut {
            self.give(&flight.to.node, Input::Link(flight.event));
        }
    }

    /// Runs until `done`, at most so long; returns how long it took.
    pub(super) fn run_until(&mut self, most: Duration, done: impl Fn(&Net) -> bool) -> Duration {
        let start = self.now;
        while !done(self) {
            assert!(self.now.since(start) < most, "not within {most:?}: {}", self.report());
            self.run(MS);
        }
        self.now.since(start)
    }

    pub(super) fn state(&self, node: &str, of: &str) -> MemberState {
        self.see(node).cluster.members().into_iter().find(|m| m.node.as_str() == of).unwrap().state
    }

    /// Whether every node has proven that it has what every other node has; checked against the drivers, row by row.
    pub(super) fn all_equal(&self) -> bool {
        let pairs = self.nodes.values().flat_map(|a| self.nodes.values().map(move |b| (a, b)));
        pairs.filter(|(a, b)| a.cluster.me() != b.cluster.me()).all(|(a, b)| {
            let member = a.cluster.members().into_iter().find(|m| m.node == b.cluster.me().node).unwrap();
            let rows = a.cluster.page(b.cluster.me(), 0, usize::MAX).rows;
            let same = rows.len() == b.own.len() && rows.iter().all(|r| b.own.get(&r.key) == Some(*r));
            member.state == MemberState::Up
                && member.complete
                && member.lag == 0
                && same
                && member.incarnation == Some(b.cluster.me().incarnation)
        })
    }
    /// What drivers were told equals what the machines keep.
    pub(super) fn assert_told(&self) {
        for node in self.nodes.values() {
            for view in node.cluster.owners() {
                let rows = node.cluster.page(&view.owner, 0, usize::MAX).rows;
                let kept: BTreeMap<u128, TestRow> = rows.into_iter().map(|r| (r.key, r.clone())).collect();
                let told = node.told.get(&view.owner).cloned().unwrap_or_default();
                assert_eq!(kept, told, "{} about {}", node.cluster.me(), view.owner);
            }
        }
    }
    pub(super) fn report(&self) -> String {
        let of = |n: &Node| format!("{} {:#?}\n{:?}\n", n.cluster.me(), n.cluster.members(), n.cluster.counters());
        self.nodes.values().map(of).collect()
    }
}

impl Node {
    fn note(&mut self, owner: &NodeLife, changes: Vec<crate::Change<TestRow>>) {
        assert!(!changes.is_empty());
        let rows = self.told.entry(owner.clone()).or_default();
        for change in changes {
            let before = match change.op {
                Op::Put(row) => rows.insert(row.key, row),
                Op::Remove { key } => rows.remove(&key),
            };
            assert_eq!(before, change.previous);
        }
    }
    /// What was said since `from`, by its debug text's first word.
    pub(super) fn words(&self, from: Time) -> Vec<String> {
        let word = |o: &Output<TestRow>| format!("{o:?}").split([' ', '(']).next().unwrap_or_default().to_owned();
        self.said.iter().filter(|(at, _)| *at >= from).map(|(_, o)| word(o)).collect()
    }
    pub(super) fn when(&self, from: Time, is: impl Fn(&Output<TestRow>) -> bool) -> Option<Time> {
        self.said.iter().find(|(at, o)| *at >= from && is(o)).map(|(at, _)| *at)
    }
}
