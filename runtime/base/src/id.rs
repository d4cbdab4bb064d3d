//! Ids that are numbers: ranks, incarnations, stamps, device keys. Two kinds never mix by accident.

use crate::name::NodeName;
use serde::{Deserialize, Serialize};
use std::fmt;

/// Position of the serving node in the device's CallManager group: 1 (home), 2 or 3 (DESIGN section 1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Rank(u8);

impl Rank {
    /// The primary: home.
    pub const HOME: Self = Self(1);
    /// All ranks, best first.
    pub const ALL: [Self; 3] = [Self(1), Self(2), Self(3)];

    /// From the position in the group, counted from 0; `None` beyond the third member.
    pub fn from_position(position: usize) -> Option<Self> {
        Self::ALL.get(position).copied()
    }
    /// From 1, 2 or 3.
    pub fn new(rank: u8) -> Option<Self> {
        Self::from_position(usize::from(rank).checked_sub(1)?)
    }
    /// 1, 2 or 3.
    pub const fn get(self) -> u8 {
        self.0
    }
    /// The position in the group, counted from 0.
    pub fn position(self) -> usize {
        usize::from(self.0).saturating_sub(1)
    }
}
impl fmt::Display for Rank {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Number of a node's life; grows at each start. A message from an older life is refused.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Incarnation(pub u64);
impl fmt::Display for Incarnation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// One life of one node: the owner of rows.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct NodeLife {
    /// Which node.
    pub node: NodeName,
    /// Which of its lives.
    pub incarnation: Incarnation,
}
impl fmt::Display for NodeLife {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}#{}", self.node, self.incarnation)
    }
}

/// Order of registrations across the cluster: a hybrid logical clock. The upper 48 bits are wall-clock milliseconds, the lower 16
/// a counter; a node always stamps above everything it has seen, so "newest" respects cause and effect even when clocks differ.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Stamp(pub u64);

impl Stamp {
    /// The next stamp at wall time `unix_ms`, above `last`.
    #[must_use]
    pub fn next(last: Self, unix_ms: u64) -> Self {
        Self((unix_ms << 16).max(last.0.saturating_add(1)))
    }
    /// The wall-clock milliseconds in it.
    pub const fn unix_millis(self) -> u64 {
        self.0 >> 16
    }
}

/// A device in rows that cross nodes: 128-bit hash of its name, the same on every node (`tandem_model::row::device_key`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct DeviceKey(pub u128);
impl fmt::Display for DeviceKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}
