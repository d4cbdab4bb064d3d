//! What the cluster is and does, as answers: nodes, groups, registrations in numbers, the way home, commands to nodes.
//!
//! Words only; fields are only added.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fmt;
use tandem_base::{DeviceName, DevicePoolName, GroupName, Incarnation, NodeName, Rank};

/// The state of a node as somebody sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum NodeState {
    /// Its own process says that it does not run.
    Stopped,
    /// It runs, its copies are not complete yet: it serves nobody.
    Joining,
    /// It serves.
    InService,
    /// It is about to stop and takes nobody new.
    Draining,
    /// Silent, but not for long enough to be dead.
    Suspect,
    /// Dead, or never heard.
    Down,
}
impl NodeState {
    /// All states.
    pub const ALL: [Self; 6] =
        [Self::Stopped, Self::Joining, Self::InService, Self::Draining, Self::Suspect, Self::Down];

    /// The word used in JSON, tables and metrics.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Stopped => "stopped",
            Self::Joining => "joining",
            Self::InService => "in_service",
            Self::Draining => "draining",
            Self::Suspect => "suspect",
            Self::Down => "down",
        }
    }
}
impl fmt::Display for NodeState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.word())
    }
}

/// The cluster at a glance, as one node sees it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Status {
    /// Name of the cluster.
    pub cluster: String,
    /// Revision of the configuration in use; 16 hexadecimal digits in JSON, where a number of 64 bits would lose its last ones.
    #[serde(with = "hexadecimal")]
    #[schemars(with = "String")]
    pub config_revision: u64,
    /// The node whose view this is; none when no node of the process runs.
    #[schemars(with = "Option<String>")]
    pub answered_by: Option<NodeName>,
    /// All nodes of the configuration, in its order.
    pub nodes: Vec<NodeStatus>,
    /// All groups of the configuration, in its order.
    pub groups: Vec<GroupStatus>,
    /// Devices registered in the whole cluster.
    pub registrations: Registrations,
    /// Devices in quarantine in the whole cluster.
    pub quarantined: u64,
}

mod hexadecimal {
    //! 64 bits as text in JSON.
    use serde::{Deserialize, Deserializer, Serializer, de};

    pub(super) fn serialize<S: Serializer>(value: &u64, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(&format_args!("{value:016x}"))
    }
    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<u64, D::Error> {
        u64::from_str_radix(&String::deserialize(from)?, 16).map_err(de::Error::custom)
    }
}

/// One node.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct NodeStatus {
    /// Its name.
    #[schemars(with = "String")]
    pub name: NodeName,
    /// Its own word if it runs in this process, otherwise what the answering node sees.
    pub state: NodeState,
    /// The number of its life; 0 before its first.
    #[schemars(with = "u64")]
    pub incarnation: Incarnation,
    /// Whether the configuration is written there.
    pub publisher: bool,
    /// Revision of its copy of the configuration database; none when that is not known, or there is no database.
    #[serde(default)]
    pub config_revision: Option<u64>,
    /// Changes that its copy lacks against the newest known.
    #[serde(default)]
    pub config_lag: u64,
    /// Devices it serves.
    pub registrations: u64,
    /// Where phones reach it, as `transport:host:port`.
    pub addresses: Vec<String>,
    /// What each node that runs says of this one. Views that differ are a finding.
    #[schemars(with = "BTreeMap<String, NodeState>")]
    pub seen_by: BTreeMap<NodeName, NodeState>,
}

/// One CallManager group.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct GroupStatus {
    /// Its name.
    #[schemars(with = "String")]
    pub name: GroupName,
    /// Its CallManagers, primary first.
    #[schemars(with = "Vec<String>")]
    pub members: Vec<NodeName>,
    /// Devices that belong to it by configuration.
    pub devices: u64,
    /// Devices of the group that each node serves; members that serve none are there with 0.
    #[schemars(with = "BTreeMap<String, u64>")]
    pub by_node: BTreeMap<NodeName, u64>,
    /// When its devices go home: `automatic`, `at-idle` or `manual`, as in the configuration file.
    pub policy: String,
}

/// Registrations in numbers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Registrations {
    /// All.
    pub total: u64,
    /// By the rank of the serving node in the device's group.
    pub by_rank: ByRank,
}

/// A count for each rank; in JSON `{"1": 800, "2": 0, "3": 0}`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ByRank {
    /// At home.
    #[serde(rename = "1")]
    pub first: u64,
    /// At the first backup.
    #[serde(rename = "2")]
    pub second: u64,
    /// At the second backup.
    #[serde(rename = "3")]
    pub third: u64,
}
impl ByRank {
    /// The count at `rank`.
    pub fn get(&self, rank: Rank) -> u64 {
        match rank.get() {
            1 => self.first,
            2 => self.second,
            _ => self.third,
        }
    }
    /// Adds `count` at `rank`.
    pub fn add(&mut self, rank: Rank, count: u64) {
        let field = match rank.get() {
            1 => &mut self.first,
            2 => &mut self.second,
            _ => &mut self.third,
        };
        *field = field.saturating_add(count);
    }
    /// The sum.
    pub fn total(&self) -> u64 {
        self.first.saturating_add(self.second).saturating_add(self.third)
    }
}

/// All groups.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct GroupList {
    /// In the order of the configuration.
    pub groups: Vec<GroupStatus>,
}

/// One group in full.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct GroupDetail {
    /// As in the status.
    #[serde(flatten)]
    pub status: GroupStatus,
    /// Registered devices of the group by rank.
    pub by_rank: ByRank,
    /// Pools that use the group.
    #[schemars(with = "Vec<String>")]
    pub pools: Vec<DevicePoolName>,
    /// How many devices would go where if one member died now: member, then target, then count.
    #[schemars(with = "BTreeMap<String, BTreeMap<String, u64>>")]
    pub if_down: BTreeMap<NodeName, BTreeMap<NodeName, u64>>,
}

/// The return of a group's devices to better members: what would move, and whether it began.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Failback {
    /// The group.
    #[schemars(with = "String")]
    pub group: GroupName,
    /// True when devices are being called home now; false for a preview or when nobody has to move.
    pub started: bool,
    /// Devices that have a better member in service than the one they are at.
    pub would_move: u64,
    /// The same by way.
    pub moves: Vec<Move>,
    /// Some of their names, at most [`super::EXAMPLES_MAX`].
    #[schemars(with = "Vec<String>")]
    pub examples: Vec<DeviceName>,
    /// Why some or all cannot go yet (the returned node is not up for long enough, is not in sync, ...).
    pub waiting_for: Option<String>,
}

/// Devices that go the same way.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Move {
    /// Where they are.
    #[schemars(with = "String")]
    pub from: NodeName,
    /// Where they would go.
    #[schemars(with = "String")]
    pub to: NodeName,
    /// How many.
    pub devices: u64,
}

/// What may be done to a node of the process that answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum NodeCommand {
    /// In good order: it tells its peers, then stops.
    Stop,
    /// As in a crash: at once, without a word to anybody.
    Kill,
    /// A new life.
    Start,
}
impl NodeCommand {
    /// The word used in paths and tables.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Stop => "stop",
            Self::Kill => "kill",
            Self::Start => "start",
        }
    }
    /// From the word used in paths.
    pub fn from_word(word: &str) -> Option<Self> {
        [Self::Stop, Self::Kill, Self::Start].into_iter().find(|c| c.word() == word)
    }
}

/// A node command was carried out.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct NodeDone {
    /// The node.
    #[schemars(with = "String")]
    pub name: NodeName,
    /// What was done.
    pub command: NodeCommand,
    /// Its state now.
    pub state: NodeState,
    /// The number of its life now.
    #[schemars(with = "u64")]
    pub incarnation: Incarnation,
    /// It was so before: nothing was done.
    #[serde(default)]
    pub already: bool,
}
