//! What one node says to another beside the replicated rows: JSON in a versioned envelope, carried by the cluster engine's signals.
//!
//! A receiver ignores fields it does not know and answers [`Signal::Unknown`] for a kind it does not know: nodes of two versions work together.

use crate::error::ModelError;
use serde::{Deserialize, Serialize};
use tandem_base::{DeviceName, GroupName, NodeName, UnixMillis};

/// Version of the words below.
pub const VERSION: u32 = 1;
/// Longest encoded signal that is read, in bytes; the cluster engine's own bound is the same.
pub const BYTES_MAX: usize = 32_768;

/// Cases in one [`Signal::Quarantine`]: with the longest names they fit into [`BYTES_MAX`].
pub const CASES_MAX: usize = 100;

/// What is known of one device whose messages made its actor panic.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct QuarantineCase {
    /// Which device.
    pub device: DeviceName,
    /// Panics that count; 0 once somebody let it out.
    pub panics: u8,
    /// Where the last one was, or where it was let out.
    pub node: NodeName,
    /// When. The order of words about a device: whoever knows a later moment moves on from there.
    pub at: UnixMillis,
}

/// What one node says to another.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "kind")]
#[non_exhaustive]
pub enum Signal {
    /// An operator started the return of a group's devices: call home those that you serve, at your pace.
    Failback {
        /// Which group.
        group: GroupName,
    },
    /// How many devices of a group would you call home, and what do they wait for? Answered by [`Signal::FailbackCount`].
    FailbackAsk {
        /// Which group.
        group: GroupName,
    },
    /// The answer to [`Signal::FailbackAsk`].
    FailbackCount {
        /// Which group.
        group: GroupName,
        /// Devices that are not at the best member in service.
        would_move: u64,
        /// Those of them with a call.
        busy: u64,
    },
    /// Is this device yours? Answered by [`Signal::DeviceAt`].
    DeviceAsk {
        /// Which device.
        device: DeviceName,
    },
    /// The answer to [`Signal::DeviceAsk`].
    DeviceAt {
        /// Which device.
        device: DeviceName,
        /// The node that serves it, as the answering node knows.
        node: Option<NodeName>,
    },
    /// Let a device out of quarantine if you hold it there.
    DeviceRelease {
        /// Which device.
        device: DeviceName,
    },
    /// What the sender knows of devices whose messages made their actor panic. The newest word about each counts.
    Quarantine {
        /// At most [`CASES_MAX`] of them.
        cases: Vec<QuarantineCase>,
    },
    /// A kind of a later version.
    #[serde(other)]
    Unknown,
}

#[derive(Serialize)]
struct Out<'a> {
    v: u32,
    #[serde(flatten)]
    signal: &'a Signal,
}

#[derive(Deserialize)]
struct In {
    #[serde(flatten)]
    signal: Signal,
}

impl Signal {
    /// The bytes for the wire.
    ///
    /// # Errors
    /// [`ModelError::Signal`] when it would be longer than [`BYTES_MAX`].
    pub fn encode(&self) -> Result<Vec<u8>, ModelError> {
        let bytes = serde_json::to_vec(&Out { v: VERSION, signal: self });
        let bytes = bytes.map_err(|e| ModelError::Signal(e.to_string()))?;
        if bytes.len() > BYTES_MAX {
            return Err(ModelError::Signal(format!("{} bytes, at most {BYTES_MAX}", bytes.len())));
        }
        Ok(bytes)
    }
    /// Reads what [`Signal::encode`] wrote, of this or another version.
    ///
    /// # Errors
    /// [`ModelError::Signal`] when it is no signal at all.
    pub fn decode(bytes: &[u8]) -> Result<Self, ModelError> {
        if bytes.len() > BYTES_MAX {
            return Err(ModelError::Signal(format!("{} bytes, at most {BYTES_MAX}", bytes.len())));
        }
        let read: Result<In, _> = serde_json::from_slice(bytes);
        read.map(|r| r.signal).map_err(|e| ModelError::Signal(e.to_string()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signal_survives_the_way_to_a_peer() {
        let signal = Signal::FailbackCount { group: GroupName::new("G1").unwrap(), would_move: 300, busy: 2 };
        let bytes = signal.encode().unwrap();
        assert!(bytes.starts_with(br#"{"v":1,"kind":"failback_count""#), "{}", String::from_utf8_lossy(&bytes));
        assert_eq!(Signal::decode(&bytes), Ok(signal));
    }

    #[test]
    fn as_many_cases_as_one_signal_may_have_fit_into_it_with_the_longest_names() {
        let longest = "x".repeat(64);
        assert!(DeviceName::new(&format!("{longest}x")).is_err(), "there are longer names");
        let case = QuarantineCase {
            device: DeviceName::new(&longest).unwrap(),
            panics: 2,
            node: NodeName::new(&longest).unwrap(),
            at: UnixMillis(1_700_000_000_000),
        };
        let signal = Signal::Quarantine { cases: vec![case; CASES_MAX] };
        assert_eq!(Signal::decode(&signal.encode().unwrap()), Ok(signal));
    }

    #[test]
    fn a_kind_of_a_later_version_is_unknown_and_a_later_field_is_skipped() {
        assert_eq!(Signal::decode(br#"{"v":9,"kind":"beam_up"}"#), Ok(Signal::Unknown));
        assert_eq!(Signal::decode(br#"{"v":9,"kind":"beam_up","whom":{"name":"Scotty"}}"#), Ok(Signal::Unknown));
        let later = br#"{"v":2,"kind":"device_release","device":"SEP1","why":"asked"}"#;
        assert_eq!(Signal::decode(later), Ok(Signal::DeviceRelease { device: DeviceName::new("SEP1").unwrap() }));
    }

    #[test]
    fn what_is_no_signal_is_refused() {
        for bad in [&b"{}"[..], b"", b"[1]", br#"{"kind":"failback"}"#, br#"{"kind":"failback","group":"a b"}"#] {
            assert!(Signal::decode(bad).is_err(), "{}", String::from_utf8_lossy(bad));
        }
        assert!(Signal::decode(&vec![b' '; BYTES_MAX + 1]).is_err());
    }
}
