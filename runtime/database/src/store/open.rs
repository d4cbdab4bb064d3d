//! Opening a store's file: how SQLite is set, whether the file is sound, which schema version it has and the steps to the newest.
//!
//! A damaged file is never repaired or deleted here: it is reported, and set aside by name when the owner says so.

use crate::error::StoreError;
use rusqlite::{Connection, Error, ErrorCode, OpenFlags};
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// The steps of the schema: the n-th leads from version n to n + 1. A step that was released is never changed.
pub(crate) const STEPS: &[&str] = &[include_str!("../../schema/0001.sql")];

/// How long a statement waits for another connection.
const BUSY: Duration = Duration::from_secs(5);
/// Statements that are kept ready.
const STATEMENTS: usize = 256;

/// How a store keeps its file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StoreSettings {
    /// Whether a commit waits until the disk has it. False only for tests and for imports that can be repeated.
    pub durable: bool,
    /// Most changes that the log keeps.
    pub log_changes: u64,
    /// Most rows of changes that the log keeps; the newest change is always kept.
    pub log_ops: u64,
    /// Memory for pages, in KiB.
    pub cache_kib: u32,
}
impl Default for StoreSettings {
    fn default() -> Self {
        Self { durable: true, log_changes: 100_000, log_ops: 2_000_000, cache_kib: 16_384 }
    }
}

/// What SQLite says, as ours.
pub(crate) fn failure(path: &Path, error: Error) -> StoreError {
    let text = error.to_string();
    match error.sqlite_error_code() {
        Some(ErrorCode::DiskFull) => StoreError::DiskFull(text),
        Some(ErrorCode::ReadOnly) => StoreError::ReadOnly(text),
        Some(ErrorCode::SystemIoFailure | ErrorCode::CannotOpen | ErrorCode::PermissionDenied) => StoreError::Io(text),
        Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => {
            StoreError::Damaged { path: path.to_owned(), why: text }
        }
        Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked | ErrorCode::FileLockingProtocolFailed) => {
            StoreError::InUse(text)
        }
        _ => StoreError::Sql(text),
    }
}

/// Opens for writing: settings, soundness, schema. A file that is not there is made if `make` says so.
pub(crate) fn writer(path: &Path, settings: StoreSettings, make: bool) -> Result<Connection, StoreError> {
    let fail = |e| failure(path, e);
    let mut flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    flags.set(OpenFlags::SQLITE_OPEN_CREATE, make);
    let db = Connection::open_with_flags(path, flags).map_err(fail)?;
    common(&db, settings).map_err(fail)?;
    sound(&db, path, "quick_check")?;
    let synchronous = if settings.durable { "FULL" } else { "OFF" };
    // Nothing can be lost of a file that is being made: it goes to the disk once, at its end, and a slow disk holds a first start up less.
    let fresh = version(&db).map_err(fail)? == 0;
    let meanwhile = if fresh { "OFF" } else { synchronous };
    db.execute_batch(&format!(
        "PRAGMA synchronous = {meanwhile}; PRAGMA journal_mode = WAL; PRAGMA foreign_keys = ON; \
         PRAGMA journal_size_limit = 67108864; PRAGMA temp_store = MEMORY;"
    ))
    .map_err(fail)?;
    migrate(&db, path, STEPS)?;
    if fresh {
        db.execute_batch(&format!("PRAGMA synchronous = {synchronous}; PRAGMA wal_checkpoint(TRUNCATE);"))
            .map_err(fail)?;
    }
    Ok(db)
}

/// Opens for reading only, beside the writer.
pub(crate) fn reader(path: &Path, settings: StoreSettings) -> Result<Connection, StoreError> {
    let fail = |e| failure(path, e);
    // Read and write as far as the file goes: a reader of a WAL file takes part in its shared memory. The pragma forbids changes.
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let db = Connection::open_with_flags(path, flags).map_err(fail)?;
    common(&db, settings).map_err(fail)?;
    db.execute_batch("PRAGMA query_only = ON;").map_err(fail)?;
    let version = version(&db).map_err(fail)?;
    if version == known(STEPS) { Ok(db) } else { Err(too_new(path, version, STEPS)) }
}

fn common(db: &Connection, settings: StoreSettings) -> Result<(), Error> {
    db.busy_timeout(BUSY)?;
    db.set_prepared_statement_cache_capacity(STATEMENTS);
    db.execute_batch(&format!("PRAGMA cache_size = -{};", settings.cache_kib))
}

/// Asks SQLite whether the file is sound; `check` is `quick_check` or `integrity_check`.
pub(crate) fn sound(db: &Connection, path: &Path, check: &str) -> Result<(), StoreError> {
    let found: Result<String, Error> = db.query_row(&format!("PRAGMA {check}(1)"), [], |row| row.get(0));
    match found {
        Ok(text) if text == "ok" => Ok(()),
        Ok(why) => Err(StoreError::Damaged { path: path.to_owned(), why }),
        Err(error) => Err(failure(path, error)),
    }
}

fn known(steps: &[&str]) -> i64 {
    i64::try_from(steps.len()).unwrap_or(i64::MAX)
}
fn version(db: &Connection) -> Result<i64, Error> {
    db.query_row("PRAGMA user_version", [], |row| row.get(0))
}
fn too_new(path: &Path, found: i64, steps: &[&str]) -> StoreError {
    StoreError::TooNew { path: path.to_owned(), found, known: known(steps) }
}

/// Brings the schema to the newest version, all steps in one transaction.
pub(crate) fn migrate(db: &Connection, path: &Path, steps: &[&str]) -> Result<(), StoreError> {
    let fail = |e| failure(path, e);
    let found = version(db).map_err(fail)?;
    let done = usize::try_from(found).ok().filter(|n| *n <= steps.len()).ok_or_else(|| too_new(path, found, steps))?;
    if done == steps.len() {
        return Ok(());
    }
    db.execute_batch("BEGIN IMMEDIATE").map_err(fail)?;
    let run = steps.iter().skip(done).try_for_each(|step| db.execute_batch(step));
    let run = run.and_then(|()| db.execute_batch(&format!("PRAGMA user_version = {}; COMMIT", steps.len())));
    run.map_err(|error| {
        // What began is undone; if even that fails the connection is given up by the caller.
        let _ = db.execute_batch("ROLLBACK");
        fail(error)
    })
}

/// Renames a store's file and what belongs to it (`-wal`, `-shm`), so that a new one can take its place. Nothing is deleted.
///
/// # Errors
/// [`StoreError::Io`] when the file cannot be renamed.
pub fn set_aside(path: &Path) -> Result<PathBuf, StoreError> {
    let fail = |e: std::io::Error| StoreError::Io(format!("{}: {e}", path.display()));
    let name = |n: u32, tail: &str| {
        let mut name = OsString::from(path);
        name.push(format!(".damaged-{n}{tail}"));
        PathBuf::from(name)
    };
    let beside = |tail: &str| {
        let mut name = OsString::from(path);
        name.push(tail);
        PathBuf::from(name)
    };
    let mut n = 1;
    while name(n, "").try_exists().map_err(fail)? {
        n += 1;
    }
    // The log first: the file without its log is older, but sound; a log without its file would be taken for the next file's.
    for tail in ["-wal", "-shm", ""] {
        let from = beside(tail);
        if from.try_exists().map_err(fail)? {
            std::fs::rename(&from, name(n, tail)).map_err(fail)?;
        }
    }
    Ok(name(n, ""))
}
