//! One node of a run: its tree of actors in a task set of its own, so that a crash drops everything at once and without a word, and a
//! hang is nothing but not being polled.
//!
//! The actors, the ticker and the wire are those of production or their twins in `tandem_host`. It must never reach into an actor: what
//! it wants to know it asks.

use crate::database::disk::Opened;
use crate::database::{ConfigDisk, Folder, Running};
use crate::net::{Letter, SipNet};
use bytes::Bytes;
use std::cell::{Cell, RefCell};
use std::future::Future;
use std::net::SocketAddr;
use std::path::Path;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;
use tandem::call_manager::queries::{Copies, Copy, Look, Overview};
use tandem::call_manager::{Drain, FromLink, IsSaved, SaveLast};
use tandem::device_host::queries::{Stock, TakeStock};
use tandem::device_host::{DeviceHost, HostTick, Inject, Leave, Wire};
use tandem::directory::Directory;
use tandem::edge::sip::{Addresses, Secrets};
use tandem::journal::Journal;
use tandem::locator::DeviceIndex;
use tandem::node;
use tandem::registration::Entry;
use tandem::state::StateFolder;
use tandem::tables::TableFile;
use tandem::tree::{self, ConfigParts, Handles};
use tandem_base::{Incarnation, NodeLife, NodeName, Time, UnixMillis};
use tandem_cluster::Saved;
use tandem_cluster::link::{LinkEvent, Sink};
use tandem_database::Reader;
use tandem_host::clock::{Clock, Dial};
use tandem_host::disk::{Disk, DiskFault, MemoryDisk};
use tandem_host::link::simulated::SimNet;
use tandem_host::outbox::{Flow, Peer};
use tandem_host::random::Random;
use tandem_host::saver::{Hand, Saver};
use tandem_host::supervise::{AskError, Handle, Tree};
use tandem_host::ticker::{Ticker, Waiting};
use tandem_model::config::Config;
use tokio::task::LocalSet;

/// Patience for the simulator's own questions; in virtual time nothing is slow, so it only bounds a mistake.
const ASK: Duration = Duration::from_secs(1);
/// As in production: devices told to leave per round of a polite stop.
const LEAVE_PER_ROUND: usize = 500;
/// Turns of a node per question, likewise.
const TURNS_MAX: usize = 10_000;
/// Where a node keeps the number of its last life, on a disk of its own.
const STATE: &str = "/state";
/// A host has been up for at most so long when a node begins a life on it, in seconds.
const UP_MAX: u64 = 30 * 86_400;

/// Whom to wake when a node has work: the one loop of the run. A copy is the same bell.
#[derive(Clone, Default)]
pub struct Bell {
    waker: Arc<Mutex<Option<Waker>>>,
}
impl Bell {
    /// Who waits now.
    pub fn hang_up(&self, waker: &Waker) {
        *self.waker.lock().unwrap_or_else(PoisonError::into_inner) = Some(waker.clone());
    }
    fn ring(&self) {
        let waker = self.waker.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if let Some(waker) = waker {
            waker.wake();
        }
    }
}

struct Flag {
    set: AtomicBool,
    bell: Bell,
}
impl Wake for Flag {
    fn wake(self: Arc<Self>) {
        self.set.store(true, Ordering::Release);
        self.bell.ring();
    }
}

/// What all nodes of a run share.
#[derive(Clone)]
pub struct Shared {
    /// The configuration.
    pub directory: Arc<Directory>,
    /// What happened.
    pub journal: Arc<Journal>,
    /// The time.
    pub clock: Clock,
    /// The links between nodes.
    pub links: SimNet,
    /// The network of the phones.
    pub sip: Rc<RefCell<SipNet>>,
    /// The one loop.
    pub bell: Bell,
    /// What the links delivered, for the log.
    pub frames: Arc<Mutex<Vec<(NodeName, NodeName, Bytes)>>>,
    /// Everything random follows from it.
    pub seed: u64,
    /// Where the copies of the configuration database are, and the file that founds it, when there is one.
    pub database: Option<(Rc<Folder>, Rc<Config>)>,
}

/// One life of a node.
struct Life {
    me: NodeLife,
    handles: Handles,
    tree: Tree,
    clock: Clock,
    _ticker: Ticker,
    set: LocalSet,
    flag: Arc<Flag>,
    hung: bool,
    began: Time,
    gave_up: Rc<RefCell<Option<String>>>,
    over: Rc<Cell<bool>>,
    /// What writes its run-time tables, and when the disk is done with what it writes now.
    hand: Option<Hand>,
    written_at: Option<Time>,
    /// What it found in its file.
    found: Vec<Saved<Entry>>,
    /// What works changes of the configuration into directories.
    live: Option<Running>,
}

/// See the module.
pub struct Station {
    /// Its name.
    pub name: NodeName,
    /// Its place in the directory.
    pub index: u16,
    /// Where it takes SIP over UDP.
    pub address: SocketAddr,
    shared: Shared,
    disk: MemoryDisk,
    disk_delay: Duration,
    dial: &'static Dial,
    lives: u64,
    life: Option<Life>,
    /// It gets the processor only once in this time, and next then.
    slow: Option<(Duration, Time)>,
    /// It has run since somebody asked last.
    ran: bool,
    /// Its file of run-time tables is not what was written.
    spoilt: bool,
    /// Its copy of the configuration database.
    config: Option<ConfigDisk>,
}

/// The directory of a life, its copy of the database, and what tells it of changes.
type Configured = (Arc<Directory>, Option<ConfigParts>, Option<Running>);
/// A file of run-time tables, and how often it is written.
type Tables = Option<(TableFile, Duration)>;

/// What became of a start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Start {
    /// It lives.
    Lives,
    /// Its disk did not take the number of its life: whoever started it tries again.
    DiskRefused,
}

impl Station {
    /// A node that has never lived.
    pub fn new(name: NodeName, index: u16, address: SocketAddr, dial: &'static Dial, shared: Shared) -> Self {
        let dice = Random::seeded(shared.seed ^ (u64::from(index) + 1) << 24 ^ 0xd15c);
        let config = shared.database.as_ref().map(|(folder, _)| ConfigDisk::new(Rc::clone(folder), &name, dice));
        Self {
            name,
            index,
            address,
            shared,
            config,
            disk: MemoryDisk::default(),
            disk_delay: Duration::ZERO,
            dial,
            lives: 0,
            life: None,
            slow: None,
            ran: false,
            spoilt: false,
        }
    }
    /// What its disk does wrong.
    pub fn set_disk(&mut self, fault: Option<DiskFault>, delay: Duration) {
        self.disk.set_fault(fault);
        self.disk_delay = delay;
        if let Some(config) = &mut self.config {
            config.set(fault, delay);
        }
    }
    /// The file of its run-time tables is cut off at this place, or altered there. `false`: there is none.
    pub fn spoil_tables(&mut self, place: usize, cut: bool) -> bool {
        let Ok(folder) = self.folder() else { return false };
        let spoilt = self.disk.spoil(&folder.tables(&self.name).path, place, cut);
        self.spoilt |= spoilt;
        spoilt
    }
    /// Whether that file was spoilt and has not been written since.
    pub fn is_spoilt(&self) -> bool {
        self.spoilt
    }
    /// What its present life has found in its file.
    pub fn found(&self) -> &[Saved<Entry>] {
        self.life.as_ref().map(|l| &l.found[..]).unwrap_or_default()
    }
    fn folder(&self) -> Result<StateFolder, String> {
        StateFolder::open(Path::new(STATE), None, Arc::new(self.disk.clone())).map_err(|e| e.to_string())
    }
    /// When its disk is done with the tables that it writes now.
    pub fn written_at(&self) -> Option<Time> {
        self.life.as_ref()?.written_at
    }
    /// Its disk writes what it has had the time for. A process that hangs still writes: the disk has a thread of its own.
    pub fn write(&mut self, now: Time) {
        let delay = self.disk_delay;
        let path = self.folder().ok().map(|folder| folder.tables(&self.name).path);
        let Some(life) = &mut self.life else { return };
        let (Some(hand), Some(path)) = (&life.hand, path) else { return };
        if life.written_at.is_some_and(|at| at <= now) {
            life.written_at = None;
            let bytes = || self.disk.read(&path, u64::MAX).unwrap_or_default();
            let before = bytes();
            let written = hand.write() == Some(true);
            // One that lost power while it wrote may have the new file all the same.
            self.spoilt &= !written && bytes() == before;
        }
        if life.written_at.is_none() && hand.has_work() {
            life.written_at = Some(now + delay);
        }
    }
    /// It is about to stop: its tables are to be kept as they are.
    pub fn save_last(&self) {
        if let Some(life) = &self.life {
            let _ = life.handles.manager.tell_vital(SaveLast);
        }
    }
    /// Whether that is done.
    pub fn is_saved(&mut self) -> bool {
        let Some(life) = self.life.as_ref().filter(|l| !l.hung) else { return false };
        let manager = life.handles.manager.clone();
        self.answer(manager.ask(IsSaved, ASK)).unwrap_or(false)
    }
    /// How long its disk takes to write.
    pub fn disk_delay(&self) -> Duration {
        self.disk_delay
    }
    /// How far its wall clock is ahead.
    pub fn set_clock(&self, ahead_millis: i64) {
        self.dial.set(ahead_millis);
    }
    /// It gets the processor only once in this time; zero: always.
    pub fn set_slow(&mut self, every: Duration) {
        self.slow = (!every.is_zero()).then_some((every, Time::ZERO));
    }
    /// Whether it is slow.
    pub fn is_slow(&self) -> bool {
        self.slow.is_some()
    }
    /// When its present life began, in the time of the run.
    pub fn began(&self) -> Option<Time> {
        self.life.as_ref().map(|l| l.began)
    }
    /// Its clock.
    pub fn clock(&self) -> Option<Clock> {
        self.life.as_ref().map(|l| l.clock)
    }
    /// Its present life.
    pub fn me(&self) -> Option<&NodeLife> {
        self.life.as_ref().map(|l| &l.me)
    }
    /// Whether it lives and is not hung.
    pub fn runs(&self) -> bool {
        self.life.as_ref().is_some_and(|l| !l.hung)
    }
    /// Whether it lives, hung or not.
    pub fn lives(&self) -> bool {
        self.life.is_some()
    }
    /// Whether it hangs.
    pub fn hangs(&self) -> bool {
        self.life.as_ref().is_some_and(|l| l.hung)
    }
    /// Whether it has found that its life is over: peers have buried it while it stood still.
    pub fn is_over(&self) -> bool {
        self.life.as_ref().is_some_and(|l| !l.hung && l.over.get())
    }
    /// Restarts after panics in this life, and why a keeper gave up.
    pub fn panics(&self) -> (u32, Option<String>) {
        self.life.as_ref().map_or((0, None), |l| (l.tree.restarts(), l.gave_up.borrow().clone()))
    }

    /// The number of the life that begins; `None`: the disk does not take it.
    fn next_life(&self, folder: &StateFolder, clock: Clock) -> Result<Option<Incarnation>, String> {
        match folder.next_life(&self.name, clock) {
            Ok(incarnation) => Ok(Some(incarnation)),
            Err(tandem::error::NodeError::Host(_)) => Ok(None),
            Err(e) => Err(e.to_string()),
        }
    }

    /// Begins a new life; one that lives goes on.
    ///
    /// # Errors
    /// A sentence: the link or the cluster machine refused.
    pub fn start(&mut self) -> Result<Start, String> {
        if self.lives() {
            return Ok(Start::Lives);
        }
        let shared = self.shared.clone();
        self.lives += 1;
        let own = shared.seed ^ (u64::from(self.index) + 1) << 32 ^ self.lives << 48;
        let clock = shared.clock.of_host(up_for(own), self.dial);
        let folder = self.folder()?;
        let Some(incarnation) = self.next_life(&folder, clock)? else { return Ok(Start::DiskRefused) };
        let me = NodeLife { node: self.name.clone(), incarnation };
        let (tables, hand) = self.open_tables(&folder, clock)?;
        let found = tables.as_ref().map(|(file, _)| file.found.clone()).unwrap_or_default();
        let (directory, config, live) = self.open_config(&me, clock)?;
        let (handles, mailboxes) = tree::mailboxes(&me, clock);
        let link = shared.links.attach(me.clone(), self.sink(&handles)).map_err(|e| e.to_string())?;
        let flag = Arc::new(Flag { set: AtomicBool::new(true), bell: shared.bell.clone() });
        let (gave_up, over) = (Rc::new(RefCell::new(None)), Rc::new(Cell::new(false)));
        let (set, rows_wait) = (LocalSet::new(), Waiting::default());
        let entered = set.enter();
        let parts = tree::Parts {
            me: me.clone(),
            directory: Arc::clone(&directory),
            journal: Arc::clone(&shared.journal),
            clock,
            random: Random::seeded(own),
            secrets: Secrets { nonce: format!("secret of run {}", shared.seed).into_bytes() },
            link: Box::new(link),
            addresses: Addresses { udp: vec![self.address], tcp: Vec::new() },
            wire: self.wire(),
            rows_wait: rows_wait.clone(),
            serving: Arc::new(AtomicBool::new(false)),
            tables,
            config,
            failed: Rc::new({
                let gave_up = Rc::clone(&gave_up);
                move |why| *gave_up.borrow_mut() = Some(why)
            }),
            over: Rc::new({
                let over = Rc::clone(&over);
                move |_| over.set(true)
            }),
        };
        let tree = tree::grow(parts, &handles, mailboxes).map_err(|e| e.to_string())?;
        let (flush, beat) = (handles.host.clone(), handles.clone());
        let ticker = Ticker::virtual_time(&rows_wait, move || flush_rows(&flush), move || node::tick(&beat));
        drop(entered);
        if let Some(live) = &live {
            live.begins(&self.name, handles.clone(), directory);
        }
        let began = shared.clock.now();
        self.life = Some(Life {
            me,
            handles,
            tree,
            clock,
            _ticker: ticker,
            set,
            flag,
            hung: false,
            began,
            gave_up,
            over,
            hand,
            written_at: None,
            found,
            live,
        });
        Ok(Start::Lives)
    }

    /// Where its link puts what comes: into the log of the run, and to its CallManager.
    fn sink(&self, handles: &Handles) -> Sink {
        let manager = handles.manager.clone();
        let (to, frames) = (self.name.clone(), Arc::clone(&self.shared.frames));
        Box::new(move |event| {
            if let LinkEvent::Message { from, bytes } = &event {
                let note = (from.clone(), to.clone(), bytes.clone());
                frames.lock().unwrap_or_else(PoisonError::into_inner).push(note);
            }
            // As in production: a full mailbox is a lost frame.
            let _ = manager.tell(FromLink(event));
        })
    }

    /// The file with its run-time tables, as production opens it, and what writes it here.
    fn open_tables(&self, folder: &StateFolder, clock: Clock) -> Result<(Tables, Option<Hand>), String> {
        let Shared { directory, journal, .. } = &self.shared;
        if directory.settings.tables_every.0.is_zero() {
            return Ok((None, None));
        }
        let mut kept = None;
        let by_hand = |disk, path, failed| {
            let (saver, hand) = Saver::by_hand(disk, path, failed);
            kept = Some(hand);
            Ok(saver)
        };
        let place = folder.tables(&self.name);
        let opened = TableFile::of_node(place, directory, &self.name, (journal, clock), by_hand);
        Ok((Some(opened.map_err(|e| e.to_string())?), kept))
    }

    fn wire(&self) -> Wire {
        let (sip, from) = (Rc::clone(&self.shared.sip), self.address);
        Wire::memory(Box::new(move |peer, bytes| {
            sip.borrow_mut().send(Letter { from, to: peer.addr, bytes: Some(Bytes::copy_from_slice(bytes)) });
        }))
    }

    /// Its copy of the configuration database, opened as a process does, what keeps it equal to the others, and what tells the node of changes.
    fn open_config(&mut self, me: &NodeLife, clock: Clock) -> Result<Configured, String> {
        let (first, journal) = (&self.shared.directory, &self.shared.journal);
        let (Some(disk), Some((_, file))) = (&mut self.config, &self.shared.database) else {
            return Ok((Arc::clone(first), None, None));
        };
        let Opened { databases, directory, head } = disk.open(&self.name, file, (clock, first))?;
        databases.tell(journal, clock);
        let running = Running::new(&self.name, &directory, &databases, (journal, clock));
        let database = databases.life(&self.name, head, running.live());
        let parts = database.map(|database| node::config_parts(database, me, &directory, clock));
        Ok((directory, parts, Some(running)))
    }
    /// Its copy and what tells the node of changes, when it lives.
    pub fn config_and_live(&mut self) -> Option<(&mut ConfigDisk, &mut Running)> {
        self.config.as_mut().zip(self.life.as_mut()?.live.as_mut())
    }
    /// Its copy of the configuration database.
    pub fn config_disk(&mut self) -> Option<&mut ConfigDisk> {
        self.config.as_mut()
    }
    /// The same with its name.
    pub fn named_config_disk(&mut self) -> Option<(&NodeName, &mut ConfigDisk)> {
        Some((&self.name, self.config.as_mut()?))
    }
    /// When its copy's disk is done with what it does, or a change is worked in.
    pub fn config_done_at(&self) -> Option<Time> {
        let live = self.life.as_ref().and_then(|life| life.live.as_ref()?.done_at());
        [self.config.as_ref()?.done_at(), live].into_iter().flatten().min()
    }
    /// Its actors, when it runs.
    pub fn handles(&self) -> Option<&Handles> {
        self.life.as_ref().filter(|l| !l.hung).map(|l| &l.handles)
    }
    /// With its actors, its copy, and its wall clock, when it runs.
    pub fn with_copy<T>(&mut self, f: impl FnOnce(&Handles, &Reader, UnixMillis) -> T) -> Option<T> {
        let life = self.life.as_ref().filter(|l| !l.hung)?;
        self.config.as_mut()?.look(|reader| Ok(f(&life.handles, reader, life.clock.unix_millis())))
    }

    /// Ends it as a crash does: every task is dropped where it stands, and its disk has what it has.
    ///
    /// # Errors
    /// A sentence: the simulator's own disk fails.
    pub fn crash(&mut self) -> Result<(), String> {
        self.life = None;
        self.config.as_mut().map_or(Ok(()), ConfigDisk::crash)
    }
    /// It stands still: nothing of it runs, and what comes waits.
    pub fn hang(&mut self) {
        self.shared.links.hang(&self.name);
        if let Some(life) = &mut self.life {
            life.hung = true;
        }
    }
    /// It goes on.
    pub fn resume(&mut self) {
        self.shared.links.resume(&self.name);
        if let Some(life) = &mut self.life {
            life.hung = false;
        }
    }
    /// It is about to stop and tells its peers so.
    pub fn drain(&self) {
        if let Some(life) = &self.life {
            let _ = life.handles.manager.tell_vital(Drain);
        }
    }
    /// Its devices are told to go elsewhere; how many are still here. `None` when it does not run.
    pub fn leave(&mut self) -> Option<usize> {
        let host = self.life.as_ref().filter(|l| !l.hung)?.handles.host.clone();
        self.answer(host.ask(Leave { most: LEAVE_PER_ROUND }, ASK))
    }

    /// Datagrams arrive. What its mailbox does not take is lost, as behind a full socket buffer.
    pub fn arrive(&self, letters: Vec<(SocketAddr, Vec<u8>)>) -> bool {
        let Some(life) = &self.life else { return false };
        let peer = |addr| Peer { addr, flow: Flow::Udp(0) };
        life.handles.host.tell(Inject(letters.into_iter().map(|(a, b)| (peer(a), b)).collect())).is_ok()
    }

    /// When it has something to do and gets the processor.
    pub fn due(&self) -> Option<Time> {
        let works = self.life.as_ref().is_some_and(|l| !l.hung && l.flag.set.load(Ordering::Acquire));
        works.then(|| self.slow.map_or(Time::ZERO, |(_, next)| next))
    }
    /// Lets it do what it has to; `false` when there was nothing, or it does not get the processor now.
    pub fn turn(&mut self, now: Time) -> bool {
        if self.due().is_none_or(|at| at > now) {
            return false;
        }
        if let Some((every, next)) = &mut self.slow {
            *next = now + *every;
        }
        self.run()
    }
    fn run(&mut self) -> bool {
        let Some(life) = self.life.as_mut().filter(|l| !l.hung) else { return false };
        if !life.flag.set.swap(false, Ordering::AcqRel) {
            return false;
        }
        let waker = Waker::from(Arc::clone(&life.flag));
        // Its keepers run for ever, so the set is never done.
        let _ = Pin::new(&mut life.set).poll(&mut Context::from_waker(&waker));
        self.ran = true;
        true
    }
    /// Whether it has run since this was asked last.
    pub fn take_ran(&mut self) -> bool {
        std::mem::take(&mut self.ran)
    }

    /// What it holds and what it sees; `None` when it does not run.
    pub fn look(&mut self) -> Option<(Stock, Overview)> {
        let handles = self.life.as_ref().filter(|l| !l.hung)?.handles.clone();
        let stock = self.answer(handles.host.ask(TakeStock, ASK))??;
        let overview = self.answer(handles.manager.ask(Look, ASK))??;
        self.ran = false;
        Some((stock, overview))
    }
    /// The copies it has of these devices.
    pub fn copies(&mut self, devices: Vec<DeviceIndex>) -> Option<Vec<Option<Copy>>> {
        let manager: Handle<_> = self.life.as_ref().filter(|l| !l.hung)?.handles.manager.clone();
        self.answer(manager.ask(Copies(devices), ASK))
    }

    fn answer<T>(&mut self, question: impl Future<Output = Result<T, AskError>>) -> Option<T> {
        let mut question = pin!(question);
        for _ in 0..TURNS_MAX {
            match question.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
                Poll::Ready(answer) => return answer.ok(),
                Poll::Pending => self.run(),
            };
        }
        None
    }
}

/// A host's monotonic clock counts from its own beginning: a process that has just started, or a host that has been up for days.
fn up_for(own: u64) -> Time {
    let mut dice = Random::seeded(own ^ 0xc10c);
    let most = if dice.below(2) == 0 { 3_000_000 } else { UP_MAX * 1_000_000 };
    Time::from_micros(dice.below(most))
}

/// As in production: a full mailbox misses a flush, and the next tick makes up for it.
fn flush_rows(host: &Handle<DeviceHost>) {
    let _ = host.tell(HostTick);
}
