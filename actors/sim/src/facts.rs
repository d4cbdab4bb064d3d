//! What a node says of itself when it is asked, in the shape that checks need.

use std::sync::Arc;
use tandem::call_manager::queries::Overview;
use tandem::device_host::queries::Stock;
use tandem::directory::Directory;
use tandem_base::{NodeLife, Rank, Stamp};
use tandem_cluster::NodeState;
use tandem_model::view::Service;

/// One node at one moment.
#[derive(Clone, Debug)]
pub struct Facts {
    /// Which life.
    pub me: NodeLife,
    /// By device of the directory: the registration held here.
    pub here: Vec<Option<(Stamp, Rank)>>,
    /// The configuration that its host works by.
    pub directory: Arc<Directory>,
    /// What its host counts.
    pub stock: Stock,
    /// What its CallManager sees.
    pub overview: Overview,
}

impl Facts {
    /// From a node's answers, for so many devices that have phones.
    pub fn new(me: NodeLife, first: &Arc<Directory>, (stock, overview): (Stock, Overview), devices: usize) -> Self {
        let directory = stock.directory.clone().unwrap_or_else(|| Arc::clone(first));
        let mut here = vec![None; devices];
        for (device, stamp, rank) in &stock.here {
            if let Some(place) = here.get_mut(device.0 as usize) {
                *place = Some((*stamp, *rank));
            }
        }
        Self { me, here, directory, stock, overview }
    }
    /// Whether the same life holds the same devices, is in the same state and sees the same.
    pub fn same_but_stamps(&self, other: &Self) -> bool {
        self.me == other.me
            && self.overview.state == other.overview.state
            && self.overview.view == other.overview.view
            && self.here.iter().map(Option::is_some).eq(other.here.iter().map(Option::is_some))
    }
    /// Whether it holds a device.
    pub fn holds(&self, device: usize) -> bool {
        self.here.get(device).is_some_and(Option::is_some)
    }
}

/// Whether every node serves, and every other sees that.
pub fn all_serve(facts: &[Option<Facts>]) -> bool {
    let sees = |by: &Facts, node: &Facts| {
        let seen = by.overview.view.node(&node.me.node);
        seen.is_some_and(|n| n.incarnation == node.me.incarnation && n.service == Service::InService)
    };
    let serves = |node: &Facts| {
        let others = || facts.iter().flatten().filter(|by| by.me != node.me);
        node.overview.state == NodeState::InService && others().all(|by| sees(by, node))
    };
    facts.iter().all(|node| node.as_ref().is_some_and(serves))
}
