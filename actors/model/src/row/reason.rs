//! Why a device is where it is, and why it is no longer there: bounded words for rows, metrics and people.

use std::fmt;

/// Why a device is served by the node that serves it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum RegisterReason {
    /// A later version's reason, or none given.
    Unknown,
    /// Its home: the first member of its group.
    Home,
    /// Every better member is out of service.
    Failover,
    /// It came back to a better member.
    Failback,
    /// A better member is in service, but the device came here: its own path to that one may be broken.
    PathBroken,
    /// It moved while its former node was alive and not worse: two nodes had it, the newest registration won.
    DuplicateMove,
    /// Its node returned and took up the registration of its earlier life.
    Adopted,
}
impl RegisterReason {
    /// All of them.
    pub const ALL: [Self; 7] = [
        Self::Unknown,
        Self::Home,
        Self::Failover,
        Self::Failback,
        Self::PathBroken,
        Self::DuplicateMove,
        Self::Adopted,
    ];
    /// The number in rows.
    pub const fn code(self) -> u8 {
        match self {
            Self::Unknown => 0,
            Self::Home => 1,
            Self::Failover => 2,
            Self::Failback => 3,
            Self::PathBroken => 4,
            Self::DuplicateMove => 5,
            Self::Adopted => 6,
        }
    }
    /// From the number in rows.
    pub fn from_code(code: u8) -> Self {
        Self::ALL.into_iter().find(|r| r.code() == code).unwrap_or(Self::Unknown)
    }
    /// The word used in answers and metrics.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Unknown => "unknown",
            Self::Home => "home",
            Self::Failover => "failover",
            Self::Failback => "failback",
            Self::PathBroken => "path_broken",
            Self::DuplicateMove => "duplicate_move",
            Self::Adopted => "adopted",
        }
    }
}
impl fmt::Display for RegisterReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.word())
    }
}

/// Why a device is no longer registered: names and numbers of CISCO-CCM-MIB (`CcmDevUnregCauseCode`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum UnregisterReason {
    /// Nobody knows.
    Unknown,
    /// The node serves as many devices as it may.
    MaxDevRegExceeded,
    /// The device said so.
    DeviceInitiatedReset,
    /// The node told it to go.
    CallManagerReset,
    /// It did not refresh in time.
    KeepAliveTimeout,
    /// Its node died or started anew.
    CallManagerRestart,
    /// It registered at another node.
    DuplicateRegistration,
    /// It did not answer.
    DeviceNoResponse,
    /// Its address changed.
    SourceIpAddrChanged,
    /// Its port changed.
    SourcePortChanged,
    /// It was called home.
    FallbackInitiated,
    /// Another device took over its identity.
    DeviceSwitch,
}
impl UnregisterReason {
    /// All of them, by number.
    pub const ALL: [Self; 12] = [
        Self::Unknown,
        Self::MaxDevRegExceeded,
        Self::DeviceInitiatedReset,
        Self::CallManagerReset,
        Self::KeepAliveTimeout,
        Self::CallManagerRestart,
        Self::DuplicateRegistration,
        Self::DeviceNoResponse,
        Self::SourceIpAddrChanged,
        Self::SourcePortChanged,
        Self::FallbackInitiated,
        Self::DeviceSwitch,
    ];
    /// The MIB's number.
    pub const fn code(self) -> u8 {
        match self {
            Self::Unknown => 1,
            Self::MaxDevRegExceeded => 5,
            Self::DeviceInitiatedReset => 8,
            Self::CallManagerReset => 9,
            Self::KeepAliveTimeout => 13,
            Self::CallManagerRestart => 15,
            Self::DuplicateRegistration => 16,
            Self::DeviceNoResponse => 18,
            Self::SourceIpAddrChanged => 23,
            Self::SourcePortChanged => 24,
            Self::FallbackInitiated => 28,
            Self::DeviceSwitch => 29,
        }
    }
    /// From the MIB's number.
    pub fn from_code(code: u8) -> Self {
        Self::ALL.into_iter().find(|r| r.code() == code).unwrap_or(Self::Unknown)
    }
    /// The MIB's name.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Unknown => "unknown",
            Self::MaxDevRegExceeded => "maxDevRegExceeded",
            Self::DeviceInitiatedReset => "deviceInitiatedReset",
            Self::CallManagerReset => "callManagerReset",
            Self::KeepAliveTimeout => "keepAliveTimeout",
            Self::CallManagerRestart => "callManagerRestart",
            Self::DuplicateRegistration => "duplicateRegistration",
            Self::DeviceNoResponse => "deviceNoResponse",
            Self::SourceIpAddrChanged => "sourceIPAddrChanged",
            Self::SourcePortChanged => "sourcePortChanged",
            Self::FallbackInitiated => "fallbackInitiated",
            Self::DeviceSwitch => "deviceSwitch",
        }
    }
}
impl fmt::Display for UnregisterReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.word())
    }
}
