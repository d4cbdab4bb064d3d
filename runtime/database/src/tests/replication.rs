//! The machines in single stories: founding, following, snapshots, a publisher that is away, promotion, lost disks, user settings, a
//! disk that fails.

use super::net::{MS, Net, SEC};
use super::{device, draft, layout, node};
use crate::replication::Role;
use crate::{DraftOp, Refused, Table};

fn started() -> Net {
    let mut net = Net::new(&["A", "B", "C"], 1);
    net.run(50 * MS);
    let token = net.write(&node("A"), draft(layout()));
    net.run_until("the layout is everywhere", SEC, |n| n.written.contains_key(&token) && n.all_equal());
    net
}
fn put(net: &mut Net, at: &str, name: &str) -> u64 {
    net.write(&node(at), draft(vec![DraftOp::put(Table::Device, name, device("DP1"))]))
}
fn has(net: &Net, at: &str, name: &str) -> bool {
    net.nodes[&node(at)].worker.reader().exists(Table::Device, name).unwrap()
}

#[test]
fn a_change_is_everywhere_within_milliseconds() {
    let mut net = started();
    let before = net.now;
    let token = put(&mut net, "A", "SEP1");
    net.run_until("the change is everywhere", SEC, |n| n.written.contains_key(&token) && n.all_equal());
    assert_eq!(net.written[&token].as_ref().unwrap().revision, 2);
    assert!(net.now.since(before) < 30 * MS, "{:?}", net.now.since(before));
    net.run(2 * SEC);
    for peer in net.nodes[&node("A")].machine.status(net.now).peers {
        assert_eq!((peer.revision, peer.lag, peer.up), (Some(2), 0, true));
    }
}

#[test]
fn many_changes_share_a_commit() {
    let mut net = started();
    let tokens: Vec<_> = (0..100).map(|n| put(&mut net, "A", &format!("SEP{n}"))).collect();
    net.run_until("all are everywhere", SEC, |n| n.all_equal() && n.nodes[&node("C")].worker.head().revision == 101);
    assert!(tokens.iter().all(|t| net.written[t].is_ok()));
}

#[test]
fn a_subscriber_refuses_and_says_who_writes() {
    let mut net = started();
    let token = put(&mut net, "B", "SEP1");
    assert_eq!(net.written[&token], Err(Refused::NotPublisher { publisher: node("A"), reachable: true }));
    net.crash(&node("A"));
    let token = put(&mut net, "B", "SEP1");
    assert_eq!(net.written[&token], Err(Refused::NotPublisher { publisher: node("A"), reachable: false }));
    let status = net.nodes[&node("B")].machine.status(net.now);
    assert_eq!((status.role, status.publisher_away_since), (Role::Subscriber, Some(net.now)));
}

#[test]
fn nobody_writes_before_it_is_known_who_has_the_database() {
    let mut net = Net::new(&["A", "B", "C"], 1);
    let token = put(&mut net, "A", "SEP1");
    assert!(matches!(net.written[&token], Err(Refused::NotReady { .. })));
    let token = put(&mut net, "B", "SEP1");
    assert!(matches!(net.written[&token], Err(Refused::NotReady { .. })));
    // Two are down: the founder waits for them, and then goes on without.
    net.crash(&node("B"));
    net.crash(&node("C"));
    net.run(SEC);
    let token = put(&mut net, "A", "SEP1");
    assert_eq!(net.written[&token], Err(Refused::NotReady { waiting_for: vec![node("B"), node("C")] }));
    net.run(6 * SEC);
    let token = net.write(&node("A"), draft(layout()));
    net.run(50 * MS);
    assert!(net.written[&token].is_ok());
}

#[test]
fn who_was_away_catches_up_from_the_log_or_by_a_snapshot() {
    let mut net = started();
    net.crash(&node("B"));
    for n in 0..40 {
        put(&mut net, "A", &format!("SEP{n}"));
    }
    net.run(100 * MS);
    net.start(&node("B"));
    net.run_until("B has it from the log", 5 * SEC, Net::all_equal);
    assert_eq!(net.nodes[&node("B")].replaced, 0);
    net.crash(&node("B"));
    for n in 0..40 {
        net.write(&node("A"), draft(vec![DraftOp::delete(Table::Device, format!("SEP{n}"))]));
    }
    net.run(100 * MS);
    net.crash(&node("A"));
    net.log_changes = 10;
    net.start(&node("A"));
    net.start(&node("B"));
    net.run_until("B has it by a snapshot", 10 * SEC, Net::all_equal);
    assert_eq!(net.nodes[&node("B")].replaced, 1);
    assert_eq!(net.nodes[&node("B")].unsent, 0);
}

#[test]
fn a_snapshot_comes_through_a_wire_that_loses_a_fifth() {
    let mut net = started();
    let row = || device("DP1").with("description", "x".repeat(900));
    for part in 0..4 {
        let ops = (0..500).map(|n| DraftOp::put(Table::Device, format!("SEP{part}{n}"), row())).collect();
        net.write(&node("A"), draft(ops));
    }
    net.run_until("it is everywhere", 60 * SEC, |n| n.all_equal() && n.nodes[&node("C")].worker.head().revision == 5);
    net.crash(&node("C"));
    net.lose_disk(&node("C"));
    net.crash(&node("A"));
    net.log_changes = 1;
    net.start(&node("A"));
    (net.loss, net.double, net.delay) = (200, 100, 10);
    net.start(&node("C"));
    net.run_until("C has it", 120 * SEC, Net::all_equal);
    assert_eq!(net.nodes[&node("C")].replaced, 1);
}

#[test]
fn a_change_that_one_subscriber_has_reaches_the_other_while_the_publisher_is_away() {
    let mut net = started();
    net.cut(&node("A"), &node("C"));
    put(&mut net, "A", "SEP1");
    net.run_until("B has it", SEC, |n| has(n, "B", "SEP1"));
    net.crash(&node("A"));
    net.run_until("C has it from B", 5 * SEC, |n| has(n, "C", "SEP1"));
}

#[test]
fn a_promoted_node_writes_and_the_former_publisher_shows_what_it_never_sent() {
    let mut net = started();
    net.cut(&node("A"), &node("B"));
    net.cut(&node("A"), &node("C"));
    let lost = put(&mut net, "A", "SEP1");
    net.run(100 * MS);
    assert!(net.written[&lost].is_ok());
    let token = net.promote(&node("B"), false);
    net.run_until("B is promoted", SEC, |n| n.promoted.contains_key(&token));
    assert_eq!(net.promoted[&token].as_ref().unwrap().number, 2);
    let kept = put(&mut net, "B", "SEP2");
    net.run_until("C follows B", 5 * SEC, |n| has(n, "C", "SEP2"));
    assert!(net.written[&kept].is_ok());
    // A does not know yet, and restarts.
    net.crash(&node("A"));
    net.heal();
    net.start(&node("A"));
    net.run_until("A follows B", 10 * SEC, Net::all_equal);
    assert!(!has(&net, "A", "SEP1") && has(&net, "A", "SEP2"));
    let unsent = net.nodes[&node("A")].worker.reader().unsent().unwrap();
    assert_eq!(unsent.iter().map(|u| u.info.comment.clone()).collect::<Vec<_>>(), [lost.to_string()]);
    let token = put(&mut net, "A", "SEP3");
    assert!(matches!(&net.written[&token], Err(Refused::NotPublisher { publisher, .. }) if publisher.as_str() == "B"));
    // Also alone and after a restart it knows that it is no publisher any more.
    net.crash(&node("A"));
    net.crash(&node("B"));
    net.crash(&node("C"));
    net.start(&node("A"));
    net.run(10 * SEC);
    assert_eq!(net.nodes[&node("A")].machine.role(net.now), Role::Subscriber);
}

#[test]
fn a_node_that_lacks_changes_is_not_promoted_unless_forced() {
    let mut net = started();
    net.cut(&node("A"), &node("B"));
    net.cut(&node("B"), &node("C"));
    put(&mut net, "A", "SEP1");
    net.run_until("C has it", SEC, |n| has(n, "C", "SEP1"));
    net.crash(&node("A"));
    // B and C meet, and B is asked before it has caught up.
    net.heal();
    net.run_until("B hears what C has", SEC, |n| {
        let status = n.nodes[&node("B")].machine.status(n.now);
        status.peers.iter().any(|p| p.node == node("C") && p.revision == Some(2))
    });
    let token = net.promote(&node("B"), false);
    let refused = net.promoted.get(&token).cloned().unwrap();
    assert_eq!(refused, Err(Refused::Behind { peer: node("C"), theirs: 2, ours: 1 }));
    let token = net.promote(&node("B"), true);
    net.run(100 * MS);
    assert!(net.promoted[&token].is_ok());
    let again = net.promote(&node("B"), false);
    assert_eq!(net.promoted[&again], net.promoted[&token], "once more changes nothing");
}

#[test]
fn of_two_that_were_promoted_at_once_one_wins_and_the_other_shows_its_changes() {
    let mut net = started();
    net.crash(&node("A"));
    net.cut(&node("B"), &node("C"));
    net.promote(&node("B"), false);
    net.run(20 * MS);
    net.promote(&node("C"), false);
    net.run(20 * MS);
    let (b, c) = (put(&mut net, "B", "SEP1"), put(&mut net, "C", "SEP2"));
    net.run(20 * MS);
    assert!(net.written[&b].is_ok() && net.written[&c].is_ok());
    net.heal();
    net.start(&node("A"));
    net.run_until("all follow one", 10 * SEC, Net::all_equal);
    assert_eq!(net.publisher(), Some(node("B")), "the earlier one");
    let unsent = net.nodes[&node("C")].worker.reader().unsent().unwrap();
    assert_eq!(unsent.len(), 1);
    assert_eq!(unsent[0].info.comment, c.to_string());
}

#[test]
fn a_publisher_that_lost_its_disk_fetches_the_database_before_it_writes() {
    let mut net = started();
    put(&mut net, "A", "SEP1");
    net.run_until("it is everywhere", SEC, |n| has(n, "B", "SEP1") && has(n, "C", "SEP1"));
    net.crash(&node("A"));
    net.lose_disk(&node("A"));
    net.start(&node("A"));
    let token = put(&mut net, "A", "SEP2");
    assert!(matches!(net.written[&token], Err(Refused::NotReady { .. })), "{:?}", net.written[&token]);
    net.run_until("A has it again", 10 * SEC, |n| n.all_equal());
    assert!(has(&net, "A", "SEP1"));
    let token = put(&mut net, "A", "SEP2");
    net.run_until("A writes", SEC, |n| n.written.contains_key(&token) && has(n, "B", "SEP2"));
    let info = net.written[&token].as_ref().unwrap();
    assert_eq!(
        (info.revision, info.epoch.number),
        (3, 2),
        "a new epoch: what it had sent may be more than anybody has"
    );
}

#[test]
fn user_settings_are_taken_anywhere_and_found_everywhere() {
    let mut net = started();
    net.crash(&node("A"));
    net.cut(&node("B"), &node("C"));
    net.set_user(&node("B"), "SEP1", "1001");
    net.run(100 * MS);
    net.set_user(&node("C"), "SEP1", "1002");
    let token = net.set_user(&node("C"), "SEP2", "1003");
    net.run(100 * MS);
    assert!(net.user_set[&token].is_ok(), "the publisher is not needed");
    net.heal();
    net.start(&node("A"));
    net.run_until("all have all", 10 * SEC, Net::all_equal);
    for node in net.nodes.values() {
        let values: Vec<_> = node.users.values().map(|s| (s.device.as_str(), s.value.clone().unwrap())).collect();
        assert_eq!(values, [("SEP1", "1002".into()), ("SEP2", "1003".into())]);
    }
}

#[test]
fn many_user_settings_reach_a_node_that_was_away() {
    let mut net = started();
    net.crash(&node("C"));
    for n in 0..1_500 {
        net.set_user(&node("B"), &format!("SEP{n}"), &"1".repeat(60));
    }
    net.run(100 * MS);
    net.start(&node("C"));
    net.run_until("C has them", 20 * SEC, Net::all_equal);
    assert_eq!(net.nodes[&node("C")].users.len(), 1_500);
}

/// Lets a node's store have no more pages than it has, or as many as it likes.
fn fill_disk(net: &mut Net, at: &str, full: bool) {
    let store = net.nodes.get_mut(&node(at)).unwrap().worker.store();
    store.bound_pages(if full { Some(0) } else { None });
}
fn large() -> crate::Draft {
    let row = || device("DP1").with("description", "x".repeat(900));
    draft((0..500).map(|n| DraftOp::put(Table::Device, format!("SEP{n}"), row())).collect())
}

#[test]
fn a_subscriber_with_a_full_disk_says_so_serves_on_and_catches_up() {
    let mut net = started();
    fill_disk(&mut net, "C", true);
    let token = net.write(&node("A"), large());
    net.run_until("B has it", 20 * SEC, |n| has(n, "B", "SEP499"));
    assert!(net.written[&token].is_ok());
    net.run(10 * SEC);
    assert!(matches!(net.nodes[&node("C")].failing, Some(crate::StoreError::DiskFull(_))));
    assert!(net.nodes[&node("C")].machine.status(net.now).failing.is_some());
    assert!(!has(&net, "C", "SEP499") && net.nodes[&node("C")].worker.reader().exists(Table::Group, "G1").unwrap());
    let token = net.set_user(&node("C"), &"S".repeat(100), &"1".repeat(900));
    net.run(50 * MS);
    let small = net.user_set.get(&token).cloned();
    assert!(small.is_some(), "it is answered, whatever the answer");
    fill_disk(&mut net, "C", false);
    net.run_until("C has caught up", 60 * SEC, Net::all_equal);
    assert_eq!(net.nodes[&node("C")].failing, None);
}

#[test]
fn a_publisher_with_a_full_disk_refuses_with_the_reason_and_goes_on_when_there_is_room() {
    let mut net = started();
    fill_disk(&mut net, "A", true);
    let token = net.write(&node("A"), large());
    net.run(2 * SEC);
    let refused = net.written[&token].clone().unwrap_err();
    assert!(matches!(refused, Refused::Store(crate::StoreError::DiskFull(_))), "{refused}");
    assert!(has(&net, "A", "SEP0") == has(&net, "B", "SEP0") && !has(&net, "A", "SEP0"), "nothing of it is anywhere");
    fill_disk(&mut net, "A", false);
    let token = net.write(&node("A"), large());
    net.run_until("it is everywhere", 60 * SEC, |n| n.all_equal() && has(n, "C", "SEP499"));
    assert!(net.written[&token].is_ok());
    net.run(60 * SEC);
    assert_eq!(net.nodes[&node("A")].failing, None);
}

#[test]
fn a_store_that_may_only_be_read_is_opened_anew_when_it_may_be_written() {
    let mut net = started();
    net.nodes.get_mut(&node("C")).unwrap().worker.store().forbid_writing();
    put(&mut net, "A", "SEP1");
    net.run_until("C fails", SEC, |n| matches!(n.nodes[&node("C")].failing, Some(crate::StoreError::ReadOnly(_))));
    net.run_until("C has it", 60 * SEC, Net::all_equal);
    assert_eq!(net.nodes[&node("C")].failing, None);
}

/// Found by the simulator (seed 1200): a former publisher whose disk failed while another was promoted forgot that with its life, and took itself for
/// the publisher again.
#[test]
fn an_epoch_that_was_heard_of_while_the_disk_failed_is_remembered_when_it_works() {
    let mut net = started();
    let fails = |net: &mut Net, fault| net.nodes.get_mut(&node("A")).unwrap().worker.store().set_fault(fault);
    fails(&mut net, Some(crate::StoreError::Io("the power goes".to_owned())));
    let token = net.promote(&node("B"), false);
    net.run(2 * SEC);
    assert!(net.promoted[&token].is_ok());
    assert_eq!(net.publisher(), Some(node("B")));
    fails(&mut net, None);
    net.run_until("A has it on its disk", 60 * SEC, Net::all_equal);
    let epoch = net.nodes[&node("A")].worker.reader().head().unwrap().epoch;
    assert_eq!(epoch.map(|e| e.publisher), Some(node("B")));
}
