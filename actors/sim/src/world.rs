//! The one loop of a run: what is due is delivered, the nodes run until nothing moves, the invariants are asked, time goes on.
//!
//! Everything happens in a fixed order within a moment: faults, frames, datagrams, phones, nodes by their place. It must never read
//! anything but the virtual clock and the seed.

mod apply;
mod configuration;
mod small;

use crate::check::lives::Lives;
use crate::check::{Checks, Picture};
use crate::cold::Cold;
use crate::copies::{Looks, Moment, complete_at_entry};
use crate::facts::Facts;
use crate::faults::Fault;
use crate::history::History;
use crate::log::Log;
use crate::net::{Letter, SipNet};
use crate::pace::Paces;
use crate::phones::{Phones, Wanted};
use crate::setup::Setup;
use crate::station::{Bell, Shared, Station};
use crate::thief::Thief;
use configuration::Configuration;
use small::{botch, database_of, joined};
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
use tandem_base::{NodeLife, NodeName, Time, UnixMillis};
use tandem_cluster::NodeState;
use tandem_host::clock::{Clock, Dial};
use tandem_host::link::simulated::{Path, SimNet};
use tandem_host::random::Random;
use tandem_loadtest::{PhoneInput, PhoneOutput, Status};
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
/// Of the messages of strangers so many in a hundred are broken.
const BROKEN_IN_100: u64 = 30;

thread_local! {
    /// Dials of runs that are over, to be used again: a clock refers to its dial for ever.
    static DIALS: RefCell<Vec<&'static Dial>> = const { RefCell::new(Vec::new()) };
}

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
    /// Nodes that have stopped but for keeping their tables, and when patience with their disks ends.
    keeping: BTreeMap<u16, Time>,
    /// Nodes that are to begin a life.
    starting: BTreeMap<u16, Time>,
    /// Cuts between nodes, by direction.
    cuts: BTreeSet<(u16, u16)>,
    /// How the links are.
    link: Path,
    /// Until then frames land that were sent while they took longer.
    late_until: Time,
    dice: Random,
    dials: Vec<&'static Dial>,
    pub(crate) history: History,
    lives: Lives,
    /// Since when all nodes were off at once, and what their files promise.
    cold: Option<Cold>,
    /// Nodes whose files are spoilt and who have not said so yet.
    unsaid: BTreeSet<NodeName>,
    /// Lives that have been seen in service.
    served: BTreeSet<NodeLife>,
    calm_since: Option<Time>,
    /// A registration, a view, a path or a phone's belief has changed since the last check.
    changed: bool,
    journal_read: u64,
    paces: Paces,
    thief: Option<Thief>,
    configuration: Option<Configuration>,
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
        let directory = Arc::new(Directory::first(&setup.config));
        let mut dice = Random::seeded(setup.seed);
        let links = SimNet::new(dice.next_u64());
        links.set_default_path(setup.link);
        links.set_stragglers(true);
        let shared = Shared {
            journal: Arc::new(Journal::new(Arc::clone(&directory))),
            directory: Arc::clone(&directory),
            clock: Clock::simulated(EPOCH),
            links,
            sip: Rc::new(RefCell::new(SipNet::new(setup.sip, dice.fork()))),
            bell: Bell::default(),
            frames: Arc::new(Mutex::new(Vec::new())),
            seed: dice.next_u64(),
            database: database_of(&setup)?,
        };
        let phones = Phones::new(&setup, &directory, &mut dice)?;
        for phone in phones.all() {
            shared.sip.borrow_mut().set_lag(phone.local(), phone.profile().settings().reaction);
        }
        let (stations, dials) = stations_of(&shared)?;
        let settings = &setup.config.settings;
        let paces = Paces::new(settings.registrations_per_second, settings.registrations_burst);
        let somebody = directory.nodes.first().cloned().ok_or("there is no node")?;
        let mut world = Self {
            checks: Checks::new(&directory, setup.limits),
            facts: vec![None; stations.len()],
            fresh: vec![false; stations.len()],
            history: History::new(stations.len(), directory.len()),
            lives: Lives::default(),
            dice: dice.fork(),
            dials,
            served: BTreeSet::new(),
            cold: None,
            unsaid: BTreeSet::new(),
            starting: BTreeMap::new(),
            log: Log::new(setup.traced),
            directory,
            stations,
            phones,
            shared,
            somebody,
            plan: VecDeque::new(),
            wanted: Vec::new(),
            silent: BTreeSet::new(),
            leaving: BTreeMap::new(),
            keeping: BTreeMap::new(),
            cuts: BTreeSet::new(),
            link: setup.link,
            late_until: Time::ZERO,
            calm_since: Some(Time::ZERO),
            changed: true,
            journal_read: 0,
            paces,
            thief: setup.thief.then(|| Thief::new(Random::seeded(setup.seed ^ 0x7e1f))),
            configuration: setup.database.then(|| Configuration::new(setup.seed)),
            next_check: Time::ZERO,
            broken: None,
            steps: 0,
            setup,
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
        let due = |s: &Station| s.due().is_some_and(|at| at <= now);
        poll_fn(|cx| if self.stations.iter().any(due) { Poll::Ready(()) } else { sleep.as_mut().poll(cx) }).await;
    }

    fn next_deadline(&self) -> Option<Time> {
        let plan = self.plan.front().map(|(at, _)| *at);
        let sip = self.shared.sip.borrow().next_deadline();
        let round = self.leaving.values().map(|(at, _)| *at).min();
        let start = self.starting.values().copied().min();
        let slow = self.stations.iter().filter_map(Station::due).min();
        let disks = self.stations.iter().filter_map(Station::written_at).min();
        let kept = self.keeping.values().copied().min();
        let copies = self.stations.iter().filter_map(Station::config_done_at).min();
        let people = self.configuration.as_ref().and_then(Configuration::deadline);
        let nets = [disks, copies, people, kept, self.shared.links.next_deadline(), self.phones.next_deadline()];
        [plan, sip, round, start, slow].into_iter().chain(nets).flatten().min()
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
        self.let_steal(now);
        self.phones.tick(now, &mut wanted);
        for wish in wanted {
            self.carry_out(now, wish);
        }
        self.administer(now);
        self.settle(now);
        self.stations.iter_mut().for_each(|s| s.write(now));
        self.let_disks_work(now);
        self.end_who_has_kept(now);
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
            if let (Some(thief), Some(bytes)) = (&mut self.thief, &bytes) {
                thief.hears_answer(bytes);
            }
            if let Some(phone) = self.phones.at(to) {
                let input = match &bytes {
                    Some(bytes) => PhoneInput::Message { from, bytes },
                    None => PhoneInput::Broken { to: from },
                };
                self.phones.feed(now, phone, input, wanted);
            } else if let (true, Some(bytes)) = (to == Thief::address(), &bytes) {
                if let Err(broken) = Thief::is_told(bytes) {
                    self.broken.get_or_insert(broken);
                }
            } else if let (Some(node), Some(bytes)) = (self.stations.iter().position(|s| s.address == to), bytes) {
                let Some(station) = self.stations.get(node) else { continue };
                if let (Some(began), Some(thief)) = (station.began(), &mut self.thief) {
                    thief.hears(now, node, began, &bytes);
                }
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

    fn let_steal(&mut self, now: Time) {
        let (nodes, calm, stations) = (self.stations.len(), self.calm_since, &self.stations);
        let began = |node: usize| stations.get(node).and_then(Station::began);
        let stolen = self.thief.as_mut().and_then(|thief| thief.steals(now, nodes, calm, began));
        if let Some((station, bytes)) = stolen.and_then(|(node, bytes)| Some((self.stations.get(node)?, bytes))) {
            let letter = Letter { from: Thief::address(), to: station.address, bytes: Some(bytes) };
            self.shared.sip.borrow_mut().send(letter);
        }
    }

    fn carry_out(&mut self, now: Time, wish: Wanted) {
        let Some(phone) = self.phones.get(wish.phone) else { return };
        let stranger = self.phones.is_stranger(wish.phone);
        match wish.output {
            PhoneOutput::Send { to, bytes, .. } => {
                let bytes = if stranger { botch(&mut self.dice, bytes) } else { bytes };
                let letter = Letter { from: phone.local(), to, bytes: Some(bytes) };
                self.shared.sip.borrow_mut().send(letter);
            }
            // Phones of a run use datagrams.
            PhoneOutput::Open { .. } | PhoneOutput::Over(_) => {}
            PhoneOutput::Changed(change) => {
                self.changed = true;
                if stranger && change.to == Status::Registered {
                    let how = format!("a stranger is registered as {} without its password", phone.user());
                    self.broken.get_or_insert(Broken { rule: "nobody_enters_without_password", how });
                }
                let server = change.server.and_then(|a| self.stations.iter().find(|s| s.address == a));
                let server = server.map_or("nobody", |s| s.name.as_str());
                let who = if stranger { "stranger " } else { "" };
                let text =
                    format!("{who}{} {:?} > {:?} {server}: {:?}", phone.user(), change.from, change.to, change.why);
                self.log.event(now, &text);
            }
        }
    }

    /// The nodes run, in the order of the configuration, until nothing moves.
    fn settle(&mut self, now: Time) {
        for _ in 0..ROUNDS_MAX {
            let mut moved = false;
            for station in &mut self.stations {
                moved |= station.turn(now);
            }
            if !moved {
                return;
            }
        }
        self.broken = Some(Broken { rule: "a_moment_ends", how: format!("{ROUNDS_MAX} rounds and still work") });
    }

    fn read_journal(&mut self, now: Time) {
        let is_settled = self.is_settled();
        for event in self.shared.journal.after(self.journal_read, JOURNAL_PAGE) {
            self.journal_read = event.sequence;
            let node = event.node.as_ref().map_or("", |n| n.as_str());
            self.log.event(now, &format!("[{node}] {}: {}", event.kind, event.text));
            if let Some(node) = &event.node
                && let Err(broken) = self.lives.told(node, &event.kind, &event.cause, &event.text)
            {
                self.broken.get_or_insert(broken);
            }
            if let (Some(node), "tables_not_kept") = (&event.node, event.kind.as_str()) {
                self.says_of_its_file(node.clone(), &event.text);
            }
            let registered = matches!(event.kind.as_str(), "register" | "reregister");
            let Some(node) = event.node.filter(|_| registered) else { continue };
            let adopted = event.cause == "adopted";
            let paced = if adopted { Ok(()) } else { self.paces.admitted(now, &node) };
            let moved = event.device.and_then(|name| {
                let device = self.directory.find_key(tandem_model::row::device_key(&name))?;
                let index = self.directory.node_index(&node).filter(|_| is_settled(device.0 as usize))?;
                let (device, node) = (device.0 as usize, usize::from(index));
                if adopted {
                    self.history.taken_up(device, node);
                    return None;
                }
                Some(self.history.registered(now, device, node, name.as_str()))
            });
            if let Err(broken) = paced.and(moved.unwrap_or(Ok(()))) {
                self.broken.get_or_insert(broken);
            }
        }
    }

    /// Asks the nodes that have run, then the invariants.
    fn check(&mut self, now: Time) {
        self.refresh_facts();
        let verdict = self.ask(now);
        self.changed = false;
        self.fresh.iter_mut().for_each(|fresh| *fresh = false);
        let panics = self.stations.iter().find_map(|s| match s.panics() {
            (0, None) => None,
            (restarts, gave_up) => Some(format!("{}: {restarts} restarts, gave up: {gave_up:?}", s.name)),
        });
        let panics = panics.map_or(Ok(()), |how| Err(Broken { rule: "nobody_panics", how }));
        let silent = self.unsaid.pop_first().map_or(Ok(()), |node| {
            let how = format!("{node} has found a spoilt file of tables and says nothing");
            Err(Broken { rule: "a_spoilt_file_is_reported", how })
        });
        let works = self.directories_are_copies(false);
        if let Err(broken) = verdict.and(panics).and(silent).and(works).and_then(|()| self.entries(now)) {
            self.broken.get_or_insert(broken);
        }
    }

    fn ask(&mut self, now: Time) -> Result<(), Broken> {
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
        let joined = joined(cuts);
        let feels = |device: usize| {
            let at = phones.get(device)?.registered_at()?;
            stations.iter().position(|s| s.address == at)
        };
        let is_on = |device: usize| self.phones.is_on(device);
        let is_settled = self.is_settled();
        let picture = Picture {
            now,
            directory: &self.directory,
            facts: &self.facts,
            fresh: &self.fresh,
            is_settled: &is_settled,
            is_on: &is_on,
            truth: &truth,
            reaches: &reaches,
            joined: &joined,
            feels: &feels,
            changed: self.changed,
            calm_since: self.calm_since,
        };
        self.checks.ask(&picture)
    }

    /// Asks what must be true of a node at the moment when it begins to serve.
    fn entries(&mut self, now: Time) -> Result<(), Broken> {
        for observer in 0..self.stations.len() {
            let facts = self.facts.get(observer).and_then(Option::as_ref);
            let serves = facts.filter(|f| f.overview.state == NodeState::InService && !self.served.contains(&f.me));
            let Some(me) = serves.map(|f| f.me.clone()) else { continue };
            self.served.insert(me);
            let (joined, is_settled) = (joined(&self.cuts), self.is_settled());
            let moment = Moment {
                now,
                directory: &self.directory,
                facts: &self.facts,
                history: &self.history,
                calm_since: self.calm_since,
                joined: &joined,
                is_settled: &is_settled,
            };
            if let Some(station) = self.stations.get_mut(observer) {
                complete_at_entry(observer, station, &moment)?;
            }
            if let Some(cold) = &mut self.cold {
                cold.enters(observer, &mut self.stations, &moment)?;
            }
        }
        Ok(())
    }

    /// A node says something of its file: only what cannot be read may be left out.
    fn says_of_its_file(&mut self, node: NodeName, text: &str) {
        let left_out = ["damaged or cut off", "cannot be used", "cannot be read"].iter().any(|w| text.contains(w));
        if left_out && !self.unsaid.remove(&node) {
            let how = format!("{node} leaves out a file that is as it was written: {text}");
            self.broken.get_or_insert(Broken { rule: "a_good_file_is_used", how });
        }
    }

    /// Looks at the copies of every node; what has differed twice is returned.
    ///
    /// # Errors
    /// What is broken without patience.
    pub(crate) fn compare(&mut self, looks: &mut Looks) -> Result<Option<String>, Broken> {
        self.refresh_facts();
        let (joined, is_settled) = (joined(&self.cuts), self.is_settled());
        let moment = Moment {
            now: self.shared.clock.now(),
            directory: &self.directory,
            facts: &self.facts,
            history: &self.history,
            calm_since: self.calm_since,
            joined: &joined,
            is_settled: &is_settled,
        };
        looks.look(&mut self.stations, &moment)
    }

    /// Facts of every node that runs, asked again of those that have run since.
    pub(crate) fn refresh_facts(&mut self) {
        let (now, devices) = (self.shared.clock.now(), self.phones.all().len());
        for (node, station) in self.stations.iter_mut().enumerate() {
            let (Some(facts), Some(fresh)) = (self.facts.get_mut(node), self.fresh.get_mut(node)) else { continue };
            if !station.runs() {
                if !station.lives() {
                    self.history.ended(node);
                }
                self.changed |= facts.take().is_some();
            } else if station.take_ran() || facts.is_none() {
                let me = station.me().cloned();
                let answer = station.look();
                let first = &self.directory;
                let new = me.zip(answer).map(|(me, answer)| Facts::new(me, first, answer, devices));
                self.changed |= match (&*facts, &new) {
                    (Some(old), Some(new)) => !old.same_but_stamps(new),
                    _ => true,
                };
                if let Some(new) = &new {
                    self.history.holds(now, node, new);
                }
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

impl Drop for World {
    fn drop(&mut self) {
        DIALS.with_borrow_mut(|free| free.append(&mut self.dials));
    }
}

/// The nodes of a run, and the dials of their clocks.
fn stations_of(shared: &Shared) -> Result<(Vec<Station>, Vec<&'static Dial>), String> {
    let (mut stations, mut dials) = (Vec::new(), Vec::new());
    for (index, node) in (0..).zip(shared.directory.nodes.iter()) {
        let address = shared.directory.sip_address(node, true, false);
        let address = address.ok_or_else(|| format!("{node} has no address"))?;
        let dial = DIALS.with_borrow_mut(Vec::pop).unwrap_or_else(|| Box::leak(Box::default()));
        dial.set(0);
        dials.push(dial);
        stations.push(Station::new(node.clone(), index, address, dial, shared.clone()));
    }
    Ok((stations, dials))
}
