//! Durations and bounds of the cluster engine, with their relations asserted in one place.

use crate::error::ClusterError;
use std::time::Duration;
use tandem_base::NodeName;

/// Most members a cluster may have, itself included. Bounds every per-peer list on the wire.
pub(crate) const MEMBERS_MAX: usize = 64;

/// What the engine is told once, at the start of a node's life.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// The cluster's name. Frames of another name are refused.
    pub cluster: String,
    /// The other configured nodes. Frames of anybody else are refused. Empty: a cluster of one, replication costs nothing.
    pub peers: Vec<NodeName>,
    /// Between two heartbeats.
    pub heartbeat: Duration,
    /// Silence after which a peer is suspect.
    pub suspect_after: Duration,
    /// Silence after which a peer is dead.
    pub dead_after: Duration,
    /// How long a joiner waits for a configured peer that is not up before it goes on without it.
    pub join_grace: Duration,
    /// How long a joiner waits for the orphaned rows that peers hold for it (adoption) before it goes on without them.
    pub adopt_patience: Duration,
    /// After this an unanswered question for missing rows is asked again.
    pub need_retry: Duration,
    /// Least time between two fetches of an owner's whole set; doubles while digests keep differing.
    pub refetch_min: Duration,
    /// Where the doubling ends.
    pub refetch_max: Duration,
    /// Rows asked from the driver per snapshot chunk.
    pub chunk_rows: usize,
    /// Snapshot chunks in flight per peer, unacknowledged.
    pub chunk_credit: usize,
    /// After this without an acknowledgement the chunks in flight are sent again.
    pub chunk_retry: Duration,
    /// Own changes kept for repair, in operations.
    pub log_ops: usize,
    /// Own changes kept for repair, in bytes.
    pub log_bytes: usize,
    /// Frames are split before they exceed this, in bytes.
    pub frame_bytes: usize,
    /// Most rows kept per owner's life: the bound on what a peer can make this node store.
    pub rows_per_owner_max: usize,
    /// Unacknowledged signals kept per peer.
    pub signals_max: usize,
    /// Longest payload of one signal, in bytes.
    pub signal_bytes_max: usize,
    /// After this an unacknowledged signal is sent again.
    pub signal_retry: Duration,
}

impl Settings {
    /// The defaults of DESIGN section 8 for this cluster name and these peers.
    pub fn new(cluster: &str, peers: Vec<NodeName>) -> Self {
        Self {
            cluster: cluster.to_owned(),
            peers,
            heartbeat: Duration::from_millis(100),
            suspect_after: Duration::from_millis(500),
            dead_after: Duration::from_secs(1),
            join_grace: Duration::from_secs(2),
            adopt_patience: Duration::from_secs(5),
            need_retry: Duration::from_millis(250),
            refetch_min: Duration::from_secs(1),
            refetch_max: Duration::from_secs(30),
            chunk_rows: 256,
            chunk_credit: 8,
            chunk_retry: Duration::from_millis(300),
            log_ops: 16_384,
            log_bytes: 8 << 20,
            frame_bytes: 60_000,
            rows_per_owner_max: 4_000_000,
            signals_max: 1_024,
            signal_bytes_max: 32_768,
            signal_retry: Duration::from_millis(200),
        }
    }

    /// Checks the relations between the values.
    ///
    /// # Errors
    /// [`ClusterError::Settings`] naming the first relation that does not hold and what would be right.
    pub fn check(&self) -> Result<(), ClusterError> {
        let some = !self.heartbeat.is_zero() && !self.need_retry.is_zero() && !self.chunk_retry.is_zero();
        let rules: [(bool, &str); 10] = [
            (!self.cluster.is_empty(), "the cluster name is empty: give every node the same name"),
            (self.peers.len() < MEMBERS_MAX, "more than 63 peers: a cluster has at most 64 members"),
            (some && !self.signal_retry.is_zero(), "heartbeat and the retry times must be longer than zero"),
            (self.heartbeat * 3 <= self.suspect_after, "suspect_after must be at least three heartbeats"),
            (self.suspect_after < self.dead_after, "suspect_after must be shorter than dead_after"),
            (self.dead_after <= self.join_grace, "join_grace must not be shorter than dead_after"),
            (self.refetch_min <= self.refetch_max, "refetch_min must not exceed refetch_max"),
            (self.chunk_rows > 0 && self.chunk_credit > 0, "chunk_rows and chunk_credit must be at least 1"),
            ((1_000..=1_000_000).contains(&self.frame_bytes), "frame_bytes must be 1,000 to 1,000,000"),
            (
                self.signals_max > 0 && self.signal_bytes_max <= 262_144,
                "signals_max must be at least 1, signal_bytes_max at most 262,144",
            ),
        ];
        match rules.iter().find(|(holds, _)| !holds) {
            Some((_, broken)) => Err(ClusterError::Settings((*broken).to_owned())),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_defaults_hold_and_a_broken_relation_is_named() {
        let good = Settings::new("tandem", Vec::new());
        assert_eq!(good.check(), Ok(()));
        let bad = Settings { suspect_after: Duration::from_secs(1), ..good.clone() };
        assert!(bad.check().is_err_and(|e| e.to_string().contains("shorter than dead_after")));
        assert!(Settings { cluster: String::new(), ..good }.check().is_err());
    }
}
