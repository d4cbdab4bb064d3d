//! What can be wrong with a plan or a fleet, in words for people.

use std::net::{IpAddr, SocketAddr};

/// Errors of this crate. Nothing that a CallManager answers is one: answers are counted.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A phone needs its ordered list.
    #[error("a phone needs 1 to 3 distinct CallManager addresses, best first; given: {given:?}")]
    Servers {
        /// What was given.
        given: Vec<SocketAddr>,
    },
    /// The domain goes into every request.
    #[error(
        "domain {given:?} cannot stand in a SIP URI: use a host name or address of up to 255 characters, such as cluster.example"
    )]
    Domain {
        /// What was given.
        given: String,
    },
    /// A name or secret cannot be used.
    #[error(
        "phone {user:?}: the {wrong} is empty, too long (user and digest user 64, password 128 characters) or not writable in SIP"
    )]
    Identity {
        /// Which phone.
        user: String,
        /// Which of its pieces.
        wrong: &'static str,
    },
    /// Simulated phones never reach beyond the host, or a network for benchmarks.
    #[error(
        "group {group:?}: {address} is too far away; simulated phones talk to 127.0.0.0/8, ::1 and the network for benchmarks (198.18.0.0/15) only"
    )]
    TooFar {
        /// Which group of the plan.
        group: String,
        /// The offending address.
        address: IpAddr,
    },
    /// Port 0 cannot be sent to.
    #[error("group {group:?}: CallManager {address} has port 0; give the port it listens on")]
    NoPort {
        /// Which group of the plan.
        group: String,
        /// The offending address.
        address: SocketAddr,
    },
    /// The bound of the fleet.
    #[error("{asked} phones asked for, at most {limit} fit into one fleet")]
    TooManyPhones {
        /// How many.
        asked: usize,
        /// The bound.
        limit: usize,
    },
    /// The open-file limit.
    #[error(
        "the plan needs {needed} sockets, at most {limit} are allowed; share sockets among more phones or use fewer TCP phones"
    )]
    TooManySockets {
        /// How many.
        needed: usize,
        /// The bound.
        limit: usize,
    },
    /// Requests to a phone are told apart by user.
    #[error("two phones are named {user:?}; names are unique within a fleet")]
    Twice {
        /// The name.
        user: String,
    },
    /// A source address per phone needs 127.0.0.0/8.
    #[error(
        "group {group:?}: one source address per phone needs IPv4 CallManagers; IPv6 loopback has one address only, share it"
    )]
    SourcePerPhone {
        /// Which group of the plan.
        group: String,
    },
    /// A group without phones or a wrong pace.
    #[error("plan: {what}")]
    Plan {
        /// What is wrong and what would be right.
        what: String,
    },
    /// The operating system said no.
    #[error("{what}: {source}")]
    Io {
        /// What was tried.
        what: String,
        /// Why it failed.
        source: std::io::Error,
    },
}
