//! What a change of the configuration does to the copies: those of devices that come count from now on, those of devices that go do not.
//!
//! A change of many devices is worked off in steps; what has not been looked at yet counts as before. The rest of the node hears of a
//! change from here, in order, however full its mailboxes are.

use super::CallManager;
use crate::device_host;
use crate::directory::{Applied, Directory};
use crate::locator::DeviceIndex;
use crate::registration::Entry;
use actix::{Context, Handler, Message};
use std::collections::VecDeque;
use std::sync::Arc;
use tandem_base::{DeviceKey, NodeLife, Rank};
use tandem_cluster::Input;

/// Devices looked at per step; a step comes with each tick, ten a second.
const STEP: usize = 8_192;

/// A change on its way to the device host, and those behind it. There are as many as the configuration changes while the host takes
/// nothing, which kills its node within seconds.
pub(crate) type Unsent = VecDeque<Applied>;

/// A change whose devices have not all been looked at.
pub(crate) struct Transition {
    before: Arc<Directory>,
    applied: Applied,
    /// So many of the change's devices have been looked at.
    done: usize,
}

impl Transition {
    fn rest(&self) -> &[DeviceIndex] {
        self.applied.effects.devices.get(self.done..).unwrap_or_default()
    }
    /// The pool under which the rows of a device are counted that has not been looked at; `None` when it has been, or has not changed.
    pub(crate) fn pool_still(&self, now: &Directory, key: DeviceKey) -> Option<Option<u16>> {
        let device = now.find_key(key).or_else(|| self.before.find_key(key))?;
        self.rest().binary_search(&device).ok().map(|_| self.before.pool_of(device))
    }
}

// --- Reconfigure -----------------------------------------------------------------------------------------------------

/// The configuration has changed.
pub struct Reconfigure(pub Applied);
impl Message for Reconfigure {
    type Result = ();
}
impl Handler<Reconfigure> for CallManager {
    type Result = ();
    fn handle(&mut self, m: Reconfigure, _: &mut Context<Self>) {
        // One change after the other.
        while self.transition.is_some() {
            self.step_of_change();
        }
        let applied = m.0;
        let before = std::mem::replace(&mut self.directory, Arc::clone(&applied.directory));
        self.current.set(Arc::clone(&applied.directory));
        let started = self.groups.borrow_mut().settle(&self.directory);
        self.transition = Some(Transition { before, applied: applied.clone(), done: 0 });
        self.step_of_change();
        self.unsent.push_back(applied);
        self.tell_host_of_changes();
        if !started.is_empty() {
            self.publish_view();
        }
    }
}

impl CallManager {
    /// With each tick.
    pub(super) fn go_on_with_change(&mut self) {
        self.step_of_change();
        self.tell_host_of_changes();
    }

    fn tell_host_of_changes(&mut self) {
        let Some(host) = &self.host else { return };
        while let Some(applied) = self.unsent.front() {
            if host.tell_vital(device_host::Reconfigure(applied.clone())).is_err() {
                return;
            }
            self.unsent.pop_front();
        }
    }

    fn step_of_change(&mut self) {
        let Some(transition) = &self.transition else { return };
        let some: Vec<DeviceIndex> = transition.rest().iter().take(STEP).copied().collect();
        let before = Arc::clone(&transition.before);
        for device in &some {
            self.look_at(*device, &before);
        }
        if let Some(transition) = &mut self.transition {
            transition.done += some.len();
            if transition.rest().is_empty() {
                self.transition = None;
            }
        }
        let now = self.clock.now();
        self.drain(now);
    }

    /// A device came, went or moved: its copies follow.
    fn look_at(&mut self, device: DeviceIndex, before: &Directory) {
        let (was, is) = (before.pool_of(device), self.directory.pool_of(device));
        let key = if is.is_some() { self.directory.key(device) } else { before.key(device) };
        let counted: Vec<(u16, Rank)> = self
            .cluster
            .get(key.0)
            .filter(|found| self.view.is_life_alive(found.owner))
            .filter_map(|found| self.place_of(found.owner, found.row))
            .collect();
        for (node, rank) in counted {
            if let Some(pool) = was {
                self.counts.remove(node, pool, rank);
            }
            if let Some(pool) = is {
                self.counts.add(node, pool, rank);
            }
        }
        match (was, is) {
            (None, Some(_)) => self.locator.set_elsewhere(device, self.newest_copy(key.0)),
            (Some(_), None) => {
                self.locator.set_elsewhere(device, None);
                // What a dead node left of it is nobody's any more.
                let input = Input::Drop { key: key.0, but: None };
                tandem_base::Machine::handle(&mut self.cluster, self.clock.now(), input);
            }
            _ => {}
        }
    }

    fn place_of(&self, owner: &NodeLife, row: &Entry) -> Option<(u16, Rank)> {
        Some((self.directory.node_index(&owner.node)?, row.registration()?.rank))
    }
}

#[cfg(test)]
mod tests;
