//! A node that returns takes over what its peers have kept.

use super::net::{MS, Net, SEC, life, name};
use crate::{Input, Output};
use std::collections::BTreeSet;

fn offered(net: &Net, node: &str) -> BTreeSet<u128> {
    let of = |o: &Output<super::TestRow>| match o {
        Output::Adoptable { rows, .. } => rows.iter().map(|r| r.key).collect(),
        _ => Vec::new(),
    };
    net.see(node).said.iter().flat_map(|(_, o)| of(o)).collect()
}

#[test]
fn a_returning_owner_is_offered_its_rows_before_it_is_in_sync_and_publishes_them_anew() {
    let mut net = Net::three(1);
    net.settings = Box::new(|s| s.chunk_rows = 100);
    net.put("A", 0..1_000, 1);
    net.run(SEC);
    net.kill("A");
    net.run(2 * SEC);
    for node in ["B", "C"] {
        net.give(&name(node), Input::Drop { key: 5, but: None });
    }
    let at = net.now;
    net.start("A", 2);
    net.run_until(SEC, |net| net.see("A").cluster.is_in_sync());
    let rows: BTreeSet<u128> = (0..1_000).filter(|k| *k != 5).collect();
    assert_eq!(offered(&net, "A"), rows);
    let words = net.see("A").words(at);
    let (last_offer, sync) = (words.iter().rposition(|w| w == "Adoptable"), words.iter().position(|w| w == "InSync"));
    assert!(last_offer < sync, "{words:?}");
    // Within the run nobody lost sight of a device that nobody else has.
    net.run(SEC);
    assert!(net.all_equal());
    net.assert_told();
    assert_eq!(net.see("B").cluster.get(7).map(|f| f.owner.clone()).collect::<Vec<_>>(), [life("A", 2)]);
}

#[test]
fn the_clock_of_the_earlier_life_comes_with_the_rows() {
    let mut net = Net::three(2);
    net.put("A", 0..10, 1);
    net.run(SEC);
    net.kill("A");
    net.run(SEC);
    net.start("A", 2);
    net.run(SEC);
    let ahead = net.see("A").said.iter().find_map(|(_, o)| match o {
        Output::Adoptable { clock_ahead_micros, .. } => Some(*clock_ahead_micros),
        _ => None,
    });
    // Both lives have the same clock on this bench; the readings are delayed by up to half a millisecond each.
    assert!(ahead.is_some_and(|micros| micros.abs() < 2_000), "{ahead:?}");
}

#[test]
fn a_joiner_copies_the_orphans_of_an_owner_that_is_down() {
    let mut net = Net::three(3);
    net.put("A", 0..1_000, 1);
    net.run(SEC);
    net.kill("A");
    net.run(2 * SEC);
    net.kill("B");
    net.run(2 * SEC);
    net.start("B", 2);
    net.run_until(4 * SEC, |net| net.see("B").cluster.is_in_sync());
    let found: Vec<_> = net.see("B").cluster.get(7).map(|f| (f.owner.clone(), f.orphaned)).collect();
    assert_eq!(found, [(life("A", 1), true)]);
    assert_eq!(net.see("B").cluster.page(&life("A", 1), 0, usize::MAX).rows.len(), 1_000);
    let clock = net.see("B").cluster.owner_time_to_local(&life("A", 1), 65_000).unwrap();
    assert!(clock.since(tandem_base::Time::from_secs(65_999)) < 2 * SEC);
    net.assert_told();
}

#[test]
fn an_adoption_that_cannot_be_finished_does_not_hold_up_the_node_for_ever() {
    let mut net = Net::three(4);
    net.put("A", 0..1_000, 1);
    net.run(SEC);
    net.kill("A");
    net.run(2 * SEC);
    net.tamper = Some(Box::new(|_, _, lane, frame| (lane != crate::link::Lane::Bulk).then_some(frame)));
    let at = net.now;
    net.start("A", 2);
    let took = net.run_until(6 * SEC, |net| net.see("A").cluster.is_in_sync());
    assert!(took > 4 * SEC, "{took:?}");
    assert!(net.see("A").when(at, |o| matches!(o, Output::Adoptable { .. })).is_none());
}

#[test]
fn a_holder_that_dies_in_the_middle_is_replaced_by_another() {
    let mut net = Net::three(5);
    net.put("A", 0..3_000, 1);
    net.run(SEC);
    net.kill("A");
    net.run(2 * SEC);
    net.delay = (3 * MS, 4 * MS);
    net.start("A", 2);
    net.run_until(SEC, |net| !offered(net, "A").is_empty());
    let from = net.see("A").cluster.counters().decode_errors;
    assert_eq!(from, 0);
    let holder = if net.see("B").cluster.counters().snapshots_sent > 0 { "B" } else { "C" };
    net.kill(holder);
    net.run_until(8 * SEC, |net| net.see("A").cluster.is_in_sync());
    assert_eq!(offered(&net, "A").len(), 3_000);
}

/// B heard A for a moment before A died, and had none of its rows yet (simulator seed 8116).
#[test]
fn a_joiner_that_has_only_the_beginning_of_a_dead_owners_rows_takes_them_from_another() {
    let mut net = Net::three(6);
    net.put("A", 0..1_000, 1);
    net.run(SEC);
    net.kill("B");
    net.run(2 * SEC);
    let a = name("A");
    net.tamper = Some(Box::new(move |from, _, lane, frame| {
        (*from != a || lane == crate::link::Lane::Heartbeat).then_some(frame)
    }));
    net.start("B", 2);
    net.run(SEC / 5);
    assert_eq!(net.see("B").cluster.page(&life("A", 1), 0, usize::MAX).rows.len(), 0);
    net.kill("A");
    net.run_until(8 * SEC, |net| net.see("B").cluster.is_in_sync());
    assert_eq!(net.see("B").cluster.page(&life("A", 1), 0, usize::MAX).rows.len(), 1_000);
    net.assert_told();
}
