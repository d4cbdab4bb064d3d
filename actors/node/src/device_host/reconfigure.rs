//! What a change of the configuration does to the devices that are registered here: those that are gone lose their registration, the others get
//! their new pool, group and rank. Who has a better member then is called there by the group's supervisor, as after a failover.
//!
//! A change of few devices looks at these; a change of groups looks at all, some at a time. It must never keep datagrams waiting.

use super::DeviceHost;
use crate::directory::{Applied, Directory};
use crate::observe::Happened;
use actix::{Context, Handler, Message};
use std::sync::Arc;
use tandem_base::Time;
use tandem_model::view::Service;

/// Devices looked at before others get their turn.
const STEP: usize = 1_024;

/// The configuration has changed.
pub struct Reconfigure(pub Applied);
impl Message for Reconfigure {
    type Result = ();
}
impl Handler<Reconfigure> for DeviceHost {
    type Result = ();
    fn handle(&mut self, m: Reconfigure, _: &mut Context<Self>) {
        let now = self.clock.now();
        self.begin_turn(now);
        let before = std::mem::replace(&mut self.directory, Arc::clone(&m.0.directory));
        self.take_settings(now, &before);
        self.metrics.extend(&self.me.node, &self.directory);
        self.by_group.resize(self.directory.groups.len(), [0; 3]);
        if m.0.effects.places || m.0.effects.devices.len() > STEP {
            // From the beginning, also when an earlier walk is under way: what that has seen may have changed since.
            self.sweep = Some(0);
            self.go_on_sweeping(now);
        } else {
            for device in &m.0.effects.devices {
                if let Some(slot) = self.locator.slot(*device) {
                    self.put_in_place(now, slot);
                }
            }
        }
        self.see_who_must_leave();
        self.flush_rows(now, true);
        self.turn_in_memory(now);
    }
}

/// The walk goes on.
pub struct Sweep;
impl Message for Sweep {
    type Result = ();
}
impl Handler<Sweep> for DeviceHost {
    type Result = ();
    fn handle(&mut self, _: Sweep, _: &mut Context<Self>) {
        let now = self.clock.now();
        self.begin_turn(now);
        self.go_on_sweeping(now);
        self.see_who_must_leave();
        self.flush_rows(now, true);
        self.turn_in_memory(now);
    }
}

impl DeviceHost {
    /// What of the settings was not read each time it is needed.
    fn take_settings(&mut self, now: Time, before: &Directory) {
        let settings = Arc::clone(&self.directory.settings);
        if before.settings == settings {
            return;
        }
        self.admission.set_pace(&settings, now);
        self.pace.set(settings.failback_per_second, now);
        self.edge.offer(&self.directory);
    }

    /// A step of the walk over all devices. Each tick goes on with it when the message that should have done it was refused.
    pub(super) fn go_on_sweeping(&mut self, now: Time) {
        let Some(from) = self.sweep else { return };
        let slots: Vec<u32> = self.devices.iter_from(from).take(STEP).map(|(slot, _)| slot).collect();
        for slot in &slots {
            self.put_in_place(now, *slot);
        }
        self.sweep = slots.last().filter(|_| slots.len() == STEP).map(|slot| slot.saturating_add(1));
        if self.sweep.is_some() {
            let _ = self.own.tell(Sweep);
        }
    }

    /// A device that is registered here gets the place that it has now.
    fn put_in_place(&mut self, now: Time, slot: u32) {
        let Some(device) = self.devices.get(slot) else { return };
        let (index, before, rank, busy) = (device.index, (device.group, device.pool), device.rank, device.busy);
        let Some(place) = self.directory.group_of(index).zip(self.directory.pool_of(index)) else {
            let nonces = device.nonces;
            if self.remove_device(now, slot, Happened::Deleted).is_some() {
                self.keep_nonces(index, nonces);
            }
            return;
        };
        // At a node that is no member any more it keeps the rank that it had: there is no other.
        let rank_now = self.directory.rank(place.0, self.index).unwrap_or(rank);
        if (place, rank_now) == (before, rank) {
            return;
        }
        self.count(before, rank, false);
        self.count(place, rank_now, true);
        if busy && before.1 != place.1 {
            let of_pool = self.busy.entry(before.1).or_default();
            *of_pool = of_pool.saturating_sub(1);
            *self.busy.entry(place.1).or_default() += 1;
        }
        let Some(device) = self.devices.get_mut(slot) else { return };
        (device.group, device.pool) = place;
        device.rank = rank_now;
        // What it was called home for is no more.
        device.called_home = 0;
        if rank_now != rank {
            self.rows.put(now, device, false);
            self.metrics.rows.increment();
        }
    }

    /// Whether a refresh has to be looked at before it is granted.
    pub(super) fn see_who_must_leave(&mut self) {
        let here = (0u16..).zip(&self.by_group).filter(|(_, ranks)| ranks.iter().any(|n| *n > 0));
        let mut strangers = here.filter(|(group, _)| self.directory.rank(*group, self.index).is_none());
        self.some_must_leave = self.service == Service::Draining || strangers.next().is_some();
    }
}

#[cfg(test)]
mod tests;
