//! What can be wrong with bytes and settings. Outcomes of the cluster itself (a peer is down, an ask failed) are values, not errors.

/// Errors of this crate.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ClusterError {
    /// The bytes end before the field does.
    #[error("the frame ends in the middle of a field")]
    Truncated,
    /// A length or count is beyond its bound.
    #[error("{what} is {found}, the bound is {bound}")]
    TooMuch {
        /// Which field.
        what: &'static str,
        /// What the frame says.
        found: u64,
        /// What is allowed.
        bound: u64,
    },
    /// The frame has another major version.
    #[error("frame version {found}, this node speaks {expected}")]
    Version {
        /// What the frame says.
        found: u8,
        /// What this node speaks.
        expected: u8,
    },
    /// The frame belongs to another cluster name.
    #[error("the frame belongs to another cluster: the cluster names differ")]
    ForeignCluster,
    /// A field has a value that means nothing.
    #[error("{0} has a value that is not known")]
    Unknown(&'static str),
    /// A row could not be read; for implementers of [`crate::Row`].
    #[error("row: {0}")]
    Row(&'static str),
    /// Settings contradict each other.
    #[error("cluster settings: {0}")]
    Settings(String),
}
