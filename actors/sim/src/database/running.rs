//! How changes of a node's copy reach the node: the real work of a process's thread for it, done by hand in virtual time.
//!
//! It changes nothing by itself; what it takes is drawn from the seed.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;
use tandem::config::store::load;
use tandem::directory::{Directory, Mark};
use tandem::journal::Journal;
use tandem::process::{Databases, Live, LiveHand};
use tandem::tree::Handles;
use tandem_base::{NodeName, Time};
use tandem_database::{Reader, StoreError};
use tandem_host::clock::Clock;

/// As in production: how often what was refused is offered again.
const LOOK_AFTER: Duration = Duration::from_millis(100);
/// What a change takes at most until it is worked in.
const WORK_MICROS: u64 = 20_000;

/// See the module. Of one life.
pub struct Running {
    live: Arc<Live>,
    hand: LiveHand,
    store: Option<Arc<tandem::config::store::NodeStore>>,
    node: NodeName,
    done_at: Option<Time>,
    looked: Time,
    panicked: bool,
}

impl Running {
    /// A life that begins with this directory.
    pub fn new(
        node: &NodeName,
        directory: &Arc<Directory>,
        databases: &Databases,
        (journal, clock): (&Arc<Journal>, Clock),
    ) -> Self {
        let (live, hand) = Live::by_hand(directory, std::slice::from_ref(node), journal, clock);
        let (live, store) = (Arc::new(live), databases.store(node));
        Self { live, hand, store, node: node.clone(), done_at: None, looked: Time::ZERO, panicked: false }
    }
    /// What is told of changes.
    pub fn live(&self) -> &Arc<Live> {
        &self.live
    }
    /// Its actors have been started with this directory.
    pub fn begins(&self, node: &NodeName, handles: Handles, directory: Arc<Directory>) {
        self.live.begin(node, handles, directory);
    }
    /// When the change that it works in is in.
    pub fn done_at(&self) -> Option<Time> {
        self.done_at
    }
    /// Whether nothing is under way.
    pub fn is_idle(&self) -> bool {
        !self.hand.has_work()
    }
    /// Whether its work panicked.
    pub fn has_panicked(&self) -> bool {
        self.panicked
    }
    /// It does what it has had the time for, and begins the next; `dice` says how long that takes.
    pub fn work(&mut self, now: Time, mut dice: impl FnMut(u64) -> u64) {
        if self.done_at.is_some_and(|at| at <= now) {
            self.done_at = None;
            self.panicked |= self.hand.work() == Some(false);
        }
        if now.since(self.looked) >= LOOK_AFTER {
            self.looked = now;
            self.live.look_after(|_| self.store.clone());
        }
        if self.done_at.is_none() && self.hand.has_work() {
            self.done_at = Some(now + Duration::from_micros(dice(WORK_MICROS)));
        }
    }
    /// The directory that the node was told of last.
    pub fn directory(&self) -> Arc<Directory> {
        self.live.directory_of(&self.node)
    }
}

/// Which state of the database a copy is, and everything in it that a directory has.
///
/// # Errors
/// As the disk has them.
pub fn of_copy(reader: &Reader, first: &Directory) -> Result<Option<(u64, BTreeSet<String>)>, StoreError> {
    let loaded = load(reader)?;
    let Some(Ok(config)) = loaded.config else { return Ok(None) };
    let mark = Mark { revision: loaded.head.revision, digest: 0 };
    Ok(Some((loaded.head.revision, contents(&first.rebuilt(mark, &config).directory))))
}

/// Everything that is in a directory, in words that do not depend on how it was made.
pub fn contents(directory: &Directory) -> BTreeSet<String> {
    let mut all = BTreeSet::new();
    for device in directory.devices() {
        let pool = directory.pool_of(device).and_then(|p| directory.pools.get(usize::from(p)));
        let lines: Vec<&str> = directory.lines_of(device).collect();
        let (name, user, kind) = (directory.name_text(device), directory.user(device), directory.kind(device));
        let secret = directory.credentials(device);
        let pool = pool.map(|p| &p.name);
        all.insert(format!("device {name} {user} {kind:?} {pool:?} {lines:?} {secret:?}"));
    }
    for (_, group) in directory.live_groups() {
        let members: Vec<_> = group.members.iter().map(|m| directory.node(*m)).collect();
        all.insert(format!("group {} {members:?} {:?}", group.name, group.failback));
    }
    for (_, pool) in directory.live_pools() {
        let group = directory.groups.get(usize::from(pool.group)).map(|g| &g.name);
        all.insert(format!("pool {} {group:?} {:?}", pool.name, pool.monitor));
    }
    all.insert(format!("settings {:?}", directory.settings));
    all
}
