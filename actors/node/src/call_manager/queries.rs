//! What the console asks a CallManager: its view, its counts, the copies it holds of given devices. Bounded by the question.

use super::CallManager;
use crate::counts::Counts;
use crate::directory::Mark;
use crate::edge::sip::locate::Located;
use crate::locator::DeviceIndex;
use actix::{Context, Handler, Message};
use std::sync::Arc;
use tandem_base::{NodeLife, Time};
use tandem_cluster::{Digest, NodeState, OwnerView};
use tandem_model::row::RegistrationRow;
use tandem_model::view::ClusterView;
use tandem_rules::routing::{Known, route};

/// What a node sees, in numbers.
#[derive(Clone, Debug)]
pub struct Overview {
    /// Its view of all nodes.
    pub view: ClusterView,
    /// What the other living nodes serve.
    pub counts: Counts,
    /// Its own state.
    pub state: NodeState,
    /// Whether its copy of each living peer's rows is proven complete.
    pub complete: bool,
    /// Its copies of other owners' rows, one per life of an owner.
    pub copies: Vec<OwnerView>,
    /// Its own rows: the last change's sequence number, and the digest after it.
    pub own: (u64, Digest),
    /// The directory that it works by.
    pub mark: Mark,
}
/// Asks for an [`Overview`].
pub struct Look;
impl Message for Look {
    type Result = Option<Overview>;
}
impl Handler<Look> for CallManager {
    type Result = Option<Overview>;
    fn handle(&mut self, _: Look, _: &mut Context<Self>) -> Self::Result {
        Some(Overview {
            view: self.view.clone(),
            counts: self.counts.clone(),
            state: self.state,
            complete: self.cluster.divergent_peers() == 0,
            copies: self.cluster.owners(),
            own: (self.cluster.own_head(), self.cluster.own_digest()),
            mark: self.directory.mark,
        })
    }
}

/// A copy of another node's registration.
#[derive(Clone, Debug)]
pub struct Copy {
    /// Who serves the device.
    pub owner: NodeLife,
    /// Whether that node is dead.
    pub orphaned: bool,
    /// The row.
    pub row: RegistrationRow,
    /// When it expires, on this node's clock.
    pub expires: Option<Time>,
}
/// Asks for the newest copy of each of these devices.
pub struct Copies(pub Vec<DeviceIndex>);
impl Message for Copies {
    type Result = Vec<Option<Copy>>;
}
impl Handler<Copies> for CallManager {
    type Result = Vec<Option<Copy>>;
    fn handle(&mut self, m: Copies, _: &mut Context<Self>) -> Self::Result {
        m.0.iter().map(|d| self.copy_of(*d)).collect()
    }
}

/// Asks where these devices are to be reached, as far as other nodes serve (or served) them; the device host hears [`Located`].
pub struct Where {
    /// Told with the answer.
    pub ticket: u64,
    /// Which devices; as many as the device host allows.
    pub devices: Vec<DeviceIndex>,
}
impl Message for Where {
    type Result = ();
}
impl Handler<Where> for CallManager {
    type Result = ();
    fn handle(&mut self, m: Where, _: &mut Context<Self>) {
        let now = self.clock.now();
        let contacts = m.devices.iter().filter_map(|d| self.contact_of(now, *d)).collect();
        self.tell_host(Located { ticket: m.ticket, contacts });
    }
}

impl CallManager {
    /// The contact of the newest registration that another node's rows tell of.
    fn contact_of(&self, now: Time, device: DeviceIndex) -> Option<Arc<str>> {
        let found = self.cluster.get(self.directory.key(device).0);
        let copies: Vec<_> = found.filter_map(|f| Some((f.owner, f.row.registration()?))).collect();
        let known = copies.iter().map(|(owner, row)| Known {
            stamp: row.stamp,
            expires: self.cluster.owner_time_to_local(owner, row.expires),
        });
        copies.get(route(now, known)?).map(|(_, row)| Arc::clone(&row.contact))
    }
    fn copy_of(&self, device: DeviceIndex) -> Option<Copy> {
        let key = self.directory.key(device).0;
        let found = self.cluster.get(key).filter_map(|f| Some((f.row.registration()?, f.orphaned, f.owner)));
        let (row, orphaned, owner) = found.max_by_key(|(row, orphaned, _)| (!orphaned, row.stamp))?;
        let expires = self.cluster.owner_time_to_local(owner, row.expires);
        Some(Copy { owner: owner.clone(), orphaned, row: row.clone(), expires })
    }
}
