//! Changes of the configuration on their way to the nodes of this process that run: one thread works them into directories, nodes that stand at
//! the same change share one, and each is told what it has to look at.
//!
//! What has not reached a node yet is kept until it has. It must never be waited for by a thread that serves phones.

use crate::config::store::{NodeStore, load, load_with};
use crate::config::{Effect, row_change};
use crate::current::Current;
use crate::directory::{Applied, Directory, Mark};
use crate::error::NodeError;
use crate::journal::{Fact, Journal};
use crate::tree::Handles;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use tandem_base::NodeName;
use tandem_database::StoreError;
use tandem_host::clock::Clock;
use tandem_host::labour::{Hand, Labour};
use tandem_host::supervise::Refused;
use tandem_model::admin::config::Impact;
use tandem_model::config::Config;
use tandem_model::config::rows::RowChange;
use xxhash_rust::xxh3::Xxh3Default;

/// Changes that may wait; behind so many a node reads its whole copy again.
const JOBS_MAX: usize = 16_384;
/// Changes that may be owed to a node that takes nothing; behind so many it is told all at once.
const OWED_MAX: usize = 1_024;

/// See the module.
pub struct Live {
    labour: Labour<Work>,
    common: Arc<Common>,
    clock: Clock,
}

/// Instead of the thread, in the simulator.
pub struct LiveHand(Hand<Work>);
impl LiveHand {
    /// Whether a change waits.
    pub fn has_work(&self) -> bool {
        self.0.has_work()
    }
    /// Works the oldest in; `None` when there is none, else whether it came to its end (it did not panic).
    pub fn work(&mut self) -> Option<bool> {
        self.0.work()
    }
}

/// What the thread and everybody else look at.
struct Common {
    current: Current,
    journal: Arc<Journal>,
    /// The directory of each node, whether it runs or not.
    of_nodes: Mutex<BTreeMap<NodeName, Arc<Directory>>>,
    /// Nodes with a change that did not fit behind those that wait.
    overlooked: Mutex<BTreeSet<NodeName>>,
}

impl Common {
    fn new(directory: &Arc<Directory>, nodes: &[NodeName], journal: &Arc<Journal>, clock: Clock) -> (Arc<Self>, Work) {
        let of_nodes = nodes.iter().map(|n| (n.clone(), Arc::clone(directory))).collect();
        let common = Arc::new(Self {
            current: Current::new(Arc::clone(directory)),
            journal: Arc::clone(journal),
            of_nodes: Mutex::new(of_nodes),
            overlooked: Mutex::default(),
        });
        let work = Work { common: Arc::clone(&common), clock, running: BTreeMap::new(), made: BTreeMap::new() };
        (common, work)
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Live {
    /// All nodes of the process begin with this directory.
    ///
    /// # Errors
    /// [`NodeError`]: no thread can be started.
    pub(crate) fn new(
        directory: &Arc<Directory>,
        nodes: &[NodeName],
        journal: &Arc<Journal>,
        clock: Clock,
    ) -> Result<Self, NodeError> {
        let (common, work) = Common::new(directory, nodes, journal, clock);
        Ok(Self { labour: Labour::thread("config-live", work, JOBS_MAX)?, common, clock })
    }
    /// The same without a thread.
    pub fn by_hand(
        directory: &Arc<Directory>,
        nodes: &[NodeName],
        journal: &Arc<Journal>,
        clock: Clock,
    ) -> (Self, LiveHand) {
        let (common, work) = Common::new(directory, nodes, journal, clock);
        let (labour, hand) = Labour::by_hand(work, JOBS_MAX);
        (Self { labour, common, clock }, LiveHand(hand))
    }
    /// The newest directory of the process.
    pub fn directory(&self) -> Arc<Directory> {
        self.common.current.get()
    }
    /// That of one node: what its next life starts with.
    pub fn directory_of(&self, node: &NodeName) -> Arc<Directory> {
        lock(&self.common.of_nodes).get(node).cloned().unwrap_or_else(|| self.directory())
    }
    /// A life that was started with this directory runs: it is told whatever has changed since, and from now on.
    pub fn begin(&self, node: &NodeName, handles: Handles, started_with: Arc<Directory>) {
        let name = node.clone();
        let begin = move |work: &mut Work| work.begin(name, handles, &started_with);
        if !self.labour.give(begin) {
            // It runs on what it started with; the next whole reading cannot reach it either. Only a process that is stuck comes here.
            let text = format!("{node} is not told of changes of the configuration: too many wait");
            let fact = Fact::cluster("config_overlooked", None, "overload".to_owned(), text);
            self.common.journal.push(self.clock.unix_millis(), u16::MAX, fact);
        }
    }
    /// A node's copy has changed.
    pub fn changed(&self, store: &Arc<NodeStore>, effect: Effect) {
        let node = store.node().clone();
        let store = Arc::clone(store);
        let behind = lock(&self.common.overlooked).contains(&node);
        if behind || !self.labour.give(move |work| work.take(&store, effect)) {
            lock(&self.common.overlooked).insert(node);
        }
    }
    /// From time to time: what was overlooked or refused is tried again.
    pub fn look_after(&self, store_of: impl Fn(&NodeName) -> Option<Arc<NodeStore>>) {
        let overlooked: Vec<NodeName> = lock(&self.common.overlooked).iter().cloned().collect();
        for node in overlooked {
            let Some(store) = store_of(&node) else { continue };
            if self.labour.give(move |work| work.take(&store, Effect::All)) {
                lock(&self.common.overlooked).remove(&node);
            }
        }
        let _ = self.labour.give(Work::pay);
    }
    /// What a change would do to devices.
    ///
    /// # Errors
    /// As the disk has them.
    pub(crate) async fn impact(&self, store: &Arc<NodeStore>, changes: Vec<RowChange>) -> Result<Impact, StoreError> {
        let directory = self.directory_of(store.node());
        store
            .read(move |reader| match directory.foresee(&changes) {
                Ok(impact) => Ok(impact),
                Err(_) => Ok(match load_with(reader, &changes)? {
                    Ok(config) => directory.foresee_rebuilt(&config),
                    // The rules of the model were judged before: somebody else has changed it meanwhile.
                    Err(problems) => Impact { sentence: problems.to_string(), ..Impact::default() },
                }),
            })
            .await
    }
}

/// A life that is told of changes.
struct Told {
    handles: Handles,
    owed: VecDeque<Applied>,
    /// What it was told of last.
    knows: Arc<Directory>,
}

/// The state of the thread.
struct Work {
    common: Arc<Common>,
    clock: Clock,
    running: BTreeMap<NodeName, Told>,
    /// Directories that somebody has, by what they are.
    made: BTreeMap<Mark, Weak<Directory>>,
}

impl Work {
    fn begin(&mut self, node: NodeName, handles: Handles, started_with: &Arc<Directory>) {
        let directory = lock(&self.common.of_nodes).get(&node).cloned();
        let mut told = Told { handles, owed: VecDeque::new(), knows: Arc::clone(started_with) };
        if let Some(now) = directory.filter(|now| !Arc::ptr_eq(now, started_with)) {
            told.tell(started_with.until(&now));
        }
        self.running.insert(node, told);
    }

    fn take(&mut self, store: &Arc<NodeStore>, effect: Effect) {
        let node = store.node();
        let Some(before) = lock(&self.common.of_nodes).get(node).cloned() else { return };
        let applied = match effect {
            Effect::Rows(_, revision) if revision <= before.mark.revision => return,
            Effect::Rows(changes, revision) => {
                let rows = changes.into_iter().flat_map(|c| c.rows).filter_map(row_change);
                let changes: Vec<RowChange> = rows.collect();
                let mark = mark_after(before.mark, revision, &changes);
                before.apply(mark, &changes).map_err(|why| why.to_string())
            }
            Effect::All => Err("the copy was replaced".to_owned()),
        };
        let applied = match applied {
            Ok(applied) => applied,
            Err(_) => match self.read_anew(store, &before) {
                Ok(Some(applied)) => applied,
                Ok(None) => return,
                Err(why) => return self.trouble(node, &why),
            },
        };
        self.put_in_force(node, applied);
    }

    /// From the whole copy. `None`: it is what is in force.
    fn read_anew(&self, store: &NodeStore, before: &Directory) -> Result<Option<Applied>, String> {
        let loaded = store.reader().and_then(|reader| load(&reader)).map_err(|why| why.to_string())?;
        let Some(config) = loaded.config else { return Ok(None) };
        let mut config: Config = config.map_err(|problems| problems.to_string())?;
        // Where the process has its files and listens is the configuration file's own.
        config.settings.state_dir.clone_from(&before.settings.state_dir);
        config.settings.certificates.clone_from(&before.settings.certificates);
        config.settings.control = before.settings.control;
        let mark = Mark { revision: loaded.head.revision, digest: u128::from(config.revision) };
        Ok((mark != before.mark).then(|| {
            // A file that founded the database: the rows are those that are in force.
            let same = mark.digest == before.mark.digest;
            if same { before.under(mark, config.publisher_name()) } else { before.rebuilt(mark, &config) }
        }))
    }

    fn put_in_force(&mut self, node: &NodeName, mut applied: Applied) {
        let mark = applied.directory.mark;
        match self.made.get(&mark).and_then(Weak::upgrade) {
            Some(made) => applied.directory = made,
            None => drop(self.made.insert(mark, Arc::downgrade(&applied.directory))),
        }
        self.made.retain(|_, made| made.strong_count() > 0);
        let newest = {
            let mut of_nodes = lock(&self.common.of_nodes);
            of_nodes.insert(node.clone(), Arc::clone(&applied.directory));
            of_nodes.values().all(|d| d.mark.revision <= mark.revision)
        };
        if newest {
            self.common.journal.reconfigure(&applied);
            self.common.current.set(Arc::clone(&applied.directory));
        }
        let Impact { reregister, unregister, sentence, .. } = &applied.impact;
        if reregister + unregister > 0 && newest {
            let text = format!("revision {} of the configuration: {sentence}", mark.revision);
            let fact = Fact::cluster("config_effect", None, "change".to_owned(), text);
            self.common.journal.push(self.clock.unix_millis(), u16::MAX, fact);
        }
        if let Some(told) = self.running.get_mut(node) {
            told.tell(applied);
        }
    }

    fn trouble(&self, node: &NodeName, why: &str) {
        let text = format!("{node} goes on with the configuration that it had: {why}");
        let fact = Fact::cluster("config_unusable", None, "copy".to_owned(), text);
        self.common.journal.push(self.clock.unix_millis(), u16::MAX, fact);
    }

    /// What nodes were too busy to take is offered again.
    fn pay(&mut self) {
        self.running.values_mut().for_each(Told::pay);
    }
}

impl Told {
    fn tell(&mut self, applied: Applied) {
        if self.owed.len() >= OWED_MAX {
            // All that is owed at once: from what it knows to what it is to know.
            self.owed.clear();
            self.owed.push_back(self.knows.until(&applied.directory));
        } else {
            self.owed.push_back(applied);
        }
        self.pay();
    }
    fn pay(&mut self) {
        while let Some(applied) = self.owed.front() {
            match self.handles.reconfigure(applied) {
                Ok(()) => {
                    self.knows = Arc::clone(&applied.directory);
                    self.owed.pop_front();
                }
                Err(Refused::Full) => return,
                // Its life is over; the next one starts with the directory in force.
                Err(Refused::Closed) => return self.owed.clear(),
            }
        }
    }
}

/// What a directory is after these changes. Two nodes that come from the same directory by the same changes have the same.
fn mark_after(before: Mark, revision: u64, changes: &[RowChange]) -> Mark {
    let mut hash = Xxh3Default::new();
    hash.update(&before.digest.to_le_bytes());
    for change in changes {
        let after = change.after.as_ref().map(|fields| serde_json::to_vec(fields).unwrap_or_default());
        for part in [change.table.word().as_bytes(), change.key.as_bytes(), &after.unwrap_or_default()] {
            hash.update(&part.len().to_le_bytes());
            hash.update(part);
        }
    }
    Mark { revision, digest: hash.digest128() }
}
