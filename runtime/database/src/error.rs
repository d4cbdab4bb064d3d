//! What can go wrong: bytes that cannot be read, a disk that does not do what it should, a change that must not be.
//!
//! No text of an error holds a secret: values of secret fields are left out.

use crate::change::{Epoch, Revision};
use crate::table::Table;
use std::fmt;
use std::path::PathBuf;
use tandem_base::NodeName;

/// Bytes of a frame, a log or a snapshot that cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DatabaseError {
    /// The bytes end before the field does.
    #[error("the frame ends in the middle of a field")]
    Truncated,
    /// A length or count is beyond its bound.
    #[error("{what} is {found}, the bound is {bound}")]
    TooMuch {
        /// Which field.
        what: &'static str,
        /// What it says.
        found: u64,
        /// What is allowed.
        bound: u64,
    },
    /// Another major version.
    #[error("frame version {found}, this node speaks {expected}")]
    Version {
        /// What it says.
        found: u8,
        /// What this node speaks.
        expected: u8,
    },
    /// A field has a value that means nothing here; a newer version may have sent it.
    #[error("{what} has a value that is not known: {found}")]
    Unknown {
        /// Which field.
        what: &'static str,
        /// What it says.
        found: String,
    },
    /// A field that is no JSON of the right shape.
    #[error("{what} cannot be read: {why}")]
    Malformed {
        /// Which field.
        what: &'static str,
        /// Why.
        why: String,
    },
}

/// What the disk or SQLite has against an operation. The store goes on: reads are served, the next write is tried anew.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StoreError {
    /// No room on the disk.
    #[error("the disk is full ({0})")]
    DiskFull(String),
    /// The file or its disk may only be read.
    #[error("the disk is read-only ({0})")]
    ReadOnly(String),
    /// The disk failed.
    #[error("the disk failed ({0})")]
    Io(String),
    /// The file is damaged: set it aside and fetch the database from a peer.
    #[error("{path} is damaged: {why}")]
    Damaged {
        /// Which file.
        path: PathBuf,
        /// What was found first.
        why: String,
    },
    /// Another process or thread holds the database.
    #[error("the database is in use by somebody else ({0})")]
    InUse(String),
    /// The file was written by a newer Tandem.
    #[error("{path} has schema version {found}, this Tandem knows up to {known}: use the newer one")]
    TooNew {
        /// Which file.
        path: PathBuf,
        /// Its version.
        found: i64,
        /// The newest version known.
        known: i64,
    },
    /// Anything else SQLite says.
    #[error("SQLite: {0}")]
    Sql(String),
}

/// What is wrong with one row of a change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// What sort of problem it is.
    pub kind: ProblemKind,
    /// Which op of the change, counted from 0; `None` when the row is not in the change.
    pub op: Option<usize>,
    /// In which table.
    pub table: Table,
    /// Which row.
    pub key: String,
    /// Which field, if one.
    pub field: Option<&'static str>,
    /// Its value, unless it is secret.
    pub value: Option<String>,
    /// What is wrong, in words.
    pub what: String,
    /// What would be right, in words.
    pub expected: String,
}
impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}: {}; expected {}", self.table, self.key, self.what, self.expected)
    }
}

/// What sort of problem a row has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum ProblemKind {
    /// A field is missing, unknown, or holds what it must not.
    Malformed,
    /// It names a row that does not exist.
    NoSuchReference,
    /// It is to go while another row names it.
    InUse,
    /// Another row has what must be unique.
    Taken,
    /// It exists and must not.
    Exists,
    /// It does not exist and must.
    Absent,
    /// It is not what the author has seen.
    Changed,
}
impl ProblemKind {
    /// Its word, for APIs and logs.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Malformed => "malformed",
            Self::NoSuchReference => "no_such_reference",
            Self::InUse => "in_use",
            Self::Taken => "taken",
            Self::Exists => "exists",
            Self::Absent => "absent",
            Self::Changed => "changed",
        }
    }
}

/// Most problems that are told of one change.
pub const PROBLEMS_MAX: usize = 100;

/// Why a change was not made. Nothing of it was.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum Refused {
    /// Rows are not right; at most [`PROBLEMS_MAX`] are told.
    #[error("{}", several(.0))]
    Problems(Vec<Problem>),
    /// The author has seen another revision.
    #[error("the database is at revision {found}, the change was written for revision {expected}")]
    Stale {
        /// What the author has seen.
        expected: Revision,
        /// What is there.
        found: Revision,
    },
    /// More than a change may hold.
    #[error("{what} of the change: {found}; at most {bound}")]
    TooMuch {
        /// Of what.
        what: &'static str,
        /// How much.
        found: usize,
        /// How much is allowed.
        bound: usize,
    },
    /// A change that does not follow on the last one. Nothing is wrong with the copy.
    #[error("revision {found} does not follow: revision {expected} is next")]
    OutOfOrder {
        /// The next one here.
        expected: Revision,
        /// What came.
        found: Revision,
    },
    /// A change of an epoch that is over.
    #[error("epoch {found} is over: the publisher is {} since epoch {}", .current.publisher, .current.number)]
    OldEpoch {
        /// The change's.
        found: Box<Epoch>,
        /// The one that holds.
        current: Box<Epoch>,
    },
    /// The copy is not what the publisher had: it must be fetched anew.
    #[error("revision {revision} does not fit this copy: {why}")]
    Diverged {
        /// At which change.
        revision: Revision,
        /// What differs.
        why: String,
    },
    /// A change that this Tandem cannot read: a newer one wrote it. Nothing is wrong with the copy.
    #[error("revision {revision} cannot be read here: {why}; a newer Tandem wrote it")]
    Unreadable {
        /// Which change.
        revision: Revision,
        /// What is not known.
        why: DatabaseError,
    },
    /// Configuration is written at another node.
    #[error("the configuration is written at {publisher}{}", if *.reachable { "" } else { ", which cannot be reached" })]
    NotPublisher {
        /// At which.
        publisher: NodeName,
        /// Whether it can be reached from here.
        reachable: bool,
    },
    /// It is not known yet who has the database: these nodes were not heard.
    #[error("not ready to write: not heard yet whether {} has the database", names(.waiting_for))]
    NotReady {
        /// Who was not heard.
        waiting_for: Vec<NodeName>,
    },
    /// A peer has changes that this node lacks: it should be promoted, or this node must wait.
    #[error("{peer} has revision {theirs}, this node {ours}: promote {peer}, or force it")]
    Behind {
        /// Who has more.
        peer: NodeName,
        /// Up to which.
        theirs: Revision,
        /// Up to which here.
        ours: Revision,
    },
    /// Later changes touched the same rows: at most [`PROBLEMS_MAX`] are named.
    #[error("later changes touched the same rows: {}", touched(.0))]
    TouchedSince(Vec<Touched>),
    /// There is no such change in the log.
    #[error("revision {found} is not in the log, which holds {oldest} to {newest}")]
    NotInLog {
        /// What was asked for.
        found: Revision,
        /// The oldest there.
        oldest: Revision,
        /// The newest there.
        newest: Revision,
    },
    /// Too many writes wait already: try again.
    #[error("too many changes wait to be written")]
    Busy,
    /// The disk is not as it should be.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// A row that a later change touched.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Touched {
    /// In which table.
    pub table: Table,
    /// Which row.
    pub key: String,
    /// By which change, the latest.
    pub revision: Revision,
}

fn several(problems: &[Problem]) -> String {
    match problems {
        [] => "refused".to_owned(),
        [one] => one.to_string(),
        [first, rest @ ..] => format!("{first} (and {} more)", rest.len()),
    }
}
fn names(nodes: &[NodeName]) -> String {
    nodes.iter().map(NodeName::as_str).collect::<Vec<_>>().join(", ")
}
fn touched(rows: &[Touched]) -> String {
    let some: Vec<_> = rows.iter().take(5).map(|t| format!("{} {} in {}", t.table, t.key, t.revision)).collect();
    let more = if rows.len() > some.len() { ", ..." } else { "" };
    format!("{}{more}", some.join(", "))
}
