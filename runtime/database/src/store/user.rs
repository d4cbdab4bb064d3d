//! User settings on disk: written here or merged from peers, the newest stamp of a device and field stays; compared in parts.

use super::{Reader, Store, signed, unsigned};
use crate::change::ChangeInfo;
use crate::error::{DatabaseError, Refused, StoreError};
use crate::replication::UserCursor;
use crate::row::{Digest, RowHash};
use crate::table::KEY_BYTES_MAX;
use crate::user_setting::{BUCKETS, USER_VALUE_BYTES_MAX, UserField, UserSetting};
use rusqlite::{OptionalExtension, Row as SqlRow};
use tandem_base::{NodeName, UnixMillis};

/// Bytes of settings after which an answer to a peer is closed.
const ANSWER_BYTES: usize = 48 << 10;

const COLUMNS: &str = "device, field, value, at, author, node";

fn setting(row: &SqlRow<'_>) -> rusqlite::Result<Option<UserSetting>> {
    let (field, value, node): (String, Option<String>, String) = (row.get(1)?, row.get(2)?, row.get(5)?);
    let value = value.map(|text| serde_json::from_str(&text).unwrap_or_else(|_| text.into()));
    let known = UserField::from_word(&field).zip(NodeName::new(&node).ok());
    let (device, at, author) = (row.get(0)?, UnixMillis(unsigned(row, 3)?), row.get(4)?);
    Ok(known.map(|(field, node)| UserSetting { device, field, value, at, author, node }))
}

/// Whether a setting may be kept: its sizes.
fn acceptable(setting: &UserSetting) -> Result<(), Refused> {
    let value = setting.value.as_ref().map_or(0, |v| v.to_string().len());
    let sizes = [
        ("bytes of the device's name", setting.device.len(), KEY_BYTES_MAX),
        ("bytes of the value", value, USER_VALUE_BYTES_MAX),
        ("bytes of the author", setting.author.len(), crate::change::COMMENT_BYTES_MAX),
    ];
    match sizes.into_iter().find(|(_, found, bound)| found > bound) {
        Some((what, found, bound)) => Err(Refused::TooMuch { what, found, bound }),
        None if i64::try_from(setting.at.0).is_err() => {
            Err(Refused::TooMuch { what: "milliseconds since 1970", found: usize::MAX, bound: i64::MAX as usize })
        }
        None => Ok(()),
    }
}

impl Store {
    /// Writes what users set here, durably, all with one fsync. A stamp that is not later than what it replaces is made so: the
    /// clocks of nodes differ. Returns the settings as written.
    ///
    /// # Errors
    /// [`StoreError`]: none was written. Per setting: [`Refused::TooMuch`].
    pub fn set_user(&mut self, settings: Vec<UserSetting>) -> Result<Vec<Result<UserSetting, Refused>>, StoreError> {
        self.transaction(|this| {
            let mut digest = this.head()?.settings;
            let mut results = Vec::with_capacity(settings.len());
            for mut setting in settings {
                // A null is no value: it is taken back.
                setting.value = setting.value.take().filter(|v| !v.is_null());
                if let Err(refused) = acceptable(&setting) {
                    results.push(Err(refused));
                    continue;
                }
                let old = this.user_setting(&setting.device, setting.field)?;
                if let Some(old) = old.filter(|old| old.at >= setting.at) {
                    setting.at = UnixMillis(old.at.0.saturating_add(1));
                }
                this.put_user(&setting, &mut digest)?;
                results.push(Ok(setting));
            }
            this.write_user_digest(digest)?;
            Ok(results)
        })
    }
    /// Takes a peer's settings; returns those that were newer than what was here.
    ///
    /// # Errors
    /// As the disk has them: nothing was taken.
    pub fn merge_user(&mut self, settings: Vec<UserSetting>) -> Result<Vec<UserSetting>, StoreError> {
        let mut newer = Vec::new();
        for setting in settings {
            let old = self.user_setting(&setting.device, setting.field)?;
            if acceptable(&setting).is_ok() && old.is_none_or(|old| setting.beats(&old)) {
                newer.push(setting);
            }
        }
        if newer.is_empty() {
            return Ok(newer);
        }
        self.transaction(|this| {
            let mut digest = this.head()?.settings;
            let mut taken: Vec<UserSetting> = Vec::with_capacity(newer.len());
            for setting in newer {
                // One frame may hold a setting twice.
                let old = this.user_setting(&setting.device, setting.field)?;
                if old.is_none_or(|old| setting.beats(&old)) {
                    this.put_user(&setting, &mut digest)?;
                    taken.push(setting);
                }
            }
            this.write_user_digest(digest)?;
            Ok(taken)
        })
    }
}

impl Reader {
    fn put_user(&self, setting: &UserSetting, digest: &mut Digest) -> Result<(), StoreError> {
        let mut run = || {
            let sql = "SELECT hash FROM user_setting WHERE device = ?1 AND field = ?2";
            let key = (&setting.device, setting.field.word());
            let old = self.db.prepare_cached(sql)?.query_row(key, |row| row.get::<_, [u8; 16]>(0)).optional()?;
            if let Some(hash) = old {
                digest.remove(RowHash(u128::from_be_bytes(hash)));
            }
            let hash = setting.hash();
            digest.add(hash);
            let sql = "INSERT OR REPLACE INTO user_setting (device, field, value, at, author, node, bucket, hash) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)";
            self.db.prepare_cached(sql)?.execute((
                &setting.device,
                setting.field.word(),
                setting.value.as_ref().map(ToString::to_string),
                signed(setting.at.0),
                &setting.author,
                setting.node.as_str(),
                i64::try_from(UserSetting::bucket_of(&setting.device)).unwrap_or(0),
                hash.0.to_be_bytes(),
            ))
        };
        run().map(drop).map_err(|e| self.fail(e))
    }
    /// What was set for a device that a change has deleted is taken back, unless it was set later.
    pub(super) fn take_back_user(
        &self,
        device: &str,
        info: &ChangeInfo,
        digest: &mut Digest,
    ) -> Result<(), StoreError> {
        let sql = format!("SELECT {COLUMNS} FROM user_setting WHERE device = ?1 AND value IS NOT NULL");
        let read = || self.db.prepare_cached(&sql)?.query_map([device], setting)?.collect::<Result<Vec<_>, _>>();
        let found = read().map_err(|e| self.fail(e))?;
        for old in found.into_iter().flatten() {
            let (at, author, node) = (info.at, info.author.clone(), info.epoch.publisher.clone());
            let taken = UserSetting { device: old.device.clone(), field: old.field, value: None, at, author, node };
            if taken.beats(&old) {
                self.put_user(&taken, digest)?;
                self.write_user_digest(*digest)?;
            }
        }
        Ok(())
    }
    fn write_user_digest(&self, digest: Digest) -> Result<(), StoreError> {
        let sql = "UPDATE head SET setting_digest = ?1";
        let run = self.db.prepare_cached(sql).and_then(|mut s| s.execute([digest.to_bytes()]));
        run.map(drop).map_err(|e| self.fail(e))
    }
    /// One setting; also one that was taken back (its value is `None`).
    ///
    /// # Errors
    /// As the disk has them.
    pub fn user_setting(&self, device: &str, field: UserField) -> Result<Option<UserSetting>, StoreError> {
        let sql = format!("SELECT {COLUMNS} FROM user_setting WHERE device = ?1 AND field = ?2");
        let read = || self.db.prepare_cached(&sql)?.query_row((device, field.word()), setting).optional();
        Ok(read().map_err(|e| self.fail(e))?.flatten())
    }
    /// Every setting, by device and field, also those that were taken back: for reading all of them at start.
    ///
    /// # Errors
    /// As the disk has them.
    pub fn each_user_setting(&self, mut each: impl FnMut(UserSetting)) -> Result<(), StoreError> {
        let mut read = || {
            let sql = format!("SELECT {COLUMNS} FROM user_setting ORDER BY device, field");
            let mut statement = self.db.prepare_cached(&sql)?;
            let mut rows = statement.query([])?;
            while let Some(row) = rows.next()? {
                setting(row)?.into_iter().for_each(&mut each);
            }
            Ok(())
        };
        read().map_err(|e| self.fail(e))
    }
    /// Digest of each part of the user settings.
    ///
    /// # Errors
    /// As the disk has them.
    pub fn sum_user(&self) -> Result<Vec<Digest>, StoreError> {
        let mut parts = vec![Digest::default(); BUCKETS];
        let mut read = || {
            let mut statement = self.db.prepare_cached("SELECT bucket, hash FROM user_setting")?;
            let mut rows = statement.query([])?;
            while let Some(row) = rows.next()? {
                let (bucket, hash) = (unsigned(row, 0)?, row.get::<_, [u8; 16]>(1)?);
                let part = usize::try_from(bucket).ok().and_then(|n| parts.get_mut(n));
                part.into_iter().for_each(|p| p.add(RowHash(u128::from_be_bytes(hash))));
            }
            Ok(())
        };
        read().map_err(|e| self.fail(e))?;
        Ok(parts)
    }
    /// The settings of the parts that differ from a peer's, from a place on: as many as fit into a frame, and where to go on.
    ///
    /// # Errors
    /// [`DatabaseError::TooMuch`] when the parts are not as many as there are.
    pub fn read_user(
        &self,
        theirs: &[Digest],
        after: Option<&UserCursor>,
    ) -> Result<(Vec<UserSetting>, Option<UserCursor>), crate::replication::DatabaseOrStore> {
        if theirs.len() != BUCKETS {
            let (found, bound) = (theirs.len() as u64, BUCKETS as u64);
            return Err(DatabaseError::TooMuch { what: "the number of parts", found, bound }.into());
        }
        let ours = self.sum_user()?;
        let (mut settings, mut bytes) = (Vec::new(), 0);
        let start = after.map_or(0, |a| a.bucket);
        for (bucket, _) in ours.iter().zip(theirs).enumerate().skip(start).filter(|(_, (o, t))| o != t) {
            let from = after.filter(|a| a.bucket == bucket).map_or(("", ""), |a| (&a.device, &a.field));
            for setting in self.bucket_after(bucket, from)? {
                bytes += setting.canonical().len();
                let cursor =
                    UserCursor { bucket, device: setting.device.clone(), field: setting.field.word().to_owned() };
                settings.push(setting);
                if bytes >= ANSWER_BYTES {
                    return Ok((settings, Some(cursor)));
                }
            }
        }
        Ok((settings, None))
    }
    fn bucket_after(&self, bucket: usize, (device, field): (&str, &str)) -> Result<Vec<UserSetting>, StoreError> {
        let sql = format!(
            "SELECT {COLUMNS} FROM user_setting WHERE bucket = ?1 AND (device, field) > (?2, ?3) ORDER BY device, field LIMIT 2000"
        );
        let read = || {
            let mut statement = self.db.prepare_cached(&sql)?;
            let rows = statement.query_map((i64::try_from(bucket).unwrap_or(0), device, field), setting)?;
            rows.collect::<rusqlite::Result<Vec<_>>>()
        };
        Ok(read().map_err(|e| self.fail(e))?.into_iter().flatten().collect())
    }
}
