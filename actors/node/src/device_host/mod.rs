//! The device host: a full actor that owns the SIP sockets of a node and hosts its light device actors (DESIGN section 6).
//!
//! Started by `tree`; fed by its socket loop (or by the simulator), by stream connections and by the CallManager. A datagram reaches
//! its device by a plain call. It must never wait, and never grow without a bound.

mod batch;
mod calling_home;
mod care;
mod later;
mod quarantine;
pub mod queries;
mod rows;
mod streams;

pub use batch::{Inject, MemoryWire, Stream, Wire};
pub use calling_home::{Asked, CallHome, Census, Leave};
pub use care::{Adopt, ChunkRead, Claim, Claims, HostTick, ReadChunk, Settle, ViewChanged};
pub use later::LaterClaims;
pub use quarantine::{Case, Heard, Quarantine, Release, Tell};
pub use rows::Batch;

use crate::call_manager::{CallManager, RowsChanged};
use crate::counts::Counts;
use crate::device::Device;
use crate::directory::Directory;
use crate::edge::sip::Edge;
use crate::journal::{Fact, Journal};
use crate::locator::{DeviceIndex, Locator};
use crate::observe::{Happened, HostMetrics};
use crate::tree::Shared;
use actix::{Actor, Context, Supervised};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use tandem_base::{NodeLife, Rank, Stamp, Time};
use tandem_host::clock::Clock;
use tandem_host::light::{Slab, Wheel};
use tandem_host::outbox::{Flow, Outbox};
use tandem_host::random::Random;
use tandem_host::supervise::Handle;
use tandem_host::ticker::Waiting;
use tandem_host::udp_queue::UdpQueues;
use tandem_model::view::{ClusterView, Service};
use tandem_rules::admission::{Admission, Overload};
use tandem_rules::failback::Pace;

/// Devices one host may serve: the bound of its slab.
pub const DEVICES_MAX: usize = 2_000_000;

/// What a device host is given at its start.
pub struct Parts {
    /// What it has in common with the other actors of its node.
    pub shared: Shared,
    /// Dice.
    pub random: Random,
    /// The SIP side: secrets, sockets' addresses, transactions.
    pub edge: Edge,
    /// Set while rows wait to be flushed.
    pub rows_wait: Waiting,
    /// How messages come and go.
    pub wire: Wire,
    /// The node's CallManager.
    pub manager: Handle<CallManager>,
    /// The handle of this very host.
    pub own: Handle<DeviceHost>,
}

/// See the module.
pub struct DeviceHost {
    pub(crate) me: NodeLife,
    pub(crate) index: u16,
    pub(crate) wire: Option<Wire>,
    /// Answers to stream messages, kept so that none is allocated per message; taken out while it is used.
    pub(crate) stream_out: Option<Box<Outbox>>,
    /// Devices by stream connection: few per connection.
    pub(crate) on_stream: BTreeSet<(u32, u32)>,
    pub(crate) directory: Arc<Directory>,
    pub(crate) locator: Arc<Locator>,
    pub(crate) journal: Arc<Journal>,
    pub(crate) clock: Clock,
    pub(crate) random: Random,
    pub(crate) edge: Edge,
    pub(crate) manager: Handle<CallManager>,
    /// The handle of this very host: what its overload is judged by.
    pub(crate) own: Handle<Self>,
    pub(crate) devices: Slab<Device>,
    pub(crate) wheel: Wheel,
    pub(crate) rows: rows::Rows,
    pub(crate) later: later::LaterRows,
    pub(crate) stamp: Stamp,
    /// Unix milliseconds of this turn.
    pub(crate) unix_millis: u64,
    /// When it last took datagrams or a tick: a long silence says that the whole node stood still.
    pub(crate) last_turn: Time,
    /// Until then no datagram is taken.
    pub(crate) deaf_until: Time,
    pub(crate) service: Service,
    pub(crate) view: Arc<ClusterView>,
    pub(crate) last_heard: BTreeMap<u16, Time>,
    pub(crate) admission: Admission,
    pub(crate) quarantine: Quarantine,
    pub(crate) counts: Counts,
    by_group: Vec<[u32; 3]>,
    /// Pace of tokens: phones that come home by themselves.
    pub(crate) pace: Pace,
    /// Groups whose return an operator has started.
    pub(crate) asked: BTreeSet<u16>,
    pub(crate) overload: Overload,
    /// What waits in its UDP sockets; `None` without sockets.
    pub(crate) queues: Option<UdpQueues>,
    /// Devices in a call, by pool.
    pub(crate) busy: BTreeMap<u16, u64>,
    pub(crate) metrics: HostMetrics,
    /// Where the walk for devices to call home goes on.
    pub(crate) home_cursor: u32,
}

impl Actor for DeviceHost {
    type Context = Context<Self>;
    fn started(&mut self, ctx: &mut Context<Self>) {
        self.open_wire(ctx);
    }
}
impl Supervised for DeviceHost {}

impl DeviceHost {
    /// A host without devices that serves nobody yet.
    pub fn new(parts: Parts) -> Self {
        let Parts { shared, random, edge, wire, rows_wait, manager, own } = parts;
        let Shared { me, index, directory, locator, journal, clock } = shared;
        let now = clock.now();
        let view = Arc::new(ClusterView::first(&me, directory.nodes.iter().cloned(), now));
        let by_group = vec![[0; 3]; directory.groups.len()];
        let pace = Pace::new(directory.settings.failback_per_second, now);
        Self {
            metrics: HostMetrics::new(&me.node, &directory, &Edge::parse_reasons()),
            admission: Admission::new(&directory.settings, now),
            rows: rows::Rows::new(rows_wait),
            later: later::LaterRows::default(),
            devices: Slab::new(DEVICES_MAX),
            wheel: Wheel::new(Self::seconds(now)),
            me,
            index,
            wire: Some(wire),
            stream_out: None,
            on_stream: BTreeSet::new(),
            directory,
            locator,
            journal,
            unix_millis: clock.unix_millis().0,
            clock,
            random,
            edge,
            manager,
            own,
            stamp: Stamp::default(),
            last_turn: now,
            deaf_until: Time::ZERO,
            service: Service::Joining,
            view,
            last_heard: BTreeMap::new(),
            quarantine: Quarantine::default(),
            counts: Counts::default(),
            by_group,
            pace,
            asked: BTreeSet::new(),
            overload: Overload::default(),
            queues: None,
            busy: BTreeMap::new(),
            home_cursor: 0,
        }
    }
    /// Second of the node's clock.
    pub(crate) fn seconds(now: Time) -> u32 {
        u32::try_from(now.as_secs()).unwrap_or(u32::MAX)
    }
    /// Reads the wall clock for this turn and moves the stamp on.
    pub(crate) fn begin_turn(&mut self, now: Time) {
        self.unix_millis = self.clock.unix_millis().0;
        self.stamp = Stamp::next(self.stamp, self.unix_millis);
        self.edge.begin_turn(now, self.unix_millis);
    }
    /// Hands gathered rows to the CallManager when due, or in any case.
    pub(crate) fn flush_rows(&mut self, now: Time, in_any_case: bool) {
        let batch = if in_any_case { self.rows.take() } else { self.rows.due(now) };
        if let Some(batch) = batch {
            // A refusal is counted by the mailbox; the peers then see a digest that differs and fetch the set anew.
            let _ = self.manager.tell(RowsChanged(batch));
        }
    }
    /// A line in the journal about a device.
    pub(crate) fn note(&self, device: DeviceIndex, happened: Happened, rank: Rank) {
        self.journal.push(
            tandem_base::UnixMillis(self.unix_millis),
            self.index,
            Fact::Device { device, happened, rank },
        );
    }
    /// Takes a device out: its slot, its place, its row. Returns it.
    pub(crate) fn remove_device(&mut self, now: Time, slot: u32, why: Happened) -> Option<Device> {
        let device = self.devices.remove(slot)?;
        self.note_flow(slot, Some(device.peer.flow), Flow::Udp(0));
        self.locator.set_slot(device.index, None);
        // Whoever went without a word may use this node's nonce elsewhere, of which this node is told only while a row there names it.
        let left = why == Happened::Removed;
        self.keep_nonces(device.index, if left { device.nonces } else { device.nonces.burnt() });
        self.rows.remove(now, &device);
        self.count(device.pool, device.rank, false);
        self.metrics.happened(why);
        self.note(device.index, why, device.rank);
        Some(device)
    }
    /// Keeps counts and the gauge of a group and rank in step.
    pub(crate) fn count(&mut self, pool: u16, rank: Rank, more: bool) {
        if more {
            self.counts.add(self.index, pool, rank);
        } else {
            self.counts.remove(self.index, pool, rank);
        }
        let Some(group) = self.directory.pools.get(usize::from(pool)).map(|p| p.group) else { return };
        let Some(count) = self.by_group.get_mut(usize::from(group)).and_then(|g| g.get_mut(rank.position())) else {
            return;
        };
        *count = if more { count.saturating_add(1) } else { count.saturating_sub(1) };
        self.metrics.registrations(group, rank, *count);
    }
}
