//! What a draft would change, found out by reading only: beside the writer, while it does something else.

use super::Reader;
use super::check::{self, Place};
use super::commit::acceptable;
use super::pass::expected;
use crate::change::{Draft, Op};
use crate::error::{PROBLEMS_MAX, Refused};
use crate::table::Table;
use std::collections::BTreeMap;

impl Reader {
    /// The rows that a draft would change in this copy. Each row is judged by itself and by what its author expects; references and names that must be
    /// unique are judged when it is committed (or by [`super::Store::check`]).
    ///
    /// # Errors
    /// As for [`super::Store::commit`], apart from that.
    pub fn preview(&self, draft: &Draft) -> Result<Vec<Op>, Refused> {
        acceptable(draft, &self.head()?)?;
        let (mut rows, mut problems) = (Vec::with_capacity(draft.ops.len()), Vec::new());
        // Where a row stands that the draft writes twice.
        let mut written: BTreeMap<(Table, &str), usize> = BTreeMap::new();
        for (index, op) in draft.ops.iter().enumerate() {
            if problems.len() >= PROBLEMS_MAX {
                break;
            }
            let place = Place { op: Some(index), table: op.table, key: &op.key };
            let mut after = op.after.clone();
            let judged = match &mut after {
                Some(document) => check::shape(place, document),
                None => check::key(place),
            };
            let known = written
                .get(&(op.table, &*op.key))
                .and_then(|at: &usize| rows.get(*at))
                .map(|row: &Op| row.after.clone());
            let before = match known {
                Some(known) => known,
                None => self.get(op.table, &op.key)?,
            };
            if let Err(problem) = judged.and_then(|()| expected(place, op.expect, before.as_ref())) {
                problems.push(*problem);
            } else if before != after {
                written.insert((op.table, &op.key), rows.len());
                rows.push(Op { table: op.table, key: op.key.clone(), before, after });
            }
        }
        if problems.is_empty() { Ok(rows) } else { Err(Refused::Problems(problems)) }
    }
}
