//! A whole cluster that was off at once has its rows again from files.

use super::TestRow;
use super::net::{Net, SEC, life, name};
use crate::{ClusterError, Input, Output, Saved, TableWriter, read_tables};
use tandem_base::Time;

/// Of a node in the middle of its life: its own rows and its copies, as its driver would write them.
fn written(net: &Net, node: &str) -> Vec<u8> {
    let seen = net.see(node);
    let mut file = TableWriter::new("test", 1_000_000, net.local(node));
    let own: Vec<&TestRow> = seen.own.values().collect();
    for piece in own.chunks(7) {
        file.put(seen.cluster.me(), 0, piece.iter().copied());
    }
    for owner in seen.cluster.owners() {
        let page = seen.cluster.page(&owner.owner, 0, usize::MAX);
        file.put(&owner.owner, owner.clock_ahead_micros.unwrap(), page.rows.into_iter());
    }
    file.finish()
}

/// The file of a node's earlier life, read `seconds` later.
fn give(net: &mut Net, node: &str, bytes: &[u8], seconds: u64) {
    let now = net.local(node);
    let (saved, unread) = read_tables(bytes, "test", 1_000_000 + seconds * 1_000, now).unwrap();
    assert_eq!(unread, 0);
    net.give(&name(node), Input::Restore(saved));
}

fn offered(net: &Net, node: &str) -> Vec<(u128, i64)> {
    let of = |o: &Output<TestRow>| match o {
        Output::Adoptable { rows, clock_ahead_micros, .. } => {
            rows.iter().map(|r| (r.key, *clock_ahead_micros)).collect()
        }
        _ => Vec::new(),
    };
    net.see(node).said.iter().flat_map(|(_, o)| of(o)).collect()
}

#[test]
fn own_rows_are_offered_and_those_of_a_node_that_stays_away_are_orphans() {
    let mut net = Net::three(31);
    net.put("A", 0..20, 1);
    net.put("B", 20..40, 1);
    net.put("C", 40..60, 1);
    net.run(SEC);
    let files: Vec<Vec<u8>> = ["A", "B"].iter().map(|n| written(&net, n)).collect();
    ["A", "B", "C"].iter().for_each(|n| drop(net.kill(n)));
    net.run(10 * SEC);
    for (node, file) in ["A", "B"].iter().zip(&files) {
        net.start(node, 2);
        give(&mut net, node, file, 10);
    }
    net.run_until(8 * SEC, |net| ["A", "B"].iter().all(|n| net.see(n).cluster.is_in_sync()));
    net.run(SEC);
    for (node, first) in [("A", 0), ("B", 20)] {
        let offers = offered(&net, node);
        // Twice: from its own file, and from that of the other.
        let keys: std::collections::BTreeSet<u128> = offers.iter().map(|(key, _)| *key).collect();
        assert_eq!((offers.len(), keys), (40, (first..first + 20).collect()));
        // The bench's clocks go on while a node is away, as the wall clock did.
        assert!(offers.iter().all(|(_, ahead)| ahead.abs() < 1_100_000), "{offers:?}");
        let found: Vec<_> = net.see(node).cluster.get(50).map(|f| (f.owner.clone(), f.orphaned)).collect();
        assert_eq!(found, [(life("C", 1), true)]);
    }
    net.assert_told();
}

#[test]
fn what_a_living_peer_has_or_had_is_never_replaced_by_a_file() {
    let mut net = Net::three(32);
    net.put("A", 0..20, 1);
    net.put("C", 40..60, 1);
    net.run(SEC);
    let file = written(&net, "A");
    net.put("A", 0..20, 2);
    net.run(SEC);
    net.kill("A");
    net.run(2 * SEC);
    net.start("A", 2);
    give(&mut net, "A", &file, 4);
    net.run_until(4 * SEC, |net| net.see("A").cluster.is_in_sync());
    net.run(SEC);
    let values: Vec<u64> = net.see("A").own.values().map(|row| row.value).collect();
    assert_eq!(values, [2; 20], "the peers kept newer ones");
    assert!(net.see("A").cluster.get(50).all(|f| !f.orphaned));
    net.assert_told();
}

#[test]
fn a_file_that_is_none_of_this_cluster_or_cut_off_is_an_error() {
    let mut file = TableWriter::new("test", 5, Time::from_secs(7));
    let rows: Vec<TestRow> = (0..3).map(|key| TestRow::new(key, 1)).collect();
    file.put(&life("A", 1), -5, rows.iter());
    let bytes = file.finish();
    let read = |bytes: &[u8], cluster: &str| read_tables::<TestRow>(bytes, cluster, 5, Time::from_secs(7));
    let expected = Saved { owner: life("A", 1), clock_ahead_micros: -5, rows };
    assert_eq!(read(&bytes, "test").unwrap(), (vec![expected], 0));
    assert_eq!(read(&bytes, "other").unwrap_err(), ClusterError::Unknown("cluster name"));
    assert_eq!(read(b"something else", "test").unwrap_err(), ClusterError::Unknown("kind of file"));
    for end in 17..bytes.len() {
        let cut = read(bytes.get(..end).unwrap(), "test");
        // At the very end of the front part there are just no rows.
        assert!(cut.is_err() || cut.unwrap().0.is_empty(), "{end}");
    }
}

/// Nodes of a cluster that was off as a whole begin together; the file of A is lost, those of B and C have its rows.
#[test]
fn a_node_whose_own_file_is_lost_takes_up_what_those_of_the_others_have() {
    let mut net = Net::three(33);
    net.put("A", 0..700, 1);
    net.put("B", 1_000..1_020, 1);
    net.run(SEC);
    let old = written(&net, "B");
    // What C wrote is newer than what B did: both are asked.
    net.put("A", 700..720, 1);
    net.run(SEC);
    let new = written(&net, "C");
    ["A", "B", "C"].iter().for_each(|n| drop(net.kill(n)));
    net.run(10 * SEC);
    for (node, file) in [("A", None), ("B", Some(&old)), ("C", Some(&new))] {
        net.start(node, 2);
        if let Some(file) = file {
            give(&mut net, node, file, 10);
        }
    }
    net.run_until(8 * SEC, |net| ["A", "B", "C"].iter().all(|n| net.see(n).cluster.is_in_sync()));
    net.run_until(SEC, Net::all_equal);
    let keys: Vec<u128> = net.see("A").own.keys().copied().collect();
    assert_eq!(keys, (0..720).collect::<Vec<_>>());
    let keys: Vec<u128> = net.see("B").own.keys().copied().collect();
    assert_eq!(keys, (1_000..1_020).collect::<Vec<_>>(), "B needs nobody");
    assert!(net.see("C").own.is_empty());
    net.assert_told();
}

/// One node is in service before the others are back: it was as cold as they are, so its file, and theirs, still count.
#[test]
fn a_node_that_is_ready_first_keeps_what_the_others_lack() {
    let mut net = Net::three(34);
    net.put("A", 0..20, 1);
    net.put("B", 20..40, 1);
    net.run(SEC);
    let file = written(&net, "C");
    ["A", "B", "C"].iter().for_each(|n| drop(net.kill(n)));
    net.run(10 * SEC);
    net.start("C", 2);
    give(&mut net, "C", &file, 10);
    net.start("A", 2);
    net.run_until(8 * SEC, |net| net.see("C").cluster.is_in_sync());
    // B comes later: its rows are orphans at C by now.
    net.run(3 * SEC);
    net.start("B", 2);
    net.run_until(8 * SEC, |net| ["A", "B"].iter().all(|n| net.see(n).cluster.is_in_sync()));
    net.run_until(SEC, Net::all_equal);
    for (node, first) in [("A", 0), ("B", 20)] {
        let keys: Vec<u128> = net.see(node).own.keys().copied().collect();
        assert_eq!(keys, (first..first + 20).collect::<Vec<_>>(), "{node}");
    }
}

/// Everybody was off. B and C serve from B's file when A comes with a newer one of its own (simulator seeds 157 and 2566).
#[test]
fn a_file_of_ones_own_counts_beside_what_the_others_have_from_older_ones() {
    let mut net = Net::three(37);
    net.put("A", 0..20, 1);
    net.run(SEC);
    let older = written(&net, "B");
    net.put("A", 10..30, 2);
    net.run(SEC);
    let newer = written(&net, "A");
    ["A", "B", "C"].iter().for_each(|n| drop(net.kill(n)));
    net.run(10 * SEC);
    ["B", "C"].iter().for_each(|n| net.start(n, 2));
    give(&mut net, "B", &older, 12);
    net.run(40 * SEC);
    net.start("A", 2);
    give(&mut net, "A", &newer, 52);
    net.run_until(8 * SEC, |net| net.see("A").cluster.is_in_sync());
    net.run_until(SEC, Net::all_equal);
    let values: Vec<(u128, u64)> = net.see("A").own.values().map(|row| (row.key, row.value)).collect();
    assert_eq!(values, (0..30).map(|key| (key, if key < 10 { 1 } else { 2 })).collect::<Vec<_>>());
}

/// C lives on; A and B return together, and B's file has old rows of A: nobody is asked for a file.
#[test]
fn files_of_others_count_for_nothing_where_somebody_has_lived_on() {
    let mut net = Net::three(35);
    net.put("A", 0..20, 1);
    net.run(SEC);
    let file = written(&net, "B");
    net.write("A", (0..20).map(|key| crate::Op::Remove { key }).collect());
    net.run(SEC);
    ["A", "B"].iter().for_each(|n| drop(net.kill(n)));
    net.run(2 * SEC);
    ["A", "B"].iter().for_each(|n| net.start(n, 2));
    give(&mut net, "B", &file, 2);
    net.run_until(8 * SEC, |net| ["A", "B"].iter().all(|n| net.see(n).cluster.is_in_sync()));
    net.run(40 * SEC);
    assert!(net.all_equal() && net.see("A").own.is_empty());
    assert_eq!(net.see("B").cluster.get(5).count(), 0);
    net.assert_told();
}

/// A has a new life and stands still in it: B, which begins after that, has only its file to know A's rows from (simulator seed 479).
#[test]
fn rows_of_a_node_that_stands_still_in_a_new_life_are_orphans() {
    let mut net = Net::three(36);
    net.put("A", 0..20, 1);
    net.run(SEC);
    let file = written(&net, "B");
    ["A", "B", "C"].iter().for_each(|n| drop(net.kill(n)));
    net.run(10 * SEC);
    net.start("A", 2);
    net.run(4 * SEC);
    net.hang("A");
    net.start("B", 2);
    give(&mut net, "B", &file, 14);
    net.run_until(8 * SEC, |net| net.see("B").cluster.is_in_sync());
    let found: Vec<_> = net.see("B").cluster.get(5).map(|f| (f.owner.clone(), f.orphaned)).collect();
    assert_eq!(found, [(life("A", 1), true)]);
    // When it goes on, what it says counts.
    net.resume("A");
    net.run_until(4 * SEC, Net::all_equal);
    net.run(SEC);
    assert_eq!(net.see("B").cluster.get(5).count(), 0);
    net.assert_told();
}

/// A comes in a new life, and is gone before it served: what B's file has of the life before is the best there is (simulator seeds 7799 and 9648).
#[test]
fn rows_of_a_node_whose_new_life_never_served_are_orphans() {
    for dies_first in [true, false] {
        let mut net = Net::three(38);
        net.put("A", 0..20, 1);
        net.run(SEC);
        let file = written(&net, "B");
        ["A", "B", "C"].iter().for_each(|n| drop(net.kill(n)));
        net.run(10 * SEC);
        net.start("C", 2);
        net.run(4 * SEC);
        // A waits for C, which it does not reach.
        net.cut("A", "C");
        ["A", "B"].iter().for_each(|n| net.start(n, 2));
        give(&mut net, "B", &file, 14);
        net.run(SEC / 5);
        if dies_first {
            net.kill("A");
        }
        net.run_until(8 * SEC, |net| net.see("B").cluster.is_in_sync());
        if !dies_first {
            assert_eq!(net.see("B").cluster.get(5).count(), 0, "A may still ask for them");
            net.kill("A");
        }
        net.run(2 * SEC);
        let found: Vec<_> = net.see("B").cluster.get(5).map(|f| (f.owner.clone(), f.orphaned)).collect();
        assert_eq!(found, [(life("A", 1), true)], "{dies_first}");
        net.assert_told();
    }
}

/// The wall clock of B's host was set ten minutes forward while B was off: by its file A's registrations ended long ago, by C's they did not
/// (simulator seed 6762).
#[test]
fn of_two_files_the_one_with_more_time_left_says_when_rows_end() {
    let mut net = Net::three(39);
    net.put("A", 0..20, 1);
    net.run(SEC);
    let files = ["B", "C"].map(|n| written(&net, n));
    ["A", "B", "C"].iter().for_each(|n| drop(net.kill(n)));
    net.run(10 * SEC);
    net.start("C", 2);
    give(&mut net, "C", &files[1], 10);
    net.run_until(8 * SEC, |net| net.see("C").cluster.is_in_sync());
    net.start("B", 2);
    give(&mut net, "B", &files[0], 612);
    net.run_until(8 * SEC, |net| net.see("B").cluster.is_in_sync());
    let ends = |node| net.see(node).cluster.owner_time_to_local(&life("A", 1), 70_000).unwrap().as_micros();
    let apart = ends("B").abs_diff(ends("C"));
    let clocks = net.local("B").as_micros().abs_diff(net.local("C").as_micros());
    assert!(apart.abs_diff(clocks) < 3_000_000, "{apart} {clocks}");
}
