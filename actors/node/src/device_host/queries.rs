//! What the console asks a device host: its counts and its devices. Bounded by the question.

use super::DeviceHost;
use super::quarantine::Case;
use crate::counts::Counts;
use crate::directory::Directory;
use crate::locator::DeviceIndex;
use actix::{Context, Handler, Message};
use std::sync::Arc;
use tandem_base::{Rank, Stamp};
use tandem_model::row::RegistrationRow;

/// A host in numbers.
#[derive(Clone, Debug)]
pub struct Overview {
    /// Devices by group and rank.
    pub counts: Counts,
    /// Devices kept out because their messages panicked their actor, here or elsewhere.
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
    pub row: Option<RegistrationRow>,
    /// Where and since when it is kept out, if it is.
    pub quarantined: Option<Case>,
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

/// Everything a host holds, counted by a walk: what its counts and gauges are checked against.
#[derive(Clone, Debug, Default)]
pub struct Stock {
    /// Every device here: which, since which stamp, at which rank.
    pub here: Vec<(DeviceIndex, Stamp, Rank)>,
    /// What the host says it serves.
    pub counts: Counts,
    /// What its gauges say, by group of the directory and rank.
    pub gauges: Vec<[u32; 3]>,
    /// Devices kept out.
    pub quarantined: usize,
    /// The directory that it works by.
    pub directory: Option<Arc<Directory>>,
}
/// Asks for the [`Stock`]. It costs a walk over all devices: for the simulator's checks, never for a running cluster.
pub struct TakeStock;
impl Message for TakeStock {
    type Result = Option<Stock>;
}
impl Handler<TakeStock> for DeviceHost {
    type Result = Option<Stock>;
    fn handle(&mut self, _: TakeStock, _: &mut Context<Self>) -> Self::Result {
        Some(Stock {
            here: self.devices.iter_from(0).map(|(_, d)| (d.index, d.stamp, d.rank)).collect(),
            counts: self.counts.clone(),
            gauges: self.by_group.clone(),
            quarantined: self.quarantine.len(),
            directory: Some(Arc::clone(&self.directory)),
        })
    }
}

impl DeviceHost {
    fn hosted(&self, device: DeviceIndex) -> Hosted {
        let quarantined = self.quarantine.held(device);
        let found = self.locator.slot(device).and_then(|slot| self.devices.get(slot));
        Hosted { row: found.map(|d| self.rows.row(d)), quarantined, busy: found.is_some_and(|d| d.busy) }
    }
}
