//! Two versions in one cluster: nodes of this one, whole, and nodes of a pretended next one, which has a table more, says more of each
//! registration and writes more into every frame. What this version does not know it keeps: in copies, in snapshots, when it takes rows over, on disk.
//!
//! What the link of production says before the first frame has tests of its own in `tandem_host` (`hello`): fields behind the known ones are
//! skipped there too.

#![expect(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "all of this file is test code")]

use bytes::Bytes;
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tandem::directory::Directory;
use tandem::journal::Journal;
use tandem_base::{Incarnation, Machine, NodeLife, NodeName, Stamp, Time, UnixMillis};
use tandem_cluster::link::{Link, LinkEvent};
use tandem_cluster::{Cluster, ClusterError, Digest, Input, NodeState, Op, Output, OwnRows, Reader, Row, Settings};
use tandem_host::clock::{Clock, Dial};
use tandem_host::link::simulated::{SimLink, SimNet};
use tandem_host::random::Random;
use tandem_model::row::{LaterRow, RegistrationRow, TableRow, device_key_of};
use tandem_sim::Setup;
use tandem_sim::net::SipNet;
use tandem_sim::station::{Bell, Shared, Start, Station};

/// The table that this version does not know.
const CALL: u8 = 2;
/// More calls than the log of the next version keeps: whoever joins needs a snapshot.
const CALLS: u64 = 300;
const MS: Duration = Duration::from_millis(1);

/// A call, as the next version has it.
#[derive(Clone, Debug, PartialEq)]
struct Call {
    key: u128,
    stamp: u64,
    expires: u64,
    callee: String,
}

/// A row of the next version.
#[derive(Clone, Debug, PartialEq)]
enum Next {
    Registration(RegistrationRow),
    Call(Call),
}

impl Row for Next {
    fn key(&self) -> u128 {
        match self {
            Self::Registration(row) => row.device.0,
            Self::Call(call) => call.key,
        }
    }
    fn hash(&self) -> u64 {
        match self {
            Self::Registration(row) => row.hash(),
            // What is hashed, and how, is part of what both versions agree on.
            Self::Call(Call { key, stamp, expires, callee }) => {
                let row = LaterRow::new(CALL, *key, Stamp(*stamp), *expires, callee.as_bytes());
                TableRow::Later(row.unwrap()).hash()
            }
        }
    }
    fn encode(&self, out: &mut Vec<u8>) {
        match self {
            Self::Registration(row) => {
                out.push(1);
                row.encode(out);
            }
            Self::Call(call) => {
                out.push(CALL);
                out.extend_from_slice(&call.key.to_le_bytes());
                out.extend_from_slice(&call.stamp.to_le_bytes());
                out.extend_from_slice(&call.expires.to_le_bytes());
                out.extend_from_slice(call.callee.as_bytes());
            }
        }
    }
    fn decode(input: &mut &[u8]) -> Result<Self, ClusterError> {
        let mut reader = Reader::new(input);
        if reader.u8()? == 1 {
            let mut rest = reader.rest();
            return RegistrationRow::decode(&mut rest).map(Self::Registration).map_err(|_| ClusterError::Row("bad"));
        }
        let (key, stamp, expires) = (reader.u128()?, reader.u64()?, reader.u64()?);
        let callee = String::from_utf8(reader.rest().to_vec()).map_err(|_| ClusterError::Row("bad"))?;
        Ok(Self::Call(Call { key, stamp, expires, callee }))
    }
    fn expires(&self) -> Option<u64> {
        match self {
            Self::Registration(row) => row.expires(),
            Self::Call(call) => Some(call.expires),
        }
    }
}

fn call(number: u64, expires: u64) -> Next {
    let callee = format!("sip:{number}@example.net, and whom it has asked before");
    Next::Call(Call { key: u128::from(number) << 70 | 0xca11, stamp: 1_000 + number, expires, callee })
}

/// What the next version says more of a registration: this one has no word for it.
const MORE: &[u8] = b"\x05\x04abcd";

fn registration(device: &str, expires: u64) -> Next {
    Next::Registration(RegistrationRow {
        device: device_key_of(device),
        stamp: Stamp(77),
        since: 1_700_000_000,
        expires,
        source: "127.1.0.30:5060".parse().unwrap(),
        contact: Arc::from(format!("sip:{device}@127.1.0.30:5060")),
        extensions: Box::from(MORE),
        ..RegistrationRow::default()
    })
}

/// A node of the next version: the machine and a driver.
struct Guest {
    cluster: Cluster<Next>,
    link: SimLink,
    inbox: Arc<Mutex<Vec<LinkEvent>>>,
    own: BTreeMap<u128, Next>,
    digest: Digest,
    clock: Clock,
}

impl Guest {
    fn start(me: NodeLife, world: &World) -> Self {
        static DIAL: std::sync::OnceLock<Dial> = std::sync::OnceLock::new();
        let inbox = Arc::new(Mutex::new(Vec::new()));
        let to = Arc::clone(&inbox);
        let link =
            world.shared.links.attach(me.clone(), Box::new(move |event| to.lock().unwrap().push(event))).unwrap();
        let clock = world.shared.clock.of_host(Time::from_secs(7_000), DIAL.get_or_init(Dial::default));
        let peers = world.shared.directory.nodes.iter().filter(|n| **n != me.node).cloned().collect();
        let settings = Settings { log_ops: 64, ..Settings::new("small", peers) };
        let cluster = Cluster::new(me, settings, clock.now()).unwrap();
        Self { cluster, link, inbox, own: BTreeMap::new(), digest: Digest::default(), clock }
    }
    fn put(&mut self, rows: Vec<Next>) {
        for row in &rows {
            self.digest.add(row.hash());
            assert!(self.own.insert(row.key(), row.clone()).is_none());
        }
        let ops = rows.into_iter().map(Op::Put).collect();
        self.cluster.handle(self.clock.now(), Input::OwnRows(OwnRows { ops, digest: self.digest }));
    }
    /// Every frame has a field more, of a type that only the next version knows.
    fn frame(frame: &Bytes) -> Bytes {
        Bytes::from([frame, &[99, 3, 1, 2, 3][..]].concat())
    }
    fn turn(&mut self) {
        let now = self.clock.now();
        for event in std::mem::take(&mut *self.inbox.lock().unwrap()) {
            self.cluster.handle(now, Input::Link(event));
        }
        self.cluster.tick(now);
        while let Some(output) = self.cluster.poll() {
            match output {
                Output::Send { to, lane, frame } => _ = self.link.send(&to, lane, Self::frame(&frame)),
                Output::Broadcast { lane, frame } => _ = self.link.broadcast(lane, Self::frame(&frame)),
                Output::NeedChunk { peer, ticket, cursor, limit } => {
                    let from = usize::try_from(cursor).unwrap();
                    let rows: Vec<Next> = self.own.values().skip(from).take(limit).cloned().collect();
                    let next = (from + rows.len() < self.own.len()).then_some(cursor + rows.len() as u64);
                    self.cluster.handle(now, Input::Chunk { peer, ticket, rows, next });
                }
                Output::InSync => self.cluster.handle(now, Input::State(NodeState::InService)),
                Output::Adoptable { clock_ahead_micros, rows, .. } => {
                    let local = |at: u64| (i64::try_from(at).unwrap() - clock_ahead_micros / 1_000_000).cast_unsigned();
                    let mine = rows.into_iter().map(|row| match row {
                        Next::Registration(row) => {
                            Next::Registration(RegistrationRow { expires: local(row.expires), ..row })
                        }
                        Next::Call(call) => Next::Call(Call { expires: local(call.expires), ..call }),
                    });
                    let mine = mine.collect();
                    self.put(mine);
                }
                _ => {}
            }
        }
    }
    /// What it has of a node, registrations and calls without their expiries, which are times of somebody's clock, and how long they last.
    fn has_of(&self, node: &NodeName) -> Vec<(Next, u64)> {
        let owner = self.cluster.owners().into_iter().map(|o| o.owner).filter(|o| o.node == *node).max().unwrap();
        let lasts = |row: &Next| {
            let at = self.cluster.owner_time_to_local(&owner, row.expires().unwrap()).unwrap();
            at.since(self.clock.now()).as_secs()
        };
        let rows = self.cluster.page(&owner, 0, usize::MAX).rows;
        let mut rows: Vec<_> = rows.into_iter().map(|row| (timeless(row), lasts(row))).collect();
        rows.sort_by_key(|(row, _)| row.key());
        rows
    }
}

fn timeless(row: &Next) -> Next {
    match row.clone() {
        Next::Registration(row) => {
            Next::Registration(RegistrationRow { expires: 0, reason: 0, rank: tandem_base::Rank::HOME, ..row })
        }
        Next::Call(call) => Next::Call(Call { expires: 0, ..call }),
    }
}

struct World {
    shared: Shared,
    stations: Vec<Station>,
    guest: Option<Guest>,
}

impl World {
    fn new() -> Self {
        let setup = Setup::small(5, 30).unwrap();
        let directory = Arc::new(Directory::first(&setup.config));
        let dice = Random::seeded(5);
        let shared = Shared {
            journal: Arc::new(Journal::new(Arc::clone(&directory))),
            directory: Arc::clone(&directory),
            clock: Clock::simulated(UnixMillis(1_700_000_000_000)),
            links: SimNet::new(5),
            sip: Rc::new(RefCell::new(SipNet::new(setup.sip, dice))),
            bell: Bell::default(),
            frames: Arc::new(Mutex::new(Vec::new())),
            seed: 5,
            database: None,
        };
        let station = |(index, node): (u16, &NodeName)| {
            let address = directory.sip_address(node, true, false).unwrap();
            Station::new(node.clone(), index, address, Box::leak(Box::default()), shared.clone())
        };
        let stations = (0..).zip(directory.nodes.iter()).map(station).collect();
        Self { shared, stations, guest: None }
    }
    fn name(&self, node: usize) -> NodeName {
        self.shared.directory.nodes[node].clone()
    }
    fn start(&mut self, node: usize) {
        assert_eq!(self.stations[node].start(), Ok(Start::Lives));
    }
    async fn run(&mut self, time: Duration) {
        let until = self.shared.clock.now() + time;
        while self.shared.clock.now() < until {
            tokio::time::sleep(MS).await;
            let now = self.shared.clock.now();
            self.shared.links.advance(now);
            self.guest.iter_mut().for_each(Guest::turn);
            while self.stations.iter_mut().fold(false, |moved, s| s.turn(now) | moved) {}
            self.stations.iter_mut().for_each(|s| s.write(now));
        }
    }
    /// Every node of this version that runs has of every other that runs what that one has itself.
    fn assert_equal(&mut self) {
        let looks: Vec<_> = self.stations.iter_mut().filter_map(|s| Some((s.me()?.clone(), s.look()?.1))).collect();
        let mut own: Vec<(NodeLife, Digest)> = looks.iter().map(|(me, seen)| (me.clone(), seen.own.1)).collect();
        own.extend(self.guest.as_ref().map(|g| (g.cluster.me().clone(), g.digest)));
        for (me, seen) in &looks {
            assert!(seen.complete && seen.state == NodeState::InService, "{me}: {seen:?}");
            for (owner, digest) in own.iter().filter(|(owner, _)| owner != me) {
                let copy = seen.copies.iter().find(|c| c.owner == *owner).unwrap();
                assert_eq!((copy.digest, copy.complete), (*digest, true), "{me} of {owner}");
            }
        }
        if let Some(guest) = &self.guest {
            assert!(guest.cluster.is_in_sync() && guest.cluster.divergent_peers() == 0);
            assert_eq!(guest.cluster.counters().decode_errors, 0);
            for view in guest.cluster.owners().iter().filter(|view| !view.orphaned) {
                let (_, digest) = own.iter().find(|(owner, _)| *owner == view.owner).unwrap();
                assert_eq!(view.digest, *digest, "the guest of {}", view.owner);
            }
        }
    }
    fn rows_at(&mut self, node: usize) -> u64 {
        self.stations[node].look().unwrap().1.own.1.count
    }
}

fn guest_life(world: &World, node: usize, incarnation: u64) -> NodeLife {
    NodeLife { node: world.name(node), incarnation: Incarnation(incarnation) }
}

const DEVICES: [&str; 3] = ["SEP0025", "SEP0026", "SEP0027"];

fn expected() -> Vec<Next> {
    let calls = (1..=CALLS).map(|n| call(n, 0));
    let mut all: Vec<Next> = DEVICES.iter().map(|d| registration(d, 0)).chain(calls).map(|r| timeless(&r)).collect();
    all.sort_by_key(Row::key);
    all
}

/// All of it, and each for about as long as it had.
fn assert_whole(found: &[(Next, u64)], lasts: std::ops::Range<u64>) {
    // A registration that comes from a file has no nonce, and the pretended ones had none.
    let rows: Vec<Next> = found.iter().map(|(row, _)| row.clone()).collect();
    assert_eq!(rows, expected());
    assert!(found.iter().all(|(_, secs)| lasts.contains(secs)), "{:?}", found.iter().map(|f| f.1).max());
}

async fn story() {
    let mut world = World::new();
    world.start(0);
    world.guest = Some(Guest::start(guest_life(&world, 2, 1_600_000_001), &world));
    world.run(Duration::from_secs(3)).await;
    let guest = world.guest.as_mut().unwrap();
    let until = guest.clock.now().as_secs() + 3_600;
    guest.put(DEVICES.iter().map(|d| registration(d, until)).collect());
    for n in 1..=CALLS {
        guest.put(vec![call(n, until)]);
    }
    world.run(Duration::from_secs(1)).await;
    world.assert_equal();
    // One of this version joins: what it gets of the next one is a snapshot.
    world.start(1);
    world.run(Duration::from_secs(3)).await;
    assert!(world.guest.as_ref().unwrap().cluster.counters().snapshots_sent >= 1);
    world.assert_equal();

    // The node of the next version dies and begins a new life: nodes of this one have kept all it had.
    world.guest = None;
    world.run(Duration::from_secs(2)).await;
    world.guest = Some(Guest::start(guest_life(&world, 2, 1_600_000_002), &world));
    world.run(Duration::from_secs(3)).await;
    world.assert_equal();
    let guest = world.guest.as_ref().unwrap();
    let own: Vec<(Next, u64)> =
        guest.own.values().map(|r| (timeless(r), r.expires().unwrap() - guest.clock.now().as_secs())).collect();
    assert_whole(&own, 3_580..3_600);

    // It dies and comes back as a node of this version, which takes all of it up, although it knows none of the calls.
    world.guest = None;
    world.run(Duration::from_secs(2)).await;
    world.start(2);
    world.run(Duration::from_secs(3)).await;
    world.assert_equal();
    assert_eq!(world.rows_at(2), CALLS + DEVICES.len() as u64);

    // All of them lose power, but for what is on their disks.
    world.run(Duration::from_secs(8)).await;
    world.stations.iter_mut().for_each(|s| s.crash().unwrap());
    world.run(Duration::from_secs(1)).await;
    (0..3).for_each(|node| world.start(node));
    world.run(Duration::from_secs(3)).await;
    world.assert_equal();
    assert_eq!(world.rows_at(2), CALLS + DEVICES.len() as u64);

    // A node of the next version joins and finds everything as it was.
    world.stations[1].crash().unwrap();
    world.run(Duration::from_secs(2)).await;
    world.guest = Some(Guest::start(guest_life(&world, 1, 1_800_000_000), &world));
    world.run(Duration::from_secs(3)).await;
    world.assert_equal();
    let ccm3 = world.name(2);
    assert_whole(&world.guest.as_ref().unwrap().has_of(&ccm3), 3_540..3_600);

    // It takes one of the calls over, and this version lets go of it.
    let guest = world.guest.as_mut().unwrap();
    let until = guest.clock.now().as_secs() + 3_600;
    let Next::Call(taken) = call(5, until) else { panic!() };
    guest.put(vec![Next::Call(Call { stamp: taken.stamp + 1_000_000, ..taken })]);
    world.run(Duration::from_secs(1)).await;
    assert_eq!(world.rows_at(2), CALLS + DEVICES.len() as u64 - 1);
    world.assert_equal();
}

#[test]
fn two_versions_run_one_cluster_and_nothing_is_dropped() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
    runtime.block_on(story());
}
