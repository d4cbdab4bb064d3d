//! What the console asks a device host: its counts and its devices. Bounded by the question.

use super::DeviceHost;
use crate::counts::Counts;
use crate::locator::DeviceIndex;
use crate::registration::Registration;
use actix::{Context, Handler, Message};

/// A host in numbers.
#[derive(Clone, Debug)]
pub struct Overview {
    /// Devices by group and rank.
    pub counts: Counts,
    /// Devices kept out because their messages panicked their actor.
    pub quarantined: usize,
}
/// Asks for an [`Overview`].
pub struct Look;
impl Message for Look {
    type Result = Option<Overview>;
}
impl Handler<Look> for DeviceHost {
    type Result = Option<Overview>;
    fn handle(&mut self, _: Look, _: &mut Context<Self>) -> Self::Result {
        Some(Overview { counts: self.counts.clone(), quarantined: self.quarantine.len() })
    }
}

/// A device as its host has it.
#[derive(Clone, Debug, Default)]
pub struct Hosted {
    /// Its registration here.
    pub row: Option<Registration>,
    /// Whether it is kept out.
    pub quarantined: bool,
    /// Whether it is in a call.
    pub busy: bool,
}
/// Asks for these devices.
pub struct Find(pub Vec<DeviceIndex>);
impl Message for Find {
    type Result = Vec<Hosted>;
}
impl Handler<Find> for DeviceHost {
    type Result = Vec<Hosted>;
    fn handle(&mut self, m: Find, _: &mut Context<Self>) -> Self::Result {
        m.0.iter().map(|d| self.hosted(*d)).collect()
    }
}

/// Lets a device in again that was kept out.
pub struct Release(pub DeviceIndex);
impl Message for Release {
    type Result = bool;
}
impl Handler<Release> for DeviceHost {
    type Result = bool;
    fn handle(&mut self, m: Release, _: &mut Context<Self>) -> bool {
        let released = self.quarantine.release(m.0);
        self.show_quarantine();
        released
    }
}

impl DeviceHost {
    fn hosted(&self, device: DeviceIndex) -> Hosted {
        let quarantined = self.quarantine.holds(device);
        let found = self.locator.slot(device).and_then(|slot| self.devices.get(slot));
        Hosted { row: found.map(|d| self.rows.row(d)), quarantined, busy: found.is_some_and(|d| d.busy) }
    }
    pub(crate) fn show_quarantine(&self) {
        self.metrics.quarantined.set(f64::from(u32::try_from(self.quarantine.len()).unwrap_or(u32::MAX)));
    }
}
