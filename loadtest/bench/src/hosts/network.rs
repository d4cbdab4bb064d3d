//! The network between the hosts: a namespace per host, one for the phones, and one that is the switches between them.
//!
//! ```text
//!   CCM1 host --+                 +-- phones' host
//!   CCM2 host --+-- two switches --+      nodes' network 198.18.0.0/24, phones' network 198.18.1.0/24 (for benchmarks, RFC 2544:
//!   CCM3 host --+                         nobody routes them; every host has a cable to each)
//! ```
//! A cut pulls a cable at the switch, or drops packets of one direction. It must never touch an interface or a rule outside its own
//! namespaces, and never leave one behind: they are taken down with their value, and those of a run that was killed by the next run.

use super::command::run;
use crate::error::Error;
use std::net::{IpAddr, Ipv4Addr};
use std::path::Path;

/// How many hosts run a node.
pub(super) const HOSTS: usize = 3;
/// What the names of namespaces begin with; the process id of their run follows.
const PREFIX: &str = "tandem-hosts-";
/// The two networks.
const NODES: [u8; 3] = [198, 18, 0];
const PHONES: [u8; 3] = [198, 18, 1];
/// The phones' host in their network.
const PHONES_HOST: u8 = 9;
/// The table of rules in a host's namespace.
const TABLE: &str = "cut_by_tandem";

/// One of a host's two cables.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Cable {
    /// To the other nodes.
    Nodes,
    /// To the phones.
    Phones,
}

impl Cable {
    const ALL: [Self; 2] = [Self::Nodes, Self::Phones];

    /// Its switch, and its end at the host.
    const fn name(self) -> &'static str {
        match self {
            Self::Nodes => "nodes",
            Self::Phones => "phones",
        }
    }
    fn address(self, host: u8) -> IpAddr {
        let [a, b, c] = match self {
            Self::Nodes => NODES,
            Self::Phones => PHONES,
        };
        Ipv4Addr::new(a, b, c, host).into()
    }
}

/// See the module. Hosts are numbered from 0.
#[derive(Debug)]
pub(super) struct Network {
    run: u32,
}

fn number(host: usize) -> u8 {
    u8::try_from(host + 1).unwrap_or(u8::MAX)
}

impl Network {
    /// Makes it.
    ///
    /// # Errors
    /// What `ip` says.
    pub(super) fn new() -> Result<Self, Error> {
        let network = Self { run: std::process::id() };
        let (switch, phones) = (network.switch(), network.phones());
        for name in (0..HOSTS).map(|h| network.host(h)).chain([switch.clone(), phones.clone()]) {
            run("ip", &["netns", "add", &name])?;
            run("ip", &["-n", &name, "link", "set", "dev", "lo", "up"])?;
        }
        for cable in Cable::ALL {
            run("ip", &["-n", &switch, "link", "add", "name", cable.name(), "type", "bridge"])?;
            run("ip", &["-n", &switch, "link", "set", "dev", cable.name(), "up"])?;
            for host in 0..HOSTS {
                network.lay(cable, &network.host(host), number(host))?;
            }
        }
        network.lay(Cable::Phones, &phones, PHONES_HOST)?;
        Ok(network)
    }

    /// Lays a cable between a namespace and a switch.
    fn lay(&self, cable: Cable, namespace: &str, host: u8) -> Result<(), Error> {
        let (switch, port) = (self.switch(), port(cable, host));
        let end = ["type", "veth", "peer", "name", cable.name(), "netns", namespace];
        run("ip", &[&["-n", &switch, "link", "add", "name", &port], &end[..]].concat())?;
        run("ip", &["-n", &switch, "link", "set", "dev", &port, "master", cable.name(), "up"])?;
        let address = format!("{}/24", cable.address(host));
        run("ip", &["-n", namespace, "address", "add", &address, "dev", cable.name()])?;
        run("ip", &["-n", namespace, "link", "set", "dev", cable.name(), "up"])?;
        Ok(())
    }

    /// Name of a host's namespace.
    pub(super) fn host(&self, host: usize) -> String {
        format!("{PREFIX}{}-ccm{}", self.run, number(host))
    }
    /// Name of the phones' namespace.
    pub(super) fn phones(&self) -> String {
        format!("{PREFIX}{}-phones", self.run)
    }
    fn switch(&self) -> String {
        format!("{PREFIX}{}-switch", self.run)
    }
    /// A host's address at the end of a cable.
    pub(super) fn address(cable: Cable, host: usize) -> IpAddr {
        cable.address(number(host))
    }
    /// The address of the phones' host.
    pub(super) fn phones_address() -> IpAddr {
        Cable::Phones.address(PHONES_HOST)
    }

    /// Pulls a host's cable, or puts it back.
    ///
    /// # Errors
    /// What `ip` says.
    pub(super) fn plug(&self, cable: Cable, host: usize, plugged: bool) -> Result<(), Error> {
        let state = if plugged { "up" } else { "down" };
        run("ip", &["-n", &self.switch(), "link", "set", "dev", &port(cable, number(host)), state]).map(drop)
    }

    /// From now on a host does not hear what another one sends over the nodes' network.
    ///
    /// # Errors
    /// What `nft` says.
    pub(super) fn deafen(&self, host: usize, to: usize) -> Result<(), Error> {
        let from = Cable::Nodes.address(number(to));
        let rules = format!(
            "add table ip {TABLE}; add chain ip {TABLE} in {{ type filter hook input priority 0; policy accept; }}; \
             add rule ip {TABLE} in ip saddr {from} drop"
        );
        self.nft(host, &rules)
    }
    /// Takes all rules of a host back.
    ///
    /// # Errors
    /// What `nft` says.
    pub(super) fn hear(&self, host: usize) -> Result<(), Error> {
        // Added first: there may be none to delete.
        self.nft(host, &format!("add table ip {TABLE}; delete table ip {TABLE}"))
    }
    fn nft(&self, host: usize, rules: &str) -> Result<(), Error> {
        run("ip", &["netns", "exec", &self.host(host), "nft", rules]).map(drop)
    }
}

fn port(cable: Cable, host: u8) -> String {
    format!("{}{host}", cable.name())
}

impl Drop for Network {
    fn drop(&mut self) {
        let all = (0..HOSTS).map(|h| self.host(h)).chain([self.switch(), self.phones()]);
        for name in all {
            // One that was never made cannot be taken down.
            let _ = run("ip", &["netns", "delete", &name]);
        }
    }
}

/// Takes down what runs left behind that were killed.
pub(super) fn sweep() {
    let Ok(all) = run("ip", &["netns", "list"]) else { return };
    for name in all.lines().filter_map(|l| l.split_whitespace().next()) {
        let run_of = name.strip_prefix(PREFIX).and_then(|rest| rest.split('-').next());
        let over = run_of.is_some_and(|id| id.parse::<u32>().is_ok() && !Path::new("/proc").join(id).exists());
        if over {
            // Another run may be doing the same.
            let _ = run("ip", &["netns", "delete", name]);
        }
    }
}
