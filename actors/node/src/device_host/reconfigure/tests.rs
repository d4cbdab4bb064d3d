//! Many devices of one host through changes of the configuration: what each keeps, what is counted, how much is done at once.

use super::*;
use crate::counts::Counts;
use crate::device::Traits;
use crate::device_host::queries::{Stock, TakeStock};
use crate::locator::DeviceIndex;
use crate::registrar::{Answer, What, Wish};
use crate::scene::{Actors, directory, life, row, tell};
use serde_json::json;
use tandem_base::Rank;
use tandem_host::link::local::Hub;
use tandem_host::outbox::{Flow, Peer};
use tandem_model::admin::config::ConfigTable;
use tandem_model::config::rows::RowChange;
use tokio::task::LocalSet;

const DEVICES: usize = 3_000;
const FIRST: Rank = Rank::HOME;

struct Scene {
    actors: Actors,
    directory: Arc<Directory>,
}

impl Scene {
    fn change(&mut self, changes: &[RowChange]) {
        let applied = self.directory.apply(self.directory.mark, changes).unwrap();
        self.directory = Arc::clone(&applied.directory);
        tell(&mut self.actors.host, Reconfigure(applied));
    }
    /// Steps until the walk is over; returns how many.
    fn sweep(&mut self) -> usize {
        let mut steps = 0;
        while self.actors.host.sweep.is_some() {
            tell(&mut self.actors.host, Sweep);
            steps += 1;
        }
        steps
    }
    /// What is there; counts and gauges are what they should be.
    fn stock(&mut self) -> Stock {
        let stock = tell(&mut self.actors.host, TakeStock).unwrap();
        let (mut counts, mut gauges) = (Counts::default(), vec![[0; 3]; self.directory.groups.len()]);
        for (_, device) in self.actors.host.devices.iter_from(0) {
            counts.add(0, device.pool, device.rank);
            gauges[usize::from(device.group)][device.rank.position()] += 1;
        }
        assert_eq!((&counts, &gauges), (&stock.counts, &stock.gauges));
        stock
    }
    fn register(&mut self, index: DeviceIndex, call_id: u64) -> Answer {
        let wish = Wish {
            device: index,
            peer: Peer { addr: ([127, 0, 0, 1], 5_060).into(), flow: Flow::Udp(0) },
            call_id,
            cseq: 1,
            transaction: None,
            nonce: None,
            poison: false,
            what: What::Bind { contact: "sip:x@127.0.0.1", path: None, expires: None, traits: Traits::default() },
        };
        let now = self.actors.host.clock.now();
        self.actors.host.begin_turn(now);
        self.actors.host.register(now, &wish)
    }
}

/// All devices are registered at A.
fn on_scene(test: impl FnOnce(&mut Scene)) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    let local = LocalSet::new();
    local.block_on(&runtime, async {
        let directory = directory(DEVICES);
        let link = Hub::new().attach(life("A"), Box::new(|_| {})).unwrap();
        let mut scene = Scene { actors: Actors::new(&directory, Box::new(link)), directory };
        for n in 0..DEVICES {
            let index = DeviceIndex(u32::try_from(n).unwrap());
            assert!(matches!(scene.register(index, 7), Answer::Bound(_)));
        }
        test(&mut scene);
    });
}

fn device(n: usize, pool: &str) -> RowChange {
    let after = if pool.is_empty() { serde_json::Value::Null } else { json!({"pool": pool}) };
    row(ConfigTable::Device, &format!("S{n:05}"), &after)
}
fn group(members: &[&str]) -> RowChange {
    row(ConfigTable::Group, "G", &json!({"members": members}))
}

#[test]
fn another_order_of_a_group_gives_every_device_its_new_rank_step_by_step() {
    on_scene(|scene| {
        scene.change(&[group(&["B", "A"])]);
        assert_eq!(scene.stock().here.iter().filter(|(.., rank)| *rank == FIRST).count(), DEVICES - STEP, "one step");
        assert_eq!(scene.sweep(), DEVICES.div_ceil(STEP) - 1);
        assert_eq!(scene.stock().gauges, [[0, 3_000, 0], [0; 3]]);
        // A change while the walk is under way: it begins anew and forgets nobody.
        scene.change(&[group(&["A", "B"])]);
        scene.change(&[group(&["B", "A"]), device(1, "Q")]);
        scene.change(&[device(3_000, "")]);
        scene.sweep();
        assert_eq!(scene.stock().gauges, [[0, 2_998, 0], [1, 0, 0]], "at a node that is no member it keeps its rank");
    });
}

#[test]
fn devices_that_are_deleted_are_gone_few_at_once_and_many_by_the_walk() {
    on_scene(|scene| {
        let few: Vec<_> = (1..=10).map(|n| device(n, "")).collect();
        scene.change(&few);
        assert_eq!((scene.stock().here.len(), scene.actors.host.sweep), (DEVICES - 10, None));
        assert!(scene.actors.host.locator.slot(DeviceIndex(0)).is_none());
        let many: Vec<_> = (11..=2_900).map(|n| device(n, "")).collect();
        scene.change(&many);
        scene.sweep();
        let stock = scene.stock();
        assert_eq!(stock.here.iter().map(|(d, ..)| d.0).collect::<Vec<_>>(), (2_900..3_000).collect::<Vec<_>>());
        // Whoever comes back is somebody new: its slot, its number, its registration.
        scene.change(&[device(5, "P")]);
        assert!(matches!(scene.register(DeviceIndex(4), 8), Answer::Bound(_)));
        assert_eq!(scene.stock().gauges[0], [101, 0, 0]);
    });
}

#[test]
fn who_is_at_a_node_that_is_no_member_any_more_goes_once_it_was_called() {
    on_scene(|scene| {
        scene.change(&[group(&["B"])]);
        scene.sweep();
        assert!(scene.actors.host.some_must_leave);
        let index = DeviceIndex(0);
        let slot = scene.actors.host.locator.slot(index).unwrap();
        let refresh = |scene: &mut Scene, cseq| {
            scene.actors.host.devices.get_mut(slot).unwrap().cseq = cseq;
            scene.register(index, 7)
        };
        assert!(matches!(refresh(scene, 0), Answer::Bound(_)), "not its turn yet");
        scene.actors.host.devices.get_mut(slot).unwrap().called_home = 1;
        assert!(matches!(refresh(scene, 0), Answer::Bound(_)), "B is not in service: nobody is sent into the dark");
        let mut view = scene.actors.host.view.as_ref().clone();
        view.sees(Time::ZERO, &life("B").node, life("B").incarnation, tandem_model::view::Sight::Up);
        view.says(Time::ZERO, &life("B").node, Service::InService);
        scene.actors.host.view = Arc::new(view);
        assert_eq!(refresh(scene, 0), Answer::Elsewhere(vec![life("B").node]));
        assert_eq!(scene.stock().here.len(), DEVICES - 1);
        // A member again: nobody has to go.
        scene.change(&[group(&["A"])]);
        scene.sweep();
        assert!(!scene.actors.host.some_must_leave);
        assert_eq!(scene.stock().gauges[0], [2_999, 0, 0]);
    });
}
