//! Changes of the configuration: what an author asks for (a [`Draft`]) and what was committed (a [`Change`] with a revision and the
//! rows before and after). Words only.

use crate::row::{Digest, Document, RowHash};
use crate::table::Table;
use serde::{Deserialize, Serialize};
use std::cmp::{Ordering, Reverse};
use std::fmt;
use tandem_base::{NodeName, UnixMillis};

/// Most rows of one change.
pub const OPS_MAX: usize = 2_000_000;
/// Longest change as it travels, in bytes; what a subscriber holds until it is whole.
pub const CHANGE_BYTES_MAX: usize = 512 << 20;
/// Longest author and comment, in bytes.
pub const COMMENT_BYTES_MAX: usize = 1_024;

/// A number of a committed change; 0 is the empty database. One more with each change.
pub type Revision = u64;

/// Under whom changes are committed. A promotion begins a new one; changes of an older one are refused.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Epoch {
    /// One more with each promotion.
    pub number: u64,
    /// When it began, on the publisher's wall clock: tells two databases apart that were founded under one name.
    pub started: UnixMillis,
    /// Who commits.
    pub publisher: NodeName,
}
impl Ord for Epoch {
    /// The higher number wins. Of two with one number (two were promoted at once, or a publisher lost its disk and founded anew) the one that began
    /// earlier does, then the lower name: there is more in it.
    fn cmp(&self, other: &Self) -> Ordering {
        let order = |e: &Self| (e.number, Reverse(e.started));
        order(self).cmp(&order(other)).then_with(|| other.publisher.cmp(&self.publisher))
    }
}
impl PartialOrd for Epoch {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}
impl fmt::Display for Epoch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} of {}", self.number, self.publisher)
    }
}

/// Where a copy stands.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Head {
    /// The last change in it.
    pub revision: Revision,
    /// Digest of all configuration rows. Two copies are equal when revision and digest are.
    pub digest: Digest,
    /// The newest epoch it has heard of; `None` before the database was founded.
    pub epoch: Option<Epoch>,
    /// Under whom its last change was committed; `None` when there is none.
    pub committed_under: Option<Epoch>,
    /// The oldest change whose rows are still in the log; `revision + 1` when there is none.
    pub oldest: Revision,
    /// Digest of the user settings.
    pub settings: Digest,
}

/// What the author of a change expects to find; otherwise it is refused.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Expect {
    /// Anything.
    #[default]
    Any,
    /// No such row: a creation.
    Absent,
    /// A row, whatever is in it.
    Present,
    /// This row and no other (`If-Match`).
    Exactly(RowHash),
}

/// One row that an author wants to be so.
#[derive(Clone, Debug, PartialEq)]
pub struct DraftOp {
    /// In which table.
    pub table: Table,
    /// Under which key.
    pub key: String,
    /// All its fields; `None` deletes the row.
    pub after: Option<Document>,
    /// What must be there before.
    pub expect: Expect,
}
impl DraftOp {
    /// Writes a row, whether it is there or not.
    pub fn put(table: Table, key: impl Into<String>, document: Document) -> Self {
        Self { table, key: key.into(), after: Some(document), expect: Expect::Any }
    }
    /// Writes a row that is not there yet.
    pub fn create(table: Table, key: impl Into<String>, document: Document) -> Self {
        Self { expect: Expect::Absent, ..Self::put(table, key, document) }
    }
    /// Writes a row that is there.
    pub fn update(table: Table, key: impl Into<String>, document: Document) -> Self {
        Self { expect: Expect::Present, ..Self::put(table, key, document) }
    }
    /// Deletes a row that is there.
    pub fn delete(table: Table, key: impl Into<String>) -> Self {
        Self { table, key: key.into(), after: None, expect: Expect::Present }
    }
}

/// What an author asks for; all of it or nothing.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Draft {
    /// Who.
    pub author: String,
    /// When, on the wall clock.
    pub at: UnixMillis,
    /// Why, for people; may be empty.
    pub comment: String,
    /// What. Applied in order; references are judged at the end.
    pub ops: Vec<DraftOp>,
    /// Refuse unless the database is at this revision.
    pub at_revision: Option<Revision>,
}

/// One row of a committed change, before and after. Neither is no op.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Op {
    /// In which table.
    pub table: Table,
    /// Under which key.
    pub key: String,
    /// The row before; `None`: there was none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub before: Option<Document>,
    /// The row after; `None`: deleted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<Document>,
}
impl Op {
    /// What undoes it.
    #[must_use]
    pub fn inverse(self) -> Self {
        Self { before: self.after, after: self.before, ..self }
    }
}

/// What a committed change is, without its rows.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChangeInfo {
    /// Its number.
    pub revision: Revision,
    /// Under whom it was committed.
    pub epoch: Epoch,
    /// Who asked for it.
    pub author: String,
    /// When.
    pub at: UnixMillis,
    /// Why, for people.
    pub comment: String,
    /// How many rows it touched.
    pub ops: u64,
    /// Digest of all configuration rows after it.
    pub digest: Digest,
}

/// A committed change.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Change {
    /// What it is.
    #[serde(flatten)]
    pub info: ChangeInfo,
    /// Its rows, in the order in which they were written.
    pub rows: Vec<Op>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_two_epochs_the_higher_number_wins_then_the_earlier_then_the_lower_name() {
        let epoch = |number, started, publisher: &str| Epoch {
            number,
            started: UnixMillis(started),
            publisher: NodeName::new(publisher).unwrap(),
        };
        assert!(epoch(2, 9, "B") > epoch(1, 1, "A"));
        assert!(epoch(1, 1, "B") > epoch(1, 2, "A"));
        assert!(epoch(1, 1, "A") > epoch(1, 1, "B"));
    }
}
