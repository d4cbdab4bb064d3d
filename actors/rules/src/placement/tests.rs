//! Tests of placement: who should serve, who routes now, and the sentences that explain it.

use super::*;
use crate::scene::{device, group, life, node, nodes, view};
use tandem_base::{Incarnation, UnixMillis};
use tandem_model::row::RegisterReason;

fn best(states: &[&str]) -> Option<(u8, String)> {
    let members = nodes(&["A", "B", "C"]);
    desired(&members, &view("Z", &[states, &["Z"]].concat())).map(|(rank, node)| (rank.get(), node.to_string()))
}

#[test]
fn a_device_should_be_at_the_highest_ranked_member_in_service() {
    assert_eq!(best(&["A", "B", "C"]), Some((1, "A".to_owned())));
    assert_eq!(best(&["A-", "B", "C"]), Some((2, "B".to_owned())));
    assert_eq!(best(&["A+", "B!", "C"]), Some((3, "C".to_owned())), "neither who joins nor who leaves counts");
    assert_eq!(best(&["A?", "B", "C"]), Some((1, "A".to_owned())), "a suspect still does");
    assert_eq!(best(&["A-", "B-", "C-"]), None);
    assert_eq!(best(&["A", "B"]), Some((1, "A".to_owned())), "a member that is not configured is passed over");
}

#[test]
fn calls_go_by_the_owner_while_it_lives_and_then_by_the_best_survivor() {
    let members = nodes(&["A", "B", "C"]);
    let (b, c) = (node("B"), node("C"));
    assert_eq!(route(&life("C"), &members, &view("A", &["A", "B", "C"])), Route::Owner(&c));
    assert_eq!(route(&life("C"), &members, &view("A", &["A", "B", "C!"])), Route::Owner(&c), "who leaves still routes");
    assert_eq!(route(&life("A"), &members, &view("B", &["A-", "B", "C"])), Route::Survivor(Rank::ALL[1], &b));
    assert_eq!(route(&life("A"), &members, &view("C", &["A-", "B-", "C"])), Route::Survivor(Rank::ALL[2], &c));
    assert_eq!(route(&life("A"), &members, &view("Z", &["A-", "B-", "C-", "Z"])), Route::Nobody);
}

#[test]
fn a_node_in_a_new_life_is_not_the_owner_of_rows_of_its_old_one() {
    let members = nodes(&["A", "B"]);
    let old = NodeLife { node: node("A"), incarnation: Incarnation(0) };
    let a = node("A");
    assert_eq!(route(&old, &members, &view("B", &["A", "B"])), Route::Survivor(Rank::HOME, &a));
}

#[test]
fn who_is_sent_away_is_sent_to_members_in_service_first() {
    let members = nodes(&["A", "B", "C"]);
    assert_eq!(best_first(&members, &view("Z", &["A-", "B", "C", "Z"])), nodes(&["B", "C", "A"]));
}

fn told(states: &[&str], stay: Option<(&str, RegisterReason)>) -> (bool, String) {
    let (members, device, group) = (nodes(&["A", "B", "C"]), device("SEP1"), group("G1"));
    let owner = stay.map(|(name, reason)| (life(name), reason));
    let since = UnixMillis(1_700_000_000_000);
    let stay = owner.as_ref().map(|(owner, reason)| Stay { owner, since, reason: *reason });
    let subject = Subject { device: &device, group: &group, members: &members, stay };
    let answer = explain(&subject, &view("Z", &[states, &["Z"]].concat()));
    (answer.settled, answer.sentence)
}

#[test]
fn each_situation_is_explained_in_a_sentence_of_its_own() {
    let up = ["A", "B", "C"];
    let home = Some(("A", RegisterReason::Home));
    let backup = Some(("B", RegisterReason::Failover));
    let stray = Some(("C", RegisterReason::PathBroken));
    for (states, stay, settled, sentence) in [
        (&up[..], home, true, "SEP1 is at A, its home (rank 1 of G1), since 2023-11-14T22:13:20Z"),
        (
            &["A-", "B", "C"],
            backup,
            true,
            "SEP1 is at B (rank 2 of G1) since 2023-11-14T22:13:20Z, after a failover; nothing better is in service: A is down",
        ),
        (
            &up,
            backup,
            false,
            "SEP1 is at B (rank 2 of G1) since 2023-11-14T22:13:20Z, after a failover; A (rank 1) is in service: it goes there when A has \
             been up and in sync for the connection monitor duration, unless it cannot reach it",
        ),
        (
            &["A-", "B", "C"],
            home,
            false,
            "SEP1 was at A, which is down; until it registers again B (rank 2 of G1) routes calls to it",
        ),
        (
            &["A-", "B-", "C+"],
            home,
            false,
            "SEP1 was at A, which is down, and no member of G1 is in service: A is down, B is down, C is joining",
        ),
        (&up, None, false, "SEP1 is not registered; A (rank 1 of G1) is in service and waits for it"),
        (
            &["A!", "B-", "C?"],
            stray,
            true,
            "SEP1 is at C (rank 3 of G1) since 2023-11-14T22:13:20Z, although a better member was in service: its own path there may be \
             broken; nothing better is in service: A is draining, B is down",
        ),
        (
            &up,
            Some(("Z", RegisterReason::Home)),
            false,
            "SEP1 is at Z since 2023-11-14T22:13:20Z, which is not a member of G1: it must move",
        ),
    ] {
        assert_eq!(told(states, stay), (settled, sentence.to_owned()), "{states:?}");
    }
}
