//! Names of the field as newtypes over a shared string: validated when read, ordered, transparent in serde.

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::borrow::Borrow;
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

/// Longest name accepted, in bytes.
pub const NAME_LENGTH_MAX: usize = 64;

/// Why a name was refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InvalidName {
    /// What kind of name it should have been ("device", "CallManager group", ...).
    pub kind: &'static str,
    /// The text as given.
    pub value: String,
    /// What would be right.
    pub expected: &'static str,
}
impl fmt::Display for InvalidName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} is not a valid {} name: expected {}", self.value, self.kind, self.expected)
    }
}
impl std::error::Error for InvalidName {}

macro_rules! names {
    ($($(#[$doc:meta])* $name:ident, $kind:literal, $expected:literal, $allowed:expr;)*) => {$(
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(Arc<str>);

        impl $name {
            /// What this kind of name is called in messages to people.
            pub const KIND: &'static str = $kind;
            /// What a valid name looks like.
            pub const EXPECTED: &'static str = $expected;

            /// Checks and takes a name.
            ///
            /// # Errors
            /// [`InvalidName`] when it is empty, too long, or has a character that is not allowed.
            pub fn new(text: &str) -> Result<Self, InvalidName> {
                let allowed: fn(char) -> bool = $allowed;
                if text.is_empty() || text.len() > NAME_LENGTH_MAX || !text.chars().all(allowed) {
                    return Err(InvalidName { kind: $kind, value: text.to_owned(), expected: $expected });
                }
                Ok(Self(Arc::from(text)))
            }
            /// The name as text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }
        impl FromStr for $name {
            type Err = InvalidName;
            fn from_str(text: &str) -> Result<Self, InvalidName> {
                Self::new(text)
            }
        }
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(&self.0)
            }
        }
        impl AsRef<str> for $name {
            fn as_ref(&self) -> &str {
                &self.0
            }
        }
        impl Borrow<str> for $name {
            fn borrow(&self) -> &str {
                &self.0
            }
        }
        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
                s.serialize_str(&self.0)
            }
        }
        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
                Self::new(&String::deserialize(d)?).map_err(serde::de::Error::custom)
            }
        }
    )*};
}

fn plain(c: char) -> bool {
    c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.')
}

names! {
    /// A CallManager (`CCM1`): one call processor of the cluster.
    NodeName, "node", "1 to 64 letters, digits, '-', '_' or '.'", plain;
    /// A CallManager group: an ordered list of 1 to 3 CallManagers.
    GroupName, "CallManager group", "1 to 64 letters, digits, '-', '_' or '.'", plain;
    /// A device pool: ties devices to one group.
    DevicePoolName, "device pool", "1 to 64 letters, digits, '-', '_' or '.'", plain;
    /// A device: phone, gateway, media resource, CTI port or route point (`SEP001122334455`).
    DeviceName, "device", "1 to 64 letters, digits, '-', '_' or '.'", plain;
    /// The user name of a device in SIP digest authentication.
    DigestUser, "digest user", "1 to 64 letters, digits or one of - _ . + ! ~ * ' ( ) & = $ , ; ? /",
        |c| plain(c) || "+!~*'()&=$,;?/".contains(c);
    /// What is dialled: digits, and `*`, `#`, a leading `+`.
    DirectoryNumber, "directory number", "1 to 64 digits, '*' or '#', perhaps after a '+'",
        |c| c.is_ascii_digit() || matches!(c, '*' | '#' | '+');
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_that_could_break_a_header_is_refused() {
        for bad in ["", "a b", "a\r\nb", "a\"b", "<a>", "é", &"x".repeat(65)] {
            assert!(NodeName::new(bad).is_err(), "{bad:?}");
        }
        assert_eq!(NodeName::new("CCM1").map(|n| n.to_string()).as_deref(), Ok("CCM1"));
    }
}
