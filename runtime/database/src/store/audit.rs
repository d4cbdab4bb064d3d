//! The audit log of one node: who asked it for what, and what came of it. Local, never replicated; bounded.

use super::{Reader, Store, signed, unsigned};
use crate::error::StoreError;
use tandem_base::UnixMillis;

/// Most entries kept; the oldest go.
const ENTRIES_MAX: i64 = 1_000_000;

/// One entry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuditEntry {
    /// Its number; 0 for one that is to be written.
    pub id: i64,
    /// When.
    pub at: UnixMillis,
    /// Who.
    pub author: String,
    /// What they wanted to do.
    pub action: String,
    /// To what.
    pub subject: String,
    /// What came of it.
    pub outcome: String,
    /// Anything else; never a secret.
    pub detail: String,
}

impl Store {
    /// Writes an entry; returns its number. It is not waited for by the disk: a host that loses its power may lose the entries since the last change,
    /// a process that is killed loses none.
    ///
    /// # Errors
    /// As the disk has them.
    pub fn audit(&mut self, entry: &AuditEntry) -> Result<i64, StoreError> {
        self.lazily(|this| this.write_audit(entry))
    }
    fn write_audit(&mut self, entry: &AuditEntry) -> Result<i64, StoreError> {
        let run = || {
            let sql =
                "INSERT INTO audit (at, author, action, subject, outcome, detail) VALUES (?1, ?2, ?3, ?4, ?5, ?6)";
            let e = entry;
            let values = (signed(e.at.0), &e.author, &e.action, &e.subject, &e.outcome, &e.detail);
            self.db.prepare_cached(sql)?.execute(values)?;
            let id = self.db.last_insert_rowid();
            self.db.prepare_cached("DELETE FROM audit WHERE id <= ?1")?.execute([id.saturating_sub(ENTRIES_MAX)])?;
            Ok(id)
        };
        run().map_err(|e| self.fail(e))
    }
}
impl Reader {
    /// Entries before a number, newest first.
    ///
    /// # Errors
    /// As the disk has them.
    pub fn audit_entries(&self, before: Option<i64>, limit: usize) -> Result<Vec<AuditEntry>, StoreError> {
        let sql = "SELECT id, at, author, action, subject, outcome, detail FROM audit WHERE id < ?1 ORDER BY id DESC LIMIT ?2";
        let read = || {
            let mut statement = self.db.prepare_cached(sql)?;
            let limit = i64::try_from(limit.clamp(1, super::query::PAGE_MAX)).unwrap_or(1);
            let rows = statement.query_map((before.unwrap_or(i64::MAX), limit), |row| {
                Ok(AuditEntry {
                    id: row.get(0)?,
                    at: UnixMillis(unsigned(row, 1)?),
                    author: row.get(2)?,
                    action: row.get(3)?,
                    subject: row.get(4)?,
                    outcome: row.get(5)?,
                    detail: row.get(6)?,
                })
            })?;
            rows.collect::<rusqlite::Result<Vec<_>>>()
        };
        read().map_err(|e| self.fail(e))
    }
}
