//! The links that carry frames between nodes (DESIGN section 8), behind `tandem_cluster::link::Link`.
//!
//! [`local`]: nodes of one process. [`simulated`]: nodes of the simulator, in virtual time. All links pass one conformance suite.
//! A link knows no frame's meaning; it never blocks its caller and never reorders what one sender sends to one peer in one lane.

pub mod local;
pub mod simulated;

#[cfg(test)]
mod conformance;

use tandem_base::{Incarnation, NodeLife};

/// Why a node could not be attached.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AttachError {
    /// The same or a newer life of this node is attached already.
    #[error("{life} cannot be attached: life {attached} of it is attached; a new life needs a higher incarnation")]
    NotNewer {
        /// Who wanted in.
        life: NodeLife,
        /// Who is there.
        attached: Incarnation,
    },
    /// The bound on attached nodes is reached.
    #[error("no more than {bound} nodes can be attached")]
    TooMany {
        /// The bound.
        bound: usize,
    },
}

/// Most nodes on one hub or simulated net.
pub const NODES_MAX: usize = 64;
