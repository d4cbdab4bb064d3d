//! The answers of the configuration that have no type of their own in [`super::ConfigReply`], for who reads them: clients and the
//! OpenAPI document.
//!
//! A test holds them to what is sent.

use super::{AuditEntry, ConfigChange, RowDiff, RowUse, UnsentChange};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use tandem_base::NodeName;

/// Who refers to a row.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct UsesBody {
    /// Some of them.
    pub uses: Vec<RowUse>,
    /// How many there are beyond these.
    pub more: u64,
}
/// Changes, newest first.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct HistoryBody {
    /// A page of them.
    pub changes: Vec<ConfigChange>,
    /// The cursor of the next page; none on the last.
    pub next: Option<u64>,
}
/// One change with its rows.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ChangeBody {
    /// The change.
    pub change: ConfigChange,
    /// Its rows, before and after.
    pub rows: Vec<RowDiff>,
}
/// What differs between two revisions.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct DiffBody {
    /// The rows that differ.
    pub rows: Vec<RowDiff>,
}
/// Who publishes from now on.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct PromotedBody {
    /// The node.
    #[schemars(with = "String")]
    pub publisher: NodeName,
    /// The number of its term.
    pub epoch: u64,
}
/// Changes that never reached the publisher.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct UnsentBody {
    /// Oldest first.
    pub changes: Vec<UnsentChange>,
}
/// What users have set for a device.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct UserSettingsBody {
    /// Its name.
    pub device: String,
    /// `call_forward_all`, `do_not_disturb`, `message_waiting`: those that are set.
    pub settings: Map<String, Value>,
}
/// A token that was made. It is told this once.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct TokenBody {
    /// Its key in the table `token`.
    pub id: String,
    /// What to send as `Authorization: Bearer`.
    pub token: String,
    /// The revision in force now.
    pub revision: u64,
}
/// The audit log, newest first.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct AuditLogBody {
    /// A page of it.
    pub entries: Vec<AuditEntry>,
    /// The cursor of the next page; none on the last.
    pub next: Option<i64>,
}

#[cfg(test)]
mod tests {
    use super::super::ConfigReply;
    use super::*;
    use serde::de::DeserializeOwned;

    /// What is read of `sent`, as it would be sent again.
    fn again<T: DeserializeOwned + Serialize>(sent: &Value) -> Value {
        serde_json::to_value(serde_json::from_value::<T>(sent.clone()).unwrap()).unwrap()
    }

    #[test]
    fn what_is_sent_is_what_is_read() {
        let node = NodeName::new("CCM1").unwrap();
        let sent = |reply: ConfigReply| serde_json::to_value(reply).unwrap();
        let text = |t: &str| t.to_owned();
        let uses = sent(ConfigReply::Uses { uses: vec![], more: 3 });
        assert_eq!(again::<UsesBody>(&uses), uses);
        let history = sent(ConfigReply::History { changes: vec![], next: Some(4) });
        assert_eq!(again::<HistoryBody>(&history), history);
        let diff = sent(ConfigReply::Diff { rows: vec![] });
        assert_eq!(again::<DiffBody>(&diff), diff);
        let promoted = sent(ConfigReply::Promoted { publisher: node, epoch: 2 });
        assert_eq!(again::<PromotedBody>(&promoted), promoted);
        let unsent = sent(ConfigReply::Unsent { changes: vec![] });
        assert_eq!(again::<UnsentBody>(&unsent), unsent);
        let settings = sent(ConfigReply::UserSettings { device: text("SEP1"), settings: Map::new() });
        assert_eq!(again::<UserSettingsBody>(&settings), settings);
        let log = sent(ConfigReply::AuditLog { entries: vec![AuditEntry::default()], next: None });
        assert_eq!(again::<AuditLogBody>(&log), log);
    }
}
