//! A device host of one node that serves, without a socket: what the socket loop would drive, driven by hand. Its rows go to a real
//! CallManager, whose work is part of what is measured.
//!
//! It must never measure what it prepares or checks: only [`Scene::measured`] is.

use crate::requests::{self, DOMAIN, PASSWORD, Requests};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;
use tandem::call_manager::{self, CallManager};
use tandem::device_host::{self, DeviceHost, ViewChanged, Wire};
use tandem::directory::Directory;
use tandem::edge::sip::{Addresses, Edge, Secrets};
use tandem::journal::Journal;
use tandem::locator::Locator;
use tandem::tree::Shared;
use tandem::tree::{HOST_MAILBOX, MANAGER_MAILBOX};
use tandem_base::{Incarnation, NodeLife, NodeName, Time};
use tandem_cluster::{Cluster, Settings};
use tandem_host::clock::Clock;
use tandem_host::datagram::RX_BATCH;
use tandem_host::exporter::Exporter;
use tandem_host::link::local::Hub;
use tandem_host::outbox::Outbox;
use tandem_host::random::Random;
use tandem_host::supervise::{Child, Keep, Mailbox, mailbox};
use tandem_host::ticker::Waiting;
use tandem_host::udp_loop::{BATCHES_PER_TURN, Datagrams};
use tandem_model::config::Config;
use tandem_model::view::{ClusterView, Service};
use tandem_sip::nonce::Issuer;
use tokio::runtime::Runtime;
use tokio::task::LocalSet;

/// What virtual time a batch takes: about what it takes.
const BATCH_TIME: Duration = Duration::from_micros(100);
/// Walks all devices in no order that a cache could gain from; prime, and no divisor of a round number of devices.
const STRIDE: u64 = 2_654_435_761;

/// What a device does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Work {
    /// One REGISTER that refreshes.
    Refresh,
    /// A REGISTER that is challenged (401), and the same with credentials (200).
    Challenged,
}

/// See the module.
pub(crate) struct Scene {
    work: Work,
    devices: u32,
    runtime: Runtime,
    actors: LocalSet,
    host: DeviceHost,
    out: Outbox,
    requests: Requests,
    now: Time,
    batches: usize,
    /// Operations begun: says whose turn it is.
    begun: u64,
    /// Answers by hundred: 2 and 4 are what is wanted.
    pub(crate) answers: [u64; 7],
    _manager: Child,
    _mailbox: Mailbox<DeviceHost>,
}

impl Scene {
    /// A node that serves so many devices, all of them registered.
    pub(crate) fn new(work: Work, devices: u32) -> Self {
        Exporter::install().expect("the only recorder");
        let config = Config::parse("bench", &configuration(work, devices)).expect("a right configuration");
        let directory = Arc::new(Directory::build(&config));
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().expect("a runtime");
        let actors = LocalSet::new();
        let (host, manager, mailbox) = {
            let _in = (runtime.enter(), actors.enter());
            start(&directory)
        };
        let mut scene = Self {
            work,
            devices,
            runtime,
            actors,
            host,
            out: Outbox::new(),
            requests: Requests::new(),
            now: Clock::system().now(),
            batches: 0,
            begun: 0,
            answers: [0; 7],
            _manager: manager,
            _mailbox: mailbox,
        };
        scene.run(devices.into(), &mut Unmeasured);
        scene.answers = [0; 7];
        scene
    }

    /// So many operations (rounded up to whole batches); returns how many.
    pub(crate) fn run(&mut self, operations: u64, meter: &mut impl Meter) -> u64 {
        let batches = operations.div_ceil(RX_BATCH as u64);
        for _ in 0..batches {
            let mine: Vec<(u32, u64)> = (0..RX_BATCH).map(|_| self.next()).collect();
            self.exchange(mine.iter().map(|(device, cseq)| (*device, *cseq, Vec::new())), meter);
            if self.work == Work::Challenged {
                let mut refusals = Vec::with_capacity(RX_BATCH);
                self.out.drain(|_, bytes| refusals.push(bytes.to_vec()));
                let again = mine.iter().zip(&refusals);
                let again = again.map(|((device, cseq), r)| (*device, cseq + 1, requests::credentials(r, *device)));
                self.exchange(again, meter);
            }
        }
        batches * RX_BATCH as u64
    }

    /// Whose turn it is, and the CSeq of its next request.
    fn next(&mut self) -> (u32, u64) {
        let count = u64::from(self.devices);
        let device = self.begun.wrapping_mul(STRIDE) % count;
        let round = self.begun / count;
        self.begun += 1;
        (u32::try_from(device).expect("below the count"), 1_000 + 2 * round)
    }

    fn exchange(&mut self, requests: impl Iterator<Item = (u32, u64, Vec<u8>)>, meter: &mut impl Meter) {
        self.requests.clear();
        self.out.clear();
        for (device, cseq, credentials) in requests {
            self.requests.add(device, cseq, &credentials);
        }
        self.now += BATCH_TIME;
        meter.begin();
        self.measured();
        meter.end();
        for index in 0..self.out.len() {
            let status = self.out.get(index).map_or(0, |(_, bytes)| requests::status(bytes));
            self.answers[usize::from(status / 100).min(6)] += 1;
        }
    }

    /// One turn as the socket loop makes it; every eighth time the CallManager gets its own.
    #[inline(never)]
    fn measured(&mut self) {
        self.host.batch(&self.requests.batch(), self.now, &mut self.out);
        self.batches += 1;
        if self.batches.is_multiple_of(BATCHES_PER_TURN) {
            self.host.turn(self.now, &mut self.out);
            self.actors.block_on(&self.runtime, tokio::task::yield_now());
        }
    }
}

/// Told when the measured stretches begin and end.
pub(crate) trait Meter {
    fn begin(&mut self);
    fn end(&mut self);
}

/// Nothing is measured.
pub(crate) struct Unmeasured;
impl Meter for Unmeasured {
    fn begin(&mut self) {}
    fn end(&mut self) {}
}

fn configuration(work: Work, devices: u32) -> String {
    let digest = work == Work::Challenged;
    let password = if digest { format!("password = \"{PASSWORD}\"\n") } else { String::new() };
    format!(
        "[cluster]\nname = \"{DOMAIN}\"\n[settings]\ndigest = {digest}\nregistrations_per_second = 1000000\n\
         registrations_burst = 1000000\n[[node]]\nname = \"CCM1\"\naddress = \"127.0.0.1\"\nsip_udp = 0\nsip_tcp = 0\n\
         [[group]]\nname = \"G1\"\nmembers = [\"CCM1\"]\n[[device_pool]]\nname = \"DP1\"\ngroup = \"G1\"\n\
         [[device_series]]\nprefix = \"u\"\nfirst = 0\ncount = {devices}\ndigits = 7\npool = \"DP1\"\n{password}"
    )
}

/// The host, told that its node serves, and the CallManager that takes its rows.
fn start(directory: &Arc<Directory>) -> (DeviceHost, Child, Mailbox<DeviceHost>) {
    let node = NodeName::new("CCM1").expect("a name");
    let me = NodeLife { node: node.clone(), incarnation: Incarnation(1) };
    let clock = Clock::system();
    let locator = Arc::new(Locator::new(directory.len()));
    let journal = Arc::new(Journal::new(Arc::clone(directory)));
    let (manager, manager_mailbox) = mailbox(&node, "call_manager", MANAGER_MAILBOX, clock);
    let (own, own_mailbox) = mailbox(&node, "device_host", HOST_MAILBOX, clock);
    let link = Hub::new().attach(me.clone(), Box::new(|_| {})).expect("the only node");
    let settings = Settings::new(&directory.cluster, Vec::new());
    let shared = Shared { me: me.clone(), index: 0, directory: Arc::clone(directory), locator, journal, clock };
    let mut parts = Some(call_manager::Parts {
        shared: shared.clone(),
        link: Box::new(link),
        cluster: Cluster::new(me.clone(), settings, clock.now()).expect("usual settings"),
        serving: Arc::new(AtomicBool::new(true)),
        tables: None,
        over: std::rc::Rc::new(|_| ()),
    });
    let child = Keep::new(manager_mailbox).start(move || CallManager::new(parts.take().expect("made once")));
    let mut random = Random::seeded(1);
    let issuer = Issuer::new(0, 1, clock.now(), clock.unix_millis().0);
    let edge = Edge::new(&Secrets { nonce: b"bench".to_vec() }, issuer, Addresses::default(), directory, &mut random);
    let mut host = DeviceHost::new(device_host::Parts {
        shared,
        random,
        edge,
        rows_wait: Waiting::default(),
        wire: Wire::memory(Box::new(|_, _| {})),
        manager,
        own,
    });
    let mut view = ClusterView::first(&me, [node.clone()], clock.now());
    view.says(clock.now(), &node, Service::InService);
    let changed = ViewChanged { view: Arc::new(view), last_heard: Default::default() };
    actix::Handler::handle(&mut host, changed, &mut actix::Context::new());
    (host, child, own_mailbox)
}
