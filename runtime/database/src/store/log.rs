//! The change log: written with each change, read by peers in pieces, trimmed at its bounds.

use super::{Reader, Store, digest, epoch, signed, unsigned};
use crate::change::{Change, ChangeInfo, Epoch, Op, Revision};
use crate::codec::{RawOp, Take};
use crate::error::{DatabaseError, StoreError};
use crate::replication::{LogPart, LogPosition, LogRead, Packet};
use crate::row::{Digest, Document};
use crate::table::Table;
use bytes::Bytes;
use rusqlite::{OptionalExtension, Row as SqlRow};

/// Most bytes of ops in one piece; one op always fits (a row has at most 24 KiB, and there are two of them).
pub(crate) const PART_BYTES: usize = 56 << 10;

const INFO: &str = "revision, epoch, started, publisher, author, at, comment, ops, digest";

pub(super) fn info(row: &SqlRow<'_>, column: usize) -> rusqlite::Result<Option<ChangeInfo>> {
    let Some(epoch) = epoch(row, column + 1)? else { return Ok(None) };
    Ok(Some(ChangeInfo {
        revision: unsigned(row, column)?,
        epoch,
        author: row.get(column + 4)?,
        at: tandem_base::UnixMillis(unsigned(row, column + 5)?),
        comment: row.get(column + 6)?,
        ops: unsigned(row, column + 7)?,
        digest: digest(row, column + 8)?,
    }))
}

/// An op with its documents as text, from the columns table, key, before, after.
pub(super) fn raw_op<T>(
    row: &SqlRow<'_>,
    column: usize,
    each: impl FnOnce(RawOp<'_>) -> T,
) -> rusqlite::Result<Option<T>> {
    let text = |n: usize| row.get_ref(column + n).map(|v| v.as_str_or_null().ok().flatten());
    let (table, key, before, after) = (text(0)?, text(1)?, text(2)?, text(3)?);
    let table = table.and_then(Table::from_word);
    Ok(table.zip(key).map(|(table, key)| each(RawOp { table, key, before, after })))
}

/// From text to documents.
pub(crate) fn typed(op: RawOp<'_>) -> Result<Op, DatabaseError> {
    let parse = |text: Option<&str>| {
        text.map(Document::parse)
            .transpose()
            .map_err(|e| DatabaseError::Malformed { what: "a row", why: e.classify_text() })
    };
    Ok(Op { table: op.table, key: op.key.to_owned(), before: parse(op.before)?, after: parse(op.after)? })
}

/// The kind of a JSON error: its own text may repeat what was read.
trait ClassifyText {
    fn classify_text(&self) -> String;
}
impl ClassifyText for serde_json::Error {
    fn classify_text(&self) -> String {
        format!("{:?} error at column {}", self.classify(), self.column())
    }
}

/// Puts a change together from its pieces.
///
/// # Errors
/// When they cannot be read or are not all of it.
pub(crate) fn assemble(parts: Vec<LogPart>) -> Result<Change, DatabaseError> {
    let Some(info) = parts.first().map(|p| p.info.clone()) else { return Err(DatabaseError::Truncated) };
    let mut rows = Vec::with_capacity(usize::try_from(info.ops).unwrap_or(0).min(crate::change::OPS_MAX));
    for part in parts {
        let mut take = Take::new(&part.ops.0);
        while !take.is_empty() {
            rows.push(typed(RawOp::take(&mut take)?)?);
        }
    }
    if u64::try_from(rows.len()).unwrap_or(u64::MAX) != info.ops {
        return Err(DatabaseError::Truncated);
    }
    Ok(Change { info, rows })
}

impl Reader {
    pub(super) fn log_op(
        &self,
        revision: Revision,
        position: usize,
        table: Table,
        key: &str,
        before: Option<&str>,
        after: Option<&str>,
    ) -> Result<(), StoreError> {
        let sql = "INSERT INTO change_op (revision, position, \"table\", \"key\", before, after) VALUES (?1, ?2, ?3, ?4, ?5, ?6)";
        let position = i64::try_from(position).unwrap_or(i64::MAX);
        let values = (signed(revision), position, table.word(), key, before, after);
        self.db.prepare_cached(sql).and_then(|mut s| s.execute(values)).map_err(|e| self.fail(e))?;
        Ok(())
    }
    pub(super) fn log_change(&self, info: &ChangeInfo) -> Result<(), StoreError> {
        let sql = format!("INSERT INTO change ({INFO}) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)");
        let values = (
            signed(info.revision),
            signed(info.epoch.number),
            signed(info.epoch.started.0),
            info.epoch.publisher.as_str(),
            &info.author,
            signed(info.at.0),
            &info.comment,
            signed(info.ops),
            info.digest.to_bytes(),
        );
        self.db.prepare_cached(&sql).and_then(|mut s| s.execute(values)).map_err(|e| self.fail(e))?;
        Ok(())
    }
    /// A change without its rows, if the log has it.
    ///
    /// # Errors
    /// As the disk has them.
    pub fn change_info(&self, revision: Revision) -> Result<Option<ChangeInfo>, StoreError> {
        let sql = format!("SELECT {INFO} FROM change WHERE revision = ?1");
        let read = || self.db.prepare_cached(&sql)?.query_row([signed(revision)], |row| info(row, 0)).optional();
        Ok(read().map_err(|e| self.fail(e))?.flatten())
    }
    /// The rows of a change, in order, as far as the log has them; from `first` on, at most `limit`.
    ///
    /// # Errors
    /// As the disk has them; [`StoreError::Damaged`] when a row cannot be read.
    pub fn change_rows(&self, revision: Revision, first: u64, limit: usize) -> Result<Vec<Op>, StoreError> {
        let sql = "SELECT \"table\", \"key\", before, after FROM change_op WHERE revision = ?1 AND position >= ?2 ORDER BY position LIMIT ?3";
        let read = || {
            let mut statement = self.db.prepare_cached(sql)?;
            let limit = i64::try_from(limit).unwrap_or(i64::MAX);
            let rows = statement.query_map((signed(revision), signed(first), limit), |row| raw_op(row, 0, typed))?;
            rows.collect::<rusqlite::Result<Vec<_>>>()
        };
        let rows = read().map_err(|e| self.fail(e))?;
        rows.into_iter().flatten().map(|op| op.map_err(|e| self.damaged(e.to_string()))).collect()
    }
    pub(super) fn damaged(&self, why: String) -> StoreError {
        StoreError::Damaged { path: self.path.clone(), why }
    }
    /// Reads the log for a peer whose last change is `after`, from a place on, up to so many bytes (at least one piece).
    ///
    /// # Errors
    /// As the disk has them.
    pub fn read_log(
        &self,
        after: (Revision, Option<(Digest, Epoch)>),
        from: LogPosition,
        bytes: usize,
    ) -> Result<LogRead, StoreError> {
        // One view for the whole reading: the log may be trimmed beside it.
        self.batch("BEGIN")?;
        let result = self.read_log_inside(after, from, bytes);
        self.batch("COMMIT")?;
        result
    }
    fn read_log_inside(
        &self,
        (revision, last): (Revision, Option<(Digest, Epoch)>),
        from: LogPosition,
        bytes: usize,
    ) -> Result<LogRead, StoreError> {
        let head = self.head()?;
        let known = match last {
            None => revision == 0,
            Some((digest, epoch)) => {
                self.change_info(revision)?.is_some_and(|info| info.digest == digest && info.epoch == epoch)
            }
        };
        let next = revision.saturating_add(1);
        if !known || next < head.oldest || from.revision < next {
            return Ok(LogRead::NeedsSnapshot);
        }
        let (mut parts, mut at, mut left) = (Vec::new(), from, bytes.max(1));
        while left > 0 && at.revision <= head.revision {
            let Some(part) = self.read_part(at)? else { return Ok(LogRead::NeedsSnapshot) };
            left = left.saturating_sub(part.ops.0.len().max(1));
            at = part.end();
            parts.push(part);
        }
        Ok(LogRead::Parts { parts, history: self.epochs()? })
    }
    fn read_part(&self, at: LogPosition) -> Result<Option<LogPart>, StoreError> {
        let Some(info) = self.change_info(at.revision)? else { return Ok(None) };
        let sql = "SELECT \"table\", \"key\", before, after FROM change_op WHERE revision = ?1 AND position >= ?2 ORDER BY position";
        let read = || {
            let mut statement = self.db.prepare_cached(sql)?;
            let mut rows = statement.query((signed(at.revision), signed(at.op)))?;
            let (mut ops, mut count) = (Vec::new(), 0_u64);
            while let Some(row) = rows.next()? {
                let before = ops.len();
                raw_op(row, 0, |op| op.put(&mut ops))?;
                if ops.len() > PART_BYTES && before > 0 {
                    ops.truncate(before);
                    break;
                }
                count += 1;
            }
            Ok((ops, count))
        };
        let (ops, count) = read().map_err(|e| self.fail(e))?;
        let part = LogPart { info, first: at.op, count, ops: Packet(Bytes::from(ops)) };
        Ok(Some(part).filter(|p| p.count > 0))
    }
}

impl Store {
    /// Drops the oldest changes beyond the bounds of the settings; the newest one stays. Returns how many went.
    ///
    /// # Errors
    /// As the disk has them.
    pub fn trim_log(&mut self) -> Result<u64, StoreError> {
        let settings = self.settings;
        let head = self.head()?;
        let mut first = head.oldest.max(head.revision.saturating_add(1).saturating_sub(settings.log_changes.max(1)));
        // Newest first, until the rows are too many.
        let sql = "SELECT revision FROM (SELECT revision, sum(ops) OVER (ORDER BY revision DESC) AS total FROM change) \
                   WHERE total <= ?1 OR revision = ?2 ORDER BY revision LIMIT 1";
        let read = || self.db.query_row(sql, (signed(settings.log_ops), signed(head.revision)), |row| unsigned(row, 0));
        let kept = read().optional().map_err(|e| self.fail(e))?;
        first = first.max(kept.unwrap_or(0));
        if first <= head.oldest {
            return Ok(0);
        }
        self.transaction(|this| {
            let run = |sql: &str, bound: Revision| this.db.execute(sql, [signed(bound)]).map_err(|e| this.fail(e));
            run("DELETE FROM change_op WHERE revision < ?1", first)?;
            // The last one before the log stays without its rows: its digest proves that a peer may go on from there.
            let gone = run("DELETE FROM change WHERE revision < ?1", first.saturating_sub(1))?;
            Ok(u64::try_from(gone).unwrap_or(0))
        })
    }
}
