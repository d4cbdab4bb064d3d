//! The words of the admin API: what may be asked of a running cluster and what it answers, for console, command line and page.
//!
//! Free of SIP words, so that other kinds of phone need no new words. Every answer is sent as [`Versioned`] (`"api": 1`); within a
//! version fields are only added. Moments are milliseconds since 1970 (UTC). It must never hold a password or a token.

pub mod config;
mod device;
mod error;
mod problem;
mod scope;
mod status;

pub use device::{
    DeviceDetail, DeviceEntry, DeviceExplanation, DevicePage, DeviceQuery, DeviceReset, DeviceState, InQuarantine,
    Released,
};
pub use error::{AdminError, ErrorKind, nearest};
pub use problem::{PROBLEM_JSON, ProblemDocument};
pub use scope::Scope;
pub use status::{
    ByRank, Failback, GroupDetail, GroupList, GroupStatus, Move, NodeCommand, NodeDone, NodeState, NodeStatus,
    Registrations, Status,
};

use crate::event::Event;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::PathBuf;
use tandem_base::{DeviceName, GroupName, NodeName};

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
    /// Has a device register anew, where it should be; [`Reply::Reset`].
    DeviceReset(DeviceName),
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
    Reset(DeviceReset),
    Groups(GroupList),
    Group(GroupDetail),
    Failback(Failback),
    Node(NodeDone),
    Config(config::ConfigReply),
}

/// A page of events.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
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
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Health {
    /// It makes progress.
    pub healthy: bool,
    /// At least one of its nodes takes devices.
    pub ready: bool,
    /// The state of each of its nodes.
    #[schemars(with = "BTreeMap<String, NodeState>")]
    pub nodes: BTreeMap<NodeName, NodeState>,
}

#[cfg(test)]
mod tests;
