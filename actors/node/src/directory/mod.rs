//! The configuration compiled for speed: one compact record per device. A change makes a new directory that shares all but what changed with
//! the one before, so whoever holds one sees it whole and unchanged.
//!
//! Numbers of devices, pools, groups and nodes come from the [`Interner`] of the process: they mean the same in every directory made with it.
//! It must never be written on the hot path.

mod apply;
mod base;
mod build;
mod effects;
mod interner;
mod patch;

pub use effects::{Applied, Effects, NeedsRebuild};
pub use interner::{DEVICES_TOLD_APART, Interner};

use crate::locator::{Alias, DeviceIndex};
use base::Base;
use patch::{Patch, Patched};
use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tandem_base::{DeviceKey, DeviceName, DevicePoolName, GroupName, NodeName, Rank};
use tandem_model::config::{DeviceKind, Failback, Settings};
use tandem_model::row::{device_key_of, device_key_of_bytes};
use tandem_rules::impact::Place;
use tandem_sip::digest::{Ha1, Stored};

/// A CallManager group, compiled.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Group {
    /// Its name.
    pub name: GroupName,
    /// Its members as indexes into [`Directory::nodes`], best first.
    pub members: Vec<u16>,
    /// When its devices go home.
    pub failback: Failback,
    /// Whether it is gone: its number stays its own.
    pub gone: bool,
}

/// A device pool, compiled.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pool {
    /// Its name.
    pub name: DevicePoolName,
    /// Its group, as an index into [`Directory::groups`].
    pub group: u16,
    /// How long a returned node must be up and in sync before devices of this pool are called home.
    pub monitor: Duration,
    /// Whether it is gone: its number stays its own.
    pub gone: bool,
}

/// Which state of the configuration a directory is. Equal ones are the same configuration.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Mark {
    /// Number of the last change; of a configuration that is a file, a hash of its text.
    pub revision: u64,
    /// Digest of all rows; 0 for a file.
    pub digest: u128,
}

/// A device while a directory is made.
#[derive(Clone)]
struct Entry<'a> {
    name: &'a str,
    user: &'a str,
    lines: Lines<'a>,
    kind: DeviceKind,
    pool: u16,
    stored: Stored,
}

impl Entry<'_> {
    fn equals(&self, other: &Entry<'_>) -> bool {
        let same = (self.name, self.user, self.kind, self.pool) == (other.name, other.user, other.kind, other.pool);
        same && self.stored == other.stored && self.lines.clone().eq(other.lines.clone())
    }
}

/// The numbers of a device, wherever they stand.
#[derive(Clone)]
enum Lines<'a> {
    Given(std::slice::Iter<'a, tandem_base::DirectoryNumber>),
    Held(Vec<&'a str>),
}
impl<'a> Iterator for Lines<'a> {
    type Item = &'a str;
    fn next(&mut self) -> Option<&'a str> {
        match self {
            Self::Given(lines) => lines.next().map(|l| l.as_str()),
            Self::Held(lines) => (!lines.is_empty()).then(|| lines.remove(0)),
        }
    }
}

/// See the module.
#[derive(Clone)]
pub struct Directory {
    /// Cluster name; that of the process's start.
    pub cluster: Arc<str>,
    /// Digest realm, likewise.
    pub realm: Arc<str>,
    /// Which state of the configuration it is.
    pub mark: Mark,
    /// Nodes by their numbers. One that is configured no more keeps its place for the life of the process.
    pub nodes: Arc<[NodeName]>,
    /// Which of them are configured no more.
    nodes_gone: Arc<[bool]>,
    /// Where each node takes SIP over UDP and over TCP, in the order of `nodes`.
    pub addresses: Arc<[[Vec<SocketAddr>; 2]]>,
    /// Which of them is the publisher.
    pub publisher: u16,
    /// Groups by their numbers, those that are gone included: see [`Directory::live_groups`].
    pub groups: Arc<[Group]>,
    /// Pools by their numbers, those that are gone included: see [`Directory::live_pools`].
    pub pools: Arc<[Pool]>,
    /// The configuration without its devices.
    pub settings: Arc<Settings>,
    /// Whoever changes the configuration has it from here.
    interner: Arc<Interner>,
    base: Arc<Base>,
    /// What has changed since the base was made; mostly nothing.
    patch: Option<Box<Patch>>,
    /// Devices by pool.
    devices_by_pool: Vec<u32>,
    /// Why some of the configuration is not in it, if so.
    names_left_out: bool,
}

impl fmt::Debug for Directory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Directory").field("mark", &self.mark).field("devices", &self.len()).finish_non_exhaustive()
    }
}

impl Directory {
    /// How many devices there are.
    pub fn len(&self) -> usize {
        self.devices_by_pool.iter().map(|n| *n as usize).sum()
    }
    /// Whether there is no device.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
    /// The numbers of all devices are below this.
    pub fn bound(&self) -> u32 {
        self.patch.as_ref().map_or(0, |p| p.bound()).max(self.base.bound())
    }
    /// All devices, by number.
    pub fn devices(&self) -> impl Iterator<Item = DeviceIndex> + '_ {
        (0..self.bound()).map(DeviceIndex).filter(|d| self.has(*d))
    }
    /// The groups that there are.
    pub fn live_groups(&self) -> impl Iterator<Item = (u16, &Group)> + Clone + '_ {
        (0u16..).zip(self.groups.iter()).filter(|(_, g)| !g.gone)
    }
    /// The pools that there are.
    pub fn live_pools(&self) -> impl Iterator<Item = (u16, &Pool)> + Clone + '_ {
        (0u16..).zip(self.pools.iter()).filter(|(_, p)| !p.gone)
    }
    /// The pools of a group.
    pub fn pools_of(&self, group: u16) -> impl Iterator<Item = (u16, &Pool)> + Clone + '_ {
        self.live_pools().filter(move |(_, p)| p.group == group)
    }
    /// Devices of a pool.
    pub fn devices_of_pool(&self, pool: u16) -> u32 {
        self.devices_by_pool.get(usize::from(pool)).copied().unwrap_or(0)
    }
    /// Devices of a group.
    pub fn devices_of_group(&self, group: u16) -> u64 {
        self.pools_of(group).map(|(pool, _)| u64::from(self.devices_of_pool(pool))).sum()
    }

    /// What is known of a device since the base was made: `None`, ask the base.
    fn patched(&self, device: DeviceIndex) -> Option<Option<&Patched>> {
        self.patch.as_ref()?.device(device)
    }
    /// What a name, digest user or number stands for.
    pub fn find(&self, text: &[u8]) -> Option<Alias> {
        self.find_alias(device_key_of_bytes(text))
    }
    /// The same for the key of such a text.
    pub fn find_alias(&self, key: DeviceKey) -> Option<Alias> {
        if let Some(patch) = &self.patch
            && let Some(now) = patch.alias(key)
        {
            return now;
        }
        self.base.alias(key)
    }
    /// Every device that a name, digest user or number stands for, by number; none when nobody has it.
    pub fn devices_of(&self, text: &[u8]) -> Vec<DeviceIndex> {
        self.holders(device_key_of_bytes(text))
    }
    fn holders(&self, key: DeviceKey) -> Vec<DeviceIndex> {
        if let Some(holders) = self.patch.as_ref().and_then(|p| p.holders(key)) {
            return holders.to_vec();
        }
        match self.base.alias(key) {
            Some(Alias::Device(device)) => vec![device],
            Some(Alias::Shared) => self.base.holders(key).to_vec(),
            None => Vec::new(),
        }
    }
    /// The device of a row.
    pub fn find_key(&self, key: DeviceKey) -> Option<DeviceIndex> {
        match self.find_alias(key)? {
            Alias::Device(device) => Some(device),
            Alias::Shared => None,
        }
    }
    /// Whether there is such a device.
    pub fn has(&self, device: DeviceIndex) -> bool {
        self.patched(device).map_or_else(|| self.base.has(device), |now| now.is_some())
    }
    /// The key of a device in rows.
    pub fn key(&self, device: DeviceIndex) -> DeviceKey {
        device_key_of(self.name_text(device))
    }
    /// Its name as text; empty when there is no such device.
    pub fn name_text(&self, device: DeviceIndex) -> &str {
        match self.patched(device) {
            None => self.base.name(device),
            Some(now) => now.map_or("", |d| &d.name),
        }
    }
    /// Its name.
    pub fn name(&self, device: DeviceIndex) -> Option<DeviceName> {
        DeviceName::new(self.name_text(device)).ok()
    }
    /// Its digest user.
    pub fn user(&self, device: DeviceIndex) -> &str {
        match self.patched(device) {
            None => self.base.user(device),
            Some(now) => now.map_or("", |d| &d.user),
        }
    }
    /// Its stored hashes; nobody's when there is no such device.
    pub fn credentials(&self, device: DeviceIndex) -> Stored {
        match self.patched(device) {
            None => self.base.stored(device),
            Some(now) => now.map_or(Stored::UNKNOWN, |d| d.stored),
        }
    }
    /// Reads a little of what a check of this device's credentials needs, so that it is at hand when the check comes.
    pub fn touch(&self, device: DeviceIndex) -> u64 {
        match self.patched(device) {
            None => self.base.touch(device),
            Some(now) => now.map_or(0, |d| u64::from(matches!(d.stored.md5, Some(Ha1::Md5([1, ..]))))),
        }
    }
    /// How long a nonce may be used, in seconds.
    pub fn nonce_lifetime_secs(&self) -> u32 {
        u32::try_from(self.settings.nonce_lifetime.0.as_secs()).unwrap_or(u32::MAX)
    }
    /// Its kind.
    pub fn kind(&self, device: DeviceIndex) -> Option<DeviceKind> {
        self.patched(device).map_or_else(|| self.base.kind(device), |now| now.map(|d| d.kind))
    }
    /// Its pool.
    pub fn pool_of(&self, device: DeviceIndex) -> Option<u16> {
        self.patched(device).map_or_else(|| self.base.pool(device), |now| now.map(|d| d.pool))
    }
    /// Its group.
    pub fn group_of(&self, device: DeviceIndex) -> Option<u16> {
        Some(self.pools.get(usize::from(self.pool_of(device)?))?.group)
    }
    /// Its directory numbers.
    pub fn lines_of(&self, device: DeviceIndex) -> impl Iterator<Item = &str> + Clone + '_ {
        let patched = self.patched(device);
        let base = patched.is_none().then(|| self.base.lines_of(device)).into_iter().flatten();
        let now = patched.flatten().map_or(&[][..], |d| &d.lines);
        base.chain(now.iter().map(|line| &**line))
    }
    /// Whether a number is one of its lines.
    pub fn has_line(&self, device: DeviceIndex, number: &[u8]) -> bool {
        self.lines_of(device).any(|l| l.as_bytes() == number)
    }
    /// All of a device, to put it elsewhere.
    fn entry(&self, device: DeviceIndex) -> Option<Entry<'_>> {
        Some(Entry {
            name: self.name_text(device),
            user: self.user(device),
            lines: Lines::Held(self.lines_of(device).collect()),
            kind: self.kind(device)?,
            pool: self.pool_of(device)?,
            stored: self.credentials(device),
        })
    }
    /// The number of a node.
    pub fn node_index(&self, node: &NodeName) -> Option<u16> {
        self.nodes.iter().position(|n| n == node).and_then(|i| u16::try_from(i).ok())
    }
    /// Where a node takes SIP, in the address family and over the kind of transport given.
    pub fn sip_address(&self, node: &NodeName, ipv4: bool, stream: bool) -> Option<SocketAddr> {
        let [udp, tcp] = self.addresses.get(usize::from(self.node_index(node)?))?;
        let list = if stream { tcp } else { udp };
        list.iter().find(|a| a.is_ipv4() == ipv4).or(list.first()).copied()
    }
    /// The number of a group.
    pub fn group_index(&self, group: &GroupName) -> Option<u16> {
        self.live_groups().find(|(_, g)| g.name == *group).map(|(index, _)| index)
    }
    /// The number of a pool.
    pub fn pool_index(&self, pool: &DevicePoolName) -> Option<u16> {
        self.live_pools().find(|(_, p)| p.name == *pool).map(|(index, _)| index)
    }
    /// The name of a node.
    pub fn node(&self, index: u16) -> Option<&NodeName> {
        self.nodes.get(usize::from(index))
    }
    /// The members of a group by name, best first.
    pub fn members(&self, group: u16) -> Vec<NodeName> {
        let members = self.groups.get(usize::from(group)).map_or(&[][..], |g| &g.members);
        members.iter().filter_map(|m| self.node(*m).cloned()).collect()
    }
    /// The rank of a node in a group.
    pub fn rank(&self, group: u16, node: u16) -> Option<Rank> {
        let members = &self.groups.get(usize::from(group))?.members;
        Rank::from_position(members.iter().position(|m| *m == node)?)
    }
    /// Where devices of a pool belong; `members` are those of its group.
    fn place<'a>(&'a self, pool: u16, members: &'a [NodeName]) -> Option<Place<'a>> {
        let pool = self.pools.get(usize::from(pool)).filter(|p| !p.gone)?;
        let group = self.groups.get(usize::from(pool.group))?;
        Some(Place { pool: &pool.name, monitor: pool.monitor, group: &group.name, members })
    }
}

#[cfg(test)]
mod tests;
