//! A process: the nodes of one configuration that run here, their start, stop, kill and death, and the console's questions about them.
//!
//! It decides nothing about devices; a node that gives up or stands still is killed and begins a new life, within bounds.

mod admin;
mod database;
mod devices;
mod live;
mod meeting;
mod status;

pub(crate) use admin::nobody_runs;
pub use database::{Databases, OpenCopy};
pub use live::{Live, LiveHand};

use crate::config::store::NodeStore;
use crate::directory::Directory;
use crate::edge::sip::Secrets;
use crate::error::NodeError;
use crate::journal::{Fact, Journal};
use crate::node::{Net, Node, Start};
use crate::observe::ManagerMetrics;
use crate::state::StateFolder;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tandem_base::{Incarnation, NodeLife, NodeName, Time};
use tandem_host::clock::Clock;
use tandem_host::exporter::Exporter;
use tandem_host::random::Random;
use tandem_host::supervise::StuckWatch;
use tandem_model::config::Config;
use tokio::task::JoinSet;

/// Unwanted deaths of a node within [`DEATHS_WITHIN`] after which it is not started again.
const DEATHS_MAX: usize = 3;
const DEATHS_WITHIN: Duration = Duration::from_secs(60);
/// Pause before a node that could not begin a new life is tried again.
const START_AGAIN: Duration = Duration::from_secs(1);
/// How often nodes are looked after.
const WATCH_EVERY: Duration = Duration::from_millis(100);

/// Why a life has to end that nobody wanted to.
struct Fall {
    why: String,
    /// Whether it was the node's own fault. A node that stood still with its process has none, however often.
    fault: bool,
}

/// One node of this process, alive or not.
#[derive(Default)]
struct Slot {
    node: Option<Arc<Node>>,
    incarnation: Incarnation,
    /// Whether it is meant to run.
    wanted: bool,
    draining: bool,
    /// Set from the node's own thread when its life has to end.
    failed: Arc<Mutex<Option<Fall>>>,
    deaths: Vec<Time>,
    /// A life that stood still and was killed. Its sockets are free once its thread has come to itself.
    standing: Option<Arc<Node>>,
    /// Not before then is a new life tried again.
    start_again: Time,
}

/// See the module.
pub struct Process {
    pub(crate) live: Arc<Live>,
    pub(crate) journal: Arc<Journal>,
    clock: Clock,
    secrets: Secrets,
    net: Net,
    state: StateFolder,
    databases: Databases,
    exporter: Exporter,
    slots: Mutex<BTreeMap<NodeName, Slot>>,
    /// One life-cycle command at a time.
    changing: tokio::sync::Mutex<()>,
    ending: AtomicBool,
}

impl Process {
    /// A process for these nodes of a configuration; none runs yet.
    ///
    /// # Errors
    /// [`NodeError`]: a node that is not in the configuration, a state folder that cannot be used.
    pub fn new(config: &Config, nodes: &[NodeName], state: StateFolder) -> Result<Arc<Self>, NodeError> {
        let exporter = Exporter::install()?;
        let here =
            if nodes.is_empty() { config.nodes.iter().map(|n| n.name.clone()).collect() } else { nodes.to_vec() };
        let mut open = |node: &NodeName, say: &mut dyn FnMut(String)| NodeStore::open(&state.database(node), node, say);
        let (databases, in_force) = Databases::open(config, &here, &mut open, (Clock::system(), Random::from_os))?;
        let config = in_force.as_ref().unwrap_or(config);
        let mut directory = Directory::first(config);
        if in_force.is_some() {
            // As the copies are told of changes: see `live`.
            directory.mark = databases.mark(config);
        }
        let directory = Arc::new(directory);
        if let Some(unknown) = nodes.iter().find(|n| directory.node_index(n).is_none()) {
            return Err(NodeError::UnknownNode(unknown.clone()));
        }
        let secret = match &config.cluster.secret {
            Some(secret) => secret.reveal().to_owned(),
            None => state.secret("nonce.secret")?,
        };
        let all = if nodes.is_empty() { directory.nodes.to_vec() } else { nodes.to_vec() };
        crate::observe::build_info();
        for node in &all {
            ManagerMetrics::new(node, &directory).clear();
        }
        let journal = Arc::new(Journal::new(Arc::clone(&directory)));
        let net = meeting::net(config, &all, &state, &journal)?;
        databases.tell(&journal, Clock::system());
        Ok(Arc::new(Self {
            live: Arc::new(Live::new(&directory, &all, &journal, Clock::system())?),
            journal,
            clock: Clock::system(),
            secrets: Secrets { nonce: secret.into_bytes() },
            net,
            state,
            databases,
            exporter,
            slots: Mutex::new(all.into_iter().map(|n| (n, Slot::default())).collect()),
            changing: tokio::sync::Mutex::new(()),
            ending: AtomicBool::new(false),
        }))
    }
    /// The configuration in force: the newest that a node of the process has.
    pub fn directory(&self) -> Arc<Directory> {
        self.live.directory()
    }
    /// The state folder.
    pub fn state(&self) -> &StateFolder {
        &self.state
    }
    /// The wall clock.
    pub(crate) fn unix_millis(&self) -> tandem_base::UnixMillis {
        self.clock.unix_millis()
    }
    fn lock(&self) -> MutexGuard<'_, BTreeMap<NodeName, Slot>> {
        self.slots.lock().unwrap_or_else(PoisonError::into_inner)
    }
    /// The nodes that run, in order of name.
    pub(crate) fn running(&self) -> Vec<Arc<Node>> {
        self.lock().values().filter_map(|s| s.node.clone()).filter(|n| n.end().is_none()).collect()
    }
    /// Whether a node is one of this process, running or not.
    fn is_here(&self, name: &NodeName) -> bool {
        self.lock().contains_key(name)
    }
    /// The nodes of this process by name.
    pub fn names(&self) -> Vec<NodeName> {
        self.lock().keys().cloned().collect()
    }
    /// Whether a node that is meant to run does not.
    fn is_failing(&self) -> bool {
        self.lock().values().any(|s| s.wanted && s.node.as_ref().is_none_or(|n| n.end().is_some()))
    }
    /// The number of a node's newest life in this process; 0 before its first.
    fn life_of(&self, name: &NodeName) -> Option<Incarnation> {
        self.lock().get(name).map(|s| s.incarnation)
    }
    pub(crate) fn note(&self, node: &NodeName, kind: &'static str, cause: &str, text: String) {
        let index = self.directory().node_index(node).unwrap_or(u16::MAX);
        let fact = Fact::cluster(kind, None, cause.to_owned(), text);
        self.journal.push(self.clock.unix_millis(), index, fact);
    }

    /// Starts every node of this process.
    ///
    /// # Errors
    /// The first that could not be started.
    pub async fn start_all(&self) -> Result<(), NodeError> {
        let names: Vec<_> = self.lock().keys().cloned().collect();
        for name in names {
            self.start(&name).await?;
        }
        Ok(())
    }

    /// Begins a new life of a node; one that runs goes on.
    ///
    /// # Errors
    /// [`NodeError`].
    pub async fn start(&self, name: &NodeName) -> Result<Incarnation, NodeError> {
        let _changing = self.changing.lock().await;
        let failed = {
            let slots = self.lock();
            let slot = slots.get(name).ok_or_else(|| NodeError::UnknownNode(name.clone()))?;
            if slot.node.as_ref().is_some_and(|n| n.end().is_none()) {
                return Ok(slot.incarnation);
            }
            Arc::clone(&slot.failed)
        };
        let incarnation = self.state.next_life(name, self.clock)?;
        let me = NodeLife { node: name.clone(), incarnation };
        let report = |fault| -> Arc<dyn Fn(String) + Send + Sync> {
            let failed = Arc::clone(&failed);
            Arc::new(move |why| {
                *failed.lock().unwrap_or_else(PoisonError::into_inner) = Some(Fall { why, fault });
            })
        };
        let directory = self.live.directory_of(name);
        let node = Node::start(Start {
            me,
            directory: Arc::clone(&directory),
            journal: Arc::clone(&self.journal),
            secrets: self.secrets.clone(),
            net: self.net.clone(),
            tables: (!directory.settings.tables_every.0.is_zero()).then(|| self.state.tables(name)),
            database: self.database(name).await,
            failed: report(true),
            over: report(false),
        })
        .await?;
        *failed.lock().unwrap_or_else(PoisonError::into_inner) = None;
        self.live.begin(name, node.handles.clone(), directory);
        if let Some(slot) = self.lock().get_mut(name) {
            slot.node = Some(Arc::new(node));
            slot.incarnation = incarnation;
            slot.wanted = true;
            slot.draining = false;
        }
        self.note(name, "node_started", "start", format!("{name} begins life {incarnation}"));
        Ok(incarnation)
    }

    /// Ends a node as a crash would.
    ///
    /// # Errors
    /// [`NodeError::UnknownNode`].
    pub async fn kill(&self, name: &NodeName) -> Result<Incarnation, NodeError> {
        let _changing = self.changing.lock().await;
        let (node, incarnation) = self.unwant(name)?;
        if let Some(node) = node {
            node.kill();
            node.ended().await;
            self.note(name, "node_killed", "operator", format!("{name} was killed"));
        }
        self.gone(name);
        Ok(incarnation)
    }

    /// Ends a node in good order.
    ///
    /// # Errors
    /// [`NodeError::UnknownNode`].
    pub async fn stop(&self, name: &NodeName) -> Result<Incarnation, NodeError> {
        let _changing = self.changing.lock().await;
        let (node, incarnation) = self.unwant(name)?;
        if let Some(node) = node {
            if let Some(slot) = self.lock().get_mut(name) {
                slot.draining = true;
            }
            node.stop().await;
            node.ended().await;
            self.note(name, "node_stopped", "operator", format!("{name} has stopped in good order"));
        }
        self.gone(name);
        Ok(incarnation)
    }

    fn unwant(&self, name: &NodeName) -> Result<(Option<Arc<Node>>, Incarnation), NodeError> {
        let mut slots = self.lock();
        let slot = slots.get_mut(name).ok_or_else(|| NodeError::UnknownNode(name.clone()))?;
        slot.wanted = false;
        Ok((slot.node.clone().filter(|n| n.end().is_none()), slot.incarnation))
    }

    /// A node has ended: its gauges say so.
    fn gone(&self, name: &NodeName) {
        if let Some(slot) = self.lock().get_mut(name) {
            slot.node = None;
            slot.draining = false;
        }
        let directory = self.directory();
        ManagerMetrics::new(name, &directory).clear();
        crate::observe::clear_registrations(name, &directory);
    }

    /// Looks after the nodes until [`Process::end`]: a node that stands still or gave up is killed and begins a new life.
    pub async fn watch(&self) {
        let mut stuck = StuckWatch::default();
        let mut watched: BTreeMap<NodeName, Incarnation> = BTreeMap::new();
        while !self.ending.load(Ordering::Relaxed) {
            tokio::time::sleep(WATCH_EVERY).await;
            let running = self.running();
            watched.retain(|name, life| {
                let lives = running.iter().any(|n| n.me.node == *name && n.me.incarnation == *life);
                if !lives {
                    stuck.forget(name.as_str());
                }
                lives
            });
            for node in &running {
                if watched.insert(node.me.node.clone(), node.me.incarnation) != Some(node.me.incarnation) {
                    stuck.watch(node.me.node.as_str(), node.pulse());
                }
            }
            for found in stuck.check(self.clock.now()) {
                if let Ok(name) = NodeName::new(&found.name) {
                    let why = format!("it stood still for {} ms", found.silence.as_millis());
                    self.bury(&name, Fall { why, fault: true }, false).await;
                }
            }
            for (name, fall) in self.fallen() {
                self.bury(&name, fall, true).await;
            }
            for name in self.let_go() {
                // It may have moved its gauges until its very end.
                self.gone(&name);
            }
            for name in self.to_begin(self.clock.now()) {
                self.begin_again(&name, false).await;
            }
            self.live.look_after(|node| self.store(node));
        }
    }

    /// Nodes whose life that stood still has ended at last.
    fn let_go(&self) -> Vec<NodeName> {
        let mut slots = self.lock();
        let over = slots
            .iter_mut()
            .filter(|(_, s)| s.node.is_none() && s.standing.as_ref().is_some_and(|n| n.end().is_some()));
        over.map(|(name, slot)| {
            slot.standing = None;
            name.clone()
        })
        .collect()
    }

    /// Nodes that are meant to run, do not, and can be tried now.
    fn to_begin(&self, now: Time) -> Vec<NodeName> {
        let slots = self.lock();
        let due = |s: &Slot| s.wanted && s.node.is_none() && s.standing.is_none() && s.start_again <= now;
        slots.iter().filter(|(_, s)| due(s)).map(|(name, _)| name.clone()).collect()
    }

    /// A new life of a node that died. When it cannot begin it is tried again later, and said once.
    async fn begin_again(&self, name: &NodeName, say: bool) {
        let Err(error) = self.start(name).await else { return };
        if let Some(slot) = self.lock().get_mut(name) {
            slot.start_again = self.clock.now() + START_AGAIN;
        }
        if say {
            let text = format!("{name} cannot be started: {error}; it is tried again");
            self.note(name, "node_start_failed", "failure", text);
        }
    }

    /// Nodes that are meant to run and do not, and why.
    fn fallen(&self) -> Vec<(NodeName, Fall)> {
        let slots = self.lock();
        let fallen = slots.iter().filter(|(_, s)| s.wanted).filter_map(|(name, slot)| {
            let failed = slot.failed.lock().unwrap_or_else(PoisonError::into_inner).take();
            let ended = slot.node.as_ref().and_then(|n| n.end());
            let ended = ended.map(|end| Fall { why: format!("its thread ended: {end:?}"), fault: true });
            Some((name.clone(), failed.or(ended)?))
        });
        fallen.collect()
    }

    /// A node died that should not have: it is killed for good and, if that does not happen too often, begins a new life.
    async fn bury(&self, name: &NodeName, Fall { why, fault }: Fall, can_end: bool) {
        let now = self.clock.now();
        let (node, again) = {
            let mut slots = self.lock();
            let Some(slot) = slots.get_mut(name) else { return };
            slot.deaths.retain(|at| now.since(*at) < DEATHS_WITHIN);
            if fault {
                slot.deaths.push(now);
            }
            let again = slot.deaths.len() <= DEATHS_MAX && !self.ending.load(Ordering::Relaxed);
            slot.wanted = again;
            (slot.node.take(), again)
        };
        if let Some(node) = node {
            node.kill();
            if can_end {
                node.ended().await;
            } else if let Some(slot) = self.lock().get_mut(name) {
                slot.standing = Some(node);
            }
        }
        self.gone(name);
        let next = match (again, can_end) {
            (false, _) => "it died too often and stays down",
            (true, true) => "a new life begins",
            (true, false) => "a new life begins when its thread has let go of its sockets",
        };
        self.note(name, "node_died", "failure", format!("{name} died: {why}; {next}"));
        if again && can_end {
            self.begin_again(name, true).await;
        }
    }

    /// Ends all nodes; when `politely` and other processes run nodes of the cluster, their devices are sent there first.
    pub async fn end(&self, politely: bool) {
        self.ending.store(true, Ordering::Relaxed);
        if politely && self.directory().nodes.iter().any(|n| !self.is_here(n)) {
            self.stop_together().await;
        }
        for name in self.names() {
            let node = self.lock().get(&name).and_then(|slot| slot.node.clone());
            if let Some(node) = node {
                node.keep_tables().await;
            }
            // The names are those of the slots.
            let _ = self.kill(&name).await;
        }
        self.state.remove_control();
    }

    /// Stops all nodes in good order, at the same time: a device must not be sent to one that is the next to stop.
    async fn stop_together(&self) {
        let _changing = self.changing.lock().await;
        let mut ending = JoinSet::new();
        for name in self.names() {
            let Ok((Some(node), _)) = self.unwant(&name) else { continue };
            if let Some(slot) = self.lock().get_mut(&name) {
                slot.draining = true;
            }
            ending.spawn_local(async move {
                node.stop().await;
                node.ended().await;
                name
            });
        }
        while let Some(ended) = ending.join_next().await {
            if let Ok(name) = ended {
                self.note(&name, "node_stopped", "operator", format!("{name} has stopped in good order"));
                self.gone(&name);
            }
        }
    }
}

#[cfg(test)]
mod tests;
