//! Calling devices home, and sending them away when the node is about to stop: a few per call, idle ones first.
//!
//! The group supervisor says which ranks are ready and how many may go; the walk over the devices goes on where it stopped, so its
//! cost per call is bounded.

use super::DeviceHost;
use crate::device::Device;
use crate::group_supervisor::{Counted, GroupSupervisor, Unused};
use crate::locator::DeviceIndex;
use actix::{Context, Handler, Message};
use tandem_base::{Rank, Time};
use tandem_host::supervise::Handle;
use tandem_model::timings::DRAIN_AGAIN_SECS;
use tandem_rules::failback::may_call;

/// Slots looked at per call: bounds the work, not the number of devices called.
const LOOK_MAX: usize = 4_096;

/// Call devices of a group home.
#[derive(Clone)]
pub struct CallHome {
    /// Which group.
    pub group: u16,
    /// Best rank that is ready, for each pool of the group that has one: (pool, rank, since when that member is in service).
    pub ready: Vec<(u16, Rank, Time)>,
    /// At most so many devices.
    pub most: u32,
    /// Whether devices in a call are called too (they go after the call; `at-idle` and `automatic` differ here).
    pub busy_too: bool,
    /// Who asks: it is told how many fewer were called.
    pub to: Handle<GroupSupervisor>,
}
impl Message for CallHome {
    type Result = usize;
}
impl Handler<CallHome> for DeviceHost {
    type Result = usize;
    /// Returns how many were called.
    fn handle(&mut self, m: CallHome, _: &mut Context<Self>) -> usize {
        let second = Self::seconds(self.clock.now());
        // Devices keep whole seconds: so does everything that is compared with them.
        let whole = |seconds: u32| Time::from_secs(u64::from(seconds));
        // At a node that is no member of the group any more every member is better.
        let here = self.directory.rank(m.group, self.index);
        let better = |device: &Device| {
            let called = (device.called_home != 0).then(|| whole(device.called_home));
            let may = |since: &Time| may_call(called, whole(Self::seconds(*since)), whole(second));
            device.group == m.group
                && (m.busy_too || !device.busy)
                && m.ready
                    .iter()
                    .any(|(pool, rank, since)| *pool == device.pool && here.is_none_or(|h| *rank < h) && may(since))
        };
        let called = self.send_away(better, usize::try_from(m.most).unwrap_or(usize::MAX), second);
        let unused = m.most.saturating_sub(u32::try_from(called).unwrap_or(u32::MAX));
        if unused > 0 {
            let _ = m.to.tell(Unused(unused));
        }
        if let Some(counter) = self.metrics.called_home.get(usize::from(m.group)) {
            counter.increment(called as u64);
        }
        self.turn_in_memory(self.clock.now());
        called
    }
}

/// How many devices of each pool of a group are here? The answer goes to its supervisor.
pub struct Census {
    /// Which group.
    pub group: u16,
    /// Who asks.
    pub to: Handle<GroupSupervisor>,
}
impl Message for Census {
    type Result = ();
}
impl Handler<Census> for DeviceHost {
    type Result = ();
    fn handle(&mut self, m: Census, _: &mut Context<Self>) {
        let pools = self.directory.pools_of(m.group);
        let here = |(pool, _)| {
            let all = self.counts.of_pool(self.index, pool);
            let busy = self.busy.get(&pool).copied().unwrap_or(0).min(all);
            (pool, all - busy, busy)
        };
        let _ = m.to.tell(Counted(pools.map(here).collect()));
    }
}

/// Whether an operator has started the return of a group: tokens of phones that ask by themselves follow it.
pub struct Asked {
    /// Which group.
    pub group: u16,
    /// Started, or over.
    pub asked: bool,
}
impl Message for Asked {
    type Result = ();
}
impl Handler<Asked> for DeviceHost {
    type Result = ();
    fn handle(&mut self, m: Asked, _: &mut Context<Self>) {
        if m.asked {
            self.asked.insert(m.group);
        } else {
            self.asked.remove(&m.group);
        }
    }
}

/// The node is about to stop: every device is told to go elsewhere, at most so many per call.
#[derive(Clone, Debug)]
pub struct Leave {
    /// At most so many devices.
    pub most: usize,
}
impl Message for Leave {
    type Result = usize;
}
impl Handler<Leave> for DeviceHost {
    type Result = usize;
    /// Returns how many devices are still here.
    fn handle(&mut self, m: Leave, _: &mut Context<Self>) -> usize {
        let second = Self::seconds(self.clock.now());
        let again =
            |device: &Device| device.called_home == 0 || second.saturating_sub(device.called_home) >= DRAIN_AGAIN_SECS;
        self.send_away(again, m.most, second);
        self.turn_in_memory(self.clock.now());
        self.devices.len()
    }
}

/// Tells one device to register anew, because somebody said so.
pub struct Reset(pub DeviceIndex);
impl Message for Reset {
    type Result = bool;
}
impl Handler<Reset> for DeviceHost {
    type Result = bool;
    /// Returns whether it is here.
    fn handle(&mut self, m: Reset, _: &mut Context<Self>) -> bool {
        let Some(device) = self.locator.slot(m.0).and_then(|slot| self.devices.get(slot)) else { return false };
        let name = self.directory.name_text(device.index);
        self.edge.restart(self.clock.now(), &mut self.random, device, name);
        self.turn_in_memory(self.clock.now());
        true
    }
}

impl DeviceHost {
    /// Tells up to `most` devices that `who` picks to register anew from the top of their list.
    fn send_away(&mut self, who: impl Fn(&Device) -> bool, most: usize, second: u32) -> usize {
        let mut picked = Vec::new();
        let start = self.home_cursor;
        let around =
            self.devices.iter_from(start).chain(self.devices.iter_from(0).take_while(|(slot, _)| *slot < start));
        for (slot, device) in around.take(LOOK_MAX) {
            if picked.len() >= most {
                break;
            }
            self.home_cursor = slot.saturating_add(1);
            if who(device) {
                picked.push(slot);
            }
        }
        for slot in &picked {
            let Some(device) = self.devices.get_mut(*slot) else { continue };
            (device.called_home, device.shown_home) = (second.max(1), false);
            let name = self.directory.name_text(device.index);
            self.edge.restart(self.clock.now(), &mut self.random, device, name);
        }
        picked.len()
    }
}
