//! The table `[[group]]`: CallManager groups, ordered lists of one to three nodes (DESIGN section 2).

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::fmt;
use tandem_base::{GroupName, NodeName, Rank};

/// Most members of a group: primary, first and second backup.
pub const MEMBERS_MAX: usize = 3;
/// Most groups of a cluster.
pub const GROUPS_MAX: usize = 1_000;

/// When devices of a group go home.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Failback {
    /// As soon as home is ready, idle devices first. When none is left, devices with a call are told too and go when it has ended.
    #[default]
    Automatic,
    /// As soon as home is ready; a device with a call is told nothing before its end.
    AtIdle,
    /// When an operator says so.
    Manual,
}
impl Failback {
    /// The word in the configuration file.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Automatic => "automatic",
            Self::AtIdle => "at-idle",
            Self::Manual => "manual",
        }
    }
}
impl fmt::Display for Failback {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.word())
    }
}

/// `[[group]]`: one CallManager group.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Group {
    /// Its name, such as `G1`.
    #[schemars(with = "String", length(min = 1, max = 64))]
    pub name: GroupName,
    /// For people.
    #[serde(default)]
    pub description: Option<String>,
    /// One to three different nodes: primary, first backup, second backup.
    #[schemars(with = "Vec<String>", length(min = 1, max = 3))]
    pub members: Vec<NodeName>,
    /// When its devices go home.
    #[serde(default)]
    pub failback: Failback,
}
impl Group {
    /// The rank of a node in this group; `None` when it is not a member.
    pub fn rank(&self, node: &NodeName) -> Option<Rank> {
        Rank::from_position(self.members.iter().position(|m| m == node)?)
    }
}
