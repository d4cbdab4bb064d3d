//! The table `[[device_pool]]`: ties devices to exactly one group, and to what else they share.

use super::value::HumanDuration;
use crate::timings::CONNECTION_MONITOR;
use schemars::JsonSchema;
use serde::Deserialize;
use tandem_base::{DevicePoolName, GroupName};

/// Most pools of a cluster.
pub const POOLS_MAX: usize = 10_000;

const fn connection_monitor() -> HumanDuration {
    HumanDuration(CONNECTION_MONITOR)
}

/// `[[device_pool]]`: one device pool.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct DevicePool {
    /// Its name, such as `DP1`.
    #[schemars(with = "String", length(min = 1, max = 64))]
    pub name: DevicePoolName,
    /// For people.
    #[serde(default)]
    pub description: Option<String>,
    /// The CallManager group of its devices.
    #[schemars(with = "String", length(min = 1, max = 64))]
    pub group: GroupName,
    /// How long a returned node must be up and in sync before devices of this pool are called home.
    #[serde(default = "connection_monitor")]
    pub connection_monitor: HumanDuration,
    /// Name of its region.
    #[serde(default)]
    pub region: Option<String>,
    /// Name of its media resource group list.
    #[serde(default)]
    pub media_resource_list: Option<String>,
}
