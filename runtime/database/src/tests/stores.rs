//! One store against another: the log applied elsewhere, snapshots, what is set aside, looking back, questions.

use super::{Folder, device, draft, epoch, founded, layout, open};
use crate::replication::{LogPart, LogPosition, LogRead};
use crate::store::assemble;
use crate::{Change, Document, DraftOp, Query, Refused, Revision, Store, Table, Target};
use tandem_base::UnixMillis;

fn last(store: &Store) -> (Revision, Option<(crate::Digest, crate::Epoch)>) {
    let head = store.head().unwrap();
    (head.revision, head.committed_under.map(|e| (head.digest, e)))
}
/// All that `from` has after the last change of `to`, read in pieces of at most so many bytes; `None` when a snapshot is needed.
fn read(from: &Store, to: &Store, bytes: usize) -> Option<Vec<Change>> {
    let after = last(to);
    let mut at = LogPosition { revision: after.0 + 1, op: 0 };
    let (mut changes, mut open): (Vec<Change>, Vec<LogPart>) = (vec![], vec![]);
    loop {
        match from.read_log(after.clone(), at, bytes).unwrap() {
            LogRead::NeedsSnapshot => return None,
            LogRead::Parts { parts, .. } if parts.is_empty() => return Some(changes),
            LogRead::Parts { parts, .. } => {
                for part in parts {
                    assert_eq!((part.info.revision, part.first), (at.revision, at.op));
                    at = part.end();
                    open.push(part);
                    if at.op == 0 {
                        changes.push(assemble(std::mem::take(&mut open)).unwrap());
                    }
                }
            }
        }
    }
}
pub(super) fn copy(from: &Store, to: &mut Store) -> Result<u64, Refused> {
    let mut snapshot = from.snapshot().unwrap();
    let head = snapshot.head().clone();
    for index in 0.. {
        let (items, end) = snapshot.next_chunk().unwrap();
        to.stage_chunk(index, &items.0).unwrap();
        if end {
            break;
        }
    }
    to.restore(&Target {
        revision: head.revision,
        digest: head.digest,
        epoch: head.epoch.unwrap(),
        history: snapshot.epochs().to_vec(),
        at: UnixMillis(5_000),
    })
}
fn assert_equal(a: &Store, b: &Store) {
    let (x, y) = (a.head().unwrap(), b.head().unwrap());
    assert_eq!((x.revision, x.digest, &x.committed_under), (y.revision, y.digest, &y.committed_under));
    for store in [a, b] {
        assert_eq!(store.recount().unwrap(), x.digest);
    }
    let rows = |s: &Store| {
        let mut rows = vec![];
        Table::ALL.into_iter().for_each(|t| s.each(t, |k, d| rows.push((t, k.to_owned(), d))).unwrap());
        rows
    };
    assert_eq!(rows(a), rows(b));
}
fn put(store: &mut Store, name: &str, description: &str) -> Change {
    let row = device("DP1").with("description", description).with("lines", vec!["1001", "1002"]);
    store.commit(&epoch(1, "CCM1"), &draft(vec![DraftOp::put(Table::Device, name, row)])).unwrap()
}

#[test]
fn a_copy_that_applies_the_log_is_equal_and_nothing_is_applied_twice_or_out_of_order() {
    let folder = Folder::new("stores");
    let (mut a, mut b) = (founded(&folder, "a"), open(&folder.file("b")));
    put(&mut a, "SEP1", "one");
    put(&mut a, "SEP1", "two");
    a.commit(&epoch(1, "CCM1"), &draft(vec![DraftOp::delete(Table::Device, "SEP1")])).unwrap();
    let changes = read(&a, &b, 1).unwrap();
    assert_eq!(changes.len(), 4);
    assert_eq!(b.apply(changes[1].clone()), Err(Refused::OutOfOrder { expected: 1, found: 2 }));
    let (applied, stopped) = b.apply_many(changes.clone(), &a.epochs().unwrap()).unwrap();
    assert_eq!((applied, stopped), (changes.clone(), None));
    assert_eq!(b.apply(changes[3].clone()), Err(Refused::OutOfOrder { expected: 5, found: 4 }));
    assert_equal(&a, &b);
    assert_eq!(a.epochs().unwrap(), b.epochs().unwrap());
    assert_eq!(a.history(None, 10, None).unwrap(), b.history(None, 10, None).unwrap());
}

#[test]
fn a_large_change_travels_in_pieces() {
    let folder = Folder::new("stores");
    let (mut a, mut b) = (founded(&folder, "a"), open(&folder.file("b")));
    let text = "x".repeat(900);
    let ops = (0..500).map(|n| {
        DraftOp::create(Table::Device, format!("SEP{n:04}"), device("DP1").with("description", text.as_str()))
    });
    a.commit(&epoch(1, "CCM1"), &draft(ops.collect())).unwrap();
    let after = (0, None);
    let LogRead::Parts { parts, .. } = a.read_log(after, LogPosition { revision: 2, op: 0 }, usize::MAX).unwrap()
    else {
        panic!("a snapshot is not needed")
    };
    assert!(parts.len() > 5 && parts.iter().all(|p| p.ops.0.len() <= 56 << 10), "{}", parts.len());
    let changes = read(&a, &b, 1).unwrap();
    b.apply_many(changes, &[]).unwrap();
    assert_equal(&a, &b);
}

#[test]
fn a_change_that_does_not_fit_the_copy_is_refused_whole() {
    let folder = Folder::new("stores");
    let (mut a, mut b) = (founded(&folder, "a"), open(&folder.file("b")));
    b.apply_many(read(&a, &b, 1).unwrap(), &[]).unwrap();
    let change = put(&mut a, "SEP1", "one");
    let before = b.head().unwrap();
    let mut wrong_digest = change.clone();
    wrong_digest.info.digest.count += 1;
    let mut wrong_before = change.clone();
    wrong_before.rows[0].before = Some(device("DP1"));
    for wrong in [wrong_digest, wrong_before] {
        assert!(matches!(b.apply(wrong), Err(Refused::Diverged { revision: 2, .. })));
        assert_eq!(b.head().unwrap(), before);
        assert_eq!(b.recount().unwrap(), before.digest);
    }
    let mut newer = change.clone();
    newer.rows[0].after = Some(device("DP1").with("hunt_list", "H1"));
    assert!(matches!(b.apply(newer), Err(Refused::Problems(_))), "this Tandem is too old for it");
    b.apply(change).unwrap();
    assert_equal(&a, &b);
}

#[test]
fn a_snapshot_is_of_one_moment_and_brings_rows_and_log() {
    let folder = Folder::new("stores");
    let (mut a, mut b) = (founded(&folder, "a"), open(&folder.file("b")));
    for n in 0..300 {
        put(&mut a, &format!("SEP{n:03}"), "x".repeat(500).as_str());
    }
    let then = a.head().unwrap();
    let mut snapshot = a.snapshot().unwrap();
    let mut chunks = 0;
    loop {
        let (items, end) = snapshot.next_chunk().unwrap();
        b.stage_chunk(chunks, &items.0).unwrap();
        chunks += 1;
        // The copy goes on while it is read.
        put(&mut a, "SEP000", &format!("{chunks}"));
        if end {
            break;
        }
    }
    assert!(chunks > 3, "{chunks}");
    let history = snapshot.epochs().to_vec();
    let epoch = then.epoch.clone().unwrap();
    b.restore(&Target { revision: then.revision, digest: then.digest, epoch, history, at: UnixMillis(0) }).unwrap();
    let head = b.head().unwrap();
    assert_eq!((head.revision, head.digest, head.oldest), (then.revision, then.digest, then.oldest));
    // From there the log goes on.
    b.apply_many(read(&a, &b, 1 << 20).unwrap(), &[]).unwrap();
    assert_equal(&a, &b);
    assert_eq!(a.history(None, 1_000, None).unwrap(), b.history(None, 1_000, None).unwrap());
}

#[test]
fn a_snapshot_that_lacks_a_chunk_leaves_the_copy_as_it_was() {
    let folder = Folder::new("stores");
    let (mut a, mut b) = (founded(&folder, "a"), founded(&folder, "b"));
    (0..200).for_each(|n| drop(put(&mut a, &format!("SEP{n:03}"), "x".repeat(900).as_str())));
    put(&mut b, "MINE", "");
    let before = b.head().unwrap();
    let mut snapshot = a.snapshot().unwrap();
    b.stage_chunk(0, &snapshot.next_chunk().unwrap().0.0).unwrap();
    let head = snapshot.head().clone();
    let target = Target {
        revision: head.revision,
        digest: head.digest,
        epoch: epoch(2, "CCM2"),
        history: snapshot.epochs().to_vec(),
        at: UnixMillis(0),
    };
    assert!(matches!(b.restore(&target), Err(Refused::Diverged { .. })));
    assert_eq!(b.head().unwrap(), before);
    assert_eq!(b.recount().unwrap(), before.digest);
    assert!(b.unsent().unwrap().is_empty());
    // Foreign keys hold again.
    let bad = draft(vec![DraftOp::delete(Table::Group, "G1")]);
    assert!(b.commit(&epoch(1, "CCM1"), &bad).is_err());
}

#[test]
fn changes_that_the_new_publisher_never_had_are_set_aside_and_shown() {
    let folder = Folder::new("stores");
    let (mut a, mut b) = (founded(&folder, "a"), open(&folder.file("b")));
    put(&mut a, "SEP1", "shared");
    b.apply_many(read(&a, &b, 1).unwrap(), &a.epochs().unwrap()).unwrap();
    put(&mut a, "SEP2", "never sent");
    let lost = put(&mut a, "SEP3", "never sent either");
    let new = epoch(2, "CCM2");
    b.promote(&new).unwrap();
    b.commit(&new, &draft(vec![DraftOp::put(Table::Device, "SEP4", device("DP1"))])).unwrap();
    assert!(read(&b, &a, 1).is_none(), "the log does not lead there");
    assert_eq!(copy(&b, &mut a).unwrap(), 2);
    assert_equal(&a, &b);
    let unsent = a.unsent().unwrap();
    assert_eq!(unsent.iter().map(|u| u.info.revision).collect::<Vec<_>>(), [3, 4]);
    assert_eq!((&unsent[1].info, unsent[1].set_aside_at), (&lost.info, UnixMillis(5_000)));
    assert_eq!(a.unsent_rows(unsent[1].id).unwrap(), lost.rows);
    // The old publisher's changes are of no use any more.
    let refused = a.commit(&epoch(1, "CCM1"), &draft(layout()));
    assert!(matches!(refused, Err(Refused::OldEpoch { .. })), "{refused:?}");
    // A second snapshot sets nothing aside again.
    assert_eq!(copy(&b, &mut a).unwrap(), 0);
    assert!(a.drop_unsent(unsent[0].id).unwrap() && !a.drop_unsent(unsent[0].id).unwrap());
    assert_eq!(a.unsent().unwrap().len(), 1);
}

#[test]
fn equal_rows_with_another_history_are_not_taken_for_the_same() {
    let folder = Folder::new("stores");
    let (mut a, mut b) = (founded(&folder, "a"), open(&folder.file("b")));
    b.apply_many(read(&a, &b, 1).unwrap(), &a.epochs().unwrap()).unwrap();
    put(&mut a, "SEP1", "same");
    let new = epoch(2, "CCM2");
    b.promote(&new).unwrap();
    let row = device("DP1").with("description", "same").with("lines", vec!["1001", "1002"]);
    b.commit(&new, &draft(vec![DraftOp::put(Table::Device, "SEP1", row)])).unwrap();
    assert_eq!(a.head().unwrap().digest, b.head().unwrap().digest);
    assert!(read(&b, &a, 1).is_none());
    assert_eq!(copy(&b, &mut a).unwrap(), 1);
}

#[test]
fn a_trimmed_log_reaches_back_as_far_as_it_says() {
    let folder = Folder::new("stores");
    let (mut a, mut b) = (founded(&folder, "a"), open(&folder.file("b")));
    put(&mut a, "SEP1", "1");
    b.apply_many(read(&a, &b, 1).unwrap(), &[]).unwrap();
    (2..10).for_each(|n| drop(put(&mut a, "SEP1", &n.to_string())));
    drop(a);
    let mut bounds = super::settings();
    let path = folder.file("a");
    bounds.log_changes = 8;
    let mut a = Store::open(&path, bounds).unwrap();
    a.trim_log().unwrap();
    assert_eq!(a.head().unwrap().oldest, 3);
    // The copy stands just before the log: it can go on.
    let changes = read(&a, &b, 1).unwrap();
    assert_eq!(changes.len(), 8);
    drop(a);
    bounds.log_ops = 3;
    let mut a = Store::open(&path, bounds).unwrap();
    a.trim_log().unwrap();
    assert_eq!(a.head().unwrap().oldest, 8);
    assert!(read(&a, &b, 1).is_none());
    copy(&a, &mut b).unwrap();
    assert_equal(&a, &b);
    assert_eq!(a.trim_log().unwrap(), 0);
    put(&mut a, "SEP2", "on");
    b.apply_many(read(&a, &b, 1).unwrap(), &[]).unwrap();
    assert_equal(&a, &b);
}

#[test]
fn a_change_is_undone_unless_somebody_touched_its_rows_later() {
    let folder = Folder::new("stores");
    let mut a = founded(&folder, "a");
    put(&mut a, "SEP1", "one");
    let ops = vec![
        DraftOp::update(Table::Device, "SEP1", device("DP1").with("description", "two")),
        DraftOp::create(Table::Device, "SEP2", device("DP1")),
    ];
    a.commit(&epoch(1, "CCM1"), &draft(ops)).unwrap();
    put(&mut a, "SEP3", "");
    let undo = a.revert(3, false).unwrap();
    a.commit(&epoch(1, "CCM1"), &undo).unwrap();
    assert_eq!(a.diff(2, 5).unwrap().iter().map(|o| o.key.as_str()).collect::<Vec<_>>(), ["SEP3"]);
    let touched = a.revert(3, false).unwrap_err();
    assert_eq!(touched.to_string(), "later changes touched the same rows: device SEP1 in 5, device SEP2 in 5");
    // Undone once more, by force: as before that change.
    let undo = a.revert(5, true).unwrap();
    a.commit(&epoch(1, "CCM1"), &undo).unwrap();
    assert_eq!(a.get(Table::Device, "SEP1").unwrap().unwrap().text("description"), Some("two"));
    assert!(matches!(a.revert(99, true), Err(Refused::NotInLog { .. })));
}

#[test]
fn any_revision_can_be_looked_at() {
    let folder = Folder::new("stores");
    let mut a = founded(&folder, "a");
    for text in ["one", "two", "three"] {
        put(&mut a, "SEP1", text);
    }
    let at = |r| a.row_at(Table::Device, "SEP1", r).unwrap().map(|d| d.text("description").unwrap().to_owned());
    let seen: Vec<_> = (1..=4).map(at).collect();
    assert_eq!(seen, [None, Some("one".into()), Some("two".into()), Some("three".into())]);
    let forth = a.diff(2, 4).unwrap();
    let back = a.diff(4, 2).unwrap();
    assert_eq!(forth.len(), 1);
    assert_eq!(forth.into_iter().map(crate::Op::inverse).collect::<Vec<_>>(), back);
    let page = a.history(None, 2, Some((Table::Device, "SEP1"))).unwrap();
    assert_eq!((page.changes.len(), page.next), (2, Some(3)));
    let rest = a.history(page.next, 2, Some((Table::Device, "SEP1"))).unwrap();
    assert_eq!((rest.changes.len(), rest.next), (1, None));
    assert!(matches!(a.diff(0, 99), Err(Refused::NotInLog { found: 99, .. })));
}

#[test]
fn pages_filters_and_searches_find_what_is_there() {
    let folder = Folder::new("stores");
    let mut a = founded(&folder, "a");
    let ops = (0..25).map(|n| {
        let row = device("DP1").with("lines", vec![format!("{}", 1_000 + n)]).with("description", format!("50%_{n}"));
        DraftOp::create(Table::Device, format!("SEP{n:02}"), row)
    });
    a.commit(&epoch(1, "CCM1"), &draft(ops.collect())).unwrap();
    let mut query = Query { limit: 10, ..Query::of(Table::Device) }.with("pool", "DP1");
    let mut keys = vec![];
    loop {
        let page = a.list(&query).unwrap();
        keys.extend(page.rows.into_iter().map(|r| r.key));
        let Some(next) = page.next else { break };
        query.after = Some(next);
    }
    assert_eq!(keys, (0..25).map(|n| format!("SEP{n:02}")).collect::<Vec<_>>());
    let found = |query: Query| {
        assert_eq!(a.count(&query).unwrap(), a.list(&query).unwrap().rows.len() as u64);
        a.list(&query).unwrap().rows.into_iter().map(|r| r.key).collect::<Vec<_>>()
    };
    let all = || Query::of(Table::Device);
    assert_eq!(found(all().with("lines", "1007")), ["SEP07"]);
    assert_eq!(found(Query { prefix: Some("SEP1".into()), ..all() }).len(), 10);
    assert_eq!(found(Query { search: Some("sep1".into()), ..all() }).len(), 10);
    assert_eq!(found(Query { search: Some("%_24".into()), ..all() }), ["SEP24"]);
    assert_eq!(found(Query { search: Some("1013".into()), ..all() }), ["SEP13"]);
    assert!(found(all().with("password", "hunter2")).is_empty(), "secrets cannot be guessed at");
    assert!(found(Query { search: Some("hunter".into()), ..all() }).is_empty());
    assert!(found(all().with("colour", "red")).is_empty());
    assert_eq!(found(Query::of(Table::Group).with("members", "CCM2")), ["G1"]);
    assert_eq!(a.used_by(Table::DevicePool, "DP1", 3).unwrap().len(), 3);
    assert_eq!(a.use_count(Table::DevicePool, "DP1").unwrap(), 25);
    assert_eq!(a.use_count(Table::Node, "CCM3").unwrap(), 2);
}

#[test]
fn values_come_back_as_they_were_written() {
    let folder = Folder::new("stores");
    let mut a = founded(&folder, "a");
    let value = serde_json::json!({"z": [1, 2.5, "x"], "a": {"y": true, "b": 0.1}});
    let rows = [
        (Table::Setting, "algorithms", Document::new().with("value", vec!["MD5", "SHA-256"])),
        (Table::Setting, "deep", Document::new().with("value", value)),
        (Table::Setting, "spread", Document::new().with("value", 0.1 + 0.7)),
        (Table::User, "ann", Document::new().with("role", "admin").with("disabled", false)),
        (
            Table::Token,
            "t1",
            Document::new()
                .with("role", "read-only")
                .with("token_hash", "h")
                .with("user", "ann")
                .with("expires", 5)
                .with("scopes", vec!["a"]),
        ),
    ];
    let ops = rows.clone().map(|(t, k, d)| DraftOp::create(t, k, d));
    a.commit(&epoch(1, "CCM1"), &draft(ops.into())).unwrap();
    for (table, key, document) in rows {
        assert_eq!(a.get(table, key).unwrap(), Some(document), "{table} {key}");
    }
    assert_eq!(a.recount().unwrap(), a.head().unwrap().digest);
}

#[test]
fn a_reader_sees_each_commit_and_cannot_write() {
    let folder = Folder::new("stores");
    let mut a = founded(&folder, "a");
    let reader = a.another().unwrap();
    put(&mut a, "SEP1", "");
    assert!(reader.exists(Table::Device, "SEP1").unwrap());
    assert_eq!(reader.head().unwrap(), a.head().unwrap());
}

#[test]
fn the_audit_log_is_read_newest_first() {
    let folder = Folder::new("stores");
    let mut a = open(&folder.file("a"));
    for n in 0..5 {
        let entry = crate::AuditEntry {
            id: 0,
            at: UnixMillis(n),
            author: "ann".into(),
            action: "PUT".into(),
            subject: format!("device/SEP{n}"),
            outcome: "200".into(),
            detail: String::new(),
        };
        a.audit(&entry).unwrap();
    }
    let page = a.audit_entries(None, 2).unwrap();
    assert_eq!(page.iter().map(|e| e.at.0).collect::<Vec<_>>(), [4, 3]);
    assert_eq!(a.audit_entries(Some(page[1].id), 10).unwrap().len(), 3);
}
