//! Why connections between processes and between hosts end: one list for both kinds of link, because operators read one metric.
//!
//! The numbers of the endings go over the wire: they are never changed, new ones come at the end.

use tandem_cluster::link::DownWhy;

/// Why a connection ended or did not come about. The labels of the metric.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Ending {
    /// The peer is gone: its node or process ended.
    Closed,
    /// The kernel broke it.
    Broken,
    /// A newer connection of the same node took its place.
    Replaced,
    /// The peer took no byte for too long.
    Stalled,
    /// It ended within a frame.
    CutShort,
    /// A frame that is none.
    BadFrame,
    /// A frame over the bound.
    TooLong,
    /// What spoke first was no node.
    NotHello,
    /// No hello in time.
    Silent,
    /// No version of this link in common.
    Version,
    /// A node of another cluster.
    Cluster,
    /// A node that is not configured, or not the one that was dialled.
    Stranger,
    /// An older life of the node.
    Older,
    /// A process of another user.
    User,
    /// Too many that have not said who they are.
    TooMany,
}

impl Ending {
    /// Every ending, in the order of their numbers.
    pub const ALL: [Self; 15] = [
        Self::Closed,
        Self::Broken,
        Self::Replaced,
        Self::Stalled,
        Self::CutShort,
        Self::BadFrame,
        Self::TooLong,
        Self::NotHello,
        Self::Silent,
        Self::Version,
        Self::Cluster,
        Self::Stranger,
        Self::Older,
        Self::User,
        Self::TooMany,
    ];
    /// As it stands in metrics.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Closed => "closed",
            Self::Broken => "broken",
            Self::Replaced => "replaced",
            Self::Stalled => "stalled",
            Self::CutShort => "cut_short",
            Self::BadFrame => "bad_frame",
            Self::TooLong => "too_long",
            Self::NotHello => "not_hello",
            Self::Silent => "silent",
            Self::Version => "version",
            Self::Cluster => "cluster",
            Self::Stranger => "stranger",
            Self::Older => "older",
            Self::User => "user",
            Self::TooMany => "too_many",
        }
    }
    /// What the node is told of a peer whose connection ended so.
    pub(super) const fn down(self) -> DownWhy {
        match self {
            Self::Closed | Self::Broken | Self::CutShort | Self::Replaced => DownWhy::Closed,
            _ => DownWhy::Lost,
        }
    }
}
