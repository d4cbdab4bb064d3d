//! Tests of registration: who is accepted where and as what, which registration wins, how long it is granted.

use super::*;
use crate::scene::{life, node, nodes, view};
use proptest::prelude::*;

fn judged(me: &str, states: &[&str], known: Option<&str>) -> Verdict {
    let (members, view, known) = (nodes(&["A", "B", "C"]), view(me, states), known.map(life));
    admit(&Request { members: &members, view: &view, known: known.as_ref(), random: 0 })
}
fn accepted(me: &str, states: &[&str], known: Option<&str>) -> (u8, Kind, RegisterReason) {
    match judged(me, states, known) {
        Verdict::Accept { rank, kind, reason } => (rank.get(), kind, reason),
        other => panic!("{other:?}"),
    }
}

const UP: [&str; 4] = ["A", "B", "C", "D"];

#[test]
fn a_device_that_comes_home_or_to_its_best_survivor_is_accepted() {
    assert_eq!(accepted("A", &UP, None), (1, Kind::Register, RegisterReason::Home));
    assert_eq!(accepted("B", &["A-", "B", "C"], None), (2, Kind::Register, RegisterReason::Failover));
    let from = node("A");
    assert_eq!(accepted("B", &["A-", "B", "C"], Some("A")), (2, Kind::Failover { from }, RegisterReason::Failover));
    let from = node("A");
    assert_eq!(accepted("C", &["A-", "B-", "C"], Some("A")), (3, Kind::Failover { from }, RegisterReason::Failover));
    assert_eq!(accepted("A", &UP, Some("A")), (1, Kind::Refresh, RegisterReason::Home));
}

#[test]
fn a_device_whose_own_path_is_broken_is_accepted_at_a_lower_member() {
    assert_eq!(accepted("B", &UP, None), (2, Kind::Register, RegisterReason::PathBroken));
    assert_eq!(accepted("B", &UP, Some("A")), (2, Kind::Move { from: node("A") }, RegisterReason::PathBroken));
    let from = node("A");
    assert_eq!(accepted("C", &["A-", "B", "C"], Some("A")), (3, Kind::Failover { from }, RegisterReason::PathBroken));
}

#[test]
fn a_device_that_comes_back_to_a_better_member_is_always_welcome() {
    for states in [&UP[..], &["A", "B-", "C"], &["A", "B?", "C"]] {
        assert_eq!(accepted("A", states, Some("B")), (1, Kind::Failback { from: node("B") }, RegisterReason::Failback));
    }
}

#[test]
fn a_device_that_leaves_a_draining_node_fails_over() {
    let from = node("A");
    assert_eq!(accepted("B", &["A!", "B", "C"], Some("A")), (2, Kind::Failover { from }, RegisterReason::Failover));
}

#[test]
fn a_device_of_an_old_life_of_this_node_registers_anew() {
    let (members, view) = (nodes(&["A", "B"]), view("A", &["A", "B"]));
    let old = NodeLife { node: node("A"), incarnation: Incarnation(0) };
    let verdict = admit(&Request { members: &members, view: &view, known: Some(&old), random: 0 });
    assert_eq!(verdict, Verdict::Accept { rank: Rank::HOME, kind: Kind::Register, reason: RegisterReason::Home });
}

#[test]
fn a_device_that_was_at_a_node_outside_its_group_moves() {
    assert_eq!(accepted("A", &UP, Some("D")), (1, Kind::Move { from: node("D") }, RegisterReason::DuplicateMove));
}

#[test]
fn a_node_outside_the_group_says_where_to_go_instead() {
    assert_eq!(judged("D", &UP, None), Verdict::NotInGroup { members: nodes(&["A", "B", "C"]) });
    assert_eq!(judged("D", &["A-", "B", "C", "D"], None), Verdict::NotInGroup { members: nodes(&["B", "C", "A"]) });
}

#[test]
fn a_node_that_joins_or_leaves_takes_nobody() {
    assert_eq!(judged("A", &["A+", "B", "C"], None), Verdict::Joining { retry_after: JOINING_RETRY_SECS });
    assert_eq!(judged("A", &["A!", "B-", "C"], Some("A")), Verdict::Draining { others: nodes(&["C"]) });
    assert_eq!(judged("A", &["A!", "B-", "C-"], None), Verdict::Later { retry_after: JOINING_RETRY_SECS });
}

fn claim(stamp: u64, incarnation: u64, rank: u8, name: &str) -> Claim {
    let rank = Rank::new(rank).unwrap();
    Claim { stamp: Stamp(stamp), incarnation: Incarnation(incarnation), rank, node: node(name) }
}

#[test]
fn the_newest_wins_and_ties_go_by_life_then_rank_then_name() {
    assert!(newer(&claim(2, 0, 3, "Z"), &claim(1, 9, 1, "A")), "newest");
    assert!(newer(&claim(1, 2, 3, "Z"), &claim(1, 1, 1, "A")), "higher incarnation");
    assert!(newer(&claim(1, 1, 1, "Z"), &claim(1, 1, 2, "A")), "lower rank number");
    assert!(newer(&claim(1, 1, 1, "A"), &claim(1, 1, 1, "Z")), "name");
}

fn any_claim() -> impl Strategy<Value = Claim> {
    (0u64..3, 0u64..3, 1u8..4, "[AB]").prop_map(|(stamp, life, rank, name)| claim(stamp, life, rank, &name))
}

proptest! {
    #[test]
    fn of_two_different_claims_exactly_one_wins_and_the_order_has_no_circle(a in any_claim(), b in any_claim(), c in any_claim()) {
        prop_assert_eq!(newer(&a, &b) || newer(&b, &a), a != b);
        prop_assert!(!(newer(&a, &b) && newer(&b, &a)));
        if newer(&a, &b) && newer(&b, &c) {
            prop_assert!(newer(&a, &c));
        }
    }

    #[test]
    fn what_is_granted_is_within_bounds_and_the_spread(asked in 0u32..10_000, random: u64) {
        let settings = Settings::default();
        match grant(&settings, Some(asked), random) {
            Grant::TooBrief(min) => prop_assert!(asked < min),
            Grant::For(secs) => {
                let asked = asked.min(settings.max_expires);
                prop_assert!(secs >= settings.min_expires && secs <= asked);
                prop_assert!(f64::from(secs) >= (f64::from(asked) * 0.8).floor());
            }
        }
    }

    #[test]
    fn whatever_a_node_sees_a_member_in_service_accepts_and_others_say_where_to_go(
        states in proptest::collection::vec(prop_oneof![Just(""), Just("?"), Just("-"), Just("+"), Just("!")], 3),
        known in proptest::option::of(0usize..4),
    ) {
        let names: Vec<String> = ["A", "B", "C"].iter().zip(&states).map(|(n, s)| format!("{n}{s}")).collect();
        let names: Vec<&str> = names.iter().map(String::as_str).chain(["D"]).collect();
        let known = known.map(|k| UP[k]);
        // No node sees itself down.
        for (me, state) in ["A", "B", "C"].iter().zip(&states).filter(|(_, state)| **state != "-") {
            let accepted = matches!(judged(me, &names, known), Verdict::Accept { .. });
            prop_assert_eq!(accepted, matches!(*state, "" | "?"));
        }
        match judged("D", &names, known) {
            Verdict::NotInGroup { mut members } => {
                members.sort();
                prop_assert_eq!(members, nodes(&["A", "B", "C"]));
            }
            other => prop_assert!(false, "{:?}", other),
        }
    }
}

#[test]
fn all_shares_of_the_spread_are_granted_and_who_asks_for_nothing_gets_the_usual() {
    let settings = Settings::default();
    assert_eq!(grant(&settings, Some(1_000), 0), Grant::For(800));
    assert_eq!(grant(&settings, Some(1_000), u64::MAX), Grant::For(1_000));
    assert_eq!(grant(&settings, None, u64::MAX), Grant::For(3_600));
    assert_eq!(grant(&settings, Some(60), 0), Grant::For(60), "never below the shortest");
    assert_eq!(grant(&settings, Some(59), 0), Grant::TooBrief(60));
    assert_eq!(grant(&settings, Some(u32::MAX), u64::MAX), Grant::For(3_600));
}
