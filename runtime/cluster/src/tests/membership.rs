//! Who is up, and how fast that is known.

use super::net::{MS, Net, SEC, life, name};
use crate::{ClusterError, DownReason, MemberState, NodeState, Output};
use bytes::Bytes;
use std::time::Duration;

fn down_of(net: &Net, node: &str, of: &str) -> Option<(tandem_base::Time, DownReason)> {
    net.see(node).said.iter().rev().find_map(|(at, o)| match o {
        Output::Down { node, why, .. } if node.as_str() == of => Some((*at, *why)),
        _ => None,
    })
}

#[test]
fn nodes_that_start_together_are_up_and_in_sync_within_a_quarter_second() {
    let mut net = Net::new(&["A", "B", "C"], 1);
    ["A", "B", "C"].into_iter().for_each(|node| net.start(node, 1));
    let took = net.run_until(250 * MS, |net| net.nodes.values().all(|n| n.cluster.is_in_sync()));
    assert!(took < 50 * MS, "{took:?}");
    net.run(200 * MS);
    for a in ["A", "B", "C"] {
        let members = net.see(a).cluster.members();
        assert!(members.iter().all(|m| m.state == MemberState::Up && m.complete && m.has_of_us == Some(0)));
        assert!(members.iter().all(|m| m.node_state == NodeState::InService));
    }
}

#[test]
fn a_node_without_peers_is_in_sync_at_once_and_sends_nothing() {
    let mut net = Net::new(&["A"], 1);
    net.start("A", 1);
    assert!(net.see("A").cluster.is_in_sync());
    net.put("A", 0..1_000, 1);
    net.run(10 * SEC);
    assert_eq!((net.frames, net.see("A").cluster.own_head()), (0, 1_000));
}

#[test]
fn a_closed_connection_is_a_death_within_ten_milliseconds() {
    let mut net = Net::three(2);
    let at = net.now;
    net.kill("A");
    net.run(10 * MS);
    for node in ["B", "C"] {
        let (when, why) = down_of(&net, node, "A").unwrap();
        assert_eq!(why, DownReason::Closed);
        assert!(when.since(at) < 10 * MS);
        assert_eq!(net.see(node).words(at), ["Down", "Orphaned"]);
    }
}

#[test]
fn a_hung_node_is_suspect_after_half_a_second_and_dead_after_one() {
    let mut net = Net::three(3);
    let at = net.now;
    net.hang("A");
    net.run(1_100 * MS);
    let suspect = net.see("B").when(at, |o| matches!(o, Output::Suspect { .. })).unwrap().since(at);
    let (dead, why) = down_of(&net, "B", "A").unwrap();
    assert_eq!(why, DownReason::Silent);
    assert!((400 * MS..=510 * MS).contains(&suspect), "{suspect:?}");
    assert!((900 * MS..=1_010 * MS).contains(&dead.since(at)), "{:?}", dead.since(at));
    assert_eq!(net.see("B").words(at), ["Suspect", "Down", "Orphaned"]);
}

#[test]
fn a_node_that_hung_does_not_take_the_others_for_dead_when_it_wakes() {
    let mut net = Net::three(4);
    net.hang("A");
    net.run(3 * SEC);
    let at = net.now;
    net.resume("A");
    net.run(500 * MS);
    assert_eq!(net.see("A").cluster.counters().own_stalls, 1);
    // The others had given it up, and it learns that from them; but nobody was silent.
    assert!(net.see("A").when(at, |o| matches!(o, Output::Down { why: DownReason::Silent, .. })).is_none());
}

#[test]
fn a_node_that_hung_until_it_was_dead_finds_its_life_over_and_is_not_taken_for_alive_again() {
    let mut net = Net::three(17);
    net.put("A", 0..100, 1);
    net.hang("A");
    net.run(3 * SEC);
    let at = net.now;
    net.resume("A");
    net.run(900 * MS);
    let over: Vec<_> = net.see("A").said.iter().filter(|(t, o)| *t >= at && matches!(o, Output::Over { .. })).collect();
    assert!(
        matches!(over[0], (when, Output::Over { stood_still, .. }) if when.since(at) <= 200 * MS && *stood_still >= 2_800 * MS),
        "{over:?}"
    );
    // No heartbeat of the old life has left: to the others it is dead, and was not back for a moment.
    assert_eq!(net.see("B").words(at), Vec::<String>::new());
    net.kill("A");
    net.start("A", 2);
    net.run_until(SEC, Net::all_equal);
    assert!(!net.see("B").words(at).iter().any(|w| w == "Flap"), "{:?}", net.see("B").words(at));
}

#[test]
fn when_everybody_stood_still_nobody_is_dead() {
    let mut net = Net::three(18);
    let at = net.now;
    ["A", "B", "C"].into_iter().for_each(|node| net.hang(node));
    net.run(5 * SEC);
    ["A", "B", "C"].into_iter().for_each(|node| net.resume(node));
    net.run(2 * SEC);
    for node in ["A", "B", "C"] {
        assert_eq!(net.see(node).words(at), Vec::<String>::new(), "{node}");
        assert_eq!(net.see(node).cluster.counters().own_stalls, 1);
    }
}

#[test]
fn a_cut_is_no_end_of_a_life() {
    let mut net = Net::three(19);
    let at = net.now;
    net.cut("A", "B");
    net.cut("A", "C");
    net.run(5 * SEC);
    net.cuts.clear();
    net.run(SEC);
    assert!(net.see("A").when(at, |o| matches!(o, Output::Over { .. })).is_none());
    assert!(net.see("B").when(at, |o| matches!(o, Output::Flap { .. })).is_some());
}

#[test]
fn a_short_silence_is_a_suspicion_that_passes() {
    let mut net = Net::three(5);
    let at = net.now;
    net.cut("A", "B");
    net.run(700 * MS);
    net.cuts.clear();
    net.run(300 * MS);
    assert_eq!(net.see("B").words(at), ["Suspect", "Trusted"]);
    assert_eq!(net.see("C").words(at), Vec::<String>::new());
}

#[test]
fn down_and_up_in_the_same_life_is_a_flap_and_the_rows_stay() {
    let mut net = Net::three(6);
    net.put("A", 0..100, 1);
    net.run(300 * MS);
    let at = net.now;
    net.cut("A", "B");
    net.run(2 * SEC);
    assert_eq!(net.see("B").cluster.get(7).map(|f| f.orphaned).collect::<Vec<_>>(), [true]);
    net.put("A", 50..150, 2);
    net.run(5 * MS);
    net.cuts.clear();
    net.run_until(SEC, Net::all_equal);
    let words = net.see("B").words(at);
    assert_eq!(words[..5], ["Suspect", "Down", "Orphaned", "Flap", "Up"].map(String::from));
    assert_eq!(words.last().map(String::as_str), Some("Complete"));
    assert_eq!(net.see("B").cluster.get(7).map(|f| f.orphaned).collect::<Vec<_>>(), [false]);
    assert_eq!(net.see("C").words(at), Vec::<String>::new());
    net.assert_told();
}

#[test]
fn a_cut_in_one_direction_never_counts_as_up() {
    let mut net = Net::new(&["A", "B", "C"], 7);
    net.cut_one_way("A", "B");
    ["A", "B", "C"].into_iter().for_each(|node| net.start(node, 1));
    for _ in 0..300 {
        net.run(10 * MS);
        assert_eq!((net.state("A", "B"), net.state("B", "A")), (MemberState::Down, MemberState::Down));
    }
    assert_eq!((net.state("A", "C"), net.state("C", "B")), (MemberState::Up, MemberState::Up));
    net.cuts.clear();
    net.run(200 * MS);
    assert_eq!((net.state("A", "B"), net.state("B", "A")), (MemberState::Up, MemberState::Up));
}

#[test]
fn a_link_that_goes_deaf_in_one_direction_is_down_on_both_sides() {
    let mut net = Net::three(8);
    let at = net.now;
    net.cut_one_way("A", "B");
    net.run(1_300 * MS);
    assert_eq!(down_of(&net, "B", "A").map(|(_, why)| why), Some(DownReason::Silent));
    assert_eq!(down_of(&net, "A", "B").map(|(_, why)| why), Some(DownReason::Deaf));
    assert!(down_of(&net, "A", "B").unwrap().0.since(at) <= 1_200 * MS);
}

#[test]
fn an_older_life_is_refused_and_cannot_disturb_the_new_one() {
    let mut net = Net::three(9);
    net.hang("A");
    net.run(200 * MS);
    let old = net.kill("A");
    net.start("A", 2);
    net.run(300 * MS);
    let at = net.now;
    // The old life wakes up and writes: its frames still reach B.
    let before = net.see("B").cluster.counters().stale_frames;
    let mut ghost = old.cluster;
    tandem_base::Machine::tick(&mut ghost, at + 100_000 * SEC);
    // Nobody tells it that it is over, so in the end it goes on.
    tandem_base::Machine::tick(&mut ghost, at + 100_000 * SEC + 300 * MS);
    while let Some(output) = tandem_base::Machine::poll(&mut ghost) {
        if let Output::Broadcast { frame, .. } = output {
            let event = crate::link::LinkEvent::Message { from: name("A"), bytes: frame };
            net.give(&name("B"), crate::Input::Link(event));
        }
    }
    assert!(net.see("B").cluster.counters().stale_frames > before);
    net.run(500 * MS);
    assert_eq!(net.see("B").words(at), Vec::<String>::new());
    let member = net.see("B").cluster.members().remove(0);
    assert_eq!((member.incarnation, member.state), (Some(tandem_base::Incarnation(2)), MemberState::Up));
}

#[test]
fn a_late_frame_after_the_close_does_not_bring_the_dead_back() {
    let mut net = Net::three(10);
    let late = std::rc::Rc::new(std::cell::RefCell::new(Vec::new()));
    let keep = std::rc::Rc::clone(&late);
    net.tamper = Some(Box::new(move |from, to, _, frame| {
        if from.as_str() == "A" && to.as_str() == "B" {
            keep.borrow_mut().push(frame.clone());
        }
        Some(frame)
    }));
    net.run(300 * MS);
    net.kill("A");
    net.run(5 * MS);
    let at = net.now;
    for bytes in late.borrow().iter().cloned() {
        net.give(&name("B"), crate::Input::Link(crate::link::LinkEvent::Message { from: name("A"), bytes }));
    }
    net.run(2 * SEC);
    assert_eq!(net.see("B").words(at), Vec::<String>::new());
}

#[test]
fn a_new_life_replaces_the_old_one_even_when_nobody_saw_it_close() {
    let mut net = Net::three(11);
    net.put("A", 0..10, 1);
    net.run(200 * MS);
    net.cut("A", "B");
    let at = net.now;
    net.kill("A");
    net.run(20 * MS);
    net.cuts.clear();
    net.start("A", 2);
    net.run(SEC);
    assert_eq!(down_of(&net, "B", "A").map(|(_, why)| why), Some(DownReason::Replaced));
    let words = net.see("B").words(at);
    assert_eq!(words[..4], ["Down", "Orphaned", "Up", "StateChanged"].map(String::from));
    assert!(words.iter().any(|w| w == "Forgotten"), "{words:?}");
}

#[test]
fn what_a_node_says_of_itself_reaches_its_peers() {
    let mut net = Net::three(12);
    let at = net.now;
    net.give(&name("A"), crate::Input::State(NodeState::Draining));
    net.run(50 * MS);
    let told = |o: &Output<_>| matches!(o, Output::StateChanged { state: NodeState::Draining, .. });
    assert!(net.see("C").when(at, told).is_some());
}

#[test]
fn frames_of_strangers_of_other_clusters_and_of_other_versions_are_refused_and_said_once() {
    let mut net = Net::three(13);
    let mut foreign = Net::new(&["A", "B"], 1);
    foreign.settings = Box::new(|s| s.cluster = "other".to_owned());
    foreign.start("A", 9);
    foreign.run(SEC);
    let mut frame = Vec::from(b"T\x02\x01\x00".as_slice());
    frame.extend_from_slice(&[0; 64]);
    let at = net.now;
    for _ in 0..10 {
        net.give(&name("B"), message("A", Bytes::from(frame.clone())));
        net.give(&name("B"), message("X", Bytes::from(frame.clone())));
    }
    assert_eq!(net.see("B").cluster.counters().foreign_frames, 10);
    assert_eq!(net.see("B").cluster.counters().stranger_frames, 10);
    let version = ClusterError::Version { found: 2, expected: 1 };
    let said: Vec<_> = net.see("B").said.iter().filter(|(t, _)| *t >= at).collect();
    assert!(matches!(&said[..], [(_, Output::Refused { why, .. })] if *why == version), "{said:?}");
}

fn message(from: &str, bytes: Bytes) -> crate::Input<super::TestRow> {
    crate::Input::Link(crate::link::LinkEvent::Message { from: name(from), bytes })
}

#[test]
fn nodes_of_two_clusters_never_see_each_other() {
    let mut net = Net::new(&["A", "B"], 14);
    net.start("A", 1);
    net.settings = Box::new(|s| s.cluster = "other".to_owned());
    net.start("B", 1);
    net.run(3 * SEC);
    assert_eq!((net.state("A", "B"), net.state("B", "A")), (MemberState::Down, MemberState::Down));
    let refused = |o: &Output<_>| matches!(o, Output::Refused { why: ClusterError::ForeignCluster, .. });
    assert!(net.see("A").when(tandem_base::Time::ZERO, refused).is_some());
}

#[test]
fn a_peer_that_leaves_the_configuration_is_gone_with_its_rows_and_can_come_back() {
    let mut net = Net::three(15);
    net.put("C", 0..3_000, 1);
    net.run(SEC);
    let at = net.now;
    net.give(&name("A"), crate::Input::Peers(vec![name("B")]));
    net.run(100 * MS);
    assert_eq!(down_of(&net, "A", "C").map(|(_, why)| why), Some(DownReason::Removed));
    assert!(net.see("A").words(at).iter().any(|w| w == "Forgotten"));
    assert_eq!(net.see("A").told[&life("C", 1)].len(), 0);
    assert_eq!(net.see("A").cluster.get(1).count(), 0);
    net.give(&name("A"), crate::Input::Peers(vec![name("B"), name("C")]));
    net.run_until(3 * SEC, Net::all_equal);
    net.assert_told();
}

#[test]
fn the_clock_of_an_owner_is_translated_with_the_least_delayed_reading() {
    let mut net = Net::three(16);
    net.delay = (MS, 40 * MS);
    net.run(5 * SEC);
    // The bench gives each node's clock a skew of 1,000 s times its letter.
    let ours = net.see("B").cluster.owner_time_to_local(&life("A", 1), 65_200).unwrap();
    let wanted = tandem_base::Time::from_secs(66_200);
    let error = ours.since(wanted).max(wanted.since(ours));
    assert!(error < Duration::from_millis(5), "{ours} {error:?}");
    assert_eq!(net.see("B").cluster.owner_time_to_local(&life("A", 9), 0), None);
}
