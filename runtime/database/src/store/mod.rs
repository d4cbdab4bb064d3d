//! The SQLite file of one node: everything that is written to it and read from it.
//!
//! [`Store`] is the one writer; it blocks, so its owner gives it a thread. [`Reader`]s stand beside it and see the last commit. The
//! file may be looked at with the ordinary `sqlite3` tool.

mod audit;
mod check;
mod commit;
mod history;
mod log;
mod open;
mod pass;
mod preview;
mod query;
mod restore;
mod snapshot;
mod sql;
mod user;

pub(crate) use log::assemble;
#[cfg(test)]
pub(crate) use open::{STEPS, migrate};

pub use audit::AuditEntry;
pub use history::{HistoryPage, Unsent};
pub use open::{StoreSettings, set_aside};
pub use query::{Filter, Page, Query, Use};
pub use restore::Target;
pub use snapshot::Snapshot;

use crate::change::{Epoch, Head, Revision};
use crate::error::StoreError;
use crate::replication::EpochBase;
use crate::row::{Digest, RowHash};
use crate::table::Table;
use rusqlite::{Connection, Row as SqlRow};
use sql::Statements;
use std::fmt;
use std::ops::Deref;
use std::path::{Path, PathBuf};
use tandem_base::{NodeName, UnixMillis};

/// Reads a store's file, beside its writer. Each call sees the last commit.
pub struct Reader {
    db: Connection,
    path: PathBuf,
    statements: Vec<Statements>,
    settings: StoreSettings,
}
impl fmt::Debug for Reader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reader").field("path", &self.path).finish_non_exhaustive()
    }
}

/// The writer of a store's file; there is one per file. Reads, too.
#[derive(Debug)]
pub struct Store {
    reader: Reader,
    /// What every commit meets, when somebody says so: see [`Store::set_fault`].
    fault: Option<StoreError>,
}
impl Deref for Store {
    type Target = Reader;
    fn deref(&self) -> &Reader {
        &self.reader
    }
}

impl Store {
    /// Opens a file, or makes it; brings its schema up to date. The file is checked on the way (`PRAGMA quick_check`).
    ///
    /// # Errors
    /// [`StoreError::Damaged`]: [`set_aside`] it and open again, then the database comes from a peer. [`StoreError::TooNew`] when a newer
    /// Tandem wrote it. Others as the disk has them.
    pub fn open(path: &Path, settings: StoreSettings) -> Result<Self, StoreError> {
        Self::opened(path, settings, true)
    }
    fn opened(path: &Path, settings: StoreSettings, make: bool) -> Result<Self, StoreError> {
        let reader = Reader::over(open::writer(path, settings, make)?, path, settings);
        // Proves that the tables are there and can be read.
        reader.head()?;
        Ok(Self { reader, fault: None })
    }
    /// Opens the file anew, after a disk that failed is well again. The old connection is kept when that fails, and when what is found there is
    /// older than revision `known`: a disk that is not mounted yet shows an empty folder, or whatever lay in it before.
    ///
    /// # Errors
    /// As [`Store::open`]; [`StoreError::Io`] when it is another file.
    pub fn reopen(&mut self, known: Revision) -> Result<(), StoreError> {
        let found = Self::opened(&self.reader.path, self.reader.settings, false)?;
        let revision = found.head()?.revision;
        if revision < known {
            let path = self.reader.path.display();
            return Err(StoreError::Io(format!("{path} is at revision {revision}, it was at {known}: another disk?")));
        }
        // A disk is not mended by opening a file.
        *self = Self { fault: self.fault.take(), ..found };
        Ok(())
    }
    /// Runs `work` between `BEGIN IMMEDIATE` and `COMMIT`; undone when either fails.
    fn transaction<T, E: From<StoreError>>(&mut self, work: impl FnOnce(&Reader) -> Result<T, E>) -> Result<T, E> {
        let this = &self.reader;
        this.batch("BEGIN IMMEDIATE")?;
        let commit = || self.fault.clone().map_or_else(|| this.batch("COMMIT"), Err);
        let result = work(this).and_then(|value| commit().map(|()| value).map_err(E::from));
        if result.is_err() && !this.db.is_autocommit() {
            // SQLite may have undone it already; if it cannot be undone the next BEGIN says so.
            let _ = this.db.execute_batch("ROLLBACK");
        }
        result
    }
    /// What a disk that fails does, for simulators: from now on every commit meets this and nothing is written, or all is well again. A full disk
    /// is met there, too: what a transaction writes goes to the log when it ends.
    pub fn set_fault(&mut self, fault: Option<StoreError>) {
        self.fault = fault;
    }
    /// What a full disk does, for tests: no page more than so many, which are never fewer than there are.
    #[cfg(test)]
    pub(crate) fn bound_pages(&mut self, most: Option<u32>) {
        let most = most.map_or(i64::from(u32::MAX) - 1, |n| i64::from(n.max(1)));
        self.db.query_row(&format!("PRAGMA max_page_count = {most}"), [], |_| Ok(())).unwrap();
    }
    /// What a read-only disk does, for tests; until the file is opened anew.
    #[cfg(test)]
    pub(crate) fn forbid_writing(&mut self) {
        self.batch("PRAGMA query_only = ON").unwrap();
    }
    /// Whether the disk takes what is written: some room is taken, durably, and given back.
    ///
    /// # Errors
    /// As the disk has them.
    pub fn probe(&mut self) -> Result<(), StoreError> {
        // No chunk of a snapshot has this position.
        let take = "INSERT OR REPLACE INTO incoming (position, items) VALUES (-1, zeroblob(262144))";
        self.transaction(|this| this.batch(take))?;
        self.transaction(|this| this.batch("DELETE FROM incoming WHERE position = -1"))
    }
    /// Remembers the newest epoch heard of; older ones change nothing.
    ///
    /// # Errors
    /// As the disk has them.
    pub fn remember_epoch(&mut self, epoch: &Epoch) -> Result<(), StoreError> {
        if self.head()?.epoch.is_some_and(|known| known >= *epoch) {
            return Ok(());
        }
        self.transaction(|this| this.write_epoch(epoch))
    }
}

impl Reader {
    /// Opens a reader beside the writer of a file.
    ///
    /// # Errors
    /// As the disk has them; the file must exist.
    pub fn open(path: &Path, settings: StoreSettings) -> Result<Self, StoreError> {
        Ok(Self::over(open::reader(path, settings)?, path, settings))
    }
    /// Another reader of the same file, for another thread.
    ///
    /// # Errors
    /// As the disk has them.
    pub fn another(&self) -> Result<Self, StoreError> {
        Self::open(&self.path, self.settings)
    }
    fn over(db: Connection, path: &Path, settings: StoreSettings) -> Self {
        Self { db, path: path.to_owned(), statements: Statements::all(), settings }
    }
    /// The file.
    pub fn path(&self) -> &Path {
        &self.path
    }
    fn fail(&self, error: rusqlite::Error) -> StoreError {
        open::failure(&self.path, error)
    }
    fn batch(&self, sql: &str) -> Result<(), StoreError> {
        self.db.execute_batch(sql).map_err(|e| self.fail(e))
    }
    /// The statements of a table.
    fn of(&self, table: Table) -> Result<&Statements, StoreError> {
        self.statements.get(table as usize).ok_or_else(|| StoreError::Sql(format!("no statements for {table}")))
    }
    /// Checks the whole file (`PRAGMA integrity_check`): minutes for a large one.
    ///
    /// # Errors
    /// [`StoreError::Damaged`] with what was found first.
    pub fn check_integrity(&self) -> Result<(), StoreError> {
        open::sound(&self.db, &self.path, "integrity_check")
    }
    /// Where the copy stands.
    ///
    /// # Errors
    /// As the disk has them.
    pub fn head(&self) -> Result<Head, StoreError> {
        self.read_head().map_err(|e| self.fail(e))
    }
    fn read_head(&self) -> rusqlite::Result<Head> {
        let sql = "SELECT revision, digest, epoch, started, publisher, setting_digest FROM head";
        let mut head = self.db.prepare_cached(sql)?.query_row([], |row| {
            Ok(Head {
                revision: unsigned(row, 0)?,
                digest: digest(row, 1)?,
                epoch: epoch(row, 2)?,
                settings: digest(row, 5)?,
                ..Head::default()
            })
        })?;
        let sql = "SELECT epoch, started, publisher FROM change WHERE revision = ?1";
        let mut last = self.db.prepare_cached(sql)?;
        let last = rusqlite::OptionalExtension::optional(last.query_row([signed(head.revision)], |row| epoch(row, 0)))?;
        head.committed_under = last.flatten();
        let mut oldest = self.db.prepare_cached("SELECT min(revision) FROM change_op")?;
        let oldest: Option<i64> = oldest.query_row([], |row| row.get(0))?;
        head.oldest = oldest.map_or_else(|| head.revision.saturating_add(1), |n| u64::try_from(n).unwrap_or(0));
        Ok(head)
    }
    fn write_epoch(&self, epoch: &Epoch) -> Result<(), StoreError> {
        let sql = "UPDATE head SET epoch = ?1, started = ?2, publisher = ?3";
        let values = (signed(epoch.number), signed(epoch.started.0), epoch.publisher.as_str());
        self.db.prepare_cached(sql).and_then(|mut s| s.execute(values)).map_err(|e| self.fail(e))?;
        Ok(())
    }
    fn write_head(&self, revision: Revision, digest: Digest) -> Result<(), StoreError> {
        let sql = "UPDATE head SET revision = ?1, digest = ?2";
        let values = (signed(revision), digest.to_bytes());
        self.db.prepare_cached(sql).and_then(|mut s| s.execute(values)).map_err(|e| self.fail(e))?;
        Ok(())
    }
    /// Where each epoch in this copy began, oldest first.
    ///
    /// # Errors
    /// As the disk has them.
    pub fn epochs(&self) -> Result<Vec<EpochBase>, StoreError> {
        let read = || {
            let sql = "SELECT epoch, started, publisher, base FROM epoch ORDER BY base, epoch";
            let mut statement = self.db.prepare_cached(sql)?;
            let rows = statement.query_map([], |row| Ok((epoch(row, 0)?, unsigned(row, 3)?)))?;
            rows.map(|row| row.map(|(e, base)| e.map(|epoch| EpochBase { epoch, base })))
                .collect::<rusqlite::Result<_>>()
        };
        let rows: Vec<Option<EpochBase>> = read().map_err(|e| self.fail(e))?;
        Ok(rows.into_iter().flatten().collect())
    }
    fn write_epochs(&self, bases: &[EpochBase]) -> Result<(), StoreError> {
        let sql = "INSERT OR IGNORE INTO epoch (epoch, started, publisher, base) VALUES (?1, ?2, ?3, ?4)";
        for EpochBase { epoch, base } in bases {
            let values = (signed(epoch.number), signed(epoch.started.0), epoch.publisher.as_str(), signed(*base));
            self.db.prepare_cached(sql).and_then(|mut s| s.execute(values)).map_err(|e| self.fail(e))?;
        }
        Ok(())
    }
    /// Digest of all configuration rows, counted anew: what [`Head::digest`] must be.
    ///
    /// # Errors
    /// As the disk has them.
    pub fn recount(&self) -> Result<Digest, StoreError> {
        let mut digest = Digest::default();
        for table in Table::ALL {
            self.each(table, |key, document| digest.add(RowHash::of(table.word(), key, &document.canonical())))?;
        }
        Ok(digest)
    }
}

/// SQLite's integers are signed; ours never reach its bound.
fn signed(n: u64) -> i64 {
    i64::try_from(n).unwrap_or(i64::MAX)
}
fn unsigned(row: &SqlRow<'_>, column: usize) -> rusqlite::Result<u64> {
    Ok(u64::try_from(row.get::<_, i64>(column)?).unwrap_or(0))
}
fn digest(row: &SqlRow<'_>, column: usize) -> rusqlite::Result<Digest> {
    Ok(row.get_ref(column)?.as_bytes().ok().and_then(Digest::from_bytes).unwrap_or_default())
}
/// An epoch in three columns; `None` when there is none yet.
fn epoch(row: &SqlRow<'_>, column: usize) -> rusqlite::Result<Option<Epoch>> {
    let publisher: String = row.get(column + 2)?;
    let (number, started) = (unsigned(row, column)?, UnixMillis(unsigned(row, column + 1)?));
    Ok(NodeName::new(&publisher).ok().map(|publisher| Epoch { number, started, publisher }))
}
