//! Nodes with real stores and a wire that loses, doubles and reorders, in virtual time; everything random comes from one seed.
//!
//! A crash drops a node with the work that its store has not done, or has done and not told; what a torn write leaves behind is appended to its log.

use super::{Folder, node, settings as store_settings};
use crate::replication::{Input, Output, Packet, Replication, Role, Settings, Work};
use crate::{ChangeInfo, Draft, Epoch, Refused, Revision, Store, StoreError, Table, UserField, UserSetting, Worker};
use std::collections::{BTreeMap, VecDeque};
use std::path::PathBuf;
use std::time::Duration;
use tandem_base::{Machine, NodeName, Time, UnixMillis};

pub(super) const MS: Duration = Duration::from_millis(1);
pub(super) const SEC: Duration = Duration::from_secs(1);

pub(super) struct Node {
    pub(super) machine: Replication,
    pub(super) worker: Worker,
    work: VecDeque<Work>,
    /// The last revision told by `Changed` or `Replaced`.
    seen: Revision,
    pub(super) replaced: u32,
    pub(super) unsent: u64,
    pub(super) users: BTreeMap<(String, String), UserSetting>,
    pub(super) failing: Option<StoreError>,
}

pub(super) struct Net {
    pub(super) now: Time,
    seed: u64,
    folder: Folder,
    pub(super) names: Vec<NodeName>,
    pub(super) nodes: BTreeMap<NodeName, Node>,
    frames: Vec<(Time, NodeName, NodeName, Packet)>,
    pub(super) loss: u64,
    pub(super) double: u64,
    pub(super) delay: u64,
    pub(super) cut: Vec<(NodeName, NodeName)>,
    pub(super) written: BTreeMap<u64, Result<ChangeInfo, Refused>>,
    pub(super) user_set: BTreeMap<u64, Result<UserSetting, Refused>>,
    pub(super) promoted: BTreeMap<u64, Result<Epoch, Refused>>,
    next_token: u64,
    pub(super) log_changes: u64,
    pub(super) sent: u64,
}

impl Net {
    pub(super) fn new(names: &[&str], seed: u64) -> Self {
        let mut net = Self {
            now: Time::from_secs(1),
            seed: seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1,
            folder: Folder::new("net"),
            names: names.iter().map(|n| node(n)).collect(),
            nodes: BTreeMap::new(),
            frames: vec![],
            loss: 0,
            double: 0,
            delay: 2,
            cut: vec![],
            written: BTreeMap::new(),
            user_set: BTreeMap::new(),
            promoted: BTreeMap::new(),
            next_token: 0,
            log_changes: 100_000,
            sent: 0,
        };
        for name in net.names.clone() {
            net.start(&name);
        }
        net
    }
    pub(super) fn dice(&mut self, n: u64) -> u64 {
        self.seed ^= self.seed << 13;
        self.seed ^= self.seed >> 7;
        self.seed ^= self.seed << 17;
        self.seed.wrapping_mul(0x2545_F491_4F6C_DD1D) % n
    }
    pub(super) fn path(&self, name: &NodeName) -> PathBuf {
        self.folder.file(name.as_str())
    }
    pub(super) fn wall(&self) -> UnixMillis {
        UnixMillis(self.now.as_millis())
    }
    fn connected(&self, a: &NodeName, b: &NodeName) -> bool {
        self.nodes.contains_key(a)
            && self.nodes.contains_key(b)
            && !self.cut.iter().any(|(x, y)| (x, y) == (a, b) || (x, y) == (b, a))
    }
    pub(super) fn start(&mut self, name: &NodeName) {
        let bounds = crate::StoreSettings { log_changes: self.log_changes, ..store_settings() };
        let mut store = Store::open(&self.path(name), bounds).unwrap();
        store.trim_log().unwrap();
        let worker = Worker::new(store).unwrap();
        let peers = self.names.iter().filter(|n| *n != name).cloned().collect();
        let settings = Settings::new(name.clone(), peers, self.names.first().cloned());
        let head = worker.head().clone();
        assert_eq!(worker_recount(&worker), head.digest, "{name} starts with what it was");
        let seen = head.revision;
        let mut users = BTreeMap::new();
        let mut machine = Replication::new(settings, head, self.now);
        let mut worker = worker;
        worker.store().each_user_setting(|s| drop(users.insert((s.device.clone(), s.field.to_string()), s))).unwrap();
        machine.tick(self.now);
        let work = VecDeque::new();
        let node = Node { machine, worker, work, seen, replaced: 0, unsent: 0, users, failing: None };
        self.nodes.insert(name.clone(), node);
        for other in self.names.clone() {
            if self.connected(name, &other) && *name != other {
                self.input(name, Input::PeerUp(other.clone()));
                self.input(&other, Input::PeerUp(name.clone()));
            }
        }
        self.drain(name);
    }
    /// The node is gone in the middle of what it does.
    pub(super) fn crash(&mut self, name: &NodeName) {
        let Some(mut gone) = self.nodes.remove(name) else { return };
        // The store may have done some of it, and told nobody.
        let some = self.dice(gone.work.len() as u64 + 1);
        for work in gone.work.drain(..).take(some as usize) {
            let wall = UnixMillis(self.now.as_millis());
            gone.worker.run(wall, work);
        }
        let left = self.tear(name, gone);
        assert!(left, "a store of this node was open");
        self.frames.retain(|(_, from, to, _)| from != name && to != name);
        for other in self.nodes.keys().cloned().collect::<Vec<_>>() {
            self.input(&other, Input::PeerDown(name.clone()));
        }
    }
    /// What a write that did not get through leaves: the file and its log as they were, with half of a further transaction at the log's end.
    fn tear(&mut self, name: &NodeName, gone: Node) -> bool {
        let path = self.path(name);
        let wal = PathBuf::from(format!("{}-wal", path.display()));
        let (file, mut log) = (std::fs::read(&path).unwrap(), std::fs::read(&wal).unwrap_or_default());
        drop(gone);
        if log.len() > 32 {
            let torn = 1 + self.dice(9_000) as usize;
            let from = self.dice((log.len() - 31) as u64) as usize;
            let mut tail: Vec<u8> = log.iter().skip(from).take(torn).copied().collect();
            tail.resize(torn, 0xA5);
            log.extend(tail);
        }
        std::fs::write(&path, file).unwrap();
        if log.is_empty() {
            drop(std::fs::remove_file(&wal))
        } else {
            std::fs::write(&wal, log).unwrap()
        }
        drop(std::fs::remove_file(format!("{}-shm", path.display())));
        path.exists()
    }
    /// Its disk is lost while it is down.
    pub(super) fn lose_disk(&mut self, name: &NodeName) {
        assert!(!self.nodes.contains_key(name));
        let path = self.path(name);
        for tail in ["", "-wal", "-shm"] {
            drop(std::fs::remove_file(format!("{}{tail}", path.display())));
        }
    }
    pub(super) fn cut(&mut self, a: &NodeName, b: &NodeName) {
        if a == b || !self.connected(a, b) {
            return;
        }
        self.cut.push((a.clone(), b.clone()));
        self.frames.retain(|(_, from, to, _)| (from, to) != (a, b) && (from, to) != (b, a));
        self.input(a, Input::PeerDown(b.clone()));
        self.input(b, Input::PeerDown(a.clone()));
    }
    pub(super) fn heal(&mut self) {
        for (a, b) in std::mem::take(&mut self.cut) {
            if self.connected(&a, &b) {
                self.input(&a, Input::PeerUp(b.clone()));
                self.input(&b, Input::PeerUp(a.clone()));
            }
        }
    }
    fn input(&mut self, name: &NodeName, input: Input) {
        let now = self.now;
        if let Some(node) = self.nodes.get_mut(name) {
            node.machine.handle(now, input);
            self.drain(name);
        }
    }
    pub(super) fn write(&mut self, name: &NodeName, mut draft: Draft) -> u64 {
        let token = self.token();
        draft.at = self.wall();
        draft.comment = token.to_string();
        self.input(name, Input::Write { token, draft });
        token
    }
    pub(super) fn token(&mut self) -> u64 {
        self.next_token += 1;
        self.next_token
    }
    pub(super) fn promote(&mut self, name: &NodeName, force: bool) -> u64 {
        let token = self.token();
        let at = self.wall();
        self.input(name, Input::Promote { token, at, force });
        token
    }
    pub(super) fn set_user(&mut self, name: &NodeName, device: &str, value: &str) -> u64 {
        let token = self.token();
        let (device, value) = (device.to_owned(), Some(value.into()));
        // Clocks of nodes differ.
        let skew = self.names.iter().position(|n| n == name).unwrap_or(0) as u64 * 700;
        let at = UnixMillis(self.wall().0 + skew);
        let field = UserField::CallForwardAll;
        self.input(name, Input::SetUser { token, device, field, value, author: "u".into(), at });
        token
    }
    fn drain(&mut self, name: &NodeName) {
        while let Some(output) = self.nodes.get_mut(name).and_then(|n| n.machine.poll()) {
            self.take(name, output);
        }
    }
    fn take(&mut self, name: &NodeName, output: Output) {
        let Some(node) = self.nodes.get_mut(name) else { return };
        match output {
            Output::Send { to, packet, .. } => self.put_on_wire(name, &to, packet),
            Output::Work(work) => node.work.push_back(work),
            Output::Written { token, result } => {
                assert!(self.written.insert(token, result).is_none(), "answered twice");
            }
            Output::UserSet { token, result } => {
                assert!(self.user_set.insert(token, result).is_none(), "answered twice");
            }
            Output::Promoted { token, result } => {
                assert!(self.promoted.insert(token, result).is_none(), "answered twice");
            }
            Output::Changed(changes) => {
                for change in changes {
                    assert_eq!(change.info.revision, node.seen + 1, "{name}: each change once and in order");
                    node.seen = change.info.revision;
                    // What users set for a deleted device is taken back with it.
                    let gone = change.rows.iter().filter(|op| op.table == Table::Device && op.after.is_none());
                    for (device, field) in gone.flat_map(|op| UserField::ALL.map(|field| (&op.key, field))) {
                        let left = node.worker.reader().user_setting(device, field).unwrap();
                        let key = (device.clone(), field.to_string());
                        left.map(|setting| node.users.insert(key, setting));
                    }
                }
            }
            Output::Replaced { revision, unsent } => {
                (node.seen, node.replaced) = (revision, node.replaced + 1);
                node.unsent += unsent;
            }
            Output::UserChanged(settings) => {
                for setting in settings {
                    node.users.insert((setting.device.clone(), setting.field.to_string()), setting);
                }
            }
            Output::StoreFailing(error) => node.failing = Some(error),
            Output::StoreWell => node.failing = None,
            Output::Publisher(_) => {}
            Output::Misfit { from, why } => panic!("{name}: misfit from {from}: {why}"),
        }
    }
    fn put_on_wire(&mut self, from: &NodeName, to: &NodeName, packet: Packet) {
        self.sent += 1;
        if !self.connected(from, to) {
            return;
        }
        let copies = if self.dice(1_000) < self.double { 2 } else { 1 };
        for _ in 0..copies {
            if self.dice(1_000) < self.loss {
                continue;
            }
            let delay = MS * u32::try_from(1 + self.dice(self.delay)).unwrap();
            self.frames.push((self.now + delay, from.clone(), to.clone(), packet.clone()));
        }
    }
    /// One millisecond of virtual time.
    fn step(&mut self) {
        self.now += MS;
        let now = self.now;
        let (due, rest) = std::mem::take(&mut self.frames).into_iter().partition(|(at, ..)| *at <= now);
        self.frames = rest;
        let due: Vec<(Time, NodeName, NodeName, Packet)> = due;
        for (_, from, to, packet) in due {
            if self.connected(&from, &to) {
                self.input(&to, Input::Frame { from, packet });
            }
        }
        for name in self.names.clone() {
            // A disk does a few things in a millisecond.
            for _ in 0..1 + self.dice(4) {
                let wall = self.wall();
                let Some(node) = self.nodes.get_mut(&name) else { break };
                let Some(work) = node.work.pop_front() else { break };
                let done = node.worker.run(wall, work);
                self.input(&name, Input::Done(done));
            }
            if let Some(node) = self.nodes.get_mut(&name).filter(|n| n.machine.deadline().is_some_and(|d| d <= now)) {
                node.machine.tick(now);
                self.drain(&name);
            }
        }
    }
    pub(super) fn run(&mut self, time: Duration) {
        let end = self.now + time;
        while self.now < end {
            self.step();
        }
    }
    pub(super) fn run_until(&mut self, what: &str, limit: Duration, done: impl Fn(&Self) -> bool) {
        let end = self.now + limit;
        while !done(self) {
            assert!(self.now < end, "not within {limit:?}: {what}\n{}", self.report());
            self.step();
        }
    }
    pub(super) fn publisher(&self) -> Option<NodeName> {
        let publishes = |n: &&NodeName| self.nodes.get(*n).is_some_and(|n| n.machine.role(self.now) == Role::Publisher);
        self.names.iter().find(publishes).cloned()
    }
    /// All nodes are there and have one revision, digest, epoch, and the same user settings.
    pub(super) fn all_equal(&self) -> bool {
        let mut all = self.nodes.values().map(|n| {
            let h = n.worker.head();
            (h.revision, h.digest, &h.committed_under, &h.epoch, h.settings)
        });
        let first = all.next();
        self.nodes.len() == self.names.len() && first.is_some() && all.all(|other| Some(&other) == first.as_ref())
    }
    pub(super) fn report(&self) -> String {
        let lines = self
            .nodes
            .iter()
            .map(|(name, n)| format!("{name}: {:?} {:#?}\n", n.worker.head(), n.machine.status(self.now)));
        lines.collect()
    }
}

fn worker_recount(worker: &Worker) -> crate::Digest {
    worker.reader().recount().unwrap()
}
