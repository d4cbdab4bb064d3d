//! Writing configuration: drafts at the publisher, changes of the log at a subscriber, each all or nothing; promotion.

use super::pass::Pass;
use super::{Reader, Store, signed};
use crate::change::{COMMENT_BYTES_MAX, Change, ChangeInfo, Draft, Epoch, Head, OPS_MAX, Op};
use crate::error::{Refused, StoreError};
use crate::replication::EpochBase;
use crate::table::Table;

impl Store {
    /// Commits drafts in order, each all or nothing, all with one fsync. A draft that changes nothing makes no revision: its
    /// answer has no rows and the current revision.
    ///
    /// # Errors
    /// [`StoreError`]: none was committed. The inner result is per draft: [`Refused::Problems`], `Stale`, `OldEpoch`, `TooMuch`.
    pub fn commit_many(&mut self, epoch: &Epoch, drafts: &[Draft]) -> Result<Vec<Result<Change, Refused>>, StoreError> {
        self.transaction(|this| {
            let mut head = this.head()?;
            drafts.iter().map(|draft| this.commit_one(epoch, draft, &mut head)).collect()
        })
    }
    /// Commits one draft.
    ///
    /// # Errors
    /// As for [`Store::commit_many`]; nothing was committed.
    pub fn commit(&mut self, epoch: &Epoch, draft: &Draft) -> Result<Change, Refused> {
        let mut results = self.commit_many(epoch, std::slice::from_ref(draft))?;
        results.pop().unwrap_or_else(|| Err(StoreError::Sql("no answer".to_owned()).into()))
    }
    /// What a draft would come to, without making it. Works on a subscriber's copy, too.
    ///
    /// # Errors
    /// As for [`Store::commit`].
    pub fn check(&mut self, draft: &Draft) -> Result<Change, Refused> {
        let this = &self.reader;
        let mut head = this.head()?;
        let nobody = || tandem_base::NodeName::new("nobody").map_err(|e| StoreError::Sql(e.to_string()));
        let epoch = match head.epoch.clone() {
            Some(epoch) => epoch,
            None => Epoch { number: 0, started: draft.at, publisher: nobody()? },
        };
        this.batch("BEGIN IMMEDIATE")?;
        let result = this.commit_one(&epoch, draft, &mut head);
        if !this.db.is_autocommit() {
            this.batch("ROLLBACK")?;
        }
        result?
    }
    /// Applies changes of the log in order, all with one fsync, as far as they fit. `history` says where each epoch began.
    ///
    /// # Errors
    /// What the second part says: the changes before were applied. [`Refused::OutOfOrder`], `OldEpoch`: this change is of no use here.
    /// `Diverged`: this copy must be fetched anew. `Problems`: this Tandem is too old for it.
    pub fn apply_many(
        &mut self,
        changes: impl IntoIterator<Item = Change>,
        history: &[EpochBase],
    ) -> Result<(Vec<Change>, Option<Refused>), StoreError> {
        self.transaction(|this| {
            let mut head = this.head()?;
            let (mut applied, mut stopped) = (Vec::new(), None);
            for change in changes {
                match this.savepoint(|| this.apply_one(change, &mut head))? {
                    Ok(change) => applied.push(change),
                    Err(refused) => {
                        stopped = Some(refused);
                        break;
                    }
                }
            }
            if !applied.is_empty() {
                let known: Vec<_> = history.iter().filter(|e| e.base <= head.revision).cloned().collect();
                this.write_epochs(&known)?;
            }
            Ok((applied, stopped))
        })
    }
    /// Applies one change.
    ///
    /// # Errors
    /// As for [`Store::apply_many`].
    pub fn apply(&mut self, change: Change) -> Result<Change, Refused> {
        match self.apply_many([change], &[])? {
            (_, Some(refused)) => Err(refused),
            (applied, None) => {
                applied.into_iter().next().ok_or_else(|| StoreError::Sql("nothing was applied".to_owned()).into())
            }
        }
    }
    /// Begins an epoch at this copy.
    ///
    /// # Errors
    /// [`Refused::OldEpoch`] when a newer one is known.
    pub fn promote(&mut self, epoch: &Epoch) -> Result<(), Refused> {
        self.transaction(|this| {
            let head = this.head()?;
            not_older(epoch, &head)?;
            this.begin_epoch(epoch, &head)
        })
    }
}

fn not_older(epoch: &Epoch, head: &Head) -> Result<(), Refused> {
    match &head.epoch {
        Some(current) if current > epoch => {
            Err(Refused::OldEpoch { found: Box::new(epoch.clone()), current: Box::new(current.clone()) })
        }
        _ => Ok(()),
    }
}

impl Reader {
    fn begin_epoch(&self, epoch: &Epoch, head: &Head) -> Result<(), Refused> {
        self.write_epoch(epoch)?;
        self.write_epochs(&[EpochBase { epoch: epoch.clone(), base: head.revision }])?;
        Ok(())
    }
    /// Runs `work`; what it refuses is undone, what the disk refuses is the caller's to undo.
    fn savepoint<T>(&self, work: impl FnOnce() -> Result<T, Refused>) -> Result<Result<T, Refused>, StoreError> {
        self.batch("SAVEPOINT one")?;
        match work() {
            Ok(value) => {
                self.batch("RELEASE one")?;
                Ok(Ok(value))
            }
            Err(Refused::Store(error)) => Err(error),
            Err(refused) => {
                self.batch("ROLLBACK TO one; RELEASE one")?;
                Ok(Err(refused))
            }
        }
    }
    fn commit_one(&self, epoch: &Epoch, draft: &Draft, head: &mut Head) -> Result<Result<Change, Refused>, StoreError> {
        self.savepoint(|| {
            not_older(epoch, head)?;
            acceptable(draft, head)?;
            let revision = head.revision.saturating_add(1);
            let mut pass = Pass::new(self, revision, head.digest);
            for (index, op) in draft.ops.iter().enumerate() {
                pass.draft(index, op)?;
            }
            let (rows, digest) = pass.finish()?;
            let mut info = ChangeInfo {
                revision,
                epoch: epoch.clone(),
                author: draft.author.clone(),
                at: draft.at,
                comment: draft.comment.clone(),
                ops: u64::try_from(rows.len()).unwrap_or(u64::MAX),
                digest,
            };
            if rows.is_empty() {
                info.revision = head.revision;
                return Ok(Change { info, rows });
            }
            if head.epoch.as_ref() != Some(epoch) {
                self.begin_epoch(epoch, head)?;
            }
            self.seal(&info, &rows, head)?;
            Ok(Change { info, rows })
        })
    }
    /// Writes the change behind its rows, and where the copy stands now.
    fn seal(&self, info: &ChangeInfo, rows: &[Op], head: &mut Head) -> Result<(), StoreError> {
        self.log_change(info)?;
        for gone in rows.iter().filter(|op| op.table == Table::Device && op.after.is_none()) {
            // Whoever has the name next does not inherit where its calls went. The stamp is the change's own at every copy.
            self.take_back_user(&gone.key, info, &mut head.settings)?;
        }
        self.write_head(info.revision, info.digest)?;
        (head.revision, head.digest) = (info.revision, info.digest);
        head.epoch = head.epoch.take().max(Some(info.epoch.clone()));
        head.committed_under = Some(info.epoch.clone());
        Ok(())
    }
    fn apply_one(&self, change: Change, head: &mut Head) -> Result<Change, Refused> {
        let Change { info, rows } = change;
        let expected = head.revision.saturating_add(1);
        if info.revision != expected {
            return Err(Refused::OutOfOrder { expected, found: info.revision });
        }
        if head.committed_under.as_ref().is_some_and(|last| *last > info.epoch) {
            not_older(&info.epoch, head)?;
        }
        let mut pass = Pass::new(self, info.revision, head.digest);
        for op in rows {
            pass.replay(op)?;
        }
        let (rows, digest) = pass.replayed();
        if digest != info.digest {
            let why = format!("its digest is {digest} here, {} there", info.digest);
            return Err(Refused::Diverged { revision: info.revision, why });
        }
        if head.epoch.as_ref().is_none_or(|known| *known < info.epoch) {
            self.write_epoch(&info.epoch)?;
        }
        self.seal(&info, &rows, head)?;
        Ok(Change { info, rows })
    }
}

/// What is wrong with a draft as a whole.
pub(super) fn acceptable(draft: &Draft, head: &Head) -> Result<(), Refused> {
    if let Some(expected) = draft.at_revision.filter(|r| *r != head.revision) {
        return Err(Refused::Stale { expected, found: head.revision });
    }
    let sizes = [
        ("rows", draft.ops.len(), OPS_MAX),
        ("bytes of the author", draft.author.len(), COMMENT_BYTES_MAX),
        ("bytes of the comment", draft.comment.len(), COMMENT_BYTES_MAX),
    ];
    match sizes.into_iter().find(|(_, found, bound)| found > bound) {
        Some((what, found, bound)) => Err(Refused::TooMuch { what, found, bound }),
        None if signed(draft.at.0) < 0 => Err(Refused::TooMuch { what: "the time", found: 0, bound: 0 }),
        None => Ok(()),
    }
}
