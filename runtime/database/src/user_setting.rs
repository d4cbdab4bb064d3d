//! User settings: what a user sets at the phone (call forward all, do not disturb, message waiting). Written at any node, also
//! while the publisher is away; per device and field the newest stamp wins everywhere.

use crate::row::RowHash;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::fmt;
use tandem_base::{NodeName, UnixMillis};

/// Longest value as JSON, in bytes.
pub const USER_VALUE_BYTES_MAX: usize = 1_024;
/// Into how many parts the set is cut when two copies are compared.
pub const BUCKETS: usize = 256;

/// Which setting.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum UserField {
    /// Where all calls go.
    CallForwardAll,
    /// Whether the phone is left alone.
    DoNotDisturb,
    /// Whether a message waits.
    MessageWaiting,
}
impl UserField {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::CallForwardAll, Self::DoNotDisturb, Self::MessageWaiting];
    /// Its word.
    pub const fn word(self) -> &'static str {
        match self {
            Self::CallForwardAll => "call_forward_all",
            Self::DoNotDisturb => "do_not_disturb",
            Self::MessageWaiting => "message_waiting",
        }
    }
    /// From its word.
    pub fn from_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|f| f.word() == word)
    }
}
impl fmt::Display for UserField {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.word())
    }
}

/// One setting of one device.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct UserSetting {
    /// Of which device.
    pub device: String,
    /// Which setting.
    pub field: UserField,
    /// Its value; `None` when it was taken back. The row stays, so that an older value elsewhere does not come back.
    pub value: Option<Value>,
    /// When it was set. Later than any earlier stamp of the same device and field, whatever the node's clock says.
    pub at: UnixMillis,
    /// Who set it.
    pub author: String,
    /// At which node it was written.
    pub node: NodeName,
}
impl UserSetting {
    /// Whether it wins over another value of the same device and field: the later, then the higher node name, then the greater value (one
    /// node never gives one stamp twice, unless its disk was rolled back).
    pub fn beats(&self, other: &Self) -> bool {
        let value = |s: &Self| s.value.as_ref().map(ToString::to_string);
        (self.at, &self.node).cmp(&(other.at, &other.node)).then_with(|| value(self).cmp(&value(other))).is_gt()
    }
    pub(crate) fn canonical(&self) -> String {
        serde_json::to_string(self).unwrap_or_default()
    }
    pub(crate) fn hash(&self) -> RowHash {
        RowHash::of("user_setting", &self.device, &self.canonical())
    }
    /// In which part of the set a device's settings are.
    pub(crate) fn bucket_of(device: &str) -> usize {
        usize::try_from(RowHash::of("bucket", device, "").0 % BUCKETS as u128).unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_wins_and_ties_have_one_winner() {
        let setting = |at, node: &str, value: Option<&str>| UserSetting {
            device: "SEP1".into(),
            field: UserField::CallForwardAll,
            value: value.map(Value::from),
            at: UnixMillis(at),
            author: String::new(),
            node: NodeName::new(node).unwrap(),
        };
        assert!(setting(2, "A", None).beats(&setting(1, "B", Some("1"))));
        assert!(setting(1, "B", None).beats(&setting(1, "A", Some("1"))));
        assert!(setting(1, "A", Some("2")).beats(&setting(1, "A", Some("1"))));
        assert!(!setting(1, "A", None).beats(&setting(1, "A", None)));
    }
}
