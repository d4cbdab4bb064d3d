//! Who should serve a device, who routes calls to it at this moment, and why it is where it is.
//!
//! A group is given as its members, best first. It judges by one node's own view and must never ask for another's.

mod explain;

pub use explain::{Explanation, Stay, Subject, explain};

use tandem_base::{NodeLife, NodeName, Rank};
use tandem_model::view::ClusterView;

/// The rank of a node in a group; `None` when it is not a member.
pub fn rank_of(members: &[NodeName], node: &NodeName) -> Option<Rank> {
    Rank::from_position(members.iter().position(|m| m == node)?)
}

/// Where a device of this group should be: at the highest-ranked member that is alive and takes devices (DESIGN section 2).
/// `None` when no member does: the group is homeless.
pub fn desired<'a>(members: &'a [NodeName], view: &ClusterView) -> Option<(Rank, &'a NodeName)> {
    let position = members.iter().position(|m| view.serves(m))?;
    Some((Rank::from_position(position)?, members.get(position)?))
}

/// Who routes calls to a device at this moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Route<'a> {
    /// The node that serves it.
    Owner(&'a NodeName),
    /// The node that served it is dead: this survivor, the best of its group, to the last known contact.
    Survivor(Rank, &'a NodeName),
    /// Nobody of its group is in service.
    Nobody,
}

/// Who routes calls to a device whose newest registration is at `owner`. Costs nothing at the owner's death: it is asked per call.
pub fn route<'a>(owner: &'a NodeLife, members: &'a [NodeName], view: &ClusterView) -> Route<'a> {
    if view.is_life_alive(owner) {
        return Route::Owner(&owner.node);
    }
    match desired(members, view) {
        Some((rank, node)) => Route::Survivor(rank, node),
        None => Route::Nobody,
    }
}

/// Those members that take devices, best first, then the others, best first: where a device is sent that is not served here. The
/// others stand at the end, because this node's view may be the one that is wrong.
pub fn best_first(members: &[NodeName], view: &ClusterView) -> Vec<NodeName> {
    let serving = members.iter().filter(|m| view.serves(m));
    let others = members.iter().filter(|m| !view.serves(m));
    serving.chain(others).cloned().collect()
}

#[cfg(test)]
mod tests;
