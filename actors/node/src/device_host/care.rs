//! What the CallManager tells its device host: claims of other nodes, rows to adopt, snapshots to read, the view, the time.

use super::DeviceHost;
use crate::call_manager::Settled;
use crate::device::{Device, Traits};
use crate::locator::DeviceIndex;
use crate::observe::Happened;
use crate::registration::Entry;
use actix::{Context, Handler, Message};
use std::collections::BTreeMap;
use std::sync::Arc;
use tandem_base::{NodeLife, NodeName, Rank, Stamp, Time};
use tandem_host::outbox::{Flow, Peer};
use tandem_host::udp_queue::UdpQueues;
use tandem_model::row::{LaterRow, RegisterReason, RegistrationRow, TableRow, Transport};
use tandem_model::view::{ClusterView, Service};
use tandem_rules::admission::queue_delay;
use tandem_rules::registration::{self, newer};

// --- Claims ----------------------------------------------------------------------------------------------------------

/// Another node says that it serves a device that is registered here.
#[derive(Clone, Debug)]
pub struct Claim {
    /// Which device.
    pub device: DeviceIndex,
    /// Who claims it.
    pub owner: NodeLife,
    /// When.
    pub stamp: Stamp,
    /// At which rank.
    pub rank: Rank,
}
/// Claims of a batch of rows.
pub struct Claims(pub Vec<Claim>);
impl Message for Claims {
    type Result = ();
}
impl Handler<Claims> for DeviceHost {
    type Result = ();
    /// One device has one registration: the newest wins, the loser drops its actor (DESIGN section 2).
    fn handle(&mut self, m: Claims, _: &mut Context<Self>) {
        let now = self.clock.now();
        self.begin_turn(now);
        for claim in m.0 {
            // Whatever was seen counts as past: the next stamp given here is above it.
            self.stamp = self.stamp.max(claim.stamp);
            let Some(slot) = self.locator.slot(claim.device) else { continue };
            let Some(device) = self.devices.get(slot) else { continue };
            let theirs = registration::Claim {
                stamp: claim.stamp,
                incarnation: claim.owner.incarnation,
                rank: claim.rank,
                node: claim.owner.node.clone(),
            };
            let ours = registration::Claim {
                stamp: device.stamp,
                incarnation: self.me.incarnation,
                rank: device.rank,
                node: self.me.node.clone(),
            };
            if newer(&theirs, &ours) {
                let why = if device.called_home != 0 && claim.rank < device.rank {
                    Happened::CalledHome
                } else {
                    Happened::MovedAway
                };
                self.remove_device(now, slot, why);
            }
        }
        self.flush_rows(now, true);
    }
}

// --- Adopt -----------------------------------------------------------------------------------------------------------

/// Rows of an earlier life.
pub struct Adopt {
    /// Registrations: device, local expiry second, row.
    pub registrations: Vec<(DeviceIndex, u32, RegistrationRow)>,
    /// Rows of tables that are not known here, with their expiry on this node's clock.
    pub later: Vec<LaterRow>,
}
impl Message for Adopt {
    type Result = ();
}
impl Handler<Adopt> for DeviceHost {
    type Result = ();
    fn handle(&mut self, m: Adopt, _: &mut Context<Self>) {
        let now = self.clock.now();
        self.begin_turn(now);
        self.adopt_later(now, m.later);
        for (index, expires_at, row) in m.registrations {
            // A stream of the earlier life is gone, and so is whatever is registered again already.
            if self.locator.slot(index).is_some() || row.transport == Transport::Tcp {
                continue;
            }
            // A newer registration elsewhere may have come to be known since the CallManager looked, and could claim nothing here then.
            if self.locator.elsewhere(index).is_some_and(|known| known.stamp > row.stamp) {
                continue;
            }
            let Some(device) = self.revived(index, expires_at, &row) else { continue };
            let (place, rank) = ((device.group, device.pool), device.rank);
            let Ok(key) = self.devices.insert(device) else { break };
            let slot = key.slot;
            self.rows.keep_extensions(&row);
            self.locator.set_slot(index, Some(slot));
            if let Some(device) = self.devices.get_mut(slot) {
                device.armed = self.wheel.arm(slot, expires_at);
                self.rows.put(now, device, true);
            }
            self.count(place, rank, true);
            self.metrics.happened(Happened::Adopted);
            self.note(index, Happened::Adopted, rank);
        }
        self.flush_rows(now, true);
    }
}

impl DeviceHost {
    /// The actor of a device as its row tells it.
    fn revived(&self, index: DeviceIndex, expires_at: u32, row: &RegistrationRow) -> Option<Device> {
        let (group, pool) = (self.directory.group_of(index)?, self.directory.pool_of(index)?);
        Some(Device {
            key: row.device,
            call_id: row.call_id,
            transaction: None,
            row_hash: 0,
            stamp: row.stamp,
            cseq: row.cseq,
            expires_at,
            granted: expires_at.saturating_sub(Self::seconds(self.clock.now())),
            answered: 0,
            index,
            armed: 0,
            // The group may have changed while the node was away.
            rank: self.directory.rank(group, self.index).unwrap_or(row.rank),
            reason: RegisterReason::Adopted.code(),
            traits: Traits::default(),
            busy: false,
            called_home: 0,
            shown_home: false,
            nonces: self.nonces_of_row(row.nonce),
            since: row.since,
            group,
            pool,
            peer: Peer { addr: row.source, flow: Flow::Udp(self.edge.socket_for(row.source)) },
            contact: Arc::clone(&row.contact),
            path: row.path.clone(),
        })
    }
}

/// Cursors from here on are places of rows of tables that are not known here: slots have 32 bits.
const LATER_FROM: u64 = 1 << 32;

// --- ReadChunk -------------------------------------------------------------------------------------------------------

/// A peer wants a snapshot of this node's rows.
pub struct ReadChunk {
    /// For whom.
    pub peer: NodeName,
    /// To be repeated.
    pub ticket: u64,
    /// Where to go on: a slot number.
    pub cursor: u64,
    /// At most so many rows.
    pub limit: usize,
}
/// The answer to [`ReadChunk`].
pub struct ChunkRead {
    /// As asked.
    pub peer: NodeName,
    /// As asked.
    pub ticket: u64,
    /// The rows.
    pub rows: Vec<Entry>,
    /// Where to go on.
    pub next: Option<u64>,
}
impl Message for ReadChunk {
    type Result = ();
}
impl Message for ChunkRead {
    type Result = ();
}
impl Handler<ReadChunk> for DeviceHost {
    type Result = ();
    fn handle(&mut self, m: ReadChunk, _: &mut Context<Self>) {
        // What changed before these rows were read goes first: the contract of the cluster machine.
        self.flush_rows(self.clock.now(), true);
        let (rows, next) = self.chunk(m.cursor, m.limit);
        let _ = self.manager.tell(ChunkRead { peer: m.peer, ticket: m.ticket, rows, next });
    }
}

impl DeviceHost {
    /// Some of the rows that this node owns: devices by slot, then those of tables that it does not know, and where to go on.
    fn chunk(&self, cursor: u64, limit: usize) -> (Vec<Entry>, Option<u64>) {
        let mut rows = Vec::with_capacity(limit);
        if let Ok(start) = u32::try_from(cursor) {
            for (slot, device) in self.devices.iter_from(start) {
                if rows.len() >= limit {
                    return (rows, Some(u64::from(slot)));
                }
                rows.push(Entry(TableRow::Registration(self.rows.row(device))));
            }
        }
        let place = usize::try_from(cursor.saturating_sub(LATER_FROM)).unwrap_or(usize::MAX);
        for (behind, row) in self.later.from(place) {
            if rows.len() >= limit {
                return (rows, Some(LATER_FROM + u64::try_from(behind - 1).unwrap_or(0)));
            }
            rows.push(Entry(TableRow::Later(row.clone())));
        }
        (rows, None)
    }
}

// --- ViewChanged -----------------------------------------------------------------------------------------------------

/// What this node sees of the others now.
pub struct ViewChanged {
    /// The view.
    pub view: Arc<ClusterView>,
    /// When dead nodes were last heard.
    pub last_heard: BTreeMap<u16, Time>,
}
impl Message for ViewChanged {
    type Result = ();
}
impl Handler<ViewChanged> for DeviceHost {
    type Result = ();
    fn handle(&mut self, m: ViewChanged, _: &mut Context<Self>) {
        self.service = m.view.nodes.get(&self.me.node).map_or(Service::Joining, |n| n.service);
        self.view = m.view;
        self.last_heard = m.last_heard;
        self.see_who_must_leave();
    }
}

// --- Settle ----------------------------------------------------------------------------------------------------------

/// All copies are complete. What was adopted before has been handled by now, so its rows go first; then the node may serve.
pub struct Settle;
impl Message for Settle {
    type Result = ();
}
impl Handler<Settle> for DeviceHost {
    type Result = ();
    fn handle(&mut self, _: Settle, _: &mut Context<Self>) {
        self.flush_rows(self.clock.now(), true);
        let _ = self.manager.tell_vital(Settled);
    }
}

// --- HostTick --------------------------------------------------------------------------------------------------------

/// From the node's ticker: rows wait, or 100 ms have passed.
pub struct HostTick;
impl Message for HostTick {
    type Result = ();
}
impl Handler<HostTick> for DeviceHost {
    type Result = ();
    fn handle(&mut self, _: HostTick, _: &mut Context<Self>) {
        let now = self.clock.now();
        self.stood_still(now);
        self.begin_turn(now);
        self.turn_wheel(now);
        self.expire_later(now);
        self.edge.tick(now);
        self.go_on_sweeping(now);
        self.see_who_must_leave();
        self.flush_rows(now, false);
        self.judge_overload(now);
        self.metrics.backlog.set(f64::from(self.admission.backlog(now)));
        self.turn_in_memory(now);
    }
}

impl DeviceHost {
    /// Newcomers are let in at half the pace while messages wait too long, in the mailbox or in the sockets.
    fn judge_overload(&mut self, now: Time) {
        if let Some(wait) = self.queues.as_mut().and_then(|q| q.read(now)) {
            self.metrics.udp_wait.set(wait.delay.as_secs_f64());
            self.metrics.udp_dropped.increment(wait.dropped);
        }
        let sockets = self.queues.as_ref().map(UdpQueues::last).unwrap_or_default();
        let delay = queue_delay(self.own.queue_delay(), sockets.delay, sockets.dropped);
        let overloaded = self.overload.observe(now, delay);
        self.admission.set_overloaded(overloaded);
        self.metrics.overload.set(if overloaded { 1.0 } else { 0.0 });
    }
    /// Lets registrations expire that are due. A refresh wrote only its deadline; the wheel's entry looks when it fires.
    pub(crate) fn turn_wheel(&mut self, now: Time) {
        let second = Self::seconds(now);
        while let Some((slot, at)) = self.wheel.pop_due(second) {
            let Some(device) = self.devices.get_mut(slot) else { continue };
            // The entry of a device that had this slot before, or of a deadline that came nearer since.
            if device.armed != at {
                continue;
            }
            if device.expires_at > second {
                device.armed = self.wheel.arm(slot, device.expires_at);
            } else {
                self.remove_device(now, slot, Happened::Expired);
            }
        }
    }
}
