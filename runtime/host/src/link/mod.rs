//! The links that carry frames between nodes (DESIGN section 8), behind `tandem_cluster::link::Link`.
//!
//! [`local`]: nodes of one process. [`unix`]: nodes that are processes of one host. `zenoh` (with the feature of that name): nodes on several
//! hosts. [`simulated`]: nodes of the simulator, in virtual time.
//! All links pass one conformance suite.
//! A link knows no frame's meaning; it never blocks its caller and never reorders what one sender sends to one peer in one lane.

mod ending;
pub mod local;
pub mod simulated;
pub mod unix;
#[cfg(feature = "zenoh")]
pub mod zenoh;

pub use ending::Ending;

#[cfg(test)]
mod conformance;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::{Mutex, MutexGuard, PoisonError};
use tandem_base::{Incarnation, NodeLife, NodeName};

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
    /// The address of the link between hosts cannot be listened on.
    #[error("{life} cannot listen on {address} for its peers on other hosts: {why}")]
    Listen {
        /// Who wanted in.
        life: NodeLife,
        /// Where.
        address: SocketAddr,
        /// Why, in the words of whoever refused.
        why: String,
    },
    /// A node without an address for the link between hosts.
    #[error("{node} has no address for the link between hosts; give its [[node]] a `link`")]
    NoAddress {
        /// The node.
        node: NodeName,
    },
    /// The certificates of the link between hosts cannot be used.
    #[error("{0}")]
    Certificates(String),
}

/// Most nodes on one hub or simulated net.
pub const NODES_MAX: usize = 64;
/// Longest frame that is sent or taken between processes, in bytes; the cluster machine looks at none that is longer.
pub const FRAME_BYTES_MAX: usize = 4 << 20;

/// A thread that panicked must not take the others with it: what is behind these locks is always whole.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
