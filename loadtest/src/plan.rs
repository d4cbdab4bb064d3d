//! Which phones a fleet has: plain data, checked as a whole before the first socket is opened.
//!
//! It knows nothing of configuration tables: whoever has some turns them into groups. Every error names the group and
//! what would be right.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use crate::{Error, Identity, MAX_SERVERS, PhoneSettings, Profile, Transport};

/// Most phones of one fleet: one thread drives them all.
pub const PHONES_MAX: usize = 1_000_000;
/// Most sockets of one fleet unless the plan says less: below the usual open-file limit of 20,000.
pub const SOCKETS_MAX: usize = 19_000;
/// Most TCP streams of one phone: to each CallManager of its list, and one more while the list changes.
pub const STREAMS_PER_PHONE: usize = MAX_SERVERS + 1;
/// The network for benchmarks, and how many of its bits are fixed.
const BENCHMARK: (Ipv4Addr, u32) = (Ipv4Addr::new(198, 18, 0, 0), 15);
/// Loopback addresses 127.64.0.0 to 127.127.255.255 are given to phones that want their own.
const OWN_ADDRESSES: u32 = 64 << 16;

/// Whether simulated phones may talk to an address: this host's loopback, or the network that is set aside for benchmarks and that nobody
/// routes (198.18.0.0/15, RFC 2544 appendix C.2.2), as between network namespaces.
pub fn may_talk_to(address: IpAddr) -> bool {
    address.is_loopback() || is_benchmark(address)
}

fn is_benchmark(address: IpAddr) -> bool {
    let IpAddr::V4(address) = address else { return false };
    let (_, bits) = BENCHMARK;
    (address.to_bits() ^ BENCHMARK.0.to_bits()) >> (u32::BITS - bits) == 0
}

/// Where the phones of a group send from. Ports are always chosen by the system.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// Up to so many phones behind one UDP socket on 127.0.0.1 or ::1.
    Shared {
        /// Phones per socket, at least 1.
        per_socket: usize,
    },
    /// As shared, the sockets taking turns on so many loopback addresses (IPv4 only).
    Spread {
        /// Phones per socket, at least 1.
        per_socket: usize,
        /// Addresses, at least 1.
        addresses: u32,
    },
    /// Each phone has a socket on a loopback address of its own (IPv4 only), so that limits per source act as in life.
    OnePerPhone,
    /// As shared, on this address of the phones' host.
    At {
        /// One that [`may_talk_to`] allows.
        address: IpAddr,
        /// Phones per socket, at least 1.
        per_socket: usize,
    },
}

impl Default for Source {
    fn default() -> Self {
        // So many answers at once still fit the receive buffer that a system gives unasked.
        Self::Shared { per_socket: 250 }
    }
}

/// Phones that share their list of CallManagers and their behaviour.
#[derive(Clone, Debug)]
pub struct PhoneGroup {
    /// For messages to people.
    pub name: String,
    /// The domain of every address-of-record.
    pub domain: String,
    /// The CallManagers, best first: 1 to 3 distinct addresses that [`may_talk_to`] allows.
    pub servers: Vec<SocketAddr>,
    /// How the phones behave.
    pub settings: PhoneSettings,
    /// Where they send from.
    pub source: Source,
    /// Who they are; their order gives them their numbers.
    pub phones: Vec<Identity>,
    /// They shall be refused, because their password is wrong: a refusal is right, and a registration is a failure.
    pub refused: bool,
}

impl PhoneGroup {
    /// A group with default behaviour and shared sockets.
    pub fn new(name: &str, domain: &str, servers: &[SocketAddr], phones: impl IntoIterator<Item = Identity>) -> Self {
        Self {
            name: name.to_owned(),
            domain: domain.to_owned(),
            servers: servers.to_vec(),
            settings: PhoneSettings::default(),
            source: Source::default(),
            phones: phones.into_iter().collect(),
            refused: false,
        }
    }

    /// Most TCP streams of one of its phones: to every CallManager that it watches, and one more while it moves.
    pub fn streams_per_phone(&self) -> usize {
        match (self.servers.len(), self.settings.standby_heartbeat) {
            (0 | 1, _) => 1,
            (_, None) => 2,
            (servers, Some(_)) => servers.min(MAX_SERVERS) + 1,
        }
    }
}

impl Identity {
    /// From a pattern in which a run of `#` stands for the number, padded with zeros to the length of the run:
    /// `SEP00000000####` and 7 give `SEP000000000007`. The digest user is the user.
    pub fn numbered(pattern: &str, number: u32, password: &str) -> Self {
        let user = fill(pattern, number);
        Self { digest_user: user.clone(), user, password: fill(password, number) }
    }
}

fn fill(pattern: &str, number: u32) -> String {
    let Some(start) = pattern.find('#') else { return pattern.to_owned() };
    let (before, rest) = pattern.split_at_checked(start).unwrap_or((pattern, ""));
    let after = rest.trim_start_matches('#');
    let width = rest.len() - after.len();
    format!("{before}{number:0width$}{after}")
}

/// Everything a fleet is made of.
#[derive(Clone, Debug)]
pub struct FleetConfig {
    /// The groups. Phones are numbered through, group after group, from 0.
    pub groups: Vec<PhoneGroup>,
    /// Phones switched on per second while the fleet starts, in their order. At least 1.
    pub starts_per_second: u32,
    /// Phones stay off until [`crate::FleetHandle::schedule`] says when.
    pub hold: bool,
    /// All randomness comes from it: tags, branches, jitter.
    pub seed: u64,
    /// Most sockets, TCP streams included.
    pub sockets_max: usize,
    /// How many lines of the phones' history are kept for [`crate::FleetHandle::history`], the newest.
    pub history: usize,
}

impl FleetConfig {
    /// With 1,000 starts per second.
    pub fn new(groups: Vec<PhoneGroup>, seed: u64) -> Self {
        Self { groups, starts_per_second: 1_000, hold: false, seed, sockets_max: SOCKETS_MAX, history: 10_000 }
    }

    /// How many phones there are.
    pub fn phones(&self) -> usize {
        self.groups.iter().map(|g| g.phones.len()).sum()
    }

    /// How many sockets are needed; streams are counted at their bound.
    pub fn sockets(&self) -> usize {
        let per_group = |g: &PhoneGroup| match (g.settings.transport, g.source) {
            (Transport::Tcp, _) => g.phones.len().saturating_mul(g.streams_per_phone()),
            (Transport::Udp, Source::OnePerPhone) => g.phones.len(),
            (
                Transport::Udp,
                Source::Shared { per_socket } | Source::Spread { per_socket, .. } | Source::At { per_socket, .. },
            ) => g.phones.len().div_ceil(per_socket.max(1)),
        };
        self.groups.iter().map(per_group).sum()
    }

    /// Checks the whole plan.
    ///
    /// # Errors
    /// What is wrong, in which group, and what would be right.
    pub fn check(&self) -> Result<(), Error> {
        let (phones, sockets) = (self.phones(), self.sockets());
        if phones > PHONES_MAX {
            return Err(Error::TooManyPhones { asked: phones, limit: PHONES_MAX });
        }
        if sockets > self.sockets_max {
            return Err(Error::TooManySockets { needed: sockets, limit: self.sockets_max });
        }
        if self.starts_per_second == 0 {
            return Err(Error::Plan {
                what: "starts_per_second is 0: no phone would ever start; use 1 or more".into(),
            });
        }
        let mut users = BTreeSet::new();
        for group in &self.groups {
            group.check()?;
            for who in &group.phones {
                who.check()?;
                if !users.insert(who.user.as_str()) {
                    return Err(Error::Twice { user: who.user.clone() });
                }
            }
        }
        Ok(())
    }
}

impl PhoneGroup {
    fn check(&self) -> Result<(), Error> {
        Profile::new(&self.domain, &self.servers, self.settings.clone())?;
        for &address in &self.servers {
            if !may_talk_to(address.ip()) {
                return Err(Error::TooFar { group: self.name.clone(), address: address.ip() });
            }
            if address.port() == 0 {
                return Err(Error::NoPort { group: self.name.clone(), address });
            }
        }
        let v6 = self.servers.iter().filter(|a| a.is_ipv6()).count();
        if v6 != 0 && v6 != self.servers.len() {
            let what = format!(
                "group {:?} mixes IPv4 and IPv6 CallManagers; a phone has one address, so use one kind",
                self.name
            );
            return Err(Error::Plan { what });
        }
        match self.source {
            Source::OnePerPhone | Source::Spread { .. } if v6 > 0 => {
                Err(Error::SourcePerPhone { group: self.name.clone() })
            }
            Source::At { address, .. } if !may_talk_to(address) => {
                Err(Error::TooFar { group: self.name.clone(), address })
            }
            Source::Shared { per_socket: 0 }
            | Source::Spread { per_socket: 0, .. }
            | Source::At { per_socket: 0, .. } => {
                Err(Error::Plan { what: format!("group {:?}: per_socket is 0; use 1 or more", self.name) })
            }
            Source::Spread { addresses: 0, .. } => {
                Err(Error::Plan { what: format!("group {:?}: addresses is 0; use 1 or more", self.name) })
            }
            _ => Ok(()),
        }
    }

    /// The address that phone `number` of the fleet sends from.
    pub(crate) fn source_ip(&self, number: u32) -> IpAddr {
        let own = |number: u32| {
            let [_, b, c, d] = (OWN_ADDRESSES + number % OWN_ADDRESSES).to_be_bytes();
            IpAddr::from([127, b, c, d])
        };
        match (self.source, self.servers.first()) {
            (Source::OnePerPhone, _) => own(number),
            (Source::Spread { per_socket, addresses }, _) => {
                let socket = number / u32::try_from(per_socket.max(1)).unwrap_or(u32::MAX);
                own(socket % addresses.max(1))
            }
            (Source::At { address, .. }, _) => address,
            (Source::Shared { .. }, Some(SocketAddr::V6(_))) => IpAddr::V6(std::net::Ipv6Addr::LOCALHOST),
            (Source::Shared { .. }, _) => IpAddr::V4(Ipv4Addr::LOCALHOST),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn group(servers: &[&str], count: u32) -> PhoneGroup {
        let servers: Vec<SocketAddr> = servers.iter().map(|s| s.parse().expect("an address")).collect();
        PhoneGroup::new("G1", "tandem.test", &servers, (0..count).map(|n| Identity::numbered("SEP####", n, "s#")))
    }
    fn error_of(group: PhoneGroup) -> String {
        FleetConfig::new(vec![group], 1).check().expect_err("must be refused").to_string()
    }

    #[test]
    fn a_pattern_pads_its_number_to_the_length_of_the_marks() {
        assert_eq!(Identity::numbered("SEP####X", 7, "pw-##").user, "SEP0007X");
        assert_eq!(Identity::numbered("SEP####", 7, "pw-##").password, "pw-07");
        assert_eq!(Identity::numbered("SEP#", 123, "p").digest_user, "SEP123");
        assert_eq!(Identity::numbered("plain", 7, "p").user, "plain");
    }

    #[test]
    fn an_address_beyond_the_host_is_refused_with_its_group() {
        let text = error_of(group(&["127.0.0.1:5060", "192.0.2.1:5060"], 1));
        assert!(text.contains("G1") && text.contains("192.0.2.1") && text.contains("127.0.0.0/8"), "{text}");
        for address in ["[2001:db8::1]:5060", "0.0.0.0:5060", "198.17.255.255:5060", "198.20.0.0:5060"] {
            assert!(error_of(group(&[address], 1)).contains("198.18.0.0/15"), "{address}");
        }
        let from = Source::At { address: IpAddr::from([192, 0, 2, 1]), per_socket: 10 };
        assert!(error_of(PhoneGroup { source: from, ..group(&["198.18.0.1:5060"], 1) }).contains("192.0.2.1"));
        let from = Source::At { address: IpAddr::from([198, 19, 255, 255]), per_socket: 10 };
        let there = PhoneGroup { source: from, ..group(&["198.18.0.1:5060", "198.19.255.255:5060"], 25) };
        assert_eq!(there.source_ip(24), IpAddr::from([198, 19, 255, 255]));
        let config = FleetConfig::new(vec![there], 1);
        assert_eq!((config.sockets(), config.check().is_ok()), (3, true));
    }

    #[test]
    fn what_cannot_work_is_refused() {
        assert!(error_of(group(&["127.0.0.1:0"], 1)).contains("port 0"));
        assert!(error_of(group(&["127.0.0.1:5060", "[::1]:5060"], 1)).contains("mixes"));
        assert!(error_of(group(&["127.0.0.1:5060", "127.0.0.1:5060"], 1)).contains("distinct"));
        assert!(error_of(group(&[], 1)).contains("1 to 3"));
        let shared_by_none = PhoneGroup { source: Source::Shared { per_socket: 0 }, ..group(&["127.0.0.1:5060"], 1) };
        assert!(error_of(shared_by_none).contains("per_socket"));
        let own = PhoneGroup { source: Source::OnePerPhone, ..group(&["[::1]:5060"], 1) };
        assert!(error_of(own).contains("IPv6"));
    }

    #[test]
    fn names_are_unique_and_secrets_never_show() {
        let mut twice = group(&["127.0.0.1:5060"], 2);
        twice.phones[1].user = "SEP0000".into();
        assert!(error_of(twice).contains("SEP0000"));
        let mut bad = group(&["127.0.0.1:5060"], 1);
        bad.phones[0].user = "a\r\nEvil: 1".into();
        assert!(error_of(bad).contains("user"));
        let who = Identity::numbered("SEP####", 7, "hidden");
        assert!(!format!("{who:?}").contains("hidden"));
    }

    #[test]
    fn sockets_are_counted_before_any_is_opened() {
        let shared = PhoneGroup { source: Source::Shared { per_socket: 10 }, ..group(&["127.0.0.1:5060"], 25) };
        let own = PhoneGroup { source: Source::OnePerPhone, ..group(&["127.0.0.1:5060"], 25) };
        let tcp = PhoneSettings { transport: Transport::Tcp, ..PhoneSettings::default() };
        let tcp = PhoneGroup { settings: tcp, ..group(&["127.0.0.1:5060"], 25) };
        let count = |g: &PhoneGroup| FleetConfig::new(vec![g.clone()], 1).sockets();
        // One CallManager: a stream to it is all that a phone ever has.
        assert_eq!((count(&shared), count(&own), count(&tcp)), (3, 25, 25));
        let two = PhoneGroup { servers: group(&["127.0.0.1:5060", "127.0.0.1:5061"], 0).servers, ..tcp.clone() };
        let alone = PhoneSettings { standby_heartbeat: None, ..tcp.settings };
        assert_eq!((count(&two), count(&PhoneGroup { settings: alone, ..two.clone() })), (75, 50));
        let few = FleetConfig { sockets_max: 24, ..FleetConfig::new(vec![own], 1) };
        assert!(matches!(few.check(), Err(Error::TooManySockets { needed: 25, limit: 24 })));
    }

    #[test]
    fn phones_with_an_address_of_their_own_differ_and_stay_loopback() {
        let own = PhoneGroup { source: Source::OnePerPhone, ..group(&["127.0.0.1:5060"], 1) };
        let addresses: BTreeSet<IpAddr> = (0..70_000).map(|n| own.source_ip(n)).collect();
        assert_eq!(addresses.len(), 70_000);
        assert!(addresses.iter().all(IpAddr::is_loopback));
        let spread = Source::Spread { per_socket: 10, addresses: 7 };
        let spread = PhoneGroup { source: spread, ..own };
        let addresses: BTreeSet<IpAddr> = (0..1_000).map(|n| spread.source_ip(n)).collect();
        assert_eq!(addresses.len(), 7);
        assert!(addresses.iter().all(IpAddr::is_loopback));
        assert_eq!(spread.source_ip(0), spread.source_ip(9), "one socket has one address");
    }
}
