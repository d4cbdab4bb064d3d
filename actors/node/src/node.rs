//! One life of one node in this process: its arbiter thread, its sockets, its link, its ticker, its tree.
//!
//! Production only; the simulator grows the same tree on its own thread.

use crate::call_manager::{Drain, FromLink, IsSaved, SaveLast, Tick};
use crate::config::store::NodeStore;
use crate::config::{ConfigTick, Effect, Seed};
use crate::device_host::{HostTick, Leave, Stream, Wire};
use crate::directory::Directory;
use crate::edge::sip::{Addresses, Secrets};
use crate::error::NodeError;
use crate::group_supervisor;
use crate::journal::Journal;
use crate::tables::{self, TableFile};
use crate::tree::{self, Handles};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tandem_base::{NodeLife, NodeName};
use tandem_cluster::link::{Link, Sink};
use tandem_database::Head;
use tandem_database::replication::{self, Replication};
use tandem_host::arbiter::{Arbiter, ArbiterEnd};
use tandem_host::clock::Clock;
use tandem_host::datagram::DatagramSocket;
use tandem_host::link::AttachError;
use tandem_host::link::local::Hub;
use tandem_host::link::unix::UnixNet;
#[cfg(feature = "zenoh")]
use tandem_host::link::zenoh::ZenohNet;
use tandem_host::random::Random;
use tandem_host::saver::Saver;
use tandem_host::stream::{Connections, StreamLimits};
use tandem_host::supervise::Pulse;
use tandem_host::ticker::{Ticker, Waiting};
use tandem_model::timings::{ASK_REMOTE, DRAIN};

/// Devices told to leave per round of a polite stop, and the pause between rounds.
const LEAVE_PER_ROUND: usize = 500;
const LEAVE_ROUND: Duration = Duration::from_millis(100);

/// How long a polite stop waits for the disk, and how often it looks.
const SAVE_ROUNDS: u32 = 200;
const SAVE_ROUND: Duration = Duration::from_millis(10);

/// A refresh may come this late before its connection counts as abandoned.
const REFRESH_GRACE: Duration = Duration::from_secs(60);

/// Where the nodes of a cluster meet. A copy is the same place.
#[derive(Clone)]
pub enum Net {
    /// All of them are in this process.
    Local(Hub),
    /// They are processes of this host.
    Unix(UnixNet),
    /// They are on several hosts.
    #[cfg(feature = "zenoh")]
    Zenoh(ZenohNet),
}

impl Net {
    /// A node's life begins.
    ///
    /// # Errors
    /// [`AttachError`].
    pub fn attach(&self, me: NodeLife, sink: Sink) -> Result<Box<dyn Link>, AttachError> {
        Ok(match self {
            Self::Local(hub) => Box::new(hub.attach(me, sink)?),
            Self::Unix(net) => Box::new(net.attach(me, sink)?),
            #[cfg(feature = "zenoh")]
            Self::Zenoh(net) => Box::new(net.attach(me, sink)?),
        })
    }
}

/// What a node is started with.
pub struct Start {
    /// This life.
    pub me: NodeLife,
    /// The configuration.
    pub directory: Arc<Directory>,
    /// The journal of the process.
    pub journal: Arc<Journal>,
    /// Secrets of the cluster.
    pub secrets: Secrets,
    /// Where it meets its peers.
    pub net: Net,
    /// Where it keeps its run-time tables, if it does.
    pub tables: Option<tables::Place>,
    /// Its copy of the configuration database, if there is one.
    pub database: Option<Database>,
    /// Called when a child of the tree gave up; from the node's own thread.
    pub failed: Arc<dyn Fn(String) + Send + Sync>,
    /// Called when peers have buried this life while it stood still; from the node's own thread.
    pub over: Arc<dyn Fn(String) + Send + Sync>,
}

/// A copy of the configuration database as a life finds it.
pub struct Database {
    /// The copy.
    pub store: Arc<NodeStore>,
    /// Where it stands.
    pub head: Head,
    /// Who may found the database.
    pub founder: Option<NodeName>,
    /// What founds it.
    pub seed: Option<Seed>,
    /// Told what changed; from the node's own thread.
    pub effect: Arc<dyn Fn(Effect) + Send + Sync>,
}

/// A node that runs.
pub struct Node {
    /// This life.
    pub me: NodeLife,
    /// Its actors.
    pub handles: Handles,
    arbiter: Arbiter,
    serving: Arc<AtomicBool>,
    _ticker: Ticker,
}

impl Node {
    /// Binds the sockets, attaches to the link and starts the tree on an arbiter of its own.
    ///
    /// # Errors
    /// [`NodeError`]: a port is taken, the link refuses, a thread cannot be started.
    pub async fn start(start: Start) -> Result<Self, NodeError> {
        let Start { me, directory, journal, secrets, net, tables, database, failed, over } = start;
        let clock = Clock::system();
        let index = directory.node_index(&me.node).ok_or_else(|| NodeError::UnknownNode(me.node.clone()))?;
        let [udp, tcp] = directory.addresses.get(usize::from(index)).cloned().unwrap_or_default();
        let sockets = udp.iter().map(|a| DatagramSocket::bind(*a)).collect::<Result<Vec<_>, _>>()?;
        let random = Random::from_os()?;
        let (handles, mailboxes) = tree::mailboxes(&me, clock);
        let manager = handles.manager.clone();
        let sink = Box::new(move |event| {
            // Full counts as lost, as on any link: sequences and digests repair it.
            let _ = manager.tell(FromLink(event));
        });
        let link = net.attach(me.clone(), sink)?;
        let saver = |disk, path, failed| Saver::thread(&format!("{}-tables", me.node), disk, path, failed);
        let open = |place| TableFile::of_node(place, &directory, &me.node, (&journal, clock), saver);
        let tables = tables.map(open).transpose()?;
        let rows_wait = Waiting::default();
        let serving = Arc::new(AtomicBool::new(false));
        let shown = Arc::clone(&serving);
        let (ready, started) = tokio::sync::oneshot::channel();
        let (mine, waiting, on_arbiter) = (me.clone(), rows_wait.clone(), handles.clone());
        let longest_stay = Duration::from_secs(u64::from(directory.settings.max_expires)) + REFRESH_GRACE;
        let limits = StreamLimits {
            connections: directory.settings.tcp_connections as usize,
            message_bytes: directory.settings.tcp_message_bytes as usize,
            // A registered phone may be silent until it refreshes; who is not registered is closed by `first_message` or this.
            idle: directory.settings.tcp_idle.0.max(longest_stay),
            write_deadline: directory.settings.tcp_write_timeout.0,
            queue_bytes: directory.settings.tcp_queue_bytes as usize,
            ..StreamLimits::default()
        };
        let arbiter = Arbiter::spawn(me.node.as_str(), move || {
            let grown = || -> Result<(), NodeError> {
                let host = on_arbiter.host.clone();
                let deliver = Box::new(move |event| host.tell(Stream(event)).is_ok());
                let connections = Connections::new(&mine.node, limits, clock, deliver);
                for address in &tcp {
                    connections.listen(*address)?;
                }
                let config = database.map(|d| config_parts(d, &mine, &directory, clock));
                let parts = tree::Parts {
                    me: mine,
                    directory,
                    journal,
                    clock,
                    random,
                    secrets,
                    link,
                    addresses: Addresses { udp, tcp },
                    wire: Wire::Sockets { udp: sockets, connections },
                    rows_wait: waiting,
                    serving: shown,
                    tables,
                    config,
                    failed: Rc::new(move |why| failed(why)),
                    over: Rc::new(move |why| over(why)),
                };
                tree::grow(parts, &on_arbiter, mailboxes)?;
                Ok(())
            };
            // Whoever waited is gone only if the process ends.
            let _ = ready.send(grown());
        })?;
        started.await.map_err(|_| NodeError::Start(me.node.clone()))??;
        let ticker = Self::ticker(&me, &handles, &rows_wait)?;
        Ok(Self { me, handles, arbiter, serving, _ticker: ticker })
    }

    fn ticker(me: &NodeLife, handles: &Handles, rows_wait: &Waiting) -> Result<Ticker, NodeError> {
        let (flush, beat) = (handles.host.clone(), handles.clone());
        let name = format!("{}-tick", me.node);
        let tick = move || tick(&beat);
        Ok(Ticker::thread(&name, rows_wait, move || _ = flush.tell(HostTick), tick)?)
    }

    /// Whether it serves.
    pub fn in_service(&self) -> bool {
        self.serving.load(Ordering::Relaxed)
    }
    /// Its progress.
    pub fn pulse(&self) -> Pulse {
        self.arbiter.pulse()
    }
    /// Ends it as a crash would: sockets close, peers get no word.
    pub fn kill(&self) {
        self.arbiter.kill();
    }
    /// Ends it in good order: peers are told, devices are sent elsewhere and waited for, then it stops.
    pub async fn stop(&self) {
        let _ = self.handles.manager.tell_vital(Drain);
        let rounds = DRAIN.as_millis() / LEAVE_ROUND.as_millis();
        for _ in 0..rounds {
            match self.handles.host.ask(Leave { most: LEAVE_PER_ROUND }, ASK_REMOTE).await {
                Ok(0) | Err(_) => break,
                Ok(_) => tokio::time::sleep(LEAVE_ROUND).await,
            }
        }
        self.keep_tables().await;
        self.arbiter.stop(Duration::from_millis(100), || async {});
    }
    /// Writes its run-time tables as they are, and waits for the disk, for some seconds at most. To be followed by its end.
    pub async fn keep_tables(&self) {
        let _ = self.handles.manager.tell_vital(SaveLast);
        for _ in 0..SAVE_ROUNDS {
            match self.handles.manager.ask(IsSaved, ASK_REMOTE).await {
                Ok(true) => break,
                // On a busy machine an answer may be late.
                Ok(false) | Err(_) if self.end().is_none() => tokio::time::sleep(SAVE_ROUND).await,
                _ => break,
            }
        }
    }
    /// Waits for its end.
    pub async fn ended(&self) -> ArbiterEnd {
        self.arbiter.ended().await
    }
    /// Whether it has ended.
    pub fn end(&self) -> Option<ArbiterEnd> {
        self.arbiter.end()
    }
}

/// What the tree is given to keep a copy of the configuration database.
pub fn config_parts(database: Database, me: &NodeLife, directory: &Directory, clock: Clock) -> tree::ConfigParts {
    let Database { store, head, founder, seed, effect } = database;
    let peers = directory.nodes.iter().filter(|n| **n != me.node).cloned().collect();
    let settings = replication::Settings::new(me.node.clone(), peers, founder);
    let machine = Replication::new(settings, head, clock.now());
    tree::ConfigParts { store, machine, seed, effect: Rc::new(move |e| effect(e)) }
}

/// The beat of a node: its actors are told the time has moved on.
pub fn tick(handles: &Handles) {
    // A full mailbox misses a beat; the next one does its work.
    let _ = handles.manager.tell(Tick);
    let _ = handles.host.tell(HostTick);
    handles.groups.each(|group| _ = group.tell(group_supervisor::Tick));
    if let Some(config) = &handles.config {
        let _ = config.tell(ConfigTick);
    }
    handles.manager.stats();
    handles.host.stats();
}
