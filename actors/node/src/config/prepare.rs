//! From the words of the API to a draft of the database, and back for its way to the publisher.
//!
//! A part of a row is laid over the row as this node's copy has it, and holds only as long as the publisher has the same: what somebody
//! else changed meanwhile is never overwritten unseen.

use super::answer::{Answer, missing};
use super::{access, words};
use std::collections::BTreeSet;
use tandem_base::UnixMillis;
use tandem_database::{Document, Draft, DraftOp, Expect, Reader, Revision, Row, Table};
use tandem_host::random::Random;
use tandem_model::admin::config::{ConfigDraft, ConfigOp, Expect as Wish, HIDDEN};
use tandem_model::admin::{AdminError, ErrorKind};
use tandem_model::config::rows::normalise;

/// A change that may go to the publisher.
pub(super) struct Prepared {
    pub(super) draft: Draft,
    pub(super) dry_run: bool,
    /// The token that was made for it.
    pub(super) secret: Option<String>,
    /// Ops that hold only for the row as the copy has it, though their author did not ask for that.
    pub(super) pinned: BTreeSet<usize>,
    /// What the copy was.
    pub(super) revision: Revision,
}
impl Prepared {
    /// Whether `error` only says that somebody else was faster with rows whose author did not care.
    pub(super) fn was_overtaken(&self, error: &AdminError) -> bool {
        // Changed, gone, or made meanwhile; everything else is the author's own mistake.
        let is_race = matches!(error.kind, ErrorKind::Precondition | ErrorKind::NotFound | ErrorKind::Refused);
        let ours = |op: Option<usize>| op.is_some_and(|op| self.pinned.contains(&op));
        is_race && !error.problems.is_empty() && error.problems.iter().all(|p| ours(p.op))
    }
}

/// From the words of the API to a draft of the database.
///
/// # Errors
/// What the author has to change; a disk that fails.
pub(super) fn prepare(reader: &Reader, wanted: ConfigDraft, random: &mut Random, at: UnixMillis) -> Answer<Prepared> {
    let revision = reader.head().map_err(|e| words::broken(&e))?.revision;
    let ConfigDraft { author, comment, at_revision, dry_run, ops } = wanted;
    let (mut secret, mut pinned) = (None, BTreeSet::new());
    let mut prepared = Vec::with_capacity(ops.len());
    for (index, op) in ops.into_iter().enumerate() {
        let (table, expect) = (words::table(op.table), words::expect(&op.expect)?);
        let mut seen = None;
        let after = match op.fields {
            None => None,
            Some(mut given) => {
                normalise(op.table, &mut given);
                // Only who hides something, or changes a part, needs what is there.
                let hides = given.values().any(|v| v.as_str() == Some(HIDDEN));
                let keeps = matches!(table, Table::Token | Table::User);
                let looks = op.merge || hides || keeps;
                let before = if looks { lookup(reader, table, &op.key)? } else { None };
                // A part of a row that must be there, and is not; an import's rows may be new.
                if op.merge && before.is_none() && expect != Expect::Any {
                    return Err(missing(op.table, &op.key));
                }
                if keeps {
                    let kept = before.as_ref().map(|b| super::store::fields(b.clone())).unwrap_or_default();
                    for field in ["token_hash", "password_hash"] {
                        if let Some(hash) = kept.get(field).filter(|_| !given.contains_key(field)) {
                            given.insert(field.to_owned(), hash.clone());
                        }
                    }
                    secret = access::prepare(table, &mut given, random, at)?.or(secret);
                }
                seen = looks.then(|| before.as_ref().map(|b| Row::new(table, op.key.clone(), b.clone()).hash()));
                Some(words::merged(before.as_ref(), &given, op.merge))
            }
        };
        let expect = match (&after, expect) {
            (None, Expect::Any) => Expect::Present,
            (_, Expect::Any | Expect::Present) if seen.is_some() => {
                pinned.insert(index);
                seen.flatten().map_or(Expect::Absent, Expect::Exactly)
            }
            (_, expect) => expect,
        };
        prepared.push(DraftOp { table, key: op.key, after, expect });
    }
    let draft = Draft { author, at, comment, ops: prepared, at_revision };
    Ok(Prepared { draft, dry_run, secret, pinned, revision })
}

fn lookup(reader: &Reader, table: Table, key: &str) -> Answer<Option<Document>> {
    reader.get(table, key).map_err(|e| words::broken(&e))
}

/// A draft as it travels to the publisher.
pub fn in_words(draft: Draft) -> ConfigDraft {
    let op = |op: DraftOp| ConfigOp {
        table: words::config_table(op.table),
        key: op.key,
        fields: op.after.map(super::store::fields),
        merge: false,
        expect: match op.expect {
            Expect::Any => Wish::Any,
            Expect::Absent => Wish::Absent,
            Expect::Present => Wish::Present,
            Expect::Exactly(hash) => Wish::Etag(hash.to_string()),
        },
        line: None,
    };
    let Draft { author, comment, at_revision, ops, .. } = draft;
    ConfigDraft { author, comment, at_revision, dry_run: false, ops: ops.into_iter().map(op).collect() }
}

/// A draft that came from another node: it was prepared and checked there.
///
/// # Errors
/// An entity tag that is none.
pub(super) fn from_words(wanted: ConfigDraft, at: UnixMillis) -> Answer<Draft> {
    let ConfigDraft { author, comment, at_revision, ops, .. } = wanted;
    let op = |op: ConfigOp| -> Answer<DraftOp> {
        let after = op.fields.as_ref().map(words::document);
        Ok(DraftOp { table: words::table(op.table), key: op.key, after, expect: words::expect(&op.expect)? })
    };
    let ops = ops.into_iter().map(op).collect::<Answer<Vec<_>>>()?;
    Ok(Draft { author, at, comment, ops, at_revision })
}

#[cfg(test)]
mod tests {
    use super::*;
    use tandem_model::admin::config::RowProblem;

    #[test]
    fn only_a_row_that_somebody_else_changed_is_a_reason_to_begin_anew() {
        let prepared = Prepared {
            draft: Draft::default(),
            dry_run: false,
            secret: None,
            pinned: BTreeSet::from([1]),
            revision: 7,
        };
        let problem = |op| RowProblem { op: Some(op), ..RowProblem::default() };
        let told = |kind, ops: &[usize]| {
            let problems = ops.iter().map(|op| problem(*op)).collect();
            prepared.was_overtaken(&AdminError { problems, ..AdminError::new(kind, "no") })
        };
        assert!(told(ErrorKind::Precondition, &[1]) && told(ErrorKind::Refused, &[1]));
        assert!(!told(ErrorKind::Invalid, &[1]), "the author's own mistake");
        assert!(!told(ErrorKind::Precondition, &[0, 1]), "a condition of the author's own");
        assert!(!told(ErrorKind::Precondition, &[]));
    }
}
