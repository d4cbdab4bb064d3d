//! The words of the admin API: what may be asked of a running cluster and what it answers, for console, command line and page.
//!
//! Free of SIP words, so that other kinds of phone need no new words. Every answer is sent as [`Versioned`] (`"api": 1`); within a
//! version fields are only added. Moments are milliseconds since 1970 (UTC). It must never hold a password or a token.

pub mod config;
mod error;

pub use error::{AdminError, ErrorBody, ErrorKind, nearest};

use crate::event::Event;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;
use tandem_base::{DeviceName, DevicePoolName, DirectoryNumber, GroupName, Incarnation, NodeName, Rank, UnixMillis};

/// Version of these words.
pub const API: u32 = 1;
/// Devices on one page of a list; who asks for more gets this many.
pub const DEVICES_PER_PAGE_MAX: usize = 1_000;
/// Devices on one page when nobody says how many.
pub const DEVICES_PER_PAGE: usize = 100;
/// Events on one page; who asks for more gets this many.
pub const EVENTS_PER_PAGE_MAX: usize = 1_000;
/// Entries of a device's history in [`DeviceExplanation`].
pub const HISTORY_MAX: usize = 50;
/// Device names given as examples in [`Failback`].
pub const EXAMPLES_MAX: usize = 10;
/// Name of the file in the state folder that says where a running process is controlled: a [`ControlFile`] as JSON.
pub const CONTROL_FILE: &str = "control.json";
/// Usual name of the file in the state folder that holds the bearer token, readable by its owner only (0600).
pub const TOKEN_FILE: &str = "control.token";

/// An answer with the version of its words: the fields of `body` with `"api": 1` beside them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Versioned<T> {
    /// [`API`].
    pub api: u32,
    /// The answer.
    #[serde(flatten)]
    pub body: T,
}
impl<T> Versioned<T> {
    /// `body` in today's version.
    pub const fn new(body: T) -> Self {
        Self { api: API, body }
    }
}

/// Where a running process is controlled; written at its start, removed at its end ([`CONTROL_FILE`]).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ControlFile {
    /// Host and port, such as `127.0.0.1:7060`.
    pub address: String,
    /// Where the bearer token is.
    pub token_file: PathBuf,
    /// Process id, to tell a file left behind by a crash.
    pub pid: u32,
    /// The nodes that it runs.
    #[serde(default)]
    pub nodes: Vec<NodeName>,
}

/// What may be asked. Events are not here: they are read from the process's journal, see `tandem_console::Admin`.
#[derive(Clone, Debug, PartialEq)]
pub enum Request {
    /// The cluster at a glance; answered by [`Reply::Status`].
    Status,
    /// A page of devices; [`Reply::Devices`].
    DeviceList(DeviceQuery),
    /// One device; [`Reply::Device`].
    DeviceShow(DeviceName),
    /// Why a device is where it is; [`Reply::Explanation`].
    DeviceExplain(DeviceName),
    /// Lets a device out of quarantine; [`Reply::Released`].
    DeviceRelease(DeviceName),
    /// All CallManager groups; [`Reply::Groups`].
    GroupList,
    /// One group; [`Reply::Group`].
    GroupShow(GroupName),
    /// Starts the return of a group's devices to better members, or says who would move; [`Reply::Failback`].
    Failback {
        /// Which group.
        group: GroupName,
        /// Move nothing, only say what would move.
        preview: bool,
    },
    /// The configuration database; [`Reply::Config`]. Boxed: it may hold a whole file.
    Config(Box<config::ConfigRequest>),
    /// Stops, kills or starts a node of this process; [`Reply::Node`].
    Node {
        /// Which node.
        name: NodeName,
        /// What to do with it.
        command: NodeCommand,
    },
}

/// What was answered, one for each [`Request`].
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(untagged)]
#[expect(missing_docs, reason = "each is the type in it")]
pub enum Reply {
    Status(Status),
    Devices(DevicePage),
    Device(DeviceDetail),
    Explanation(DeviceExplanation),
    Released(Released),
    Groups(GroupList),
    Group(GroupDetail),
    Failback(Failback),
    Node(NodeDone),
    Config(config::ConfigReply),
}

/// The state of a node as somebody sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
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

/// The state of a device.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DeviceState {
    /// Some node serves it.
    Registered,
    /// The node that served it is dead; its last known contact is still used.
    Orphaned,
    /// No node serves it.
    Unregistered,
    /// It is not served because its messages made its actor panic twice; [`Request::DeviceRelease`] lets it out.
    Quarantined,
}
impl DeviceState {
    /// All states.
    pub const ALL: [Self; 4] = [Self::Registered, Self::Orphaned, Self::Unregistered, Self::Quarantined];

    /// The word used in JSON, tables and queries.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Registered => "registered",
            Self::Orphaned => "orphaned",
            Self::Unregistered => "unregistered",
            Self::Quarantined => "quarantined",
        }
    }
}
impl fmt::Display for DeviceState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.word())
    }
}

/// The cluster at a glance, as one node sees it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Status {
    /// Name of the cluster.
    pub cluster: String,
    /// Revision of the configuration in use; 16 hexadecimal digits in JSON, where a number of 64 bits would lose its last ones.
    #[serde(with = "hexadecimal")]
    pub config_revision: u64,
    /// The node whose view this is; none when no node of the process runs.
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
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct NodeStatus {
    /// Its name.
    pub name: NodeName,
    /// Its own word if it runs in this process, otherwise what the answering node sees.
    pub state: NodeState,
    /// The number of its life; 0 before its first.
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
    pub seen_by: BTreeMap<NodeName, NodeState>,
}

/// One CallManager group.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct GroupStatus {
    /// Its name.
    pub name: GroupName,
    /// Its CallManagers, primary first.
    pub members: Vec<NodeName>,
    /// Devices that belong to it by configuration.
    pub devices: u64,
    /// Devices of the group that each node serves; members that serve none are there with 0.
    pub by_node: BTreeMap<NodeName, u64>,
    /// When its devices go home: `automatic`, `at-idle` or `manual`, as in the configuration file.
    pub policy: String,
}

/// Registrations in numbers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Registrations {
    /// All.
    pub total: u64,
    /// By the rank of the serving node in the device's group.
    pub by_rank: ByRank,
}

/// A count for each rank; in JSON `{"1": 800, "2": 0, "3": 0}`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
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

/// Which devices to list. Filters that are given must all match; the list is ordered by device name.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct DeviceQuery {
    /// Only devices of this group.
    pub group: Option<GroupName>,
    /// Only devices of this pool.
    pub pool: Option<DevicePoolName>,
    /// Only devices that this node serves.
    pub node: Option<NodeName>,
    /// Only devices in this state.
    pub state: Option<DeviceState>,
    /// Only devices that have this text in their name or begin one of their numbers with it; letters of either case.
    pub search: Option<String>,
    /// [`DevicePage::next`] of the page before: only devices after this name.
    pub cursor: Option<DeviceName>,
    /// Devices wanted, [`DEVICES_PER_PAGE`] if not given, at most [`DEVICES_PER_PAGE_MAX`].
    pub limit: Option<usize>,
}
impl DeviceQuery {
    /// How many devices the page may have, within bounds.
    pub fn page_size(&self) -> usize {
        self.limit.unwrap_or(DEVICES_PER_PAGE).clamp(1, DEVICES_PER_PAGE_MAX)
    }
}

/// A page of devices.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct DevicePage {
    /// Devices by name.
    pub devices: Vec<DeviceEntry>,
    /// The cursor of the next page; none on the last.
    pub next: Option<DeviceName>,
}

/// One device in a list.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct DeviceEntry {
    /// Its name.
    pub name: DeviceName,
    /// Its device pool.
    pub pool: DevicePoolName,
    /// The pool's group.
    pub group: GroupName,
    /// `phone`, `gateway`, ..., as in the configuration file.
    pub kind: String,
    /// Its directory numbers.
    pub lines: Vec<DirectoryNumber>,
    /// Whether it is served.
    pub state: DeviceState,
    /// The node that serves it, or that served it when it is orphaned.
    pub node: Option<NodeName>,
    /// The rank of that node in the group.
    pub rank: Option<Rank>,
    /// Since when that node serves it.
    pub since: Option<UnixMillis>,
    /// Where it is reached.
    pub contact: Option<String>,
}

/// One device in full.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct DeviceDetail {
    /// As in a list.
    #[serde(flatten)]
    pub entry: DeviceEntry,
    /// The members of its group, primary first.
    pub members: Vec<NodeName>,
    /// `udp`, `tcp`, ...
    pub transport: Option<String>,
    /// The address that its last message came from.
    pub source: Option<String>,
    /// When its registration ends unless it is refreshed.
    pub expires: Option<UnixMillis>,
    /// Why it is where it is, in a bounded word such as `failover`.
    pub last_reason: Option<String>,
    /// Where and since when it is in quarantine, if it is.
    #[serde(default)]
    pub quarantine: Option<InQuarantine>,
}

/// A device that no node serves because its messages made its actor panic twice.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct InQuarantine {
    /// The node where it panicked last.
    pub node: NodeName,
    /// When that was.
    pub since: UnixMillis,
}

/// Why a device is where it is.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct DeviceExplanation {
    /// Its name.
    pub name: DeviceName,
    /// Its group.
    pub group: GroupName,
    /// The best member of its group that is in service; none when none is.
    pub desired_node: Option<NodeName>,
    /// The node that serves it.
    pub actual_node: Option<NodeName>,
    /// The rank of that node in the group.
    pub rank: Option<Rank>,
    /// Since when that node serves it.
    pub since: Option<UnixMillis>,
    /// Why, in a bounded word.
    pub last_reason: Option<String>,
    /// The whole story in one sentence for people.
    pub sentence: String,
    /// The last events of this device, oldest first, at most [`HISTORY_MAX`].
    pub history: Vec<Event>,
}

/// A device was let out of quarantine.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Released {
    /// Its name.
    pub device: DeviceName,
    /// False when it was not in quarantine.
    pub released: bool,
}

/// All groups.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct GroupList {
    /// In the order of the configuration.
    pub groups: Vec<GroupStatus>,
}

/// One group in full.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct GroupDetail {
    /// As in the status.
    #[serde(flatten)]
    pub status: GroupStatus,
    /// Registered devices of the group by rank.
    pub by_rank: ByRank,
    /// Pools that use the group.
    pub pools: Vec<DevicePoolName>,
    /// How many devices would go where if one member died now: member, then target, then count.
    pub if_down: BTreeMap<NodeName, BTreeMap<NodeName, u64>>,
}

/// The return of a group's devices to better members: what would move, and whether it began.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Failback {
    /// The group.
    pub group: GroupName,
    /// True when devices are being called home now; false for a preview or when nobody has to move.
    pub started: bool,
    /// Devices that have a better member in service than the one they are at.
    pub would_move: u64,
    /// The same by way.
    pub moves: Vec<Move>,
    /// Some of their names, at most [`EXAMPLES_MAX`].
    pub examples: Vec<DeviceName>,
    /// Why some or all cannot go yet (the returned node is not up for long enough, is not in sync, ...).
    pub waiting_for: Option<String>,
}

/// Devices that go the same way.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Move {
    /// Where they are.
    pub from: NodeName,
    /// Where they would go.
    pub to: NodeName,
    /// How many.
    pub devices: u64,
}

/// What may be done to a node of the process that answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
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
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodeDone {
    /// The node.
    pub name: NodeName,
    /// What was done.
    pub command: NodeCommand,
    /// Its state now.
    pub state: NodeState,
    /// The number of its life now.
    pub incarnation: Incarnation,
    /// It was so before: nothing was done.
    #[serde(default)]
    pub already: bool,
}

/// A page of events.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct EventPage {
    /// Oldest first.
    pub events: Vec<Event>,
    /// Ask for events after this number next.
    pub next: u64,
    /// Number of the journal's last event when this was answered; `next` has reached it when there was no more.
    pub last: u64,
    /// Events that were asked for and are gone, because the journal is bounded.
    pub lost: u64,
    /// True when the number asked for lies ahead of the journal: the process was started anew, and this begins at its first event.
    pub restarted: bool,
}

/// Whether a process is well, for `/healthz` and `/readyz`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Health {
    /// It makes progress.
    pub healthy: bool,
    /// At least one of its nodes takes devices.
    pub ready: bool,
    /// The state of each of its nodes.
    pub nodes: BTreeMap<NodeName, NodeState>,
}

#[cfg(test)]
mod tests;
