//! What a stranger needs of a cluster's configuration file: where its nodes listen, who registers where, with which secret.
//!
//! Read with structs of its own and nothing else looked at: the cluster's own reader would share its mistakes. It checks only what it
//! uses; `tandem check` says everything else. It must never print a password.

use serde::Deserialize;
use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::path::Path;
use tandem_host::disk::{Disk, RealDisk};

use super::failure::Failure;
use crate::{Identity, MAX_SERVERS};

/// Longest file that is read, in bytes.
const FILE_MAX: u64 = 64 << 20;
/// Port of SIP (RFC 3261 section 19.1.2).
const SIP_PORT: u16 = 5060;

const fn sip_port() -> u16 {
    SIP_PORT
}
const fn one() -> u64 {
    1
}
const fn yes() -> bool {
    true
}

#[derive(Deserialize)]
struct Document {
    cluster: ClusterRow,
    #[serde(default)]
    node: Vec<NodeRow>,
    #[serde(default)]
    group: Vec<GroupRow>,
    #[serde(default)]
    device_pool: Vec<PoolRow>,
    #[serde(default)]
    device: Vec<DeviceRow>,
    #[serde(default)]
    device_series: Vec<SeriesRow>,
    #[serde(default)]
    settings: SettingsRow,
}

#[derive(Deserialize)]
struct ClusterRow {
    name: String,
}

#[derive(Deserialize)]
struct NodeRow {
    name: String,
    address: Addresses,
    #[serde(default = "sip_port")]
    sip_udp: u16,
    #[serde(default = "sip_port")]
    sip_tcp: u16,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Addresses {
    One(IpAddr),
    Several(Vec<IpAddr>),
}

#[derive(Deserialize)]
struct GroupRow {
    name: String,
    members: Vec<String>,
}

#[derive(Deserialize)]
struct PoolRow {
    name: String,
    group: String,
}

#[derive(Deserialize)]
struct DeviceRow {
    name: String,
    pool: String,
    kind: Option<String>,
    digest_user: Option<String>,
    password: Option<String>,
    ha1_md5: Option<String>,
    ha1_sha256: Option<String>,
}

#[derive(Deserialize)]
struct SeriesRow {
    prefix: String,
    #[serde(default = "one")]
    first: u64,
    count: u64,
    digits: u8,
    pool: String,
    kind: Option<String>,
    digest_user_prefix: Option<String>,
    password: Option<String>,
}

#[derive(Deserialize)]
struct SettingsRow {
    #[serde(default = "yes")]
    digest: bool,
}

impl Default for SettingsRow {
    fn default() -> Self {
        Self { digest: true }
    }
}

/// A CallManager, as a phone knows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Node {
    /// Its name.
    pub(super) name: String,
    /// Where it listens for SIP over UDP; port 0 when the process chose one.
    pub(super) udp: SocketAddr,
    /// The same over TCP.
    pub(super) tcp: SocketAddr,
}

/// Phones that differ only in their number, or one alone.
enum Devices {
    One(Identity),
    Series { row: SeriesRow, password: String },
}

impl Devices {
    fn count(&self) -> u64 {
        match self {
            Self::One(_) => 1,
            Self::Series { row, .. } => row.count,
        }
    }

    fn get(&self, place: u64) -> Identity {
        match self {
            Self::One(who) => who.clone(),
            Self::Series { row, password } => {
                let (number, width) = (row.first + place, usize::from(row.digits));
                let user = format!("{}{number:0width$}", row.prefix);
                let digest_user = row.digest_user_prefix.as_ref().map(|p| format!("{p}{number:0width$}"));
                Identity { digest_user: digest_user.unwrap_or_else(|| user.clone()), user, password: password.clone() }
            }
        }
    }
}

impl std::fmt::Debug for Devices {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::One(who) => f.debug_tuple("One").field(who).finish(),
            Self::Series { row, .. } => f.debug_tuple("Series").field(&row.prefix).field(&row.count).finish(),
        }
    }
}

/// A device pool: its phones and their CallManagers, best first.
#[derive(Debug)]
pub(super) struct Pool {
    /// Its name.
    pub(super) name: String,
    /// The CallManagers of its group: places in [`Cluster::nodes`].
    pub(super) members: Vec<usize>,
    devices: Vec<Devices>,
}

impl Pool {
    /// How many phones it has.
    pub(super) fn count(&self) -> u64 {
        self.devices.iter().map(Devices::count).sum()
    }

    /// Its first `count` phones, in the order of the file.
    pub(super) fn phones(&self, count: u64) -> impl Iterator<Item = Identity> + '_ {
        let all = self.devices.iter().flat_map(|d| (0..d.count()).map(move |n| d.get(n)));
        all.take(usize::try_from(count).unwrap_or(usize::MAX))
    }
}

/// What was read.
#[derive(Debug)]
pub(super) struct Cluster {
    /// The cluster's name: the domain of every address-of-record.
    pub(super) name: String,
    /// Its CallManagers, in the order of the file.
    pub(super) nodes: Vec<Node>,
    /// Its device pools that have phones, in the order of the file.
    pub(super) pools: Vec<Pool>,
    /// Whether it asks for passwords.
    pub(super) digest: bool,
    /// Devices left out because they are no phones.
    pub(super) others: u64,
}

impl Cluster {
    /// Reads a file. `password` is that of devices for which the file has none; `ipv6` prefers such addresses.
    ///
    /// # Errors
    /// What is wrong in which row, and what would be right.
    pub(super) fn read(path: &Path, password: Option<&str>, ipv6: bool) -> Result<Self, Failure> {
        let bytes = RealDisk.read(path, FILE_MAX).map_err(|e| {
            Failure::new(e.to_string())
                .remedy("--config names the cluster's file, such as examples/config/figure-6-2.toml")
        })?;
        let text = String::from_utf8(bytes)
            .map_err(|_| Failure::new(format!("{} is no text: a cluster file is TOML", path.display())))?;
        Self::parse(&text, password, ipv6).map_err(|e| match e {
            Wrong::Syntax(what) => Failure::new(format!("{}: {what}", path.display()))
                .remedy("this is no cluster file of Tandem; `tandem check --config FILE` says more"),
            Wrong::Row(what, remedy) => Failure::new(format!("{}: {what}", path.display())).remedy(remedy),
        })
    }

    fn parse(text: &str, password: Option<&str>, ipv6: bool) -> Result<Self, Wrong> {
        let document: Document = toml::from_str(text).map_err(|e| Wrong::Syntax(e.to_string().trim().to_owned()))?;
        let nodes = document.node.iter().map(|n| node(n, ipv6)).collect::<Result<Vec<_>, _>>()?;
        let groups = groups(&document, &nodes)?;
        let mut pools = Vec::new();
        for pool in &document.device_pool {
            let Some(members) = groups.get(pool.group.as_str()) else {
                return Err(Wrong::Row(
                    format!("device_pool {:?}: there is no group {:?}", pool.name, pool.group),
                    format!("groups: {}", groups.keys().copied().collect::<Vec<_>>().join(", ")),
                ));
            };
            pools.push(Pool { name: pool.name.clone(), members: members.clone(), devices: Vec::new() });
        }
        let mut cluster =
            Self { name: document.cluster.name, nodes, pools, digest: document.settings.digest, others: 0 };
        for row in document.device {
            cluster.device(row, password)?;
        }
        for row in document.device_series {
            cluster.series(row, password)?;
        }
        cluster.pools.retain(|p| !p.devices.is_empty());
        if cluster.pools.is_empty() {
            return Err(Wrong::Row("no device of the file is a phone".into(), "add a [[device_series]]".into()));
        }
        Ok(cluster)
    }

    fn place(&mut self, device: &str, pool: &str, devices: Devices) -> Result<(), Wrong> {
        let names = || self.pools.iter().map(|p| p.name.as_str()).collect::<Vec<_>>().join(", ");
        match self.pools.iter().position(|p| p.name == pool) {
            Some(place) => {
                if let Some(pool) = self.pools.get_mut(place) {
                    pool.devices.push(devices);
                }
                Ok(())
            }
            None => Err(Wrong::Row(
                format!("device {device:?}: there is no device pool {pool:?}"),
                format!("device pools: {}", names()),
            )),
        }
    }

    /// The secret of a device; nothing where none is asked for.
    fn secret(&self, device: &str, own: Option<String>, hashed: bool, given: Option<&str>) -> Result<String, Wrong> {
        match own.or_else(|| given.map(str::to_owned)) {
            Some(password) => Ok(password),
            None if !self.digest => Ok(String::new()),
            None => {
                let why = if hashed { "only hashes of its password" } else { "no password for it" };
                Err(Wrong::Row(
                    format!("device {device:?}: the file has {why}, and a phone has to know it"),
                    "give the password of such devices with --password-file FILE".into(),
                ))
            }
        }
    }

    fn device(&mut self, row: DeviceRow, given: Option<&str>) -> Result<(), Wrong> {
        if row.kind.as_deref().is_some_and(|k| k != "phone") {
            self.others += 1;
            return Ok(());
        }
        let hashed = row.ha1_md5.is_some() || row.ha1_sha256.is_some();
        let password = self.secret(&row.name, row.password, hashed, given)?;
        let digest_user = row.digest_user.unwrap_or_else(|| row.name.clone());
        let who = Identity { user: row.name.clone(), digest_user, password };
        self.place(&row.name, &row.pool, Devices::One(who))
    }

    fn series(&mut self, mut row: SeriesRow, given: Option<&str>) -> Result<(), Wrong> {
        if row.kind.as_deref().is_some_and(|k| k != "phone") {
            self.others += row.count;
            return Ok(());
        }
        if row.digits > 18 || row.first.checked_add(row.count).is_none() {
            return Err(Wrong::Row(
                format!("device_series {:?}: {} digits are too many", row.prefix, row.digits),
                "use 1 to 18 digits".into(),
            ));
        }
        let password = self.secret(&row.prefix, row.password.take(), false, given)?;
        let (name, pool) = (row.prefix.clone(), row.pool.clone());
        self.place(&name, &pool, Devices::Series { row, password })
    }

    /// Phones of all pools.
    pub(super) fn count(&self) -> u64 {
        self.pools.iter().map(Pool::count).sum()
    }

    /// How many phones each pool gives when there are `total` in all: in proportion, the largest remainders rounded up.
    pub(super) fn shares(&self, total: u64) -> Vec<u64> {
        let all = u128::from(self.count().max(1));
        let exact = |p: &Pool| u128::from(p.count()) * u128::from(total);
        let mut shares: Vec<u64> =
            self.pools.iter().map(|p| u64::try_from(exact(p) / all).unwrap_or(u64::MAX)).collect();
        let mut rest: Vec<(u128, usize)> =
            self.pools.iter().enumerate().map(|(place, p)| (exact(p) % all, place)).collect();
        rest.sort_by_key(|(remainder, place)| (std::cmp::Reverse(*remainder), *place));
        let mut left = total.saturating_sub(shares.iter().sum());
        for (_, place) in rest {
            if let Some(share) = shares.get_mut(place).filter(|_| left > 0) {
                *share += 1;
                left -= 1;
            }
        }
        shares
    }
}

/// What is wrong with a file.
#[derive(Debug)]
enum Wrong {
    Syntax(String),
    Row(String, String),
}

fn node(row: &NodeRow, ipv6: bool) -> Result<Node, Wrong> {
    let addresses = match &row.address {
        Addresses::One(ip) => std::slice::from_ref(ip),
        Addresses::Several(ips) => ips.as_slice(),
    };
    let best = addresses.iter().find(|ip| ip.is_ipv6() == ipv6).or_else(|| addresses.first());
    let Some(&ip) = best else {
        return Err(Wrong::Row(format!("node {:?} has no address", row.name), "give one such as \"127.0.0.1\"".into()));
    };
    Ok(Node { name: row.name.clone(), udp: SocketAddr::new(ip, row.sip_udp), tcp: SocketAddr::new(ip, row.sip_tcp) })
}

fn groups<'d>(document: &'d Document, nodes: &[Node]) -> Result<BTreeMap<&'d str, Vec<usize>>, Wrong> {
    let mut groups = BTreeMap::new();
    for group in &document.group {
        let mut members = Vec::new();
        for member in &group.members {
            let Some(place) = nodes.iter().position(|n| &n.name == member) else {
                let names: Vec<&str> = nodes.iter().map(|n| n.name.as_str()).collect();
                return Err(Wrong::Row(
                    format!("group {:?}: there is no node {member:?}", group.name),
                    format!("nodes: {}", names.join(", ")),
                ));
            };
            members.push(place);
        }
        if members.is_empty() || members.len() > MAX_SERVERS {
            return Err(Wrong::Row(
                format!("group {:?} has {} members", group.name, members.len()),
                "a CallManager group has 1 to 3".into(),
            ));
        }
        groups.insert(group.name.as_str(), members);
    }
    Ok(groups)
}

#[cfg(test)]
#[path = "cluster_file/tests.rs"]
mod tests;
