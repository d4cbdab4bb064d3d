//! Checks of `[cluster]` and `[[node]]`.

use super::{Checker, is_plain};
use crate::config::node::ADDRESSES_MAX;
use crate::config::read::{Place, Tables};
use crate::config::{NODES_MAX, Problem, Secret};
use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};

/// Shortest cluster secret, in characters.
const SECRET_MIN: usize = 16;

pub(super) fn cluster(checker: &mut Checker<'_, '_, '_>, tables: &Tables) {
    let place = Place::row("cluster", 0);
    let Some(cluster) = &tables.cluster else {
        if checker.document.len("cluster") == 0 {
            let what = "the table [cluster] is missing".to_owned();
            let expected = Some("[cluster] with a line `name = \"...\"`".to_owned());
            checker.report.error(None, Problem { what, expected, ..Problem::default() });
        }
        return;
    };
    if !is_plain(&cluster.name) {
        let expected = "1 to 64 letters, digits, '-', '_' or '.'".to_owned();
        checker.wrong(place.field("name"), "not a good cluster name".to_owned(), expected);
    }
    let realm = cluster.realm();
    if realm.is_empty()
        || realm.len() > 64
        || realm.chars().any(|c| !c.is_ascii() || c.is_ascii_control() || "\"\\:".contains(c))
    {
        let expected = "1 to 64 ASCII characters without '\"', '\\' and ':'".to_owned();
        checker.wrong(place.field("realm"), "not a good realm".to_owned(), expected);
    }
    if cluster.secret.as_ref().map(Secret::reveal).is_some_and(|s| s.chars().count() < SECRET_MIN) {
        let expected = format!("at least {SECRET_MIN} characters, random ones");
        checker.wrong(place.field("secret"), "the cluster's secret is too short".to_owned(), expected);
    }
}

/// Checks the nodes; returns which of them is the publisher.
pub(super) fn nodes(checker: &mut Checker<'_, '_, '_>, tables: &Tables) -> usize {
    if checker.document.len("node") == 0 {
        let what = "the cluster has no node".to_owned();
        let expected = Some("at least one [[node]] with `name` and `address`".to_owned());
        checker.report.error(None, Problem { what, expected, ..Problem::default() });
    }
    Checker { document: checker.document, report: checker.report }.names("node", "node", NODES_MAX);
    let mut told = BTreeSet::new();
    let mut taken: BTreeMap<(&str, SocketAddr), Place> = BTreeMap::new();
    for (index, node) in &tables.nodes {
        let row = Place::row("node", *index);
        addresses(checker, row.field("address"), node.addresses());
        let udp = node.udp().map(|at| ("UDP", "sip_udp", at));
        let tcp = node.tcp().map(|at| ("TCP", "sip_tcp", at));
        // QUIC is UDP.
        let link = node.link.map(|link| ("UDP", "link", link.0));
        for (protocol, field, at) in udp.chain(tcp).chain(link).filter(|(_, _, at)| at.port() != 0) {
            let Some(first) = taken.insert((protocol, at), row) else { continue };
            if field == "link" && first.index == *index {
                let what = format!("{at} is taken: SIP over UDP listens there");
                checker.wrong(row.field(field), what, "a port of its own for the link".to_owned());
            } else if first.index != *index && told.insert((*index, at)) {
                let line = checker.at(first);
                let what = format!("{at} is taken: {} listens there too", checker.document.label(first));
                let expected = format!("another address or port; the other node stands in {line}");
                checker.wrong(row.field(field), what, expected);
            }
        }
    }
    links(checker, tables);
    publisher(checker, tables)
}

/// The link between hosts: all nodes or none, each where one peer can reach one node.
fn links(checker: &mut Checker<'_, '_, '_>, tables: &Tables) {
    let Some((with, first)) = tables.nodes.iter().find(|(_, node)| node.link.is_some()) else { return };
    let line = checker.at(Place::row("node", *with).field("link"));
    for (index, node) in &tables.nodes {
        let place = Place::row("node", *index).field("link");
        let Some(link) = node.link else {
            let what = format!("{} has no `link`, so peers on other hosts cannot reach it", node.name);
            let expected = format!("a `link` for every node or for none; {} has one in {line}", first.name);
            checker.wrong(Place::row("node", *index), what, expected);
            continue;
        };
        let ip = link.0.ip();
        if ip.is_unspecified() || ip.is_multicast() {
            let expected = "the address at which its peers reach the node".to_owned();
            checker.wrong(place, format!("{ip} is not an address of one node"), expected);
        }
        if ip.is_ipv6() {
            let expected =
                "an IPv4 address: the engine of the link cannot check a certificate for an IPv6 address".to_owned();
            checker.wrong(place, format!("{ip} cannot be used in a link"), expected);
        }
        if link.0.port() == 0 {
            let expected =
                "a port of its own, such as 7447: peers on other hosts could not know which one is free".to_owned();
            checker.wrong(place, format!("{} has port 0 in its link", node.name), expected);
        }
    }
    if tables.cluster.as_ref().is_some_and(|c| c.secret.is_none()) {
        let what =
            "the nodes are on several hosts and have no `secret` in common: a nonce of one is unknown to the others"
                .to_owned();
        checker.unwise(
            Place::row("cluster", 0),
            what,
            "a line `secret = \"...\"` with at least 16 random characters".to_owned(),
        );
    }
}

fn addresses(checker: &mut Checker<'_, '_, '_>, place: Place, addresses: &[IpAddr]) {
    if addresses.is_empty() || addresses.len() > ADDRESSES_MAX {
        let what = format!("a node with {} addresses", addresses.len());
        checker.wrong(place, what, format!("1 to {ADDRESSES_MAX} addresses"));
    }
    for (n, ip) in addresses.iter().enumerate() {
        if ip.is_unspecified() || ip.is_multicast() {
            let expected = "the address at which phones reach the node: they are told it".to_owned();
            checker.wrong(place.element(n), format!("{ip} is not an address of one node"), expected);
        } else if addresses.iter().take(n).any(|other| other == ip) {
            checker.wrong(place.element(n), format!("the address {ip} stands twice"), "each address once".to_owned());
        }
    }
}

fn publisher(checker: &mut Checker<'_, '_, '_>, tables: &Tables) -> usize {
    let mut publishers = tables.nodes.iter().enumerate().filter(|(_, (_, node))| node.publisher);
    let Some((first, (first_index, first_node))) = publishers.next() else { return 0 };
    for (_, (index, node)) in publishers {
        let line = checker.at(Place::row("node", *first_index));
        let what = format!("{} is a second publisher", node.name);
        let expected = format!("one publisher; {} in {line} is it already", first_node.name);
        checker.wrong(Place::row("node", *index).field("publisher"), what, expected);
    }
    first
}
