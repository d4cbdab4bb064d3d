//! A snapshot: the whole copy at one moment, rows and log, in chunks. The database goes on meanwhile.

use super::{Reader, Store, log, signed};
use crate::change::Head;
use crate::codec::Item;
use crate::error::StoreError;
use crate::replication::{EpochBase, Packet};
use crate::table::Table;
use bytes::Bytes;

/// Bytes after which a chunk is closed; one item more may be in it.
pub(crate) const CHUNK_BYTES: usize = 56 << 10;

/// The copy of one moment, held still by a read transaction of its own.
#[derive(Debug)]
pub struct Snapshot {
    reader: Reader,
    head: Head,
    epochs: Vec<EpochBase>,
    at: At,
}

/// Where the walk is: what comes next is after this.
#[derive(Debug)]
enum At {
    Rows { table: usize, key: String },
    Changes { revision: u64 },
    Ops { revision: u64, position: i64 },
    End,
}

impl Store {
    /// Holds the copy still. While it lives, the write-ahead log on disk cannot shrink: do not keep it for long.
    ///
    /// # Errors
    /// As the disk has them.
    pub fn snapshot(&self) -> Result<Snapshot, StoreError> {
        let reader = self.another()?;
        // The view begins with the first reading.
        reader.batch("BEGIN")?;
        let head = reader.head()?;
        let epochs = reader.epochs()?;
        Ok(Snapshot { reader, head, epochs, at: At::Rows { table: 0, key: String::new() } })
    }
}

impl Snapshot {
    /// Of what it is.
    pub fn head(&self) -> &Head {
        &self.head
    }
    /// Where each epoch in it began.
    pub fn epochs(&self) -> &[EpochBase] {
        &self.epochs
    }
    /// The next chunk, and whether it is the last.
    ///
    /// # Errors
    /// As the disk has them.
    pub fn next_chunk(&mut self) -> Result<(Packet, bool), StoreError> {
        let mut out = Vec::with_capacity(CHUNK_BYTES + 1_024);
        while out.len() < CHUNK_BYTES && !matches!(self.at, At::End) {
            let next = match &self.at {
                At::Rows { table, key } => self.rows(*table, key, &mut out)?,
                At::Changes { revision } => self.changes(*revision, &mut out)?,
                At::Ops { revision, position } => self.ops(*revision, *position, &mut out)?,
                At::End => At::End,
            };
            self.at = next;
        }
        Ok((Packet(Bytes::from(out)), matches!(self.at, At::End)))
    }
    fn rows(&self, index: usize, after: &str, out: &mut Vec<u8>) -> Result<At, StoreError> {
        let Some(table) = Table::ALL.get(index).copied() else { return Ok(At::Changes { revision: 0 }) };
        let mut last = None;
        self.reader.walk(table, after, |key, document| {
            Item::Row { table, key, document: &document.canonical() }.put(out);
            last = Some(key.to_owned());
            out.len() < CHUNK_BYTES
        })?;
        Ok(match last {
            Some(key) if out.len() >= CHUNK_BYTES => At::Rows { table: index, key },
            _ => At::Rows { table: index + 1, key: String::new() },
        })
    }
    fn changes(&self, after: u64, out: &mut Vec<u8>) -> Result<At, StoreError> {
        let mut revision = after;
        let sql = "SELECT revision, epoch, started, publisher, author, at, comment, ops, digest FROM change WHERE revision > ?1 ORDER BY revision";
        let mut read = || {
            let mut statement = self.reader.db.prepare_cached(sql)?;
            let mut rows = statement.query([signed(after)])?;
            while out.len() < CHUNK_BYTES {
                let Some(row) = rows.next()? else { return Ok(true) };
                if let Some(info) = log::info(row, 0)? {
                    Item::Change(&serde_json::to_string(&info).unwrap_or_default()).put(out);
                    revision = info.revision;
                }
            }
            Ok(false)
        };
        let end = read().map_err(|e| self.reader.fail(e))?;
        Ok(if end { At::Ops { revision: 0, position: -1 } } else { At::Changes { revision } })
    }
    fn ops(&self, revision: u64, position: i64, out: &mut Vec<u8>) -> Result<At, StoreError> {
        let mut last = (revision, position);
        let sql = "SELECT \"table\", \"key\", before, after, revision, position FROM change_op \
                   WHERE (revision, position) > (?1, ?2) ORDER BY revision, position";
        let mut read = || {
            let mut statement = self.reader.db.prepare_cached(sql)?;
            let mut rows = statement.query((signed(revision), position))?;
            while out.len() < CHUNK_BYTES {
                let Some(row) = rows.next()? else { return Ok(true) };
                let (revision, position) = (super::unsigned(row, 4)?, row.get::<_, i64>(5)?);
                let at = u64::try_from(position).unwrap_or(0);
                log::raw_op(row, 0, |op| Item::Op { revision, position: at, op }.put(out))?;
                last = (revision, position);
            }
            Ok(false)
        };
        let end = read().map_err(|e| self.reader.fail(e))?;
        Ok(if end { At::End } else { At::Ops { revision: last.0, position: last.1 } })
    }
}
