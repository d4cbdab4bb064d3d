//! The tables `[[device]]`, one device each, and `[[device_series]]`, many that differ only in their number.
//!
//! A series stays one row: its devices exist only while somebody looks at them ([`DeviceSpec`]), so a file of a million is still short.

use super::directory_number;
use super::value::Secret;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::borrow::Cow;
use std::fmt::{self, Write};
use tandem_base::{DeviceName, DevicePoolName, DigestUser, DirectoryNumber};

/// Most devices of a cluster.
pub const DEVICES_MAX: u64 = 2_000_000;
/// Most lines of a device.
pub const LINES_MAX: usize = 64;
/// Most digits of a number in a series.
pub(super) const DIGITS_MAX: u8 = 18;

/// What kind of thing a device is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum DeviceKind {
    /// A phone.
    #[default]
    Phone,
    /// A gateway or trunk.
    Gateway,
    /// A virtual device that an application controls.
    CtiPort,
    /// Where an application receives calls.
    CtiRoutePoint,
    /// Music on hold, conference bridge, transcoder, ...
    MediaResource,
}
impl DeviceKind {
    /// The word in the configuration file.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Phone => "phone",
            Self::Gateway => "gateway",
            Self::CtiPort => "cti-port",
            Self::CtiRoutePoint => "cti-route-point",
            Self::MediaResource => "media-resource",
        }
    }
}
impl fmt::Display for DeviceKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.word())
    }
}

/// `[[device]]`: one device.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Device {
    /// Its name, such as `SEP001122334455`.
    #[schemars(with = "String", length(min = 1, max = 64))]
    pub name: DeviceName,
    /// What kind of thing it is.
    #[serde(default)]
    pub kind: DeviceKind,
    /// Its device pool.
    #[schemars(with = "String", length(min = 1, max = 64))]
    pub pool: DevicePoolName,
    /// For people.
    #[serde(default)]
    pub description: Option<String>,
    /// Its user name in digest authentication; its own name unless given.
    #[serde(default)]
    #[schemars(with = "Option<String>", length(min = 1, max = 64))]
    pub digest_user: Option<DigestUser>,
    /// Its password. Either this, or hashes.
    #[serde(default)]
    pub password: Option<Secret>,
    /// MD5 of `user:realm:password` in hex (RFC 7616 section 3.4.2), instead of a password.
    #[serde(default)]
    pub ha1_md5: Option<Secret>,
    /// SHA-256 of `user:realm:password` in hex, instead of a password.
    #[serde(default)]
    pub ha1_sha256: Option<Secret>,
    /// Its directory numbers; a number may stand on several devices.
    #[serde(default)]
    #[schemars(with = "Vec<String>", length(max = 64))]
    pub lines: Vec<DirectoryNumber>,
}
impl Device {
    /// Its user name in digest authentication.
    pub fn user(&self) -> &str {
        self.digest_user.as_ref().map_or(self.name.as_str(), |u| u.as_str())
    }
    pub(super) fn credential(&self) -> Credential<'_> {
        match (&self.password, &self.ha1_md5, &self.ha1_sha256) {
            (Some(password), _, _) => Credential::Password(password.reveal()),
            (None, None, None) => Credential::None,
            (None, md5, sha256) => Credential::Hashes {
                md5: md5.as_ref().map(Secret::reveal),
                sha256: sha256.as_ref().map(Secret::reveal),
            },
        }
    }
    /// It as one device among others, in a pool by its index.
    pub fn spec(&self, pool: u16) -> DeviceSpec<'_> {
        DeviceSpec {
            name: Cow::Borrowed(self.name.as_str()),
            user: Cow::Borrowed(self.user()),
            kind: self.kind,
            pool,
            description: self.description.as_deref(),
            credential: self.credential(),
            lines: Cow::Borrowed(&self.lines),
        }
    }
}

/// `[[device_series]]`: devices that differ only in their number.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct DeviceSeries {
    /// What their names begin with: `SEP` makes `SEP0001`, ...
    pub prefix: String,
    /// The first number.
    #[serde(default = "one")]
    pub first: u64,
    /// How many devices.
    pub count: u64,
    /// How many digits a number has, filled up with zeros on the left.
    #[schemars(range(min = 1, max = 18))]
    pub digits: u8,
    /// Their device pool.
    #[schemars(with = "String", length(min = 1, max = 64))]
    pub pool: DevicePoolName,
    /// What kind of thing they are.
    #[serde(default)]
    pub kind: DeviceKind,
    /// For people.
    #[serde(default)]
    pub description: Option<String>,
    /// What their user names in digest authentication begin with, before the same number; their own names unless given.
    #[serde(default)]
    pub digest_user_prefix: Option<String>,
    /// Their password, the same for all: for tests and laboratories.
    #[serde(default)]
    pub password: Option<Secret>,
    /// The directory number of the first; each further one has the next. None unless given.
    #[serde(default)]
    #[schemars(with = "Option<String>", length(min = 1, max = 64))]
    pub first_line: Option<DirectoryNumber>,
}

const fn one() -> u64 {
    1
}

impl DeviceSeries {
    /// A prefix and the number of the device at `offset`, with its zeros.
    fn numbered(&self, prefix: &str, offset: u64) -> String {
        let (number, width) = (self.first.saturating_add(offset), usize::from(self.digits));
        let mut text = String::with_capacity(prefix.len() + width);
        text.push_str(prefix);
        // Writing to a text does not fail.
        let _ = write!(text, "{number:0width$}");
        text
    }
    /// The name of the device at `offset`.
    pub fn name(&self, offset: u64) -> String {
        self.numbered(&self.prefix, offset)
    }
    /// The user name of the device at `offset`.
    pub fn user(&self, offset: u64) -> String {
        self.numbered(self.digest_user_prefix.as_deref().unwrap_or(&self.prefix), offset)
    }
    /// The directory number of the device at `offset`.
    pub fn line(&self, offset: u64) -> Option<DirectoryNumber> {
        self.first_line.as_ref().and_then(|first| directory_number::plus(first, offset))
    }
    pub(super) fn spec(&self, offset: u64, pool: u16) -> DeviceSpec<'_> {
        let name = self.name(offset);
        let user = if self.digest_user_prefix.is_some() { self.user(offset) } else { name.clone() };
        DeviceSpec {
            name: Cow::Owned(name),
            user: Cow::Owned(user),
            kind: self.kind,
            pool,
            description: self.description.as_deref(),
            credential: self.password.as_ref().map_or(Credential::None, |p| Credential::Password(p.reveal())),
            lines: Cow::Owned(self.line(offset).into_iter().collect()),
        }
    }
}

/// One device, whether it has a row of its own or is one of a series.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeviceSpec<'a> {
    /// Its name; valid as a [`DeviceName`].
    pub name: Cow<'a, str>,
    /// Its user name in digest authentication; valid as a [`DigestUser`].
    pub user: Cow<'a, str>,
    /// What kind of thing it is.
    pub kind: DeviceKind,
    /// Its pool, as an index into [`super::Config::pools`].
    pub pool: u16,
    /// For people.
    pub description: Option<&'a str>,
    /// How it proves who it is.
    pub credential: Credential<'a>,
    /// Its directory numbers.
    pub lines: Cow<'a, [DirectoryNumber]>,
}

/// How a device proves who it is. Not shown by `Debug`.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Credential<'a> {
    /// It has none; good only where `digest = false`.
    None,
    /// A password in the clear.
    Password(&'a str),
    /// Hashes of user, realm and password in hex; there is one for each algorithm that the cluster offers.
    Hashes {
        /// MD5, 32 hex digits.
        md5: Option<&'a str>,
        /// SHA-256, 64 hex digits.
        sha256: Option<&'a str>,
    },
}
impl fmt::Debug for Credential<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::None => "None",
            Self::Password(_) => "Password(secret)",
            Self::Hashes { .. } => "Hashes(secret)",
        })
    }
}
