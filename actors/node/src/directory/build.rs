//! A directory from a whole configuration: at the start, and when a change is more than a patch.

use super::base::{BaseBuilder, Kept};
use super::{Directory, Entry, Group, Interner, Lines, Mark, Pool};
use crate::locator::DeviceIndex;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tandem_base::{DevicePoolName, GroupName};
use tandem_model::config::{self, Algorithm, Config, Credential, DeviceSpec, Failback, Settings};
use tandem_model::row::device_key_of;
use tandem_sip::digest::{Ha1, Stored};

pub(super) type Addresses = [Vec<SocketAddr>; 2];

/// Which hashes are kept: those of the algorithms that are offered.
pub(super) fn kept(settings: &Settings) -> Kept {
    let offers = |a| settings.digest && settings.algorithms.contains(&a);
    Kept { md5: offers(Algorithm::Md5), sha256: offers(Algorithm::Sha256) }
}

/// A group that this directory has not: it is gone, or another node of the process knows it already.
pub(super) const fn no_group(name: GroupName) -> Group {
    Group { name, members: Vec::new(), failback: Failback::Automatic, gone: true }
}
/// Likewise a pool.
pub(super) const fn no_pool(name: DevicePoolName) -> Pool {
    Pool { name, group: u16::MAX, monitor: Duration::ZERO, gone: true }
}
/// A pool of the group with this number.
pub(super) fn pool_in(pool: &config::DevicePool, group: u16) -> Pool {
    Pool { name: pool.name.clone(), group, monitor: pool.connection_monitor.0, gone: false }
}

/// Addresses as they are configured, with the ports that a node of this process has taken where it may take any.
pub(super) fn addresses_of(node: &config::Node, before: Option<&Addresses>) -> Addresses {
    let (mut udp, mut tcp): (Vec<_>, Vec<_>) = (node.udp().collect(), node.tcp().collect());
    if let Some([old_udp, old_tcp]) = before {
        for (list, old) in [(&mut udp, old_udp), (&mut tcp, old_tcp)] {
            let port = old.first().map_or(0, SocketAddr::port);
            list.iter_mut().filter(|a| a.port() == 0).for_each(|a| a.set_port(port));
        }
    }
    [udp, tcp]
}

impl Directory {
    /// The first directory of a process.
    pub fn first(config: &Config) -> Self {
        Self::build(config, &Arc::new(Interner::default()), None)
    }

    /// Compiles a configuration. Everything in it has been checked. What is read at the start of a process only is taken from `previous`.
    pub fn build(config: &Config, interner: &Arc<Interner>, previous: Option<&Self>) -> Self {
        let settings = &config.settings;
        let count = usize::try_from(config.device_count()).unwrap_or(usize::MAX).min(usize::from(u16::MAX) << 12);
        let mut made = Self {
            cluster: previous.map_or_else(|| Arc::from(&*config.cluster.name), |p| Arc::clone(&p.cluster)),
            realm: previous.map_or_else(|| Arc::from(config.cluster.realm()), |p| Arc::clone(&p.realm)),
            mark: Mark { revision: config.revision, digest: 0 },
            nodes: Arc::from([]),
            nodes_gone: Arc::from([]),
            addresses: Arc::from([]),
            publisher: 0,
            groups: Arc::from([]),
            pools: Arc::from([]),
            settings: Arc::new(settings.clone()),
            interner: Arc::clone(interner),
            base: Arc::new(BaseBuilder::new(0, kept(settings)).finish()),
            patch: None,
            devices_by_pool: Vec::new(),
            names_left_out: false,
        };
        made.add_nodes(config, previous);
        made.add_groups(config);
        made.add_devices(config, previous, count);
        made
    }

    fn add_nodes(&mut self, config: &Config, previous: Option<&Self>) {
        self.names_left_out |= config.nodes.iter().any(|n| self.interner.node(&n.name).is_none());
        self.nodes = self.interner.nodes().into();
        let addresses = self.nodes.iter().zip(0usize..).map(|(name, place)| {
            let before = previous.and_then(|p| p.addresses.get(place));
            let node = config.nodes.iter().find(|n| n.name == *name);
            node.map_or_else(|| before.cloned().unwrap_or_default(), |n| addresses_of(n, before))
        });
        self.addresses = addresses.collect();
        self.nodes_gone = self.nodes.iter().map(|name| config.nodes.iter().all(|n| n.name != *name)).collect();
        self.publisher = config.publisher_name().and_then(|n| self.node_index(n)).unwrap_or_default();
    }

    fn add_groups(&mut self, config: &Config) {
        self.names_left_out |= config.groups.iter().any(|g| self.interner.group(&g.name).is_none());
        self.names_left_out |= config.pools.iter().any(|p| self.interner.pool(&p.name).is_none());
        let groups: BTreeMap<_, _> = config.groups.iter().map(|g| (&g.name, g)).collect();
        let group = |name: GroupName| groups.get(&name).map_or_else(|| no_group(name.clone()), |g| self.group(g));
        self.groups = self.interner.groups().into_iter().map(group).collect();
        let numbers: BTreeMap<_, _> = self.live_groups().map(|(number, g)| (&g.name, number)).collect();
        let pools: BTreeMap<_, _> = config.pools.iter().map(|p| (&p.name, p)).collect();
        let pool = |name: DevicePoolName| {
            let found = pools.get(&name).and_then(|p| Some((p, *numbers.get(&p.group)?)));
            found.map_or_else(|| no_pool(name.clone()), |(p, group)| pool_in(p, group))
        };
        self.pools = self.interner.pools().into_iter().map(pool).collect();
        self.devices_by_pool = vec![0; self.pools.len()];
    }

    /// A group as this directory has it.
    pub(super) fn group(&self, group: &config::Group) -> Group {
        let members = group.members.iter().filter_map(|n| self.node_index(n)).collect();
        Group { name: group.name.clone(), members, failback: group.failback, gone: false }
    }

    fn add_devices(&mut self, config: &Config, previous: Option<&Self>, count: usize) {
        // The configuration counts its pools in its own order.
        let numbers: Vec<Option<u16>> = config.pools.iter().map(|p| self.pool_index(&p.name)).collect();
        let mut base = BaseBuilder::new(count, kept(&self.settings));
        self.interner.reserve(count.saturating_sub(self.interner.devices()));
        for spec in config.devices() {
            let pool = numbers.get(usize::from(spec.pool)).copied().flatten();
            let known = previous.and_then(|p| p.device_named(&spec.name));
            let number = known.or_else(|| self.interner.device(device_key_of(&spec.name)));
            let Some((pool, index)) = pool.zip(number) else {
                self.names_left_out = true;
                continue;
            };
            base.add(index, &entry(&spec, pool, stored(&spec, &self.realm)));
            if let Some(devices) = self.devices_by_pool.get_mut(usize::from(pool)) {
                *devices += 1;
            }
        }
        self.base = Arc::new(base.finish());
    }

    /// The same directory with its patch worked into a base of its own.
    pub(super) fn merged(self) -> Self {
        let mut base = BaseBuilder::new(self.len(), kept(&self.settings));
        for device in (0..self.bound()).map(DeviceIndex) {
            if let Some(entry) = self.entry(device) {
                base.add(device, &entry);
            }
        }
        Self { base: Arc::new(base.finish()), patch: None, ..self }
    }
}

/// A device of a configuration, in a pool by its number here.
pub(super) fn entry<'a>(spec: &'a DeviceSpec<'_>, pool: u16, stored: Stored) -> Entry<'a> {
    Entry { name: &spec.name, user: &spec.user, lines: Lines::Given(spec.lines.iter()), kind: spec.kind, pool, stored }
}

/// The hashes of a device's credentials, made from its password or taken as they stand.
pub(super) fn stored(spec: &DeviceSpec<'_>, realm: &str) -> Stored {
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
