//! The configuration compiled for speed: one compact record per device, shared by all nodes of a process and never changed in place.
//!
//! Texts live in one arena, records are found by dense index, names by hash. It must never be written on the hot path.

use crate::locator::{Alias, Aliases, DeviceIndex, Names};
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;
use tandem_base::{DeviceKey, DeviceName, DevicePoolName, GroupName, NodeName, Rank};
use tandem_model::config::{Algorithm, Config, Credential, DeviceKind, DeviceSpec, Failback, Settings};
use tandem_model::row::{device_key_of, device_key_of_bytes};
use tandem_sip::digest::{Ha1, Stored};

/// A CallManager group, compiled.
#[derive(Clone, Debug)]
pub struct Group {
    /// Its name.
    pub name: GroupName,
    /// Its members as indexes into [`Directory::nodes`], best first.
    pub members: Vec<u16>,
    /// When its devices go home.
    pub failback: Failback,
    /// Devices that belong to it.
    pub devices: u32,
}

/// A device pool, compiled.
#[derive(Clone, Debug)]
pub struct Pool {
    /// Its name.
    pub name: DevicePoolName,
    /// Its group, as an index into [`Directory::groups`].
    pub group: u16,
    /// How long a returned node must be up and in sync before devices of this pool are called home.
    pub monitor: Duration,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Text {
    start: u32,
    len: u8,
}

/// One device, apart from its texts.
#[derive(Clone, Debug)]
struct Record {
    name: Text,
    user: Text,
    lines_start: u32,
    lines: u8,
    kind: DeviceKind,
    pool: u16,
}

/// See the module. Indexes handed out stay valid for its life.
pub struct Directory {
    /// Cluster name.
    pub cluster: String,
    /// Digest realm.
    pub realm: String,
    /// Hash of the configuration file.
    pub revision: u64,
    /// Nodes in the order of the file.
    pub nodes: Vec<NodeName>,
    /// Where each node takes SIP over UDP and over TCP, in the order of `nodes`.
    pub addresses: Vec<[Vec<SocketAddr>; 2]>,
    /// Which of them is the publisher.
    pub publisher: u16,
    /// Groups in the order of the file.
    pub groups: Vec<Group>,
    /// Pools in the order of the file.
    pub pools: Vec<Pool>,
    /// The configuration without its devices.
    pub settings: Settings,
    aliases: Aliases,
    records: Vec<Record>,
    /// Digest hashes by device, kept only for the algorithms that the cluster offers.
    md5: Vec<[u8; 16]>,
    sha256: Vec<[u8; 32]>,
    texts: String,
    lines: Vec<Text>,
    /// The devices of each number that stands on several.
    shared: BTreeMap<DeviceKey, Vec<DeviceIndex>>,
}

impl Directory {
    fn text(&self, text: Text) -> &str {
        let start = text.start as usize;
        self.texts.get(start..start + usize::from(text.len)).unwrap_or_default()
    }
    fn record(&self, device: DeviceIndex) -> Option<&Record> {
        self.records.get(device.0 as usize)
    }
    fn keep(&mut self, text: &str) -> Text {
        let start = u32::try_from(self.texts.len()).unwrap_or(u32::MAX);
        self.texts.push_str(text);
        Text { start, len: u8::try_from(text.len()).unwrap_or(u8::MAX) }
    }
    /// Compiles a configuration. Everything in it has been checked.
    pub fn build(config: &Config) -> Self {
        let index = |i: usize| u16::try_from(i).unwrap_or(u16::MAX);
        let members = |names: &[NodeName]| names.iter().filter_map(|n| config.node_index(n)).map(index).collect();
        let group = |g: &tandem_model::config::Group| Group {
            name: g.name.clone(),
            members: members(&g.members),
            failback: g.failback,
            devices: 0,
        };
        let pool = |(i, p): (usize, &tandem_model::config::DevicePool)| Pool {
            name: p.name.clone(),
            group: config.group_of_pool(index(i)).unwrap_or_default(),
            monitor: p.connection_monitor.0,
        };
        let count = usize::try_from(config.device_count()).unwrap_or(usize::MAX).min(usize::from(u16::MAX) << 12);
        let mut directory = Self {
            cluster: config.cluster.name.clone(),
            realm: config.cluster.realm().to_owned(),
            revision: config.revision,
            nodes: config.nodes.iter().map(|n| n.name.clone()).collect(),
            addresses: config.nodes.iter().map(|n| [n.udp().collect(), n.tcp().collect()]).collect(),
            publisher: index(config.publisher()),
            groups: config.groups.iter().map(group).collect(),
            pools: config.pools.iter().enumerate().map(pool).collect(),
            settings: config.settings.clone(),
            aliases: Names::new(0).freeze(),
            records: Vec::with_capacity(count),
            md5: Vec::new(),
            sha256: Vec::new(),
            texts: String::new(),
            lines: Vec::new(),
            shared: BTreeMap::new(),
        };
        let names = Names::new(count);
        let mut any_shared = false;
        for spec in config.devices() {
            any_shared |= directory.add(&names, &spec);
        }
        directory.aliases = names.freeze();
        directory.texts.shrink_to_fit();
        directory.lines.shrink_to_fit();
        if any_shared {
            directory.shared = directory.shared_numbers();
        }
        directory
    }
    fn shared_numbers(&self) -> BTreeMap<DeviceKey, Vec<DeviceIndex>> {
        let mut shared: BTreeMap<DeviceKey, Vec<DeviceIndex>> = BTreeMap::new();
        let devices = (0..u32::try_from(self.records.len()).unwrap_or(u32::MAX)).map(DeviceIndex);
        for (device, key) in devices.flat_map(|d| self.lines_of(d).map(move |l| (d, device_key_of(l)))) {
            if self.find_alias(key) == Some(Alias::Shared) {
                shared.entry(key).or_default().push(device);
            }
        }
        shared
    }
    /// Adds a device and says whether one of its numbers stands on another one too.
    fn add(&mut self, names: &Names, spec: &DeviceSpec<'_>) -> bool {
        let index = DeviceIndex(u32::try_from(self.records.len()).unwrap_or(u32::MAX));
        let name = self.keep(&spec.name);
        let user = if spec.user == spec.name { name } else { self.keep(&spec.user) };
        let lines_start = u32::try_from(self.lines.len()).unwrap_or(u32::MAX);
        names.add(&spec.name, index);
        names.add(&spec.user, index);
        let mut shared = false;
        for line in spec.lines.iter() {
            let text = self.keep(line.as_str());
            self.lines.push(text);
            shared |= names.add(line.as_str(), index);
        }
        let lines = u8::try_from(spec.lines.len()).unwrap_or(u8::MAX);
        self.keep_hashes(&stored(spec, &self.realm));
        self.records.push(Record { name, user, lines_start, lines, kind: spec.kind, pool: spec.pool });
        let group = self.pools.get(usize::from(spec.pool)).map(|p| usize::from(p.group));
        if let Some(group) = group.and_then(|g| self.groups.get_mut(g)) {
            group.devices += 1;
        }
        shared
    }
    /// Every device has the hashes that the cluster offers (the configuration is checked), so a plain list will do.
    fn keep_hashes(&mut self, stored: &Stored) {
        let offers = |a| self.settings.digest && self.settings.algorithms.contains(&a);
        let (md5, sha256) = (offers(Algorithm::Md5), offers(Algorithm::Sha256));
        if md5 && let Some(Ha1::Md5(hash)) = stored.md5 {
            self.md5.push(hash);
        }
        if sha256 && let Some(Ha1::Sha256(hash)) = stored.sha256 {
            self.sha256.push(hash);
        }
    }

    /// How many devices there are; their indexes are 0 to this.
    pub fn len(&self) -> usize {
        self.records.len()
    }
    /// Whether there is no device.
    pub fn is_empty(&self) -> bool {
        self.records.is_empty()
    }
    /// What a name, digest user or number stands for.
    pub fn find(&self, text: &[u8]) -> Option<Alias> {
        self.find_alias(device_key_of_bytes(text))
    }
    /// The same for the key of such a text.
    pub fn find_alias(&self, key: DeviceKey) -> Option<Alias> {
        self.aliases.find(key)
    }
    /// Every device that a name, digest user or number stands for, in the order of the file; none when nobody has it.
    pub fn devices_of(&self, text: &[u8]) -> Vec<DeviceIndex> {
        let key = device_key_of_bytes(text);
        match self.find_alias(key) {
            Some(Alias::Device(device)) => vec![device],
            Some(Alias::Shared) => self.shared.get(&key).cloned().unwrap_or_default(),
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
    /// The key of a device in rows.
    pub fn key(&self, device: DeviceIndex) -> DeviceKey {
        device_key_of(self.name_text(device))
    }
    /// Its name as text; empty for an index beyond the directory.
    pub fn name_text(&self, device: DeviceIndex) -> &str {
        self.record(device).map_or("", |r| self.text(r.name))
    }
    /// Its name.
    pub fn name(&self, device: DeviceIndex) -> Option<DeviceName> {
        DeviceName::new(self.name_text(device)).ok()
    }
    /// Its digest user.
    pub fn user(&self, device: DeviceIndex) -> &str {
        self.record(device).map_or("", |r| self.text(r.user))
    }
    /// Its stored hashes; nobody's for an index beyond the directory.
    pub fn credentials(&self, device: DeviceIndex) -> Stored {
        let index = device.0 as usize;
        Stored {
            md5: self.md5.get(index).map(|h| Ha1::Md5(*h)),
            sha256: self.sha256.get(index).map(|h| Ha1::Sha256(*h)),
        }
    }
    /// Reads a little of what a check of this device's credentials needs, so that it is at hand when the check comes.
    pub fn touch(&self, device: DeviceIndex) -> u64 {
        let index = device.0 as usize;
        let first = |hash: Option<u8>| u64::from(hash.unwrap_or(0));
        let user = self.record(device).map_or(0, |r| r.user.start as usize);
        first(self.md5.get(index).map(|h| h[0]))
            ^ first(self.sha256.get(index).map(|h| h[0]))
            ^ first(self.texts.as_bytes().get(user).copied())
    }
    /// How long a nonce may be used, in seconds.
    pub fn nonce_lifetime_secs(&self) -> u32 {
        u32::try_from(self.settings.nonce_lifetime.0.as_secs()).unwrap_or(u32::MAX)
    }
    /// Its kind.
    pub fn kind(&self, device: DeviceIndex) -> Option<DeviceKind> {
        self.record(device).map(|r| r.kind)
    }
    /// Its pool.
    pub fn pool_of(&self, device: DeviceIndex) -> Option<u16> {
        self.record(device).map(|r| r.pool)
    }
    /// Its group.
    pub fn group_of(&self, device: DeviceIndex) -> Option<u16> {
        Some(self.pools.get(usize::from(self.pool_of(device)?))?.group)
    }
    /// Its directory numbers.
    pub fn lines_of(&self, device: DeviceIndex) -> impl Iterator<Item = &str> + '_ {
        let (start, count) = self.record(device).map_or((0, 0), |r| (r.lines_start as usize, usize::from(r.lines)));
        self.lines.iter().skip(start).take(count).map(|t| self.text(*t))
    }
    /// Whether a number is one of its lines.
    pub fn has_line(&self, device: DeviceIndex, number: &[u8]) -> bool {
        self.lines_of(device).any(|l| l.as_bytes() == number)
    }
    /// The index of a node.
    pub fn node_index(&self, node: &NodeName) -> Option<u16> {
        self.nodes.iter().position(|n| n == node).and_then(|i| u16::try_from(i).ok())
    }
    /// Where a node takes SIP, in the address family and over the kind of transport given.
    pub fn sip_address(&self, node: &NodeName, ipv4: bool, stream: bool) -> Option<SocketAddr> {
        let [udp, tcp] = self.addresses.get(usize::from(self.node_index(node)?))?;
        let list = if stream { tcp } else { udp };
        list.iter().find(|a| a.is_ipv4() == ipv4).or(list.first()).copied()
    }
    /// The index of a group.
    pub fn group_index(&self, group: &GroupName) -> Option<u16> {
        self.groups.iter().position(|g| g.name == *group).and_then(|i| u16::try_from(i).ok())
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
}

/// The hashes of a device's credentials, made from its password or taken as they stand.
fn stored(spec: &DeviceSpec<'_>, realm: &str) -> Stored {
    match spec.credential {
        Credential::None => Stored::UNKNOWN,
        Credential::Password(password) => {
            Stored::from_password(spec.user.as_bytes(), realm.as_bytes(), password.as_bytes())
        }
        Credential::Hashes { md5, sha256 } => Stored {
            md5: md5.and_then(|h| Ha1::from_hex(h.as_bytes())),
            sha256: sha256.and_then(|h| Ha1::from_hex(h.as_bytes())),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn built(settings: &str) -> Directory {
        let text = format!(
            "[cluster]\nname = \"t\"\n[settings]\n{settings}\n[[node]]\nname = \"A\"\naddress = \"127.0.0.1\"\n\
             [[group]]\nname = \"G\"\nmembers = [\"A\"]\n[[device_pool]]\nname = \"P\"\ngroup = \"G\"\n\
             [[device_series]]\nprefix = \"SEP\"\nfirst = 1\ncount = 3\ndigits = 2\npool = \"P\"\npassword = \"pw\"\n"
        );
        Directory::build(&Config::parse("t", &text).unwrap())
    }

    #[test]
    fn only_hashes_of_offered_algorithms_are_kept_and_each_belongs_to_its_device() {
        let both = built("algorithms = [\"SHA-256\", \"MD5\"]");
        let wanted = Stored::from_password(b"SEP02", b"t", b"pw");
        assert_eq!(both.credentials(DeviceIndex(1)), wanted);
        let one = built("algorithms = [\"MD5\"]");
        assert_eq!(one.credentials(DeviceIndex(1)), Stored { sha256: None, ..wanted });
        assert_eq!(built("digest = false").credentials(DeviceIndex(1)), Stored::UNKNOWN);
        assert_eq!(both.credentials(DeviceIndex(3)), Stored::UNKNOWN, "beyond the directory");
    }
}
