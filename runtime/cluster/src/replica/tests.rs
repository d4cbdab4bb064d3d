//! The slab, its generations and its digest.

use super::*;
use crate::tests::TestRow;

fn put(replica: &mut Replica<TestRow>, key: u128, value: u64) -> Applied<TestRow> {
    replica.apply(Op::Put(TestRow::new(key, value)))
}

fn replaced(key: u128, value: u64, previous: Option<u64>) -> Applied<TestRow> {
    let previous = previous.map(|value| TestRow::new(key, value));
    Applied::Done(Change { op: Op::Put(TestRow::new(key, value)), previous })
}

fn gone(key: u128, value: u64) -> Applied<TestRow> {
    Applied::Done(Change { op: Op::Remove { key }, previous: Some(TestRow::new(key, value)) })
}

#[test]
fn rows_come_go_and_reuse_their_slots_and_the_digest_follows() {
    let mut replica = Replica::new(usize::MAX);
    for key in 0..2_000_u128 {
        assert_eq!(put(&mut replica, key, 1), replaced(key, 1, None));
    }
    let end = replica.end();
    for key in 500..1_500_u128 {
        assert_eq!(replica.apply(Op::Remove { key }), gone(key, 1));
    }
    assert_eq!(replica.apply(Op::Remove { key: 700 }), Applied::Nothing);
    for key in 3_000..4_000_u128 {
        put(&mut replica, key, 2);
    }
    assert_eq!(replica.end(), end);
    let mut wanted = Digest::default();
    for key in (0..500).chain(1_500..2_000) {
        wanted.add(TestRow::new(key, 1).hash());
    }
    (3_000..4_000).for_each(|key| wanted.add(TestRow::new(key, 2).hash()));
    assert_eq!(replica.digest(), wanted);
    assert_eq!(replica.get(3_999).map(|r| r.value), Some(2));
    assert!(replica.get(700).is_none());
}

#[test]
fn pages_return_every_row_once() {
    let mut replica = Replica::new(usize::MAX);
    for key in 0..1_300_u128 {
        put(&mut replica, key, 0);
    }
    for key in (0..1_300_u128).step_by(3) {
        assert!(replica.remove(key).is_some());
    }
    let (mut cursor, mut seen) = (Some(0), Vec::new());
    while let Some(at) = cursor {
        let (rows, next) = replica.page(at, 100);
        seen.extend(rows.iter().map(|r| r.key()));
        cursor = next;
    }
    let count = seen.len();
    seen.sort_unstable();
    seen.dedup();
    assert_eq!((count, seen.len()), (866, 866));
}

#[test]
fn a_sweep_takes_what_was_not_confirmed_even_after_the_marks_wrap() {
    let mut replica = Replica::new(usize::MAX);
    for round in 0..600_u64 {
        put(&mut replica, 1, round);
        put(&mut replica, 1_000 + u128::from(round), round);
        replica.begin_generation();
        put(&mut replica, 1, round);
        let gone: Vec<u128> = replica.sweep().iter().map(|gone| gone.op.key()).collect();
        assert_eq!(gone, [1_000 + u128::from(round)]);
    }
    assert_eq!(replica.keys(), BTreeSet::from([1]));
}

#[test]
fn the_bound_on_rows_is_kept() {
    let mut replica = Replica::new(BLOCK);
    let refused = (0..600_u128).filter(|key| put(&mut replica, *key, 0) == Applied::Full).count();
    assert_eq!(refused, 600 - BLOCK);
    assert_eq!(put(&mut replica, 3, 9), replaced(3, 9, Some(0)));
}
