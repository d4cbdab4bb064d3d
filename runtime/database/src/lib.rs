//! The configuration database (DESIGN section 2, "Database"): schema and migrations, a change log, the SQLite store of one node, and
//! the machines that keep the copies of all nodes equal.
//!
//! One node publishes: a change commits there first, then goes to every subscriber, in order, once. Rows are documents under a table
//! and a key; what they mean is for others. The store blocks: its owner gives it a thread. The machines (`replication`) are sans-IO.
//! Nothing here reads a clock, and nothing shows a secret.

mod change;
mod codec;
mod error;
mod row;
mod store;
mod table;
mod user_setting;
mod worker;

pub mod replication;

#[cfg(test)]
mod tests;

pub use change::{
    CHANGE_BYTES_MAX, COMMENT_BYTES_MAX, Change, ChangeInfo, Draft, DraftOp, Epoch, Expect, Head, OPS_MAX, Op, Revision,
};
pub use error::{DatabaseError, PROBLEMS_MAX, Problem, ProblemKind, Refused, StoreError, Touched};
pub use row::{Digest, Document, Row, RowHash};
pub use store::{
    AuditEntry, Filter, HistoryPage, Page, Query, Reader, Snapshot, Store, StoreSettings, Target, Unsent, Use,
    set_aside,
};
pub use table::{Column, DOCUMENT_BYTES_MAX, KEY_BYTES_MAX, Kind, List, Spec, Table, is_secret};
pub use user_setting::{BUCKETS, USER_VALUE_BYTES_MAX, UserField, UserSetting};
pub use worker::Worker;
