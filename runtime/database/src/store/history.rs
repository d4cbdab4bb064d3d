//! Looking back: pages of the log, the changes of one row, what differs between two revisions, what undoes a change, what was never sent.

use super::log::{info, raw_op, typed};
use super::{Reader, Store, signed, unsigned};
use crate::change::{ChangeInfo, Draft, DraftOp, Expect, Op, Revision};
use crate::error::{PROBLEMS_MAX, Refused, StoreError, Touched};
use crate::row::{Document, RowHash};
use crate::table::Table;
use rusqlite::OptionalExtension;
use std::collections::BTreeMap;
use tandem_base::UnixMillis;

/// A page of the log, newest first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HistoryPage {
    /// The changes without their rows.
    pub changes: Vec<ChangeInfo>,
    /// Ask for what is before this revision next; `None` at the end.
    pub next: Option<Revision>,
}

/// A change of this copy that the publisher of a newer epoch never had.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unsent {
    /// Its number among the unsent ones of this node.
    pub id: i64,
    /// When it was set aside.
    pub set_aside_at: UnixMillis,
    /// What it was.
    pub info: ChangeInfo,
}

const INFO: &str = "revision, epoch, started, publisher, author, at, comment, ops, digest";

impl Reader {
    /// The log, newest first: changes before a revision, at most so many. With a row, only the changes that touched it.
    ///
    /// # Errors
    /// As the disk has them.
    pub fn history(
        &self,
        before: Option<Revision>,
        limit: usize,
        row: Option<(Table, &str)>,
    ) -> Result<HistoryPage, StoreError> {
        let limit = limit.clamp(1, super::query::PAGE_MAX);
        let oldest = self.head()?.oldest;
        let touched = "AND revision IN (SELECT revision FROM change_op WHERE \"table\" = ?3 AND \"key\" = ?4)";
        let sql = format!(
            "SELECT {INFO} FROM change WHERE revision < ?1 AND revision >= ?2 {} ORDER BY revision DESC LIMIT ?5",
            if row.is_some() { touched } else { "AND ?3 || ?4 IS NOT NULL" }
        );
        let (table, key) = row.map_or(("", ""), |(table, key)| (table.word(), key));
        let before = signed(before.unwrap_or(u64::MAX));
        let more = i64::try_from(limit + 1).unwrap_or(i64::MAX);
        let read = || {
            let mut statement = self.db.prepare_cached(&sql)?;
            let rows = statement.query_map((before, signed(oldest), table, key, more), |row| info(row, 0))?;
            rows.collect::<rusqlite::Result<Vec<_>>>()
        };
        let mut changes: Vec<_> = read().map_err(|e| self.fail(e))?.into_iter().flatten().collect();
        let more = changes.len() > limit;
        changes.truncate(limit);
        let next = changes.last().filter(|_| more).map(|c| c.revision);
        Ok(HistoryPage { changes, next })
    }
    /// What differs between two revisions: for each row that is not the same at both, how it was at `from` and how it is at `to`. In the
    /// order of tables and keys. `from` may be later than `to`.
    ///
    /// # Errors
    /// [`Refused::NotInLog`] when the log does not reach back, or not so far forward.
    pub fn diff(&self, from: Revision, to: Revision) -> Result<Vec<Op>, Refused> {
        let (low, high) = (from.min(to), from.max(to));
        let head = self.head()?;
        let reach = head.oldest.saturating_sub(1)..=head.revision;
        if let Some(found) = [low, high].into_iter().find(|r| !reach.contains(r)) {
            return Err(Refused::NotInLog { found, oldest: *reach.start(), newest: head.revision });
        }
        let sql = "SELECT \"table\", \"key\", before, after FROM change_op WHERE revision > ?1 AND revision <= ?2 ORDER BY revision, position";
        let read = || {
            let mut net: BTreeMap<(Table, String), (Option<String>, Option<String>)> = BTreeMap::new();
            let mut statement = self.db.prepare_cached(sql)?;
            let mut rows = statement.query((signed(low), signed(high)))?;
            while let Some(row) = rows.next()? {
                raw_op(row, 0, |op| {
                    let own = |text: Option<&str>| text.map(str::to_owned);
                    let change = net.entry((op.table, op.key.to_owned())).or_insert_with(|| (own(op.before), None));
                    change.1 = own(op.after);
                })?;
            }
            Ok(net)
        };
        let net = read().map_err(|e| self.fail(e))?;
        let mut ops = Vec::new();
        for ((table, key), (first, last)) in net.into_iter().filter(|(_, (first, last))| first != last) {
            let (before, after) = if from <= to { (first, last) } else { (last, first) };
            let parse = |text: Option<String>| text.map(|t| Document::parse(&t)).transpose();
            let unreadable = |_| self.damaged("a row of the log is no JSON".to_owned());
            ops.push(Op {
                table,
                key,
                before: parse(before).map_err(unreadable)?,
                after: parse(after).map_err(unreadable)?,
            });
        }
        Ok(ops)
    }
    /// How a row was at a revision.
    ///
    /// # Errors
    /// [`Refused::NotInLog`] when the log does not reach back.
    pub fn row_at(&self, table: Table, key: &str, revision: Revision) -> Result<Option<Document>, Refused> {
        let head = self.head()?;
        let oldest = head.oldest.saturating_sub(1);
        if revision > head.revision || revision < oldest {
            return Err(Refused::NotInLog { found: revision, oldest, newest: head.revision });
        }
        // The first change after it knows what was before.
        let sql = "SELECT \"table\", \"key\", before, after FROM change_op WHERE \"table\" = ?1 AND \"key\" = ?2 AND revision > ?3 \
                   ORDER BY revision, position LIMIT 1";
        let read = || {
            let mut statement = self.db.prepare_cached(sql)?;
            statement.query_row((table.word(), key, signed(revision)), |row| raw_op(row, 0, typed)).optional()
        };
        match read().map_err(|e| self.fail(e))?.flatten() {
            Some(op) => Ok(op.map_err(|e| self.damaged(e.to_string()))?.before),
            None => Ok(self.get(table, key)?),
        }
    }
    /// A draft that undoes a change; author, time and comment are the caller's to fill in. Refused when later changes touched the same rows,
    /// unless `force`: then those rows become what they were before the change.
    ///
    /// # Errors
    /// [`Refused::NotInLog`], [`Refused::TouchedSince`].
    pub fn revert(&self, revision: Revision, force: bool) -> Result<Draft, Refused> {
        let head = self.head()?;
        let not_in_log = Refused::NotInLog { found: revision, oldest: head.oldest, newest: head.revision };
        if revision < head.oldest || revision > head.revision {
            return Err(not_in_log);
        }
        if !force {
            let touched = self.touched_since(revision)?;
            if !touched.is_empty() {
                return Err(Refused::TouchedSince(touched));
            }
        }
        let rows = self.change_rows(revision, 0, usize::MAX)?;
        // Backwards: what came last goes first.
        let ops = rows.into_iter().rev().map(|op| {
            let expect = match &op.after {
                _ if force => Expect::Any,
                None => Expect::Absent,
                Some(after) => Expect::Exactly(RowHash::of(op.table.word(), &op.key, &after.canonical())),
            };
            DraftOp { table: op.table, key: op.key, after: op.before, expect }
        });
        Ok(Draft { ops: ops.collect(), ..Draft::default() })
    }
    fn touched_since(&self, revision: Revision) -> Result<Vec<Touched>, StoreError> {
        let sql = "SELECT old.\"table\", old.\"key\", max(new.revision) FROM change_op AS old JOIN change_op AS new \
                   ON new.\"table\" = old.\"table\" AND new.\"key\" = old.\"key\" AND new.revision > old.revision \
                   WHERE old.revision = ?1 GROUP BY 1, 2 ORDER BY 1, 2 LIMIT ?2";
        let read = || {
            let mut statement = self.db.prepare_cached(sql)?;
            let limit = i64::try_from(PROBLEMS_MAX).unwrap_or(i64::MAX);
            let rows = statement.query_map((signed(revision), limit), |row| {
                let table: String = row.get(0)?;
                let (key, revision) = (row.get(1)?, unsigned(row, 2)?);
                Ok(Table::from_word(&table).map(|table| Touched { table, key, revision }))
            })?;
            rows.collect::<rusqlite::Result<Vec<_>>>()
        };
        Ok(read().map_err(|e| self.fail(e))?.into_iter().flatten().collect())
    }
    /// Changes that were set aside, oldest first.
    ///
    /// # Errors
    /// As the disk has them.
    pub fn unsent(&self) -> Result<Vec<Unsent>, StoreError> {
        let sql = format!("SELECT id, set_aside_at, {INFO} FROM unsent_change ORDER BY id");
        let read = || {
            let mut statement = self.db.prepare_cached(&sql)?;
            let rows = statement.query_map([], |row| {
                let (id, at) = (row.get(0)?, UnixMillis(unsigned(row, 1)?));
                Ok(info(row, 2)?.map(|info| Unsent { id, set_aside_at: at, info }))
            })?;
            rows.collect::<rusqlite::Result<Vec<_>>>()
        };
        Ok(read().map_err(|e| self.fail(e))?.into_iter().flatten().collect())
    }
    /// The rows of a change that was set aside.
    ///
    /// # Errors
    /// As the disk has them.
    pub fn unsent_rows(&self, id: i64) -> Result<Vec<Op>, StoreError> {
        let sql = "SELECT \"table\", \"key\", before, after FROM unsent_change_op WHERE change = ?1 ORDER BY position";
        let read = || {
            let mut statement = self.db.prepare_cached(sql)?;
            let rows = statement.query_map([id], |row| raw_op(row, 0, typed))?;
            rows.collect::<rusqlite::Result<Vec<_>>>()
        };
        let rows = read().map_err(|e| self.fail(e))?;
        rows.into_iter().flatten().map(|op| op.map_err(|e| self.damaged(e.to_string()))).collect()
    }
}

impl Store {
    /// Drops a change that was set aside, when somebody has looked at it. False when there is none with this number.
    ///
    /// # Errors
    /// As the disk has them.
    pub fn drop_unsent(&mut self, id: i64) -> Result<bool, StoreError> {
        let gone = self.db.execute("DELETE FROM unsent_change WHERE id = ?1", [id]).map_err(|e| self.fail(e))?;
        Ok(gone > 0)
    }
}
