//! The table `[settings]`: how the nodes of the cluster behave. Every field has a default.

use super::value::HumanDuration;
use crate::timings;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

/// A digest algorithm (RFC 7616, RFC 8760).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
pub enum Algorithm {
    /// What every phone knows.
    #[serde(rename = "MD5")]
    Md5,
    /// What newer phones know.
    #[serde(rename = "SHA-256")]
    Sha256,
}
impl Algorithm {
    /// The word in the configuration file and in SIP.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Md5 => "MD5",
            Self::Sha256 => "SHA-256",
        }
    }
}
impl fmt::Display for Algorithm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.word())
    }
}

/// What becomes of a registration with several contacts: one device has one registration.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum MultipleContacts {
    /// It is refused.
    #[default]
    Refuse,
    /// The contact that the phone likes best replaces what was there.
    Replace,
}

/// `[settings]`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// Whether devices must prove who they are. False only in a closed network or a benchmark.
    pub digest: bool,
    /// Digest algorithms that are offered, best first (docs/decisions/0005).
    pub algorithms: Vec<Algorithm>,
    /// Shortest registration granted, in seconds; who asks for less is refused and told (RFC 3261 section 10.3).
    pub min_expires: u32,
    /// Longest registration granted, in seconds.
    pub max_expires: u32,
    /// Granted to who does not say how long, in seconds.
    pub default_expires: u32,
    /// Granted expiry is drawn at random between this share and all of what was asked, so that a storm does not repeat; 0.5 to 1.
    pub expires_spread: f64,
    /// Registrations a node takes per second; refreshes do not count.
    pub registrations_per_second: u32,
    /// Registrations a node takes at once after a pause.
    pub registrations_burst: u32,
    /// Devices a node calls home per second.
    pub failback_per_second: u32,
    /// How long a nonce is good.
    pub nonce_lifetime: HumanDuration,
    /// What becomes of a registration with several contacts.
    pub multiple_contacts: MultipleContacts,
    /// Most TCP connections of a node.
    pub tcp_connections: u32,
    /// A TCP connection over which no device is registered is closed after this much silence.
    pub tcp_idle: HumanDuration,
    /// Longest message over TCP, header section and body together, in bytes (1024 to 65535).
    pub tcp_message_bytes: u32,
    /// Most bytes that wait for one TCP peer; beyond it the connection is closed.
    pub tcp_queue_bytes: u32,
    /// A TCP peer that takes no byte for this long is gone.
    pub tcp_write_timeout: HumanDuration,
    /// Between two heartbeats of nodes.
    pub heartbeat: HumanDuration,
    /// Silence after which a node is suspect.
    pub suspect_after: HumanDuration,
    /// Silence after which a node is dead.
    pub dead_after: HumanDuration,
    /// How often each node writes its run-time tables to the state folder, so that a cluster that was off as a whole knows its phones
    /// again; `"0s"` for never. At an orderly stop they are written, too.
    pub tables_every: HumanDuration,
    /// State folder, unless `--state` or `$TANDEM_STATE` names one; the usual place when nobody does.
    pub state_dir: Option<PathBuf>,
    /// Folder with the certificates of the link between hosts; `certificates` in the state folder unless given.
    pub certificates: Option<PathBuf>,
    /// Where the process is controlled, on loopback; port 0 takes any free one. Of several processes the first node's has this port, and
    /// each further one the next.
    pub control: SocketAddr,
    /// Lets a request make its device's actor panic, to prove containment. For tests only.
    pub fault_injection: bool,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            digest: true,
            algorithms: vec![Algorithm::Md5],
            min_expires: 60,
            max_expires: 3_600,
            default_expires: 3_600,
            expires_spread: 0.8,
            registrations_per_second: 1_000,
            registrations_burst: 1_000,
            failback_per_second: 100,
            nonce_lifetime: HumanDuration(Duration::from_secs(300)),
            multiple_contacts: MultipleContacts::Refuse,
            tcp_connections: 100_000,
            tcp_idle: HumanDuration(Duration::from_secs(60)),
            tcp_message_bytes: 65_535,
            tcp_queue_bytes: 262_144,
            tcp_write_timeout: HumanDuration(Duration::from_secs(5)),
            heartbeat: HumanDuration(timings::HEARTBEAT),
            suspect_after: HumanDuration(timings::SUSPECT_AFTER),
            dead_after: HumanDuration(timings::DEAD_AFTER),
            tables_every: HumanDuration(timings::TABLES_EVERY),
            state_dir: None,
            certificates: None,
            control: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
            fault_injection: false,
        }
    }
}
