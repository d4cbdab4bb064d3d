//! Copies of devices that this node's configuration does not have yet, does no longer have, or has in another pool.

use super::*;
use crate::call_manager::FromLink;
use crate::device_host::DeviceHost;
use crate::scene::{Actors, directory, life, row, tell};
use serde_json::{Value, json};
use std::sync::Mutex;
use std::time::Duration;
use tandem_base::{Machine, Stamp, Time};
use tandem_cluster::link::{Link, LinkEvent};
use tandem_cluster::{Cluster, Digest, NodeState, Op, Output, OwnRows, Row, Settings};
use tandem_host::clock::Clock;
use tandem_host::link::local::Hub;
use tandem_model::admin::config::ConfigTable;
use tandem_model::config::rows::RowChange;
use tandem_model::row::{RegistrationRow, TableRow, device_key_of};
use tokio::task::LocalSet;

const PATIENCE: Duration = Duration::from_secs(20);

type Inbox = Arc<Mutex<Vec<LinkEvent>>>;

/// Node A as it is, and node B as a bare machine.
struct Scene {
    manager: CallManager,
    _others: DeviceHost,
    to_a: Inbox,
    b: Cluster<Entry>,
    b_link: Box<dyn Link>,
    to_b: Inbox,
    rows: Vec<Entry>,
    directory: Arc<Directory>,
}

fn attach(hub: &Hub, node: &str) -> (Box<dyn Link>, Inbox) {
    let inbox = Inbox::default();
    let into = Arc::clone(&inbox);
    let link = hub.attach(life(node), Box::new(move |event| into.lock().unwrap().push(event))).unwrap();
    (Box::new(link), inbox)
}

impl Scene {
    fn new(devices: usize) -> Self {
        let (hub, directory) = (Hub::new(), directory(devices));
        let (a_link, to_a) = attach(&hub, "A");
        let (b_link, to_b) = attach(&hub, "B");
        let settings = Settings::new("t", vec![life("A").node]);
        let b = Cluster::new(life("B"), settings, Clock::system().now()).unwrap();
        let Actors { manager, host, .. } = Actors::new(&directory, a_link);
        Self { manager, _others: host, to_a, b, b_link, to_b, rows: Vec::new(), directory }
    }
    /// Both do what is due.
    fn pump(&mut self) {
        let now = Clock::system().now();
        for event in std::mem::take(&mut *self.to_a.lock().unwrap()) {
            tell(&mut self.manager, FromLink(event));
        }
        tell(&mut self.manager, crate::call_manager::Tick);
        for event in std::mem::take(&mut *self.to_b.lock().unwrap()) {
            self.b.handle(now, Input::Link(event));
        }
        self.b.tick(now);
        self.drain(now);
    }
    fn drain(&mut self, now: Time) {
        while let Some(output) = self.b.poll() {
            match output {
                Output::Send { to, lane, frame } => drop(self.b_link.send(&to, lane, frame)),
                Output::Broadcast { lane, frame } => drop(self.b_link.broadcast(lane, frame)),
                Output::NeedChunk { peer, ticket, .. } => {
                    self.b.handle(now, Input::Chunk { peer, ticket, rows: self.rows.clone(), next: None });
                }
                _ => {}
            }
        }
    }
    fn until(&mut self, what: &str, mut holds: impl FnMut(&mut Self) -> bool) {
        let begun = Clock::system().now();
        while !holds(self) {
            assert!(Clock::system().now().since(begun) < PATIENCE, "not in time: {what}");
            self.pump();
            std::thread::yield_now();
        }
    }
    /// B serves these devices, at rank 2.
    fn serve(&mut self, names: impl Iterator<Item = String>, stamp: u64) {
        let now = Clock::system().now();
        let row = |name: String| {
            Entry(TableRow::Registration(RegistrationRow {
                device: device_key_of(&name),
                stamp: Stamp(stamp),
                rank: Rank::ALL[1],
                contact: Arc::from(format!("sip:{name}@127.0.0.9")),
                expires: now.as_secs() + 3_600,
                ..RegistrationRow::default()
            }))
        };
        for row in names.map(row) {
            self.rows.retain(|r| r.key() != row.key());
            self.rows.push(row);
        }
        let mut digest = Digest::default();
        self.rows.iter().for_each(|row| digest.add(row.hash()));
        let ops = self.rows.iter().cloned().map(Op::Put).collect();
        self.b.handle(now, Input::OwnRows(OwnRows { ops, digest }));
        self.drain(now);
    }
    fn change(&mut self, changes: &[RowChange]) {
        let applied = self.directory.apply(self.directory.mark, changes).unwrap();
        self.directory = Arc::clone(&applied.directory);
        tell(&mut self.manager, Reconfigure(applied));
    }
    /// Devices of a pool that B serves, as A counts them.
    fn counted(&self, pool: &str) -> u64 {
        let pool = self.directory.live_pools().find(|(_, p)| p.name.as_str() == pool).unwrap().0;
        self.manager.counts.of_pool(1, pool)
    }
    fn owner(&self, name: &str) -> Option<u16> {
        Some(self.manager.locator.elsewhere(self.directory.device_named(name)?)?.owner)
    }
}

fn on_scene(devices: usize, test: impl FnOnce(&mut Scene)) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    LocalSet::new().block_on(&runtime, async { test(&mut Scene::new(devices)) });
}

fn device(name: &str, pool: &str) -> RowChange {
    let after = if pool.is_empty() { Value::Null } else { json!({"pool": pool}) };
    row(ConfigTable::Device, name, &after)
}

#[test]
fn a_copy_of_a_device_that_is_not_known_yet_counts_as_soon_as_it_is() {
    on_scene(1, |scene| {
        scene.serve(["NEW", "S00001"].map(str::to_owned).into_iter(), 5);
        let key = device_key_of("NEW").0;
        scene.b.handle(Clock::system().now(), Input::State(NodeState::InService));
        scene.until("the copy is there", |s| s.manager.cluster.get(key).next().is_some() && s.counted("P") == 1);
        assert_eq!((scene.owner("NEW"), scene.owner("S00001")), (None, Some(1)));
        scene.change(&[device("NEW", "P")]);
        assert_eq!((scene.counted("P"), scene.counted("Q"), scene.owner("NEW")), (2, 0, Some(1)));
        scene.change(&[device("NEW", "Q")]);
        assert_eq!((scene.counted("P"), scene.counted("Q"), scene.owner("NEW")), (1, 1, Some(1)));
        // Gone from the configuration here, while its node has not heard of it and still says that it serves it.
        let index = scene.directory.device_named("NEW").unwrap();
        scene.change(&[device("NEW", "")]);
        assert_eq!((scene.counted("P"), scene.counted("Q")), (1, 0));
        assert!(scene.manager.locator.elsewhere(index).is_none());
        scene.serve(["NEW"].map(str::to_owned).into_iter(), 9);
        let stamp = |s: &Scene| s.manager.cluster.get(key).next().and_then(|f| Some(f.row.registration()?.stamp));
        scene.until("the newer row is there", |s| stamp(s) == Some(Stamp(9)));
        assert_eq!((scene.counted("P"), scene.counted("Q")), (1, 0), "nobody's row");
        scene.change(&[device("NEW", "P")]);
        assert_eq!((scene.counted("P"), scene.owner("NEW")), (2, Some(1)));
    });
}

#[test]
fn a_change_of_many_is_counted_right_at_every_step_of_it() {
    const MANY: usize = STEP + STEP / 4;
    on_scene(MANY, |scene| {
        let name = |n: usize| format!("S{n:05}");
        scene.serve((1..=MANY).map(name), 5);
        scene.until("the copies are there", |s| s.counted("P") == MANY as u64);
        let moves: Vec<_> = (1..=MANY).map(|n| device(&name(n), "Q")).collect();
        scene.change(&moves);
        assert!(scene.manager.transition.is_some());
        assert_eq!((scene.counted("P"), scene.counted("Q")), ((MANY - STEP) as u64, STEP as u64));
        // A row of a device that has not been looked at is written anew, and one is gone: each is counted where it was.
        let last = scene.rows.pop().unwrap();
        let now = Clock::system().now();
        let mut digest = Digest::default();
        let mut again = scene.rows[MANY - 2].clone();
        if let TableRow::Registration(row) = &mut again.0 {
            row.stamp = Stamp(6);
        }
        scene.rows[MANY - 2] = again.clone();
        scene.rows.iter().for_each(|row| digest.add(row.hash()));
        let ops = vec![Op::Remove { key: last.key() }, Op::Put(again)];
        scene.b.handle(now, Input::OwnRows(OwnRows { ops, digest }));
        scene.drain(now);
        for event in std::mem::take(&mut *scene.to_a.lock().unwrap()) {
            tell(&mut scene.manager, FromLink(event));
        }
        assert!(scene.manager.cluster.get(last.key()).next().is_none(), "the change has come");
        assert_eq!((scene.counted("P"), scene.counted("Q")), ((MANY - STEP - 1) as u64, STEP as u64));
        scene.until("all are looked at", |s| s.manager.transition.is_none());
        assert_eq!((scene.counted("P"), scene.counted("Q")), (0, MANY as u64 - 1));
        // The next change does not wait for the steps of the one before.
        scene.change(&(1..=MANY).map(|n| device(&name(n), "P")).collect::<Vec<_>>());
        scene.change(&[device(&name(MANY), "")]);
        assert!(scene.manager.transition.is_none());
        assert_eq!((scene.counted("P"), scene.counted("Q")), (MANY as u64 - 1, 0));
    });
}
