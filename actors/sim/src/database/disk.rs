//! A node's copy of the configuration database and the disk that it stands on: a real SQLite file in a folder of the run, whose jobs take their
//! time and whose crash is drawn from the seed.
//!
//! What is committed survives. What was being written when the node died is there, is not there, or is there in part: then the log of the file has the
//! first bytes of it, and SQLite has to find out. It must never be given what the node has not committed.

use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tandem::config::store::NodeStore;
use tandem::directory::Directory;
use tandem::process::Databases;
use tandem_base::{NodeName, Time};
use tandem_database::replication::Work;
use tandem_database::{Head, Reader, StoreError, StoreSettings, Worker};
use tandem_host::clock::Clock;
use tandem_host::disk::{Access, Disk, DiskFault, RealDisk};
use tandem_host::labour::Hand;
use tandem_host::random::Random;
use tandem_model::config::Config;

/// Memory that looks like a disk, where there is such a thing.
const MEMORY: &str = "/dev/shm";
/// A file of a run is never larger.
const FILE_MAX: u64 = 64 << 20;
/// What a disk takes for one job, at least and at most, when it is not slow.
const JOB_MICROS: (u64, u64) = (100, 4_000);
/// Most bytes that a write which came to nothing leaves behind the log.
const GARBAGE_MAX: u64 = 9_000;
/// A log that is cut often keeps so many changes, and up to so many more.
const SHORT_LOG: (u64, u64) = (4, 30);

/// Where the files of a run are; gone with it.
#[derive(Debug)]
pub struct Folder(PathBuf);

impl Folder {
    /// A folder of its own. Its name is never part of a run's history.
    ///
    /// # Errors
    /// A sentence: it cannot be made.
    pub fn new() -> Result<Self, String> {
        static SERIAL: AtomicU64 = AtomicU64::new(0);
        let memory = PathBuf::from(MEMORY);
        let base = if memory.is_dir() { memory } else { std::env::temp_dir() };
        let serial = SERIAL.fetch_add(1, Ordering::Relaxed);
        let path = base.join(format!("tandem-sim-{}-{serial}", std::process::id()));
        RealDisk.create_dir(&path).map_err(|e| e.to_string())?;
        Ok(Self(path))
    }
    /// A text without the folder's name.
    pub fn without(&self, text: &str) -> String {
        text.replace(&*self.0.to_string_lossy(), "")
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        // Best effort: it is temporary anyway.
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// The bytes of a store: its file, and the log beside it.
#[derive(PartialEq, Eq)]
struct Bytes {
    file: Vec<u8>,
    log: Vec<u8>,
}

/// See the module. One per node, for all its lives.
pub struct ConfigDisk {
    folder: Rc<Folder>,
    path: PathBuf,
    settings: StoreSettings,
    dice: Random,
    fault: Option<DiskFault>,
    slow: Duration,
    open: Option<Open>,
    forgotten: Vec<String>,
}

struct Open {
    hand: Hand<Worker>,
    /// When the disk is done with the job that it has begun.
    done_at: Option<Time>,
    /// A job was done since somebody asked.
    worked: bool,
    panicked: bool,
}

/// A copy as a life finds it.
pub struct Opened {
    /// The copies of the life's process: its own.
    pub databases: Databases,
    /// The configuration that is in force.
    pub directory: Arc<Directory>,
    /// Where the copy stands.
    pub head: Head,
}

impl ConfigDisk {
    /// An empty disk.
    pub fn new(folder: Rc<Folder>, node: &NodeName, mut dice: Random) -> Self {
        let path = folder.0.join(format!("{node}.db"));
        let mut settings = StoreSettings { durable: false, cache_kib: 1_024, ..StoreSettings::default() };
        if dice.below(3) == 0 {
            settings.log_changes = SHORT_LOG.0 + dice.below(SHORT_LOG.1);
        }
        Self { folder, path, settings, dice, fault: None, slow: Duration::ZERO, open: None, forgotten: Vec::new() }
    }
    /// What it does wrong.
    pub fn set(&mut self, fault: Option<DiskFault>, slow: Duration) {
        (self.fault, self.slow) = (fault, slow);
        self.tell_store();
    }
    fn tell_store(&mut self) {
        let fault = self.fault.map(|fault| match fault {
            DiskFault::Full => StoreError::DiskFull("there is no room".to_owned()),
            DiskFault::Torn => StoreError::Io("the power goes".to_owned()),
        });
        if let Some(open) = &mut self.open {
            open.hand.state().store().set_fault(fault);
        }
    }

    /// A life opens its copy, as the start of a process does. `first` numbers what there is.
    ///
    /// # Errors
    /// A sentence: the file cannot be used.
    pub fn open(
        &mut self,
        node: &NodeName,
        file: &Config,
        (clock, first): (Clock, &Directory),
    ) -> Result<Opened, String> {
        let (path, settings, mut hand) = (self.path.clone(), self.settings, None);
        let mut open = |node: &NodeName, say: &mut dyn FnMut(String)| {
            let (store, opened) = NodeStore::by_hand(&path, settings, node, say)?;
            hand = Some(opened);
            Ok(store)
        };
        let dice = self.dice.fork();
        let opened = Databases::open(file, std::slice::from_ref(node), &mut open, (clock, move || Ok(dice)));
        let (databases, in_force) = opened.map_err(|e| self.folder.without(&e.to_string()))?;
        let (Some(mut hand), Some(config)) = (hand, in_force) else { return Err(format!("{node} has no copy")) };
        let directory = first.rebuilt(databases.mark(&config), &config).directory;
        // The hour at which a log is cut.
        let before = comments(hand.state().reader()).map_err(|e| e.to_string())?;
        hand.state().run(clock.unix_millis(), Work::Trim);
        let after = comments(hand.state().reader()).map_err(|e| e.to_string())?;
        self.forgotten.extend(before.into_iter().filter(|comment| !after.contains(comment)));
        let head = hand.state().head().clone();
        self.open = Some(Open { hand, done_at: None, worked: true, panicked: false });
        self.tell_store();
        Ok(Opened { databases, directory, head })
    }
    /// The comments of the changes that its log was cut of since this was asked last.
    pub fn take_forgotten(&mut self) -> Vec<String> {
        std::mem::take(&mut self.forgotten)
    }

    /// When its present job is done.
    pub fn done_at(&self) -> Option<Time> {
        self.open.as_ref()?.done_at
    }
    /// It does the job that it has had the time for, and begins the next.
    pub fn work(&mut self, now: Time) {
        let Some(open) = &mut self.open else { return };
        if open.done_at.is_some_and(|at| at <= now) {
            open.done_at = None;
            open.worked = true;
            open.panicked |= open.hand.work() == Some(false);
        }
        if open.done_at.is_none() && open.hand.has_work() {
            let own = Duration::from_micros(JOB_MICROS.0 + self.dice.below(JOB_MICROS.1));
            open.done_at = Some(now + own + self.slow);
        }
    }
    /// Dice for what goes with it.
    pub fn dice(&mut self, bound: u64) -> u64 {
        self.dice.below(bound)
    }
    /// Whether no job waits.
    pub fn is_idle(&self) -> bool {
        self.open.as_ref().is_none_or(|open| !open.hand.has_work())
    }
    /// Whether a job was done since this was asked last.
    pub fn take_worked(&mut self) -> bool {
        self.open.as_mut().is_some_and(|open| std::mem::take(&mut open.worked))
    }
    /// Whether a life has it open.
    pub fn is_open(&self) -> bool {
        self.open.is_some()
    }
    /// Whether a job panicked.
    pub fn has_panicked(&self) -> bool {
        self.open.as_ref().is_some_and(|open| open.panicked)
    }
    /// Where the copy stands after the last job; none while the node is off.
    pub fn head(&mut self) -> Option<Head> {
        Some(self.open.as_mut()?.hand.state().head().clone())
    }
    /// What is on the disk, read beside the writer.
    ///
    /// # Errors
    /// As the disk has them.
    pub fn read<T>(&mut self, question: impl FnOnce(&Reader) -> Result<T, StoreError>) -> Result<T, StoreError> {
        question(&Reader::open(&self.path, self.settings)?)
    }
    /// What the writer itself sees; cheaper.
    pub fn look<T>(&mut self, question: impl FnOnce(&Reader) -> Result<T, StoreError>) -> Option<T> {
        question(self.open.as_mut()?.hand.state().reader()).ok()
    }

    /// The life that has it open is over.
    ///
    /// # Errors
    /// A sentence: the simulator's own disk fails.
    pub fn crash(&mut self) -> Result<(), String> {
        let Some(mut open) = self.open.take() else { return Ok(()) };
        let before = self.bytes()?;
        let torn = match self.dice.below(3) {
            // It had not begun to write, or had written and told nobody.
            0 => false,
            n => open.done_at.is_some() && open.hand.work().is_some() && n == 2,
        };
        let mut left = self.bytes()?;
        // A log that has gone into its file was on the disk before.
        if torn && left.file == before.file {
            left.log = self.torn(&before.log, &left.log);
        }
        if self.dice.below(3) == 0 {
            self.add_garbage(&mut left.log);
        }
        drop(open);
        self.leave(&left)
    }
    fn bytes(&self) -> Result<Bytes, String> {
        let read = |path: &Path| match RealDisk.read(path, FILE_MAX) {
            Err(e) if e.is_not_found() => Ok(Vec::new()),
            bytes => bytes.map_err(|e| e.to_string()),
        };
        Ok(Bytes { file: read(&self.path)?, log: read(&self.beside("-wal"))? })
    }
    fn beside(&self, tail: &str) -> PathBuf {
        let mut name = self.path.clone().into_os_string();
        name.push(tail);
        name.into()
    }
    /// What is on the disk when the power goes while this is written over that.
    fn torn(&mut self, old: &[u8], new: &[u8]) -> Vec<u8> {
        let from = old.iter().zip(new).take_while(|(a, b)| a == b).count();
        let most = new.len().saturating_sub(from) as u64;
        let end = from + usize::try_from(self.dice.below(most + 1)).unwrap_or(0);
        let written = new.get(..end).unwrap_or(new);
        [written, old.get(end..).unwrap_or_default()].concat()
    }
    /// What belongs to no transaction: bytes of the log once more, or anything.
    fn add_garbage(&mut self, log: &mut Vec<u8>) {
        if log.is_empty() {
            return;
        }
        let from = usize::try_from(self.dice.below(log.len() as u64)).unwrap_or(0);
        let count = usize::try_from(1 + self.dice.below(GARBAGE_MAX)).unwrap_or(1);
        let mut more: Vec<u8> = log.iter().skip(from).take(count).copied().collect();
        more.resize(count, 0xA5);
        log.extend(more);
    }
    fn leave(&self, left: &Bytes) -> Result<(), String> {
        let put = |path: &Path, bytes: &[u8]| {
            if bytes.is_empty() { RealDisk.remove(path) } else { RealDisk.write(path, bytes, Access::Private) }
        };
        put(&self.path, &left.file)
            .and_then(|()| put(&self.beside("-wal"), &left.log))
            // The index of the log is memory: it is made anew.
            .and_then(|()| RealDisk.remove(&self.beside("-shm")))
            .map_err(|e| e.to_string())
    }
}

/// The comments of all changes in a copy's log, oldest first.
///
/// # Errors
/// As the disk has them.
pub fn comments(reader: &Reader) -> Result<Vec<String>, StoreError> {
    let (mut found, mut before) = (Vec::new(), None);
    loop {
        let page = reader.history(before, usize::MAX, None)?;
        found.extend(page.changes.into_iter().map(|c| c.comment));
        before = page.next;
        if before.is_none() {
            found.reverse();
            return Ok(found);
        }
    }
}
