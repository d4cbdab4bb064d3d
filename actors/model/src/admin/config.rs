//! The words of the configuration database: rows as documents, changes, their history, who publishes, what a change would move.
//!
//! Documents are JSON objects with the fields of the configuration file's tables; the key is not in them. A secret is never in an answer:
//! it stands there as `"*"`, and `"*"` in a change means that it stays as it is.

mod answer;
mod shape;

pub use answer::{
    AuditLogBody, ChangeBody, DiffBody, HistoryBody, PromotedBody, TokenBody, UnsentBody, UserSettingsBody, UsesBody,
};
pub use shape::{Field, Form};

use crate::config::Problem;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use std::collections::BTreeMap;
use std::fmt;
use tandem_base::{NodeName, UnixMillis};

/// Rows on one page of a table; who asks for more gets this many.
pub const ROWS_PER_PAGE_MAX: usize = 1_000;
/// Rows on one page when nobody says how many.
pub const ROWS_PER_PAGE: usize = 100;
/// Changes or audit entries on one page; who asks for more gets this many.
pub const HISTORY_PER_PAGE_MAX: usize = 1_000;
/// Changes or audit entries on one page when nobody says how many.
pub const HISTORY_PER_PAGE: usize = 50;
/// What users set for their devices.
pub const USER_FIELDS: [&str; 3] = ["call_forward_all", "do_not_disturb", "message_waiting"];
/// Device names given as examples in [`Impact`].
pub const IMPACT_EXAMPLES_MAX: usize = 10;
/// What a secret looks like in an answer.
pub const HIDDEN: &str = "*";

/// A table of the configuration database.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[expect(
    missing_docs,
    reason = "each is the table of that name in the configuration file, and the people of the admin API"
)]
pub enum ConfigTable {
    Cluster,
    Node,
    Group,
    DevicePool,
    Device,
    DeviceSeries,
    Setting,
    User,
    Token,
}
impl ConfigTable {
    /// All tables; what is referred to stands before what refers.
    pub const ALL: [Self; 9] = [
        Self::Cluster,
        Self::Node,
        Self::Group,
        Self::DevicePool,
        Self::Device,
        Self::DeviceSeries,
        Self::Setting,
        Self::User,
        Self::Token,
    ];
    /// Its word in paths, files and JSON.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Cluster => "cluster",
            Self::Node => "node",
            Self::Group => "group",
            Self::DevicePool => "device_pool",
            Self::Device => "device",
            Self::DeviceSeries => "device_series",
            Self::Setting => "setting",
            Self::User => "user",
            Self::Token => "token",
        }
    }
    /// From its word.
    pub fn from_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|t| t.word() == word)
    }
}
impl fmt::Display for ConfigTable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.word())
    }
}

/// What may be asked of the configuration database. `author` and `role` were proven before.
#[derive(Clone, Debug, PartialEq)]
pub enum ConfigRequest {
    /// Where every copy stands; [`ConfigReply::Overview`].
    Overview,
    /// A page of a table; [`ConfigReply::Rows`].
    List {
        /// Which table.
        table: ConfigTable,
        /// Which rows.
        query: RowQuery,
    },
    /// One row; [`ConfigReply::Row`].
    Get {
        /// Which table.
        table: ConfigTable,
        /// Which row.
        key: String,
        /// As it was at this revision; today's when not given.
        at: Option<u64>,
    },
    /// Who refers to a row; [`ConfigReply::Uses`].
    UsedBy {
        /// Which table.
        table: ConfigTable,
        /// Which row.
        key: String,
    },
    /// A change, all of it or nothing; [`ConfigReply::Written`].
    Write(ConfigDraft),
    /// Changes, newest first; [`ConfigReply::History`].
    History {
        /// Only changes before this revision: the cursor.
        before: Option<u64>,
        /// At most so many.
        limit: usize,
        /// Only changes of this row.
        row: Option<(ConfigTable, String)>,
    },
    /// What differs between two revisions; [`ConfigReply::Diff`].
    Diff {
        /// The older one.
        from: u64,
        /// The newer one; today's when not given.
        to: Option<u64>,
    },
    /// Undoes a change by a new one; [`ConfigReply::Written`].
    Revert {
        /// Which revision.
        revision: u64,
        /// Also when later changes touched the same rows.
        force: bool,
        /// Only say what would happen.
        dry_run: bool,
        /// Who.
        author: String,
        /// Why; `revert` and the revision when empty.
        comment: String,
    },
    /// Makes the answering node the publisher; [`ConfigReply::Promoted`].
    Promote {
        /// Which node, of this process.
        node: NodeName,
        /// Also when a peer has changes that this node lacks.
        force: bool,
        /// Who.
        author: String,
    },
    /// Changes of a node that never reached the publisher; [`ConfigReply::Unsent`].
    Unsent {
        /// Which node, of this process; the answering one when not given.
        node: Option<NodeName>,
    },
    /// A user's own settings of a device; [`ConfigReply::UserSettings`].
    UserSettings {
        /// Which device.
        device: String,
    },
    /// Sets one of them, at any node; [`ConfigReply::UserSettings`].
    SetUser {
        /// Which device.
        device: String,
        /// `call_forward_all`, `do_not_disturb` or `message_waiting`.
        field: String,
        /// Its value; none takes it back.
        value: Option<Value>,
        /// Who.
        author: String,
    },
    /// Who the owner of a name and password, or of a token, is; [`ConfigReply::Identity`]. Refused as unauthorized when it is nobody.
    Identify(Proof),
    /// Notes in the audit log what was asked and answered; [`ConfigReply::Done`].
    Audit(AuditEntry),
    /// The audit log, newest first; [`ConfigReply::AuditLog`].
    AuditLog {
        /// Only entries before this number.
        before: Option<i64>,
        /// At most so many.
        limit: usize,
    },
}

/// How somebody proves who he is. Not shown by `Debug`.
#[derive(Clone, PartialEq, Eq)]
pub enum Proof {
    /// Name and password.
    Password {
        /// Name of a [`ConfigTable::User`].
        user: String,
        /// In the clear.
        password: String,
    },
    /// A bearer token.
    Token(String),
}
impl fmt::Debug for Proof {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Password { .. } => "Password(secret)",
            Self::Token(_) => "Token(secret)",
        })
    }
}

/// What somebody may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Role {
    /// Look at everything but users and tokens.
    ReadOnly,
    /// That, and run the cluster: stop and start nodes, call devices home, reset devices.
    Operator,
    /// Everything.
    Admin,
}

/// Who somebody is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Identity {
    /// Name of the user, or of the token.
    pub name: String,
    /// What he may do.
    pub role: Role,
    /// What a token is good for, beside its role; none for a user, who may everything that his role may.
    pub scopes: Option<Vec<String>>,
    /// Until when.
    #[schemars(with = "Option<u64>")]
    pub expires: Option<UnixMillis>,
}

/// Which rows of a table to list; what is given must all match. By key.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct RowQuery {
    /// The cursor: only rows after this key.
    pub cursor: Option<String>,
    /// Rows wanted, [`ROWS_PER_PAGE`] if not given, at most [`ROWS_PER_PAGE_MAX`].
    pub limit: Option<usize>,
    /// Fields that must have this value; a list must have it among its elements.
    pub filters: BTreeMap<String, String>,
    /// Only keys that begin so.
    pub prefix: Option<String>,
    /// Only rows with this text in key, description or a list.
    pub search: Option<String>,
}

/// A row with its key and its tag.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ConfigRow {
    /// Which table.
    pub table: ConfigTable,
    /// Its key.
    pub key: String,
    /// Its entity tag: 32 hexadecimal digits, the same at every node.
    pub etag: String,
    /// Its fields, secrets as [`HIDDEN`].
    pub fields: Map<String, Value>,
}

/// A page of rows.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct RowPage {
    /// The revision that they were read at.
    pub revision: u64,
    /// By key.
    pub rows: Vec<ConfigRow>,
    /// The cursor of the next page; none on the last.
    pub next: Option<String>,
}

/// What the author of a change expects to find.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Expect {
    /// Anything.
    #[default]
    Any,
    /// No such row.
    Absent,
    /// A row.
    Present,
    /// The row with this entity tag (`If-Match`).
    Etag(String),
}

/// One row that is to be so. `Debug` leaves its fields out: there may be a password among them.
#[derive(Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ConfigOp {
    /// Which table.
    pub table: ConfigTable,
    /// Which row.
    pub key: String,
    /// All its fields; none deletes it. A `password` of a user is kept as its hash; a token without `token_hash` is made up, see
    /// [`Written::secret`]. With `merge` only those that change, null takes one away (RFC 7396). A row that is not there is
    /// made by both, unless `expect` says otherwise.
    pub fields: Option<Map<String, Value>>,
    /// Whether `fields` are laid over the row that is there.
    #[serde(default)]
    pub merge: bool,
    /// What must be there before.
    #[serde(default)]
    pub expect: Expect,
    /// The line of a file that it comes from, for messages.
    #[serde(default)]
    pub line: Option<u32>,
}

impl fmt::Debug for ConfigOp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {:?}{}", self.table, self.key, if self.fields.is_none() { " deleted" } else { "" })
    }
}

/// A change as somebody wants it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ConfigDraft {
    /// Who.
    #[serde(default)]
    pub author: String,
    /// Why, for people.
    #[serde(default)]
    pub comment: String,
    /// Refuse unless the database is at this revision.
    #[serde(default)]
    pub at_revision: Option<u64>,
    /// Only say what would happen.
    #[serde(default)]
    pub dry_run: bool,
    /// All of it or nothing, in this order; references are judged at the end.
    pub ops: Vec<ConfigOp>,
}

/// A committed change, without its rows.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ConfigChange {
    /// Its number.
    pub revision: u64,
    /// Who asked for it.
    pub author: String,
    /// When.
    #[schemars(with = "u64")]
    pub at: UnixMillis,
    /// Why.
    pub comment: String,
    /// How many rows it touched.
    pub ops: u64,
    /// The publisher that committed it.
    #[schemars(with = "String")]
    pub publisher: NodeName,
}

/// What a change does to devices that run.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Impact {
    /// Devices that must register again, because their group changed its members or they changed theirs.
    pub reregister: u64,
    /// Devices that lose their registration.
    pub unregister: u64,
    /// Some of both, by name.
    pub examples: Vec<String>,
    /// Nodes that must start anew, and why.
    pub restart: Vec<String>,
    /// The same in one sentence for people.
    pub sentence: String,
}

/// What came of a change.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Written {
    /// The change; none in a dry run.
    pub change: Option<ConfigChange>,
    /// The revision in force now.
    pub revision: u64,
    /// Whether nothing was to be changed.
    pub unchanged: bool,
    /// What it does to devices.
    pub impact: Impact,
    /// Entity tags of the rows that were written, in the order of the draft; none for those that were deleted.
    pub etags: Vec<Option<String>>,
    /// The token that was made, told this once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret: Option<String>,
}

/// One row before and after.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct RowDiff {
    /// Which table.
    pub table: ConfigTable,
    /// Which row.
    pub key: String,
    /// Before; none: it was not there.
    pub before: Option<Map<String, Value>>,
    /// After; none: it is gone.
    pub after: Option<Map<String, Value>>,
}

/// A copy of the database.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct CopyStatus {
    /// At which node.
    #[schemars(with = "String")]
    pub node: NodeName,
    /// Whether it is up, as the answering node sees it.
    pub up: bool,
    /// The last change in it; none when it was not heard yet.
    pub revision: Option<u64>,
    /// Its digest: equal copies have equal ones.
    pub digest: Option<String>,
    /// Changes that it lacks.
    pub lag: u64,
}

/// Where the configuration stands.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ConfigOverview {
    /// Who answers.
    #[schemars(with = "String")]
    pub node: NodeName,
    /// Who publishes; none when nobody is known.
    #[schemars(with = "Option<String>")]
    pub publisher: Option<NodeName>,
    /// Number of its term: one more with each promotion.
    pub epoch: u64,
    /// Since when it cannot be reached, if it cannot.
    #[schemars(with = "Option<u64>")]
    pub away_since: Option<UnixMillis>,
    /// Every copy, by node.
    pub copies: Vec<CopyStatus>,
    /// The oldest change that can be looked at.
    pub oldest: u64,
    /// What the disk has against it, if it fails.
    pub failing: Option<String>,
    /// Changes set aside here because the publisher never had them.
    pub unsent: u64,
}

/// A change that a publisher never had.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct UnsentChange {
    /// Its number at this node.
    pub id: i64,
    /// When it was set aside.
    #[schemars(with = "u64")]
    pub set_aside_at: UnixMillis,
    /// What it was.
    pub change: ConfigChange,
    /// Its rows.
    pub rows: Vec<RowDiff>,
}

/// One entry of the audit log.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct AuditEntry {
    /// Its number at this node; 0 before it is written.
    #[serde(default)]
    pub id: i64,
    /// When; the node that writes it down says so, whatever stands here before.
    #[schemars(with = "u64")]
    pub at: UnixMillis,
    /// Who.
    pub who: String,
    /// From where.
    pub from: String,
    /// Method and path.
    pub action: String,
    /// HTTP status of the answer.
    pub status: u16,
    /// The revision that came of it.
    pub revision: Option<u64>,
}

/// What is wrong with one row of a change.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct RowProblem {
    /// Which op of the change, from 0.
    pub op: Option<usize>,
    /// The line of the file that it comes from.
    pub line: Option<u32>,
    /// Which table.
    pub table: Option<ConfigTable>,
    /// Which row.
    pub key: Option<String>,
    /// Which field.
    pub field: Option<String>,
    /// Its value, unless it is secret.
    pub value: Option<String>,
    /// What is wrong.
    pub what: String,
    /// What would be right.
    pub expected: Option<String>,
}
impl From<&Problem> for RowProblem {
    fn from(problem: &Problem) -> Self {
        Self {
            line: u32::try_from(problem.line).ok().filter(|line| *line > 0),
            key: (!problem.row.is_empty()).then(|| problem.row.clone()),
            field: problem.field.clone(),
            value: problem.value.clone(),
            what: problem.what.clone(),
            expected: problem.expected.clone(),
            ..Self::default()
        }
    }
}

/// What was answered, one for each [`ConfigRequest`].
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(untagged)]
#[expect(missing_docs, reason = "each is the type in it")]
pub enum ConfigReply {
    Overview(ConfigOverview),
    Rows(RowPage),
    Row(ConfigRow),
    Uses { uses: Vec<RowUse>, more: u64 },
    Written(Written),
    History { changes: Vec<ConfigChange>, next: Option<u64> },
    Diff { rows: Vec<RowDiff> },
    Promoted { publisher: NodeName, epoch: u64 },
    Unsent { changes: Vec<UnsentChange> },
    UserSettings { device: String, settings: Map<String, Value> },
    Identity(Identity),
    AuditLog { entries: Vec<AuditEntry>, next: Option<i64> },
    Done {},
}

/// A row that refers to another.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct RowUse {
    /// In which table.
    pub table: ConfigTable,
    /// Which row.
    pub key: String,
    /// In which field.
    pub field: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_of_tables_are_those_of_json_and_roles_are_in_order() {
        for table in ConfigTable::ALL {
            assert_eq!(serde_json::to_value(table).unwrap(), Value::from(table.word()));
            assert_eq!(ConfigTable::from_word(table.word()), Some(table));
        }
        assert!(Role::ReadOnly < Role::Operator && Role::Operator < Role::Admin);
        assert!(!format!("{:?}", Proof::Token("x-secret".to_owned())).contains("x-"));
    }
}
