//! What a token may be good for, beside its role: the words in its `scopes`.
//!
//! A token does what both its role and its scopes allow. One without scopes does everything that its role may.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::fmt;

/// A part of the API.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
pub enum Scope {
    /// See nodes, groups, devices and events.
    #[serde(rename = "status")]
    Status,
    /// Stop and start nodes, call devices home, release and reset devices.
    #[serde(rename = "operate")]
    Operate,
    /// Read the configuration and its history.
    #[serde(rename = "config:read")]
    ConfigRead,
    /// Change the configuration, move the publisher.
    #[serde(rename = "config:write")]
    ConfigWrite,
    /// Read and set what users set for their devices.
    #[serde(rename = "settings")]
    Settings,
    /// Users and tokens.
    #[serde(rename = "users")]
    Users,
    /// Read the audit log.
    #[serde(rename = "audit")]
    Audit,
}
impl Scope {
    /// All scopes.
    pub const ALL: [Self; 7] =
        [Self::Status, Self::Operate, Self::ConfigRead, Self::ConfigWrite, Self::Settings, Self::Users, Self::Audit];
    /// The word in a token.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Status => "status",
            Self::Operate => "operate",
            Self::ConfigRead => "config:read",
            Self::ConfigWrite => "config:write",
            Self::Settings => "settings",
            Self::Users => "users",
            Self::Audit => "audit",
        }
    }
    /// From its word.
    pub fn from_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|s| s.word() == word)
    }
}
impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.word())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_those_of_json_and_come_back() {
        for scope in Scope::ALL {
            assert_eq!(serde_json::to_value(scope).unwrap(), serde_json::Value::from(scope.word()));
            assert_eq!(Scope::from_word(scope.word()), Some(scope));
        }
    }
}
