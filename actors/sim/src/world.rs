//! The one loop of a run: what is due is delivered, the nodes run until nothing moves, the invariants are asked, time goes on.
//!
//! Everything happens in a fixed order within a moment: faults, frames, datagrams, phones, nodes by their place. It must never read
//! anything but the virtual clock and the seed.

mod apply;

use crate::check::{Checks, Picture};
use crate::facts::Facts;
use crate::faults::Fault;
use crate::log::Log;
use crate::net::{Letter, SipNet};
use crate::pace::Paces;
use crate::phones::{Phones, Wanted};
use crate::setup::Setup;
use crate::station::{Bell, Shared, Station};
use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::future::{Future, poll_fn};
use std::net::SocketAddr;
use std::pin::pin;
use std::rc::Rc;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::Poll;
use std::time::Duration;
use tandem::directory::Directory;
use tandem::journal::Journal;
use tandem_base::{NodeName, Time, UnixMillis};
use tandem_cluster::NodeState;
use tandem_host::clock::Clock;
use tandem_host::link::simulated::SimNet;
use tandem_host::random::Random;
use tandem_loadtest::{PhoneInput, PhoneOutput};
use tandem_model::view::{ClusterView, NodeView, Service, Sight};
use tandem_rules::invariants::Broken;

/// Wall time at the beginning of every run: 14 November 2023, 22:13:20 UTC.
pub const EPOCH: UnixMillis = UnixMillis(1_700_000_000_000);
/// Journal entries read at once.
const JOURNAL_PAGE: usize = 65_536;
/// Rounds of all nodes within one moment; more is a loop without end, which is a finding.
const ROUNDS_MAX: usize = 100_000;
/// tokio's timers know whole milliseconds.
const TICK: Duration = Duration::from_millis(1);

/// See the module.
pub struct World {
    pub(crate) directory: Arc<Directory>,
    pub(crate) stations: Vec<Station>,
    pub(crate) phones: Phones,
    pub(crate) log: Log,
    pub(crate) facts: Vec<Option<Facts>>,
    /// By node: whether its facts are newer than the last check.
    fresh: Vec<bool>,
    pub(crate) checks: Checks,
    shared: Shared,
    setup: Setup,
    somebody: NodeName,
    /// What is to go wrong, in order.
    plan: VecDeque<(Time, Fault)>,
    /// What phones want done since a fault reached them.
    wanted: Vec<Wanted>,
    /// Dead nodes of which nobody is told.
    silent: BTreeSet<u16>,
    /// Nodes that are being stopped: their next round, and when patience ends.
    leaving: BTreeMap<u16, (Time, Time)>,
    /// Cuts between nodes, by direction.
    cuts: BTreeSet<(u16, u16)>,
    link_loss: u32,
    calm_since: Option<Time>,
    /// A registration, a view, a path or a phone's belief has changed since the last check.
    changed: bool,
    journal_read: u64,
    paces: Paces,
    next_check: Time,
    pub(crate) broken: Option<Broken>,
    pub(crate) steps: u64,
}

impl World {
    /// All nodes and phones of a setup, before anything has happened. Inside the runtime.
    ///
    /// # Errors
    /// A sentence: a phone or a node that cannot be made.
    pub fn new(setup: Setup) -> Result<Self, String> {
        let directory = Arc::new(Directory::build(&setup.config));
        let mut dice = Random::seeded(setup.seed);
        let links = SimNet::new(dice.next_u64());
        links.set_default_path(setup.link);
        let shared = Shared {
            journal: Arc::new(Journal::new(Arc::clone(&directory))),
            directory: Arc::clone(&directory),
            clock: Clock::simulated(EPOCH),
            links,
            sip: Rc::new(RefCell::new(SipNet::new(setup.sip, dice.fork()))),
            bell: Bell::default(),
            frames: Arc::new(Mutex::new(Vec::new())),
            seed: dice.next_u64(),
        };
        let phones = Phones::new(&setup, &directory, &mut dice)?;
        let mut stations = Vec::new();
        for (index, node) in (0..).zip(&directory.nodes) {
            let address = directory.sip_address(node, true, false).ok_or_else(|| format!("{node} has no address"))?;
            stations.push(Station::new(node.clone(), index, address, shared.clone()));
        }
        let settings = &setup.config.settings;
        let paces = Paces::new(settings.registrations_per_second, settings.registrations_burst);
        let somebody = directory.nodes.first().cloned().ok_or("there is no node")?;
        let mut world = Self {
            checks: Checks::new(&directory, setup.limits),
            facts: vec![None; stations.len()],
            fresh: vec![false; stations.len()],
            log: Log::new(setup.traced),
            directory,
            stations,
            phones,
            shared,
            setup,
            somebody,
            plan: VecDeque::new(),
            wanted: Vec::new(),
            silent: BTreeSet::new(),
            leaving: BTreeMap::new(),
            cuts: BTreeSet::new(),
            link_loss: 0,
            calm_since: Some(Time::ZERO),
            changed: true,
            journal_read: 0,
            paces,
            next_check: Time::ZERO,
            broken: None,
            steps: 0,
        };
        for index in 0..world.stations.len() {
            world.apply(Fault::Return(u16::try_from(index).unwrap_or(u16::MAX)));
        }
        Ok(world)
    }

    /// What is to go wrong from now on, in order of time.
    pub fn plan(&mut self, faults: impl IntoIterator<Item = (Time, Fault)>) {
        self.plan.extend(faults);
    }
    /// Now.
    pub fn now(&self) -> Time {
        self.shared.clock.now()
    }

    /// How long there has been no cut, hang or loss between nodes, and nothing has gone wrong; `None` while there is one.
    pub fn calm_for(&self, now: Time) -> Option<Duration> {
        self.calm_since.map(|since| now.since(since))
    }

    /// Lets time go on until `until`, or until something is broken.
    pub async fn run_until(&mut self, until: Time) {
        poll_fn(|cx| {
            self.shared.bell.hang_up(cx.waker());
            Poll::Ready(())
        })
        .await;
        loop {
            let now = self.now();
            self.step(now);
            if self.broken.is_some() || now >= until {
                return;
            }
            let next = self.next_deadline().map_or(until, |at| at.min(until));
            self.wait(now, next).await;
        }
    }

    /// Until `next`, or until a timer inside a node fires.
    async fn wait(&mut self, now: Time, next: Time) {
        let mut sleep = pin!(tokio::time::sleep(next.since(now).max(TICK)));
        poll_fn(|cx| if self.stations.iter().any(Station::is_due) { Poll::Ready(()) } else { sleep.as_mut().poll(cx) })
            .await;
    }

    fn next_deadline(&self) -> Option<Time> {
        let plan = self.plan.front().map(|(at, _)| *at);
        let sip = self.shared.sip.borrow().next_deadline();
        let round = self.leaving.values().map(|(at, _)| *at).min();
        [plan, sip, round, self.shared.links.next_deadline(), self.phones.next_deadline()].into_iter().flatten().min()
    }

    /// One moment.
    fn step(&mut self, now: Time) {
        self.steps += 1;
        while self.plan.front().is_some_and(|(at, _)| *at <= now) {
            if let Some((_, fault)) = self.plan.pop_front() {
                self.apply(fault);
            }
        }
        self.shared.links.advance(now);
        self.log_frames(now);
        self.rounds(now);
        let mut wanted = std::mem::take(&mut self.wanted);
        self.deliver(now, &mut wanted);
        self.phones.tick(now, &mut wanted);
        for wish in wanted {
            self.carry_out(now, wish);
        }
        self.settle();
        self.begin_new_lives(now);
        self.read_journal(now);
        if now >= self.next_check {
            self.next_check = now + self.setup.check_every;
            self.check(now);
        }
    }

    fn log_frames(&mut self, now: Time) {
        let frames = std::mem::take(&mut *self.shared.frames.lock().unwrap_or_else(PoisonError::into_inner));
        for (from, to, bytes) in frames {
            self.log.packet(now, format_args!("{from} > {to}"), &bytes);
        }
    }

    /// Datagrams that have landed.
    fn deliver(&mut self, now: Time, wanted: &mut Vec<Wanted>) {
        let mut for_nodes: BTreeMap<usize, Vec<(SocketAddr, Vec<u8>)>> = BTreeMap::new();
        loop {
            let letter = self.shared.sip.borrow_mut().take(now);
            let Some(Letter { from, to, bytes }) = letter else { break };
            self.log.packet(now, format_args!("{from} > {to}"), bytes.as_deref().unwrap_or(b"nobody listens"));
            if let Some(phone) = self.phones.at(to) {
                let input = match &bytes {
                    Some(bytes) => PhoneInput::Message { from, bytes },
                    None => PhoneInput::Broken { to: from },
                };
                self.phones.feed(now, phone, input, wanted);
            } else if let (Some(node), Some(bytes)) = (self.stations.iter().position(|s| s.address == to), bytes) {
                let Some(station) = self.stations.get(node) else { continue };
                if station.lives() {
                    for_nodes.entry(node).or_default().push((from, bytes.to_vec()));
                } else if !self.silent.contains(&station.index) {
                    self.shared.sip.borrow_mut().send(Letter { from: to, to: from, bytes: None });
                }
            }
        }
        for (node, letters) in for_nodes {
            let count = letters.len();
            if self.stations.get(node).is_some_and(|s| !s.arrive(letters)) {
                (0..count).for_each(|_| self.shared.sip.borrow_mut().lose());
            }
        }
    }

    fn carry_out(&mut self, now: Time, wish: Wanted) {
        let Some(phone) = self.phones.all().get(wish.phone) else { return };
        match wish.output {
            PhoneOutput::Send { to, bytes, .. } => {
                let letter = Letter { from: phone.local(), to, bytes: Some(bytes) };
                self.shared.sip.borrow_mut().send(letter);
            }
            // Phones of a run use datagrams.
            PhoneOutput::Open { .. } | PhoneOutput::Over(_) => {}
            PhoneOutput::Changed(change) => {
                self.changed = true;
                let server = change.server.and_then(|a| self.stations.iter().find(|s| s.address == a));
                let server = server.map_or("nobody", |s| s.name.as_str());
                let text = format!("{} {:?} > {:?} {server}: {:?}", phone.user(), change.from, change.to, change.why);
                self.log.event(now, &text);
            }
        }
    }

    /// The nodes run, in the order of the configuration, until nothing moves.
    fn settle(&mut self) {
        for _ in 0..ROUNDS_MAX {
            let mut moved = false;
            for station in &mut self.stations {
                moved |= station.turn();
            }
            if !moved {
                return;
            }
        }
        self.broken = Some(Broken { rule: "a_moment_ends", how: format!("{ROUNDS_MAX} rounds and still work") });
    }

    fn read_journal(&mut self, now: Time) {
        for event in self.shared.journal.after(self.journal_read, JOURNAL_PAGE) {
            self.journal_read = event.sequence;
            let node = event.node.as_ref().map_or("", |n| n.as_str());
            self.log.event(now, &format!("[{node}] {}: {}", event.kind, event.text));
            let admitted = matches!(event.kind.as_str(), "register" | "reregister") && event.cause != "adopted";
            if let Some(node) = event.node.filter(|_| admitted)
                && let Err(broken) = self.paces.admitted(now, &node)
            {
                self.broken.get_or_insert(broken);
            }
        }
    }

    /// Asks the nodes that have run, then the invariants.
    fn check(&mut self, now: Time) {
        self.refresh_facts();
        let truth = self.truth();
        let sip = self.shared.sip.borrow();
        let (phones, stations, cuts) = (self.phones.all(), &self.stations, &self.cuts);
        let reaches = |device: usize, node: usize| {
            !sip.has_cuts()
                || match (phones.get(device), stations.get(node)) {
                    (Some(phone), Some(station)) => sip.reaches(phone.local(), station.address),
                    _ => false,
                }
        };
        let index = |n: usize| u16::try_from(n).unwrap_or(u16::MAX);
        let joined = |a: usize, b: usize| {
            let (a, b) = (index(a), index(b));
            !cuts.contains(&(a, b)) && !cuts.contains(&(b, a))
        };
        let feels = |device: usize| {
            let at = phones.get(device)?.registered_at()?;
            stations.iter().position(|s| s.address == at)
        };
        let is_on = |device: usize| self.phones.is_on(device);
        let picture = Picture {
            now,
            directory: &self.directory,
            facts: &self.facts,
            fresh: &self.fresh,
            is_on: &is_on,
            truth: &truth,
            reaches: &reaches,
            joined: &joined,
            feels: &feels,
            changed: self.changed,
            calm_since: self.calm_since,
        };
        let panics = self.stations.iter().find_map(|s| match s.panics() {
            (0, None) => None,
            (restarts, gave_up) => Some(format!("{}: {restarts} restarts, gave up: {gave_up:?}", s.name)),
        });
        let verdict = self.checks.ask(&picture);
        self.changed = false;
        self.fresh.iter_mut().for_each(|fresh| *fresh = false);
        self.broken = self.broken.take().or(verdict.err());
        self.broken = self.broken.take().or(panics.map(|how| Broken { rule: "nobody_panics", how }));
    }

    /// Facts of every node that runs, asked again of those that have run since.
    pub(crate) fn refresh_facts(&mut self) {
        let devices = self.directory.len();
        for ((station, facts), fresh) in self.stations.iter_mut().zip(&mut self.facts).zip(&mut self.fresh) {
            if !station.runs() {
                self.changed |= facts.take().is_some();
            } else if station.take_ran() || facts.is_none() {
                let me = station.me().cloned();
                let answer = station.look();
                let new = me.zip(answer).map(|(me, (stock, overview))| Facts::new(me, stock, overview, devices));
                self.changed |= match (&*facts, &new) {
                    (Some(old), Some(new)) => !old.same_but_stamps(new),
                    _ => true,
                };
                *facts = new;
                *fresh = true;
            }
        }
    }

    /// Who really runs; what a node says of its service is believed.
    fn truth(&self) -> ClusterView {
        let node = |(station, facts): (&Station, &Option<Facts>)| {
            let view = match facts {
                Some(facts) => NodeView {
                    sight: Sight::Up,
                    service: match facts.overview.state {
                        NodeState::Joining => Service::Joining,
                        NodeState::InService => Service::InService,
                        NodeState::Draining => Service::Draining,
                    },
                    incarnation: facts.me.incarnation,
                    ..NodeView::unseen(Time::ZERO)
                },
                None => NodeView::unseen(Time::ZERO),
            };
            (station.name.clone(), view)
        };
        let nodes = self.stations.iter().zip(&self.facts).map(node).collect();
        // Nobody's own view: whose it is does not matter.
        ClusterView { me: self.somebody.clone(), nodes }
    }
}
