//! What can go wrong while a node or a process is started. What happens later is an event or a restart, not an error.

use std::path::PathBuf;
use tandem_base::NodeName;
use tandem_cluster::ClusterError;
use tandem_host::HostError;
use tandem_host::link::AttachError;

/// How a program with the link between hosts is had.
pub const BUILD_WITH_LINK: &str = "build one that has it: cargo build --release --features zenoh";

/// See the module.
#[derive(Debug, thiserror::Error)]
pub enum NodeError {
    /// A socket, a thread, a file.
    #[error(transparent)]
    Host(#[from] HostError),
    /// The cluster's settings contradict each other.
    #[error(transparent)]
    Cluster(#[from] ClusterError),
    /// The nodes of this process could not be connected.
    #[error("the link of the node cannot be opened: {0}")]
    Attach(#[from] AttachError),
    /// The configuration has no such node.
    #[error("the configuration has no node {0}")]
    UnknownNode(NodeName),
    /// Of several processes none knows which free port another has found.
    #[error("node {0} has port 0, which takes any free one: with several processes the others could not know it")]
    PortNotGiven(NodeName),
    /// The file has nodes on several hosts, and this program cannot connect them.
    #[error("the nodes have `link` addresses, and this tandem was built without the link between hosts")]
    NoLink,
    /// The node's thread ended before it ran.
    #[error("node {0} ended while it was being started")]
    Start(NodeName),
    /// The configuration database of a node cannot be used.
    #[error("the configuration database of {node}: {why}")]
    Store {
        /// Of which node.
        node: NodeName,
        /// Why.
        why: tandem_database::StoreError,
    },
    /// The console cannot be started.
    #[error(transparent)]
    Console(#[from] tandem_console::ConsoleError),
    /// Two processes would write the same files.
    #[error("the state folder {} is in use by another Tandem{by}", folder.display())]
    StateInUse {
        /// The folder.
        folder: PathBuf,
        /// Which one, as the end of the sentence; empty when it does not say.
        by: String,
    },
    /// The copy in the state folder is that of another cluster than the file's. Which one is meant, only the operator knows.
    #[error("{path} is the configuration database of the cluster {stored:?}, and the file describes {wanted:?}")]
    OtherCluster {
        /// The copy.
        path: PathBuf,
        /// Whose it is.
        stored: String,
        /// Whose file was given.
        wanted: String,
    },
    /// A file of the state folder has something in it that cannot be.
    #[error("{path} holds {found:?}, expected {expected}; remove the file to begin anew")]
    StateFile {
        /// The file.
        path: PathBuf,
        /// What it holds.
        found: String,
        /// What would be right.
        expected: &'static str,
    },
}
