//! Devices as answers: their state, lists of them, one in full, why it is where it is.
//!
//! Words only; fields are only added.

use super::{DEVICES_PER_PAGE, DEVICES_PER_PAGE_MAX};
use crate::event::Event;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::fmt;
use tandem_base::{DeviceName, DevicePoolName, DirectoryNumber, GroupName, NodeName, Rank, UnixMillis};

/// The state of a device.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum DeviceState {
    /// Some node serves it.
    Registered,
    /// The node that served it is dead; its last known contact is still used.
    Orphaned,
    /// No node serves it.
    Unregistered,
    /// It is not served because its messages made its actor panic twice; [`super::Request::DeviceRelease`] lets it out.
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

/// Which devices to list. Filters that are given must all match; the list is ordered by device name.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct DeviceQuery {
    /// Only devices of this group.
    #[schemars(with = "Option<String>")]
    pub group: Option<GroupName>,
    /// Only devices of this pool.
    #[schemars(with = "Option<String>")]
    pub pool: Option<DevicePoolName>,
    /// Only devices that this node serves.
    #[schemars(with = "Option<String>")]
    pub node: Option<NodeName>,
    /// Only devices in this state.
    pub state: Option<DeviceState>,
    /// Only devices that have this text in their name or begin one of their numbers with it; letters of either case.
    pub search: Option<String>,
    /// [`DevicePage::next`] of the page before: only devices after this name.
    #[schemars(with = "Option<String>")]
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
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct DevicePage {
    /// Devices by name.
    pub devices: Vec<DeviceEntry>,
    /// The cursor of the next page; none on the last.
    #[schemars(with = "Option<String>")]
    pub next: Option<DeviceName>,
}

/// One device in a list.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct DeviceEntry {
    /// Its name.
    #[schemars(with = "String")]
    pub name: DeviceName,
    /// Its device pool.
    #[schemars(with = "String")]
    pub pool: DevicePoolName,
    /// The pool's group.
    #[schemars(with = "String")]
    pub group: GroupName,
    /// `phone`, `gateway`, ..., as in the configuration file.
    pub kind: String,
    /// Its directory numbers.
    #[schemars(with = "Vec<String>")]
    pub lines: Vec<DirectoryNumber>,
    /// Whether it is served.
    pub state: DeviceState,
    /// The node that serves it, or that served it when it is orphaned.
    #[schemars(with = "Option<String>")]
    pub node: Option<NodeName>,
    /// The rank of that node in the group.
    #[schemars(with = "Option<u8>")]
    pub rank: Option<Rank>,
    /// Since when that node serves it.
    #[schemars(with = "Option<u64>")]
    pub since: Option<UnixMillis>,
    /// Where it is reached.
    pub contact: Option<String>,
}

/// One device in full.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct DeviceDetail {
    /// As in a list.
    #[serde(flatten)]
    pub entry: DeviceEntry,
    /// The members of its group, primary first.
    #[schemars(with = "Vec<String>")]
    pub members: Vec<NodeName>,
    /// `udp`, `tcp`, ...
    pub transport: Option<String>,
    /// The address that its last message came from.
    pub source: Option<String>,
    /// When its registration ends unless it is refreshed.
    #[schemars(with = "Option<u64>")]
    pub expires: Option<UnixMillis>,
    /// Why it is where it is, in a bounded word such as `failover`.
    pub last_reason: Option<String>,
    /// Where and since when it is in quarantine, if it is.
    #[serde(default)]
    pub quarantine: Option<InQuarantine>,
}

/// A device that no node serves because its messages made its actor panic twice.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct InQuarantine {
    /// The node where it panicked last.
    #[schemars(with = "String")]
    pub node: NodeName,
    /// When that was.
    #[schemars(with = "u64")]
    pub since: UnixMillis,
}

/// Why a device is where it is.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct DeviceExplanation {
    /// Its name.
    #[schemars(with = "String")]
    pub name: DeviceName,
    /// Its group.
    #[schemars(with = "String")]
    pub group: GroupName,
    /// The best member of its group that is in service; none when none is.
    #[schemars(with = "Option<String>")]
    pub desired_node: Option<NodeName>,
    /// The node that serves it.
    #[schemars(with = "Option<String>")]
    pub actual_node: Option<NodeName>,
    /// The rank of that node in the group.
    #[schemars(with = "Option<u8>")]
    pub rank: Option<Rank>,
    /// Since when that node serves it.
    #[schemars(with = "Option<u64>")]
    pub since: Option<UnixMillis>,
    /// Why, in a bounded word.
    pub last_reason: Option<String>,
    /// The whole story in one sentence for people.
    pub sentence: String,
    /// The last events of this device, oldest first, at most [`super::HISTORY_MAX`].
    pub history: Vec<Event>,
}

/// A device was let out of quarantine.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Released {
    /// Its name.
    #[schemars(with = "String")]
    pub device: DeviceName,
    /// False when it was not in quarantine.
    pub released: bool,
}

/// A device was told to register anew.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct DeviceReset {
    /// Its name.
    #[schemars(with = "String")]
    pub device: DeviceName,
    /// The node that served it and told it; none when no node did, and then nothing was done.
    #[schemars(with = "Option<String>")]
    pub node: Option<NodeName>,
}
