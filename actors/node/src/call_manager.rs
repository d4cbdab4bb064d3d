//! The CallManager actor: one per node. It drives the cluster machine, keeps the node's own view of every other node, and tells the
//! device host and the group supervisors what changed.
//!
//! Started by `tree`; talks to the link, the device host and the group supervisors. It decides nothing: verdicts come from `rules`,
//! facts from the cluster machine.

mod copies;
mod membership;
pub mod queries;
pub(crate) mod saving;
mod sharing;

pub use queries::Where;
use saving::Saving;
pub use saving::{IsSaved, SaveLast};
pub use sharing::Share;

use crate::counts::Counts;
use crate::device_host::{Batch, ChunkRead, DeviceHost, ReadChunk, Settle};
use crate::directory::Directory;
use crate::group_supervisor::GroupSupervisor;
use crate::journal::{Fact, Journal};
use crate::locator::Locator;
use crate::observe::ManagerMetrics;
use crate::registration::Entry;
use crate::tables::TableFile;
use crate::tree::Shared;
use actix::{Actor, Context, Handler, Message, Supervised};
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;
use tandem_base::{NodeLife, NodeName, Time};
use tandem_cluster::link::{Link, LinkEvent};
use tandem_cluster::{Cluster, Input, NodeState, Output};
use tandem_host::clock::Clock;
use tandem_host::supervise::Handle;
use tandem_model::view::ClusterView;

/// Orphaned rows looked at per tick, so that expiry never becomes a walk.
const ORPHANS_PER_TICK: usize = 2_048;

/// What a CallManager is given at its start.
pub struct Parts {
    /// What it has in common with the other actors of its node.
    pub shared: Shared,
    /// The way to the peers.
    pub link: Box<dyn Link>,
    /// The cluster machine.
    pub cluster: Cluster<Entry>,
    /// Set while the node is in service.
    pub serving: Arc<AtomicBool>,
    /// Where the run-time tables are kept, and how often.
    pub tables: Option<(TableFile, Duration)>,
    /// Told when the node's life is over although none of its actors failed.
    pub over: Rc<dyn Fn(String)>,
}

/// See the module.
pub struct CallManager {
    pub(crate) me: NodeLife,
    pub(crate) index: u16,
    pub(crate) directory: Arc<Directory>,
    pub(crate) locator: Arc<Locator>,
    pub(crate) journal: Arc<Journal>,
    pub(crate) clock: Clock,
    pub(crate) link: Box<dyn Link>,
    pub(crate) cluster: Cluster<Entry>,
    pub(crate) state: NodeState,
    pub(crate) view: ClusterView,
    /// When each node was last heard, kept beyond its death: the outage of its devices counts from there.
    pub(crate) last_heard: BTreeMap<u16, Time>,
    /// Rows of earlier lives of this node, and how far their clock was ahead: they wait until every copy is complete.
    pub(crate) adoptable: Vec<(i64, Vec<Entry>)>,
    /// Whether this node owns rows of tables that it does not know.
    pub(crate) owns_later: bool,
    /// What the living nodes serve.
    pub(crate) counts: Counts,
    pub(crate) metrics: ManagerMetrics,
    pub(crate) serving: Arc<AtomicBool>,
    pub(crate) over: Rc<dyn Fn(String)>,
    pub(crate) host: Option<Handle<DeviceHost>>,
    pub(crate) groups: Vec<Handle<GroupSupervisor>>,
    /// Peers that were too busy for a signal: they are told at the next tick.
    pub(crate) untold: BTreeSet<NodeName>,
    /// When the copies were first complete, and whether to ask again with the next beat.
    settled_at: Option<Time>,
    settle_again: bool,
    /// The tables on disk.
    pub(crate) saving: Option<Saving>,
}

impl Actor for CallManager {
    type Context = Context<Self>;
}
impl Supervised for CallManager {}

impl CallManager {
    /// A node's life begins. It serves nobody before its copies are complete.
    pub fn new(parts: Parts) -> Self {
        let Parts { shared, link, cluster, serving, tables, over } = parts;
        let Shared { me, index, directory, locator, journal, clock } = shared;
        let metrics = ManagerMetrics::new(&me.node, &directory);
        let saving = tables.map(|(file, every)| Saving::new(file, every, clock.now()));
        let view = ClusterView::first(&me, directory.nodes.iter().cloned(), clock.now());
        Self {
            me,
            index,
            directory,
            locator,
            journal,
            clock,
            link,
            cluster,
            state: NodeState::Joining,
            view,
            last_heard: BTreeMap::new(),
            adoptable: Vec::new(),
            owns_later: false,
            counts: Counts::default(),
            metrics,
            serving,
            over,
            host: None,
            groups: Vec::new(),
            untold: BTreeSet::new(),
            settled_at: None,
            settle_again: false,
            saving,
        }
    }
    /// This life.
    pub fn me(&self) -> &NodeLife {
        &self.me
    }
    /// One input to the cluster machine, and everything that follows from it.
    fn feed(&mut self, input: Input<Entry>) {
        let now = self.clock.now();
        tandem_base::Machine::handle(&mut self.cluster, now, input);
        self.drain(now);
    }
    fn drain(&mut self, now: Time) {
        while let Some(output) = tandem_base::Machine::poll(&mut self.cluster) {
            self.carry_out(now, output);
        }
    }
    fn carry_out(&mut self, now: Time, output: Output<Entry>) {
        match output {
            Output::Send { to, lane, frame } => {
                let bytes = frame.len();
                let taken = self.link.send(&to, lane, frame).is_ok();
                self.metrics.sent(bytes, usize::from(taken), usize::from(!taken));
            }
            Output::Broadcast { lane, frame } => {
                let bytes = frame.len();
                let taken = self.link.broadcast(lane, frame);
                self.metrics.sent(bytes, taken, 0);
            }
            Output::NeedChunk { peer, ticket, cursor, limit } => {
                self.tell_host(ReadChunk { peer, ticket, cursor, limit });
            }
            Output::Changed { owner, changes } => self.changed(&owner, changes),
            Output::Orphaned { owner, rows } => self.orphaned(&owner, rows),
            Output::InSync => self.in_sync(now),
            Output::Forgotten { owner, rows } => self.forgotten(&owner, rows),
            Output::Adoptable { clock_ahead_micros, rows, .. } => self.adoptable.push((clock_ahead_micros, rows)),
            Output::Signal { payload, .. } => self.signalled(&payload),
            Output::SignalFailed { to, why, .. } => self.signal_failed(to, why),
            Output::Asked { .. } | Output::Answered { .. } => {}
            membership => self.member_changed(now, membership),
        }
    }
    fn tell_host<M>(&self, message: M)
    where
        M: Message + Send + 'static,
        M::Result: Send,
        DeviceHost: Handler<M>,
    {
        if let Some(host) = &self.host {
            // Its mailbox is bounded and counts what it refuses.
            let _ = host.tell(message);
        }
    }
    fn note(&self, kind: &'static str, cause: String, text: String) {
        self.journal.push(self.clock.unix_millis(), self.index, Fact::cluster(kind, None, cause, text));
    }
}

// --- Introduce -------------------------------------------------------------------------------------------------------

/// The other actors of the node, once they exist.
pub struct Introduce {
    /// The device host.
    pub host: Handle<DeviceHost>,
    /// One supervisor per group, in the order of the directory.
    pub groups: Vec<Handle<GroupSupervisor>>,
}
impl Message for Introduce {
    type Result = ();
}
impl Handler<Introduce> for CallManager {
    type Result = ();
    fn handle(&mut self, m: Introduce, _: &mut Context<Self>) {
        self.host = Some(m.host);
        self.groups = m.groups;
        self.publish_view();
        self.restore();
        // A cluster of one is in sync with its first tick.
        let now = self.clock.now();
        tandem_base::Machine::tick(&mut self.cluster, now);
        self.drain(now);
    }
}

// --- FromLink --------------------------------------------------------------------------------------------------------

/// The link has news; comes from another thread through the bounded mailbox.
pub struct FromLink(pub LinkEvent);
impl Message for FromLink {
    type Result = ();
}
impl Handler<FromLink> for CallManager {
    type Result = ();
    fn handle(&mut self, m: FromLink, _: &mut Context<Self>) {
        self.metrics.received(if let LinkEvent::Message { bytes, .. } = &m.0 { bytes.len() } else { 0 });
        self.feed(Input::Link(m.0));
    }
}

// --- Tick ------------------------------------------------------------------------------------------------------------

/// Every 100 ms, from the node's ticker.
pub struct Tick;
impl Message for Tick {
    type Result = ();
}
impl Handler<Tick> for CallManager {
    type Result = ();
    fn handle(&mut self, _: Tick, _: &mut Context<Self>) {
        let now = self.clock.now();
        tandem_base::Machine::tick(&mut self.cluster, now);
        self.drain(now);
        for (owner, row) in self.cluster.expire_orphans(now, ORPHANS_PER_TICK) {
            self.row_gone(&owner, &row);
        }
        self.metrics.observe(&self.cluster);
        self.tell_again();
        if std::mem::take(&mut self.settle_again) {
            self.tell_host(Settle);
        }
        self.save_step(now);
    }
}

// --- OwnRows ---------------------------------------------------------------------------------------------------------

/// The device host's rows changed.
pub struct RowsChanged(pub Batch);
impl Message for RowsChanged {
    type Result = ();
}
impl Handler<RowsChanged> for CallManager {
    type Result = ();
    fn handle(&mut self, m: RowsChanged, _: &mut Context<Self>) {
        self.feed(Input::OwnRows(m.0.rows));
        for key in m.0.taken {
            self.feed(Input::Drop { key: key.0, but: None });
        }
    }
}

impl Handler<ChunkRead> for CallManager {
    type Result = ();
    fn handle(&mut self, m: ChunkRead, _: &mut Context<Self>) {
        if m.peer == self.me.node {
            return self.save_own(&m);
        }
        self.feed(Input::Chunk { peer: m.peer, ticket: m.ticket, rows: m.rows, next: m.next });
    }
}

// --- Settled ---------------------------------------------------------------------------------------------------------

/// The device host has taken up what it adopted: the node may serve.
pub struct Settled;
impl Message for Settled {
    type Result = ();
}
impl Handler<Settled> for CallManager {
    type Result = ();
    fn handle(&mut self, _: Settled, _: &mut Context<Self>) {
        // A node that is being stopped while it joins does not begin to serve.
        if self.state != NodeState::Joining {
            return;
        }
        // A peer that was given up may have come to be heard since the copies were found complete (seed 998).
        let since = *self.settled_at.get_or_insert(self.clock.now());
        if self.cluster.divergent_peers() > 0 && self.clock.now() < since + self.cluster.settings().join_grace {
            self.settle_again = true;
        } else {
            self.enter(NodeState::InService);
        }
    }
}

// --- Drain --------------------------------------------------------------------------------------------------------

/// The node is about to stop: it tells its peers.
pub struct Drain;
impl Message for Drain {
    type Result = ();
}
impl Handler<Drain> for CallManager {
    type Result = ();
    fn handle(&mut self, _: Drain, _: &mut Context<Self>) {
        self.enter(NodeState::Draining);
    }
}
