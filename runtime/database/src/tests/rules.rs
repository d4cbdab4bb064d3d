//! The rules of DESIGN section 2 at the database: what breaks them is refused, with the reason and the row, and nothing of it stays.

use super::{Folder, device, draft, epoch, founded, layout};
use crate::{Document, DraftOp, Problem, ProblemKind, Query, Refused, Store, Table};
use serde_json::Value;

fn problems(store: &mut Store, ops: Vec<DraftOp>) -> Vec<Problem> {
    let before = store.head().unwrap();
    let result = store.commit(&epoch(1, "CCM1"), &draft(ops));
    assert_eq!(store.head().unwrap(), before, "nothing stays of a refused change");
    assert_eq!(store.recount().unwrap(), before.digest);
    match result {
        Err(Refused::Problems(problems)) => problems,
        other => panic!("{other:?}"),
    }
}
fn one(store: &mut Store, op: DraftOp) -> Problem {
    let mut all = problems(store, vec![op]);
    assert_eq!(all.len(), 1, "{all:?}");
    all.remove(0)
}
fn members(list: &[&str]) -> Document {
    Document::new().with("members", list.to_vec())
}

#[test]
fn a_group_has_one_to_three_different_members_that_exist() {
    let folder = Folder::new("rules");
    let mut store = founded(&folder, "a");
    for bad in [&[][..], &["CCM1", "CCM1"], &["CCM1", "CCM2", "CCM3", "CCM4"]] {
        let problem = one(&mut store, DraftOp::put(Table::Group, "G9", members(bad)));
        assert_eq!((problem.kind, problem.field), (ProblemKind::Malformed, Some("members")));
        assert!(problem.expected.contains("1 to 3 different"), "{problem}");
    }
    let problem = one(&mut store, DraftOp::put(Table::Group, "G9", members(&["CCM1", "CCM9"])));
    assert_eq!(problem.kind, ProblemKind::NoSuchReference);
    assert_eq!(
        problem.to_string(),
        "group G9: members: there is no node \"CCM9\"; expected a node that exists, or comes with the same change"
    );
}

#[test]
fn the_order_of_members_is_kept() {
    let folder = Folder::new("rules");
    let mut store = founded(&folder, "a");
    let order = ["CCM3", "CCM1", "CCM2"];
    store.commit(&epoch(1, "CCM1"), &draft(vec![DraftOp::update(Table::Group, "G1", members(&order))])).unwrap();
    let group = store.get(Table::Group, "G1").unwrap().unwrap();
    assert_eq!(group.list("members").collect::<Vec<_>>(), order);
}

#[test]
fn a_row_that_is_named_stays_and_the_one_that_names_it_is_told() {
    let folder = Folder::new("rules");
    let mut store = founded(&folder, "a");
    store.commit(&epoch(1, "CCM1"), &draft(vec![DraftOp::create(Table::Device, "SEP1", device("DP1"))])).unwrap();
    for (table, key, user) in [
        (Table::DevicePool, "DP1", "device SEP1"),
        (Table::Group, "G1", "device_pool DP1"),
        (Table::Node, "CCM2", "group G1"),
    ] {
        let problem = one(&mut store, DraftOp::delete(table, key));
        assert_eq!(problem.kind, ProblemKind::InUse);
        assert!(problem.what.starts_with(user), "{problem}");
    }
    // All of it in one change, in the worst order, is fine.
    let all = vec![
        DraftOp::delete(Table::Group, "G1"),
        DraftOp::delete(Table::DevicePool, "DP1"),
        DraftOp::delete(Table::Device, "SEP1"),
    ];
    store.commit(&epoch(1, "CCM1"), &draft(all)).unwrap();
    assert!(!store.exists(Table::Group, "G1").unwrap());
}

#[test]
fn all_problems_of_a_change_are_told_with_their_place() {
    let folder = Folder::new("rules");
    let mut store = founded(&folder, "a");
    let told = problems(
        &mut store,
        vec![
            DraftOp::create(Table::Device, "SEP1", device("DP1").with("colour", "red")),
            DraftOp::create(Table::Device, "SEP2", device("DP9")),
            DraftOp::create(Table::Device, "SEP3", device("DP1").with("kind", "fax")),
            DraftOp::create(Table::Device, "SEP4", device("DP1")),
            DraftOp::create(Table::DevicePool, "DP1", Document::new().with("group", "G1")),
            DraftOp::delete(Table::Device, "SEP8"),
            DraftOp::create(Table::Device, "SEP5", Document::new()),
        ],
    );
    let mut kinds: Vec<_> = told.iter().map(|p| (p.op.unwrap(), p.kind)).collect();
    kinds.sort_unstable();
    use ProblemKind::{Absent, Exists, Malformed, NoSuchReference};
    let expected = [(0, Malformed), (1, NoSuchReference), (2, Malformed), (4, Exists), (5, Absent), (6, Malformed)];
    assert_eq!(kinds, expected, "{told:?}");
}

#[test]
fn a_secret_is_in_no_message() {
    let folder = Folder::new("rules");
    let mut store = founded(&folder, "a");
    let long = "hunter2".repeat(100);
    let told = problems(&mut store, vec![DraftOp::put(Table::Device, "SEP1", device("DP1").with("password", long))]);
    let shown = format!("{told:?} {}", Refused::Problems(told.clone()));
    assert!(!shown.contains("hunter"), "{shown}");
    let change = draft(vec![DraftOp::put(Table::Device, "SEP1", device("DP1"))]);
    assert!(!format!("{change:?}").contains("hunter"));
    let committed = store.commit(&epoch(1, "CCM1"), &change).unwrap();
    assert!(!format!("{committed:?}").contains("hunter"));
}

#[test]
fn a_digest_user_stands_for_one_device() {
    let folder = Folder::new("rules");
    let mut store = founded(&folder, "a");
    let user = device("DP1").with("digest_user", "ann");
    store.commit(&epoch(1, "CCM1"), &draft(vec![DraftOp::put(Table::Device, "SEP1", user.clone())])).unwrap();
    let problem = one(&mut store, DraftOp::put(Table::Device, "SEP2", user));
    assert_eq!((problem.kind, problem.value.as_deref()), (ProblemKind::Taken, Some("\"ann\"")));
    assert_eq!(problem.what, "digest_user is that of device SEP1");
}

#[test]
fn an_author_who_saw_another_row_is_told() {
    let folder = Folder::new("rules");
    let mut store = founded(&folder, "a");
    let row = |group: &str| crate::Row::new(Table::DevicePool, "DP1", Document::new().with("group", group));
    let mut op = DraftOp::put(Table::DevicePool, "DP1", row("G2").document);
    op.expect = crate::Expect::Exactly(row("G2").hash());
    assert_eq!(one(&mut store, op.clone()).kind, ProblemKind::Changed);
    op.expect = crate::Expect::Exactly(row("G1").hash());
    assert_eq!(store.commit(&epoch(1, "CCM1"), &draft(vec![op])).unwrap().info.revision, 2);

    let mut late = draft(layout());
    late.at_revision = Some(1);
    assert_eq!(store.commit(&epoch(1, "CCM1"), &late), Err(Refused::Stale { expected: 1, found: 2 }));
}

#[test]
fn a_change_that_changes_nothing_makes_no_revision() {
    let folder = Folder::new("rules");
    let mut store = founded(&folder, "a");
    let same = Document::new().with("group", "G1").with("description", Value::Null);
    let change = store.commit(&epoch(1, "CCM1"), &draft(vec![DraftOp::put(Table::DevicePool, "DP1", same)])).unwrap();
    assert_eq!((change.info.revision, change.info.ops), (1, 0));
}

#[test]
fn a_dry_run_says_what_would_change_and_changes_nothing() {
    let folder = Folder::new("rules");
    let mut store = founded(&folder, "a");
    let before = store.head().unwrap();
    let wanted = draft(vec![DraftOp::update(Table::DevicePool, "DP1", Document::new().with("group", "G2"))]);
    let change = store.check(&wanted).unwrap();
    assert_eq!((change.info.revision, change.rows.len()), (2, 1));
    assert_eq!(store.head().unwrap(), before);
    assert_eq!(store.commit(&epoch(1, "CCM1"), &wanted).unwrap().rows, change.rows);
}

#[test]
fn of_a_batch_each_draft_is_judged_alone() {
    let folder = Folder::new("rules");
    let mut store = founded(&folder, "a");
    let put = |name: &str, pool: &str| draft(vec![DraftOp::create(Table::Device, name, device(pool))]);
    let results = store
        .commit_many(
            &epoch(1, "CCM1"),
            &[put("SEP1", "DP1"), put("SEP2", "DP9"), put("SEP1", "DP1"), put("SEP3", "DP1")],
        )
        .unwrap();
    let revisions: Vec<_> = results.iter().map(|r| r.as_ref().map(|c| c.info.revision).ok()).collect();
    assert_eq!(revisions, [Some(2), None, None, Some(3)]);
    assert_eq!(store.count(&Query::of(Table::Device)).unwrap(), 2);
    assert_eq!(store.recount().unwrap(), store.head().unwrap().digest);
}

#[test]
fn a_preview_by_reading_alone_says_what_a_trial_says() {
    let folder = Folder::new("rules");
    let mut store = founded(&folder, "a");
    store.commit(&epoch(1, "CCM1"), &draft(vec![DraftOp::create(Table::Device, "SEP1", device("DP1"))])).unwrap();
    let changed = device("DP1").with("description", "another").with("digest_user", Value::Null);
    for ops in [
        vec![DraftOp::create(Table::Device, "SEP2", device("DP1"))],
        vec![DraftOp::put(Table::Device, "SEP1", changed.clone())],
        vec![DraftOp::put(Table::Device, "SEP1", device("DP1"))],
        vec![DraftOp::delete(Table::Device, "SEP1")],
        // Twice in one change: the second comes upon what the first has left.
        vec![DraftOp::put(Table::Device, "SEP1", changed), DraftOp::put(Table::Device, "SEP1", device("DP1"))],
        vec![DraftOp::delete(Table::Device, "SEP1"), DraftOp::create(Table::Device, "SEP1", device("DP1"))],
    ] {
        let wanted = draft(ops);
        assert_eq!(store.preview(&wanted).unwrap(), store.check(&wanted).unwrap().rows, "{wanted:?}");
    }
    let reader = store.another().unwrap();
    for ops in [
        vec![DraftOp::create(Table::Device, "SEP1", device("DP1"))],
        vec![DraftOp::delete(Table::Device, "SEP7"), DraftOp::update(Table::Device, "SEP8", device("DP1"))],
        vec![DraftOp::put(Table::Device, "SEP1", device("DP1").with("colour", "red"))],
    ] {
        let wanted = draft(ops);
        assert_eq!(reader.preview(&wanted), store.check(&wanted).map(|c| c.rows), "{wanted:?}");
    }
}
