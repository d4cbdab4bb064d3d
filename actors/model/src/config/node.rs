//! The table `[[node]]`: one CallManager each.

use super::link_address::LinkAddress;
use super::value::Addresses;
use schemars::JsonSchema;
use serde::Deserialize;
use std::net::{IpAddr, SocketAddr};
use tandem_base::NodeName;

/// Most nodes of a cluster.
pub const NODES_MAX: usize = 64;
/// Most addresses of a node.
pub const ADDRESSES_MAX: usize = 4;
/// Port of SIP (RFC 3261 section 19.1.2).
pub const SIP_PORT: u16 = 5060;

const fn sip_port() -> u16 {
    SIP_PORT
}

/// `[[node]]`: one CallManager.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Node {
    /// Its name, such as `CCM1`.
    #[schemars(with = "String", length(min = 1, max = 64))]
    pub name: NodeName,
    /// For people.
    #[serde(default)]
    pub description: Option<String>,
    /// Address at which phones reach it, or a list of up to four (IPv4, IPv6).
    pub address: Addresses,
    /// Port of SIP over UDP; 0 takes any free one.
    #[serde(default = "sip_port")]
    pub sip_udp: u16,
    /// Port of SIP over TCP; 0 takes any free one.
    #[serde(default = "sip_port")]
    pub sip_tcp: u16,
    /// Where its peers on other hosts reach it: `"quic/ADDRESS:PORT"` (IPv4). All nodes or none; without it the nodes are processes of one host, or
    /// one process. Needs certificates (`tandem cluster certs`) and a Tandem that was built with the feature `zenoh`.
    #[serde(default)]
    pub link: Option<LinkAddress>,
    /// True for the node on which the configuration is written. At most one; the first node unless given.
    #[serde(default)]
    pub publisher: bool,
}
impl Node {
    /// Its addresses, in the order of the file; at least one.
    pub fn addresses(&self) -> &[IpAddr] {
        &self.address.0
    }
    /// Where it listens for SIP over UDP.
    pub fn udp(&self) -> impl Iterator<Item = SocketAddr> + '_ {
        self.addresses().iter().map(|ip| SocketAddr::new(*ip, self.sip_udp))
    }
    /// Where it listens for SIP over TCP.
    pub fn tcp(&self) -> impl Iterator<Item = SocketAddr> + '_ {
        self.addresses().iter().map(|ip| SocketAddr::new(*ip, self.sip_tcp))
    }
}
