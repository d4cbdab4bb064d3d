//! Peers over time: who is up, who is not, and what an old life or session cannot do.

use super::*;
use tandem_base::Incarnation;
use tandem_cluster::link::{DownWhy, Lane};

const PATIENCE: Duration = Duration::from_secs(2);

fn name(node: &str) -> NodeName {
    NodeName::new(node).unwrap()
}
fn id(life: u64, session: u64) -> Id {
    Id { incarnation: Incarnation(life), session }
}
fn at(millis: u64) -> Time {
    Time::from_millis(millis)
}
/// Node B of A, B, C.
fn b() -> Peers {
    Peers::new(name("B"), id(7, 1), &[name("A"), name("B"), name("C")], PATIENCE)
}
fn hello(id: Id, heard: &[(&str, Id)]) -> Hello {
    Hello::new(id, heard.iter().map(|(n, i)| (name(n), *i)).collect())
}
fn up(node: &str, life: u64) -> LinkEvent {
    LinkEvent::PeerUp { node: name(node), incarnation: Incarnation(life) }
}
fn down(node: &str, life: u64, why: DownWhy) -> LinkEvent {
    LinkEvent::PeerDown { node: name(node), incarnation: Incarnation(life), why }
}
fn message(from: &str, text: &'static str) -> LinkEvent {
    LinkEvent::Message { from: name(from), bytes: Bytes::from_static(text.as_bytes()) }
}
fn head(lane: Lane, from: Id, number: u64, to: Option<Id>) -> Head {
    Head { bye: false, lane, from, number, to }
}
/// A is up at B.
fn met(from: Id) -> Peers {
    let mut peers = b();
    assert_eq!(peers.on_hello(at(0), &name("A"), &hello(from, &[])).events, []);
    let said = peers.on_hello(at(1), &name("A"), &hello(from, &[("B", id(7, 1))]));
    assert_eq!(said.events, [up("A", from.incarnation.0)]);
    peers
}
fn bye(peers: &mut Peers, from: Id) -> Vec<LinkEvent> {
    let lanes = [Lane::Bulk, Lane::Heartbeat, Lane::Ordinary];
    let all = lanes.map(|lane| {
        let head = Head { bye: true, ..head(lane, from, 99, None) };
        peers.on_frame(at(50), "A", head, Bytes::new).events
    });
    all.concat()
}

#[test]
fn a_peer_is_up_when_both_hear_each_other() {
    let mut peers = b();
    let first = peers.on_hello(at(0), &name("A"), &hello(id(1, 1), &[("C", id(3, 1))]));
    assert_eq!((first.events, first.hello_soon), (vec![], true), "it is heard, and should know soon");
    assert_eq!(peers.up(&name("A")), None);
    assert!(peers.hello(at(1)).hears(&name("A"), id(1, 1)));
    // What it says of an older session of ours proves nothing.
    assert_eq!(peers.on_hello(at(1), &name("A"), &hello(id(1, 1), &[("B", id(6, 1))])).events, []);
    assert_eq!(peers.on_hello(at(2), &name("A"), &hello(id(1, 1), &[("B", id(7, 1))])).events, [up("A", 1)]);
    assert_eq!(peers.on_hello(at(3), &name("A"), &hello(id(1, 1), &[("B", id(7, 1))])), Outcome::default());
    assert_eq!(peers.up(&name("A")), Some(id(1, 1)));
}

#[test]
fn a_frame_for_this_session_proves_that_its_sender_hears_it_and_others_prove_nothing() {
    let text = || Bytes::from_static(b"x");
    let mut peers = b();
    let to_us = head(Lane::Ordinary, id(1, 1), 1, Some(id(7, 1)));
    assert_eq!(peers.on_frame(at(0), "A", to_us, text).events, [], "nobody knows it yet");
    peers.on_hello(at(0), &name("A"), &hello(id(1, 1), &[]));
    assert_eq!(peers.on_frame(at(1), "A", Head { to: None, ..to_us }, text).events, []);
    assert_eq!(peers.on_frame(at(1), "A", Head { to: Some(id(6, 1)), ..to_us }, text).events, []);
    assert_eq!(peers.on_frame(at(1), "A", Head { from: id(1, 2), ..to_us }, text).events, []);
    assert_eq!(peers.on_frame(at(1), "A", to_us, text).events, [up("A", 1), message("A", "x")]);
}

#[test]
fn nothing_is_told_twice_or_out_of_order() {
    let mut peers = met(id(1, 1));
    let mut tell = |lane, number| {
        let head = head(lane, id(1, 1), number, None);
        peers.on_frame(at(9), "A", head, || Bytes::from_static(b"x")).events.len()
    };
    assert_eq!([1, 2, 2, 1, 5, 4].map(|n| tell(Lane::Ordinary, n)), [1, 1, 0, 0, 1, 0]);
    assert_eq!([1, 2].map(|n| tell(Lane::Bulk, n)), [1, 1], "each lane has its own");
}

#[test]
fn goodbye_counts_when_it_came_in_every_lane_and_for_good() {
    let mut peers = met(id(1, 1));
    assert_eq!(bye(&mut peers, id(1, 1)), [down("A", 1, DownWhy::Closed)]);
    assert!(!peers.hello(at(51)).hears(&name("A"), id(1, 1)), "it is told that its goodbye was heard");
    // What was still on its way from it changes nothing.
    assert_eq!(peers.on_hello(at(52), &name("A"), &hello(id(1, 1), &[("B", id(7, 1))])), Outcome::default());
    let late = head(Lane::Ordinary, id(1, 1), 100, Some(id(7, 1)));
    assert_eq!(peers.on_frame(at(52), "A", late, Bytes::new).events, []);
    let next = hello(id(2, 1), &[("B", id(7, 1))]);
    assert_eq!(peers.on_hello(at(53), &name("A"), &next).events, [up("A", 2)]);
}

#[test]
fn a_newer_life_replaces_an_older_one_which_cannot_harm_it() {
    let mut peers = met(id(1, 1));
    let said = peers.on_hello(at(5), &name("A"), &hello(id(2, 1), &[]));
    assert_eq!((said.events, said.endings), (vec![down("A", 1, DownWhy::Closed)], vec![Ending::Replaced]));
    assert_eq!(peers.on_hello(at(6), &name("A"), &hello(id(2, 1), &[("B", id(7, 1))])).events, [up("A", 2)]);
    assert_eq!(peers.on_hello(at(7), &name("A"), &hello(id(1, 1), &[])).endings, [Ending::Older]);
    assert_eq!(peers.on_hello(at(8), &name("A"), &hello(id(1, 1), &[])).endings, [], "counted once");
    assert_eq!(bye(&mut peers, id(1, 1)), []);
    assert_eq!(peers.up(&name("A")), Some(id(2, 1)));
}

#[test]
fn another_session_of_the_same_life_is_no_event() {
    let mut peers = met(id(1, 1));
    let x = || Bytes::from_static(b"x");
    assert_eq!(peers.on_frame(at(9), "A", head(Lane::Ordinary, id(1, 1), 70, None), x).events.len(), 1);
    let mut by_frame = met(id(1, 1));
    let first = by_frame.on_frame(at(500), "A", head(Lane::Ordinary, id(1, 2), 1, None), x);
    assert_eq!((first.events, first.hello_soon), (vec![message("A", "x")], true), "a frame says as much as a hello");
    let said = peers.on_hello(at(500), &name("A"), &hello(id(1, 2), &[]));
    assert_eq!((said.events, said.hello_soon), (vec![], true));
    assert_eq!(peers.up(&name("A")), Some(id(1, 2)));
    assert_eq!(peers.on_frame(at(501), "A", head(Lane::Ordinary, id(1, 1), 71, None), x).events, [], "the old session");
    assert_eq!(peers.on_frame(at(501), "A", head(Lane::Ordinary, id(1, 2), 1, None), x).events, [message("A", "x")]);
    // This node's own next session has to be heard anew, in time.
    peers.next_session();
    assert_eq!(peers.tick(at(600)).events, []);
    peers.on_hello(at(1_900), &name("A"), &hello(id(1, 2), &[("B", id(7, 2))]));
    assert_eq!(peers.tick(at(3_000)).events, []);
}

#[test]
fn silence_and_deafness_are_ends_but_a_pause_of_our_own_is_none() {
    let mut peers = met(id(1, 1));
    assert_eq!(peers.tick(at(2_000)).events, []);
    assert_eq!(peers.tick(at(2_001)).events, [down("A", 1, DownWhy::Lost)]);
    assert_eq!(peers.tick(at(9_000)).events, []);
    // The same life comes back: a flap.
    assert_eq!(peers.on_hello(at(9_001), &name("A"), &hello(id(1, 1), &[("B", id(7, 1))])).events, [up("A", 1)]);
    for second in 10..13 {
        peers.on_hello(at(second * 1_000), &name("A"), &hello(id(1, 1), &[]));
    }
    assert_eq!(peers.tick(at(12_001)).events, [down("A", 1, DownWhy::Lost)], "it is heard and does not hear us");
    let mut paused = met(id(1, 1));
    paused.forgive(at(60_000));
    assert_eq!(paused.tick(at(61_000)).events, []);
}

#[test]
fn who_does_not_belong_here_is_refused_and_a_newer_life_of_our_own_ends_this_one() {
    let mut peers = b();
    assert_eq!(peers.on_hello(at(0), &name("ZED"), &hello(id(1, 1), &[])).endings, [Ending::Stranger]);
    assert_eq!(peers.on_hello(at(0), &name("B"), &hello(id(6, 1), &[])).endings, [Ending::Older]);
    let later = peers.on_hello(at(0), &name("B"), &hello(id(8, 1), &[]));
    assert!(later.replaced && later.endings == [Ending::Replaced]);
    assert_eq!(peers.refuse(&name("A"), id(1, 1), Ending::Cluster).endings, [Ending::Cluster]);
    assert_eq!(peers.refuse(&name("A"), id(1, 1), Ending::Cluster).endings, []);
    assert!(peers.hello(at(1)).heard.is_empty());
}

#[test]
fn a_peer_that_only_this_node_misses_is_told_from_one_that_is_gone() {
    let mut peers = met(id(1, 1));
    assert_eq!(peers.missed(), [name("C")]);
    assert!(!peers.is_one_sided(at(2), &name("C")), "nobody hears it");
    peers.on_hello(at(3), &name("A"), &hello(id(1, 1), &[("B", id(7, 1)), ("C", id(3, 1))]));
    assert!(peers.is_one_sided(at(4), &name("C")), "A hears it");
    assert!(!peers.is_one_sided(at(9_000), &name("C")), "that was long ago");
    peers.on_hello(at(9_000), &name("C"), &hello(id(3, 1), &[]));
    assert!(peers.is_one_sided(at(9_001), &name("C")), "it is heard, and hears nothing");
}
