//! The replicated row of one registration: device D is served by the owner of this row, at contact C (DESIGN section 2, run-time data).
//!
//! Compact little-endian bytes, versioned, with a length-delimited tail: fields that a later version adds there are kept and written
//! again by a node that does not know them. It must never hold a password.

mod reason;
mod table;
mod wire;

pub use reason::{RegisterReason, UnregisterReason};
pub use table::{BODY_MAX, KIND_REGISTRATION, LaterRow, TableRow};

use crate::error::ModelError;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use tandem_base::{DeviceKey, DeviceName, Rank, Stamp};
use xxhash_rust::xxh3::{xxh3_64_with_seed, xxh3_128_with_seed};

/// Longest contact URI, in bytes; the edge refuses longer ones.
pub const CONTACT_MAX: usize = 512;
/// Longest path (all Path values in one), in bytes; the edge refuses longer ones.
pub const PATH_MAX: usize = 512;
/// Longest tail of later fields, in bytes.
pub const EXTENSIONS_MAX: usize = 4_096;

/// The same on every node and in every version: keys and hashes are compared between nodes.
const KEY_SEED: u64 = 0x7461_6e64_656d_0001;
const HASH_SEED: u64 = 0x7461_6e64_656d_0002;

/// The key of a device in rows.
pub fn device_key(name: &DeviceName) -> DeviceKey {
    device_key_of(name.as_str())
}

/// The key of any text: a device by name, and digest users and numbers in tables of the same kind. Letters count as they are written.
pub fn device_key_of(text: &str) -> DeviceKey {
    device_key_of_bytes(text.as_bytes())
}

/// The same of bytes from a wire. What is no UTF-8 has a key too, which nothing has.
pub fn device_key_of_bytes(text: &[u8]) -> DeviceKey {
    DeviceKey(xxh3_128_with_seed(text, KEY_SEED))
}

/// What carries a device's messages.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Transport {
    /// Datagrams.
    #[default]
    Udp,
    /// A connection; it ends with its node.
    Tcp,
}
impl Transport {
    /// The word used in texts and metrics.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Udp => "udp",
            Self::Tcp => "tcp",
        }
    }
}
impl fmt::Display for Transport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.word())
    }
}

/// The last nonce that a device used, so that a captured answer is no good at another node either.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LastNonce {
    /// When it was issued, in seconds since 1970; 0 when none was used.
    pub time: u32,
    /// Which one of that second.
    pub id: u32,
    /// The highest counter used with it.
    pub nc: u32,
}
impl From<[u32; 3]> for LastNonce {
    fn from([time, id, nc]: [u32; 3]) -> Self {
        Self { time, id, nc }
    }
}
impl From<LastNonce> for [u32; 3] {
    fn from(n: LastNonce) -> Self {
        [n.time, n.id, n.nc]
    }
}

/// One registration as its owner tells it to the other nodes. The owner (node and incarnation) is not in it: rows travel under it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RegistrationRow {
    /// Which device.
    pub device: DeviceKey,
    /// Order of this registration in the cluster: the newest wins.
    pub stamp: Stamp,
    /// Since when the owner serves the device, in seconds since 1970.
    pub since: u32,
    /// When it ends unless refreshed, in whole seconds of the owner's monotonic clock.
    pub expires: u64,
    /// Rank of the owner in the device's group.
    pub rank: Rank,
    /// Over what the device is reached.
    pub transport: Transport,
    /// The address its messages come from.
    pub source: SocketAddr,
    /// Its contact, at most [`CONTACT_MAX`] bytes.
    pub contact: Arc<str>,
    /// The way back through proxies (RFC 3327), at most [`PATH_MAX`] bytes.
    pub path: Option<Arc<str>>,
    /// Hash of the registration's Call-ID.
    pub call_id: u64,
    /// Its last CSeq.
    pub cseq: u32,
    /// The last nonce used.
    pub nonce: LastNonce,
    /// Why it is here: [`RegisterReason::code`]; a later version may know more of them.
    pub reason: u8,
    /// Fields of later versions as they came, at most [`EXTENSIONS_MAX`] bytes.
    pub extensions: Box<[u8]>,
}

impl Default for RegistrationRow {
    fn default() -> Self {
        Self {
            device: DeviceKey::default(),
            stamp: Stamp::default(),
            since: 0,
            expires: 0,
            rank: Rank::HOME,
            transport: Transport::Udp,
            source: SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0)),
            contact: Arc::default(),
            path: None,
            call_id: 0,
            cseq: 0,
            nonce: LastNonce::default(),
            reason: RegisterReason::Unknown.code(),
            extensions: Box::default(),
        }
    }
}

impl RegistrationRow {
    /// The key in the replicated table.
    pub const fn key(&self) -> DeviceKey {
        self.device
    }
    /// When it expires, in whole seconds of its owner's clock.
    pub const fn expires(&self) -> Option<u64> {
        Some(self.expires)
    }
    /// A hash of everything that [`RegistrationRow::encode`] writes, equal on all nodes.
    pub fn hash(&self) -> u64 {
        self.hash_with(&mut Vec::with_capacity(wire::FIXED_MAX + self.contact.len()))
    }
    /// The same, with a buffer to encode into, so that a hot path allocates nothing. The buffer is left with the encoded row.
    pub fn hash_with(&self, scratch: &mut Vec<u8>) -> u64 {
        scratch.clear();
        self.encode(scratch);
        xxh3_64_with_seed(scratch, HASH_SEED)
    }
    /// This row replaces `previous`: texts that are the same in both are held once.
    pub fn share(&mut self, previous: &Self) {
        if self.contact == previous.contact {
            self.contact = Arc::clone(&previous.contact);
        }
        if self.path == previous.path {
            self.path.clone_from(&previous.path);
        }
    }
    /// Reads a field from each part of its memory; the value says nothing. See `tandem_cluster::Row::glance`.
    pub fn glance(&self) -> u64 {
        self.device.0 as u64
            ^ self.stamp.0
            ^ self.contact.len() as u64
            ^ self.extensions.len() as u64
            ^ u64::from(self.source.port())
            ^ u64::from(self.nonce.nc)
            ^ u64::from(self.reason)
    }
    /// Appends the row's bytes. A contact, path or tail beyond its bound is cut there: the edge has refused it before.
    pub fn encode(&self, out: &mut Vec<u8>) {
        wire::encode(self, out);
    }
    /// Reads what [`RegistrationRow::encode`] wrote, from the front of `input`.
    ///
    /// # Errors
    /// [`ModelError`] naming the field that is short or cannot be.
    pub fn decode(input: &mut &[u8]) -> Result<Self, ModelError> {
        wire::decode(input)
    }
    /// Why it is here, as far as this version knows.
    pub fn register_reason(&self) -> RegisterReason {
        RegisterReason::from_code(self.reason)
    }
}

#[cfg(test)]
mod tests;
