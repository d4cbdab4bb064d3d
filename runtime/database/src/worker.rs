//! Carries out what the replication machine asks of the store: one call after the other, on the store's thread. No decisions here.

use crate::change::{Change, Head};
use crate::error::{DatabaseError, Refused, StoreError};
use crate::replication::{Done, EpochBase, LogPart, Work};
use crate::store::{Reader, Snapshot, Store, Target, assemble};
use std::collections::BTreeMap;
use tandem_base::UnixMillis;

/// Most snapshots that are held at once; the oldest goes.
const SNAPSHOTS_MAX: usize = 8;

/// A store and the snapshots that are being read from it.
#[derive(Debug)]
pub struct Worker {
    store: Store,
    /// As last seen: the answer while the disk fails.
    head: Head,
    snapshots: BTreeMap<u64, Snapshot>,
}

impl Worker {
    /// Takes the store.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn new(store: Store) -> Result<Self, StoreError> {
        let head = store.head()?;
        Ok(Self { store, head, snapshots: BTreeMap::new() })
    }
    /// The store, for what goes beside the machine: dry runs, the audit log, questions.
    pub fn store(&mut self) -> &mut Store {
        &mut self.store
    }
    /// The store, for reading only.
    pub fn reader(&self) -> &Reader {
        &self.store
    }
    /// Where the copy stands, as last seen.
    pub fn head(&self) -> &Head {
        &self.head
    }
    fn look(&mut self) -> Head {
        if let Ok(head) = self.store.head() {
            self.head = head;
        }
        self.head.clone()
    }

    /// Does one thing and says what came of it. `wall` is the wall clock, for what is set aside.
    pub fn run(&mut self, wall: UnixMillis, work: Work) -> Done {
        match work {
            Work::Commit { drafts, epoch } => {
                let (tokens, drafts): (Vec<u64>, Vec<_>) = drafts.into_iter().unzip();
                let results = self.store.commit_many(&epoch, &drafts);
                self.committed(tokens, results)
            }
            Work::Apply { changes, history } => self.apply(changes, &history),
            Work::ReadLog { peer, ticket, after, from, bytes } => {
                Done::LogRead { peer, ticket, result: self.store.read_log(after, from, bytes) }
            }
            Work::OpenSnapshot { peer, ticket } => {
                let result = self.store.snapshot().map(|snapshot| {
                    let answer = (snapshot.head().clone(), snapshot.epochs().to_vec());
                    while self.snapshots.len() >= SNAPSHOTS_MAX {
                        self.snapshots.pop_first();
                    }
                    self.snapshots.insert(ticket, snapshot);
                    answer
                });
                Done::SnapshotOpened { peer, ticket, result }
            }
            Work::ReadChunk { peer, ticket } => {
                let gone = || StoreError::Sql("the snapshot is closed".to_owned());
                let result = self.snapshots.get_mut(&ticket).ok_or_else(gone).and_then(Snapshot::next_chunk);
                Done::ChunkRead { peer, ticket, result }
            }
            Work::CloseSnapshot { ticket } => {
                self.snapshots.remove(&ticket);
                Done::SnapshotClosed
            }
            Work::StageChunk { ticket, index, items } => {
                Done::Staged { ticket, index, result: self.store.stage_chunk(index, &items.0) }
            }
            Work::Restore { ticket, revision, digest, epoch, history } => {
                let result = self.store.restore(&Target { revision, digest, epoch, history, at: wall });
                Done::Restored { ticket, result, head: self.look() }
            }
            Work::Promote { token, epoch } => {
                let result = self.store.promote(&epoch).map(|()| epoch);
                Done::Promoted { token, result, head: self.look() }
            }
            Work::Remember(epoch) => {
                let result = self.store.remember_epoch(&epoch);
                Done::Looked { result: result.map(|()| self.look()) }
            }
            Work::Trim => {
                let result = self.store.trim_log();
                Done::Looked { result: result.map(|_| self.look()) }
            }
            Work::Look => Done::Looked { result: self.probe() },
            other => self.run_user(other),
        }
    }
    fn run_user(&mut self, work: Work) -> Done {
        match work {
            Work::SetUser { settings } => {
                let (tokens, settings): (Vec<u64>, Vec<_>) = settings.into_iter().unzip();
                let results = match self.store.set_user(settings) {
                    Ok(results) => tokens.into_iter().zip(results).collect(),
                    Err(error) => tokens.into_iter().map(|t| (t, Err(Refused::Store(error.clone())))).collect(),
                };
                Done::UserSet { results, digest: self.look().settings }
            }
            Work::MergeUser { from, settings } => {
                let result = self.store.merge_user(settings);
                Done::UserMerged { from, result, digest: self.look().settings }
            }
            Work::SumUser { peer } => Done::UserSummed { peer, result: self.store.sum_user() },
            Work::ReadUser { peer, theirs, after } => {
                Done::UserRead { peer, result: self.store.read_user(&theirs, after.as_ref()) }
            }
            _ => Done::Looked { result: Ok(self.look()) },
        }
    }

    fn committed(&mut self, tokens: Vec<u64>, results: Result<Vec<Result<Change, Refused>>, StoreError>) -> Done {
        let mut changes = Vec::new();
        let results = match results {
            Err(error) => tokens.into_iter().map(|token| (token, Err(Refused::Store(error.clone())))).collect(),
            Ok(results) => {
                let answers = tokens.into_iter().zip(results).map(|(token, result)| {
                    let info = result.map(|change| {
                        let info = change.info.clone();
                        if info.ops > 0 {
                            changes.push(change);
                        }
                        info
                    });
                    (token, info)
                });
                answers.collect()
            }
        };
        Done::Committed { results, changes, head: self.look() }
    }
    fn apply(&mut self, pieces: Vec<Vec<LogPart>>, history: &[EpochBase]) -> Done {
        let (mut changes, mut unreadable) = (Vec::with_capacity(pieces.len()), None);
        for parts in pieces {
            let revision = parts.first().map_or(0, |p| p.info.revision);
            match assemble(parts) {
                Ok(change) => changes.push(change),
                Err(error) => {
                    unreadable = Some((revision, error));
                    break;
                }
            }
        }
        let (applied, stopped) = match self.store.apply_many(changes, history) {
            Ok((applied, stopped)) => (applied, stopped),
            Err(error) => (Vec::new(), Some(Refused::Store(error))),
        };
        let unreadable = unreadable.map(|(revision, error)| match error {
            // A newer Tandem wrote what this one does not know.
            DatabaseError::Unknown { .. } => Refused::Unreadable { revision, why: error },
            error => Refused::Diverged { revision, why: error.to_string() },
        });
        Done::Applied { changes: applied, stopped: stopped.or(unreadable), head: self.look() }
    }
    /// Whether the disk works again; opens the file anew when it does not by itself.
    fn probe(&mut self) -> Result<Head, StoreError> {
        match self.store.probe() {
            Ok(()) => {}
            // A disk that was away or read-only may need the file opened anew.
            Err(first @ (StoreError::Io(_) | StoreError::ReadOnly(_))) => {
                // Snapshots hold the old file.
                self.snapshots.clear();
                self.store.reopen(self.head.revision).map_err(|_| first)?;
                self.store.probe()?;
            }
            Err(other) => return Err(other),
        }
        Ok(self.look())
    }
}
