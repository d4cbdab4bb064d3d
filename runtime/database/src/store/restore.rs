//! Taking a snapshot: its chunks are staged as they come, and replace the copy in one transaction when the last one is there. What
//! this copy has and the publisher never had is kept in `unsent_change`.

use super::log::typed;
use super::{Reader, Store, signed};
use crate::change::{ChangeInfo, Epoch, Revision};
use crate::codec::{Item, Take};
use crate::error::{DatabaseError, Refused, StoreError};
use crate::replication::EpochBase;
use crate::row::{Digest, Document, RowHash};
use crate::table::{Kind, Table};
use std::collections::{BTreeMap, BTreeSet};
use tandem_base::UnixMillis;

/// What a snapshot must come to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// Its revision.
    pub revision: Revision,
    /// Its digest.
    pub digest: Digest,
    /// The epoch of its source.
    pub epoch: Epoch,
    /// Where each epoch in it began.
    pub history: Vec<EpochBase>,
    /// Wall clock, for changes that are set aside.
    pub at: UnixMillis,
}
impl Target {
    /// Whether a change of this copy, older than the source's log, is one that the source has, too.
    fn has(&self, revision: Revision, epoch: &Epoch) -> bool {
        let mut own = self.history.iter().skip_while(|e| e.epoch != *epoch);
        let Some(base) = own.next() else { return false };
        let end = own.next().map_or(self.revision, |next| next.base);
        revision > base.base && revision <= end
    }
}

impl Store {
    /// Keeps a chunk until the others are there. The first one (0) empties the stage. Not durable by itself: a restart begins anew.
    ///
    /// # Errors
    /// As the disk has them.
    pub fn stage_chunk(&mut self, index: u64, items: &[u8]) -> Result<(), StoreError> {
        self.lazily(|this| {
            this.transaction(|this| {
                if index == 0 {
                    this.batch("DELETE FROM incoming")?;
                }
                let sql = "INSERT OR REPLACE INTO incoming (position, items) VALUES (?1, ?2)";
                let run = this.db.prepare_cached(sql).and_then(|mut s| s.execute((signed(index), items)));
                run.map(drop).map_err(|e| this.fail(e))
            })
        })
    }
    /// Replaces rows and log by what is staged; user settings stay. Returns how many own changes were set aside.
    ///
    /// # Errors
    /// [`Refused::Diverged`] when what is staged does not come to the target, [`Refused::Problems`] when this Tandem is too old for it: the copy is as it was.
    pub fn restore(&mut self, target: &Target) -> Result<u64, Refused> {
        // The rows are judged by their digest, which is that of a copy whose references were judged.
        self.batch("PRAGMA foreign_keys = OFF")?;
        let result = self.transaction(|this| this.replace(target));
        self.batch("PRAGMA foreign_keys = ON")?;
        result
    }
    /// Without waiting for the disk: what is written can be fetched again, or goes to the disk with the next change.
    pub(super) fn lazily<T>(&mut self, work: impl FnOnce(&mut Self) -> Result<T, StoreError>) -> Result<T, StoreError> {
        if !self.settings.durable {
            return work(self);
        }
        self.batch("PRAGMA synchronous = NORMAL")?;
        let result = work(self);
        self.batch("PRAGMA synchronous = FULL")?;
        result
    }
}

impl Reader {
    fn replace(&self, target: &Target) -> Result<u64, Refused> {
        let unsent = self.set_unsent_aside(target)?;
        let had = self.devices_with_settings()?;
        for table in Table::ALL {
            let spec = table.spec();
            for column in spec.columns {
                if let Kind::List(list) = column.kind {
                    self.batch(&format!("DELETE FROM \"{}\"", list.sql))?;
                }
            }
            self.batch(&format!("DELETE FROM \"{}\"", spec.sql))?;
        }
        self.batch("DELETE FROM change_op; DELETE FROM change; DELETE FROM epoch")?;
        let digest = self.unpack()?;
        if digest != target.digest {
            let why = format!("the snapshot's digest is {digest} here, {} there", target.digest);
            return Err(Refused::Diverged { revision: target.revision, why });
        }
        self.batch("DELETE FROM incoming")?;
        self.write_head(target.revision, digest)?;
        self.write_epochs(&target.history)?;
        if self.head()?.epoch.is_none_or(|known| known < target.epoch) {
            self.write_epoch(&target.epoch)?;
        }
        self.take_back_gone(had, target.revision)?;
        Ok(unsent)
    }
    /// The devices of this copy for which something is set.
    fn devices_with_settings(&self) -> Result<Vec<String>, StoreError> {
        let mut devices = BTreeSet::new();
        self.each_user_setting(|setting| {
            if setting.value.is_some() {
                devices.insert(setting.device);
            }
        })?;
        let mut here = Vec::new();
        for device in devices {
            if self.exists(Table::Device, &device)? {
                here.push(device);
            }
        }
        Ok(here)
    }
    /// A device that was here and is not in the snapshot was deleted meanwhile, perhaps by a node that never heard what was set for it here.
    fn take_back_gone(&self, had: Vec<String>, revision: Revision) -> Result<(), StoreError> {
        let Some(info) = self.change_info(revision)? else { return Ok(()) };
        let mut settings = self.head()?.settings;
        for device in had {
            if !self.exists(Table::Device, &device)? {
                self.take_back_user(&device, &info, &mut settings)?;
            }
        }
        Ok(())
    }
    fn set_unsent_aside(&self, target: &Target) -> Result<u64, Refused> {
        let mut unsent = 0;
        let head = self.head()?;
        let theirs = self.staged_log()?;
        let reach = theirs.first_key_value().map_or(u64::MAX, |(revision, _)| *revision);
        for revision in head.oldest..=head.revision {
            let Some(info) = self.change_info(revision)? else { continue };
            let shared = match theirs.get(&revision) {
                Some((epoch, digest)) => *epoch == info.epoch && *digest == info.digest,
                None => revision < reach && target.has(revision, &info.epoch),
            };
            if shared {
                continue;
            }
            let run = || {
                let sql = "INSERT INTO unsent_change (set_aside_at, revision, epoch, started, publisher, author, at, comment, ops, digest) \
                           SELECT ?1, revision, epoch, started, publisher, author, at, comment, ops, digest FROM change WHERE revision = ?2";
                self.db.prepare_cached(sql)?.execute((signed(target.at.0), signed(revision)))?;
                let sql = "INSERT INTO unsent_change_op SELECT ?1, position, \"table\", \"key\", before, after FROM change_op WHERE revision = ?2";
                self.db.prepare_cached(sql)?.execute((self.db.last_insert_rowid(), signed(revision)))
            };
            run().map_err(|e| self.fail(e))?;
            unsent += 1;
        }
        Ok(unsent)
    }
    /// The changes in the log of what is staged.
    fn staged_log(&self) -> Result<BTreeMap<Revision, (Epoch, Digest)>, Refused> {
        let mut log = BTreeMap::new();
        self.each_staged(&mut |item| {
            if let Item::Change(text) = item {
                let info = change(text)?;
                log.insert(info.revision, (info.epoch, info.digest));
            }
            Ok(())
        })?;
        Ok(log)
    }
    /// Writes what is staged; returns the digest of the rows.
    fn unpack(&self) -> Result<Digest, Refused> {
        let mut digest = Digest::default();
        self.each_staged(&mut |item| self.unpack_one(item, &mut digest))?;
        Ok(digest)
    }
    fn each_staged(&self, each: &mut dyn FnMut(Item<'_>) -> Result<(), Refused>) -> Result<(), Refused> {
        let mut position: i64 = 0;
        loop {
            let sql = "SELECT items FROM incoming WHERE position = ?1";
            let read = || {
                use rusqlite::OptionalExtension;
                self.db.prepare_cached(sql)?.query_row([position], |row| row.get::<_, Vec<u8>>(0)).optional()
            };
            let Some(items) = read().map_err(|e| self.fail(e))? else { return Ok(()) };
            let mut take = Take::new(&items);
            while !take.is_empty() {
                each(Item::take(&mut take).map_err(unreadable)?)?;
            }
            position += 1;
        }
    }
    fn unpack_one(&self, item: Item<'_>, digest: &mut Digest) -> Result<(), Refused> {
        match item {
            Item::Row { table, key, document } => {
                let mut parsed = Document::parse(document).map_err(|e| {
                    unreadable(DatabaseError::Malformed { what: "a row", why: format!("{:?}", e.classify()) })
                })?;
                let place = super::check::Place { op: None, table, key };
                super::check::shape(place, &mut parsed).map_err(|problem| Refused::Problems(vec![*problem]))?;
                digest.add(RowHash::of(table.word(), key, &parsed.canonical()));
                self.of(table)?.insert(&self.db, key, &parsed).map_err(|e| match self.fail(e) {
                    StoreError::Sql(why) => Refused::Diverged { revision: 0, why },
                    trouble => trouble.into(),
                })
            }
            Item::Change(info) => Ok(self.log_change(&change(info)?)?),
            Item::Op { revision, position, op } => {
                typed(op).map_err(unreadable)?;
                let position = usize::try_from(position).unwrap_or(usize::MAX);
                Ok(self.log_op(revision, position, op.table, op.key, op.before, op.after)?)
            }
        }
    }
}

fn change(text: &str) -> Result<ChangeInfo, Refused> {
    let malformed =
        |e: serde_json::Error| DatabaseError::Malformed { what: "a change", why: format!("{:?}", e.classify()) };
    serde_json::from_str(text).map_err(|e| unreadable(malformed(e)))
}
fn unreadable(error: DatabaseError) -> Refused {
    Refused::Diverged { revision: 0, why: error.to_string() }
}
