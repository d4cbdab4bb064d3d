//! One walk over the rows of a change: judges each, writes it, writes the log, keeps the digest. References are judged at the end,
//! because a change may bring a pool and its group in any order.
//!
//! It runs inside a transaction of its caller, who undoes everything when it refuses.

use super::Reader;
use super::check::{self, Place};
use crate::change::{DraftOp, Expect, Op, Revision};
use crate::error::{PROBLEMS_MAX, Problem, ProblemKind, Refused, StoreError};
use crate::row::{Digest, Document, RowHash};
use crate::table::{Column, Kind, Table};
use rusqlite::OptionalExtension;
use serde_json::Value;
use std::collections::BTreeSet;

/// What a walk has come to.
pub(crate) struct Pass<'a> {
    store: &'a Reader,
    revision: Revision,
    pub(crate) digest: Digest,
    pub(crate) rows: Vec<Op>,
    problems: Vec<Problem>,
    /// Op of the draft for each of `rows`.
    origins: Vec<usize>,
    wanted: BTreeSet<(Table, String)>,
}

/// Values that a field refers with: itself, or each of its elements.
fn referring<'d>(column: &Column, document: &'d Document) -> impl Iterator<Item = &'d str> {
    let list = matches!(column.kind, Kind::List(_));
    let one = document.text(column.name).filter(|_| !list);
    one.into_iter().chain(document.list(column.name).filter(move |_| list))
}

impl<'a> Pass<'a> {
    pub(crate) fn new(store: &'a Reader, revision: Revision, digest: Digest) -> Self {
        Self { store, revision, digest, rows: vec![], problems: vec![], origins: vec![], wanted: BTreeSet::new() }
    }

    /// Takes what an author wants. A problem is kept, and the walk goes on so that all are told at once.
    pub(crate) fn draft(&mut self, index: usize, wanted: &DraftOp) -> Result<(), StoreError> {
        if self.problems.len() >= PROBLEMS_MAX {
            return Ok(());
        }
        match self.try_draft(index, wanted)? {
            Ok(()) => {}
            Err(problem) => self.problems.push(*problem),
        }
        Ok(())
    }
    fn try_draft(&mut self, index: usize, wanted: &DraftOp) -> Result<Result<(), Box<Problem>>, StoreError> {
        let place = Place { op: Some(index), table: wanted.table, key: &wanted.key };
        let mut after = wanted.after.clone();
        let judged = match &mut after {
            Some(document) => check::shape(place, document),
            None => check::key(place),
        };
        if let Err(problem) = judged {
            return Ok(Err(problem));
        }
        let before = self.store.get(wanted.table, &wanted.key)?;
        if let Err(problem) = expected(place, wanted.expect, before.as_ref()) {
            return Ok(Err(problem));
        }
        if before == after {
            return Ok(Ok(()));
        }
        let before_text = before.as_ref().map(Document::canonical);
        let after_text = after.as_ref().map(Document::canonical);
        if let Err(error) = self.write(place, before.as_ref(), after.as_ref()) {
            return self.refusal(place, after.as_ref(), error).map(Err);
        }
        self.keep(place, before_text.as_deref(), after_text.as_deref())?;
        if let Some(document) = &after {
            for column in wanted.table.spec().columns {
                let Some(target) = column.references else { continue };
                for key in referring(column, document) {
                    // Most rows of an import name the same few: look before an own copy is made.
                    self.want(target, key);
                }
            }
        }
        self.rows.push(Op { table: wanted.table, key: wanted.key.clone(), before, after });
        self.origins.push(index);
        Ok(Ok(()))
    }
    fn want(&mut self, target: Table, key: &str) {
        let wanted = (target, key.to_owned());
        if !self.wanted.contains(&wanted) {
            self.wanted.insert(wanted);
        }
    }

    /// Takes an op of the log, which the publisher has judged: only that it fits this copy is asked.
    pub(crate) fn replay(&mut self, op: Op) -> Result<(), Refused> {
        let place = Place { op: Some(self.rows.len()), table: op.table, key: &op.key };
        let mut after = op.after;
        if let Some(document) = &mut after {
            // A field or word that this version does not know: the copy waits for the newer Tandem.
            check::shape(place, document).map_err(|problem| Refused::Problems(vec![*problem]))?;
        }
        let here = self.store.get(op.table, &op.key)?;
        let diverged = |why: String| Refused::Diverged { revision: self.revision, why };
        if here != op.before {
            return Err(diverged(format!("{} {} is not here what it was there", op.table, op.key)));
        }
        if let Err(error) = self.write(place, here.as_ref(), after.as_ref()) {
            let refused = self.store.fail(error);
            return match refused {
                StoreError::Sql(why) => Err(diverged(format!("{} {}: {why}", op.table, op.key))),
                trouble => Err(trouble.into()),
            };
        }
        let (before_text, after_text) =
            (here.as_ref().map(Document::canonical), after.as_ref().map(Document::canonical));
        self.keep(place, before_text.as_deref(), after_text.as_deref())?;
        self.rows.push(Op { table: op.table, key: op.key, before: here, after });
        Ok(())
    }

    fn write(&self, place: Place<'_>, before: Option<&Document>, after: Option<&Document>) -> rusqlite::Result<()> {
        let Some(statements) = self.store.statements.get(place.table as usize) else { return Ok(()) };
        let db = &self.store.db;
        match (before, after) {
            (None, Some(after)) => statements.insert(db, place.key, after),
            (Some(before), Some(after)) => statements.update(db, place.key, before, after),
            (_, None) => statements.delete(db, place.key),
        }
    }
    /// Writes the log and counts the digest.
    fn keep(&mut self, place: Place<'_>, before: Option<&str>, after: Option<&str>) -> Result<(), StoreError> {
        let hash = |text: &str| RowHash::of(place.table.word(), place.key, text);
        if let Some(text) = before {
            self.digest.remove(hash(text));
        }
        if let Some(text) = after {
            self.digest.add(hash(text));
        }
        self.store.log_op(self.revision, self.rows.len(), place.table, place.key, before, after)
    }

    /// Why SQLite did not take a row, in words.
    fn refusal(
        &self,
        place: Place<'_>,
        document: Option<&Document>,
        error: rusqlite::Error,
    ) -> Result<Box<Problem>, StoreError> {
        for column in place.table.spec().columns.iter().filter(|c| c.unique) {
            let Some(value) = document.and_then(|d| d.get(column.name)) else { continue };
            let spec = place.table.spec();
            let sql = format!(
                "SELECT \"{}\" FROM \"{}\" WHERE \"{}\" = ?1 AND \"{}\" <> ?2",
                spec.key, spec.sql, column.name, spec.key
            );
            let other = self.store.db.prepare_cached(&sql).and_then(|mut s| {
                s.query_row((value.as_str().unwrap_or_default(), place.key), |row| row.get::<_, String>(0)).optional()
            });
            if let Some(other) = other.map_err(|e| self.store.fail(e))? {
                let what = format!("{} is that of {} {other}", column.name, place.table);
                let field = Some((column, Some(value)));
                return Ok(place.problem(ProblemKind::Taken, field, what, "one that no other row has"));
            }
        }
        match error.sqlite_error_code() {
            Some(rusqlite::ErrorCode::ConstraintViolation) => {
                let what = format!("the schema does not allow it ({error})");
                Ok(place.problem(ProblemKind::Malformed, None, what, "a row that keeps to the schema"))
            }
            _ => Err(self.store.fail(error)),
        }
    }

    /// Judges what can be judged at the end only.
    pub(crate) fn finish(mut self) -> Result<(Vec<Op>, Digest), Refused> {
        self.judge_references()?;
        self.judge_deletions()?;
        if self.problems.is_empty() {
            return Ok((self.rows, self.digest));
        }
        self.problems.truncate(PROBLEMS_MAX);
        Err(Refused::Problems(self.problems))
    }
    /// What an op of the log came to, unjudged.
    pub(crate) fn replayed(self) -> (Vec<Op>, Digest) {
        (self.rows, self.digest)
    }

    fn judge_references(&mut self) -> Result<(), StoreError> {
        let mut missing = BTreeSet::new();
        for (table, key) in std::mem::take(&mut self.wanted) {
            if !self.store.exists(table, &key)? {
                missing.insert((table, key));
            }
        }
        if missing.is_empty() {
            return Ok(());
        }
        for (op, index) in self.rows.iter().zip(&self.origins) {
            let Some(document) = &op.after else { continue };
            let place = Place { op: Some(*index), table: op.table, key: &op.key };
            for column in op.table.spec().columns {
                let Some(target) = column.references else { continue };
                for key in referring(column, document).filter(|k| missing.contains(&(target, (*k).to_owned()))) {
                    let what = format!("{}: there is no {target} {key:?}", column.name);
                    let field = Some((column, Some(&Value::from(key))));
                    let expected = format!("a {target} that exists, or comes with the same change");
                    self.problems.push(*place.problem(ProblemKind::NoSuchReference, field, what, expected));
                    if self.problems.len() >= PROBLEMS_MAX {
                        return Ok(());
                    }
                }
            }
        }
        Ok(())
    }
    fn judge_deletions(&mut self) -> Result<(), StoreError> {
        for (op, index) in self.rows.iter().zip(&self.origins).filter(|(op, _)| op.after.is_none()) {
            if self.problems.len() >= PROBLEMS_MAX || self.store.exists(op.table, &op.key)? {
                continue;
            }
            let Some(user) = self.store.used_by(op.table, &op.key, 1)?.into_iter().next() else { continue };
            let place = Place { op: Some(*index), table: op.table, key: &op.key };
            let what = format!("{} {} names it in {}", user.table, user.key, user.field);
            let expected = format!("a {} that no row names", op.table);
            self.problems.push(*place.problem(ProblemKind::InUse, None, what, expected));
        }
        Ok(())
    }
}

pub(super) fn expected(place: Place<'_>, expect: Expect, before: Option<&Document>) -> Result<(), Box<Problem>> {
    let problem = |kind, what: &str, expected: String| Err(place.problem(kind, None, what, expected));
    match (expect, before) {
        (Expect::Any, _) | (Expect::Absent, None) | (Expect::Present, Some(_)) => Ok(()),
        (Expect::Absent, Some(_)) => {
            problem(ProblemKind::Exists, "it exists already", format!("a name that no {} has", place.table))
        }
        (Expect::Present | Expect::Exactly(_), None) => {
            problem(ProblemKind::Absent, "it does not exist", format!("a {} that exists", place.table))
        }
        (Expect::Exactly(hash), Some(document)) => {
            let found = RowHash::of(place.table.word(), place.key, &document.canonical());
            if found == hash {
                return Ok(());
            }
            problem(ProblemKind::Changed, &format!("it has changed: it is {found} now"), format!("{hash}"))
        }
    }
}
