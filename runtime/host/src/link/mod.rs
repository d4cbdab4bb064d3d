//! The links that carry frames between nodes (DESIGN section 8), behind `tandem_cluster::link::Link`.
//!
//! [`local`]: nodes of one process. [`unix`]: nodes that are processes of one host. [`simulated`]: nodes of the simulator, in virtual time.
//! All links pass one conformance suite.
//! A link knows no frame's meaning; it never blocks its caller and never reorders what one sender sends to one peer in one lane.

pub mod local;
pub mod simulated;
pub mod unix;

#[cfg(test)]
mod conformance;

use std::path::PathBuf;
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
    /// Another process has the node's place and does not answer.
    #[error("{life} cannot be attached: another process runs this node and does not answer at {}; end it first", path.display())]
    Held {
        /// Who wanted in.
        life: NodeLife,
        /// The socket of the other.
        path: PathBuf,
    },
    /// The path of a socket would be longer than the system takes.
    #[error("the socket {} cannot be made: its path has {length} bytes, the system takes {bound}; use a state folder with a shorter path", path.display())]
    PathTooLong {
        /// The path.
        path: PathBuf,
        /// Its length, in bytes.
        length: usize,
        /// The most that the system takes, in bytes.
        bound: usize,
    },
    /// A folder, file or socket could not be used.
    #[error("cannot {doing} {}: {why}", path.display())]
    Socket {
        /// What was being done, as a verb.
        doing: &'static str,
        /// The folder, file or socket.
        path: PathBuf,
        /// Why, in the system's words.
        why: String,
    },
}

/// Most nodes on one hub or simulated net.
pub const NODES_MAX: usize = 64;
