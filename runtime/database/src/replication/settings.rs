//! What the replication machine is told at its start, and the bounds it keeps. Each bound has its name here.

use std::time::Duration;
use tandem_base::NodeName;

/// Most peers of a node.
pub(crate) const PEERS_MAX: usize = 63;
/// Most changes that wait for their commit; more are refused as busy.
pub(crate) const WRITES_MAX: usize = 1_024;
/// Most changes, and most rows in them, that are committed with one fsync.
pub(crate) const COMMIT_DRAFTS: usize = 256;
/// See [`COMMIT_DRAFTS`].
pub(crate) const COMMIT_OPS: usize = 10_000;
/// Most bytes on their way to a subscriber.
pub(crate) const WINDOW_BYTES: usize = 2 << 20;
/// Bytes after which a subscriber says that it has them.
pub(crate) const ACK_BYTES: usize = 256 << 10;
/// Most bytes of whole changes that wait to be applied; what comes beyond is left out and comes again.
pub(crate) const READY_BYTES: usize = 8 << 20;
/// Most chunks of a snapshot on their way.
pub(crate) const CHUNKS_IN_FLIGHT: usize = 16;
/// Most user settings that wait for the disk; more are refused as busy.
pub(crate) const USER_WRITES_MAX: usize = 4_096;
/// Most frames with user settings that wait for the disk; what comes beyond is left out and found by digest.
pub(crate) const MERGES_MAX: usize = 64;
/// Most user settings in a frame.
pub(crate) const USERS_IN_FRAME: usize = 30;

/// What the machine is told at its start.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// This node.
    pub me: NodeName,
    /// The other configured nodes.
    pub peers: Vec<NodeName>,
    /// Who may found the database when nobody has one: the publisher of the configuration file.
    pub founder: Option<NodeName>,
    /// How long the founder waits for peers that are not heard, before it takes them to have none either.
    pub found_after: Duration,
    /// How often each node says where it stands.
    pub status_every: Duration,
    /// What is not acknowledged after this is sent again; doubled each time, up to ten times this.
    pub retry: Duration,
    /// A snapshot of which nothing moves for this long is given up.
    pub stalled_after: Duration,
    /// How often a store that fails is tried.
    pub store_retry: Duration,
}
impl Settings {
    /// The usual times.
    pub fn new(me: NodeName, peers: Vec<NodeName>, founder: Option<NodeName>) -> Self {
        Self {
            me,
            peers,
            founder,
            found_after: Duration::from_secs(5),
            status_every: Duration::from_secs(1),
            retry: Duration::from_millis(300),
            stalled_after: Duration::from_secs(10),
            store_retry: Duration::from_secs(1),
        }
    }
}
