//! THE schema: one TOML file describes a cluster. One file of this folder per table; this one puts them together.
//!
//! Reading reports everything that is wrong at once, with line, reason and the nearest right name. Rules of DESIGN section 2, "Groups
//! and devices", hold for every [`Config`] that exists. It must never read the disk: the text is handed in.

mod check;
mod cluster;
mod device;
mod device_pool;
pub mod directory_number;
mod group;
mod identity;
mod link_address;
mod node;
mod problem;
mod read;
mod report;
pub mod rows;
mod settings;
mod value;

pub use cluster::Cluster;
pub use device::{Credential, DEVICES_MAX, Device, DeviceKind, DeviceSeries, DeviceSpec, LINES_MAX};
pub use device_pool::{DevicePool, POOLS_MAX};
pub use group::{Failback, GROUPS_MAX, Group, MEMBERS_MAX};
pub use link_address::LinkAddress;
pub use node::{ADDRESSES_MAX, NODES_MAX, Node, SIP_PORT};
pub use problem::{PROBLEMS_MAX, Problem, Problems};
pub use settings::{Algorithm, MultipleContacts, Settings};
pub use value::{Addresses, HumanDuration, Secret};

use schemars::JsonSchema;
use std::fmt;
use std::sync::Arc;
use tandem_base::{DevicePoolName, GroupName, NodeName};

/// Longest file that is read, in bytes.
pub const FILE_BYTES_MAX: usize = 256 << 20;

/// A configuration that holds all rules. Made by [`Config::parse`] only; order is that of the file.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Config {
    /// `[cluster]`.
    pub cluster: Cluster,
    /// `[[node]]`, at least one.
    pub nodes: Vec<Node>,
    /// `[[group]]`.
    pub groups: Vec<Group>,
    /// `[[device_pool]]`.
    pub pools: Vec<DevicePool>,
    /// `[[device]]`.
    pub devices: Vec<Device>,
    /// `[[device_series]]`.
    pub series: Vec<DeviceSeries>,
    /// `[settings]`.
    pub settings: Settings,
    /// What is allowed but unwise, such as a group without a backup.
    pub warnings: Vec<Problem>,
    /// Hash of the file's text: equal files have equal revisions.
    pub revision: u64,
    /// The file that it was read from; none when it was made of rows.
    pub source: Option<Source>,
    /// The pool of each device and then of each series, as an index into `pools`.
    pool_of_row: Vec<u16>,
    /// The group of each pool, as an index into `groups`.
    group_of_pool: Vec<u16>,
    /// Index of the publisher in `nodes`.
    publisher: usize,
}

/// A configuration file as it was read. `Debug` does not show its text: there are passwords in it.
#[derive(Clone, PartialEq, Eq)]
pub struct Source {
    /// Its name for messages.
    pub file: Arc<str>,
    /// Its text.
    pub text: Arc<str>,
}
impl fmt::Debug for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Source").field("file", &self.file).finish_non_exhaustive()
    }
}

impl Config {
    /// Reads a file's text. `file` is its name for messages.
    ///
    /// # Errors
    /// [`Problems`]: everything that is wrong, each with its line.
    pub fn parse(file: &str, text: &str) -> Result<Self, Problems> {
        let source = Source { file: Arc::from(file), text: Arc::from(text) };
        read::parse(file, text).map(|config| Self { source: Some(source), ..config })
    }

    /// Every device: rows of their own first, then the series, one after the other. Made while you look: nothing is kept.
    pub fn devices(&self) -> impl Iterator<Item = DeviceSpec<'_>> + '_ {
        let (own, series) = self.pool_of_row.split_at_checked(self.devices.len()).unwrap_or_default();
        let own = self.devices.iter().zip(own).map(|(device, pool)| device.spec(*pool));
        let series = self.series.iter().zip(series);
        own.chain(series.flat_map(|(series, pool)| (0..series.count).map(|offset| series.spec(offset, *pool))))
    }
    /// How many devices [`Config::devices`] gives.
    pub fn device_count(&self) -> u64 {
        self.series.iter().fold(self.devices.len() as u64, |sum, s| sum.saturating_add(s.count))
    }
    /// The node on which the configuration is written, as an index into `nodes`.
    pub const fn publisher(&self) -> usize {
        self.publisher
    }
    /// The node on which the configuration is written.
    pub fn publisher_name(&self) -> Option<&NodeName> {
        self.nodes.get(self.publisher).map(|n| &n.name)
    }
    /// The group of a pool, both as indexes.
    pub fn group_of_pool(&self, pool: u16) -> Option<u16> {
        self.group_of_pool.get(usize::from(pool)).copied()
    }
    /// Whether its nodes meet over the network: they have `link` addresses, and then all have.
    pub fn is_on_several_hosts(&self) -> bool {
        self.nodes.iter().any(|n| n.link.is_some())
    }
    /// A node by name, as an index.
    pub fn node_index(&self, name: &NodeName) -> Option<usize> {
        self.nodes.iter().position(|n| n.name == *name)
    }
    /// A group by name, as an index.
    pub fn group_index(&self, name: &GroupName) -> Option<usize> {
        self.groups.iter().position(|g| g.name == *name)
    }
    /// A pool by name, as an index.
    pub fn pool_index(&self, name: &DevicePoolName) -> Option<usize> {
        self.pools.iter().position(|p| p.name == *name)
    }
}

/// The whole file, for its JSON Schema.
#[derive(JsonSchema)]
#[schemars(title = "Tandem cluster configuration", deny_unknown_fields)]
#[expect(dead_code, reason = "read only by the derived schema")]
struct File {
    cluster: Cluster,
    node: Vec<Node>,
    #[schemars(default)]
    group: Vec<Group>,
    #[schemars(default)]
    device_pool: Vec<DevicePool>,
    #[schemars(default)]
    device: Vec<Device>,
    #[schemars(default)]
    device_series: Vec<DeviceSeries>,
    #[schemars(default)]
    settings: Settings,
}

/// The JSON Schema of the file, for editors and provisioning tools.
pub fn json_schema() -> serde_json::Value {
    schemars::schema_for!(File).to_value()
}
